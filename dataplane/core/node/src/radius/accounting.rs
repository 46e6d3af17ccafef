//! What servers are told of sessions (RFC 2866; RFC 2869, 2.1 and 5.16): Start when a subscriber can send
//! for the first time, Interim while he can, Stop when he is gone; On when the node begins and Off when it
//! leaves.
//!
//! The counters are the workers': an Interim is asked for and told when they have answered, and so is a
//! Stop, by their answer to [`PathUpdate::ClearSession`](lns_tables::path::PathUpdate).
//!
//! Who was let in without saying who he is has no records (RFC 2866, 5.6). Left out: IPv6, whose octets
//! count as the others' do but whose prefixes are not told; multilink.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lns_crypto::Rng;
use lns_radius::record::{Record, Status};
use lns_tables::path::{Counters, DirectionCounters, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::{AttributeList, kind};

use super::cause::Ended;
use super::{AccountId, Order, line};
use crate::config::AccountingConfig;
use crate::limits;
use crate::node::Node;
use crate::record::Role;
use crate::session::Session;
use crate::tally::Tally;

/// The jitter of interims: at most this part of the interval is added to it, so that sessions that came
/// together do not go on telling together.
const JITTER: u32 = 10;

/// Acct-Authentic (RFC 2866, 5.6).
const AUTHENTIC_RADIUS: u32 = 1;
const AUTHENTIC_LOCAL: u32 = 2;

/// The node's part.
#[derive(Debug)]
pub(crate) struct Accounts {
    config: Option<AccountingConfig>,
    epoch: u64,
    /// The last number that was given.
    number: u64,
    /// Sessions by their names.
    sessions: BTreeMap<AccountId, SlotIndex>,
    /// The servers know that there are no sessions of an earlier life.
    is_on: bool,
    /// They know that we have left.
    is_off: bool,
    /// Sessions that are gone and whose counters are not known yet.
    leaving: BTreeMap<Key, Leaving>,
    /// When not to wait for them any longer.
    patience: VecDeque<(Instant, Key)>,
}

/// A session that may be gone.
pub(crate) type Key = (SlotIndex, TunnelId, SessionId);

/// A Stop that lacks the counters.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Acct-Session-Time and Acct-Terminate-Cause included.
    pub(crate) record: Record,
    /// What was told last.
    pub(crate) told: Counters,
    /// What other nodes have seen of it.
    pub(crate) tally: Option<Box<Tally>>,
    /// What the own workers have counted, if they have said so and others may have more to say.
    pub(crate) own: Option<Counters>,
}

/// A session that servers know of.
#[derive(Debug)]
pub(crate) struct Account {
    /// Between two records; `None`: there are none between Start and Stop.
    interim: Option<Interim>,
    /// What was told last.
    pub(crate) told: Counters,
    /// Who its Start said that it is: so say all others, whatever servers call him since.
    pub(crate) user: Arc<[u8]>,
    /// What the LAC said of the end of its PPP.
    pub(crate) said: Option<u32>,
}

#[derive(Debug)]
struct Interim {
    every: Duration,
    /// When to ask the workers next.
    due: Instant,
    /// They were asked.
    is_asked: bool,
}

impl Accounts {
    pub(crate) fn new(config: Option<AccountingConfig>, epoch: u64) -> Self {
        Self {
            config,
            epoch,
            number: 0,
            sessions: BTreeMap::new(),
            is_on: false,
            is_off: false,
            leaving: BTreeMap::new(),
            patience: VecDeque::new(),
        }
    }

    /// A name that no session had before.
    pub(crate) fn next_id(&mut self) -> AccountId {
        self.number = self.number.saturating_add(1);
        AccountId {
            epoch: self.epoch,
            number: self.number,
        }
    }

    /// The session has that name.
    pub(crate) fn enter(&mut self, id: AccountId, slot: SlotIndex) {
        self.sessions.insert(id, slot);
    }

