//! Very many sessions over eight tunnels and three nodes: how they come up and what they take, stored, stored again
//! after the store was emptied, and taken over when the master is killed.
//!
//! The LAC counts for itself; what nodes say of themselves is asked for where nothing else can know it (how many
//! sessions a node has, up to where it has read the store).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::super::bed::{Bed, PATIENCE};
use super::super::flows::Flows;
use super::super::network::{Announce, LACS, Network, Place};
use super::super::objects::{CLUSTER, Wanted};
use super::super::scene::{Ground as _, rest};
use super::outcome::Outcome;
use super::progress;
use crate::lac::{Authentication, Lac, Options, Stage};
use crate::manifest::{Manifest, PASSWORD};
use crate::net::VIP;

/// Tunnels of the crowd.
const TUNNELS: usize = 8;
/// Calls that are being set up at once.
const IN_FLIGHT: usize = 256;
/// Subscribers with a host, who send and receive.
const HOSTS: usize = 40;
/// How long nothing may happen before it is given up.
const STALLED: Duration = Duration::from_secs(120);
/// After so long without a word each subscriber is asked whether he is there, seconds.
const ECHO: u64 = 60;
/// What a session may take in Redis, octets, and how long all of them may take to be stored again.
const OCTETS: f64 = 700.0;
const RESYNCHRONISED: f64 = 2.0;

/// A cluster with its crowd.
struct Crowd<'a> {
    bed: Bed<'a>,
    lac: Lac,
    count: usize,
    master: Place,
}

/// Measures all of it with so many sessions.
pub(super) fn sessions(outcome: &mut Outcome, count: usize, by_radius: bool) -> Result<()> {
    let network = Network::create(Announce::External)?;
    let wanted = Wanted {
        change: if by_radius { asked } else { local },
        ..Wanted::default()
    };
    let mut bed = Bed::start(&network, &wanted)?;
    let master = bed.start_nodes();
    let master = bed.attest(master)?;
    let before = Memory::of(&bed)?;
    let lac = Lac::start(first_lac(&network), options(count, by_radius));
    let mut crowd = Crowd {
        bed,
        lac,
        count,
        master,
    };
    let measured = crowd.measure(&before, outcome);
    crowd.bed.attest(measured)
}

fn first_lac(network: &Network) -> &crate::net::Namespace {
    let [first, _] = &network.lacs;
    first
}

fn options(count: usize, by_radius: bool) -> Options {
    let [from, _] = LACS;
    Options {
        from,
        tunnels: TUNNELS,
        sessions: count,
        // All share the one local user.
        user: if by_radius { "home{}@isp" } else { "home@isp" }.into(),
        authentication: vec![Authentication::Chap],
        in_flight: IN_FLIGHT,
        tun: Some("sub0".into()),
        hosts: HOSTS,
        ..Options::towards((VIP, 1701).into())
    }
}

/// Room for all of them.
fn asked(manifest: &mut Manifest) {
    manifest.pools = vec![("default", "100.64.0.1", "100.64.0.0/14")];
    manifest.ppp = format!("echo: {{ intervalSeconds: {ECHO}, failures: 5 }}");
}

/// The same, and nobody is asked about them.
fn local(manifest: &mut Manifest) {
    asked(manifest);
    // Its address stays, by which the router finds the master.
    let lines = manifest
        .radius
        .lines()
        .filter(|line| !line.starts_with("accounting:"));
    manifest.radius = lines.map(|line| format!("{line}\n")).collect();
    let entry = format!("{{ password: {PASSWORD}, policies: [residential] }}");
    manifest.users = vec![("home@isp".into(), entry)];
}

