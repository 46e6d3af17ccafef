//! A87: what a packet of an open flow costs the allocator. One test and no other in this program: the
//! allocator counts for all its threads.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test"
)]

#[path = "support/mod.rs"]
mod support;

use std::alloc::System;

use lns_l2sess::policy::{Action, Matches};
use lns_l2sess::{Direction, Event, Verdict};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use support::bed::*;
use support::*;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Packets of open flows, of each kind, in both directions.
fn hits(case: Case) -> Vec<(Direction, Vec<u8>)> {
    let mut packets = Vec::new();
    for direction in [case.opener, case.back()] {
        packets.push((direction, case.udp(direction)));
        packets.push((direction, case.tcp(direction, ACK)));
        packets.push((direction, case.packet(direction, 50, &[0x5a; 24])));
    }
    packets.push((case.back(), case.error(case.back(), &case.udp(case.opener))));
    packets
}

#[test]
fn a87_a_packet_allocates_nothing_whether_its_flow_is_open_or_not() {
    for case in Case::all() {
        let port = |at: u16| Matches {
            protocol: Some(17),
            destination_ports: vec![10_000 + at..=10_000 + at],
            ..Matches::default()
        };
        let rules = (0..50).map(|at| rule(&at.to_string(), Action::Drop, port(at)));
        let mut policy = reflect(case.opener);
        let there = match case.opener {
            Direction::Input => &mut policy.input,
            Direction::Output => &mut policy.output,
        };
        there.as_mut().unwrap().rules = rules.collect();
        let bed = Bed::new(vec![policy]);
        let hits = hits(case);
        for (direction, packet) in &hits {
            assert!(bed.passes(*direction, packet));
        }
        let fresh: Vec<_> = (0..200)
            .map(|port| case.packet(case.opener, 17, &udp(20_000 + port, 80, 0)))
            .collect();
        let refused = case.packet(case.opener, 17, &udp(1, 10_049, 0));

        let region = Region::new(ALLOCATOR);
        let mut passed = 0;
        for _ in 0..1_000 {
            for (direction, packet) in &hits {
                passed += u32::from(bed.passes(*direction, packet));
            }
            assert_ne!(bed.send(case.opener, &refused), Verdict::Forward);
            bed.wait(1);
        }
        let of_hits = region.change();
        assert_eq!(passed, 7_000);
        // Flows come and go within the memory that is there from the start.
        for packet in &fresh {
            assert!(bed.passes(case.opener, packet));
        }
        bed.wait(1_000);
        bed.sweep();
        let of_all = region.change();
        assert_eq!(bed.events(Event::Opened), 203);
        assert_eq!((of_hits.allocations, of_hits.reallocations), (0, 0));
        assert_eq!((of_all.allocations, of_all.reallocations), (0, 0));
    }
}
