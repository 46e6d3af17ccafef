//! A whole node, by steps: `lns_node::Node`.
//!
//! Three peers send to it: 0, a LAC without a secret; 1, one with a secret; 2, a stranger. Where a step
//! names a tunnel or a session, it is the n-th of those that the node shows at that moment, in its
//! order, wrapped around; a step about none is nothing. Each step is an octet and what belongs to it:
//!
//! - 00 peer `( datagram )`: octets as they are.
//! - 01 tunnel n `( body )`: a control message with the right numbers, about that tunnel's n-th session,
//!   counted from 1; 0: about none.
//! - 02 peer n: a right SCCRQ with the Assigned Tunnel ID n.
//! - 03 tunnel n session: a message that is right as such: 0 SCCCN, 1 ICRQ, 2 ICCN, 3 CDN, 4 `StopCCN`,
//!   5 HELLO, 6 a ZLB, 7 an ICCN that requires sequencing.
//! - 04 session `( frame )`: a PPP frame.
//! - 05 session code: a PPP packet that answers the last one with that code.
//! - 06 session user: the subscriber negotiates as far as it gets: 0 `user`, 1 `fixed`, 2 a wrong one.
//! - 07 n: n half seconds pass.
//! - 08 session: an administrator ends it. 09 tunnel: the same.
//! - 0a n: another configuration. Bits: 0 a smaller pool, 1 the LACs drain, 2 the LACs are refused, 3
//!   duplicates are replaced, 4 refused, 5 idle sessions end, 6 other secrets, 7 other policies.
//! - 0b: the node drains.
//! - 0c n: from now on the workers say what they last received: now (odd) or never (even).
//! - 0d n `( attributes )`: the servers answer the oldest question: 0 an Access-Accept, 1 an Access-Reject, 2
//!   an Access-Challenge with these; else nobody does, for the n-th reason. `nobody` is no local user, and
//!   with EAP all are theirs to judge.
//! - 0e n: new tunnels' sessions prove themselves by 0 PAP, 1 CHAP, 2 MS-CHAPv2, 3 EAP, and are asked again
//!   each minute.

mod accounts;
mod check;
mod servers;
pub(crate) mod setup;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_crypto::Secret;
use lns_crypto::l2tp::challenge_response;
use lns_l2sess::ChainId;
use lns_l2sess::policy::Policies;
use lns_node::Node;
use lns_node::config::Authentication;
use lns_node::radius::Reach;
use lns_tables::path::{Counters, PathReport, PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    Cdn, Iccn, Icrq, Message, Packet, ProtocolVersion, ResultCode, Scccn, Sccrq, Seq16, StopCcn,
    emit_control,
};
use lns_wire::ppp::{Frame, Packet as PppPacket, PapRequest, Protocol};

use crate::Outcome;
use crate::node::accounts::Accounts;
use crate::node::check::Shown;
use crate::node::servers::Servers;
use crate::ops::Ops;
use crate::session::frame;

/// Takes the steps.
pub(crate) fn run(input: &[u8]) -> Outcome {
    let mut ops = Ops::new(input);
    let mut world = World::new();
    let mut verdict = Ok(());
    while let Some(step) = ops.step() {
        let before = Shown::of(&world.node, world.now);
        let input = matches!(step % 15, 0..=6);
        world.take(step, &mut ops);
        world.settle();
        let after = Shown::of(&world.node, world.now);
        after.check(&world.workers);
        if input {
            let result = after.verdict(&before);
            if result.is_err() && matches!(step % 15, 0 | 1 | 3 | 4) {
                after.check_untouched(&before);
            }
            verdict = result;
        }
    }
    let status = world.node.status();
    let tunnels = status.tunnels + status.tunnels_opening;
    let sessions = status.sessions + status.sessions_opening;
    let then = format!("tunnels {tunnels} sessions {sessions}");
    world.leave_alone();
    Outcome { verdict, then }
}

/// The node, its workers and its peers.
struct World {
    node: Node,
    now: Instant,
    workers: Workers,
    /// The peers' ends of tunnels, by address and their own id.
    ends: BTreeMap<(SocketAddr, PeerTunnelId), End>,
    /// The last PPP packet to a subscriber, by address and the LAC's ids.
    heard: BTreeMap<(SocketAddr, PeerTunnelId, PeerSessionId), Heard>,
    calls: u16,
    active: bool,
    accepted: u64,
    ended: u64,
    accounts: Accounts,
    servers: Servers,
    /// What is routed to subscribers beside the pools.
    reached: BTreeSet<Ipv4Net>,
    /// The configuration that is in force: see the steps.
    bits: u8,
    method: Option<Authentication>,
}

