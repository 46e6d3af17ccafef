//! A31 to A45: flows of UDP.

use std::sync::Arc;

use lns_l2sess::policy::{Action, OnChange, PolicyTable};
use lns_l2sess::{Event, PortId, Refusal, Verdict};

use crate::support::bed::*;
use crate::support::*;

const REFUSED: Verdict = Verdict::Drop(Refusal::Policy);

#[test]
fn a31_what_went_out_is_answered_and_what_did_not_is_not() {
    for case in Case::all() {
        let bed = case.bed();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert!(bed.passes(case.back(), &case.udp(case.back())));
        let (from, to) = (Host(77), if case.back() == DOWN { INSIDE } else { OUTSIDE });
        let unrelated = packet(case.family, from, to, 17, &udp(53, 1000, 0));
        assert_eq!(bed.send(case.back(), &unrelated), REFUSED);
        let other_protocol = case.packet(case.back(), 136, &udp(53, 1000, 0));
        assert_eq!(bed.send(case.back(), &other_protocol), REFUSED);
    }
}

#[test]
fn a32_the_same_tuple_at_another_port_is_another_flow() {
    for case in Case::all() {
        let bed = case.bed();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        for port in (0..64).map(PortId).filter(|port| *port != PORT) {
            assert_eq!(
                bed.send_at(port, case.back(), &case.udp(case.back())),
                REFUSED
            );
        }
    }
}

#[test]
fn a33_ports_that_are_swapped_or_next_to_the_right_ones_are_no_answer() {
    for case in Case::all() {
        let bed = case.bed();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        for (source, destination) in [(1000, 53), (54, 1000), (52, 1000), (53, 999), (53, 1001)] {
            let packet = case.packet(case.back(), 17, &udp(source, destination, 0));
            assert_eq!(
                bed.send(case.back(), &packet),
                REFUSED,
                "{source} {destination}"
            );
        }
    }
}

#[test]
fn a34_an_answer_before_the_question_is_dropped_and_opens_nothing() {
    for case in Case::all() {
        let bed = case.bed();
        assert_eq!(bed.send(case.back(), &case.udp(case.back())), REFUSED);
        assert_eq!(bed.flows(), 0);
    }
}

#[test]
fn a35_the_first_packet_goes_on_and_counts_once() {
    for case in Case::all() {
        let bed = case.bed();
        for _ in 0..5 {
            assert!(bed.passes(case.opener, &case.udp(case.opener)));
        }
        assert_eq!((bed.flows(), bed.events(Event::Opened)), (1, 1));
        let (id, _) = bed.policies().policies().next().unwrap();
        let hits = bed.policies().hits(id).unwrap();
        let [there, back] = [hits.input, hits.output].map(|it| it.unwrap().default);
        assert_eq!(there + back, 1, "what follows is not judged");
    }
}

#[test]
fn a37_a_packet_that_passes_without_track_leaves_no_flow() {
    for case in Case::all() {
        let bed = Bed::new(vec![one_way(case.opener, Vec::new(), Action::Pass)]);
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert_eq!(
            (bed.flows(), bed.has(case.back(), &case.udp(case.back()))),
            (0, false)
        );
    }
}

/// A bed with an open flow, whose policy then says that all is dropped.
fn refused_later(case: Case, on_change: OnChange) -> Bed {
    let mut policy = reflect(case.opener);
    policy.on_change = on_change;
    let mut bed = Bed::new(vec![policy.clone()]);
    assert!(bed.passes(case.opener, &case.udp(case.opener)));
    let drops = PolicyTable {
        rules: Vec::new(),
        default: Action::Drop,
    };
    (policy.input, policy.output) = (Some(drops.clone()), Some(drops));
    bed.book.replace(vec![policy]).unwrap();
    bed
}

#[test]
fn a38_a_policy_that_keeps_flows_does_not_end_those_that_it_would_refuse() {
    for case in Case::all() {
        let bed = refused_later(case, OnChange::Keep);
        for direction in [case.opener, case.back()] {
            assert!(bed.passes(direction, &case.udp(direction)));
        }
        let other = case.packet(case.opener, 17, &udp(1001, 53, 0));
        assert_eq!(
            bed.send(case.opener, &other),
            REFUSED,
            "a new flow is refused"
        );
    }
}

#[test]
fn a39_a_policy_that_reclassifies_ends_the_flow_with_its_next_packet() {
    for case in Case::all() {
        for next in [case.opener, case.back()] {
            let bed = refused_later(case, OnChange::Reclassify);
            assert_eq!(bed.send(next, &case.udp(next)), REFUSED);
            assert_eq!((bed.flows(), bed.events(Event::Revoked)), (0, 1));
            assert_eq!(bed.send(next.other(), &case.udp(next.other())), REFUSED);
        }
    }
}

#[test]
fn a40_a_port_whose_set_of_policies_changes_is_cleared_and_no_other() {
    for case in Case::all() {
        let mut bed = case.bed();
        let other = PortId(2);
        for port in [PORT, other] {
            bed.send_at(port, case.opener, &case.udp(case.opener));
        }
        // The same set again is the same chain: whoever binds it has nothing to clear.
        let names: Vec<Arc<str>> = vec!["reflect".into()];
        assert_eq!(bed.book.chain(&names), Ok(bed.chain));
        assert_eq!(bed.classifier.clear(PORT), 1);
        assert_eq!(bed.send(case.back(), &case.udp(case.back())), REFUSED);
        assert_eq!(
            bed.send_at(other, case.back(), &case.udp(case.back())),
            Verdict::Forward
        );
        assert_eq!(bed.events(Event::Cleared), 1);
    }
}

#[test]
fn a41_a45_after_all_is_cleared_the_next_answer_is_dropped() {
    for case in Case::all() {
        let bed = case.bed();
        for _ in 0..2 {
            assert!(bed.passes(case.opener, &case.udp(case.opener)));
            assert!(bed.passes(case.back(), &case.udp(case.back())));
            assert_eq!(bed.classifier.clear_all(), 1);
            assert_eq!(bed.send(case.back(), &case.udp(case.back())), REFUSED);
        }
    }
}

#[test]
fn a42_where_both_directions_track_the_answer_opens_no_second_flow() {
    for case in Case::all() {
        let tracks = || Some(table(Vec::new(), Action::Track));
        let bed = Bed::new(vec![policy("both", tracks(), tracks())]);
        for direction in [case.opener, case.back(), case.opener] {
            assert!(bed.passes(direction, &case.udp(direction)));
        }
        assert_eq!((bed.flows(), bed.events(Event::Opened)), (1, 1));
        let flow = bed.classifier.table().flows_of(PORT, 10)[0];
        assert_eq!(flow.opener, case.opener);
    }
}
