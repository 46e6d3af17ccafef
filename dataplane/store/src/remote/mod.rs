//! The store in Redis or Valkey.

mod backoff;
mod dial;
mod erase;
mod functions;
mod link;
mod scan;
mod sentinel;
mod server;
mod tail;
mod tls;
mod wait;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::journal::{Mark, Write};
use lns_cluster::{Epoch, Identity};
use redis::{Cmd, Value, cmd};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub(crate) use backoff::Backoff;
pub use functions::ACL;
pub(crate) use link::ended;
pub use link::{LinkId, State};
pub use scan::{Digest, Load};
pub use server::{Origin, Server, Version};
pub use tail::{Followed, Tail};

use crate::config::Config;
use crate::error::{Beat, Error, Fenced, Reason, Refusal};
use crate::record::Key;
use dial::Dialer;
use link::{Answers, Job, Link, Order};
use wait::{Goal, Wait};

/// Orders that wait for the task; who gives more waits, too.
const ORDERS: usize = 1_024;

/// What a mastership is claimed with (rule S2).
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its epoch, and the place of the claim among the changes of that epoch.
    pub mark: Mark,
    /// Who is master.
    pub holder: Identity,
    /// The uid of the object whose cluster it is.
    pub owner: Box<str>,
    /// When the master of another owner was heard last, and has not been heard since: only then its records
    /// are taken over. How long that is, the caller decides.
    pub seen: Option<Beat>,
    /// Who belongs to the cluster; a blob.
    pub roster: Bytes,
}

/// A claim that was accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claimed {
    /// On this connection.
    pub link: LinkId,
    /// This holder was master in this epoch already. Where it should have been and was not, the store has lost
    /// what it had.
    pub again: bool,
}

/// Who is master, as the store has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fence {
    /// In which epoch, and who.
    pub fenced: Fenced,
    /// Whose cluster it is.
    pub owner: Box<str>,
    /// When the master was heard last.
    pub beat: Beat,
    /// Who belongs to the cluster.
    pub roster: Bytes,
}

/// What became of changes.
#[derive(Clone, Debug)]
pub struct Written {
    /// The connection that the last of them went over, if one did; that replicas have them can be asked only
    /// of this one.
    pub link: Option<LinkId>,
    /// Of each, in their order. Of changes that went out together some may be made where an error is said of all.
    pub results: Vec<Result<(), Error>>,
}

/// The store. Copies are the same store; it is closed when all are gone.
#[derive(Clone, Debug)]
pub struct Redis {
    dialer: Arc<Dialer>,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
}

impl Redis {
    /// Begins to connect, in a task of its own. Needs a Tokio runtime.
    ///
    /// # Errors
    /// There is to be TLS, and no authority to believe in.
    pub fn start(config: Config) -> Result<Self, Reason> {
        let dialer = Arc::new(Dialer::new(config)?);
        let (orders, received) = mpsc::channel(ORDERS);
        let (told, state) = watch::channel(State::Connecting);
        tokio::spawn(Link::new(Arc::clone(&dialer), received, told).serve());
        Ok(Self {
            dialer,
            orders,
            state,
        })
    }

