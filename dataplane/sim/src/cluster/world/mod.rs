//! A cluster: sites with their processes, gates and clocks, the API server, the store, what passes between all of them, and
//! LACs behind routers, in one queue of virtual time.

mod befall;
mod carry;
mod outside;
mod radius;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_cluster::NodeName;
use lns_cluster::member::{Aside, Gates};
use lns_node::StoreTime;
use lns_node::config::{AccountingConfig, Config, RadiusConfig};
use lns_tables::time::Instant;

use super::api::Api;
use super::clock::Clock;
use super::judge::Judge;
use super::peers::Ways;
use super::plan::{Kind, Plan};
use super::queue::{Item, Process as Which, Queue};
use super::servers::Servers;
use super::site::{Effect, Env, Make, Process};
use super::store::Store;
use crate::config;
use crate::observe::{Record, Way};
use crate::peers::{Lac, LacSettings, LineSettings, Login, Method, Quirks};
use crate::plan::Dice;
use crate::world::{Faults, SERVICE, octets};

/// When worlds begin.
const START: Instant = Instant::from_millis(1_000);

/// The store's clock: it has nothing in common with the sites'.
const STORE_EPOCH: u64 = 1_795_000_000_000;

/// The salt of what is drawn while a plan runs.
const SALT: u64 = u64::MAX - 8;

/// How often everything is looked at.
const AUDIT: Duration = Duration::from_secs(2);

/// How often routers ask members.
const PROBE: Duration = Duration::from_millis(500);

/// Things that may happen at one moment.
const STILL: u32 = 1_000_000;

/// A machine, and the process on it.
pub(super) struct Site {
    pub(super) make: Make,
    pub(super) clock: Clock,
    drift: i32,
    /// The gate in the kernel, on the machine's clock.
    pub(super) gate: Gates,
    pub(super) process: Option<Process>,
    /// Until when the process is stopped.
    paused: Option<Instant>,
    /// What has come for it meanwhile.
    deferred: Vec<Item>,
    armed: Option<Instant>,
    link: u64,
    /// A visit of the stream is under way, on this connection.
    tail: Option<(u64, bool)>,
    api_cut: u32,
    store_cut: u32,
    router_cut: u32,
    /// When it notices that the store is gone.
    notices: Instant,
    /// Probes that it has not answered in a row; routers go by it.
    missed: u8,
    leaves: Option<Duration>,
    /// Whether it is asked to leave the service to the others.
    aside: Aside,
}

/// Everything.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Instant,
    queue: Queue,
    pub(super) dice: Dice,
    pub(super) sites: Vec<Site>,
    pub(super) api: Api,
    api_away: u32,
    pub(super) store: Store,
    store_away: u32,
    store_slow: (u32, u16),
    radius_away: u32,
    servers: Servers,
    ways: Ways,
    /// When the last message from one to another arrives.
    said: Vec<Instant>,
    pub(super) lacs: Vec<Lac>,
    by_address: BTreeMap<SocketAddr, usize>,
    lac_armed: Vec<Option<Instant>>,
    pub(super) faults: Faults,
    is_calm: bool,
    /// How often all was healed: what befell somebody before is over.
    count: u64,
    pub(super) judge: Judge,
    pub(super) log: Option<Vec<Record>>,
    effects: Vec<Effect>,
    pub(super) steps: u64,
}

impl World {
    pub(super) fn new(plan: &Plan, records: bool) -> Self {
        let sites = plan.sites.len();
        let names: Arc<[NodeName]> = (0..sites)
            .map(|site| NodeName::new(&format!("n{site}")).expect("a name"))
            .collect();
        let config = (plan.kind != Kind::Election).then(|| Arc::new(config_of(plan)));
        let make = |site| Make {
            site,
            names: Arc::clone(&names),
            profile: plan.profile,
            times: plan.times(),
            replicas: plan.store.waits,
            config: config.clone(),
            boot: 0,
            life: 0,
            seed: [0; 32],
        };
        let drifts = plan.sites.iter().enumerate();
        let mut this = Self {
            now: START,
            queue: Queue::default(),
            dice: Dice::new(plan.seed, SALT),
            sites: drifts
                .map(|(site, drift)| Site::new(make(site), *drift))
                .collect(),
            api: Api::default(),
            api_away: 0,
            store: Store::new(plan.store.stream.into()),
            store_away: 0,
            store_slow: (0, 0),
            radius_away: 0,
            servers: Servers::default(),
            ways: Ways::new(sites),
            said: vec![Instant::ZERO; sites * sites],
            lacs: Vec::new(),
            by_address: BTreeMap::new(),
            lac_armed: Vec::new(),
            faults: plan.faults,
            is_calm: false,
            count: 0,
            judge: Judge::new(plan),
            log: records.then(Vec::new),
            effects: Vec::new(),
            steps: 0,
            plan: plan.clone(),
        };
        for site in 0..sites {
            this.start(site);
        }
        this.add_lacs();
        this.queue.push(START + AUDIT, Item::Audit);
        if plan.kind != Kind::Election {
            this.queue.push(START + PROBE, Item::Probe);
        }
        this
    }

