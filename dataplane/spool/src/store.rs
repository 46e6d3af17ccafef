//! The file: records by their place, and which of them are interims.
//!
//! What [`Store::apply`] is given is on disk, all of it, when it returns; a crash before leaves all as it
//! was. A file that cannot be read is moved aside, and another one begun: records that come are worth more
//! than those that cannot be had any more.

use core::fmt::Display;
use core::panic::AssertUnwindSafe;
use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use lns_radius::delivery::Place;
use lns_radius::record::Status;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageError, Table,
    TableDefinition,
};
use tracing::{error, info, warn};

use crate::entry::{Entry, Unread};

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const INTERIMS: TableDefinition<'_, u64, u64> = TableDefinition::new("interims");
const FIGURES: TableDefinition<'_, &str, u64> = TableDefinition::new("figures");

/// The octets of all records, in [`FIGURES`].
const OCTETS: &str = "octets";

/// What of the file is kept in memory, octets: some hundred pages, for it is written and read at its ends.
const CACHE: usize = 4 * 1024 * 1024;

/// A change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Another record, behind all others.
    Append(Entry),
    /// A server has it.
    Remove(Place),
    /// How many octets all records may have.
    Limit(u64),
}

/// What is in the file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Content {
    pub(crate) records: u64,
    pub(crate) octets: u64,
    /// When the first happened, seconds since 1970.
    pub(crate) oldest: Option<u64>,
    /// The place of the last that was added.
    pub(crate) last: Option<Place>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) entries: Vec<(Place, Entry)>,
    /// Up to here there is nothing else.
    pub(crate) through: Option<Place>,
    /// But so many that another version has written.
    pub(crate) foreign: u64,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// `None`: it could not be opened again yet.
    database: Option<Database>,
    /// The next record's.
    place: u64,
    limit: u64,
    /// Records up to here are on their way to servers: they are not given up.
    loaded: Option<Place>,
    pub(crate) content: Content,
    /// Interims that were given up for want of room.
    pub(crate) dropped: u64,
}

impl Store {
    /// Opens the file, or begins one. What is there and unreadable is moved aside.
    ///
    /// # Errors
    /// There can be no file in this place now.
    pub(crate) fn open(path: &Path, limit: u64) -> Result<Self, redb::Error> {
        let opened = guarded(|| Self::try_open(path, limit));
        match opened {
            Err(error) if is_damage(&error) => {
                set_aside(path, &error);
                guarded(|| Self::try_open(path, limit))
            }
            other => other,
        }
    }

    fn try_open(path: &Path, limit: u64) -> Result<Self, redb::Error> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        builder.set_check_integrity_on_open(true);
        Self::with(builder.create(path)?, path, limit)
    }

    /// One that is gone with the process.
    ///
    /// # Errors
    /// None is to be expected.
    pub(crate) fn in_memory(path: &Path, limit: u64) -> Result<Self, redb::Error> {
        let database = Builder::new().create_with_backend(InMemoryBackend::new())?;
        Self::with(database, path, limit)
    }

    fn with(mut database: Database, path: &Path, limit: u64) -> Result<Self, redb::Error> {
        let mut store = {
            let transaction = database.begin_write()?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(INTERIMS)?;
            transaction.open_table(FIGURES)?;
            transaction.commit()?;
            let transaction = database.begin_read()?;
            let records = transaction.open_table(RECORDS)?;
            let octets = transaction.open_table(FIGURES)?.get(OCTETS)?;
            let octets = octets.map_or(0, |octets| octets.value());
            let content = content(&records, octets)?;
            if content.records == 0 {
                drop((records, transaction));
                database.compact().map_err(redb::Error::from)?;
            }
            Self {
                path: path.to_owned(),
                database: Some(database),
                place: content.last.map_or(0, |last| last.0.saturating_add(1)),
                limit,
                loaded: None,
                content,
                dropped: 0,
            }
        };
        store.apply(&[])?;
        if store.content.records > 0 {
            let Content {
                records, octets, ..
            } = store.content;
            info!(
                records,
                octets, "records of accounting of an earlier life wait for a server"
            );
        }
        Ok(store)
    }

    /// Opens the file again after an error. `true`: the changes that [`apply`](Self::apply) has failed to
    /// make last were made.
    ///
    /// # Errors
    /// It is not to be had now; try again.
    pub(crate) fn reopen(&mut self) -> Result<bool, redb::Error> {
        self.database = None;
        let fresh = Self::open(&self.path, self.limit)?;
        // All changes are made or none, so one that was appended shows what became of the others.
        let were_made = fresh.place > self.place;
        self.place = self.place.max(fresh.place);
        self.database = fresh.database;
        self.content = Content {
            last: self.place.checked_sub(1).map(Place),
            ..fresh.content
        };
        Ok(were_made)
    }

    #[cfg(test)]
    pub(crate) fn close(&mut self) {
        self.database = None;
    }

    /// Makes all changes, in their order, and gives interims up if there are too many octets then.
    ///
    /// # Errors
    /// Nothing has changed.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), redb::Error> {
        guarded(|| self.try_apply(changes))
    }

    fn try_apply(&mut self, changes: &[Change]) -> Result<(), redb::Error> {
        let database = self.database.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let transaction = database.begin_write()?;
        let (mut limit, mut place) = (self.limit, self.place);
        let (content, dropped) = {
            let mut tables = Tables {
                records: transaction.open_table(RECORDS)?,
                interims: transaction.open_table(INTERIMS)?,
                octets: self.content.octets,
            };
            for change in changes {
                match change {
                    Change::Append(entry) => {
                        tables.append(place, entry)?;
                        place = place.saturating_add(1);
                    }
                    Change::Remove(place) => tables.remove(*place)?,
                    Change::Limit(octets) => limit = *octets,
                }
            }
            let dropped = tables.shed(limit, self.loaded)?;
            let mut figures = transaction.open_table(FIGURES)?;
            figures.insert(OCTETS, tables.octets)?;
            let mut content = content(&tables.records, tables.octets)?;
            content.last = place.checked_sub(1).map(Place);
            (content, dropped)
        };
        transaction.commit()?;
        self.content = content;
        self.limit = limit;
        self.place = place;
        self.dropped = self.dropped.saturating_add(dropped);
        Ok(())
    }

    /// The next records behind `after`, at most `count`; they are not given up any more. One that is damaged
    /// is taken out; one of another version stays where it is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn load(
        &mut self,
        after: Option<Place>,
        count: usize,
    ) -> Result<Loaded, redb::Error> {
        let (loaded, unreadable) = guarded(|| self.read(after, count))?;
        self.loaded = self.loaded.max(loaded.through);
        if loaded.foreign > 0 {
            error!(
                records = loaded.foreign,
                "records of accounting were written by another version of lnsd: they are kept for it, and are not delivered"
            );
        }
        if !unreadable.is_empty() {
            error!(
                records = unreadable.len(),
                "records of accounting cannot be read any more, and are lost"
            );
            self.apply(&unreadable)?;
        }
        Ok(loaded)
    }

    fn read(
        &self,
        after: Option<Place>,
        count: usize,
    ) -> Result<(Loaded, Vec<Change>), redb::Error> {
        let first = after.map_or(0, |place| place.0.saturating_add(1));
        let database = self.database.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let transaction = database.begin_read()?;
        let records = transaction.open_table(RECORDS)?;
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        let (mut through, mut read, mut foreign) = (after, 0_usize, 0_u64);
        for record in records.range(first..)?.take(count) {
            let (place, octets) = record?;
            let place = Place(place.value());
            through = Some(place);
            read = read.saturating_add(1);
            match Entry::parse(octets.value()) {
                Ok(entry) => entries.push((place, entry)),
                Err(Unread::Damaged) => unreadable.push(Change::Remove(place)),
                Err(Unread::Foreign) => foreign = foreign.saturating_add(1),
            }
        }
        if read < count {
            // There are no more, though the last may have been taken out.
            through = through.max(self.content.last);
        }
        let loaded = Loaded {
            entries,
            through,
            foreign,
        };
        Ok((loaded, unreadable))
    }
}

