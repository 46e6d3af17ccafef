//! Dynamic authorization on its socket (RFC 5176): one task that takes requests, asks the node, and answers.
//!
//! Requests are done one after the other: the node answers in less than a millisecond, and two requests about
//! one session keep their order. What waits meanwhile waits in the socket.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use lns_datapath::clock;
use lns_radius::dynamic::{Command, Config, ErrorCause, Order, Reply, Server, Target, Verdict};
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::MAX_PACKET;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::run::control::{Asker, Control, Gone};
use crate::run::situation::unix_seconds;

/// How long nothing is read after an error of the socket, so that it does not fill the log.
const REST: Duration = Duration::from_secs(1);

/// What a kernel without IPv6 says (EAFNOSUPPORT).
const NO_IPV6: i32 = 97;

/// Where requests come in, and from whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// The address and port.
    pub(crate) address: SocketAddr,
    /// Who may ask.
    pub(crate) config: Config,
}

/// What was counted: by client, type and result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Arc<Mutex<BTreeMap<Row, u64>>>);

/// Client (`None`: a stranger), type (`None`: not known), result.
pub(crate) type Row = (Option<Arc<str>>, Option<Command>, &'static str);

impl Figures {
    fn count(&self, row: Row) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = rows.entry(row).or_default();
        *count = count.saturating_add(1);
    }

    /// Since the start.
    pub(crate) fn rows(&self) -> BTreeMap<Row, u64> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.clone()
    }
}

/// Starts, configures and ends the task.
#[derive(Debug)]
pub(crate) struct Desk {
    asker: Asker,
    figures: Figures,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    configs: watch::Sender<Config>,
    task: JoinHandle<()>,
}

impl Desk {
    /// Nobody may ask anything yet.
    pub(crate) fn new(asker: Asker) -> Self {
        Self {
            asker,
            figures: Figures::default(),
            running: None,
        }
    }

    /// What is counted.
    pub(crate) fn figures(&self) -> Figures {
        self.figures.clone()
    }

    /// Takes over what a manifest says. A socket that stays keeps the answers that it has given.
    ///
    /// # Errors
    /// The address cannot be had; what was there before stays, unless the two exclude each other: then
    /// nobody may ask anything, until it is configured again.
    pub(crate) async fn configure(&mut self, wanted: Option<Wanted>) -> Result<(), String> {
        let Some(Wanted { address, config }) = wanted else {
            self.running = None;
            return Ok(());
        };
        if let Some(running) = self.running.as_ref().filter(|it| it.address == address) {
            running.configs.send_replace(config);
            return Ok(());
        }
        if let Some(mut old) = self.running.take_if(|it| it.excludes(address)) {
            old.task.abort();
            let _aborted = (&mut old.task).await;
        }
        let socket = bind(address).await.map_err(|error| {
            format!("spec.radius.dynamicAuthorization: cannot listen at {address}: {error}")
        })?;
        let (configs, changes) = watch::channel(config);
        let asker = self.asker.clone();
        let ask = move |order: Box<Order>| {
            let asker = asker.clone();
            let done = move |control: &mut Control, now| control.node.handle_dynamic(&order, now);
            async move { asker.ask(done).await }
        };
        let task = tokio::spawn(serve(socket, changes, self.figures.clone(), ask));
        self.running = Some(Running {
            address,
            configs,
            task,
        });
        info!(%address, "requests to change or end sessions are taken");
        Ok(())
    }
}

/// At any address means IPv4 too, also where there is nothing else.
async fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    match UdpSocket::bind(address).await {
        Err(error) if error.raw_os_error() == Some(NO_IPV6) && address.ip().is_unspecified() => {
            UdpSocket::bind(any).await
        }
        bound => bound,
    }
}

