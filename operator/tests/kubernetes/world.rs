//! The API server of a run, a namespace and nodes of it for each test, and operators that run there.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, Patch,
    PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use lns_cluster::NodeName;
use lns_lease::{ClusterName, LeaseName};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long something may take that is under way.
const PATIENCE: Duration = Duration::from_secs(120);

const FULL: &str = include_str!("../../../crds/examples/full.yaml");

/// An API server that `e2e/kubernetes/apiserver` started.
#[derive(Clone)]
pub(crate) struct Server {
    kubeconfig: Kubeconfig,
    folder: PathBuf,
}

/// A test's own part of it.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    kubeconfig: PathBuf,
    folder: TempDir,
    /// Where the example keeps its records, if that is not as it says.
    store: Mutex<Option<String>>,
}

/// An operator that runs.
pub(crate) struct Operator {
    child: Child,
    /// Where it answers, on 127.0.0.1.
    pub(crate) port: u16,
}

impl Server {
    /// None: the run has none.
    pub(crate) fn of_run() -> Result<Option<Self>, String> {
        let Some(folder) = std::env::var_os("LNS_APISERVER") else {
            return Ok(None);
        };
        let folder = PathBuf::from(folder);
        let kubeconfig = Kubeconfig::read_from(folder.join("kubeconfig"));
        let kubeconfig = kubeconfig.map_err(|error| {
            let folder = folder.display();
            format!(
                "LNS_APISERVER is \"{folder}\", where no API server runs ({error}): start one there with \
                 \"e2e/kubernetes/apiserver up {folder}\", or unset it"
            )
        })?;
        Ok(Some(Self { kubeconfig, folder }))
    }
}

impl World {
    pub(crate) async fn new(server: &Server, name: &str) -> Self {
        let options = KubeConfigOptions::default();
        let admin = Config::from_custom_kubeconfig(server.kubeconfig.clone(), &options)
            .await
            .unwrap();
        let client = Client::try_from(admin).unwrap();
        let initials: String = name
            .split('_')
            .filter_map(|word| word.chars().next())
            .collect();
        let namespace = format!("p{initials}-{}", std::process::id());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Self {
            client,
            namespace,
            kubeconfig: server.folder.join("kubeconfig"),
            folder: tempfile::tempdir().unwrap(),
            store: Mutex::default(),
        }
    }

    /// From now on the example keeps its records there.
    pub(crate) fn keep_records_in(&self, url: &str) {
        *self.store.lock().unwrap() = Some(url.to_owned());
    }

    /// How the API server is reached.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs an operator whose members have this image.
    pub(crate) fn operator(&self, image: &str) -> Operator {
        self.replica(image, "one")
    }

    /// Runs one of several.
    pub(crate) fn replica(&self, image: &str, name: &str) -> Operator {
        let settings = self.folder.path().join("dataplane.yaml");
        std::fs::write(&settings, format!("image: {image}\n")).unwrap();
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_lns-operator"))
            .args([
                "run",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--replica",
                name,
                "--namespace",
                &self.namespace,
            ])
            .arg("--dataplane")
            .arg(&settings)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .env("RUST_LOG", "info")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Operator { child, port }
    }

    /// A node with the labels of this test.
    pub(crate) async fn node(&self, name: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node =
            json!({ "metadata": { "name": self.node_name(name), "labels": self.selector() } });
        let node: Node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({ "status": { "conditions": [{
            "type": "Ready", "status": "True", "reason": "Test", "message": "by hand",
        }] } });
        let name = self.node_name(name);
        nodes
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// Nothing new is put on a node, or is again.
    pub(crate) async fn cordon(&self, node: &str, is_cordoned: bool) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let spec = json!({ "spec": { "unschedulable": is_cordoned } });
        let how = PatchParams::default();
        let node = self.node_name(node);
        nodes.patch(&node, &how, &Patch::Merge(spec)).await.unwrap();
    }

    /// A member says something more in its Lease.
    pub(crate) async fn say(&self, cluster: &str, node: &str, name: &str, text: &str) {
        let lease = self.lease_of(cluster, node);
        let key = format!("kubelns.io/{name}");
        let said = json!({ "metadata": { "annotations": { key: text } } });
        self.merge("Lease", &lease, said).await;
    }

    /// The name of a node's Lease.
    pub(crate) fn lease_of(&self, cluster: &str, node: &str) -> String {
        let cluster = ClusterName::new(cluster).unwrap();
        let node = NodeName::new(&self.node_name(node)).unwrap();
        LeaseName::node(&cluster, &node).as_str().to_owned()
    }

