//! The state machine of a connection, as a table and segment by segment.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "small numbers of a test"
)]

mod model;
mod time;

use core::fmt::Write as _;
use std::collections::BTreeMap;

use super::*;

const FIN: u8 = TcpFlags::FIN;
const SYN: u8 = TcpFlags::SYN;
const RST: u8 = TcpFlags::RST;
const ACK: u8 = TcpFlags::ACK;

/// From the subscriber, and to him.
const UP: Direction = Direction::Input;
const DOWN: Direction = Direction::Output;

const NOW: Seconds = Seconds::new(1_000);
const TIMEOUTS: Timeouts = Timeouts::DEFAULT;

/// The state after a segment, however it came to be.
fn after(state: State, direction: Direction, flags: u8) -> State {
    match state.step(direction, Some(TcpFlags(flags)), &TIMEOUTS, NOW) {
        Step::Same => state,
        Step::Changed(next) | Step::Restarted(next) => next,
        Step::Expired => panic!("no time has gone by"),
    }
}

/// The state after these segments, the first of which opens the flow.
fn states(segments: &[(Direction, u8)]) -> State {
    let (direction, flags) = segments[0];
    let first = State::first(direction, Some(TcpFlags(flags)), NOW);
    let rest = segments[1..].iter();
    rest.fold(first, |state, (direction, flags)| {
        after(state, *direction, *flags)
    })
}

fn class(segments: &[(Direction, u8)]) -> Class {
    states(segments).class(true)
}

/// The other way round.
fn mirrored(segments: &[(Direction, u8)]) -> Vec<(Direction, u8)> {
    let each = segments.iter();
    each.map(|(direction, flags)| (direction.other(), *flags))
        .collect()
}

const OPENED: [(Direction, u8); 3] = [(UP, SYN), (DOWN, SYN | ACK), (UP, ACK)];

#[test]
fn a_connection_is_established_once_both_syns_are_acknowledged() {
    for (length, expected) in [
        (1, Class::Transient),
        (2, Class::Transient),
        (3, Class::Established),
    ] {
        assert_eq!(class(&OPENED[..length]), expected);
        assert_eq!(class(&mirrored(&OPENED[..length])), expected);
    }
    // Both sides open at once (RFC 9293, 3.5).
    let both = [(UP, SYN), (DOWN, SYN), (UP, SYN | ACK), (DOWN, SYN | ACK)];
    assert_eq!(class(&both), Class::Established);
}

#[test]
fn one_fin_makes_it_transient_and_the_acknowledgements_of_both_closing() {
    for side in [UP, DOWN] {
        let close = [
            (side, FIN | ACK),
            (side.other(), ACK),
            (side.other(), FIN | ACK),
            (side, ACK),
        ];
        for (length, expected) in [
            (1, Class::Transient),
            (2, Class::Transient),
            (3, Class::Transient),
            (4, Class::Closing),
        ] {
            let segments = [&OPENED[..], &close[..length]].concat();
            assert_eq!(class(&segments), expected, "{side:?} {length}");
        }
        let short = [
            &OPENED[..],
            &[(side, FIN | ACK), (side.other(), FIN | ACK), (side, ACK)],
        ]
        .concat();
        assert_eq!(class(&short), Class::Closing);
    }
}

#[test]
fn a_rst_of_either_side_is_closing_whatever_was_before() {
    for side in [UP, DOWN] {
        for flags in [RST, RST | ACK, RST | SYN, RST | FIN | SYN | ACK] {
            assert_eq!(class(&[(side, flags)]), Class::Closing);
            for length in 1..=3 {
                let segments = [&OPENED[..length], &[(side, flags)]].concat();
                assert_eq!(class(&segments), Class::Closing);
            }
        }
    }
}

#[test]
fn a_syn_on_a_closing_connection_begins_it_anew() {
    for opener in [UP, DOWN] {
        let closed = states(&[&OPENED[..], &[(DOWN, RST)]].concat());
        let step = closed.step(opener, Some(TcpFlags(SYN)), &TIMEOUTS, NOW);
        let fresh = State::first(opener, Some(TcpFlags(SYN)), NOW);
        assert_eq!(step, Step::Restarted(fresh));
        assert_eq!(fresh.class(true), Class::Transient);
        for answer in [SYN | ACK, SYN | RST, SYN | FIN, ACK, 0] {
            let step = closed.step(opener, Some(TcpFlags(answer)), &TIMEOUTS, NOW);
            assert_eq!(step, Step::Same, "{answer}");
        }
    }
    // What is not closing is not begun anew.
    let open = states(&OPENED);
    assert_eq!(
        open.step(UP, Some(TcpFlags(SYN)), &TIMEOUTS, NOW),
        Step::Same
    );
}