    /// The session of that name is gone.
    pub(crate) fn forget(&mut self, id: AccountId) {
        self.sessions.remove(&id);
    }

    /// Begins another mastership, whose sessions have names of their own. Unless it is a `cold` start, in
    /// which there are none of an earlier life, servers know the node.
    pub(crate) const fn begin_epoch(&mut self, epoch: u64, cold: bool) {
        self.epoch = epoch;
        self.number = 0;
        self.is_on = !cold;
    }

    /// The Stop of a session that is gone, as long as it waits for its counters.
    pub(crate) fn leaving(&self, key: Key) -> Option<&Leaving> {
        self.leaving.get(&key)
    }

    /// A session is gone, and its Stop waits for its counters.
    pub(crate) fn leave(&mut self, key: Key, leaving: Leaving) {
        self.leaving.insert(key, leaving);
    }

    /// Where to add what other nodes still have to say of it.
    pub(crate) fn tally(&mut self, key: Key) -> Option<&mut Tally> {
        let leaving = self.leaving.get_mut(&key)?;
        Some(leaving.tally.get_or_insert_default())
    }

    /// Its Stop has been ordered.
    pub(crate) fn drop_leaving(&mut self, key: Key) {
        self.leaving.remove(&key);
    }

    /// Whoever is active now tells of those that are gone.
    pub(crate) fn wait_for_nobody(&mut self) {
        self.patience.clear();
    }

    /// Nobody is known to bring the counters that Stops wait for: they wait as long as others do.
    pub(crate) fn wait_for_all(&mut self, now: Instant) {
        let until = now + limits::REPORT_PATIENCE;
        self.patience
            .extend(self.leaving.keys().map(|key| (until, *key)));
    }

    /// When a Stop is not to wait any longer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.patience.front().map(|(at, _)| *at)
    }

    /// Whether nothing is left to tell of a node that leaves.
    pub(crate) fn is_told(&self) -> bool {
        self.leaving.is_empty() && (self.is_off || !self.is_on)
    }
}

impl Leaving {
    fn is_shared(&self) -> bool {
        self.tally.as_ref().is_some_and(|tally| tally.is_shared())
    }

    /// What has passed in all, if the own workers have counted this.
    fn counted(&self, own: &Counters) -> Counters {
        let tally = self.tally.as_ref();
        tally.map_or(*own, |tally| own.plus(&tally.elsewhere()))
    }
}

impl Account {
    /// What an earlier node has told of a session: between two records and when the next is due, what was
    /// counted then, who its Start said that it is, what the LAC said.
    pub(crate) fn told(
        interim: Option<(Duration, Instant)>,
        told: Counters,
        user: Arc<[u8]>,
        said: Option<u32>,
    ) -> Self {
        let interim = interim.map(|(every, due)| Interim {
            every,
            due,
            is_asked: false,
        });
        Self {
            interim,
            told,
            user,
            said,
        }
    }

    /// Between two records, and when the workers must be asked for the next.
    pub(crate) fn interval(&self) -> Option<(Duration, Instant)> {
        let interim = self.interim.as_ref()?;
        Some((interim.every, interim.due))
    }

    /// When the workers must be asked.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.interim.as_ref().map(|interim| interim.due)
    }

    /// Whether the workers must be asked now; they are not asked again at once.
    pub(crate) fn must_ask(&mut self, now: Instant) -> bool {
        let Some(interim) = self.interim.as_mut().filter(|it| it.due <= now) else {
            return false;
        };
        interim.due = now + limits::REPORT_PATIENCE;
        interim.is_asked = true;
        true
    }
}

impl Node {
    /// The session that has this name in accounting.
    pub fn session_of_account(&self, id: AccountId) -> Option<(TunnelId, SessionId)> {
        let slot = self.accounts.sessions.get(&id)?;
        let session = self.sessions.get(*slot)?;
        Some((session.tunnel, session.call.local()))
    }

