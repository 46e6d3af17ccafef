//! What the process knows of itself beside the node: shared by start, reload, end and admin.

use core::sync::atomic::{AtomicU8, Ordering};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lns_api::Manifest;
use lns_datapath::clock;
use lns_tables::time::Instant;
use schemars::JsonSchema;
use serde::Serialize;

/// How far the process is.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Not everything is set up yet.
    Starting,
    /// LACs and subscribers are served.
    Serving,
    /// LACs are being told to go.
    Draining,
}

/// Which manifest is in force, and whether a later one was refused.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Manifest")]
pub(crate) struct ManifestState {
    /// From where it was read.
    pub(crate) path: PathBuf,
    /// Seconds since 1970 when the one in force was read.
    pub(crate) loaded_at: u64,
    /// How often one was taken over since the start.
    pub(crate) reloads: u64,
    /// How often one was refused since the start.
    pub(crate) refusals: u64,
    /// Why the newest one was refused; null: the newest one is in force.
    pub(crate) error: Option<String>,
    /// Why it cannot be seen whether there is a newer one; null: it can.
    pub(crate) trouble: Option<String>,
    /// What is allowed and yet likely to be wrong in the one in force.
    pub(crate) warnings: Vec<String>,
}

/// The process at a glance.
#[derive(Debug)]
pub(crate) struct Situation {
    phase: AtomicU8,
    started: Instant,
    manifest: Mutex<ManifestState>,
    /// The manifest in force, without its secrets.
    shown: Mutex<Arc<str>>,
}

impl Situation {
    /// Of a process that starts now with this manifest.
    pub(crate) fn new(path: PathBuf, warnings: Vec<String>) -> Self {
        let manifest = ManifestState {
            path,
            loaded_at: unix_seconds(),
            reloads: 0,
            refusals: 0,
            error: None,
            trouble: None,
            warnings,
        };
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            started: clock::now(),
            manifest: Mutex::new(manifest),
            shown: Mutex::default(),
        }
    }

    /// Keeps what of the manifest in force may be shown.
    pub(crate) fn show(&self, manifest: &Manifest) {
        let text = manifest
            .without_secrets()
            .unwrap_or_else(|error| format!("# it cannot be shown: {error}\n"));
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    /// The manifest in force in YAML, with every default filled in and without its secrets.
    pub(crate) fn shown(&self) -> Arc<str> {
        let shown = self.shown.lock();
        Arc::clone(&shown.unwrap_or_else(PoisonError::into_inner))
    }

    /// How far the process is.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            serving if serving == Phase::Serving as u8 => Phase::Serving,
            draining if draining == Phase::Draining as u8 => Phase::Draining,
            _ => Phase::Starting,
        }
    }

    /// Goes on to `phase`.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Seconds since the start.
    pub(crate) fn uptime_seconds(&self) -> u64 {
        clock::now().since(self.started).as_secs()
    }

    /// Which manifest is in force.
    pub(crate) fn manifest(&self) -> ManifestState {
        self.lock().clone()
    }

    /// A newer manifest is in force.
    pub(crate) fn taken_over(&self, warnings: Vec<String>) {
        let mut manifest = self.lock();
        manifest.loaded_at = unix_seconds();
        manifest.reloads += 1;
        manifest.error = None;
        manifest.warnings = warnings;
    }

    /// The newest manifest says what the one in force says: whether one in between was refused.
    pub(crate) fn unchanged(&self) -> bool {
        self.lock().error.take().is_some()
    }

    /// A newer manifest was refused.
    pub(crate) fn refused(&self, error: String) {
        let mut manifest = self.lock();
        manifest.refusals += 1;
        manifest.error = Some(error);
    }

    /// It cannot be seen whether there is a newer manifest, or can be again.
    pub(crate) fn trouble(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    fn lock(&self) -> MutexGuard<'_, ManifestState> {
        // Nothing panics while it holds this lock, and half-written values are not possible.
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Now, in seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    unix_millis() / 1000
}

/// Now, in milliseconds since 1970.
pub(crate) fn unix_millis() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another() {
        let situation = Situation::new("cluster.yaml".into(), Vec::new());
        assert_eq!(situation.phase(), Phase::Starting);
        for phase in [Phase::Serving, Phase::Draining] {
            situation.enter(phase);
            assert_eq!(situation.phase(), phase);
        }
    }

    #[test]
    fn a_refused_manifest_shows_until_a_good_one_is_in_force() {
        let situation = Situation::new("cluster.yaml".into(), Vec::new());
        situation.refused("bad".to_owned());
        assert_eq!(situation.manifest().error.as_deref(), Some("bad"));
        situation.taken_over(vec!["weak".to_owned()]);
        let manifest = situation.manifest();
        assert_eq!(
            (manifest.error, manifest.reloads, manifest.warnings.len()),
            (None, 1, 1)
        );
    }

    #[test]
    fn trouble_with_the_objects_shows_beside_a_refusal_and_goes_by_itself() {
        let situation = Situation::new("LnsCluster lns/edge".into(), Vec::new());
        situation.refused("bad".to_owned());
        situation.trouble(Some("away".to_owned()));
        situation.taken_over(Vec::new());
        assert_eq!(situation.manifest().trouble.as_deref(), Some("away"));
        situation.trouble(None);
        assert_eq!(situation.manifest().trouble, None);
    }

    #[test]
    fn a_refused_manifest_is_put_right_once_and_stays_counted() {
        let situation = Situation::new("cluster.yaml".into(), Vec::new());
        assert!(!situation.unchanged(), "nothing was refused");
        situation.refused("bad".to_owned());
        situation.refused("still bad".to_owned());
        assert!(situation.unchanged());
        assert!(!situation.unchanged());
        let manifest = situation.manifest();
        assert_eq!(
            (manifest.error, manifest.reloads, manifest.refusals),
            (None, 0, 2)
        );
    }
}
