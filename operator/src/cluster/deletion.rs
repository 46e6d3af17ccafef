//! The end of a cluster. The finalizer keeps the object until this is done, in this order:
//!
//! 1. With `spec.deletionProtection`, as long as it has sessions, nothing: the cluster serves as before, Stalled.
//! 2. The `DaemonSet` is deleted; the pods on nodes that Kubernetes hears of are waited for.
//! 3. If a member was ever there, the store is cleaned of what is this object's, by its uid. That ends after [`PATIENCE`] with an event that says
//!    what is left, if the store is away for so long.
//! 4. Leases, rights and account are deleted, and the finalizer is taken off.
//!
//! What is made for a protected cluster has no owner: a deletion in the foreground, as Argo CD's, would have its
//! dependents deleted before anybody is asked.

use core::time::Duration;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt as _};
use lns_store::{Redis, Refusal, Setup, State};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::status::{Found, Problem};
use super::validate::Named;
use super::{Context, UNDER_WAY, lock};
use crate::error::Error;
use crate::labels::{FINALIZER, MANAGER, object_name};
use crate::reason;
use crate::world::{clusters, is_alive};

/// How long a store that is away holds up the end of a cluster.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one try takes.
const TRY: Duration = Duration::from_secs(10);

/// What has become of the records.
enum Cleaned {
    /// This many are gone.
    Done(u64),
    /// They stay, for this reason.
    Left(String),
    /// Not yet, for this reason.
    Later(String),
}

/// Whether the object is on its way out, and waits for us.
pub(super) fn is_ending(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

pub(super) fn has_finalizer(object: &DynamicObject) -> bool {
    object.finalizers().iter().any(|it| it == FINALIZER)
}

/// Why the end is held back, if it is.
pub(super) fn held_back(object: &DynamicObject, found: &Found) -> Option<Problem> {
    if !is_protected(&object.data) {
        return None;
    }
    let told = object.data.pointer("/status/sessions");
    let told = told.and_then(Value::as_u64);
    let master = found.master.as_ref();
    let sessions = master.and_then(|it| it.sessions).or(told)?;
    (sessions > 0).then(|| Problem {
        reason: reason::PROTECTED,
        message: format!(
            "spec.deletionProtection: about {sessions} sessions are up, and go on: the deletion goes on when there \
             are none, or when this is false"
        ),
    })
}

/// Whether a cluster with sessions is kept. It is unless it says otherwise, also where the rest cannot be read.
pub(super) fn is_protected(object: &Value) -> bool {
    object.pointer("/spec/deletionProtection") != Some(&Value::Bool(false))
}

impl Context {
    /// Has the object wait for us when it is deleted.
    pub(super) async fn keep(&self, object: &DynamicObject) -> Result<(), Error> {
        if has_finalizer(object) {
            return Ok(());
        }
        let more = [FINALIZER.to_owned()];
        let all = object.finalizers().iter().cloned().chain(more);
        self.finalizers(object, all.collect()).await
    }

    /// Not applied by the server: that is refused for an object of another schema, which has an end, too.
    async fn finalizers(&self, object: &DynamicObject, all: Vec<String>) -> Result<(), Error> {
        let kind = clusters();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.world.client.clone(), &self.world.namespace, &kind);
        // Others have theirs: a list that is not that one any more is not written over.
        let patch = json!({ "metadata": {
            "uid": object.metadata.uid,
            "resourceVersion": object.metadata.resource_version,
            "finalizers": all,
        } });
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match api
            .patch_metadata(&object.name_any(), &how, &Patch::Merge(&patch))
            .await
        {
            // It has gone.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::Api(error)),
            Ok(_) => Ok(()),
        }
    }

    /// A step further to the end.
    pub(super) async fn end(&self, object: &DynamicObject, named: &Named) -> Result<Action, Error> {
        let name = object.name_any();
        let made = object_name(&name);
        self.doubt(&name);
        self.delete::<DaemonSet>(&made).await?;
        if self.has_pods(&name) {
            return Ok(Action::requeue(UNDER_WAY));
        }
        let uid = object.uid().unwrap_or_default();
        let began = *lock(&self.ending)
            .entry(uid.clone())
            .or_insert_with(Instant::now);
        let leases = self.leases_of(&name);
        let cleaned = if leases.is_empty() {
            // No member was ever there that could have stored anything.
            Cleaned::Done(0)
        } else {
            clean(named, &uid).await
        };
        match cleaned {
            Cleaned::Later(why) if began.elapsed() < PATIENCE => {
                warn!(cluster = name, "the store is not cleaned yet: {why}");
                return Ok(Action::requeue(UNDER_WAY));
            }
            Cleaned::Done(records) => info!(cluster = name, records, "the store is cleaned"),
            Cleaned::Left(why) | Cleaned::Later(why) => self.tell_of_rest(object, &why).await,
        }
        for lease in leases {
            self.delete::<Lease>(&lease).await?;
        }
        self.delete::<RoleBinding>(&made).await?;
        self.delete::<Role>(&made).await?;
        self.delete::<ServiceAccount>(&made).await?;
        let others = object.finalizers().iter().filter(|it| *it != FINALIZER);
        self.finalizers(object, others.cloned().collect()).await?;
        lock(&self.ending).remove(&uid);
        self.metrics.forget(&name);
        Ok(Action::await_change())
    }

    /// Whether pods are left that somebody could wait for.
    fn has_pods(&self, cluster: &str) -> bool {
        let nodes = self.world.nodes.state();
        let is_heard = |name: &str| nodes.iter().any(|it| it.name_any() == name && is_alive(it));
        self.pods_of(cluster).iter().any(|pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            node.is_some_and(is_heard)
        })
    }

    fn leases_of(&self, cluster: &str) -> Vec<String> {
        let all = self.world.leases.state();
        let of = |lease: &&Arc<DynamicObject>| {
            let label = lease.labels().get(lns_lease::CLUSTER_LABEL);
            label.is_some_and(|it| it == cluster)
        };
        all.iter().filter(of).map(|it| it.name_any()).collect()
    }

    async fn delete<K>(&self, name: &str) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Clone
            + core::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        match api.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::Api(error)),
            Ok(_) => Ok(()),
        }
    }

    async fn tell_of_rest(&self, object: &DynamicObject, why: &str) {
        let space = format!("{{lns:{}/{}}}:*", self.world.namespace, object.name_any());
        let event = Event {
            type_: EventType::Warning,
            reason: reason::STORE_LEFT.to_owned(),
            note: Some(format!(
                "records stay in the store under {space}: {why}. A cluster of this name that is made anew takes them over"
            )),
            action: "Delete".to_owned(),
            secondary: None,
        };
        let about = object.object_ref(&clusters());
        if let Err(error) = self.recorder.publish(&event, &about).await {
            warn!("an event could not be written: {error}");
        }
    }
}

