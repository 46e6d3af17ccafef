//! A node, its workers and any number of LACs with subscribers, in virtual time over a network that
//! loses, repeats and reorders. One seed decides everything.

mod followed;
mod workers;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_crypto::Rng;
use lns_l2tp::{Call, CallAction, HostName, Secrets, Tunnel, TunnelConfig, TunnelEvent};
use lns_node::config::Config;
use lns_node::radius::{Order, Reach};
use lns_node::{Caught, Event, Forward, Node};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp::{Iccn, Icrq, Message, Packet, Proxy, emit_data};

pub use self::followed::Followed;
pub use self::workers::{Workers, settle_standby};
use crate::client::Client;
use crate::server::Server;

/// What the network does to a packet, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub loss: u32,
    pub duplication: u32,
    pub reordering: u32,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    pub node: Node,
    pub now: Instant,
    pub lacs: Vec<Lac>,
    pub faults: Faults,
    pub events: Vec<Event>,
    pub workers: Workers,
    /// What the node wanted of RADIUS.
    pub orders: Vec<Order>,
    /// What the machine sends to subscribers beside the pools.
    pub reached: BTreeSet<Ipv4Net>,
    /// Who judges logins.
    pub server: Server,
    /// What each subscriber has said last.
    pub last_frames: BTreeMap<(usize, SessionId), Vec<u8>>,
    /// Datagrams that left the node: what a capture would show.
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    /// What is stored of the node, and who would take over from it.
    pub followed: Option<Followed>,
    /// LACs' packets come to the second node.
    pub through_standby: bool,
    /// What the second node has sent.
    pub sent_by_standby: Vec<Vec<u8>>,
    /// LACs send no HELLO.
    pub quiet_lacs: bool,
    /// The nodes that only follow report to the active one, and have read all that the one before wrote.
    pub reports: Option<Caught>,
    /// One more node that follows, and never takes over.
    pub third: Option<(Node, Workers)>,
    /// The active node and the one that follows, by name and life.
    pub names: [(&'static str, u64); 2],
    lives: u64,
    /// Who was active before, its workers, and what was sent to them.
    dead: Option<(Node, Workers, BTreeSet<Ipv4Net>)>,
    net: BinaryHeap<Flight>,
    rng: Rng,
    order: u64,
}

/// One LAC with one tunnel.
#[derive(Debug)]
pub struct Lac {
    pub address: SocketAddr,
    pub machine: Tunnel,
    pub callers: BTreeMap<SessionId, Caller>,
    pub up: bool,
    pub closed: Option<String>,
    config: Arc<TunnelConfig>,
}

/// One call of a LAC and the subscriber behind it.
#[derive(Debug)]
pub struct Caller {
    pub call: Call,
    pub client: Client,
    pub proxy: Option<OwnedProxy>,
    pub sequencing: bool,
    pub cleared: bool,
    dialled: bool,
}

/// Proxy AVPs as octets.
#[derive(Clone, Debug)]
pub struct OwnedProxy {
    pub last_sent: Vec<u8>,
    pub last_received: Vec<u8>,
    pub name: Vec<u8>,
    pub challenge: Vec<u8>,
    pub id: u8,
    pub response: Vec<u8>,
}

#[derive(Debug, Eq, PartialEq)]
struct Flight {
    at: Instant,
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    octets: Vec<u8>,
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a datagram is a data message with LCP's Echo-Reply.
fn is_echo_reply(datagram: &[u8]) -> bool {
    let Ok(Packet::Data(_, frame)) = Packet::parse(datagram) else {
        return false;
    };
    frame.starts_with(&[0xff, 3, 0xc0, 0x21, 10])
}

pub fn service() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 1701))
}

