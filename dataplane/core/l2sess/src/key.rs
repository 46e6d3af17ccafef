//! Tuples, their mirrors, and the one key that a tuple and its mirror have.
//!
//! The add node puts a tuple into the session table of its direction and the mirrored tuple into that
//! of the other direction. Both say the same thing: this endpoint of the subscriber and that one
//! beyond. So a [`FlowKey`] names the ends by the side on which they are, and the two entries are one:
//! they cannot come or go one without the other. The port is part of the key, whole.

use lns_wire::ip::protocol;

#[cfg(test)]
mod tests;

/// A subscriber's session as the classifier knows it: the number of its slot.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortId(pub u32);

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// From the subscriber ("up").
    Input,
    /// To the subscriber ("down").
    Output,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Input, Self::Output];

    /// The way back.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Input => Self::Output,
            Self::Output => Self::Input,
        }
    }

    /// The word for people and programs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// Which IP.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// RFC 791.
    IPv4,
    /// RFC 8200.
    IPv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IPv4, Self::IPv6];

    /// The bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::IPv4 => 32,
            Self::IPv6 => 128,
        }
    }

    /// The word for people and programs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        }
    }
}

/// What tells one conversation from another, as a packet of it says it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tuple {
    /// Which IP.
    pub family: Family,
    /// From where: the address as a number, for IPv4 in the low 32 bits.
    pub source: u128,
    /// Where to.
    pub destination: u128,
    /// The upper protocol's number.
    pub protocol: u8,
    /// What the upper protocol adds.
    pub detail: Detail,
}

/// What the upper protocol adds to a [`Tuple`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Detail {
    /// Nothing: it has no ports (ESP, AH, GRE), or this is a fragment without them.
    None,
    /// Ports: TCP, UDP and their kin.
    Ports {
        /// The sender's.
        source: u16,
        /// The receiver's.
        destination: u16,
    },
    /// An ICMP question that has an answer, or the answer (RFC 792, RFC 950, RFC 4443, RFC 4620).
    Query {
        /// The type of the question, also in the answer.
        question: u8,
        /// Which of the sender's questions, as both carry it.
        identifier: u16,
        /// Whether this is the answer.
        answer: bool,
    },
    /// Any other ICMP message: nothing answers it.
    Message {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

impl Tuple {
    /// The tuple of what comes back.
    #[must_use]
    pub const fn mirror(self) -> Self {
        let detail = match self.detail {
            Detail::Ports {
                source,
                destination,
            } => Detail::Ports {
                source: destination,
                destination: source,
            },
            Detail::Query {
                question,
                identifier,
                answer,
            } => Detail::Query {
                question,
                identifier,
                answer: !answer,
            },
            same @ (Detail::None | Detail::Message { .. }) => same,
        };
        Self {
            source: self.destination,
            destination: self.source,
            detail,
            ..self
        }
    }
}

/// The key of a flow in the session table: equal for a tuple in one direction and its mirror in the
/// other. An ICMP message that nothing answers has a key of its direction alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlowKey {
    words: [u64; Self::WORDS],
}

/// How a detail is written into a key.
mod kind {
    pub(super) const NONE: u8 = 0;
    pub(super) const PORTS: u8 = 1;
    /// The subscriber asks.
    pub(super) const ASKED_INSIDE: u8 = 2;
    /// The other end asks.
    pub(super) const ASKED_OUTSIDE: u8 = 3;
    pub(super) const MESSAGE_INPUT: u8 = 4;
    pub(super) const MESSAGE_OUTPUT: u8 = 5;
}

impl FlowKey {
    /// The length of a key, words.
    pub const WORDS: usize = 6;

    /// The key of `tuple`, seen at `port` in `direction`.
    #[inline]
    pub fn new(port: PortId, direction: Direction, tuple: &Tuple) -> Self {
        let (inner, outer) = match direction {
            Direction::Input => (tuple.source, tuple.destination),
            Direction::Output => (tuple.destination, tuple.source),
        };
        let (kind, first, second) = match tuple.detail {
            Detail::None => (kind::NONE, 0, 0),
            Detail::Ports {
                source,
                destination,
            } => match direction {
                Direction::Input => (kind::PORTS, source, destination),
                Direction::Output => (kind::PORTS, destination, source),
            },
            Detail::Query {
                question,
                identifier,
                answer,
            } => {
                let inside = (direction == Direction::Input) != answer;
                let kind = if inside {
                    kind::ASKED_INSIDE
                } else {
                    kind::ASKED_OUTSIDE
                };
                (kind, identifier, u16::from(question))
            }
            Detail::Message { kind, code } => {
                let both = u16::from_be_bytes([kind, code]);
                match direction {
                    Direction::Input => (kind::MESSAGE_INPUT, both, 0),
                    Direction::Output => (kind::MESSAGE_OUTPUT, both, 0),
                }
            }
        };
        let [inner_high, inner_low] = halves(inner);
        let [outer_high, outer_low] = halves(outer);
        let family = match tuple.family {
            Family::IPv4 => 4,
            Family::IPv6 => 6,
        };
        let ends = u64::from(first) << 48 | u64::from(second) << 32 | u64::from(port.0);
        let what = u64::from(tuple.protocol) << 16 | u64::from(kind) << 8 | family;
        Self {
            words: [inner_high, inner_low, outer_high, outer_low, ends, what],
        }
    }

