//! The sysctls of our two interfaces, and their former values.
//!
//! Only `conf/<interface>` is touched, never `conf/all`. Values of the core's interface are written
//! to a file before they are changed, so that a start after a `kill -9` still knows what to restore.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::HostError;

/// Where the settings of the network are.
pub(crate) const ROOT: &str = "/proc/sys/net";
const FORMER_VALUES: &str = "sysctls.json";

/// What the subscribers' interface needs; it is ours, so there is nothing to restore.
///
/// - `rp_filter`: the workers check the source of each packet against its session, which is stricter.
/// - `accept_local`: the workers' ICMP errors come in with the address of our own end.
/// - `send_redirects`: subscribers are no hosts on a common wire.
const SUBSCRIBER_INTERFACE: [(&str, &str); 4] = [
    ("forwarding", "1"),
    ("rp_filter", "0"),
    ("accept_local", "1"),
    ("send_redirects", "0"),
];

/// The sysctls that were changed.
#[derive(Debug)]
pub(super) struct Sysctls {
    root: PathBuf,
    file: PathBuf,
    former: BTreeMap<String, String>,
}

impl Sysctls {
    /// Takes up what an earlier process left below `state`. Settings are below `root`.
    pub(super) fn open(root: &Path, state: &Path) -> Result<Self, HostError> {
        let file = state.join(FORMER_VALUES);
        let former = match fs::read(&file) {
            // A file that was cut short tells nothing that could be restored.
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(failed(&file, source)),
        };
        Ok(Self {
            root: root.to_owned(),
            file,
            former,
        })
    }

    /// Prepares the interface that the datapath has made.
    pub(super) fn set_subscriber_interface(&self, interface: &str) -> Result<(), HostError> {
        for (name, value) in SUBSCRIBER_INTERFACE {
            let path = self.root.join("ipv4/conf").join(interface).join(name);
            fs::write(&path, value).map_err(|source| failed(&path, source))?;
        }
        // No session has IPv6 yet; a kernel without it has no such file.
        let path = self
            .root
            .join("ipv6/conf")
            .join(interface)
            .join("disable_ipv6");
        if path.exists() {
            fs::write(&path, "1").map_err(|source| failed(&path, source))
        } else {
            Ok(())
        }
    }

    /// Lets packets that come in from the core be routed on.
    pub(super) fn set_core_interface(&mut self, interface: &str) -> Result<(), HostError> {
        self.set(&format!("ipv4/conf/{interface}/forwarding"), "1")
    }

    /// What else must be set, below `/proc/sys/net`.
    pub(super) fn require(&mut self, name: &str, value: &str) -> Result<(), HostError> {
        self.set(name, value)
    }

    /// Puts the former values back. An interface that is gone needs none.
    pub(super) fn restore(&mut self) -> Result<(), HostError> {
        for (name, value) in &self.former {
            let path = self.root.join(name);
            match fs::write(&path, value) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&path, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.former.clear();
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.file, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), HostError> {
        let path = self.root.join(name);
        let current = fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
        if current.trim() == value {
            return Ok(());
        }
        if !self.former.contains_key(name) {
            self.former
                .insert(name.to_owned(), current.trim().to_owned());
            self.remember()?;
        }
        fs::write(&path, value).map_err(|source| failed(&path, source))
    }

    fn remember(&self) -> Result<(), HostError> {
        let text =
            serde_json::to_vec(&self.former).map_err(|error| failed(&self.file, error.into()))?;
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &self.file))
            .map_err(|source| failed(&self.file, source))
    }
}

/// Each setting that we change: its value, and the former one where that is put back at the end.
/// Former values are below `state`.
pub(crate) fn changed(state: &Path) -> Result<String, HostError> {
    let sysctls = Sysctls::open(Path::new(ROOT), state)?;
    let ours = SUBSCRIBER_INTERFACE
        .map(|(name, _)| (format!("ipv4/conf/{}/{name}", super::INTERFACE), None));
    let others = sysctls
        .former
        .into_iter()
        .map(|(name, former)| (name, Some(former)));
    let mut text = String::new();
    for (name, former) in ours.into_iter().chain(others) {
        let value = fs::read_to_string(sysctls.root.join(&name));
        let value = value.map_or_else(|error| error.to_string(), |value| value.trim().to_owned());
        let before = former.map_or_else(String::new, |former| format!(" (before: {former})"));
        // Writing into a String does not fail.
        writeln!(text, "{name} = {value}{before}").ok();
    }
    Ok(text)
}

fn failed(path: &Path, source: io::Error) -> HostError {
    HostError::Sysctl {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(forwarding: &str) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let core = tree.path().join("ipv4/conf/core0");
        fs::create_dir_all(&core).unwrap();
        fs::write(core.join("forwarding"), forwarding).unwrap();
        tree
    }

    fn forwarding(tree: &tempfile::TempDir) -> String {
        fs::read_to_string(tree.path().join("ipv4/conf/core0/forwarding")).unwrap()
    }

    #[test]
    fn what_was_changed_is_restored_even_by_the_next_process() {
        let tree = tree("0\n");
        let state = tempfile::tempdir().unwrap();
        let mut killed = Sysctls::open(tree.path(), state.path()).unwrap();
        killed.set_core_interface("core0").unwrap();
        assert_eq!(forwarding(&tree), "1");
        drop(killed);

        let mut next = Sysctls::open(tree.path(), state.path()).unwrap();
        next.set_core_interface("core0").unwrap();
        next.restore().unwrap();
        assert_eq!(forwarding(&tree), "0");
        assert!(!state.path().join(FORMER_VALUES).exists());
    }

    #[test]
    fn what_was_right_already_is_left_alone() {
        let tree = tree("1\n");
        let state = tempfile::tempdir().unwrap();
        let mut sysctls = Sysctls::open(tree.path(), state.path()).unwrap();
        sysctls.set_core_interface("core0").unwrap();
        assert!(!state.path().join(FORMER_VALUES).exists());
        sysctls.restore().unwrap();
        assert_eq!(forwarding(&tree), "1\n");
    }

    #[test]
    fn an_interface_that_is_gone_needs_no_restoring() {
        let tree = tree("0");
        let state = tempfile::tempdir().unwrap();
        let mut sysctls = Sysctls::open(tree.path(), state.path()).unwrap();
        sysctls.set_core_interface("core0").unwrap();
        fs::remove_dir_all(tree.path().join("ipv4/conf/core0")).unwrap();
        sysctls.restore().unwrap();
    }
}
