//! What is told of a cluster in its status: conditions that kstatus, Argo CD and Flux understand, and the few facts by
//! which `kubectl get lns` alone answers "is it up, who is master".
//!
//! Pure: what was found goes in, a status comes out. A condition that says what it said before keeps its time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use lns_api::status::{Active, LnsClusterStatus, Members, condition};

use super::rollout::{Step, Why};
use crate::conditions::{Said, conditions};
use crate::reason;

/// What was found of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// Which generation of the object all of this is about.
    pub(crate) generation: i64,
    /// The operator is to change nothing.
    pub(crate) is_paused: bool,
    /// Why it will not come about until somebody changes something.
    pub(crate) stalled: Option<Problem>,
    /// The nodes that the selector names.
    pub(crate) nodes: Vec<NodeSeen>,
    /// The master, if one is known and heard of lately.
    pub(crate) master: Option<MasterSeen>,
    /// What the rollout does.
    pub(crate) rollout: Option<Step>,
    /// Whether members have the objects in force that there are now: those that have not.
    pub(crate) lagging: Vec<String>,
    /// Why it cannot be read which nodes are fenced, if it cannot.
    pub(crate) misread: Option<String>,
    /// Names that are fenced, and are no members'.
    pub(crate) strangers: Vec<String>,
    /// What the master says of the store; none: nothing.
    pub(crate) store: Option<StoreSeen>,
}

/// Why a cluster is stalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// One of [`reason`].
    pub(crate) reason: &'static str,
    /// What is wrong, where, and what to do.
    pub(crate) message: String,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSeen {
    /// Its name.
    pub(crate) name: String,
    /// Kubernetes has heard of it lately.
    pub(crate) is_alive: bool,
    /// It serves subscribers.
    pub(crate) is_ready: bool,
    /// Its image cannot be had.
    pub(crate) lacks_image: bool,
    /// Why its pod does not run, in Kubernetes' words.
    pub(crate) trouble: Option<String>,
    /// Whether it leaves the service to the others.
    pub(crate) aside: Aside,
}

/// Whether a node leaves the service to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It serves as they do.
    No,
    /// Its node is cordoned, and nobody else is there to serve.
    Cordoned,
    /// It is being drained.
    Draining,
    /// It is drained: nothing comes there.
    Drained,
    /// It is kept out of service.
    Fenced,
}

/// A master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MasterSeen {
    /// Its node.
    pub(crate) node: String,
    /// Its pod.
    pub(crate) pod_uid: Option<String>,
    /// The number of its mastership.
    pub(crate) epoch: u64,
    /// Since when.
    pub(crate) since: Option<Time>,
    /// Its software.
    pub(crate) version: Option<String>,
    /// The form of its records.
    pub(crate) record_format: Option<i32>,
    /// About how many sessions it has, as it says.
    pub(crate) sessions: Option<u64>,
}

/// What a master says of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreSeen {
    /// It has all records.
    Synced,
    /// It has not, for this reason.
    Late(String),
}

/// Makes the status. `now` is the time of what has changed.
pub(crate) fn status(
    found: &Found,
    before: Option<&LnsClusterStatus>,
    now: &Time,
) -> LnsClusterStatus {
    let said = say(found);
    let earlier = before.map_or(&[][..], |status| &status.conditions);
    LnsClusterStatus {
        observed_generation: found.generation,
        conditions: conditions(said, found.generation, earlier, now),
        active: found.master.as_ref().map(active),
        members: Some(members(&found.nodes)),
        version: found
            .master
            .as_ref()
            .and_then(|master| master.version.clone()),
        record_format: found
            .master
            .as_ref()
            .and_then(|master| master.record_format),
        sessions: found
            .master
            .as_ref()
            .and_then(|master| master.sessions)
            .map(|sessions| i64::try_from(sessions).unwrap_or(i64::MAX)),
    }
}

fn say(found: &Found) -> Vec<Said> {
    let progress = progress(found);
    let master = master(found);
    let degraded = degraded(found);
    let ready = ready(found, progress.as_ref(), &master);
    let reconciling = match (&found.stalled, progress) {
        (None, Some((reason, message))) => Said::yes(condition::RECONCILING, reason, message),
        (Some(_), _) => Said::no(
            condition::RECONCILING,
            reason::STALLED,
            "nothing is under way until what is wrong is put right",
        ),
        (None, None) => Said::no(condition::RECONCILING, reason::DONE, "nothing is under way"),
    };
    let stalled = match &found.stalled {
        Some(problem) => Said::yes(condition::STALLED, problem.reason, problem.message.clone()),
        None => Said::no(
            condition::STALLED,
            reason::NOT_STALLED,
            "nothing waits for somebody",
        ),
    };
    let paused = if found.is_paused {
        Said::yes(
            condition::PAUSED,
            reason::ANNOTATION,
            "the annotation kubelns.io/paused says so: nothing is changed, what runs goes on",
        )
    } else {
        Said::no(
            condition::PAUSED,
            reason::NOT_PAUSED,
            "changes are carried out",
        )
    };
    vec![
        ready,
        reconciling,
        stalled,
        master,
        store(found),
        degraded,
        paused,
    ]
}

