//! Replicas: who has what, and what is left after a failover that Sentinel made (rules S2, S4, S5).

use core::time::Duration;
use std::sync::Arc;

use lns_cluster::journal::Mark;
use lns_store::{
    Address, Config, Durability, Error, Event, Followed, Reason, Redis, Refusal, Server, Target,
};
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::rig::{
    LONG, Process, claim, config, content, epoch, free_port, holder, mark, mastership, put,
    refusal, rows, store, until, up, write,
};

/// How many replicas have everything, after this time at most.
async fn waited(store: &Redis, node: &str, replicas: u32, limit: Duration) -> Result<u32, Error> {
    let (link, _) = up(store).await;
    store
        .wait(link, epoch(7), &holder(node), replicas, limit)
        .await
}

#[tokio::test]
async fn waiting_tells_how_many_replicas_have_it() {
    let server = Process::start().await;
    let (one, two) = (
        Process::replica_of(&server, &[]).await,
        Process::replica_of(&server, &[]).await,
    );
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
    assert_eq!(waited(&store, "a", 2, LONG).await.unwrap(), 2);
    let got: String = one.say(&["GET", "{lns:isp/edge}:t/1"]).await;
    assert_eq!(got, "7-2 x");

    two.signal(Signal::SIGSTOP);
    write(&store, "a", put("t/1", mark(7, 3), "y"))
        .await
        .unwrap();
    assert_eq!(
        waited(&store, "a", 2, Duration::from_millis(300))
            .await
            .unwrap(),
        1
    );
    let got: String = one.say(&["GET", "{lns:isp/edge}:t/1"]).await;
    assert_eq!(got, "7-3 y");
    two.signal(Signal::SIGCONT);
    assert_eq!(waited(&store, "a", 2, LONG).await.unwrap(), 2);

    // Who waits and is not master any more, learns that.
    let refused = refusal(waited(&store, "b", 1, LONG).await);
    assert!(matches!(refused, Refusal::NotHolder(_)), "{refused}");
}

