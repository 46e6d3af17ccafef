//! A story of `kubectl lns`, with the rights that the chart gives to whoever may edit or view a namespace.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::Story;
use super::aside::degraded;
use super::bed::{Bed, Scene};
use super::kind::{NAMESPACE, node_of, text};
use crate::cluster::scene::Expected;

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-plugin",
    says: "kubectl lns: who may edit reads, hands over, fences and lifts that; who may view is told what is lacking",
    tell: plugin,
}];

/// Somebody who has a role in our namespace, and nothing else.
#[derive(Debug)]
struct Person<'a> {
    bed: &'a Bed,
    kubeconfig: NamedTempFile,
}

impl<'a> Person<'a> {
    fn with(bed: &'a Bed, role: &str) -> Result<Self> {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": role },
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": role, "namespace": NAMESPACE }],
        });
        bed.kind.apply(&format!("{account}\n---\n{binding}\n"))?;
        let token = bed.kind.kubectl(&["create", "token", role])?;
        let config = bed
            .kind
            .kubectl(&["config", "view", "--raw", "-o", "json"])?;
        let mut config: Value = serde_json::from_str(&config)?;
        let user = config.pointer_mut("/users/0/user");
        *user.context("a kubeconfig without a user")? = json!({ "token": token.trim() });
        let kubeconfig = NamedTempFile::new()?;
        std::fs::write(kubeconfig.path(), config.to_string())?;
        Ok(Self { bed, kubeconfig })
    }

    /// `kubectl lns`, to its end.
    fn ends(&self, words: &[&str]) -> Result<Output> {
        let mut kubectl = self.bed.kind.command("kubectl");
        let kubectl = kubectl
            .env("KUBECONFIG", self.kubeconfig.path())
            .args(["lns", "-n", NAMESPACE])
            .args(words)
            .stdin(Stdio::null());
        kubectl.output().context("running kubectl")
    }

    /// What it prints when all is well.
    fn asks(&self, words: &[&str]) -> Result<String> {
        let output = self.ends(words)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl lns {words:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn reads(&self, words: &[&str]) -> Result<Value> {
        let answer = self.asks(&[words, &["-o", "json"]].concat())?;
        serde_json::from_str(&answer).with_context(|| format!("kubectl lns {words:?}"))
    }

    /// It ends with this code, and says all this.
    fn fails(&self, words: &[&str], code: i32, said: &[&str]) -> Result<()> {
        let output = self.ends(words)?;
        let ended = output.status.code();
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        ensure!(ended == Some(code), "{words:?} ended with {ended:?}: {all}");
        for word in said {
            ensure!(all.contains(word), "{words:?}: {word} is not in: {all}");
        }
        Ok(())
    }
}

fn plugin(scene: &mut Scene) -> Result<Expected> {
    let scene = &*scene;
    let (editor, viewer) = (
        Person::with(&scene.bed, "edit")?,
        Person::with(&scene.bed, "view")?,
    );
    read(scene, &editor)?;
    refused(scene, &editor, &viewer)?;
    hand_over(scene, &editor)?;
    fence(scene, &editor)?;
    Ok(Expected::handed_over(2))
}

fn read(scene: &Scene, editor: &Person<'_>) -> Result<()> {
    let master = json!(node_of(scene.first));
    let status = editor.reads(&["status"])?;
    ensure!(
        status.get("node") == Some(&master)
            && status.pointer("/lnsCluster/status/active/node") == Some(&master)
            && status.pointer("/lnsd/phase").is_some(),
        "{status}"
    );
    // Whoever is up, by what the LACs know of them.
    let addresses = (0..2).flat_map(|lac| scene.addresses(lac));
    let addresses: BTreeSet<_> = addresses.map(|address| address.to_string()).collect();
    let sessions = editor.reads(&["sessions"])?;
    let rows = sessions.get("sessions").and_then(Value::as_array);
    let rows = rows.context("an answer without sessions")?;
    let word = |row: &Value, key: &str| {
        let word = row.get(key).and_then(Value::as_str);
        word.unwrap_or_default().to_owned()
    };
    let told: BTreeSet<_> = rows.iter().map(|row| word(row, "address")).collect();
    ensure!(
        told == addresses && rows.len() == addresses.len(),
        "{} of {} sessions are told",
        rows.len(),
        addresses.len()
    );
    let last = rows.last().context("nobody is up")?;
    let shown = editor.reads(&["session", "show", &word(last, "id")])?;
    for key in ["id", "user", "address"] {
        ensure!(word(&shown, key) == word(last, key), "{key}: {shown}");
    }
    report(editor)
}

/// What a member collects is in a file here.
fn report(editor: &Person<'_>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.tar.gz");
    let file = file.to_str().context("no path")?;
    editor.asks(&["report", "-w", file])?;
    let files = text(Command::new("tar").args(["-tzf", file]))?;
    for name in ["/sessions.json", "/manifest.yaml", "/log.txt"] {
        ensure!(files.contains(name), "{name} is not in: {files}");
    }
    Ok(())
}

fn refused(scene: &Scene, editor: &Person<'_>, viewer: &Person<'_>) -> Result<()> {
    let node = node_of(scene.first);
    let missing = "65535.65535";
    let session = format!("there is no session {missing}");
    editor.fails(&["session", "show", missing], 1, &[&session])?;
    let lac = ["there is no LAC \"nowhere\"", "wholesale-a"];
    editor.fails(&["sessions", "--lac", "nowhere"], 2, &lac)?;
    let member = ["nowhere is no member of this cluster", &node];
    editor.fails(&["fence", "nowhere"], 2, &member)?;
    let lacks = ["pods/exec", "ask whoever administers the cluster"];
    viewer.fails(&["sessions"], 1, &lacks)?;
    // What needs no pod is answered all the same.
    let status = [&["LnsCluster  lns/edge", &node][..], &lacks].concat();
    viewer.fails(&["status"], 1, &status)?;
    let forbidden = ["kubelns.io/fenced", "ask whoever administers the cluster"];
    viewer.fails(&["fence", &node], 1, &forbidden)
}

fn hand_over(scene: &Scene, editor: &Person<'_>) -> Result<()> {
    let said = editor.asks(&["step-down"])?;
    let expected = format!("{} steps down from epoch ", node_of(scene.first));
    ensure!(said.starts_with(&expected), "{said}");
    scene.another(&[scene.first])?;
    scene.newcomers("handed")
}

fn fence(scene: &Scene, editor: &Person<'_>) -> Result<()> {
    let second = scene.master()?;
    let node = node_of(second);
    let said = editor.asks(&["fence", &node])?;
    let fenced = scene
        .leaves(second)
        .and_then(|()| degraded(&scene.bed, "Fenced", &node))
        .and_then(|()| scene.newcomers("fenced"));
    let lifted = editor.asks(&["unfence", &node])?;
    fenced?;
    ensure!(said == format!("{node} is fenced now\n"), "{said}");
    ensure!(lifted == format!("{node} is not fenced now\n"), "{lifted}");
    Ok(())
}
