//! The writer of a mastership: what a [`Journal`](lns_cluster::journal::Journal) gives out goes to the store in
//! order, and what became of it comes back as [`News`] (specification, 14; spec: cluster, 6, rules S2, S4, S5).
//!
//! [`Writer`] has the shape of `lns_vault::Vault`: it never makes its user wait. Behind it is a task that claims
//! the mastership, again after each reconnection and before anything else is written, writes the rounds, waits
//! for replicas where a round asks for it, and sends the fence's sign of life.
//!
//! # What becomes of a round
//! It is [stored](News::Stored), or [`News::Away`] comes: then of all that was given before
//! [the next claim](News::Claimed) it is unknown what became of it, as the journal takes it. What its user gives
//! before he has heard of that claim is not written: it has marks of before. So a store that refuses a change,
//! because it is full or misses its replicas, is away, too, until a claim is taken again; the pauses double.
//!
//! # What is lost
//! Where the server is another one than before, in another life, or does not know the mastership any more
//! (FLUSHALL), changes that it had acknowledged may be gone: [`News::Changed`] comes before the claim, with the
//! marks of all that it has. [`Journal::handle_digest`](lns_cluster::journal::Journal::handle_digest) says what
//! of that is to be given again.
//!
//! # What is not here
//! What is written when and what is kept meanwhile (the journal), and who is master (the elector).

mod task;

use core::time::Duration;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use lns_cluster::journal::{Mark, Round, Ticket};
use lns_cluster::{Epoch, Identity};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::error::Error;
use crate::remote::{Origin, Redis};
use task::Task;

/// How much a writer waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Replicas that are to have a claim and a lasting round: all that are configured, not only those that are
    /// connected (rule S2).
    pub replicas: u32,
    /// They are waited for so long, at most.
    pub patience: Duration,
    /// From one sign of life to the next. A master of another object whose sign stands still for three of these
    /// is not alive.
    pub beat: Duration,
}

impl Default for Settings {
    /// No replica, as a server that may be alone has it.
    fn default() -> Self {
        Self {
            replicas: 0,
            patience: Duration::from_secs(1),
            beat: Duration::from_secs(1),
        }
    }
}

/// Who claims, and what for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mastership {
    /// Its epoch.
    pub epoch: Epoch,
    /// Who is master.
    pub holder: Identity,
    /// The uid of the object whose cluster it is.
    pub owner: Box<str>,
    /// Who belongs to the cluster; a blob.
    pub roster: Bytes,
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum News {
    /// The mastership is the store's. Rounds are written whose marks come behind this one.
    Claimed {
        /// Its epoch.
        epoch: Epoch,
        /// The place of the claim in it.
        seq: u64,
        /// So many replicas have it. With fewer than are configured a failover may forget it.
        replicas: u32,
    },
    /// This round is stored, and where it is lasting, replicas have it or were waited for. One before it may be
    /// still waited for.
    Stored(Ticket),
    /// Fewer replicas than are configured have this round; [`Self::Stored`] comes nevertheless.
    NotReplicated {
        /// Which.
        ticket: Ticket,
        /// So many have it.
        count: u32,
    },
    /// The store is away, or does not take what it is given. What was given and is not stored has an unknown
    /// outcome. It is tried again; this comes once for each reason.
    Away {
        /// Why.
        reason: Error,
    },
    /// Somebody else is master: this mastership is over. Nothing is done until the next
    /// [`claim`](Writer::claim).
    Lost {
        /// In which epoch.
        epoch: Epoch,
        /// Who; empty where the store knows the epoch only.
        holder: Box<str>,
    },
    /// What the store had acknowledged may be gone. [`Self::Claimed`] comes next.
    Changed {
        /// Which data the server has now.
        origin: Origin,
        /// All records that it has.
        marks: Vec<(String, Mark)>,
    },
}

/// What the task is told.
#[derive(Debug)]
enum Order {
    Claim(Mastership),
    Resign,
    /// A round, and after how many claims it was given.
    Round(u64, Round<String>),
}

/// The store, for whoever keeps a journal.
#[derive(Debug)]
pub struct Writer {
    orders: UnboundedSender<Order>,
    news: Receiver<(u64, News)>,
    /// Claims that were heard of.
    claims: u64,
}

impl Writer {
    /// Begins a task that waits for a [`claim`](Self::claim). `wake` is called from it when there is news. Needs a
    /// Tokio runtime.
    pub fn start(redis: Redis, settings: Settings, wake: impl Fn() + Send + 'static) -> Self {
        // Both ends are bounded by the journal, which has no more than a few rounds under way.
        let (orders, received) = unbounded_channel();
        let (told, news) = channel();
        let tell = move |claims: u64, news: News| {
            // Who has gone does not want to know.
            let _unwanted = told.send((claims, news));
            wake();
        };
        tokio::spawn(Task::new(redis, settings, received, tell).serve());
        Self {
            orders,
            news,
            claims: 0,
        }
    }

    /// Claims this mastership, and holds it from then on.
    pub fn claim(&self, mastership: Mastership) {
        self.order(Order::Claim(mastership));
    }

    /// Gives the mastership up: it is not claimed any more, and no sign of life is sent. What was given is not
    /// written any more.
    pub fn resign(&self) {
        self.order(Order::Resign);
    }

    /// Stores a round, behind all that were given before.
    pub fn write(&self, round: Round<String>) {
        self.order(Order::Round(self.claims, round));
    }

    /// What has happened since this was asked last.
    pub fn poll_news(&mut self) -> Option<News> {
        let (claims, news) = self.news.try_recv().ok()?;
        self.claims = claims;
        Some(news)
    }

    fn order(&self, order: Order) {
        // The task ends only after this end is gone.
        let _always_taken = self.orders.send(order);
    }
}
