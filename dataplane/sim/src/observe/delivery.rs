//! I10: reliable delivery (RFC 2661, 5.8), judged by the numbers on the wire.
//!
//! Each new message of the node has the next Ns and is inside the window that the LAC offered; a repeat
//! has the octets of the first time but for Nr; Nr never goes back and never beyond what good messages
//! have come; each request for a call is answered once, and in the order in which they came. That what
//! nobody acknowledges is sent again is in [`super::repeats`].

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lns_crypto::Secret;
use lns_node::view;
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;
use lns_wire::l2tp::{Avps, ControlHeader, Message, MessageType, ParseError, Sccrp, kind, reveal};

use super::calls::succession::tunnel_of;
use super::deadlines::is_over;
use super::repeats::{Repeats, Rota};
use super::{Finding, Invariant, Rules};
use crate::config::SECRETS;
use crate::peers::hiding::Revealer;
use crate::peers::number::{after, is_older, steps};
use crate::world::Estate;

/// The LAC's window when it names none.
const WINDOW: u16 = 4;

/// So many messages wait in a node at most.
const QUEUE: u32 = 1_024;

/// Half a turn: what is further ahead is older.
const HALF: u32 = 0x8000;

/// A quarter of a turn: numbers further apart are not compared.
const FAR: u32 = 0x4000;

/// A tunnel that is over says its last by then.
const LAST_WORDS: Duration = Duration::from_secs(31);

/// So many offers of windows are remembered; hostile ones make the rest forgotten, and not judged.
const OFFERS: usize = 10_000;

/// So many tunnels that are over are remembered for what they say at last.
const OVER: usize = 1_000;

/// All control connections, by the node's id.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    tunnels: BTreeMap<TunnelId, Connection>,
    /// By where the node sends: `None` where two have the same, for one that is forgotten by its LAC.
    by_peer: BTreeMap<(SocketAddr, u16), Option<TunnelId>>,
    /// The windows that SCCRQs have offered, by where they came from and the id that they assigned: 0 where
    /// it is hidden. The answer may have to wait for the store.
    offered: BTreeMap<(SocketAddr, u16), u16>,
    /// Tunnels that are over, the first of them first.
    over: VecDeque<TunnelId>,
    addressed: Vec<TunnelId>,
    opened: Option<TunnelId>,
    rota: Rota,
}

/// What somebody who has overheard a tunnel knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The node's id.
    pub(crate) tunnel: TunnelId,
    /// Where its LAC is.
    pub(crate) from: SocketAddr,
    /// The numbers that its LAC sends next.
    pub(crate) ns: u16,
    /// See `ns`.
    pub(crate) nr: u16,
}

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
struct Connection {
    peer: (SocketAddr, u16),
    sccrp: Box<[u8]>,
    /// What the LAC takes.
    window: u32,
    /// What the node takes.
    own_window: u32,
    next: u16,
    /// What the node has said is before this; what is not before `next` has to wait for the store. A LAC that
    /// is wrong may acknowledge that, too.
    said: u16,
    /// So many of what waits are acknowledged.
    ahead: usize,
    /// Sent and not acknowledged by a good message, from the oldest on.
    unacknowledged: VecDeque<Sent>,
    nr: u16,
    /// All before it have come and are good.
    expected: u16,
    early: BTreeSet<u16>,
    /// The same over all nodes, with what a node that is gone has taken and may have stored.
    ceiling: u16,
    early_ever: BTreeSet<u16>,
    /// Requests for calls that no answer was seen to, by the LAC's id.
    asked: BTreeMap<u16, VecDeque<u16>>,
    /// The request that was answered last.
    answered: u16,
    /// Ids are hidden, or lost with a node: who answers what cannot be seen.
    hides: bool,
    has_secret: bool,
    over: Option<Instant>,
    repeats: Repeats,
    /// When the node said its StopCCN the LAC had not shown where it is.
    is_told_once: bool,
    /// Another node has taken it over. It does not know which of what is stored has left, so it may say the
    /// SCCRP once more, and a ZLB as if all had.
    is_inherited: bool,
    /// What the node says in it cannot be told from what it says in another.
    is_mixed: bool,
}

