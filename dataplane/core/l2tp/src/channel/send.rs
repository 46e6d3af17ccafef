//! The sending half: queue, windows, retransmission.

use core::fmt;
use core::ops::Add as _;
use std::collections::VecDeque;

use lns_tables::time::Instant;
use lns_wire::id::PeerSessionId;
use lns_wire::l2tp::Seq16;

use super::{Dropped, Full, Keeper, MessageNumber, NoAnswer};
use crate::config::RetransmitConfig;
use crate::limits;

/// Messages in order, from the oldest that is not acknowledged: `sent <= reached <= queue.len()`.
#[derive(Debug)]
pub(super) struct Sender {
    config: RetransmitConfig,
    queue: VecDeque<Message>,
    /// The Ns of the first in the queue.
    pub(super) first: Seq16,
    /// How many messages came before it.
    pub(super) acknowledged: u64,
    /// So many from the front are under way.
    sent: u16,
    /// So many from the front were ever sent: those behind `sent` are taken for lost.
    pub(super) reached: u16,
    pub(super) peer_window: u16,
    pub(super) congestion: u16,
    pub(super) threshold: u16,
    /// Acknowledgements since the congestion window last grew, above the threshold.
    credit: u16,
    /// After a takeover: so many more than are known the node before may have sent, and had acknowledged, without
    /// a record of it. None is left once so many were acknowledged here.
    unheard: u16,
    pub(super) tries: u8,
    held: bool,
    pub(super) resend_at: Option<Instant>,
}

/// What was queued: the header is written when it goes out, since Nr changes.
pub(super) struct Message {
    pub(super) session: PeerSessionId,
    pub(super) keeper: Keeper,
    pub(super) body: Box<[u8]>,
}

