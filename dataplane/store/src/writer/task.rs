//! The task behind a [`Writer`](super::Writer).

use core::convert::Infallible;
use core::time::Duration;
use std::collections::VecDeque;

use lns_cluster::Epoch;
use lns_cluster::journal::{Mark, Round, Ticket, Write};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::{Mastership, News, Order, Settings};
use crate::error::{Beat, Error, Fenced, Reason, Refusal};
use crate::record::Key;
use crate::remote::{Backoff, Claim, LinkId, Origin, Redis, State, Writing, Written, ended};

/// Signs of life that must be missing before the master of another object counts as gone.
const SILENT_BEATS: u32 = 3;

/// Rounds that are given to the server and not answered, at most: the next ones are on their way while it is busy
/// with one. As many as a journal has under way.
const UNDER_WAY: usize = 8;

/// Why a mastership does not stand.
enum Halt {
    /// The store is away, or refuses what it should take.
    Away(Error),
    /// Somebody else is master.
    Lost(Fenced),
    /// The store does not know of this mastership, or of an older one only.
    Forgotten,
    /// Something was ordered that ends it.
    Ordered,
    /// Nobody is there any more.
    Over,
}

pub(super) struct Task<T> {
    redis: Redis,
    state: watch::Receiver<State>,
    settings: Settings,
    orders: UnboundedReceiver<Order>,
    tell: T,
    /// What is claimed and held.
    mastership: Option<Mastership>,
    /// How often a claim was taken.
    claims: u64,
    /// The last place that was used in the epoch.
    seq: u64,
    /// Which data the server had when the claim was taken last.
    origin: Option<Origin>,
    /// The store is known to have lost what it had.
    rewound: bool,
    /// When the master of another object was heard last.
    seen: Option<Beat>,
    /// What was told last of a store that is away.
    told: Option<String>,
    backoff: Backoff,
}

impl<T: Fn(u64, News)> Task<T> {
    pub(super) fn new(
        redis: Redis,
        settings: Settings,
        orders: UnboundedReceiver<Order>,
        tell: T,
    ) -> Self {
        Self {
            state: redis.state(),
            redis,
            settings,
            orders,
            tell,
            mastership: None,
            claims: 0,
            seq: 0,
            origin: None,
            rewound: false,
            seen: None,
            told: None,
            backoff: Backoff::default(),
        }
    }