/// The tables while they are being changed.
struct Tables<'t> {
    records: Table<'t, u64, &'static [u8]>,
    interims: Table<'t, u64, u64>,
    octets: u64,
}

impl Tables<'_> {
    fn append(&mut self, place: u64, entry: &Entry) -> Result<(), redb::Error> {
        let octets = entry.to_octets();
        let len = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        self.records.insert(place, &*octets)?;
        if entry.status == Status::Interim {
            self.interims.insert(place, len)?;
        }
        self.octets = self.octets.saturating_add(len);
        Ok(())
    }

    fn remove(&mut self, place: Place) -> Result<(), redb::Error> {
        let removed = self.records.remove(place.0)?;
        let len = removed.map_or(0, |octets| octets.value().len());
        self.interims.remove(place.0)?;
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.octets = self.octets.saturating_sub(len);
        Ok(())
    }

    /// Gives up the oldest interims until all that is left has at most `limit` octets, or there are no
    /// more. How many.
    fn shed(&mut self, limit: u64, loaded: Option<Place>) -> Result<u64, redb::Error> {
        let first = loaded.map_or(0, |place| place.0.saturating_add(1));
        let mut dropped = 0_u64;
        while self.octets > limit {
            let oldest = self.interims.range(first..)?.next().transpose()?;
            let Some(place) = oldest.map(|(place, _)| Place(place.value())) else {
                break;
            };
            self.remove(place)?;
            dropped = dropped.saturating_add(1);
        }
        Ok(dropped)
    }
}

fn content(
    records: &impl redb::ReadableTable<u64, &'static [u8]>,
    octets: u64,
) -> Result<Content, redb::Error> {
    let oldest = records.first()?;
    let oldest = oldest.and_then(|(_, octets)| Entry::parse(octets.value()).ok());
    Ok(Content {
        records: records.len()?,
        octets,
        oldest: oldest.map(|entry| entry.date),
        last: records.last()?.map(|(place, _)| Place(place.value())),
    })
}

/// A file that was changed by others may make the database panic: that is damage, too.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let damage = StorageError::Corrupted("the file was changed".to_owned());
        Err(damage.into())
    })
}

/// Whether the file will never be read, whatever the machine does.
pub(crate) fn is_damage(error: &redb::Error) -> bool {
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
pub(crate) fn set_aside(path: &Path, why: &impl Display) {
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
            "{} is damaged ({why}) and was moved to {}: the records of accounting in it are not delivered",
            path.display(),
            aside.display()
        ),
        Err(error) => warn!("{} cannot be moved aside: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests;
