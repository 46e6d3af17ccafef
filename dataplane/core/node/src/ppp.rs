//! What a subscriber's PPP says, and what the node answers: who it is, which address it gets, when
//! it may send and when it ends.

use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use lns_crypto::Rng;
use lns_ppp::automaton::State;
use lns_ppp::{AddressGrant, CloseReason, Event, GrantedAddress, Output};
use lns_tables::path::{PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp;

use crate::event::Stage;
use crate::explain::transcript::Step;
use crate::node::Node;
use crate::observe::is_echo_reply;
use crate::record::Role;
use crate::session::{Held, Session};
use crate::transmit::{Sequence, Transmit};

/// Why a PPP frame is dropped whose call is not connected.
const BEFORE_ICCN: &str = "ppp_before_iccn";

impl Node {
    /// A PPP control frame of a session, as a worker took it out of its data message.
    pub fn handle_ppp(
        &mut self,
        tunnel: TunnelId,
        session: SessionId,
        remote: SocketAddr,
        frame: &[u8],
        now: Instant,
    ) {
        if self.role() == Role::Standby {
            return self.forward_ppp((tunnel, session), remote, frame, now);
        }
        if self
            .tunnels
            .get(tunnel)
            .is_none_or(|link| link.remote != remote)
        {
            return self.stats.drop("ppp_wrong_source");
        }
        let Some(slot) = self.index.lookup(tunnel, session) else {
            return self.stats.drop("ppp_unknown_session");
        };
        let step = |ppp: &mut lns_ppp::Session, rng: &mut Rng, out: &mut Output| {
            ppp.handle_frame(frame, now, rng, out)
        };
        let note = |node: &mut Self, result: &Result<(), lns_ppp::Error>| {
            let result = result
                .as_ref()
                .map_or_else(lns_ppp::Error::label, |()| "ok");
            node.note_frame(slot, frame, result, now);
        };
        match self.with_ppp_noted(slot, now, step, note) {
            None => {
                self.note_frame(slot, frame, BEFORE_ICCN, now);
                self.stats.drop(BEFORE_ICCN);
            }
            Some(Err(error)) => self.stats.drop(error.label()),
            Some(Ok(())) => {}
        }
    }

    /// Lets the PPP of a session do one step, and deals with all that comes of it. `None`: there is
    /// no such session, or it has no PPP yet.
    pub(crate) fn with_ppp<R>(
        &mut self,
        slot: SlotIndex,
        now: Instant,
        step: impl FnOnce(&mut lns_ppp::Session, &mut Rng, &mut Output) -> R,
    ) -> Option<R> {
        self.with_ppp_noted(slot, now, step, |_, _| ())
    }

    /// The same; `note` writes down what the step was about before what came of it.
    fn with_ppp_noted<R>(
        &mut self,
        slot: SlotIndex,
        now: Instant,
        step: impl FnOnce(&mut lns_ppp::Session, &mut Rng, &mut Output) -> R,
        note: impl FnOnce(&mut Self, &R),
    ) -> Option<R> {
        let ppp = self.sessions.get_mut(slot)?.ppp.as_deref_mut()?;
        let mut out = core::mem::take(&mut self.ppp_output);
        let result = step(ppp, &mut self.rng, &mut out);
        note(self, &result);
        self.settle_ppp(slot, &mut out, now);
        self.ppp_output = out;
        self.rearm(slot);
        Some(result)
    }

    /// Sends the frames and handles the events of `out` until there are none.
    pub(crate) fn settle_ppp(&mut self, slot: SlotIndex, out: &mut Output, now: Instant) {
        loop {
            self.note_session_states(slot, now);
            self.send_frames(slot, out, now);
            if out.events.is_empty() {
                break;
            }
            let mut events = core::mem::take(&mut out.events);
            for event in events.drain(..) {
                self.handle_ppp_event(slot, event, now, out);
            }
            if out.events.is_empty() {
                // The buffer is used again.
                out.events = events;
            }
        }
        out.clear();
    }

    fn handle_ppp_event(&mut self, slot: SlotIndex, event: Event, now: Instant, out: &mut Output) {
        match event {
            Event::LcpOpened(parameters) => {
                self.withdraw_question(slot);
                self.change(slot, |session| {
                    session.lcp = Some(parameters);
                    if session.up_at.is_none() {
                        session.stage = Stage::Authentication;
                    }
                });
            }
            Event::Authenticate(request) => self.authenticate(slot, request, now, out),
            Event::Repeated => self.repeat_question(slot),
            Event::Withdrawn => self.withdraw_question(slot),
            Event::AddressWanted { requested } => self.find_address(slot, requested, now, out),
            Event::Opened(parameters) => self.session_opened(slot, parameters, now),
            Event::NetworkDown => {
                self.change(slot, |session| {
                    session.open = None;
                    if session.up_at.is_none() {
                        session.stage = Stage::Lcp;
                    }
                });
                self.publish(slot);
            }
            Event::EchoDue => self.ask_for_echo(slot),
            Event::Closing(reason) => {
                self.change(slot, |session| {
                    session.open = None;
                    session.closing.get_or_insert(reason.label());
                });
                self.forget_subscriber(slot);
                self.publish(slot);
            }
            Event::Closed(reason) => self.ppp_closed(slot, reason, now),
        }
    }

    fn find_address(
        &mut self,
        slot: SlotIndex,
        requested: Option<Ipv4Addr>,
        now: Instant,
        out: &mut Output,
    ) {
        let grant = self.grant(slot, requested, now);
        let reason = if self.wanted_address(slot).is_some() {
            "address_unavailable"
        } else {
            "pool_exhausted"
        };
        self.note_grant(slot, grant, reason, requested, now);
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if grant.is_none() {
            session.closing = Some(reason);
        } else if session.up_at.is_none() {
            session.stage = Stage::Ncp;
        }
        if let Some(ppp) = session.ppp.as_deref_mut() {
            ppp.handle_address(grant, now, &mut self.rng, out);
        }
    }

    fn note_grant(
        &mut self,
        slot: SlotIndex,
        grant: Option<AddressGrant>,
        reason: &'static str,
        requested: Option<Ipv4Addr>,
        now: Instant,
    ) {
        let wanted = self.wanted_address(slot);
        let by_server = self.is_judged_by_server(slot);
        let step = match grant.map(|grant| grant.address) {
            None => Step::NoAddress { reason },
            // It says so itself, and is heard then.
            Some(GrantedAddress::PeerChooses) => return,
            Some(GrantedAddress::Fixed(address)) => Step::Address {
                address,
                source: if wanted == Some(GrantedAddress::Fixed(address)) {
                    if by_server { "RADIUS" } else { "user" }
                } else if requested == Some(address) {
                    "peer"
                } else {
                    "pool"
                },
            },
        };
        self.note_step(slot, step, now);
    }

    /// The address that a session has, or one for it.
    fn grant(
        &mut self,
        slot: SlotIndex,
        requested: Option<Ipv4Addr>,
        now: Instant,
    ) -> Option<AddressGrant> {
        let session = self.sessions.get(slot)?;
        if let Some(held) = &session.address {
            if requested.is_none_or(|wanted| wanted == held.address) {
                return Some(AddressGrant {
                    address: GrantedAddress::Fixed(held.address),
                    local: held.local,
                    dns: session.dns(),
                });
            }
            self.release_address(slot, now);
        }
        let held = match (self.wanted_address(slot), requested) {
            (None, _) => self.draw_from_pools(slot, now)?,
            (Some(GrantedAddress::Fixed(address)), _) => self.hold_fixed(slot, address, now)?,
            // It was asked to choose and has not: then we do.
            (Some(GrantedAddress::PeerChooses), None) if self.is_ipcp_begun(slot) => {
                self.draw_from_pools(slot, now)?
            }
            (Some(GrantedAddress::PeerChooses), None) => {
                let dns = self.sessions.get(slot)?.dns();
                return Some(AddressGrant {
                    address: GrantedAddress::PeerChooses,
                    local: None,
                    dns,
                });
            }
            // It may be somebody's.
            (Some(GrantedAddress::PeerChooses), Some(_)) if !self.admitting => return None,
            (Some(GrantedAddress::PeerChooses), Some(wanted)) => self.hold_chosen(slot, wanted)?,
        };
        if let Some(local) = held.local {
            self.pools.begin_local(local);
        }
        let session = self.sessions.get_mut(slot)?;
        let held = session.address.insert(held);
        let (address, local) = (GrantedAddress::Fixed(held.address), held.local);
        Some(AddressGrant {
            address,
            local,
            dns: session.dns(),
        })
    }

    fn is_ipcp_begun(&self, slot: SlotIndex) -> bool {
        let ppp = self.sessions.get(slot).and_then(|it| it.ppp.as_deref());
        ppp.is_some_and(|ppp| !matches!(ppp.ipcp_state(), State::Initial | State::Starting))
    }

    /// The address that the server, or the manifest, wants the session to have; `None`: one of a pool.
    fn wanted_address(&self, slot: SlotIndex) -> Option<GrantedAddress> {
        let granted = self.sessions.get(slot)?.granted.as_deref();
        let of_server = granted.and_then(|granted| granted.grant.address);
        let address = of_server.or_else(|| self.user_of(slot)?.address)?;
        GrantedAddress::from_framed_ip_address(address)
    }

    /// Whether a session that logs in anew has another address than it is to have now.
    pub(crate) fn has_wrong_address(&self, slot: SlotIndex) -> bool {
        let session = self.sessions.get(slot);
        let Some(held) = session.and_then(|session| session.address.as_ref()) else {
            return false;
        };
        match self.wanted_address(slot) {
            Some(GrantedAddress::Fixed(wanted)) => wanted != held.address,
            Some(GrantedAddress::PeerChooses) => false,
            None => match (self.wanted_pool(slot), held.pool.as_deref()) {
                (_, None) => true,
                (wanted, Some(pool)) => wanted.is_some_and(|wanted| wanted != pool),
            },
        }
    }

    /// The pool that its address is to be of; `None`: any.
    fn wanted_pool(&self, slot: SlotIndex) -> Option<&str> {
        self.sessions.get(slot)?.grant()?.pool.as_deref()
    }

    fn draw_from_pools(&mut self, slot: SlotIndex, now: Instant) -> Option<Held> {
        if !self.admitting {
            return None;
        }
        let grant = self.sessions.get(slot)?.grant();
        let wanted = grant.and_then(|grant| grant.pool.as_deref());
        let (address, pool, local) = self.pools.allocate(wanted, now)?;
        self.addresses.insert(address, slot);
        Some(Held {
            address,
            pool: Some(pool),
            local: Some(local),
        })
    }

    /// A user's own address. An old call that still has it hangs: the LAC lost it (it restarted), or
    /// the user would not be here.
    fn hold_fixed(&mut self, slot: SlotIndex, address: Ipv4Addr, now: Instant) -> Option<Held> {
        if let Some(old) = self
            .addresses
            .get(&address)
            .copied()
            .filter(|old| *old != slot)
        {
            self.end_session(old, "address_taken_back", now);
        }
        self.hold_chosen(slot, address)
    }

    /// An address that somebody else chose: nobody else may have it, and no tunnel may end there, or its
    /// packets would be sent into themselves.
    fn hold_chosen(&mut self, slot: SlotIndex, address: Ipv4Addr) -> Option<Held> {
        let is_ours = self.pools.is_local(address) || self.tunnels.have_end(address);
        if is_ours || self.addresses.contains_key(&address) {
            return None;
        }
        let (pool, local) = self.pools.claim(address)?;
        self.addresses.insert(address, slot);
        if pool.is_none() {
            self.routes.reach(address.into());
        }
        Some(Held {
            address,
            pool,
            local,
        })
    }

    /// Gives back what a session holds.
    pub(crate) fn release_address(&mut self, slot: SlotIndex, now: Instant) {
        let Some(held) = self
            .sessions
            .get_mut(slot)
            .and_then(|session| session.address.take())
        else {
            return;
        };
        self.give_back(&held, now);
    }

    /// Gives an address back that no session holds any more.
    pub(crate) fn give_back(&mut self, held: &Held, now: Instant) {
        self.addresses.remove(&held.address);
        if let Some(local) = held.local {
            self.pools.end_local(local);
        }
        match &held.pool {
            Some(pool) => self.pools.release(pool, held.address, now),
            None => self.routes.give_up(held.address.into()),
        }
    }

    fn session_opened(&mut self, slot: SlotIndex, parameters: lns_ppp::Parameters, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        session.open = Some(parameters);
        session.stage = Stage::Up;
        let first = session.up_at.is_none();
        if first {
            session.up_at = Some(now);
            session.answer = None;
            self.opening = self.opening.saturating_sub(1);
            self.up = self.up.saturating_add(1);
        }
        if first {
            self.set_times(slot, now);
        }
        self.publish(slot);
        self.set_routes(slot);
        if first {
            self.note_up(slot, now);
            self.account_start(slot, now);
        }
    }

    fn note_up(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let event = crate::event::Event::SessionUp {
            slot,
            tunnel: session.tunnel,
            session: session.call.local(),
            lac: Arc::clone(&session.profile.lac.name),
            user: session.user.clone().unwrap_or_default(),
            address: session.open.and_then(|open| open.address),
            unknown_filter_id: session.binding.unknown.clone(),
            setup: now.since(session.opened_at),
        };
        self.event(event);
    }

    /// Tells the workers what a session looks like now.
    pub(crate) fn publish(&mut self, slot: SlotIndex) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let outer_ipv6 = self
            .tunnels
            .get(session.tunnel)
            .is_some_and(|link| link.remote.is_ipv6());
        let path = session.path(outer_ipv6, &self.bindings);
        self.path.push_back(PathUpdate::SetSession { slot, path });
        self.touch(slot);
    }

    fn ask_for_echo(&mut self, slot: SlotIndex) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        session.echo_asked = true;
        let (tunnel, session) = (session.tunnel, session.call.local());
        self.path.push_back(PathUpdate::ReportSession {
            slot,
            tunnel,
            session,
        });
    }

    fn ppp_closed(&mut self, slot: SlotIndex, reason: CloseReason, now: Instant) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let reason = session.closing.unwrap_or(reason.label());
        self.end_session(slot, reason, now);
    }

    pub(crate) fn send_frames(&mut self, slot: SlotIndex, out: &mut Output, now: Instant) {
        self.send_numbered(slot, 0, out, now);
    }

    /// Sends frames; where they are numbered, `skips` numbers are left out before each.
    pub(crate) fn send_numbered(
        &mut self,
        slot: SlotIndex,
        skips: u16,
        out: &mut Output,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get(slot) else {
            return out.frames.clear();
        };
        let Some(link) = self.tunnels.get(session.tunnel) else {
            return out.frames.clear();
        };
        // What opens the network tells of an address, and of a subscriber whom servers will be told of.
        let waits = out.events.iter().any(|it| matches!(it, Event::Opened(_)));
        let transmit = Transmit {
            local: link.local,
            remote: link.remote,
            sequence: session.sequencing.then_some(Sequence { slot, skips }),
            waits,
            as_data: false,
        };
        let (peer_tunnel, peer_session) = (link.machine.peer(), session.call.peer());
        let ns = session.sequencing.then_some(l2tp::Seq16(0));
        for frame in out.frames.iter() {
            let transmit = Transmit {
                as_data: is_echo_reply(frame),
                ..transmit
            };
            let queued = self.frames.push(transmit, |octets| {
                l2tp::emit_data(peer_tunnel, peer_session, ns, octets);
                octets.extend_from_slice(frame);
            });
            if queued {
                self.note_frame_sent(slot, (peer_tunnel, peer_session), frame, now);
            } else {
                self.stats.drop("transmit_queue_full");
            }
        }
        out.frames.clear();
    }

    pub(crate) fn change(&mut self, slot: SlotIndex, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(slot) {
            change(session);
        }
    }
}