#[tokio::test]
async fn waiting_holds_nothing_up() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    // Nobody will ever have it.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { waited(&store, "a", 1, Duration::from_secs(2)).await })
        })
        .collect();
    for seq in 2..100 {
        write(&store, "a", put("t/1", mark(7, seq), "x"))
            .await
            .unwrap();
    }
    assert!(waiting.iter().all(|wait| !wait.is_finished()));
    for wait in waiting {
        assert_eq!(wait.await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn too_few_replicas_refuse_a_write_and_that_is_told() {
    let server = Process::with(&["--min-replicas-to-write", "1"]).await;
    let mut replica = Process::replica_of(&server, &[]).await;
    let mut replicated = config(&server.url());
    replicated.durability = Durability::Replicated;
    let store = Redis::start(replicated).unwrap();
    assert_eq!(up(&store).await.1.replicas, 1);
    until("the replica counts", async || {
        store.claim(&mastership("a", mark(7, 1))).await.is_ok()
    })
    .await;
    replica.kill();
    let mut state = store.state();
    let alone = state.wait_for(
        |state| matches!(state, lns_store::State::Up { server, .. } if server.replicas == 0),
    );
    timeout(LONG, alone).await.expect("it is not told").unwrap();
    until("the server misses its replica", async || {
        server.info("min_slaves_good_slaves").await == "0"
    })
    .await;
    let result = write(&store, "a", put("t/1", mark(7, 2), "x")).await;
    assert_eq!(refusal(result), Refusal::TooFewReplicas);
    let result = waited(&store, "a", 1, LONG).await;
    assert_eq!(refusal(result), Refusal::TooFewReplicas);
    assert_eq!(content(&store).await, rows(&[]));
}

/// A configuration that asks the Sentinels at these ports.
fn asking(ports: &[u16]) -> Config {
    let sentinel = |port: &u16| Address::sentinel(&format!("127.0.0.1:{port}")).unwrap();
    let mut config = config("redis://127.0.0.1");
    config.target = Target::Sentinel {
        master: "lns".into(),
        sentinels: ports.iter().map(sentinel).collect(),
        tls: false,
        database: 0,
    };
    config
}

/// A master, a replica which may be cut off from it, and a Sentinel.
pub struct Trio {
    pub master: Process,
    pub replica: Process,
    sentinel: Process,
}

impl Trio {
    pub async fn start() -> Self {
        let user = [
            "--user",
            "copier",
            "on",
            ">copy",
            "+psync",
            "+replconf",
            "+ping",
        ];
        let master = Process::with(&user).await;
        let copier = ["--masteruser", "copier", "--masterauth", "copy"];
        let replica = Process::replica_of(&master, &copier).await;
        let sentinel = Process::sentinel(&master).await;
        until("the Sentinel knows the replica", async || {
            sentinel.info("master0").await.contains("slaves=1")
        })
        .await;
        Self {
            master,
            replica,
            sentinel,
        }
    }

    /// A store that asks the Sentinel, and one that is not there.
    pub async fn store(&self) -> Redis {
        let store = Redis::start(asking(&[free_port(), self.sentinel.port])).unwrap();
        up(&store).await;
        store
    }

    /// From here on the replica gets nothing, and the master goes on.
    pub async fn cut(&self) {
        self.master.tell(&["ACL", "SETUSER", "copier", "off"]).await;
        self.master
            .tell(&["CLIENT", "KILL", "TYPE", "replica"])
            .await;
        until("the replica is cut off", async || {
            self.master.info("connected_slaves").await == "0"
        })
        .await;
    }

    /// The master dies. What there is, when the Sentinel has made the replica master.
    pub async fn fail_over(&mut self, store: &Redis) -> Arc<Server> {
        self.master.kill();
        let port = self.replica.port;
        let mut state = store.state();
        let promoted = state.wait_for(|state| {
            matches!(state, lns_store::State::Up { server, .. }
                if matches!(server.address, Address::Tcp { port: p, .. } if p == port))
        });
        timeout(LONG, promoted).await.expect("no failover").unwrap();
        up(store).await.1
    }
}

#[tokio::test]
async fn a_failover_that_loses_acknowledged_writes_is_told_and_lets_no_zombie_in() {
    let mut trio = Trio::start().await;
    let store = trio.store().await;
    let before = up(&store).await.1;
    let mut tail = store.tail(Mark::ZERO);
    claim(&store, "zombie", mark(6, 1)).await;
    let link = claim(&store, "b", mark(7, 1)).await;
    write(&store, "b", put("t/1", mark(7, 2), "kept"))
        .await
        .unwrap();
    assert_eq!(
        store
            .wait(link, epoch(7), &holder("b"), 1, LONG)
            .await
            .unwrap(),
        1
    );
    trio.cut().await;
    write(&store, "b", put("t/1", mark(7, 3), "lost"))
        .await
        .unwrap();
    write(&store, "b", put("t/2", mark(7, 4), "lost"))
        .await
        .unwrap();
    until("the member has what will be lost", async || {
        tail.next().await;
        tail.position() == mark(7, 4)
    })
    .await;

    let after = trio.fail_over(&store).await;
    assert_ne!(after.origin.replid, before.origin.replid);
    assert_ne!(after.origin.run_id, before.origin.run_id);
    assert_eq!(content(&store).await, rows(&[("t/1", "7-2", "kept")]));
    // What the replica had of the claim keeps the older master out, and without the fence the record does.
    let result = write(&store, "zombie", put("t/1", mark(6, 9), "zombie")).await;
    assert!(matches!(refusal(result), Refusal::NotHolder(_)));
    let zombie = holder("zombie").to_string();
    let fence = [
        "HSET",
        "{lns:isp/edge}:fence",
        "epoch",
        "6",
        "holder",
        &zombie,
    ];
    trio.replica.tell(&fence).await;
    let result = write(&store, "zombie", put("t/1", mark(6, 9), "zombie")).await;
    assert_eq!(refusal(result), Refusal::StaleSeq { stored: mark(7, 2) });
    // A link that is gone cannot be waited on.
    let waited = store.wait(link, epoch(7), &holder("b"), 1, LONG).await;
    assert!(matches!(waited, Err(Error::Unknown)), "{waited:?}");

    // The master claims again and writes again what is missing; members have no gap.
    claim(&store, "b", mark(7, 5)).await;
    write(&store, "b", put("t/1", mark(7, 6), "again"))
        .await
        .unwrap();
    write(&store, "b", put("t/2", mark(7, 7), "again"))
        .await
        .unwrap();
    let mut told = Vec::new();
    until("the member has what was written again", async || {
        match tail.next().await {
            Followed::Entries(entries) => told.extend(entries),
            Followed::Away(_) => {}
            Followed::Gap => panic!("a gap"),
        }
        told.len() == 3
    })
    .await;
    assert!(matches!(told[0].event, Event::Claim { .. }));
    assert_eq!(
        content(&store).await,
        rows(&[("t/1", "7-6", "again"), ("t/2", "7-7", "again")])
    );
}

#[tokio::test]
async fn sentinels_that_do_not_know_or_do_not_answer_are_told() {
    let master = Process::start().await;
    let sentinel = Process::sentinel(&master).await;
    let asked = async |name: &str, port: u16| {
        let mut config = asking(&[port]);
        if let Target::Sentinel { master, .. } = &mut config.target {
            *master = name.into();
        }
        Redis::probe(config).await
    };
    let server = asked("lns", sentinel.port).await.unwrap();
    assert_eq!(
        server.address.to_string(),
        format!("127.0.0.1:{}", master.port)
    );
    let unknown = asked("other", sentinel.port).await.unwrap_err();
    assert_eq!(unknown, Reason::UnknownMaster("other".into()));
    assert_eq!(
        unknown.to_string(),
        "store.redis.sentinel.master: the Sentinels know no master \"other\": set the name that their configuration has"
    );
    let nobody = asked("lns", free_port()).await.unwrap_err().to_string();
    assert!(
        nobody.starts_with(
            "store.redis.sentinel: no Sentinel answers; the last one: store.redis: 127.0.0.1:"
        ),
        "{nobody}"
    );
}

#[tokio::test]
async fn of_sentinels_that_differ_the_one_that_knows_the_last_failover_is_believed() {
    let mut trio = Trio::start().await;
    let store = trio.store().await;
    let after = trio.fail_over(&store).await;
    // It has not heard of the failover, and names the master of before.
    let stale = Process::sentinel(&trio.master).await;
    let known = trio.sentinel.port;
    for ports in [[stale.port, known], [known, stale.port]] {
        let server = Redis::probe(asking(&ports)).await.unwrap();
        assert_eq!(server.address, after.address);
    }
}
