//! The LAC's tasks: sockets, timers, the pace of dialling, the TUN interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lns_crypto::Rng;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::options::Options;
use super::report::{Shared, Stage};
use super::tun::{self, Tun};
use super::tunnel::{Effect, Tunnel};

/// Datagrams that one tunnel handles before the next one has its turn.
const BATCH: usize = 128;
/// A tunnel with nothing due looks around this often.
const IDLE: Duration = Duration::from_secs(3600);

/// What a LAC can be told while it runs.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Start the call of this session.
    Dial(usize),
    /// End this session as its subscriber would.
    HangUp(usize),
    /// In every tunnel send HELLOs, as fast as the LNS's window allows, until the next message has this number.
    Hello(u16),
    /// Send these octets to the LNS from the first tunnel's socket.
    Raw(Vec<u8>),
    /// End everything with goodbyes.
    Close,
    /// End without a word.
    Abandon,
}

/// Runs the LAC on this thread until it is told to end or every tunnel has.
pub(crate) fn run_blocking(
    options: Options,
    shared: Arc<Shared>,
    orders: UnboundedReceiver<Order>,
) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(Arc::new(options), shared, orders))
}

/// Runs the LAC until it is told to end or every tunnel has.
pub(crate) async fn run(
    options: Arc<Options>,
    shared: Arc<Shared>,
    mut orders: UnboundedReceiver<Order>,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let hosts = match &options.tun {
        Some(name) => Some(tun::start(name, &options, &shared, &mut tasks)?),
        None => None,
    };
    let permits = Arc::new(Semaphore::new(options.in_flight.max(1)));
    let mut tunnels = Vec::new();
    let mut serving = JoinSet::new();
    for index in 0..options.tunnels.max(1) {
        let socket = Arc::new(bind(&options, index)?);
        let rng = Rng::from_seed(seed()?);
        let (sender, inbox) = unbounded_channel();
        let tunnel = Tunnel::connect(&options, &shared, &socket, index, rng);
        let line = Line {
            socket,
            hosts: hosts.clone(),
            permits: Arc::clone(&permits),
        };
        serving.spawn(line.serve(tunnel, inbox));
        tunnels.push(sender);
    }
    tasks.spawn(dial(
        Arc::clone(&options),
        Arc::clone(&shared),
        permits,
        tunnels.clone(),
    ));
    loop {
        tokio::select! {
            ended = serving.join_next() => match ended {
                Some(result) => result.context("a tunnel's task")??,
                None => return Ok(()),
            },
            Some(result) = tasks.join_next() => result.context("a task of the LAC")??,
            order = orders.recv() => match order {
                Some(Order::Abandon) | None => return Ok(()),
                Some(order) => pass_on(order, &tunnels),
            },
        }
    }
}

/// Gives an order to the tunnels that it concerns. One that has ended needs none.
fn pass_on(order: Order, tunnels: &[UnboundedSender<Order>]) {
    match order {
        Order::HangUp(index) => {
            if let Some(tunnel) = tunnels.get(index % tunnels.len().max(1)) {
                tunnel.send(order).ok();
            }
        }
        Order::Raw(_) => {
            if let Some(tunnel) = tunnels.first() {
                tunnel.send(order).ok();
            }
        }
        Order::Dial(_) | Order::Hello(_) | Order::Close | Order::Abandon => {
            for tunnel in tunnels {
                tunnel.send(order.clone()).ok();
            }
        }
    }
}

/// Starts the calls, each when there is room and its time has come.
async fn dial(
    options: Arc<Options>,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    tunnels: Vec<UnboundedSender<Order>>,
) -> Result<()> {
    let started = tokio::time::Instant::now();
    for index in 0..options.sessions {
        if options.rate > 0 {
            let due = Duration::from_secs_f64(index as f64 / f64::from(options.rate));
            tokio::time::sleep_until(started + due).await;
        }
        permits.acquire().await?.forget();
        let tunnel = tunnels.get(index % tunnels.len().max(1));
        if tunnel.is_none_or(|tunnel| tunnel.send(Order::Dial(index)).is_err()) {
            shared.update(index, |view| {
                view.stage = Stage::Failed("the tunnel is gone".into());
            });
            permits.add_permits(1);
        }
    }
    Ok(())
}

/// What a tunnel's task has to do with the world.
struct Line {
    socket: Arc<UdpSocket>,
    hosts: Option<Tun>,
    permits: Arc<Semaphore>,
}

impl Line {
    async fn serve(self, mut tunnel: Tunnel, mut inbox: UnboundedReceiver<Order>) -> Result<()> {
        let mut buffer = vec![0; 65_536];
        // Until the runtime has seen the socket writable once, every attempt "would block".
        self.socket.writable().await?;
        loop {
            let now = Instant::now();
            let effects = tunnel.poll(now);
            self.carry_out(effects);
            if tunnel.is_closed() {
                inbox.close();
                while let Ok(order) = inbox.try_recv() {
                    if let Order::Dial(index) = order {
                        tunnel.dial(index, now);
                    }
                }
                self.carry_out(tunnel.poll(now));
                return Ok(());
            }
            let wait = tunnel
                .deadline(now)
                .map_or(IDLE, |due| due.saturating_duration_since(now));
            tokio::select! {
                ready = self.socket.readable() => {
                    ready?;
                    self.receive(&mut tunnel, &mut buffer);
                    // Others have their turn even while this one's queue is never empty.
                    tokio::task::yield_now().await;
                }
                order = inbox.recv() => match order {
                    Some(Order::Dial(index)) => tunnel.dial(index, Instant::now()),
                    Some(Order::HangUp(index)) => tunnel.hang_up(index),
                    Some(Order::Hello(until)) => tunnel.say_hello(until),
                    Some(Order::Raw(octets)) => self.send(&octets),
                    Some(Order::Close) => tunnel.close(Instant::now()),
                    Some(Order::Abandon) | None => return Ok(()),
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn receive(&self, tunnel: &mut Tunnel, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            // An ICMP error that came for this socket is no end: the tunnel's timers decide.
            match self.socket.try_recv(buffer) {
                Ok(len) => tunnel.handle(buffer.get(..len).unwrap_or_default(), Instant::now()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match (effect, &self.hosts) {
                (Effect::Send(octets), _) => self.send(&octets),
                (Effect::Deliver(packet), Some(hosts)) => hosts.deliver(&packet),
                (Effect::AddressUp(address), Some(hosts)) => hosts.add(address),
                (Effect::AddressDown(address), Some(hosts)) => hosts.remove(address),
                (Effect::Settled, _) => self.permits.add_permits(1),
                (Effect::Deliver(_) | Effect::AddressUp(_) | Effect::AddressDown(_), None) => {}
            }
        }
    }

    /// Sends; what the kernel does not take is lost as on a wire, and sent again by its timer.
    fn send(&self, octets: &[u8]) {
        self.socket.try_send(octets).ok();
    }
}

fn bind(options: &Options, index: usize) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(8 << 20)?;
    socket.set_send_buffer_size(8 << 20)?;
    let port = match options.from_port {
        0 => 0,
        first => first.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)),
    };
    let from = SocketAddr::from((options.from, port));
    socket
        .bind(&from.into())
        .with_context(|| format!("binding {from}"))?;
    socket
        .connect(&options.lns.into())
        .with_context(|| format!("no way to {} from {}", options.lns, options.from))?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket.into())?)
}

fn seed() -> Result<[u8; 32]> {
    use std::io::Read as _;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
