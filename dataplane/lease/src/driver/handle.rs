//! How a driver is spoken to.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use lns_cluster::{Ask, Authority, Candidacy, Epoch, Promise, Refusal, Roster};
use lns_tables::time::Instant;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::standing::Standing;
use crate::clock;
use crate::notes::Notes;

/// What a driver is told.
#[derive(Debug)]
pub(super) enum Command {
    StepDown,
    Stop,
    Closed(Epoch),
    Roster(Roster, Notes),
    Renew,
    Heard(Epoch),
    MayFound,
    Candidacy(Candidacy),
    Ask(Ask, oneshot::Sender<Result<Promise, Refusal>>),
    Promised(Promise),
}

/// The driver has ended: it was stopped, or its task is gone.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the driver of the Lease has ended")]
pub struct Ended;

/// A way to speak to a driver. As long as one is left, it goes on.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) alive: Arc<AtomicU64>,
    pub(super) hold: Duration,
}

impl Handle {
    /// Where the elector stands, whenever it changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Its right to speak in the cluster's name, now.
    pub fn authority(&self) -> Option<Authority> {
        self.standing.borrow().authority(clock::now())
    }

    /// When the driver last did its round. It does one at each renewal at least, whatever the API server
    /// does.
    pub fn alive(&self) -> Instant {
        Instant::from_nanos(self.alive.load(Ordering::Relaxed))
    }

    /// Whether it has done none for longer than 2 H: a liveness check fails then.
    pub fn is_stuck(&self, now: Instant) -> bool {
        now.since(self.alive()) > self.hold.saturating_mul(2)
    }

    /// Hands over, and stands again as another incarnation, which waits D as any that starts. Nothing
    /// happens unless it is master. The gate is asked for as with [`Self::stop`].
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn step_down(&self) -> Result<(), Ended> {
        self.send(Command::StepDown).await
    }

    /// Ends. A master has no authority from here on; its [`Standing::closing`] asks for the gate, and
    /// after [`Self::closed`] the Lease is released and the task ends. While the API server is away that
    /// does not come about: whoever cannot wait ends the task, and the others wait D.
    ///
    /// # Errors
    /// The driver has ended already.
    pub async fn stop(&self) -> Result<(), Ended> {
        self.send(Command::Stop).await
    }

    /// Nothing leaves in the name of this mastership any more: the route is withdrawn, the gate closed,
    /// accounting stopped (rule E6). Another epoch than the one that is asked for is no answer.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn closed(&self, epoch: Epoch) -> Result<(), Ended> {
        self.send(Command::Closed(epoch)).await
    }

    /// The roster that the Lease shall have, and notes beside it; written with the next renewal, if this
    /// node is master then. Notes of other names stay.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn roster(&self, roster: Roster, notes: Notes) -> Result<(), Ended> {
        self.send(Command::Roster(roster, notes)).await
    }

    /// Renews the Lease now, or looks at it: [`Authority::vouched`] is wanted newer.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn renew(&self) -> Result<(), Ended> {
        self.send(Command::Renew).await
    }

    /// The store or a member knows of this epoch (rule E4).
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn heard(&self, epoch: Epoch) -> Result<(), Ended> {
        self.send(Command::Heard(epoch)).await
    }

    /// The store has no fence and no member knows a roster: this node may create the first record.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn may_found(&self) -> Result<(), Ended> {
        self.send(Command::MayFound).await
    }

    /// Whether it is to acquire from now on.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn candidacy(&self, candidacy: Candidacy) -> Result<(), Ended> {
        self.send(Command::Candidacy(candidacy)).await
    }

    /// A member's question for a promise, and the answer to carry back to it.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn ask(&self, ask: Ask) -> Result<Result<Promise, Refusal>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Ask(ask, answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// A member's promise has come.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn promised(&self, promise: Promise) -> Result<(), Ended> {
        self.send(Command::Promised(promise)).await
    }

    async fn send(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).await.map_err(|_| Ended)
    }
}
