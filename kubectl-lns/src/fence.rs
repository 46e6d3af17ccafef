//! `fence` and `unfence`: the annotation `kubelns.io/fenced` of the `LnsCluster`, a JSON list of nodes whose members
//! are out of service; `["*"]` means all of them.
//!
//! Nothing else of the object is written, and only if nobody has changed it meanwhile: of two people who fence two
//! nodes at the same time, none undoes the other's.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use lns_api::fence::{ALL, Fenced};
use lns_api::status::annotation::FENCED;
use serde_json::{Value, json};

use crate::cli::Place;
use crate::cluster::Access;
use crate::failure::{Failure, of_api};
use crate::member;

/// How often somebody else may come first.
const TRIES: usize = 5;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Fence,
    Unfence,
}

/// `kubectl lns fence NODE...`
///
/// # Errors
/// One is no member, or the annotation could not be written.
pub(crate) async fn fence(access: &Access, place: &Place, nodes: &[String]) -> Result<u8, Failure> {
    edit(access, place, Verb::Fence, nodes).await
}

/// `kubectl lns unfence NODE...`
///
/// # Errors
/// One is neither fenced nor a member, or the annotation could not be written.
pub(crate) async fn unfence(
    access: &Access,
    place: &Place,
    nodes: &[String],
) -> Result<u8, Failure> {
    edit(access, place, Verb::Unfence, nodes).await
}

async fn edit(access: &Access, place: &Place, verb: Verb, nodes: &[String]) -> Result<u8, Failure> {
    for _ in 0..TRIES {
        let cluster = access.cluster(place).await?;
        let members = members(access, &cluster).await?;
        let before = of(&cluster)?;
        check(verb, nodes, &before, &members)?;
        let after = changed(verb, nodes, &before)?;
        if after == before {
            say(verb, nodes, "already");
            return Ok(0);
        }
        match write(access, &cluster, &after).await {
            Ok(()) => {
                say(verb, nodes, "now");
                return Ok(0);
            }
            // Somebody else has changed it, or the operator its status.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(of_api(&format!("writing the annotation {FENCED}"), &error)),
        }
    }
    Err(Failure::Failed(
        "the LnsCluster is changed all the time: try again".to_owned(),
    ))
}

fn say(verb: Verb, nodes: &[String], when: &str) {
    let state = match verb {
        Verb::Fence => "fenced",
        Verb::Unfence => "not fenced",
    };
    for node in nodes {
        let node = if node == ALL { "every node" } else { node };
        println!("{node} is {state} {when}");
    }
}

/// The nodes that are fenced.
///
/// # Errors
/// The annotation is no list of names.
pub(crate) fn of(cluster: &DynamicObject) -> Result<Vec<String>, Failure> {
    let fenced = Fenced::of(cluster.annotations()).map_err(|wrong| {
        let name = cluster.name_any();
        let namespace = cluster.namespace().unwrap_or_default();
        Failure::bad_input(format!(
            "LnsCluster/{name}: {wrong}: kubectl annotate -n {namespace} lnscluster {name} {FENCED}-"
        ))
    })?;
    Ok(fenced.names().map(str::to_owned).collect())
}

/// Nodes that have a member's pod or are to have one. Nodes that one may not list are known by their pods.
async fn members(access: &Access, cluster: &DynamicObject) -> Result<BTreeSet<String>, Failure> {
    let pods = member::members(access, &cluster.name_any()).await?;
    let mut nodes: BTreeSet<String> = pods.into_iter().map(|it| it.node).collect();
    let selector = cluster
        .data
        .pointer("/spec/nodeSelector")
        .and_then(Value::as_object);
    let labels: Vec<String> = selector
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    if labels.is_empty() {
        return Ok(nodes);
    }
    let all: Api<Node> = Api::all(access.client.clone());
    match all
        .list_metadata(&ListParams::default().labels(&labels.join(",")))
        .await
    {
        Ok(selected) => nodes.extend(selected.iter().map(kube::ResourceExt::name_any)),
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        Err(error) => return Err(of_api("reading nodes", &error)),
    }
    Ok(nodes)
}

fn check(
    verb: Verb,
    nodes: &[String],
    fenced: &[String],
    members: &BTreeSet<String>,
) -> Result<(), Failure> {
    // What is fenced and gone can still be taken from the list.
    let is_known = |node: &String| {
        node == ALL || members.contains(node) || (verb == Verb::Unfence && fenced.contains(node))
    };
    let Some(unknown) = nodes.iter().find(|node| !is_known(node)) else {
        return Ok(());
    };
    let known: Vec<&str> = members.iter().map(String::as_str).collect();
    Err(Failure::bad_input(match known.as_slice() {
        [] => format!("{unknown} is no member of this cluster; no node is"),
        known => format!(
            "{unknown} is no member of this cluster; members are {}",
            known.join(", ")
        ),
    }))
}

