//! Where manifests come from: a file that is watched, or the objects of a member's cluster, which are
//! followed.
//!
//! Of a member, a manifest must be one that a member can do with too ([`ClusterSetup`]), and what of it is for
//! members only is handed on once it is in force.

use core::fmt;
use core::future::pending;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use lns_api::fence::Fenced;
use lns_api::{Manifest, read_manifest};
use lns_cluster::NodeName;
use lns_cluster::member::Times;
use lns_objects::{Objects, Sight};
use tokio::sync::watch;
use tracing::{info, warn};

use super::reload::Change;
use crate::config::ClusterSetup;

/// Where manifests come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A file, or a folder of them.
    File(PathBuf),
    /// The objects of an API server, which are followed as long as this is there.
    Objects(
        Box<Followed>,
        #[allow(dead_code, reason = "it is kept, for they are followed no longer")] Objects,
    ),
}

/// What there is to be read.
#[derive(Debug)]
pub(super) enum Read {
    /// A manifest that passed every rule.
    Valid(Box<Manifest>),
    /// One that did not, and all that is wrong with it.
    Wrong(Vec<String>),
    /// Nothing that anybody could take over or refuse.
    Nothing,
}

/// The objects of a cluster, for a member of it.
#[derive(Debug)]
pub(super) struct Followed {
    title: String,
    /// Which object the member serves.
    uid: String,
    node: NodeName,
    sights: watch::Receiver<Sight>,
    trouble: watch::Receiver<Option<Arc<str>>>,
    /// What is in force, for the parts of the member.
    in_force: watch::Sender<ClusterSetup>,
    /// Which state of the objects was read last.
    digest: String,
    /// The node is kept out of service.
    is_fenced: bool,
}

/// The first manifest of a member, and which object it is of.
#[derive(Debug)]
pub(super) struct First {
    /// The manifest.
    pub(super) manifest: Manifest,
    /// What of it is for members only.
    pub(super) setup: ClusterSetup,
    /// The uid of the `LnsCluster`.
    pub(super) uid: String,
}

/// Waits for objects that a member can start with, and says what it waits for.
pub(super) async fn first(objects: &Objects, title: &str) -> First {
    let (mut sights, mut trouble) = (objects.sights(), objects.trouble());
    loop {
        let sight = sights.borrow_and_update().clone();
        match &sight {
            Sight::Unknown => {}
            Sight::Absent | Sight::Gone { .. } => warn!("there is no {title}: it is waited for"),
            Sight::There(seen) => match able(&seen.manifest) {
                Ok((manifest, setup)) => {
                    let uid = seen.uid.clone();
                    let setup = setup.of_objects(&seen.digest);
                    return First {
                        manifest,
                        setup,
                        uid,
                    };
                }
                Err(problems) => {
                    for problem in problems {
                        warn!("{title} is waited for to be put right: {problem}");
                    }
                }
            },
        }
        loop {
            tokio::select! {
                changed = sights.changed() => match changed {
                    Ok(()) => break,
                    // It ends with the process only.
                    Err(_) => pending().await,
                },
                Ok(()) = trouble.changed() => told(title, trouble.borrow_and_update().as_deref()),
            }
        }
    }
}

/// A manifest with which a member can do.
fn able(manifest: &Result<Manifest, Vec<String>>) -> Result<(Manifest, ClusterSetup), Vec<String>> {
    let manifest = manifest.clone()?;
    let setup = ClusterSetup::new(&manifest);
    let setup = setup.map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok((manifest, setup))
}

/// Notes that the API server cannot be asked, or can again.
fn told(title: &str, trouble: Option<&str>) {
    let Some(words) = trouble else {
        return info!("the objects of {title} can be seen");
    };
    warn!("whether {title} has changed cannot be seen: {words}; what was seen last stays in force");
}

