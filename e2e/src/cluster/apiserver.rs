//! A real API server with its etcd, in the management network (`e2e/kubernetes/apiserver`); what an
//! administrator does with it, by curl; and how the nodes reach it: through a proxy of ours, with the rights
//! of a member ([`super::rights`]) and no others.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::proxy::Proxy;
use super::rights;
use crate::cleanup::{self, Leftover};
use crate::net::Namespace;

const SCRIPT: &str = "e2e/kubernetes/apiserver";
const PROGRAMS: [&str; 2] = ["etcd", "kube-apiserver"];
/// Its port, and the one of the proxy before it.
const PORTS: [u16; 2] = [6443, 6444];

/// A running API server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ApiServer<'a> {
    namespace: &'a Namespace,
    address: Ipv4Addr,
    folder: tempfile::TempDir,
    processes: Vec<Pid>,
    /// What is between it and the nodes.
    pub(crate) proxy: Proxy,
}

impl<'a> ApiServer<'a> {
    /// Starts both programs at an address of the namespace, with the CRDs, and waits until it is ready.
    pub(crate) fn start(namespace: &'a Namespace, address: Ipv4Addr) -> Result<Self> {
        let [server, proxy] = PORTS.map(|port| (address, port).into());
        let mut server = Self {
            namespace,
            address,
            folder: tempfile::tempdir()?,
            processes: Vec::new(),
            proxy: Proxy::start(namespace, proxy, server)?,
        };
        let address = address.to_string();
        let folder = server.folder.path().join("run");
        let output = namespace.output(Command::new(SCRIPT).arg("up").arg(&folder).arg(&address))?;
        ensure!(
            output.status.success(),
            "{SCRIPT}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        for program in PROGRAMS {
            let pid = std::fs::read_to_string(folder.join("pid").join(program))?;
            let pid = Pid::from_raw(pid.trim().parse()?);
            cleanup::remember(Leftover::Process(pid.as_raw()));
            server.processes.push(pid);
        }
        Ok(server)
    }

    /// Applies the objects of a cluster; gives members their account, with the rights that they need for these, and
    /// writes what they read of how to reach the API server.
    pub(crate) fn admit(&self, cluster: &str) -> Result<()> {
        self.apply(cluster)?;
        self.apply(&rights::stream(cluster))?;
        let wanted = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": 7200 },
        });
        let path = format!("{}/token", rights::ACCOUNT);
        let kind = ["--header", "Content-Type: application/json"];
        let answer = self.ask("POST", &path, &kind, &wanted.to_string())?;
        let answer: Value = serde_json::from_str(&answer)?;
        let token = answer.pointer("/status/token").and_then(Value::as_str);
        let token = token.context("no token for the account of the members")?;
        std::fs::write(self.folder.path().join("token"), token)?;
        let [_, proxy] = PORTS;
        let text = rights::kubeconfig(
            &format!("https://{}:{proxy}", self.address),
            &self.folder.path().join("run/pki/ca.crt"),
            token,
        );
        Ok(std::fs::write(self.kubeconfig(), text)?)
    }

    /// What members read, once they are admitted.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("members")
    }

    /// The status of what the API server answers a member.
    pub(crate) fn asked_by_member(&self, method: &str, path: &str) -> Result<u16> {
        let token = std::fs::read_to_string(self.folder.path().join("token"))?;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--max-time", "10"])
            .args(["--write-out", "%{http_code}", "--request", method])
            .arg("--cacert")
            .arg(self.folder.path().join("run/pki/ca.crt"))
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .arg(self.url(path));
        let output = self.namespace.output(&mut curl)?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.parse()
            .with_context(|| format!("{method} {path}: {text}"))
    }

    /// Sends both programs a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        for pid in &self.processes {
            kill(*pid, signal).with_context(|| format!("sending {signal} to the API server"))?;
        }
        Ok(())
    }

    /// Applies every document of a stream of manifests, as their owner.
    pub(crate) fn apply(&self, stream: &str) -> Result<()> {
        for document in stream.split("\n---\n").filter(|it| !it.trim().is_empty()) {
            let path = path_of(document)?;
            let query = format!("{path}?fieldManager=e2e&force=true");
            let kind = "Content-Type: application/apply-patch+yaml";
            self.ask("PATCH", &query, &["--header", kind], document)?;
        }
        Ok(())
    }

    /// Changes parts of an object (RFC 7396).
    pub(crate) fn patch(&self, path: &str, change: &Value) -> Result<()> {
        let kind = "Content-Type: application/merge-patch+json";
        self.ask("PATCH", path, &["--header", kind], &change.to_string())?;
        Ok(())
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        self.ask("DELETE", path, &[], "")?;
        Ok(())
    }

    /// An object.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let text = self.ask("GET", path, &[], "")?;
        serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
    }

    fn ask(&self, method: &str, path: &str, more: &[&str], body: &str) -> Result<String> {
        let pki = self.folder.path().join("run/pki");
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), body)?;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body"])
            .args(["--max-time", "30", "--request", method])
            .arg("--cacert")
            .arg(pki.join("ca.crt"))
            .arg("--cert")
            .arg(pki.join("admin.crt"))
            .arg("--key")
            .arg(pki.join("admin.key"))
            .args(more);
        if !body.is_empty() {
            let mut data = std::ffi::OsString::from("@");
            data.push(file.path());
            curl.arg("--data-binary").arg(data);
        }
        curl.arg(self.url(path));
        let output = self.namespace.output(&mut curl)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{method} {path}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    fn url(&self, path: &str) -> String {
        let [server, _] = PORTS;
        format!("https://{}:{server}{path}", self.address)
    }
}

