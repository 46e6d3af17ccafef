//! I5, and what becomes of the book of calls when another node goes on: what was stored is there as it was;
//! what was not is nobody's, and has neither ended nor begun.

use std::collections::BTreeMap;

use lns_node::{Node, RecordKey, Stage};
use lns_tables::path::{PathUpdate, SessionPath, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use super::{Calls, Life, ending, ids};
use crate::observe::{Finding, Invariant, Key};
use crate::world::Estate;

/// A session as another node has it.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe) struct Kept {
    /// Its ids.
    pub(in crate::observe) key: Key,
    /// It is up.
    pub(in crate::observe) up: bool,
    /// IP passes.
    pub(in crate::observe) has_address: bool,
}

impl Calls {
    /// Another node has read what is stored, and is about to go on.
    pub(in crate::observe) fn succeed(
        &mut self,
        node: &Node,
        known: &[PathUpdate],
        estate: &Estate,
        now: Instant,
    ) -> Finding {
        let before = core::mem::take(&mut self.live);
        self.clear_books(estate);
        for update in known {
            match *update {
                PathUpdate::SetTunnel { tunnel, path } => drop(self.tunnels.insert(tunnel, path)),
                PathUpdate::SetSession { slot, path } => self.adopt(slot, path, node, now)?,
                PathUpdate::SetPolicies { .. }
                | PathUpdate::ClearTunnel { .. }
                | PathUpdate::ClearSession { .. }
                | PathUpdate::SetRoute { .. }
                | PathUpdate::ClearRoute { .. }
                | PathUpdate::ReportSession { .. }
                | PathUpdate::ReportTunnel { .. } => {}
            }
        }
        let shown = node.tunnels(None, usize::MAX, now).0;
        let up = shown.iter().filter(|it| it.state == ESTABLISHED);
        self.tunnels_up = up.map(|it| TunnelId(it.id)).collect();
        let is_up = |tunnel| self.tunnels_up.contains(&tunnel);
        self.untold
            .retain(|_, (key, _)| is_up(key.0) && !self.live.contains_key(key));
        self.survive(&before, estate)
    }

    /// What only the node that is gone has known is forgotten. Ids and addresses of who has ended stay: they
    /// rest over nodes.
    fn clear_books(&mut self, estate: &Estate) {
        let is_lost = |key: Key| estate.lost.contains(&RecordKey::Session(key.0, key.1));
        self.ended.retain(|key, _| !is_lost(*key));
        self.released.retain(|_, (_, key)| !is_lost(*key));
        self.untold.retain(|_, (key, _)| !is_lost(*key));
        self.tunnels_ended
            .retain(|tunnel, _| !estate.lost.contains(&RecordKey::Tunnel(*tunnel)));
        self.by_slot.clear();
        self.by_peer.clear();
        self.holders.clear();
        self.cleared.clear();
        self.tunnels.clear();
        self.up = 0;
        self.changed = true;
    }

    fn adopt(&mut self, slot: SlotIndex, path: SessionPath, node: &Node, now: Instant) -> Finding {
        let key = (path.tunnel, path.session);
        if let Some(at) = self.ended.remove(&key) {
            return ending(format!("{key:?} ended at {at:?}, and another node has it"));
        }
        let shown = node.session(key.0, key.1, now);
        let up = shown.is_some_and(|it| it.stage == Stage::Up);
        self.up += u32::from(up);
        if let Some(other) = self.enter(slot, path, up) {
            return ids(format!("slot {} of {other:?} is that of {key:?}", slot.0));
        }
        let Some(address) = path.address else {
            return Ok(());
        };
        self.released.remove(&address);
        match self.holders.insert(address, key) {
            Some(other) => Err((
                Invariant::Addresses,
                format!("another node has {address} at {other:?} and {key:?}"),
            )),
            None => Ok(()),
        }
    }

    /// Whoever was there, as far as that was stored, is there.
    fn survive(&self, before: &BTreeMap<Key, Life>, estate: &Estate) -> Finding {
        let owed = before.iter().filter(|(key, _)| {
            let key = RecordKey::Session(key.0, key.1);
            !estate.lost.contains(&key)
        });
        for (key, was) in owed {
            let Some(is) = self.live.get(key) else {
                return survival(format!("{key:?} is unknown to the next node"));
            };
            // Who came up in the last round may have been stored and not been told of.
            let has_gone_back = was.up && !is.up;
            let is_same = (was.slot, was.path.peer_session) == (is.slot, is.path.peer_session);
            if has_gone_back || !is_same {
                return survival(format!("{key:?} was {was:?}, and the next node has {is:?}"));
            }
            let shape = |path: &SessionPath| {
                let rates = (!estate.reconfigured).then_some(path.rates);
                (path.address, path.mtu, path.sequencing, rates)
            };
            if was.up && was.path.address.is_some() && shape(&was.path) != shape(&is.path) {
                return survival(format!(
                    "{key:?} was {:?}, and the next node has {:?}",
                    was.path, is.path
                ));
            }
        }
        Ok(())
    }

    /// All sessions that are there.
    pub(in crate::observe) fn kept(&self) -> impl Iterator<Item = Kept> {
        self.live.iter().map(|(key, life)| Kept {
            key: *key,
            up: life.up,
            has_address: life.path.address.is_some(),
        })
    }
}

/// A tunnel that is up, as the node shows it.
const ESTABLISHED: &str = "established";

fn survival(what: String) -> Finding {
    Err((Invariant::Survival, what))
}

/// The ids in a key of a record.
pub(in crate::observe) fn tunnel_of(key: RecordKey) -> TunnelId {
    match key {
        RecordKey::Tunnel(tunnel) | RecordKey::Session(tunnel, SessionId(_)) => tunnel,
    }
}
