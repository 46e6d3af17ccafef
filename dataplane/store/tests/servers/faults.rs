//! Servers that stop, die and come back: what was done, what was not, and what nobody knows.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_cluster::journal::Mark;
use lns_store::{Error, Reason, Redis, Refusal};
use nix::sys::signal::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{
    Process, claim, config, content, down, epoch, holder, mark, put, rows, store, until, up, write,
};

#[tokio::test]
async fn what_a_stopped_server_was_asked_is_unknown_and_is_never_done_twice() {
    let server = Process::start().await;
    let mut impatient = config(&server.url());
    impatient.timing.call = Duration::from_millis(500);
    impatient.timing.connect = Duration::from_millis(500);
    let store = Redis::start(impatient).unwrap();
    let (link, _) = up(&store).await;
    claim(&store, "a", mark(7, 1)).await;

    server.signal(Signal::SIGSTOP);
    let writes = [put("t/1", mark(7, 2), "x"), put("t/2", mark(7, 3), "x")];
    let written = store.write(&holder("a"), &writes).await;
    assert!(
        written
            .results
            .iter()
            .all(|result| matches!(result, Err(Error::Unknown)))
    );
    down(&store).await;
    // What is asked now is not done, and that is known.
    let result = write(&store, "a", put("t/3", mark(7, 4), "x")).await;
    assert!(matches!(result, Err(Error::Away(_))), "{result:?}");

    server.signal(Signal::SIGCONT);
    let (again, _) = up(&store).await;
    assert!(again > link);
    // It has read what it was asked before it saw that the connection is gone.
    until("what was under way is done", async || {
        content(&store).await.len() == 2
    })
    .await;
    let written = store.write(&holder("a"), &writes).await;
    let refused: Vec<_> = written
        .results
        .into_iter()
        .map(crate::rig::refusal)
        .collect();
    let stale = Refusal::StaleSeq { stored: mark(7, 2) };
    assert_eq!(refused, [stale.clone(), stale]);
    let marks = |seq| format!("7-{seq}");
    let stream: Vec<(String, Vec<String>)> = server
        .say(&["XRANGE", "{lns:isp/edge}:stream", "-", "+"])
        .await;
    let ids: Vec<_> = stream.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [marks(1), marks(2), marks(3)]);
    // Under a mark of its own it is done, whichever came first.
    write(&store, "a", put("t/1", mark(7, 5), "y"))
        .await
        .unwrap();
    assert_eq!(
        content(&store).await,
        rows(&[("t/1", "7-5", "y"), ("t/2", "7-3", "x")])
    );
}

#[tokio::test]
async fn without_a_server_everything_is_answered_at_once() {
    let mut server = Process::start().await;
    let store = store(&server).await;
    let (link, _) = up(&store).await;
    claim(&store, "a", mark(7, 1)).await;
    server.kill();
    let reason = down(&store).await;
    assert!(matches!(*reason, Reason::Lost { .. }), "{reason}");
    let away = |error: &Error| matches!(error, Error::Away(_));
    assert!(away(&store.time().await.unwrap_err()));
    assert!(away(&store.fence().await.unwrap_err()));
    assert!(away(&store.load().await.unwrap_err()));
    assert!(away(&store.digest().await.unwrap_err()));
    assert!(away(&store.beat(epoch(7), &holder("a")).await.unwrap_err()));
    let waited = store
        .wait(link, epoch(7), &holder("a"), 1, Duration::from_secs(1))
        .await;
    assert!(away(&waited.unwrap_err()));
    // It goes on trying.
    server.restart().await;
    up(&store).await;
    store.time().await.unwrap();
    let waited = store
        .wait(link, epoch(7), &holder("a"), 0, Duration::from_secs(1))
        .await;
    assert!(matches!(waited, Err(Error::Unknown)), "{waited:?}");
}

#[tokio::test]
async fn time_is_the_servers() {
    let server = Process::start().await;
    let store = store(&server).await;
    let (seconds, _micros): (u64, u32) = server.say(&["TIME"]).await;
    let first = store.time().await.unwrap();
    assert!(first.as_secs() >= seconds);
    assert!(store.time().await.unwrap() >= first);
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_left() {
    let server = Process::start().await;
    let other = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    server
        .tell(&["REPLICAOF", "127.0.0.1", &other.port.to_string()])
        .await;
    let reason = down(&store).await;
    assert!(matches!(*reason, Reason::NotMaster { .. }), "{reason}");
    let result = write(&store, "a", put("t/1", mark(7, 2), "x")).await;
    assert!(matches!(result, Err(Error::Away(_))), "{result:?}");
}

#[tokio::test]
async fn a_store_that_nobody_has_any_more_leaves_its_server() {
    let server = Process::start().await;
    let store = store(&server).await;
    let mut tail = store.tail(Mark::ZERO);
    tail.next().await;
    assert_ne!(server.info("connected_clients").await, "1");
    drop((store, tail));
    until("its connections are closed", async || {
        server.info("connected_clients").await == "1"
    })
    .await;
}

/// An address behind which two servers take turns, as behind a name with several addresses.
async fn turns(ports: [u16; 2]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for server in ports.into_iter().cycle() {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))
                .await
                .unwrap();
            tokio::spawn(async move {
                let _over = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn an_address_that_leads_to_several_servers_is_told() {
    let (one, other) = (Process::start().await, Process::start().await);
    let port = turns([one.port, other.port]).await;
    let store = Redis::start(config(&format!("redis://127.0.0.1:{port}"))).unwrap();
    let reason = down(&store).await;
    assert_eq!(
        reason.to_string(),
        format!(
            "store.redis: 127.0.0.1:{port} is no longer the server that it was (another connection to the same address led to another server)"
        )
    );
}
