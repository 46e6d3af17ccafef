//! What a node says of itself in its own Lease `<cluster>.node.<hash>`. It is information: nothing is
//! decided by it that two nodes must not decide differently.
//!
//! | in the Lease | is |
//! |---|---|
//! | `spec.holderIdentity` | the incarnation; absent: it has ended in order |
//! | `spec.leaseDurationSeconds` | for how long what it says is current |
//! | `kubelns.io/node` | the name of the node, of which the Lease's name has a hash |
//! | `kubelns.io/loaded` | up to which change it has the cluster's records, `<epoch>-<seq>` |
//! | `kubelns.io/version`, `ready`, `peer` | its software, whether it can serve, where members reach it |
//! | other `kubelns.io/` annotations | notes: its own, and what others ask of it |

use core::net::SocketAddr;
use std::collections::BTreeMap;

use kube::api::DynamicObject;
use lns_cluster::NodeName;
use lns_cluster::journal::Mark;

use crate::name::{ClusterName, LeaseName};
use crate::notes::Notes;
use crate::object::{self, Content, LOADED, NODE, PEER, READY, VERSION, annotation};

/// Characters of a version that are read.
const VERSION_LENGTH: usize = 128;

/// What a node says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeState {
    /// Up to which change it has the cluster's records.
    pub loaded: Option<Mark>,
    /// Which software it is.
    pub version: String,
    /// Whether it can serve.
    pub ready: bool,
    /// Where members reach it.
    pub peer: Option<SocketAddr>,
    /// What else it says; as it is read, also what others ask of it.
    pub notes: Notes,
}

impl NodeState {
    /// Whether the difference is worth a write. How far it has loaded changes with every call, and goes
    /// with the next renewal.
    pub(crate) fn differs(&self, written: &Self) -> bool {
        let loaded = written.loaded;
        let same = Self {
            loaded,
            ..self.clone()
        };
        same != *written
    }

    pub(crate) fn content(&self, node: &NodeName, holder: Option<String>) -> Content {
        let mut annotations = BTreeMap::from([
            (NODE.to_owned(), node.to_string()),
            (VERSION.to_owned(), self.version.clone()),
            (READY.to_owned(), self.ready.to_string()),
        ]);
        let loaded = self
            .loaded
            .map(|mark| (LOADED.to_owned(), mark.to_string()));
        let peer = self.peer.map(|peer| (PEER.to_owned(), peer.to_string()));
        annotations.extend(loaded.into_iter().chain(peer));
        Content {
            holder,
            annotations,
        }
    }
}

/// Reads the Lease of a node of a cluster. None: it is none, or its name is not that of the node that it
/// names. What else it does not say is unknown, and a node that does not say that it is ready is not.
pub(crate) fn parse(lease: &DynamicObject, cluster: &ClusterName) -> Option<(NodeName, NodeState)> {
    let node = NodeName::new(annotation(lease, NODE)?).ok()?;
    if lease.metadata.name.as_deref() != Some(LeaseName::node(cluster, &node).as_str()) {
        return None;
    }
    let version = annotation(lease, VERSION).unwrap_or_default();
    let state = NodeState {
        loaded: annotation(lease, LOADED).and_then(|text| text.parse().ok()),
        version: version.chars().take(VERSION_LENGTH).collect(),
        ready: annotation(lease, READY) == Some("true"),
        peer: annotation(lease, PEER).and_then(|text| text.parse().ok()),
        notes: object::notes(lease),
    };
    Some((node, state))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use k8s_openapi::jiff::Timestamp;
    use lns_cluster::Epoch;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::object::Form;

    fn cluster() -> ClusterName {
        ClusterName::new("isp").unwrap()
    }

    fn name() -> NodeName {
        NodeName::new("worker-1.example").unwrap()
    }

    fn written(state: &NodeState, base: Option<&DynamicObject>) -> DynamicObject {
        let form = Form {
            name: LeaseName::node(&cluster(), &name()),
            namespace: "lns".to_owned(),
            labels: object::labels("isp", "node"),
            lasts: Duration::from_secs(30),
        };
        let content = state.content(&name(), Some("worker-1.example/1".to_owned()));
        object::emit(content, base, &form, &state.notes, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn states() -> impl Strategy<Value = NodeState> {
        let mark = (0..Mark::INEXACT, 0..Mark::INEXACT);
        (
            prop::option::of(mark),
            "[ -~]{0,128}",
            any::<bool>(),
            any::<Option<SocketAddr>>(),
            "[ -~]{0,9}",
        )
            .prop_map(|(loaded, version, ready, peer, note)| {
                let mut notes = Notes::default();
                notes.set("drained", &note).unwrap();
                let loaded =
                    loaded.map(|(epoch, seq)| Mark::new(Epoch::new(epoch).unwrap(), seq).unwrap());
                // What is no part of an address as text.
                let peer = peer.map(|peer| SocketAddr::new(peer.ip(), peer.port()));
                NodeState {
                    loaded,
                    version,
                    ready,
                    peer,
                    notes,
                }
            })
    }

    proptest! {
        #[test]
        fn a_node_is_read_as_it_is_written(before in states(), state in states()) {
            let base = written(&before, None);
            let lease = written(&state, Some(&base));
            prop_assert_eq!(parse(&lease, &cluster()), Some((name(), state)));
        }
    }

    #[test]
    fn a_node_whose_lease_says_nonsense_is_not_ready() {
        let said = |key: &str, text: &str| {
            let mut lease = written(&NodeState::default(), None);
            lease
                .metadata
                .annotations
                .as_mut()
                .unwrap()
                .insert(key.to_owned(), text.to_owned());
            parse(&lease, &cluster())
        };
        for (key, text) in [
            (LOADED, "1"),
            (LOADED, "-1-2"),
            (READY, "yes"),
            (READY, "TRUE"),
            (PEER, "a:1"),
            (PEER, "::1"),
        ] {
            assert_eq!(
                said(key, text),
                Some((name(), NodeState::default())),
                "{key}: {text}"
            );
        }
        let long = said(VERSION, &"é".repeat(1000)).unwrap().1.version;
        assert_eq!(long.chars().count(), VERSION_LENGTH);
        for other in ["", "worker-2.example", "a/b"] {
            assert_eq!(said(NODE, other), None, "{other}");
        }
        let bare = serde_json::from_value(json!({ "metadata": { "name": "isp.node.1" } })).unwrap();
        assert_eq!(parse(&bare, &cluster()), None);
    }

    #[test]
    fn how_far_a_node_has_loaded_is_no_reason_to_write() {
        let state = NodeState::default();
        let mut later = state.clone();
        later.loaded = Some(Mark::ZERO);
        assert!(!later.differs(&state));
        later.ready = true;
        assert!(later.differs(&state));
    }
}