impl Drop for ApiServer<'_> {
    fn drop(&mut self) {
        let ended = Command::new(SCRIPT)
            .arg("down")
            .arg(self.folder.path().join("run"))
            .stdin(Stdio::null())
            .status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("the API server did not end");
        }
        for pid in &self.processes {
            cleanup::forget(&Leftover::Process(pid.as_raw()));
        }
    }
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/lns";

/// Where the API server has the object of a document.
fn path_of(document: &str) -> Result<String> {
    let kind = document
        .lines()
        .find_map(|line| line.strip_prefix("kind: "));
    let kind = kind.context("a document without a kind")?.trim();
    let after = document.split_once("metadata:").map(|parts| parts.1);
    let name = after.and_then(|text| text.split_once("name: ").map(|parts| parts.1));
    let ends = |letter: char| letter == ',' || letter.is_whitespace() || letter == '}';
    let name = name.and_then(|text| text.split(ends).next());
    let name = name.with_context(|| format!("a {kind} without a name"))?;
    let lns = "/apis/kubelns.io/v1alpha1/namespaces/lns";
    Ok(match kind {
        "Namespace" => format!("/api/v1/namespaces/{name}"),
        "ServiceAccount" => format!("/api/v1/namespaces/lns/serviceaccounts/{name}"),
        "Role" => format!("{RBAC}/roles/{name}"),
        "RoleBinding" => format!("{RBAC}/rolebindings/{name}"),
        "Secret" => format!("/api/v1/namespaces/lns/secrets/{name}"),
        "LnsCluster" => format!("{lns}/lnsclusters/{name}"),
        "SessionPolicy" => format!("{lns}/sessionpolicies/{name}"),
        other => anyhow::bail!("nobody here knows where a {other} is"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_by_its_kind_and_name() {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: { name: users, namespace: lns }\n";
        assert_eq!(
            path_of(secret).unwrap(),
            "/api/v1/namespaces/lns/secrets/users"
        );
        let policy = "# Hints: kind\nkind: SessionPolicy\nmetadata: { name: residential }\n";
        assert!(
            path_of(policy)
                .unwrap()
                .ends_with("/sessionpolicies/residential")
        );
        assert!(path_of("kind: Pod\nmetadata: { name: a }\n").is_err());
        assert!(path_of("metadata: { name: a }\n").is_err());
    }
}
