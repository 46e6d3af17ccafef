//! From the LAC to the interface: headers, ends, identifiers, source check, and what is the control's.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_tables::path::SlotIndex;
use lns_wire::id::SessionId;

use super::{Bed, NOW, SERVER, SLOT, Seen, frame, from_subscriber, packet};
use crate::packet::Origin;
use crate::stats::DropReason;
use crate::tables::{Service, SessionView};

#[test]
fn every_combination_of_header_bits_leads_to_the_same_packet() {
    for flags in [0x40, 0x08, 0x02, 0x01]
        .into_iter()
        .fold(vec![0_u8], |all, bit| {
            all.iter()
                .flat_map(|flags| [*flags, *flags | bit])
                .collect()
        })
    {
        for ppp in [
            &[0xff, 0x03, 0x00, 0x21][..],
            &[0xff, 0x03, 0x21],
            &[0x00, 0x21],
            &[0x21],
        ] {
            let mut bed = Bed::new();
            let message = bed.header(flags, &[ppp, &from_subscriber()].concat());
            let seen = bed.up(&message);
            assert_eq!(
                seen.forwarded,
                [from_subscriber()],
                "{flags:#04x} {ppp:02x?}"
            );
            assert_eq!(
                (
                    bed.counters().up.ipv4_packets,
                    bed.counters().up.ipv4_octets
                ),
                (1, 60)
            );
        }
    }
}

#[test]
fn every_truncation_is_dropped_and_nothing_is_read_beyond() {
    for flags in [0x00, 0x40, 0x08, 0x02, 0x4b] {
        let mut bed = Bed::new();
        let whole = bed.header(flags, &frame(&from_subscriber()));
        for length in 0..whole.len() {
            let seen = bed.up(&whole[..length]);
            assert!(
                seen.forwarded.is_empty() && seen.control.is_empty(),
                "{flags:#04x} {length}"
            );
            assert_eq!(seen.drops.len(), 1, "{flags:#04x} {length}");
        }
        assert_eq!(bed.up(&whole).forwarded.len(), 1);
    }
}

#[test]
fn padding_behind_the_packet_is_not_forwarded() {
    let mut bed = Bed::new();
    let mut padded = frame(&from_subscriber());
    padded.extend([0xaa; 9]);
    let message = bed.data(&padded);
    assert_eq!(bed.up(&message).forwarded, [from_subscriber()]);
    let mut with_length = bed.header(0x40, &frame(&from_subscriber()));
    with_length.extend([0xbb; 9]);
    assert_eq!(bed.up(&with_length).forwarded, [from_subscriber()]);
}

#[test]
fn what_lies_behind_the_subscriber_may_come_from_there_and_nothing_else_may() {
    let mut bed = Bed::new();
    let routes = bed.tables.routes();
    assert!(routes.insert("198.51.100.0/24".parse().unwrap(), SLOT));
    assert!(routes.insert("198.51.100.128/25".parse().unwrap(), SlotIndex(SLOT.0 + 1)));
    for (last, passes) in [(7, true), (127, true), (128, false), (255, false)] {
        let source = Ipv4Addr::new(198, 51, 100, last);
        let message = bed.data(&frame(&packet(source, SERVER, 60, true)));
        assert_eq!(bed.up(&message).forwarded.len() == 1, passes, "{source}");
    }
    bed.tables
        .routes()
        .remove("198.51.100.0/24".parse().unwrap(), SLOT);
    let message = bed.data(&frame(&packet(
        Ipv4Addr::new(198, 51, 100, 7),
        SERVER,
        60,
        true,
    )));
    assert_eq!(bed.up(&message).drops, [DropReason::SourceCheck]);
}

#[test]
fn a_source_that_is_not_the_sessions_is_dropped_and_counted() {
    let mut bed = Bed::new();
    for source in [Ipv4Addr::new(100, 64, 0, 8), SERVER, Ipv4Addr::UNSPECIFIED] {
        let message = bed.data(&frame(&packet(source, SERVER, 60, true)));
        let seen = bed.up(&message);
        assert_eq!(
            (seen.drops, seen.forwarded.len()),
            (vec![DropReason::SourceCheck], 0)
        );
    }
    assert_eq!(bed.counters().up.dropped, 3);
    assert_eq!(bed.counters().up.ipv4_packets, 0);
}