impl fmt::Debug for Message {
    /// A body may hold a password, and is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) const fn new(config: RetransmitConfig) -> Self {
        Self {
            config,
            queue: VecDeque::new(),
            first: Seq16(0),
            acknowledged: 0,
            sent: 0,
            reached: 0,
            peer_window: limits::PEER_WINDOW,
            congestion: 1,
            threshold: limits::PEER_WINDOW,
            credit: 0,
            unheard: 0,
            tries: 0,
            held: false,
            resend_at: None,
        }
    }

    pub(super) fn push(&mut self, message: Message) -> Result<MessageNumber, Full> {
        if self.queue.len() >= limits::SEND_QUEUE {
            return Err(Full);
        }
        let number = self.queued();
        self.queue.push_back(message);
        Ok(number)
    }

    /// The number of the next message that is queued.
    pub(super) fn queued(&self) -> MessageNumber {
        let waiting = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        MessageNumber(self.acknowledged.saturating_add(waiting))
    }

    /// A message that is queued and not acknowledged.
    pub(super) fn get(&self, number: MessageNumber) -> Option<&Message> {
        let at = number.0.checked_sub(self.acknowledged)?;
        self.queue.get(usize::try_from(at).ok()?)
    }

    /// Those that are queued and not acknowledged, oldest first.
    pub(super) fn messages(&self) -> impl Iterator<Item = (MessageNumber, &Message)> {
        (self.acknowledged..).map(MessageNumber).zip(&self.queue)
    }

    /// Begins behind so many acknowledged messages, with these not acknowledged for certain: each of them may
    /// have been sent and acknowledged since, for an acknowledgement alone changes no record. All go out again
    /// as the windows open.
    pub(super) fn restore(&mut self, acknowledged: u64, queue: VecDeque<Message>) {
        let [.., high, low] = acknowledged.to_be_bytes();
        self.first = self.first.plus(u16::from_be_bytes([high, low]));
        self.acknowledged = acknowledged;
        let waiting = u16::try_from(queue.len()).unwrap_or(u16::MAX);
        self.reached = waiting.min(limits::HALF_TURN);
        // On a tunnel of which the peer has acknowledged nothing, nobody has said anything else yet.
        if acknowledged > 0 {
            self.unheard = limits::UNHEARD;
        }
        self.queue = queue;
    }

    /// The next message that the windows let out, under way by this call.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Seq16, &Message)> {
        if self.sent >= self.congestion.min(self.peer_window) {
            return None;
        }
        let message = self.queue.get(usize::from(self.sent))?;
        let ns = self.first.plus(self.sent);
        self.sent = self.sent.saturating_add(1);
        self.reached = self.reached.max(self.sent);
        if self.resend_at.is_none() && !self.held {
            self.resend_at = Some(now.add(self.config.wait(self.tries)));
        }
        Some((ns, message))
    }

    pub(super) fn check(&self, nr: Seq16) -> Result<(), Dropped> {
        if self.first.distance(nr) <= self.believable() || nr.is_before(self.first) {
            Ok(())
        } else {
            Err(Dropped::NrBeyondNs)
        }
    }

    pub(super) fn acknowledge(&mut self, nr: Seq16, now: Instant) {
        let count = self.first.distance(nr);
        if count == 0 || count > self.believable() {
            return;
        }
        self.unheard = self.unheard.saturating_sub(count);
        // What has the number of a message that the peer has from the node before, it takes for that one.
        self.queue.drain(..usize::from(count).min(self.queue.len()));
        if self.queue.is_empty() {
            // An idle tunnel keeps no heap.
            self.queue = VecDeque::new();
        }
        self.first = nr;
        self.acknowledged = self.acknowledged.saturating_add(count.into());
        self.sent = self.sent.saturating_sub(count);
        self.reached = self.reached.saturating_sub(count);
        self.tries = 0;
        self.grow(count);
        let waits = self.sent > 0 && !self.held;
        self.resend_at = waits.then(|| now.add(self.config.wait(0)));
    }

    /// So many messages from the front the peer may have.
    fn believable(&self) -> u16 {
        self.reached
            .saturating_add(self.unheard)
            .min(limits::HALF_TURN)
    }

    /// Appendix A: by one per acknowledged message up to the threshold, above it by one per window.
    fn grow(&mut self, acknowledged: u16) {
        for _ in 0..acknowledged {
            if self.congestion >= self.peer_window {
                self.credit = 0;
                return;
            }
            if self.congestion < self.threshold {
                self.congestion = self.congestion.saturating_add(1);
                continue;
            }
            self.credit = self.credit.saturating_add(1);
            if self.credit >= self.congestion {
                self.congestion = self.congestion.saturating_add(1);
                self.credit = 0;
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), NoAnswer> {
        if self.resend_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.resend_at = None;
        if self.tries >= self.config.tries {
            return Err(NoAnswer);
        }
        self.tries = self.tries.saturating_add(1);
        // Appendix A: half the window becomes the threshold, and slow start begins again.
        self.threshold = (self.congestion / 2).max(1);
        self.congestion = 1;
        self.credit = 0;
        self.resend_at = Some(now.add(self.config.wait(self.tries)));
        self.rewind();
        Ok(())
    }

    pub(super) const fn rewind(&mut self) {
        self.sent = 0;
    }

    pub(super) fn hold(&mut self, held: bool, now: Instant) {
        self.held = held;
        let waits = self.sent > 0 && !held;
        self.resend_at = waits.then(|| now.add(self.config.wait(self.tries)));
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn set_peer_window(&mut self, window: u16) {
        self.peer_window = window.clamp(1, limits::WINDOW_MAX);
        self.threshold = self.peer_window;
        self.congestion = self.congestion.min(self.peer_window);
    }

    pub(super) fn drop_unsent(&mut self) {
        self.queue.truncate(usize::from(self.reached));
    }

    pub(super) fn abandon(&mut self) {
        self.first = self.unsent();
        self.acknowledged = self.acknowledged.saturating_add(self.reached.into());
        self.queue = VecDeque::new();
        self.sent = 0;
        self.reached = 0;
        self.held = false;
        self.resend_at = None;
    }

    /// The number of the first message that was never sent.
    pub(super) const fn unsent(&self) -> Seq16 {
        self.first.plus(self.reached)
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len().saturating_sub(usize::from(self.reached))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.queue.capacity()
    }
}