#[derive(Debug)]
struct Sent {
    session: u16,
    body: Box<[u8]>,
    /// By a node that is gone: a HELLO may take its number, where it is for nobody any more.
    is_inherited: bool,
}

impl Deliveries {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            rota: Rota::new(rules.commit),
            ..Self::default()
        }
    }

    /// Another node goes on. LACs do not know of that, so what was seen of a tunnel holds on, but where
    /// something has left that was not stored: of those tunnels nothing is judged any more. A tunnel whose end
    /// was not stored goes on.
    pub(super) fn succeed(&mut self, shown: &[view::Tunnel], estate: &Estate, now: Instant) {
        for tunnel in estate.revealed.iter().copied().map(tunnel_of) {
            if let Some(connection) = self.tunnels.get_mut(&tunnel) {
                connection.is_mixed = true;
                self.by_peer.insert(connection.peer, None);
            }
        }
        let alive = shown.iter().filter(|it| !is_over(it));
        let alive: BTreeSet<_> = alive.map(|it| TunnelId(it.id)).collect();
        self.over.retain(|tunnel| !alive.contains(tunnel));
        let mut over = Vec::new();
        for (tunnel, connection) in &mut self.tunnels {
            connection.inherit(now);
            if alive.contains(tunnel) {
                connection.over = None;
                connection.repeats.goes_on();
                self.rota.arm(*tunnel, &mut connection.repeats);
            } else {
                connection.repeats.ended(now);
                over.push(*tunnel);
            }
        }
        for tunnel in over {
            self.forget(tunnel, now);
            let known = self.tunnels.get(&tunnel);
            let has_answered = known.is_some_and(|it| it.next != 0 || it.is_mixed);
            if !has_answered {
                // Nobody has ever heard of it.
                self.over.retain(|over| *over != tunnel);
                self.remove(tunnel);
            }
        }
    }

    /// A control message is about to be given to the node.
    pub(super) fn receives(
        &mut self,
        from: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        self.addressed.clear();
        if MessageType::peek(body) == Ok(MessageType::Sccrq) {
            let assigned = avp(body, kind::ASSIGNED_TUNNEL_ID).unwrap_or_default();
            let window = avp(body, kind::RECEIVE_WINDOW_SIZE).unwrap_or(WINDOW);
            if self.offered.len() >= OFFERS {
                self.offered.clear();
            }
            self.offered.insert((from, assigned), window);
        }
        if header.tunnel.is_none() {
            let peer = avp(body, kind::ASSIGNED_TUNNEL_ID).map(|peer| (from, peer));
            match peer.map(|peer| self.by_peer.get(&peer)) {
                Some(Some(Some(tunnel))) => self.addressed.push(*tunnel),
                Some(None) => {}
                // Which one cannot be told, of two under one id or where the id is hidden.
                Some(Some(None)) | None => {
                    let all = self.tunnels.iter().filter(|(_, it)| it.peer.0 == from);
                    self.addressed.extend(all.map(|(tunnel, _)| *tunnel));
                }
            }
        } else {
            self.addressed.push(header.tunnel);
        }
        let (tunnels, rota) = (&mut self.tunnels, &mut self.rota);
        self.addressed.retain(|tunnel| {
            let connection = tunnels.get_mut(tunnel).filter(|it| it.peer.0 == from);
            connection.is_some_and(|it| {
                let is_good = it.receives(header, body, now);
                rota.arm(*tunnel, &mut it.repeats);
                is_good
            })
        });
    }

    /// Timers are late until `until`, for the node does nothing before.
    pub(super) fn excuse(&mut self, until: Instant) {
        self.rota.excuse(until);
    }

    /// The node has said that a tunnel is over.
    pub(super) fn ended(&mut self, tunnel: TunnelId, now: Instant) {
        if let Some(connection) = self.tunnels.get_mut(&tunnel) {
            connection.repeats.ended(now);
        }
    }

    /// What must have been sent again by now was.
    pub(super) fn judge(&mut self, now: Instant) -> Finding {
        while let Some(tunnel) = self.rota.next(now) {
            let Some(connection) = self.tunnels.get_mut(&tunnel) else {
                continue;
            };
            if connection.is_watched() {
                let judged = self.rota.judge(&mut connection.repeats, now);
                judged.map_err(|what| of(tunnel, &what))?;
                self.rota.arm(tunnel, &mut connection.repeats);
            }
        }
        Ok(())
    }

    /// The tunnels that the last message was for, if it was a good one: more than one where a LAC has
    /// opened another under the same id.
    pub(super) fn addressed(&self) -> &[TunnelId] {
        &self.addressed
    }

    /// The tunnel that has just been answered for the first time.
    pub(super) const fn take_opened(&mut self) -> Option<TunnelId> {
        self.opened.take()
    }

    /// The `n`-th tunnel, counted around: what somebody who has overheard it could know.
    pub(super) fn target(&self, n: usize) -> Option<Target> {
        let place = n.checked_rem(self.tunnels.len())?;
        let (tunnel, connection) = self.tunnels.iter().nth(place)?;
        Some(Target {
            tunnel: *tunnel,
            from: connection.peer.0,
            ns: connection.expected,
            nr: connection.next,
        })
    }

    /// The tunnel is over. Its last messages go out after this, and are judged as before; its id may
    /// come again.
    pub(super) fn forget(&mut self, tunnel: TunnelId, now: Instant) {
        let Some(connection) = self.tunnels.get_mut(&tunnel) else {
            return;
        };
        if connection.over.is_some() {
            return;
        }
        connection.over = Some(now);
        self.over.push_back(tunnel);
        if self.over.len() > OVER
            && let Some(oldest) = self.over.pop_front()
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, tunnel: TunnelId) {
        if let Some(gone) = self
            .tunnels
            .remove_entry(&tunnel)
            .filter(|(_, it)| it.over.is_some())
            && self.by_peer.get(&gone.1.peer).copied().flatten() == Some(tunnel)
        {
            self.by_peer.remove(&gone.1.peer);
        }
    }

    /// The node wants a control message sent.
    pub(super) fn says(
        &mut self,
        to: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        if let Ok(Message::Sccrp(sccrp)) = Message::parse(body) {
            self.open((to, header.tunnel.0), &sccrp, body, true, now);
        }
        let tunnel = self.by_peer.get(&(to, header.tunnel.0)).copied().flatten();
        let connection = tunnel.and_then(|tunnel| self.tunnels.get_mut(&tunnel));
        let is_refusal = header.ns.0 == 0 && avp(body, kind::ASSIGNED_TUNNEL_ID) == Some(0);
        if let Some(connection) = connection.filter(|it| it.said == header.ns.0)
            && !body.is_empty()
            && !is_refusal
        {
            connection.said = after(header.ns.0, 1);
            connection.is_told_once |= connection.expected == 1 && is_stop(body);
        }
    }

    /// The node sent a control message.
    pub(super) fn sends(
        &mut self,
        to: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) -> Finding {
        let peer = (to, header.tunnel.0);
        if let Ok(Message::Sccrp(sccrp)) = Message::parse(body) {
            self.open(peer, &sccrp, body, false, now);
        }
        let Some(tunnel) = self.by_peer.get(&peer).copied().flatten() else {
            return Ok(());
        };
        let Some(connection) = self.tunnels.get_mut(&tunnel) else {
            return Ok(());
        };
        if connection.is_mixed {
            return Ok(());
        }
        // A refusal is of no tunnel.
        if header.ns.0 == 0 && avp(body, kind::ASSIGNED_TUNNEL_ID) == Some(0) {
            return Ok(());
        }
        if connection.is_watched() && Some(header.ns.0) == connection.oldest() {
            let judged = self.rota.judge(&mut connection.repeats, now);
            judged.map_err(|what| of(tunnel, &what))?;
        }
        let found = connection.sends(header, body, now);
        self.rota.arm(tunnel, &mut connection.repeats);
        found.map_err(|what| of(tunnel, &what))
    }

    /// An answer to a request: `is_new`, or one that may have waited since it was.
    fn open(
        &mut self,
        peer: (SocketAddr, u16),
        sccrp: &Sccrp<'_>,
        body: &[u8],
        is_new: bool,
        now: Instant,
    ) {
        let tunnel = TunnelId(sccrp.assigned_tunnel.0);
        match self.tunnels.get(&tunnel) {
            Some(known) if known.over.is_none() => return,
            Some(known) if *known.sccrp == *body && !is_new => return,
            Some(known) if known.is_said_again(body, now) => return,
            Some(_) | None => {}
        }
        self.over.retain(|over| *over != tunnel);
        self.remove(tunnel);
        // A LAC that has begun anew under the same id may still be told something of the old tunnel.
        let known = self.by_peer.get(&peer).copied();
        self.by_peer.insert(peer, known.is_none().then_some(tunnel));
        if let Some(other) = known
            .flatten()
            .and_then(|other| self.tunnels.get_mut(&other))
        {
            other.is_mixed = true;
        }
        let offered = self.offered.get(&peer);
        let offered = offered.or_else(|| self.offered.get(&(peer.0, 0)));
        let offered = offered.copied().unwrap_or(u16::MAX);
        let mut connection = Connection::new(peer, offered, sccrp.receive_window);
        connection.sccrp = body.into();
        // The node challenges wherever there is a secret.
        connection.has_secret = sccrp.challenge.is_some();
        connection.is_mixed = known.is_some();
        self.tunnels.insert(tunnel, connection);
        self.opened = Some(tunnel);
    }
}

