//! Many requests, one after the other and beside each other: what is held does not grow, and in the end
//! nothing is.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a test"
)]

mod support;

use std::time::Duration;

use lns_radius::config::Purpose;
use lns_radius::view::Held;
use lns_wire::radius::Code;
use support::Bed;

/// `rounds` times a hundred requests; of each hundred 90 are answered, 5 at once and twice, and the rest
/// when they are repeated.
fn soak(rounds: usize) {
    let mut bed = Bed::new(Purpose::Accounting, true);
    let mut outcomes = 0;
    for round in 0..rounds {
        for _ in 0..100 {
            bed.ask(Code::ACCOUNTING_REQUEST);
        }
        bed.open();
        let mut sent = 0_u32;
        while let Some(transmit) = bed.transmit() {
            sent += 1;
            if sent.is_multiple_of(20) && round + 40 < rounds {
                continue;
            }
            bed.sign();
            bed.deliver(transmit.connection);
            if sent.is_multiple_of(19) {
                bed.deliver(transmit.connection);
            }
        }
        while let Some(outcome) = bed.client.poll_outcome() {
            assert!(outcome.result.is_ok());
            outcomes += 1;
        }
        bed.now += Duration::from_millis(100);
        bed.client.handle_timeout(bed.now, &mut bed.rng);
        bed.open();
        assert!(bed.client.held().requests < 300);
    }
    for _ in 0..1000 {
        bed.now += Duration::from_millis(100);
        bed.client.handle_timeout(bed.now, &mut bed.rng);
        bed.open();
        while let Some(transmit) = bed.transmit() {
            bed.sign();
            bed.deliver(transmit.connection);
        }
        while bed.client.poll_outcome().is_some() {
            outcomes += 1;
        }
    }
    assert_eq!(outcomes, rounds * 100);
    assert_eq!(bed.client.held(), Held::default());
    let view = bed.client.view(bed.now);
    let (label, late) = view
        .servers
        .first()
        .unwrap()
        .dropped
        .first()
        .copied()
        .unwrap();
    assert_eq!(label, "late");
    assert!(late > 0, "the doubled answers");
}

#[test]
fn a_million_requests_leave_nothing_held() {
    soak(10_000);
}
