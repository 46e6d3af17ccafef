//! What of a channel has to outlive the node that has it: its numbers, and what the peer may not have.
//!
//! Left out, for it comes again by itself: messages that came too early, which were not acknowledged; the
//! windows, which grow anew.

use std::collections::{BTreeMap, VecDeque};

use lns_wire::id::PeerSessionId;
use lns_wire::l2tp::{Message as Parsed, Seq16};

use super::send::Message;
use super::{Channel, Keeper, MessageNumber};
use crate::config::RetransmitConfig;
use crate::limits;

/// The numbers of a channel, and the messages of the tunnel's own that are not acknowledged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChannelImage {
    /// How many of our messages are acknowledged for certain: it may be more.
    pub acknowledged: u64,
    /// How many were ever queued: none beyond was sent.
    pub queued: u64,
    /// The number of the next message that we expect.
    pub received: u16,
    /// How many of ours the peer takes.
    pub peer_window: u16,
    /// Messages that stand in no call's record.
    pub messages: Vec<KeptMessage>,
}

/// A message that may not be acknowledged.
#[derive(Clone, Eq, PartialEq)]
pub struct KeptMessage {
    /// Which it is.
    pub number: MessageNumber,
    /// The session of its header.
    pub session: PeerSessionId,
    /// Its AVPs.
    pub body: Box<[u8]>,
}

impl core::fmt::Debug for KeptMessage {
    /// A body may hold a password, and is not shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeptMessage")
            .field("number", &self.number)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// What is to outlive the node. Of the tunnel's own messages the oldest
    /// [`KEPT_MESSAGES`](limits::KEPT_MESSAGES).
    pub fn image(&self) -> ChannelImage {
        let own = self
            .sender
            .messages()
            .filter(|(_, message)| message.keeper == Keeper::Tunnel);
        ChannelImage {
            acknowledged: self.sender.acknowledged,
            queued: self.sender.queued().0,
            received: self.receiver.expected.0,
            peer_window: self.sender.peer_window,
            messages: own.take(limits::KEPT_MESSAGES).map(kept).collect(),
        }
    }

    /// A message that is queued and not acknowledged.
    pub fn kept(&self, number: MessageNumber) -> Option<KeptMessage> {
        self.sender
            .get(number)
            .map(|message| kept((number, message)))
    }

    /// The channel of an image, with what its calls kept. All that may not be acknowledged goes out
    /// again, in its order and with its numbers. A message that is in nobody's record was acknowledged, or
    /// is given up: a HELLO takes its number, so that those behind it are in order.
    pub fn restore(
        retransmit: RetransmitConfig,
        receive_window: u16,
        image: ChannelImage,
        of_calls: impl IntoIterator<Item = KeptMessage>,
    ) -> Self {
        let mut channel = Self::new(retransmit, receive_window);
        channel.receiver.restore(Seq16(image.received));
        channel.sender.set_peer_window(image.peer_window);
        let first = image.acknowledged;
        let most = u64::try_from(limits::SEND_QUEUE).unwrap_or(u64::MAX);
        let end = image.queued.min(first.saturating_add(most));
        let mut kept: BTreeMap<u64, Message> = BTreeMap::new();
        for (keeper, message) in of_calls
            .into_iter()
            .map(|message| (Keeper::Call, message))
            .chain(image.messages.into_iter().map(|it| (Keeper::Tunnel, it)))
        {
            let KeptMessage {
                number,
                session,
                body,
            } = message;
            kept.insert(
                number.0,
                Message {
                    session,
                    keeper,
                    body,
                },
            );
        }
        let queue: VecDeque<Message> = (first..end)
            .map(|number| kept.remove(&number).unwrap_or_else(filler))
            .collect();
        channel.sender.restore(first, queue);
        channel
    }
}

fn kept((number, message): (MessageNumber, &Message)) -> KeptMessage {
    KeptMessage {
        number,
        session: message.session,
        body: message.body.clone(),
    }
}

/// What takes the number of a message that nobody has.
fn filler() -> Message {
    let mut body = Vec::with_capacity(8);
    // Its one AVP always fits.
    let _fits = Parsed::Hello.emit(&mut body);
    Message {
        session: PeerSessionId::NONE,
        keeper: Keeper::Tunnel,
        body: body.into(),
    }
}
