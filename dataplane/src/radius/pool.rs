//! One client with its sockets: the servers of one purpose.
//!
//! All of it runs on one thread. Tasks wait for sockets and for time; what they bring is given to the
//! machine at once, and what the machine wants is done before the next task runs. So nothing is locked,
//! and packets are read and written without a copy or an allocation.

use core::cell::RefCell;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use lns_crypto::Rng;
use lns_datapath::clock;
use lns_radius::Client;
use lns_radius::config::{Config, Transport};
use lns_radius::event::{Action, Cause, ConnectionId, SendError};
use lns_radius::request::{Outcome, Request};
use lns_radius::view::View;
use lns_tables::time::Instant;
use lns_wire::radius::MAX_PACKET;
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::figures::{Figures, Rtts};
use super::journal;
use super::link::{Link, Unsent};
use super::stream::{Failed, Target};
use super::tls::Identity;

/// How soon it is looked again whether there is room for outcomes.
const AGAIN: Duration = Duration::from_millis(2);

/// The longest sleep: timers count through a suspend of the machine, the runtime's sleep does not.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What a pool is told by the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For the machine.
    pub(crate) client: Config,
    /// From where servers are asked: the NAS's address.
    pub(crate) source: Option<IpAddr>,
    /// For the servers that are reached by TLS, by their names.
    pub(crate) tls: BTreeMap<Arc<str>, Tls>,
}

impl Settings {
    /// The name of the server that is asked first.
    pub(super) fn first_server(&self) -> Option<Arc<str>> {
        let first = self.client.servers.first();
        first.map(|server| Arc::clone(&server.name))
    }
}

/// How a server is reached by TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Who we are, and whom we believe.
    pub(crate) identity: Identity,
    /// What its certificate must be for.
    pub(crate) name: ServerName<'static>,
}

/// Takes outcomes; gives one back for which there is no room now.
pub(super) type Sink = Box<dyn FnMut(Outcome) -> Result<(), Outcome>>;

/// What a pool looks like.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The machine.
    pub(crate) view: View,
    /// What was counted beside it.
    pub(crate) figures: Figures,
    /// Our ports.
    pub(crate) ports: BTreeMap<ConnectionId, u16>,
    /// What we show to servers.
    pub(crate) certificates: Vec<(Arc<str>, Identity)>,
}

/// The machine and its hands.
pub(super) struct Pool {
    pub(super) client: Client,
    /// Its sockets.
    pub(super) links: BTreeMap<ConnectionId, Link>,
    rng: Rng,
    settings: Settings,
    /// The packet that is being sent; kept so that it is allocated once.
    packet: Vec<u8>,
    sink: Sink,
    /// An outcome for which there was no room.
    held: Option<Outcome>,
    figures: Figures,
}

/// What the tasks of a pool share.
pub(super) struct Shared {
    pool: RefCell<Pool>,
    /// Told when the time to wait for may have changed.
    timer: Rc<Notify>,
}

/// One client with its sockets. A clone is the same one; with the last one all of it ends.
#[derive(Clone)]
pub(super) struct Desk(Rc<Shared>);

impl Desk {
    /// A client that has asked nobody yet, on a thread with a [`LocalSet`](tokio::task::LocalSet).
    pub(super) fn new(settings: Settings, seed: [u8; 32], rtts: &Rtts, sink: Sink) -> Self {
        let pool = Pool {
            figures: Figures::new(settings.client.purpose, rtts),
            client: Client::new(settings.client.clone(), clock::now()),
            links: BTreeMap::new(),
            rng: Rng::from_seed(seed),
            settings,
            packet: Vec::with_capacity(MAX_PACKET),
            sink,
            held: None,
        };
        let shared = Shared {
            pool: RefCell::new(pool),
            timer: Rc::new(Notify::new()),
        };
        let desk = Self(Rc::new(shared));
        spawn_local(keep_time(Rc::downgrade(&desk.0)));
        desk
    }

