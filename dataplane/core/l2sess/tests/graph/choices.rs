//! The options, and what is counted.

use lns_l2sess::graph::{IcmpErrors, WhenFull};
use lns_l2sess::policy::LaterFragments;
use lns_l2sess::{Class, Event, Family, Options, Refusal, Timeouts, Verdict};

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
