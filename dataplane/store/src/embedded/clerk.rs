//! The thread that owns the file: what comes while the disk is busy is made in one go when it no longer is.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tracing::{error, info};

use crate::embedded::file::{File, Page};
use crate::embedded::{OpenError, Place};
use crate::error::{Error, Reason};
use crate::record::Write;

/// Orders that are carried out in one go, at most.
const GROUP: usize = 1_024;

/// What became of changes, to whoever wants them.
type Results = oneshot::Sender<Vec<Result<(), Error>>>;

/// What the thread is told.
pub(crate) enum Order {
    Write {
        writes: Vec<Write>,
        reply: Results,
    },
    /// Somebody wants so many records from this place on.
    Load {
        from: Place,
        count: usize,
        reply: oneshot::Sender<Result<Page, Error>>,
    },
}

/// Opens the file and starts the thread.
pub(crate) fn start(path: &Path) -> Result<(Sender<Order>, JoinHandle<()>), OpenError> {
    let file = File::open(path)?;
    let (orders, received) = channel();
    let clerk = Clerk {
        file,
        is_failing: false,
    };
    let thread = thread::Builder::new()
        .name("lnsd-records".to_owned())
        .spawn(move || clerk.serve(&received))?;
    Ok((orders, thread))
}

struct Clerk {
    file: File,
    /// The disk has failed last time.
    is_failing: bool,
}

impl Clerk {
    /// Works until nobody gives orders any more.
    fn serve(mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let others = core::iter::from_fn(|| orders.try_recv().ok());
            let mut batches = Vec::new();
            for order in core::iter::once(first).chain(others).take(GROUP) {
                match order {
                    Order::Write { writes, reply } => batches.push((writes, reply)),
                    Order::Load { from, count, reply } => {
                        // It sees what was ordered before it.
                        self.write(core::mem::take(&mut batches));
                        self.load(&from, count, reply);
                    }
                }
            }
            self.write(batches);
        }
    }

    fn write(&mut self, batches: Vec<(Vec<Write>, Results)>) {
        if batches.is_empty() {
            return;
        }
        let writes: Vec<&Write> = batches.iter().flat_map(|(writes, _)| writes).collect();
        let made = self.file.apply(&writes);
        self.judge(&made);
        let mut results = match made {
            Ok(results) => results,
            Err(error) => vec![Err(error); writes.len()],
        }
        .into_iter();
        for (writes, reply) in batches {
            let theirs = results.by_ref().take(writes.len()).collect();
            // Who has gone does not want to know.
            let _unwanted = reply.send(theirs);
        }
    }

    fn load(&mut self, from: &Place, count: usize, reply: oneshot::Sender<Result<Page, Error>>) {
        let page = self.file.page(from, count);
        self.judge(&page);
        // Who has gone does not want to know.
        let _unwanted = reply.send(page);
    }

    /// Says when the disk begins to fail, and when it no longer does.
    fn judge<T>(&mut self, done: &Result<T, Error>) {
        let fails = done.is_err();
        match done {
            Err(cause) if !self.is_failing => error!("session records cannot be written: {cause}"),
            Ok(_) if self.is_failing => info!("session records are written again"),
            Ok(_) | Err(_) => {}
        }
        self.is_failing = fails;
    }
}

/// Nothing was done, since the disk fails.
pub(crate) fn away(path: &Path, why: &redb::Error) -> Error {
    Error::Away(Arc::new(Reason::Disk {
        path: path.display().to_string().into(),
        why: why.to_string().into(),
    }))
}