    /// Takes requests, or refuses them; each has one outcome.
    pub(super) fn ask(&self, requests: impl IntoIterator<Item = Request>) {
        self.with(|pool, now| {
            for request in requests {
                pool.client.handle_request(request, now);
            }
        });
    }

    /// Other servers, secrets, certificates, limits.
    pub(super) fn configure(&self, settings: Settings) {
        self.with(|pool, now| {
            pool.client.handle_config(settings.client.clone(), now);
            let moved = pool.settings.source != settings.source;
            pool.settings = settings;
            if moved {
                pool.close_all(now);
            }
        });
    }

    /// The name of the server that is asked first.
    pub(super) fn first_server(&self) -> Option<Arc<str>> {
        self.0.pool.borrow().settings.first_server()
    }

    /// All servers are gone: what is under way ends, and what comes is refused.
    pub(super) fn without_servers(&self) {
        let mut settings = self.0.pool.borrow().settings.clone();
        settings.client.servers.clear();
        settings.tls.clear();
        self.configure(settings);
    }

    /// Whether outcomes find no room.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.pool.borrow().held.is_some()
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let pool = self.0.pool.borrow();
        pool.client.is_idle() && pool.held.is_none()
    }

    /// What it looks like now.
    pub(super) fn seen(&self) -> Seen {
        let pool = self.0.pool.borrow();
        let certificates = pool.settings.tls.iter();
        Seen {
            view: pool.client.view(clock::now()),
            figures: pool.figures.clone(),
            ports: pool
                .links
                .iter()
                .map(|(connection, link)| (*connection, link.port))
                .collect(),
            certificates: certificates
                .map(|(server, tls)| (Arc::clone(server), tls.identity.clone()))
                .collect(),
        }
    }

    /// Gives something to the machine, and does what it wants then.
    pub(super) fn with<T>(&self, give: impl FnOnce(&mut Pool, Instant) -> T) -> T {
        let mut pool = self.0.pool.borrow_mut();
        let now = clock::now();
        let before = pool.client.poll_timeout();
        let given = give(&mut pool, now);
        pool.settle(now, &self.0);
        if pool.held.is_some() || pool.client.poll_timeout() != before {
            self.0.timer.notify_one();
        }
        given
    }

    /// The desk, if it has not ended.
    pub(super) fn of(shared: &Weak<Shared>) -> Option<Self> {
        shared.upgrade().map(Self)
    }

    /// The same as [`Self::with`], unless it has ended.
    pub(super) fn if_there(shared: &Weak<Shared>, give: impl FnOnce(&mut Pool, Instant)) {
        if let Some(desk) = Self::of(shared) {
            desk.with(give);
        }
    }
}

impl Drop for Pool {
    /// The tasks that wait for sockets end with them.
    fn drop(&mut self) {
        for (_, link) in core::mem::take(&mut self.links) {
            link.close();
        }
    }
}

impl Pool {
    /// A socket is at its end.
    pub(super) fn lose(&mut self, connection: ConnectionId, failed: &Failed, now: Instant) {
        let Some(link) = self.links.remove(&connection) else {
            return;
        };
        self.figures.failed(&link.server, &failed.words);
        if link.is_opening() {
            self.client
                .handle_open_failed(connection, failed.cause, now);
        } else {
            self.client.handle_closed(connection, failed.cause, now);
        }
        link.close();
    }

    /// We have another address: what was asked from the old one is asked again from the new one.
    fn close_all(&mut self, now: Instant) {
        for (connection, link) in core::mem::take(&mut self.links) {
            link.close();
            self.client.handle_closed(connection, Cause::Expired, now);
        }
    }

