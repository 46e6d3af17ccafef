//! Nothing of a secret is left in any kind of datagram, wherever it is cut and whatever its header; and
//! a reader takes the masked one apart as before.

use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::l2tp::{Message, Packet as Datagram, Scccn};
use crate::samples::{self, SECRET, Sample, data, frame, message, packet, secret};
use crate::text::DatagramText;

fn masked(datagram: &[u8]) -> Vec<u8> {
    let mut octets = datagram.to_vec();
    mask_datagram(&mut octets);
    octets
}

fn text(datagram: &[u8]) -> String {
    let text = DatagramText::new(datagram);
    alloc::format!("{text}; {}", text.kind())
}

/// What holds of any octets: as long as before, only masks are new, said to be the same, and masked
/// once and for all, whatever lay under the mask.
#[track_caller]
fn assert_masked(datagram: &[u8]) -> Vec<u8> {
    let after = masked(datagram);
    assert_eq!(after.len(), datagram.len());
    let changed = |(before, after): (&u8, &u8)| before != after;
    let mut other = datagram.to_vec();
    for (at, pair) in datagram.iter().zip(&after).enumerate() {
        assert!(pair.0 == pair.1 || *pair.1 == MASK, "{at}");
        if changed(pair) {
            other[at] = !pair.0;
        }
    }
    assert_eq!(masked(&after), after, "masked once and for all");
    assert_eq!(masked(&other), after, "{:?}", text(datagram));
    assert_eq!(text(&after), text(datagram));
    assert_eq!(text(&other), text(datagram));
    after
}

#[track_caller]
fn assert_no_secret_is_left(datagram: &[u8]) {
    let after = assert_masked(datagram);
    // The Length of a datagram of 81 octets is a Q too.
    let left = after.get(4..).unwrap_or_default().contains(&SECRET);
    assert!(!left, "{}: {after:02x?}", text(datagram));
}

