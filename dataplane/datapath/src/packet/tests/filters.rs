//! The classifier in both directions: what policies let pass, what comes back, what is counted.

use core::net::Ipv4Addr;
use core::ops::Add as _;
use core::time::Duration;

use lns_l2sess::graph::Event;
use lns_l2sess::policy::{Action, Matches, OnChange, Policy, PolicyBook, PolicyTable, Rates, Rule};
use lns_l2sess::{ChainId, Timeouts};
use lns_tables::time::Instant;

use super::{Bed, NOW, SERVER, SLOT, SUBSCRIBER, Seen, frame, packet, syn};
use crate::flows::port_of;
use crate::stats::DropReason;
use crate::tables::SessionView;

const PORTS: [u16; 2] = [5_000, 53];
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

fn table(rules: Vec<Rule>, default: Action) -> PolicyTable {
    PolicyTable { rules, default }
}

/// UDP to this port is dropped.
fn without_port(port: u16) -> Rule {
    Rule {
        name: "without-port".into(),
        matches: Matches {
            protocol: Some(17),
            destination_ports: vec![port..=port],
            ..Matches::default()
        },
        action: Action::Drop,
    }
}

/// Whatever the subscriber asks for is answered, but for UDP to port 25; nobody else gets in.
pub(in crate::packet) fn residential() -> Policy {
    Policy {
        name: "residential".into(),
        filter_ids: Vec::new(),
        input: Some(table(vec![without_port(25)], Action::Track)),
        output: Some(table(Vec::new(), Action::Drop)),
        timeouts: Timeouts {
            udp_idle: 8,
            ..Timeouts::DEFAULT
        },
        on_change: OnChange::Keep,
        rates: None,
    }
}

impl Bed {
    /// With that policy for its session, and the book that has it.
    pub(in crate::packet) fn filtered(policy: Policy) -> (Self, PolicyBook) {
        let mut book = PolicyBook::new(1);
        let name = policy.name.clone();
        book.replace(vec![policy]).unwrap();
        let chain = book.chain(&[name]).unwrap();
        let mut bed = Self::with(|path| path.chain = chain);
        bed.policies = book.current().clone();
        (bed, book)
    }

    fn up_udp(&mut self, to: Ipv4Addr, ports: [u16; 2], now: Instant) -> Seen {
        let message = self.data(&frame(&udp(SUBSCRIBER, to, ports)));
        let (origin, mut seen) = (self.origin(), Seen::default());
        self.up_from(&message, &origin, now, &mut seen);
        seen
    }

    /// `ports` are those of the way up: this is an answer.
    fn down_udp(&mut self, from: Ipv4Addr, [inner, outer]: [u16; 2], now: Instant) -> Seen {
        let mut seen = Seen::default();
        self.down_at(&mut udp(from, SUBSCRIBER, [outer, inner]), now, &mut seen);
        seen
    }

    fn flows(&self) -> usize {
        self.classifier.table().flows_of(port_of(SLOT), 1_000).len()
    }

    fn events(&self, event: Event) -> u64 {
        self.classifier.events().of(event)
    }
}

/// A UDP packet of 60 octets with those ports.
fn udp(source: Ipv4Addr, destination: Ipv4Addr, ports: [u16; 2]) -> Vec<u8> {
    let mut udp = packet(source, destination, 60, true);
    for (place, port) in [20, 22].into_iter().zip(ports) {
        udp[place..place + 2].copy_from_slice(&port.to_be_bytes());
    }
    udp[24..26].copy_from_slice(&40_u16.to_be_bytes());
    udp
}

fn later(seconds: u64) -> Instant {
    NOW.add(Duration::from_secs(seconds))
}

