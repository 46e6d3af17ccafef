//! The options, and what is counted.

use lns_l2sess::graph::{IcmpErrors, WhenFull};
use lns_l2sess::policy::{Action, LaterFragments};
use lns_l2sess::{Class, Direction, Event, Family, Options, Refusal, Timeouts, Verdict};

use super::support::bed::*;
use super::support::*;

#[test]
fn options_are_read_as_they_were_set() {
    let bed = Bed::new(Vec::new());
    assert_eq!(bed.classifier.options(), Options::default());
    for per_port in [0, 1, 400, u32::MAX] {
        for when_full in [WhenFull::Deny, WhenFull::Stateless] {
            for icmp_errors in [IcmpErrors::Pass, IcmpErrors::Judge] {
                for later_fragments in [LaterFragments::Match, LaterFragments::Ignore] {
                    let options = Options {
                        per_port,
                        when_full,
                        icmp_errors,
                        later_fragments,
                    };
                    bed.classifier.set_options(options);
                    assert_eq!(bed.classifier.options(), options);
                }
            }
        }
    }
}

#[test]
fn an_answer_that_nobody_asked_for_opens_nothing() {
    for case in Case::all() {
        let bed = case.bed();
        let (question, answer) = if case.family == Family::IPv4 {
            (8, 0)
        } else {
            (128, 129)
        };
        let icmp =
            |direction, kind| case.packet(direction, case.icmp_number(), &icmp(kind, 0, 77, 8));
        assert!(bed.passes(case.opener, &icmp(case.opener, answer)));
        assert_eq!((bed.flows(), bed.events(Event::Untracked)), (0, 1));
        assert!(!bed.passes(case.back(), &icmp(case.back(), question)));
    }
}

#[test]
fn what_cannot_be_read_goes_on_without_a_flow() {
    for case in Case::all() {
        let bed = case.bed();
        for (count, protocol, upper) in [(1, 17, 7), (2, 6, 7), (3, 6, 13)] {
            let packet = case.packet(case.opener, protocol, &tcp(1000, 53, SYN)[..upper]);
            assert!(bed.passes(case.opener, &packet));
            assert_eq!((bed.flows(), bed.events(Event::Untracked)), (0, count));
        }
    }
}

#[test]
fn a_fragment_that_would_put_flags_over_those_that_were_judged_is_dropped() {
    for case in Case::all() {
        let fragment = |protocol, offset, more| {
            let (from, to) = match case.opener {
                UP => (INSIDE, OUTSIDE),
                DOWN => (OUTSIDE, INSIDE),
            };
            match case.family {
                Family::IPv4 => {
                    let word = offset | if more { 0x2000 } else { 0 };
                    ipv4(from, to, protocol, word, &[], &[0x5a; 24])
                }
                Family::IPv6 => {
                    let header = fragment_header(protocol, offset, more);
                    ipv6(from, to, 44, &[header, vec![0x5a; 24]].concat())
                }
            }
        };
        let bed = case.bed();
        for more in [false, true] {
            let malformed = Verdict::Drop(Refusal::Malformed);
            assert_eq!(bed.send(case.opener, &fragment(6, 1, more)), malformed);
            assert_eq!(bed.flows(), 0);
        }
        for (protocol, offset) in [(6, 2), (6, 0x1fff), (17, 1)] {
            assert!(bed.passes(case.opener, &fragment(protocol, offset, true)));
        }
    }
}

#[test]
fn what_is_no_packet_is_malformed() {
    let bed = Bed::new(vec![reflect(UP)]);
    for octets in [&[][..], &[0x45], &[0x45; 19], &[0x60; 39], &[0x75; 40]] {
        let malformed = Verdict::Drop(Refusal::Malformed);
        assert_eq!(bed.send(UP, octets), malformed, "{octets:?}");
    }
}

#[test]
fn an_error_about_a_flow_passes_while_the_flow_is_live_and_refreshes_nothing() {
    for case in Case::all() {
        let bed = case.bed();
        let packet = case.udp(case.opener);
        let error = case.error(case.back(), &packet);
        assert!(!bed.passes(case.back(), &error), "no flow is open");
        assert!(bed.passes(case.opener, &packet));
        let idle = Timeouts::DEFAULT.end(Class::Udp);
        for _ in 0..10 {
            assert!(bed.passes(case.back(), &error));
            bed.wait(u64::from(idle / 10));
        }
        assert!(bed.passes(case.back(), &error));
        assert_eq!(bed.events(Event::Related), 11);
        bed.set(|options| options.icmp_errors = IcmpErrors::Judge);
        assert!(!bed.passes(case.back(), &error));
        bed.set(|options| options.icmp_errors = IcmpErrors::Pass);
        bed.wait(1);
        assert!(!bed.passes(case.back(), &error), "the flow is over");
        assert_eq!(bed.flows(), 1, "an error ends nothing");
    }
}

