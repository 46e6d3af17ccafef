//! The API server of a run, a namespace and nodes of it for each test, and the program that runs there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lns_api::LnsCluster;
use serde_json::{Value, json};

const FULL: &str = include_str!("../../../crds/examples/full.yaml");

/// A test's own part of the API server.
pub(crate) struct World {
    pub(crate) namespace: String,
    client: Client,
    kubeconfig: PathBuf,
}

impl World {
    /// `server` is the folder of an API server that `e2e/kubernetes/apiserver` started.
    pub(crate) async fn new(server: &Path, name: &str) -> Self {
        let kubeconfig = server.join("kubeconfig");
        let read = Kubeconfig::read_from(&kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read, &options).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        let initials: String = name
            .split('_')
            .filter_map(|word| word.chars().next())
            .collect();
        let namespace = format!("k{initials}-{}", std::process::id());
        let object: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": namespace } })).unwrap();
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        // No controller makes it here, and no pod is taken without.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        let account = serde_json::from_value(json!({ "metadata": { "name": "default" } }));
        accounts
            .create(&PostParams::default(), &account.unwrap())
            .await
            .unwrap();
        Self {
            namespace,
            client,
            kubeconfig,
        }
    }

    /// The program, with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-lns"));
        command
            .args(arguments)
            .args(["-n", &self.namespace])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end: the exit code, and what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// The cluster of the full example, on this test's nodes.
    pub(crate) async fn cluster(&self, name: &str, annotations: &Value) {
        let mut all: Vec<Value> = serde_saphyr::from_multiple(FULL).unwrap();
        let mut cluster = all.swap_remove(0);
        cluster["metadata"] = json!({ "name": name, "annotations": annotations });
        cluster["spec"]["nodeSelector"] = json!({ "test": self.namespace });
        let cluster: DynamicObject = serde_json::from_value(cluster).unwrap();
        self.clusters()
            .create(&PostParams::default(), &cluster)
            .await
            .unwrap();
    }

    /// Nodes belong to no namespace.
    pub(crate) fn node_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    pub(crate) async fn node(&self, name: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = json!({ "metadata": { "name": self.node_name(name), "labels": { "test": self.namespace } } });
        let node: Node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }

    /// A member's pod on a node, as if a kubelet ran it.
    pub(crate) async fn member(&self, cluster: &str, node: &str) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("{cluster}-{node}");
        let labels = json!({
            "app.kubernetes.io/name": "lnsd", "app.kubernetes.io/instance": cluster, "kubelns.io/role": "standby",
        });
        let pod = json!({
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "nodeName": self.node_name(node), "terminationGracePeriodSeconds": 0,
                "containers": [{ "name": "lnsd", "image": "registry.example/lns:1" }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let ready = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(ready))
            .await
            .unwrap();
    }

    pub(crate) async fn get(&self, cluster: &str) -> Value {
        serde_json::to_value(self.clusters().get(cluster).await.unwrap()).unwrap()
    }

    pub(crate) async fn merge(&self, cluster: &str, patch: &Value) {
        let how = PatchParams::default();
        self.clusters()
            .patch(cluster, &how, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Writes its status.
    pub(crate) async fn tell(&self, cluster: &str, status: &Value) {
        let (how, patch) = (PatchParams::default(), json!({ "status": status }));
        self.clusters()
            .patch_status(cluster, &how, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    fn clusters(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<LnsCluster>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
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
