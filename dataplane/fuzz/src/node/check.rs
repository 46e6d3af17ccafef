//! What the node shows of itself, and what must hold of it at any time.

use lns_l2sess::policy::{Chain, Rates};
use lns_node::{Node, Stage, Stats, view};
use lns_tables::time::Instant;

use super::Workers;

/// Everything that the node shows at one moment.
pub(super) struct Shown {
    status: view::Status,
    tunnels: Vec<view::Tunnel>,
    sessions: Vec<view::Session>,
    lacs: Vec<view::Lac>,
    pools: Vec<view::Pool>,
    policies: Vec<view::PolicySessions>,
    stats: Stats,
    timer: Option<Instant>,
}

impl Shown {
    /// Of `node`.
    pub(super) fn of(node: &Node, now: Instant) -> Self {
        Self {
            status: node.status(),
            tunnels: node.tunnels(None, 1_000, now).0,
            sessions: sessions(node, now),
            lacs: node.lacs(),
            pools: node.pools(),
            policies: node.policy_sessions(),
            stats: node.stats().clone(),
            timer: node.poll_timeout(),
        }
    }

    /// What is counted is what is there, and what the workers know.
    pub(super) fn check(&self, workers: &Workers) {
        let status = &self.status;
        assert_eq!(status.overdue, 0, "a timer was lost");
        assert!(self.timer.is_some(), "no timer at all");
        let up = self.sessions.iter().filter(|each| each.stage == Stage::Up);
        assert_eq!(count(up), status.sessions);
        let all = count(self.sessions.iter());
        assert_eq!(all, status.sessions + status.sessions_opening);
        assert!(all <= status.max_sessions);
        let is = |state: &'static str| move |tunnel: &&view::Tunnel| tunnel.state == state;
        let established = count(self.tunnels.iter().filter(is("established")));
        let opening = count(self.tunnels.iter().filter(is("wait-ctl-conn")));
        assert_eq!(
            (established, opening),
            (status.tunnels, status.tunnels_opening)
        );
        let of_lacs: u32 = self.lacs.iter().map(|lac| lac.tunnels).sum();
        assert_eq!(of_lacs, established + opening);
        let of_lacs: u32 = self.lacs.iter().map(|lac| lac.sessions).sum();
        assert_eq!(of_lacs, all);
        let of_tunnels: u32 = self.tunnels.iter().map(|tunnel| tunnel.sessions).sum();
        assert_eq!(of_tunnels, all);
        self.check_addresses();
        self.check_policies(workers);
        let slots: Vec<_> = self.sessions.iter().map(|each| each.slot).collect();
        let known: Vec<_> = workers.sessions.keys().copied().collect();
        assert_eq!(slots, known, "the workers know every session and no other");
    }

    /// Every address is held once, and the pools know it.
    fn check_addresses(&self) {
        let held = self.sessions.iter().filter_map(|each| each.address);
        let mut held: Vec<_> = held.collect();
        let all = held.len();
        held.sort();
        held.dedup();
        assert_eq!(held.len(), all, "an address is held twice");
        let drawn = self.sessions.iter().filter(|each| each.pool.is_some());
        let used: u64 = self.pools.iter().map(|pool| pool.used).sum();
        assert_eq!(u64::from(count(drawn)), used);
    }

    /// Who has which policies is what the workers know, and counted.
    fn check_policies(&self, workers: &Workers) {
        for session in &self.sessions {
            let path = workers.sessions.get(&session.slot);
            let path = path.expect("the workers know every session");
            let chain = workers.policies.chain(path.chain);
            let names = chain.into_iter().flat_map(Chain::names);
            assert!(names.map(|name| &**name).eq(session.policies.iter()));
            let rates = session.rates.unwrap_or(Rates::default().into());
            // What is granted is told with its coming up.
            if session.stage == Stage::Up {
                assert_eq!(view::Rates::from(path.rates), rates, "{session:?}");
            }
            if session.granted.is_none() {
                let rates = chain.and_then(Chain::rates).unwrap_or_default();
                assert_eq!(path.rates, rates, "{session:?}");
            }
        }
        for known in &self.policies {
            let has = |each: &&view::Session| each.policies.contains(&known.policy);
            let there = count(self.sessions.iter().filter(has));
            assert_eq!(known.sessions, there, "{known:?}");
        }
    }

    /// Nobody is there any more.
    pub(super) fn check_empty(&self) {
        assert_eq!(count(self.tunnels.iter()), 0);
        assert_eq!(count(self.sessions.iter()), 0);
        assert!(self.policies.iter().all(|known| known.sessions == 0));
    }

    /// What became of the input between `before` and now.
    pub(super) fn verdict(&self, before: &Self) -> Result<(), &'static str> {
        for (label, times) in &self.stats.drops {
            if before.stats.drops.get(label) != Some(times) {
                return Err(label);
            }
        }
        for (key, times) in &self.stats.control_messages {
            if key.1 != "ok" && before.stats.control_messages.get(key) != Some(times) {
                return Err(key.1);
            }
        }
        Ok(())
    }

    /// A message that was not accepted has changed nothing.
    pub(super) fn check_untouched(&self, before: &Self) {
        let oks = |stats: &Stats| -> u64 {
            let of_all = stats.control_messages.iter();
            of_all
                .filter(|(key, _)| key.1 == "ok")
                .map(|each| each.1)
                .sum()
        };
        if oks(&self.stats) != oks(&before.stats) {
            return;
        }
        let shown = |shown: &Self| format!("{:?} {:?}", shown.tunnels, shown.sessions);
        assert_eq!(
            shown(self),
            shown(before),
            "what was dropped changed something"
        );
        assert_eq!(self.timer, before.timer, "what was dropped moved a timer");
    }
}

/// All sessions, by slot.
pub(super) fn sessions(node: &Node, now: Instant) -> Vec<view::Session> {
    let filter = view::SessionFilter::default();
    let page = node.sessions(&filter, None, u32::MAX, now);
    assert!(page.next.is_none());
    page.sessions
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).expect("few")
}
