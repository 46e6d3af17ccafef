//! Reliable delivery of control messages (RFC 2661, 5.8 and appendix A).
//!
//! Sending: a queue, slow start and congestion avoidance under the peer's receive window, one timer for
//! the oldest message under way. When it fires, everything that was not acknowledged counts as lost and
//! is sent again as the window opens. Receiving: in order, with messages that came too early *kept*;
//! a duplicate is acknowledged again and nothing else.
//!
//! The order for the caller is: [`Channel::classify`], parse, and only then [`Channel::acknowledge`]
//! with [`Channel::receive`] or [`Channel::keep`]. What does not parse has moved nothing.
//!
//! Left out: what the messages say.

mod image;
mod receive;
mod send;

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod tests;

use core::fmt;

use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{ControlHeader, Seq16, emit_control};

use crate::config::RetransmitConfig;
pub use image::{ChannelImage, KeptMessage};
use receive::Receiver;
use send::{Message, Sender};

/// One end of a control connection's message stream.
#[derive(Debug)]
pub struct Channel {
    sender: Sender,
    receiver: Receiver,
    ack_due: bool,
}

/// Which of all messages that were ever queued on a channel this is, from 0: its Ns, without the wrap.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageNumber(pub u64);

/// In whose record a message stands until it is acknowledged.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Keeper {
    /// In that of the tunnel.
    Tunnel,
    /// In that of its call.
    Call,
}

/// What a message's Ns says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// It is the next one.
    Next,
    /// It came too early, and there is room to keep it.
    Early,
    /// It was received before, or is kept already.
    Duplicate,
}

/// Why reliable delivery has no place for a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dropped {
    /// It acknowledges what was never sent.
    NrBeyondNs,
    /// It is neither within the receive window nor a duplicate.
    OutsideWindow,
    /// It came too early, and too much is kept already.
    NoRoom,
}

impl Dropped {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NrBeyondNs => "nr_beyond_ns",
            Self::OutsideWindow => "outside_window",
            Self::NoRoom => "no_room_to_keep",
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The send queue is at its bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

/// The numbers of a channel, for whoever looks at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelStatus {
    /// The number of the next message of ours that was never sent.
    pub ns: Seq16,
    /// The number of the next message that we expect.
    pub nr: Seq16,
    /// Messages that were sent and are not acknowledged.
    pub unacknowledged: u16,
    /// Messages that wait for the window, not sent even once.
    pub waiting: usize,
    /// How many of ours the peer takes.
    pub peer_window: u16,
    /// How many may be under way now (appendix A: CWND).
    pub congestion_window: u16,
    /// Where slow start ends (appendix A: SSTHRESH).
    pub threshold: u16,
    /// How often the oldest message under way was sent again.
    pub tries: u8,
    /// Messages of the peer that came too early and are kept.
    pub kept: usize,
}

impl Channel {
    /// A channel on which nothing was sent or received. `receive_window` is what we offer.
    pub fn new(retransmit: RetransmitConfig, receive_window: u16) -> Self {
        Self {
            sender: Sender::new(retransmit),
            receiver: Receiver::new(receive_window),
            ack_due: false,
        }
    }

    /// The same where the peer's message 0, its SCCRQ, has been received outside.
    pub fn answering(retransmit: RetransmitConfig, receive_window: u16) -> Self {
        let mut channel = Self::new(retransmit, receive_window);
        channel.receive();
        channel
    }

    /// The same with other first numbers, for tests of wraps.
    #[cfg(test)]
    pub(crate) fn starting_at(mut self, ns: Seq16, nr: Seq16) -> Self {
        self.sender.first = ns;
        self.receiver.expected = nr;
        self
    }

    // What comes in.

    /// What is to be done with a message that is not a ZLB and has these numbers and so many octets.
    /// Nothing changes.
    ///
    /// # Errors
    /// [`Dropped`]: the message is to be dropped.
    pub fn classify(&self, ns: Seq16, nr: Seq16, octets: usize) -> Result<Arrival, Dropped> {
        self.check_acknowledgement(nr)?;
        self.receiver.classify(ns, octets)
    }

    /// Whether no message has come in order since a takeover.
    pub const fn is_unheard(&self) -> bool {
        self.receiver.is_unheard()
    }

    /// A good message has this number: before [`Channel::classify`]. After a takeover one that is ahead of what is
    /// expected may be the next one nevertheless, if the peer sends it again and again.
    pub fn note_number(&mut self, ns: Seq16, now: Instant) {
        let expected = self.receiver.expected;
        if ns != expected && !ns.is_before(expected) {
            self.receiver.note_ahead(ns, now);
        }
    }

    /// Whether `nr` can be acknowledged: all that matters of a ZLB.
    ///
    /// # Errors
    /// [`Dropped::NrBeyondNs`].
    pub fn check_acknowledgement(&self, nr: Seq16) -> Result<(), Dropped> {
        self.sender.check(nr)
    }

