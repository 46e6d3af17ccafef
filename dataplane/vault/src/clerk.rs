//! The thread that owns the folder: rounds come to it, are stored in groups, and then it says so.

use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

use lns_cluster::journal::Round;
use tracing::{error, info};

use crate::News;
use crate::folder::{Folder, said};

/// Rounds that are stored in one go.
const GROUP: usize = 64;

/// How long a disk that fails is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

type Ends = (Sender<Round<String>>, Receiver<News>, JoinHandle<()>);

pub(crate) fn start(folder: Folder, wake: impl Fn() + Send + 'static) -> io::Result<Ends> {
    let (rounds, received) = channel();
    let (told, news) = channel();
    let work = Work {
        folder,
        rounds: received,
        told,
        wake,
    };
    let thread = thread::Builder::new()
        .name("lnsd-vault".to_owned())
        .spawn(|| work.serve())?;
    Ok((rounds, news, thread))
}

struct Work<W> {
    folder: Folder,
    rounds: Receiver<Round<String>>,
    told: Sender<News>,
    wake: W,
}

impl<W: Fn()> Work<W> {
    /// Works until nobody gives rounds any more.
    fn serve(mut self) {
        while let Ok(first) = self.rounds.recv() {
            let others = core::iter::from_fn(|| self.rounds.try_recv().ok());
            let group: Vec<Round<String>> =
                core::iter::once(first).chain(others).take(GROUP).collect();
            if !self.store(&group) {
                return;
            }
            if let Some(last) = group.last() {
                self.tell(News::Stored(last.ticket));
            }
        }
    }

    /// Stores the rounds, however often it takes. `false`: the disk fails, and the process ends.
    fn store(&mut self, group: &[Round<String>]) -> bool {
        let Err(cause) = self.folder.write(group) else {
            return true;
        };
        error!(
            "session records cannot be written ({}): the node serves on, and it is tried again each second",
            said(&cause)
        );
        self.tell(News::Failing(true));
        // Those that come meanwhile are stored behind these.
        let mut group = group.to_vec();
        loop {
            if self.folder.reopen().is_ok() && self.folder.write(&group).is_ok() {
                info!("session records are written again");
                self.tell(News::Failing(false));
                if let Some(last) = group.last() {
                    self.tell(News::Stored(last.ticket));
                }
                return true;
            }
            match self.rounds.recv_timeout(PATIENCE) {
                Ok(round) => group.push(round),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    error!("the last session records are lost: sessions of now are not resumed");
                    return false;
                }
            }
        }
    }

    fn tell(&self, news: News) {
        // Who has gone does not want to know.
        let _unwanted = self.told.send(news);
        (self.wake)();
    }
}
