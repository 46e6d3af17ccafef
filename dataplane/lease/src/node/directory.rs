//! The Leases of a cluster's nodes, as somebody else sees them: for a status, and to find members.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_all};
use kube::{Api, Client};
use lns_cluster::NodeName;
use lns_tables::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::NodeState;
use super::state::parse;
use crate::clock;
use crate::limits::NODES;
use crate::name::{ClusterName, LeaseName};
use crate::object::{self, CLUSTER_LABEL, KIND_LABEL};

/// What is known of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What it says of itself.
    pub state: NodeState,
    /// Which incarnation says so; none: it has ended in order.
    pub holder: Option<String>,
    /// When its Lease was last seen to change, on this node's clock.
    pub changed: Instant,
    /// For how long after that it is current, as it says.
    pub lasts: Duration,
    version: Option<String>,
}

/// The nodes of a cluster that have a Lease.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Nodes {
    /// By name.
    pub entries: BTreeMap<NodeName, Entry>,
    /// Why they cannot be seen, if they cannot: the entries are older then.
    pub trouble: Option<Arc<str>>,
}

/// The nodes of a cluster, as they are followed.
#[derive(Debug)]
pub struct Directory {
    /// As they are now.
    pub nodes: watch::Receiver<Nodes>,
    /// The task that follows them. It ends when nobody is interested any more.
    pub task: JoinHandle<()>,
}

impl Entry {
    /// Whether it has been heard of lately.
    pub fn is_current(&self, now: Instant) -> bool {
        self.holder.is_some() && now.since(self.changed) <= self.lasts
    }
}

/// Follows the Leases of a cluster's nodes, on the runtime that calls.
pub fn directory(namespace: &str, cluster: ClusterName, client: Client) -> Directory {
    let leases: Api<DynamicObject> = Api::namespaced_with(client, namespace, &object::kind());
    let labels = format!("{CLUSTER_LABEL}={cluster},{KIND_LABEL}=node");
    let (publish, nodes) = watch::channel(Nodes::default());
    let task = tokio::spawn(async move {
        let events = watch_all(leases, watcher::Config::default().labels(&labels));
        let mut events = core::pin::pin!(events.default_backoff());
        let mut book = Book {
            cluster,
            listed: None,
            nodes: Nodes::default(),
        };
        while let Some(event) = events.next().await {
            book.handle(event, clock::now());
            if publish.send(book.nodes.clone()).is_err() {
                return;
            }
        }
    });
    Directory { nodes, task }
}

struct Book {
    cluster: ClusterName,
    /// While all are listed anew, those that were.
    listed: Option<BTreeMap<NodeName, Entry>>,
    nodes: Nodes,
}

impl Book {
    fn handle(&mut self, event: Result<Event<DynamicObject>, watcher::Error>, now: Instant) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.nodes.trouble = Some(error.to_string().into());
                return;
            }
        };
        self.nodes.trouble = None;
        match event {
            Event::Init => self.listed = Some(BTreeMap::new()),
            Event::InitApply(lease) => {
                if let (Some((node, entry)), Some(listed)) =
                    (self.entry(&lease, now), &mut self.listed)
                {
                    insert(listed, node, entry);
                }
            }
            Event::InitDone => self.nodes.entries = self.listed.take().unwrap_or_default(),
            Event::Apply(lease) => {
                let entry = self.entry(&lease, now);
                self.forget(&lease);
                if let Some((node, entry)) = entry {
                    insert(&mut self.nodes.entries, node, entry);
                }
            }
            Event::Delete(lease) => self.forget(&lease),
        }
    }

    /// The entry of a Lease goes, whatever it says now.
    fn forget(&mut self, lease: &DynamicObject) {
        let (cluster, name) = (&self.cluster, lease.metadata.name.as_deref());
        let entries = &mut self.nodes.entries;
        entries.retain(|node, _| Some(LeaseName::node(cluster, node).as_str()) != name);
    }

    /// What a Lease says; the one that was known is as old as it was.
    fn entry(&self, lease: &DynamicObject, now: Instant) -> Option<(NodeName, Entry)> {
        let (node, state) = parse(lease, &self.cluster)?;
        let version = lease.metadata.resource_version.clone();
        let known = self.nodes.entries.get(&node);
        let known = known.filter(|entry| entry.version == version);
        let entry = Entry {
            state,
            holder: object::holder(lease).map(str::to_owned),
            changed: known.map_or(now, |entry| entry.changed),
            lasts: object::lasts(lease).unwrap_or_default(),
            version,
        };
        Some((node, entry))
    }
}

