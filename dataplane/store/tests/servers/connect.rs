//! Why there is no connection: one line for each, and what the user of an ACL needs (rule S6).

use core::net::Ipv4Addr;
use std::net::TcpListener;

use core::time::Duration;
use lns_cluster::journal::Mark;
use lns_crypto::Secret;
use lns_store::{ACL, Credentials, Durability, Reason, Redis, Refusal, State};
use tokio::time::timeout;

use crate::rig::{
    LONG, Process, claim, config, content, epoch, forget, free_port, holder, mark, put, refusal,
    rows, up, write,
};

fn credentials(user: Option<&str>, password: &str) -> Credentials {
    Credentials {
        user: user.map(Into::into),
        password: Secret::new(password.as_bytes()),
    }
}

/// The line that tells why there is none, without the address.
async fn told(
    server: &Process,
    credentials: Option<Credentials>,
    durability: Durability,
) -> String {
    let mut config = config(&server.url());
    config.credentials = credentials;
    config.durability = durability;
    let reason = Redis::probe(config).await.unwrap_err();
    reason
        .to_string()
        .replace(&format!("127.0.0.1:{}", server.port), "ADDR")
}

#[tokio::test]
async fn credentials_that_do_not_fit_are_told_in_one_line() {
    let open = Process::start().await;
    let closed = Process::with(&[
        "--requirepass",
        "right",
        "--user",
        "lns",
        "on",
        ">right",
        "+ping",
    ])
    .await;
    let single = Durability::Single;
    let wrong = |user: &str| {
        format!(
            "store.redis: ADDR does not take the password of user {user}, or has no such user, or it is off: mend the Secret of store.redis.credentialsSecretRef"
        )
    };
    assert_eq!(
        told(&closed, Some(credentials(None, "wrong")), single).await,
        wrong("default")
    );
    assert_eq!(
        told(&closed, Some(credentials(Some("nobody"), "right")), single).await,
        wrong("nobody")
    );
    assert_eq!(
        told(&closed, None, single).await,
        "store.redis: ADDR asks for a password, and none is configured: set store.redis.credentialsSecretRef"
    );
    assert_eq!(
        told(&open, Some(credentials(None, "right")), single).await,
        "store.redis: ADDR has no password, and one is configured: protect the server (requirepass or ACL SETUSER), or take store.redis.credentialsSecretRef away"
    );
    let may_not = told(&closed, Some(credentials(Some("lns"), "right")), single).await;
    assert!(
        may_not.starts_with("store.redis: user lns may not do what is needed (this user has no permissions to run the 'info' command"),
        "{may_not}"
    );
    assert!(may_not.ends_with(&format!("): give it {ACL}")), "{may_not}");
}

#[tokio::test]
async fn settings_that_lose_records_are_told_in_one_line() {
    let single = Durability::Single;
    for (options, durability, line) in [
        (
            &["--maxmemory-policy", "allkeys-lru"][..],
            single,
            "maxmemory-policy is allkeys-lru: set maxmemory-policy noeviction",
        ),
        (
            &["--appendonly", "no"],
            single,
            "appendonly is no: set appendonly yes",
        ),
        (
            &[],
            Durability::Replicated,
            "min-replicas-to-write or min-replicas-max-lag is 0: set min-replicas-to-write 1 or more, or store.redis.durability: Single",
        ),
        (
            &[
                "--min-replicas-to-write",
                "1",
                "--min-replicas-max-lag",
                "0",
            ],
            Durability::Replicated,
            "min-replicas-to-write or min-replicas-max-lag is 0: set min-replicas-to-write 1 or more, or store.redis.durability: Single",
        ),
    ] {
        let server = Process::with(options).await;
        let line = format!("store.redis: ADDR would lose records: {line}");
        assert_eq!(told(&server, None, durability).await, line);
    }
}

#[tokio::test]
async fn a_setting_that_becomes_unsafe_is_told_and_the_store_goes_on() {
    let server = Process::start().await;
    let store = Redis::start(config(&server.url())).unwrap();
    assert_eq!(up(&store).await.1.unsafe_setting, None);
    server.tell(&["CONFIG", "SET", "appendonly", "no"]).await;
    let mut state = store.state();
    let told = state.wait_for(
        |state| matches!(state, State::Up { server, .. } if server.unsafe_setting.is_some()),
    );
    timeout(LONG, told).await.expect("it is not told").unwrap();
    claim(&store, "a", mark(7, 1)).await;
}

