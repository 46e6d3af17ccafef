//! A journal that writes to servers which die, stop, forget and fail over (rules S2, S4, S5): nothing is settled
//! that is not stored unless the journal says that it is degraded, and in the end the store has what its user has.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::journal::{Change, Journal, Patience, Round, Standing, Ticket, Write};
use lns_store::writer::{Mastership, News, Settings, Writer};
use lns_store::{Config, Error, Redis, Refusal};
use lns_tables::time::Instant;
use nix::sys::signal::Signal;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::replicas::Trio;
use crate::rig::{
    LONG, Process, claim, config, content, epoch, holder, mark, put, refusal, store, until, up,
    write,
};

fn alone() -> Settings {
    Settings {
        replicas: 0,
        patience: Duration::from_millis(300),
        beat: Duration::from_millis(50),
    }
}

fn of(node: &str, number: u64) -> Mastership {
    Mastership {
        epoch: epoch(number),
        holder: holder(node),
        owner: "uid-1".into(),
        roster: Bytes::from_static(b"a b"),
    }
}

/// As servers that stop are to be noticed before the test is over.
fn impatient(mut config: Config) -> Config {
    config.timing.call = Duration::from_millis(1_000);
    config.timing.connect = Duration::from_millis(1_000);
    config
}

/// What the user has said of a record, and when.
type History = Vec<(Ticket, Option<String>)>;

/// A user of a journal that writes to a store.
struct Master {
    journal: Journal<String>,
    writer: Writer,
    news: Arc<Notify>,
    begun: std::time::Instant,
    /// What he has.
    has: BTreeMap<String, String>,
    said: BTreeMap<String, History>,
    draws: u64,
    /// Up to here it was looked whether what is settled is stored.
    checked: Ticket,
    checks: u32,
    claims: u32,
    changes: u32,
    aways: Vec<Error>,
    unreplicated: u32,
    degraded: u32,
}

impl Master {
    fn start(store: Redis, settings: Settings) -> Self {
        let news = Arc::new(Notify::new());
        let wake = Arc::clone(&news);
        let writer = Writer::start(store, settings, move || wake.notify_one());
        writer.claim(of("a", 7));
        Self {
            journal: Journal::new(Patience::default()),
            writer,
            news,
            begun: std::time::Instant::now(),
            has: BTreeMap::new(),
            said: BTreeMap::new(),
            draws: 1,
            checked: Ticket::default(),
            checks: 0,
            claims: 0,
            changes: 0,
            aways: Vec::new(),
            unreplicated: 0,
            degraded: 0,
        }
    }

    fn now(&self) -> Instant {
        let millis = self.begun.elapsed().as_millis();
        Instant::from_millis(u64::try_from(millis).unwrap() + 1)
    }

