//! What a LAC counted: shared between its tasks, readable while it runs, JSON at the end.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Seq16, emit_data};
use lns_wire::ppp::{Framing, Protocol};
use serde::Serialize;
use tokio::net::UdpSocket;

use super::ppp::Heard;
use crate::blast::Run;

/// Packets kept for a scenario to look at.
const MAX_CAPTURED: usize = 65_536;

/// Where a session stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Not dialled yet.
    #[default]
    Idle,
    /// Being set up.
    Dialling,
    /// IPCP is open.
    Up,
    /// It never came up, and why.
    Failed(String),
    /// It was up and ended, and why.
    Ended(String),
}

/// One session as seen from the LAC.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionView {
    /// Its subscriber.
    pub(crate) user: String,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// The address that it has or had.
    pub(crate) address: Option<Ipv4Addr>,
    /// From the ICRQ to IPCP open.
    pub(crate) setup: Option<Duration>,
    /// What its LNS sent.
    pub(crate) heard: Heard,
}

/// The way into a session.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    socket: Arc<UdpSocket>,
    tunnel: PeerTunnelId,
    session: PeerSessionId,
    /// Ns of the next data message, where the LNS was told that there are numbers.
    sequence: Option<Arc<AtomicU16>>,
}

impl Route {
    /// Into session `session` of tunnel `tunnel` behind `socket`, with or without numbers.
    pub(crate) fn new(
        socket: &Arc<UdpSocket>,
        tunnel: PeerTunnelId,
        session: PeerSessionId,
        sequencing: bool,
    ) -> Self {
        Self {
            socket: Arc::clone(socket),
            tunnel,
            session,
            sequence: sequencing.then(Arc::default),
        }
    }

    /// The data message with a PPP frame.
    pub(crate) fn data(&self, frame: &[u8]) -> Vec<u8> {
        let mut octets = self.header();
        octets.extend_from_slice(frame);
        octets
    }

    /// The data message with an IPv4 packet.
    pub(crate) fn packet(&self, packet: &[u8]) -> Vec<u8> {
        let mut octets = self.header();
        Framing::default().emit_header(Protocol::IPV4, &mut octets);
        octets.extend_from_slice(packet);
        octets
    }

    fn header(&self) -> Vec<u8> {
        let ns = self
            .sequence
            .as_ref()
            .map(|next| Seq16(next.fetch_add(1, Ordering::Relaxed)));
        let mut octets = Vec::with_capacity(1600);
        emit_data(self.tunnel, self.session, ns, &mut octets);
        octets
    }
}

/// Packets and octets, counted by several tasks.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    packets: AtomicU64,
    octets: AtomicU64,
}

impl Flow {
    /// Counts packets with their octets.
    pub(crate) fn count(&self, packets: u64, octets: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Packets so far.
    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Their octets.
    pub(crate) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }
}

/// What the tasks of a LAC share.
#[derive(Debug)]
pub(crate) struct Shared {
    started: Instant,
    sessions: Mutex<Vec<SessionView>>,
    last_up: Mutex<Option<Instant>>,
    tunnels_up: AtomicU64,
    tunnel_ends: Mutex<Vec<String>>,
    /// Of each tunnel, the number before which the LNS has acknowledged every message.
    acknowledged: Mutex<BTreeMap<u16, u16>>,
    /// Sessions by the subscriber's address.
    routes: Mutex<HashMap<Ipv4Addr, Route>>,
    /// Changes of the TUN interface's addresses that were asked for, and those that are done.
    changes_asked: AtomicU64,
    changes_done: AtomicU64,
    /// Numbered data messages received, and how many of them were not the next of their session.
    numbered: AtomicU64,
    misplaced: AtomicU64,
    last_numbers: Mutex<HashMap<(u16, usize), Seq16>>,
    /// IP packets of subscribers towards the LNS.
    pub(crate) up: Flow,
    /// IP packets from the LNS.
    pub(crate) down: Flow,
    /// Control messages sent again.
    pub(crate) retransmissions: AtomicU64,
    captured: Option<Mutex<Vec<Vec<u8>>>>,
    news: Condvar,
}