    /// The peer has everything before `nr`. An old `nr` says nothing new.
    pub fn acknowledge(&mut self, nr: Seq16, now: Instant) {
        self.sender.acknowledge(nr, now);
    }

    /// The next message has been received and is good.
    pub fn receive(&mut self) {
        self.receiver.advance();
        self.ack_due = true;
    }

    /// A message that is [`Arrival::Early`] has been received and is good.
    pub fn keep(&mut self, header: ControlHeader, body: Box<[u8]>) {
        self.receiver.keep(header, body);
    }

    /// A kept message whose turn has come, received by this call.
    pub fn next_kept(&mut self) -> Option<(ControlHeader, Box<[u8]>)> {
        let kept = self.receiver.next_kept()?;
        self.ack_due = true;
        Some(kept)
    }

    /// A duplicate came: our acknowledgement was lost.
    pub fn acknowledge_again(&mut self) {
        self.ack_due = true;
    }

    /// How many octets of early messages may be kept.
    pub fn set_kept_limit(&mut self, octets: usize) {
        self.receiver.limit = octets;
    }

    // What goes out.

    /// Puts a message behind those that wait.
    ///
    /// # Errors
    /// [`Full`]; nothing changed.
    pub fn send(
        &mut self,
        session: PeerSessionId,
        keeper: Keeper,
        body: Box<[u8]>,
    ) -> Result<MessageNumber, Full> {
        self.sender.push(Message {
            session,
            keeper,
            body,
        })
    }

    /// The peer's receive window, as its SCCRQ or SCCRP says; 4 until then.
    pub fn set_peer_window(&mut self, window: u16) {
        self.sender.set_peer_window(window);
    }

    /// While held, nothing is sent again by the timer, and nothing is acknowledged but by a message:
    /// the peer's own retransmission drives ours, through [`Channel::resend`].
    pub fn hold(&mut self, held: bool, now: Instant) {
        self.sender.hold(held, now);
    }

    /// Everything that is not acknowledged goes out again.
    pub fn resend(&mut self) {
        self.sender.rewind();
    }

    /// Forgets the messages that were never sent.
    pub fn drop_unsent(&mut self) {
        self.sender.drop_unsent();
    }

    /// Forgets everything that was not acknowledged and everything that is kept: the other end is
    /// gone, only acknowledgements go out.
    pub fn abandon(&mut self) {
        self.sender.abandon();
        self.receiver.clear();
    }

    /// Writes the next UDP payload, if there is one: a message that the window lets out, else a ZLB if
    /// no message has carried the acknowledgement. `out` is cleared first.
    pub fn poll_transmit(&mut self, peer: PeerTunnelId, now: Instant, out: &mut Vec<u8>) -> bool {
        out.clear();
        let nr = self.receiver.expected;
        while let Some((ns, message)) = self.sender.next(now) {
            // Bodies are made of AVPs that were written here; one that is too long cannot be queued.
            if emit_control(peer, message.session, ns, nr, &message.body, out).is_ok() {
                self.ack_due = false;
                return true;
            }
        }
        if !self.ack_due || self.sender.is_held() {
            return false;
        }
        self.ack_due = false;
        emit_control(
            peer,
            PeerSessionId::NONE,
            self.sender.unsent(),
            nr,
            &[],
            out,
        )
        .is_ok()
    }

    /// When [`Channel::handle_timeout`] is to be called.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.sender.resend_at
    }

    /// Takes the oldest message for lost if its time is over.
    ///
    /// # Errors
    /// [`NoAnswer`] when it was sent again as often as it may be.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), NoAnswer> {
        self.sender.handle_timeout(now)
    }

    // What it is like.

    /// Whether everything that was queued is acknowledged.
    pub fn is_idle(&self) -> bool {
        self.sender.is_empty()
    }

    /// Whether nothing is sent by the timer ([`Channel::hold`]).
    pub const fn is_held(&self) -> bool {
        self.sender.is_held()
    }

    /// Whether a call of [`Channel::poll_transmit`] would send a ZLB at least.
    pub const fn is_ack_due(&self) -> bool {
        self.ack_due
    }

    /// The numbers.
    pub fn status(&self) -> ChannelStatus {
        ChannelStatus {
            ns: self.sender.unsent(),
            nr: self.receiver.expected,
            unacknowledged: self.sender.reached,
            waiting: self.sender.waiting(),
            peer_window: self.sender.peer_window,
            congestion_window: self.sender.congestion,
            threshold: self.sender.threshold,
            tries: self.sender.tries,
            kept: self.receiver.kept(),
        }
    }
}

/// The peer has acknowledged nothing for a full cycle of retransmissions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoAnswer;
