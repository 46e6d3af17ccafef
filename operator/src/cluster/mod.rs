//! One `LnsCluster` after the other, in five steps: [`dereference`](Context::dereference) what it names,
//! [`validate`], [`build`](build::build) its objects, [`apply`] them, and tell of it in the
//! [`status`](status::status). Between the last two pods are replaced, one at a time ([`rollout`]).
//!
//! What decides is pure; only the first, the fourth and the last step speak with the API server. Nothing of this is
//! needed for a failover: who is master, members decide by themselves. [`drain`] and [`deletion`] are what is beside it.

mod apply;
pub(crate) mod build;
mod deletion;
mod drain;
mod look;
pub(crate) mod rollout;
pub(crate) mod status;
pub(crate) mod validate;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource as _, ResourceExt as _};
use lns_api::LnsClusterStatus;
use lns_api::status::{annotation, condition};
use serde_json::{Value, json};
use tracing::{info, warn};

use self::apply::Applied;
use self::rollout::{Place, Step};
use self::status::{Found, Problem};
use self::validate::{Named, Valid};
use crate::error::Error;
use crate::labels::ROLE;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::world::{self, World};

/// Without anything that changes an object is looked at again after about this long.
const AGAIN: Duration = Duration::from_mins(10);

/// While something is under way it is looked at again at least this often: what nobody tells of (a Lease that is
/// renewed no more) is noticed by that.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// What reconciling needs.
pub(crate) struct Context {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) secrets: Mutex<BTreeMap<String, (String, Arc<Value>)>>,
    pub(crate) applied: Mutex<BTreeMap<String, Applied>>,
    /// How often in a row an object could not be reconciled.
    pub(crate) tries: Mutex<BTreeMap<String, u32>>,
    /// Since when the store of a cluster that has ended is being cleaned, by uid.
    pub(crate) ending: Mutex<BTreeMap<String, tokio::time::Instant>>,
}

/// Has a cluster become what its spec says, a step further.
///
/// # Errors
/// What could not be done now, and may be done later.
pub(crate) async fn reconcile(
    object: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let began = std::time::Instant::now();
    let result = context.reconcile(&object).await;
    context.metrics.end(began, result.as_ref().err());
    if result.is_ok() {
        lock(&context.tries).remove(&object.name_any());
    }
    result
}

/// What of a cluster others have to do with: every look at one asks for that of all others.
fn essence(cluster: &DynamicObject) -> Value {
    json!({
        "metadata": {
            "name": cluster.metadata.name,
            "creationTimestamp": cluster.metadata.creation_timestamp,
        },
        "spec": { "nodeSelector": cluster.data.pointer("/spec/nodeSelector") },
    })
}

impl Context {
    async fn reconcile(&self, object: &DynamicObject) -> Result<Action, Error> {
        let name = object.name_any();
        let is_ending = deletion::is_ending(object);
        if is_ending && !deletion::has_finalizer(object) {
            // Its end was seen to, or it never began.
            self.doubt(&name);
            self.metrics.forget(&name);
            return Ok(Action::await_change());
        }
        let named = self.dereference(object).await?;
        let valid = validate::validate(&named);
        let mut found = self.look(object, &named, valid.as_ref().ok());
        found.is_paused = is_paused(object);
        let held_back = is_ending.then(|| deletion::held_back(object, &found));
        let held_back = match held_back {
            Some(None) => return self.end(object, &named).await,
            Some(problem) => problem,
            None => None,
        };
        let refused = self.pursue(object, &valid, &mut found).await;
        let misread = found.misread.clone().map(|message| Problem {
            reason: crate::reason::INVALID,
            message,
        });
        let troubles = [found.image_trouble(), held_back, misread];
        for trouble in troubles.into_iter().flatten() {
            found.stalled.get_or_insert(trouble);
        }
        let status = self.tell(object, &found).await?;
        self.metrics.tell(&name, &status);
        if let Some(error) = refused {
            return Err(error);
        }
        let is_ready = status::find(&status.conditions, condition::READY)
            .is_some_and(|it| it.status == "True");
        Ok(Action::requeue(if is_ready {
            jittered(AGAIN)
        } else {
            UNDER_WAY
        }))
    }