    /// The manifest may say something else of accounting. Whom no server was told of stays so.
    ///
    /// # Cost
    /// Where the interval is another, one step for each session.
    pub(crate) fn change_accounting(&mut self, config: Option<AccountingConfig>, now: Instant) {
        let before = core::mem::replace(&mut self.accounts.config, config);
        self.account_on(now);
        if before == config {
            return;
        }
        let slots: Vec<SlotIndex> = self.accounts.sessions.values().copied().collect();
        for slot in slots {
            self.account_change(slot, now);
        }
    }

    /// Tells that no session of an earlier life is there any more, the first time that anybody listens.
    pub(crate) fn account_on(&mut self, now: Instant) {
        let follows = self.role() == Role::Standby;
        if self.accounts.config.is_none() || self.accounts.is_on || follows {
            return;
        }
        self.accounts.is_on = true;
        self.account_for_node(Status::On, now);
    }

    /// Tells that the node has left, behind all that its sessions have to tell.
    pub(crate) fn account_off(&mut self, now: Instant) {
        let is_over = self.draining
            && self.teardown.is_empty()
            && self.accounts.sessions.is_empty()
            && self.accounts.leaving.is_empty();
        if !is_over || !self.accounts.is_on || self.accounts.is_off {
            return;
        }
        self.accounts.is_off = true;
        self.account_for_node(Status::Off, now);
    }

    fn account_for_node(&mut self, status: Status, now: Instant) {
        let id = self.accounts.next_id().to_string();
        let mut attributes = AttributeList::new();
        attributes.push_u32(kind::ACCT_STATUS_TYPE, status.number());
        line::push_text(&mut attributes, kind::ACCT_SESSION_ID, &id);
        self.account(Record {
            status,
            session: id.into(),
            at: now,
            attributes,
            realm: None,
            kept: None,
        });
    }

    /// Tells that a session is up for the first time.
    pub(crate) fn account_start(&mut self, slot: SlotIndex, now: Instant) {
        let Some(config) = self.accounts.config else {
            return;
        };
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if authentic(session).is_none() {
            return;
        }
        let every = session.interim(config.interim);
        session.told = Some(Box::new(Account {
            interim: every.map(|every| Interim {
                every,
                due: now + jittered(every, &mut self.rng),
                is_asked: false,
            }),
            told: Counters::default(),
            user: session.accounted_user().map(Arc::clone).unwrap_or_default(),
            said: None,
        }));
        if let Some(record) = self.record(slot, Status::Start, now) {
            self.account(record);
        }
        self.touch(slot);
    }

    /// A session may have another interval than before: that begins now.
    pub(crate) fn account_change(&mut self, slot: SlotIndex, now: Instant) {
        let Some(config) = self.accounts.config else {
            return;
        };
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let every = session.interim(config.interim);
        let Some(account) = session.told.as_deref_mut() else {
            return;
        };
        if account.interim.as_ref().map(|interim| interim.every) == every {
            return;
        }
        account.interim = every.map(|every| Interim {
            every,
            due: now + jittered(every, &mut self.rng),
            is_asked: false,
        });
        self.touch(slot);
        self.rearm(slot);
    }

    /// What the workers have counted for a session that lives.
    pub(crate) fn account_interim(&mut self, slot: SlotIndex, own: &Counters, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let counters = session.counted(own);
        let up_at = session.up_at.unwrap_or(session.opened_at);
        let Some(account) = session.told.as_deref_mut() else {
            return;
        };
        let Some(interim) = account.interim.as_mut().filter(|it| it.is_asked) else {
            return;
        };
        interim.is_asked = false;
        interim.due = now + jittered(interim.every, &mut self.rng);
        account.told = counters;
        if let Some(tally) = session.tally.as_deref_mut() {
            tally.written = *own;
        }
        if let Some(mut record) = self.record(slot, Status::Interim, now) {
            push_time(&mut record.attributes, now.since(up_at));
            push_counters(&mut record.attributes, &counters);
            self.account(record);
        }
        self.touch(slot);
    }