impl Shared {
    /// Before the first call.
    pub(crate) fn new(users: Vec<String>, capture: bool) -> Self {
        let sessions = users
            .into_iter()
            .map(|user| SessionView {
                user,
                ..SessionView::default()
            })
            .collect();
        Self {
            started: Instant::now(),
            sessions: Mutex::new(sessions),
            last_up: Mutex::new(None),
            tunnels_up: AtomicU64::new(0),
            tunnel_ends: Mutex::new(Vec::new()),
            acknowledged: Mutex::default(),
            routes: Mutex::default(),
            changes_asked: AtomicU64::new(0),
            changes_done: AtomicU64::new(0),
            numbered: AtomicU64::new(0),
            misplaced: AtomicU64::new(0),
            last_numbers: Mutex::default(),
            up: Flow::default(),
            down: Flow::default(),
            retransmissions: AtomicU64::new(0),
            captured: capture.then(Mutex::default),
            news: Condvar::new(),
        }
    }

    /// Changes the view of one session.
    pub(crate) fn update(&self, index: usize, change: impl FnOnce(&mut SessionView)) {
        if let Some(view) = lock(&self.sessions).get_mut(index) {
            change(view);
        }
    }

    /// Notes that a session came up now.
    pub(crate) fn note_up(&self, index: usize, address: Ipv4Addr, setup: Duration) {
        *lock(&self.last_up) = Some(Instant::now());
        self.update(index, |view| {
            view.stage = Stage::Up;
            view.address = Some(address);
            view.setup = Some(setup);
        });
    }

