//! From records to the tables of a node on standby.
//!
//! A record is read whole and looked at before anything is changed. What it says takes the place of what
//! was there under its key, or in its slot.

use core::time::Duration;
use std::sync::Arc;

use lns_l2tp::{
    Call, CallState, ChannelImage, KeptMessage, MessageNumber, SecretChoice, Tunnel, TunnelImage,
    TunnelState,
};
use lns_ppp::{AuthMethod, GrantedAddress, LcpParameters, SessionImage};
use lns_radius::record::{Record, Status};
use lns_tables::path::{Counters, DirectionCounters, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::radius::AttributeList;

use super::form::{
    self, ByForm, CountersForm, Form, GoneForm, GrantedForm, HeldForm, MessageForm, MethodForm,
    Millis, PoliciesForm, PppForm, SessionForm, StopForm, ToldForm, TunnelEndForm, TunnelForm,
    TunnelStateForm, UpForm,
};
use super::{Grave, RecordKey, Role, StoreTime, Unreadable};
use crate::ends::Departure;
use crate::event::Stage;
use crate::node::Node;
use crate::policies::{By, Wanted};
use crate::profile::orphan;
use crate::radius::accounting::{Account, Leaving};
use crate::radius::grant::{Grant, GrantedRates, TerminationAction};
use crate::radius::{AccountId, Granted};
use crate::session::{About, Held, Idle, Session};
use crate::tunnels::{Asked, Link};

/// When a record is read, and how old it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) now: Instant,
    pub(super) age: Duration,
}

impl Node {
    /// Takes a record in. `date` is the store's time now.
    ///
    /// # Errors
    /// Why it was not taken; nothing has changed.
    pub fn handle_record(
        &mut self,
        key: RecordKey,
        octets: &[u8],
        now: Instant,
        date: StoreTime,
    ) -> Result<(), Unreadable> {
        if self.records.role == Role::Active {
            return Err(Unreadable::Active);
        }
        let (written, form) = form::read(octets)?;
        let age = date.since(written);
        let reading = Reading { now, age };
        self.note_read(key);
        match (key, form) {
            (RecordKey::Tunnel(tunnel), Form::Tunnel(form)) => {
                self.take_tunnel(tunnel, *form, reading)
            }
            (RecordKey::Session(tunnel, session), Form::Session(form)) => {
                self.take_session(tunnel, session, *form, reading)
            }
            (RecordKey::Tunnel(tunnel), Form::Gone(_)) => {
                self.take_tunnel_end(tunnel, now);
                Ok(())
            }
            (RecordKey::Session(tunnel, session), Form::Gone(form)) => {
                self.take_session_end(tunnel, session, *form, reading);
                Ok(())
            }
            (RecordKey::Tunnel(_), Form::Session(_))
            | (RecordKey::Session(..), Form::Tunnel(_)) => Err(Unreadable::Unfit),
        }
    }

    /// A record is forgotten: what it kept may be given out again.
    pub fn handle_forgotten(&mut self, key: RecordKey) {
        if self.records.role == Role::Standby {
            self.note_read(key);
            self.open_grave(key);
        }
    }

    pub(super) fn open_grave(&mut self, key: RecordKey) {
        let Some(grave) = self.records.graves.remove(&key) else {
            return;
        };
        self.records.said.remove(&key);
        match key {
            RecordKey::Tunnel(tunnel) => self.index.free_tunnel(tunnel),
            RecordKey::Session(tunnel, session) => {
                self.index.free_session(tunnel, session);
                if let Some(slot) = grave.slot {
                    self.accounts.drop_leaving((slot, tunnel, session));
                }
            }
        }
    }