impl World {
    pub fn new(config: Config, seed: u8) -> Self {
        Self {
            node: Node::new(config, [seed; 32], Instant::ZERO),
            now: Instant::ZERO,
            lacs: Vec::new(),
            faults: Faults::default(),
            events: Vec::new(),
            workers: Workers::new(),
            orders: Vec::new(),
            reached: BTreeSet::new(),
            server: Server::default(),
            last_frames: BTreeMap::new(),
            sent: Vec::new(),
            followed: None,
            through_standby: false,
            sent_by_standby: Vec::new(),
            quiet_lacs: false,
            reports: None,
            third: None,
            names: [("a", 0), ("b", 0)],
            lives: 0,
            dead: None,
            net: BinaryHeap::new(),
            rng: Rng::from_seed([seed ^ 0x55; 32]),
            order: 0,
        }
    }

    /// A LAC that asks for a tunnel from `port` of 198.51.100.1. Its index.
    pub fn dial_tunnel(&mut self, port: u16, secret: Option<&str>) -> usize {
        let name = HostName::new(*b"lac1").expect("a name");
        let mut config = TunnelConfig::new(name);
        config.secrets =
            secret.map(|secret| Secrets::single(lns_crypto::Secret::new(secret.as_bytes())));
        if self.quiet_lacs {
            config.hello = None;
        }
        let config = Arc::new(config);
        let local = TunnelId(u16::try_from(self.lacs.len()).expect("few LACs") + 1);
        let machine = Tunnel::connect(Arc::clone(&config), local, self.now, &mut self.rng);
        self.lacs.push(Lac {
            address: SocketAddr::from(([198, 51, 100, 1], port)),
            machine,
            callers: BTreeMap::new(),
            up: false,
            closed: None,
            config,
        });
        self.lacs.len() - 1
    }

    /// A subscriber that dials in as soon as the LAC's tunnel is up.
    pub fn dial(&mut self, lac: usize, id: u16, client: Client) {
        let caller = Caller {
            call: Call::offer(SessionId(id)),
            client,
            proxy: None,
            sequencing: false,
            cleared: false,
            dialled: false,
        };
        self.lacs[lac].callers.insert(SessionId(id), caller);
    }

    pub fn caller(&mut self, lac: usize, id: u16) -> &mut Caller {
        self.lacs[lac]
            .callers
            .get_mut(&SessionId(id))
            .expect("a caller")
    }

    pub fn client(&self, lac: usize, id: u16) -> &Client {
        &self.lacs[lac].callers[&SessionId(id)].client
    }

    /// Lets `span` pass, with all that happens in it.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut still = 0;
        loop {
            self.settle();
            let next = [
                self.net.peek().map(|flight| flight.at),
                self.node.poll_timeout(),
                self.lacs
                    .iter()
                    .filter_map(|lac| lac.machine.poll_timeout())
                    .min(),
                self.clients_timeout(),
                self.server.poll_timeout(),
                self.followed
                    .as_ref()
                    .and_then(|it| it.standby.poll_timeout()),
                self.third
                    .as_ref()
                    .and_then(|(node, _)| node.poll_timeout()),
            ];
            let next = next
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(end)
                .max(self.now);
            if next > end {
                break;
            }
            still = if next == self.now { still + 1 } else { 0 };
            assert!(
                still < 10_000,
                "somebody's timer does not move on at {:?}: node {:?}",
                self.now,
                self.node.poll_timeout()
            );
            self.now = next;
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while self.net.peek().is_some_and(|flight| flight.at <= self.now) {
            let flight = self.net.pop().expect("just seen");
            self.deliver(&flight);
        }
        self.node.handle_timeout(self.now);
        while let Some(outcome) = self.server.poll_outcome(self.now) {
            self.node.handle_outcome(&outcome, self.now);
        }
        for at in 0..self.lacs.len() {
            self.lacs[at].machine.handle_timeout(self.now);
            let ids: Vec<SessionId> = self.lacs[at].callers.keys().copied().collect();
            for id in ids {
                let mut frames = Vec::new();
                let caller = self.lacs[at].callers.get_mut(&id).expect("a caller");
                if caller.dialled && !caller.call.peer().is_none() {
                    caller.client.handle_timeout(self.now, &mut frames);
                }
                self.send_frames(at, id, frames);
            }
        }
    }

