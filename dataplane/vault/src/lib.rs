//! Session records of a node that serves alone, in its state folder: the store of `lnsd run --manifest`
//! (spec: cluster, 2, "Standalone with `--state`").
//!
//! What is said to be stored has been handed to the kernel: it is there after any end of the process. It is
//! not forced onto the disk, for a machine that crashes is away for longer than LACs wait, and what is left
//! of its sessions then is their accounting, which has a file of its own (`lns-spool`).
//!
//! [`Vault`] gives all records out when it is opened, takes the rounds of a
//! [`Journal`](lns_cluster::journal::Journal), and says which are stored. A thread of its own writes, as
//! many rounds in one go as have come meanwhile.
//!
//! A folder that cannot be read is moved aside, and another one begun: sessions can dial in again, and a
//! node that does not start serves nobody.
#![forbid(unsafe_code)]

mod clerk;
mod folder;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;

use lns_cluster::journal::{Mark, Round, Ticket};
use thiserror::Error;
use tracing::error;

pub use folder::{Entry, FOLDER};

/// Why there is no vault.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{0} is in use by another process: stop that one first, or name another folder with --state"
    )]
    Locked(String),
    /// The disk has no room, or the folder may not be written to.
    #[error("{path} cannot be opened: {cause}")]
    Io {
        /// Which folder.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// The system has no thread for us.
    #[error("no thread for the records: {0}")]
    NoThread(std::io::Error),
}

/// What the thread says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// This round and all before it are stored.
    Stored(Ticket),
    /// The disk fails (`true`), or takes what it was given again. Nothing is lost meanwhile but with the
    /// process.
    Failing(bool),
}

/// The store, from outside of its thread.
#[derive(Debug)]
pub struct Vault {
    rounds: Option<Sender<Round<String>>>,
    news: Receiver<News>,
    thread: Option<JoinHandle<()>>,
}

impl Vault {
    /// Opens the store in `state`, or begins one, and reads all of it: tunnels before everything else.
    /// `wake` is called from another thread when there is news.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        state: &Path,
        wake: impl Fn() + Send + 'static,
    ) -> Result<(Self, Vec<Entry>), OpenError> {
        let (folder, entries) = folder::Folder::open(&state.join(FOLDER))?;
        let (rounds, news, thread) = clerk::start(folder, wake).map_err(OpenError::NoThread)?;
        let vault = Self {
            rounds: Some(rounds),
            news,
            thread: Some(thread),
        };
        Ok((vault, entries))
    }

    /// Stores a round, behind all that were given before.
    pub fn write(&self, round: Round<String>) {
        if let Some(rounds) = &self.rounds {
            // The thread ends only after this end is gone.
            let _always_taken = rounds.send(round);
        }
    }

    /// What the thread has done since it was asked last.
    pub fn poll_news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

impl Drop for Vault {
    /// Waits until all that was given is stored, or the disk has failed once more.
    fn drop(&mut self) {
        self.rounds = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread that writes session records has failed");
        }
    }
}

/// The last mark of all entries: what is written next comes behind it.
pub fn last_mark(entries: &[Entry]) -> Mark {
    entries
        .iter()
        .map(|entry| entry.mark)
        .max()
        .unwrap_or_default()
}