    fn take_tunnel(
        &mut self,
        tunnel: TunnelId,
        form: TunnelForm,
        Reading { now, age }: Reading,
    ) -> Result<(), Unreadable> {
        if tunnel.is_none() {
            return Err(Unreadable::Unfit);
        }
        let profile = self.lacs.profile_of(&form.lac, form.remote.ip());
        let profile = profile.unwrap_or_else(|| Arc::new(orphan(&form.lac, &self.host_name)));
        self.open_grave(RecordKey::Tunnel(tunnel));
        if self.withdraw_link(tunnel).is_none() && !self.index.claim_tunnel(tunnel) {
            return Err(Unreadable::Unfit);
        }
        let (opened_at, up_at) = (
            form.opened.before(now, age),
            form.up.map(|up| up.before(now, age)),
        );
        let (local, remote, end) = (form.local, form.remote, form.why);
        let asked = Asked(form.asked);
        let image = tunnel_image(form, age);
        let config = Arc::clone(&profile.tunnel);
        let machine = Tunnel::restore(config, tunnel, image.clone(), [], now);
        let link = Link {
            shown: machine.state(),
            stored: Some(machine.state()),
            written: None,
            machine,
            profile,
            local,
            remote,
            opened_at,
            up_at,
            closed: end.is_some(),
            why: end.map(end_label),
            clearing: end.is_some(),
            report_asked: false,
            replaces: None,
            asked,
            last: None,
        };
        self.records.images.insert(tunnel, (now, image));
        self.enter_link(tunnel, link);
        self.publish_tunnel(tunnel);
        Ok(())
    }

    /// Takes a tunnel out of the table; its id stays open.
    fn withdraw_link(&mut self, tunnel: TunnelId) -> Option<Box<Link>> {
        let link = self.tunnels.remove(tunnel)?;
        self.records.images.remove(&tunnel);
        if !link.closed {
            let count = match link.up_at {
                Some(_) => &mut self.tunnels.up,
                None => &mut self.tunnels.opening,
            };
            *count = count.saturating_sub(1);
            self.lacs.release_tunnel(&link.profile.lac.name);
        }
        Some(link)
    }

    fn enter_link(&mut self, tunnel: TunnelId, link: Link) {
        let (closed, is_up) = (link.closed, link.up_at.is_some());
        if !closed && let Some(entry) = self.lacs.entry(&link.profile.lac.name) {
            entry.tunnels = entry.tunnels.saturating_add(1);
        }
        // Which counts it as half open.
        self.tunnels.insert(tunnel, link);
        if closed || is_up {
            self.tunnels.opening = self.tunnels.opening.saturating_sub(1);
        }
        if is_up && !closed {
            self.tunnels.up = self.tunnels.up.saturating_add(1);
        }
    }

    pub(super) fn take_tunnel_end(&mut self, tunnel: TunnelId, now: Instant) {
        if tunnel.is_none() {
            return;
        }
        while let Some((session, slot)) = self.index.first_session(tunnel) {
            self.withdraw_session(slot, now);
            self.index.keep_session(tunnel, session);
        }
        if self.withdraw_link(tunnel).is_some() {
            self.path.push_back(PathUpdate::ClearTunnel { tunnel });
        }
        if self.index.keep_tunnel(tunnel) {
            let key = RecordKey::Tunnel(tunnel);
            self.records.graves.insert(key, Grave::default());
        }
    }

    /// Takes a session out of all tables but the index.
    fn withdraw_session(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.strip_session(slot, Departure::Over, now) else {
            return;
        };
        let key = RecordKey::Session(session.tunnel, session.call.local());
        self.records.said.remove(&key);
        self.records.ppp.remove(&slot);
        self.end_reports_of((slot, session.tunnel, session.call.local()));
    }

