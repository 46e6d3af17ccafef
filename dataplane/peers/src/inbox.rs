//! What came from peers and waits for the owner of this member.
//!
//! Each peer has room of its own, so that none fills another's. What is urgent has one place per kind
//! and peer, where the later takes the place of the earlier, and is given out before anything else; of
//! forwarded messages and of reports the newest is dropped when there is no room, and that is counted.
//! Peers take turns. Nothing is ever left in a connection because the owner is slow: what is urgent would
//! wait behind it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lns_cluster::{Ask, Epoch, Promise};
use tokio::sync::Notify;

use crate::event::{Event, Responder};
use crate::limits::{FORWARDS, FORWARDS_OCTETS, NUMBERS, REPORTS};
use crate::member::{Authenticated, Member, PeerNumber};
use crate::wire::{AskRefused, Message, Position, Question};

/// What waits, of all peers.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    peers: Vec<Waiting>,
    /// Peers that have something urgent, each once.
    urgent: VecDeque<usize>,
    /// Peers that have something else, each once.
    others: VecDeque<usize>,
    is_closed: bool,
}

/// What waits of one peer.
#[derive(Debug, Default)]
struct Waiting {
    urgent: Urgent,
    is_urgent: bool,
    questions: VecDeque<(Authenticated<Question>, Responder)>,
    forwards: VecDeque<Authenticated<Message>>,
    forwards_octets: usize,
    reports: VecDeque<Authenticated<Message>>,
    has_others: bool,
    turn: usize,
}

/// In the order in which it is given out.
#[derive(Debug, Default)]
struct Urgent {
    /// That the peer is there, or is not any more.
    state: Option<Event>,
    epoch: Option<Authenticated<()>>,
    promise: Option<Authenticated<Promise>>,
    ask_refused: Option<Authenticated<AskRefused>>,
    ask: Option<Authenticated<Ask>>,
    applied: Option<Authenticated<Position>>,
}

/// How many kinds take turns.
const TURNS: usize = 3;

impl Default for Inbox {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                peers: (0..NUMBERS).map(|_| Waiting::default()).collect(),
                urgent: VecDeque::new(),
                others: VecDeque::new(),
                is_closed: false,
            }),
            changed: Notify::new(),
        }
    }
}

impl Inbox {
    /// A peer has come or gone.
    pub(crate) fn state(&self, peer: PeerNumber, event: Event) {
        self.put_urgent(peer, |urgent| urgent.state = Some(event));
    }

    /// A peer knows of an epoch that we do not.
    pub(crate) fn epoch(&self, from: Member, epoch: Epoch) {
        self.put_urgent(from.number(), |urgent| {
            let before = urgent
                .epoch
                .as_ref()
                .map_or(Epoch::NONE, Authenticated::epoch);
            if before < epoch {
                urgent.epoch = Some(Authenticated::new(from, epoch, ()));
            }
        });
    }

    /// A message has come. False: there was no room, and it is lost.
    pub(crate) fn message(&self, message: Authenticated<Message>) -> bool {
        let (from, epoch) = (message.from().clone(), message.epoch());
        let peer = from.number();
        match message.into_value() {
            Message::Ask(ask) => {
                let ask = Authenticated::new(from, epoch, ask);
                self.put_urgent(peer, |urgent| urgent.ask = Some(ask));
            }
            Message::Promise(promise) => {
                let promise = Authenticated::new(from, epoch, promise);
                self.put_urgent(peer, |urgent| urgent.promise = Some(promise));
            }
            Message::AskRefused(refused) => {
                let refused = Authenticated::new(from, epoch, refused);
                self.put_urgent(peer, |urgent| urgent.ask_refused = Some(refused));
            }
            Message::Applied(at) => {
                let at = Authenticated::new(from, epoch, at);
                self.put_urgent(peer, |urgent| urgent.applied = Some(at));
            }
            other @ (Message::Control(_) | Message::Ppp(_) | Message::Report(_)) => {
                let other = Authenticated::new(from, epoch, other);
                return self.put_other(peer, |waiting| waiting.bulk(other));
            }
        }
        true
    }

