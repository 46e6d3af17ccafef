//! The node: what it holds, how it starts, takes a new configuration, drains, and gives out what it
//! wants done. The rooms beside this file hold what it does: `control` (tunnels), `calls`, `ppp`,
//! `forward`, `reports`, `tally`, `login`, `radius`, `ends`, `policies`, `timers`, `show`, `observe`.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lns_crypto::Rng;
use lns_l2tp::{SecretChoice, StopReason, TunnelState};
use lns_ppp::Output;
use lns_tables::dirty::DirtyList;
use lns_tables::index::{IndexLimits, IndexWriter, PageIndex};
use lns_tables::path::{PathUpdate, SlotIndex};
use lns_tables::rest::Rest;
use lns_tables::slab::Slab;
use lns_tables::sweep::Sweep;
use lns_tables::time::Instant;
use lns_tables::wheel::Wheel;
use lns_wire::id::{PeerSessionId, TunnelId};

use crate::config::{Config, Duplicates, HostName, RadiusConfig, User};
use crate::event::Event;
use crate::explain::Explain;
use crate::forward::Forwards;
use crate::lacs::Lacs;
use crate::limits;
use crate::policies::Bindings;
use crate::pools::Pools;
use crate::profile::profiles;
use crate::radius::accounting::Accounts;
use crate::radius::{Order, Routes};
use crate::record::{Records, Role};
use crate::reports::Reporting;
use crate::session::Session;
use crate::stats::Stats;
use crate::subscribers::{Ports, Present, Slots};
use crate::tally::Reporters;
use crate::transmit::{FrameQueue, Transmit};
use crate::tunnels::Tunnels;

/// A LAC entry's name, and the address of one of its LACs.
pub(crate) type SecretKey = (Arc<str>, IpAddr);

/// One L2TP network server node, without sockets or clocks.
#[derive(Debug)]
pub struct Node {
    pub(crate) host_name: HostName,
    pub(crate) users: BTreeMap<Box<[u8]>, User>,
    pub(crate) duplicates: Duplicates,
    pub(crate) idle: Duration,
    pub(crate) session_limit: Duration,
    pub(crate) radius: Option<RadiusConfig>,
    /// How often RADIUS was asked.
    pub(crate) questions: u64,
    pub(crate) max_sessions: u32,
    pub(crate) lacs: Lacs,
    /// Which secret a LAC entry's peers were last seen to have, by entry and address: see
    /// [`SecretChoice`]. Only those that are not [`SecretChoice::Current`].
    pub(crate) secret_choices: BTreeMap<SecretKey, SecretChoice>,
    pub(crate) pools: Pools,
    pub(crate) bindings: Bindings,
    pub(crate) present: Present,
    pub(crate) ports: Ports,
    /// Those whom servers call otherwise than they call themselves, by that name.
    pub(crate) accounted: Slots,
    /// Who holds an address, of a pool or not.
    pub(crate) addresses: BTreeMap<Ipv4Addr, SlotIndex>,
    pub(crate) index: IndexWriter,
    shared_index: Arc<PageIndex>,
    pub(crate) tunnels: Tunnels,
    pub(crate) sessions: Slab<Session>,
    /// Calls that are not connected, by the LAC's id.
    pub(crate) unconnected: BTreeMap<(TunnelId, PeerSessionId), SlotIndex>,
    /// Sessions that are not up, and those that are.
    pub(crate) opening: u32,
    pub(crate) up: u32,
    /// Timers: sessions by slot, then tunnels by id.
    pub(crate) wheel: Wheel,
    pub(crate) sweep: Sweep,
    pub(crate) tunnel_sweep: Sweep,
    pub(crate) sweep_at: Instant,
    /// Tunnels that may have something to send.
    pub(crate) ready: DirtyList,
    /// Tunnels that are over and whose sessions still have to be ended, and why.
    pub(crate) teardown: VecDeque<(TunnelId, &'static str)>,
    pub(crate) frames: FrameQueue,
    pub(crate) forwards: Forwards,
    pub(crate) reports: Reporting,
    pub(crate) reporters: Reporters,
    pub(crate) path: VecDeque<PathUpdate>,
    events: VecDeque<Event>,
    pub(crate) orders: VecDeque<Order>,
    pub(crate) routes: Routes,
    pub(crate) accounts: Accounts,
    pub(crate) explain: Explain,
    pub(crate) ppp_output: Output,
    pub(crate) rng: Rng,
    pub(crate) stats: Stats,
    pub(crate) draining: bool,
    /// New tunnels and calls are let in, and pools give out addresses.
    pub(crate) admitting: bool,
    pub(crate) records: Records,
}

impl Node {
    /// A node that serves nobody yet, and whose records nobody wants. Every random choice of its life
    /// follows from `seed`.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut node = Self::with(config, seed, Role::Active, now);
        node.account_on(now);
        node
    }

