//! What the compiled rules look at: the fields of a packet as a few words.
//!
//! A mask, a value and a packet have the same form, so that a packet fits an entry when its words, masked,
//! are the entry's. Octets anywhere in the packet are beside it.

use core::ops::BitOr;

use super::LaterFragments;
use super::rule::Prefix;
use crate::key::{Family, halves};
use crate::packet::{Packet, Upper};

/// The fields of a packet, or a mask for them, or the values under one.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Fields {
    source: u128,
    destination: u128,
    upper: u64,
    length: u16,
}

/// What a packet says of its upper protocol: bits of [`Parts::known`].
pub(super) mod known {
    pub(in super::super) const PORTS: u8 = 1;
    pub(in super::super) const MESSAGE: u8 = 2;
    pub(in super::super) const FLAGS: u8 = 4;
}

/// The pieces of the word that neither addresses nor the length are in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    pub(super) known: u8,
    pub(super) dscp: u8,
    pub(super) flags: u8,
    pub(super) protocol: u8,
    /// The sender's port, or the type of an ICMP message.
    pub(super) first: u16,
    /// The receiver's port, or its code.
    pub(super) second: u16,
}

impl Parts {
    const fn word(self) -> u64 {
        let [f0, f1] = self.first.to_be_bytes();
        let [s0, s1] = self.second.to_be_bytes();
        let Self {
            known,
            dscp,
            flags,
            protocol,
            ..
        } = self;
        u64::from_be_bytes([known, dscp, flags, protocol, f0, f1, s0, s1])
    }
}

impl From<Parts> for Fields {
    fn from(parts: Parts) -> Self {
        Self {
            upper: parts.word(),
            ..Self::default()
        }
    }
}

impl Fields {
    pub(super) fn length(length: u16) -> Self {
        Self {
            length,
            ..Self::default()
        }
    }

    /// The mask of these prefixes, and the values.
    pub(super) fn addresses(source: Option<Prefix>, destination: Option<Prefix>) -> [Self; 2] {
        let mask = |prefix: Option<Prefix>| prefix.map_or(0, |prefix| prefix.mask());
        let value = |prefix: Option<Prefix>| prefix.map_or(0, |prefix| prefix.address);
        let fields = |source, destination| Self {
            source,
            destination,
            ..Self::default()
        };
        [
            fields(mask(source), mask(destination)),
            fields(value(source), value(destination)),
        ]
    }

    pub(super) fn of(packet: &Packet<'_>) -> Self {
        let mut parts = Parts {
            dscp: packet.dscp,
            protocol: packet.protocol,
            ..Parts::default()
        };
        match packet.upper {
            Upper::Tcp {
                source,
                destination,
                flags,
            } => {
                parts.known = known::PORTS;
                (parts.first, parts.second) = (source, destination);
                if let Some(flags) = flags {
                    parts.known |= known::FLAGS;
                    parts.flags = flags.0;
                }
            }
            Upper::Ports {
                source,
                destination,
            } => {
                parts.known = known::PORTS;
                (parts.first, parts.second) = (source, destination);
            }
            Upper::Icmp { kind, code, .. } => {
                parts.known = known::MESSAGE;
                (parts.first, parts.second) = (u16::from(kind), u16::from(code));
            }
            Upper::None | Upper::LaterFragment | Upper::Unreadable => {}
        }
        Self {
            source: packet.source,
            destination: packet.destination,
            upper: parts.word(),
            length: packet.length,
        }
    }

    /// As IPv4's words.
    pub(super) fn v4(&self) -> [u64; 3] {
        let [_, source] = halves(self.source);
        let [_, destination] = halves(self.destination);
        [
            self.upper,
            source << 32 | destination & 0xffff_ffff,
            u64::from(self.length),
        ]
    }

    /// As IPv6's words.
    pub(super) fn v6(&self) -> [u64; 6] {
        let [source, source_end] = halves(self.source);
        let [destination, destination_end] = halves(self.destination);
        let length = u64::from(self.length);
        [
            self.upper,
            source,
            destination,
            source_end,
            destination_end,
            length,
        ]
    }
}

impl BitOr for Fields {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            source: self.source | other.source,
            destination: self.destination | other.destination,
            upper: self.upper | other.upper,
            length: self.length | other.length,
        }
    }
}

/// What the tables of a chain are asked for a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) words: Words,
    pub(super) octets: &'a [u8],
    /// By what the rules say of the upper header, or not.
    pub(super) is_whole: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    V4([u64; 3]),
    V6([u64; 6]),
}

impl<'a> Asked<'a> {
    pub(super) fn new(packet: &Packet<'a>, later_fragments: LaterFragments) -> Self {
        let is_later = packet.upper == Upper::LaterFragment;
        let is_whole = !is_later || later_fragments == LaterFragments::Ignore;
        let fields = Fields::of(packet);
        Self {
            words: match packet.family {
                Family::IPv4 => Words::V4(fields.v4()),
                Family::IPv6 => Words::V6(fields.v6()),
            },
            octets: packet.octets,
            is_whole,
        }
    }
}
