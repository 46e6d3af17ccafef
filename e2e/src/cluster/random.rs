//! Faults in an order that a seed decides: `LNS_CLUSTER_SEED` plays one again, as far as the machine's own
//! timing lets it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::network::{Link, Place, Way};
use super::outages::LATE;
use super::scene::{Expected, Ground as _, LONGER, Scene, rest};
use super::story::Story;

pub(super) const STORIES: &[Story] = &[Story {
    name: "cluster-random",
    says: "three minutes of faults in an order that a seed decides: no session lost",
    tell: |scene| random(scene, 3),
}];

pub(super) const LONG: &[Story] = &[Story {
    name: "cluster-random-long",
    says: "half an hour of faults (LNS_CLUSTER_MINUTES: or so long) in an order that a seed decides",
    tell: |scene| {
        let minutes = std::env::var("LNS_CLUSTER_MINUTES");
        let minutes = minutes.ok().map_or(Ok(30), |text| text.parse());
        random(scene, minutes.context("LNS_CLUSTER_MINUTES is no number")?)
    },
}];

/// What may happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// A node ends by this signal, and is started again two seconds later.
    End(Place, Signal),
    /// A node stands still for longer than D.
    Stop(Place),
    /// A node reaches nobody, or nobody hears it.
    Cut(Place, Way),
    /// The API server stands still for longer than D.
    Api,
    /// What the API server says is later than H.
    Late,
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
        match self.below(8) {
            0 => Fault::End(place, Signal::SIGKILL),
            1 => Fault::Stop(place),
            2 => Fault::End(place, Signal::SIGTERM),
            3 => Fault::Cut(place, Way::Both),
            4 => Fault::Cut(place, Way::FromNode),
            5 => Fault::Api,
            6 => Fault::Late,
            _ => Fault::Redis,
        }
    }
}

/// Faults one after the other for so many minutes. Which there were, and by which seed, is printed.
fn random(scene: &mut Scene<'_>, minutes: u64) -> Result<Expected> {
    let seed = match std::env::var("LNS_CLUSTER_SEED") {
        Ok(seed) => seed.parse().context("LNS_CLUSTER_SEED is no number")?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let mut dice = Dice(seed.max(1));
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut faults = Vec::new();
    while Instant::now() < end {
        let (number, fault) = (faults.len(), dice.fault());
        faults.push(fault);
        suffer(scene, fault)
            .and_then(|()| scene.all_up())
            .and_then(|()| scene.newcomers(&format!("after{number}-")))
            .with_context(|| format!("LNS_CLUSTER_SEED={seed}, fault {number}: {faults:?}"))?;
    }
    println!("      LNS_CLUSTER_SEED={seed}: {} faults", faults.len());
    Ok(Expected {
        changes: faults.len(),
        ..Expected::followed()
    })
}

/// Lets it happen, and ends it.
fn suffer(scene: &mut Scene<'_>, fault: Fault) -> Result<()> {
    match fault {
        Fault::End(place, by) => {
            scene.bed.end(place, by)?;
            rest(2);
        }
        Fault::Stop(place) => {
            scene.bed.node(place)?.signal(Signal::SIGSTOP)?;
            rest(LONGER);
            scene.bed.node(place)?.signal(Signal::SIGCONT)?;
        }
        Fault::Cut(place, way) => {
            scene.bed.network.cut(Link::Management(place), way)?;
            rest(LONGER);
            scene.bed.network.mend(Link::Management(place))?;
        }
        Fault::Api => {
            scene.bed.api.signal(Signal::SIGSTOP)?;
            rest(LONGER);
            scene.bed.api.signal(Signal::SIGCONT)?;
        }
        Fault::Late => {
            scene.bed.api.proxy.hold_back(LATE)?;
            rest(LONGER);
            scene.bed.api.proxy.hold_back(Duration::ZERO)?;
        }
        Fault::Redis => {
            let port = scene.bed.store.master()?;
            scene.bed.store.signal(port, Signal::SIGSTOP)?;
            rest(LONGER);
            scene.bed.store.signal(port, Signal::SIGCONT)?;
        }
    }
    scene.bed.recover()?;
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
            Fault::Late,
            Fault::Redis,
            Fault::End(Place(2), Signal::SIGKILL),
        ] {
            assert!(faults(7).contains(&wanted), "{wanted:?}");
        }
    }
}
