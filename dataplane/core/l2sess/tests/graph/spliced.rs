//! Another classifier hands a packet to a node.

use lns_l2sess::graph::NodeId;
use lns_l2sess::policy::{Action, PolicyId};
use lns_l2sess::{
    ChainId, Class, Direction, Event, Family, Packet, PortId, Refusal, Timeouts, Verdict, Visit,
};

use super::support::bed::*;
use super::support::*;

/// A classifier of another kind: it knows what a SIP proxy answers, so to speak, by a word in the payload.
fn knows_the_word(packet: &[u8]) -> bool {
    packet.windows(4).any(|octets| octets == b"word")
}

fn with_word(case: Case) -> Vec<u8> {
    let mut datagram = udp(1000, 53, 4);
    datagram[8..].copy_from_slice(b"word");
    case.packet(case.opener, 17, &datagram)
}

/// Nothing is tracked by rule: what the opener sends passes, what comes back is dropped.
fn bed_without_track(opener: Direction) -> Bed {
    let passes = table(Vec::new(), Action::Pass);
    let drops = table(Vec::new(), Action::Drop);
    let (input, output) = match opener {
        Direction::Input => (passes, drops),
        Direction::Output => (drops, passes),
    };
    Bed::new(vec![policy("stateless", Some(input), Some(output))])
}

#[test]
fn another_classifier_opens_a_flow_by_handing_its_packet_to_the_add_node() {
    for case in Case::all() {
        let bed = bed_without_track(case.opener);
        let packet = with_word(case);
        assert!(bed.passes(case.opener, &packet));
        assert!(!bed.passes(case.back(), &case.udp(case.back())));

        assert!(knows_the_word(&packet));
        let visit = bed.visit(PORT, case.opener, &packet);
        let parsed = Packet::parse(&packet).unwrap();
        let node = NodeId::Add(case.opener, case.family);
        let verdict = bed.classifier.enter(node, bed.policies(), &visit, &parsed);
        assert_eq!(verdict, Verdict::Forward);
        assert_eq!(bed.events(Event::Opened), 1);

        // The pinhole is there, and only it.
        assert!(bed.passes(case.back(), &case.udp(case.back())));
        assert!(!bed.passes(
            case.back(),
            &case.packet(case.back(), 17, &udp(53, 1001, 0))
        ));
        let flow = bed.classifier.table().flows_of(PORT, 10)[0];
        assert_eq!((flow.policy, flow.opener), (PolicyId::NONE, case.opener));

        // Once more: it is there already, and the packet is tracked.
        let verdict = bed.classifier.enter(node, bed.policies(), &visit, &parsed);
        assert_eq!(
            (verdict, bed.events(Event::Opened), bed.flows()),
            (Verdict::Forward, 1, 1)
        );

        // Without a policy it has the timeouts of nobody's.
        bed.wait(u64::from(Timeouts::DEFAULT.end(Class::Udp)) + 1);
        assert!(!bed.passes(case.back(), &case.udp(case.back())));
        assert_eq!(bed.flows(), 0);
    }
}

#[test]
fn a_packet_that_is_handed_to_the_add_node_of_a_connection_is_tracked_there() {
    let case = Case {
        family: Family::IPv4,
        opener: UP,
    };
    let bed = bed_without_track(UP);
    for (direction, flags, class) in [
        (UP, SYN, Class::Transient),
        (DOWN, SYN | ACK, Class::Transient),
        (UP, ACK, Class::Established),
    ] {
        let packet = case.tcp(direction, flags);
        let visit = bed.visit(PORT, direction, &packet);
        let parsed = Packet::parse(&packet).unwrap();
        let node = NodeId::Add(direction, Family::IPv4);
        let verdict = bed.classifier.enter(node, bed.policies(), &visit, &parsed);
        assert_eq!(verdict, Verdict::Forward);
        assert_eq!(bed.class(direction, &packet), Some(class));
    }
    assert_eq!(bed.flows(), 1);
}