    /// Does all that the machine wants now.
    fn settle(&mut self, now: Instant, shared: &Rc<Shared>) {
        loop {
            let mut wanted = false;
            while let Some(action) = self.client.poll_action() {
                wanted = true;
                self.act(action, now, shared);
            }
            wanted |= self.transmit(now);
            self.hand_out();
            while let Some(event) = self.client.poll_event() {
                let purpose = self.settings.client.purpose;
                journal::write(purpose, &event, &self.figures);
            }
            if !wanted {
                return;
            }
        }
    }

    fn act(&mut self, action: Action, now: Instant, shared: &Rc<Shared>) {
        let (connection, server, address, transport) = match action {
            Action::Open {
                connection,
                server,
                address,
                transport,
            } => (connection, server, address, transport),
            Action::Close(connection) => {
                if let Some(link) = self.links.remove(&connection) {
                    link.close();
                }
                return;
            }
        };
        let desk = Rc::downgrade(shared);
        let source = self.settings.source;
        match (transport, self.settings.tls.get(&server)) {
            (Transport::Udp, _) => {
                match Link::udp(desk, connection, Arc::clone(&server), (source, address)) {
                    Ok(link) => {
                        self.links.insert(connection, link);
                        self.client.handle_open(connection, now);
                    }
                    Err(error) => {
                        self.figures.failed(&server, &error.to_string());
                        self.client
                            .handle_open_failed(connection, Cause::NotOpened, now);
                    }
                }
            }
            (Transport::Tls, Some(tls)) => {
                let target = Target {
                    source,
                    address,
                    name: tls.name.clone(),
                    identity: tls.identity.clone(),
                };
                self.links
                    .insert(connection, Link::tls(desk, connection, server, target));
            }
            // The manifest is read so that this does not happen.
            (Transport::Tls, None) => {
                self.client.handle_open_failed(connection, Cause::Tls, now);
            }
        }
    }

    /// Sends what there is to send. Whether there was anything.
    fn transmit(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(transmit) = self
            .client
            .poll_transmit(now, &mut self.rng, &mut self.packet)
        {
            any = true;
            let link = self.links.get(&transmit.connection);
            let broken = || Err(Unsent::of(SendError::Broken));
            let Err(unsent) = link.map_or_else(broken, |link| link.send(&self.packet)) else {
                continue;
            };
            if let (SendError::Broken, Some(link), Some(error)) = (unsent.blame, link, unsent.error)
            {
                self.figures.failed(&link.server, &error.to_string());
            }
            self.client.handle_send_error(transmit, unsent.blame, now);
        }
        any
    }

    /// Hands outcomes to who waits for them, as long as there is room.
    fn hand_out(&mut self) {
        while let Some(outcome) = self.held.take().or_else(|| self.next_outcome()) {
            if let Err(outcome) = (self.sink)(outcome) {
                self.held = Some(outcome);
                return;
            }
        }
    }

    fn next_outcome(&mut self) -> Option<Outcome> {
        let outcome = self.client.poll_outcome()?;
        self.figures.count(&outcome);
        Some(outcome)
    }
}

/// Wakes the machine when its time has come.
async fn keep_time(desk: Weak<Shared>) {
    loop {
        let Some(Desk(shared)) = Desk::of(&desk) else {
            return;
        };
        let timer = Rc::clone(&shared.timer);
        let patience = patience(&shared.pool.borrow(), clock::now());
        drop(shared);
        tokio::select! {
            () = timer.notified() => {}
            () = sleep(patience) => Desk::if_there(&desk, |pool, now| {
                if pool.client.poll_timeout().is_some_and(|at| at <= now) {
                    pool.client.handle_timeout(now, &mut pool.rng);
                }
            }),
        }
    }
}

fn patience(pool: &Pool, now: Instant) -> Duration {
    let until = pool.client.poll_timeout().map(|at| at.since(now));
    let again = pool.held.as_ref().map(|_| AGAIN);
    [until, again]
        .into_iter()
        .flatten()
        .fold(LONGEST_SLEEP, Duration::min)
}
