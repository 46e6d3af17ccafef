//! What the operator counts of itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lns_api::LnsClusterStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::cluster::lock;
use crate::error::Error;

/// Buckets of the time that one reconciliation takes, seconds.
const BUCKETS: [f64; 8] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// What kind of error it was.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Category {
    category: &'static str,
}

/// The metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    seconds: Histogram,
    errors: Family<Category, Counter>,
    leader: Gauge,
    clusters: Family<Condition, Gauge>,
    members: Family<Member, Gauge>,
    /// What was told of each cluster last.
    told: Arc<Mutex<BTreeMap<String, LnsClusterStatus>>>,
}

/// Clusters of which a condition says this.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Condition {
    condition: String,
    status: String,
}

/// Members of a cluster in this state: desired, ready.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Member {
    cluster: String,
    state: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("lns_operator");
        let seconds = Histogram::new(BUCKETS);
        let errors = Family::<Category, Counter>::default();
        let leader = Gauge::default();
        registry.register_with_unit(
            "reconcile",
            "How long it took to look at one cluster",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Looks that failed, by kind",
            errors.clone(),
        );
        let clusters = Family::<Condition, Gauge>::default();
        let members = Family::<Member, Gauge>::default();
        registry.register(
            "clusters",
            "Clusters, by what their conditions say",
            clusters.clone(),
        );
        registry.register(
            "members",
            "Members of each cluster: desired, ready",
            members.clone(),
        );
        registry.register(
            "leader",
            "Whether this replica is the one that writes",
            leader.clone(),
        );
        Self {
            registry: Arc::new(registry),
            seconds,
            errors,
            leader,
            clusters,
            members,
            told: Arc::default(),
        }
    }

    pub(crate) fn end(&self, began: Instant, error: Option<&Error>) {
        self.seconds.observe(began.elapsed().as_secs_f64());
        if let Some(error) = error {
            let category = error.category();
            self.errors.get_or_create(&Category { category }).inc();
        }
    }

    pub(crate) fn lead(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// This was told of a cluster.
    pub(crate) fn tell(&self, cluster: &str, status: &LnsClusterStatus) {
        lock(&self.told).insert(cluster.to_owned(), status.clone());
    }

    /// A cluster is gone.
    pub(crate) fn forget(&self, cluster: &str) {
        lock(&self.told).remove(cluster);
    }

    fn count(&self) {
        self.clusters.clear();
        self.members.clear();
        for (cluster, status) in &*lock(&self.told) {
            for told in &status.conditions {
                let of = Condition {
                    condition: told.type_.clone(),
                    status: told.status.clone(),
                };
                self.clusters.get_or_create(&of).inc();
            }
            let members = status.members.unwrap_or_default();
            for (state, number) in [("desired", members.desired), ("ready", members.ready)] {
                let cluster = cluster.clone();
                let of = Member { cluster, state };
                self.members.get_or_create(&of).set(number.into());
            }
        }
    }

    /// As Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        self.count();
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _infallible = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use lns_api::status::Members;

    use super::*;

    #[test]
    fn clusters_are_counted_by_their_conditions_and_are_gone_with_them() {
        let metrics = Metrics::new();
        let status = LnsClusterStatus {
            observed_generation: 1,
            conditions: Vec::new(),
            active: None,
            members: Some(Members {
                desired: 3,
                ready: 2,
            }),
            version: None,
            record_format: None,
            sessions: None,
        };
        metrics.tell("edge", &status);
        metrics.end(Instant::now(), None);
        let text = metrics.text();
        assert!(
            text.contains("lns_operator_members{cluster=\"edge\",state=\"ready\"} 2"),
            "{text}"
        );
        assert!(
            text.contains("lns_operator_reconcile_seconds_count 1"),
            "{text}"
        );
        metrics.forget("edge");
        assert!(!metrics.text().contains("edge"));
    }
}
