//! Records of a store that is damaged, or that somebody else has written: `lns_node::Node` on standby, by
//! steps, and then as the active one.
//!
//! Each step is an octet and what belongs to it:
//!
//! - 00 tunnel `( octets )`: a record of that tunnel.
//! - 01 tunnel session `( octets )`: a record of that session.
//! - 02 tunnel; 03 tunnel session: the record is forgotten.
//! - 04 n: n seconds pass, and the node takes over, if it has not.
//!
//! After each step the workers know of each session that the node shows, no address is anybody's twice, and
//! what was refused has changed nothing.

use core::time::Duration;
use std::collections::BTreeMap;

use lns_node::view::SessionFilter;
use lns_node::{Beginning, Node, RecordKey, Role, StoreTime, Unreadable};
use lns_tables::path::{Counters, PathReport, PathUpdate, SessionPath, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::Outcome;
use crate::node::setup;
use crate::ops::Ops;

/// The date of the records in the corpus, and some minutes.
const DATE: StoreTime = StoreTime(1_795_000_300_000);

/// Takes the steps.
pub(crate) fn run(input: &[u8]) -> Outcome {
    let mut ops = Ops::new(input);
    let mut world = World::new();
    let mut verdict = Ok(());
    while let Some(step) = ops.step() {
        match step % 5 {
            0 => {
                let key = RecordKey::Tunnel(tunnel(&mut ops));
                verdict = world.record(key, ops.octets());
            }
            1 => {
                let key = RecordKey::Session(tunnel(&mut ops), SessionId(ops.u8().into()));
                verdict = world.record(key, ops.octets());
            }
            2 => world.forgotten(RecordKey::Tunnel(tunnel(&mut ops))),
            3 => {
                let key = RecordKey::Session(tunnel(&mut ops), SessionId(ops.u8().into()));
                world.forgotten(key);
            }
            _ => world.take_over(ops.u8()),
        }
        world.check();
    }
    let status = world.node.status();
    let then = format!(
        "tunnels {} sessions {}",
        status.tunnels + status.tunnels_opening,
        status.sessions + status.sessions_opening
    );
    world.take_over(100);
    world.check();
    Outcome {
        verdict: verdict.map_err(Unreadable::label),
        then,
    }
}

fn tunnel(ops: &mut Ops<'_>) -> TunnelId {
    TunnelId(ops.u8().into())
}

struct World {
    node: Node,
    now: Instant,
    sessions: BTreeMap<SlotIndex, SessionPath>,
}

impl World {
    fn new() -> Self {
        let now = Instant::from_millis(1_000_000);
        let node = Node::standby(setup::config(0), [1; 32], now);
        Self {
            node,
            now,
            sessions: BTreeMap::new(),
        }
    }

    fn record(&mut self, key: RecordKey, octets: &[u8]) -> Result<(), Unreadable> {
        let before = self.shown();
        let taken = self.node.handle_record(key, octets, self.now, DATE);
        self.settle();
        // What leads to nowhere may have taken the place of what was there.
        if taken.is_err_and(|why| why != Unreadable::Unfit) {
            assert_eq!(
                before,
                self.shown(),
                "what was refused has changed something"
            );
        }
        taken
    }

    fn forgotten(&mut self, key: RecordKey) {
        self.node.handle_forgotten(key);
        self.settle();
    }

    fn take_over(&mut self, seconds: u8) {
        if self.node.role() == Role::Standby {
            self.node.handle_takeover(9, Beginning::Takeover, self.now);
        }
        self.settle();
        let end = self.now + Duration::from_secs(seconds.into());
        let mut steps = 0;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.settle();
            steps += 1;
            assert!(steps < 100_000, "a timer stands still");
        }
        self.now = end;
    }

    fn shown(&self) -> Vec<String> {
        let filter = SessionFilter::default();
        let page = self.node.sessions(&filter, None, 1_000, self.now);
        page.sessions.iter().map(|it| format!("{it:?}")).collect()
    }

    /// Takes everything that comes out.
    fn settle(&mut self) {
        let mut octets = Vec::new();
        loop {
            let mut reports = Vec::new();
            while let Some(update) = self.node.poll_path() {
                reports.extend(self.apply(&update));
            }
            if reports.is_empty() {
                break;
            }
            for report in reports {
                self.node.handle_report(&report, self.now);
            }
        }
        while self.node.poll_record(self.now, DATE, &mut octets).is_some() {}
        while self.node.poll_transmit(self.now, &mut octets).is_some() {}
        while self.node.poll_event().is_some() {}
        while self.node.poll_reach().is_some() {}
        while self.node.poll_order().is_some() {}
    }

    fn apply(&mut self, update: &PathUpdate) -> Option<PathReport> {
        let (slot, tunnel, session) = match update {
            PathUpdate::SetSession { slot, path } => {
                let before = self.sessions.insert(*slot, *path);
                let same = |before: &SessionPath| {
                    (before.tunnel, before.session) == (path.tunnel, path.session)
                };
                assert!(before.as_ref().is_none_or(same), "a slot is given away");
                return None;
            }
            PathUpdate::ClearSession {
                slot,
                tunnel,
                session,
            } => {
                assert!(self.sessions.remove(slot).is_some(), "nobody was there");
                (*slot, *tunnel, *session)
            }
            PathUpdate::ReportSession {
                slot,
                tunnel,
                session,
            } => (*slot, *tunnel, *session),
            PathUpdate::SetPolicies { .. }
            | PathUpdate::SetTunnel { .. }
            | PathUpdate::ClearTunnel { .. }
            | PathUpdate::SetRoute { .. }
            | PathUpdate::ClearRoute { .. }
            | PathUpdate::ReportTunnel { .. } => return None,
        };
        Some(PathReport::Session {
            slot,
            tunnel,
            session,
            last_received: None,
            last_forwarded: None,
            counters: Counters::default(),
        })
    }

    fn check(&self) {
        let status = self.node.status();
        let sessions = status.sessions + status.sessions_opening;
        assert_eq!(
            usize::try_from(sessions).expect("few"),
            self.sessions.len(),
            "the workers know of others"
        );
        let mut addresses: Vec<_> = self
            .sessions
            .values()
            .filter_map(|path| path.address)
            .collect();
        let all = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!(all, addresses.len(), "an address is somebody's twice");
    }
}