    /// A session is about to be gone: its Stop waits for its counters. Ask before anything of it, or of
    /// its tunnel, is given back.
    pub(crate) fn account_stop(&mut self, slot: SlotIndex, reason: &'static str, now: Instant) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let Some(account) = session.told.as_deref() else {
            return;
        };
        let ended = Ended {
            reason,
            tunnel: self.tunnels.get(session.tunnel).and_then(|link| link.why),
            draining: self.draining,
            said: account.said,
        };
        let told = account.told;
        let tally = session.tally.clone();
        let up = now.since(session.up_at.unwrap_or(session.opened_at));
        let key = (slot, session.tunnel, session.call.local());
        let Some(mut record) = self.record(slot, Status::Stop, now) else {
            return;
        };
        push_time(&mut record.attributes, up);
        record
            .attributes
            .push_u32(kind::ACCT_TERMINATE_CAUSE, ended.cause());
        let leaving = Leaving {
            record,
            told,
            tally,
            own: None,
        };
        self.accounts.leaving.insert(key, leaving);
        self.accounts
            .patience
            .push_back((now + limits::REPORT_PATIENCE, key));
    }

    /// What the workers have counted for a session that is gone. Where other nodes have seen some of it, they
    /// have their time to say how much more.
    pub(crate) fn account_final(&mut self, key: Key, own: &Counters, now: Instant) {
        let Some(leaving) = self.accounts.leaving.get_mut(&key) else {
            return;
        };
        if leaving.is_shared() {
            leaving.own = Some(*own);
            return;
        }
        let counters = leaving.counted(own);
        self.account_stopped(key, &counters, now);
    }

    fn account_stopped(&mut self, key: Key, counters: &Counters, now: Instant) {
        let Some(mut leaving) = self.accounts.leaving.remove(&key) else {
            return;
        };
        push_counters(&mut leaving.record.attributes, counters);
        self.account(leaving.record);
        let (_, tunnel, session) = key;
        self.stop_ordered(tunnel, session);
        self.account_off(now);
    }

    /// Stops whose counters do not come go with those that were told last.
    pub(crate) fn account_due(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.accounts.patience.front()
            && at <= now
        {
            self.accounts.patience.pop_front();
            let Some(leaving) = self.accounts.leaving.get(&key) else {
                continue;
            };
            let own = leaving.own.map(|own| leaving.counted(&own));
            let counters = own.unwrap_or(leaving.told);
            if own.is_none() {
                self.stats.drop("no_final_report");
            }
            self.account_stopped(key, &counters, now);
        }
    }

    /// A session that another node had, and that is nobody's any more, has its Stop at once: nobody is going to
    /// bring other counters than those that were told last.
    pub(crate) fn account_stray(&mut self, slot: SlotIndex, session: &Session, now: Instant) {
        let Some(account) = session.told.as_deref() else {
            return;
        };
        let ended = Ended {
            reason: "taken_over",
            tunnel: None,
            draining: false,
            said: account.said,
        };
        let up = now.since(session.up_at.unwrap_or(session.opened_at));
        let mut record = self.record_of(slot, session, Status::Stop, now);
        push_time(&mut record.attributes, up);
        let cause = ended.cause();
        record
            .attributes
            .push_u32(kind::ACCT_TERMINATE_CAUSE, cause);
        push_counters(&mut record.attributes, &account.told);
        self.account(record);
    }

    /// The same of one whose Stop waited for its counters.
    pub(crate) fn account_stray_end(&mut self, mut leaving: Leaving) {
        push_counters(&mut leaving.record.attributes, &leaving.told);
        self.account(leaving.record);
    }

    fn account(&mut self, record: Record) {
        if self.accounts.config.is_some() {
            self.orders.push_back(Order::Record(Box::new(record)));
        }
    }

    /// What all records of a session have.
    fn record(&self, slot: SlotIndex, status: Status, now: Instant) -> Option<Record> {
        let session = self.sessions.get(slot)?;
        Some(self.record_of(slot, session, status, now))
    }

    fn record_of(
        &self,
        slot: SlotIndex,
        session: &Session,
        status: Status,
        now: Instant,
    ) -> Record {
        let mut attributes = AttributeList::new();
        attributes.push_u32(kind::ACCT_STATUS_TYPE, status.number());
        if let Some(link) = self.tunnels.get(session.tunnel) {
            attributes.push_u32(kind::NAS_PORT, slot.0);
            line::push(&mut attributes, session, link);
        } else {
            let id = session.account.to_string();
            line::push_text(&mut attributes, kind::ACCT_SESSION_ID, &id);
        }
        let user = session.accounted_user().map_or(&[][..], |user| user);
        line::push_octets(&mut attributes, kind::USER_NAME, user);
        if let Some(authentic) = authentic(session) {
            attributes.push_u32(kind::ACCT_AUTHENTIC, authentic);
        }
        if let Some(held) = &session.address {
            attributes.push_ipv4(kind::FRAMED_IP_ADDRESS, held.address);
        }
        // Each as it came (RFC 2865, 5.25).
        for class in session.grant().map_or(&[][..], |grant| &grant.classes) {
            line::push_octets(&mut attributes, kind::CLASS, class);
        }
        Record {
            status,
            session: session.account.to_string().into(),
            at: now,
            attributes,
            realm: line::realm(session.user.as_deref().unwrap_or_default()),
            kept: None,
        }
    }
}

