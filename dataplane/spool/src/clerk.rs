//! The thread that owns the file: changes come to it, are made in groups, and then it says so.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use lns_radius::delivery::Place;
use tracing::{error, info};

use crate::store::{Change, Content, Loaded, Store};

/// Changes that are made in one go: what comes while the disk is busy with the group before.
const GROUP: usize = 4_096;

/// How long a disk that fails is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    Change(Change),
    /// It wants the next records behind this one.
    Load {
        after: Option<Place>,
        count: usize,
    },
}

/// What the thread says.
#[derive(Debug)]
pub(crate) enum News {
    /// So many records more are on disk, and this is what is there now.
    Stored {
        appended: usize,
        content: Content,
        dropped: u64,
    },
    /// What was asked for, in order.
    Loaded(Loaded),
    /// The disk fails; what comes waits in memory.
    Failing(bool),
}

/// The thread, from outside.
#[derive(Debug)]
pub(crate) struct Clerk {
    orders: Option<Sender<Order>>,
    pub(crate) news: Receiver<News>,
    leaves: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clerk {
    /// Opens the file and starts the thread. `wake` is called when there is news.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(crate) fn start(
        path: &Path,
        limit: u64,
        on_disk: Sender<u64>,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<(Self, Content)> {
        let store = open(path, limit)?;
        let content = store.content;
        Ok((Self::with(store, on_disk, wake)?, content))
    }

    /// The same without a file. Nobody is told of what is written.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(crate) fn in_memory(
        limit: u64,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<(Self, Content)> {
        let store = Store::in_memory(Path::new(""), limit).map_err(io::Error::other)?;
        let content = store.content;
        Ok((Self::with(store, channel().0, wake)?, content))
    }

    fn with(
        store: Store,
        on_disk: Sender<u64>,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, received) = channel();
        let (told, news) = channel();
        let leaves = Arc::new(AtomicBool::new(false));
        let work = Work {
            store,
            orders: received,
            told,
            on_disk,
            wake,
            leaves: Arc::clone(&leaves),
        };
        let thread = thread::Builder::new()
            .name("lnsd-spool".to_owned())
            .spawn(|| work.serve())?;
        Ok(Self {
            orders: Some(orders),
            news,
            leaves,
            thread: Some(thread),
        })
    }

    /// Gives an order. It is carried out, or the disk has failed until the end.
    pub(crate) fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after this end is gone.
            let _always_taken = orders.send(order);
        }
    }
}

impl Drop for Clerk {
    /// Waits until all that was ordered is on disk, or the disk has failed once more.
    fn drop(&mut self) {
        self.orders = None;
        self.leaves.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread that writes records of accounting has failed");
        }
    }
}

/// The file, or, if there can be none, one that is gone with the process: the node serves nevertheless.
fn open(path: &Path, limit: u64) -> io::Result<Store> {
    Store::open(path, limit).or_else(|error| {
        error!(
            "{} cannot be opened ({error}): records of accounting are kept in memory only, and are lost with the process",
            path.display()
        );
        Store::in_memory(path, limit).map_err(io::Error::other)
    })
}

struct Work<W> {
    store: Store,
    orders: Receiver<Order>,
    told: Sender<News>,
    on_disk: Sender<u64>,
    wake: W,
    leaves: Arc<AtomicBool>,
}

impl<W: Fn()> Work<W> {
    /// Works until nobody gives orders any more.
    fn serve(mut self) {
        while let Ok(first) = self.orders.recv() {
            let mut changes = Vec::new();
            let mut load = None;
            let others = core::iter::from_fn(|| self.orders.try_recv().ok());
            for order in core::iter::once(first).chain(others).take(GROUP) {
                match order {
                    Order::Change(change) => changes.push(change),
                    Order::Load { after, count } => load = Some((after, count)),
                }
            }
            if !changes.is_empty() && !self.make(&changes) {
                return;
            }
            if let Some((after, count)) = load {
                self.load(after, count);
            }
            (self.wake)();
        }
    }