    /// A question has come. How many there may be, the connection says.
    pub(crate) fn question(&self, question: Authenticated<Question>, responder: Responder) {
        self.put_other(question.from().number(), |waiting| {
            waiting.questions.push_back((question, responder));
            true
        });
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Takes the next. `None`: there is nothing.
    pub(crate) fn take(&self) -> Option<Event> {
        self.lock().take()
    }

    /// Waits for the next. `None`: nothing comes any more. One that is dropped while it waits loses
    /// nothing.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if let Some(event) = state.take() {
                    return Some(event);
                }
                if state.is_closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn put_urgent(&self, peer: PeerNumber, put: impl FnOnce(&mut Urgent)) {
        let mut state = self.lock();
        let State { peers, urgent, .. } = &mut *state;
        let Some(waiting) = peers.get_mut(peer.index()) else {
            return;
        };
        put(&mut waiting.urgent);
        if !core::mem::replace(&mut waiting.is_urgent, true) {
            urgent.push_back(peer.index());
        }
        drop(state);
        self.changed.notify_one();
    }

    fn put_other(&self, peer: PeerNumber, put: impl FnOnce(&mut Waiting) -> bool) -> bool {
        let mut state = self.lock();
        let State { peers, others, .. } = &mut *state;
        let Some(waiting) = peers.get_mut(peer.index()) else {
            return false;
        };
        if !put(waiting) {
            return false;
        }
        if !core::mem::replace(&mut waiting.has_others, true) {
            others.push_back(peer.index());
        }
        drop(state);
        self.changed.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Event> {
        while let Some(peer) = self.urgent.pop_front() {
            let Some(waiting) = self.peers.get_mut(peer) else {
                continue;
            };
            if let Some(event) = waiting.urgent.take() {
                self.urgent.push_back(peer);
                return Some(event);
            }
            waiting.is_urgent = false;
        }
        while let Some(peer) = self.others.pop_front() {
            let Some(waiting) = self.peers.get_mut(peer) else {
                continue;
            };
            if let Some(event) = waiting.take() {
                self.others.push_back(peer);
                return Some(event);
            }
            waiting.has_others = false;
        }
        None
    }
}

impl Urgent {
    fn take(&mut self) -> Option<Event> {
        if let Some(event) = self.state.take() {
            return Some(event);
        }
        if let Some(epoch) = self.epoch.take() {
            return Some(Event::Epoch(epoch));
        }
        if let Some(promise) = self.promise.take() {
            return Some(Event::Message(promise.map(Message::Promise)));
        }
        if let Some(refused) = self.ask_refused.take() {
            return Some(Event::Message(refused.map(Message::AskRefused)));
        }
        if let Some(ask) = self.ask.take() {
            return Some(Event::Message(ask.map(Message::Ask)));
        }
        let applied = self.applied.take()?;
        Some(Event::Message(applied.map(Message::Applied)))
    }
}

impl Waiting {
    fn bulk(&mut self, message: Authenticated<Message>) -> bool {
        let Some(octets) = octets(message.value()) else {
            let has_room = self.reports.len() < REPORTS;
            if has_room {
                self.reports.push_back(message);
            }
            return has_room;
        };
        let octets = self.forwards_octets.saturating_add(octets);
        let has_room = self.forwards.len() < FORWARDS && octets <= FORWARDS_OCTETS;
        if has_room {
            self.forwards_octets = octets;
            self.forwards.push_back(message);
        }
        has_room
    }

    fn take(&mut self) -> Option<Event> {
        for _ in 0..TURNS {
            let turn = self.turn;
            self.turn = turn.saturating_add(1).checked_rem(TURNS).unwrap_or(0);
            if let Some(event) = self.take_of(turn) {
                return Some(event);
            }
        }
        None
    }

    fn take_of(&mut self, turn: usize) -> Option<Event> {
        match turn {
            0 => {
                let (question, responder) = self.questions.pop_front()?;
                Some(Event::Question(question, responder))
            }
            1 => {
                let message = self.forwards.pop_front()?;
                let octets = octets(message.value()).unwrap_or(0);
                self.forwards_octets = self.forwards_octets.saturating_sub(octets);
                Some(Event::Message(message))
            }
            _ => Some(Event::Message(self.reports.pop_front()?)),
        }
    }
}

/// The octets of what is forwarded.
const fn octets(message: &Message) -> Option<usize> {
    match message {
        Message::Control(control) => Some(control.octets.len()),
        Message::Ppp(frame) => Some(frame.frame.len()),
        Message::Ask(_)
        | Message::Promise(_)
        | Message::AskRefused(_)
        | Message::Applied(_)
        | Message::Report(_) => None,
    }
}

#[cfg(test)]
mod tests;
