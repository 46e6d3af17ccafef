//! Policies change under open flows: Keep and Reclassify.

use lns_l2sess::policy::{Action, Matches, OnChange, Policy, PolicyTable, Prefix};
use lns_l2sess::{Class, Direction, Event, Timeouts};

use super::support::bed::*;
use super::support::*;

/// A policy that judges open flows anew, with these tables for the opener's direction and the other's.
fn reclassifying(opener: Direction, there: PolicyTable, back: Option<PolicyTable>) -> Policy {
    let (input, output) = match opener {
        Direction::Input => (Some(there), back),
        Direction::Output => (back, Some(there)),
    };
    Policy {
        on_change: OnChange::Reclassify,
        ..policy("reflect", input, output)
    }
}

fn all(action: Action) -> PolicyTable {
    table(Vec::new(), action)
}

/// A bed with a flow of UDP, to which the policy then changes.
fn changed(case: Case, there: PolicyTable, back: Option<PolicyTable>) -> Bed {
    let drops = Some(all(Action::Drop));
    let mut bed = Bed::new(vec![reclassifying(case.opener, all(Action::Track), drops)]);
    assert!(bed.passes(case.opener, &case.udp(case.opener)));
    bed.book
        .replace(vec![reclassifying(case.opener, there, back)])
        .unwrap();
    bed
}

/// A table that still tracks that flow, but is another.
fn other_track() -> PolicyTable {
    let matches = Matches {
        protocol: Some(6),
        ..Matches::default()
    };
    table(vec![rule("tcp", Action::Drop, matches)], Action::Track)
}

#[test]
fn a_flow_that_would_be_opened_today_stays_whichever_side_sends_first() {
    for case in Case::all() {
        for first in [case.opener, case.back()] {
            let bed = changed(case, other_track(), Some(all(Action::Drop)));
            for direction in [first, first.other(), first] {
                assert!(bed.passes(direction, &case.udp(direction)));
            }
            assert_eq!((bed.flows(), bed.events(Event::Reclassified)), (1, 1));
            assert_eq!(bed.events(Event::Opened), 1);
        }
    }
}

#[test]
fn a_flow_that_would_not_be_opened_ends_and_its_packet_is_what_policy_says() {
    for case in Case::all() {
        // The opener's packet is dropped with the flow.
        let bed = changed(case, all(Action::Drop), Some(all(Action::Drop)));
        assert!(!bed.passes(case.opener, &case.udp(case.opener)));
        assert_eq!((bed.flows(), bed.events(Event::Revoked)), (0, 1));
        // Or it passes without one.
        let bed = changed(case, all(Action::Pass), Some(all(Action::Drop)));
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert_eq!(bed.flows(), 0);
        // The other side's packet is judged as the opener's would be, and then as its own.
        for action in [Action::Drop, Action::Pass] {
            for (back, passes) in [(Some(all(Action::Drop)), false), (None, true)] {
                let bed = changed(case, all(action), back);
                assert_eq!(bed.passes(case.back(), &case.udp(case.back())), passes);
                assert_eq!((bed.flows(), bed.events(Event::Revoked)), (0, 1));
            }
        }
    }
}

#[test]
fn a_rule_about_the_opener_s_ends_and_ports_finds_the_answers_too() {
    for case in Case::all() {
        let (from, to) = match case.opener {
            Direction::Input => (INSIDE, OUTSIDE),
            Direction::Output => (OUTSIDE, INSIDE),
        };
        let host = |host: Host| {
            Some(Prefix {
                family: case.family,
                address: host.number(case.family),
                length: case.family.bits(),
            })
        };
        let to_dns = Matches {
            source: host(from),
            destination: host(to),
            protocol: Some(17),
            source_ports: vec![1000..=1000],
            destination_ports: vec![53..=53],
            ..Matches::default()
        };
        let there = table(vec![rule("dns", Action::Track, to_dns)], Action::Drop);
        let bed = changed(case, there, Some(all(Action::Drop)));
        assert!(bed.passes(case.back(), &case.udp(case.back())));
        assert_eq!(bed.events(Event::Reclassified), 1);
    }
}

#[test]
fn the_packet_that_is_judged_anew_counts_once() {
    for case in Case::all() {
        let bed = changed(case, all(Action::Pass), Some(all(Action::Drop)));
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        let (id, _) = bed.policies().policies().next().unwrap();
        let hits = bed.policies().hits(id).unwrap();
        let there = match case.opener {
            Direction::Input => hits.input,
            Direction::Output => hits.output,
        };
        // The flow's first packet was counted by the table before.
        assert_eq!(there.unwrap().default, 1 + 1);
    }
}

