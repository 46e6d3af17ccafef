//! Failovers, many of each kind in one cluster: the master is killed, or steps down, under numbered packets.
//!
//! What is measured is the longest time between two packets of one direction of a flow that arrive. A homed flow is
//! one of a session whose policy keeps state: its home is the master. Of flows that need no home, those are told
//! apart that the router sends through the node that dies; it takes such a node out when three of its probes,
//! 200 ms apart, are not answered.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::super::bed::PATIENCE;
use super::super::flows::{Flow, Flows, Way};
use super::super::network::Place;
use super::super::objects::Wanted;
use super::super::scene::{Expected, FIRST_PORT, NUMBERED, Scene, TUNNELS, play, rest};
use super::super::verdict;
use super::outcome::{Outcome, Spread};
use super::{path, progress};

/// Sessions, half of them with a home.
const SESSIONS: usize = 400;
/// Flows of each kind that are measured.
const FLOWS: usize = 8;
/// From one packet of such a flow to the next.
const INTERVAL: Duration = Duration::from_millis(10);
/// The sets of homed flows and of those without a home; the scene has the first two.
const SETS: [u16; 2] = [2, 3];
/// Packets that may be on their way when a flow ends.
const ON_THE_WAY: u64 = 20;
/// How long a planned change may take, and for how long subscribers may miss packets.
const PLANNED: f64 = 1_000.0;
const PLANNED_GAP: f64 = 100.0;

/// What one failover cost, milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Without a packet of a homed flow.
    homed: f64,
    /// The same of flows that go through the master.
    through_it: f64,
    /// And through others.
    through_others: f64,
    /// Packets that were lost of these.
    lost: u64,
}

/// The master is killed, with both usual profiles.
pub(super) fn abrupt(outcome: &mut Outcome, runs: usize) -> Result<()> {
    for (profile, most) in [("Default", 7_000.0), ("Fast", 4_000.0)] {
        let wanted = Wanted {
            profile,
            ..Wanted::default()
        };
        let kill = |scene: &mut Scene<'_>, master: Place| scene.bed.end(master, Signal::SIGKILL);
        let (costs, silences) = many(profile, &wanted, runs, kill)?;
        let homed = values(&costs, |cost| cost.homed);
        let worst = Spread::of(&homed).most;
        outcome.promise(
            &format!("master killed, {profile}: longest gap of a homed flow"),
            shown(&homed),
            &format!("<= {most:.0} ms, worst of {runs}"),
            worst <= most,
        );
        others(outcome, &format!("master killed, {profile}"), &costs);
        outcome.tell(
            &format!("master killed, {profile}: no word of a master"),
            shown(&silences),
        );
        outcome.values(&format!("gap homed {profile}, ms"), homed);
    }
    Ok(())
}

/// The master steps down.
pub(super) fn planned(outcome: &mut Outcome, runs: usize) -> Result<()> {
    let step_down = |scene: &mut Scene<'_>, master: Place| {
        scene.bed.node(master)?.table(&["step-down"])?;
        Ok(())
    };
    let (costs, silences) = many("planned", &Wanted::default(), runs, step_down)?;
    let homed = values(&costs, |cost| cost.homed);
    outcome.promise(
        "step-down: no word of a master",
        shown(&silences),
        &format!("<= {PLANNED:.0} ms, worst of {runs}"),
        Spread::of(&silences).most <= PLANNED,
    );
    outcome.promise(
        "step-down: longest gap of a homed flow",
        shown(&homed),
        &format!("<= {PLANNED_GAP:.0} ms, worst of {runs}"),
        Spread::of(&homed).most <= PLANNED_GAP,
    );
    others(outcome, "step-down", &costs);
    outcome.values("gap homed planned, ms", homed);
    outcome.values("no master planned, ms", silences);
    Ok(())
}

/// What flows without a home have to do with it.
fn others(outcome: &mut Outcome, what: &str, costs: &[Cost]) {
    let lost: u64 = costs.iter().map(|cost| cost.lost).sum();
    outcome.promise(
        &format!("{what}: packets without a home through other nodes"),
        format!(
            "{lost} lost, longest gap {}",
            shown(&values(costs, |cost| cost.through_others))
        ),
        "none lost",
        lost == 0,
    );
    outcome.tell(
        &format!("{what}: longest gap of a flow without a home through that node"),
        shown(&values(costs, |cost| cost.through_it)),
    );
    outcome.tell(
        &format!("{what}: sessions kept"),
        format!("{SESSIONS} of {SESSIONS}, LCP begun anew with none"),
    );
}

