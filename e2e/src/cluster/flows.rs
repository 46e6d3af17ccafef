//! Traffic that tells what it missed: numbered UDP packets both ways through many sessions, and TCP
//! connections that carry a known stream for as long as a test takes.
//!
//! The subscribers' ends are on the LAC's TUN interface, so every packet goes through a session; the
//! other ends are in the core. Under a policy that lets in only what was asked for, the first packet of
//! the subscriber opens the flow.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, TcpKeepalive};

use crate::http;
use crate::net::{self, Namespace};

/// From one packet of a flow to the next.
const INTERVAL: Duration = Duration::from_millis(50);
/// The port in the core that the packets of a set of flows go to, and the next one, for another set.
pub(crate) const PORT: u16 = 5000;
/// The subscribers' port.
pub(crate) const SUBSCRIBER: u16 = 4000;
/// The port of the TCP streams.
pub(crate) const STREAM: u16 = 5100;
/// How long what is on its way at the end may take.
const LINGER: Duration = Duration::from_millis(500);
/// When a subscriber who asks, and hears nothing, asks whether the other end is there, as many hosts do; he goes on
/// asking for as long as a stream may stand still.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(1))
    .with_interval(Duration::from_secs(1))
    .with_retries(60);
/// How long a stream may stand still before its end is not waited for.
const SILENCE: Duration = Duration::from_secs(60);

/// One direction of a flow as its receiver saw it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Different packets that arrived.
    pub(crate) arrived: u64,
    /// Packets that arrived a second time, or behind a later one.
    pub(crate) late: u64,
    /// The longest time without an arrival, between two.
    pub(crate) gap: Duration,
    next: u64,
    last: Option<Instant>,
}

impl Way {
    fn note(&mut self, number: u64, now: Instant) {
        if number < self.next {
            self.late += 1;
            return;
        }
        self.next = number + 1;
        self.arrived += 1;
        if let Some(last) = self.last.replace(now) {
            self.gap = self.gap.max(now - last);
        }
    }

    /// Packets that were sent behind the last one that arrived.
    pub(crate) fn missing_at_end(&self) -> u64 {
        self.sent.saturating_sub(self.next)
    }
}

/// Octets of each packet of a flow, with the headers of IP and UDP.
pub(crate) const PACKET: u64 = 16 + 28;
/// Packets of a flow in a second, each way.
pub(crate) const RATE: u64 = 1_000 / INTERVAL.as_millis() as u64;

/// Both directions of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    /// From the subscriber.
    pub(crate) up: Way,
    /// To the subscriber.
    pub(crate) down: Way,
}

/// What became of a set of flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report(pub(crate) Vec<Flow>);

impl Report {
    /// Packets that did not arrive, up and down.
    pub(crate) fn lost(&self) -> [u64; 2] {
        self.each(|way| way.sent - way.arrived)
            .map(|all| all.iter().sum())
    }

    /// The longest gaps, up and down.
    pub(crate) fn gaps(&self) -> [Duration; 2] {
        self.each(|way| way.gap)
            .map(|all| all.into_iter().max().unwrap_or_default())
    }

    /// Fails if a flow has a direction in which nothing arrives any more.
    pub(crate) fn all_live(&self) -> Result<()> {
        for (number, flow) in self.0.iter().enumerate() {
            for (name, way) in [("up", flow.up), ("down", flow.down)] {
                // What was sent in the last second or two is a part of what may be on its way.
                ensure!(
                    way.missing_at_end() < 2 * RATE,
                    "nothing arrives any more in flow {number}, {name}: {way:?}"
                );
            }
        }
        Ok(())
    }

    /// As a line for people.
    pub(crate) fn shown(&self) -> String {
        let ([up, down], [lost_up, lost_down]) = (self.gaps(), self.lost());
        format!(
            "{} flows, longest gap up {} ms, down {} ms, lost {lost_up} up, {lost_down} down",
            self.0.len(),
            up.as_millis(),
            down.as_millis()
        )
    }

    fn each<T>(&self, of: impl Fn(&Way) -> T) -> [Vec<T>; 2] {
        [
            self.0.iter().map(|flow| of(&flow.up)).collect(),
            self.0.iter().map(|flow| of(&flow.down)).collect(),
        ]
    }
}

/// Numbered packets that run until [`Flows::end`].
#[derive(Debug)]
pub(crate) struct Flows {
    stop: Arc<AtomicBool>,
    subscribers: Option<JoinHandle<Result<Result<Vec<End>>>>>,
    core: Option<JoinHandle<Result<Result<Vec<End>>>>>,
}

/// One end: what it sent, and what arrived there.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    sent: u64,
    arrived: Way,
}

impl Flows {
    /// Starts a flow for each of these subscribers of a LAC. Sets of one run have different numbers.
    pub(crate) fn start(
        lac: &Namespace,
        core: &Namespace,
        set: u16,
        subscribers: &[Ipv4Addr],
    ) -> Result<Self> {
        Self::start_every(INTERVAL, lac, core, set, subscribers)
    }

