//! Everything that the stories need, running: Kubernetes, what the LNS stands on, the operator, a cluster of three,
//! the router.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::frr::Frr;
use super::kind::{CONTROL_PLANE, Kind, NAMESPACE, fault, node_of, place_of, script, text};
use super::objects;
use super::outside::Outside;
use crate::cluster::capture::Capture;
use crate::cluster::flows;
use crate::cluster::network::{NAS, Place};
use crate::cluster::objects::USERS;
use crate::cluster::router::Router;
use crate::cluster::scene::{Ground, Scenery};
use crate::net::Namespace;
use crate::radius::{self, Entry, Server};

/// A story of nodes of a Kubernetes is told with this.
pub(crate) type Scene = Scenery<Bed>;

/// How long what must come may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The cluster, as kubectl knows it.
pub(crate) const CLUSTER: &str = "lnscluster/edge";
/// The Deployment of the operator.
pub(crate) const OPERATOR: &str = "deployment/lns-operator";
/// The pods of members.
pub(crate) const MEMBERS: &str = "app.kubernetes.io/name=lnsd";
/// The image of the product, without its tag.
pub(crate) const IMAGE: &str = "localhost/kubelns/lns";

/// What the stories stand on.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The router's probes. It ends before its namespace does.
    pub(crate) router: Router,
    _frr: Frr,
    /// LACs, router, core.
    pub(crate) outside: Outside,
    /// Kubernetes.
    pub(crate) kind: Kind,
    /// What a story wants to be told of it, beside what all tell.
    pub(crate) notes: Vec<String>,
}

impl Bed {
    /// Brings up Kubernetes with all images, and everything but the operator.
    pub(crate) fn start(is_kept: bool) -> Result<Self> {
        let began = Instant::now();
        let (kind, archives) = std::thread::scope(|scope| {
            let images = scope.spawn(images);
            let kind = Kind::up(is_kept);
            let images = images.join().map_err(|_| anyhow!("the images panicked"));
            (kind, images)
        });
        let (kind, archives) = (kind?, archives??);
        clear(&kind)?;
        let archives: Vec<_> = archives.lines().collect();
        script("load", &archives)?;
        let outside = Outside::create(&kind)?;
        flows::serve(&outside.core)?;
        let frr = Frr::start(&outside.router)?;
        let router = Router::along(&outside.router, Outside::ways(frr.setter()))?;
        let bed = Self {
            router,
            _frr: frr,
            outside,
            kind,
            notes: vec![format!("{} s", began.elapsed().as_secs())],
        };
        bed.start_servers()?;
        Ok(bed)
    }

    fn start_servers(&self) -> Result<()> {
        let folder = self.kind.path(CONTROL_PLANE, objects::RADIUS)?;
        std::fs::create_dir_all(&folder)?;
        // What an earlier run was told.
        std::fs::write(folder.join("detail"), "")?;
        let server = Server {
            client: NAS,
            ..Server::new(0, USERS)
        };
        server.write(&folder)?;
        self.kind.apply(&objects::namespace())?;
        self.kind.apply(&objects::servers())?;
        let all = ["wait", "--for=condition=Available", "deployment", "--all"];
        self.kind
            .kubectl(&[&all[..], &["--timeout=120s"]].concat())?;
        for place in Place::ALL {
            let label = format!("{}=", objects::LABEL);
            self.kind
                .kubectl(&["label", "--overwrite", "node", &node_of(place), &label])?;
        }
        Ok(())
    }

    /// Installs the charts and the cluster; gives how long it took until it was ready.
    pub(crate) fn install(&self) -> Result<Duration> {
        let began = Instant::now();
        self.kind
            .helm(&["install", "lns-crds", "charts/lns-crds"])?;
        let repository = format!("image.repository={IMAGE}");
        self.kind.helm(&[
            "install",
            "lns",
            "charts/lns",
            "--set",
            &repository,
            "--set",
            "image.tag=e2e",
        ])?;
        self.kind.apply(&objects::cluster()?)?;
        self.wait_ready(PATIENCE)?;
        Ok(began.elapsed())
    }

    /// Upgrades the release of the operator: the values that it has, and these.
    pub(crate) fn upgrade(&self, values: &[&str]) -> Result<()> {
        let mut arguments = vec!["upgrade", "lns", "charts/lns", "--reuse-values"];
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.kind.helm(&arguments)?;
        Ok(())
    }

    /// The revision of the release of the operator, for [`Self::rollback`].
    pub(crate) fn revision(&self) -> Result<String> {
        let history = ["history", "lns", "--max", "1", "-o", "json"];
        let history: Value = serde_json::from_str(&self.kind.helm(&history)?)?;
        let revision = history.pointer("/0/revision").map(ToString::to_string);
        revision.context("a release without a revision")
    }

    /// Has the release as it was.
    pub(crate) fn rollback(&self, revision: &str) -> Result<()> {
        self.kind.helm(&["rollback", "lns", revision])?;
        Ok(())
    }

