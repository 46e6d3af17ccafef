//! One story for each fault. What is asserted is what every story ends with ([`super::scene`]) and what
//! this fault is about; times are printed.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;

use super::bed::PATIENCE;
use super::network::{Announce, Link, Place, Way};
use super::objects::{LEASE, Wanted};
use super::scene::{Expected, Scene, play, rest};
use super::verdict;
use crate::scenario::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "cluster-three",
        says: "three nodes, one master: sessions through any of them, traffic both ways through all",
        run: three,
    },
    Scenario {
        name: "cluster-kill-master",
        says: "the master is killed: no session lost, no TCP connection reset, LCP not begun anew",
        run: || kill_master(SESSIONS),
    },
    Scenario {
        name: "cluster-zombie",
        says: "the master is stopped for longer than D, and goes on: it says nothing more",
        run: zombie,
    },
    Scenario {
        name: "cluster-cut-master",
        says: "the master reaches neither API server nor store nor members: another one follows",
        run: || cut_master(Way::Both),
    },
    Scenario {
        name: "cluster-kill-member",
        says: "a member is killed, and started again",
        run: kill_member,
    },
    Scenario {
        name: "cluster-api-away",
        says: "the API server stands still for 30 s: the master goes on, new sessions come up",
        run: || api_away(30),
    },
    Scenario {
        name: "cluster-redis-failover",
        says: "the master of Redis is killed: Sentinel has another one, no session lost",
        run: redis_failover,
    },
    Scenario {
        name: "cluster-redis-flushed",
        says: "Redis stands still, is emptied, and then the master is killed: no session lost",
        run: redis_flushed,
    },
    Scenario {
        name: "cluster-step-down",
        says: "a planned change of the master",
        run: step_down,
    },
    Scenario {
        name: "cluster-lease-deleted",
        says: "somebody deletes the Lease",
        run: lease_deleted,
    },
    Scenario {
        name: "cluster-all-at-once",
        says: "all nodes are killed at once, and started again: every session goes on",
        run: all_at_once,
    },
    Scenario {
        name: "cluster-l2",
        says: "by ARP on a bridge: the master is killed, and whoever follows is found at once",
        run: l2,
    },
];

pub(super) const LONG: &[Scenario] = &[
    Scenario {
        name: "cluster-kill-master-5000",
        says: "the master of 5,000 sessions is killed",
        run: || kill_master(5_000),
    },
    Scenario {
        name: "cluster-cut-one-way",
        says: "the same, where the master hears all of them and nobody hears it",
        run: || cut_master(Way::FromNode),
    },
    Scenario {
        name: "cluster-last-node",
        says: "all nodes but one are killed, the master among them",
        run: last_node,
    },
    Scenario {
        name: "cluster-lease-emptied",
        says: "somebody empties the Lease's holder",
        run: lease_emptied,
    },
    Scenario {
        name: "cluster-api-away-long",
        says: "the API server stands still for 100 s: the master goes on, new sessions come up",
        run: || api_away(100),
    },
    Scenario {
        name: "cluster-rolling-restart",
        says: "every node is restarted, one after the other",
        run: rolling_restart,
    },
];

/// Sessions of a story.
const SESSIONS: usize = 400;

fn plain(story: impl FnOnce(&mut Scene<'_>) -> Result<Expected>) -> Result<String> {
    play(SESSIONS, &Wanted::default(), story, |_| Ok(()))
}

fn three() -> Result<String> {
    plain(|scene| {
        scene.newcomers("early")?;
        rest(5);
        Ok(Expected::default())
    })
}

fn kill_master(sessions: usize) -> Result<String> {
    let story = |scene: &mut Scene<'_>| {
        let first = scene.first;
        let (second, _) = scene.kill_master()?;
        ensure!(first != second, "a dead master answers");
        scene.newcomers("second")?;
        scene.bed.launch(first)?;
        scene.bed.wait_ready(first)?;
        Ok(Expected {
            changes: 1,
            may_repeat: true,
        })
    };
    play(sessions, &Wanted::default(), story, |_| Ok(()))
}

fn zombie() -> Result<String> {
    silenced(
        |scene, master| scene.bed.node(master)?.signal(Signal::SIGSTOP),
        |scene, master| scene.bed.node(master)?.signal(Signal::SIGCONT),
    )
}

fn cut_master(way: Way) -> Result<String> {
    silenced(
        |scene, master| scene.bed.network.cut(Link::Management(master), way),
        |scene, master| scene.bed.network.mend(Link::Management(master)),
    )
}

/// How long an authority lasts after its last renewal was sent, by the profile `Default`.
const HOLD: Duration = Duration::from_secs(4);