#[test]
fn what_the_subscriber_asks_for_comes_back_and_nothing_else_does() {
    let (mut bed, _) = Bed::filtered(residential());
    let policy = [DropReason::Policy];
    assert_eq!(bed.down_udp(SERVER, PORTS, NOW).drops, policy);
    assert_eq!(bed.up_udp(SERVER, PORTS, NOW).forwarded.len(), 1);
    assert_eq!(bed.down_udp(SERVER, PORTS, NOW).sent.len(), 1);
    assert_eq!(bed.down_udp(STRANGER, PORTS, NOW).drops, policy);
    assert_eq!(bed.down_udp(SERVER, [5_001, 53], NOW).drops, policy);
    assert_eq!(bed.up_udp(SERVER, [5_000, 25], NOW).drops, policy);
    assert_eq!(bed.flows(), 1);
    let counters = bed.counters();
    assert_eq!((counters.up.ipv4_packets, counters.up.dropped), (1, 1));
    assert_eq!((counters.down.ipv4_packets, counters.down.dropped), (1, 3));
}

#[test]
fn a_flow_that_was_silent_for_too_long_is_dropped_with_its_own_reason_and_judged_anew() {
    let (mut bed, _) = Bed::filtered(residential());
    bed.up_udp(SERVER, PORTS, NOW);
    assert_eq!(bed.down_udp(SERVER, PORTS, later(8)).sent.len(), 1);
    let seen = bed.down_udp(SERVER, PORTS, later(60));
    assert_eq!(seen.drops, [DropReason::FlowExpired]);
    let seen = bed.down_udp(SERVER, PORTS, later(60));
    assert_eq!(seen.drops, [DropReason::Policy]);
    assert_eq!(bed.events(Event::Expired), 1);
}

#[test]
fn the_source_is_checked_before_the_classifier_sees_a_packet() {
    let (mut bed, _) = Bed::filtered(residential());
    let forged = bed.data(&frame(&udp(STRANGER, SERVER, PORTS)));
    assert_eq!(bed.up(&forged).drops, [DropReason::SourceCheck]);
    assert_eq!((bed.flows(), bed.events(Event::Opened)), (0, 0));
}

#[test]
fn a_packet_that_policy_drops_uses_up_no_rate_and_one_over_the_rate_has_opened_its_flow() {
    let (mut bed, _) = Bed::filtered(residential());
    let view = bed.tables.slot(SLOT).unwrap().unwrap().view;
    let policer = crate::tables::PolicerId::new(1);
    let rates = Rates {
        up: 8,
        down: 0,
        burst_milliseconds: 1,
    };
    bed.tables.policer(policer).unwrap().begin(rates, NOW);
    let limited = SessionView {
        policer: Some(policer),
        ..view
    };
    bed.tables.session_slot(SLOT).unwrap().write(Some(&limited));
    for _ in 0..1_000 {
        let seen = bed.up_udp(SERVER, [5_000, 25], NOW);
        assert_eq!(seen.drops, [DropReason::Policy]);
    }
    let seen = (0..1_000).map(|_| bed.up_udp(SERVER, PORTS, NOW));
    let seen: Vec<_> = seen.collect();
    // The least burst is a packet of 9,728 octets: 162 of 60.
    assert_eq!(
        seen.iter().filter(|it| it.forwarded.len() == 1).count(),
        162
    );
    let limited = seen.iter().filter(|it| it.drops == [DropReason::Rate]);
    assert_eq!((limited.count(), bed.flows()), (838, 1));
}

#[test]
fn a_packet_too_large_is_judged_before_its_sender_is_told_so() {
    let (mut bed, _) = Bed::filtered(residential());
    let mut large = packet(SERVER, SUBSCRIBER, 1_461, true);
    let seen = bed.down(&mut large);
    assert_eq!(
        (seen.drops, seen.answers.len()),
        (vec![DropReason::Policy], 0)
    );
    let asked = [
        u16::from_be_bytes([large[22], large[23]]),
        u16::from_be_bytes([large[20], large[21]]),
    ];
    bed.up_udp(SERVER, asked, NOW);
    let seen = bed.down(&mut large);
    // What we make ourselves is nobody's flow.
    assert_eq!(seen.drops, [DropReason::FragmentationNeeded]);
    assert_eq!((seen.answers.len(), bed.flows()), (1, 1));
}

