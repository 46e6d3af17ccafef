//! What a cluster's Leases say, for a status: to somebody who follows them and takes no part.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::DynamicObject;
use lns_cluster::{Epoch, Identity, NodeName, Roster};

use crate::name::ClusterName;
use crate::node::NodeState;
use crate::object;
use crate::record;

/// What the Lease of a mastership says. It is what was written last: whether somebody is master now, only the age of
/// that tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Who holds it; nobody, or nobody who can be made out.
    pub holder: Option<Identity>,
    /// The number of the mastership, or of the last one.
    pub epoch: Epoch,
    /// When the holder took it, by his own clock.
    pub since: Option<MicroTime>,
    /// The nodes that may become master.
    pub roster: Roster,
}

/// Reads the Lease `<cluster>.master`. None: it is no Lease of the API server's.
pub fn held(lease: &DynamicObject) -> Option<Held> {
    let stored = record::parse(lease)?;
    Some(Held {
        since: object::acquired(lease).filter(|_| stored.record.holder.is_some()),
        holder: stored.record.holder,
        epoch: stored.record.epoch,
        roster: stored.record.roster,
    })
}

/// Reads the Lease of a node. None: it is none of this cluster's.
pub fn node(lease: &DynamicObject, cluster: &ClusterName) -> Option<(NodeName, NodeState)> {
    crate::node::parse(lease, cluster)
}

/// The uid of the pod that an incarnation was in; none: it says none.
pub fn pod_uid(identity: &Identity) -> Option<String> {
    let text = identity.to_string();
    let parts: Vec<&str> = text.split('/').collect();
    // node/pod/boot/nonce; without a pod there are three.
    (parts.len() == 4).then(|| parts.get(1).map(|&uid| uid.to_owned()))?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &serde_json::Value) -> DynamicObject {
        let lease = json!({
            "metadata": {
                "name": "isp.master",
                "resourceVersion": "7",
                "annotations": { "kubelns.io/epoch": "3", "kubelns.io/roster": "[\"a\",\"b\"]" },
            },
            "spec": { "holderIdentity": holder, "acquireTime": "2026-11-27T20:00:00.000000Z" },
        });
        serde_json::from_value(lease).unwrap()
    }

    #[test]
    fn a_status_says_who_holds_since_when_and_in_which_pod() {
        let held = held(&lease(&json!("a/5d1c/boot/0001"))).unwrap();
        assert_eq!(held.epoch, Epoch::new(3).unwrap());
        assert_eq!(held.roster.iter().count(), 2);
        assert_eq!(held.since.map(|at| at.0.as_second()), Some(1_795_809_600));
        let holder = held.holder.unwrap();
        assert_eq!(holder.node().to_string(), "a");
        assert_eq!(pod_uid(&holder).as_deref(), Some("5d1c"));
        assert_eq!(pod_uid(&"a/boot/0001".parse().unwrap()), None);
    }

    #[test]
    fn what_nobody_holds_has_no_since() {
        for nobody in [json!(null), json!(""), json!("nonsense")] {
            let held = held(&lease(&nobody)).unwrap();
            assert_eq!((held.holder, held.since), (None, None));
        }
    }
}
