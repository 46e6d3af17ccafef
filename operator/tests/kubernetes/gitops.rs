//! What `GitOps` tools make of our objects, by the tools' own libraries: kstatus, by which Flux and kubectl judge, and
//! the health check of Argo CD with `charts/gitops/argocd/health.lua`. The program that asks them is
//! `e2e/kubernetes/go/health`; it is told where by `LNS_HEALTH`, or built by `e2e/kubernetes/build`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::clusters::{is_ready, serving};
use crate::world::World;

/// From what the members do to what tools say; and from a bad spec. The machine of a test may be busy.
const READY: Duration = Duration::from_secs(5);
const FAILED: Duration = Duration::from_secs(30);
const BUSY: u32 = 4;

/// As whom a `GitOps` tool applies.
const TOOL: &str = "kustomize-controller";

/// A program that follows an object.
struct Health {
    child: Child,
    said: PathBuf,
}

impl Health {
    fn follow(world: &World, object: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let said = world.file(&object.replace('/', "-"));
        let child = Command::new(program(root))
            .args(["--namespace", &world.namespace, "--patience", "4m"])
            .arg("--kubeconfig")
            .arg(world.kubeconfig())
            .arg("--lua")
            .arg(root.join("charts/gitops/argocd/health.lua"))
            .arg(object)
            .stdout(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { child, said }
    }

    /// Waits until both say this, and says how long that was.
    async fn until(&mut self, kstatus: &str, argo: &str, patience: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.said).unwrap();
            let last = text.lines().last().unwrap_or_default().to_owned();
            let mut words = last.split(' ').skip(2);
            if words.next() == Some(kstatus) && words.next() == Some(argo) {
                println!("{:?}: {last}", began.elapsed());
                return began.elapsed();
            }
            assert!(
                began.elapsed() < patience && self.child.try_wait().unwrap().is_none(),
                "not {kstatus} and {argo} within {patience:?}:\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What was said at any time: kstatus, and Argo CD.
    fn words(&self) -> BTreeSet<(String, String)> {
        let text = std::fs::read_to_string(&self.said).unwrap();
        let pairs = text.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(2).map(str::to_owned);
            Some((words.next()?, words.next()?))
        });
        pairs.collect()
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn program(root: &Path) -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = std::env::var_os("LNS_HEALTH") {
            return program.into();
        }
        let mut build = Command::new(root.join("e2e/kubernetes/build"));
        let outcome = build
            .arg("health")
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(outcome.status.success(), "health cannot be outcome");
        let folder = String::from_utf8(outcome.stdout).unwrap();
        Path::new(folder.trim()).join("health")
    })
}

pub(crate) async fn gitops_tools_see_a_cluster_come_up_stand_still_and_go(world: &World) {
    world.apply(&world.example("edge")).await;
    let mut health = Health::follow(world, "lnsclusters/edge");
    health
        .until("InProgress", "Progressing", READY * BUSY)
        .await;
    // Nobody has looked at it, and nobody calls it healthy.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        health.words(),
        BTreeSet::from([("InProgress".to_owned(), "Progressing".to_owned())])
    );
    let operator = serving(world, &["a", "b"], "a").await;
    let took = health.until("Current", "Healthy", READY * BUSY).await;
    assert!(took < READY * BUSY, "{took:?}");
    let paused =
        |value: Value| json!({ "metadata": { "annotations": { "kubelns.io/paused": value } } });
    world
        .merge("LnsCluster", "edge", paused(json!("true")))
        .await;
    health.until("Current", "Suspended", READY * BUSY).await;
    world.merge("LnsCluster", "edge", paused(Value::Null)).await;
    health.until("Current", "Healthy", READY * BUSY).await;
    // As long as somebody has something to clean up, it is on its way out.
    let finalizers = |value: Value| json!({ "metadata": { "finalizers": value } });
    world
        .merge(
            "LnsCluster",
            "edge",
            finalizers(json!(["example.com/test"])),
        )
        .await;
    let clusters = world.objects("LnsCluster");
    clusters
        .delete("edge", &DeleteParams::default())
        .await
        .unwrap();
    health
        .until("Terminating", "Progressing", READY * BUSY)
        .await;
    world
        .merge("LnsCluster", "edge", finalizers(Value::Null))
        .await;
    health.until("NotFound", "Missing", READY * BUSY).await;
    operator.end();
}

pub(crate) async fn gitops_tools_see_a_bad_spec_fail_and_a_good_one_recover(world: &World) {
    let _operator = serving(world, &["a"], "a").await;
    let mut health = Health::follow(world, "lnsclusters/edge");
    health.until("Current", "Healthy", READY * BUSY).await;
    // What the API server cannot check: pools that overlap.
    let good = world.get("LnsCluster", "edge").await["spec"]["pools"].clone();
    let pool = json!({ "name": "more", "localAddress": "100.64.0.1", "prefixes": [{ "cidr": "100.64.1.0/24" }] });
    let mut bad = good.clone();
    bad.as_array_mut().unwrap().push(pool);
    let pools = |pools: &Value| json!({ "spec": { "pools": pools } });
    world.merge("LnsCluster", "edge", pools(&bad)).await;
    health.until("Failed", "Degraded", FAILED).await;
    world.merge("LnsCluster", "edge", pools(&good)).await;
    // The members take in what is in force again, and say so.
    world
        .announce("edge", "a", &world.digest("edge").await)
        .await;
    health.until("Current", "Healthy", READY * BUSY).await;
}