/// Who has judged the subscriber; `None`: nobody.
fn authentic(session: &Session) -> Option<u32> {
    if session.lcp?.authentication == lns_ppp::AuthMethod::None {
        return None;
    }
    Some(if session.is_judged_by_server() {
        AUTHENTIC_RADIUS
    } else {
        AUTHENTIC_LOCAL
    })
}

/// An interval and up to a tenth of it.
fn jittered(every: Duration, rng: &mut Rng) -> Duration {
    let most = every.checked_div(JITTER).unwrap_or_default().as_millis();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let drawn = u64::from(rng.u32()).checked_rem(most).unwrap_or_default();
    every.saturating_add(Duration::from_millis(drawn))
}

fn push_time(list: &mut AttributeList, up: Duration) {
    let seconds = u32::try_from(up.as_secs()).unwrap_or(u32::MAX);
    list.push_u32(kind::ACCT_SESSION_TIME, seconds);
}

/// Input is what comes from the subscriber (RFC 2866, 5.3).
fn push_counters(list: &mut AttributeList, counters: &Counters) {
    let (octets, packets) = (DirectionCounters::octets, DirectionCounters::packets);
    let (up, down) = (&counters.up, &counters.down);
    let (gigawords, words) = halves(octets(up));
    list.push_u32(kind::ACCT_INPUT_OCTETS, words);
    list.push_u32(kind::ACCT_INPUT_GIGAWORDS, gigawords);
    list.push_u32(kind::ACCT_INPUT_PACKETS, halves(packets(up)).1);
    let (gigawords, words) = halves(octets(down));
    list.push_u32(kind::ACCT_OUTPUT_OCTETS, words);
    list.push_u32(kind::ACCT_OUTPUT_GIGAWORDS, gigawords);
    list.push_u32(kind::ACCT_OUTPUT_PACKETS, halves(packets(down)).1);
}

/// How often a counter of 32 bits has wrapped, and where it is (RFC 2869, 5.1).
fn halves(count: u64) -> (u32, u32) {
    let half = |count: u64| u32::try_from(count & u64::from(u32::MAX)).unwrap_or_default();
    (half(count >> 32), half(count))
}
