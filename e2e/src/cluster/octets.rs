//! What accounting tells of octets over the end of a master: no session is told to have moved more than was
//! sent, nor less than arrived but for what passed since its last record in between, which is a checkpoint
//! (spec/cluster.md, 3). That counters never go down is asserted of every record ([`super::verdict`]).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::bed::PATIENCE;
use super::flows::{Flow, Flows, PACKET, RATE, Way};
use super::scene::{Expected, Scene, rest};
use super::story::Story;
use super::verdict::Octets;
use crate::lac::{Lac, Options};
use crate::net::Namespace;

pub(super) const STORIES: &[Story] = &[Story {
    name: "cluster-octets",
    says: "octets in the Stop of sessions whose master was killed, within one checkpoint of what was sent",
    tell: octets,
}];

/// Subscribers of each LAC whose octets are looked at; FreeRADIUS asks for a record in between each minute.
const COUNTED: usize = 10;
/// The routing table of their interface: the other subscribers of a LAC have the main one.
const TABLE: u32 = 77;
/// What a flow of numbered packets moves in a second.
const SECOND: u64 = RATE * PACKET;
/// For how long what is counted may not have been told to the master yet, and then it takes a while to store
/// (`dataplane/core/node/src/reports.rs`).
const REPORTED: Duration = Duration::from_secs(12);

/// The counted subscribers of one LAC.
struct Counted {
    lac: Lac,
    users: Vec<String>,
    flows: Flows,
}

fn octets(scene: &mut Scene<'_>) -> Result<Expected> {
    let names = ["home-count{}@isp", "count{}@isp"];
    let counted = names.iter().enumerate();
    let counted = counted.map(|(number, user)| count(scene, number, user));
    let counted = counted.collect::<Result<Vec<_>>>()?;
    let checked = checkpoints(scene, &counted)?;
    let since = checked.elapsed();
    let killed = Instant::now();
    scene.kill_master()?;
    let gap = killed.elapsed();
    scene.newcomers("second")?;
    rest(3);
    for Counted { lac, users, flows } in counted {
        let report = flows.end()?;
        lac.close()?;
        for (user, flow) in users.iter().zip(&report.0) {
            let told = stop_of(scene, user)?;
            compare(told, flow, since + gap).with_context(|| format!("{user}: {told:?}"))?;
        }
    }
    Ok(Expected::followed())
}

/// Dials in with the counted subscribers of a LAC, and starts a flow for each.
fn count(scene: &Scene<'_>, number: usize, user: &str) -> Result<Counted> {
    let space = scene.lac_space(number);
    let options = Options {
        from_port: 0,
        tunnels: 2,
        sessions: COUNTED,
        tun: Some("sub1".into()),
        routes: Vec::new(),
        hosts: COUNTED,
        ..scene.options(number, user)
    };
    let users = (0..COUNTED).map(|index| options.user_of(index)).collect();
    let lac = Lac::up(space, options)?;
    let addresses = lac.addresses();
    route(space, &addresses)?;
    let core = &scene.bed.network.core;
    let set = u16::try_from(number + 2)?;
    Ok(Counted {
        flows: Flows::start(space, core, set, &addresses)?,
        lac,
        users,
    })
}

/// Packets of these subscribers leave by an interface of their own.
fn route(space: &Namespace, addresses: &[Ipv4Addr]) -> Result<()> {
    space.ip(&[&format!("route replace default dev sub1 table {TABLE}")])?;
    for address in addresses {
        space.ip(&[&format!("rule add from {address} lookup {TABLE}")])?;
    }
    Ok(())
}

/// Waits until FreeRADIUS has a record in between of each of them. Gives the time when it had the first one.
fn checkpoints(scene: &mut Scene<'_>, counted: &[Counted]) -> Result<Instant> {
    let users: Vec<_> = counted.iter().flat_map(|it| &it.users).collect();
    let give_up = Instant::now() + PATIENCE + PATIENCE;
    let mut first = None;
    loop {
        let ledger = scene.ledger()?;
        let has = |user: &&&String| ledger.octets(user).is_some_and(|(_, between)| between);
        let have = users.iter().filter(has).count();
        if have > 0 {
            first.get_or_insert_with(Instant::now);
        }
        if have == users.len() {
            return first.context("nobody is counted");
        }
        ensure!(
            Instant::now() < give_up,
            "{have} of {} sessions have a record in between",
            users.len()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn stop_of(scene: &mut Scene<'_>, user: &str) -> Result<Octets> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some((octets, false)) = scene.ledger()?.octets(user) {
            return Ok(octets);
        }
        ensure!(Instant::now() < give_up, "{user} has no Stop");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Fails unless a Stop tells of no more than was sent, and of all that arrived but for so long a time.
fn compare(told: Octets, flow: &Flow, may_lack: Duration) -> Result<()> {
    let may_lack = (may_lack + REPORTED).as_secs() * SECOND;
    let check = |name: &str, told: u64, way: &Way| {
        let (sent, arrived) = (way.sent * PACKET, way.arrived * PACKET);
        ensure!(
            told <= sent,
            "{name}: {told} octets are told and {sent} were sent"
        );
        ensure!(
            told + may_lack >= arrived,
            "{name}: {told} octets are told and {arrived} have arrived; {may_lack} may be missing"
        );
        Ok(())
    };
    check("up", told.up, &flow.up)?;
    check("down", told.down, &flow.down)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_may_lack_a_checkpoint_and_tells_no_more_than_was_sent() {
        let way = |sent, arrived| {
            let mut way = Way::default();
            (way.sent, way.arrived) = (sent, arrived);
            way
        };
        let flow = Flow {
            up: way(2_000, 1_990),
            down: way(2_000, 1_990),
        };
        let told = |packets| Octets {
            up: packets * PACKET,
            down: packets * PACKET,
        };
        let second = Duration::from_secs(1);
        compare(told(1_990), &flow, second).unwrap();
        compare(told(1_800), &flow, second).unwrap();
        assert!(compare(told(2_001), &flow, second).is_err());
        assert!(compare(told(1_700), &flow, second).is_err());
    }
}
