//! Stories of a cluster that is made otherwise than the one of [`super::faults`].

use anyhow::Result;

use super::network::Announce;
use super::objects::Wanted;
use super::scene::{Expected, Scene, play};
use crate::scenario::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "cluster-l2",
    says: "by ARP on a bridge: the master is killed, and whoever follows is found at once",
    run: l2,
}];

const SESSIONS: usize = 400;

fn l2() -> Result<String> {
    let wanted = Wanted {
        announce: Announce::L2,
        ..Wanted::default()
    };
    let story = |scene: &mut Scene<'_>| {
        scene.kill_master()?;
        scene.newcomers("second")?;
        Ok(Expected::followed())
    };
    play(SESSIONS, &wanted, story, |_| Ok(()))
}