    /// The same with another time from one packet of a flow to the next.
    pub(crate) fn start_every(
        interval: Duration,
        lac: &Namespace,
        core: &Namespace,
        set: u16,
        subscribers: &[Ipv4Addr],
    ) -> Result<Self> {
        let there = SocketAddr::from((net::CORE, PORT + set));
        let socket = core.enter(|| UdpSocket::bind(there))??;
        let sockets = lac.enter(|| -> Result<Vec<_>> {
            let bind = |address: &Ipv4Addr| {
                let socket = UdpSocket::bind((*address, SUBSCRIBER))
                    .with_context(|| format!("a socket of the subscriber {address}"))?;
                socket.connect(there)?;
                Ok(socket)
            };
            subscribers.iter().map(bind).collect()
        })??;
        for each in sockets.iter().chain([&socket]) {
            each.set_nonblocking(true)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (one, other) = (Arc::clone(&stop), Arc::clone(&stop));
        let to: Vec<_> = subscribers
            .iter()
            .map(|address| SocketAddr::from((*address, SUBSCRIBER)))
            .collect();
        Ok(Self {
            subscribers: Some(lac.thread(move || far_ends(interval, &sockets, &one))),
            core: Some(core.thread(move || near_end(interval, &socket, &to, &other))),
            stop,
        })
    }

    /// Ends them and says what became of each.
    pub(crate) fn end(mut self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        let subscribers = join(self.subscribers.take())?;
        let core = join(self.core.take())?;
        let flows = subscribers.iter().zip(&core).map(|(far, near)| Flow {
            up: Way {
                sent: far.sent,
                ..near.arrived
            },
            down: Way {
                sent: near.sent,
                ..far.arrived
            },
        });
        Ok(Report(flows.collect()))
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // After an error elsewhere: theirs would be a consequence of it.
        join(self.subscribers.take()).ok();
        join(self.core.take()).ok();
    }
}

fn join(thread: Option<JoinHandle<Result<Result<Vec<End>>>>>) -> Result<Vec<End>> {
    let Some(thread) = thread else {
        return Ok(Vec::new());
    };
    thread.join().map_err(|_| anyhow!("a flow panicked"))??
}

/// Sends at every interval, and in between takes what comes, until `stop` and a moment longer.
fn keep_on(
    interval: Duration,
    stop: &AtomicBool,
    mut send: impl FnMut(),
    mut receive: impl FnMut(Duration) -> Result<()>,
) -> Result<()> {
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if Instant::now() >= due {
            // Who was kept from sending does not make up for it: what is sent at once is lost in queues.
            due = Instant::now() + interval;
            send();
        }
        receive(due.saturating_duration_since(Instant::now()))?;
    }
    let end = Instant::now() + LINGER;
    while Instant::now() < end {
        receive(Duration::from_millis(20))?;
    }
    Ok(())
}

/// The subscribers' ends, a socket each.
fn far_ends(interval: Duration, sockets: &[UdpSocket], stop: &AtomicBool) -> Result<Vec<End>> {
    let ends = std::cell::RefCell::new(vec![End::default(); sockets.len()]);
    keep_on(
        interval,
        stop,
        || {
            for (number, (end, socket)) in ends.borrow_mut().iter_mut().zip(sockets).enumerate() {
                // What the kernel does not take is lost like any other.
                socket.send(&packet(number, end.sent)).ok();
                end.sent += 1;
            }
        },
        |patience| {
            wait_for(sockets, patience)?;
            for (end, socket) in ends.borrow_mut().iter_mut().zip(sockets) {
                let mut buffer = [0; 64];
                while let Ok(length) = socket.recv(&mut buffer) {
                    if let Some((_, number)) = parse(buffer.get(..length).unwrap_or_default()) {
                        end.arrived.note(number, Instant::now());
                    }
                }
            }
            Ok(())
        },
    )?;
    Ok(ends.into_inner())
}

/// The end in the core: one socket for all.
fn near_end(
    interval: Duration,
    socket: &UdpSocket,
    to: &[SocketAddr],
    stop: &AtomicBool,
) -> Result<Vec<End>> {
    let ends = std::cell::RefCell::new(vec![End::default(); to.len()]);
    keep_on(
        interval,
        stop,
        || {
            for (number, (end, to)) in ends.borrow_mut().iter_mut().zip(to).enumerate() {
                // Nothing is sent to whom the first packet has not come from: no flow is open there.
                if end.arrived.arrived > 0 {
                    socket.send_to(&packet(number, end.sent), to).ok();
                    end.sent += 1;
                }
            }
        },
        |patience| {
            wait_for(std::slice::from_ref(socket), patience)?;
            let mut buffer = [0; 64];
            while let Ok(length) = socket.recv(&mut buffer) {
                let parsed = parse(buffer.get(..length).unwrap_or_default());
                if let Some((flow, number)) = parsed
                    && let Some(end) = ends.borrow_mut().get_mut(flow)
                {
                    end.arrived.note(number, Instant::now());
                }
            }
            Ok(())
        },
    )?;
    Ok(ends.into_inner())
}