    /// Has so many replicas of the operator, and waits for them.
    pub(crate) fn scale_operator(&self, replicas: u8) -> Result<()> {
        self.kind
            .kubectl(&["scale", OPERATOR, &format!("--replicas={replicas}")])?;
        self.kind.wait(PATIENCE, "the operator's replicas", |_| {
            Ok(self.operator_pods()?.len() == usize::from(replicas))
        })
    }

    /// The pods of the operator: name and uid.
    pub(crate) fn operator_pods(&self) -> Result<Vec<(String, String)>> {
        let selector = "app.kubernetes.io/name=lns-operator";
        let path = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        let text = self
            .kind
            .kubectl(&["get", "pods", "-l", selector, "-o", path])?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(name, uid)| (name.to_owned(), uid.to_owned()))
            .collect())
    }

    /// Waits until Kubernetes says that the cluster is ready, as it is now.
    pub(crate) fn wait_ready(&self, patience: Duration) -> Result<()> {
        self.kind.wait(patience, "the cluster is Ready", |kind| {
            let cluster = kind.get(&[CLUSTER])?;
            let seen = |path| cluster.pointer(path).cloned();
            ensure!(
                seen("/metadata/generation") == seen("/status/observedGeneration"),
                "nobody has looked at it"
            );
            let ready = condition(&cluster, "Ready")?;
            ensure!(ready.0 == "True", "{}: {}", ready.1, ready.2);
            Ok(true)
        })
    }

    /// The spec of the cluster, for [`Kind::replace_spec`].
    pub(crate) fn spec(&self) -> Result<Value> {
        let cluster = self.kind.get(&[CLUSTER])?;
        cluster
            .get("spec")
            .cloned()
            .context("a cluster without a spec")
    }

    /// A condition of the cluster: status, reason, message.
    pub(crate) fn condition(&self, name: &str) -> Result<(String, String, String)> {
        condition(&self.kind.get(&[CLUSTER])?, name)
    }

    /// The pod of the member on a node.
    pub(crate) fn pod(&self, place: Place) -> Result<Value> {
        let node = format!("spec.nodeName={}", node_of(place));
        let pods = self
            .kind
            .get(&["pod", "-l", MEMBERS, "--field-selector", &node])?;
        let pods = pods.pointer("/items").and_then(Value::as_array);
        let living = pods
            .into_iter()
            .flatten()
            .find(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        living
            .cloned()
            .with_context(|| format!("there is no pod on {}", node_of(place)))
    }

    /// The name of the pod of the member on a node.
    pub(crate) fn pod_name(&self, place: Place) -> Result<String> {
        let pod = self.pod(place)?;
        let name = pod.pointer("/metadata/name").and_then(Value::as_str);
        Ok(name.context("a pod without a name")?.to_owned())
    }

    /// What a command of `lnsd` says on a node.
    pub(crate) fn lnsd(&self, place: Place, command: &[&str]) -> Result<Value> {
        let name = self.pod_name(place)?;
        let program = ["exec", &name, "--", "/usr/local/bin/lnsd"];
        let text = self
            .kind
            .kubectl(&[&program[..], command, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("lnsd {command:?}"))
    }

    /// Who is master, as the cluster's status says.
    pub(crate) fn active(&self) -> Result<Place> {
        let cluster = self.kind.get(&[CLUSTER])?;
        let node = cluster.pointer("/status/active/node");
        let node = node.and_then(Value::as_str).context("nobody is active")?;
        place_of(node).with_context(|| format!("{node} is no node of ours"))
    }

    /// Has a story say something of itself.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn is_ending(&self) -> Result<bool> {
        let cluster = self.kind.get(&[CLUSTER])?;
        Ok(cluster.pointer("/metadata/deletionTimestamp").is_some())
    }

    fn start_nodes(&self) -> Result<()> {
        for place in Place::ALL {
            if self.kind.process(&node_of(place))?.is_none() {
                fault(place, "start")?;
                Outside::wire_node(&self.kind, place)?;
            }
        }
        Ok(())
    }

    fn keep_logs(&self) -> Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix("kl-kind-").tempdir()?;
        let keep = |name: &str, arguments: &[&str]| {
            let said = self.kind.kubectl(arguments);
            let said = said.unwrap_or_else(|error| format!("{error:#}"));
            std::fs::write(folder.path().join(name), said)
        };
        for place in Place::ALL {
            let Ok(name) = self.pod_name(place) else {
                continue;
            };
            keep(&node_of(place), &["logs", &name, "--tail=-1"])?;
            keep(
                &format!("{}-before", node_of(place)),
                &["logs", &name, "--tail=-1", "--previous"],
            )?;
        }
        keep(
            "operator",
            &["logs", OPERATOR, "--all-pods", "--prefix", "--tail=-1"],
        )?;
        keep(
            "pods",
            &["get", "pods,deployments,daemonsets,leases", "-o", "wide"],
        )?;
        keep("describe", &["describe", "pods"])?;
        keep("objects", &["get", "lns,spol,leases", "-o", "yaml"])?;
        keep("events", &["get", "events"])?;
        keep("nodes", &["get", "nodes", "-o", "wide"])?;
        Ok(folder.keep())
    }
}

