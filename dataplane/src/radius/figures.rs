//! What a pool counts beside its machine: for metrics, and what a person wants to know of a failure.

use std::collections::BTreeMap;
use std::sync::Arc;

use lns_radius::config::Purpose;
use lns_radius::request::Outcome;
use lns_wire::radius::Code;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::journal;

/// Buckets of the time to an answer, seconds: a server in the next rack, one that asks a database, one
/// that is busy, and RFC 5080's first repetitions.
const RTT_BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Times to an answer, seconds, by purpose.
pub(crate) type Rtts = Family<Vec<(&'static str, String)>, Histogram, fn() -> Histogram>;

/// Times of nothing yet.
pub(crate) fn rtts() -> Rtts {
    Family::new_with_constructor(|| Histogram::new(RTT_BUCKETS))
}

/// What was counted since the start.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// How requests ended, by the server that was asked last.
    results: BTreeMap<Arc<str>, BTreeMap<&'static str, u64>>,
    /// How those ended that were sent to none.
    unsent: BTreeMap<&'static str, u64>,
    /// Why a connection to a server failed last, in words.
    failures: BTreeMap<Arc<str>, String>,
    rtt: Histogram,
}

impl Figures {
    /// Nothing yet.
    pub(crate) fn new(purpose: Purpose, rtts: &Rtts) -> Self {
        let labels = vec![("purpose", journal::label(purpose).to_owned())];
        Self {
            results: BTreeMap::new(),
            unsent: BTreeMap::new(),
            failures: BTreeMap::new(),
            rtt: rtts.get_or_create(&labels).clone(),
        }
    }

    /// A request has ended.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        let results = match &outcome.server {
            Some(server) => self.results.entry(Arc::clone(server)).or_default(),
            None => &mut self.unsent,
        };
        *results.entry(result(outcome)).or_default() += 1;
        if let Some(rtt) = outcome.rtt {
            self.rtt.observe(rtt.as_secs_f64());
        }
    }

    /// A connection has failed. Servers are those of the manifest: few.
    pub(crate) fn failed(&mut self, server: &Arc<str>, words: &str) {
        self.failures.insert(Arc::clone(server), words.to_owned());
    }

    /// Why a connection to this server failed last, in words.
    pub(crate) fn last_failure(&self, server: &str) -> Option<&str> {
        self.failures.get(server).map(String::as_str)
    }

    /// How requests ended whose last server it was.
    pub(crate) fn results_of(&self, server: &str) -> BTreeMap<&'static str, u64> {
        self.results.get(server).cloned().unwrap_or_default()
    }

    /// How those ended that were sent to nobody.
    pub(crate) fn unsent(&self) -> BTreeMap<&'static str, u64> {
        self.unsent.clone()
    }
}

/// The label that metrics use for how a request ended.
fn result(outcome: &Outcome) -> &'static str {
    let reply = match &outcome.result {
        Ok(reply) => reply,
        Err(failure) => return failure.label(),
    };
    match reply.packet().map(|packet| packet.code) {
        Some(Code::ACCESS_ACCEPT) => "accept",
        Some(Code::ACCESS_REJECT) => "reject",
        Some(Code::ACCESS_CHALLENGE) => "challenge",
        Some(Code::ACCOUNTING_RESPONSE) => "response",
        Some(_) | None => "other",
    }
}