impl Connection {
    fn new(peer: (SocketAddr, u16), window: u16, own_window: Option<u16>) -> Self {
        Self {
            peer,
            sccrp: Box::default(),
            window: u32::from(window.max(1)),
            own_window: u32::from(own_window.unwrap_or(WINDOW)),
            next: 0,
            said: 0,
            ahead: 0,
            unacknowledged: VecDeque::new(),
            nr: 1,
            expected: 1,
            early: BTreeSet::new(),
            ceiling: 1,
            early_ever: BTreeSet::new(),
            asked: BTreeMap::new(),
            answered: 0,
            hides: false,
            has_secret: false,
            over: None,
            repeats: Repeats::default(),
            is_told_once: false,
            is_inherited: false,
            is_mixed: false,
        }
    }

    /// Another node has it: what waited to leave has not. What the node before had taken and not acknowledged
    /// may come again, or something else under its numbers; whether the next one has it cannot be seen.
    fn inherit(&mut self, now: Instant) {
        self.is_inherited = true;
        self.repeats.begins(!self.unacknowledged.is_empty(), now);
        self.said = self.next;
        self.ahead = 0;
        if self.expected != self.nr || !self.early.is_empty() {
            self.hides = true;
            self.expected = self.nr;
            self.early.clear();
        }
        for sent in &mut self.unacknowledged {
            sent.is_inherited = true;
        }
    }