/// What the workers know.
struct Workers {
    policies: Arc<Policies>,
    tunnels: BTreeMap<TunnelId, TunnelPath>,
    sessions: BTreeMap<SlotIndex, SessionPath>,
}

impl Workers {
    /// The chain of a session is there, with its rates.
    fn find(&self, path: &SessionPath) {
        let chain = self.policies.chain(path.chain);
        assert!(path.chain == ChainId::NONE || chain.is_some(), "{path:?}");
    }
}

/// The numbers of one end.
#[derive(Clone, Debug, Default)]
struct End {
    ns: Seq16,
    nr: Seq16,
    challenge: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Heard {
    protocol: Protocol,
    code: u8,
    id: u8,
    data: Vec<u8>,
}

/// Where one session is, and how its LAC names it.
#[derive(Clone, Copy)]
struct Line {
    tunnel: TunnelId,
    session: SessionId,
    remote: SocketAddr,
    named: (PeerTunnelId, PeerSessionId),
}

impl World {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        Self {
            node: Node::new(setup::config(0), [3; 32], now),
            now,
            workers: Workers {
                policies: Policies::none(),
                tunnels: BTreeMap::new(),
                sessions: BTreeMap::new(),
            },
            ends: BTreeMap::new(),
            heard: BTreeMap::new(),
            calls: 0,
            active: false,
            accepted: 0,
            ended: 0,
            accounts: Accounts::default(),
            servers: Servers::default(),
            reached: BTreeSet::new(),
            bits: 0,
            method: None,
        }
    }

    fn take(&mut self, step: u8, ops: &mut Ops<'_>) {
        match step % 15 {
            0 => {
                let peer = setup::peer(ops.u8());
                self.receive(peer, ops.octets());
            }
            1 => {
                let (tunnel, session) = (ops.u8(), ops.u8());
                self.control(tunnel, session, ops.octets());
            }
            2 => {
                let (peer, id) = (setup::peer(ops.u8()), ops.u8());
                self.ask(peer, PeerTunnelId(u16::from(id)));
            }
            3 => {
                let (tunnel, which, session) = (ops.u8(), ops.u8(), ops.u8());
                let body = self.right(tunnel, which);
                self.control(tunnel, session, &body);
            }
            4 => {
                let (session, frame) = (ops.u8(), ops.octets());
                self.ppp(session, frame);
            }
            5 => {
                let (session, code) = (ops.u8(), ops.u8());
                self.answer(session, code);
            }
            6 => {
                let (session, user) = (ops.u8(), ops.u8());
                self.log_in(session, user);
            }
            7 => {
                let halves = ops.u8();
                self.wait(Duration::from_millis(500 * u64::from(halves)));
            }
            8 => {
                if let Some(line) = self.line(ops.u8()) {
                    let (tunnel, session) = (line.tunnel, line.session);
                    assert!(self.node.handle_disconnect(tunnel, session, self.now));
                }
            }
            9 => {
                if let Some((tunnel, _, _)) = self.tunnel(ops.u8()) {
                    self.node.handle_disconnect_tunnel(tunnel, self.now);
                }
            }
            10 => self.reload(ops.u8()),
            11 => self.node.handle_drain(self.now),
            13 => {
                let (what, attributes) = (ops.u8(), ops.octets());
                if let Some(outcome) = self.servers.answer(what, attributes) {
                    self.node.handle_outcome(&outcome, self.now);
                }
            }
            14 => {
                self.method = Some(match ops.u8() % 4 {
                    0 => Authentication::Pap,
                    1 => Authentication::Chap,
                    2 => Authentication::MsChapV2,
                    _ => Authentication::Eap,
                });
                self.reload(self.bits);
            }
            _ => self.active = ops.u8() & 1 == 1,
        }
    }

    /// Policies that somebody has by Filter-Id stay: a reload without them would be refused.
    fn reload(&mut self, bits: u8) {
        self.bits = bits;
        let mut config = setup::config(bits);
        if let Some(method) = self.method {
            config.ppp.authentication = vec![method];
            config.ppp.rechallenge = Duration::from_secs(60);
        }
        let in_use = self.node.policies_still_in_use(&config.policies);
        let known = self.node.policies().policies().map(|(_, policy)| policy);
        let kept = known.filter(|known| in_use.iter().any(|it| *it.policy == *known.name));
        let kept: Vec<_> = kept.cloned().collect();
        config.policies.extend(kept);
        self.node.handle_config(config, self.now);
    }

