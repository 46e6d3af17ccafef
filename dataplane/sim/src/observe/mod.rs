//! Watches the node from outside, and says which invariant it breaks first.
//!
//! What is judged is what goes in and out: datagrams, instructions to the workers, events, and what the
//! node shows of itself. Each part keeps books of its own; none asks the node what it thinks. All of it
//! is done after every step and costs as much as the step, not as the node holds.
//!
//! | part | invariants |
//! |---|---|
//! | [`delivery`] | I10: control messages once and in order, windows, Nr, equal repeats |
//! | [`repeats`] | I10: what nobody acknowledges is sent again |
//! | [`calls`] | I5: who is up survives the node; I6 addresses, I7 ids, I8 one beginning and one end, I15 octets |
//! | [`rejection`] | I11: what is rejected changes nothing |
//! | [`deadlines`] | I12: no state without an exit |
//! | [`automaton`] | I13: LCP and IPCP as RFC 1661 has them |
//! | [`bounds`] | I16 and I17: limits, and the work for one input |
//! | [`policies`] | I19: the policies of sessions |
//! | [`standby`] | I9: who follows has what the active node has |
//!
//! A node may end and another one go on ([`Watch::succeeds`]). What LACs have seen is judged over all nodes;
//! what a node counts and shows of itself, and what its workers were told, begins anew with it.

mod automaton;
mod bounds;
mod calls;
mod deadlines;
mod delivery;
mod policies;
mod rejection;
mod repeats;
pub(crate) mod standby;
mod tape;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use lns_node::{Event, Node, SessionEnd};
use lns_tables::path::PathUpdate;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp::Packet;

use crate::world::{Estate, Origin, Watch};
use automaton::Automata;
use bounds::Bounds;
use calls::Calls;
use deadlines::Deadlines;
use delivery::Deliveries;
pub(crate) use delivery::Target;
use policies::Filters;
use rejection::Rejection;
pub use tape::{Record, Tape, Way};

/// The invariants of the node, by the numbers that the specification gives them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Invariant {
    /// Who is up when the node ends, and is stored, is up at the next one, and notices nothing.
    Survival,
    /// Who follows has what the active node has.
    Standby,
    /// What waits for the store leaves when it is stored, or the journal says that it is not.
    Commit,
    /// An address is never held by two sessions, and rests before it is given out again.
    Addresses,
    /// Ids are not used again inside the quarantine.
    Ids,
    /// A session has one beginning, one end and one reason.
    Endings,
    /// Control messages: once and in order, inside the window, Nr never back, equal repeats.
    Delivery,
    /// What is rejected changes nothing.
    Rejection,
    /// Every state has an exit.
    Deadlines,
    /// LCP and IPCP are the table of RFC 1661.
    Automaton,
    /// Every octet that is counted belongs to one session.
    Octets,
    /// Every table has its bound.
    Bounds,
    /// One input makes bounded work.
    Work,
    /// A session has the policies that the workers know of, and nobody who has gone has any.
    Policies,
    /// Once all is well again, everybody who wants to be up is, and once all have gone, nothing is left.
    Liveness,
    /// The node does not panic.
    Panic,
}

impl Invariant {
    /// Its number.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Survival => "I5",
            Self::Standby => "I9",
            Self::Commit => "output commit",
            Self::Addresses => "I6",
            Self::Ids => "I7",
            Self::Endings => "I8",
            Self::Delivery => "I10",
            Self::Rejection => "I11",
            Self::Deadlines => "I12",
            Self::Automaton => "I13",
            Self::Octets => "I15",
            Self::Bounds => "I16",
            Self::Work => "I17",
            Self::Policies => "I19",
            Self::Liveness => "liveness",
            Self::Panic => "panic",
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, on the world's clock.
    pub at: Instant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_millis();
        let (seconds, rest) = (millis / 1_000, millis % 1_000);
        write!(
            f,
            "at {seconds}.{rest:03} s: {}: {}",
            self.invariant.number(),
            self.what
        )
    }
}

/// What the node has been told of itself, as far as it limits what may be seen.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The shortest rest of an address in any configuration of the run. Zero where pools change: what is
    /// taken out of a pool and comes back is new to it.
    pub rest: Duration,
    /// Addresses that belong to users and need no rest.
    pub owned: Vec<core::net::Ipv4Addr>,
    /// The longest silence before a HELLO.
    pub hello: Duration,
    /// The longest silence of a subscriber that has echoes; zero: there are configurations without.
    pub echo: Duration,
    /// The longest session; zero: there are configurations without a limit.
    pub session: Duration,
    /// The most sessions.
    pub max_sessions: u32,
    /// How long something may wait for the store before it leaves.
    pub commit: Duration,
    /// There are default policies in every configuration.
    pub everybody_has_policies: bool,
}