    fn take_session_end(
        &mut self,
        tunnel: TunnelId,
        session: SessionId,
        form: GoneForm,
        reading: Reading,
    ) {
        let key = RecordKey::Session(tunnel, session);
        let slot = self.index.lookup(tunnel, session);
        if let Some(slot) = slot {
            self.withdraw_session(slot, reading.now);
        }
        // Without its tunnel there is nothing that could give the id out.
        self.index.keep_session(tunnel, session);
        let stop = form.stop.map(|stop| leaving(stop, reading));
        // Of one that was over before, the slot stands where its Stop waits.
        let buried = self.records.graves.get(&key).and_then(|grave| grave.slot);
        let slot = stop.as_ref().map(|(slot, _)| *slot).or(slot).or(buried);
        if let Some((slot, stop)) = stop {
            self.accounts.leave((slot, tunnel, session), stop);
        } else if let Some(slot) = slot {
            self.accounts.drop_leaving((slot, tunnel, session));
        }
        let cdn = form.message.map(kept);
        let grave = Grave {
            slot,
            cdn: cdn.as_ref().map(|cdn| cdn.number),
            held: form.address.map(held),
            rest: None,
        };
        self.records.said.remove(&key);
        if let Some(cdn) = cdn {
            self.records.said.insert(key, vec![cdn]);
        }
        self.rest_address(grave.held.as_ref(), reading.now);
        self.records.graves.insert(key, grave);
    }

    /// The address of a session that is over rests, also where the session was never known.
    pub(super) fn rest_address(&mut self, held: Option<&Held>, now: Instant) {
        if let Some(held) = held
            && let Some(pool) = &held.pool
            && !self.addresses.contains_key(&held.address)
        {
            self.pools.rest(pool, held.address, now);
        }
    }

    fn take_session(
        &mut self,
        tunnel: TunnelId,
        id: SessionId,
        form: SessionForm,
        reading: Reading,
    ) -> Result<(), Unreadable> {
        let now = reading.now;
        let slot = SlotIndex(form.slot);
        if id.is_none() || form.slot >= self.max_sessions {
            return Err(Unreadable::Unfit);
        }
        let link = self.tunnels.get(tunnel).ok_or(Unreadable::NoTunnel)?;
        let profile = Arc::clone(&link.profile);
        let key = RecordKey::Session(tunnel, id);
        self.open_grave(key);
        let had = self.index.lookup(tunnel, id);
        let former = if had == Some(slot) {
            self.strip_session(slot, Departure::Renewed, now)
        } else {
            // Whoever has the place is gone, and the session is not where it was.
            for old in had.into_iter().chain([slot]) {
                self.evict(old, now);
            }
            None
        };
        if former.is_none() && !self.index.claim_session(tunnel, id, slot) {
            return Err(Unreadable::Unfit);
        }
        let said: Vec<KeptMessage> = form.messages.iter().cloned().map(kept).collect();
        let had_routes = form
            .up
            .as_ref()
            .and_then(|up| Some(up.granted.as_ref()?.had.clone()))
            .unwrap_or_default();
        let (session, ppp, policies) = session(tunnel, id, profile, form, reading);
        let told = |session: &Session| session.told.as_ref().map(|told| told.told);
        let is_checkpoint = former.as_ref().is_some_and(|it| told(it) != told(&session));
        if self.sessions.insert_at(slot, session).is_err() {
            return Err(Unreadable::Unfit);
        }
        self.records.said.remove(&key);
        if !said.is_empty() {
            self.records.said.insert(key, said);
        }
        self.records.ppp.remove(&slot);
        if let Some(ppp) = ppp {
            self.records.ppp.insert(slot, (now, ppp));
        }
        self.enter_session(slot, policies, former.as_ref(), now);
        if is_checkpoint {
            self.note_checkpoint(slot);
        }
        let before = former.as_ref().and_then(|former| former.granted.as_deref());
        let before = before.map_or(&[][..], |granted| &granted.routes);
        self.restore_routes(slot, before, &had_routes);
        if let Some(former) = former {
            self.bindings.release(&former.binding);
        }
        Ok(())
    }

    /// Takes a session out of all tables: its place is another's, or it is unknown to the store.
    pub(super) fn evict(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let (tunnel, id) = (session.tunnel, session.call.local());
        self.withdraw_session(slot, now);
        self.index.keep_session(tunnel, id);
        self.index.free_session(tunnel, id);
    }