    fn clients_timeout(&self) -> Option<Instant> {
        let callers = self.lacs.iter().flat_map(|lac| lac.callers.values());
        callers
            .filter(|caller| !caller.cleared)
            .filter_map(|caller| caller.client.poll_timeout())
            .min()
    }

    /// Drains everybody's outputs until nothing more comes.
    pub fn settle(&mut self) {
        self.exchange();
        self.settle_node();
        for at in 0..self.lacs.len() {
            self.settle_lac(at);
        }
        self.settle_node();
        self.exchange();
    }

    fn settle_path(&mut self) {
        while let Some(update) = self.node.poll_path() {
            if let Some(report) = self.workers.apply(&update) {
                self.node.handle_report(&report, self.now);
            }
        }
    }

    fn settle_node(&mut self) {
        self.settle_path();
        if self.dies() {
            self.take_over();
            self.settle_path();
        }
        self.store();
        if self.dies() {
            self.take_over();
            self.settle_path();
            self.store();
        }
        let mut octets = Vec::new();
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut octets) {
            assert_eq!(transmit.local, service());
            assert_eq!(transmit.as_data, is_echo_reply(&octets));
            self.sent.push((transmit.remote, octets.clone()));
            self.fly(transmit.local, transmit.remote, &octets);
        }
        while let Some(event) = self.node.poll_event() {
            self.events.push(event);
        }
        while let Some(change) = self.node.poll_reach() {
            match change {
                Reach::Add(net) => assert!(self.reached.insert(net), "{net} is added twice"),
                Reach::Remove(net) => assert!(self.reached.remove(&net), "{net} was not there"),
            }
        }
        while let Some(order) = self.node.poll_order() {
            self.server.take(&order, self.now);
            self.orders.push(order);
        }
    }

    fn settle_lac(&mut self, at: usize) {
        while let Some(event) = self.lacs[at].machine.poll_event() {
            self.lac_event(at, event);
        }
        if self.lacs[at].up && self.lacs[at].closed.is_none() {
            self.dial_callers(at);
        }
        let mut octets = Vec::new();
        while self.lacs[at].machine.poll_transmit(self.now, &mut octets) {
            let from = self.lacs[at].address;
            self.fly(from, service(), &octets);
        }
    }

    fn lac_event(&mut self, at: usize, event: TunnelEvent) {
        match event {
            TunnelEvent::Established => self.lacs[at].up = true,
            TunnelEvent::Closed { reason, .. } => {
                self.lacs[at].closed = Some(reason.label().to_owned());
                self.lacs[at]
                    .callers
                    .values_mut()
                    .for_each(|caller| caller.cleared = true);
            }
            TunnelEvent::InvalidCall { error, .. } => {
                panic!("the node sent an invalid message: {error}")
            }
            TunnelEvent::Call(message) => {
                let id = message.session();
                let Some(caller) = self.lacs[at].callers.get_mut(&id) else {
                    return;
                };
                match caller.call.handle(&message.message().expect("parsed")) {
                    CallAction::Replied => self.connect(at, id),
                    CallAction::Closed => caller.cleared = true,
                    other => panic!("the node's call message led to {other:?}"),
                }
            }
        }
    }

    fn dial_callers(&mut self, at: usize) {
        let lac = &mut self.lacs[at];
        for (id, caller) in lac.callers.iter_mut().filter(|(_, caller)| !caller.dialled) {
            caller.dialled = true;
            let icrq = Message::Icrq(Icrq {
                assigned_session: lns_wire::id::PeerSessionId(id.0),
                serial_number: u32::from(id.0),
                bearer_type: None,
                physical_channel: Some(u32::from(id.0)),
                calling_number: Some(b"0301234567"),
                called_number: None,
                sub_address: None,
            });
            lac.machine
                .send_call(caller.call.peer(), &icrq, &mut self.rng)
                .expect("room for an ICRQ");
        }
    }

    fn connect(&mut self, at: usize, id: SessionId) {
        let lac = &mut self.lacs[at];
        let caller = lac.callers.get_mut(&id).expect("a caller");
        let proxy = caller
            .proxy
            .as_ref()
            .map_or_else(Proxy::default, OwnedProxy::avps);
        let iccn = Message::Iccn(Iccn {
            tx_connect_speed: 100_000_000,
            framing_type: 1,
            proxy,
            private_group: None,
            rx_connect_speed: Some(40_000_000),
            sequencing_required: caller.sequencing,
        });
        lac.machine
            .send_call(caller.call.peer(), &iccn, &mut self.rng)
            .expect("room for an ICCN");
        let mut frames = Vec::new();
        caller.client.start(self.now, &mut frames);
        self.send_frames(at, id, frames);
    }

    pub fn send_frames(&mut self, at: usize, id: SessionId, frames: Vec<Vec<u8>>) {
        let lac = &self.lacs[at];
        let (tunnel, session, from) = (
            lac.machine.peer(),
            lac.callers[&id].call.peer(),
            lac.address,
        );
        for frame in frames {
            self.last_frames.insert((at, id), frame.clone());
            let mut octets = Vec::new();
            emit_data(tunnel, session, None, &mut octets);
            octets.extend(frame);
            self.fly(from, service(), &octets);
        }
    }

    /// Puts a datagram into the network.
    pub fn fly(&mut self, from: SocketAddr, to: SocketAddr, octets: &[u8]) {
        if self.rng.u32() % 100 < self.faults.loss {
            return;
        }
        let copies = if self.rng.u32() % 100 < self.faults.duplication {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let late = self.rng.u32() % 100 < self.faults.reordering;
            let delay = if late {
                u64::from(self.rng.u32() % 50)
            } else {
                1
            };
            self.order += 1;
            let at = self.now + Duration::from_millis(delay);
            self.net.push(Flight {
                at,
                order: self.order,
                from,
                to,
                octets: octets.to_vec(),
            });
        }
    }

    fn deliver(&mut self, flight: &Flight) {
        if flight.to == service() {
            return self.deliver_to_node(flight.from, &flight.octets);
        }
        let Some(at) = self.lacs.iter().position(|lac| lac.address == flight.to) else {
            return;
        };
        match Packet::parse(&flight.octets).expect("the node sends L2TP") {
            Packet::Control(header, body) => {
                let lac = &mut self.lacs[at];
                // What was sent again may come too late: the machine says so and changes nothing.
                lac.machine
                    .handle_control(header, body, self.now, &mut self.rng)
                    .ok();
            }
            Packet::Data(header, frame) => {
                let lac = &mut self.lacs[at];
                let id = SessionId(header.session.0);
                let Some(caller) = lac.callers.get_mut(&id).filter(|caller| !caller.cleared) else {
                    return;
                };
                assert_eq!(header.sequence.is_some(), caller.sequencing);
                let mut frames = Vec::new();
                caller.client.handle(frame, &mut frames);
                self.send_frames(at, id, frames);
            }
        }
    }

    /// What a worker does with a datagram: the node gets control messages and PPP control.
    pub fn deliver_to_node(&mut self, from: SocketAddr, octets: &[u8]) {
        if self.through_standby {
            return self.deliver_to_standby(from, octets);
        }
        self.deliver_to_active(from, octets);
    }

    /// The same at the second node: what it does not keep, and what its workers do not know, the active one
    /// gets.
    fn deliver_to_standby(&mut self, from: SocketAddr, octets: &[u8]) {
        let followed = self.followed.as_mut().expect("somebody follows");
        let standby = &mut followed.standby;
        match Packet::parse(octets) {
            Ok(Packet::Data(header, frame)) => {
                let (tunnel, session) = (header.tunnel, header.session);
                let Some(slot) = followed.workers.slot(tunnel, session) else {
                    return self.deliver_to_active(from, octets);
                };
                followed.workers.last_received.insert(slot, self.now);
                standby.handle_ppp(tunnel, session, from, frame, self.now);
            }
            Ok(Packet::Control(..)) | Err(_) => {
                standby.handle_control(service(), from, octets, self.now);
            }
        }
        let mut sent = Vec::new();
        while let Some(transmit) = standby.poll_transmit(self.now, &mut sent) {
            assert!(transmit.as_data && !transmit.waits && is_echo_reply(&sent));
            self.sent_by_standby.push(sent.clone());
            self.order += 1;
            self.net.push(Flight {
                at: self.now + Duration::from_millis(1),
                order: self.order,
                from: transmit.local,
                to: transmit.remote,
                octets: sent.clone(),
            });
        }
        while let Some(forward) = self
            .followed
            .as_mut()
            .and_then(|it| it.standby.poll_forward())
        {
            self.take_forward(forward);
        }
    }

    /// What comes to the active node from another one.
    pub fn take_forward(&mut self, forward: Forward) {
        match forward {
            Forward::Control {
                local,
                remote,
                octets,
            } => self.node.handle_control(local, remote, &octets, self.now),
            Forward::Ppp {
                tunnel,
                session,
                local,
                remote,
                frame,
            } => {
                assert_eq!(local, service());
                let node = &mut self.node;
                node.handle_ppp(tunnel, session, remote, &frame, self.now);
            }
        }
    }

    fn deliver_to_active(&mut self, from: SocketAddr, octets: &[u8]) {
        match Packet::parse(octets) {
            Ok(Packet::Data(header, frame)) => {
                let slot = self.workers.slot(header.tunnel, header.session);
                slot.map(|slot| self.workers.last_received.insert(slot, self.now));
                self.node
                    .handle_ppp(header.tunnel, header.session, from, frame, self.now);
            }
            Ok(Packet::Control(..)) | Err(_) => {
                self.node.handle_control(service(), from, octets, self.now);
            }
        }
    }

    /// Starts a LAC over after a restart: same address, no memory.
    pub fn restart_lac(&mut self, at: usize) {
        self.restart_lac_under(at, TunnelId(self.lacs[at].machine.local().0 + 100));
    }

    /// The same, for a LAC that counts its tunnels from the start again.
    pub fn restart_lac_under_the_same_id(&mut self, at: usize) {
        self.restart_lac_under(at, self.lacs[at].machine.local());
    }

    fn restart_lac_under(&mut self, at: usize, local: TunnelId) {
        let lac = &mut self.lacs[at];
        lac.machine = Tunnel::connect(Arc::clone(&lac.config), local, self.now, &mut self.rng);
        lac.up = false;
        lac.closed = None;
        lac.callers.clear();
    }

    pub fn is_up(&self, lac: usize, id: u16) -> bool {
        self.client(lac, id).address.is_some()
    }

    pub fn address(&self, lac: usize, id: u16) -> Option<Ipv4Addr> {
        self.client(lac, id).address
    }

    /// Why sessions ended, in order.
    pub fn ends(&self) -> Vec<&'static str> {
        let ends = self.events.iter().filter_map(|event| match event {
            Event::SessionDown(end) => Some(end.reason),
            _ => None,
        });
        ends.collect()
    }
}

impl OwnedProxy {
    fn avps(&self) -> Proxy<'_> {
        Proxy {
            initial_received_lcp: None,
            last_sent_lcp: Some(&self.last_sent),
            last_received_lcp: Some(&self.last_received),
            authen_type: Some(lns_wire::l2tp::ProxyAuthenType::CHAP),
            authen_name: Some(&self.name),
            authen_challenge: Some(&self.challenge),
            authen_id: Some(self.id),
            authen_response: Some(&self.response),
        }
    }
}