    /// Whether `body` is the SCCRP, which nobody is known to have acknowledged.
    fn is_said_again(&self, body: &[u8], now: Instant) -> bool {
        let is_late = self.over.is_some_and(|at| now.since(at) > LAST_WORDS);
        let is_last_word = !is_late && (self.is_mixed || self.first() == 0);
        *self.sccrp == *body && (is_last_word || self.is_inherited)
    }

    /// Whether it can be seen what the node must say again: a LAC that has not shown where it is has to
    /// ask again itself.
    fn is_watched(&self) -> bool {
        !self.is_mixed && self.expected != 1
    }

    /// The number of the oldest that is not acknowledged.
    fn oldest(&self) -> Option<u16> {
        (!self.unacknowledged.is_empty()).then(|| self.first())
    }

    fn first(&self) -> u16 {
        after(self.next, 0x1_0000 - self.unacknowledged.len() + self.ahead)
    }

    /// Whether the message is good: it can be read, and acknowledges nothing that was not sent.
    fn receives(&mut self, header: ControlHeader, body: &[u8], now: Instant) -> bool {
        if self.is_mixed {
            return true;
        }
        let acknowledged = usize::try_from(steps(self.first(), header.nr.0)).expect("small");
        let said = usize::try_from(steps(self.first(), self.said)).expect("small");
        let is_new = acknowledged <= said;
        if !is_new && !is_older(header.nr.0, self.first()) {
            // What the node before had queued may be acknowledged, and nobody here has seen how much it was:
            // by a LAC that is wrong, or somebody else. Nothing more can be told of this tunnel.
            // What the node before has seen acknowledged the next one may not know: the half turn that is older
            // is another for it.
            let ahead = steps(self.next, header.nr.0);
            let is_near = ahead <= QUEUE || ahead >= HALF - QUEUE;
            self.is_mixed |= self.is_inherited && is_near;
            return self.is_mixed;
        }
        if !body.is_empty() && !self.can_read(body) {
            return false;
        }
        let ns = header.ns.0;
        let ahead = steps(self.expected, ns);
        let is_old = is_older(ns, self.expected) || self.early.contains(&ns);
        if !body.is_empty() && !is_old && ahead >= self.own_window {
            return false;
        }
        if header.tunnel.is_none() && !is_old && !is_stop(body) {
            return false;
        }
        if is_new {
            let left = acknowledged.min(self.unacknowledged.len());
            self.unacknowledged.drain(..left);
            self.ahead += acknowledged - left;
        }
        if acknowledged > 0 && is_new {
            self.repeats.begins(!self.unacknowledged.is_empty(), now);
        }
        if body.is_empty() || is_old {
            return true;
        }
        if is_stop(body) {
            self.repeats.stopped();
        }
        let was_doubtful = self.expected == 1;
        self.note_request(ns, body);
        self.early.insert(ns);
        while self.early.remove(&self.expected) {
            self.expected = after(self.expected, 1);
        }
        if !is_older(ns, self.ceiling) {
            self.early_ever.insert(ns);
        }
        while self.early_ever.remove(&self.ceiling) {
            self.ceiling = after(self.ceiling, 1);
        }
        if was_doubtful && self.expected != 1 {
            self.repeats.proven(now);
        }
        if steps(self.answered, self.expected) > FAR {
            // Much else has been said since: the numbers have gone on.
            self.answered = after(self.expected, 0x1_0000 - usize::try_from(FAR).unwrap_or(0));
        }
        true
    }