    /// Enters a session where others look for it, and tells the workers.
    fn enter_session(
        &mut self,
        slot: SlotIndex,
        policies: Option<PoliciesForm>,
        former: Option<&Session>,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let named = (session.tunnel, session.call.peer());
        let is_waiting = session.call.state() == CallState::WaitConnect;
        self.accounts.enter(session.account, slot);
        if let Some(entry) = self.lacs.entry(&session.profile.lac.name) {
            entry.sessions = entry.sessions.saturating_add(1);
        }
        if is_waiting {
            self.unconnected.insert(named, slot);
        }
        let count = match session.up_at {
            Some(_) => &mut self.up,
            None => &mut self.opening,
        };
        *count = count.saturating_add(1);
        self.hold_restored(slot, former.and_then(|former| former.address.as_ref()), now);
        if let Some(policies) = policies {
            self.bind_restored(slot, wanted(policies));
            self.enter_subscriber(slot);
        }
        self.publish(slot);
    }

    /// Those names under which a session counts and is found.
    fn enter_subscriber(&mut self, slot: SlotIndex) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let is_present = session.key.is_some();
        let key = session.identity().map(|it| it.key(&self.duplicates));
        if let Some(user) = session.let_in_as.clone() {
            self.ports.enter(&user, slot);
            self.enter_called(slot);
        }
        let key = key.filter(|_| is_present);
        if let Some(key) = &key {
            self.present.enter(key, slot);
        }
        self.change(slot, |session| session.key = key);
    }

    /// Its address is nobody else's, and what it held before is given back. Somebody else who has it, by a
    /// record that is older, has it no more.
    fn hold_restored(&mut self, slot: SlotIndex, before: Option<&Held>, now: Instant) {
        let session = self.sessions.get(slot);
        let held = session.and_then(|session| session.address.clone());
        if held.as_ref() == before {
            return;
        }
        if let Some(before) = before {
            self.give_back(before, now);
        }
        let Some(held) = held else {
            return;
        };
        if let Some(other) = self.addresses.get(&held.address).copied() {
            self.release_address(other, now);
        }
        self.addresses.insert(held.address, slot);
        if let Some(local) = held.local {
            self.pools.begin_local(local);
        }
        match &held.pool {
            Some(pool) => self.pools.hold(pool, held.address),
            None => self.routes.reach(held.address.into()),
        }
    }
}

/// The session of a record, not entered anywhere; what its PPP goes on from; its policies.
pub(super) fn session(
    tunnel: TunnelId,
    id: SessionId,
    profile: Arc<crate::lacs::Profile>,
    form: SessionForm,
    reading: Reading,
) -> (Session, Option<SessionImage>, Option<PoliciesForm>) {
    let Reading { now, age } = reading;
    let state = if form.connected {
        CallState::Established
    } else {
        CallState::WaitConnect
    };
    let call = Call::restore(id, PeerSessionId(form.peer), state);
    let account = AccountId {
        epoch: form.account.epoch,
        number: form.account.number,
    };
    let text = |text: Option<String>| text.map(String::into_boxed_str);
    let about = About {
        calling_number: text(form.calling_number),
        called_number: text(form.called_number),
        call_serial: form.call_serial,
        physical_channel: form.physical_channel,
        tx_speed: form.tx_speed,
        rx_speed: form.rx_speed,
    };
    let opened_at = form.opened.before(now, age);
    let mut session = Session::new(tunnel, call, profile, account, about, opened_at);
    session.sequencing = form.sequencing;
    if form.connected {
        session.stage = Stage::Lcp;
    }
    let Some(up) = form.up else {
        return (session, None, None);
    };
    let (ppp, policies) = fill(&mut session, *up, reading);
    (session, ppp, Some(policies))
}

