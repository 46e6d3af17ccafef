//! The octets in front of a sealed packet.
//!
//! ```text
//! 0         1             2        6         14      22
//! | version | part | what | key id | counter | epoch | sealed ... | tag, 16 octets |
//! ```
//!
//! Numbers are big-endian. All of it is authenticated with what is sealed. The key id is the receiver's:
//! it finds the key without asking where the frame came from.

use lns_cluster::Epoch;

use super::refused::Refused;

/// Octets in front of what is sealed.
pub const HEADER: usize = 22;

/// Octets behind it.
pub const TAG: usize = 16;

/// What sealing adds to a packet, octets, beside the ends of one of a LAC's and the headers of UDP and IP.
pub const OVERHEAD: usize = HEADER + TAG;

/// The version of these octets.
const VERSION: u8 = 1;

/// By what a receiver knows a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct KeyId(pub u32);

/// What is sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// From a LAC, between ends of IPv4.
    ToHomeV4,
    /// From a LAC, between ends of IPv6.
    ToHomeV6,
    /// For a subscriber.
    ToHomeDownstream,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// All.
    Whole,
    /// The first half; the second has the next counter.
    First,
    /// The second half.
    Second,
}

/// A header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) what: What,
    pub(super) part: Part,
    pub(super) key: KeyId,
    pub(super) counter: u64,
    pub(super) epoch: Epoch,
}

impl Header {
    pub(super) fn emit(&self) -> [u8; HEADER] {
        let what = match self.what {
            What::ToHomeV4 => 1,
            What::ToHomeV6 => 2,
            What::ToHomeDownstream => 3,
        };
        let part = match self.part {
            Part::Whole => 0x00,
            Part::First => 0x10,
            Part::Second => 0x20,
        };
        let mut octets = [0; HEADER];
        let fields = [VERSION, part | what]
            .into_iter()
            .chain(self.key.0.to_be_bytes())
            .chain(self.counter.to_be_bytes())
            .chain(self.epoch.number().to_be_bytes());
        for (octet, field) in octets.iter_mut().zip(fields) {
            *octet = field;
        }
        octets
    }

    /// Reads the header of a frame that has one and a tag.
    pub(super) fn parse(frame: &[u8]) -> Result<Self, Refused> {
        if frame.len() < OVERHEAD {
            return Err(Refused::Short);
        }
        let (head, rest) = frame.split_first_chunk::<2>().ok_or(Refused::Short)?;
        let (key, rest) = rest.split_first_chunk::<4>().ok_or(Refused::Short)?;
        let (counter, rest) = rest.split_first_chunk::<8>().ok_or(Refused::Short)?;
        let (epoch, _) = rest.split_first_chunk::<8>().ok_or(Refused::Short)?;
        let [VERSION, kind] = *head else {
            return Err(Refused::Version);
        };
        let what = match kind & 0x0f {
            1 => What::ToHomeV4,
            2 => What::ToHomeV6,
            3 => What::ToHomeDownstream,
            _ => return Err(Refused::Kind),
        };
        let part = match kind & 0xf0 {
            0x00 => Part::Whole,
            0x10 => Part::First,
            0x20 => Part::Second,
            _ => return Err(Refused::Kind),
        };
        Ok(Self {
            what,
            part,
            key: KeyId(u32::from_be_bytes(*key)),
            counter: u64::from_be_bytes(*counter),
            epoch: Epoch::new(u64::from_be_bytes(*epoch)).ok_or(Refused::Kind)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let what = prop_oneof![
            Just(What::ToHomeV4),
            Just(What::ToHomeV6),
            Just(What::ToHomeDownstream),
        ];
        let part = prop_oneof![Just(Part::Whole), Just(Part::First), Just(Part::Second)];
        let numbers = (any::<u32>(), any::<u64>(), 0..=Epoch::LAST.number());
        (what, part, numbers).prop_map(|(what, part, (key, counter, epoch))| Header {
            what,
            part,
            key: KeyId(key),
            counter,
            epoch: Epoch::new(epoch).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_is_written(header in header()) {
            let mut frame = header.emit().to_vec();
            prop_assert_eq!(Header::parse(&frame), Err(Refused::Short));
            frame.extend([0; TAG]);
            prop_assert_eq!(Header::parse(&frame), Ok(header));
        }
    }

    #[test]
    fn what_is_no_header_is_refused_by_what_is_wrong() {
        let mut frame = [0; OVERHEAD];
        frame[..2].copy_from_slice(&[1, 0x11]);
        assert!(Header::parse(&frame).is_ok());
        assert_eq!(Header::parse(&frame[..OVERHEAD - 1]), Err(Refused::Short));
        for (version, kind, why) in [
            (0, 0x01, Refused::Version),
            (2, 0x01, Refused::Version),
            (1, 0x00, Refused::Kind),
            (1, 0x04, Refused::Kind),
            (1, 0x31, Refused::Kind),
            (1, 0xf1, Refused::Kind),
        ] {
            frame[..2].copy_from_slice(&[version, kind]);
            assert_eq!(Header::parse(&frame), Err(why));
        }
        frame[..2].copy_from_slice(&[1, 1]);
        frame[14] = 0x80;
        assert_eq!(
            Header::parse(&frame),
            Err(Refused::Kind),
            "an epoch that no Lease takes"
        );
    }
}
