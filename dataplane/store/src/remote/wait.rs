//! Waiting until replicas have what was written (WAIT; rules S2 and S5).
//!
//! WAIT counts the replicas that have everything which *its own* connection has written, and keeps its
//! connection busy while it waits. So it has one of its own, and asks there after a write of its own, the sign of
//! life: replicas get all writes of a server in one order, so those that have this write have all that was answered
//! before it on any connection. One wait answers everybody who had asked before it began.
//!
//! Both connections are of one [`LinkId`](super::LinkId), to the same life of the same server; what another one
//! has written cannot be waited for.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_cluster::{Epoch, Identity};
use redis::cmd;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Reason};
use crate::remote::dial::{Connection, Dialer};
use crate::remote::functions;
use crate::remote::link::LinkId;

/// What is waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Goal {
    pub(crate) epoch: Epoch,
    pub(crate) holder: Identity,
    pub(crate) replicas: u32,
    pub(crate) limit: Duration,
}

/// Somebody who waits.
pub(crate) struct Wait {
    pub(crate) link: LinkId,
    pub(crate) goal: Goal,
    pub(crate) reply: oneshot::Sender<Result<u32, Error>>,
}

impl Wait {
    pub(crate) fn answer(self, answer: Result<u32, Error>) {
        // Who has gone does not want to know.
        let _unwanted = self.reply.send(answer);
    }
}

/// Waits for whoever asks, until the connection is no good any more, which it tells, or nobody can ask.
pub(crate) async fn serve(
    dialer: Arc<Dialer>,
    mut connection: Connection,
    mut asked: mpsc::Receiver<Wait>,
) -> Reason {
    let mut waiting: VecDeque<Wait> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match asked.recv().await {
                Some(first) => waiting.push_back(first),
                None => return Reason::Closed,
            }
        }
        while let Ok(more) = asked.try_recv() {
            waiting.push_back(more);
        }
        if let Err(reason) = round(&dialer, &mut connection, &mut waiting).await {
            for wait in waiting {
                wait.answer(Err(Error::Unknown));
            }
            return reason;
        }
    }
}

/// Waits for what the first one wants, and answers all who want the same.
async fn round(
    dialer: &Dialer,
    connection: &mut Connection,
    waiting: &mut VecDeque<Wait>,
) -> Result<(), Reason> {
    let Some(first) = waiting.front() else {
        return Ok(());
    };
    let goal = first.goal.clone();
    let (now, later): (VecDeque<_>, _) = waiting.drain(..).partition(|wait| wait.goal == goal);
    *waiting = later;
    let answered = ask(dialer, connection, &goal).await;
    let answer = match &answered {
        Ok(answer) => answer.clone(),
        Err(_) => Err(Error::Unknown),
    };
    for wait in now {
        wait.answer(answer.clone());
    }
    answered.map(drop)
}

async fn ask(
    dialer: &Dialer,
    connection: &mut Connection,
    goal: &Goal,
) -> Result<Result<u32, Error>, Reason> {
    let call = dialer.config.timing.call;
    let beat = functions::beat(&dialer.config.space, goal.epoch, &goal.holder);
    let beaten = connection.ask(&beat, Some(call)).await?;
    if let Err(error) = functions::answer(beaten, &connection.address) {
        return Ok(Err(error));
    }
    // Zero would be for ever.
    let limit = u64::try_from(goal.limit.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let mut wait = cmd("WAIT");
    wait.arg(goal.replicas).arg(limit);
    let patience = goal.limit.saturating_add(call);
    let waited = connection.ask(&wait, Some(patience)).await?;
    let count = functions::answer(waited, &connection.address);
    Ok(count.and_then(|count| redis::from_redis_value(count).map_err(|_| Error::Unknown)))
}
