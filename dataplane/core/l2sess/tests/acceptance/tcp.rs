//! A46 to A53: connections.

use lns_l2sess::{Class, Direction, Event, Refusal, Timeouts, Verdict};

use crate::support::bed::*;
use crate::support::*;

const TIMEOUTS: Timeouts = Timeouts {
    udp_idle: 200,
    tcp_idle: 10,
    tcp_transient: 1,
    tcp_closing: 1,
};

/// The connection as a pair of sides: the opener's segments and the other's.
fn send(case: Case, bed: &Bed, segments: &[(bool, u8)]) {
    for (is_opener, flags) in segments {
        let direction = if *is_opener { case.opener } else { case.back() };
        assert!(
            bed.passes(direction, &case.tcp(direction, *flags)),
            "{segments:?}"
        );
    }
}

const OPEN: [(bool, u8); 3] = [(true, SYN), (false, SYN | ACK), (true, ACK)];

fn dropped(case: Case, bed: &Bed, direction: Direction) {
    let late = Verdict::Drop(Refusal::FlowExpired);
    assert_eq!(bed.send(direction, &case.tcp(direction, ACK)), late);
    assert_eq!(bed.flows(), 0);
}

#[test]
fn a46_half_a_handshake_lives_for_the_transient_timeout() {
    for case in Case::all() {
        for length in [1, 2] {
            let bed = case.bed_with(TIMEOUTS);
            send(case, &bed, &OPEN[..length]);
            bed.wait(3);
            dropped(case, &bed, case.back());
        }
    }
}

#[test]
fn a47_a_connection_lives_for_the_idle_timeout() {
    for case in Case::all() {
        let bed = case.bed_with(TIMEOUTS);
        send(case, &bed, &OPEN);
        bed.wait(3);
        send(case, &bed, &[(false, ACK)]);
        bed.wait(13);
        dropped(case, &bed, case.back());
    }
}

#[test]
fn a48_a50_a_fin_of_either_side_brings_the_transient_timeout_back() {
    for case in Case::all() {
        for is_opener in [true, false] {
            let bed = case.bed_with(TIMEOUTS);
            send(case, &bed, &OPEN);
            bed.wait(3);
            send(case, &bed, &[(false, ACK), (is_opener, FIN | ACK)]);
            assert_eq!(
                bed.class(case.opener, &case.tcp(case.opener, 0)),
                Some(Class::Transient)
            );
            bed.wait(3);
            dropped(case, &bed, case.back());
        }
    }
}

#[test]
fn a49_a_rst_of_either_side_brings_the_closing_timeout() {
    for case in Case::all() {
        for is_opener in [true, false] {
            for flags in [RST, RST | ACK] {
                let bed = case.bed_with(TIMEOUTS);
                send(case, &bed, &OPEN);
                bed.wait(3);
                send(case, &bed, &[(false, ACK), (is_opener, flags)]);
                assert_eq!(
                    bed.class(case.opener, &case.tcp(case.opener, 0)),
                    Some(Class::Closing)
                );
                bed.wait(3);
                dropped(case, &bed, case.back());
            }
        }
    }
}

#[test]
fn l09_a_blind_rst_does_not_end_a_connection_that_goes_on() {
    for case in Case::all() {
        let bed = case.bed_with(Timeouts {
            tcp_closing: 10,
            ..TIMEOUTS
        });
        send(case, &bed, &OPEN);
        send(case, &bed, &[(false, RST)]);
        for _ in 0..10 {
            bed.wait(9);
            send(case, &bed, &[(true, ACK), (false, ACK)]);
        }
        assert_eq!((bed.flows(), bed.events(Event::Opened)), (1, 1));
    }
}

#[test]
fn l09_both_fins_acknowledged_are_the_end_and_a_syn_is_a_beginning() {
    for case in Case::all() {
        let bed = case.bed_with(Timeouts {
            tcp_closing: 10,
            ..TIMEOUTS
        });
        send(case, &bed, &OPEN);
        send(
            case,
            &bed,
            &[(true, FIN | ACK), (false, FIN | ACK), (true, ACK)],
        );
        let segment = case.tcp(case.opener, 0);
        assert_eq!(bed.class(case.opener, &segment), Some(Class::Closing));
        send(case, &bed, &OPEN);
        assert_eq!(bed.class(case.opener, &segment), Some(Class::Established));
        assert_eq!((bed.flows(), bed.events(Event::Restarted)), (1, 1));
    }
}

#[test]
fn a53_psh_urg_ece_and_cwr_change_no_class() {
    for case in Case::all() {
        for others in [0x08, 0x20, 0x40, 0x80, 0xe8] {
            let bed = case.bed_with(TIMEOUTS);
            let segment = case.tcp(case.opener, 0);
            let with = OPEN.map(|(is_opener, flags)| (is_opener, flags | others));
            for (length, class) in [
                (1, Class::Transient),
                (2, Class::Transient),
                (3, Class::Established),
            ] {
                send(case, &bed, &with[length - 1..length]);
                assert_eq!(bed.class(case.opener, &segment), Some(class));
            }
            send(case, &bed, &[(true, others), (false, others | ACK)]);
            assert_eq!(bed.class(case.opener, &segment), Some(Class::Established));
        }
    }
}

#[test]
fn a_connection_that_is_seen_from_its_middle_is_tracked_and_stays_transient() {
    for case in Case::all() {
        let bed = case.bed_with(TIMEOUTS);
        send(
            case,
            &bed,
            &[(true, ACK), (false, ACK), (true, ACK | PSH), (false, ACK)],
        );
        assert_eq!(
            bed.class(case.opener, &case.tcp(case.opener, 0)),
            Some(Class::Transient)
        );
        bed.wait(3);
        dropped(case, &bed, case.back());
    }
}
