//! One `SessionPolicy` after the other: whether each cluster that it is for takes it, and has it in force on all its
//! members.
//!
//! Nothing is made for a policy. Members read it themselves.

use core::time::Duration;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;

use lns_api::schema;
use lns_api::status::{PolicyInCluster, SessionPolicyStatus, condition};
use serde_json::Value;

use crate::cluster::Context;
use crate::cluster::status::find;
use crate::conditions::{Said, conditions};
use crate::error::Error;
use crate::reason;
use crate::world;

/// How soon a policy that is not in force everywhere is looked at again, if nobody tells of a change.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// What was found of a policy in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InCluster {
    /// The cluster.
    name: String,
    /// It is there, and what it makes of the policy.
    state: State,
}

/// What a cluster makes of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no such cluster.
    Absent,
    /// The cluster takes nothing new as long as this is wrong.
    Stalled(String),
    /// It has not got there yet.
    Pending(String),
    /// All members have it in force.
    InForce,
}

/// Tells of a policy.
///
/// # Errors
/// The API server did not take it.
pub(crate) async fn reconcile(
    object: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let value = serde_json::to_value(&*object).map_err(Error::Unwritable)?;
    let wrong = wrong(&value);
    let clusters: Vec<InCluster> = lns_api::rules::policies::clusters(&value)
        .map(|name| InCluster {
            state: context.policy_in(name),
            name: name.to_owned(),
        })
        .collect();
    let before: Option<SessionPolicyStatus> = value
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok());
    let generation = object.metadata.generation.unwrap_or_default();
    let after = status(
        wrong.as_deref(),
        &clusters,
        generation,
        before.as_ref(),
        &Time(Timestamp::now()),
    );
    if before.as_ref() != Some(&after) {
        context.write_policy_status(&object, &after).await?;
    }
    let is_pending = clusters
        .iter()
        .any(|it| matches!(it.state, State::Pending(_)));
    Ok(if is_pending {
        Action::requeue(UNDER_WAY)
    } else {
        Action::await_change()
    })
}

/// What the policy itself has wrong.
fn wrong(policy: &Value) -> Option<String> {
    let violations = schema::validate_policy(&lns_api::own_policy(policy)).err()?;
    let lines = violations
        .iter()
        .take(5)
        .map(|it| format!("{}: {}", it.path, it.message));
    Some(lines.collect::<Vec<_>>().join("; "))
}

/// Makes the status.
pub(crate) fn status(
    wrong: Option<&str>,
    clusters: &[InCluster],
    generation: i64,
    before: Option<&SessionPolicyStatus>,
    now: &Time,
) -> SessionPolicyStatus {
    let each: Vec<(&str, Said, Said)> = clusters
        .iter()
        .map(|it| {
            (
                &*it.name,
                accepted(wrong, &it.state),
                programmed(wrong, &it.state),
            )
        })
        .collect();
    let said = over_all(wrong, &each);
    let earlier = before.map_or(&[][..], |status| &status.conditions);
    let clusters = each.into_iter().map(|(name, accepted, programmed)| {
        let known = before.and_then(|status| status.clusters.iter().find(|it| it.name == name));
        let earlier = known.map_or(&[][..], |it| &it.conditions);
        PolicyInCluster {
            name: name.to_owned(),
            conditions: conditions(vec![accepted, programmed], generation, earlier, now),
        }
    });
    SessionPolicyStatus {
        observed_generation: generation,
        clusters: clusters.collect(),
        conditions: conditions(said, generation, earlier, now),
    }
}

/// What is said over all clusters: of each, whether it takes the policy and has it in force.
fn over_all(wrong: Option<&str>, each: &[(&str, Said, Said)]) -> Vec<Said> {
    let first = |mut all: Box<dyn Iterator<Item = (&str, &Said)> + '_>, good: Said| {
        let bad = all.find(|(_, said)| !said.is_true());
        bad.map_or(good, |(name, said)| said.of_whom(name))
    };
    let accepted = first(
        Box::new(each.iter().map(|(name, accepted, _)| (*name, accepted))),
        Said::yes(
            condition::ACCEPTED,
            reason::ACCEPTED,
            "every cluster that it is for takes it",
        ),
    );
    let programmed = first(
        Box::new(each.iter().map(|(name, _, programmed)| (*name, programmed))),
        Said::yes(
            condition::PROGRAMMED,
            reason::PROGRAMMED,
            "in force on all members",
        ),
    );
    let bad = [&accepted, &programmed]
        .into_iter()
        .find(|said| !said.is_true());
    let ready = match bad {
        Some(bad) => Said::no(condition::READY, bad.reason, bad.message.clone()),
        None => Said::yes(
            condition::READY,
            reason::PROGRAMMED,
            "in force on all members",
        ),
    };
    // A cluster that is not there yet, or that waits for somebody, is no fault of the policy.
    let stalled = match wrong {
        Some(wrong) => Said::yes(condition::STALLED, reason::INVALID, wrong),
        None => Said::no(
            condition::STALLED,
            reason::NOT_STALLED,
            "nothing waits for somebody",
        ),
    };
    vec![ready, accepted, programmed, stalled]
}

fn accepted(wrong: Option<&str>, state: &State) -> Said {
    let kind = condition::ACCEPTED;
    match (wrong, state) {
        (Some(wrong), _) => Said::no(kind, reason::INVALID, wrong),
        (None, State::Absent) => Said::no(
            kind,
            reason::NO_CLUSTER,
            "there is no LnsCluster of this name: create it, or name another one in spec.clusterRefs",
        ),
        (None, State::Stalled(why)) => Said::no(
            kind,
            reason::STALLED,
            format!("the cluster takes nothing new until this is put right: {why}"),
        ),
        (None, State::Pending(_) | State::InForce) => {
            Said::yes(kind, reason::ACCEPTED, "the cluster takes it")
        }
    }
}

fn programmed(wrong: Option<&str>, state: &State) -> Said {
    let kind = condition::PROGRAMMED;
    match (wrong, state) {
        (None, State::InForce) => Said::yes(kind, reason::PROGRAMMED, "in force on all members"),
        (None, State::Pending(why)) => Said::no(kind, reason::NOT_IN_FORCE, why.clone()),
        _ => Said::no(
            kind,
            reason::NOT_IN_FORCE,
            "what was in force before stays in force",
        ),
    }
}

impl Context {
    /// What a cluster makes of the policies that there are now, by its own status.
    fn policy_in(&self, cluster: &str) -> State {
        let Some(object) = self.world.cluster(cluster) else {
            return State::Absent;
        };
        let status = object.data.get("status").cloned();
        let status: Option<lns_api::LnsClusterStatus> =
            status.and_then(|it| serde_json::from_value(it).ok());
        let Some(status) = status.filter(|it| !it.conditions.is_empty()) else {
            return State::Pending("the cluster was not looked at yet".to_owned());
        };
        if let Some(stalled) =
            find(&status.conditions, condition::STALLED).filter(|it| it.status == "True")
        {
            return State::Stalled(stalled.message.clone());
        }
        match self.lagging(&object) {
            lagging if lagging.is_empty() => State::InForce,
            lagging => State::Pending(format!("not in force yet on {}", lagging.join(", "))),
        }
    }

    async fn write_policy_status(
        &self,
        object: &DynamicObject,
        status: &SessionPolicyStatus,
    ) -> Result<(), Error> {
        let told = serde_json::to_value(status).map_err(Error::Unwritable)?;
        let written = self.world.tell(&world::policies(), object, told).await;
        written.map_err(Error::Api)
    }
}
