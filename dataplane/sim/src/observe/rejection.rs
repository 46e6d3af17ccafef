//! I11: what is rejected changes nothing.
//!
//! Whether an input was rejected is what the node counts it as. What it must not have changed is what the
//! node shows: the tunnel and the session that the input names, and the node at a glance. Inputs from nobody's LAC and broken ones are all looked at, of the others every thirtieth.

use lns_node::{Node, Stats, view};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp::Packet;

use super::{Finding, Invariant};
use crate::world::Origin;

/// Of so many inputs of a LAC one is looked at.
const ONE_OF: u64 = 30;

/// Sessions up to which all of them are looked at.
const FEW: u32 = 24;

/// What the node showed before the input.
#[derive(Debug, Default)]
pub(super) struct Rejection {
    before: Option<(TunnelId, SessionId, Shown, Stats)>,
    inputs: u64,
}

/// What the node shows.
#[derive(Debug, Eq, PartialEq)]
struct Shown {
    status: String,
    tunnel: String,
    session: String,
}

impl Shown {
    fn of(node: &Node, tunnel: TunnelId, session: SessionId, now: Instant) -> Self {
        let status = node.status();
        let before = tunnel.0.checked_sub(1).map(TunnelId);
        let tunnel_shown = node.tunnels(before, 1, now).0;
        let sessions = if status.sessions + status.sessions_opening <= FEW {
            node.sessions(
                &view::SessionFilter::default(),
                None::<SlotIndex>,
                u32::MAX,
                now,
            )
            .sessions
        } else {
            node.session(tunnel, session, now).into_iter().collect()
        };
        Self {
            status: format!("{status:?}"),
            tunnel: format!("{tunnel_shown:?}"),
            session: format!("{sessions:?}"),
        }
    }
}

impl Shown {
    /// What differs, before and after.
    fn difference<'a>(&'a self, after: &'a Self) -> [&'a str; 2] {
        let texts = [
            (&self.status, &after.status),
            (&self.tunnel, &after.tunnel),
            (&self.session, &after.session),
        ];
        let differs = texts.into_iter().find(|(was, is)| was != is);
        differs.map_or([""; 2], |(was, is)| [was, is])
    }
}

impl Rejection {
    pub(super) fn receives(&mut self, origin: Origin, octets: &[u8], node: &Node, now: Instant) {
        self.inputs += 1;
        let suspect = !matches!(origin, Origin::Lac(_));
        if !suspect && !self.inputs.is_multiple_of(ONE_OF) {
            return;
        }
        let (tunnel, session) = match Packet::parse(octets) {
            Ok(Packet::Control(header, _)) => (header.tunnel, header.session),
            Ok(Packet::Data(header, _)) => (header.tunnel, header.session),
            Err(_) => Default::default(),
        };
        let shown = Shown::of(node, tunnel, session, now);
        self.before = Some((tunnel, session, shown, node.stats().clone()));
    }

    /// Nothing comes of the last input: the process has ended.
    pub(super) fn forget(&mut self) {
        self.before = None;
    }

    pub(super) fn settled(&mut self, node: &Node, now: Instant) -> Finding {
        let Some((tunnel, session, before, stats)) = self.before.take() else {
            return Ok(());
        };
        let Some(why) = rejected(node.stats(), &stats) else {
            return Ok(());
        };
        let after = Shown::of(node, tunnel, session, now);
        if after == before {
            return Ok(());
        }
        let [was, is] = before.difference(&after);
        let what = format!("an input that was rejected ({why}) changed {was} to {is}");
        Err((Invariant::Rejection, what))
    }
}

/// The counter that says so, if the input was rejected and nothing else was accepted.
fn rejected(after: &Stats, before: &Stats) -> Option<&'static str> {
    let dropped = after
        .drops
        .iter()
        .find(|(label, times)| before.drops.get(*label) != Some(times))
        .map(|(label, _)| *label);
    let mut messages = after
        .control_messages
        .iter()
        .filter(|(key, times)| before.control_messages.get(*key) != Some(times))
        .map(|(key, _)| key.1)
        .peekable();
    if messages.clone().any(|result| result == "ok") {
        return None;
    }
    // A line that is looped often enough ends, and what shows it is a packet that is dropped.
    dropped
        .or_else(|| messages.next())
        .filter(|label| *label != "loop")
}