    /// The key as it is stored. The upper 40 bits of the last word are 0: others may use them.
    pub const fn words(&self) -> [u64; Self::WORDS] {
        self.words
    }

    /// The word of ports and port: the one by which most keys differ.
    pub(crate) const fn ends(&self) -> u64 {
        let [_, _, _, _, ends, _] = self.words;
        ends
    }

    /// The key of those words.
    pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self { words }
    }

    /// The key of those words, if they are one's: a family that there is, addresses that it has, and
    /// nothing where nothing belongs.
    pub fn checked(words: [u64; Self::WORDS]) -> Option<Self> {
        let key = Self { words };
        let direction = Direction::Input;
        let is_one = Self::new(key.port(), direction, &key.tuple(direction)) == key;
        let [inner_high, inner_low, outer_high, outer_low, ..] = words;
        let is_narrow = inner_high | outer_high | inner_low >> 32 | outer_low >> 32 == 0;
        let is_of_family = key.tuple(direction).family == Family::IPv6 || is_narrow;
        (is_one && is_of_family).then_some(key)
    }

    /// The same key at another port.
    #[must_use]
    pub fn at(self, port: PortId) -> Self {
        let [a, b, c, d, ends, what] = self.words;
        let ends = ends & 0xffff_ffff_0000_0000 | u64::from(port.0);
        Self {
            words: [a, b, c, d, ends, what],
        }
    }

    /// Whose flow it is.
    pub const fn port(&self) -> PortId {
        let [_, _, _, _, ends, _] = self.words;
        let [_, _, _, _, p0, p1, p2, p3] = ends.to_be_bytes();
        PortId(u32::from_be_bytes([p0, p1, p2, p3]))
    }

    /// The upper protocol.
    pub const fn protocol(&self) -> u8 {
        let [_, _, _, _, _, what] = self.words;
        let [.., protocol, _, _] = what.to_be_bytes();
        protocol
    }

    /// Whether it is a TCP connection, which has more classes than one.
    pub const fn is_tcp(&self) -> bool {
        let [_, _, _, _, _, what] = self.words;
        let [.., protocol, kind, _] = what.to_be_bytes();
        protocol == protocol::TCP && kind == kind::PORTS
    }

    /// The tuple of a packet of this flow that goes in `direction`; of a message that nothing answers
    /// its own, whichever way is asked for.
    pub fn tuple(&self, direction: Direction) -> Tuple {
        let [inner_high, inner_low, outer_high, outer_low, ends, what] = self.words;
        let [.., protocol, kind, family] = what.to_be_bytes();
        let [f0, f1, s0, s1, ..] = ends.to_be_bytes();
        let (first, second) = (u16::from_be_bytes([f0, f1]), u16::from_be_bytes([s0, s1]));
        let inner = u128::from(inner_high) << 64 | u128::from(inner_low);
        let outer = u128::from(outer_high) << 64 | u128::from(outer_low);
        let direction = match kind {
            kind::MESSAGE_INPUT => Direction::Input,
            kind::MESSAGE_OUTPUT => Direction::Output,
            _ => direction,
        };
        let up = direction == Direction::Input;
        let detail = match kind {
            kind::PORTS if up => Detail::Ports {
                source: first,
                destination: second,
            },
            kind::PORTS => Detail::Ports {
                source: second,
                destination: first,
            },
            kind::ASKED_INSIDE | kind::ASKED_OUTSIDE => Detail::Query {
                question: s1,
                identifier: first,
                answer: (kind == kind::ASKED_INSIDE) != up,
            },
            kind::MESSAGE_INPUT | kind::MESSAGE_OUTPUT => Detail::Message { kind: f0, code: f1 },
            _ => Detail::None,
        };
        Tuple {
            family: if family == 6 {
                Family::IPv6
            } else {
                Family::IPv4
            },
            source: if up { inner } else { outer },
            destination: if up { outer } else { inner },
            protocol,
            detail,
        }
    }

    /// Where to begin looking for it. The seed is the process's secret: who sends packets cannot
    /// choose where they fall.
    #[inline]
    pub fn hash(&self, seed: HashSeed) -> u64 {
        let [inner_high, inner_low, outer_high, outer_low, ends, what] = self.words;
        let HashSeed(first, second) = seed;
        let hash = fold(inner_high ^ first, inner_low ^ second);
        let hash = fold(outer_high ^ hash, outer_low ^ second);
        let hash = fold(ends ^ hash, what ^ first);
        fold(hash ^ first, second | 1)
    }
}

/// The process's secret for [`FlowKey::hash`]: two random numbers.
#[derive(Clone, Copy)]
pub struct HashSeed(pub u64, pub u64);

impl core::fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashSeed")
    }
}

/// Both halves of the full product.
#[inline]
pub(crate) const fn fold(left: u64, right: u64) -> u64 {
    #[allow(
        clippy::as_conversions,
        clippy::cast_lossless,
        reason = "u128::from is not const; widening loses nothing"
    )]
    let product = (left as u128).wrapping_mul(right as u128);
    let [high, low] = halves(product);
    high ^ low
}

/// Its upper 64 bits and its lower ones.
#[inline]
pub(crate) const fn halves(number: u128) -> [u64; 2] {
    const LOW: u128 = 0xffff_ffff_ffff_ffff;
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "u64::try_from is not const; each half fits"
    )]
    [(number >> 64) as u64, (number & LOW) as u64]
}
