//! The LAC's end of reliable delivery (RFC 2661, 5.8): a window, repeats, and order.
//!
//! No slow start: a peer's window may be used at once. When the oldest message stays without an answer,
//! all that is under way goes out again.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{ControlHeader, Seq16, emit_control};

use super::number::{after, is_older, steps};

/// The peer's window when it names none (RFC 2661, 4.4.3).
const PEER_WINDOW: usize = 4;

/// A message as it was queued, with the peer's session id for its header.
pub(crate) type Message = (u16, Box<[u8]>);

/// One end of a control connection's messages.
#[derive(Debug)]
pub(crate) struct Channel {
    queue: VecDeque<Message>,
    /// The Ns of the first in the queue.
    first: u16,
    /// So many from the front were sent.
    sent: usize,
    /// The next of those to be sent again; `sent` when none is.
    again: usize,
    peer_window: usize,
    window: u16,
    tries: u32,
    most_tries: u32,
    again_at: Option<Instant>,
    expected: u16,
    early: BTreeMap<u16, Message>,
    ack_due: bool,
    dead: bool,
}

impl Channel {
    /// One that has sent and received nothing. `window` is what is offered to the peer, `most_tries` how
    /// often a message is repeated before the peer is given up.
    pub(crate) fn new(window: u16, most_tries: u32) -> Self {
        Self {
            queue: VecDeque::new(),
            first: 0,
            sent: 0,
            again: 0,
            peer_window: PEER_WINDOW,
            window,
            tries: 0,
            most_tries,
            again_at: None,
            expected: 0,
            early: BTreeMap::new(),
            ack_due: false,
            dead: false,
        }
    }

    pub(crate) fn set_peer_window(&mut self, window: Option<u16>) {
        self.peer_window = window.map_or(PEER_WINDOW, usize::from).max(1);
    }

    /// Queues a message for the peer's session `session`.
    pub(crate) fn send(&mut self, session: u16, body: Box<[u8]>) {
        self.queue.push_back((session, body));
    }

    /// Takes a message in; what has its turn by it goes into `turn`, with the session of its header.
    pub(crate) fn handle(
        &mut self,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
        turn: &mut Vec<Message>,
    ) {
        self.acknowledged(header.nr.0, now);
        if body.is_empty() {
            return;
        }
        let (ns, message) = (header.ns.0, (header.session.0, Box::from(body)));
        if ns == self.expected {
            self.expected = after(ns, 1);
            turn.push(message);
            while let Some(message) = self.early.remove(&self.expected) {
                self.expected = after(self.expected, 1);
                turn.push(message);
            }
        } else if is_older(ns, self.expected) {
            // Our acknowledgement was lost.
        } else if steps(self.expected, ns) < u32::from(self.window) {
            self.early.insert(ns, message);
        } else {
            return;
        }
        self.ack_due = true;
    }

    fn acknowledged(&mut self, nr: u16, now: Instant) {
        let count = usize::try_from(steps(self.first, nr)).expect("small");
        if count == 0 || count > self.sent {
            return;
        }
        self.queue.drain(..count);
        self.first = nr;
        self.sent -= count;
        self.again = self.again.saturating_sub(count);
        self.tries = 0;
        self.again_at = (self.sent > 0).then(|| now + Duration::from_secs(1));
    }

    /// Writes the next datagram to the peer's tunnel `peer`.
    pub(crate) fn poll_transmit(&mut self, peer: u16, now: Instant, out: &mut Vec<u8>) -> bool {
        let at = if self.again < self.sent {
            self.again
        } else if self.sent < self.queue.len().min(self.peer_window) {
            self.sent += 1;
            self.sent - 1
        } else if core::mem::take(&mut self.ack_due) {
            self.emit(peer, after(self.first, self.sent), 0, &[], out);
            return true;
        } else {
            return false;
        };
        self.again = at + 1;
        self.ack_due = false;
        self.again_at
            .get_or_insert(now + Duration::from_secs(1 << self.tries.min(3)));
        let (session, body) = self.queue[at].clone();
        self.emit(peer, after(self.first, at), session, &body, out);
        true
    }

    fn emit(&self, peer: u16, ns: u16, session: u16, body: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let (tunnel, session) = (PeerTunnelId(peer), PeerSessionId(session));
        emit_control(tunnel, session, Seq16(ns), Seq16(self.expected), body, out)
            .expect("a message of our own fits");
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.again_at
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.again_at.is_none_or(|at| now < at) {
            return;
        }
        if self.tries >= self.most_tries {
            self.dead = true;
            self.again_at = None;
            return;
        }
        self.tries += 1;
        self.again = 0;
        self.again_at = Some(now + Duration::from_secs(1 << self.tries.min(3)));
    }

    /// The peer has answered nothing for as long as it may.
    pub(crate) const fn is_dead(&self) -> bool {
        self.dead
    }

    /// All that was queued is acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The number that is sent next, and the one expected next.
    pub(crate) fn numbers(&self) -> (u16, u16) {
        (after(self.first, self.sent), self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(out: &[u8]) -> (ControlHeader, Vec<u8>) {
        match lns_wire::l2tp::Packet::parse(out).unwrap() {
            lns_wire::l2tp::Packet::Control(header, body) => (header, body.to_vec()),
            lns_wire::l2tp::Packet::Data(..) => panic!("data"),
        }
    }

    #[test]
    fn every_message_arrives_once_and_in_order_over_a_whole_turn_of_the_numbers() {
        let (mut ours, mut theirs) = (Channel::new(8, 5), Channel::new(8, 5));
        ours.set_peer_window(Some(8));
        let (mut now, mut out, mut turn) = (Instant::ZERO, Vec::new(), Vec::new());
        for n in 0..70_000_u32 {
            ours.send(0, Box::from(n.to_be_bytes()));
        }
        let mut step = 0_u32;
        while !ours.is_idle() {
            while ours.poll_transmit(1, now, &mut out) {
                step += 1;
                // Every seventh is lost.
                if !step.is_multiple_of(7) {
                    let (header, body) = received(&out);
                    theirs.handle(header, &body, now, &mut turn);
                }
            }
            while theirs.poll_transmit(1, now, &mut out) {
                let (header, body) = received(&out);
                ours.handle(header, &body, now, &mut Vec::new());
            }
            if let Some(at) = ours.poll_timeout() {
                now = at;
                ours.handle_timeout(now);
            }
            assert!(!ours.is_dead());
        }
        let expected = (0..70_000_u32).map(|n| (0, Box::from(n.to_be_bytes())));
        assert!(turn.into_iter().eq(expected));
    }

    #[test]
    fn a_silent_peer_is_given_up() {
        let mut channel = Channel::new(4, 2);
        channel.send(0, Box::from([1]));
        let (mut now, mut out, mut sent) = (Instant::ZERO, Vec::new(), 0);
        while !channel.is_dead() {
            while channel.poll_transmit(1, now, &mut out) {
                sent += 1;
            }
            now = channel.poll_timeout().unwrap();
            channel.handle_timeout(now);
        }
        assert_eq!((sent, now), (3, Instant::from_millis(7_000)));
    }
}
