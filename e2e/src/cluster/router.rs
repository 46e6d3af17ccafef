//! The router: it pings the cluster's addresses through every node, as IP SLA does, and routes to those
//! that answer.
//!
//! The service address, and the subscribers' addresses on the way back, over all nodes that answer for
//! the service address, at equal cost and by the hash of addresses and ports; nasAddress to the node
//! that answers for it. Three probes without an answer take a node out, one answer takes it in. Each
//! change is kept with its time.
//!
//! Where the addresses are found by ARP there is nothing to route; then what it keeps is whose hardware
//! address its neighbour table has for them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::neighbours;
use super::network::{Announce, NAS, Network, Place, SUBSCRIBERS};
use crate::net::{Namespace, VIP};

/// How a router reaches nodes.
#[derive(Clone)]
pub(crate) struct Ways {
    /// Towards the LACs' side of each: whoever answers there for the service address is sent what is for it.
    pub(crate) access: BTreeMap<Place, Hop>,
    /// Towards the core's side of each: for nasAddress and for subscribers.
    pub(crate) core: BTreeMap<Place, Hop>,
    /// What sets the routes.
    pub(crate) setter: Setter,
}

/// A node as the next hop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hop {
    /// Its address there.
    pub(crate) address: Ipv4Addr,
    /// The router's interface.
    pub(crate) device: String,
}

/// What sets a router's routes: it takes those to a target in place of all there were.
pub(crate) type Setter = Arc<dyn Fn(&[Change]) -> Result<()> + Send + Sync>;

/// A target that has another way from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Change {
    /// An address or a network.
    pub(crate) target: String,
    /// Over all of these, at equal cost; into nothing without any.
    pub(crate) hops: Vec<Hop>,
}

/// From one probe to the next.
const INTERVAL: Duration = Duration::from_millis(200);
/// Probes in a row without an answer that take a node out.
const LOST: u16 = 3;
/// What our probes have as their identifier, plus their number.
const IDENTIFIER: u16 = 0x4b00;

/// What the router had found at a time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct View {
    /// Since when.
    pub(crate) at: SystemTime,
    /// Who answers for the service address.
    pub(crate) service: BTreeSet<Place>,
    /// Who answers for nasAddress.
    pub(crate) nas: BTreeSet<Place>,
}

/// Pings until it is dropped.
#[derive(Debug)]
pub(crate) struct Router {
    views: Arc<Mutex<Vec<View>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
    by_arp: bool,
}

impl Router {
    /// Starts with no node in.
    pub(crate) fn start(network: &Network) -> Result<Self> {
        if network.announce == Announce::External {
            return Self::along(&network.router, Network::ways());
        }
        let nodes = neighbours::of(network)?;
        let work =
            move |views: &Mutex<_>, stop: &AtomicBool| neighbours::watch(&nodes, views, stop);
        let mut router = Self::work(&network.router, work);
        router.by_arp = true;
        Ok(router)
    }

    /// Starts in a namespace that reaches nodes along these ways, with no node in.
    pub(crate) fn along(router: &Namespace, ways: Ways) -> Result<Self> {
        let probes = prepare(router, &ways)?;
        let work = move |views: &Mutex<_>, stop: &AtomicBool| watch(probes, &ways, views, stop);
        Ok(Self::work(router, work))
    }