impl Running {
    /// Whether no other socket can be bound there as long as this one is: one of the two is any address.
    fn excludes(&self, other: SocketAddr) -> bool {
        let any = self.address.ip().is_unspecified() || other.ip().is_unspecified();
        any && self.address.port() == other.port()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Done = Result<Vec<(TunnelId, SessionId)>, ErrorCause>;

/// Serves until there is no configuration any more, or no node.
async fn serve<F>(
    socket: UdpSocket,
    mut configs: watch::Receiver<Config>,
    figures: Figures,
    ask: impl Fn(Box<Order>) -> F,
) where
    F: Future<Output = Result<Done, Gone>>,
{
    let mut server = Server::new(configs.borrow_and_update().clone());
    // One octet more than a packet may have.
    let mut octets = vec![0; MAX_PACKET.saturating_add(1)];
    loop {
        let received = tokio::select! {
            changed = configs.changed() => {
                if changed.is_err() {
                    return;
                }
                server.handle_config(configs.borrow_and_update().clone());
                continue;
            }
            received = socket.recv_from(&mut octets) => received,
        };
        let (length, source) = match received {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "requests to change or end sessions cannot be read");
                sleep(REST).await;
                continue;
            }
        };
        let datagram = octets.get(..length).unwrap_or_default();
        let reply = match server.handle_datagram(source, datagram, unix_seconds(), clock::now()) {
            Verdict::Dropped { client, why } => {
                debug!(%source, why = why.label(), "a request to change or end a session is dropped");
                figures.count((client, None, why.label()));
                continue;
            }
            Verdict::Reply(reply) => reply,
            Verdict::Order(order, ticket) => {
                let asked = (*order).clone();
                let Ok(done) = ask(order).await else {
                    return;
                };
                note(&asked, source, &done);
                server.answer(ticket, done.map(|_| ()), clock::now())
            }
        };
        send(&socket, source, &reply).await;
        figures.count((Some(reply.client), Some(reply.command), reply.result));
    }
}

async fn send(socket: &UdpSocket, to: SocketAddr, reply: &Reply) {
    // It is kept: who gets no answer asks again, and is given it then.
    if let Err(error) = socket.send_to(&reply.octets, to).await {
        debug!(%to, %error, "an answer about a session cannot be sent");
    }
}

/// Who has changed what: one line for each request that reached the node.
fn note(order: &Order, source: SocketAddr, done: &Done) {
    let (client, target) = (&*order.client, meant(&order.target));
    let (result, sessions) = match done {
        Ok(sessions) => ("ack", ids(sessions)),
        Err(cause) => (cause.label(), String::new()),
    };
    let what = match (order.command, done.is_ok()) {
        (Command::Disconnect, true) => "sessions are ended by request",
        (Command::Disconnect, false) => "a request to end a session is refused",
        (Command::Change, true) => "a session is changed by request",
        (Command::Change, false) => "a request to change a session is refused",
    };
    let changes: Vec<_> = order
        .changes
        .iter()
        .map(|it| lns_wire::radius::kind::name(it.kind).unwrap_or("?"))
        .collect();
    let changes = changes.join(",");
    info!(client, %source, target, changes, sessions, result, "{what}");
}

fn ids(sessions: &[(TunnelId, SessionId)]) -> String {
    let ids = sessions
        .iter()
        .map(|(tunnel, session)| format!("{tunnel}.{session}"));
    ids.collect::<Vec<_>>().join(",")
}

/// What the request said of the session; its texts are escaped, for they are whatever was sent.
fn meant(target: &Target) -> String {
    let escaped = |octets: &[u8]| octets.escape_ascii().to_string();
    let octets = |value: &Option<Box<[u8]>>| value.as_deref().map(escaped);
    let session = target.session.as_deref();
    let parts = [
        ("session", session.map(|text| escaped(text.as_bytes()))),
        ("user", octets(&target.user)),
        ("address", target.address.map(|address| address.to_string())),
        ("calling", octets(&target.calling)),
        ("called", octets(&target.called)),
        ("port", octets(&target.port_id)),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