fn values(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> Vec<f64> {
    costs.iter().map(of).collect()
}

fn shown(values: &[f64]) -> String {
    let Spread {
        median,
        least,
        most,
    } = Spread::of(values);
    format!("median {median:.0} ms, {least:.0} to {most:.0}")
}

/// So many of a kind. What each cost, and for how long nobody spoke as master between two.
fn many(
    name: &str,
    wanted: &Wanted,
    runs: usize,
    happens: impl Fn(&mut Scene<'_>, Place) -> Result<()>,
) -> Result<(Vec<Cost>, Vec<f64>)> {
    let (mut costs, mut silences) = (Vec::new(), Vec::new());
    let story = |scene: &mut Scene<'_>| {
        path::observe(scene.bed.network)?;
        for run in 1..=runs {
            let cost = once(scene, &happens)?;
            progress(&format!("{name} {run}/{runs}: {cost:?}"));
            costs.push(cost);
        }
        Ok(Expected {
            changes: runs,
            ..Expected::followed()
        })
    };
    let line = play(SESSIONS, wanted, story, |seen| {
        silences = verdict::silences(&seen.sightings)
            .into_iter()
            .map(milliseconds)
            .collect();
        Ok(())
    })?;
    progress(&line);
    Ok((costs, silences))
}

/// One of them, and all as it was before.
fn once(
    scene: &mut Scene<'_>,
    happens: impl Fn(&mut Scene<'_>, Place) -> Result<()>,
) -> Result<Cost> {
    let master = scene.master()?;
    path::forget(scene.bed.network)?;
    let mut watch = Watch::start(scene)?;
    rest(1);
    watch.note_paths(scene)?;
    happens(scene, master)?;
    scene.another(&[master])?;
    rest(2);
    let cost = watch.end(master)?;
    if scene.bed.has_ended(master)? {
        scene.bed.launch(master)?;
        scene.bed.wait_ready(master)?;
    }
    scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
    scene.all_up()?;
    Ok(cost)
}

/// Flows of both kinds, and which nodes each goes through.
struct Watch {
    homed: Flows,
    plain: Flows,
    /// Session and address of those without a home.
    subscribers: Vec<(usize, Ipv4Addr)>,
    /// The nodes that these go through, up and down.
    through: Vec<[Place; 2]>,
}

impl Watch {
    fn start(scene: &Scene<'_>) -> Result<Self> {
        let core = &scene.bed.network.core;
        let begin = |lac: usize, set: u16| -> Result<_> {
            let all = scene.addresses(lac).into_iter().enumerate();
            let some: Vec<_> = all.skip(NUMBERED).take(FLOWS).collect();
            let hosts: Vec<_> = some.iter().map(|(_, address)| *address).collect();
            let flows = Flows::start_every(INTERVAL, scene.lac_space(lac), core, set, &hosts)?;
            Ok((some, flows))
        };
        let [first, second] = SETS;
        let (_, homed) = begin(0, first)?;
        let (subscribers, plain) = begin(1, second)?;
        Ok(Self {
            homed,
            plain,
            subscribers,
            through: Vec::new(),
        })
    }

    /// Notes which nodes they go through, before anything happens.
    fn note_paths(&mut self, scene: &Scene<'_>) -> Result<()> {
        let network = scene.bed.network;
        let (up, down) = (path::seen(network, "up")?, path::seen(network, "down")?);
        for (session, address) in &self.subscribers {
            let tunnel = u32::from(FIRST_PORT) + u32::try_from(session % TUNNELS)?;
            let up = up.get(&tunnel.to_string());
            let down = down.get(&address.to_string());
            let both = up.copied().zip(down.copied());
            let (up, down) = both.with_context(|| format!("{address} was not seen"))?;
            self.through.push([up, down]);
        }
        Ok(())
    }

    /// What the end of `master` cost them.
    fn end(self, master: Place) -> Result<Cost> {
        let ways = |flow: &Flow| [flow.up, flow.down];
        let (homed, plain) = (self.homed.end()?, self.plain.end()?);
        for way in homed.0.iter().chain(&plain.0).flat_map(ways) {
            ensure!(
                way.arrived > 0 && way.missing_at_end() <= ON_THE_WAY,
                "a flow had not begun again when it was looked at: {way:?}"
            );
        }
        let mut cost = Cost::default();
        for way in homed.0.iter().flat_map(ways) {
            cost.homed = cost.homed.max(gap(&way));
        }
        for (flow, through) in plain.0.iter().zip(&self.through) {
            for (way, node) in ways(flow).into_iter().zip(through) {
                if *node == master {
                    cost.through_it = cost.through_it.max(gap(&way));
                } else {
                    cost.through_others = cost.through_others.max(gap(&way));
                    cost.lost += way.sent - way.arrived;
                }
            }
        }
        Ok(cost)
    }
}

fn gap(way: &Way) -> f64 {
    milliseconds(way.gap)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