    // What comes in.

    fn receive(&mut self, peer: SocketAddr, datagram: &[u8]) {
        self.node
            .handle_control(setup::service(), peer, datagram, self.now);
    }

    fn ask(&mut self, peer: SocketAddr, assigned_tunnel: PeerTunnelId) {
        let body = octets(&Message::Sccrq(Sccrq {
            version: ProtocolVersion::ONE,
            host_name: b"lac",
            framing: 3,
            assigned_tunnel,
            bearer: None,
            receive_window: Some(16),
            challenge: None,
            tie_breaker: None,
            firmware: None,
            vendor_name: None,
        }));
        self.ends.insert((peer, assigned_tunnel), End::default());
        let datagram = datagram(TunnelId::NONE, SessionId::NONE, &End::default(), &body);
        self.receive(peer, &datagram);
    }

    fn control(&mut self, tunnel: u8, session: u8, body: &[u8]) {
        let Some((tunnel, peer, remote)) = self.tunnel(tunnel) else {
            return;
        };
        let end = self.ends.get(&(remote, peer)).cloned().unwrap_or_default();
        let session = self.sessions_of(tunnel, session);
        let datagram = datagram(tunnel, session, &end, body);
        self.receive(remote, &datagram);
    }

    fn ppp(&mut self, session: u8, frame: &[u8]) {
        if let Some(line) = self.line(session) {
            self.node
                .handle_ppp(line.tunnel, line.session, line.remote, frame, self.now);
        }
    }

    fn answer(&mut self, session: u8, code: u8) {
        if let Some(heard) = self.heard_by(session) {
            let packet = frame(heard.protocol, code, heard.id, &heard.data);
            self.ppp(session, &packet);
        }
    }

    /// A subscriber that takes what it is offered.
    fn log_in(&mut self, session: u8, user: u8) {
        for _ in 0..4 {
            let Some(heard) = self.heard_by(session) else {
                return;
            };
            match (heard.protocol, heard.code) {
                (Protocol::LCP, 1) => {
                    self.answer(session, 2);
                    let options = [5, 6, 0xab, 0xad, 0xca, user];
                    self.ppp(session, &frame(Protocol::LCP, 1, 1, &options));
                    self.settle();
                    let mut request = Vec::new();
                    let name = name(user);
                    let password = name;
                    PapRequest { name, password }.emit(&mut request);
                    self.ppp(session, &frame(Protocol::PAP, 1, 1, &request));
                }
                (Protocol::CHAP, 1) => {
                    let octets = match self.method {
                        Some(Authentication::MsChapV2) => 49,
                        _ => 16,
                    };
                    let value = vec![0; usize::from(octets)];
                    let data = [&[octets], &value[..], name(user)].concat();
                    self.ppp(session, &frame(Protocol::CHAP, 2, heard.id, &data));
                }
                (Protocol::EAP, 1) => {
                    let data = match heard.data.first() {
                        Some(1) => [&[1], name(user)].concat(),
                        _ => [&[4, 16][..], &[0; 16]].concat(),
                    };
                    self.ppp(session, &frame(Protocol::EAP, 2, heard.id, &data));
                }
                (Protocol::IPCP, 1) => {
                    self.answer(session, 2);
                    self.ppp(session, &frame(Protocol::IPCP, 1, 1, &[3, 6, 0, 0, 0, 0]));
                }
                (Protocol::IPCP, 3) => {
                    self.ppp(session, &frame(Protocol::IPCP, 1, 2, &heard.data));
                }
                _ => return,
            }
            self.settle();
        }
    }

    /// The body of a message that is right as such.
    fn right(&mut self, tunnel: u8, which: u8) -> Vec<u8> {
        let result = ResultCode {
            result: 1,
            ..ResultCode::default()
        };
        let Some((_, peer, remote)) = self.tunnel(tunnel) else {
            return Vec::new();
        };
        let session = PeerSessionId(self.calls.max(1));
        octets(&match which % 8 {
            0 => {
                let end = self.ends.get(&(remote, peer));
                let challenge = end.and_then(|end| end.challenge.as_deref());
                let secret = Secret::new(setup::SECRET);
                Message::Scccn(Scccn {
                    challenge_response: challenge
                        .map(|challenge| challenge_response(3, &secret, challenge)),
                })
            }
            1 => {
                self.calls = self.calls.wrapping_add(1);
                Message::Icrq(Icrq {
                    assigned_session: PeerSessionId(self.calls.max(1)),
                    serial_number: 1,
                    calling_number: Some(b"0301234567"),
                    ..Icrq::default()
                })
            }
            3 => Message::Cdn(Cdn {
                assigned_session: session,
                result,
                ..Cdn::default()
            }),
            4 => Message::StopCcn(StopCcn {
                assigned_tunnel: peer,
                result,
            }),
            5 => Message::Hello,
            6 => return Vec::new(),
            sequencing => Message::Iccn(Iccn {
                framing_type: 1,
                sequencing_required: sequencing == 7,
                ..Iccn::default()
            }),
        })
    }