impl Source {
    /// The objects of the cluster of this namespace and name, with a first manifest in force; and what of the
    /// manifest in force is for members, whenever it is another.
    pub(super) fn objects(
        objects: Objects,
        title: String,
        node: NodeName,
        first: &First,
    ) -> (Self, watch::Receiver<ClusterSetup>) {
        let (in_force, setups) = watch::channel(first.setup.clone());
        let mut followed = Followed {
            title,
            uid: first.uid.clone(),
            node,
            sights: objects.sights(),
            trouble: objects.trouble(),
            digest: first.setup.objects.clone(),
            is_fenced: false,
            in_force,
        };
        let sight = followed.sights.borrow().clone();
        followed.heed_fence(&sight);
        (Self::Objects(Box::new(followed), objects), setups)
    }

    /// Waits until there is something else to read. Of a file others tell.
    pub(super) async fn changed(&mut self) -> Change {
        let Self::Objects(followed, _) = self else {
            return pending().await;
        };
        tokio::select! {
            Ok(()) = followed.sights.changed() => Change::Objects,
            Ok(()) = followed.trouble.changed() => Change::Trouble,
            else => pending().await,
        }
    }

    /// What there is now.
    pub(super) async fn read(&mut self) -> Read {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_manifest(&path)).await;
                match read {
                    Ok(Ok(manifest)) => Read::Valid(Box::new(manifest)),
                    Ok(Err(problems)) => {
                        Read::Wrong(problems.iter().map(ToString::to_string).collect())
                    }
                    Err(failed) => {
                        Read::Wrong(vec![format!("the manifest could not be read: {failed}")])
                    }
                }
            }
            Self::Objects(followed, _) => followed.read(),
        }
    }

    /// Why it cannot be seen whether there is another one.
    pub(super) fn trouble(&self) -> Option<String> {
        let Self::Objects(followed, _) = self else {
            return None;
        };
        let trouble = followed.trouble.borrow();
        told(&followed.title, trouble.as_deref());
        trouble.as_deref().map(str::to_owned)
    }

    /// What of a manifest is for members, and the fields in which it needs another process; none: this is no
    /// member.
    ///
    /// # Errors
    /// What a member cannot do with.
    pub(super) fn member(&self, manifest: &Manifest) -> Result<Option<Membership>, Vec<String>> {
        let Self::Objects(followed, _) = self else {
            return Ok(None);
        };
        followed.member(manifest).map(Some)
    }

    /// What was read last says what is in force already.
    pub(super) fn unchanged(&self) {
        if let Self::Objects(followed, _) = self {
            followed.unchanged();
        }
    }

    /// A manifest is in force.
    pub(super) fn taken_over(&self, membership: Option<Membership>) {
        if let (Self::Objects(followed, _), Some(new)) = (self, membership) {
            followed.taken_over(new);
        }
    }
}

/// What of a manifest is for members.
#[derive(Debug)]
pub(super) struct Membership {
    setup: ClusterSetup,
    /// The fields in which a running member cannot change.
    pub(super) needs_restart: Vec<&'static str>,
}

impl Membership {
    /// How long what is given back rests: as long as another member may go by what it knew.
    pub(super) fn rest(&self) -> Duration {
        Times::of(self.setup.staleness).outlasts()
    }
}

impl Followed {
    fn read(&mut self) -> Read {
        let sight = self.sights.borrow_and_update().clone();
        self.heed_fence(&sight);
        match sight {
            Sight::Unknown => Read::Nothing,
            Sight::Absent | Sight::Gone { .. } => {
                Read::Wrong(vec![format!("{} is deleted", self.title)])
            }
            Sight::There(seen) if seen.uid != self.uid => Read::Wrong(vec![format!(
                "restart needed: {} was deleted and made anew, and is another cluster",
                self.title
            )]),
            Sight::There(seen) => match &seen.manifest {
                Ok(manifest) => {
                    self.digest.clone_from(&seen.digest);
                    Read::Valid(Box::new(manifest.clone()))
                }
                Err(problems) => Read::Wrong(problems.clone()),
            },
        }
    }