    /// Whether the node can read a body, or knows at least how to answer it.
    fn can_read(&self, body: &[u8]) -> bool {
        let secrets = SECRETS.map(|secret| Some(Secret::new(secret.as_bytes())));
        let secrets = if self.has_secret {
            &secrets
        } else {
            &[None][..]
        };
        secrets.iter().any(
            |secret| match reveal(body, &mut Revealer(secret.as_ref())) {
                Ok(clear) => !Message::parse(&clear).is_err_and(ParseError::is_malformed),
                Err(error) => !error.is_malformed(),
            },
        )
    }

    fn note_request(&mut self, ns: u16, body: &[u8]) {
        let peer = match Message::parse(body) {
            Ok(Message::Icrq(icrq)) => icrq.assigned_session.0,
            Ok(Message::Ocrq(ocrq)) => ocrq.assigned_session.0,
            Ok(_) => return,
            Err(_) => {
                // Hidden, or wrong in a way that is answered.
                self.hides = true;
                return;
            }
        };
        // A wrong LAC may ask for one call under two numbers: the older has its turn first.
        let asked = self.asked.entry(peer).or_default();
        let place = asked.iter().position(|other| is_older(ns, *other));
        asked.insert(place.unwrap_or(asked.len()), ns);
    }

    fn sends(&mut self, header: ControlHeader, body: &[u8], now: Instant) -> Result<(), String> {
        let (ns, nr) = (header.ns.0, header.nr.0);
        let (allowed, said) = (steps(self.nr, self.ceiling), steps(self.nr, nr));
        if said > allowed {
            let how = if is_older(nr, self.nr) {
                "back to"
            } else {
                "ahead to"
            };
            let (before, most) = (self.nr, self.ceiling);
            return Err(format!(
                "Nr went from {before} {how} {nr}; {most} is expected"
            ));
        }
        self.nr = nr;
        if is_older(self.expected, nr) {
            // So the node has it, whoever has taken it.
            self.expected = nr;
            self.early.retain(|ns| !is_older(*ns, nr));
            while self.early.remove(&self.expected) {
                self.expected = after(self.expected, 1);
            }
        }
        if body.is_empty() {
            let is_ahead = self.is_inherited && !is_older(ns, self.next);
            return if ns == self.next || is_ahead {
                Ok(())
            } else {
                Err(format!("a ZLB with Ns {ns}; the next is {}", self.next))
            };
        }
        let sent = Sent {
            session: header.session.0,
            body: body.into(),
            is_inherited: false,
        };
        if ns == self.next {
            self.sends_new(ns, sent, now)
        } else {
            self.sends_again(ns, sent, now)
        }
    }