#[test]
fn the_way_of_a_connection_is_followed_and_its_mss_is_clamped() {
    let (mut bed, _) = Bed::filtered(residential());
    let mut answer = syn(SERVER, SUBSCRIBER);
    answer[20..24].copy_from_slice(&[0, 80, 0x30, 0x39]);
    answer[33] = 0x12;
    assert_eq!(bed.down(&mut answer.clone()).drops, [DropReason::Policy]);
    let message = bed.data(&frame(&syn(SUBSCRIBER, SERVER)));
    let up = bed.up(&message).forwarded.remove(0);
    assert_eq!(up[42..44], 1_420_u16.to_be_bytes());
    assert_eq!(bed.down(&mut answer).sent.len(), 1);
    assert_eq!(answer[42..44], 1_420_u16.to_be_bytes());
    assert_eq!(bed.flows(), 1);
}

#[test]
fn fragments_of_an_answer_to_the_subscriber_are_made_after_it_was_judged() {
    let (mut bed, _) = Bed::filtered(residential());
    let mut large = packet(SERVER, SUBSCRIBER, 4_000, false);
    large[20..24].copy_from_slice(&[0, 53, 0x13, 0x88]);
    assert_eq!(bed.down(&mut large).drops, [DropReason::Policy]);
    bed.up_udp(SERVER, PORTS, NOW);
    assert_eq!(bed.down(&mut large).sent.len(), 3);
}

#[test]
fn without_policies_all_pass_and_no_flow_is_opened() {
    let (mut bed, _) = Bed::filtered(residential());
    let view = bed.tables.slot(SLOT).unwrap().unwrap().view;
    let free = SessionView {
        chain: ChainId::NONE,
        ..view
    };
    bed.tables.session_slot(SLOT).unwrap().write(Some(&free));
    assert_eq!(bed.down_udp(STRANGER, PORTS, NOW).sent.len(), 1);
    assert_eq!(bed.up_udp(SERVER, [5_000, 25], NOW).forwarded.len(), 1);
    assert_eq!((bed.flows(), bed.events(Event::Opened)), (0, 0));
}

#[test]
fn of_policies_that_a_worker_does_not_have_nothing_passes() {
    let (mut bed, _) = Bed::filtered(residential());
    let view = bed.tables.slot(SLOT).unwrap().unwrap().view;
    let unknown = SessionView {
        chain: ChainId(77),
        ..view
    };
    bed.tables.session_slot(SLOT).unwrap().write(Some(&unknown));
    assert_eq!(
        bed.up_udp(SERVER, PORTS, NOW).drops,
        [DropReason::PortClosed]
    );
    assert_eq!(
        bed.down_udp(SERVER, PORTS, NOW).drops,
        [DropReason::PortClosed]
    );
}

#[test]
fn policies_that_are_exchanged_between_batches_judge_new_flows_and_leave_those_that_are_open() {
    let (mut bed, mut book) = Bed::filtered(residential());
    bed.up_udp(SERVER, PORTS, NOW);
    let changed = Policy {
        input: Some(table(vec![without_port(53)], Action::Track)),
        ..residential()
    };
    book.replace(vec![changed]).unwrap();
    bed.policies = book.current().clone();
    assert_eq!(bed.up_udp(SERVER, PORTS, NOW).forwarded.len(), 1);
    assert_eq!(bed.down_udp(SERVER, PORTS, NOW).sent.len(), 1);
    assert_eq!(bed.up_udp(STRANGER, PORTS, NOW).drops, [DropReason::Policy]);
    assert_eq!(bed.up_udp(SERVER, [5_000, 25], NOW).forwarded.len(), 1);
}

#[test]
fn a_policy_that_says_so_judges_the_next_packet_of_an_open_flow_anew() {
    let reclassify = || Policy {
        on_change: OnChange::Reclassify,
        ..residential()
    };
    let (mut bed, mut book) = Bed::filtered(reclassify());
    bed.up_udp(SERVER, PORTS, NOW);
    bed.up_udp(SERVER, [5_000, 54], NOW);
    let changed = Policy {
        input: Some(table(vec![without_port(53)], Action::Track)),
        ..reclassify()
    };
    book.replace(vec![changed]).unwrap();
    bed.policies = book.current().clone();
    assert_eq!(bed.down_udp(SERVER, PORTS, NOW).drops, [DropReason::Policy]);
    assert_eq!(bed.down_udp(SERVER, [5_000, 54], NOW).sent.len(), 1);
    assert_eq!(bed.flows(), 1);
}