/// Deletes what a cluster has in its store.
async fn clean(named: &Named, uid: &str) -> Cleaned {
    let manifest = match lns_api::parse_objects(&named.cluster, &named.policies, &named.secrets) {
        Ok(manifest) => manifest,
        Err(errors) => {
            let first = errors.first().map(ToString::to_string);
            return Cleaned::Left(format!(
                "the object does not say how it is reached: {}",
                first.unwrap_or_default()
            ));
        }
    };
    let setup = match Setup::new(&manifest) {
        Ok(Some(setup)) => setup,
        Ok(None) => return Cleaned::Done(0),
        Err(_) => return Cleaned::Left("the object does not say how it is reached".to_owned()),
    };
    let redis = match Redis::start(setup.config()) {
        Ok(redis) => redis,
        Err(reason) => return Cleaned::Left(reason.to_string()),
    };
    match timeout(TRY, erase(&redis, uid)).await {
        Ok(cleaned) => cleaned,
        Err(_) => Cleaned::Later(match &*redis.state().borrow() {
            State::Down(reason) => reason.to_string(),
            State::Connecting | State::Up { .. } => "the store does not answer".to_owned(),
        }),
    }
}

async fn erase(redis: &Redis, uid: &str) -> Cleaned {
    let mut state = redis.state();
    let is_up = state.wait_for(|state| matches!(state, State::Up { .. }));
    if is_up.await.is_err() {
        return Cleaned::Later("the store was closed".to_owned());
    }
    match redis.erase(uid).await {
        Ok(records) => Cleaned::Done(records),
        Err(lns_store::Error::Refused(refusal @ Refusal::OtherOwner { .. })) => {
            Cleaned::Left(refusal.to_string())
        }
        Err(error) => Cleaned::Later(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::status::MasterSeen;

    fn object(protection: &Value, told: Option<u64>) -> DynamicObject {
        let object = json!({
            "metadata": { "name": "edge" },
            "spec": { "deletionProtection": protection },
            "status": { "sessions": told },
        });
        serde_json::from_value(object).unwrap()
    }

    fn found(sessions: Option<u64>) -> Found {
        Found {
            master: Some(MasterSeen {
                node: "a".to_owned(),
                pod_uid: None,
                epoch: 1,
                since: None,
                version: None,
                record_format: None,
                sessions,
            }),
            ..Found::default()
        }
    }

    #[test]
    fn a_cluster_with_sessions_is_kept_unless_it_says_otherwise() {
        for (protection, told, sessions, is_kept) in [
            (json!(true), None, Some(3), true),
            (json!(null), None, Some(3), true),
            (json!(false), Some(3), Some(3), false),
            (json!(true), Some(3), Some(0), false),
            (json!(true), None, None, false),
            // Without a word of the master what was told last counts.
            (json!(true), Some(3), None, true),
        ] {
            let problem = held_back(&object(&protection, told), &found(sessions));
            assert_eq!(
                problem.is_some(),
                is_kept,
                "{protection} {told:?} {sessions:?}"
            );
        }
    }
}