    fn work(
        router: &Namespace,
        work: impl FnOnce(&Mutex<Vec<View>>, &AtomicBool) -> Result<()> + Send + 'static,
    ) -> Self {
        let views = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, ended) = (Arc::clone(&views), Arc::clone(&stop));
        Self {
            views,
            stop,
            thread: Some(router.thread(move || work(&kept, &ended))),
            by_arp: false,
        }
    }

    /// All that it found, oldest first.
    pub(crate) fn views(&self) -> Vec<View> {
        lock(&self.views).clone()
    }

    /// Waits until it has found this.
    pub(crate) fn wait(
        &self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&View) -> bool,
    ) -> Result<View> {
        let give_up = Instant::now() + patience;
        loop {
            let last = lock(&self.views).last().cloned();
            if let Some(view) = last.as_ref().filter(|view| holds(view)) {
                return Ok(view.clone());
            }
            let over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            ensure!(!over, "the router ended before {what}");
            ensure!(
                Instant::now() < give_up,
                "not within {} s: {what}; the router sees {last:?}",
                patience.as_secs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until all these nodes answer for the service address, and one of them for nasAddress.
    pub(crate) fn wait_for(&self, patience: Duration, nodes: &[Place]) -> Result<Place> {
        if self.by_arp {
            let view = self.wait(patience, "somebody answers ARP", |view| {
                view.nas.len() == 1 && view.nas == view.service
            })?;
            return view.nas.first().copied().context("one answers ARP");
        }
        let nodes: BTreeSet<_> = nodes.iter().copied().collect();
        let what = format!("{nodes:?} answer for the cluster");
        let view = self.wait(patience, &what, |view| {
            view.service == nodes && view.nas.len() == 1 && view.nas.is_subset(&nodes)
        })?;
        view.nas
            .first()
            .copied()
            .context("one answers for nasAddress")
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(Ok(())))) => {}
            Some(Ok(Ok(Err(error)) | Err(error))) => eprintln!("the router: {error:#}"),
            Some(Err(_)) => eprintln!("the router panicked"),
        }
    }
}

/// One address pinged through one node.
#[derive(Debug)]
struct Probe {
    place: Place,
    target: Ipv4Addr,
    mark: u32,
    answered: Option<u16>,
}

/// Routes for each probe by the mark of its packets, and nothing yet for those of others.
fn prepare(router: &Namespace, ways: &Ways) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    let all = [(VIP, &ways.access), (NAS, &ways.core)];
    let all = all.map(|(target, hops)| hops.iter().map(move |(place, hop)| (target, place, hop)));
    for (target, place, Hop { address, device }) in all.into_iter().flatten() {
        let mark = 100 + u32::try_from(probes.len())?;
        router.ip(&[
            &format!("route add {target}/32 via {address} dev {device} table {mark}"),
            &format!("rule add fwmark {mark} lookup {mark}"),
        ])?;
        probes.push(Probe {
            place: *place,
            target,
            mark,
            answered: None,
        });
    }
    let none = [VIP.to_string(), NAS.to_string(), SUBSCRIBERS.to_owned()].map(|target| Change {
        target,
        hops: Vec::new(),
    });
    router.enter(|| (ways.setter)(&none))??;
    Ok(probes)
}

fn watch(
    mut probes: Vec<Probe>,
    ways: &Ways,
    views: &Mutex<Vec<View>>,
    stop: &AtomicBool,
) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.set_read_timeout(Some(Duration::from_millis(10)))?;
    let (mut sequence, mut due) = (0_u16, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        if Instant::now() >= due {
            due = Instant::now() + INTERVAL;
            judge(&probes, ways, sequence, views)?;
            sequence = sequence.wrapping_add(1);
            for (number, probe) in (IDENTIFIER..).zip(&probes) {
                socket.set_mark(probe.mark)?;
                let to = SocketAddr::from((probe.target, 0)).into();
                // A link that is down has no way to its node, and that is an answer not given.
                socket.send_to(&request(number, sequence), &to).ok();
            }
        }
        let mut buffer = [0; 2048];
        match (&socket).read(&mut buffer) {
            Ok(length) => note(&mut probes, buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading what nodes answer"),
        }
    }
    Ok(())
}

/// Keeps which probe a packet answers, if it does.
fn note(probes: &mut [Probe], packet: &[u8]) {
    let Some((number, sequence, source)) = answer(packet) else {
        return;
    };
    let Some(probe) = probes.get_mut(usize::from(number)) else {
        return;
    };
    if IpAddr::from(probe.target) == source {
        probe.answered = Some(sequence);
    }
}