impl Ground for Bed {
    fn lacs(&self) -> &[Namespace; 2] {
        &self.outside.lacs
    }

    fn core(&self) -> &Namespace {
        &self.outside.core
    }

    fn capture(&self) -> Result<Capture> {
        Capture::start(&self.outside.router, Outside::marks())
    }

    fn router(&self) -> &Router {
        &self.router
    }

    fn records_since(&self, place: u64) -> Result<(Vec<Entry>, u64)> {
        let detail = self.kind.path(CONTROL_PLANE, objects::RADIUS)?;
        radius::records_since(&detail.join("detail"), place)
    }

    fn recover(&mut self) -> Result<()> {
        self.start_nodes()?;
        // One that is on its way out serves still, and is never Ready again.
        if !self.is_ending()? {
            self.wait_ready(PATIENCE)?;
        }
        let master = self.router.wait_for(PATIENCE, &Place::ALL)?;
        // A master that dies before its store has everything is another fault, by which something may be lost.
        let mut degraded = Value::Null;
        self.kind.wait(PATIENCE, "records are stored", |_| {
            let answer = self.lnsd(master, &["status"])?;
            degraded = answer
                .pointer("/records/degraded")
                .cloned()
                .unwrap_or_default();
            Ok(degraded == json!(false))
        })
    }

    fn sessions(&self, master: Place) -> Result<u64> {
        let answer = self.lnsd(master, &["status"])?;
        let sessions = answer.get("sessions").and_then(Value::as_u64);
        sessions.context("a status without sessions")
    }

    fn attest<T>(&self, result: Result<T>) -> Result<T> {
        let Err(error) = result else { return result };
        let kept = self.keep_logs();
        let where_to = kept.map_or_else(
            |error| format!("and what all have said could not be kept: {error}"),
            |path| format!("what all have said is in {}", path.display()),
        );
        Err(anyhow!(
            "{error:#}\n    the router: {:?}\n    {where_to}",
            self.router.views().last()
        ))
    }
}

/// Makes all images, the product's of what was built together with this program; gives their archives.
fn images() -> Result<String> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    let target = target.context("this program is in no target folder")?;
    let mut all = text(
        Command::new("e2e/images")
            .arg("lns")
            .env("CARGO_TARGET_DIR", target),
    )?;
    for name in ["redis", "freeradius"] {
        let archive = format!("e2e/.cache/images/{name}.tar");
        let made_of = ["e2e/images", "e2e/oci.sh", "e2e/differential/build"];
        all += &if is_newer(&archive, &made_of) {
            archive + "\n"
        } else {
            text(Command::new("e2e/images").arg(name))?
        };
    }
    Ok(all)
}

/// Whether a file was made after all that it is made by.
fn is_newer(file: &str, made_of: &[&str]) -> bool {
    let made = |path: &str| std::fs::metadata(path).and_then(|it| it.modified());
    let Ok(at) = made(file) else { return false };
    made_of
        .iter()
        .all(|path| made(path).is_ok_and(|it| it < at))
}

/// Removes what an earlier run left in a cluster that was kept.
fn clear(kind: &Kind) -> Result<()> {
    let there = kind.kubectl(&[
        "get",
        "namespace",
        NAMESPACE,
        "--ignore-not-found",
        "-o",
        "name",
    ])?;
    if there.trim().is_empty() {
        return Ok(());
    }
    // The operator may be gone that would take the finalizer away.
    let end = json!({ "metadata": { "finalizers": null } });
    // Where the definitions are not there either, there is none.
    let clusters = kind.kubectl(&["get", "lns", "-o", "name"]);
    for name in clusters.unwrap_or_default().lines() {
        kind.kubectl(&["delete", name, "--wait=false"])?;
        kind.patch(name, &end).ok();
    }
    kind.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=120s"])?;
    for object in kind
        .kubectl(&["get", "crd,clusterrole,clusterrolebinding", "-o", "name"])?
        .lines()
    {
        if object.contains("kubelns") {
            kind.kubectl(&["delete", object])?;
        }
    }
    Ok(())
}

/// A condition of an object: status, reason, message.
pub(crate) fn condition(object: &Value, name: &str) -> Result<(String, String, String)> {
    let conditions = object.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    let mut conditions = conditions.filter(|it| it.get("type").is_some_and(|kind| kind == name));
    let found = conditions
        .next()
        .with_context(|| format!("there is no condition {name}"))?;
    let word = |key: &str| {
        let text = found.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    Ok((word("status"), word("reason"), word("message")))
}
