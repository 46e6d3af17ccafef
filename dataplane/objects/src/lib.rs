//! The manifest of a cluster, as objects of a Kubernetes API server: its `LnsCluster`, the
//! `SessionPolicy`s that are for it, and the `Secret`s that it names (spec: kubernetes, 8; api, 1).
//!
//! [`Objects::start`] follows them. Whatever changes makes a new [`Seen`], once it has rested for a moment:
//! the objects are read by the reader of files, held to the same rules, and what is wrong is told in the
//! same words. An API server that is away changes nothing of what was seen last; it is
//! [told](Objects::trouble), and asked again for ever, at intervals that differ from node to node.
//!
//! ```text
//!  follow (LnsCluster) ─┐                     ┌─ sights: Unknown, Absent, Gone, There(Seen)
//!  follow (policies) ───┼─▶ task ── book ─────┤
//!  follow (a Secret) ×n ┘                     └─ trouble
//! ```
//!
//! kube's own watcher is not used: it lists, and a member may only get and watch the Secrets that it needs,
//! each by its name; and it tells when the API server fails and not when it answers again.
//!
//! Left out: what a member does about what it sees, and the status of the objects.
#![doc = ""]
#![doc = "# What it needs of the API server"]
#![doc = "```yaml"]
#![doc = include_str!("../rbac.yaml")]
#![doc = "```"]
#![forbid(unsafe_code)]

mod book;
mod follow;
mod limits;
mod pause;
mod task;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use lns_api::Manifest;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The objects of a cluster, as they are followed. They are followed until this is dropped.
#[derive(Debug)]
pub struct Objects {
    sights: watch::Receiver<Sight>,
    trouble: watch::Receiver<Option<Arc<str>>>,
    task: AbortHandle,
}

/// What there is of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Sight {
    /// It has not been looked at, or not all of it.
    #[default]
    Unknown,
    /// There is no such `LnsCluster`, and since the start there was none.
    Absent,
    /// The `LnsCluster` was deleted.
    Gone {
        /// Which object it was.
        uid: String,
    },
    /// It is there.
    There(Arc<Seen>),
}

/// An `LnsCluster` with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which object it is: one that is deleted and made again is another one.
    pub uid: String,
    /// Which version of its spec.
    pub generation: i64,
    /// What is noted on it.
    pub annotations: BTreeMap<String, String>,
    /// Which state of it and of the policies that are for it this is ([`lns_api::digest`]).
    pub digest: String,
    /// Somebody has asked for its deletion, and something holds it back (a finalizer).
    pub is_being_deleted: bool,
    /// What the objects say together; or all that is wrong with them, in the words of a file's errors.
    pub manifest: Result<Manifest, Vec<String>>,
}

impl Objects {
    /// Follows the `LnsCluster` of this namespace and name, on the runtime that calls.
    pub fn start(client: Client, namespace: &str, name: &str) -> Self {
        let (publish, sights) = watch::channel(Sight::Unknown);
        let (tell, trouble) = watch::channel(None);
        let task = task::Task::new(client, namespace, name, publish, tell);
        Self {
            sights,
            trouble,
            task: tokio::spawn(task.run()).abort_handle(),
        }
    }

    /// What there is, whenever it changes.
    pub fn sights(&self) -> watch::Receiver<Sight> {
        self.sights.clone()
    }

    /// Why it cannot be seen whether something has changed, in one line; none: it can.
    pub fn trouble(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.trouble.clone()
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.task.abort();
    }
}