#[tokio::test]
async fn a_replica_a_cluster_and_another_database_are_told() {
    let master = Process::start().await;
    let replica = Process::replica_of(&master, &[]).await;
    let single = Durability::Single;
    assert_eq!(
        told(&replica, None, single).await,
        "store.redis: ADDR is a replica, not a master: set the address of the master, or store.redis.sentinel"
    );
    let cluster = Process::with(&["--cluster-enabled", "yes"]).await;
    assert_eq!(
        told(&cluster, None, single).await,
        "store.redis: ADDR runs with cluster-enabled yes, and failover of a Redis Cluster is not followed: use a single server, or Sentinel"
    );
    let reason = Redis::probe(config(&format!("{}/99", master.url())))
        .await
        .unwrap_err();
    assert!(
        reason
            .to_string()
            .ends_with("answers \"ERR DB index is out of range\""),
        "{reason}"
    );
    let other = Redis::start(config(&format!("{}/3", master.url()))).unwrap();
    claim_and_write(&other).await;
    let size: u64 = master.say(&["DBSIZE"]).await;
    assert_eq!(size, 0);
}

async fn claim_and_write(store: &Redis) {
    up(store).await;
    claim(store, "a", mark(7, 1)).await;
    write(store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
    assert_eq!(content(store).await, rows(&[("t/1", "7-2", "x")]));
}

#[tokio::test]
async fn a_host_that_is_unknown_refuses_or_is_silent_is_told() {
    let reason = Redis::probe(config("redis://no-such-host.invalid"))
        .await
        .unwrap_err();
    assert!(
        matches!(&reason, Reason::UnknownHost { host, .. } if &**host == "no-such-host.invalid"),
        "{reason}"
    );

    let port = free_port();
    let reason = Redis::probe(config(&format!("redis://127.0.0.1:{port}")))
        .await
        .unwrap_err();
    assert_eq!(
        reason.to_string(),
        format!(
            "store.redis: 127.0.0.1:{port} cannot be reached (Connection refused (os error 111))"
        )
    );
    let reason = Redis::probe(config("unix:///nowhere/redis.sock"))
        .await
        .unwrap_err();
    assert_eq!(
        reason.to_string(),
        "store.redis: /nowhere/redis.sock cannot be reached (No such file or directory (os error 2))"
    );

    // The kernel takes the connection, and nobody else does.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut impatient = config(&format!("redis://{address}"));
    impatient.timing.connect = Duration::from_millis(100);
    let reason = Redis::probe(impatient).await.unwrap_err();
    assert_eq!(
        reason.to_string(),
        format!("store.redis: {address} does not answer")
    );
}

#[tokio::test]
async fn a_socket_in_the_file_system_does_as_well() {
    let server = Process::with(&["--unixsocket", "redis.sock"]).await;
    let path = server.folder().join("redis.sock");
    let store = Redis::start(config(&format!("unix://{}", path.display()))).unwrap();
    claim_and_write(&store).await;
}

/// All that a store ever asks, by a user who may do nothing else.
#[tokio::test]
async fn a_user_with_the_commands_of_the_manual_can_do_everything_and_nothing_else() {
    let server = Process::start().await;
    let rules: Vec<_> = ["ACL", "SETUSER", "lns", "on", ">secret"]
        .into_iter()
        .chain(ACL.split(' '))
        .collect();
    server.tell(&rules).await;
    let mut config = config(&server.url());
    config.credentials = Some(credentials(Some("lns"), "secret"));
    let store = Redis::start(config).unwrap();
    claim_and_write(&store).await;
    let refused = write(&store, "a", put("t/2", mark(7, 2), "x")).await;
    assert_eq!(refusal(refused), Refusal::StaleId { last: mark(7, 2) });
    write(&store, "a", forget("t/1", mark(7, 3))).await.unwrap();
    store.beat(epoch(7), &holder("a")).await.unwrap();
    let (link, _) = up(&store).await;
    assert_eq!(
        store
            .wait(link, epoch(7), &holder("a"), 0, LONG)
            .await
            .unwrap(),
        0
    );
    assert!(store.fence().await.unwrap().is_some());
    store.time().await.unwrap();
    let mut digest = store.digest().await.unwrap();
    while digest.page().await.unwrap().is_some() {}
    let mut tail = store.tail(Mark::ZERO);
    tail.next().await;
    assert_eq!(tail.position(), mark(7, 3));

    let url = server.url().replace("redis://", "redis://lns:secret@");
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for words in [
        &["GET", "other"][..],
        &["SET", "other", "x"],
        &["XADD", "other", "*", "a", "b"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["KEYS", "*"],
        &["EVAL", "return 1", "0"],
        &["FUNCTION", "FLUSH"],
        &["REPLICAOF", "NO", "ONE"],
    ] {
        let mut command = redis::cmd(words[0]);
        let answer: redis::RedisResult<redis::Value> =
            command.arg(&words[1..]).query_async(&mut connection).await;
        assert_eq!(answer.unwrap_err().code(), Some("NOPERM"), "{words:?}");
    }
}
