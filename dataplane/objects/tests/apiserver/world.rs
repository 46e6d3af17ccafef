//! The API server of a run, and a namespace of it for each test.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ObjectMeta, Patch, PatchParams,
    PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Error};
use lns_objects::{Objects, Seen, Sight};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::proxy::Proxy;

const PATIENCE: Duration = Duration::from_secs(60);

/// The rights that a member has.
const RIGHTS: &str = include_str!("../../rbac.yaml");

/// As what a member speaks with the API server.
const ACCOUNT: &str = "lns-dataplane";

/// An API server that `e2e/kubernetes/apiserver` started.
#[derive(Clone)]
pub(crate) struct Server {
    kubeconfig: Kubeconfig,
}

/// A test's own part of it.
pub(crate) struct World {
    admin: Config,
    client: Client,
    pub(crate) namespace: String,
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
        Ok(Some(Self { kubeconfig }))
    }
}

impl World {
    pub(crate) async fn new(server: &Server, name: &str) -> Self {
        let options = KubeConfigOptions::default();
        let admin = Config::from_custom_kubeconfig(server.kubeconfig.clone(), &options)
            .await
            .unwrap();
        let client = Client::try_from(admin.clone()).unwrap();
        let initials = name.split('_').filter_map(|word| word.chars().next());
        let initials: String = initials.collect();
        let namespace = format!("o{initials}-{}", std::process::id());
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
            admin,
            client,
            namespace,
        }
    }

    /// A member may do what `rbac.yaml` says, with these Secrets instead of its examples.
    pub(crate) async fn permit(&self, secrets: &[&str]) {
        let mut role: Role = serde_saphyr::from_str(RIGHTS).unwrap();
        for rule in role.rules.iter_mut().flatten() {
            if rule.resource_names.is_some() {
                let names = secrets.iter().map(|name| (*name).to_owned());
                rule.resource_names = Some(names.collect());
            }
        }
        let name = role.metadata.name.clone().unwrap();
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace }],
        });
        let binding: RoleBinding = serde_json::from_value(binding).unwrap();
        let parameters = PostParams::default();
        let roles = Api::namespaced(self.client.clone(), &self.namespace);
        roles.create(&parameters, &role).await.unwrap();
        let bindings = Api::namespaced(self.client.clone(), &self.namespace);
        bindings.create(&parameters, &binding).await.unwrap();
    }

    /// The text with its objects in this namespace.
    pub(crate) fn text(&self, text: &str) -> String {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let own = documents.into_iter().map(|mut document| {
            document["metadata"]["namespace"] = json!(self.namespace);
            serde_saphyr::to_string(&document).unwrap()
        });
        own.collect::<Vec<_>>().join("---\n")
    }

    /// Applies every document of a text, as `kubectl apply --server-side` does.
    pub(crate) async fn apply(&self, text: &str) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        for document in documents {
            self.apply_one(document).await.unwrap();
        }
    }

    pub(crate) async fn apply_one(&self, mut document: Value) -> Result<DynamicObject, Error> {
        document["metadata"]["namespace"] = json!(self.namespace);
        let kind = document["kind"].as_str().unwrap().to_owned();
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        let parameters = PatchParams::apply("e2e").force();
        let objects = self.objects_of(&kind);
        objects
            .patch(&name, &parameters, &Patch::Apply(document))
            .await
    }

    /// Changes one object.
    pub(crate) async fn merge(&self, kind: &str, name: &str, patch: Value) {
        let parameters = PatchParams::default();
        let objects = self.objects_of(kind);
        let changed = objects.patch(name, &parameters, &Patch::Merge(patch)).await;
        changed.unwrap();
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let objects = self.objects_of(kind);
        let deleted = objects.delete(name, &DeleteParams::default()).await;
        deleted.unwrap();
    }

    fn objects_of(&self, kind: &str) -> Api<DynamicObject> {
        let kind = match kind {
            "Secret" => GroupVersionKind::gvk("", "v1", kind),
            _ => GroupVersionKind::gvk("kubelns.io", "v1alpha1", kind),
        };
        let mut resource = ApiResource::from_gvk(&kind);
        if kind.kind == "SessionPolicy" {
            "sessionpolicies".clone_into(&mut resource.plural);
        }
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Follows the cluster `edge` with the rights of a member, through a proxy or not.
    pub(crate) fn follow(&self, through: Option<&Proxy>) -> Objects {
        Objects::start(self.member(through), &self.namespace, "edge")
    }

    /// The same of another one.
    pub(crate) fn follow_named(&self, name: &str) -> Objects {
        Objects::start(self.member(None), &self.namespace, name)
    }

    fn member(&self, through: Option<&Proxy>) -> Client {
        let mut connection = self.admin.clone();
        if let Some(proxy) = through {
            connection.cluster_url = format!("https://{}", proxy.address).parse().unwrap();
        }
        let account = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace);
        connection.auth_info.impersonate = Some(account);
        Client::try_from(connection).unwrap()
    }

    pub(crate) async fn proxy(&self) -> Proxy {
        let authority = self.admin.cluster_url.authority().unwrap();
        let server: SocketAddr = authority.as_str().parse().unwrap();
        Proxy::new(server).await
    }

    pub(crate) async fn end(self) {
        let namespaces: Api<Namespace> = Api::all(self.client);
        let parameters = DeleteParams::default();
        let _gone = namespaces.delete(&self.namespace, &parameters).await;
    }
}

/// Waits until the sight is as it should be.
pub(crate) async fn sight(
    sights: &mut watch::Receiver<Sight>,
    what: &str,
    as_it_should: impl FnMut(&Sight) -> bool,
) -> Sight {
    let reached = timeout(PATIENCE, sights.wait_for(as_it_should)).await;
    let reached = reached.map(|reached| reached.expect("it goes on").clone());
    reached.unwrap_or_else(|_| panic!("{what}: {:?}", sights.borrow()))
}

/// Waits until the cluster is seen as it should be.
pub(crate) async fn seen(
    sights: &mut watch::Receiver<Sight>,
    what: &str,
    mut as_it_should: impl FnMut(&Seen) -> bool,
) -> Arc<Seen> {
    let is_so = |sight: &Sight| matches!(sight, Sight::There(seen) if as_it_should(seen));
    let Sight::There(seen) = sight(sights, what, is_so).await else {
        panic!("{what}");
    };
    seen
}

/// Waits until trouble is told, or none.
pub(crate) async fn trouble(objects: &Objects, is_told: bool) -> Option<Arc<str>> {
    let mut trouble = objects.trouble();
    let reached = timeout(PATIENCE, trouble.wait_for(|told| told.is_some() == is_told)).await;
    let reached = reached.map(|reached| reached.expect("it goes on").clone());
    reached.unwrap_or_else(|_| panic!("trouble: {:?}", objects.trouble().borrow()))
}
