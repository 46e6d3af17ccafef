//! The state word of a flow: 8 TCP bits and 24 bits of seconds; classes and timeouts.
//!
//! No sequence numbers are kept. A bit says that a SYN, a FIN, or the acknowledgement of the other
//! side's SYN or FIN has been seen of one side. A RST sets all four bits of the end.

use lns_wire::ip::protocol;

use crate::key::Direction;

#[cfg(test)]
mod tests;

/// Seconds of a monotonic clock, modulo 2^24 (194 days).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seconds(u32);

impl Seconds {
    const MASK: u32 = 0x00ff_ffff;
    const HALF: u32 = 0x0080_0000;

    /// Of so many seconds of a clock that never goes back.
    pub const fn new(seconds: u64) -> Self {
        let [_, _, _, _, _, a, b, c] = seconds.to_be_bytes();
        Self(u32::from_be_bytes([0, a, b, c]))
    }

    /// The number, below 2^24.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// How many have gone by since `earlier`. What lies less than half a turn ahead is no time ago:
    /// another thread read its clock a moment later.
    #[inline]
    pub const fn since(self, earlier: Self) -> u32 {
        let age = self.0.wrapping_sub(earlier.0) & Self::MASK;
        if age >= Self::HALF { 0 } else { age }
    }

    /// So many later.
    #[must_use]
    pub const fn plus(self, seconds: u32) -> Self {
        Self(self.0.wrapping_add(seconds) & Self::MASK)
    }
}

/// The flags of a TCP header (RFC 9293, 3.1): FIN 01, SYN 02, RST 04, PSH 08, ACK 10, URG 20, ECE 40,
/// CWR 80.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// ACK.
    pub const ACK: u8 = 0x10;

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Whether it asks for a new connection: SYN and nothing that answers one.
    pub const fn opens(self) -> bool {
        self.has(Self::SYN) && !self.has(Self::ACK | Self::RST | Self::FIN)
    }
}

/// How long a flow lives without a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// TCP that is not, or not any more, established.
    Transient,
    /// TCP whose SYNs have both been acknowledged.
    Established,
    /// TCP of which a RST, or both FINs and their acknowledgements, have been seen.
    Closing,
    /// UDP, and every protocol but TCP.
    Udp,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Transient, Self::Established, Self::Closing, Self::Udp];

    /// The label that metrics use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Udp => "udp",
        }
    }

    /// Whether a flow of this class gives way to a new one when there is no room.
    pub const fn gives_way(self) -> bool {
        matches!(self, Self::Transient | Self::Closing)
    }
}

/// The timeouts of a policy, seconds, 1 to [`limits::TIMEOUT`](crate::limits::TIMEOUT).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Timeouts {
    /// [`Class::Udp`].
    pub udp_idle: u32,
    /// [`Class::Established`].
    pub tcp_idle: u32,
    /// [`Class::Transient`].
    pub tcp_transient: u32,
    /// [`Class::Closing`].
    pub tcp_closing: u32,
}

impl Timeouts {
    /// Where nothing else is said.
    pub const DEFAULT: Self = Self {
        udp_idle: 300,
        tcp_idle: 7_440,
        tcp_transient: 120,
        tcp_closing: 10,
    };

    /// How long a flow of that class lives at least after its last packet.
    pub const fn of(&self, class: Class) -> u32 {
        match class {
            Class::Transient => self.tcp_transient,
            Class::Established => self.tcp_idle,
            Class::Closing => self.tcp_closing,
            Class::Udp => self.udp_idle,
        }
    }

    /// How old the stored time of an active flow of that class may become before it is written again:
    /// 10 s, or a quarter of a timeout below 40 s. A flow lives at most that much longer than its
    /// timeout.
    pub const fn refresh(&self, class: Class) -> u32 {
        let quarter = self.of(class) / 4;
        if quarter < 10 { quarter } else { 10 }
    }

    /// The age of the stored time beyond which a flow of that class is over.
    pub const fn end(&self, class: Class) -> u32 {
        self.of(class).saturating_add(self.refresh(class))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The state word: 8 TCP bits above 24 bits of seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State(u32);

/// What a packet does to the state of its flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing: the stored time is young enough.
    Same,
    /// The word changes to this.
    Changed(State),
    /// A SYN begins the connection anew, in this state. The side that did not open the flow may not do
    /// so by itself: for it, the caller asks policy.
    Restarted(State),
    /// The flow had been silent for too long.
    Expired,
}

impl State {
    const SYN_INPUT: u32 = 1 << 24;
    const SYN_OUTPUT: u32 = 1 << 25;
    /// Input has acknowledged the SYN of output.
    const SYN_ACK_INPUT: u32 = 1 << 26;
    const SYN_ACK_OUTPUT: u32 = 1 << 27;
    const FIN_INPUT: u32 = 1 << 28;
    const FIN_OUTPUT: u32 = 1 << 29;
    /// Input has acknowledged the FIN of output.
    const FIN_ACK_INPUT: u32 = 1 << 30;
    const FIN_ACK_OUTPUT: u32 = 1 << 31;
    const OPEN: u32 =
        Self::SYN_INPUT | Self::SYN_OUTPUT | Self::SYN_ACK_INPUT | Self::SYN_ACK_OUTPUT;
    const END: u32 =
        Self::FIN_INPUT | Self::FIN_OUTPUT | Self::FIN_ACK_INPUT | Self::FIN_ACK_OUTPUT;
    const TIME: u32 = Seconds::MASK;

