//! A LAC with its subscribers: `lns-e2e lac`, and what scenarios drive.
//!
//! One thread does it all: a task per tunnel with a UDP socket of its own, one that starts calls at
//! the asked rate, one that reads the TUN interface. It shares codecs and digests with the LNS, and
//! none of its machines: each side of the protocol is written from the RFCs for itself.
//!
//! Left out: outgoing calls, multilink, IPv6, the LAC's own view of lines (WEN, SLI).

mod channel;
mod engine;
mod message;
mod options;
mod ppp;
mod proxy;
mod report;
mod run;
mod tun;
mod tunnel;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub(crate) use self::engine::Order;
pub(crate) use self::options::{Authentication, Course, Options};
pub(crate) use self::report::{Report, SessionView, Shared, Stage};
pub(crate) use self::run::{run, sink, source};
use crate::blast::{self, Run};
use crate::net::Namespace;

/// A LAC that runs on a thread of its own.
#[derive(Debug)]
pub(crate) struct Lac {
    shared: Arc<Shared>,
    tunnels: usize,
    with_tun: bool,
    orders: UnboundedSender<Order>,
    thread: Option<std::thread::JoinHandle<Result<Result<()>>>>,
}

impl Lac {
    /// Starts dialling from inside `namespace`.
    pub(crate) fn start(namespace: &Namespace, options: Options) -> Self {
        let users = (0..options.sessions).map(|index| options.user_of(index));
        let shared = Arc::new(Shared::new(users.collect(), options.capture));
        let (orders, inbox) = unbounded_channel();
        let tunnels = options.tunnels;
        let with_tun = options.tun.is_some();
        let task = Arc::clone(&shared);
        let thread = namespace.thread(move || engine::run_blocking(options, task, inbox));
        Self {
            shared,
            tunnels,
            with_tun,
            orders,
            thread: Some(thread),
        }
    }

    /// Starts dialling and waits until every session is up.
    pub(crate) fn up(namespace: &Namespace, options: Options) -> Result<Self> {
        let expected = options.sessions;
        let lac = Self::start(namespace, options);
        lac.settle(Duration::from_secs(90))?;
        let up = lac.count_up();
        if up < expected {
            bail!("{up} of {expected} sessions came up: {:?}", lac.failures());
        }
        Ok(lac)
    }

    /// Waits until every session is up or has failed, and every address is on the TUN interface.
    pub(crate) fn settle(&self, patience: Duration) -> Result<()> {
        self.wait(patience, "every session is up or has failed", |shared| {
            let open = shared.count(|stage| matches!(stage, Stage::Idle | Stage::Dialling));
            open == 0 && (!self.with_tun || shared.addresses_current())
        })
    }

    /// Waits until `what` holds.
    pub(crate) fn wait(
        &self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&Shared) -> bool,
    ) -> Result<()> {
        let give_up = Instant::now() + patience;
        while !holds(&self.shared) {
            let over = self
                .thread
                .as_ref()
                .is_none_or(std::thread::JoinHandle::is_finished);
            // It may have ended by bringing about what is waited for.
            if over && !holds(&self.shared) {
                bail!("the LAC ended before {what}; {:?}", self.stages());
            }
            if Instant::now() >= give_up {
                bail!(
                    "not within {} s: {what}; {:?}, tunnels ended: {:?}",
                    patience.as_secs(),
                    self.stages(),
                    self.shared.tunnel_ends()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What the tasks counted.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sessions that are up.
    pub(crate) fn count_up(&self) -> usize {
        self.shared.count(|stage| *stage == Stage::Up)
    }

    /// Why sessions failed or ended, without repetition.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut reasons: Vec<_> = self
            .shared
            .sessions()
            .into_iter()
            .filter_map(|view| match view.stage {
                Stage::Failed(reason) | Stage::Ended(reason) => Some(reason),
                Stage::Idle | Stage::Dialling | Stage::Up => None,
            })
            .collect();
        reasons.sort();
        reasons.dedup();
        reasons
    }

    /// The session of this number.
    pub(crate) fn session(&self, index: usize) -> Result<SessionView> {
        let sessions = self.shared.sessions();
        sessions.into_iter().nth(index).context("no such session")
    }

    /// The address of the session of this number.
    pub(crate) fn address(&self, index: usize) -> Result<Ipv4Addr> {
        let view = self.session(index)?;
        view.address
            .with_context(|| format!("session {index} has no address: {:?}", view.stage))
    }

    /// The addresses of all sessions that are up.
    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        self.shared
            .sessions()
            .iter()
            .filter(|view| view.stage == Stage::Up)
            .filter_map(|view| view.address)
            .collect()
    }

    /// Sends an IP packet into the session whose subscriber has the address `session`, whatever its
    /// own source address says.
    pub(crate) fn inject(&self, session: Ipv4Addr, packet: &[u8]) -> Result<()> {
        self.shared.inject(session, packet)
    }

    /// Runs of measured traffic through all sessions, `size` octets per inner packet.
    pub(crate) fn upstream(&self, to: Ipv4Addr, size: usize) -> Result<Vec<Run>> {
        self.shared
            .runs(|address| vec![blast::udp_packet(address, to, blast::PORT, size)])
    }

    /// Tells the LAC's tasks to do something.
    pub(crate) fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).context("the LAC has ended")
    }

    /// The figures so far.
    pub(crate) fn report(&self) -> Report {
        self.shared.report(self.tunnels)
    }

    /// Ends all sessions as their subscribers would; the tunnels stay.
    pub(crate) fn hang_up_all(&self) -> Result<()> {
        let mut all = 0..self.shared().sessions().len();
        all.try_for_each(|index| self.order(Order::HangUp(index)))
    }

    /// Ends all sessions and tunnels with goodbyes.
    pub(crate) fn close(mut self) -> Result<Report> {
        // It may have ended by itself, when the LNS ended all tunnels.
        self.orders.send(Order::Close).ok();
        self.join()?;
        Ok(self.report())
    }

    /// Ends without a word, as after a power failure.
    pub(crate) fn abandon(mut self) -> Result<()> {
        self.orders.send(Order::Abandon).ok();
        self.join()
    }

    /// Waits for the end by itself: the LNS ended every tunnel.
    pub(crate) fn ended(&self, patience: Duration) -> Result<()> {
        let give_up = Instant::now() + patience;
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            if Instant::now() >= give_up {
                bail!("the LNS did not end every tunnel: {:?}", self.stages());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn stages(&self) -> std::collections::BTreeMap<String, usize> {
        let mut stages = std::collections::BTreeMap::new();
        for view in self.shared.sessions() {
            *stages.entry(format!("{:?}", view.stage)).or_default() += 1;
        }
        stages
    }

    fn join(&mut self) -> Result<()> {
        match self.thread.take().map(std::thread::JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result?,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Lac {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.orders.send(Order::Abandon).ok();
            if let Err(error) = self.join() {
                eprintln!("the LAC: {error:#}");
            }
        }
    }
}
