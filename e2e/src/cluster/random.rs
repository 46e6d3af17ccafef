//! Faults in an order that a seed decides: `LNS_CLUSTER_SEED` plays one again, as far as the machine's own
//! timing lets it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::bed::PATIENCE;
use super::network::{Link, Place, Way};
use super::objects::Wanted;
use super::redis::PORTS;
use super::scene::{Expected, Scene, play, rest};
use crate::scenario::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "cluster-random",
    says: "ten faults in an order that a seed decides: no session lost",
    run: random,
}];

const SESSIONS: usize = 400;
const FAULTS: usize = 10;

/// What may happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// A node ends by this signal, and is started again.
    End(Place, Signal),
    /// A node stands still for longer than D.
    Stop(Place),
    /// A node reaches nobody, or nobody hears it.
    Cut(Place, Way),
    /// The API server stands still for longer than D.
    Api,
    /// Redis stands still for longer than Sentinel waits.
    Redis,
}

/// Numbers by a seed (Marsaglia's xorshift).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % limit
    }

    fn fault(&mut self) -> Fault {
        let place = Place(self.below(Place::ALL.len()));
        match self.below(7) {
            0 => Fault::End(place, Signal::SIGKILL),
            1 => Fault::Stop(place),
            2 => Fault::End(place, Signal::SIGTERM),
            3 => Fault::Cut(place, Way::Both),
            4 => Fault::Cut(place, Way::FromNode),
            5 => Fault::Api,
            _ => Fault::Redis,
        }
    }
}

fn random() -> Result<String> {
    let seed = match std::env::var("LNS_CLUSTER_SEED") {
        Ok(seed) => seed.parse().context("LNS_CLUSTER_SEED is no number")?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let mut dice = Dice(seed.max(1));
    let faults: Vec<_> = (0..FAULTS).map(|_| dice.fault()).collect();
    let told = play(
        SESSIONS,
        &Wanted::default(),
        |scene| {
            for (number, fault) in faults.iter().enumerate() {
                suffer(scene, *fault)
                    .and_then(|()| scene.all_up())
                    .and_then(|()| scene.newcomers(&format!("after{number}-")))
                    .with_context(|| format!("fault {number}, {fault:?}"))?;
            }
            Ok(Expected {
                changes: FAULTS,
                may_repeat: true,
            })
        },
        |_| Ok(()),
    );
    let told = told.with_context(|| format!("LNS_CLUSTER_SEED={seed}: {faults:?}"))?;
    Ok(format!("seed {seed}: {told}"))
}

/// Lets it happen, and ends it.
fn suffer(scene: &mut Scene<'_>, fault: Fault) -> Result<()> {
    /// Longer than D, and than the Sentinel waits.
    const LONG: u64 = 8;
    match fault {
        Fault::End(place, by) => {
            scene.bed.end(place, by)?;
            rest(2);
            scene.bed.launch(place)?;
        }
        Fault::Stop(place) => {
            scene.bed.node(place)?.signal(Signal::SIGSTOP)?;
            rest(LONG);
            scene.bed.node(place)?.signal(Signal::SIGCONT)?;
        }
        Fault::Cut(place, way) => {
            scene.bed.network.cut(Link::Management(place), way)?;
            rest(LONG);
            scene.bed.network.mend(Link::Management(place))?;
        }
        Fault::Api => {
            scene.bed.api.signal(Signal::SIGSTOP)?;
            rest(LONG);
            scene.bed.api.signal(Signal::SIGCONT)?;
        }
        Fault::Redis => {
            let port = scene.bed.store.master()?;
            scene.bed.store.signal(port, Signal::SIGSTOP)?;
            rest(LONG);
            scene.bed.store.signal(port, Signal::SIGCONT)?;
            let [one, other] = PORTS;
            scene.bed.store.wait("both servers answer", |store| {
                let answers = |port| store.ask(port, &["PING"]);
                Ok(answers(one)?.contains("PONG") && answers(other)?.contains("PONG"))
            })?;
        }
    }
    for place in Place::ALL {
        scene.bed.wait_ready(place)?;
    }
    scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_and_seeds_give_all_of_them() {
        let faults = |seed| {
            let mut dice = Dice(seed);
            (0..200).map(|_| dice.fault()).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        for wanted in [
            Fault::Api,
            Fault::Redis,
            Fault::End(Place(2), Signal::SIGKILL),
        ] {
            assert!(faults(7).contains(&wanted), "{wanted:?}");
        }
    }
}