    // Who is meant.

    fn tunnel(&self, n: u8) -> Option<(TunnelId, PeerTunnelId, SocketAddr)> {
        let (tunnels, _) = self.node.tunnels(None, 1_000, self.now);
        let which = usize::from(n).checked_rem(tunnels.len())?;
        let tunnel = &tunnels[which];
        Some((
            TunnelId(tunnel.id),
            PeerTunnelId(tunnel.peer_id),
            tunnel.remote,
        ))
    }

    fn sessions_of(&self, tunnel: TunnelId, n: u8) -> SessionId {
        let shown = check::sessions(&self.node, self.now);
        let mut of_tunnel = shown.iter().filter(|session| session.tunnel == tunnel.0);
        usize::from(n)
            .checked_sub(1)
            .and_then(|n| of_tunnel.nth(n))
            .map_or(SessionId::NONE, |session| SessionId(session.session))
    }

    fn line(&self, n: u8) -> Option<Line> {
        let shown = check::sessions(&self.node, self.now);
        let session = &shown[usize::from(n).checked_rem(shown.len())?];
        let (tunnels, _) = self.node.tunnels(None, 1_000, self.now);
        let tunnel = tunnels.iter().find(|each| each.id == session.tunnel)?;
        Some(Line {
            tunnel: TunnelId(session.tunnel),
            session: SessionId(session.session),
            remote: tunnel.remote,
            named: (
                PeerTunnelId(tunnel.peer_id),
                PeerSessionId(session.peer_session),
            ),
        })
    }

    fn heard_by(&self, session: u8) -> Option<Heard> {
        let line = self.line(session)?;
        let (tunnel, session) = line.named;
        self.heard.get(&(line.remote, tunnel, session)).cloned()
    }

    // What comes out.

    /// Takes all of it. It is bounded, and ends.
    fn settle(&mut self) {
        let mut reports = Vec::new();
        while let Some(update) = self.node.poll_path() {
            reports.extend(self.apply(&update));
        }
        let (mut sent, mut out) = (0, Vec::new());
        while let Some(transmit) = self.node.poll_transmit(self.now, &mut out) {
            sent += 1;
            assert!(sent < 400, "one step makes no flood");
            self.note(transmit.remote, &out);
        }
        while let Some(event) = self.node.poll_event() {
            if let lns_node::Event::SessionDown(_) = event {
                self.ended += 1;
            }
        }
        while let Some(order) = self.node.poll_order() {
            self.accounts.take(&order);
            self.servers.take(&order);
        }
        while let Some(change) = self.node.poll_reach() {
            match change {
                Reach::Add(net) => assert!(self.reached.insert(net), "{net} is added twice"),
                Reach::Remove(net) => assert!(self.reached.remove(&net), "{net} was not there"),
            }
        }
        if !reports.is_empty() {
            for report in reports {
                self.node.handle_report(&report, self.now);
            }
            self.settle();
        }
        let live = self.workers.sessions.len();
        let live = u64::try_from(live).expect("few");
        assert_eq!(self.accepted, self.ended + live, "each call ends once");
        self.accounts.check(self.workers.sessions.len());
        self.servers.check(self.workers.sessions.len());
    }