    fn add_lacs(&mut self) {
        let mut user = 0;
        for (number, lines) in self.plan.lacs.clone().into_iter().enumerate() {
            let salt = u64::try_from(number).expect("few") + 2;
            let seed = octets(self.plan.seed, salt);
            let mut lac = Lac::new(lac(number), seed, self.now);
            for _ in 0..lines {
                lac.add_line(line(user), self.now);
                user += 1;
            }
            self.by_address.insert(lac.settings().address, number);
            self.lacs.push(lac);
            self.lac_armed.push(None);
            self.settle_lac(number);
        }
    }

    // Time.

    /// Lets the time until `end` pass, or until something does not hold.
    pub(super) fn run_until(&mut self, end: Instant) {
        let mut still = 0;
        while let Some(next) = self.queue.peek().filter(|next| *next <= end) {
            still = if next > self.now { 0 } else { still + 1 };
            assert!(still < STILL, "time stands still");
            self.now = self.now.max(next);
            let Some(item) = self.queue.pop() else {
                break;
            };
            self.steps += 1;
            self.happen(item);
            if self.judge.violation().is_some() {
                return;
            }
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Wake(site) => self.wake(site),
            Item::ToApi(who, life, sent, id, operation) => {
                self.arrive_at_api(who, life, sent, id, &operation);
            }
            Item::ToStore(who, link, op) => self.arrive_at_store(who, link, op),
            Item::ToRadius(who, epoch, asked) => self.arrive_at_servers(who, epoch, asked),
            Item::Met(one, other) => self.meet(one, other),
            Item::Probe => self.probe(),
            Item::ToCluster(from, octets) => self.arrive_at_cluster(from, octets),
            Item::ToLac(lac, octets) => self.arrive_at_lac(lac, &octets),
            Item::Lac(lac) => self.lac_is_due(lac),
            Item::Over(count, over) => {
                if count == self.count {
                    self.is_over(over);
                }
            }
            Item::Audit => {
                self.queue.push(self.now + AUDIT, Item::Audit);
                self.audit();
            }
            item @ (Item::FromApi(who, ..)
            | Item::Hint(who, _)
            | Item::FromStore(who, ..)
            | Item::Stream(who, _)
            | Item::FromRadius(who, _)
            | Item::StoreLost(who)
            | Item::StoreBack(who)
            | Item::Peer(who, ..)
            | Item::Parted(who, _)) => self.arrive_at_process(who, item),
        }
    }

    fn wake(&mut self, number: usize) {
        let site = &mut self.sites[number];
        // One that was set to an earlier time since then has been here already.
        if site.armed.is_some_and(|at| at > self.now) {
            return;
        }
        site.armed = None;
        if site.paused.is_some() {
            return;
        }
        self.with(number, Process::settle);
    }

    /// Something for a process, if that is there still; one that is stopped has it later.
    fn arrive_at_process(&mut self, who: Which, item: Item) {
        let site = &mut self.sites[who.site];
        if site.make.life != who.life || site.process.is_none() {
            return;
        }
        if site.paused.is_some() {
            site.deferred.push(item);
            return;
        }
        self.reach(who.site, item);
    }

    fn reach(&mut self, number: usize, item: Item) {
        match item {
            Item::FromApi(_, id, answer) => {
                self.with(number, |process, env| process.answered(id, answer, env));
            }
            Item::Hint(_, gist) => {
                self.with(number, |process, env| process.hinted(gist.as_ref(), env));
            }
            Item::FromStore(_, link, reply) if self.reaches_store(number) => {
                self.with(number, |process, env| {
                    process.store_answers(link, reply, env);
                });
            }
            Item::Stream(_, link) => self.stream(number, link),
            Item::FromRadius(_, answered) => self.servers_answer(number, answered),
            Item::StoreLost(_) => self.with(number, Process::store_is_lost),
            Item::StoreBack(_) => self.store_back(number),
            Item::Peer(_, from, message) => {
                self.with(number, |process, env| process.hear(from, message, env));
            }
            Item::Parted(_, from) if !self.hears(number, from) => {
                self.with(number, |process, env| process.parted(from, env));
            }
            Item::ToCluster(from, octets) => {
                self.with(number, |process, env| process.receive(from, &octets, env));
            }
            _ => {}
        }
    }

    /// Whether another site could follow this one.
    fn has_others(&self, number: usize) -> bool {
        let mut sites = self.sites.iter().enumerate();
        sites.any(|(other, site)| {
            other != number
                && site.aside == Aside::No
                && site.process.as_ref().is_some_and(Process::is_loaded)
        })
    }

