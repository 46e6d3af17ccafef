//! What a session costs: memory of the server, which has a bound, and time, which is printed.

use lns_cluster::journal::{Change, Write};
use lns_store::{Key, Redis};
use tokio::time::Instant;

use crate::rig::{Process, claim, config, holder, key, mark, up};

/// Sessions of a large cluster.
const SESSIONS: u64 = 100_000;

/// Octets of a record.
const BLOB: usize = 300;

/// Memory of the server for each session, octets.
const BOUND: u64 = 700;

fn sessions() -> Vec<Write<Key>> {
    // As many tunnels as a wholesaler has, each with its share.
    let path = |number: u64| format!("s/{}/{}", number / 1_000, number % 1_000 + 40_000);
    let one = |number| Write {
        key: key(&path(number)),
        mark: mark(7, number + 2),
        change: Change::Put(vec![7; BLOB].into()),
    };
    (0..SESSIONS).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_300_octets_takes_at_most_700_of_memory() {
    let server = Process::start().await;
    let mut small = config(&server.url());
    // The stream is counted apart.
    small.stream_entries = 100;
    let store = Redis::start(small).unwrap();
    up(&store).await;
    claim(&store, "a", mark(7, 1)).await;
    let memory = async || server.info("used_memory").await.parse::<u64>().unwrap();
    let before = memory().await;

    let writes = sessions();
    let begun = Instant::now();
    let written = store.write(&holder("a"), &writes).await;
    let took = begun.elapsed();
    assert!(written.results.iter().all(Result::is_ok));

    let each = memory().await.saturating_sub(before) / SESSIONS;
    let one: u64 = server
        .say(&["MEMORY", "USAGE", "{lns:isp/edge}:s/1/40000"])
        .await;
    let rate = SESSIONS as f64 / took.as_secs_f64();
    let function = server.info("cmdstat_fcall").await;
    println!("{each} octets of memory for each session (MEMORY USAGE {one})");
    println!("{rate:.0} records/s are written; the server says {function}");
    assert!(each <= BOUND, "{each}");

    let begun = Instant::now();
    let mut load = store.load().await.unwrap();
    let mut loaded = 0;
    while let Some(records) = load.page().await.unwrap() {
        loaded += records.len() as u64;
    }
    let rate = SESSIONS as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} records/s are loaded");
    assert!(loaded >= SESSIONS);
}