    /// What a worker does with an update.
    fn apply(&mut self, update: &PathUpdate) -> Option<PathReport> {
        let workers = &mut self.workers;
        match *update {
            PathUpdate::SetPolicies { ref policies } => {
                assert_ne!(workers.policies, *policies, "the same policies again");
                workers.policies = Arc::clone(policies);
                workers
                    .sessions
                    .values()
                    .for_each(|path| workers.find(path));
            }
            PathUpdate::SetTunnel { tunnel, path } => {
                workers.tunnels.insert(tunnel, path);
            }
            PathUpdate::ClearTunnel { tunnel } => {
                let mut left = workers.sessions.values();
                assert!(left.all(|path| path.tunnel != tunnel), "a session is left");
                workers.tunnels.remove(&tunnel);
            }
            PathUpdate::SetSession { slot, path } => {
                assert!(workers.tunnels.contains_key(&path.tunnel));
                workers.find(&path);
                if let Some(address) = path.address {
                    let holds = |(other, held): (&SlotIndex, &SessionPath)| {
                        *other != slot && held.address == Some(address)
                    };
                    assert!(!workers.sessions.iter().any(holds), "{address} held twice");
                }
                match workers.sessions.insert(slot, path) {
                    None => self.accepted += 1,
                    Some(old) => assert_eq!(
                        (old.tunnel, old.session),
                        (path.tunnel, path.session),
                        "a slot changes hands uncleared"
                    ),
                }
            }
            PathUpdate::SetRoute { slot, .. } | PathUpdate::ClearRoute { slot, .. } => {
                assert!(workers.sessions.contains_key(&slot), "a route to nobody");
            }
            PathUpdate::ClearSession {
                slot,
                tunnel,
                session,
            } => {
                let old = workers.sessions.remove(&slot).expect("it was there");
                assert_eq!((old.tunnel, old.session), (tunnel, session));
                return Some(self.report(slot, tunnel, session));
            }
            PathUpdate::ReportSession {
                slot,
                tunnel,
                session,
            } => {
                return Some(self.report(slot, tunnel, session));
            }
            PathUpdate::ReportTunnel { tunnel } => {
                return Some(PathReport::Tunnel {
                    tunnel,
                    last_received: self.active.then_some(self.now),
                });
            }
        }
        None
    }

    /// What the workers say of a session: more has passed every time.
    fn report(&self, slot: SlotIndex, tunnel: TunnelId, session: SessionId) -> PathReport {
        let last = self.active.then_some(self.now);
        let mut counters = Counters::default();
        counters.up.ipv4_octets = self.now.as_nanos();
        PathReport::Session {
            slot,
            tunnel,
            session,
            last_received: last,
            last_forwarded: last,
            counters,
        }
    }

    /// What a peer remembers of a datagram.
    fn note(&mut self, remote: SocketAddr, datagram: &[u8]) {
        match Packet::parse(datagram).expect("our own datagrams are right") {
            Packet::Control(header, body) => {
                let named = (remote, PeerTunnelId(header.tunnel.0));
                let end = self.ends.entry(named).or_default();
                end.ns = header.nr;
                if body.is_empty() {
                    return;
                }
                end.nr = header.ns.next();
                let message = Message::parse(body).expect("our own messages are right");
                if let Message::Sccrp(sccrp) = message {
                    end.challenge = sccrp.challenge.map(<[u8]>::to_vec);
                }
            }
            Packet::Data(header, octets) => {
                let frame = Frame::parse(octets).expect("our own frames are right");
                let packet = PppPacket::parse(frame.information).expect("and what is in them");
                let (tunnel, session) = (header.tunnel.0, header.session.0);
                let named = (remote, PeerTunnelId(tunnel), PeerSessionId(session));
                let heard = Heard {
                    protocol: frame.protocol,
                    code: packet.code.0,
                    id: packet.id,
                    data: packet.data.to_vec(),
                };
                self.heard.insert(named, heard);
            }
        }
    }

    fn wait(&mut self, by: Duration) {
        let until = self.now + by;
        let mut still = 0;
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= until) {
            still = if due <= self.now { still + 1 } else { 0 };
            assert!(still < 100, "a timeout that stays due");
            self.now = due.max(self.now);
            self.node.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// Peers that say nothing more are given up, and nothing of them is left.
    fn leave_alone(&mut self) {
        self.active = false;
        self.wait(Duration::from_secs(400));
        let shown = Shown::of(&self.node, self.now);
        shown.check(&self.workers);
        shown.check_empty();
        assert!(self.workers.sessions.is_empty() && self.workers.tunnels.is_empty());
        assert!(self.reached.is_empty(), "{:?}", self.reached);
        self.servers.check(0);
    }
}

fn name(user: u8) -> &'static [u8] {
    match user % 3 {
        0 => b"user",
        1 => b"fixed",
        _ => b"nobody",
    }
}

fn octets(message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    message.emit(&mut body).expect("it fits");
    body
}

fn datagram(tunnel: TunnelId, session: SessionId, end: &End, body: &[u8]) -> Vec<u8> {
    let (tunnel, session) = (PeerTunnelId(tunnel.0), PeerSessionId(session.0));
    let mut datagram = Vec::new();
    // What does not fit is not sent; the steps' lengths may say so.
    let written = emit_control(tunnel, session, end.ns, end.nr, body, &mut datagram);
    if written.is_err() {
        datagram.clear();
    }
    datagram
}