    /// A node that follows another, or the one that it was before: it takes records in until it takes over.
    pub fn standby(config: Config, seed: [u8; 32], now: Instant) -> Self {
        Self::with(config, seed, Role::Standby, now)
    }

    fn with(config: Config, seed: [u8; 32], role: Role, now: Instant) -> Self {
        let max_sessions = config.max_sessions.min(limits::MAX_SESSIONS);
        let limits = IndexLimits {
            sessions: max_sessions,
            quarantine: Rest::of(limits::ID_QUARANTINE).with_unheard(config.id_rest),
            ..IndexLimits::default()
        };
        let (index, shared_index) = PageIndex::new(limits);
        let tunnel_keys = u32::from(u16::MAX).saturating_add(1);
        let profiles = profiles(config.lacs, &config.host_name, &config.ppp);
        let mut bindings = Bindings::new(
            config.policies,
            config.subscribers.default_policies,
            config.subscribers.unknown_filter_id,
            config.workers,
        );
        let path = bindings.news().into_iter().collect();
        Self {
            host_name: config.host_name,
            users: config.subscribers.users,
            duplicates: config.subscribers.duplicates,
            idle: config.subscribers.idle,
            session_limit: config.subscribers.session,
            radius: config.radius,
            questions: 0,
            max_sessions,
            lacs: Lacs::new(profiles, now),
            secret_choices: BTreeMap::new(),
            pools: Pools::new(config.pools, config.id_rest, now),
            bindings,
            present: Present::default(),
            ports: Ports::default(),
            accounted: Slots::default(),
            addresses: BTreeMap::new(),
            index,
            shared_index,
            tunnels: Tunnels::new(),
            sessions: Slab::new(max_sessions),
            unconnected: BTreeMap::new(),
            opening: 0,
            up: 0,
            wheel: Wheel::new(max_sessions.saturating_add(tunnel_keys)),
            sweep: Sweep::new(now),
            tunnel_sweep: Sweep::new(now),
            sweep_at: now + Duration::from_secs(1),
            ready: DirtyList::new(tunnel_keys),
            teardown: VecDeque::new(),
            frames: FrameQueue::default(),
            forwards: Forwards::default(),
            reports: Reporting::default(),
            reporters: Reporters::default(),
            path,
            events: VecDeque::new(),
            orders: VecDeque::new(),
            routes: Routes::default(),
            accounts: Accounts::new(config.accounting, config.epoch),
            explain: Explain::default(),
            ppp_output: Output::default(),
            rng: Rng::from_seed(seed),
            stats: Stats::default(),
            draining: false,
            admitting: true,
            records: Records::new(role, role == Role::Standby, max_sessions, config.id_rest),
        }
    }

    /// Where workers look sessions up.
    pub fn index(&self) -> Arc<PageIndex> {
        Arc::clone(&self.shared_index)
    }

    /// Takes a new configuration over. No session ends for it: each field says what it changes and
    /// when. The number of sessions is fixed at the start.
    ///
    /// A local address that is a subscriber's now would be two hosts': ask
    /// [`local_address_holder`](Self::local_address_holder) before. A former local address is kept from
    /// the pools until [`handle_free_local`](Self::handle_free_local). Policies that sessions have by
    /// Filter-Id should stay: ask [`policies_still_in_use`](Self::policies_still_in_use) before.
    pub fn handle_config(&mut self, config: Config, now: Instant) {
        self.lacs
            .reconfigure(profiles(config.lacs, &config.host_name, &config.ppp), now);
        self.pools.reconfigure(config.pools, now);
        self.move_addresses(now);
        self.change_policies(
            config.policies,
            config.subscribers.default_policies,
            config.subscribers.unknown_filter_id,
        );
        self.host_name = config.host_name;
        self.users = config.subscribers.users;
        self.idle = config.subscribers.idle;
        self.session_limit = config.subscribers.session;
        self.radius = config.radius;
        let rekeyed = self.duplicates.key != config.subscribers.duplicates.key;
        self.duplicates = config.subscribers.duplicates;
        if rekeyed {
            self.know_subscribers_anew();
        }
        self.change_accounting(config.accounting, now);
    }