#[test]
fn the_track_node_without_a_flow_asks_policy_and_the_policy_node_does_not_look_for_one() {
    for case in Case::all() {
        let bed = case.bed();
        let (packet, back) = (case.udp(case.opener), case.udp(case.back()));
        let enter = |node, direction, packet: &[u8]| {
            let visit = bed.visit(PORT, direction, packet);
            let parsed = Packet::parse(packet).unwrap();
            bed.classifier.enter(node, bed.policies(), &visit, &parsed)
        };
        let track = |direction| NodeId::Track(direction, case.family);
        assert_eq!(
            enter(track(case.back()), case.back(), &back),
            Verdict::Drop(Refusal::Policy)
        );
        assert_eq!(
            enter(track(case.opener), case.opener, &packet),
            Verdict::Forward
        );
        assert_eq!(bed.flows(), 1);
        assert_eq!(
            enter(track(case.back()), case.back(), &back),
            Verdict::Forward
        );
        let policy = NodeId::Policy(case.back(), case.family);
        assert_eq!(
            enter(policy, case.back(), &back),
            Verdict::Drop(Refusal::Policy)
        );
    }
}

#[test]
fn a_node_of_another_direction_or_family_drops_the_packet() {
    for case in Case::all() {
        let bed = case.bed();
        let packet = case.udp(case.opener);
        let visit = bed.visit(PORT, case.opener, &packet);
        let parsed = Packet::parse(&packet).unwrap();
        for node in NodeId::all() {
            let fits = node.direction() == case.opener && node.family() == case.family;
            let verdict = bed.classifier.enter(node, bed.policies(), &visit, &parsed);
            let expected = if fits {
                Verdict::Forward
            } else {
                Verdict::Drop(Refusal::Malformed)
            };
            assert_eq!(verdict, expected, "{node}");
        }
    }
}

#[test]
fn a_port_without_policies_passes_all_and_opens_nothing_but_by_hand() {
    let case = Case {
        family: Family::IPv4,
        opener: UP,
    };
    let bed = case.bed();
    let packet = case.udp(UP);
    let visit = Visit {
        chain: ChainId::NONE,
        ..bed.visit(PORT, UP, &packet)
    };
    assert_eq!(
        bed.classifier.classify(bed.policies(), &visit),
        Verdict::Forward
    );
    assert_eq!(bed.flows(), 0);
    let parsed = Packet::parse(&packet).unwrap();
    let node = NodeId::Add(UP, Family::IPv4);
    let verdict = bed.classifier.enter(node, bed.policies(), &visit, &parsed);
    assert_eq!((verdict, bed.flows()), (Verdict::Forward, 1));
}

#[test]
fn a_chain_that_is_not_in_force_passes_nothing() {
    let case = Case {
        family: Family::IPv4,
        opener: UP,
    };
    let bed = case.bed();
    let packet = case.udp(UP);
    let visit = Visit {
        chain: ChainId(999),
        ..bed.visit(PORT, UP, &packet)
    };
    let verdict = bed.classifier.classify(bed.policies(), &visit);
    assert_eq!(verdict, Verdict::Drop(Refusal::PortClosed));
}

#[test]
fn a_closed_port_opens_no_flow() {
    for case in Case::all() {
        let bed = case.bed();
        let packet = case.udp(case.opener);
        assert!(bed.passes(case.opener, &packet));
        assert_eq!(bed.classifier.close(PORT), 1);
        assert_eq!(bed.events(Event::Cleared), 1);
        let closed = Verdict::Drop(Refusal::PortClosed);
        assert_eq!(bed.send(case.opener, &packet), closed);
        assert_eq!(bed.events(Event::RefusedClosed), 1);
        // Not for want of room: it is dropped also where such packets go on.
        bed.set(|options| options.when_full = lns_l2sess::graph::WhenFull::Stateless);
        assert_eq!(bed.send(case.opener, &packet), closed);
        assert_eq!(
            bed.send_at(PortId(2), case.opener, &packet),
            Verdict::Forward
        );
        bed.classifier.open(PORT);
        assert!(bed.passes(case.opener, &packet));
    }
}