    /// Does what there is to do, and finds why it cannot be done.
    async fn pursue(
        &self,
        object: &DynamicObject,
        valid: &Result<Valid, Problem>,
        found: &mut Found,
    ) -> Option<Error> {
        let name = object.name_any();
        // What was there before stays: subscribers are not the ones to pay for a mistake.
        found.stalled = valid.as_ref().err().cloned();
        if found.is_paused {
            return None;
        }
        let done = async {
            if !deletion::is_ending(object) {
                self.keep(object).await?;
            }
            self.drain(&name, &found.nodes).await?;
            match valid {
                Ok(valid) => self.carry_out(&name, valid, found).await,
                Err(_) => Ok(()),
            }
        };
        let error = done.await.err()?;
        if let Some(problem) = error.to_be_put_right() {
            found.stalled.get_or_insert(problem);
        }
        Some(error)
    }

    /// One more look at an object has failed: how many had before, in a row.
    pub(crate) fn failures(&self, name: &str) -> u32 {
        let mut tries = lock(&self.tries);
        let count = tries.entry(name.to_owned()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// The clusters that name a Secret.
    pub(crate) fn clusters_that_name(&self, secret: &str) -> Vec<String> {
        let clusters = self.world.clusters.state();
        let is_concerned =
            |cluster: &Arc<DynamicObject>| lns_api::secrets_of(&cluster.data).contains(secret);
        let concerned = clusters.into_iter().filter(is_concerned);
        concerned.map(|cluster| cluster.name_any()).collect()
    }

    /// The first step: what the API server has of it.
    async fn dereference(&self, object: &DynamicObject) -> Result<Named, Error> {
        let cluster = serde_json::to_value(object).map_err(Error::Unwritable)?;
        let name = object.name_any();
        let nodes = self.world.nodes.state();
        let others = self.world.clusters.state();
        let others = others
            .iter()
            .filter(|other| other.name_any() != name)
            .filter_map(|other| validate::claim_of(&essence(other), &nodes));
        let mut secrets = Vec::new();
        for secret in lns_api::secrets_of(&cluster) {
            secrets.extend(self.secret(&secret).await?.map(|it| (*it).clone()));
        }
        Ok(Named {
            policies: self.policies_for(&name),
            others: others.collect(),
            cluster,
            secrets,
            nodes,
        })
    }

    /// A Secret, if it is there. What is in it is asked for when it has changed.
    async fn secret(&self, name: &str) -> Result<Option<Arc<Value>>, Error> {
        let known = self.world.secret_version(name);
        let Some(version) = known else {
            return Ok(None);
        };
        let cached = lock(&self.secrets)
            .get(name)
            .filter(|(of, _)| *of == version)
            .map(|(_, it)| Arc::clone(it));
        if cached.is_some() {
            return Ok(cached);
        }
        let api: Api<Secret> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let Some(secret) = api.get_opt(name).await.map_err(Error::Api)? else {
            return Ok(None);
        };
        let version = secret.resource_version().unwrap_or_default();
        let value = Arc::new(serde_json::to_value(secret).map_err(Error::Unwritable)?);
        lock(&self.secrets).insert(name.to_owned(), (version, Arc::clone(&value)));
        Ok(Some(value))
    }

    /// The fourth step, and the next one of a rollout.
    async fn carry_out(&self, name: &str, valid: &Valid, found: &mut Found) -> Result<(), Error> {
        let objects = build::build(&valid.plan, &self.settings);
        self.apply(name, &objects).await?;
        let places = self.places(&valid.plan, &objects.members, found);
        self.label(&places).await?;
        let step = rollout::next(&places);
        if let Step::Replace { pod, uid, node } = &step {
            info!(cluster = name, pod, %node, "the pod is replaced");
            self.replace(pod, uid).await?;
        }
        found.rollout = Some(step);
        Ok(())
    }

    /// Says of each pod whether it is the master, to whoever selects pods by labels.
    async fn label(&self, places: &[Place]) -> Result<(), Error> {
        for pod in places.iter().filter_map(|place| place.pod.as_ref()) {
            let role = if pod.is_master { "master" } else { "standby" };
            if pod.is_leaving || pod.role.as_deref() == Some(role) {
                continue;
            }
            let patch = json!({ "metadata": { "uid": pod.uid, "labels": { ROLE: role } } });
            self.patch_pod(&pod.name, &patch).await?;
        }
        Ok(())
    }

    async fn patch_pod(&self, name: &str, patch: &Value) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let how = PatchParams::default();
        match pods.patch_metadata(name, &how, &Patch::Merge(patch)).await {
            // It has gone, or another one has its name.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            Err(error) => Err(Error::Api(error)),
            Ok(_) => Ok(()),
        }
    }

    async fn replace(&self, pod: &str, uid: &str) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let only_this = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match pods.delete(pod, &only_this).await {
            // It has gone by itself, or another one has its name.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            Err(error) => Err(Error::Api(error)),
            Ok(_) => Ok(()),
        }
    }

