//! Members of a cluster in one process, over loopback, with real TLS.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_cluster::{Epoch, NodeName};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::time::timeout;

use crate::data::PathMtu;
use crate::greet::{Greeted, Ours, open};
use crate::tls::certificates::{Authority, Issued};
use crate::wire::{Body, Capabilities, Frames, HEADER, Hello, OLDEST, VERSION, encode};
use crate::{
    ClusterId, Config, Credentials, Epochs, Event, Events, Member, PeerFigures, Peers, Speaker,
    Timing,
};

/// Nothing here takes so long unless it is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Of a certificate for any member.
pub(super) const MEMBER: &str = "edge.lns.peers.kubelns.io";

/// Quick enough for a test to wait for each of them; a peer that is silent for [`PATIENCE`] is dead.
pub(super) const TIMING: Timing = Timing {
    alive: Duration::from_millis(100),
    dead: PATIENCE,
    first_wait: Duration::from_millis(20),
    longest_wait: Duration::from_millis(200),
    courtesy: Duration::from_millis(100),
    penance: Duration::ZERO,
    answer: PATIENCE,
    admin_answer: PATIENCE,
    linger: PATIENCE,
};

pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let bounded = async { timeout(2 * PATIENCE, test).await.unwrap() };
    runtime.unwrap().block_on(bounded);
}

pub(super) fn cluster() -> ClusterId {
    ClusterId::new("lns", "edge", "7d1c").unwrap()
}

pub(super) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

/// An authority and what it has issued for all members.
pub(super) struct Bed {
    pub(super) authority: Authority,
    pub(super) issued: Issued,
}

/// One member.
pub(super) struct Node {
    pub(super) name: NodeName,
    pub(super) address: SocketAddr,
    pub(super) peers: Peers,
    pub(super) events: Events,
    pub(super) epochs: Epochs,
    pub(super) speaker: Speaker,
}

/// How a member differs from the others.
pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    pub(super) incarnation: u32,
    pub(super) address: &'a str,
    pub(super) cluster: ClusterId,
    pub(super) credentials: Credentials,
    pub(super) timing: Timing,
}

impl Bed {
    pub(super) fn new() -> Self {
        let authority = Authority::new();
        let issued = authority.issue(&[MEMBER]);
        Self { authority, issued }
    }

    pub(super) fn credentials(&self, node: &str) -> Credentials {
        self.issued.credentials(&self.authority, &cluster(), node)
    }

    pub(super) fn plan<'a>(&self, name: &'a str) -> Plan<'a> {
        Plan {
            name,
            incarnation: 1,
            address: "127.0.0.1:0",
            cluster: cluster(),
            credentials: self.credentials(name),
            timing: TIMING,
        }
    }

    pub(super) async fn node(&self, name: &str) -> Node {
        Node::start(self.plan(name)).await
    }

    /// Members that are connected to each other.
    pub(super) async fn nodes<const N: usize>(&self, names: [&str; N]) -> [Node; N] {
        let mut nodes = Vec::new();
        // Only the first of two dials, so that nothing crosses.
        let timing = Timing {
            courtesy: PATIENCE,
            ..TIMING
        };
        for name in names {
            let plan = Plan {
                timing,
                ..self.plan(name)
            };
            nodes.push(Node::start(plan).await);
        }
        let mut nodes: [Node; N] = nodes.try_into().map_err(|_| "as many").unwrap();
        introduce(&mut nodes.iter());
        for node in &mut nodes {
            for _ in 1..N {
                node.connected().await;
            }
        }
        nodes
    }

    /// A greeted connection of a node that is none of ours, to do with as a test likes.
    pub(super) async fn stranger(
        &self,
        name: &str,
        to: &Node,
        change: impl FnOnce(&mut Hello),
    ) -> Stranger {
        let mut hello = hello(name);
        change(&mut hello);
        let ours = Ours {
            hello,
            epoch: Epoch::NONE,
            credentials: self.credentials(name),
        };
        let greeted = open(None, to.address, &ours).await.unwrap();
        Stranger::new(greeted)
    }
}

/// What a stranger says of itself.
pub(super) fn hello(name: &str) -> Hello {
    Hello {
        cluster: cluster(),
        identity: format!("{name}/1").parse().unwrap(),
        version: VERSION,
        oldest: OLDEST,
        capabilities: Capabilities::default(),
        dial: 0,
        software: "test".to_owned(),
    }
}

