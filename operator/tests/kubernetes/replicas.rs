//! Two operators: one writes, and the other one when it cannot.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Operator, World, says};

const IMAGE: &str = "registry.example/lns:1";

pub(crate) async fn of_two_replicas_one_writes_and_the_other_takes_over(world: &World) {
    world.node("a").await;
    let names = ["one", "two"];
    let mut replicas = names.map(|name| world.replica(IMAGE, name));
    let watch = Watch::begin(&replicas);
    let first = leader(&replicas).await;
    world.apply(&world.example("edge")).await;
    let waits = |it: &Value| says(it, "Reconciling", "True", "MemberNotReady");
    world
        .until("LnsCluster", "edge", "it waits for members", waits)
        .await;
    assert_eq!(writers(world).await, [names[first]].into());

    // Killed in the middle of it: the other one finds the change.
    pause(world, true).await;
    replicas[first].signal("KILL");
    let second = 1 - first;
    is_paused(world, true).await;
    assert_eq!(leader(&replicas).await, second);
    assert_eq!(writers(world).await, names.into());

    // One that comes back only waits.
    replicas[first] = world.replica(IMAGE, names[first]);
    watch.also(&replicas[first]);
    until_ready(&replicas[first]).await;
    let before = told_by(world, names[first]).await;
    pause(world, false).await;
    is_paused(world, false).await;
    assert_eq!(leader(&replicas).await, second);
    assert_eq!(told_by(world, names[first]).await, before);

    // One that was held up has lost it without knowing, and must not go on where it stood.
    replicas[second].signal("STOP");
    pause(world, true).await;
    is_paused(world, true).await;
    let before = told_by(world, names[second]).await;
    replicas[second].signal("CONT");
    let ended = until_ended(&mut replicas[second]).await;
    assert_eq!(ended.code(), Some(1), "it begins anew");
    assert_eq!(told_by(world, names[second]).await, before);
    assert_eq!(leader(&replicas).await, first);
    assert!(watch.end().await > 20, "nobody looked");
}

async fn pause(world: &World, is_paused: bool) {
    let text = if is_paused {
        json!("true")
    } else {
        Value::Null
    };
    let change = json!({ "metadata": { "annotations": { "kubelns.io/paused": text } } });
    world.merge("LnsCluster", "edge", change).await;
}

async fn is_paused(world: &World, is_paused: bool) {
    let (status, reason) = if is_paused {
        ("True", "Annotation")
    } else {
        ("False", "NotPaused")
    };
    let is_told = |it: &Value| says(it, "Paused", status, reason);
    world
        .until("LnsCluster", "edge", "the pause is told of", is_told)
        .await;
    // Its event is written after the status.
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Which replicas have told of anything, by its events.
async fn writers(world: &World) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for name in ["one", "two"] {
        if told_by(world, name).await > 0 {
            found.insert(name);
        }
    }
    found
}

async fn told_by(world: &World, replica: &str) -> usize {
    let events = world
        .objects("Event")
        .list(&ListParams::default())
        .await
        .unwrap();
    events
        .iter()
        .filter(|it| it.data["reportingInstance"] == replica)
        .count()
}

/// The one that says that it writes.
async fn leader(replicas: &[Operator; 2]) -> usize {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        for (at, replica) in replicas.iter().enumerate() {
            if leads(replica.port).await {
                return at;
            }
        }
        assert!(Instant::now() < give_up, "nobody leads");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_ready(replica: &Operator) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !get(replica.port, "/readyz")
        .await
        .is_some_and(|it| it.starts_with("HTTP/1.1 200"))
    {
        assert!(Instant::now() < give_up, "it is not ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_ended(replica: &mut Operator) -> std::process::ExitStatus {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(ended) = replica.ended() {
            return ended;
        }
        assert!(Instant::now() < give_up, "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn leads(port: u16) -> bool {
    let metrics = get(port, "/metrics").await;
    metrics.is_some_and(|text| text.lines().any(|line| line == "lns_operator_leader 1"))
}

/// None: nobody answers there within a moment.
async fn get(port: u16, path: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(Duration::from_millis(300), asked)
        .await
        .ok()?
}

/// Looks all the time whether more than one says that it writes.
struct Watch {
    ports: Arc<std::sync::Mutex<Vec<u16>>>,
    is_over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<usize>,
}

impl Watch {
    fn begin(replicas: &[Operator]) -> Self {
        let ports: Vec<u16> = replicas.iter().map(|it| it.port).collect();
        let ports = Arc::new(std::sync::Mutex::new(ports));
        let is_over = Arc::new(AtomicBool::new(false));
        let (of_task, over) = (Arc::clone(&ports), Arc::clone(&is_over));
        let task = tokio::spawn(async move {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                let ports = of_task.lock().unwrap().clone();
                let mut leading = Vec::new();
                for port in ports {
                    if leads(port).await {
                        leading.push(port);
                    }
                }
                assert!(leading.len() < 2, "{leading:?} lead at once");
                looks += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            looks
        });
        Self {
            ports,
            is_over,
            task,
        }
    }

    fn also(&self, replica: &Operator) {
        self.ports.lock().unwrap().push(replica.port);
    }

    /// How often it looked.
    async fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}