fn tunnel_image(form: TunnelForm, age: Duration) -> TunnelImage {
    TunnelImage {
        peer: PeerTunnelId(form.peer),
        state: match form.state {
            TunnelStateForm::WaitCtlConn => TunnelState::WaitCtlConn,
            TunnelStateForm::Established => TunnelState::Established,
            TunnelStateForm::Stopping => TunnelState::Stopping,
            TunnelStateForm::Lingering => TunnelState::Lingering,
            TunnelStateForm::Closed => TunnelState::Closed,
        },
        choice: if form.previous {
            SecretChoice::Previous
        } else {
            SecretChoice::Current
        },
        challenge: form.challenge,
        was_challenged: form.was_challenged,
        peer_name: form.peer_name.into(),
        peer_vendor: form.peer_vendor.into(),
        silent: form.heard.duration().saturating_add(age),
        remaining: form
            .remaining
            .map(|remaining| remaining.duration().saturating_sub(age)),
        channel: ChannelImage {
            acknowledged: form.acknowledged,
            queued: form.queued,
            received: form.received,
            peer_window: form.window,
            messages: form.messages.into_iter().map(kept).collect(),
        },
    }
}

const fn end_label(end: TunnelEndForm) -> &'static str {
    match end {
        TunnelEndForm::Requested => "requested",
        TunnelEndForm::NoAnswer => "no_answer",
        TunnelEndForm::PeerRestarted => "peer_restarted",
        TunnelEndForm::Other => "taken_over",
    }
}

fn kept(form: MessageForm) -> KeptMessage {
    KeptMessage {
        number: MessageNumber(form.number),
        session: PeerSessionId(form.session),
        body: form.body.into(),
    }
}

/// Fills in what a session has that has come up.
fn fill(
    session: &mut Session,
    up: UpForm,
    reading: Reading,
) -> (Option<SessionImage>, PoliciesForm) {
    let Reading { now, age } = reading;
    let name = |name: Vec<u8>| -> Arc<[u8]> { name.into() };
    let method = auth_method(up.method);
    let image = up.ppp.map(|ppp| ppp_image(ppp, method, age));
    session.lcp = Some(image.as_ref().map_or(
        LcpParameters {
            authentication: method,
            peer_mru: lns_ppp::limits::DEFAULT_MRU,
            local_mru: lns_ppp::limits::DEFAULT_MRU,
            proxied: false,
        },
        SessionImage::lcp,
    ));
    session.open = image.as_ref().map(SessionImage::parameters);
    session.stage = Stage::Up;
    session.up_at = Some(up.since.before(now, age));
    session.user = up.user.map(name);
    session.proxied_authentication = up.proxied_authentication;
    session.let_in_as = up.let_in_as.map(name);
    // Which key it is, the rule of today says.
    session.key = up.present.then(|| Arc::from([]));
    session.granted = up.granted.map(|it| Box::new(granted(*it)));
    session.address = up.address.map(held);
    session.idle = up.idle.map(|after| Idle {
        after: after.duration(),
        since: now,
        check_at: now + after.duration(),
    });
    session.ends_at = up.ends.map(|ends| ends.after(now, age));
    session.told = up.told.map(|told| Box::new(account(*told, reading)));
    session.closing = up.closing.as_deref().map(closing);
    (image, up.policies)
}

/// Why a session was about to go, among the reasons that there are; one that another version has is the
/// takeover's.
fn closing(reason: &str) -> &'static str {
    const REASONS: [&str; 16] = [
        "admin_reset",
        "address_refused",
        "authentication_failed",
        "authentication_refused",
        "authentication_timeout",
        "idle_timeout",
        "lcp_rejected",
        "lcp_timeout",
        "looped_back",
        "lost_carrier",
        "network_closed",
        "network_timeout",
        "no_address",
        "peer_terminated",
        "requested",
        "session_timeout",
    ];
    let known = REASONS.into_iter().find(|known| *known == reason);
    known.unwrap_or("taken_over")
}

