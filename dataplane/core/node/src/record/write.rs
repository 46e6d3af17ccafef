//! From the node's tables to records.

use core::time::Duration;
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_l2tp::{CallState, KeptMessage, SecretChoice, TunnelImage, TunnelState};
use lns_ppp::{AuthMethod, GrantedAddress, SessionImage};
use lns_tables::path::{Counters, DirectionCounters, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use super::form::{
    self, AccountForm, ByForm, CountersForm, Form, GoneForm, GrantedForm, HeldForm, MessageForm,
    MethodForm, Millis, PoliciesForm, PppForm, SessionForm, StopForm, ToldForm, TunnelEndForm,
    TunnelForm, TunnelStateForm, UpForm,
};
use super::{Grave, RecordChange, RecordKey, StoreTime};
use crate::node::Node;
use crate::policies::By;
use crate::radius::Granted;
use crate::radius::accounting::{Account, Leaving};
use crate::radius::grant::TerminationAction;
use crate::session::{Held, Session};
use crate::tunnels::Link;

impl Node {
    /// The next record that has changed; `out` has its octets then. Tunnels come before their sessions, and
    /// what is over last. Ask until there is none, after each `handle_*` and before
    /// [`poll_transmit`](Self::poll_transmit): all of one round belong together.
    pub fn poll_record(
        &mut self,
        now: Instant,
        date: StoreTime,
        out: &mut Vec<u8>,
    ) -> Option<(RecordKey, RecordChange)> {
        loop {
            let (key, lasting, form) = if let Some(id) = self.records.tunnels.pop() {
                let tunnel = TunnelId(u16::try_from(id).unwrap_or_default());
                let Some(link) = self.tunnels.get_mut(tunnel) else {
                    continue;
                };
                let state = link.machine.state();
                let lasting = link.stored != Some(state);
                link.stored = Some(state);
                let Some(form) = tunnel_form(link, now) else {
                    continue;
                };
                (
                    RecordKey::Tunnel(tunnel),
                    lasting,
                    Form::Tunnel(Box::new(form)),
                )
            } else if let Some(slot) = self.records.sessions.pop() {
                let Some((key, form)) = self.session_record(SlotIndex(slot), now) else {
                    continue;
                };
                (key, true, form)
            } else if let Some(key) = self.records.gone.pop_front() {
                let Some(form) = self.gone_form(key, now) else {
                    continue;
                };
                (key, true, Form::Gone(Box::new(form)))
            } else {
                let key = self.records.over.pop_front()?;
                out.clear();
                return Some((key, RecordChange::Forget));
            };
            form::write(self.records.form, date, form, out);
            return Some((key, RecordChange::Put { lasting }));
        }
    }

    /// All that the node has, to be written anew: the store was lost, or put back.
    ///
    /// # Cost
    /// One step for each tunnel and session.
    pub fn handle_lost_store(&mut self) {
        if !self.records.are_written() {
            return;
        }
        let tunnels: Vec<TunnelId> = self.tunnels.after(None).map(|(tunnel, _)| tunnel).collect();
        for tunnel in tunnels {
            self.records.tunnels.mark(u32::from(tunnel.0));
        }
        for (slot, _) in self.sessions.range(0..self.sessions.span()) {
            self.records.sessions.mark(slot.0);
        }
        self.records.gone = self.records.graves.keys().copied().collect();
    }

    /// The store does not have this record as it should: it is given out again. Whether there is one; if not,
    /// the store is to forget it.
    pub fn handle_lost_record(&mut self, key: RecordKey) -> bool {
        if !self.records.are_written() {
            return false;
        }
        if self.records.graves.contains_key(&key) {
            self.records.gone.push_back(key);
            return true;
        }
        match key {
            RecordKey::Tunnel(tunnel) => {
                let is_there = self.tunnels.get(tunnel).is_some();
                if is_there {
                    self.records.tunnels.mark(u32::from(tunnel.0));
                }
                is_there
            }
            RecordKey::Session(tunnel, session) => {
                let slot = self.index.lookup(tunnel, session);
                if let Some(slot) = slot {
                    self.records.sessions.mark(slot.0);
                }
                slot.is_some()
            }
        }
    }

    /// A tunnel is over.
    pub(crate) fn bury_tunnel(&mut self, tunnel: TunnelId, now: Instant) {
        self.bury(RecordKey::Tunnel(tunnel), Grave::default(), now);
    }

    /// A session is over. Its CDN, if there is one, comes afterwards ([`Self::note_cdn`]).
    pub(crate) fn bury_session(&mut self, slot: SlotIndex, session: &Session, now: Instant) {
        let key = RecordKey::Session(session.tunnel, session.call.local());
        let grave = Grave {
            slot: Some(slot),
            held: session.address.clone(),
            ..Grave::default()
        };
        self.bury(key, grave, now);
    }

    pub(super) fn bury(&mut self, key: RecordKey, mut grave: Grave, now: Instant) {
        if !self.records.are_written() {
            return;
        }
        self.rest(key, &mut grave, now);
        self.records.graves.insert(key, grave);
        self.records.gone.push_back(key);
    }

    /// A record of what is over is kept as long as its id rests, and its address.
    pub(super) fn rest(&mut self, key: RecordKey, grave: &mut Grave, now: Instant) {
        let pool = grave.held.as_ref().and_then(|held| held.pool.as_deref());
        let address = pool.map(|pool| self.pools.reuse_delay(pool));
        let until = now + crate::limits::ID_QUARANTINE.max(address.unwrap_or_default());
        grave.rest = Some((now, until));
        self.records.rests.insert((until, key));
    }

    /// An id is given out again: its record is the new one's. An address that rests longer than ids do rests
    /// at this node only, from then on.
    pub(crate) fn reopen(&mut self, key: RecordKey) {
        if let Some((_, until)) = self.records.graves.remove(&key).and_then(|it| it.rest) {
            self.records.rests.remove(&(until, key));
        }
        self.records.over.retain(|other| *other != key);
    }

    /// The LAC is being told of the end of a session.
    pub(crate) fn note_cdn(
        &mut self,
        tunnel: TunnelId,
        session: SessionId,
        number: lns_l2tp::MessageNumber,
    ) {
        let key = RecordKey::Session(tunnel, session);
        if let Some(grave) = self.records.graves.get_mut(&key) {
            grave.cdn = Some(number);
        }
    }

    /// The Stop of a session that is over has been ordered: its record needs it no more.
    pub(crate) fn stop_ordered(&mut self, tunnel: TunnelId, session: SessionId) {
        let key = RecordKey::Session(tunnel, session);
        if self.records.are_written() && self.records.graves.contains_key(&key) {
            self.records.gone.push_back(key);
        }
    }

    /// Every member of the cluster knows what was given back before that moment: it rests no longer for that.
    pub fn handle_heard_by_all(&mut self, before: Instant) {
        self.index.handle_heard(before);
        self.pools.handle_heard(before);
        self.records.unheard.handle_heard(before);
    }

    /// Forgets what has rested long enough.
    pub(crate) fn exhume(&mut self, now: Instant) {
        while self.next_exhumation().is_some_and(|at| at <= now)
            && let Some((_, key)) = self.records.rests.pop_first()
        {
            if self.records.graves.remove(&key).is_some() {
                self.records.over.push_back(key);
            }
        }
    }

    /// When something will have. Whoever is behind it in line waits for it.
    pub(crate) fn next_exhumation(&self) -> Option<Instant> {
        let (until, key) = self.records.rests.first()?;
        let since = self.records.graves.get(key).and_then(|grave| grave.rest);
        let unheard = since.map(|(since, _)| self.records.unheard.until(since));
        Some(unheard.map_or(*until, |unheard| unheard.max(*until)))
    }

    fn session_record(&self, slot: SlotIndex, now: Instant) -> Option<(RecordKey, Form)> {
        let session = self.sessions.get(slot)?;
        let link = self.tunnels.get(session.tunnel)?;
        let key = RecordKey::Session(session.tunnel, session.call.local());
        let messages = session.said.and_then(|number| link.machine.kept(number));
        let form = SessionForm {
            slot: slot.0,
            peer: session.call.peer().0,
            connected: session.call.state() == CallState::Established,
            account: AccountForm {
                epoch: session.account.epoch,
                number: session.account.number,
            },
            calling_number: session.about.calling_number.as_deref().map(str::to_owned),
            called_number: session.about.called_number.as_deref().map(str::to_owned),
            call_serial: session.about.call_serial,
            physical_channel: session.about.physical_channel,
            tx_speed: session.about.tx_speed,
            rx_speed: session.about.rx_speed,
            sequencing: session.sequencing,
            opened: Millis::ago(session.opened_at, now),
            messages: messages.map(message).into_iter().collect(),
            up: session
                .up_at
                .map(|since| Box::new(self.up_form(slot, session, since, now))),
        };
        Some((key, Form::Session(Box::new(form))))
    }

    fn up_form(&self, slot: SlotIndex, session: &Session, since: Instant, now: Instant) -> UpForm {
        let binding = &session.binding;
        let ppp = session.ppp.as_deref().and_then(|ppp| ppp.image(now));
        UpForm {
            since: Millis::ago(since, now),
            user: session.user.as_deref().map(<[u8]>::to_vec),
            proxied_authentication: session.proxied_authentication,
            let_in_as: session.let_in_as.as_deref().map(<[u8]>::to_vec),
            present: session.key.is_some(),
            method: session
                .lcp
                .map_or(MethodForm::None, |lcp| method(lcp.authentication)),
            ppp: ppp.map(ppp_form),
            granted: session.granted.as_deref().map(|it| {
                let had = it
                    .routes
                    .iter()
                    .map(|route| (*route, self.routes.has(*route, slot)));
                Box::new(granted(it, had.collect()))
            }),
            address: session.address.as_ref().map(held),
            policies: PoliciesForm {
                by: match binding.by {
                    By::Nobody => ByForm::Nobody,
                    By::Default => ByForm::Default,
                    By::FilterId => ByForm::FilterId,
                },
                unknown: binding.unknown.as_deref().map(str::to_owned),
                names: texts(self.bindings.names(binding.chain)),
            },
            idle: session.idle.map(|idle| idle.after.into()),
            ends: session.ends_at.map(|at| Millis::until(at, now)),
            told: session
                .told
                .as_deref()
                .map(|told| Box::new(told_form(told, now))),
            closing: session.closing.map(str::to_owned),
        }
    }

    fn gone_form(&self, key: RecordKey, now: Instant) -> Option<GoneForm> {
        let grave = self.records.graves.get(&key)?;
        let RecordKey::Session(tunnel, session) = key else {
            return Some(GoneForm::default());
        };
        let link = self.tunnels.get(tunnel);
        let cdn = link
            .zip(grave.cdn)
            .and_then(|(link, number)| link.machine.kept(number));
        let leaving = grave
            .slot
            .and_then(|slot| self.accounts.leaving((slot, tunnel, session)));
        Some(GoneForm {
            message: cdn.map(message),
            address: grave.held.as_ref().map(held),
            stop: grave
                .slot
                .zip(leaving)
                .map(|(slot, leaving)| stop(slot, leaving, now)),
        })
    }
}

fn tunnel_form(link: &Link, now: Instant) -> Option<TunnelForm> {
    let TunnelImage {
        peer,
        state,
        choice,
        challenge,
        was_challenged,
        peer_name,
        peer_vendor,
        silent,
        remaining,
        channel,
    } = link.machine.image(now)?;
    Some(TunnelForm {
        lac: link.profile.lac.name.to_string(),
        local: link.local,
        remote: link.remote,
        peer: peer.0,
        state: match state {
            TunnelState::WaitCtlConn => TunnelStateForm::WaitCtlConn,
            TunnelState::Established => TunnelStateForm::Established,
            TunnelState::Stopping => TunnelStateForm::Stopping,
            TunnelState::Lingering => TunnelStateForm::Lingering,
            TunnelState::Closed => TunnelStateForm::Closed,
            TunnelState::WaitCtlReply => return None,
        },
        previous: choice == SecretChoice::Previous,
        challenge,
        was_challenged,
        peer_name: peer_name.into(),
        peer_vendor: peer_vendor.into(),
        heard: silent.into(),
        remaining: remaining.map(Into::into),
        acknowledged: channel.acknowledged,
        queued: channel.queued,
        received: channel.received,
        window: channel.peer_window,
        messages: channel.messages.into_iter().map(message).collect(),
        opened: Millis::ago(link.opened_at, now),
        up: link.up_at.map(|at| Millis::ago(at, now)),
        asked: link.asked.0,
        why: link.closed.then_some(match link.why {
            Some("requested") => TunnelEndForm::Requested,
            Some("no_answer") => TunnelEndForm::NoAnswer,
            Some("peer_restarted") => TunnelEndForm::PeerRestarted,
            Some(_) | None => TunnelEndForm::Other,
        }),
    })
}

fn message(message: KeptMessage) -> MessageForm {
    MessageForm {
        number: message.number.0,
        session: message.session.0,
        body: message.body.into(),
    }
}

const fn method(method: AuthMethod) -> MethodForm {
    match method {
        AuthMethod::None => MethodForm::None,
        AuthMethod::Pap => MethodForm::Pap,
        AuthMethod::Chap => MethodForm::Chap,
        AuthMethod::MsChapV2 => MethodForm::MsChapV2,
        AuthMethod::Eap => MethodForm::Eap,
    }
}

fn ppp_form(image: SessionImage) -> PppForm {
    PppForm {
        magic: image.magic,
        mru: image.mru,
        name: image.name.into(),
        peer_mru: image.peer_mru,
        acfc: image.acfc,
        pfc: image.pfc,
        proxied: image.proxied,
        local: image.local,
        grant: match image.grant {
            GrantedAddress::Fixed(address) => Some(address),
            GrantedAddress::PeerChooses => None,
        },
        dns: image.dns,
        address: image.address,
        rechallenge: image.rechallenge.map(Into::into),
    }
}

fn granted(granted: &Granted, had: Vec<(Ipv4Net, bool)>) -> GrantedForm {
    let grant = &granted.grant;
    let millis = |time: Option<Duration>| time.map(Millis::from);
    GrantedForm {
        server: granted.server.as_deref().map(str::to_owned),
        proving: granted.proving,
        had,
        address: grant.address,
        netmask: grant.netmask,
        routes: grant.routes.clone(),
        pool: grant.pool.as_deref().map(str::to_owned),
        mtu: grant.mtu,
        filter_ids: texts(&grant.filter_ids),
        session_timeout: millis(grant.session_timeout),
        idle_timeout: millis(grant.idle_timeout),
        asks_again: grant
            .termination_action
            .map(|action| action == TerminationAction::Ask),
        interim: millis(grant.interim),
        classes: grant.classes.iter().map(|class| class.to_vec()).collect(),
        state: grant.state.as_deref().map(<[u8]>::to_vec),
        port_limit: grant.port_limit,
        dns: grant.dns,
        up: grant.rates.up,
        down: grant.rates.down,
        user_name: grant.user_name.as_deref().map(<[u8]>::to_vec),
    }
}

fn held(held: &Held) -> HeldForm {
    HeldForm {
        address: held.address,
        pool: held.pool.as_deref().map(str::to_owned),
        local: held.local,
    }
}

fn texts(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn told_form(account: &Account, now: Instant) -> ToldForm {
    let interim = account.interval();
    ToldForm {
        interim: interim.map(|(every, due)| (every.into(), Millis::until(due, now))),
        counters: counters(&account.told),
        user: account.user.to_vec(),
        said: account.said,
    }
}

fn counters(counters: &Counters) -> CountersForm {
    let of = |it: &DirectionCounters| {
        [
            it.ipv4_packets,
            it.ipv4_octets,
            it.ipv6_packets,
            it.ipv6_octets,
            it.dropped,
        ]
    };
    CountersForm {
        up: of(&counters.up),
        down: of(&counters.down),
    }
}

fn stop(slot: SlotIndex, leaving: &Leaving, now: Instant) -> StopForm {
    let record = &leaving.record;
    StopForm {
        slot: slot.0,
        session: record.session.to_string(),
        at: Millis::ago(record.at, now),
        realm: record.realm.as_deref().map(str::to_owned),
        attributes: record.attributes.octets().to_vec(),
        told: counters(&leaving.told),
    }
}