/// The list as it is to be.
fn changed(verb: Verb, nodes: &[String], before: &[String]) -> Result<Vec<String>, Failure> {
    let is_all = |list: &[String]| list.iter().any(|it| it == ALL);
    match verb {
        Verb::Fence if is_all(before) => Ok(before.to_vec()),
        Verb::Fence if is_all(nodes) => Ok(vec![ALL.to_owned()]),
        Verb::Fence => {
            let mut after = before.to_vec();
            for node in nodes {
                if !after.contains(node) {
                    after.push(node.clone());
                }
            }
            Ok(after)
        }
        Verb::Unfence if is_all(nodes) => Ok(Vec::new()),
        Verb::Unfence if is_all(before) => Err(Failure::bad_input(
            "every node is fenced (\"*\"): lift that with \"kubectl lns unfence '*'\", and fence those by name that are to stay so",
        )),
        Verb::Unfence => Ok(before
            .iter()
            .filter(|it| !nodes.contains(it))
            .cloned()
            .collect()),
    }
}

async fn write(
    access: &Access,
    cluster: &DynamicObject,
    fenced: &[String],
) -> Result<(), kube::Error> {
    let value = if fenced.is_empty() {
        Value::Null
    } else {
        json!(json!(fenced).to_string())
    };
    let patch = json!({ "metadata": {
        "resourceVersion": cluster.metadata.resource_version,
        "uid": cluster.metadata.uid,
        "annotations": { FENCED: value },
    } });
    let how = PatchParams {
        field_manager: Some("kubectl-lns".to_owned()),
        ..PatchParams::default()
    };
    let name = cluster.name_any();
    access
        .clusters()
        .patch_metadata(&name, &how, &Patch::Merge(patch))
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;
    use lns_api::LnsCluster;

    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    fn after(verb: Verb, nodes: &[&str], before: &[&str]) -> Vec<String> {
        changed(verb, &list(nodes), &list(before)).unwrap()
    }

    #[test]
    fn other_nodes_stay_as_they_are_and_nothing_is_there_twice() {
        assert_eq!(after(Verb::Fence, &["b"], &["c", "a"]), ["c", "a", "b"]);
        assert_eq!(after(Verb::Fence, &["a", "b", "b"], &["a"]), ["a", "b"]);
        assert_eq!(after(Verb::Unfence, &["a"], &["c", "a"]), ["c"]);
        assert_eq!(after(Verb::Unfence, &["b"], &["c", "a"]), ["c", "a"]);
    }

    #[test]
    fn a_star_is_all_of_them_and_is_lifted_as_a_whole() {
        assert_eq!(after(Verb::Fence, &["*"], &["a"]), ["*"]);
        assert_eq!(after(Verb::Fence, &["a"], &["*"]), ["*"]);
        assert!(after(Verb::Unfence, &["*"], &["*"]).is_empty());
        assert!(after(Verb::Unfence, &["*"], &["a", "b"]).is_empty());
        let refused = changed(Verb::Unfence, &list(&["a"]), &list(&["*"])).unwrap_err();
        assert!(matches!(refused, Failure::BadInput(_)));
    }

    #[test]
    fn who_is_no_member_is_refused_and_members_are_listed() {
        let members = list(&["a", "b"]).into_iter().collect();
        let refused = |verb, node: &str, fenced: &[&str]| {
            check(verb, &list(&[node]), &list(fenced), &members).map_err(|why| why.to_string())
        };
        assert_eq!(refused(Verb::Fence, "a", &[]), Ok(()));
        assert_eq!(refused(Verb::Fence, "*", &[]), Ok(()));
        let expected = Err("c is no member of this cluster; members are a, b".to_owned());
        assert_eq!(refused(Verb::Fence, "c", &[]), expected);
        assert_eq!(refused(Verb::Unfence, "c", &[]), expected);
        // It was one.
        assert_eq!(refused(Verb::Unfence, "c", &["c"]), Ok(()));
        assert_eq!(refused(Verb::Fence, "c", &["c"]), expected);
    }

    #[test]
    fn an_annotation_that_is_no_list_is_not_written_over() {
        let kind = ApiResource::erase::<LnsCluster>(&());
        let mut cluster = DynamicObject::new("edge", &kind).within("isp");
        assert_eq!(of(&cluster), Ok(Vec::new()));
        cluster
            .annotations_mut()
            .insert(FENCED.to_owned(), "[\"a\"]".to_owned());
        assert_eq!(of(&cluster), Ok(list(&["a"])));
        cluster
            .annotations_mut()
            .insert(FENCED.to_owned(), "a".to_owned());
        let refused = of(&cluster).unwrap_err().to_string();
        assert!(
            refused.contains("LnsCluster/edge: kubelns.io/fenced: \"a\" is no list of nodes"),
            "{refused}"
        );
        let command = "remove it: kubectl annotate -n isp lnscluster edge kubelns.io/fenced-";
        assert!(refused.ends_with(command), "{refused}");
    }
}
