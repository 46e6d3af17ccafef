//! A running `lnsd` with both ends in our hands: what is sent through it, and what comes out.
//!
//! On the subscribers' side packets go straight into L2TP data messages. On the core's side a raw
//! socket sends them and a packet socket sees what arrives for hosts that no kernel has as its own. So
//! no TCP, UDP or ICMP of a kernel takes part.
//!
//! That a packet does not arrive is known by one sent after it that does: the way through one tunnel, one
//! worker and one interface keeps the order. What arrives later all the same is found at the end of a
//! row.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use super::cast::Policy;
use super::packet::{Ends, Flow, Packet, Way, addresses, comparable, protocol};
use crate::lac::Lac;
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::{self, Topology};

/// The packet type of IPv4 (`ETH_P_IP`), in network order as the socket wants it.
const ETHERTYPE_IPV4: i32 = 0x0800_u16.to_be() as i32;
/// How long something that is on its way may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long another marker is sent: the first may have been lost.
const MARKER: Duration = Duration::from_millis(500);
/// How often readers look whether they are to end.
const TICK: Duration = Duration::from_millis(100);
/// The host beyond the core that markers go to and come from.
const MARKER_HOST: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);

/// Beyond the core: the network whose hosts are ours alone.
const BEYOND: &str = "198.19.0.0/16";

/// The host beyond the core that belongs to place `place` of a run.
pub(super) fn host(place: usize) -> Ipv4Addr {
    let [.., high, low] = (place + 1).to_be_bytes();
    Ipv4Addr::new(198, 19, high, low)
}

/// Makes the network beyond the core reachable, without a kernel that answers in it.
pub(super) fn prepare(topology: &Topology) -> Result<()> {
    topology
        .lns
        .ip(&[&format!("route add {BEYOND} via {}", net::CORE)])?;
    topology.core.sysctl("net/ipv4/ip_forward", "0")
}

/// A packet that came out, and which way it went.
pub(super) type Arrival = (Way, Vec<u8>);

/// What came out, and how often.
pub(super) type Arrived = HashMap<Arrival, usize>;

/// A running `lnsd` with both ends in our hands.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    /// The LNS.
    pub(super) lnsd: &'a Lnsd<'a>,
    /// The LAC with its subscribers.
    pub(super) lac: &'a Lac,
    manifest: Mutex<(Manifest, Vec<Policy>)>,
    core: Socket,
    tap: Socket,
    /// The subscriber of markers: no policy is his.
    marker: Ipv4Addr,
    next_marker: AtomicU32,
    arrivals: Mutex<Arrivals>,
    news: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Arrivals {
    /// Whose packets are whose: by the address of a subscriber or of a host beyond the core.
    owners: HashMap<Ipv4Addr, usize>,
    /// How often each has come.
    by_owner: HashMap<usize, Arrived>,
    markers: HashMap<Way, u32>,
}

impl<'a> Stage<'a> {
    /// The stage of `lnsd` and `lac`, whose subscriber 0 has no policy.
    pub(super) fn new(
        topology: &Topology,
        lnsd: &'a Lnsd<'a>,
        lac: &'a Lac,
        manifest: Manifest,
        policies: Vec<Policy>,
    ) -> Result<Self> {
        let (core, tap) = topology.core.enter(|| -> Result<_> {
            let raw = Some(Protocol::from(255));
            let core = Socket::new(Domain::IPV4, Type::RAW, raw).context("a raw socket")?;
            core.set_header_included_v4(true)?;
            let all = Some(Protocol::from(ETHERTYPE_IPV4));
            let tap = Socket::new(Domain::PACKET, Type::DGRAM, all).context("a packet socket")?;
            nix::sys::socket::setsockopt(
                &tap,
                nix::sys::socket::sockopt::RcvBufForce,
                &(64 << 20),
            )?;
            tap.set_read_timeout(Some(TICK))?;
            Ok((core, tap))
        })??;
        Ok(Self {
            lnsd,
            marker: lac.address(0)?,
            lac,
            manifest: Mutex::new((manifest, policies)),
            core,
            tap,
            next_marker: AtomicU32::new(1),
            arrivals: Mutex::default(),
            news: Condvar::new(),
            stop: AtomicBool::new(false),
        })
    }

    /// Notes whose the packets of these addresses are.
    pub(super) fn own(&self, owner: usize, addresses: &[Ipv4Addr]) {
        let mut arrivals = lock(&self.arrivals);
        let pairs = addresses.iter().map(|address| (*address, owner));
        arrivals.owners.extend(pairs);
    }

    /// Runs `work` while both ends are read.
    pub(super) fn attend<T>(&self, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| self.read_core());
            scope.spawn(|| self.read_subscribers());
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            self.stop.store(true, Ordering::Relaxed);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sends a packet into the session of `session`, or from the core.
    pub(super) fn send(&self, session: Ipv4Addr, packet: &Packet) -> Result<()> {
        let octets = packet.octets();
        match packet.way {
            Way::Up => self.lac.inject(session, &octets),
            Way::Down => {
                let to = SocketAddr::from((packet.destination, 0));
                self.core
                    .send_to(&octets, &to.into())
                    .with_context(|| format!("sending {packet}"))?;
                Ok(())
            }
        }
    }