    fn sends_new(&mut self, ns: u16, sent: Sent, now: Instant) -> Result<(), String> {
        self.answers(&sent)?;
        let is_told_once = (self.expected == 1 || self.is_told_once) && is_stop(&sent.body);
        if is_told_once {
            // A LAC that has not shown where it is is told once, and the SCCRP is taken back.
            self.unacknowledged.clear();
            self.repeats.begins(false, now);
        }
        self.next = after(ns, 1);
        if is_older(self.said, self.next) {
            self.said = self.next;
        }
        if let Some(ahead) = self.ahead.checked_sub(1) {
            self.ahead = ahead;
            return Ok(());
        }
        self.repeats.sent(is_stop(&sent.body) && !is_told_once, now);
        self.unacknowledged.push_back(sent);
        let under_way = u32::try_from(self.unacknowledged.len()).expect("a window");
        if under_way > self.window {
            let window = self.window;
            return Err(format!(
                "{under_way} messages under way; the LAC takes {window}"
            ));
        }
        Ok(())
    }

    fn sends_again(&mut self, ns: u16, sent: Sent, now: Instant) -> Result<(), String> {
        if !is_older(ns, self.next) {
            return Err(format!("Ns {ns} is sent; the next is {}", self.next));
        }
        // What a message acknowledged that the node had no room for may be sent again.
        let Some(place) = Some(steps(self.first(), ns))
            .and_then(|place| usize::try_from(place).ok())
            .filter(|place| *place < self.unacknowledged.len())
        else {
            if self.is_inherited {
                // It begins with what only the node before has seen acknowledged, and the rest has to wait.
                self.repeats.repeated(now);
            }
            return Ok(());
        };
        if place == 0 {
            self.repeats.repeated(now);
        }
        let before = &mut self.unacknowledged[place];
        let is_equal = (before.session, &before.body) == (sent.session, &sent.body);
        let is_filled = before.is_inherited && is_hello(&sent.body);
        if !is_equal && !is_filled {
            return Err(format!("Ns {ns} is sent again with other octets"));
        }
        *before = sent;
        Ok(())
    }

    /// An ICRP, or the CDN of a call that never was, answers one request.
    fn answers(&mut self, sent: &Sent) -> Result<(), String> {
        if self.hides {
            return Ok(());
        }
        let is_answer = match Message::parse(&sent.body) {
            Ok(Message::Icrp(_)) => true,
            Ok(Message::Cdn(cdn)) => cdn.assigned_session.is_none(),
            Ok(_) | Err(_) => false,
        };
        if !is_answer {
            return Ok(());
        }
        let peer = sent.session;
        let asked = self.asked.get_mut(&peer).and_then(VecDeque::pop_front);
        let Some(asked) = asked else {
            return Err(format!(
                "call {peer} of the LAC is answered more often than asked for"
            ));
        };
        if self.asked.get(&peer).is_some_and(VecDeque::is_empty) {
            self.asked.remove(&peer);
        }
        let before = core::mem::replace(&mut self.answered, asked);
        if is_older(asked, before) {
            return Err(format!(
                "request {asked} is answered after request {before}"
            ));
        }
        if steps(asked, self.expected) == 0 || is_older(self.expected, asked) {
            return Err(format!(
                "request {asked} is answered before it has its turn"
            ));
        }
        Ok(())
    }
}

fn of(tunnel: TunnelId, what: &str) -> (Invariant, String) {
    (Invariant::Delivery, format!("tunnel {tunnel}: {what}"))
}

/// Whether it says nothing.
fn is_hello(body: &[u8]) -> bool {
    MessageType::peek(body) == Ok(MessageType::Hello)
}

/// Whether it is the one message that may name no tunnel while one is being opened.
fn is_stop(body: &[u8]) -> bool {
    MessageType::peek(body) == Ok(MessageType::StopCcn)
}

/// The first two octets of an AVP of that kind, if it is in clear.
fn avp(body: &[u8], wanted: u16) -> Option<u16> {
    let mut avps = Avps::new(body).map_while(Result::ok);
    let found = avps.find(|avp| avp.is_readable() && avp.kind == wanted)?;
    let octets = found.value.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*octets))
}
