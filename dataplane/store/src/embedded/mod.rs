//! The store in a file of the state folder, for a node that is alone: no server, no stream, nobody else.
//!
//! The lock of the file is the fence: while one process has it no other does. Records protect themselves as they do
//! in Redis. What is said to be stored is on disk.

mod clerk;
mod file;

use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use thiserror::Error;
use tokio::sync::oneshot;
use tracing::error;

use crate::error::{Error, Reason};
use crate::record::{Key, Record, Write};
use clerk::Order;

/// The name of the file in the state folder.
pub const FILE: &str = "records.redb";

/// Records of a page.
const PAGE: usize = 1_000;

/// Why there is no store in a file.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{0} is in use by another process: stop that one first, or name another folder with --state"
    )]
    Locked(Box<str>),
    /// The disk has no room, or the folder may not be written to.
    #[error("{path} cannot be opened: {why}")]
    Disk {
        /// Which file.
        path: Box<str>,
        /// What the system says.
        why: Box<str>,
    },
    /// The system has no thread for us.
    #[error("no thread for the session records: {0}")]
    NoThread(#[from] std::io::Error),
}

/// The store, from outside of its thread. It is closed when this is gone.
#[derive(Debug)]
pub struct Embedded {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// All records, page by page.
#[derive(Debug)]
pub struct EmbeddedLoad<'s> {
    store: &'s Embedded,
    /// What is read next; `None`: that was all.
    next: Option<Place>,
}

/// A place among all records, tunnels being first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    /// The tunnels behind this one, or all.
    Tunnels(Option<Key>),
    /// Everything else behind this one, or all.
    Others(Option<Key>),
}

impl Embedded {
    /// Opens the file in `folder`, or begins it. One that cannot be read is moved aside, and that is logged.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let (orders, thread) = clerk::start(&folder.join(FILE))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Makes changes, in their order, and behind those of every earlier call. What became of each, when it is on
    /// disk.
    pub async fn write(&self, writes: Vec<Write>) -> Vec<Result<(), Error>> {
        let count = writes.len();
        let (reply, done) = oneshot::channel();
        match self.order(Order::Write { writes, reply }) {
            Ok(()) => done
                .await
                .unwrap_or_else(|_| vec![Err(Error::Unknown); count]),
            Err(error) => vec![Err(error); count],
        }
    }

    /// Begins to read all records.
    pub const fn load(&self) -> EmbeddedLoad<'_> {
        EmbeddedLoad {
            store: self,
            next: Some(Place::Tunnels(None)),
        }
    }

    fn order(&self, order: Order) -> Result<(), Error> {
        let orders = self.orders.as_ref().ok_or_else(closed)?;
        orders.send(order).map_err(|_| closed())
    }
}

impl EmbeddedLoad<'_> {
    /// The next records; all tunnels come before all others. `None`: that was all.
    ///
    /// # Errors
    /// The disk fails.
    pub async fn page(&mut self) -> Result<Option<Vec<Record>>, Error> {
        let Some(from) = self.next.take() else {
            return Ok(None);
        };
        let (reply, page) = oneshot::channel();
        self.store.order(Order::Load {
            from,
            count: PAGE,
            reply,
        })?;
        let page = page.await.unwrap_or_else(|_| Err(closed()))?;
        self.next = page.next;
        Ok(Some(page.records))
    }
}

impl Drop for Embedded {
    /// Waits until all that was ordered is done.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread that writes session records has failed");
        }
    }
}

fn closed() -> Error {
    Error::Away(Reason::Closed.into())
}
