//! Numbered packets that come early, late, twice or never.

use lns_tables::time::Instant;
use lns_wire::id::SessionId;

use super::{Bed, NOW, SERVER, SLOT, SUBSCRIBER, Seen, frame, from_subscriber, packet};
use crate::limits::{REORDER_PACKETS, REORDER_WAIT};
use crate::stats::DropReason;
use crate::tables::SessionView;

/// A packet that can be told from others by its last octet.
fn marked(mark: u8) -> Vec<u8> {
    let mut packet = from_subscriber();
    packet[59] = mark;
    packet
}

/// Sends packets with these numbers, each marked with the low octet of its own, and says in which order
/// they came out.
fn arrive(bed: &mut Bed, numbers: &[u16], now: Instant, seen: &mut Seen) -> Vec<u8> {
    let before = seen.forwarded.len();
    let origin = bed.origin();
    for ns in numbers {
        let [_, low] = ns.to_be_bytes();
        let message = bed.numbered(*ns, &frame(&marked(low)));
        bed.up_from(&message, &origin, now, seen);
    }
    seen.forwarded[before..]
        .iter()
        .map(|packet| packet[59])
        .collect()
}

fn sequenced() -> Bed {
    Bed::with(|path| path.sequencing = true)
}

#[test]
fn early_packets_wait_for_the_missing_one() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert_eq!(
        arrive(&mut bed, &[0, 2, 3, 1, 4], NOW, &mut seen),
        [0, 1, 2, 3, 4]
    );
    assert!(seen.drops.is_empty() && !bed.reorder.is_waiting());
}

#[test]
fn two_gaps_are_closed_one_after_the_other() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert_eq!(arrive(&mut bed, &[1, 3, 0], NOW, &mut seen), [0, 1]);
    assert!(bed.reorder.is_waiting());
    assert_eq!(arrive(&mut bed, &[2], NOW, &mut seen), [2, 3]);
    assert!(!bed.reorder.is_waiting());
}

#[test]
fn old_packets_and_duplicates_are_dropped() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert_eq!(
        arrive(&mut bed, &[0, 0, 1, 0, 3, 3, 2, 3], NOW, &mut seen),
        [0, 1, 2, 3]
    );
    assert_eq!(seen.drops, [DropReason::SequenceOld; 4]);
    assert_eq!(bed.counters().up.dropped, 4);
}

#[test]
fn a_packet_beyond_the_window_ends_the_waiting() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    let beyond = u16::try_from(REORDER_PACKETS).unwrap() + 1;
    assert_eq!(
        arrive(&mut bed, &[2, 8, beyond, 0, beyond + 1], NOW, &mut seen),
        [2, 8, 9, 10]
    );
    assert_eq!(seen.drops, [DropReason::SequenceOld]);
}

#[test]
fn a_full_window_comes_out_whole_across_the_wrap() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    for start in [0_u16, 65_530] {
        let mut bed_numbers: Vec<u16> = (1..=8)
            .map(|ahead| start.wrapping_add(ahead))
            .rev()
            .collect();
        bed_numbers.push(start);
        let slot = bed.tables.session_slot(SLOT).unwrap();
        crate::packet::sequence::Arrivals {
            expected: start,
            ..Default::default()
        }
        .store(&slot.arrivals);
        let expected: Vec<u8> = (0..=8)
            .map(|ahead| start.wrapping_add(ahead).to_be_bytes()[1])
            .collect();
        assert_eq!(arrive(&mut bed, &bed_numbers, NOW, &mut seen), expected);
        assert!(!bed.reorder.is_waiting());
    }
}

#[test]
fn after_the_wait_the_missing_one_is_given_up() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert!(arrive(&mut bed, &[1, 3], NOW, &mut seen).is_empty());
    let nearly =
        Instant::from_nanos(NOW.as_nanos() + u64::try_from(REORDER_WAIT.as_nanos()).unwrap() - 1);
    bed.expire(nearly, &mut seen);
    assert!(seen.forwarded.is_empty());
    bed.expire(Instant::from_nanos(nearly.as_nanos() + 1), &mut seen);
    assert_eq!(seen.forwarded, [marked(1), marked(3)]);
    assert!(!bed.reorder.is_waiting());
    assert_eq!(arrive(&mut bed, &[2, 4], NOW, &mut seen), [4]);
}

#[test]
fn what_waits_for_a_session_that_ends_is_forgotten() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    arrive(&mut bed, &[1], NOW, &mut seen);
    bed.tables.session_slot(SLOT).unwrap().write(None);
    bed.expire(Instant::from_millis(60_000), &mut seen);
    assert!(seen.forwarded.is_empty() && !bed.reorder.is_waiting());
}

#[test]
fn what_waited_in_a_slot_is_not_the_next_sessions() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    arrive(&mut bed, &[1, 2], NOW, &mut seen);
    let slot = bed.tables.session_slot(SLOT).unwrap();
    let path = slot.read().unwrap().unwrap();
    bed.session = SessionId(0x5679);
    assert!(bed.index.claim_session(bed.tunnel, bed.session, SLOT));
    slot.reset();
    slot.write(Some(&SessionView {
        session: bed.session,
        ..path
    }));
    assert_eq!(
        arrive(&mut bed, &[1, 0, 3, 2], NOW, &mut seen),
        [0, 1, 2, 3]
    );
    assert_eq!(seen.drops.len(), 0);
    assert!(!bed.reorder.is_waiting());
}

#[test]
fn a_frame_too_long_to_wait_passes_at_once_behind_what_waits() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert!(arrive(&mut bed, &[1], NOW, &mut seen).is_empty());
    let message = bed.numbered(2, &frame(&packet(SUBSCRIBER, SERVER, 3000, true)));
    let origin = bed.origin();
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert_eq!(
        seen.forwarded.iter().map(Vec::len).collect::<Vec<_>>(),
        [60, 3000]
    );
    assert_eq!(arrive(&mut bed, &[3], NOW, &mut seen), [3]);
}

#[test]
fn control_frames_take_their_turn_among_numbered_packets() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    let origin = bed.origin();
    let echo = [0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0];
    let message = bed.numbered(1, &echo);
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert!(seen.ppp.is_empty());
    assert_eq!(arrive(&mut bed, &[0, 2], NOW, &mut seen), [0, 2]);
    assert_eq!(seen.ppp, [echo]);
}

#[test]
fn numbers_of_a_session_that_is_not_sequenced_are_ignored() {
    let (mut bed, mut seen) = (Bed::new(), Seen::default());
    assert_eq!(arrive(&mut bed, &[7, 7, 3], NOW, &mut seen), [7, 7, 3]);
}
