//! From the interface to the LAC: headers, addresses without a session, packets beyond the MTU.

use core::net::Ipv4Addr;

use lns_tables::path::SlotIndex;
use lns_wire::ip::{Ipv4, checksum};

use super::{Bed, SERVER, SLOT, SUBSCRIBER, packet};
use crate::stats::DropReason;

#[test]
fn downstream_headers_are_as_short_as_the_peer_allows() {
    for (acfc, pfc, ppp) in [
        (false, false, &[0xff, 0x03, 0x00, 0x21][..]),
        (true, false, &[0x00, 0x21]),
        (false, true, &[0xff, 0x03, 0x21]),
        (true, true, &[0x21]),
    ] {
        for sequencing in [false, true] {
            let mut bed =
                Bed::with(|path| (path.acfc, path.pfc, path.sequencing) = (acfc, pfc, sequencing));
            for ns in 0..3_u8 {
                let mut packet = packet(SERVER, SUBSCRIBER, 100, true);
                let seen = bed.down(&mut packet);
                let mut header = vec![if sequencing { 8 } else { 0 }, 2, 0x0a, 0x0b, 0x0c, 0x0d];
                if sequencing {
                    header.extend([0, ns, 0, 0]);
                }
                header.extend(ppp);
                assert_eq!(seen.sent, [(header, 0..100)]);
            }
            assert_eq!(
                (
                    bed.counters().down.ipv4_packets,
                    bed.counters().down.ipv4_octets
                ),
                (3, 300)
            );
        }
    }
}

#[test]
fn what_has_no_session_or_is_no_ipv4_is_dropped() {
    let mut bed = Bed::new();
    assert_eq!(
        bed.down(&mut packet(SERVER, Ipv4Addr::new(100, 64, 0, 10), 60, true))
            .drops,
        [DropReason::NoSession]
    );
    assert_eq!(
        bed.down(&mut packet(SERVER, Ipv4Addr::new(9, 9, 9, 9), 60, true))
            .drops,
        [DropReason::NoSession]
    );
    assert_eq!(
        bed.down(&mut [0x60; 40]).drops,
        [DropReason::Ipv6NotEnabled]
    );
    assert_eq!(bed.down(&mut []).drops, [DropReason::MalformedIp]);
    assert_eq!(bed.down(&mut [0x45; 12]).drops, [DropReason::MalformedIp]);
    // The address table is stale: the session has another address by now.
    bed.addresses.insert(Ipv4Addr::new(100, 64, 0, 20), SLOT);
    assert_eq!(
        bed.down(&mut packet(SERVER, Ipv4Addr::new(100, 64, 0, 20), 60, true))
            .drops,
        [DropReason::NoSession]
    );
    bed.tables.tunnel_slot(bed.tunnel).unwrap().write(None);
    assert_eq!(
        bed.down(&mut packet(SERVER, SUBSCRIBER, 60, true)).drops,
        [DropReason::NoSession]
    );
}

#[test]
fn a_routed_prefix_leads_to_its_session_while_ip_may_pass_there() {
    for open in [true, false] {
        let mut bed = Bed::with(|path| path.address = open.then_some(SUBSCRIBER));
        let behind = Ipv4Addr::new(198, 51, 100, 7);
        assert_eq!(
            bed.down(&mut packet(SERVER, behind, 60, true)).drops,
            [DropReason::NoSession]
        );
        let route = "198.51.100.0/24".parse().unwrap();
        assert!(bed.tables.routes().insert(route, SLOT));
        let seen = bed.down(&mut packet(SERVER, behind, 60, true));
        assert_eq!(seen.sent.len() == 1, open);
        // A prefix around the pool takes no address of a subscriber's, and has those of nobody.
        assert!(
            bed.tables
                .routes()
                .insert("100.64.0.0/16".parse().unwrap(), SlotIndex(3))
        );
        let seen = bed.down(&mut packet(SERVER, SUBSCRIBER, 60, true));
        assert_eq!(seen.sent.len() == 1, open);
        bed.tables.routes().remove(route, SLOT);
        assert_eq!(
            bed.down(&mut packet(SERVER, behind, 60, true)).drops,
            [DropReason::NoSession]
        );
    }
}

#[test]
fn too_large_with_df_is_answered_with_the_sessions_mtu() {
    let mut bed = Bed::new();
    let mut fits = packet(SERVER, SUBSCRIBER, 1460, true);
    assert_eq!(bed.down(&mut fits).sent.len(), 1);
    let mut large = packet(SERVER, SUBSCRIBER, 1461, true);
    let seen = bed.down(&mut large);
    assert_eq!(
        (seen.sent.len(), seen.drops),
        (0, vec![DropReason::FragmentationNeeded])
    );
    let answer = Ipv4::parse(&seen.answers[0]).unwrap();
    assert_eq!(
        (answer.source(), answer.destination()),
        (Ipv4Addr::new(100, 64, 0, 1), SERVER)
    );
    assert_eq!(
        (answer.payload()[..2].to_vec(), &answer.payload()[6..8]),
        (vec![3, 4], &1460_u16.to_be_bytes()[..])
    );
    assert_eq!(checksum::of(answer.payload()), 0);
    assert_eq!(answer.payload()[8..], large[..548]);
    assert_eq!(bed.counters().down.dropped, 1);
}

#[test]
fn answers_are_limited_per_session_and_never_about_errors() {
    let mut bed = Bed::new();
    let mut large = packet(SERVER, SUBSCRIBER, 1500, true);
    let answered = (0..100)
        .filter(|_| !bed.down(&mut large).answers.is_empty())
        .count();
    assert_eq!(answered, 20);
    let mut bed = Bed::new();
    let mut error = packet(SERVER, SUBSCRIBER, 1500, true);
    error[9] = 1;
    error[20] = 3;
    assert!(bed.down(&mut error).answers.is_empty());
}

#[test]
fn too_large_without_df_leaves_in_fragments_that_reassemble() {
    for (mtu, sequencing) in [(1460, false), (576, true), (68, false), (0, false)] {
        let mut bed = Bed::with(|path| (path.mtu, path.sequencing) = (mtu, sequencing));
        let original = packet(SERVER, SUBSCRIBER, 1500, false);
        let seen = bed.down(&mut original.clone());
        let l2tp = if sequencing { 14 } else { 10 };
        let mut payload: Vec<u8> = Vec::new();
        for (number, (header, part)) in seen.sent.iter().enumerate() {
            let fragment = [&header[l2tp..], &original[part.clone()]].concat();
            assert!(fragment.len() <= usize::from(mtu.max(68)));
            let view = Ipv4::parse(&fragment).unwrap();
            assert_eq!(view.packet().len(), fragment.len());
            assert_eq!(usize::from(view.fragment_offset()) * 8, payload.len());
            assert_eq!(view.more_fragments(), number + 1 < seen.sent.len());
            payload.extend(view.payload());
            if sequencing {
                assert_eq!(usize::from(header[7]), number);
            }
        }
        assert!(seen.sent.len() > 1);
        assert_eq!(payload, original[20..]);
        assert_eq!(
            (
                bed.counters().down.ipv4_packets,
                bed.counters().down.ipv4_octets
            ),
            (1, 1500)
        );
    }
}
