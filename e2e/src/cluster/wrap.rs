//! Takeovers while the numbers of control messages wrap: with a LAC whose next one is 32,767, where half of all
//! numbers are behind it, and with another one at 65,535 (RFC 2661, 5.8). HELLOs take them there.

use anyhow::Result;

use super::bed::PATIENCE;
use super::scene::{Expected, Scene};
use super::story::Story;
use crate::lac::{Lac, Options, Order, Stage};

pub(super) const STORIES: &[Story] = &[Story {
    name: "cluster-wrap",
    says: "the master is killed when the numbers of a LAC are at 32,767 and those of another one at 65,535",
    tell: wrap,
}];

/// Where each LAC's numbers are when the master is killed.
const NUMBERS: [u16; 2] = [32_767, 65_535];
/// HELLOs that each LAC has said when the master is gone, and half of that before.
const AROUND: u16 = 8;
/// Subscribers of each LAC.
const SESSIONS: usize = 6;

fn wrap(scene: &mut Scene<'_>) -> Result<Expected> {
    let mut lacs = Vec::new();
    for (number, wrap) in NUMBERS.into_iter().enumerate() {
        let options = Options {
            from_port: 0,
            tunnels: 1,
            sessions: SESSIONS,
            tun: None,
            ..scene.options(number, &format!("wrap{number}-{{}}@isp"))
        };
        let lac = Lac::up(scene.lac_space(number), options)?;
        lac.order(Order::Hello(wrap.wrapping_sub(AROUND / 2)))?;
        lacs.push((lac, wrap));
    }
    for (lac, wrap) in &lacs {
        reach(lac, wrap.wrapping_sub(AROUND / 2))?;
    }
    let first = scene.master()?;
    scene.bed.end(first, nix::sys::signal::Signal::SIGKILL)?;
    for (lac, wrap) in &lacs {
        lac.order(Order::Hello(wrap.wrapping_add(AROUND / 2)))?;
    }
    scene.another(&[first])?;
    for (lac, wrap) in lacs {
        reach(&lac, wrap.wrapping_add(AROUND / 2))?;
        lac.order(Order::HangUp(0))?;
        lac.wait(PATIENCE, "a session has ended", |shared| {
            shared.count(|stage| *stage == Stage::Up) == SESSIONS - 1
        })?;
        lac.order(Order::Dial(0))?;
        lac.wait(PATIENCE, "it is up again", |shared| {
            shared.count(|stage| *stage == Stage::Up) == SESSIONS
        })?;
        lac.close()?;
    }
    Ok(Expected::followed())
}

/// Waits until the LNS has acknowledged every message before this number.
fn reach(lac: &Lac, number: u16) -> Result<()> {
    let what = format!("every message before {number} is acknowledged");
    lac.wait(PATIENCE, &what, |shared| shared.acknowledged() == [number])
}