    /// Waits until `owner` has one more packet like `packet` than `before`; says whether it came.
    pub(super) fn wait_for(&self, owner: usize, packet: &Packet, before: usize) -> bool {
        let wanted = (packet.way, packet.expected());
        let is_missing = |arrivals: &mut Arrivals| arrivals.count(owner, &wanted) <= before;
        let wait = self
            .news
            .wait_timeout_while(lock(&self.arrivals), PATIENCE, is_missing);
        !wait.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How many packets like `packet` have come for `owner`.
    pub(super) fn count(&self, owner: usize, packet: &Packet) -> usize {
        let wanted = (packet.way, packet.expected());
        lock(&self.arrivals).count(owner, &wanted)
    }

    /// Octets of everything that has come for `owner`.
    pub(super) fn octets(&self, owner: usize) -> u64 {
        let arrivals = lock(&self.arrivals);
        let of_owner = arrivals.by_owner.get(&owner).into_iter().flatten();
        of_owner
            .map(|((_, octets), count)| (octets.len() * count) as u64)
            .sum()
    }

    /// Everything that has come for `owner`.
    pub(super) fn arrived(&self, owner: usize) -> Arrived {
        let arrivals = lock(&self.arrivals);
        arrivals.by_owner.get(&owner).cloned().unwrap_or_default()
    }

    /// Waits until whatever was sent before on that way has come out, if it ever will.
    pub(super) fn flush(&self, way: Way) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            let number = self.next_marker.fetch_add(1, Ordering::Relaxed);
            self.send(self.marker, &self.mark(way, number))?;
            let is_on_its_way = |arrivals: &mut Arrivals| {
                arrivals.markers.get(&way).is_none_or(|seen| *seen < number)
            };
            let wait = self
                .news
                .wait_timeout_while(lock(&self.arrivals), MARKER, is_on_its_way);
            if !wait.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                return Ok(());
            }
        }
        bail!("no marker comes through {}", way.label())
    }

    fn mark(&self, way: Way, number: u32) -> Packet {
        let (opener, other) = match way {
            Way::Up => (self.marker, MARKER_HOST),
            Way::Down => (MARKER_HOST, self.marker),
        };
        let [a, b, c, d] = number.to_be_bytes();
        let ports = Ends::Ports(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let flow = Flow {
            way,
            opener,
            other,
            protocol: protocol::UDP,
            ends: ports,
        };
        flow.out()
    }

    /// Changes the policies and has the process take them over. Rows that run beside this one keep
    /// theirs.
    pub(super) fn reload(
        &self,
        change: impl FnOnce(&mut Manifest, &mut Vec<Policy>),
    ) -> Result<std::result::Result<(), String>> {
        let mut held = lock(&self.manifest);
        let mut new = held.clone();
        change(&mut new.0, &mut new.1);
        let outcome = self.lnsd.reload(&text(&new.0, &new.1))?;
        if outcome.is_ok() {
            *held = new;
        }
        Ok(outcome)
    }

    fn read_core(&self) {
        let mut buffer = vec![0; 65_536];
        while !self.stop.load(Ordering::Relaxed) {
            // The only error is that nothing came for a while.
            if let Ok(length) = (&self.tap).read(&mut buffer) {
                let packet = buffer.get(..length).unwrap_or_default();
                self.note(Way::Up, std::iter::once(packet));
            }
        }
    }

    fn read_subscribers(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let packets = self.lac.shared().wait_captured(TICK);
            self.note(Way::Down, packets.iter().map(Vec::as_slice));
        }
    }

    fn note<'p>(&self, way: Way, packets: impl Iterator<Item = &'p [u8]>) {
        let mut arrivals = lock(&self.arrivals);
        for packet in packets {
            arrivals.note(way, packet);
        }
        self.news.notify_all();
    }
}

impl Arrivals {
    fn count(&self, owner: usize, wanted: &Arrival) -> usize {
        let of_owner = self.by_owner.get(&owner);
        of_owner
            .and_then(|all| all.get(wanted))
            .copied()
            .unwrap_or(0)
    }

    fn note(&mut self, way: Way, packet: &[u8]) {
        let Some((source, destination)) = addresses(packet) else {
            return;
        };
        if source == MARKER_HOST || destination == MARKER_HOST {
            let number = packet.get(20..24).and_then(<[u8]>::first_chunk::<4>);
            let number = number.map_or(0, |octets| u32::from_be_bytes(*octets));
            let seen = self.markers.entry(way).or_default();
            *seen = number.max(*seen);
            return;
        }
        let owner = |address| self.owners.get(&address).copied();
        if let Some(owner) = owner(source).or_else(|| owner(destination)) {
            let arrival = (way, comparable(packet));
            let all = self.by_owner.entry(owner).or_default();
            *all.entry(arrival).or_default() += 1;
        }
    }
}

/// The stream of a manifest and its policies.
pub(super) fn text(manifest: &Manifest, policies: &[Policy]) -> String {
    let manifest = Manifest {
        policies: policies.iter().map(Policy::yaml).collect(),
        ..manifest.clone()
    };
    manifest.yaml()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
