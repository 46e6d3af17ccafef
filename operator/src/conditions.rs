//! Conditions, as all objects of Kubernetes have them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Characters of a message that are shown: what stands behind them is in the log.
const MESSAGE: usize = 1_024;

/// What is said of one type of condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    kind: &'static str,
    status: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Said {
    pub(crate) fn yes(
        kind: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::of(kind, "True", reason, message.into())
    }

    pub(crate) fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self::of(kind, "False", reason, message.into())
    }

    pub(crate) fn unknown(
        kind: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::of(kind, "Unknown", reason, message.into())
    }

    fn of(kind: &'static str, status: &'static str, reason: &'static str, message: String) -> Self {
        Self {
            kind,
            status,
            reason,
            message,
        }
    }

    /// The same, said of somebody by name.
    pub(crate) fn of_whom(&self, name: &str) -> Self {
        Self {
            message: format!("{name}: {}", self.message),
            ..self.clone()
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// Conditions of an object of this generation. One whose status is what it was keeps its time.
pub(crate) fn conditions(
    said: Vec<Said>,
    generation: i64,
    before: &[Condition],
    now: &Time,
) -> Vec<Condition> {
    let one = |said: Said| {
        let earlier = before
            .iter()
            .find(|it| it.type_ == said.kind && it.status == said.status);
        Condition {
            type_: said.kind.to_owned(),
            status: said.status.to_owned(),
            reason: said.reason.to_owned(),
            message: said.message.chars().take(MESSAGE).collect(),
            last_transition_time: earlier
                .map_or_else(|| now.clone(), |it| it.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    };
    said.into_iter().map(one).collect()
}