const fn auth_method(method: MethodForm) -> AuthMethod {
    match method {
        MethodForm::None => AuthMethod::None,
        MethodForm::Pap => AuthMethod::Pap,
        MethodForm::Chap => AuthMethod::Chap,
        MethodForm::MsChapV2 => AuthMethod::MsChapV2,
        MethodForm::Eap => AuthMethod::Eap,
    }
}

fn ppp_image(form: PppForm, method: AuthMethod, age: Duration) -> SessionImage {
    SessionImage {
        magic: form.magic,
        mru: form.mru,
        method,
        name: form.name.into(),
        peer_mru: form.peer_mru,
        acfc: form.acfc,
        pfc: form.pfc,
        proxied: form.proxied,
        local: form.local,
        grant: form
            .grant
            .map_or(GrantedAddress::PeerChooses, GrantedAddress::Fixed),
        dns: form.dns,
        address: form.address,
        rechallenge: form
            .rechallenge
            .map(|rest| rest.duration().saturating_sub(age)),
    }
}

fn granted(form: GrantedForm) -> Granted {
    let texts = |texts: Vec<String>| texts.into_iter().map(Arc::from).collect();
    Granted {
        server: form.server.map(Arc::from),
        proving: form.proving,
        routes: form.had.iter().map(|(route, _)| *route).collect(),
        grant: Grant {
            address: form.address,
            netmask: form.netmask,
            routes: form.routes,
            pool: form.pool.map(Arc::from),
            mtu: form.mtu,
            filter_ids: texts(form.filter_ids),
            session_timeout: form.session_timeout.map(Millis::duration),
            idle_timeout: form.idle_timeout.map(Millis::duration),
            termination_action: form.asks_again.map(|asks| {
                if asks {
                    TerminationAction::Ask
                } else {
                    TerminationAction::Default
                }
            }),
            interim: form.interim.map(Millis::duration),
            classes: form.classes.into_iter().map(Into::into).collect(),
            state: form.state.map(Into::into),
            port_limit: form.port_limit,
            dns: form.dns,
            rates: GrantedRates {
                up: form.up,
                down: form.down,
            },
            no_former_rates: false,
            reply_message: Box::default(),
            user_name: form.user_name.map(Arc::from),
        },
    }
}

pub(super) fn held(form: HeldForm) -> Held {
    Held {
        address: form.address,
        pool: form.pool.map(Arc::from),
        local: form.local,
    }
}

fn wanted(form: PoliciesForm) -> Wanted {
    Wanted {
        names: form.names.into_iter().map(Arc::from).collect(),
        by: match form.by {
            ByForm::Nobody => By::Nobody,
            ByForm::Default => By::Default,
            ByForm::FilterId => By::FilterId,
        },
        unknown: form.unknown.map(Arc::from),
    }
}

fn account(form: ToldForm, Reading { now, age }: Reading) -> Account {
    let interim = form
        .interim
        .map(|(every, due)| (every.duration(), due.after(now, age)));
    Account::told(
        interim,
        counters(form.counters),
        form.user.into(),
        form.said,
    )
}

fn counters(form: CountersForm) -> Counters {
    let of = |[packets, octets, packets6, octets6, dropped]: [u64; 5]| DirectionCounters {
        ipv4_packets: packets,
        ipv4_octets: octets,
        ipv6_packets: packets6,
        ipv6_octets: octets6,
        dropped,
    };
    Counters {
        up: of(form.up),
        down: of(form.down),
    }
}

pub(super) fn leaving(form: StopForm, Reading { now, age }: Reading) -> (SlotIndex, Leaving) {
    let record = Record {
        status: Status::Stop,
        session: form.session.into_boxed_str(),
        at: form.at.before(now, age),
        attributes: AttributeList::from(form.attributes),
        realm: form.realm.map(String::into_boxed_str),
        kept: None,
    };
    let told = counters(form.told);
    let leaving = Leaving {
        record,
        told,
        tally: None,
        own: None,
    };
    (SlotIndex(form.slot), leaving)
}