    /// A pod serves nobody any more.
    pub(crate) async fn unready(&self, pod: &str) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let status =
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
        let how = PatchParams::default();
        pods.patch_status(pod, &how, &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// All pods end, as their kubelets would have them.
    pub(crate) async fn end_pods(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        for pod in self.pods().await {
            let at_once = DeleteParams::default().grace_period(0);
            let _gone = pods.delete(&pod.name_any(), &at_once).await;
        }
    }

    /// Waits until a pod has this label, or has it no more.
    pub(crate) async fn until_pod(&self, pod: &str, label: &str, text: Option<&str>) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let pods = self.pods().await;
            let pod = pods.iter().find(|it| it.name_any() == pod).unwrap();
            if pod.labels().get(label).map(String::as_str) == text {
                return;
            }
            assert!(Instant::now() < give_up, "{:?}", pod.labels());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nodes belong to no namespace.
    pub(crate) fn node_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    pub(crate) fn selector(&self) -> Value {
        json!({ "test": self.namespace })
    }

    /// The objects of the full example, of the cluster `name` on this test's nodes.
    pub(crate) fn example(&self, name: &str) -> Vec<Value> {
        let mut all: Vec<Value> = serde_saphyr::from_multiple(FULL).unwrap();
        for object in &mut all {
            object["metadata"]["namespace"] = json!(self.namespace);
            if object["kind"] == "LnsCluster" {
                object["metadata"]["name"] = json!(name);
                object["spec"]["nodeSelector"] = self.selector();
                if let Some(url) = &*self.store.lock().unwrap() {
                    object["spec"]["store"] =
                        json!({ "redis": { "url": url, "durability": "Single" } });
                }
            }
            if object["kind"] == "SessionPolicy" {
                object["spec"]["clusterRefs"] = json!([{ "name": name }]);
            }
        }
        all
    }

    /// Applies objects of the example.
    pub(crate) async fn apply(&self, objects: &[Value]) {
        for object in objects {
            self.apply_one(object).await.unwrap();
        }
    }

    pub(crate) async fn apply_one(&self, object: &Value) -> Result<DynamicObject, kube::Error> {
        let (kind, name) = (
            object["kind"].as_str().unwrap(),
            object["metadata"]["name"].as_str().unwrap(),
        );
        let how = PatchParams::apply("e2e").force();
        self.objects(kind)
            .patch(name, &how, &Patch::Apply(object))
            .await
    }

    pub(crate) fn objects(&self, kind: &str) -> Api<DynamicObject> {
        let (group, version, plural) = match kind {
            "LnsCluster" => ("kubelns.io", "v1alpha1", "lnsclusters"),
            "SessionPolicy" => ("kubelns.io", "v1alpha1", "sessionpolicies"),
            "Secret" => ("", "v1", "secrets"),
            "Lease" => ("coordination.k8s.io", "v1", "leases"),
            "DaemonSet" => ("apps", "v1", "daemonsets"),
            "Role" => ("rbac.authorization.k8s.io", "v1", "roles"),
            "Event" => ("events.k8s.io", "v1", "events"),
            other => panic!("{other}"),
        };
        let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        plural.clone_into(&mut resource.plural);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Value {
        let object = self.objects(kind).get_opt(name).await.unwrap();
        object.map_or(Value::Null, |object| serde_json::to_value(object).unwrap())
    }

    pub(crate) async fn merge(&self, kind: &str, name: &str, patch: Value) {
        let how = PatchParams::default();
        self.objects(kind)
            .patch(name, &how, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub(crate) async fn delete_secret(&self, name: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// What a `DaemonSet` controller, a kubelet and a member do on a node: a pod of the template that there is now, ready;
    /// the member's Lease says that it has everything.
    pub(crate) async fn member(&self, cluster: &str, node: &str) {
        let set = self.get("DaemonSet", &format!("{cluster}-lnsd")).await;
        let template = &set["spec"]["template"];
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut spec = template["spec"].clone();
        spec["nodeName"] = json!(self.node_name(node));
        // Nobody is there whom a pod could keep waiting.
        spec["terminationGracePeriodSeconds"] = json!(0);
        let name = format!("{cluster}-{node}");
        let pod = json!({
            "metadata": { "name": name, "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"] },
            "spec": spec,
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(ready))
            .await
            .unwrap();
        self.announce(cluster, node, &self.digest(cluster).await)
            .await;
    }

    /// Which state of its objects a cluster is in.
    pub(crate) async fn digest(&self, cluster: &str) -> String {
        let object = self.get("LnsCluster", cluster).await;
        let all = self
            .objects("SessionPolicy")
            .list(&ListParams::default())
            .await
            .unwrap();
        let policies: Vec<Value> = all
            .into_iter()
            .map(|it| serde_json::to_value(it).unwrap())
            .collect();
        let of = policies
            .into_iter()
            .filter(|policy| lns_api::is_for(policy, cluster));
        lns_api::digest(&object, &of.collect::<Vec<_>>())
    }

    /// A node says in its Lease that it has this in force.
    pub(crate) async fn announce(&self, cluster: &str, node: &str, objects: &str) {
        let node = self.node_name(node);
        let name = LeaseName::node(
            &ClusterName::new(cluster).unwrap(),
            &NodeName::new(&node).unwrap(),
        );
        let annotations = json!({
            "kubelns.io/node": node,
            "kubelns.io/ready": "true",
            "kubelns.io/version": "test",
            "kubelns.io/objects": objects,
            "kubelns.io/store": "synced",
            "kubelns.io/sessions": "120",
            "kubelns.io/format": "1",
        });
        self.lease(
            name.as_str(),
            cluster,
            "node",
            &annotations,
            &format!("{node}/1"),
        )
        .await;
    }

    /// A node is master.
    pub(crate) async fn elect(&self, cluster: &str, node: &str, epoch: u64) {
        let name = LeaseName::master(&ClusterName::new(cluster).unwrap());
        let holder = format!("{}/pod/boot/nonce", self.node_name(node));
        let annotations = json!({ "kubelns.io/epoch": epoch.to_string() });
        self.lease(name.as_str(), cluster, "master", &annotations, &holder)
            .await;
    }

    async fn lease(
        &self,
        name: &str,
        cluster: &str,
        kind: &str,
        annotations: &Value,
        holder: &str,
    ) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "labels": { "kubelns.io/cluster": cluster, "kubelns.io/lease": kind },
                "annotations": annotations,
            },
            // So long that nothing lapses while a test lasts.
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 600, "acquireTime": "2026-11-27T20:00:00.000000Z" },
        });
        let how = PatchParams::apply("member").force();
        leases
            .patch(name, &how, &Patch::Apply(&lease))
            .await
            .unwrap();
    }