#[test]
fn a_connection_that_is_seen_from_its_middle_stays_transient() {
    let mut state = State::first(UP, Some(TcpFlags(ACK)), NOW);
    for _ in 0..10 {
        for side in [UP, DOWN] {
            state = after(state, side, ACK | 0x08);
            assert_eq!(state.class(true), Class::Transient);
        }
    }
    // Nor does a late SYN of one side alone establish it.
    state = after(state, UP, SYN);
    state = after(state, DOWN, ACK);
    assert_eq!(state.class(true), Class::Transient);
}

#[test]
fn a53_psh_urg_ece_and_cwr_change_nothing() {
    const OTHERS: [u8; 4] = [0x08, 0x20, 0x40, 0x80];
    for bits in 0..=255_u8 {
        let state = State::from_word(u32::from(bits) << 24 | NOW.get());
        for direction in Direction::ALL {
            for flags in [0, SYN, SYN | ACK, ACK, FIN | ACK, RST] {
                let plain = state.step(direction, Some(TcpFlags(flags)), &TIMEOUTS, NOW);
                for other in OTHERS.into_iter().chain([0xe8]) {
                    let flags = Some(TcpFlags(flags | other));
                    assert_eq!(state.step(direction, flags, &TIMEOUTS, NOW), plain);
                }
            }
        }
    }
}

#[test]
fn what_is_not_tcp_has_one_class_and_no_bits() {
    let state = State::first(DOWN, None, NOW);
    assert_eq!((state.bits(), state.seconds()), (0, NOW));
    assert_eq!(state.class(false), Class::Udp);
    assert_eq!(state.step(UP, None, &TIMEOUTS, NOW), Step::Same);
}

/// The bits as a person reads them: of each side S its SYN, s its acknowledgement of the other's, F and
/// f the same of the FINs.
fn written(state: State) -> String {
    let bit = |at: u32, letter: char| {
        if state.bits() >> at & 1 == 1 {
            letter
        } else {
            '.'
        }
    };
    let side = |at: u32| -> String {
        [
            bit(at, 'S'),
            bit(at + 2, 's'),
            bit(at + 4, 'F'),
            bit(at + 6, 'f'),
        ]
        .into_iter()
        .collect()
    };
    format!("{} {}", side(0), side(1))
}

#[test]
fn the_table_of_states_and_segments_is_the_one_that_is_printed() {
    const COLUMNS: [(&str, Direction, u8); 10] = [
        ("S>", UP, SYN),
        ("SA>", UP, SYN | ACK),
        ("A>", UP, ACK),
        ("FA>", UP, FIN | ACK),
        ("R>", UP, RST),
        ("<S", DOWN, SYN),
        ("<SA", DOWN, SYN | ACK),
        ("<A", DOWN, ACK),
        ("<FA", DOWN, FIN | ACK),
        ("<R", DOWN, RST),
    ];
    let mut found = vec![states(&[(UP, SYN)])];
    let mut rows = BTreeMap::new();
    let mut at = 0;
    while let Some(state) = found.get(at).copied() {
        let row = COLUMNS.map(|(_, direction, flags)| {
            let next = after(state, direction, flags);
            found
                .iter()
                .position(|known| *known == next)
                .unwrap_or_else(|| {
                    found.push(next);
                    found.len() - 1
                })
        });
        rows.insert(at, row);
        at += 1;
    }
    let mut table = format!("{:>2} {:9} {:11}", "", "up   down", "class");
    for (name, _, _) in COLUMNS {
        write!(table, " {name:>3}").unwrap();
    }
    for (at, row) in rows {
        let class = found[at].class(true).label();
        write!(table, "\n{at:>2} {} {class:11}", written(found[at])).unwrap();
        for next in row {
            let next = if next == at {
                "-".to_owned()
            } else {
                next.to_string()
            };
            write!(table, " {next:>3}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