/// The ids by which the node knows a session.
pub(crate) type Key = (TunnelId, SessionId);

/// Everything that watches.
#[derive(Debug)]
pub struct Observer {
    first: Option<Violation>,
    deliveries: Deliveries,
    calls: Calls,
    deadlines: Deadlines,
    automata: Automata,
    rejection: Rejection,
    bounds: Bounds,
    filters: Filters,
    tape: Tape,
    /// Ends of sessions, where somebody listens for them.
    ends: Option<Vec<SessionEnd>>,
}

/// What one part has found.
pub(crate) type Finding = Result<(), (Invariant, String)>;

impl Observer {
    /// One that has seen nothing. Where `records` says so, everything that it sees is kept.
    pub fn new(rules: &Rules, records: bool) -> Self {
        Self {
            first: None,
            deliveries: Deliveries::new(rules),
            calls: Calls::new(rules),
            deadlines: Deadlines::new(rules),
            automata: Automata::default(),
            rejection: Rejection::default(),
            bounds: Bounds::new(rules),
            filters: Filters::new(rules),
            tape: Tape::new(records),
            ends: None,
        }
    }

    /// The first invariant that was broken.
    pub const fn violation(&self) -> Option<&Violation> {
        self.first.as_ref()
    }

    /// Notes a violation that others have found.
    pub fn report(&mut self, invariant: Invariant, what: String, now: Instant) {
        self.note(Err((invariant, what)), now);
    }

    /// Timers are late until `until`, for the node does nothing before.
    pub fn excuse(&mut self, until: Instant) {
        self.deadlines.excuse(until);
        self.deliveries.excuse(until);
    }

    /// From now on a session may be as old as it likes.
    pub fn forget_limit(&mut self) {
        self.deadlines.forget_limit();
    }

    /// What was seen, as a number and, if it was kept, whole.
    pub const fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Sessions that have come up, and calls that were accepted.
    pub const fn counts(&self) -> (u64, u64) {
        self.calls.counts()
    }

    /// Compares all that the node shows with what was seen to happen: the costly part.
    pub fn audit(&mut self, node: &Node, now: Instant) {
        let found = self
            .calls
            .audit(node, now, self.deadlines.excused())
            .and_then(|()| self.bounds.audit(node, now))
            .and_then(|()| self.filters.audit(node, now));
        self.note(found, now);
    }

    /// Compares the node with the one that follows it.
    pub fn compare(&mut self, node: &Node, follower: &Node, now: Instant) {
        let found = standby::compare((node, now), (follower, now), standby::ROUNDED);
        self.note(found, now);
    }

    /// The octets that a session must have been counted for so far.
    pub fn octets(&self) -> impl Iterator<Item = (Key, u64)> {
        self.calls.octets()
    }

    /// From now on the ends of sessions are kept.
    pub fn listen_for_ends(&mut self) {
        self.ends = Some(Vec::new());
    }

    /// The ends that were kept; no more are.
    pub fn take_ends(&mut self) -> Vec<SessionEnd> {
        self.ends.take().unwrap_or_default()
    }

    /// The `n`-th tunnel, counted around.
    pub(crate) fn target(&self, n: usize) -> Option<Target> {
        self.deliveries.target(n)
    }

    /// The `n`-th session, counted around.
    pub(crate) fn session(&self, n: usize) -> Option<Key> {
        self.calls.nth(n)
    }

    fn note_opened(&mut self, now: Instant) {
        if let Some(tunnel) = self.deliveries.take_opened() {
            let reused = self.calls.tunnel_opened(tunnel, now);
            self.note(reused, now);
            self.deadlines.tunnel_opened(tunnel, now);
        }
    }

    fn note(&mut self, found: Finding, at: Instant) {
        if let (Err((invariant, what)), None) = (found, &self.first) {
            self.first = Some(Violation {
                invariant,
                at,
                what,
            });
        }
    }
}