fn wait_for(sockets: &[UdpSocket], patience: Duration) -> Result<()> {
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
    let mut ready: Vec<_> = sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    poll(&mut ready, patience)?;
    Ok(())
}

fn packet(flow: usize, number: u64) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&(flow as u64).to_be_bytes());
    octets[8..].copy_from_slice(&number.to_be_bytes());
    octets
}

fn parse(octets: &[u8]) -> Option<(usize, u64)> {
    let word = |at: usize| {
        let word = octets.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_be_bytes(word))
    };
    Some((usize::try_from(word(0)?).ok()?, word(8)?))
}

/// What a subscriber does who hears nothing of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subscriber {
    /// He asks after a second whether the other end is there.
    Asks,
    /// Nothing: he acknowledges what comes, and no more. Whatever has to be known again of his flow is known
    /// from the other end.
    Silent,
}

/// What a stream carried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    /// Octets that the subscriber received, each as it should be.
    pub(crate) octets: u64,
    /// The longest time without any.
    pub(crate) gap: Duration,
}

/// TCP connections through sessions: the core sends a known stream, each subscriber checks it.
#[derive(Debug)]
pub(crate) struct Streams {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Result<Carried>>>>,
}

/// Serves streams in the core until the process ends.
pub(crate) fn serve(core: &Namespace) -> Result<()> {
    let address = SocketAddr::from((net::CORE, STREAM));
    let listener = core.enter(|| http::listen(address))??;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut position = 0_u64;
                loop {
                    let chunk = stretch(position);
                    // A subscriber that has seen enough goes away.
                    if stream.write_all(&chunk).is_err() {
                        return;
                    }
                    position += chunk.len() as u64;
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    Ok(())
}

impl Streams {
    /// Connects from each of these subscribers of a LAC.
    pub(crate) fn start(
        lac: &Namespace,
        subscribers: &[Ipv4Addr],
        who: Subscriber,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let server = SocketAddr::from((net::CORE, STREAM));
        let mut threads = Vec::new();
        for address in subscribers {
            let source = IpAddr::from(*address);
            let stream = lac.enter(|| http::connect(server, source))??;
            stream.set_read_timeout(Some(SILENCE))?;
            if who == Subscriber::Asks {
                SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
            }
            let stop = Arc::clone(&stop);
            threads.push(lac.thread(move || follow(stream, &stop)));
        }
        Ok(Self { stop, threads })
    }

    /// Hangs up and says what each carried. Fails if one was reset, stood still or carried something else.
    pub(crate) fn end(mut self) -> Result<Vec<Carried>> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a stream panicked"))??)
            .collect()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn follow(mut stream: TcpStream, stop: &AtomicBool) -> Result<Carried> {
    let mut carried = Carried::default();
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let length = stream
            .read(&mut buffer)
            .with_context(|| format!("a TCP connection after {carried:?}"))?;
        ensure!(length > 0, "a TCP connection ended: {carried:?}");
        carried.gap = carried.gap.max(asked.elapsed());
        for octet in buffer.get(..length).unwrap_or_default() {
            ensure!(
                *octet == octet_at(carried.octets),
                "a TCP connection carries something else: {carried:?}"
            );
            carried.octets += 1;
        }
    }
    Ok(carried)
}

/// The octets of the stream from a position on.
fn stretch(position: u64) -> Vec<u8> {
    (position..position + 1400).map(octet_at).collect()
}

/// What stands at a position: of no power of two as its period, so that nothing shifted looks right.
fn octet_at(position: u64) -> u8 {
    u8::try_from(position % 251).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_knows_what_is_late_and_how_long_nothing_came() {
        let begin = Instant::now();
        let mut way = Way::default();
        for (number, at) in [(0, 0), (1, 50), (5, 900), (3, 910), (6, 950)] {
            way.note(number, begin + Duration::from_millis(at));
        }
        assert_eq!((way.arrived, way.late), (4, 1));
        assert_eq!(way.gap, Duration::from_millis(850));
    }

    #[test]
    fn a_flow_that_has_died_is_found() {
        let live = Way {
            sent: 200,
            next: 199,
            arrived: 150,
            ..Way::default()
        };
        let dead = Way { next: 100, ..live };
        let report = |down| Report(vec![Flow { up: live, down }]);
        report(live).all_live().unwrap();
        assert!(report(dead).all_live().is_err());
        assert_eq!(report(live).lost(), [50, 50]);
    }

    #[test]
    fn packets_say_which_they_are() {
        assert_eq!(parse(&packet(7, 1 << 40)), Some((7, 1 << 40)));
        assert_eq!(parse(&[0; 15]), None);
    }
}