/// A fault by which the first master loses its authority while it lives, and its end later: another one
/// follows, and the first says nothing in the cluster's name any more.
fn silenced(
    fault: impl FnOnce(&Scene<'_>, Place) -> Result<()>,
    end: impl FnOnce(&Scene<'_>, Place) -> Result<()>,
) -> Result<String> {
    let silence = Cell::new(None);
    play(
        SESSIONS,
        &Wanted::default(),
        |scene| {
            let first = scene.first;
            fault(scene, first)?;
            silence.set(Some((first, SystemTime::now() + HOLD)));
            scene.another(&[first])?;
            scene.newcomers("second")?;
            rest(5);
            end(scene, first)?;
            scene.newcomers("third")?;
            rest(5);
            Ok(Expected {
                changes: 1,
                may_repeat: true,
            })
        },
        |seen| match silence.get() {
            Some((first, since)) => verdict::silent(&seen.sightings, first, since),
            None => Ok(()),
        },
    )
}

fn kill_member() -> Result<String> {
    plain(|scene| {
        let first = scene.first;
        let member = Place::ALL.into_iter().find(|place| *place != first);
        let member = member.unwrap_or(first);
        scene.bed.end(member, Signal::SIGKILL)?;
        rest(5);
        scene.newcomers("second")?;
        scene.bed.launch(member)?;
        scene.bed.wait_ready(member)?;
        rest(3);
        Ok(Expected::default())
    })
}

fn api_away(seconds: u64) -> Result<String> {
    plain(|scene| {
        scene.bed.api.signal(Signal::SIGSTOP)?;
        let away = away(scene, seconds);
        scene.bed.api.signal(Signal::SIGCONT)?;
        away?;
        scene.newcomers("back")?;
        rest(5);
        Ok(Expected::default())
    })
}

fn away(scene: &Scene<'_>, seconds: u64) -> Result<()> {
    for round in 0..seconds / 10 {
        rest(10);
        scene.all_up()?;
        scene.newcomers(&format!("away{round}-"))?;
    }
    Ok(())
}

fn redis_failover() -> Result<String> {
    plain(|scene| {
        let before = scene.bed.store.master()?;
        scene.bed.store.kill(before)?;
        scene.newcomers("meanwhile")?;
        let store = &scene.bed.store;
        store.wait("Sentinel has another master", |store| {
            Ok(store.master()? != before)
        })?;
        scene.newcomers("promoted")?;
        scene.bed.store.restart(before)?;
        rest(10);
        scene.kill_master()?;
        scene.newcomers("second")?;
        Ok(Expected {
            changes: 1,
            may_repeat: true,
        })
    })
}

fn redis_flushed() -> Result<String> {
    plain(|scene| {
        let port = scene.bed.store.master()?;
        scene.bed.store.signal(port, Signal::SIGSTOP)?;
        // Not for so long that Sentinel gives up.
        rest(1);
        scene.bed.store.signal(port, Signal::SIGCONT)?;
        scene.newcomers("meanwhile")?;
        scene.bed.store.ask(port, &["FLUSHALL"])?;
        scene.newcomers("flushed")?;
        rest(10);
        scene.kill_master()?;
        scene.newcomers("second")?;
        Ok(Expected {
            changes: 1,
            may_repeat: true,
        })
    })
}

fn step_down() -> Result<String> {
    plain(|scene| {
        let first = scene.first;
        let said = scene.bed.node(first)?.table(&["step-down"])?;
        let second = scene.another(&[first])?;
        ensure!(first != second, "nobody took over: {said}");
        scene.newcomers("second")?;
        Ok(Expected {
            changes: 1,
            may_repeat: false,
        })
    })
}

fn lease_deleted() -> Result<String> {
    plain(|scene| {
        scene.bed.api.delete(LEASE)?;
        by_hand(scene)
    })
}

fn lease_emptied() -> Result<String> {
    plain(|scene| {
        let nobody = json!({ "spec": { "holderIdentity": "" } });
        scene.bed.api.patch(LEASE, &nobody)?;
        by_hand(scene)
    })
}

/// After somebody has laid hands on the Lease: somebody is master again, and it is held.
fn by_hand(scene: &Scene<'_>) -> Result<Expected> {
    rest(10);
    scene.master()?;
    scene.newcomers("second")?;
    let lease = scene.bed.api.get(LEASE)?;
    let holder = lease.pointer("/spec/holderIdentity");
    ensure!(
        holder.is_some_and(|holder| holder != ""),
        "nobody holds the Lease: {lease}"
    );
    Ok(Expected {
        changes: 1,
        may_repeat: true,
    })
}

fn last_node() -> Result<String> {
    plain(|scene| {
        let first = scene.first;
        let rest_of = || Place::ALL.into_iter().filter(move |place| *place != first);
        let (member, last) = (rest_of().next(), rest_of().next_back());
        let (Some(member), Some(last)) = (member, last) else {
            anyhow::bail!("there are not three nodes");
        };
        for place in [first, member] {
            scene.bed.end(place, Signal::SIGKILL)?;
        }
        let master = scene.another(&[first, member])?;
        ensure!(master == last, "a dead node is master");
        scene.newcomers("last")?;
        for place in [first, member] {
            scene.bed.launch(place)?;
        }
        for place in [first, member] {
            scene.bed.wait_ready(place)?;
        }
        Ok(Expected {
            changes: 1,
            may_repeat: true,
        })
    })
}

fn all_at_once() -> Result<String> {
    plain(|scene| {
        for place in Place::ALL {
            scene.bed.node(place)?.signal(Signal::SIGKILL)?;
        }
        for place in Place::ALL {
            scene.bed.end(place, Signal::SIGKILL)?;
            scene.bed.launch(place)?;
        }
        for place in Place::ALL {
            scene.bed.wait_ready(place)?;
        }
        scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
        scene.newcomers("again")?;
        Ok(Expected {
            changes: 1,
            may_repeat: true,
        })
    })
}

fn l2() -> Result<String> {
    let wanted = Wanted {
        announce: Announce::L2,
        ..Wanted::default()
    };
    play(
        SESSIONS,
        &wanted,
        |scene| {
            let first = scene.first;
            scene.kill_master()?;
            scene.newcomers("second")?;
            scene.bed.launch(first)?;
            scene.bed.wait_ready(first)?;
            Ok(Expected {
                changes: 1,
                may_repeat: true,
            })
        },
        |_| Ok(()),
    )
}

fn rolling_restart() -> Result<String> {
    plain(|scene| {
        for place in Place::ALL {
            scene.bed.end(place, Signal::SIGTERM)?;
            scene.master()?;
            scene.newcomers(&format!("without-{}-", place.name()))?;
            scene.bed.launch(place)?;
            scene.bed.wait_ready(place)?;
            scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
        }
        Ok(Expected {
            changes: 3,
            may_repeat: false,
        })
    })
}
