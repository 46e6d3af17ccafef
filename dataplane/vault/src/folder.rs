//! The folder: keys, marks and octets in a log-structured store (`fjall`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use lns_cluster::Epoch;
use lns_cluster::journal::{Change, Mark, Round};
use tracing::error;

use crate::OpenError;

/// The name of the folder in the state folder.
pub const FOLDER: &str = "records";

/// What of it is kept in memory, octets: it is read whole, once, and then only written.
const CACHE: u64 = 4 * 1024 * 1024;

/// Records that are not in their place yet, octets in memory.
const UNSORTED: u64 = 16 * 1024 * 1024;

/// What is written before it is sorted, octets on disk: some changes of each of 100,000 sessions, and as
/// little as the store lets be said.
const LOG: u64 = 64 * 1024 * 1024;

/// A mark in front of each record: epoch and place.
const MARK: usize = 16;

/// A record as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Whose it is.
    pub key: String,
    /// Its last change.
    pub mark: Mark,
    /// What it says.
    pub octets: Box<[u8]>,
}

/// The open folder.
pub(crate) struct Folder {
    path: PathBuf,
    /// `None`: it could not be opened again yet.
    store: Option<(Database, Keyspace)>,
}

impl core::fmt::Debug for Folder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Folder")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Folder {
    /// Opens the folder, or begins it; what is there and unreadable is moved aside. All records, tunnels
    /// first.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Entry>), OpenError> {
        let failed = |cause: fjall::Error| {
            let path = path.display().to_string();
            if matches!(cause, fjall::Error::Locked) {
                return OpenError::Locked(path);
            }
            let cause = said(&cause);
            OpenError::Io { path, cause }
        };
        match Self::read(path) {
            Ok(opened) => Ok(opened),
            Err(cause) if is_damage(&cause) => {
                set_aside(path, &cause).map_err(|cause| OpenError::Io {
                    path: path.display().to_string(),
                    cause: cause.to_string(),
                })?;
                Self::read(path).map_err(failed)
            }
            Err(cause) => Err(failed(cause)),
        }
    }

    fn read(path: &Path) -> fjall::Result<(Self, Vec<Entry>)> {
        let store = open(path)?;
        let mut tunnels = Vec::new();
        let mut others = Vec::new();
        for pair in store.1.iter() {
            let (key, value) = pair.into_inner()?;
            let Some(entry) = entry(&key, &value) else {
                // Whoever wrote it knew more than we do, or less: it is no session of ours.
                error!(key = %String::from_utf8_lossy(&key), "a session record without a mark is left alone");
                continue;
            };
            if entry.key.starts_with("t/") {
                tunnels.push(entry);
            } else {
                others.push(entry);
            }
        }
        tunnels.append(&mut others);
        let folder = Self {
            path: path.to_owned(),
            store: Some(store),
        };
        Ok((folder, tunnels))
    }

    /// Opens it once more, after it has failed.
    pub(crate) fn reopen(&mut self) -> fjall::Result<()> {
        self.store = None;
        self.store = Some(open(&self.path)?);
        Ok(())
    }

    /// Stores all of these rounds, in one go.
    pub(crate) fn write(&self, rounds: &[Round<String>]) -> fjall::Result<()> {
        let Some((database, records)) = &self.store else {
            return Err(fjall::Error::Poisoned);
        };
        let mut batch = database.batch();
        for write in rounds.iter().flat_map(|round| &round.writes) {
            match &write.change {
                Change::Put(octets) => {
                    let mut value = Vec::with_capacity(MARK.saturating_add(octets.len()));
                    value.extend(write.mark.epoch.number().to_be_bytes());
                    value.extend(write.mark.seq.to_be_bytes());
                    value.extend_from_slice(octets);
                    batch.insert(records, write.key.as_bytes(), value);
                }
                Change::Forget => batch.remove(records, write.key.as_bytes()),
            }
        }
        batch.commit()
    }
}

fn open(path: &Path) -> fjall::Result<(Database, Keyspace)> {
    let database = Database::builder(path)
        .cache_size(CACHE)
        .max_journaling_size(LOG)
        .worker_threads(1)
        .open()?;
    let records = database.keyspace("records", || {
        KeyspaceCreateOptions::default().max_memtable_size(UNSORTED)
    })?;
    Ok((database, records))
}

fn entry(key: &[u8], value: &[u8]) -> Option<Entry> {
    let key = core::str::from_utf8(key).ok()?.to_owned();
    let (epoch, rest) = value.split_first_chunk::<8>()?;
    let (seq, octets) = rest.split_first_chunk::<8>()?;
    let mark = Mark {
        epoch: Epoch::new(u64::from_be_bytes(*epoch))?,
        seq: u64::from_be_bytes(*seq),
    };
    Some(Entry {
        key,
        mark,
        octets: octets.into(),
    })
}

/// What went wrong, in the system's words where it was the system.
pub(crate) fn said(error: &fjall::Error) -> String {
    if let fjall::Error::Io(error) = error {
        return error.to_string();
    }
    error.to_string()
}

/// Whether what is there is the cause, and not the system.
const fn is_damage(error: &fjall::Error) -> bool {
    !matches!(error, fjall::Error::Io(_) | fjall::Error::Locked)
}

/// Moves what cannot be read to a name of its own.
fn set_aside(path: &Path, cause: &fjall::Error) -> io::Result<()> {
    let free = (0..1000)
        .map(|number| path.with_extension(format!("damaged-{number}")))
        .find(|free| !free.exists());
    let Some(to) = free else {
        return fs::remove_dir_all(path);
    };
    error!(
        "{} cannot be read ({}): it is kept as {}, and sessions of before are not resumed",
        path.display(),
        said(cause),
        to.display()
    );
    fs::rename(path, to)
}
