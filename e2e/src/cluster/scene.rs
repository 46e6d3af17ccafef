//! A cluster under traffic: two LACs with subscribers, half of them under a policy that keeps state,
//! numbered packets and TCP streams through some of them; and what must be true at the end of every
//! story, whatever happened in it.
//!
//! The sessions live as long as the scene. Each story has a capture and traffic of its own, so several may
//! be told one after the other: nodes are whole again in between.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::Signal;

use super::bed::{Bed, PATIENCE};
use super::capture::{Capture, Sighting};
use super::flows::{Carried, Flows, Report, Streams, Subscriber};
use super::network::{LACS, Network, Place};
use super::objects::Wanted;
use super::router::Router;
use super::verdict::{self, Ledger, Told};
use crate::lac::{Lac, Options};
use crate::net::{Namespace, VIP};
use crate::radius::Entry;

/// Tunnels of each LAC: they spread over the nodes.
pub(crate) const TUNNELS: usize = 8;
/// The port of the first tunnel of each LAC; the next ones follow.
pub(crate) const FIRST_PORT: u16 = 20_000;
/// Subscribers of each LAC with numbered packets, the first ones.
pub(crate) const NUMBERED: usize = 20;
/// Subscribers of each LAC with a TCP stream who ask when they hear nothing, and as many who do not.
const STREAMED: usize = 3;
/// Subscribers of each LAC with hosts, the first ones: those with traffic, and some for whoever has more to send.
const HOSTS: usize = 2 * NUMBERED;
/// Sessions that dial in when all is over.
const NEWCOMERS: usize = 20;
/// Sessions that end while something happens.
const LEAVERS: usize = 40;

/// A story of nodes in namespaces is told with this.
pub(crate) type Scene<'a> = Scenery<Bed<'a>>;

/// A cluster and what it stands on, as far as all stories need it.
pub(crate) trait Ground {
    /// Where the LACs are.
    fn lacs(&self) -> &[Namespace; 2];
    /// The network that subscribers reach.
    fn core(&self) -> &Namespace;
    /// Begins to keep what nodes say.
    fn capture(&self) -> Result<Capture>;
    /// Who sends packets to nodes.
    fn router(&self) -> &Router;
    /// What accounting has told since this place, and the place behind that.
    fn records_since(&self, place: u64) -> Result<(Vec<Entry>, u64)>;
    /// Starts again what has ended, and waits until all is as it was at the start.
    fn recover(&mut self) -> Result<()>;
    /// How many sessions a master says that there are.
    fn sessions(&self, master: Place) -> Result<u64>;
    /// Gives `result`; if it is an error, with what all have said, or where that is.
    fn attest<T>(&self, result: Result<T>) -> Result<T>;
}

/// What a story is told with.
#[derive(Debug)]
pub(crate) struct Scenery<G> {
    /// The cluster and what it stands on.
    pub(crate) bed: G,
    /// Who was the master when the story began.
    pub(crate) first: Place,
    lacs: Vec<Lac>,
    sessions: usize,
    /// How often LCP was begun with each subscriber before anything happened.
    begun: Vec<Vec<u32>>,
    /// What FreeRADIUS was told, up to this place of its detail file.
    ledger: Ledger,
    heard: u64,
}

/// What a story must have come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// How often the master may have changed.
    pub(crate) changes: usize,
    /// Whether a master died between sending and storing, or nasAddress has moved and answers were lost on the way:
    /// Starts and Stops may come again.
    pub(crate) may_repeat: bool,
    /// Who must have said nothing in the cluster's name, and from when on.
    pub(crate) silent: Option<(Place, SystemTime)>,
}

/// Seconds: longer than D, than Sentinel waits, and than a member may be deaf before it sends routers away.
pub(crate) const LONGER: u64 = 8;

