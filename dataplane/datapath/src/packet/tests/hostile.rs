//! Octets spoilt at random, in both directions.

use lns_tables::time::Instant;
use lns_wire::ip::Ipv4;

use super::filters::residential;
use super::{Bed, SERVER, SUBSCRIBER, Seen, frame, from_subscriber, packet, syn};
use crate::stats::DropReason;

/// Numbers that look random and are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    /// Changes, cuts or lengthens octets here and there.
    fn spoil(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..self.next(4) {
            match self.next(4) {
                0 => octets.truncate(self.next(octets.len() + 1)),
                1 => octets.resize(octets.len() + self.next(40), 0xaa),
                _ if octets.is_empty() => {}
                _ => {
                    let at = self.next(octets.len().min(64));
                    octets[at] ^= u8::try_from(1 + self.next(255)).unwrap();
                }
            }
        }
    }
}

#[test]
fn whatever_comes_up_only_true_packets_of_the_subscriber_leave() {
    let mut noise = Noise(1);
    for (sequencing, filtered) in [(false, false), (true, false), (false, true)] {
        let mut bed = if filtered {
            Bed::filtered(residential()).0
        } else {
            Bed::with(|path| path.sequencing = sequencing)
        };
        let (origin, mut seen) = (bed.origin(), Seen::default());
        for round in 0..30_000_u64 {
            let inner = if round % 2 == 0 {
                from_subscriber()
            } else {
                syn(SUBSCRIBER, SERVER)
            };
            let flags = [0x00, 0x40, 0x08, 0x02, 0x4b][noise.next(5)];
            let mut datagram = bed.header(flags, &frame(&inner));
            noise.spoil(&mut datagram);
            let now = Instant::from_millis(round);
            bed.up_from(&datagram, &origin, now, &mut seen);
            bed.expire(now, &mut seen);
            for packet in seen.forwarded.drain(..) {
                let view = Ipv4::parse(&packet).unwrap();
                assert_eq!(
                    (view.source(), view.total_length()),
                    (SUBSCRIBER, packet.len())
                );
            }
        }
        assert!(bed.counters().up.ipv4_packets > 1_000);
        assert!(
            DropReason::ALL
                .iter()
                .filter(|reason| seen.drops.contains(reason))
                .count()
                >= 6
        );
    }
}

#[test]
fn whatever_comes_down_leaves_whole_and_within_the_mtu() {
    comes_down(Bed::new());
}

#[test]
fn whatever_comes_down_to_a_session_with_policies_is_judged_and_no_more_than_that() {
    let mut open = residential();
    open.output = None;
    comes_down(Bed::filtered(open).0);
    let (mut bed, _) = Bed::filtered(residential());
    let mut noise = Noise(3);
    for _ in 0..30_000 {
        let mut inner = syn(SERVER, SUBSCRIBER);
        noise.spoil(&mut inner);
        assert!(bed.down(&mut inner).sent.is_empty());
    }
}

fn comes_down(mut bed: Bed) {
    let mut noise = Noise(2);
    for _ in 0..30_000 {
        let length = 40 + noise.next(3_000);
        let mut inner = packet(SERVER, SUBSCRIBER, length, noise.next(3) == 0);
        if noise.next(2) == 0 {
            inner[0] = 0x45 + u8::try_from(noise.next(6)).unwrap();
        }
        noise.spoil(&mut inner);
        let seen = bed.down(&mut inner);
        for (header, part) in &seen.sent {
            let whole = [&header[10..], &inner[part.clone()]].concat();
            assert!(whole.len() <= 1460);
            assert_eq!(Ipv4::parse(&whole).unwrap().total_length(), whole.len());
        }
        assert_eq!(seen.sent.is_empty(), !seen.drops.is_empty());
    }
    assert!(bed.counters().down.ipv4_packets > 1_000);
}