    /// Connects once, with all checks, and tells what is there.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn probe(config: Config) -> Result<Server, Reason> {
        let dialer = Arc::new(Dialer::new(config)?);
        let address = sentinel::resolve(&dialer).await?;
        let (_connection, server) = dialer.open(&address).await?;
        Ok(server)
    }

    /// How it stands with the server, and each change of that.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Makes this holder master. What older epochs write is refused from then on.
    ///
    /// # Errors
    /// [`StaleEpoch`](Refusal::StaleEpoch), [`OtherOwner`](Refusal::OtherOwner), [`StaleId`](Refusal::StaleId),
    /// [`Inexact`](Refusal::Inexact) among others.
    pub async fn claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        if !claim.mark.is_exact() {
            return Err(Refusal::Inexact(claim.mark).into());
        }
        let claim = functions::claim(&self.dialer.config, claim);
        let (link, answer) = self.ask_one(claim).await?;
        let answer: String = redis::from_redis_value(answer).map_err(|_| Error::Unknown)?;
        Ok(Claimed {
            link,
            again: answer == "AGAIN",
        })
    }

    /// Tells that the master is alive.
    ///
    /// # Errors
    /// [`NotHolder`](crate::Refusal::NotHolder) among others.
    pub async fn beat(&self, epoch: Epoch, holder: &Identity) -> Result<(), Error> {
        let beat = functions::beat(&self.dialer.config.space, epoch, holder);
        self.ask_one(beat).await.map(drop)
    }

    /// Makes changes, in their order, and behind those of every earlier call.
    pub async fn write(&self, holder: &Identity, writes: &[Write<Key>]) -> Written {
        self.give(None, holder, writes).await.written().await
    }

    /// As [`write`](Self::write), but over this connection only. Nothing is sent if it is gone: what the next one
    /// leads to must be claimed first (rule S4).
    ///
    /// What became of it can be asked later: more can be given meanwhile, and goes out behind it.
    pub async fn write_on(
        &self,
        link: LinkId,
        holder: &Identity,
        writes: &[Write<Key>],
    ) -> Writing {
        self.give(Some(link), holder, writes).await
    }

    async fn give(
        &self,
        only: Option<LinkId>,
        holder: &Identity,
        writes: &[Write<Key>],
    ) -> Writing {
        let commands = functions::writes(&self.dialer.config, holder, writes);
        let (commands, counts): (VecDeque<_>, Vec<_>) = commands.into_iter().unzip();
        let asking = self.order(only, commands).await;
        Writing { asking, counts }
    }

    /// How many replicas have everything that was answered on this connection before: `replicas` of them, or
    /// as many as had it when `limit` was over.
    ///
    /// # Errors
    /// [`Error::Unknown`], if that connection is gone: what follows may be another server's.
    pub async fn wait(
        &self,
        link: LinkId,
        epoch: Epoch,
        holder: &Identity,
        replicas: u32,
        limit: Duration,
    ) -> Result<u32, Error> {
        let goal = Goal {
            epoch,
            holder: holder.clone(),
            replicas,
            limit,
        };
        let (reply, answer) = oneshot::channel();
        let wait = Order::Wait(Wait { link, goal, reply });
        let waited = async {
            self.orders.send(wait).await.map_err(|_| closed())?;
            answer.await.unwrap_or(Err(Error::Unknown))
        };
        let patience = limit.saturating_add(self.dialer.config.timing.call.saturating_mul(2));
        timeout(patience, waited)
            .await
            .unwrap_or(Err(Error::Unknown))
    }

    /// Who is master, as the store has it. `None`: it knows of nobody.
    ///
    /// # Errors
    /// It is away.
    pub async fn fence(&self) -> Result<Option<Fence>, Error> {
        let mut read = cmd("HMGET");
        read.arg(functions::fence(&self.dialer.config.space));
        read.arg(&["epoch", "holder", "owner", "beat", "roster"]);
        let (_, value) = self.ask_one(read).await?;
        let fields: Vec<Option<Bytes>> =
            redis::from_redis_value(value).map_err(|_| Error::Unknown)?;
        let [Some(epoch), holder, owner, beat, roster] = &fields[..] else {
            return Ok(None);
        };
        let text = |field: &Option<Bytes>| -> Box<str> {
            String::from_utf8_lossy(field.as_deref().unwrap_or_default()).into()
        };
        let epoch = text(&Some(epoch.clone())).parse().ok().and_then(Epoch::new);
        Ok(Some(Fence {
            fenced: Fenced {
                epoch,
                holder: text(holder),
            },
            owner: text(owner),
            beat: Beat(text(beat)),
            roster: roster.clone().unwrap_or_default(),
        }))
    }

    /// What time it is for the store, since 1970: one clock for all members, if not a right one.
    ///
    /// # Errors
    /// It is away.
    pub async fn time(&self) -> Result<Duration, Error> {
        let (_, value) = self.ask_one(cmd("TIME")).await?;
        let (seconds, micros): (u64, u32) =
            redis::from_redis_value(value).map_err(|_| Error::Unknown)?;
        Ok(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros.into())))
    }

    /// The last change that the stream has had.
    ///
    /// # Errors
    /// It is away.
    pub async fn position(&self) -> Result<Mark, Error> {
        let mut question = cmd("XINFO");
        question
            .arg("STREAM")
            .arg(functions::stream(&self.dialer.config.space));
        match self.ask_one(question).await {
            Ok((_, value)) => scan::stream_info(value).map(|info| info.last),
            // There is none yet.
            Err(Error::Refused(Refusal::Other(text))) if text.contains("no such key") => {
                Ok(Mark::ZERO)
            }
            Err(error) => Err(error),
        }
    }

    /// The longest pause between two attempts.
    pub(crate) fn patience(&self) -> Duration {
        self.dialer.config.timing.patience
    }

    /// Begins to read all records.
    ///
    /// # Errors
    /// The store is away.
    pub async fn load(&self) -> Result<Load, Error> {
        let (_, server) = self.up()?;
        Load::begin(&self.dialer, &server).await
    }

    /// Begins to read all marks.
    ///
    /// # Errors
    /// The store is away.
    pub async fn digest(&self) -> Result<Digest, Error> {
        let (_, server) = self.up()?;
        Digest::begin(&self.dialer, &server).await
    }

    /// Follows the stream from this change on, without it.
    pub fn tail(&self, from: Mark) -> Tail {
        Tail::new(Arc::clone(&self.dialer), self.state.clone(), from)
    }

    pub(crate) fn up(&self) -> Result<(LinkId, Arc<Server>), Error> {
        self.state.borrow().up().map_err(Error::Away)
    }

    async fn ask_one(&self, command: Cmd) -> Result<(LinkId, Value), Error> {
        let Answers { link, mut values } = self.ask(None, VecDeque::from([command])).await;
        let value = values.pop().unwrap_or(Err(Error::Unknown))?;
        Ok((link.ok_or(Error::Unknown)?, value))
    }

    async fn ask(&self, only: Option<LinkId>, questions: VecDeque<Cmd>) -> Answers {
        self.order(only, questions).await.answers().await
    }

    /// Has them asked, behind all that was ordered before.
    async fn order(&self, only: Option<LinkId>, questions: VecDeque<Cmd>) -> Asking {
        let count = questions.len();
        let (reply, answers) = oneshot::channel();
        let job = Job {
            only,
            questions,
            reply,
        };
        // If nobody takes it, nobody answers.
        let _closed = self.orders.send(Order::Ask(job)).await;
        Asking { answers, count }
    }
}

/// Questions that were ordered.
#[derive(Debug)]
struct Asking {
    answers: oneshot::Receiver<Answers>,
    count: usize,
}

impl Asking {
    async fn answers(&mut self) -> Answers {
        let none = |error: Error| Answers {
            link: None,
            values: vec![Err(error); self.count],
        };
        match (&mut self.answers).await {
            Ok(answers) => answers,
            Err(_) => none(Error::Unknown),
        }
    }
}

/// Changes that are being made. What of them was not sent when this is dropped, is not.
#[derive(Debug)]
pub struct Writing {
    asking: Asking,
    /// How many changes each question makes.
    counts: Vec<usize>,
}

impl Writing {
    /// What became of them. To be asked once; it may be given up in between.
    pub async fn written(&mut self) -> Written {
        let Answers { link, values } = self.asking.answers().await;
        let results = values.into_iter().map(|value| value.map(drop));
        let each = results.zip(&self.counts);
        let results = each.flat_map(|(result, count)| core::iter::repeat_n(result, *count));
        Written {
            link,
            results: results.collect(),
        }
    }
}

fn closed() -> Error {
    Error::Away(Reason::Closed.into())
}