/// Tells each of them of all.
pub(super) fn introduce(nodes: &mut dyn Iterator<Item = &Node>) {
    let nodes: Vec<_> = nodes.collect();
    let all: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| (node.name.clone(), node.address))
        .collect();
    for node in nodes {
        node.peers.list(&all).unwrap();
    }
}

impl Node {
    pub(super) async fn start(plan: Plan<'_>) -> Self {
        let listener = TcpListener::bind(plan.address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = format!("{}/{}", plan.name, plan.incarnation);
        let config = Config {
            cluster: plan.cluster,
            identity: identity.parse().unwrap(),
            capabilities: Capabilities::DATA,
            software: "test".to_owned(),
            path_mtu: PathMtu::default(),
            timing: plan.timing,
        };
        let epochs = Epochs::default();
        let started = Peers::start(config, listener, plan.credentials, epochs.clone());
        let (peers, events) = started.unwrap();
        Self {
            name: node(plan.name),
            address,
            speaker: peers.speaker(),
            peers,
            events,
            epochs,
        }
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> Event {
        let next = timeout(PATIENCE, self.events.next()).await;
        next.expect("an event").expect("the channel goes on")
    }

    /// The peer that is connected next.
    pub(super) async fn connected(&mut self) -> Member {
        loop {
            if let Event::Connected(member) = self.next().await {
                return member;
            }
        }
    }

    /// Waits until what was counted is as it should be.
    pub(super) async fn until(&self, peer: &str, holds: impl Fn(&PeerFigures) -> bool) {
        let name = node(peer);
        let waited = timeout(PATIENCE, async {
            loop {
                let all = self.peers.figures();
                let figures = all.iter().find(|(node, _)| *node == name);
                if figures.is_some_and(|(_, figures)| holds(figures)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(waited.is_ok(), "{:?}", self.peers.figures());
    }

    /// Waits until a connection has failed in this way.
    pub(super) async fn until_failed(&self, side: &str, why: &str) {
        let waited = timeout(PATIENCE, async {
            let is_it = |(at, label, _): &(&str, &str, u64)| *at == side && *label == why;
            while !self.peers.failures().iter().any(is_it) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(waited.is_ok(), "{:?}", self.peers.failures());
    }
}

/// A greeted connection, octet by octet.
pub(super) struct Stranger {
    pub(super) stream: tokio_rustls::TlsStream<TcpStream>,
    frames: Frames,
}

impl Stranger {
    pub(super) fn new(greeted: Greeted) -> Self {
        Self {
            stream: greeted.stream,
            frames: greeted.frames,
        }
    }

    /// Sends octets as they are.
    pub(super) async fn send(&mut self, octets: &[u8]) {
        use tokio::io::AsyncWriteExt as _;
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(super) async fn say(&mut self, body: &Body, epoch: Epoch) {
        self.send(&encode(body, epoch).unwrap()).await;
    }

    /// A frame of any kind.
    pub(super) async fn frame(&mut self, kind: u16, epoch: Epoch, body: &[u8]) {
        let mut octets = Vec::new();
        let length = u32::try_from(HEADER - 4 + body.len()).unwrap();
        octets.extend(length.to_be_bytes());
        octets.extend(kind.to_be_bytes());
        octets.extend(epoch.number().to_be_bytes());
        octets.extend(body);
        self.send(&octets).await;
    }

    /// The next frame that is not [`Body::Alive`], and its epoch. `None`: the connection has ended.
    pub(super) async fn hear(&mut self) -> Option<(Body, Epoch)> {
        use tokio::io::AsyncReadExt as _;
        loop {
            while let Some(frame) = self.frames.next_frame().unwrap() {
                let epoch = frame.epoch;
                let body = crate::wire::decode(frame, &"x/1".parse().unwrap()).unwrap();
                if body != Body::Alive {
                    return Some((body, epoch));
                }
            }
            let read = timeout(PATIENCE, self.stream.read(self.frames.space())).await;
            match read.expect("something comes") {
                Ok(octets) if octets > 0 => self.frames.read(octets),
                Ok(_) | Err(_) => return None,
            }
        }
    }
}