#[test]
fn an_error_about_what_the_error_s_own_side_sent_does_not_pass() {
    for case in Case::all() {
        let bed = case.bed();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert!(bed.passes(case.back(), &case.udp(case.back())));
        // It goes back, and quotes what went back as well: nobody sends that.
        let odd = icmp_error(case.family, Host(9), INSIDE, 3, &case.udp(case.back()));
        let error = if case.back() == DOWN {
            odd
        } else {
            case.error(case.back(), &case.udp(case.back()))
        };
        assert!(!bed.passes(case.back(), &error));
        // Nor one that comes to another port than the flow's.
        let error = case.error(case.back(), &case.udp(case.opener));
        let elsewhere = bed.send_at(lns_l2sess::PortId(2), case.back(), &error);
        assert_eq!(elsewhere, Verdict::Drop(Refusal::Policy));
    }
}

#[test]
fn an_error_goes_both_ways_of_a_flow() {
    for case in Case::all() {
        let bed = case.bed();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        // The opener tells the other side that an answer did not arrive: that passes by the flow even if
        // the opener's policy says nothing of it.
        assert!(bed.passes(
            case.opener,
            &case.error(case.opener, &case.udp(case.back()))
        ));
        assert_eq!((bed.events(Event::Related), bed.flows()), (1, 1));
    }
}

/// What a node that takes sessions over does not know is resumed for a while, if the subscriber may have begun it.
#[test]
fn after_a_takeover_flows_are_resumed_for_a_while_and_none_is_begun() {
    for family in [Family::IPv4, Family::IPv6] {
        let case = Case {
            family,
            opener: Direction::Input,
        };
        let bed = case.bed();
        let back = |protocol, upper: &[u8]| case.packet(Direction::Output, protocol, upper);
        let data = back(6, &tcp(80, 1000, ACK));
        let datagram = back(17, &udp(53, 1000, 8));
        assert!(
            !bed.passes(Direction::Output, &data),
            "nobody has taken anything over"
        );
        bed.classifier.resume_until(bed.seconds().plus(120));
        assert!(bed.passes(Direction::Output, &data));
        assert!(bed.passes(Direction::Output, &datagram));
        assert_eq!((bed.flows(), bed.events(Event::Opened)), (2, 2));
        // What begins something, or answers nothing that policy tracks, does not come in.
        let syn = back(6, &tcp(80, 1001, SYN));
        assert!(!bed.passes(Direction::Output, &syn));
        let echo = case.packet(Direction::Output, case.icmp_number(), &icmp(8, 0, 77, 8));
        assert!(!bed.passes(Direction::Output, &echo));
        // The flow is the subscriber's: he goes on with it, and so does who answers, also afterwards.
        bed.wait(100);
        let own = case.packet(Direction::Input, 6, &tcp(1000, 80, ACK));
        assert!(bed.passes(Direction::Input, &own));
        bed.wait(100);
        bed.sweep();
        assert!(bed.passes(Direction::Output, &data));
        let late = back(6, &tcp(81, 1002, ACK));
        assert!(!bed.passes(Direction::Output, &late), "the time is over");
    }
}

#[test]
fn what_policy_would_not_have_let_a_subscriber_begin_is_not_resumed() {
    let case = Case {
        family: Family::IPv4,
        opener: Direction::Output,
    };
    let bed = case.bed();
    bed.classifier.resume_until(bed.seconds().plus(120));
    let up = case.packet(Direction::Input, 6, &tcp(1000, 80, ACK));
    assert!(
        !bed.passes(Direction::Input, &up),
        "only what goes to a subscriber is"
    );
    let drops = policy(
        "drops",
        Some(table(Vec::new(), Action::Drop)),
        Some(table(Vec::new(), Action::Drop)),
    );
    let bed = Bed::new(vec![drops]);
    bed.classifier.resume_until(bed.seconds().plus(120));
    let down = case.packet(Direction::Output, 6, &tcp(80, 1000, ACK));
    assert!(!bed.passes(Direction::Output, &down));
    assert_eq!(bed.flows(), 0);
}
