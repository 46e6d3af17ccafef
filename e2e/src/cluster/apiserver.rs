//! A real API server with its etcd, in the management network (`e2e/kubernetes/apiserver`), and what an
//! administrator does with it, by curl.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::network::MANAGEMENT;
use crate::cleanup::{self, Leftover};
use crate::net::Namespace;

const SCRIPT: &str = "e2e/kubernetes/apiserver";
const PROGRAMS: [&str; 2] = ["etcd", "kube-apiserver"];

/// A running API server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ApiServer<'a> {
    namespace: &'a Namespace,
    folder: tempfile::TempDir,
    processes: Vec<Pid>,
}

impl<'a> ApiServer<'a> {
    /// Starts both programs, with the CRDs, and waits until it is ready.
    pub(crate) fn start(namespace: &'a Namespace) -> Result<Self> {
        let mut server = Self {
            namespace,
            folder: tempfile::tempdir()?,
            processes: Vec::new(),
        };
        let address = MANAGEMENT.to_string();
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

    /// What an administrator's programs read.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("run/kubeconfig")
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
        curl.arg(format!("https://{MANAGEMENT}:6443{path}"));
        let output = self.namespace.output(&mut curl)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{method} {path}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
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
