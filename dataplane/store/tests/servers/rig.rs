//! Servers that a test starts, and what it says to them.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::journal::{Change, Mark, Write};
use lns_cluster::{Epoch, Identity};
use lns_store::{
    Claim, Config, Durability, Endpoint, Error, Key, LinkId, Reason, Redis, Refusal, Server, Space,
    State, Target, Timing,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long a test waits for what must come.
pub const LONG: Duration = Duration::from_secs(60);

/// What a server of a test has, so that it keeps records and copies them at once.
const SAFE: &[&str] = &[
    "--appendonly",
    "yes",
    "--save",
    "",
    "--repl-diskless-sync-delay",
    "0",
];

/// A server that is a process of this test.
pub struct Process {
    child: Child,
    folder: TempDir,
    options: Vec<String>,
    pub port: u16,
}

impl Process {
    /// One that keeps records on its disk, and needs no replica.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// One with these options more.
    pub async fn with(options: &[&str]) -> Self {
        let options: Vec<_> = [SAFE, options].concat();
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(folder.path(), port, &options);
        let process = Self {
            child,
            folder,
            options,
            port,
        };
        process.ready().await;
        process
    }

    /// One that listens on this port only as `options` say.
    pub async fn listening(port: u16, options: &[&str]) -> Self {
        let options: Vec<_> = [SAFE, &["--port", "0"], options].concat();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), 0, &options);
        let process = Self {
            child,
            folder,
            options,
            port,
        };
        process.ready().await;
        process
    }

    /// A Sentinel that watches a master under the name `lns`.
    pub async fn sentinel(master: &Self) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let text = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor lns 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds lns 1000\nsentinel failover-timeout lns 10000\n",
            master.port
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        let child = run(command.arg(file).arg("--sentinel"), folder.path());
        let process = Self {
            child,
            folder,
            options: Vec::new(),
            port,
        };
        process.ready().await;
        process
    }

    /// One that copies another.
    pub async fn replica_of(master: &Self, options: &[&str]) -> Self {
        let port = master.port.to_string();
        let replica = ["--replicaof", "127.0.0.1", &port];
        let process = Self::with(&[&replica, options].concat()).await;
        until("a replica is in step", async || {
            process.info("master_link_status").await == "up"
        })
        .await;
        process
    }

    /// Until it answers. It may answer that it wants a password.
    async fn ready(&self) {
        until("a server answers", async || {
            tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
                .await
                .is_ok()
        })
        .await;
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(LONG));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    /// What it answers to a command.
    pub async fn say<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = self.connection().await;
        command.query_async(&mut connection).await.unwrap()
    }

    /// Tells it something.
    pub async fn tell(&self, words: &[&str]) {
        let _answer: redis::Value = self.say(words).await;
    }

    /// A field of INFO.
    pub async fn info(&self, name: &str) -> String {
        let info: String = self.say(&["INFO", "everything"]).await;
        let found = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_default().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill).
    pub async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.options);
        until("a server has loaded its data", async || {
            let client = redis::Client::open(self.url()).unwrap();
            let connection = client.get_multiplexed_async_connection().await;
            let Ok(mut connection) = connection else {
                return false;
            };
            let pong: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
            pong.is_ok()
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is stopped ends, too.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A port that nobody had a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(folder: &Path, port: u16, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    run(command.args(options), folder)
}

/// Runs a server in a folder, with what it says in `log`.
pub fn run(command: &mut Command, folder: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("redis-server does not start ({error}): install Debian's package redis-server")
        })
}

/// Waits until it is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waited = timeout(LONG, async {
        while !so().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {LONG:?}: {what}");
}

pub fn space() -> Space {
    Space::new("isp", "edge").unwrap()
}

/// A configuration for a server that may be alone. Nothing times out that only is slow.
pub fn config(url: &str) -> Config {
    Config {
        target: Target::Server(Endpoint::parse(url).unwrap()),
        credentials: None,
        authorities: None,
        space: space(),
        durability: Durability::Single,
        stream_entries: 1_000_000,
        timing: Timing {
            connect: LONG,
            call: LONG,
            watch: Duration::from_millis(200),
            patience: Duration::from_millis(200),
        },
    }
}

/// A store in a server, connected.
pub async fn store(server: &Process) -> Redis {
    let store = Redis::start(config(&server.url())).unwrap();
    up(&store).await;
    store
}

/// What there is, once it is there.
pub async fn up(store: &Redis) -> (LinkId, Arc<Server>) {
    let mut state = store.state();
    let is_up = state.wait_for(|state| matches!(state, State::Up { .. }));
    let state = timeout(LONG, is_up).await.expect("no server").unwrap();
    let State::Up { link, server } = &*state else {
        panic!("{state:?}")
    };
    (*link, Arc::clone(server))
}

/// Why there is none, once there is none.
pub async fn down(store: &Redis) -> Arc<Reason> {
    let mut state = store.state();
    let is_down = state.wait_for(|state| matches!(state, State::Down(_)));
    let state = timeout(LONG, is_down).await.expect("still up").unwrap();
    let State::Down(reason) = &*state else {
        panic!("{state:?}")
    };
    Arc::clone(reason)
}

pub fn holder(node: &str) -> Identity {
    format!("{node}/pod/boot/1").parse().unwrap()
}

pub fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

pub fn mark(number: u64, seq: u64) -> Mark {
    Mark::new(epoch(number), seq).unwrap()
}

pub fn key(path: &str) -> Key {
    path.parse().unwrap()
}

pub fn put(path: &str, mark: Mark, blob: &str) -> Write<Key> {
    Write {
        key: key(path),
        mark,
        change: Change::Put(blob.as_bytes().into()),
    }
}

pub fn forget(path: &str, mark: Mark) -> Write<Key> {
    Write {
        key: key(path),
        mark,
        change: Change::Forget,
    }
}

pub fn mastership(node: &str, mark: Mark) -> Claim {
    Claim {
        mark,
        holder: holder(node),
        owner: "uid-1".into(),
        seen: None,
        roster: Bytes::from_static(b"a b"),
    }
}

/// Makes `node` master in this epoch.
pub async fn claim(store: &Redis, node: &str, mark: Mark) -> LinkId {
    store.claim(&mastership(node, mark)).await.unwrap().link
}

/// Makes one change.
pub async fn write(store: &Redis, node: &str, write: Write<Key>) -> Result<(), Error> {
    let mut written = store.write(&holder(node), &[write]).await;
    written.results.pop().unwrap()
}

/// Why it was refused.
pub fn refusal<T: core::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Everything that is in the store: path, mark and blob, tunnels first and otherwise by path.
pub async fn content(store: &Redis) -> Vec<(String, String, String)> {
    let mut load = store.load().await.unwrap();
    let mut content = Vec::new();
    while let Some(records) = load.page().await.unwrap() {
        for record in records {
            let blob = String::from_utf8_lossy(&record.blob).into_owned();
            content.push((record.key.to_string(), record.mark.to_string(), blob));
        }
    }
    content.sort_by_key(|(path, ..)| (!path.starts_with("t/"), path.clone()));
    content.dedup();
    content
}

/// What it is compared with.
pub fn rows(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let row = |&(path, mark, blob): &(&str, &str, &str)| {
        (path.to_owned(), mark.to_owned(), blob.to_owned())
    };
    rows.iter().map(row).collect()
}
