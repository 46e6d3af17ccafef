//! The task that keeps a connection to the server and asks on it what it is told, in order.
//!
//! One group of questions is under way at a time, and what comes meanwhile is the next group: so the order
//! in which changes were given is the order in which they are made, which the ids of the stream need. When a
//! group is not answered in time, nothing more is sent on that connection; what had been sent of it may still be
//! done, which the marks make harmless.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use redis::{Cmd, Pipeline, Value, cmd};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use crate::error::{Error, Reason};
use crate::remote::backoff::Backoff;
use crate::remote::dial::{Connection, Dialer};
use crate::remote::functions;
use crate::remote::sentinel;
use crate::remote::server::Server;
use crate::remote::wait::{self, Wait};

/// Questions that are asked at once, at most.
const GROUP: usize = 1_024;

/// A connection that stood, by its number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LinkId(u64);

/// How it stands with the server.
#[derive(Clone, Debug)]
pub enum State {
    /// It is being connected.
    Connecting,
    /// It is there.
    Up {
        /// Which connection this is.
        link: LinkId,
        /// What it says of itself.
        server: Arc<Server>,
    },
    /// It is not; it is tried again.
    Down(Arc<Reason>),
}

impl State {
    /// The server of this link, while it stands.
    pub(crate) fn up(&self) -> Result<(LinkId, Arc<Server>), Arc<Reason>> {
        match self {
            Self::Up { link, server } => Ok((*link, Arc::clone(server))),
            Self::Connecting => Err(Reason::Connecting.into()),
            Self::Down(reason) => Err(Arc::clone(reason)),
        }
    }

    /// Whether this link stands.
    pub(crate) fn is_link(&self, id: LinkId) -> bool {
        matches!(self, Self::Up { link, .. } if *link == id)
    }
}

/// Waits until a link does not stand any more. Why.
pub(crate) async fn ended(state: &mut watch::Receiver<State>, link: LinkId) -> Arc<Reason> {
    let state = state.wait_for(|state| !state.is_link(link)).await;
    let up = state.map(|state| state.up().map(drop));
    up.unwrap_or(Err(Reason::Closed.into()))
        .err()
        .unwrap_or(Reason::Connecting.into())
}

/// What the task is told.
pub(crate) enum Order {
    Ask(Job),
    Wait(Wait),
}

/// Questions that belong together, in order.
pub(crate) struct Job {
    /// On no other connection than this.
    pub(crate) only: Option<LinkId>,
    pub(crate) questions: VecDeque<Cmd>,
    pub(crate) reply: oneshot::Sender<Answers>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job of {}", self.questions.len())
    }
}

/// An answer to each of the questions.
#[derive(Debug)]
pub(crate) struct Answers {
    /// On which connection the last of them was asked, if it was.
    pub(crate) link: Option<LinkId>,
    pub(crate) values: Vec<Result<Value, Error>>,
}

/// A job that is being done.
struct Task {
    job: Job,
    /// So many questions are under way.
    asked: usize,
    answers: Answers,
}

impl Task {
    fn new(job: Job) -> Self {
        let answers = Answers {
            link: None,
            values: Vec::with_capacity(job.questions.len()),
        };
        Self {
            job,
            asked: 0,
            answers,
        }
    }

    /// What of it was not sent stays so.
    fn away(mut self, reason: &Arc<Reason>) {
        let unsent = self.job.questions.drain(..);
        let away = unsent.map(|_| Err(Error::Away(Arc::clone(reason))));
        self.answers.values.extend(away);
        self.done();
    }

    fn done(self) {
        // Who has gone does not want to know.
        let _unwanted = self.job.reply.send(self.answers);
    }
}

/// The connection for questions, that for waiting, and whose they are.
type Parts = (Connection, Connection, Server);

/// Finds the server and connects to it.
async fn connect(dialer: &Arc<Dialer>) -> Result<Parts, Reason> {
    let address = sentinel::resolve(dialer).await?;
    let (connection, server) = dialer.open(&address).await?;
    let waiting = dialer.open_more(&server).await?;
    Ok((connection, waiting, server))
}