    /// Whether this node is kept out of service: at once, whatever else is wrong with the object.
    fn heed_fence(&mut self, sight: &Sight) {
        let Sight::There(seen) = sight else {
            return;
        };
        if seen.uid != self.uid {
            return;
        }
        match Fenced::of(&seen.annotations) {
            Ok(fenced) => self.is_fenced = fenced.has(&self.node.to_string()),
            Err(wrong) => warn!("{wrong}; what was said before stays in force"),
        }
        let is_fenced = self.is_fenced;
        self.in_force.send_if_modified(|setup| {
            let differs = setup.is_fenced != is_fenced;
            setup.is_fenced = is_fenced;
            differs
        });
    }

    /// What was read last says what is in force already.
    fn unchanged(&self) {
        self.in_force.send_if_modified(|setup| {
            let differs = setup.objects != self.digest;
            setup.objects.clone_from(&self.digest);
            differs
        });
    }

    fn taken_over(&self, new: Membership) {
        self.in_force.send_if_modified(|setup| {
            let differs = *setup != new.setup;
            *setup = new.setup;
            differs
        });
    }

    fn member(&self, manifest: &Manifest) -> Result<Membership, Vec<String>> {
        let wrong = |wrong: Vec<lns_api::ManifestError>| -> Vec<String> {
            wrong.iter().map(ToString::to_string).collect()
        };
        let setup = ClusterSetup::new(manifest).map_err(wrong)?;
        let shown = setup.peers.credentials(&self.uid, &self.node);
        shown.map_err(|told| vec![told])?;
        let in_force = self.in_force.borrow();
        let changes = in_force.changes(&setup);
        let mut needs_restart = in_force.needs_restart(&setup);
        let of_old = [
            ("spec.store", changes.store),
            ("spec.forwarding.stalenessSeconds", changes.staleness),
        ];
        needs_restart.extend(of_old.iter().filter(|it| it.1).map(|it| it.0));
        drop(in_force);
        Ok(Membership {
            setup: setup.of_objects(&self.digest).of_node(self.is_fenced),
            needs_restart,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Objects(followed, _) => f.write_str(&followed.title),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lns_api::parse_manifest;
    use lns_objects::Seen;

    use super::*;

    const FULL: &str = include_str!("../../../crds/examples/full.yaml");

    fn manifest(from: &str, to: &str) -> Manifest {
        assert_eq!(FULL.matches(from).count(), 1, "{from}");
        let text = FULL.replacen(from, to, 1);
        parse_manifest([("full.yaml", text.as_str())]).unwrap()
    }

    fn there(uid: &str, manifest: Result<Manifest, Vec<String>>) -> Sight {
        Sight::There(Arc::new(Seen {
            uid: uid.to_owned(),
            generation: 1,
            annotations: BTreeMap::new(),
            digest: "d1".to_owned(),
            is_being_deleted: false,
            manifest,
        }))
    }

    /// Of a member with the full example in force.
    fn followed() -> (
        Followed,
        watch::Sender<Sight>,
        watch::Receiver<ClusterSetup>,
    ) {
        let (see, sights) = watch::channel(Sight::Unknown);
        let (_, trouble) = watch::channel(None);
        let setup = ClusterSetup::new(&manifest("site: north", "site: north")).unwrap();
        let (in_force, setups) = watch::channel(setup);
        let followed = Followed {
            title: "LnsCluster lns/edge".to_owned(),
            uid: "u1".to_owned(),
            node: NodeName::new("a").unwrap(),
            sights,
            trouble,
            in_force,
            digest: String::new(),
            is_fenced: false,
        };
        (followed, see, setups)
    }

    fn wrong(read: Read) -> Vec<String> {
        let Read::Wrong(problems) = read else {
            panic!("{read:?}");
        };
        problems
    }

    #[test]
    fn what_is_seen_is_read_and_another_cluster_of_the_name_is_refused() {
        let (mut followed, see, _) = followed();
        assert!(matches!(followed.read(), Read::Nothing));
        let good = manifest("site: north", "site: south");
        see.send_replace(there("u1", Ok(good.clone())));
        assert!(matches!(followed.read(), Read::Valid(read) if *read == good));
        see.send_replace(there("u1", Err(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(wrong(followed.read()), ["a", "b"]);
        let uid = "u1".to_owned();
        see.send_replace(Sight::Gone { uid });
        assert_eq!(wrong(followed.read()), ["LnsCluster lns/edge is deleted"]);
        see.send_replace(there("u2", Ok(good)));
        assert_eq!(
            wrong(followed.read()),
            [
                "restart needed: LnsCluster lns/edge was deleted and made anew, and is another cluster"
            ]
        );
    }

    #[test]
    fn a_node_is_fenced_by_the_annotation_whatever_else_is_wrong() {
        let (mut followed, see, setups) = followed();
        let noted = |text: &str, manifest| {
            let Sight::There(seen) = there("u1", manifest) else {
                panic!("it is there");
            };
            let annotations = [("kubelns.io/fenced".to_owned(), text.to_owned())].into();
            Sight::There(Arc::new(Seen {
                annotations,
                ..(*seen).clone()
            }))
        };
        let wrong = || Err(vec!["wrong".to_owned()]);
        let good = manifest("site: north", "site: south");
        for (text, manifest, is_fenced) in [
            (r#"["b"]"#, Ok(good.clone()), false),
            (r#"["b","a"]"#, wrong(), true),
            ("nonsense", wrong(), true),
            ("[]", Ok(good.clone()), false),
            (r#"["*"]"#, Ok(good.clone()), true),
        ] {
            see.send_replace(noted(text, manifest));
            let _read = followed.read();
            assert_eq!(setups.borrow().is_fenced, is_fenced, "{text}");
        }
        let membership = followed.member(&good).unwrap();
        followed.taken_over(membership);
        assert!(setups.borrow().is_fenced, "a new manifest does not lift it");
    }

    #[test]
    fn what_is_for_members_is_checked_before_and_handed_on_after_it_is_in_force() {
        let (followed, _, setups) = followed();
        let before = setups.borrow().clone();
        let newer = manifest("nasAddress: 192.0.2.10 ", "nasAddress: 192.0.2.11 ");
        let membership = followed.member(&newer).unwrap();
        assert!(membership.needs_restart.is_empty());
        assert!(!setups.has_changed().unwrap());
        followed.taken_over(membership);
        assert!(setups.has_changed().unwrap());
        assert!(before.changes(&setups.borrow()).gate);

        let other_s = manifest("stalenessSeconds: 600", "stalenessSeconds: 300");
        let membership = followed.member(&other_s).unwrap();
        assert_eq!(membership.rest().as_secs(), 303);
        assert_eq!(
            membership.needs_restart,
            ["spec.forwarding.stalenessSeconds"]
        );

        let other_port = manifest("peers: { port: 1702", "peers: { port: 1703");
        let membership = followed.member(&other_port).unwrap();
        assert_eq!(membership.needs_restart, ["spec.peers.port"]);

        let edit = (
            "tlsSecretRef: { name: edge-peers }",
            "tlsSecretRef: { name: radsec }",
        );
        let told = followed.member(&manifest(edit.0, edit.1)).unwrap_err();
        assert!(
            told[0].starts_with("LnsCluster/edge: spec.peers.tlsSecretRef: "),
            "{told:?}"
        );
        let alone = manifest("    nasAddress: 192.0.2.10 ", "    ");
        let told = followed.member(&alone).unwrap_err();
        assert!(
            told[0].starts_with("LnsCluster/edge: spec.radius.nasAddress: "),
            "{told:?}"
        );
    }
}
