//! The API server of a run, and a namespace of it for each test.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config as Connection};
use lns_cluster::{Authority, NodeName, Profile, State};
use lns_lease::{
    Candidates, ClusterName, Config, Handle, LeaseName, Running, Standing, client, start,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::referee::Referee;

const PATIENCE: Duration = Duration::from_secs(60);

/// The rights that a driver has.
const RIGHTS: &str = include_str!("../../rbac.yaml");

/// As what drivers speak with the API server.
const ACCOUNT: &str = "lns-dataplane";

/// An API server that `e2e/kubernetes/apiserver` started.
#[derive(Clone)]
pub(crate) struct Server {
    folder: PathBuf,
    kubeconfig: Kubeconfig,
}

/// A program of it that stands still until this is dropped.
pub(crate) struct Stopped(Pid);

/// A test's own part of it.
pub(crate) struct World {
    server: Server,
    admin: Connection,
    namespace: String,
    pub(crate) leases: Api<Lease>,
    pub(crate) referee: Referee,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
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
        Ok(Some(Self { folder, kubeconfig }))
    }

    /// Stops a program, as a debugger or a full disk would.
    fn stop(&self, program: &str) -> Stopped {
        let pid = std::fs::read_to_string(self.folder.join("pid").join(program)).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

impl World {
    pub(crate) async fn new(server: &Server, name: &str) -> Self {
        let options = KubeConfigOptions::default();
        let admin = Connection::from_custom_kubeconfig(server.kubeconfig.clone(), &options)
            .await
            .unwrap();
        let client = Client::try_from(admin.clone()).unwrap();
        let namespace = format!("{}-{}", short(name), std::process::id());
        let metadata = named(&namespace);
        let object = Namespace {
            metadata,
            ..Namespace::default()
        };
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Self {
            server: server.clone(),
            admin,
            leases: Api::namespaced(client, &namespace),
            namespace,
            referee: Referee::new(),
            tasks: Mutex::default(),
        }
    }

    /// Drivers may do what `rbac.yaml` says.
    pub(crate) async fn permit(&self) {
        let role: Role = serde_saphyr::from_str(RIGHTS).unwrap();
        let name = role.metadata.name.clone().unwrap();
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace }],
        });
        let binding: RoleBinding = serde_json::from_value(binding).unwrap();
        let client = Client::try_from(self.admin.clone()).unwrap();
        let parameters = PostParams::default();
        Api::namespaced(client.clone(), &self.namespace)
            .create(&parameters, &role)
            .await
            .unwrap();
        Api::namespaced(client, &self.namespace)
            .create(&parameters, &binding)
            .await
            .unwrap();
    }

    pub(crate) fn config(&self, node: &str, candidates: Candidates) -> Config {
        Config {
            namespace: self.namespace.clone(),
            lease: LeaseName::master(&ClusterName::new("isp").unwrap()),
            labels: BTreeMap::from([("kubelns.io/cluster".to_owned(), "isp".to_owned())]),
            manager: "lns-dataplane".to_owned(),
            node: NodeName::new(node).unwrap(),
            pod_uid: Some("c0ffee".to_owned()),
            profile: Profile::FAST,
            candidates,
        }
    }

    /// A driver of an open election.
    pub(crate) fn open(&self, node: &str) -> Running {
        self.start(self.config(node, Candidates::Open), None)
    }

    /// A driver, through a proxy or not. Its gate is closed whenever that is asked for.
    pub(crate) fn start(&self, config: Config, through: Option<&Proxy>) -> Running {
        let mut connection = self.connection();
        if let Some(proxy) = through {
            connection.cluster_url = format!("https://{}", proxy.address).parse().unwrap();
        }
        let client = client(connection, &config.profile).unwrap();
        let running = start(config, client).unwrap();
        self.referee.watch(running.handle.clone());
        let gate = tokio::spawn(keep_gate(running.handle.clone()));
        self.tasks
            .lock()
            .unwrap()
            .extend([running.task.abort_handle(), gate.abort_handle()]);
        running
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A client with the rights of a driver.
    pub(crate) fn client(&self) -> Client {
        Client::try_from(self.connection()).unwrap()
    }

    fn connection(&self) -> Connection {
        let mut connection = self.admin.clone();
        let account = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace);
        connection.auth_info.impersonate = Some(account);
        connection
    }

    pub(crate) async fn proxy(&self) -> Proxy {
        let authority = self.admin.cluster_url.authority().unwrap();
        let server: SocketAddr = authority.as_str().parse().unwrap();
        Proxy::new(server).await
    }

    pub(crate) fn stop(&self, program: &str) -> Stopped {
        self.server.stop(program)
    }

    pub(crate) async fn lease(&self) -> Option<Lease> {
        self.leases.get_opt("isp.master").await.unwrap()
    }

    pub(crate) async fn holder(&self) -> Option<String> {
        self.lease().await?.spec?.holder_identity
    }

    /// Somebody edits the Lease by hand.
    pub(crate) async fn edit(&self, patch: Value) {
        let client = Client::try_from(self.admin.clone()).unwrap();
        let resource = ApiResource::erase::<Lease>(&());
        // As whatever it is: not all that an API server takes is a Lease to this client.
        let leases: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, &resource);
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        let edited = leases.patch("isp.master", &parameters, &patch);
        edited.await.unwrap();
    }

    /// Nobody has had anything that nobody may have, nor has it until what there is now has ended.
    pub(crate) async fn judge(self) {
        tokio::time::sleep(Profile::FAST.timing().hold).await;
        self.referee.judge();
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
        let client = Client::try_from(self.admin.clone()).unwrap();
        let namespaces: Api<Namespace> = Api::all(client);
        let _gone = namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await;
    }
}

/// An owner whose gate closes at once.
async fn keep_gate(handle: Handle) {
    let mut standing = handle.standing();
    loop {
        let closing = standing.borrow_and_update().closing;
        if let Some(epoch) = closing {
            let _ended = handle.closed(epoch).await;
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until a driver stands as it should.
pub(crate) async fn stands(
    handle: &Handle,
    as_it_should: impl FnMut(&Standing) -> bool,
) -> Standing {
    let mut standing = handle.standing();
    let reached = timeout(PATIENCE, standing.wait_for(as_it_should)).await;
    let reached = reached.map(|reached| reached.expect("the driver goes on").clone());
    reached.unwrap_or_else(|_| panic!("it stands otherwise: {:?}", handle.standing().borrow()))
}

/// Waits until it is master by the Lease.
pub(crate) async fn master(handle: &Handle) -> Authority {
    let is_master =
        |standing: &Standing| standing.state == State::Holding && standing.authority.is_some();
    stands(handle, is_master).await.authority.unwrap()
}

/// Waits until one of two is master: which, with what.
pub(crate) async fn either(one: &Handle, other: &Handle) -> (bool, Authority) {
    tokio::select! {
        authority = master(one) => (true, authority),
        authority = master(other) => (false, authority),
    }
}

/// The first letters of words, as names of objects may be as long as labels.
fn short(name: &str) -> String {
    let initials = name.split('_').filter_map(|word| word.chars().next());
    format!("t{}", initials.collect::<String>())
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}