    /// Has a process do something, carries out what it wants, and sees to it that it is woken.
    fn with(&mut self, number: usize, act: impl FnOnce(&mut Process, &mut Env<'_>)) {
        let mut effects = core::mem::take(&mut self.effects);
        let aside = (self.sites[number].aside, self.has_others(number));
        let site = &mut self.sites[number];
        let now = site.clock.local(self.now);
        let date = StoreTime(STORE_EPOCH + self.now.as_millis());
        let Some(process) = &mut site.process else {
            self.effects = effects;
            return;
        };
        let before = site.gate;
        let mut env = Env {
            now,
            date,
            gate: &mut site.gate,
            out: &mut effects,
            dice: &mut self.dice,
            tells: self.log.is_some(),
            aside,
        };
        act(process, &mut env);
        let at = process.poll_timeout(now);
        let has_left = site.leaves.is_some() && process.has_left();
        if site.gate.control != before.control {
            self.judge_gate(number, before);
        }
        for effect in effects.drain(..) {
            self.carry_out(number, effect);
        }
        self.effects = effects;
        self.arm(number, at);
        self.judge_process(number);
        if has_left {
            self.farewell(number);
        }
    }

    fn arm(&mut self, number: usize, at: Instant) {
        let site = &mut self.sites[number];
        let at = site.clock.world(at).max(self.now);
        if site.armed.is_none_or(|armed| at < armed) {
            site.armed = Some(at);
            self.queue.push(at, Item::Wake(number));
        }
    }

    // What is told.

    pub(super) fn remark(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(Record::Event(self.now, what()));
        }
    }

    fn note(&mut self, way: Way, other: SocketAddr, octets: &[u8]) {
        self.judge.mix_octets(self.now, octets);
        if let Some(log) = &mut self.log {
            log.push(Record::Datagram(self.now, way, other, octets.to_vec()));
        }
    }

    pub(super) fn which(&self, site: usize) -> Which {
        Which {
            site,
            life: self.sites[site].make.life,
        }
    }

    fn millis(&mut self, most: u16) -> Duration {
        let most = u32::from(most) * 1_000;
        Duration::from_micros(u64::from(1 + self.dice.below(most.max(1))))
    }

    fn happens(&mut self, times_in_thousand: u16) -> bool {
        times_in_thousand > 0
            && !self.is_calm
            && self.dice.below(1_000) < u32::from(times_in_thousand)
    }
}

impl Site {
    fn new(make: Make, drift: i32) -> Self {
        Self {
            make,
            clock: Clock::new(drift, Instant::ZERO, Instant::from_millis(500_000)),
            drift,
            gate: Gates::default(),
            process: None,
            paused: None,
            deferred: Vec::new(),
            armed: None,
            link: 0,
            tail: None,
            api_cut: 0,
            store_cut: 0,
            router_cut: 0,
            notices: Instant::ZERO,
            missed: 0,
            leaves: None,
            aside: Aside::No,
        }
    }

    /// Whether the gate lets through what lasts until `until` on the machine's clock.
    pub(super) fn passes(&self, until: Option<Instant>, now: Instant) -> bool {
        until.is_some_and(|until| self.clock.local(now) < until)
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }
}

fn config_of(plan: &Plan) -> Config {
    let rest = plan.times().outlasts();
    let mut config = config::config(plan.lines());
    let pool = config::pool(&format!("100.64.0.0/{}", plan.pool));
    config.pools = vec![pool];
    config.id_rest = rest;
    if let Some(radius) = plan.radius {
        config.accounting = Some(AccountingConfig {
            interim: Duration::from_secs(radius.interim.into()),
        });
        if radius.judges {
            config.radius = Some(RadiusConfig::default());
            config.subscribers.users.clear();
        }
    }
    for pool in &mut config.pools {
        let delay = &mut pool.addresses.reuse_delay;
        *delay = rest.max(*delay);
    }
    config
}

fn lac(number: usize) -> LacSettings {
    let last = u8::try_from(number + 1).expect("few");
    let address = SocketAddr::from(([198, 18, 0, last], 1701));
    let mut settings = LacSettings::new(address, SERVICE, &format!("lac{number}"));
    settings.secret = Some(lns_crypto::Secret::new(config::SECRET.as_bytes()));
    settings.hello = Some(Duration::from_secs(if number == 0 { 15 } else { 60 }));
    settings
}

fn line(user: usize) -> LineSettings {
    let name = format!("user{user}").into_bytes();
    LineSettings::new(Login {
        password: lns_crypto::Secret::new(name.as_slice()),
        name: name.into_boxed_slice(),
        methods: vec![Method::Chap],
        mru: 1_492,
        echo: user.is_multiple_of(3).then_some(Duration::from_secs(10)),
        quirks: Quirks::default(),
    })
}
