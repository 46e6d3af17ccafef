//! The program with a real API server and no kubelets: what needs no member's answer.
//!
//! `e2e/test kubernetes` builds the API server, starts it with the definitions of `crds/`, and names its folder in
//! `LNS_APISERVER`. Without that variable there is nothing to test with, and every test is told to be left out.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail this way"
)]

mod world;

use core::pin::Pin;
use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::world::World;

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($test:ident,)*) => {
        [$({
            let test: Test = |world| Box::pin($test(world));
            (stringify!($test), test)
        }),*]
    };
}

fn main() -> ExitCode {
    let server = std::env::var_os("LNS_APISERVER").map(PathBuf::from);
    if server.is_none() {
        println!("LNS_APISERVER names no API server; \"e2e/test kubernetes\" brings one");
    }
    let tests = tests![
        a_fence_keeps_other_nodes_and_other_annotations,
        two_who_fence_at_once_do_not_undo_each_other,
        who_is_no_member_is_not_fenced,
        status_answers_where_no_pod_runs,
        which_cluster_is_meant_must_be_clear,
        a_member_that_cannot_be_reached_is_one_line,
    ];
    let trials = tests.map(|test| trial(test, server.clone())).into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial((name, test): (&'static str, Test), server: Option<PathBuf>) -> Trial {
    let left_out = server.is_none();
    let run = move || {
        let server = server.ok_or("there is no API server")?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let world = World::new(&server, name).await;
            test(&world).await;
            world.end().await;
        });
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(left_out)
}

fn fenced(cluster: &Value) -> Value {
    let text = cluster["metadata"]["annotations"]["kubelns.io/fenced"].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

async fn a_fence_keeps_other_nodes_and_other_annotations(world: &World) {
    world
        .cluster("edge", &json!({ "kubelns.io/paused": "true" }))
        .await;
    for node in ["a", "b"] {
        world.member("edge", node).await;
    }
    let a = world.node_name("a");
    assert_eq!(
        world.run(&["fence", &a]),
        (0, format!("{a} is fenced now\n"), String::new())
    );
    let once = world.get("edge").await;
    assert_eq!(fenced(&once), json!([a]));
    // Nothing is written that is there.
    assert_eq!(
        world.run(&["fence", &a]),
        (0, format!("{a} is fenced already\n"), String::new())
    );
    let twice = world.get("edge").await;
    assert_eq!(
        once["metadata"]["resourceVersion"],
        twice["metadata"]["resourceVersion"]
    );
    let b = world.node_name("b");
    assert_eq!(world.run(&["fence", &b]).0, 0);
    assert_eq!(fenced(&world.get("edge").await), json!([a, b]));
    assert_eq!(world.run(&["unfence", &a]).0, 0);
    assert_eq!(fenced(&world.get("edge").await), json!([b]));
    assert_eq!(
        world.run(&["fence", "*"]),
        (0, "every node is fenced now\n".to_owned(), String::new())
    );
    assert_eq!(fenced(&world.get("edge").await), json!(["*"]));
    assert_eq!(world.run(&["unfence", &a]).0, 2);
    assert_eq!(world.run(&["unfence", "*"]).0, 0);
    let last = world.get("edge").await;
    assert_eq!(fenced(&last), Value::Null);
    assert_eq!(last["metadata"]["annotations"]["kubelns.io/paused"], "true");
    assert_eq!(last["spec"], once["spec"]);
    assert_eq!(
        last["metadata"]["generation"],
        once["metadata"]["generation"]
    );
}

async fn two_who_fence_at_once_do_not_undo_each_other(world: &World) {
    world.cluster("edge", &json!({})).await;
    let nodes = ["a", "b", "c", "d"].map(|it| world.node_name(it));
    for node in ["a", "b", "c", "d"] {
        world.member("edge", node).await;
    }
    let children: Vec<_> = nodes
        .iter()
        .map(|node| world.command(&["fence", node]).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let fenced = fenced(&world.get("edge").await);
    let mut fenced: Vec<&str> = fenced
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    fenced.sort_unstable();
    assert_eq!(fenced, nodes);
}

async fn who_is_no_member_is_not_fenced(world: &World) {
    world.cluster("edge", &json!({})).await;
    world.member("edge", "a").await;
    // A node that the selector names and that has no pod yet is one, too.
    world.node("b").await;
    let (a, b) = (world.node_name("a"), world.node_name("b"));
    let (code, out, errors) = world.run(&["fence", &a, "nowhere"]);
    assert_eq!((code, &*out), (2, ""));
    assert_eq!(
        errors,
        format!("kubectl-lns: nowhere is no member of this cluster; members are {a}, {b}\n")
    );
    assert_eq!(fenced(&world.get("edge").await), Value::Null);
    assert_eq!(world.run(&["unfence", "nowhere"]).0, 2);
    assert_eq!(
        world.run(&["unfence", &a]),
        (0, format!("{a} is not fenced already\n"), String::new())
    );
    // One that has gone can be taken from the list.
    let gone = json!({ "metadata": { "annotations": { "kubelns.io/fenced": "[\"gone\"]" } } });
    world.merge("edge", &gone).await;
    assert_eq!(world.run(&["unfence", "gone"]).0, 0);
    assert_eq!(fenced(&world.get("edge").await), Value::Null);
    let wrong = json!({ "metadata": { "annotations": { "kubelns.io/fenced": "a, b" } } });
    world.merge("edge", &wrong).await;
    let (code, _, errors) = world.run(&["fence", &b]);
    assert!(code == 2 && errors.contains("kubectl annotate"), "{errors}");
}

async fn status_answers_where_no_pod_runs(world: &World) {
    world.cluster("edge", &json!({})).await;
    let (code, out, errors) = world.run(&["status"]);
    assert_eq!(code, 0, "{errors}");
    assert!(out.contains("nobody has looked at it yet"), "{out}");
    assert!(
        errors.starts_with("kubectl-lns: no member has a pod: "),
        "{errors}"
    );
    world
        .tell(
            "edge",
            &json!({
                "observedGeneration": 1,
                "conditions": [{
                    "type": "Stalled", "status": "True", "reason": "NoNodes", "message": "spec.nodeSelector: no node has it",
                    "lastTransitionTime": "2026-11-27T20:00:00Z", "observedGeneration": 1,
                }],
            }),
        )
        .await;
    let (code, out, _) = world.run(&["status"]);
    assert_eq!(code, 0);
    assert!(
        out.contains(&format!("LnsCluster  {}/edge\n", world.namespace)),
        "{out}"
    );
    let row = out
        .lines()
        .find(|line| line.starts_with("Stalled"))
        .unwrap();
    assert!(
        row.contains("True") && row.contains("NoNodes") && row.ends_with("no node has it"),
        "{row}"
    );
    let (code, out, _) = world.run(&["status", "-o", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["lnsd"]), (0, &Value::Null));
    assert_eq!(
        told["lnsCluster"]["status"]["conditions"][0]["reason"],
        "NoNodes"
    );
    // What only a member knows is not made up.
    let (code, out, errors) = world.run(&["sessions"]);
    assert_eq!((code, &*out), (1, ""));
    assert!(
        errors.contains("kubectl lns status") && errors.lines().count() == 1,
        "{errors}"
    );
}

async fn which_cluster_is_meant_must_be_clear(world: &World) {
    let (code, _, errors) = world.run(&["status"]);
    assert_eq!(code, 2);
    assert!(errors.contains("name another one with -n"), "{errors}");
    world.cluster("edge", &json!({})).await;
    world.cluster("rim", &json!({})).await;
    let (code, _, errors) = world.run(&["status"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("(edge, rim): say which with --cluster"),
        "{errors}"
    );
    let (code, out, _) = world.run(&["status", "--cluster", "rim"]);
    assert!(code == 0 && out.contains("/rim"), "{out}");
    let (code, _, errors) = world.run(&["status", "--cluster", "core"]);
    assert!(
        code == 2 && errors.contains("there is edge, rim"),
        "{errors}"
    );
}

/// The API server finds no kubelet at the pod's node.
async fn a_member_that_cannot_be_reached_is_one_line(world: &World) {
    world.cluster("edge", &json!({})).await;
    world.node("a").await;
    world.member("edge", "a").await;
    let (code, out, errors) = world.run(&["sessions"]);
    assert_eq!((code, &*out), (1, ""), "{errors}");
    assert!(
        errors.starts_with("kubectl-lns: running lnsd in edge-a on "),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