    /// A fixed sequence: the test is about order, not about numbers.
    fn draw(&mut self, below: u64) -> u64 {
        self.draws = self
            .draws
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.draws >> 33) % below
    }

    /// Some changes, as one batch of inputs brings them about.
    fn change(&mut self) {
        let mut changed = Vec::new();
        for _ in 0..=self.draw(4) {
            let kind = if self.draw(2) == 0 { "t" } else { "s/1" };
            let key = format!("{kind}/{}", self.draw(12));
            let value = (self.draw(4) > 0).then(|| format!("{}", self.draws));
            self.say(&key, value.as_deref());
            changed.push((key, value));
        }
        let now = self.now();
        let ticket = self.journal.close(now);
        for (key, value) in changed {
            self.said.entry(key).or_default().push((ticket, value));
        }
    }

    fn say(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.has.insert(key.to_owned(), value.to_owned());
            let lasting = self.draw(2) == 0;
            self.journal.put(key.to_owned(), value.as_bytes(), lasting);
        } else {
            self.has.remove(key);
            self.journal.forget(key.to_owned());
        }
    }

    /// Takes what has happened, and gives out what is to be written.
    fn turn(&mut self) {
        while let Some(news) = self.writer.poll_news() {
            self.take(news);
        }
        let now = self.now();
        if self.journal.handle_timeout(now) {
            self.degraded += 1;
        }
        while let Some(round) = self.journal.poll_round() {
            self.writer.write(round.clone());
        }
    }

    fn take(&mut self, news: News) {
        let now = self.now();
        match news {
            News::Claimed { epoch, seq, .. } => {
                self.claims += 1;
                self.journal.handle_claimed(epoch, seq, now);
            }
            News::Stored(ticket) => self.journal.handle_stored(ticket),
            News::NotReplicated { .. } => self.unreplicated += 1,
            News::Away { reason } => {
                self.aways.push(reason);
                self.journal.handle_away();
            }
            News::Changed { marks, .. } => {
                self.changes += 1;
                for key in self.journal.handle_digest(marks) {
                    let value = self.has.get(&key).cloned();
                    self.say(&key, value.as_deref());
                }
                self.journal.close(now);
            }
            News::Lost { epoch, holder } => panic!("{holder} is master in epoch {epoch:?}"),
        }
    }

    /// What is settled is stored, or something that was said later.
    async fn check(&mut self, server: &Process) {
        let settled = self.journal.settled();
        if self.journal.standing() == Standing::Degraded {
            self.checked = settled;
            return;
        }
        let mut connection = server.connection().await;
        for (key, said) in &self.said {
            let Some(last) = said.iter().rposition(|(ticket, _)| *ticket <= settled) else {
                continue;
            };
            if said[last].0 <= self.checked {
                continue;
            }
            let name = format!("{{lns:isp/edge}}:{key}");
            let stored: Option<String> = redis::cmd("GET")
                .arg(name)
                .query_async(&mut connection)
                .await
                .unwrap();
            let stored = stored.map(|text| text.split_once(' ').unwrap().1.to_owned());
            assert!(
                said[last..].iter().any(|(_, value)| *value == stored),
                "{key} is {stored:?}, and should be {:?}",
                &said[last..]
            );
            self.checks += 1;
        }
        self.checked = settled;
    }

    /// Changes things for a while, and looks on a server that is there.
    async fn work(&mut self, rounds: u32, server: Option<&Process>) {
        for _ in 0..rounds {
            self.change();
            self.turn();
            sleep(Duration::from_millis(1)).await;
            self.turn();
            if let Some(server) = server {
                self.check(server).await;
            }
        }
    }

    /// Until it is so.
    async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let waited = timeout(LONG, async {
            while !so(self) {
                let _news = timeout(Duration::from_millis(20), self.news.notified()).await;
                self.turn();
            }
        });
        assert!(waited.await.is_ok(), "not within {LONG:?}: {what}");
    }

    /// Until the store has everything.
    async fn finish(&mut self) {
        self.until("everything is stored", |it| {
            it.journal.unstored() == 0 && it.journal.standing() == Standing::Whole
        })
        .await;
    }

    /// The store has what its user has.
    async fn compare(&self, store: &Redis) {
        let stored: BTreeMap<_, _> = content(store)
            .await
            .into_iter()
            .map(|(path, _, blob)| (path, blob))
            .collect();
        assert_eq!(stored, self.has);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_is_stored_over_restarts_stops_and_flushes() {
    let mut server = Process::start().await;
    let store = Redis::start(impatient(config(&server.url()))).unwrap();
    let mut master = Master::start(store.clone(), alone());
    // Before there is a claim, too.
    master.work(5, None).await;
    master.until("the first claim", |it| it.claims == 1).await;
    assert_eq!(master.changes, 0);
    master.work(60, Some(&server)).await;

    server.kill();
    master.until("it is away", |it| !it.aways.is_empty()).await;
    master.work(60, None).await;
    master.until("it is degraded", |it| it.degraded == 1).await;
    server.restart().await;
    master.until("a second claim", |it| it.claims == 2).await;
    // Another life of the server, which may have lost its last second.
    assert_eq!(master.changes, 1);
    master.finish().await;
    master.compare(&store).await;
    master.work(60, Some(&server)).await;

    // Between question and answer.
    let aways = master.aways.len();
    server.signal(Signal::SIGSTOP);
    master.work(20, None).await;
    master
        .until("it is silent", |it| it.aways.len() > aways)
        .await;
    master.work(20, None).await;
    server.signal(Signal::SIGCONT);
    let claims = master.claims;
    master.until("a claim more", |it| it.claims > claims).await;
    master.finish().await;
    master.compare(&store).await;
    master.work(60, Some(&server)).await;

    // Only its connection is gone.
    let claims = master.claims;
    let changes = master.changes;
    server.tell(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    master.work(20, None).await;
    master.until("a claim more", |it| it.claims > claims).await;
    assert_eq!(master.changes, changes, "it is the same server");
    master.finish().await;
    master.compare(&store).await;

    master.finish().await;
    let changes = master.changes;
    server.tell(&["FLUSHALL"]).await;
    master.work(20, None).await;
    master
        .until("it is noticed", |it| it.changes > changes)
        .await;
    master.finish().await;
    master.compare(&store).await;
    // With nothing to write, and the connection gone in the same moment.
    let changes = master.changes;
    server.tell(&["FLUSHALL"]).await;
    server.tell(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    master
        .until("it is noticed", |it| it.changes > changes)
        .await;
    master.finish().await;
    master.compare(&store).await;
    master.work(60, Some(&server)).await;
    assert!(master.checks > 200, "{}", master.checks);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_has_lost_is_written_again() {
    let mut trio = Trio::start().await;
    let store = trio.store().await;
    let settings = Settings {
        replicas: 1,
        ..alone()
    };
    let mut master = Master::start(store.clone(), settings);
    master.until("the first claim", |it| it.claims == 1).await;
    master.work(40, Some(&trio.master)).await;
    master.finish().await;

    trio.cut().await;
    let before = master.unreplicated;
    master.work(40, Some(&trio.master)).await;
    master.finish().await;
    assert!(master.unreplicated > before);
    master.compare(&store).await;

    trio.fail_over(&store).await;
    master.until("it is noticed", |it| it.changes == 1).await;
    master.finish().await;
    master.compare(&store).await;
    master.work(40, Some(&trio.replica)).await;
    master.finish().await;
    master.compare(&store).await;
    assert!(master.checks > 50, "{}", master.checks);
}

/// The next news that there are.
async fn next(writer: &mut Writer) -> News {
    let next = timeout(LONG, async {
        loop {
            if let Some(news) = writer.poll_news() {
                return news;
            }
            sleep(Duration::from_millis(1)).await;
        }
    });
    next.await.expect("no news")
}

/// A round of one change.
fn round(path: &str, seq: u64) -> Round<String> {
    Round {
        ticket: Ticket::default(),
        lasting: true,
        writes: vec![Write {
            key: path.to_owned(),
            mark: mark(7, seq),
            change: Change::Put((*b"x").into()),
        }],
    }
}

fn claimed(news: &News) -> (u64, u32) {
    match news {
        News::Claimed { seq, replicas, .. } => (*seq, *replicas),
        news => panic!("{news:?}"),
    }
}

#[tokio::test]
async fn a_later_master_ends_the_writing() {
    let server = Process::start().await;
    let store = store(&server).await;
    let mut writer = Writer::start(store.clone(), alone(), || ());
    writer.claim(of("a", 7));
    let (seq, _) = claimed(&next(&mut writer).await);
    claim(&store, "b", mark(8, 1)).await;
    // The sign of life is enough to learn it.
    let News::Lost {
        epoch: by,
        holder: who,
    } = next(&mut writer).await
    else {
        panic!("it goes on")
    };
    assert_eq!((by, &*who), (epoch(8), &*holder("b").to_string()));
    writer.write(round("t/1", seq + 1));
    // Nor does it claim again on its own.
    server.tell(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    until("it is connected again", async || store.time().await.is_ok()).await;
    assert!(content(&store).await.is_empty());
    let fence = store.fence().await.unwrap().unwrap();
    assert_eq!(fence.fenced.epoch, Some(epoch(8)));
    // With a later epoch it goes on.
    writer.claim(of("a", 9));
    claimed(&next(&mut writer).await);
    let result = write(&store, "b", put("t/1", mark(8, 2), "x")).await;
    assert!(matches!(refusal(result), Refusal::NotHolder(_)));
}

#[tokio::test]
async fn what_was_given_before_a_claim_was_heard_of_is_not_written() {
    let server = Process::start().await;
    let store = store(&server).await;
    let mut writer = Writer::start(store.clone(), alone(), || ());
    writer.write(round("t/0", 1));
    writer.claim(of("a", 7));
    let (seq, _) = claimed(&next(&mut writer).await);
    let (link, _) = up(&store).await;
    server.tell(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    until("it is claimed again", async || {
        let claims: Vec<(String, Vec<String>)> = server
            .say(&["XRANGE", "{lns:isp/edge}:stream", "-", "+"])
            .await;
        claims.len() == 2
    })
    .await;
    assert!(up(&store).await.0 > link);
    writer.write(round("t/1", seq + 5));
    let mut news = next(&mut writer).await;
    while matches!(news, News::Away { .. }) {
        news = next(&mut writer).await;
    }
    let (again, _) = claimed(&news);
    assert!(again > seq);
    writer.write(round("t/2", seq + 9));
    assert!(matches!(next(&mut writer).await, News::Stored(_)));
    let keys: Vec<_> = content(&store).await.into_iter().map(|it| it.0).collect();
    assert_eq!(keys, ["t/2"]);
}

#[tokio::test]
async fn a_server_that_is_full_is_away_until_there_is_room() {
    let server = Process::start().await;
    let store = store(&server).await;
    let mut master = Master::start(store.clone(), alone());
    master.until("the first claim", |it| it.claims == 1).await;
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    master.work(20, None).await;
    master
        .until("it is told", |it| {
            let full = |error: &Error| matches!(error, Error::Refused(Refusal::Full));
            it.aways.iter().any(full)
        })
        .await;
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    master.finish().await;
    master.compare(&store).await;
    assert_eq!(master.changes, 0);
}

#[tokio::test]
async fn another_owner_takes_over_when_the_first_one_is_silent() {
    let server = Process::start().await;
    let (one, two) = (store(&server).await, store(&server).await);
    let mut first = Writer::start(one, alone(), || ());
    first.claim(of("a", 7));
    claimed(&next(&mut first).await);
    let mut second = Writer::start(two.clone(), alone(), || ());
    second.claim(Mastership {
        owner: "uid-2".into(),
        ..of("b", 8)
    });
    let News::Away { reason } = next(&mut second).await else {
        panic!("it takes over at once")
    };
    let Error::Refused(Refusal::OtherOwner { owner, .. }) = reason else {
        panic!("{reason}")
    };
    assert_eq!(&*owner, "uid-1");
    let fence = two.fence().await.unwrap().unwrap();
    assert_eq!(fence.fenced.epoch, Some(epoch(7)));
    first.resign();
    claimed(&next(&mut second).await);
    let fence = two.fence().await.unwrap().unwrap();
    assert_eq!(
        (fence.fenced.epoch, &*fence.owner),
        (Some(epoch(8)), "uid-2")
    );
}

#[tokio::test]
async fn replicas_are_waited_for_and_missing_ones_are_told() {
    let server = Process::start().await;
    let replica = Process::replica_of(&server, &[]).await;
    let store = store(&server).await;
    let settings = Settings {
        replicas: 1,
        patience: LONG,
        ..alone()
    };
    let mut writer = Writer::start(store.clone(), settings, || ());
    writer.claim(of("a", 7));
    let (seq, replicas) = claimed(&next(&mut writer).await);
    assert_eq!(replicas, 1);
    writer.write(round("t/1", seq + 1));
    assert!(matches!(next(&mut writer).await, News::Stored(_)));
    let got: String = replica.say(&["GET", "{lns:isp/edge}:t/1"]).await;
    assert_eq!(got, format!("{} x", mark(7, seq + 1)));

    // It does not hold up what is behind it.
    replica.signal(Signal::SIGSTOP);
    writer.write(round("t/2", seq + 2));
    let mut later = round("t/3", seq + 3);
    later.lasting = false;
    writer.write(later);
    assert!(matches!(next(&mut writer).await, News::Stored(_)));
    until("both are there", async || content(&store).await.len() == 3).await;
    assert!(writer.poll_news().is_none());
    replica.signal(Signal::SIGCONT);
    assert!(matches!(next(&mut writer).await, News::Stored(_)));

    let settings = Settings {
        replicas: 2,
        ..alone()
    };
    let mut writer = Writer::start(store, settings, || ());
    writer.claim(of("b", 8));
    let (seq, replicas) = claimed(&next(&mut writer).await);
    assert_eq!(replicas, 1);
    let mut last = round("t/4", seq + 1);
    last.writes[0].mark = mark(8, seq + 1);
    writer.write(last);
    let news = next(&mut writer).await;
    assert!(
        matches!(news, News::NotReplicated { count: 1, .. }),
        "{news:?}"
    );
    assert!(matches!(next(&mut writer).await, News::Stored(_)));
}
