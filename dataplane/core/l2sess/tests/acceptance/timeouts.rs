//! A43, A54, A55, A58: when flows of UDP end.

use lns_l2sess::{Class, Event, Refusal, Timeouts, Verdict};

use crate::support::bed::*;

fn udp_idle(seconds: u32) -> Timeouts {
    Timeouts {
        udp_idle: seconds,
        ..Timeouts::DEFAULT
    }
}

const LATE: Verdict = Verdict::Drop(Refusal::FlowExpired);

#[test]
fn a43_a_flow_is_kept_by_its_answers_and_ends_in_silence() {
    for case in Case::all() {
        let bed = case.bed_with(udp_idle(1));
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        // Twenty answers 0.3 s apart: the clock moves with every third of them or so.
        let mut tenths = 0;
        for _ in 0..20 {
            tenths += 3;
            if tenths >= 10 {
                tenths -= 10;
                bed.wait(1);
            }
            assert!(bed.passes(case.back(), &case.udp(case.back())));
        }
        bed.wait(3);
        assert_eq!(bed.send(case.back(), &case.udp(case.back())), LATE);
        let judged = Verdict::Drop(Refusal::Policy);
        assert_eq!(bed.send(case.back(), &case.udp(case.back())), judged);
    }
}

#[test]
fn a54_the_packet_in_time_passes_and_the_one_too_late_ends_both_entries() {
    for case in Case::all() {
        for timeout in [1, 3, 4, 39, 40, 41, 300, 8_000_000] {
            let refresh = u64::from(10.min(timeout / 4));
            let (packet, back) = (case.udp(case.opener), case.udp(case.back()));
            for direction in [case.opener, case.back()] {
                let bed = case.bed_with(udp_idle(timeout));
                assert!(bed.passes(case.opener, &packet));
                bed.wait(u64::from(timeout) - 1);
                assert!(bed.passes(direction, &case.udp(direction)), "{timeout}");
                // That one may have been too early to be written down.
                bed.wait(refresh + 1);
                assert!(bed.passes(direction, &case.udp(direction)), "{timeout}");
                bed.wait(u64::from(timeout) + refresh + 1);
                assert!(bed.has(case.opener, &packet) && bed.has(case.back(), &back));
                assert_eq!(bed.send(direction, &case.udp(direction)), LATE, "{timeout}");
                assert!(!bed.has(case.opener, &packet) && !bed.has(case.back(), &back));
                assert_eq!((bed.flows(), bed.events(Event::Expired)), (0, 1));
            }
        }
    }
}

#[test]
fn a54_the_boundary_is_exact_to_the_second() {
    for case in Case::all() {
        for timeout in [1, 3, 4, 39, 40, 41, 300] {
            let end = u64::from(udp_idle(timeout).end(Class::Udp));
            for (idle, passes) in [(end, true), (end + 1, false)] {
                let bed = case.bed_with(udp_idle(timeout));
                assert!(bed.passes(case.opener, &case.udp(case.opener)));
                bed.wait(idle);
                assert_eq!(bed.passes(case.back(), &case.udp(case.back())), passes);
            }
        }
    }
}

#[test]
fn a55_the_time_of_an_active_flow_is_written_at_most_once_per_refresh() {
    for case in Case::all() {
        for (timeout, refresh) in [(4, 1), (20, 5), (300, 10)] {
            let bed = case.bed_with(udp_idle(timeout));
            let key = Bed::key(PORT, case.opener, &case.udp(case.opener));
            assert!(bed.passes(case.opener, &case.udp(case.opener)));
            let state = || bed.classifier.table().find(&key).unwrap().state;
            let (mut before, mut writes) = (state(), 0);
            for second in 0..120 {
                for direction in [case.back(), case.opener, case.back()] {
                    assert!(bed.passes(direction, &case.udp(direction)), "{second}");
                    writes += u32::from(state() != before);
                    before = state();
                }
                bed.wait(1);
            }
            assert_eq!(writes, 119 / (refresh + 1), "{timeout}");
        }
    }
}

#[test]
fn a54_across_the_wrap_of_the_clock() {
    for case in Case::all() {
        for before in [0, 1, 5, 299, 310] {
            let bed = case.bed_with(udp_idle(300));
            bed.wait((1 << 24) - 1_000 - before);
            assert!(bed.passes(case.opener, &case.udp(case.opener)));
            bed.wait(300);
            assert!(bed.passes(case.back(), &case.udp(case.back())));
            bed.wait(311);
            assert_eq!(
                bed.send(case.back(), &case.udp(case.back())),
                LATE,
                "{before}"
            );
        }
    }
}

#[test]
fn a58_without_traffic_the_sweep_frees_a_flow_within_one_and_a_half_timeouts_and_a_second() {
    for case in Case::all() {
        for timeout in [4, 20, 120] {
            let bed = case.bed_with(udp_idle(timeout));
            for _ in 0..3 {
                bed.wait(7);
                assert!(bed.passes(case.opener, &case.udp(case.opener)));
                for second in 0..=u64::from(timeout) * 3 / 2 + 1 {
                    bed.sweep();
                    assert!(
                        second > u64::from(timeout) || bed.flows() == 1,
                        "{timeout} {second}"
                    );
                    bed.wait(1);
                }
                assert_eq!(bed.flows(), 0, "{timeout}");
            }
            assert_eq!(bed.events(Event::Swept), 3);
        }
    }
}
