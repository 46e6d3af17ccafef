//! In which pod a command runs: the master's, or that of a member that is ready, or the one of a node that is named.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use crate::cluster::Access;
use crate::failure::{Failure, of_api};

/// The name of the program in the pods, and of their container, as the operator makes them.
pub(crate) const LNSD: &str = "lnsd";
const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";
/// `master` or `standby`.
const ROLE: &str = "kubelns.io/role";

/// The pod of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The pod.
    pub(crate) pod: String,
    /// Its node.
    pub(crate) node: String,
    /// It serves.
    is_ready: bool,
    /// Its program runs.
    is_running: bool,
    is_master: bool,
}

/// The members of a cluster, by node.
pub(crate) async fn members(access: &Access, cluster: &str) -> Result<Vec<Member>, Failure> {
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
    let of_cluster = ListParams::default().labels(&format!("{NAME}={LNSD},{INSTANCE}={cluster}"));
    let pods = pods.list(&of_cluster).await;
    let pods = pods.map_err(|error| of_api("reading the members' pods", &error))?;
    let mut members: Vec<Member> = pods.iter().filter_map(member).collect();
    members.sort_by(|one, other| (&one.node, &one.pod).cmp(&(&other.node, &other.pod)));
    Ok(members)
}

/// None: it is on no node yet.
fn member(pod: &Pod) -> Option<Member> {
    let status = pod.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    let phase = status.and_then(|status| status.phase.as_deref());
    Some(Member {
        pod: pod.name_any(),
        node: pod.spec.as_ref()?.node_name.clone()?,
        is_ready: !is_leaving
            && conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True"),
        is_running: phase == Some("Running"),
        is_master: pod.labels().get(ROLE).is_some_and(|role| role == "master"),
    })
}

/// The member for a command, or why none can do it.
///
/// # Errors
/// What to do instead.
pub(crate) fn choose<'a>(
    members: &'a [Member],
    node: Option<&str>,
    is_for_master: bool,
) -> Result<&'a Member, Failure> {
    if let Some(node) = node {
        return of_node(members, node);
    }
    if members.is_empty() {
        return Err(Failure::Failed(
            "no member has a pod: \"kubectl lns status\" says what the cluster waits for"
                .to_owned(),
        ));
    }
    let ready = || members.iter().filter(|it| it.is_ready);
    let master = ready().find(|it| it.is_master);
    let chosen = if is_for_master {
        master
    } else {
        master.or_else(|| ready().next())
    };
    chosen.ok_or_else(|| {
        let lacking = if ready().next().is_none() {
            "no member is ready"
        } else {
            "no member is known as the master now"
        };
        Failure::Failed(format!(
            "{lacking}: \"kubectl lns status\" says why; --node asks one of {} all the same",
            nodes(members)
        ))
    })
}

/// Also one that does not serve can be asked why.
fn of_node<'a>(members: &'a [Member], node: &str) -> Result<&'a Member, Failure> {
    let mut of_node = members.iter().filter(|it| it.node == node);
    // While a pod is replaced there are two.
    let Some(first) = of_node
        .clone()
        .find(|it| it.is_ready)
        .or_else(|| of_node.find(|it| it.is_running))
    else {
        let is_known = members.iter().any(|it| it.node == node);
        return Err(if is_known {
            Failure::Failed(format!(
                "the pod of {node} does not run: \"kubectl describe pod\" says why; or ask another node"
            ))
        } else if members.is_empty() {
            Failure::bad_input(format!("{node} is no member (--node): no member has a pod"))
        } else {
            Failure::bad_input(format!(
                "{node} is no member (--node); members are {}",
                nodes(members)
            ))
        });
    };
    Ok(first)
}

/// The nodes of members, each once.
pub(crate) fn nodes(members: &[Member]) -> String {
    let mut nodes: Vec<&str> = members.iter().map(|it| &*it.node).collect();
    nodes.dedup();
    nodes.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(node: &str, role: &str, phase: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": format!("edge-{node}"), "labels": { ROLE: role } },
            "spec": { "nodeName": node, "containers": [] },
            "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    fn all(pods: &[Pod]) -> Vec<Member> {
        pods.iter().filter_map(member).collect()
    }

    fn chosen(
        members: &[Member],
        node: Option<&str>,
        is_for_master: bool,
    ) -> Result<String, String> {
        choose(members, node, is_for_master)
            .map(|it| it.node.clone())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_master_is_asked_and_for_what_only_reads_another_one_does() {
        let mut pods = vec![
            pod("a", "standby", "Running", "True"),
            pod("b", "master", "Running", "True"),
            pod("c", "standby", "Running", "False"),
        ];
        assert_eq!(chosen(&all(&pods), None, true), Ok("b".to_owned()));
        assert_eq!(chosen(&all(&pods), None, false), Ok("b".to_owned()));
        // The master does not serve any more, and nobody else is master yet.
        pods[1] = pod("b", "master", "Running", "False");
        assert_eq!(chosen(&all(&pods), None, false), Ok("a".to_owned()));
        let refused = chosen(&all(&pods), None, true).unwrap_err();
        assert!(
            refused.starts_with("no member is known as the master now: "),
            "{refused}"
        );
        assert!(
            refused.ends_with("--node asks one of a, b, c all the same"),
            "{refused}"
        );
        pods.remove(0);
        let refused = chosen(&all(&pods), None, false).unwrap_err();
        assert!(refused.starts_with("no member is ready: "), "{refused}");
    }

    #[test]
    fn a_pod_that_leaves_is_not_asked() {
        let mut leaving = pod("a", "master", "Running", "True");
        leaving.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-11-27T20:00:00Z")).unwrap();
        assert!(chosen(&all(&[leaving]), None, false).is_err());
    }

    #[test]
    fn a_node_that_is_named_is_asked_also_if_it_does_not_serve() {
        let members = all(&[
            pod("a", "standby", "Running", "False"),
            pod("b", "master", "Running", "True"),
            pod("c", "standby", "Pending", "False"),
        ]);
        assert_eq!(chosen(&members, Some("a"), true), Ok("a".to_owned()));
        let refused = chosen(&members, Some("c"), false).unwrap_err();
        assert!(
            refused.starts_with("the pod of c does not run: "),
            "{refused}"
        );
        let refused = chosen(&members, Some("d"), false).unwrap_err();
        assert_eq!(refused, "d is no member (--node); members are a, b, c");
    }

    #[test]
    fn without_pods_the_cluster_is_pointed_to() {
        let refused = chosen(&[], None, false).unwrap_err();
        assert!(refused.contains("kubectl lns status"), "{refused}");
        // One that no node was found for is nobody's.
        let homeless: Result<Pod, _> = serde_json::from_value(
            json!({ "metadata": { "name": "x" }, "spec": { "containers": [] } }),
        );
        assert_eq!(member(&homeless.unwrap()), None);
    }

    /// What the operator makes is found.
    #[test]
    fn names_and_labels_are_those_that_the_operator_writes() {
        let made = include_str!(
            "../../operator/src/cluster/build/snapshots/lns_operator__cluster__build__tests__a_cluster_is_made_of_these_objects.snap"
        );
        let labels = include_str!("../../operator/src/labels.rs");
        for written in [
            format!("{NAME}: {LNSD}"),
            format!("{INSTANCE}: edge"),
            format!("name: {LNSD}"),
            crate::exec::PROGRAM.to_owned(),
            "--state=/run/lnsd".to_owned(),
        ] {
            assert!(made.contains(&written), "{written}");
        }
        assert!(labels.contains(&format!("\"{ROLE}\"")), "{ROLE}");
    }
}