/// One more than a cluster may have is left out.
fn insert(entries: &mut BTreeMap<NodeName, Entry>, node: NodeName, entry: Entry) {
    if entries.len() < NODES || entries.contains_key(&node) {
        entries.insert(node, entry);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(node: &str, version: u32, said: &str) -> DynamicObject {
        let cluster = ClusterName::new("isp").unwrap();
        let name = LeaseName::node(&cluster, &NodeName::new(node).unwrap());
        let lease = json!({
            "metadata": {
                "name": name.as_str(),
                "resourceVersion": version.to_string(),
                "annotations": { "kubelns.io/node": said, "kubelns.io/ready": "true" },
            },
            "spec": { "holderIdentity": "x/1", "leaseDurationSeconds": 30 },
        });
        serde_json::from_value(lease).unwrap()
    }

    fn book() -> Book {
        Book {
            cluster: ClusterName::new("isp").unwrap(),
            listed: None,
            nodes: Nodes::default(),
        }
    }

    fn at(second: u64) -> Instant {
        Instant::from_millis(second.saturating_mul(1000))
    }

    /// The nodes and when they changed, in seconds.
    fn known(book: &Book) -> Vec<(String, u64)> {
        let entries = book.nodes.entries.iter();
        entries
            .map(|(node, entry)| (node.to_string(), entry.changed.as_secs()))
            .collect()
    }

    #[test]
    fn listing_anew_keeps_the_age_of_what_is_the_same_and_forgets_what_is_gone() {
        let mut book = book();
        for (node, second) in [("a", 1), ("b", 2), ("c", 3)] {
            book.handle(Ok(Event::Apply(lease(node, 1, node))), at(second));
        }
        book.handle(Ok(Event::Init), at(10));
        book.handle(Ok(Event::InitApply(lease("a", 1, "a"))), at(10));
        book.handle(Ok(Event::InitApply(lease("b", 2, "b"))), at(10));
        assert_eq!(known(&book).len(), 3, "until all are listed");
        book.handle(Ok(Event::InitDone), at(10));
        assert_eq!(known(&book), [("a".to_owned(), 1), ("b".to_owned(), 10)]);
        book.handle(Ok(Event::Delete(lease("a", 3, "nonsense"))), at(11));
        assert_eq!(known(&book), [("b".to_owned(), 10)]);
    }

    #[test]
    fn a_lease_that_names_another_node_is_no_entry_any_more() {
        let mut book = book();
        book.handle(Ok(Event::Apply(lease("a", 1, "a"))), at(1));
        book.handle(Ok(Event::Apply(lease("a", 2, "b"))), at(2));
        assert_eq!(known(&book), []);
    }

    #[test]
    fn an_entry_is_current_as_long_as_it_says() {
        let mut book = book();
        book.handle(Ok(Event::Apply(lease("a", 1, "a"))), at(1));
        let mut entry = book.nodes.entries.into_values().next().unwrap();
        assert!(entry.is_current(at(31)));
        assert!(!entry.is_current(at(32)));
        entry.holder = None;
        assert!(!entry.is_current(at(1)));
    }

    #[test]
    fn more_nodes_than_there_may_be_are_left_out() {
        let mut book = book();
        for number in 0..=NODES {
            let node = format!("n{number}");
            book.handle(Ok(Event::Apply(lease(&node, 1, &node))), at(1));
        }
        assert_eq!(book.nodes.entries.len(), NODES);
    }
}