    /// The last step.
    async fn tell(&self, object: &DynamicObject, found: &Found) -> Result<LnsClusterStatus, Error> {
        let before: Option<LnsClusterStatus> = object
            .data
            .get("status")
            .and_then(|status| serde_json::from_value(status.clone()).ok());
        let status = status::status(found, before.as_ref(), &Time(Timestamp::now()));
        if before.as_ref() == Some(&status) {
            return Ok(status);
        }
        let told = serde_json::to_value(&status).map_err(Error::Unwritable)?;
        let written = self.world.tell(&world::clusters(), object, told).await;
        written.map_err(Error::Api)?;
        self.announce(object, before.as_ref(), &status).await;
        Ok(status)
    }

    /// One event for each condition that says something else than before.
    async fn announce(
        &self,
        object: &DynamicObject,
        before: Option<&LnsClusterStatus>,
        after: &LnsClusterStatus,
    ) {
        let earlier = before.map_or(&[][..], |status| &status.conditions);
        for told in &after.conditions {
            let was = status::find(earlier, &told.type_).map(|it| (&it.status, &it.reason));
            let is_first = was.is_none() && told.status != "True";
            if is_first || was == Some((&told.status, &told.reason)) {
                continue;
            }
            let is_bad = match told.type_.as_str() {
                condition::STALLED | condition::DEGRADED => told.status == "True",
                condition::READY | condition::MASTER_ELECTED | condition::STORE_SYNCED => {
                    told.status == "False"
                }
                _ => false,
            };
            let event = Event {
                type_: if is_bad {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: told.reason.clone(),
                note: Some(format!("{}={}: {}", told.type_, told.status, told.message)),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            let about = object.object_ref(&world::clusters());
            if let Err(error) = self.recorder.publish(&event, &about).await {
                warn!("an event could not be written: {error}");
            }
        }
    }
}

/// Whether the operator is to change nothing of it.
fn is_paused(object: &DynamicObject) -> bool {
    let paused = object.annotations().get(annotation::PAUSED);
    paused.is_some_and(|it| it == "true")
}

/// What a thread that has panicked left behind is as good as any: it is a cache.
pub(crate) fn lock<T>(cache: &Mutex<T>) -> MutexGuard<'_, T> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An interval and up to a tenth of it, so that not all are looked at in one moment.
pub(crate) fn jittered(interval: Duration) -> Duration {
    let tenth = interval.div_f64(10.0).as_millis();
    let tenth = u64::try_from(tenth).unwrap_or(1).max(1);
    let drawn = getrandom::u64().unwrap_or_default() % tenth;
    interval.saturating_add(Duration::from_millis(drawn))
}

impl Found {
    /// A member whose image cannot be had will not come by itself.
    fn image_trouble(&self) -> Option<Problem> {
        let node = self.nodes.iter().find(|node| node.lacks_image)?;
        Some(Problem {
            reason: crate::reason::IMAGE,
            message: format!(
                "{}: {}: put the image right in the operator's configuration",
                node.name,
                node.trouble
                    .as_deref()
                    .unwrap_or("the image cannot be pulled")
            ),
        })
    }
}