    /// Of a flow whose first packet goes in `direction`; `flags` are its TCP flags, if it has any.
    pub const fn first(direction: Direction, flags: Option<TcpFlags>, now: Seconds) -> Self {
        let state = Self(now.0);
        match flags {
            Some(flags) => state.seen(direction, flags),
            None => state,
        }
    }

    /// The word as it is stored.
    pub const fn word(self) -> u32 {
        self.0
    }

    /// The state of that word.
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// When it was last written.
    pub const fn seconds(self) -> Seconds {
        Seconds(self.0 & Self::TIME)
    }

    /// The TCP bits.
    pub const fn bits(self) -> u8 {
        let [bits, ..] = self.0.to_be_bytes();
        bits
    }

    /// The class of a flow in this state; of TCP or not.
    #[inline]
    pub const fn class(self, is_tcp: bool) -> Class {
        if !is_tcp {
            Class::Udp
        } else if self.0 & Self::END == Self::END {
            Class::Closing
        } else if self.0 & (Self::OPEN | Self::END) == Self::OPEN {
            Class::Established
        } else {
            Class::Transient
        }
    }

    /// Whether the flow has been silent for too long at `now`.
    #[inline]
    pub const fn is_over(self, is_tcp: bool, timeouts: &Timeouts, now: Seconds) -> bool {
        now.since(self.seconds()) > timeouts.end(self.class(is_tcp))
    }

    /// A packet of the flow in `direction` at `now`; `flags` are its TCP flags, where the flow is TCP.
    #[inline]
    pub const fn step(
        self,
        direction: Direction,
        flags: Option<TcpFlags>,
        timeouts: &Timeouts,
        now: Seconds,
    ) -> Step {
        let is_tcp = flags.is_some();
        if self.is_over(is_tcp, timeouts, now) {
            return Step::Expired;
        }
        let next = match flags {
            Some(flags) if flags.opens() && matches!(self.class(is_tcp), Class::Closing) => {
                return Step::Restarted(Self::first(direction, Some(flags), now));
            }
            Some(flags) => self.seen(direction, flags),
            None => self,
        };
        let is_stale = now.since(self.seconds()) > timeouts.refresh(next.class(is_tcp));
        if next.0 == self.0 && !is_stale {
            return Step::Same;
        }
        Step::Changed(next.at(now))
    }

    /// The same, last written then.
    #[must_use]
    pub const fn at(self, now: Seconds) -> Self {
        Self(self.0 & !Self::TIME | now.0)
    }

    /// With what a segment of that direction says.
    #[inline]
    const fn seen(self, direction: Direction, flags: TcpFlags) -> Self {
        let (syn, syn_ack, fin, fin_ack) = match direction {
            Direction::Input => (
                Self::SYN_INPUT,
                Self::SYN_ACK_INPUT,
                Self::FIN_INPUT,
                Self::FIN_ACK_INPUT,
            ),
            Direction::Output => (
                Self::SYN_OUTPUT,
                Self::SYN_ACK_OUTPUT,
                Self::FIN_OUTPUT,
                Self::FIN_ACK_OUTPUT,
            ),
        };
        let (other_syn, other_fin) = match direction {
            Direction::Input => (Self::SYN_OUTPUT, Self::FIN_OUTPUT),
            Direction::Output => (Self::SYN_INPUT, Self::FIN_INPUT),
        };
        let mut word = self.0;
        if flags.has(TcpFlags::RST) {
            return Self(word | Self::END);
        }
        if flags.has(TcpFlags::ACK) && self.0 & other_syn != 0 {
            word |= syn_ack;
        }
        if flags.has(TcpFlags::ACK) && self.0 & other_fin != 0 {
            word |= fin_ack;
        }
        if flags.has(TcpFlags::SYN) {
            word |= syn;
        }
        if flags.has(TcpFlags::FIN) {
            word |= fin;
        }
        Self(word)
    }
}

/// Whether a protocol has the states of TCP.
pub const fn is_tcp(number: u8) -> bool {
    number == protocol::TCP
}