impl Crowd<'_> {
    fn measure(&mut self, before: &Memory, outcome: &mut Outcome) -> Result<()> {
        self.come_up(outcome)?;
        self.are_replicated(outcome)?;
        self.take_room(before, outcome)?;
        let begun = self.begun();
        self.are_stored_again(outcome)?;
        self.are_taken_over(&begun, outcome)
    }

    fn come_up(&self, outcome: &mut Outcome) -> Result<()> {
        let (started, cpu) = (Instant::now(), self.cpu()?);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let shared = self.lac.shared();
            let open = shared.count(|stage| matches!(stage, Stage::Idle | Stage::Dialling));
            let settled = self.count - open;
            if settled == self.count {
                break;
            }
            if settled / 5_000 != last / 5_000 {
                self.say(&format!("{settled} of {} settled", self.count), &cpu)?;
            }
            if settled != last {
                (last, since) = (settled, Instant::now());
            }
            ensure!(
                since.elapsed() < STALLED,
                "{settled} of {} settled, and no more for {STALLED:?}: {:?}, {:?}",
                self.count,
                self.lac.failures(),
                shared.tunnel_ends()
            );
        }
        let took = started.elapsed().as_secs_f64();
        let up = self.lac.count_up();
        self.say(&format!("{up} of {} up in {took:.1} s", self.count), &cpu)?;
        outcome.promise(
            &format!("{} sessions over {TUNNELS} tunnels: set up", self.count),
            format!("{up} in {took:.0} s, {:.0} per second", up as f64 / took),
            "all",
            up == self.count,
        );
        ensure!(up == self.count, "failed: {:?}", self.lac.failures());
        outcome.tell(
            &format!(
                "{} sessions: CPU of n1, n2, n3 for each, microseconds",
                self.count
            ),
            self.cpu()?
                .iter()
                .zip(&cpu)
                .map(|(after, before)| {
                    let spent = after.saturating_sub(*before).as_secs_f64();
                    format!("{:.0}", spent * 1e6 / self.count as f64)
                })
                .collect::<Vec<_>>()
                .join(", ")
                + &format!(" (master {})", self.master.name()),
        );
        Ok(())
    }

    fn are_replicated(&self, outcome: &mut Outcome) -> Result<()> {
        let started = Instant::now();
        let give_up = started + STALLED;
        let stands = loop {
            let stands = self.stand(&Place::ALL)?;
            let first = stands.first();
            let same = stands
                .iter()
                .all(|stand| Some(&stand.applied) == first.map(|it| &it.applied));
            if same && stands.iter().all(|stand| stand.sessions == self.count) {
                break stands;
            }
            ensure!(
                Instant::now() < give_up,
                "not every member has all: {stands:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        };
        let records = self.records()?;
        outcome.promise(
            &format!("{} sessions: known to every node", self.count),
            format!(
                "all, {:.1} s after the last one was up, {records} records in Redis, position {}",
                started.elapsed().as_secs_f64(),
                stands.first().map_or("", |stand| stand.applied.as_str())
            ),
            "all",
            records >= self.count,
        );
        Ok(())
    }

    fn take_room(&self, before: &Memory, outcome: &mut Outcome) -> Result<()> {
        let after = Memory::of(&self.bed)?;
        let each = (after.records - before.records) / self.count as f64;
        outcome.promise(
            &format!(
                "{} sessions: memory of Redis for each, without the stream",
                self.count
            ),
            format!(
                "{each:.0} octets; the stream has {:.1} MiB in all",
                after.stream / 1_048_576.0
            ),
            &format!("<= {OCTETS:.0} octets"),
            each <= OCTETS,
        );
        outcome.tell(
            &format!("{} sessions: memory of n1, n2, n3, MiB", self.count),
            self.memory()?,
        );
        Ok(())
    }

    fn are_stored_again(&self, outcome: &mut Outcome) -> Result<()> {
        let port = self.bed.store.master()?;
        let records = self.records()?;
        let emptied = Instant::now();
        self.bed.store.ask(port, &["FLUSHALL"])?;
        let mut seen = Vec::new();
        while seen.last().copied().unwrap_or(0) < self.count {
            ensure!(
                emptied.elapsed() < STALLED,
                "of {records} records came back {seen:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
            seen.push(self.records()?);
        }
        let took = emptied.elapsed().as_secs_f64();
        progress(&format!("{records} records stored again after {took:.2} s"));
        let figure = format!("{} sessions: stored again after FLUSHALL", self.count);
        if self.count == 100_000 {
            let bar = format!("<= {RESYNCHRONISED:.0} s");
            outcome.promise(
                &figure,
                format!("{took:.2} s"),
                &bar,
                took <= RESYNCHRONISED,
            );
        } else {
            outcome.tell(&figure, format!("{took:.2} s"));
        }
        let read = Instant::now();
        self.are_read(&Place::ALL)?;
        outcome.tell(
            &format!(
                "{} sessions: read again by every member after that",
                self.count
            ),
            format!("{:.1} s", read.elapsed().as_secs_f64()),
        );
        Ok(())
    }

    fn are_taken_over(&mut self, begun: &[u32], outcome: &mut Outcome) -> Result<()> {
        let hosts: Vec<_> = self.lac.addresses().into_iter().take(HOSTS).collect();
        let network = self.bed.network;
        let flows = Flows::start(first_lac(network), &network.core, 0, &hosts)?;
        rest(3);
        let dead = self.master;
        let killed = Instant::now();
        self.bed.end(dead, Signal::SIGKILL)?;
        let view = self.bed.router.wait(PATIENCE, "another master", |view| {
            view.nas.len() == 1 && !view.nas.contains(&dead)
        })?;
        let took = killed.elapsed().as_secs_f64();
        self.master = view.nas.first().copied().context("a master")?;
        progress(&format!(
            "{} is master after {took:.1} s",
            self.master.name()
        ));
        let echoed = self.echoes();
        rest(10);
        let report = flows.end()?;
        report.all_live()?;
        let known = self.stand(&[self.master])?;
        let known = known.first().map_or(0, |stand| stand.sessions);
        outcome.promise(
            &format!("{} sessions: known to the one who took over", self.count),
            format!("{known}, master after {took:.1} s"),
            "all",
            known == self.count,
        );
        outcome.tell(
            &format!("{} sessions: traffic over the takeover", self.count),
            report.shown(),
        );
        self.are_asked(&echoed, outcome)?;
        let up = self.lac.count_up();
        let anew = self
            .begun()
            .iter()
            .zip(begun)
            .filter(|(now, then)| now != then)
            .count();
        outcome.promise(
            &format!("{} sessions: kept over the takeover", self.count),
            format!("{up} up, LCP begun anew with {anew}"),
            "all, with none",
            up == self.count && anew == 0,
        );
        self.comes_back(dead, outcome)
    }

    /// Everybody is asked whether he is there, and answers: after a takeover up to twice as late as else, for not all
    /// are asked at once then.
    fn are_asked(&self, before: &[u32], outcome: &mut Outcome) -> Result<()> {
        rest(2 * ECHO + 15);
        let now = self.echoes();
        let asked = now
            .iter()
            .zip(before)
            .filter(|(now, before)| now > before)
            .count();
        outcome.promise(
            &format!(
                "{} sessions: asked by LCP echo since, and still up",
                self.count
            ),
            asked.to_string(),
            "all but those with traffic",
            asked + HOSTS >= self.count && self.lac.count_up() == self.count,
        );
        self.say("asked", &[])?;
        Ok(())
    }

    /// The one that was killed reads all of it.
    fn comes_back(&mut self, dead: Place, outcome: &mut Outcome) -> Result<()> {
        let started = Instant::now();
        self.bed.launch(dead)?;
        self.bed.wait_ready(dead)?;
        let took = started.elapsed().as_secs_f64();
        self.are_read(&Place::ALL)?;
        outcome.tell(
            &format!(
                "{} sessions: from the start of a node until it is ready",
                self.count
            ),
            format!("{took:.1} s"),
        );
        outcome.tell(
            &format!(
                "{} sessions: memory of n1, n2, n3 at the end, MiB",
                self.count
            ),
            self.memory()?,
        );
        Ok(())
    }

    /// Waits until each of these has all sessions, and stands where the master does.
    fn are_read(&self, places: &[Place]) -> Result<()> {
        let give_up = Instant::now() + STALLED;
        loop {
            let stands = self.stand(places)?;
            let master = self.stand(&[self.master])?;
            let at = master.first().map(|stand| &stand.applied);
            let has_all =
                |stand: &Stand| stand.sessions == self.count && Some(&stand.applied) == at;
            if stands.iter().all(has_all) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "not every member has all: {stands:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn stand(&self, places: &[Place]) -> Result<Vec<Stand>> {
        places
            .iter()
            .map(|place| Stand::of(&self.bed, *place))
            .collect()
    }

    /// Records in Redis, with the fence and the stream.
    fn records(&self) -> Result<usize> {
        let port = self.bed.store.master()?;
        let answer = self.bed.store.ask(port, &["DBSIZE"])?;
        answer
            .trim()
            .parse()
            .with_context(|| format!("DBSIZE: {answer}"))
    }

    /// How often LCP was begun with each.
    fn begun(&self) -> Vec<u32> {
        let sessions = self.lac.shared().sessions();
        sessions
            .iter()
            .map(|view| view.heard.configure_requests)
            .collect()
    }

    /// How often each was asked whether he is there.
    fn echoes(&self) -> Vec<u32> {
        let sessions = self.lac.shared().sessions();
        sessions
            .iter()
            .map(|view| view.heard.echo_requests)
            .collect()
    }

    fn cpu(&self) -> Result<Vec<Duration>> {
        // One that was killed takes nothing.
        let each = Place::ALL.iter();
        each.map(|place| Ok(self.bed.node(*place)?.cpu().unwrap_or_default()))
            .collect()
    }

    fn memory(&self) -> Result<String> {
        let each = Place::ALL
            .iter()
            .map(|place| Ok(self.bed.node(*place)?.memory().unwrap_or(0).to_string()));
        Ok(each.collect::<Result<Vec<_>>>()?.join(", "))
    }

    fn say(&self, what: &str, since: &[Duration]) -> Result<()> {
        let spent: Vec<_> = self
            .cpu()?
            .iter()
            .zip(since)
            .map(|(now, then)| format!("{:.1}", now.saturating_sub(*then).as_secs_f64()))
            .collect();
        progress(&format!(
            "{what}; n1, n2, n3 have {} MiB, and took {} s of CPU",
            self.memory()?,
            spent.join(", ")
        ));
        Ok(())
    }
}

/// How far a node is, by its own word.
#[derive(Debug)]
struct Stand {
    applied: String,
    sessions: usize,
}

impl Stand {
    fn of(bed: &Bed<'_>, place: Place) -> Result<Self> {
        let ask = |path: &str| -> Result<Value> {
            let (status, text) = bed.node(place)?.get(path)?;
            ensure!(status == 200, "{path}: {status} {text}");
            Ok(serde_json::from_str(&text)?)
        };
        let (members, status) = (ask("/v1/members")?, ask("/v1/status")?);
        let applied = members.get("applied").and_then(Value::as_str);
        let sessions = status.get("sessions").and_then(Value::as_u64);
        Ok(Self {
            applied: applied.context("no position")?.to_owned(),
            sessions: usize::try_from(sessions.context("no sessions")?)?,
        })
    }
}

/// What Redis takes, octets.
struct Memory {
    /// All but the stream, connections, and what is on its way to replicas and to disk.
    records: f64,
    stream: f64,
}

impl Memory {
    fn of(bed: &Bed<'_>) -> Result<Self> {
        let port = bed.store.master()?;
        let info = bed.store.ask(port, &["INFO", "memory"])?;
        let figure = |name: &str| -> Result<f64> {
            let line = info
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let text = line.with_context(|| format!("no {name} in {info}"))?;
            Ok(text.trim().parse()?)
        };
        let stream = format!("{{lns:{CLUSTER}}}:stream");
        let usage = bed
            .store
            .ask(port, &["MEMORY", "USAGE", &stream, "SAMPLES", "0"])?;
        let stream: f64 = usage
            .trim()
            .parse()
            .with_context(|| format!("{stream}: {usage}"))?;
        let others = figure("mem_clients_normal")?
            + figure("mem_total_replication_buffers")?
            + figure("mem_aof_buffer")?;
        Ok(Self {
            records: figure("used_memory")? - others - stream,
            stream,
        })
    }
}