    /// The machine has `address` no longer as its own: if it was our end of links and no session has it
    /// so, its pool may give it out, after its rest.
    pub fn handle_free_local(&mut self, address: Ipv4Addr, now: Instant) {
        self.pools.free_local(address, now);
    }

    /// An address in use belongs to the pool in whose prefixes it lies now: it went over with its
    /// prefix, or the pool has another name. Else that pool would give it out a second time.
    ///
    /// # Cost
    /// One step for each address in use.
    fn move_addresses(&mut self, now: Instant) {
        for (address, slot) in &self.addresses {
            // A pool that has it already does not take it.
            let Some((Some(pool), _)) = self.pools.claim(*address) else {
                continue;
            };
            let session = self.sessions.get_mut(*slot);
            let Some(held) = session.and_then(|session| session.address.as_mut()) else {
                continue;
            };
            match held.pool.replace(pool) {
                Some(old) => self.pools.release(&old, *address, now),
                None => self.routes.give_up((*address).into()),
            }
        }
    }

    /// Begins to leave: every LAC gets a StopCCN, no tunnel and no call is accepted any more.
    pub fn handle_drain(&mut self, now: Instant) {
        self.draining = true;
        let tunnels: Vec<TunnelId> = self.tunnels.after(None).map(|(tunnel, _)| tunnel).collect();
        for tunnel in tunnels {
            self.close_tunnel(tunnel, StopReason::Shutdown, now);
        }
        self.account_off(now);
    }

    /// Whether every LAC has acknowledged that we leave, has left itself, or was given up, and all records
    /// of accounting have been ordered.
    pub fn is_drained(&self) -> bool {
        self.draining
            && self.teardown.is_empty()
            && self.ready.is_empty()
            && self.accounts.is_told()
            && self.tunnels.after(None).all(|(_, link)| {
                link.machine.is_drained() || link.machine.state() == TunnelState::Lingering
            })
    }

    /// The next instruction for the workers, oldest first.
    pub fn poll_path(&mut self) -> Option<PathUpdate> {
        self.path.pop_front()
    }

    /// The next datagram to send: `out` holds it afterwards. PPP frames come first, so that a
    /// subscriber hears of its end before its LAC does.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.frames.is_empty() {
            self.renumber(now);
        }
        if let Some(transmit) = self.frames.pop(out) {
            return Some(transmit);
        }
        while let Some(key) = self.ready.pop() {
            let Ok(key) = u16::try_from(key) else {
                continue;
            };
            let tunnel = TunnelId(key);
            let Some(link) = self.tunnels.get_mut(tunnel) else {
                continue;
            };
            if link.machine.poll_transmit(now, out) {
                let transmit = Transmit {
                    local: link.local,
                    remote: link.remote,
                    sequence: None,
                    waits: true,
                    as_data: false,
                };
                // To the end of the line: tunnels take turns.
                self.ready.mark(u32::from(key));
                self.note_sent(tunnel, out, now);
                return Some(transmit);
            }
            self.rearm_tunnel(tunnel);
            self.drop_if_drained(tunnel, now);
        }
        None
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn event(&mut self, event: Event) {
        // Strangers may fill half of the queue: what happened to subscribers is not lost for them.
        let room = match event {
            Event::LacRefused { .. } | Event::CallRefused { .. } => limits::EVENT_QUEUE / 2,
            Event::TunnelUp { .. }
            | Event::TunnelDown { .. }
            | Event::SessionUp { .. }
            | Event::SessionDown(_) => limits::EVENT_QUEUE,
        };
        if self.events.len() >= room {
            return self.stats.drop("event_queue_full");
        }
        self.events.push_back(event);
    }
}