    /// Notes that a control connection came up.
    pub(crate) fn note_tunnel_up(&self) {
        self.tunnels_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how a control connection ended.
    pub(crate) fn note_tunnel_end(&self, reason: String) {
        lock(&self.tunnel_ends).push(reason);
    }

    /// How control connections ended so far.
    pub(crate) fn tunnel_ends(&self) -> Vec<String> {
        lock(&self.tunnel_ends).clone()
    }

    /// Notes the number before which the LNS has acknowledged every message of a tunnel.
    pub(crate) fn note_acknowledged(&self, tunnel: u16, number: Seq16) {
        lock(&self.acknowledged).insert(tunnel, number.0);
    }

    /// These numbers of all tunnels.
    pub(crate) fn acknowledged(&self) -> Vec<u16> {
        lock(&self.acknowledged).values().copied().collect()
    }

    /// Control connections that came up so far.
    pub(crate) fn tunnels_up(&self) -> u64 {
        self.tunnels_up.load(Ordering::Relaxed)
    }

    /// All sessions.
    pub(crate) fn sessions(&self) -> Vec<SessionView> {
        lock(&self.sessions).clone()
    }

    /// How many sessions stand where `wanted` says.
    pub(crate) fn count(&self, wanted: impl Fn(&Stage) -> bool) -> usize {
        lock(&self.sessions)
            .iter()
            .filter(|view| wanted(&view.stage))
            .count()
    }

    /// Notes where packets of a subscriber go.
    pub(crate) fn add_route(&self, address: Ipv4Addr, route: Route) {
        lock(&self.routes).insert(address, route);
    }

    /// Forgets it.
    pub(crate) fn remove_route(&self, address: Ipv4Addr) {
        lock(&self.routes).remove(&address);
    }

    /// Sends a packet of a subscriber's host into the session of its source address.
    pub(crate) fn send_from_host(&self, packet: &[u8]) {
        let Some(source) = packet.get(12..16).and_then(<[u8]>::first_chunk::<4>) else {
            return;
        };
        if packet.first().is_some_and(|octet| octet >> 4 == 4) {
            // A host without a session any more gets no answer, as behind a line that is down.
            self.inject(Ipv4Addr::from(*source), packet).ok();
        }
    }

    /// Sends a packet into the session of `address`, whatever its own source address says.
    pub(crate) fn inject(&self, address: Ipv4Addr, packet: &[u8]) -> Result<()> {
        let routes = lock(&self.routes);
        let route = routes
            .get(&address)
            .with_context(|| format!("no session has {address}"))?;
        self.up.count(1, packet.len() as u64);
        // What the kernel does not take is lost, as on a wire.
        route.socket.try_send(&route.packet(packet)).ok();
        Ok(())
    }

    /// Runs of equal packets through all sessions; `packets` gives those of one address.
    pub(crate) fn runs(&self, packets: impl Fn(Ipv4Addr) -> Vec<Vec<u8>>) -> Result<Vec<Run>> {
        let mut tunnels: BTreeMap<PeerTunnelId, (Arc<UdpSocket>, Vec<Vec<u8>>)> = BTreeMap::new();
        for (address, route) in lock(&self.routes).iter() {
            let (_, all) = tunnels
                .entry(route.tunnel)
                .or_insert_with(|| (Arc::clone(&route.socket), Vec::new()));
            all.extend(packets(*address).iter().map(|packet| route.packet(packet)));
        }
        let mut runs = Vec::new();
        for (socket, packets) in tunnels.into_values() {
            let to = socket.peer_addr()?;
            let descriptor = Arc::new(socket.as_fd().try_clone_to_owned()?);
            runs.extend(Run::split(&descriptor, to, &packets)?);
        }
        Ok(runs)
    }

    /// Notes a change of the TUN interface's addresses that was asked for.
    pub(crate) fn note_address_change(&self) {
        self.changes_asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes changes that are done.
    pub(crate) fn note_addresses_applied(&self, count: u64) {
        self.changes_done.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether the TUN interface has the addresses that it should.
    pub(crate) fn addresses_current(&self) -> bool {
        self.changes_done.load(Ordering::Relaxed) == self.changes_asked.load(Ordering::Relaxed)
    }

    /// Notes the Ns of a numbered data message of a session.
    pub(crate) fn note_sequence(&self, tunnel: u16, place: usize, ns: Seq16) {
        self.numbered.fetch_add(1, Ordering::Relaxed);
        let before = lock(&self.last_numbers).insert((tunnel, place), ns);
        if before.is_some_and(|before| before.next() != ns) {
            self.misplaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Numbered data messages received, and those that were not the next of their session.
    pub(crate) fn numbered(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.numbered), load(&self.misplaced))
    }

    /// Keeps an IP packet that a subscriber received, if a scenario wants to see them.
    pub(crate) fn capture(&self, packet: &[u8]) {
        if let Some(captured) = &self.captured {
            let mut captured = lock(captured);
            if captured.len() < MAX_CAPTURED {
                captured.push(packet.to_vec());
                self.news.notify_one();
            }
        }
    }

    /// Takes what was captured since the last call.
    pub(crate) fn take_captured(&self) -> Vec<Vec<u8>> {
        self.captured
            .as_ref()
            .map(|captured| std::mem::take(&mut *lock(captured)))
            .unwrap_or_default()
    }

    /// The same, once there is something, or `patience` is over.
    pub(crate) fn wait_captured(&self, patience: Duration) -> Vec<Vec<u8>> {
        let Some(captured) = &self.captured else {
            return Vec::new();
        };
        let wait = self
            .news
            .wait_timeout_while(lock(captured), patience, |captured| captured.is_empty());
        let (mut captured, _) = wait.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut captured)
    }

    /// The figures of the run so far.
    pub(crate) fn report(&self, tunnels: usize) -> Report {
        let sessions = self.sessions();
        let mut failed = BTreeMap::new();
        let mut disconnects = BTreeMap::new();
        let mut up = 0;
        for view in &sessions {
            match &view.stage {
                Stage::Failed(reason) => *failed.entry(reason.clone()).or_default() += 1,
                Stage::Ended(reason) => *disconnects.entry(reason.clone()).or_default() += 1,
                Stage::Up => up += 1,
                Stage::Idle | Stage::Dialling => {}
            }
        }
        let mut setups: Vec<_> = sessions.iter().filter_map(|view| view.setup).collect();
        setups.sort_unstable();
        let took = lock(&self.last_up).map(|last| last.duration_since(self.started));
        let seconds = took.unwrap_or_default().as_secs_f64();
        Report {
            tunnels_asked: tunnels,
            tunnels_came_up: self.tunnels_up(),
            tunnel_ends: tally(self.tunnel_ends()),
            sessions_asked: sessions.len(),
            sessions_came_up: setups.len(),
            sessions_up: up,
            sessions_failed: failed.values().sum(),
            failures: failed,
            disconnects,
            setup_seconds: seconds,
            setups_per_second: if seconds > 0.0 {
                setups.len() as f64 / seconds
            } else {
                0.0
            },
            setup_milliseconds_p50: milliseconds(percentile(&setups, 50)),
            setup_milliseconds_p99: milliseconds(percentile(&setups, 99)),
            retransmissions: self.retransmissions.load(Ordering::Relaxed),
            packets_up: self.up.packets(),
            octets_up: self.up.octets.load(Ordering::Relaxed),
            packets_down: self.down.packets(),
            octets_down: self.down.octets.load(Ordering::Relaxed),
        }
    }
}

/// The JSON report of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Control connections that were asked for.
    pub(crate) tunnels_asked: usize,
    /// Those that came up.
    pub(crate) tunnels_came_up: u64,
    /// How those ended that did, by cause.
    pub(crate) tunnel_ends: BTreeMap<String, u64>,
    /// Sessions that were asked for.
    pub(crate) sessions_asked: usize,
    /// Those that came up, at whatever time.
    pub(crate) sessions_came_up: usize,
    /// Those that are up now.
    pub(crate) sessions_up: usize,
    /// Those that never came up.
    pub(crate) sessions_failed: u64,
    /// Why, by cause.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Sessions that were up and ended, by cause.
    pub(crate) disconnects: BTreeMap<String, u64>,
    /// From the start to the last session that came up.
    pub(crate) setup_seconds: f64,
    /// Sessions that came up by that time.
    pub(crate) setups_per_second: f64,
    /// From ICRQ to IPCP open, the median.
    pub(crate) setup_milliseconds_p50: f64,
    /// From ICRQ to IPCP open, 99 of 100 were faster.
    pub(crate) setup_milliseconds_p99: f64,
    /// Control messages that we sent again.
    pub(crate) retransmissions: u64,
    /// IP packets sent into sessions.
    pub(crate) packets_up: u64,
    /// Their octets.
    pub(crate) octets_up: u64,
    /// IP packets received out of sessions.
    pub(crate) packets_down: u64,
    /// Their octets.
    pub(crate) octets_down: u64,
}

fn tally(reasons: Vec<String>) -> BTreeMap<String, u64> {
    reasons
        .into_iter()
        .fold(BTreeMap::new(), |mut sum, reason| {
            *sum.entry(reason).or_default() += 1;
            sum
        })
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(198));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
        assert_eq!(percentile(&sorted[..1], 50), Duration::from_millis(1));
    }

    #[test]
    fn the_report_tells_failures_from_disconnects() {
        let shared = Shared::new(vec!["a".into(), "b".into(), "c".into()], false);
        shared.note_up(0, [100, 64, 0, 20].into(), Duration::from_millis(3));
        shared.note_up(1, [100, 64, 0, 21].into(), Duration::from_millis(5));
        shared.update(1, |view| view.stage = Stage::Ended("CDN 3".into()));
        shared.update(2, |view| view.stage = Stage::Failed("CDN 2".into()));
        let report = shared.report(1);
        assert_eq!(
            (
                report.sessions_up,
                report.sessions_came_up,
                report.sessions_failed
            ),
            (1, 2, 1)
        );
        assert_eq!(report.disconnects["CDN 3"], 1);
        assert_eq!(report.failures["CDN 2"], 1);
    }
}