#[test]
fn anything_but_the_exact_ends_of_the_tunnel_is_dropped() {
    let mut bed = Bed::new();
    let message = bed.data(&frame(&from_subscriber()));
    let right = bed.origin();
    for wrong in [
        Origin {
            remote: "192.0.2.1:1702".parse().unwrap(),
            ..right
        },
        Origin {
            remote: "192.0.2.2:1701".parse().unwrap(),
            ..right
        },
        Origin {
            remote: "[::ffff:192.0.2.1]:1701".parse().unwrap(),
            ..right
        },
        Origin {
            service: Service(0),
            ..right
        },
    ] {
        let mut seen = Seen::default();
        bed.up_from(&message, &wrong, NOW, &mut seen);
        assert_eq!(seen.drops, [DropReason::WrongPeer], "{wrong:?}");
    }
    assert_eq!(bed.tables.session_slot(SLOT).unwrap().last_received(), None);
    assert_eq!(
        bed.tables.tunnel_slot(bed.tunnel).unwrap().last_received(),
        None
    );
}

#[test]
fn unknown_ids_are_dropped_each_with_its_reason() {
    let mut bed = Bed::new();
    let mut message = bed.data(&frame(&from_subscriber()));
    message[4] ^= 0x55;
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownSession]);
    message[2] ^= 0x55;
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownTunnel]);
}

#[test]
fn a_slot_that_has_changed_hands_is_not_the_session_that_the_index_says() {
    let mut bed = Bed::new();
    let message = bed.data(&frame(&from_subscriber()));
    let slot = bed.tables.session_slot(SLOT).unwrap();
    let other = SessionView {
        session: SessionId(bed.session.0 ^ 1),
        ..slot.read().unwrap().unwrap()
    };
    slot.write(Some(&other));
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownSession]);
    bed.tables.session_slot(SLOT).unwrap().write(None);
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownSession]);
}

#[test]
fn control_messages_go_to_the_control_as_they_came() {
    let mut bed = Bed::new();
    for message in [
        &[0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[0x80],
        &[0xff, 0xff],
    ] {
        assert_eq!(bed.up(message).control, [message]);
    }
}

#[test]
fn a_session_that_floods_the_control_is_cut_to_its_share() {
    let mut bed = Bed::new();
    let message = bed.data(&[0xff, 3, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0]);
    let (origin, mut seen) = (bed.origin(), Seen::default());
    for _ in 0..1_000 {
        bed.up_from(&message, &origin, NOW, &mut seen);
    }
    assert_eq!(seen.ppp.len(), 200);
    assert_eq!(seen.drops, [DropReason::ControlRate; 800]);
    let mut later = Seen::default();
    for _ in 0..1_000 {
        let now = NOW + Duration::from_secs(1);
        bed.up_from(&message, &origin, now, &mut later);
    }
    assert_eq!(later.ppp.len(), 100);
}

#[test]
fn ppp_control_goes_to_the_control_and_ipv6_is_not_enabled() {
    let mut bed = Bed::new();
    for protocol in [
        [0xc0, 0x21],
        [0xc0, 0x23],
        [0x80, 0x21],
        [0x80, 0x57],
        [0x00, 0x2d],
        [0x40, 0x03],
    ] {
        let frame = [&[0xff, 0x03], &protocol[..], &[1, 1, 0, 4]].concat();
        let message = bed.data(&frame);
        assert_eq!(bed.up(&message).ppp, [frame]);
    }
    let message = bed.data(&[0xff, 0x03, 0x00, 0x57, 0x60]);
    assert_eq!(bed.up(&message).drops, [DropReason::Ipv6NotEnabled]);
    let message = bed.data(&[0xff, 0x03, 0xc0, 0x22]);
    assert_eq!(bed.up(&message).drops, [DropReason::MalformedPpp]);
    assert_eq!(
        bed.tables.session_slot(SLOT).unwrap().last_received(),
        Some(NOW)
    );
    assert_eq!(
        bed.tables.session_slot(SLOT).unwrap().last_forwarded(),
        None
    );
}

#[test]
fn what_the_interface_does_not_take_counts_as_dropped() {
    let mut bed = Bed::new();
    let message = bed.data(&frame(&from_subscriber()));
    let mut seen = Seen {
        interface_is_down: true,
        ..Seen::default()
    };
    let origin = bed.origin();
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert_eq!(
        (bed.counters().up.dropped, bed.counters().up.ipv4_packets),
        (1, 0)
    );
}
