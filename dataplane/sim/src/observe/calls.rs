//! I6, I7, I8 and I15: who holds which address and which ids, how calls begin and end, and whose octets
//! are counted. The book is kept from the instructions to the workers and the events.

pub(super) mod succession;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use lns_node::{Event, Node, Stage, view};
use lns_tables::path::{PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp::{ControlHeader, MessageType, assigned_session};
use lns_wire::ppp::{Frame, Protocol};

use super::{Finding, Invariant, Key, Rules};

/// How long an id rests (RFC 2661, 5.7: a LAC's full cycle of repeats).
const QUARANTINE: Duration = Duration::from_secs(31);

/// A LAC is told of the end of a call in this time, or its tunnel is given up.
const TELLING: Duration = Duration::from_secs(40);

/// The book of tunnels and calls.
#[derive(Debug)]
pub(super) struct Calls {
    rest: Duration,
    owned: Vec<Ipv4Addr>,
    live: BTreeMap<Key, Life>,
    by_slot: BTreeMap<SlotIndex, Key>,
    /// Cleared, and their end not told yet: whether they were up, and where their LAC is.
    cleared: BTreeMap<Key, (bool, Option<Peer>)>,
    ended: BTreeMap<Key, Instant>,
    holders: BTreeMap<Ipv4Addr, Key>,
    released: BTreeMap<Ipv4Addr, (Instant, Key)>,
    tunnels: BTreeMap<TunnelId, TunnelPath>,
    tunnels_up: BTreeSet<TunnelId>,
    tunnels_ended: BTreeMap<TunnelId, Instant>,
    /// The node's ids by where it sends.
    by_peer: BTreeMap<Peer, Vec<Key>>,
    /// Sessions that the node has ended, and since when their LAC is to be told.
    untold: BTreeMap<Peer, (Key, Instant)>,
    /// When the node last said something in a tunnel that may have had to wait.
    last_said: BTreeMap<(SocketAddr, u16), Instant>,
    /// Sessions that their LAC has ended: it is told nothing.
    ended_by_lac: BTreeSet<Key>,
    /// The same by the LAC's own id; `None`: it was hidden.
    named_by_lac: BTreeSet<(TunnelId, Option<u16>)>,
    up: u32,
    set_up: u64,
    accepted: u64,
    changed: bool,
}

/// A call as its LAC has it: where that is, its id of the tunnel, its id of the session.
type Peer = (SocketAddr, u16, u16);

/// One call.
#[derive(Debug)]
struct Life {
    slot: SlotIndex,
    path: SessionPath,
    up: bool,
    octets: u64,
    peer: Option<Peer>,
    is_mixed: bool,
}

impl Calls {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            rest: rules.rest,
            owned: rules.owned.clone(),
            live: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            cleared: BTreeMap::new(),
            ended: BTreeMap::new(),
            holders: BTreeMap::new(),
            released: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            tunnels_up: BTreeSet::new(),
            tunnels_ended: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            untold: BTreeMap::new(),
            last_said: BTreeMap::new(),
            ended_by_lac: BTreeSet::new(),
            named_by_lac: BTreeSet::new(),
            up: 0,
            set_up: 0,
            accepted: 0,
            changed: true,
        }
    }

    /// Sessions that have come up, and calls that were accepted.
    pub(super) const fn counts(&self) -> (u64, u64) {
        (self.set_up, self.accepted)
    }

    /// The `n`-th session, counted around.
    pub(super) fn nth(&self, n: usize) -> Option<Key> {
        let place = n.checked_rem(self.live.len())?;
        self.live.keys().nth(place).copied()
    }

    /// Whether `from` is the other end of a tunnel.
    pub(super) fn is_from_there(&self, tunnel: TunnelId, from: SocketAddr) -> bool {
        self.tunnels
            .get(&tunnel)
            .is_some_and(|path| path.remote == from)
    }

    /// The session that the node sends to so.
    pub(super) fn find(&self, to: SocketAddr, tunnel: u16, session: u16) -> Option<Key> {
        let keys = self.by_peer.get(&(to, tunnel, session))?;
        keys.first().copied().filter(|key| self.is_told_apart(*key))
    }

    /// Whether what the node says in a session can be told from what it says in others. A LAC that
    /// gives one id to two calls has made that impossible for both.
    pub(super) fn is_told_apart(&self, key: Key) -> bool {
        self.live.get(&key).is_some_and(|life| !life.is_mixed)
    }

    /// A data message of a session is about to be given to the workers.
    pub(super) fn receives(&mut self, key: Key, frame: &[u8]) {
        let Some(life) = self.live.get_mut(&key) else {
            return;
        };
        let packet = match Frame::parse(frame) {
            Ok(frame) if frame.protocol == Protocol::IPV4 => frame.information,
            Ok(_) | Err(_) => return,
        };
        let source = packet
            .get(12..16)
            .and_then(|it| <[u8; 4]>::try_from(it).ok());
        if source.is_some() && source == life.path.address.map(|it| it.octets()) {
            life.octets += u64::try_from(packet.len()).expect("a packet");
        }
    }

    /// What each live session must have been counted for.
    pub(super) fn octets(&self) -> impl Iterator<Item = (Key, u64)> {
        self.live.iter().map(|(key, life)| (*key, life.octets))
    }

    /// A tunnel was answered for the first time.
    pub(super) fn tunnel_opened(&mut self, tunnel: TunnelId, now: Instant) -> Finding {
        let ended = self.tunnels_ended.remove(&tunnel);
        if ended.is_some_and(|at| now.since(at) < QUARANTINE) {
            return ids(format!(
                "tunnel {tunnel} is there again after {:?}",
                now - ended.unwrap_or(now)
            ));
        }
        if tunnel.is_none() {
            return ids("tunnel 0 is given out".to_owned());
        }
        Ok(())
    }

    pub(super) fn path(&mut self, update: &PathUpdate, now: Instant) -> Finding {
        match *update {
            PathUpdate::SetTunnel { tunnel, path } => {
                self.tunnels.insert(tunnel, path);
                Ok(())
            }
            PathUpdate::ClearTunnel { tunnel } => {
                self.tunnels.remove(&tunnel);
                self.tunnels_ended.insert(tunnel, now);
                let range = (tunnel, SessionId(0))..=(tunnel, SessionId(u16::MAX));
                match self.live.range(range).next() {
                    Some((key, _)) => ending(format!(
                        "tunnel {tunnel} is cleared before its session {key:?}"
                    )),
                    None => Ok(()),
                }
            }
            PathUpdate::SetSession { slot, path } => self.set(slot, path, now),
            PathUpdate::ClearSession {
                slot,
                tunnel,
                session,
            } => self.clear(slot, (tunnel, session), now),
            PathUpdate::SetPolicies { .. }
            | PathUpdate::SetRoute { .. }
            | PathUpdate::ClearRoute { .. }
            | PathUpdate::ReportSession { .. }
            | PathUpdate::ReportTunnel { .. } => Ok(()),
        }
    }

    fn set(&mut self, slot: SlotIndex, path: SessionPath, now: Instant) -> Finding {
        let key = (path.tunnel, path.session);
        let before = match self.live.get_mut(&key) {
            Some(life) if life.slot == slot => core::mem::replace(&mut life.path, path).address,
            Some(life) => {
                return ids(format!(
                    "{key:?} is in slot {} and in slot {}",
                    life.slot.0, slot.0
                ));
            }
            None => {
                self.begin(slot, path, now)?;
                None
            }
        };
        if before == path.address {
            return Ok(());
        }
        self.let_go(key, before, now);
        path.address
            .map_or(Ok(()), |address| self.hold(key, address, now))
    }

    fn begin(&mut self, slot: SlotIndex, path: SessionPath, now: Instant) -> Finding {
        let key = (path.tunnel, path.session);
        self.changed = true;
        self.accepted += 1;
        if let Some(other) = self.enter(slot, path, false) {
            return ids(format!("slot {} of {other:?} is given to {key:?}", slot.0));
        }
        let ended = self.ended.remove(&key);
        if let Some(at) = ended.filter(|at| now.since(*at) < QUARANTINE) {
            return ids(format!("{key:?} is there again after {:?}", now - at));
        }
        if path.session.is_none() {
            return ids(format!("session 0 of tunnel {} is given out", path.tunnel));
        }
        Ok(())
    }

    /// Enters a call. Who has its slot already, if somebody has.
    fn enter(&mut self, slot: SlotIndex, path: SessionPath, up: bool) -> Option<Key> {
        let key = (path.tunnel, path.session);
        let other = self.by_slot.insert(slot, key);
        let peer = self.tunnels.get(&path.tunnel);
        let peer = peer.map(|it| (it.remote, it.peer_tunnel.0, path.peer_session.0));
        let others = peer.map(|peer| self.by_peer.entry(peer).or_default());
        let is_mixed = others.is_some_and(|others| {
            others.push(key);
            for other in others.iter() {
                if let Some(other) = self.live.get_mut(other) {
                    other.is_mixed = true;
                }
            }
            others.len() > 1
        });
        let life = Life {
            is_mixed,
            slot,
            path,
            up,
            octets: 0,
            peer,
        };
        self.live.insert(key, life);
        other
    }

    fn clear(&mut self, slot: SlotIndex, key: Key, now: Instant) -> Finding {
        self.changed = true;
        let Some(life) = self.live.remove(&key).filter(|life| life.slot == slot) else {
            return ending(format!("{key:?} ends, and is not there"));
        };
        self.by_slot.remove(&slot);
        if let Some(peer) = life.peer
            && let Some(keys) = self.by_peer.get_mut(&peer)
        {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
        self.let_go(key, life.path.address, now);
        self.ended.insert(key, now);
        if self.ended.len() > 100_000 {
            self.ended.retain(|_, at| now.since(*at) < QUARANTINE);
        }
        let named = Some(life.path.peer_session.0);
        let is_told = self.ended_by_lac.remove(&key)
            || self.named_by_lac.remove(&(key.0, named))
            || self.named_by_lac.contains(&(key.0, None))
            || !self.tunnels_up.contains(&key.0);
        if let Some(peer) = life.peer.filter(|_| !is_told) {
            self.untold.insert(peer, (key, now));
        }
        self.cleared.insert(key, (life.up, life.peer));
        Ok(())
    }

    fn hold(&mut self, key: Key, address: Ipv4Addr, now: Instant) -> Finding {
        if let Some(other) = self.holders.insert(address, key) {
            let what = format!("{address} of {other:?} is given to {key:?}");
            return Err((Invariant::Addresses, what));
        }
        if self.owned.contains(&address) {
            return Ok(());
        }
        match self.released.remove(&address) {
            Some((at, other)) if other != key && now.since(at) < self.rest => {
                let after = now - at;
                let what = format!("{address} of {other:?} is given to {key:?} after {after:?}");
                Err((Invariant::Addresses, what))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn let_go(&mut self, key: Key, address: Option<Ipv4Addr>, now: Instant) {
        if let Some(address) = address {
            self.holders.remove(&address);
            self.released.insert(address, (now, key));
        }
    }

    /// A LAC said something of a call: if that is its end, it knows of it.
    pub(super) fn heard(&mut self, header: ControlHeader, body: &[u8]) {
        if MessageType::peek(body) != Ok(MessageType::Cdn) {
            return;
        }
        let tunnel = header.tunnel;
        if !header.session.is_none() {
            self.ended_by_lac.insert((tunnel, header.session));
            return;
        }
        // The id that the LAC gave it names it too, also before the call is there: its request may still
        // wait for its turn. Where ids are hidden, any call of the tunnel may be meant.
        let named = assigned_session(body).map(|peer| peer.0);
        self.named_by_lac.insert((tunnel, named));
    }

    /// The node said something of a call.
    pub(super) fn said(
        &mut self,
        to: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        let kind = MessageType::peek(body);
        if kind == Ok(MessageType::Cdn) {
            self.untold.remove(&(to, header.tunnel.0, header.session.0));
        }
        // What is said goes out in order, and a HELLO only when nothing else waits.
        if !body.is_empty() && kind != Ok(MessageType::Hello) {
            self.last_said.insert((to, header.tunnel.0), now);
        }
    }

    /// A LAC that hears of the end of its tunnel hears of all its calls.
    fn tunnel_ended(&mut self, tunnel: TunnelId) {
        self.tunnels_up.remove(&tunnel);
        self.untold.retain(|_, (key, _)| key.0 != tunnel);
        self.ended_by_lac.retain(|key| key.0 != tunnel);
        self.named_by_lac.retain(|(of, _)| *of != tunnel);
    }

    pub(super) fn event(&mut self, event: &Event) -> Finding {
        self.changed = true;
        match event {
            Event::SessionUp {
                tunnel, session, ..
            } => self.came_up((*tunnel, *session)),
            Event::SessionDown(end) => {
                let key = (end.tunnel, end.session);
                let cleared = self.cleared.remove(&key);
                let peer = cleared.and_then(|(_, peer)| peer);
                if let Some(peer) = peer.filter(|_| end.reason == "tunnel_closed") {
                    self.untold.remove(&peer);
                }
                match cleared.map(|(up, _)| up) {
                    None => ending(format!("an end of {key:?} is told that was none")),
                    Some(up) if up != end.up.is_some() => ending(format!(
                        "{key:?} was up: {up}; its end says {}",
                        end.up.is_some()
                    )),
                    Some(_) if end.reason.is_empty() => ending(format!("{key:?} ends for nothing")),
                    Some(up) => {
                        self.up -= u32::from(up);
                        Ok(())
                    }
                }
            }
            Event::TunnelUp { tunnel, .. } => {
                if self.tunnels_up.insert(*tunnel) {
                    Ok(())
                } else {
                    ending(format!("tunnel {tunnel} comes up twice"))
                }
            }
            Event::TunnelDown { tunnel, .. } => {
                self.tunnel_ended(*tunnel);
                Ok(())
            }
            Event::CallRefused { .. } | Event::LacRefused { .. } => Ok(()),
        }
    }

    fn came_up(&mut self, key: Key) -> Finding {
        let up = match self.live.get_mut(&key) {
            Some(life) => &mut life.up,
            None => match self.cleared.get_mut(&key) {
                Some((up, _)) => up,
                None => return ending(format!("{key:?} comes up, and is not there")),
            },
        };
        self.up += 1;
        self.set_up += 1;
        if core::mem::replace(up, true) {
            return ending(format!("{key:?} comes up twice"));
        }
        Ok(())
    }

    /// What the node counts is what has happened.
    pub(super) fn settled(&mut self, node: &Node) -> Finding {
        if !core::mem::take(&mut self.changed) {
            return Ok(());
        }
        if let Some(key) = self.cleared.keys().next() {
            return ending(format!("the end of {key:?} is not told"));
        }
        let status = node.status();
        let live = u32::try_from(self.live.len()).expect("few");
        let tunnels = u32::try_from(self.tunnels_up.len()).expect("few");
        let seen = (self.up, live - self.up, tunnels);
        let counted = (status.sessions, status.sessions_opening, status.tunnels);
        if seen != counted {
            return ending(format!(
                "sessions up, opening, tunnels up: seen {seen:?}, the node counts {counted:?}"
            ));
        }
        Ok(())
    }

    /// What the node shows is what is there. Nothing was said by it before `awake`.
    pub(super) fn audit(&self, node: &Node, now: Instant, awake: Instant) -> Finding {
        let late = |(peer, (_, since)): &(&Peer, &(Key, Instant))| {
            let last = self.last_said.get(&(peer.0, peer.1)).copied();
            now.since((*since).max(awake).max(last.unwrap_or_default())) > TELLING
        };
        if let Some((_, (key, since))) = self.untold.iter().find(late) {
            return ending(format!(
                "{key:?} ended at {since:?}, and its LAC is not told"
            ));
        }
        let filter = view::SessionFilter::default();
        let shown = node.sessions(&filter, None, u32::MAX, now).sessions;
        let mut held = BTreeSet::new();
        let mut of_pools = 0_u64;
        for session in &shown {
            let key = (TunnelId(session.tunnel), SessionId(session.session));
            let Some(life) = self.live.get(&key) else {
                return ending(format!("the node shows {key:?}, which is not there"));
            };
            if (session.stage == Stage::Up) != life.up {
                return ending(format!("{key:?} is shown in stage {:?}", session.stage));
            }
            of_pools += u64::from(session.pool.is_some());
            if let Some(address) = session.address
                && !held.insert(address)
            {
                return Err((Invariant::Addresses, format!("{address} is shown twice")));
            }
        }
        if shown.len() != self.live.len() {
            let (shown, live) = (shown.len(), self.live.len());
            return ending(format!("the node shows {shown} sessions of {live}"));
        }
        let used: u64 = node.pools().iter().map(|pool| pool.used).sum();
        if used != of_pools {
            let what = format!("the pools have {used} addresses out; sessions hold {of_pools}");
            return Err((Invariant::Addresses, what));
        }
        let of_lacs: u32 = node.lacs().iter().map(|lac| lac.sessions).sum();
        if u32::try_from(shown.len()) != Ok(of_lacs) {
            return ending(format!(
                "the LACs have {of_lacs} sessions of {}",
                shown.len()
            ));
        }
        Ok(())
    }
}

fn ids(what: String) -> Finding {
    Err((Invariant::Ids, what))
}

fn ending(what: String) -> Finding {
    Err((Invariant::Endings, what))
}
