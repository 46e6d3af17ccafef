//! I9: when all is stored and nothing is under way, the node that follows shows what the active one shows.
//!
//! Who negotiates is compared by the ids alone: what is negotiated is in no record.

use std::collections::BTreeSet;

use lns_node::{Node, Stage, view};
use lns_tables::time::Instant;

use super::{Finding, Invariant};

/// How far apart ages may be, seconds: each is rounded down.
pub(crate) const ROUNDED: u64 = 1;

/// Compares them, each at its own time; ages may be so many seconds apart.
pub(crate) fn compare(
    (node, now): (&Node, Instant),
    (follower, then): (&Node, Instant),
    rounded: u64,
) -> Finding {
    let (ours, theirs) = (sessions(node, now), sessions(follower, then));
    if ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len(), theirs.len());
        return differs(format!("{ours} sessions here, {theirs} there"));
    }
    let mut opening = 0;
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        let negotiates = ours.stage != Stage::Up || ours.mtu.is_none();
        if ours.id == theirs.id && negotiates {
            opening += 1;
            continue;
        }
        let ages = [
            Some(ours.seconds.abs_diff(theirs.seconds)),
            ours.remaining_seconds
                .zip(theirs.remaining_seconds)
                .map(|(ours, theirs)| ours.abs_diff(theirs)),
        ];
        let is_near = ages.into_iter().flatten().all(|apart| apart <= rounded);
        if !is_near || text(ours.clone()) != text(theirs.clone()) {
            return differs(format!("{ours:?} here, {theirs:?} there"));
        }
    }
    let (ours, theirs) = (tunnels(node, now), tunnels(follower, then));
    if ours != theirs {
        return differs(format!("tunnels {ours:?} here, {theirs:?} there"));
    }
    let used = |node: &Node| -> u64 { node.pools().iter().map(|pool| pool.used).sum() };
    // Who is not up may have an address already.
    if opening == 0 && used(node) != used(follower) {
        let (ours, theirs) = (used(node), used(follower));
        return differs(format!("{ours} addresses out here, {theirs} there"));
    }
    Ok(())
}

pub(crate) fn sessions(node: &Node, now: Instant) -> Vec<view::Session> {
    let filter = view::SessionFilter::default();
    node.sessions(&filter, None, u32::MAX, now).sessions
}

/// All that is shown of it but its ages.
fn text(session: view::Session) -> String {
    let ageless = view::Session {
        seconds: 0,
        remaining_seconds: session.remaining_seconds.map(|_| 0),
        ..session
    };
    format!("{ageless:?}")
}

fn tunnels(node: &Node, now: Instant) -> BTreeSet<(u16, u16, &'static str)> {
    let shown = node.tunnels(None, usize::MAX, now).0;
    shown
        .iter()
        .map(|it| (it.id, it.peer_id, it.state))
        .collect()
}

fn differs(what: String) -> Finding {
    Err((Invariant::Standby, what))
}
