//! Nothing is read that is not there. Safe Rust cannot read beyond a slice; what can go wrong is a panic,
//! and a field that comes from behind the end that the packet itself states.

use lns_l2sess::packet::Packet;
use proptest::prelude::*;

use super::samples;

/// What is read of `octets`, if it is a packet.
fn read(octets: &[u8]) -> Option<String> {
    let packet = Packet::parse(octets).ok()?;
    assert!(packet.octets.len() <= octets.len());
    assert!(octets.starts_with(packet.octets));
    Some(format!(
        "{packet:?} {:?} {:?}",
        packet.tuple(),
        packet.quoted()
    ))
}

/// That what is read does not depend on anything behind the packet's end.
fn holds(octets: &[u8]) {
    let alone = read(octets);
    for padding in [0x00, 0xff] {
        let mut padded = octets.to_vec();
        padded.resize(octets.len() + 64, padding);
        if let Some(alone) = &alone {
            assert_eq!(read(&padded).as_ref(), Some(alone));
        } else {
            read(&padded);
        }
    }
}

#[test]
fn every_truncation_of_every_sample_is_refused() {
    for (name, octets) in samples() {
        for length in 0..octets.len() {
            assert!(Packet::parse(&octets[..length]).is_err(), "{name} {length}");
        }
    }
}

#[test]
fn a_packet_that_says_it_is_shorter_is_read_to_there() {
    for (name, octets) in samples() {
        let is_v4 = octets[0] >> 4 == 4;
        for length in 0..octets.len() {
            let mut shorter = octets.clone();
            let (at, said) = if is_v4 {
                (2, length)
            } else {
                (4, length.saturating_sub(40))
            };
            let said = u16::try_from(said).unwrap();
            shorter[at..at + 2].copy_from_slice(&said.to_be_bytes());
            let whole = read(&shorter);
            let cut = read(&shorter[..length]);
            if length >= 40 || is_v4 {
                assert_eq!(whole, cut, "{name} {length}");
            }
        }
    }
}

#[test]
fn every_bit_of_every_sample_may_be_changed() {
    for (_, octets) in samples() {
        for bit in 0..octets.len() * 8 {
            let mut changed = octets.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            holds(&changed);
        }
    }
}

proptest! {
    #[test]
    fn any_octets_may_come(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        holds(&octets);
    }

    #[test]
    fn any_octets_may_follow_a_header(
        version in prop::sample::select(vec![0x45_u8, 0x46, 0x4f, 0x60]),
        protocol in prop::sample::select(vec![0_u8, 1, 6, 17, 43, 44, 58, 60, 135, 253]),
        mut octets in prop::collection::vec(any::<u8>(), 60..200),
    ) {
        octets[0] = version;
        let length = u16::try_from(octets.len()).unwrap();
        if version >> 4 == 4 {
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            octets[9] = protocol;
        } else {
            octets[4..6].copy_from_slice(&(length - 40).to_be_bytes());
            octets[6] = protocol;
        }
        prop_assert!(read(&octets).is_some());
        holds(&octets);
    }
}
