//! A cluster under traffic: two LACs with subscribers, half of them under a policy that keeps state,
//! numbered packets and TCP streams through some of them; and what must be true at the end of every
//! story, whatever happened in it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::bed::{Bed, PATIENCE};
use super::capture::Sighting;
use super::flows::{Carried, Flows, Report, Streams};
use super::network::{LACS, Network, Place};
use super::objects::Wanted;
use super::verdict::{self, Told};
use crate::lac::{Lac, Options};
use crate::net::VIP;

/// Tunnels of each LAC: they spread over the nodes.
pub(crate) const TUNNELS: usize = 8;
/// The port of the first tunnel of each LAC; the next ones follow.
pub(crate) const FIRST_PORT: u16 = 20_000;
/// Subscribers of each LAC with numbered packets, the first ones.
pub(crate) const NUMBERED: usize = 20;
/// Subscribers of each LAC with a TCP stream.
const STREAMED: usize = 3;
/// Sessions that dial in when all is over.
const NEWCOMERS: usize = 20;

/// What a story is told with.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    /// The cluster and what it stands on.
    pub(crate) bed: Bed<'a>,
    /// Who was the master first.
    pub(crate) first: Place,
    lacs: Vec<Lac>,
    sessions: usize,
    flows: Vec<Flows>,
    streams: Vec<Streams>,
    /// How often LCP was begun with each subscriber before anything happened.
    begun: Vec<Vec<u32>>,
}

/// What a story must have come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// How often the master may have changed.
    pub(crate) changes: usize,
    /// Whether a master died between sending and storing: Starts and Stops may come again.
    pub(crate) may_repeat: bool,
}

/// What was seen of a story.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What the nodes said.
    pub(crate) sightings: Vec<Sighting>,
    /// A line for people.
    pub(crate) line: String,
}