impl Watch for Observer {
    fn receives(
        &mut self,
        origin: Origin,
        from: SocketAddr,
        octets: &[u8],
        node: &Node,
        now: Instant,
    ) {
        self.tape.note(Way::ToNode, from, octets, now);
        self.bounds.receives();
        let late = self.deliveries.judge(now);
        self.note(late, now);
        self.rejection.receives(origin, octets, node, now);
        match Packet::parse(octets) {
            Ok(Packet::Control(header, body)) => {
                self.deliveries.receives(from, header, body, now);
                self.calls.heard(header, body);
                for tunnel in self.deliveries.addressed() {
                    self.deadlines.heard_tunnel(*tunnel, now);
                }
            }
            Ok(Packet::Data(header, frame)) => {
                let key = (header.tunnel, header.session);
                if self.calls.is_from_there(header.tunnel, from) {
                    self.deadlines.heard_tunnel(header.tunnel, now);
                    self.deadlines.heard_session(key, frame, now);
                    self.calls.receives(key, frame);
                    if self.calls.is_told_apart(key) {
                        self.automata.receives(key, frame);
                    }
                }
            }
            Err(_) => {}
        }
    }

    fn says(&mut self, to: SocketAddr, octets: &[u8], now: Instant) {
        self.bounds.sends();
        match Packet::parse(octets) {
            Ok(Packet::Control(header, body)) => {
                self.deliveries.says(to, header, body, now);
                self.note_opened(now);
            }
            Ok(Packet::Data(header, frame)) => {
                if let Some(key) = self.calls.find(to, header.tunnel.0, header.session.0) {
                    self.deadlines.said(key, frame, now);
                    self.automata.sends(key, frame);
                }
            }
            // Told when it is sent.
            Err(_) => {}
        }
    }

    fn leaks(&mut self, to: SocketAddr, now: Instant) {
        let what = format!("what is sent to {to} tells of a change that is not stored");
        self.note(Err((Invariant::Commit, what)), now);
    }

    fn dies(&mut self, now: Instant) {
        self.tape.remark("the process ends", now);
        self.rejection.forget();
        self.automata.forget_input();
        self.bounds.forget();
    }

    fn succeeds(&mut self, node: &Node, known: &[PathUpdate], estate: &Estate, now: Instant) {
        self.tape.remark(
            &format!("another node goes on; lost: {:?}", estate.lost),
            now,
        );
        self.excuse(now);
        let found = self.calls.succeed(node, known, estate, now);
        self.note(found, now);
        let found = self.filters.succeed(known);
        self.note(found, now);
        let shown = node.tunnels(None, usize::MAX, now).0;
        self.deliveries.succeed(&shown, estate, now);
        self.deadlines.succeed(&shown, self.calls.kept(), now);
        self.automata.succeed(self.calls.kept());
    }

    fn sends(&mut self, to: SocketAddr, octets: &[u8], now: Instant) {
        self.tape.note(Way::FromNode, to, octets, now);
        let found = match Packet::parse(octets) {
            Ok(Packet::Control(header, body)) => {
                self.calls.said(to, header, body, now);
                let found = self.deliveries.sends(to, header, body, now);
                self.note_opened(now);
                found
            }
            Ok(Packet::Data(..)) => Ok(()),
            Err(error) => Err((
                Invariant::Delivery,
                format!("the node sent no L2TP: {error}"),
            )),
        };
        self.note(found, now);
    }

    fn path(&mut self, update: &PathUpdate, now: Instant) {
        self.tape.path(update, now);
        let found = self.calls.path(update, now);
        self.note(found, now);
        let found = self.filters.path(update);
        self.note(found, now);
        self.deadlines.path(update, now);
        self.automata.path(update);
        if let PathUpdate::ClearTunnel { tunnel } = update {
            self.deliveries.forget(*tunnel, now);
        }
    }

    fn event(&mut self, event: &Event, now: Instant) {
        self.tape.event(event, now);
        if let (Some(ends), Event::SessionDown(end)) = (&mut self.ends, event) {
            ends.push((**end).clone());
        }
        if let Event::TunnelDown { tunnel, .. } = event {
            self.deliveries.ended(*tunnel, now);
        }
        let found = self.calls.event(event);
        self.note(found, now);
        self.deadlines.event(event, now);
    }

    fn settled(&mut self, node: &Node, now: Instant) {
        let rejected = self.rejection.settled(node, now);
        self.note(rejected, now);
        let found = self.calls.settled(node);
        self.note(found, now);
        let found = self.automata.settled();
        self.note(found, now);
        let found = self.deadlines.settled(node, now);
        self.note(found, now);
        let late = self.deliveries.judge(now);
        self.note(late, now);
        let found = self.bounds.settled();
        self.note(found, now);
    }
}