    /// Something else is in the Lease of a node.
    pub(crate) async fn merge_node_lease(&self, cluster: &str, node: &str, patch: Value) {
        let name = LeaseName::node(
            &ClusterName::new(cluster).unwrap(),
            &NodeName::new(&self.node_name(node)).unwrap(),
        );
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        leases
            .patch(name.as_str(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// A holder renews a Lease.
    pub(crate) async fn merge_lease(&self, name: &str) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let now = k8s_openapi::jiff::Timestamp::now();
        let renewed = json!({
            "metadata": { "annotations": { "kubelns.io/serial": now.as_nanosecond().to_string() } },
            "spec": { "renewTime": format!("{now:.6}") },
        });
        leases
            .patch(name, &PatchParams::default(), &Patch::Merge(renewed))
            .await
            .unwrap();
    }

    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        pods.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until an object is as it should be.
    pub(crate) async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let object = self.get(kind, name).await;
            if holds(&object) {
                return object;
            }
            assert!(
                Instant::now() < give_up,
                "{what}: {}",
                serde_json::to_string_pretty(&object["status"]).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn end(self) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let labels = ListParams::default().labels(&format!("test={}", self.namespace));
        let _gone = nodes
            .delete_collection(&DeleteParams::default(), &labels)
            .await;
        let namespaces: Api<Namespace> = Api::all(self.client);
        let _gone = namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await;
    }
}

impl Operator {
    /// Ends it as Kubernetes does, and waits.
    pub(crate) fn end(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(told.unwrap().success());
    }

    /// Whether it is still the process that was started.
    pub(crate) fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    /// How it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

/// A port that nobody has; whoever takes it does so at once.
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap().port()
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a condition of an object says.
pub(crate) fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|it| it["type"] == kind);
    found.cloned().unwrap_or(Value::Null)
}

/// Whether a condition says this, for this reason.
pub(crate) fn says(object: &Value, kind: &str, status: &str, reason: &str) -> bool {
    let condition = condition(object, kind);
    condition["status"] == status && condition["reason"] == reason
}

/// The names of pods.
pub(crate) fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(ResourceExt::name_any).collect()
}