impl Expected {
    /// The master has handed over so many times. Routers miss three probes of nasAddress before they look elsewhere for
    /// it: what servers answer meanwhile goes to the node that was master, and what was told is told again.
    pub(crate) fn handed_over(changes: usize) -> Self {
        Self {
            changes,
            may_repeat: true,
            silent: None,
        }
    }

    /// The master has changed once, and the first one died.
    pub(crate) fn followed() -> Self {
        Self {
            changes: 1,
            may_repeat: true,
            silent: None,
        }
    }
}

/// What was seen of a story.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What the nodes said.
    pub(crate) sightings: Vec<Sighting>,
    /// A line for people.
    pub(crate) line: String,
}

/// What passes through the sessions of one LAC.
#[derive(Debug)]
struct Traffic {
    numbered: Flows,
    asking: Streams,
    silent: Streams,
}

/// Plays a story with this many sessions, and judges what all stories have in common.
pub(crate) fn play(
    sessions: usize,
    wanted: &Wanted,
    story: impl FnOnce(&mut Scene<'_>) -> Result<Expected>,
    judge: impl FnOnce(&Seen) -> Result<()>,
) -> Result<String> {
    let network = Network::create(wanted.announce)?;
    let mut scene = Scene::open(&network, wanted, sessions)?;
    let seen = scene.act(story).and_then(|seen| {
        judge(&seen)?;
        scene.close()?;
        Ok(seen.line)
    });
    scene.bed.attest(seen)
}

impl<'a> Scene<'a> {
    /// Starts everything and dials in.
    pub(crate) fn open(network: &'a Network, wanted: &Wanted, sessions: usize) -> Result<Self> {
        Self::open_as(network, wanted, sessions, None)
    }

    /// The same with nodes that are this program.
    pub(crate) fn open_as(
        network: &'a Network,
        wanted: &Wanted,
        sessions: usize,
        release: Option<&Path>,
    ) -> Result<Self> {
        let mut bed = Bed::start(network, wanted)?;
        bed.begin_as(release);
        let first = bed.start_nodes();
        let first = bed.attest(first)?;
        Self::dial(bed, first, sessions)
    }

    /// Kills the master, waits for another one, and gives it.
    pub(crate) fn kill_master(&mut self) -> Result<(Place, SystemTime)> {
        let master = self.master()?;
        let at = SystemTime::now();
        self.bed.end(master, Signal::SIGKILL)?;
        Ok((self.another(&[master])?, at))
    }
}

impl<G: Ground> Scenery<G> {
    /// Dials in where everything runs.
    pub(crate) fn dial(bed: G, first: Place, sessions: usize) -> Result<Self> {
        let mut scene = Self {
            bed,
            first,
            lacs: Vec::new(),
            sessions,
            begun: Vec::new(),
            ledger: Ledger::default(),
            heard: 0,
        };
        let begun = scene.begin();
        scene.bed.attest(begun)?;
        Ok(scene)
    }

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
        let sessions = self.sessions;
        let told = self.told(|told| told.starts - told.stops == sessions)?;
        ensure!(
            told.starts - told.stops == sessions,
            "FreeRADIUS lacks Starts: {told:?}"
        );
        Ok(())
    }

    /// Has everybody dial in again, where sessions were lost.
    pub(crate) fn redial(&mut self) -> Result<()> {
        for lac in self.lacs.drain(..) {
            lac.close()?;
        }
        let told = self.told(|told| told.starts == told.stops)?;
        ensure!(told.starts == told.stops, "some are up still: {told:?}");
        self.begin()
    }

    /// Tells a story under traffic, and judges what all stories have in common.
    pub(crate) fn act(
        &mut self,
        story: impl FnOnce(&mut Self) -> Result<Expected>,
    ) -> Result<Seen> {
        self.first = self.master()?;
        let capture = self.bed.capture()?;
        let before = self.told(|_| true)?;
        let traffic = (0..self.lacs.len()).map(|number| self.traffic(number));
        let traffic = traffic.collect::<Result<Vec<_>>>()?;
        // So that every flow has been seen both ways before anything happens.
        rest(2);
        let expected = story(self)?;
        self.bed.recover()?;
        // What is on its way again after the last fault arrives before the end.
        rest(3);
        let mut line = format!("{} sessions", self.sessions);
        for (traffic, name) in traffic.into_iter().zip(["residential", "stateless"]) {
            line.push_str(&format!("; {name}: {}", traffic.end()?));
        }
        self.all_up()?;
        self.newcomers("late")?;
        let told = self.judge_accounting(before, &expected)?;
        let sightings = capture.end()?;
        verdict::one_at_a_time(&sightings, expected.changes)?;
        if let Some((place, since)) = expected.silent {
            verdict::silent(&sightings, place, since)?;
        }
        line.push_str(&format!(
            "; no word of a master for {} ms; {} sessions begun, {} records repeated",
            verdict::interregnum(&sightings).as_millis(),
            told.starts - before.starts,
            told.repeated - before.repeated
        ));
        Ok(Seen { sightings, line })
    }

    /// Hangs up with everybody. Fails unless each session of the scene has a Start and a Stop.
    pub(crate) fn close(&mut self) -> Result<Told> {
        for lac in self.lacs.drain(..) {
            lac.close()?;
        }
        let told = self.told(|told| told.starts == told.stops)?;
        ensure!(
            told.starts == told.stops && told.starts >= self.sessions,
            "not every session has a Start and a Stop: {told:?}"
        );
        Ok(told)
    }

    /// Fails unless each session that has come and gone meanwhile has a Start and a Stop, and no others have.
    fn judge_accounting(&mut self, before: Told, expected: &Expected) -> Result<Told> {
        let sessions = self.sessions;
        let told = self.told(|told| {
            told.starts >= before.starts + NEWCOMERS && told.starts - told.stops == sessions
        })?;
        ensure!(
            told.starts - told.stops == sessions && told.starts >= before.starts + NEWCOMERS,
            "not every session has a Start and a Stop: {told:?}, of which {sessions} go on; before: {before:?}; without a Stop: {:?}",
            self.ledger
                .open(|user| user.starts_with("home") || user.starts_with("plain"))
        );
        ensure!(
            expected.may_repeat || told.repeated == before.repeated,
            "records came twice: {told:?}, before: {before:?}"
        );
        Ok(told)
    }

    fn traffic(&self, number: usize) -> Result<Traffic> {
        let space = self.lac_space(number);
        let addresses = self.addresses(number);
        let mut addresses = addresses.into_iter();
        let mut next = |count: usize| addresses.by_ref().take(count).collect::<Vec<_>>();
        let core = self.bed.core();
        let set = u16::try_from(number)?;
        Ok(Traffic {
            numbered: Flows::start(space, core, set, &next(NUMBERED))?,
            asking: Streams::start(space, &next(STREAMED), Subscriber::Asks)?,
            silent: Streams::start(space, &next(STREAMED), Subscriber::Silent)?,
        })
    }

    /// Where a LAC is.
    pub(crate) fn lac_space(&self, number: usize) -> &Namespace {
        let [first, second] = self.bed.lacs();
        if number == 0 { first } else { second }
    }

    /// A LAC of the scene as it dials in.
    pub(crate) fn options(&self, number: usize, user: &str) -> Options {
        Options {
            from: LACS.get(number).copied().unwrap_or(Ipv4Addr::UNSPECIFIED),
            from_port: FIRST_PORT,
            tunnels: TUNNELS,
            sessions: self.sessions / 2,
            user: user.into(),
            tun: Some("sub0".into()),
            hosts: HOSTS,
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
        let lac = Lac::up(self.lac_space(0), options)
            .with_context(|| format!("the newcomers `{name}`"))?;
        lac.close()?;
        Ok(())
    }

    /// Some who are up, with a Start each, and are going to leave: their tunnels spread over the nodes. And what was told
    /// before.
    pub(crate) fn leavers(&mut self) -> Result<(Lac, Told)> {
        let before = self.told(|_| true)?;
        let options = Options {
            from_port: 0,
            sessions: LEAVERS,
            tun: None,
            ..self.options(0, "leaver{}@isp")
        };
        let lac = Lac::up(self.lac_space(0), options).context("who is going to leave")?;
        let told = self.told(|told| told.starts >= before.starts + LEAVERS)?;
        ensure!(
            told.starts >= before.starts + LEAVERS,
            "FreeRADIUS lacks Starts: {told:?}"
        );
        // So that all of it is stored.
        rest(1);
        Ok((lac, before))
    }

    /// Fails unless as many Starts as Stops have come since then: whoever came has left; also by what the master says,
    /// which it would not say against itself.
    pub(crate) fn all_left(&mut self, before: Told) -> Result<()> {
        let open = |told: Told| told.starts - told.stops;
        let told = self.told(|told| open(told) == open(before))?;
        ensure!(
            open(told) == open(before),
            "somebody who hung up is up still: {told:?}, before: {before:?}"
        );
        let (master, sessions) = (self.master()?, self.sessions);
        let give_up = Instant::now() + PATIENCE;
        while self.bed.sessions(master)? != u64::try_from(sessions)? {
            ensure!(
                Instant::now() < give_up,
                "who hung up is there still, as the master says"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What FreeRADIUS was told of sessions, once that is `enough`, or when patience is over.
    pub(crate) fn told(&mut self, enough: impl Fn(Told) -> bool) -> Result<Told> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let (records, heard) = self.bed.records_since(self.heard)?;
            self.heard = heard;
            self.ledger.add(&records)?;
            let told = self.ledger.told();
            if enough(told) || Instant::now() >= give_up {
                return Ok(told);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What accounting has told so far.
    pub(crate) fn ledger(&mut self) -> Result<&Ledger> {
        self.told(|_| true)?;
        Ok(&self.ledger)
    }

    /// Who answers for nasAddress now.
    pub(crate) fn master(&self) -> Result<Place> {
        self.another(&[])
    }

    /// A node that is not the master.
    pub(crate) fn member(&self) -> Result<Place> {
        let first = self.master()?;
        let mut others = Place::ALL.into_iter().filter(|place| *place != first);
        others.next().context("there is one node")
    }

    /// Waits until another one is master, and routers pass this one by.
    pub(crate) fn leaves(&self, first: Place) -> Result<()> {
        self.another(&[first])?;
        let what = format!("routers pass {first:?} by");
        self.bed.router().wait(PATIENCE, &what, |view| {
            !view.service.contains(&first) && !view.nas.contains(&first)
        })?;
        Ok(())
    }

    /// Waits for a master that is none of these.
    pub(crate) fn another(&self, than: &[Place]) -> Result<Place> {
        let view = self.bed.router().wait(PATIENCE, "another master", |view| {
            view.nas.len() == 1 && view.nas.iter().all(|place| !than.contains(place))
        })?;
        view.nas
            .first()
            .copied()
            .ok_or_else(|| anyhow!("nobody answers for nasAddress"))
    }
}

impl Traffic {
    /// Ends it, and says what became of it. Fails if a flow is dead, or if a stream is not as it should be.
    fn end(self) -> Result<String> {
        let report = self.numbered.end()?;
        let longest = |all: Vec<Carried>| {
            let gaps = all.iter().map(|carried| carried.gap);
            gaps.max().unwrap_or_default().as_millis()
        };
        let asking = self.asking.end().context("who asks")?;
        let silent = self.silent.end().context("who is silent")?;
        report.all_live()?;
        Ok(format!(
            "{}, TCP gap {} ms, {} ms where the subscriber is silent",
            Report::shown(&report),
            longest(asking),
            longest(silent)
        ))
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