/// Plays a story with this many sessions, and judges what all stories have in common.
pub(crate) fn play(
    sessions: usize,
    wanted: &Wanted,
    story: impl FnOnce(&mut Scene<'_>) -> Result<Expected>,
    judge: impl FnOnce(&Seen) -> Result<()>,
) -> Result<String> {
    let network = Network::create(wanted.announce)?;
    let mut bed = Bed::start(&network, wanted)?;
    let first = bed.start_nodes();
    let first = bed.attest(first)?;
    let mut scene = Scene {
        bed,
        first,
        lacs: Vec::new(),
        sessions,
        flows: Vec::new(),
        streams: Vec::new(),
        begun: Vec::new(),
    };
    let seen = scene.begin().and_then(|()| {
        let expected = story(&mut scene)?;
        let seen = scene.finish(&expected)?;
        judge(&seen)?;
        Ok(seen.line)
    });
    scene.bed.attest(seen)
}

impl Scene<'_> {
    /// Dials in and starts traffic.
    fn begin(&mut self) -> Result<()> {
        for (number, user) in ["home{}@isp", "plain{}@isp"].iter().enumerate() {
            let lac = Lac::start(self.lac_space(number), self.options(number, user));
            self.lacs.push(lac);
        }
        for lac in &self.lacs {
            lac.settle(PATIENCE)?;
            ensure!(
                lac.count_up() == self.sessions / 2,
                "{} of {} sessions came up: {:?}",
                lac.count_up(),
                self.sessions / 2,
                lac.failures()
            );
        }
        self.begun = self.lacs.iter().map(begun).collect();
        for (number, set) in (0..).zip(0..self.lacs.len()) {
            let space = self.lac_space(set);
            let addresses = self.addresses(set);
            let some = |count: usize| addresses.iter().copied().take(count).collect::<Vec<_>>();
            let core = &self.bed.network.core;
            let flows = Flows::start(space, core, number, &some(NUMBERED))?;
            let streams = Streams::start(space, &some(STREAMED))?;
            self.flows.push(flows);
            self.streams.push(streams);
        }
        // So that every flow has been seen both ways, and every Start told, before anything happens.
        let give_up = Instant::now() + PATIENCE;
        while verdict::told(&self.bed.radius.records()?)?.starts < self.sessions {
            ensure!(Instant::now() < give_up, "FreeRADIUS lacks Starts");
            rest(1);
        }
        rest(2);
        Ok(())
    }

    /// Where a LAC is.
    pub(crate) fn lac_space(&self, number: usize) -> &crate::net::Namespace {
        let [first, second] = &self.bed.network.lacs;
        if number == 0 { first } else { second }
    }

    fn options(&self, number: usize, user: &str) -> Options {
        Options {
            from: LACS.get(number).copied().unwrap_or(Ipv4Addr::UNSPECIFIED),
            from_port: FIRST_PORT,
            tunnels: TUNNELS,
            sessions: self.sessions / 2,
            user: user.into(),
            tun: Some("sub0".into()),
            ..Options::towards((VIP, 1701).into())
        }
    }

    /// Addresses of a LAC's subscribers, dealt out to its tunnels in turn.
    pub(crate) fn addresses(&self, number: usize) -> Vec<Ipv4Addr> {
        self.lacs
            .get(number)
            .map(Lac::addresses)
            .unwrap_or_default()
    }

    /// Fails if a session has ended or was begun anew.
    pub(crate) fn all_up(&self) -> Result<()> {
        for (lac, begun_before) in self.lacs.iter().zip(&self.begun) {
            let ends = lac.shared().tunnel_ends();
            ensure!(ends.is_empty(), "tunnels ended: {ends:?}");
            ensure!(
                lac.count_up() == self.sessions / 2,
                "{} of {} sessions are left: {:?}",
                lac.count_up(),
                self.sessions / 2,
                lac.failures()
            );
            ensure!(begun(lac) == *begun_before, "LCP was begun anew");
        }
        Ok(())
    }

    /// Whether new sessions come up; they hang up at once.
    pub(crate) fn newcomers(&self, name: &str) -> Result<()> {
        let options = Options {
            from_port: 0,
            tunnels: 4,
            sessions: NEWCOMERS,
            tun: None,
            ..self.options(0, &format!("{name}{{}}@isp"))
        };
        let lac = Lac::up(self.lac_space(0), options)?;
        lac.close()?;
        Ok(())
    }

    /// Ends everything and judges what all stories have in common.
    fn finish(&mut self, expected: &Expected) -> Result<Seen> {
        // What is on its way again after the last fault arrives before the end.
        rest(3);
        let reports = self.flows.drain(..).map(Flows::end);
        let reports = reports.collect::<Result<Vec<Report>>>()?;
        let streams = self.streams.drain(..).map(Streams::end);
        let streams = streams.collect::<Result<Vec<Vec<Carried>>>>()?;
        self.all_up()?;
        for report in &reports {
            report.all_live()?;
        }
        self.newcomers("late")?;
        let sessions = self.sessions;
        for lac in self.lacs.drain(..) {
            lac.close()?;
        }
        let told = self.told()?;
        ensure!(
            told.starts == told.stops && told.starts >= sessions + NEWCOMERS,
            "not every session has a Start and a Stop: {told:?}"
        );
        ensure!(
            expected.may_repeat || told.repeated == 0,
            "Starts or Stops came twice: {told:?}"
        );
        let capture = self.bed.capture.take();
        let sightings = capture.map_or(Ok(Vec::new()), super::capture::Capture::end)?;
        verdict::one_at_a_time(&sightings, expected.changes)?;
        let gap = streams
            .iter()
            .flatten()
            .map(|carried| carried.gap)
            .max()
            .unwrap_or_default();
        let shown: Vec<_> = reports.iter().map(Report::shown).collect();
        let line = format!(
            "{sessions} sessions; residential: {}; stateless: {}; TCP gap {} ms; no word of a master for {} ms; {} Starts, {} repeated",
            shown.first().map_or("", String::as_str),
            shown.last().map_or("", String::as_str),
            gap.as_millis(),
            verdict::interregnum(&sightings).as_millis(),
            told.starts,
            told.repeated
        );
        Ok(Seen { sightings, line })
    }

    /// What FreeRADIUS was told, once it was told of as many Stops as Starts, or of nothing more.
    fn told(&self) -> Result<Told> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let told = verdict::told(&self.bed.radius.records()?)?;
            let complete = told.starts == told.stops && told.starts >= self.sessions + NEWCOMERS;
            if complete || Instant::now() >= give_up {
                return Ok(told);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills the master, waits for another one, and gives it.
    pub(crate) fn kill_master(&mut self) -> Result<(Place, SystemTime)> {
        let master = self.master()?;
        let at = SystemTime::now();
        self.bed.end(master, Signal::SIGKILL)?;
        Ok((self.another(&[master])?, at))
    }

    /// Who answers for nasAddress now.
    pub(crate) fn master(&self) -> Result<Place> {
        self.another(&[])
    }

    /// Waits for a master that is none of these.
    pub(crate) fn another(&self, than: &[Place]) -> Result<Place> {
        let view = self.bed.router.wait(PATIENCE, "another master", |view| {
            view.nas.len() == 1 && view.nas.iter().all(|place| !than.contains(place))
        })?;
        view.nas
            .first()
            .copied()
            .ok_or_else(|| anyhow::anyhow!("nobody answers for nasAddress"))
    }
}

/// How often LCP was begun with each subscriber.
fn begun(lac: &Lac) -> Vec<u32> {
    let sessions = lac.shared().sessions();
    let heard = sessions.iter().map(|view| view.heard.configure_requests);
    heard.collect()
}

/// Lets time pass.
pub(crate) fn rest(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}
