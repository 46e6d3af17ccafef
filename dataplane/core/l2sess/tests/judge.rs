//! That judging a packet allocates nothing, whatever the rules say and whatever the packet is.
//!
//! This file has one test, since the counter is the whole process's.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test"
)]

use core::hint::black_box;
use std::alloc::System;

use lns_l2sess::packet::{Packet, Upper};
use lns_l2sess::policy::{
    Action, FlagsMatch, LaterFragments, Matches, OctetsMatch, OnChange, Policy, PolicyBook,
    PolicyTable, Rule,
};
use lns_l2sess::state::TcpFlags;
use lns_l2sess::{Direction, Family, Timeouts};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Fifty rules that say different things, the last of them of octets.
fn rules() -> Vec<Rule> {
    let rules = (0..50_u16).map(|number| {
        let mut matches = Matches {
            protocol: Some(6),
            ..Matches::default()
        };
        match number % 5 {
            0 => matches.source_ports = vec![number..=number + 9],
            1 => matches.destination_ports = vec![2_000..=3_000 + number],
            2 => matches.dscp = vec![46],
            3 => {
                matches.tcp_flags = Some(FlagsMatch {
                    value: 0x02,
                    mask: 0x3f,
                });
            }
            _ => {
                matches.octets = vec![OctetsMatch {
                    at: number,
                    mask: [0xff; 16].into(),
                    value: [0xaa; 16].into(),
                }];
            }
        }
        Rule {
            name: number.to_string().into(),
            matches,
            action: Action::Track,
        }
    });
    rules.collect()
}

fn packets(octets: &[u8]) -> Vec<Packet<'_>> {
    let tcp = Upper::Tcp {
        source: 40_000,
        destination: 80,
        flags: Some(TcpFlags(0x10)),
    };
    let ports = Upper::Ports {
        source: 40_000,
        destination: 53,
    };
    let icmp = Upper::Icmp {
        kind: 8,
        code: 0,
        identifier: 1,
    };
    let later = Upper::LaterFragment;
    let uppers = [tcp, ports, icmp, Upper::None, later, Upper::Unreadable];
    let all = Family::ALL.into_iter().flat_map(|family| {
        uppers.map(|upper| Packet {
            octets,
            family,
            source: 0x6440_0002,
            destination: 0xcb00_7107,
            protocol: 6,
            dscp: 0,
            length: 100,
            upper,
        })
    });
    all.collect()
}

#[test]
fn judging_a_packet_allocates_nothing() {
    let table = |default| {
        let rules = rules();
        Some(PolicyTable { rules, default })
    };
    let policies = ["a", "b"].map(|name| Policy {
        name: name.into(),
        filter_ids: Vec::new(),
        input: table(Action::Pass),
        output: table(Action::Drop),
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: None,
    });
    let names = policies.each_ref().map(|policy| policy.name.clone());
    let mut book = PolicyBook::new(2);
    book.replace(policies.to_vec()).unwrap();
    let chain = book.chain(&names).unwrap();
    let chain = book.current().chain(chain).unwrap();
    let (wanted, others) = ([0xaa; 100], [0; 100]);
    let packets = [packets(&wanted), packets(&others)].concat();
    let mut actions = [0_u32; 3];

    let before = ALLOCATOR.stats();
    for packet in &packets {
        for direction in Direction::ALL {
            for later in [LaterFragments::Match, LaterFragments::Ignore] {
                let judgement = black_box(chain).judge(black_box(packet), direction, 1, later);
                actions[match judgement.action {
                    Action::Pass => 0,
                    Action::Track => 1,
                    Action::Drop => 2,
                }] += 1;
            }
        }
    }
    let after = ALLOCATOR.stats();
    assert_eq!(after.allocations, before.allocations);
    assert_eq!(after.reallocations, before.reallocations);
    // Of one half the octets are as the rules want them; of the other, later fragments match the others.
    assert_eq!(actions, [22, 48 + 4, 22]);
}
