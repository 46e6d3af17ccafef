//! What becomes of a cluster that is deleted, and of nodes that are taken out of service.

use std::process::{Child, Command, Stdio};

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::clusters::{is_ready, serving};
use crate::world::{World, condition, says};

fn is_gone(object: &Value) -> bool {
    object.is_null()
}

async fn delete(world: &World) {
    let clusters = world.objects("LnsCluster");
    clusters
        .delete("edge", &DeleteParams::background())
        .await
        .unwrap();
}

async fn protect(world: &World, is_protected: bool) {
    let spec = json!({ "spec": { "deletionProtection": is_protected } });
    world.merge("LnsCluster", "edge", spec).await;
}

/// There is no kubelet that would end pods.
async fn end_pods(world: &World) {
    let gone = |it: &Value| it.is_null();
    world
        .until("DaemonSet", "edge-lnsd", "it is deleted", gone)
        .await;
    world.end_pods().await;
}

pub(crate) async fn a_cluster_with_sessions_is_kept_until_somebody_lets_it_go(world: &World) {
    let store = Redis::start(world);
    world.keep_records_in(&store.url());
    let _operator = serving(world, &["a", "b"], "a").await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    store.put("{lns:NS/edge}:s/1/1", world);
    delete(world).await;
    let kept = |it: &Value| says(it, "Stalled", "True", "DeletionProtected");
    let object = world.until("LnsCluster", "edge", "it is kept", kept).await;
    let message = condition(&object, "Stalled")["message"].to_string();
    assert!(message.contains("120 sessions"), "{message}");
    assert_ne!(world.get("DaemonSet", "edge-lnsd").await, Value::Null);
    assert_eq!(world.pods().await.len(), 2);
    // What somebody changes meanwhile is still put back.
    let sets = world.objects("DaemonSet");
    sets.delete("edge-lnsd", &DeleteParams::default())
        .await
        .unwrap();
    world
        .until("DaemonSet", "edge-lnsd", "it is made again", |it| {
            !it.is_null()
        })
        .await;
    assert_eq!(store.keys(world), 1);
    protect(world, false).await;
    end_pods(world).await;
    world
        .until("LnsCluster", "edge", "it is gone", is_gone)
        .await;
    assert_eq!(store.keys(world), 0, "its records are gone");
    assert_eq!(world.get("Role", "edge-lnsd").await, Value::Null);
    assert_eq!(world.get("Lease", "edge.master").await, Value::Null);
}

pub(crate) async fn a_cluster_whose_store_is_away_ends_all_the_same_and_it_is_told(world: &World) {
    world.keep_records_in("redis://127.0.0.1:1");
    let _operator = serving(world, &["a"], "a").await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    protect(world, false).await;
    delete(world).await;
    end_pods(world).await;
    world
        .until("LnsCluster", "edge", "it is gone", is_gone)
        .await;
    let all = kube::api::ListParams::default();
    let events = world.objects("Event").list(&all).await.unwrap();
    let told = events
        .iter()
        .find(|event| event.data["reason"] == "StoreNotCleaned")
        .unwrap();
    let note = told.data["note"].as_str().unwrap();
    assert!(
        note.contains(&format!("{{lns:{}/edge}}:*", world.namespace)),
        "{note}"
    );
}

pub(crate) async fn a_cordoned_node_is_drained_while_another_one_serves(world: &World) {
    let _operator = serving(world, &["a", "b"], "a").await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    let lease = world.lease_of("edge", "b");
    let asked = |it: &Value| it["metadata"]["annotations"]["kubelns.io/drain"] == "yes";
    world.cordon("b", true).await;
    world.until("Lease", &lease, "it is asked", asked).await;
    world.say("edge", "b", "aside", "draining").await;
    let draining = |it: &Value| says(it, "Degraded", "True", "Draining");
    world
        .until("LnsCluster", "edge", "it is being drained", draining)
        .await;
    world.say("edge", "b", "aside", "drained").await;
    let drained = |it: &Value| says(it, "Degraded", "True", "Drained") && is_ready(it);
    world
        .until("LnsCluster", "edge", "it is drained", drained)
        .await;
    world
        .until_pod("edge-b", "kubelns.io/drained", Some("true"))
        .await;
    // Without another one that serves nobody is drained.
    world.cordon("a", true).await;
    let not_asked = |it: &Value| it["metadata"]["annotations"]["kubelns.io/drain"].is_null();
    world
        .until("Lease", &lease, "it is asked no more", not_asked)
        .await;
    world.cordon("a", false).await;
    world
        .until("Lease", &lease, "it is asked again", asked)
        .await;
    world.cordon("b", false).await;
    world
        .until("Lease", &lease, "it is asked no more", not_asked)
        .await;
    world.say("edge", "b", "aside", "no").await;
    world.until_pod("edge-b", "kubelns.io/drained", None).await;
    world
        .until("LnsCluster", "edge", "it is whole", |it| {
            says(it, "Degraded", "False", "Whole")
        })
        .await;
}

pub(crate) async fn who_is_fenced_is_told_of_and_nobody_waits_for_it(world: &World) {
    let _operator = serving(world, &["a", "b"], "a").await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    let fence =
        |text: &str| json!({ "metadata": { "annotations": { "kubelns.io/fenced": text } } });
    let node = world.node_name("b");
    let list = serde_json::to_string(&[&node]).unwrap();
    world.merge("LnsCluster", "edge", fence(&list)).await;
    world.unready("edge-b").await;
    let fenced = |it: &Value| says(it, "Degraded", "True", "Fenced") && is_ready(it);
    let object = world
        .until("LnsCluster", "edge", "it is told of", fenced)
        .await;
    assert!(
        condition(&object, "Degraded")["message"]
            .as_str()
            .unwrap()
            .contains(&node)
    );
    world.merge("LnsCluster", "edge", fence("no list")).await;
    let misread = |it: &Value| says(it, "Stalled", "True", "Invalid");
    let object = world
        .until("LnsCluster", "edge", "it cannot be read", misread)
        .await;
    assert!(
        condition(&object, "Stalled")["message"]
            .as_str()
            .unwrap()
            .contains("kubelns.io/fenced")
    );
}

/// A store that is a process of this test.
struct Redis {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Redis {
    fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let child = Command::new("redis-server")
            .args(["--appendonly", "yes", "--save", "", "--bind", "127.0.0.1"])
            .arg("--port")
            .arg(port.to_string())
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self {
            child,
            port,
            _folder: folder,
        };
        let answers = || redis.ask(&["PING"]).trim() == "PONG";
        for _ in 0..200 {
            if answers() {
                return redis;
            }
            std::thread::sleep(core::time::Duration::from_millis(50));
        }
        panic!("Redis does not answer, for {}", world.namespace);
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn ask(&self, words: &[&str]) -> String {
        let answer = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }

    /// A record, as a master would have written it.
    fn put(&self, key: &str, world: &World) {
        let key = key.replace("NS", &world.namespace);
        assert_eq!(self.ask(&["SET", &key, "1-2 x"]).trim(), "OK");
    }

    fn keys(&self, world: &World) -> usize {
        let pattern = format!("{{lns:{}/edge}}:*", world.namespace);
        self.ask(&["--scan", "--pattern", &pattern]).lines().count()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
