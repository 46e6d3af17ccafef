//! R17: what a repetition costs the allocator. One test and no other in this program: the allocator
//! counts for all its threads.
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

use std::alloc::System;
use std::time::Duration;

use lns_radius::config::{Purpose, Timing};
use lns_wire::radius::Code;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use support::Bed;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests that are repeated together.
const REQUESTS: usize = 50;

#[test]
fn r17_a_repetition_allocates_nothing_whether_its_content_has_changed_or_not() {
    for (purpose, code, delay_time) in [
        (Purpose::Authentication, Code::ACCESS_REQUEST, false),
        (Purpose::Accounting, Code::ACCOUNTING_REQUEST, false),
        (Purpose::Accounting, Code::ACCOUNTING_REQUEST, true),
    ] {
        let timing = Timing {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(1),
            count: 0,
            ..Timing::ACCESS
        };
        let mut bed = Bed::with_timing(purpose, delay_time, timing);
        for _ in 0..REQUESTS {
            bed.ask(code);
        }
        let mut first = Vec::new();
        while bed.transmit().is_some() {
            first.push(bed.out.clone());
        }
        bed.open();
        assert_eq!(first.len(), REQUESTS);
        // The first repetition may find room for what rests; those after it grow nothing. They end before
        // the connection is a zombie.
        let mut counted = 0;
        let mut changed = 0;
        for step in 1..=48 {
            bed.now += Duration::from_millis(100);
            let region = Region::new(ALLOCATOR);
            bed.client.handle_timeout(bed.now, &mut bed.rng);
            let mut sent = 0;
            while bed.transmit().is_some() {
                sent += 1;
                changed += usize::from(!first.contains(&bed.out));
            }
            let change = region.change();
            bed.open();
            if step >= 12 {
                counted += sent;
                assert_eq!(change.allocations, 0, "of {sent} repetitions, {delay_time}");
                assert_eq!(
                    change.reallocations, 0,
                    "of {sent} repetitions, {delay_time}"
                );
            }
        }
        assert!(counted >= 3 * REQUESTS, "{counted} were counted");
        assert_eq!(changed > 0, delay_time);
        assert_eq!(bed.client.held().requests, u32::try_from(REQUESTS).unwrap());
    }
}
