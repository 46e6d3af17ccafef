//! The file: records by their paths, each with its mark in front.

use core::fmt::Display;
use core::ops::Bound;
use core::panic::AssertUnwindSafe;
use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lns_cluster::Epoch;
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageError, Table,
    TableDefinition,
};
use tracing::error;

use crate::embedded::clerk::away;
use crate::embedded::{OpenError, Place};
use crate::error::{Error, Refusal};
use crate::record::{Key, Mark, Record, Write};

/// Of each record epoch, place, and what it says.
const RECORDS: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("records");

/// What of the file is kept in memory, octets.
const CACHE: usize = 16 * 1024 * 1024;

/// The first path behind those of tunnels.
const BEHIND_TUNNELS: &str = "t0";

/// Some records, and where to go on.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    pub(crate) next: Option<Place>,
}

/// The file.
pub(crate) struct File {
    path: PathBuf,
    /// `None`: it has failed, and is opened again before the next use.
    database: Option<Database>,
}

impl File {
    /// Opens the file, or begins one. What is there and unreadable is moved aside.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = match open(path) {
            Err(damage) if is_damage(&damage) => {
                set_aside(path, &damage);
                open(path)
            }
            opened => opened,
        };
        let path_text = || path.display().to_string().into();
        match opened {
            Ok(database) => Ok(Self {
                path: path.to_owned(),
                database: Some(database),
            }),
            Err(redb::Error::DatabaseAlreadyOpen) => Err(OpenError::Locked(path_text())),
            Err(error) => Err(OpenError::Disk {
                path: path_text(),
                why: error.to_string().into(),
            }),
        }
    }

    /// Makes those of the changes that are not refused, all or none. What became of each.
    ///
    /// # Errors
    /// The disk fails: none is made, or it is unknown.
    pub(crate) fn apply(&mut self, writes: &[&Write]) -> Result<Vec<Result<(), Error>>, Error> {
        let prepared = self.with(|database| {
            let transaction = database.begin_write()?;
            let results = {
                let mut table = transaction.open_table(RECORDS)?;
                let make = |write: &&Write| make(&mut table, write);
                writes
                    .iter()
                    .map(make)
                    .collect::<Result<_, redb::Error>>()?
            };
            Ok((transaction, results))
        });
        let (transaction, results): (redb::WriteTransaction, Vec<_>) = prepared?;
        if guarded(|| Ok(transaction.commit()?)).is_err() {
            self.database = None;
            return Err(Error::Unknown);
        }
        Ok(results)
    }

    /// So many records from this place on.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn page(&mut self, from: &Place, count: usize) -> Result<Page, Error> {
        self.with(|database| page(database, from, count))
    }

    /// Does something with the database, which is opened again if it has failed before.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let done = match self.database.take().map_or_else(|| open(&self.path), Ok) {
            Ok(database) => guarded(|| work(&database)).map(|done| (database, done)),
            Err(error) => Err(error),
        };
        let (database, done) = done.map_err(|error| away(&self.path, &error))?;
        self.database = Some(database);
        Ok(done)
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        builder.set_check_integrity_on_open(true);
        let database = builder.create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(RECORDS)?;
        transaction.commit()?;
        Ok(database)
    })
}

/// Makes one change, unless the record refuses it, as it does in Redis.
fn make(
    table: &mut Table<'_, &'static str, (u64, u64, &'static [u8])>,
    write: &Write,
) -> Result<Result<(), Error>, redb::Error> {
    let path = write.key().as_str();
    let stored = table.get(path)?.map(|record| {
        let (epoch, seq, _) = record.value();
        mark(epoch, seq)
    });
    match write {
        Write::Put { mark, blob, .. } => {
            if let Some(stored) = stored.filter(|stored| stored >= mark) {
                return Ok(Err(Refusal::StaleSeq { stored }.into()));
            }
            table.insert(path, (mark.epoch().number(), mark.seq(), &blob[..]))?;
        }
        Write::Forget { at, .. } => {
            if let Some(stored) = stored.filter(|stored| stored != at) {
                return Ok(Err(Refusal::Changed { stored }.into()));
            }
            table.remove(path)?;
        }
    }
    Ok(Ok(()))
}

fn page(database: &Database, from: &Place, count: usize) -> Result<Page, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(RECORDS)?;
    let behind = |key: &'_ Option<Key>, first| match key {
        Some(key) => Bound::Excluded(key.as_str().to_owned()),
        None => first,
    };
    let (first, last) = match from {
        Place::Tunnels(key) => (
            behind(key, Bound::Included("t/".to_owned())),
            Bound::Excluded(BEHIND_TUNNELS),
        ),
        Place::Others(key) => (behind(key, Bound::Unbounded), Bound::Unbounded),
    };
    let first = first.as_ref().map(String::as_str);
    let mut records = Vec::new();
    let mut last_key = None;
    for pair in table.range::<&str>((first, last))?.take(count) {
        let (path, record) = pair?;
        let Ok(key) = path.value().parse::<Key>() else {
            continue;
        };
        last_key = Some(key.clone());
        if key.is_tunnel() && matches!(from, Place::Others(_)) {
            continue;
        }
        let (epoch, seq, blob) = record.value();
        records.push(Record {
            key,
            mark: mark(epoch, seq),
            blob: Bytes::copy_from_slice(blob),
        });
    }
    let next = match (from, last_key) {
        (Place::Tunnels(_), None) => Some(Place::Others(None)),
        (Place::Tunnels(_), key) => Some(Place::Tunnels(key)),
        (Place::Others(_), None) => None,
        (Place::Others(_), key) => Some(Place::Others(key)),
    };
    Ok(Page { records, next })
}

/// A mark that was one when it was written.
fn mark(epoch: u64, seq: u64) -> Mark {
    let epoch = Epoch::new(epoch);
    epoch
        .and_then(|epoch| Mark::new(epoch, seq))
        .unwrap_or(Mark::ZERO)
}

/// A file that was changed by others may make the database panic: that is damage, too.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let damage = StorageError::Corrupted("the file was changed".to_owned());
        Err(damage.into())
    })
}

/// Whether the file will never be read, whatever the machine does.
fn is_damage(error: &redb::Error) -> bool {
    if let redb::Error::Io(error) = error {
        return error.kind() == io::ErrorKind::InvalidData;
    }
    matches!(
        error,
        redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
    )
}

/// Puts a file out of the way under the first name that is free.
fn set_aside(path: &Path, why: &impl Display) {
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let Some(aside) = (1..u32::MAX).map(name).find(|name| !name.exists()) else {
        return;
    };
    match fs::rename(path, &aside) {
        Ok(()) => error!(
            "{} is damaged ({why}) and was moved to {}: sessions of before are not resumed",
            path.display(),
            aside.display()
        ),
        Err(error) => error!("{} cannot be moved aside: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_is_told_and_tried_again_at_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let mut file = File::open(&path).unwrap();
        let write = Write::Put {
            key: "t/1".parse().unwrap(),
            mark: Mark::new(Epoch::new(1).unwrap(), 1).unwrap(),
            blob: Bytes::new(),
        };
        // As after an error, and then there is a folder in its place.
        file.database = None;
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let failed = file.apply(&[&write]).unwrap_err();
        assert!(matches!(failed, Error::Away(_)), "{failed}");
        assert!(file.page(&Place::Tunnels(None), 1).is_err());
        fs::remove_dir(&path).unwrap();
        assert!(file.apply(&[&write]).unwrap()[0].is_ok());
        assert_eq!(
            file.page(&Place::Tunnels(None), 1).unwrap().records.len(),
            1
        );
    }
}