fn strange(standing: &Standing, text: &str) -> Reason {
    Reason::Strange {
        address: standing.connection.address.clone(),
        text: text.into(),
    }
}

/// Why the server is not the one that it should be, if an answer says that.
fn elsewhere(answers: &[Result<Value, Error>]) -> Option<Reason> {
    answers.iter().find_map(|answer| match answer {
        Err(Error::Away(reason)) => Some(Reason::clone(reason)),
        _ => None,
    })
}

/// The task.
pub(crate) struct Link {
    dialer: Arc<Dialer>,
    orders: mpsc::Receiver<Order>,
    state: watch::Sender<State>,
    last: u64,
    queue: VecDeque<Task>,
}

/// What stands while the server is there.
struct Standing {
    id: LinkId,
    server: Arc<Server>,
    connection: Connection,
    waits: mpsc::Sender<Wait>,
    /// They end with why the link must.
    watchers: JoinSet<Reason>,
}

impl Link {
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        orders: mpsc::Receiver<Order>,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            dialer,
            orders,
            state,
            last: 0,
            queue: VecDeque::new(),
        }
    }

    /// Works until nobody can give orders any more.
    pub(crate) async fn serve(mut self) {
        let mut backoff = Backoff::default();
        let patience = self.dialer.config.timing.patience;
        loop {
            self.state.send_replace(State::Connecting);
            let dialer = Arc::clone(&self.dialer);
            let connecting = Arc::new(Reason::Connecting);
            let connected = self.meanwhile(&connecting, connect(&dialer)).await;
            let reason = match connected {
                None => return,
                Some(Err(reason)) => reason,
                Some(Ok(parts)) => {
                    let since = Instant::now();
                    let reason = self.stand(parts).await;
                    if since.elapsed() > patience {
                        backoff.reset();
                    }
                    reason
                }
            };
            if reason == Reason::Closed {
                return;
            }
            warn!("{reason}");
            let reason = Arc::new(reason);
            self.away(&reason);
            self.state.send_replace(State::Down(Arc::clone(&reason)));
            let pause = sleep(backoff.next(patience));
            if self.meanwhile(&reason, pause).await.is_none() {
                return;
            }
        }
    }

    /// Waits for `work`, and tells everybody meanwhile that the server is away. `None`: nobody is there any more.
    async fn meanwhile<T>(
        &mut self,
        reason: &Arc<Reason>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = core::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                order = self.orders.recv() => match order? {
                    Order::Ask(job) => {
                        self.queue.push_back(Task::new(job));
                        self.away(reason);
                    }
                    Order::Wait(wait) => wait.answer(Err(Error::Away(Arc::clone(reason)))),
                },
            }
        }
    }

    /// Serves while the connections stand. Why they do not any more.
    async fn stand(&mut self, (connection, waiting, server): Parts) -> Reason {
        self.last = self.last.saturating_add(1);
        let (waits, asked) = mpsc::channel(GROUP);
        let mut standing = Standing {
            id: LinkId(self.last),
            server: Arc::new(server),
            connection,
            waits,
            watchers: JoinSet::new(),
        };
        let dialer = Arc::clone(&self.dialer);
        let address = standing.server.address.clone();
        standing
            .watchers
            .spawn(sentinel::watch(Arc::clone(&dialer), address));
        standing.watchers.spawn(wait::serve(dialer, waiting, asked));
        let (address, version) = (&standing.server.address, standing.server.version);
        info!(%address, %version, "the store is connected");
        self.tell(&standing);
        match self.work(&mut standing).await {
            Ok(()) => Reason::Closed,
            Err(reason) => reason,
        }
    }

    async fn work(&mut self, standing: &mut Standing) -> Result<(), Reason> {
        let mut look = interval(
            self.dialer
                .config
                .timing
                .watch
                .max(Duration::from_millis(1)),
        );
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        loop {
            tokio::select! {
                biased;
                Some(ended) = standing.watchers.join_next() => {
                    return Err(ended.unwrap_or_else(|error| strange(standing, &error.to_string())));
                }
                _ = look.tick() => self.look(standing).await?,
                () = core::future::ready(()), if !self.queue.is_empty() => {
                    while let Ok(order) = self.orders.try_recv() {
                        self.take(order, standing);
                    }
                    self.ask_group(standing).await?;
                }
                order = self.orders.recv() => match order {
                    None => return Ok(()),
                    Some(order) => self.take(order, standing),
                },
            }
        }
    }

    fn take(&mut self, order: Order, standing: &Standing) {
        match order {
            Order::Ask(job) if job.only.is_some_and(|link| link != standing.id) => {
                let why = "it is connected anew";
                let address = standing.connection.address.clone();
                Task::new(job).away(&Arc::new(Reason::Changed { address, why }));
            }
            Order::Ask(job) => self.queue.push_back(Task::new(job)),
            Order::Wait(wait) if wait.link == standing.id => {
                if let Err(unsent) = standing.waits.try_send(wait) {
                    debug!("more waits for replicas than are taken");
                    unsent.into_inner().answer(Err(Error::Unknown));
                }
            }
            // What that link has written, this server may never have had.
            Order::Wait(wait) => wait.answer(Err(Error::Unknown)),
        }
    }

    /// Asks what is next, at most so much, and hands the answers out.
    async fn ask_group(&mut self, standing: &mut Standing) -> Result<(), Reason> {
        let mut questions = Pipeline::new();
        for task in &mut self.queue {
            // Whoever has gone does not want it done: it was not sent yet.
            if task.answers.values.is_empty() && task.job.reply.is_closed() {
                task.job.questions.clear();
            }
            while questions.len() < GROUP
                && let Some(question) = task.job.questions.pop_front()
            {
                questions.add_command(question);
                task.asked = task.asked.saturating_add(1);
                task.answers.link = Some(standing.id);
            }
        }
        let count = questions.len();
        let limit = self.dialer.config.timing.call;
        let asked = match count {
            0 => Ok(Vec::new()),
            _ => standing.connection.ask_all(&questions, limit).await,
        };
        let address = standing.connection.address.clone();
        let (answers, failed) = match asked {
            Ok(values) => {
                let answers = values
                    .into_iter()
                    .map(|value| functions::answer(value, &address));
                (answers.collect(), None)
            }
            Err(reason) => (vec![Err(Error::Unknown); count], Some(reason)),
        };
        let gone = failed.or_else(|| elsewhere(&answers));
        self.hand_out(answers);
        gone.map_or(Ok(()), Err)
    }

    /// Gives the tasks in front their answers, and lets those go that have all.
    fn hand_out(&mut self, answers: Vec<Result<Value, Error>>) {
        let mut answers = answers.into_iter();
        while let Some(mut task) = self.queue.pop_front() {
            let asked = core::mem::take(&mut task.asked);
            task.answers.values.extend(answers.by_ref().take(asked));
            if !task.job.questions.is_empty() {
                self.queue.push_front(task);
                return;
            }
            task.done();
        }
    }

    /// Everything that was not sent stays so.
    fn away(&mut self, reason: &Arc<Reason>) {
        for task in self.queue.drain(..) {
            task.away(reason);
        }
    }

    /// Looks whether it is still the same server.
    async fn look(&mut self, standing: &mut Standing) -> Result<(), Reason> {
        let config = &self.dialer.config;
        let info = standing
            .connection
            .ask(&cmd("INFO"), Some(config.timing.call))
            .await?;
        let info = info.map_err(|error| self.dialer.denied(&standing.connection, &error))?;
        let info: String = redis::from_redis_value(info).unwrap_or_default();
        let server = Server::parse(&standing.server.address, &info, config.durability)?;
        if server.origin != standing.server.origin {
            return Err(Reason::Changed {
                address: standing.connection.address.clone(),
                why: "it has another replication id",
            });
        }
        if server != *standing.server {
            standing.server = Arc::new(server);
            self.tell(standing);
        }
        Ok(())
    }

    fn tell(&self, standing: &Standing) {
        self.state.send_replace(State::Up {
            link: standing.id,
            server: Arc::clone(&standing.server),
        });
    }
}
