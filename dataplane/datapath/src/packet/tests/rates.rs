//! A session's rates: what passes in each direction, what is counted, what costs nothing.

use core::ops::Add as _;
use core::time::Duration;

use lns_l2sess::policy::Rates;
use lns_tables::time::Instant;

use super::{Bed, NOW, SERVER, SLOT, SUBSCRIBER, Seen, frame, packet, syn};
use crate::stats::DropReason;

/// 1 Mbit/s up, 2 down, 100 ms of it at once.
const RATES: Rates = Rates {
    up: 1_000_000,
    down: 2_000_000,
    burst_milliseconds: 100,
};

fn limited(rates: Rates) -> Bed {
    Bed::with(|path| path.rates = rates)
}

/// Sends a packet of 1,000 octets up at each of those times; what has passed.
fn up(bed: &mut Bed, times: impl Iterator<Item = Instant>) -> (usize, Seen) {
    let message = bed.data(&frame(&packet(SUBSCRIBER, SERVER, 1_000, true)));
    let (origin, mut seen) = (bed.origin(), Seen::default());
    for now in times {
        bed.up_from(&message, &origin, now, &mut seen);
    }
    (seen.forwarded.len(), seen)
}

/// The same the other way.
fn down(bed: &mut Bed, times: impl Iterator<Item = Instant>) -> (usize, Seen) {
    let mut message = packet(SERVER, SUBSCRIBER, 1_000, true);
    let mut seen = Seen::default();
    for now in times {
        bed.down_at(&mut message, now, &mut seen);
    }
    (seen.sent.len(), seen)
}

/// So many, one every millisecond, from `start` on.
fn every_millisecond(start: Instant, count: u64) -> impl Iterator<Item = Instant> {
    (0..count).map(move |number| start.add(Duration::from_millis(number)))
}

#[test]
fn each_direction_passes_its_burst_and_then_its_rate() {
    let mut bed = limited(RATES);
    let at_once = || core::iter::repeat_n(NOW, 100);
    // 100 ms of 1 Mbit/s are 12,500 octets, of 2 Mbit/s 25,000.
    assert_eq!(up(&mut bed, at_once()).0, 12);
    assert_eq!(down(&mut bed, at_once()).0, 25);
    let second = NOW.add(Duration::from_secs(10));
    let (passed, seen) = up(&mut bed, every_millisecond(second, 10_000));
    // In 10 s 1,250,000 octets, and the burst.
    assert_eq!(passed, 1_262);
    assert_eq!(seen.drops, [DropReason::Rate; 8_738]);
    let (passed, seen) = down(&mut bed, every_millisecond(second, 10_000));
    assert_eq!(passed, 2_524);
    assert_eq!(seen.drops, [DropReason::Rate; 7_476]);
    let counters = bed.counters();
    assert_eq!(
        (counters.up.ipv4_packets, counters.up.dropped),
        (12 + 1_262, 88 + 8_738)
    );
    assert_eq!(
        (counters.down.ipv4_packets, counters.down.dropped),
        (25 + 2_524, 75 + 7_476)
    );
}

#[test]
fn a_direction_without_a_rate_passes_everything() {
    let mut bed = limited(Rates { down: 0, ..RATES });
    let many = || every_millisecond(NOW, 1_000);
    assert_eq!(down(&mut bed, many()).0, 1_000);
    assert!(up(&mut bed, many()).0 < 200);
    let mut bed = limited(Rates::default());
    assert_eq!(up(&mut bed, many()).0, 1_000);
    assert_eq!(bed.tables.slot(SLOT).unwrap().unwrap().view.policer, None);
}

#[test]
fn what_is_dropped_for_another_reason_uses_up_no_rate() {
    let mut bed = limited(RATES);
    let mut large = packet(SERVER, SUBSCRIBER, 1_461, true);
    for _ in 0..100 {
        assert_eq!(
            bed.down(&mut large).drops,
            [DropReason::FragmentationNeeded]
        );
    }
    assert_eq!(down(&mut bed, core::iter::repeat_n(NOW, 100)).0, 25);
    let forged = bed.data(&frame(&packet(SERVER, SERVER, 1_000, true)));
    for _ in 0..100 {
        assert_eq!(bed.up(&forged).drops, [DropReason::SourceCheck]);
    }
    assert_eq!(up(&mut bed, core::iter::repeat_n(NOW, 100)).0, 12);
}

#[test]
fn ppp_control_is_not_policed() {
    let mut bed = limited(RATES);
    up(&mut bed, core::iter::repeat_n(NOW, 100));
    let echo = bed.data(&[0xff, 3, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0]);
    assert_eq!(bed.up(&echo).ppp.len(), 1);
}

#[test]
fn a_packet_that_is_sent_in_fragments_is_paid_for_once_and_whole() {
    let mut bed = limited(RATES);
    let mut large = packet(SERVER, SUBSCRIBER, 5_000, false);
    let sent = (0..10).filter(|_| !bed.down(&mut large).sent.is_empty());
    assert_eq!(sent.count(), 5);
    assert_eq!(bed.counters().down.dropped, 5);
}

#[test]
fn a_rate_lower_than_any_packet_still_lets_one_pass_after_silence() {
    let mut bed = limited(Rates {
        up: 8,
        down: 8,
        burst_milliseconds: 1,
    });
    let mut syn = syn(SERVER, SUBSCRIBER);
    assert_eq!(bed.down(&mut syn).sent.len(), 1);
    let later = NOW.add(Duration::from_secs(44));
    let mut seen = Seen::default();
    let mut largest = packet(SERVER, SUBSCRIBER, 1_460, true);
    bed.down_at(&mut largest, later, &mut seen);
    assert_eq!(seen.sent.len(), 1);
}
