//! Following the store: all records, and then every change, over any number of connections (specification, 14;
//! spec: cluster, 2 and 3).
//!
//! A task reads everything, tunnels first, and goes on with the stream. Where the stream has a gap, or the server
//! has other data than before, it says [`Told::Loading`] and reads everything anew: what was not read by
//! [`Told::Loaded`] is gone. Order is kept, and the task waits for whoever takes.
//!
//! # Which change counts
//! While everything is read, a record may come in several states, and of one that is gone the stream may still
//! tell: whoever takes keeps of each record the change with the later mark, and drops a forgotten one unless its
//! own is later. A store that was rewound by a failover may have a record that is older than what is known;
//! the master, whose memory is the truth, writes it again under a later mark.
//!
//! # What is not here
//! What a record says, and who sweeps what was not read (`lns_node::Node::handle_reloaded`).

use core::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::journal::Mark;
use lns_cluster::{Epoch, Identity};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::warn;

use crate::error::{Error, Reason};
use crate::record::{Entry, Event, Key};
use crate::remote::{Backoff, Followed, Origin, Redis, State, Tail};

/// What a follower tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// Everything is read anew from here on.
    Loading,
    /// A record says this.
    Record {
        /// Which.
        key: Key,
        /// Its last change.
        mark: Mark,
        /// What it says.
        blob: Bytes,
    },
    /// A record is gone for good, unless it has a later change than this.
    Forgotten {
        /// Which.
        key: Key,
        /// The change that has ended it.
        mark: Mark,
    },
    /// Somebody is master from here on.
    Claim {
        /// In which epoch.
        epoch: Epoch,
        /// Who.
        holder: Identity,
        /// Who belongs to the cluster; a blob.
        roster: Bytes,
    },
    /// Everything was read; what was not is gone. Changes up to here are in it, and those behind it follow.
    Loaded {
        /// The last change before the reading.
        position: Mark,
    },
    /// All changes up to this one were given out.
    Position(Mark),
    /// All that the stream had when [`Follower::catch_up`] was called was given out.
    CaughtUp,
    /// The server is away; it is tried again. Told once for each reason.
    Away(Arc<Reason>),
}

/// What follows the store, from outside of its task.
#[derive(Debug)]
pub struct Follower {
    told: mpsc::Receiver<Told>,
    wanted: watch::Sender<u64>,
}

impl Follower {
    /// Begins to follow. The task gives out at most `ahead` things (one at least) that were not taken yet. Needs a
    /// Tokio runtime.
    pub fn start(redis: Redis, ahead: usize) -> Self {
        let (tell, told) = mpsc::channel(ahead.max(1));
        let (wanted, wants) = watch::channel(0);
        tokio::spawn(Task::new(redis, tell, wants).serve());
        Self { told, wanted }
    }

    /// What comes next, when it is there. Whoever drops it halfway has missed nothing.
    pub async fn next(&mut self) -> Told {
        // The task ends only after this end is gone.
        let told = self.told.recv().await;
        told.unwrap_or_else(|| Told::Away(Reason::Closed.into()))
    }