    /// Makes the changes, however often it takes. `false`: the disk fails, and the process ends.
    fn make(&mut self, changes: &[Change]) -> bool {
        if let Err(error) = self.store.apply(changes)
            && !self.insist(changes, &error)
        {
            return false;
        }
        let appended = changes
            .iter()
            .filter(|change| matches!(change, Change::Append(_)))
            .count();
        for number in changes.iter().filter_map(kept) {
            // Whoever kept it may have gone.
            let _unwanted = self.on_disk.send(number);
        }
        self.tell(News::Stored {
            appended,
            content: self.store.content,
            dropped: self.store.dropped,
        });
        true
    }

    fn insist(&mut self, changes: &[Change], error: &redb::Error) -> bool {
        error!(
            "records of accounting cannot be written ({error}): they wait in memory, and it is tried again each second"
        );
        self.tell(News::Failing(true));
        (self.wake)();
        loop {
            let made = match self.store.reopen() {
                Ok(true) => Ok(()),
                Ok(false) => self.store.apply(changes),
                Err(error) => Err(error),
            };
            let Err(error) = made else {
                info!("records of accounting are written again");
                self.tell(News::Failing(false));
                return true;
            };
            if self.leaves.load(Ordering::Relaxed) {
                error!(
                    changes = changes.len(),
                    "the last records of accounting are lost: {error}"
                );
                return false;
            }
            thread::sleep(PATIENCE);
        }
    }

    fn load(&mut self, after: Option<Place>, count: usize) {
        let loaded = self.store.load(after, count).or_else(|_| {
            self.store.reopen()?;
            self.store.load(after, count)
        });
        let loaded = loaded.unwrap_or_else(|error: redb::Error| {
            error!("records of accounting cannot be read ({error}): it is tried again");
            thread::sleep(PATIENCE);
            Loaded {
                entries: Vec::new(),
                through: after,
                foreign: 0,
            }
        });
        self.tell(News::Loaded(loaded));
    }

    fn tell(&self, news: News) {
        // Who has gone does not want to know.
        let _unwanted = self.told.send(news);
    }
}

/// The number under which an appended record was kept until now.
fn kept(change: &Change) -> Option<u64> {
    match change {
        Change::Append(entry) => entry.kept,
        Change::Remove(_) | Change::Limit(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use lns_radius::record::{Record, Status};
    use lns_tables::time::Instant;
    use lns_wire::radius::AttributeList;

    use super::*;
    use crate::entry::Entry;

    fn record(session: &str) -> Order {
        let record = Record {
            status: Status::Start,
            session: session.into(),
            at: Instant::ZERO,
            attributes: AttributeList::new(),
            realm: None,
            kept: None,
        };
        Order::Change(Change::Append(Entry::new(record, 1)))
    }

    /// A thread whose disk has failed: its file is not open.
    fn failed(path: &Path) -> Clerk {
        let mut store = Store::open(path, u64::MAX).unwrap();
        store.close();
        Clerk::with(store, channel().0, || ()).unwrap()
    }

    #[test]
    fn a_disk_that_fails_is_tried_again_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let clerk = failed(&path);
        clerk.order(record("a"));
        let told = clerk.news.iter().take(3);
        let told: Vec<_> = told.map(|news| format!("{news:?}")).collect();
        assert_eq!(told[..2], ["Failing(true)", "Failing(false)"]);
        assert!(told[2].starts_with("Stored { appended: 1"), "{}", told[2]);
        drop(clerk);
        assert_eq!(Store::open(&path, 1).unwrap().content.records, 1);
    }

    #[test]
    fn a_disk_that_goes_on_failing_does_not_keep_the_process_from_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let clerk = failed(&path);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        clerk.order(record("a"));
        // It comes back.
        drop(clerk);
        assert!(path.is_dir());
    }
}