/// A tool that applies what is there already changes nothing, sees no difference, and owns no field that the operator
/// owns.
pub(crate) async fn what_a_gitops_tool_applies_twice_is_no_difference_and_no_fight(world: &World) {
    let objects = world.example("edge");
    for object in &objects {
        applied(world, object, false).await;
    }
    let _operator = serving_as_it_is(world).await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    for object in &objects {
        let (kind, name) = (
            object["kind"].as_str().unwrap(),
            object["metadata"]["name"].as_str().unwrap(),
        );
        let before = world.get(kind, name).await;
        // As `flux diff` and Argo CD's server-side diff ask.
        let dry = applied(world, object, true).await;
        assert_eq!(plain(&dry), plain(&before), "{kind} {name}: a difference");
        let after = applied(world, object, false).await;
        assert_eq!(
            after["metadata"]["generation"], before["metadata"]["generation"],
            "{kind} {name}"
        );
        let shared = shared(&after);
        assert!(shared.is_empty(), "{kind} {name}: fought over: {shared:?}");
    }
}

/// Applies with the fields of a tool, by no force: a field that another manager owns with another value is refused.
async fn applied(world: &World, object: &Value, dry: bool) -> Value {
    let (kind, name) = (
        object["kind"].as_str().unwrap(),
        object["metadata"]["name"].as_str().unwrap(),
    );
    let how = PatchParams {
        dry_run: dry,
        field_manager: Some(TOOL.to_owned()),
        ..PatchParams::default()
    };
    let applied = world
        .objects(kind)
        .patch(name, &how, &Patch::Apply(object))
        .await;
    serde_json::to_value(applied.unwrap()).unwrap()
}

/// Members of a cluster that somebody else has applied.
async fn serving_as_it_is(world: &World) -> crate::world::Operator {
    world.node("a").await;
    let operator = world.operator("registry.example/lns:1");
    let made = |it: &Value| !it.is_null();
    world
        .until("DaemonSet", "edge-lnsd", "it is made", made)
        .await;
    world.member("edge", "a").await;
    world.elect("edge", "a", 1).await;
    operator
}

/// What of an object a tool compares.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("managedFields");
    metadata.remove("resourceVersion");
    object
}

/// The fields that the tool owns and somebody else, too.
fn shared(object: &Value) -> Vec<String> {
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    let of = |is_tool: bool| {
        let mut fields = BTreeSet::new();
        for entry in managers
            .iter()
            .filter(|it| (it["manager"] == TOOL) == is_tool)
        {
            leaves(&entry["fieldsV1"], &mut String::new(), &mut fields);
        }
        fields
    };
    assert!(!of(true).is_empty(), "the tool owns nothing");
    of(true).intersection(&of(false)).cloned().collect()
}

fn leaves(fields: &Value, path: &mut String, found: &mut BTreeSet<String>) {
    let Some(map) = fields.as_object().filter(|map| !map.is_empty()) else {
        found.insert(path.clone());
        return;
    };
    for (key, inner) in map {
        let length = path.len();
        path.push('/');
        path.push_str(key);
        leaves(inner, path, found);
        path.truncate(length);
    }
}

/// What `helm test` runs.
async fn verify(world: &World, patience: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lns-operator"));
    command
        .args(["verify", "--namespace", &world.namespace])
        .args(["--patience-seconds", patience])
        .arg("--kubeconfig")
        .arg(world.kubeconfig());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

pub(crate) async fn what_is_verified_is_that_all_mean_the_same_epoch(world: &World) {
    let operator = serving(world, &["a", "b"], "a").await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    let (is_well, text) = verify(world, "30").await;
    let wanted = format!("edge: master {}, epoch 1, 2 members", world.node_name("a"));
    assert!(is_well && text.contains(&wanted), "{text}");
    let loaded =
        |mark: &str| json!({ "metadata": { "annotations": { "kubelns.io/loaded": mark } } });
    world.merge_node_lease("edge", "b", loaded("9-4")).await;
    let (is_well, text) = verify(world, "2").await;
    let told = format!("{} what epoch 9 wrote", world.node_name("b"));
    assert!(!is_well && text.contains(&told), "{text}");
    world.merge_node_lease("edge", "b", loaded("1-4")).await;
    let (is_well, text) = verify(world, "30").await;
    assert!(is_well, "{text}");
    operator.end();
    let (is_well, text) = verify(world, "2").await;
    assert!(
        !is_well && text.contains("nobody renews the Lease lns-operator"),
        "{text}"
    );
}
