//! What the operator counts of itself.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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

    /// As Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _infallible = encode(&mut text, &self.registry);
        text
    }
}
