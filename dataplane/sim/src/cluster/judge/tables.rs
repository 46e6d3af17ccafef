//! What members that forward go by, against what the master knows (I6, I7, I9), and the names of calls (I14).

use std::collections::BTreeMap;

use lns_node::Event;
use lns_tables::path::{PathUpdate, SessionPath};
use lns_wire::id::{SessionId, TunnelId};

use super::{Finding, Invariant, Judge};
use crate::cluster::site::{Engine, Process};
use crate::cluster::world::World;
use crate::observe::standby;

/// By how much ages may differ, seconds: each is rounded down, and clocks go differently.
const ROUNDED: u64 = 1;

#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Whose a name is.
    names: BTreeMap<String, (TunnelId, SessionId)>,
    pub(super) ups: u64,
}

impl Tables {
    fn names(&mut self, name: String, key: (TunnelId, SessionId)) -> Finding {
        match self.names.insert(name, key) {
            Some(other) if other != key => Err((
                Invariant::Accounting,
                format!("{key:?} has the name that {other:?} had"),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Judge {
    /// Sessions that came up.
    pub(in crate::cluster) const fn ups(&self) -> u64 {
        self.tables.ups
    }
}

impl World {
    /// Something happened in the node of a site.
    pub(in crate::cluster) fn judge_event(&mut self, number: usize, event: &Event) {
        self.remark(|| format!("n{number} {event:?}"));
        let Event::SessionUp {
            tunnel, session, ..
        } = event
        else {
            return;
        };
        self.judge.tables.ups += 1;
        let now = self.now;
        let site = &self.sites[number];
        let local = site.clock.local(now);
        let engine = site.process.as_ref().and_then(Process::engine);
        let shown = engine.and_then(|it| it.node.session(*tunnel, *session, local));
        if let Some(shown) = shown {
            let found = self
                .judge
                .tables
                .names(shown.acct_session_id, (*tunnel, *session));
            self.judge.note(found, now);
        }
        self.compare_paths();
    }

    /// What members go by that forward, against what the master has.
    pub(in crate::cluster) fn compare_paths(&mut self) {
        let now = self.now;
        let Some(master) = self.master() else {
            return;
        };
        if !self.judge.is_certain(now) || self.judge.is_lost() {
            return;
        }
        let engine = |number: usize| {
            self.sites[number]
                .process
                .as_ref()
                .and_then(Process::engine)
        };
        let Some(own) = engine(master) else {
            return;
        };
        let own = sessions(own);
        let mut found = Ok(());
        for (number, site) in self.sites.iter().enumerate() {
            if number == master || !site.passes(site.gate.data, now) {
                continue;
            }
            if let Some(other) = engine(number) {
                found = found.and_then(|()| compare(&own, &sessions(other), number));
            }
        }
        self.judge.note(found, now);
    }

    /// Members that have all, against the master that has stored all.
    pub(in crate::cluster) fn compare_tables(&mut self) {
        let now = self.now;
        let Some(master) = self.master() else {
            return;
        };
        let site = &self.sites[master];
        let Some(process) = site.process.as_ref().filter(|it| it.is_quiet()) else {
            return;
        };
        let (Some(engine), Some(position)) = (process.engine(), process.reached()) else {
            return;
        };
        if !self.judge.is_certain(now) || self.judge.is_lost() {
            return;
        }
        let here = (&engine.node, site.clock.local(now));
        let mut found = Ok(());
        for (number, other) in self.sites.iter().enumerate() {
            let there = other.process.as_ref().filter(|_| number != master);
            let there = there.filter(|it| it.reached() == Some(position) && !other.is_paused());
            if let Some(engine) = there.and_then(Process::engine) {
                let there = (&engine.node, other.clock.local(now));
                let span = now.as_secs() / 50;
                let compared = standby::compare(here, there, ROUNDED + span);
                found = found.and(compared.map_err(|(_, what)| {
                    (
                        Invariant::Standby,
                        format!("n{master} and n{number}: {what}"),
                    )
                }));
            }
        }
        self.judge.note(found, now);
    }
}

fn sessions(engine: &Engine) -> Vec<SessionPath> {
    let known = engine.workers.known();
    let paths = known.into_iter().filter_map(|update| match update {
        PathUpdate::SetSession { path, .. } => Some(path),
        _ => None,
    });
    paths.collect()
}

fn compare(own: &[SessionPath], other: &[SessionPath], number: usize) -> Finding {
    let addresses: BTreeMap<_, _> = own
        .iter()
        .filter_map(|path| Some((path.address?, path)))
        .collect();
    let ids: BTreeMap<_, _> = own
        .iter()
        .map(|path| ((path.tunnel, path.session), path))
        .collect();
    for path in other {
        let key = (path.tunnel, path.session);
        if let Some(address) = path.address
            && let Some(held) = addresses.get(&address)
            && (held.tunnel, held.session) != key
        {
            return Err((
                Invariant::Addresses,
                format!("n{number} forwards {address} for {key:?}, and it is {held:?}'s"),
            ));
        }
        if let Some(held) = ids.get(&key)
            && held.peer_session != path.peer_session
        {
            return Err((
                Invariant::Ids,
                format!("n{number} has {path:?}, and the master {held:?}"),
            ));
        }
    }
    Ok(())
}