    /// What comes next, if it is there.
    pub fn poll(&mut self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// Reads to the end of the stream, as a takeover must: [`Told::CaughtUp`] comes behind all that the stream has
    /// now, once for all calls that it answers.
    pub fn catch_up(&self) {
        self.wanted
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Why following did not go on.
enum Halt {
    /// Everything is to be read anew.
    Anew,
    /// The server is away.
    Away(Arc<Reason>),
    /// Nobody takes any more.
    Over,
}

struct Task {
    redis: Redis,
    state: watch::Receiver<State>,
    tell: mpsc::Sender<Told>,
    wanted: watch::Receiver<u64>,
    /// Somebody wants to be told that he has caught up.
    is_wanted: bool,
    /// He has when all up to here was given out. `None`: it is not known yet.
    until: Option<Mark>,
    /// What was told last of a server that is away.
    away: Option<Arc<Reason>>,
    backoff: Backoff,
}

impl Task {
    fn new(redis: Redis, tell: mpsc::Sender<Told>, wanted: watch::Receiver<u64>) -> Self {
        Self {
            state: redis.state(),
            redis,
            tell,
            wanted,
            is_wanted: false,
            until: None,
            away: None,
            backoff: Backoff::default(),
        }
    }

    /// Follows until nobody takes any more.
    async fn serve(mut self) {
        loop {
            let Err(halt) = self.round().await;
            match halt {
                Halt::Over => return,
                Halt::Anew => {}
                Halt::Away(reason) => {
                    if self.tell_away(reason).await.is_err() {
                        return;
                    }
                    let pause = self.backoff.next(self.redis.patience());
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.tell.closed() => return,
                    }
                }
            }
        }
    }

    /// Reads everything, and follows.
    async fn round(&mut self) -> Result<Infallible, Halt> {
        self.connected().await?;
        self.tell(Told::Loading).await?;
        let (origin, position) = self.load().await?;
        self.backoff.reset();
        let mut tail = self.redis.tail(position);
        loop {
            // Where the stream ends may have been asked of another server than was read from.
            self.expect(&origin)?;
            self.caught_up(tail.position()).await?;
            let followed = tokio::select! {
                followed = tail.next() => followed,
                wanted = self.wanted.changed() => {
                    wanted.map_err(|_| Halt::Over)?;
                    self.aim().await;
                    continue;
                }
                () = self.tell.closed() => return Err(Halt::Over),
            };
            // Before anything of another server's is given out.
            self.expect(&origin)?;
            self.take(followed, &tail).await?;
        }
    }

    async fn connected(&mut self) -> Result<(), Halt> {
        loop {
            let up = self.state.borrow_and_update().up();
            match up {
                Ok(_) => return Ok(()),
                Err(reason) if *reason == Reason::Connecting => {}
                Err(reason) => self.tell_away(reason).await?,
            }
            tokio::select! {
                changed = self.state.changed() => {
                    changed.map_err(|_| Halt::Away(Reason::Closed.into()))?;
                }
                () = self.tell.closed() => return Err(Halt::Over),
            }
        }
    }

    /// Reads everything. Which data that was, and where the stream goes on.
    async fn load(&mut self) -> Result<(Origin, Mark), Halt> {
        if self.wanted.has_changed().map_err(|_| Halt::Over)? {
            self.wanted.mark_unchanged();
            self.is_wanted = true;
        }
        let mut load = self.redis.load().await.map_err(reason)?;
        let (origin, position) = (load.origin().clone(), load.position());
        while let Some(records) = load.page().await.map_err(reason)? {
            for record in records {
                let (key, mark, blob) = (record.key, record.mark, record.blob);
                self.tell(Told::Record { key, mark, blob }).await?;
            }
        }
        self.away = None;
        self.tell(Told::Loaded { position }).await?;
        // Whatever was aimed at before: a store that was rewound may never come to it.
        self.until = self.is_wanted.then_some(position);
        Ok((origin, position))
    }

    /// Finds out where the stream ends now.
    async fn aim(&mut self) {
        self.is_wanted = true;
        // Where the server is away, it is asked again when it is back.
        self.until = self.redis.position().await.ok();
    }

    async fn caught_up(&mut self, position: Mark) -> Result<(), Halt> {
        if self.until.is_some_and(|until| position >= until) {
            self.is_wanted = false;
            self.until = None;
            self.tell(Told::CaughtUp).await?;
        }
        Ok(())
    }

    /// The server has the data that was read, as far as is known.
    fn expect(&self, origin: &Origin) -> Result<(), Halt> {
        let up = self.state.borrow().up();
        if up.is_ok_and(|(_, server)| server.origin != *origin) {
            return Err(Halt::Anew);
        }
        Ok(())
    }

    async fn take(&mut self, followed: Followed, tail: &Tail) -> Result<(), Halt> {
        let entries = match followed {
            Followed::Entries(entries) => entries,
            Followed::Gap => return Err(Halt::Anew),
            // The tail goes on when it is back.
            Followed::Away(reason) => return self.tell_away(reason).await,
        };
        self.away = None;
        if self.is_wanted && self.until.is_none() {
            self.aim().await;
        }
        let is_new = !entries.is_empty();
        for entry in entries {
            self.take_entry(entry).await?;
        }
        if is_new {
            self.tell(Told::Position(tail.position())).await?;
        }
        Ok(())
    }

    async fn take_entry(&self, Entry { mark, event }: Entry) -> Result<(), Halt> {
        let told = match event {
            Event::Put { key, blob } => Told::Record { key, mark, blob },
            Event::Forget { key } => Told::Forgotten { key, mark },
            Event::Claim { holder, roster } => Told::Claim {
                epoch: mark.epoch,
                holder,
                roster,
            },
            Event::Unknown => {
                warn!(%mark, "the store's stream tells of something that this version does not know");
                return Ok(());
            }
        };
        self.tell(told).await
    }

    async fn tell_away(&mut self, reason: Arc<Reason>) -> Result<(), Halt> {
        if self.away.as_ref() == Some(&reason) {
            return Ok(());
        }
        self.away = Some(Arc::clone(&reason));
        self.tell(Told::Away(reason)).await
    }

    async fn tell(&self, told: Told) -> Result<(), Halt> {
        self.tell.send(told).await.map_err(|_| Halt::Over)
    }
}

fn reason(error: Error) -> Halt {
    Halt::Away(match error {
        Error::Away(reason) => reason,
        Error::Refused(refusal) => Arc::new(Reason::Strange {
            address: "the server".into(),
            text: refusal.to_string().into(),
        }),
        Error::Unknown => Reason::Closed.into(),
    })
}