fn ready(found: &Found, progress: Option<&(&'static str, String)>, master: &Said) -> Said {
    if let Some(problem) = &found.stalled {
        return Said::no(condition::READY, problem.reason, problem.message.clone());
    }
    if !master.is_true() {
        return Said::no(condition::READY, master.reason, master.message.clone());
    }
    if let Some((reason, message)) = progress {
        return Said::no(condition::READY, reason, message.clone());
    }
    let members = members(&found.nodes);
    Said::yes(
        condition::READY,
        reason::SERVING,
        format!("{} of {} members serve", members.ready, members.desired),
    )
}

/// What is under way.
fn progress(found: &Found) -> Option<(&'static str, String)> {
    let coming = found
        .nodes
        .iter()
        .find(|node| node.is_alive && !node.is_ready && node.aside != Aside::Fenced);
    if let Some(step) = found.rollout.as_ref().filter(|step| **step != Step::Done) {
        return Some((reason::ROLLING_OUT, said_of(step)));
    }
    if let Some(node) = coming {
        let trouble = node.trouble.as_deref().unwrap_or("its pod is not ready");
        return Some((
            reason::MEMBER_NOT_READY,
            format!("{}: {trouble}", node.name),
        ));
    }
    if !found.lagging.is_empty() {
        let message = format!("not in force yet on {}", found.lagging.join(", "));
        return Some((reason::NOT_IN_FORCE, message));
    }
    None
}

fn said_of(step: &Step) -> String {
    match step {
        Step::Done => "all pods are of the template that there is now".to_owned(),
        Step::Replace { node, .. } => format!("the pod on {node} is replaced"),
        Step::Wait(Why::Coming(node)) => format!("a pod is coming on {node}"),
        Step::Wait(Why::NotReady(node)) => format!("the pod on {node} does not serve yet"),
        Step::Wait(Why::NotSynced(node)) => format!("{node} has not all records yet"),
        Step::Wait(Why::NoMaster) => "nobody is master".to_owned(),
    }
}

fn master(found: &Found) -> Said {
    match &found.master {
        Some(master) => Said::yes(
            condition::MASTER_ELECTED,
            reason::ELECTED,
            format!("{} is master, epoch {}", master.node, master.epoch),
        ),
        None if found.nodes.iter().all(|node| node.aside == Aside::Fenced)
            && !found.nodes.is_empty() =>
        {
            Said::no(
                condition::MASTER_ELECTED,
                reason::FENCED,
                "all members are fenced by the annotation kubelns.io/fenced: nobody serves until that is lifted",
            )
        }
        None => Said::no(
            condition::MASTER_ELECTED,
            reason::NO_MASTER,
            "no node holds the Lease: no new session is set up",
        ),
    }
}

fn store(found: &Found) -> Said {
    match &found.store {
        Some(StoreSeen::Synced) => Said::yes(
            condition::STORE_SYNCED,
            reason::SYNCED,
            "the store has all records",
        ),
        Some(StoreSeen::Late(why)) => Said::no(
            condition::STORE_SYNCED,
            reason::STORE_LATE,
            format!(
                "{why}: sessions go on, and what changes now is lost if the master dies with it"
            ),
        ),
        None => Said::unknown(
            condition::STORE_SYNCED,
            reason::NO_MASTER,
            "no master says how the store is",
        ),
    }
}

fn degraded(found: &Found) -> Said {
    let down: Vec<&str> = found
        .nodes
        .iter()
        .filter(|node| !node.is_ready && node.aside != Aside::Fenced)
        .map(|node| node.name.as_str())
        .collect();
    if let Some(StoreSeen::Late(why)) = &found.store {
        return Said::yes(condition::DEGRADED, reason::STORE_LATE, why.clone());
    }
    if !down.is_empty() {
        let message = format!("not serving: {}", down.join(", "));
        return Said::yes(condition::DEGRADED, reason::MEMBER_NOT_READY, message);
    }
    if let Some((reason, message)) = aside(found) {
        return Said::yes(condition::DEGRADED, reason, message);
    }
    Said::no(
        condition::DEGRADED,
        reason::WHOLE,
        "all members serve and the store has all records",
    )
}

/// Members that leave the service to the others, in words: those that are fenced first.
fn aside(found: &Found) -> Option<(&'static str, String)> {
    let named = |aside: Aside| {
        let nodes = found.nodes.iter().filter(|node| node.aside == aside);
        let names: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let strangers = match found.strangers.as_slice() {
        [] => String::new(),
        some => format!("; no members: {}", some.join(", ")),
    };
    if let Some(those) = named(Aside::Fenced) {
        let said = format!(
            "fenced by the annotation kubelns.io/fenced: {those}; the pod stays and serves nobody until that is \
             lifted{strangers}"
        );
        return Some((reason::FENCED, said));
    }
    if !strangers.is_empty() {
        let said = format!("the annotation kubelns.io/fenced names nodes{strangers}");
        return Some((reason::FENCED, said));
    }
    if let Some(those) = named(Aside::Cordoned) {
        let said = format!("cordoned, and not drained, because no other member serves: {those}");
        return Some((reason::DRAINING, said));
    }
    if let Some(those) = named(Aside::Draining) {
        let said = format!("cordoned, and being drained: {those}; packets still come there");
        return Some((reason::DRAINING, said));
    }
    let those = named(Aside::Drained)?;
    let said = format!("cordoned and drained: {those}; nothing comes there, the node may go");
    Some((reason::DRAINED, said))
}

fn active(master: &MasterSeen) -> Active {
    Active {
        node: master.node.clone(),
        pod_uid: master.pod_uid.clone(),
        epoch: i64::try_from(master.epoch).unwrap_or(i64::MAX),
        since: master.since.clone(),
    }
}

fn members(nodes: &[NodeSeen]) -> Members {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    Members {
        desired: count(nodes.len()),
        ready: count(nodes.iter().filter(|node| node.is_ready).count()),
    }
}

/// The condition of this type.
pub(crate) fn find<'a>(all: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    all.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
mod tests;