    /// Works until nobody can give orders any more.
    pub(super) async fn serve(mut self) {
        loop {
            let halt = match self.mastership.clone() {
                None => self.rest().await,
                Some(mastership) => self.hold(&mastership).await,
            };
            match halt {
                Halt::Over => return,
                Halt::Ordered => {}
                Halt::Lost(by) => self.lose(by),
                Halt::Forgotten => {
                    self.rewound = true;
                    self.away(Error::Refused(Refusal::NotHolder(Fenced::default())));
                }
                Halt::Away(error) => {
                    let pause = self.pause(&error);
                    self.away(error);
                    if matches!(self.idle(sleep(pause)).await, Some(Halt::Over)) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for a claim.
    async fn rest(&mut self) -> Halt {
        self.idle(core::future::pending::<()>())
            .await
            .unwrap_or(Halt::Over)
    }

    /// Waits, and lets no order lie: rounds that come meanwhile are of before.
    async fn idle(&mut self, wait: impl Future<Output = ()>) -> Option<Halt> {
        let mut wait = core::pin::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => return None,
                order = self.orders.recv() => match order {
                    None => return Some(Halt::Over),
                    Some(Order::Round(..)) => {}
                    Some(order) => return Some(self.obey(order)),
                },
            }
        }
    }

    /// Takes an order that ends what is held.
    fn obey(&mut self, order: Order) -> Halt {
        self.mastership = match order {
            Order::Claim(mastership) => Some(mastership),
            Order::Resign | Order::Round(..) => None,
        };
        self.seq = 0;
        self.origin = None;
        self.rewound = false;
        self.seen = None;
        self.told = None;
        Halt::Ordered
    }

    fn lose(&mut self, by: Fenced) {
        warn!("the store has another master: {by}");
        self.mastership = None;
        self.news(News::Lost {
            epoch: by.epoch.unwrap_or(Epoch::NONE),
            holder: by.holder,
        });
    }

    fn away(&mut self, reason: Error) {
        let text = reason.to_string();
        if self.told.as_ref() != Some(&text) {
            self.told = Some(text);
            self.news(News::Away { reason });
        }
    }

    fn news(&self, news: News) {
        (self.tell)(self.claims, news);
    }

    /// How long until it is tried again.
    fn pause(&mut self, error: &Error) -> Duration {
        let beats = self.settings.beat.saturating_mul(SILENT_BEATS);
        match error {
            Error::Refused(Refusal::OtherOwner { .. }) => beats,
            Error::Refused(_) | Error::Away(_) | Error::Unknown => self.backoff.next(beats),
        }
    }

    /// Claims, and works while that stands.
    async fn hold(&mut self, mastership: &Mastership) -> Halt {
        let claimed = self.claim(mastership).await;
        let link = match claimed {
            Ok(link) => link,
            Err(halt) => return halt,
        };
        self.told = None;
        match self.work(mastership, link).await {
            Ok(never) => match never {},
            Err(halt) => halt,
        }
    }

    /// Claims as soon as there is a server, and has replicas know of it.
    async fn claim(&mut self, mastership: &Mastership) -> Result<LinkId, Halt> {
        self.connected().await?;
        let (link, again) = self.ask(mastership).await?;
        let (current, server) = self.redis.up().map_err(Halt::Away)?;
        if current != link {
            return Err(Halt::Away(Error::Unknown));
        }
        let replicas = self.replicated(mastership, link).await?;
        if let Some(origin) = &self.origin {
            self.rewound |= *origin != server.origin || !again;
        }
        if self.rewound {
            let marks = self.digest(link).await.map_err(Halt::Away)?;
            info!(
                records = marks.len(),
                "the store may have lost what it had acknowledged: what is missing is written again"
            );
            self.rewound = false;
            let origin = server.origin.clone();
            self.news(News::Changed { origin, marks });
        }
        self.origin = Some(server.origin.clone());
        self.claims = self.claims.saturating_add(1);
        self.news(News::Claimed {
            epoch: mastership.epoch,
            seq: self.seq,
            replicas,
        });
        Ok(link)
    }

    /// Waits for a server.
    async fn connected(&mut self) -> Result<(), Halt> {
        loop {
            let state = self.state.borrow_and_update().up();
            match state {
                Ok(_) => return Ok(()),
                Err(reason) if *reason == Reason::Connecting => {}
                Err(reason) => self.away(Error::Away(reason)),
            }
            let mut state = self.state.clone();
            if let Some(halt) = self.idle(async { drop(state.changed().await) }).await {
                return Err(halt);
            }
        }
    }

    /// Claims under a mark of its own. Whether the store knew of it already.
    async fn ask(&mut self, mastership: &Mastership) -> Result<(LinkId, bool), Halt> {
        self.seq = self.seq.saturating_add(1);
        let claim = Claim {
            mark: Mark {
                epoch: mastership.epoch,
                seq: self.seq,
            },
            holder: mastership.holder.clone(),
            owner: mastership.owner.clone(),
            seen: self.seen.clone(),
            roster: mastership.roster.clone(),
        };
        match self.redis.claim(&claim).await {
            Ok(claimed) => Ok((claimed.link, claimed.again)),
            Err(error) => {
                // It may be done, and be answered as known the next time.
                self.rewound |= matches!(error, Error::Unknown) && self.origin.is_some();
                Err(self.judge(mastership, error))
            }
        }
    }

    /// How many replicas have everything.
    async fn replicated(&mut self, mastership: &Mastership, link: LinkId) -> Result<u32, Halt> {
        let Settings {
            replicas, patience, ..
        } = self.settings;
        if replicas == 0 {
            return Ok(0);
        }
        let holder = &mastership.holder;
        let waited = self
            .redis
            .wait(link, mastership.epoch, holder, replicas, patience)
            .await;
        match waited {
            Err(Error::Refused(Refusal::TooFewReplicas)) => Ok(0),
            waited => waited.map_err(|error| self.judge(mastership, error)),
        }
    }

    /// All marks, of the server of this link.
    async fn digest(&mut self, link: LinkId) -> Result<Vec<(String, Mark)>, Error> {
        let mut digest = self.redis.digest().await?;
        let mut marks = Vec::new();
        while let Some(page) = digest.page().await? {
            let page = page.into_iter();
            marks.extend(page.map(|(key, mark)| (key.to_string(), mark)));
        }
        let (current, _) = self.redis.up()?;
        if current != link {
            return Err(Error::Unknown);
        }
        Ok(marks)
    }

    /// What an error means for the mastership.
    fn judge(&mut self, mastership: &Mastership, error: Error) -> Halt {
        let Error::Refused(refusal) = &error else {
            return Halt::Away(error);
        };
        match refusal {
            Refusal::NotHolder(by) | Refusal::StaleEpoch(by) => {
                let epoch = by.epoch.unwrap_or(Epoch::NONE);
                if epoch < mastership.epoch {
                    return Halt::Forgotten;
                }
                Halt::Lost(by.clone())
            }
            Refusal::StaleSeq { stored: mark } | Refusal::StaleId { last: mark } => {
                if mark.epoch > mastership.epoch {
                    return Halt::Lost(Fenced {
                        epoch: Some(mark.epoch),
                        holder: Box::default(),
                    });
                }
                // One of our own, whose outcome was unknown: behind it, then.
                if mark.epoch == mastership.epoch {
                    self.seq = self.seq.max(mark.seq);
                }
                Halt::Away(error)
            }
            Refusal::OtherOwner { beat, .. } => {
                self.seen = Some(beat.clone());
                Halt::Away(error)
            }
            Refusal::Inexact(_) | Refusal::TooFewReplicas | Refusal::Full | Refusal::Other(_) => {
                Halt::Away(error)
            }
        }
    }

    /// Writes what comes, until something ends it.
    async fn work(&mut self, mastership: &Mastership, link: LinkId) -> Result<Infallible, Halt> {
        let mut waits = JoinSet::new();
        let mut given: VecDeque<Given> = VecDeque::new();
        let mut beat = interval(self.settings.beat.max(Duration::from_millis(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let mut state = self.state.clone();
        loop {
            tokio::select! {
                biased;
                reason = ended(&mut state, link) => return Err(Halt::Away(Error::Away(reason))),
                Some(waited) = waits.join_next() => {
                    let (ticket, waited) = waited.map_err(|_| Halt::Away(Error::Unknown))?;
                    self.waited(mastership, ticket, waited)?;
                }
                Some(written) = first_written(&mut given) => {
                    let Some(Given { ticket, lasting, .. }) = given.pop_front() else {
                        continue;
                    };
                    self.written(mastership, written)?;
                    self.wait(mastership, link, (ticket, lasting), &mut waits);
                }
                _ = beat.tick() => {
                    let beaten = self.redis.beat(mastership.epoch, &mastership.holder).await;
                    match beaten {
                        Ok(()) => self.backoff.reset(),
                        Err(Error::Refused(Refusal::TooFewReplicas)) => {}
                        Err(error) => return Err(self.judge(mastership, error)),
                    }
                }
                order = self.orders.recv(), if given.len() < UNDER_WAY => match order {
                    None => return Err(Halt::Over),
                    // It was given before this claim was heard of.
                    Some(Order::Round(claims, _)) if claims != self.claims => {}
                    Some(Order::Round(_, round)) => {
                        given.push_back(self.give(mastership, link, round).await);
                    }
                    Some(order) => return Err(self.obey(order)),
                },
            }
        }
    }

    /// Gives a round to the server, behind those before.
    async fn give(&mut self, mastership: &Mastership, link: LinkId, round: Round<String>) -> Given {
        let (ticket, lasting) = (round.ticket, round.lasting);
        let writes: Vec<Write<Key>> = round.writes.into_iter().filter_map(named).collect();
        if let Some(last) = writes.last() {
            self.seq = self.seq.max(last.mark.seq);
        }
        let writing = self.redis.write_on(link, &mastership.holder, &writes).await;
        Given {
            ticket,
            lasting,
            writing,
        }
    }

    /// The server has answered to a round.
    fn written(&mut self, mastership: &Mastership, written: Written) -> Result<(), Halt> {
        let failed = written.results.into_iter().filter_map(Result::err);
        let halts = failed.map(|error| self.judge(mastership, error));
        if let Some(halt) = halts.reduce(graver) {
            return Err(halt);
        }
        self.backoff.reset();
        Ok(())
    }

    /// Waits for replicas, if a round that is written is to be lasting.
    fn wait(
        &self,
        mastership: &Mastership,
        link: LinkId,
        (ticket, lasting): (Ticket, bool),
        waits: &mut JoinSet<(Ticket, Result<u32, Error>)>,
    ) {
        let Settings {
            replicas, patience, ..
        } = self.settings;
        if !lasting || replicas == 0 {
            return self.news(News::Stored(ticket));
        }
        let (redis, epoch) = (self.redis.clone(), mastership.epoch);
        let holder = mastership.holder.clone();
        waits.spawn(async move {
            let waited = redis.wait(link, epoch, &holder, replicas, patience).await;
            (ticket, waited)
        });
    }

    /// A round was waited for.
    fn waited(
        &mut self,
        mastership: &Mastership,
        ticket: Ticket,
        waited: Result<u32, Error>,
    ) -> Result<(), Halt> {
        let count = match waited {
            Ok(count) => count,
            Err(Error::Refused(Refusal::TooFewReplicas)) => 0,
            Err(error) => return Err(self.judge(mastership, error)),
        };
        if count < self.settings.replicas {
            self.news(News::NotReplicated { ticket, count });
        }
        self.news(News::Stored(ticket));
        Ok(())
    }
}

/// A round that the server has.
struct Given {
    ticket: Ticket,
    lasting: bool,
    writing: Writing,
}

/// What became of the oldest round, once the server has answered; `None`: there is none.
async fn first_written(given: &mut VecDeque<Given>) -> Option<Written> {
    Some(given.front_mut()?.writing.written().await)
}

/// The one of two that says more: that somebody else is master, or that the store has forgotten this one.
fn graver(one: Halt, other: Halt) -> Halt {
    match (&one, &other) {
        (Halt::Away(_), Halt::Lost(_) | Halt::Forgotten) | (Halt::Forgotten, Halt::Lost(_)) => {
            other
        }
        _ => one,
    }
}

/// A change under the name that it has in the store.
fn named(write: Write<String>) -> Option<Write<Key>> {
    let Write { key, mark, change } = write;
    match key.parse() {
        Ok(key) => Some(Write { key, mark, change }),
        Err(why) => {
            error!(%key, %why, "a record cannot be stored under this name: it is left out");
            None
        }
    }
}