/// The number of the probe that an IP packet answers, its sequence number, and by whom.
fn answer(packet: &[u8]) -> Option<(u16, u16, IpAddr)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let message = packet.get(header..)?;
    let word = |at: usize| {
        Some(u16::from_be_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let number = word(4)?.checked_sub(IDENTIFIER)?;
    (*message.first()? == 0).then_some((number, word(6)?, source.into()))
}

/// An Echo-Request (RFC 792).
fn request(identifier: u16, sequence: u16) -> Vec<u8> {
    let sum = 0x0800_u32 + u32::from(identifier) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(0);
    [0x0800, checksum, identifier, sequence]
        .map(u16::to_be_bytes)
        .concat()
}

/// Routes to those that have answered one of the last probes, if these are others than before.
fn judge(probes: &[Probe], ways: &Ways, sequence: u16, views: &Mutex<Vec<View>>) -> Result<()> {
    let is_in = |probe: &&Probe| {
        let lost = probe.answered.map(|last| sequence.wrapping_sub(last));
        lost.is_some_and(|lost| lost < LOST)
    };
    let who = |target| -> BTreeSet<_> {
        let asked = probes.iter().filter(|probe| probe.target == target);
        asked.filter(is_in).map(|probe| probe.place).collect()
    };
    let view = View {
        at: SystemTime::now(),
        service: who(VIP),
        nas: who(NAS),
    };
    let last = lock(views).last().cloned();
    let changed = |part: fn(&View) -> &BTreeSet<Place>| {
        last.as_ref().map_or(&BTreeSet::new(), part) != part(&view)
    };
    let (service, nas) = (changed(|view| &view.service), changed(|view| &view.nas));
    if !service && !nas {
        return Ok(());
    }
    let mut routes = Vec::new();
    if service {
        routes.push(change(&VIP.to_string(), &view.service, &ways.access));
        routes.push(change(SUBSCRIBERS, &view.service, &ways.core));
    }
    if nas {
        routes.push(change(&NAS.to_string(), &view.nas, &ways.core));
    }
    (ways.setter)(&routes)?;
    lock(views).push(view);
    Ok(())
}

fn change(target: &str, over: &BTreeSet<Place>, hops: &BTreeMap<Place, Hop>) -> Change {
    let hops = hops.iter().filter(|(place, _)| over.contains(place));
    Change {
        target: target.to_owned(),
        hops: hops.map(|(_, hop)| hop.clone()).collect(),
    }
}

/// The route to a target; without any hop, into nothing.
fn route(change: &Change) -> String {
    let Change { target, hops } = change;
    if hops.is_empty() {
        return format!("route replace blackhole {target}\n");
    }
    let hops = hops
        .iter()
        .map(|Hop { address, device }| format!(" nexthop via {address} dev {device}"))
        .collect::<String>();
    format!("route replace {target}{hops}\n")
}

/// Sets routes with `ip`, in the namespace of this thread.
pub(crate) fn by_ip(changes: &[Change]) -> Result<()> {
    let commands: String = changes.iter().map(route).collect();
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("running ip")?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all(commands.as_bytes())?;
    }
    if !ip.wait()?.success() {
        bail!("the router's routes could not be set:\n{commands}");
    }
    Ok(())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_checksum_of_its_words() {
        for (identifier, sequence) in [(IDENTIFIER, 1), (0xffff, 0xffff), (0, 0)] {
            let words = request(identifier, sequence);
            let sum = words.chunks(2).fold(0_u32, |sum, word| {
                sum + u32::from(u16::from_be_bytes([word[0], word[1]]))
            });
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        }
    }

    #[test]
    fn an_answer_is_known_by_probe_and_sequence() {
        let mut packet = vec![0x45; 20];
        packet[12..16].copy_from_slice(&VIP.octets());
        packet.extend_from_slice(&request(IDENTIFIER + 4, 77));
        assert_eq!(answer(&packet), None, "a request is no answer");
        packet[20] = 0;
        assert_eq!(answer(&packet), Some((4, 77, VIP.into())));
        assert_eq!(answer(&packet[..21]), None);
    }

    #[test]
    fn a_route_has_all_hops_or_none() {
        let hop = |number: u8| Hop {
            address: Ipv4Addr::new(10, 0, number, 2),
            device: format!("acc{number}"),
        };
        let hops =
            BTreeMap::from([1, 2, 3].map(|number| (Place(usize::from(number) - 1), hop(number))));
        let over = |places: &[usize]| {
            let over = places.iter().map(|number| Place(*number)).collect();
            route(&change("192.0.2.1", &over, &hops))
        };
        assert_eq!(
            over(&[0, 2]),
            "route replace 192.0.2.1 nexthop via 10.0.1.2 dev acc1 nexthop via 10.0.3.2 dev acc3\n"
        );
        assert_eq!(over(&[]), "route replace blackhole 192.0.2.1\n");
    }
}
