//! The LAC's end of reliable delivery (RFC 2661, 5.8): numbering, the peer's window,
//! retransmission, messages put back into order.
//!
//! Written apart from the LNS's and simpler: no slow start, so that a load test offers what the
//! LNS's window allows at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Seq16, emit_control};

/// Waits before a message is sent again (RFC 2661, 5.8).
const WAITS: [u64; 5] = [1, 2, 4, 8, 8];
/// Messages kept that came before their turn.
const MAX_KEPT: usize = 256;

/// One direction pair of numbered messages.
#[derive(Debug)]
pub(crate) struct Channel {
    next_sent: Seq16,
    next_received: Seq16,
    window: usize,
    flying: VecDeque<Flying>,
    waiting: VecDeque<(PeerSessionId, Vec<u8>)>,
    kept: BTreeMap<u16, (u16, Vec<u8>)>,
    acknowledge: bool,
    dead: bool,
    retransmissions: u64,
}

#[derive(Debug)]
struct Flying {
    ns: Seq16,
    session: PeerSessionId,
    body: Vec<u8>,
    due: Instant,
    tries: usize,
    fresh: bool,
}

impl Channel {
    /// A channel before its first message, towards a peer whose window is not known yet.
    pub(crate) fn new() -> Self {
        Self {
            next_sent: Seq16(0),
            next_received: Seq16(0),
            window: 4,
            flying: VecDeque::new(),
            waiting: VecDeque::new(),
            kept: BTreeMap::new(),
            acknowledge: false,
            dead: false,
            retransmissions: 0,
        }
    }

    /// What the peer's Receive Window Size AVP says.
    pub(crate) fn set_window(&mut self, window: u16) {
        self.window = usize::from(window.max(1));
    }

    /// Whether a message stayed without acknowledgement through all its tries.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether everything queued was sent and acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.waiting.is_empty()
    }

    /// The number that a message gets which is queued now.
    pub(crate) fn next_queued(&self) -> Seq16 {
        self.waiting
            .iter()
            .fold(self.next_sent, |number, _| number.next())
    }

    /// The number before which every message is acknowledged.
    pub(crate) fn acknowledged(&self) -> Seq16 {
        let oldest = self.flying.front().map(|message| message.ns);
        oldest.unwrap_or(self.next_sent)
    }

    /// Messages that were sent again.
    pub(crate) fn retransmissions(&self) -> u64 {
        self.retransmissions
    }

    /// Queues a message body for `session`.
    pub(crate) fn queue(&mut self, session: PeerSessionId, body: Vec<u8>) {
        self.waiting.push_back((session, body));
    }

    /// Takes a received message in and gives those whose turn it is, as (session id, body). An
    /// empty body is a ZLB and only acknowledges.
    pub(crate) fn handle(
        &mut self,
        ns: Seq16,
        nr: Seq16,
        session: u16,
        body: &[u8],
    ) -> Vec<(u16, Vec<u8>)> {
        while self
            .flying
            .front()
            .is_some_and(|sent| sent.ns.is_before(nr))
        {
            self.flying.pop_front();
        }
        if body.is_empty() {
            return Vec::new();
        }
        self.acknowledge = true;
        if !ns.is_before(self.next_received) && self.kept.len() < MAX_KEPT {
            self.kept.insert(ns.0, (session, body.to_vec()));
        }
        let mut ready = Vec::new();
        while let Some(message) = self.kept.remove(&self.next_received.0) {
            self.next_received = self.next_received.next();
            ready.push(message);
        }
        ready
    }

    /// Hands every datagram that is due to `send`: new messages that the window allows, messages
    /// to repeat, or an acknowledgement alone.
    pub(crate) fn poll(&mut self, tunnel: PeerTunnelId, now: Instant, mut send: impl FnMut(&[u8])) {
        while self.flying.len() < self.window {
            let Some((session, body)) = self.waiting.pop_front() else {
                break;
            };
            self.flying.push_back(Flying {
                ns: self.next_sent,
                session,
                body,
                due: now,
                tries: 0,
                fresh: true,
            });
            self.next_sent = self.next_sent.next();
        }
        let nr = self.next_received;
        for message in self.flying.iter_mut().filter(|message| message.due <= now) {
            let Some(wait) = WAITS.get(message.tries) else {
                self.dead = true;
                return;
            };
            if !std::mem::take(&mut message.fresh) {
                self.retransmissions += 1;
            }
            message.tries += 1;
            message.due = now + Duration::from_secs(*wait);
            send(&datagram(
                tunnel,
                message.session,
                message.ns,
                nr,
                &message.body,
            ));
            self.acknowledge = false;
        }
        if std::mem::take(&mut self.acknowledge) {
            send(&datagram(
                tunnel,
                PeerSessionId::NONE,
                self.next_sent,
                nr,
                &[],
            ));
        }
    }

    /// When [`Self::poll`] has something to do again by itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.flying.iter().map(|message| message.due).min()
    }
}

fn datagram(
    tunnel: PeerTunnelId,
    session: PeerSessionId,
    ns: Seq16,
    nr: Seq16,
    body: &[u8],
) -> Vec<u8> {
    let mut octets = Vec::with_capacity(12 + body.len());
    if let Err(error) = emit_control(tunnel, session, ns, nr, body, &mut octets) {
        // A body of ours that does not fit is a mistake in the command line.
        eprintln!("control message: {error}");
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNNEL: PeerTunnelId = PeerTunnelId(7);

    fn sent(channel: &mut Channel, now: Instant) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        channel.poll(TUNNEL, now, |octets| all.push(octets.to_vec()));
        all
    }

    #[test]
    fn the_window_limits_what_flies_and_an_acknowledgement_makes_room() {
        let now = Instant::now();
        let mut channel = Channel::new();
        for octet in 0..6 {
            channel.queue(PeerSessionId(1), vec![octet]);
        }
        assert_eq!(sent(&mut channel, now).len(), 4);
        assert_eq!(
            (channel.acknowledged(), channel.next_queued()),
            (Seq16(0), Seq16(6))
        );
        assert!(channel.handle(Seq16(0), Seq16(2), 0, &[]).is_empty());
        assert_eq!(sent(&mut channel, now).len(), 2);
        assert_eq!(channel.acknowledged(), Seq16(2));
    }

    #[test]
    fn messages_come_out_in_order_and_once() {
        let mut channel = Channel::new();
        assert!(channel.handle(Seq16(1), Seq16(0), 9, b"b").is_empty());
        let ready = channel.handle(Seq16(0), Seq16(0), 9, b"a");
        assert_eq!(ready, [(9, b"a".to_vec()), (9, b"b".to_vec())]);
        assert!(channel.handle(Seq16(0), Seq16(0), 9, b"a").is_empty());
        // The duplicate is acknowledged again all the same.
        assert_eq!(sent(&mut channel, Instant::now()).len(), 1);
    }

    #[test]
    fn a_silent_peer_is_given_up_after_five_tries() {
        let mut now = Instant::now();
        let mut channel = Channel::new();
        channel.queue(PeerSessionId::NONE, vec![1]);
        let mut tries = 0;
        while !channel.is_dead() {
            tries += sent(&mut channel, now).len();
            now = channel.deadline().unwrap();
        }
        assert_eq!((tries, channel.retransmissions()), (5, 4));
    }
}