#[test]
fn the_timeouts_of_open_flows_are_those_of_the_policy_as_it_is_now() {
    for case in Case::all() {
        let mut bed = case.bed();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        let mut policy = reflect(case.opener);
        policy.timeouts = Timeouts {
            udp_idle: 20,
            ..Timeouts::DEFAULT
        };
        bed.book.replace(vec![policy]).unwrap();
        bed.wait(20);
        assert!(bed.passes(case.back(), &case.udp(case.back())));
        bed.wait(26);
        assert!(!bed.passes(case.back(), &case.udp(case.back())));
    }
}

#[test]
fn an_error_about_a_flow_that_is_yet_to_be_judged_anew_is_judged_itself() {
    for case in Case::all() {
        let bed = changed(case, other_track(), Some(all(Action::Drop)));
        let error = case.error(case.back(), &case.udp(case.opener));
        assert!(!bed.passes(case.back(), &error));
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert!(bed.passes(case.back(), &error));
    }
}

#[test]
fn a_syn_begins_a_closing_flow_anew_for_its_opener_and_is_for_policy_to_judge_from_the_other_side()
{
    for case in Case::all() {
        let bed = case.bed();
        let open = [
            (case.opener, SYN),
            (case.back(), SYN | ACK),
            (case.opener, ACK),
            (case.back(), RST),
        ];
        for (direction, flags) in open {
            assert!(bed.passes(direction, &case.tcp(direction, flags)));
        }
        let segment = case.tcp(case.opener, SYN);
        assert_eq!(bed.class(case.opener, &segment), Some(Class::Closing));
        assert!(bed.passes(case.opener, &segment));
        assert_eq!(bed.events(Event::Restarted), 1);
        assert_eq!(bed.class(case.opener, &segment), Some(Class::Transient));

        assert!(bed.passes(case.back(), &case.tcp(case.back(), RST)));
        assert!(!bed.passes(case.back(), &case.tcp(case.back(), SYN)));
        assert_eq!((bed.events(Event::Restarted), bed.flows()), (1, 1));
    }
}

#[test]
fn l09_a_rst_and_a_syn_that_are_forged_do_not_end_a_connection_that_goes_on() {
    for case in Case::all() {
        let bed = case.bed();
        for (direction, flags) in [
            (case.opener, SYN),
            (case.back(), SYN | ACK),
            (case.opener, ACK),
            (case.back(), RST),
        ] {
            assert!(bed.passes(direction, &case.tcp(direction, flags)));
        }
        assert!(!bed.passes(case.back(), &case.tcp(case.back(), SYN)));
        assert!(bed.passes(case.back(), &case.tcp(case.back(), ACK)));
        assert_eq!((bed.flows(), bed.events(Event::Revoked)), (1, 0));
    }
}

#[test]
fn who_did_not_open_a_closing_flow_opens_another_where_policy_has_it_so() {
    for case in Case::all() {
        let bed = Bed::new(vec![policy(
            "both",
            Some(all(Action::Track)),
            Some(all(Action::Track)),
        )]);
        for (direction, flags) in [(case.opener, SYN), (case.back(), RST), (case.back(), SYN)] {
            assert!(bed.passes(direction, &case.tcp(direction, flags)));
        }
        let counted = [Event::Opened, Event::Revoked, Event::Restarted];
        assert_eq!(counted.map(|event| bed.events(event)), [2, 1, 0]);
        assert_eq!(bed.flows(), 1);
        let key = Bed::key(PORT, case.opener, &case.tcp(case.opener, SYN));
        let hit = bed.classifier.table().find(&key).unwrap();
        assert_eq!((hit.opener, hit.class()), (case.back(), Class::Transient));
        // Each of the three was judged once, or not at all.
        let (id, _) = bed.policies().policies().next().unwrap();
        let hits = bed.policies().hits(id).unwrap();
        let judged = [hits.input, hits.output].map(|table| table.unwrap().default);
        assert_eq!(judged, [1, 1]);
    }
}

#[test]
fn a_flow_of_policies_that_the_port_had_before_is_judged_by_those_that_it_has() {
    for case in Case::all() {
        for first in [case.opener, case.back()] {
            let mut bed = case.bed();
            assert!(bed.passes(case.opener, &case.udp(case.opener)));
            // Nobody clears the port: a worker that was late has opened the flow after that.
            let none = policy("none", Some(all(Action::Drop)), Some(all(Action::Drop)));
            bed.book.replace(vec![reflect(case.opener), none]).unwrap();
            bed.chain = bed.book.chain(&["none".into()]).unwrap();
            assert!(!bed.passes(first, &case.udp(first)));
            assert_eq!((bed.flows(), bed.events(Event::Revoked)), (0, 1));
        }
    }
}