/// `datagram` cut to `len` octets, with a Length that is true and with the one that it had.
fn cut(datagram: &[u8], len: usize) -> [Vec<u8>; 2] {
    let mut short = datagram[..len].to_vec();
    if datagram[0] & 0x40 != 0 && len >= 4 {
        short[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    }
    [datagram[..len].to_vec(), short]
}

#[test]
fn no_kind_of_datagram_keeps_a_secret() {
    for Sample { datagram, .. } in samples::all() {
        assert_no_secret_is_left(&datagram);
    }
}

#[test]
fn no_datagram_keeps_a_secret_wherever_it_is_cut() {
    for Sample { datagram, .. } in samples::all() {
        for len in 0..=datagram.len() {
            for short in cut(&datagram, len) {
                assert_no_secret_is_left(&short);
            }
        }
    }
}

/// The frames of the samples.
fn frames() -> Vec<Vec<u8>> {
    samples::all()
        .iter()
        .filter_map(|sample| match Datagram::parse(&sample.datagram) {
            Ok(Datagram::Data(_, frame)) => Some(frame.to_vec()),
            _ => None,
        })
        .collect()
}

/// A data message with these bits of Length, Sequence, Offset and Priority, and secrets in its padding.
fn with_header(flags: u8, frame: &[u8]) -> Vec<u8> {
    let mut out = alloc::vec![flags, 2];
    if flags & 0x40 != 0 {
        out.extend_from_slice(&[0, 0]);
    }
    out.extend_from_slice(&[0x12, 0x67, 0, 12]);
    if flags & 0x08 != 0 {
        out.extend_from_slice(&[0, 5, 0, 0]);
    }
    if flags & 0x02 != 0 {
        out.extend_from_slice(&[0, 3, SECRET, SECRET, SECRET]);
    }
    out.extend_from_slice(frame);
    if flags & 0x40 != 0 {
        let len = u16::try_from(out.len()).unwrap().to_be_bytes();
        out[2..4].copy_from_slice(&len);
        out.extend_from_slice(&secret::<5>());
    }
    out
}

#[test]
fn no_form_of_header_lets_a_secret_through() {
    for whole in frames() {
        let short = whole.strip_prefix(&[0xff, 0x03]).unwrap_or(&whole);
        let compressed = short.strip_prefix(&[0]).unwrap_or(short);
        // With FF03 before what begins with FF already, it is a frame of protocol FF, which is nobody's.
        let address: &[u8] = if compressed.first() == Some(&0xff) {
            &[]
        } else {
            &[0xff, 0x03]
        };
        let with_address = [address, compressed].concat();
        for frame in [&whole[..], short, compressed, &with_address] {
            for flags in [0, 0x40, 0x08, 0x02, 0x01, 0x48, 0x4a, 0x4b, 0x0a, 0x42] {
                let datagram = with_header(flags, frame);
                assert_no_secret_is_left(&datagram);
                for len in 0..datagram.len() {
                    assert_no_secret_is_left(&datagram[..len]);
                }
            }
        }
    }
}

#[test]
fn what_is_no_secret_stays_where_it_is() {
    let request = [&[1, 7, 0, 14, 5][..], b"alice", &[3], &secret::<3>()].concat();
    let before = data(&frame(Protocol::PAP, &request));
    let [start @ .., _, _, _] = before.as_slice() else {
        panic!("too short")
    };
    assert_eq!(masked(&before), [start, b"***"].concat());

    let hello = message(0, &Message::Hello);
    assert_eq!(masked(&hello), hello);
    let scccn = message(
        0,
        &Message::Scccn(Scccn {
            challenge_response: Some(secret()),
        }),
    );
    assert_eq!(
        masked(&scccn),
        [&scccn[..scccn.len() - 16], &[MASK; 16]].concat()
    );

    let success = [&b"S="[..], &secret::<40>(), b" M=hi"].concat();
    let success = data(&frame(Protocol::CHAP, &packet(Code(3), 3, &success)));
    assert!(masked(&success).ends_with(b"* M=hi"));
    assert!(masked(&success).starts_with(&success[..success.len() - 45]));
}

#[test]
fn a_packet_of_the_subscribers_own_is_left_alone() {
    let ip = [&[0x45, 0, 0, 28][..], &secret::<24>()].concat();
    let whole = data(&frame(Protocol::IPV4, &ip));
    assert_eq!(masked(&whole), whole);
}

#[test]
fn what_is_no_l2tp_message_keeps_its_header_alone() {
    for (datagram, kept) in [
        (&[0x80, 3, b'Q', b'Q'][..], 2),
        (&[0xc8, 2, 0, 99, 0, 1, 0, 2, 0, 3, 0, 4, b'Q', b'Q'], 12),
        (&[0x80, 2, 0, 14, 0, 1, 0, 2, 0, 3, 0, 4, b'Q', b'Q'], 12),
        (&[0x40, 2, 0, 99, 0, 1, 0, 2, b'Q', b'Q'], 8),
        (&[0x02, 2, 0, 1, 0, 2, 0, 99, b'Q', b'Q'], 8),
    ] {
        let after = assert_masked(datagram);
        assert_eq!(after[..kept], datagram[..kept]);
        assert!(after[kept..].iter().all(|octet| *octet == MASK));
    }
}

#[test]
fn a_body_and_a_frame_alone_are_masked_as_in_a_datagram() {
    for Sample { datagram, .. } in samples::all() {
        let after = masked(&datagram);
        match Datagram::parse(&datagram).unwrap() {
            Datagram::Control(_, body) => {
                let mut alone = body.to_vec();
                mask_message(&mut alone);
                assert!(after.ends_with(&alone));
            }
            Datagram::Data(_, frame) => {
                let mut alone = frame.to_vec();
                mask_frame(&mut alone);
                assert!(after.ends_with(&alone));
            }
        }
    }
}

/// One of the samples with a few octets changed, its Length made true again or not.
fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let datagrams: Vec<Vec<u8>> = samples::all().into_iter().map(|s| s.datagram).collect();
    let faults = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let size = (any::<bool>(), 0..40_usize);
    (prop::sample::select(datagrams), faults, size).prop_map(|(mut datagram, faults, size)| {
        for (at, octet) in faults {
            let len = datagram.len();
            datagram[at.index(len)] = octet;
        }
        let (true_length, more) = size;
        datagram.extend_from_slice(&[b'x'].repeat(more));
        if true_length {
            let len = datagram.len();
            return cut(&datagram, len)[1].clone();
        }
        datagram
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn any_octets_are_masked_and_said_to_be_the_same(
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        assert_masked(&octets);
    }

    #[test]
    fn any_faults_in_a_datagram_change_neither_its_length_nor_its_text_when_it_is_masked(
        datagram in spoiled(),
    ) {
        assert_masked(&datagram);
    }
}
