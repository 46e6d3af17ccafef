//! The server of dynamic authorization (RFC 5176): who may change or end a session, and whether a request is
//! his, whole, new, and one that can be asked of an LNS.
//!
//! A datagram gives a [`Verdict`]: it is dropped, answered at once, or becomes an [`Order`], which the process
//! asks the node and whose answer it gives back with the [`Ticket`]. A request that comes again while its
//! answer is kept is given that answer, and is not asked a second time (RFC 5176, 2.3; RFC 5080, 2.2.2).
//!
//! A request without Event-Timestamp is believed: what is against one that is sent again by somebody else is
//! its signature, and that what is asked twice is done once.
//!
//! Left out: Authorize Only (RFC 5176, 3.2); sessions that are named by IPv6 attributes, NAS-Port, Class or
//! Acct-Multi-Session-Id, and State (3.3), all of which are refused as not supported; requests over TLS.

mod cache;
mod order;
mod reply;

#[cfg(test)]
mod tests;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use lns_crypto::Secret;
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, Code, Packet, kind};

use self::cache::{Cache, Key, Seen};
pub use self::order::{Command, Order, Target};
pub use self::reply::ErrorCause;
use self::reply::emit;
use crate::config::{Require, Secrets};
use crate::verify::{self, Rejected};

/// How far the date of a request may be from ours (RFC 5176, 3.3).
const WINDOW: u64 = 300;

/// How long an answer is kept for requests that come again (RFC 5080, 2.2.2).
const CLEANUP: Duration = Duration::from_secs(5);

/// When a request that the node has not answered may be asked again. It answers in milliseconds.
const ABANDONED: Duration = Duration::from_secs(30);

/// Answers that are kept, 20 to 4,116 octets each: 800 requests per second. One more is not answered, and
/// its sender tries again.
const CACHE: usize = 4_096;

/// Requests of one client per second that are believed; more are dropped. A list of those who have not paid
/// goes through in a few seconds, and the node has time for its subscribers. What is not signed does not
/// count: whoever can send from a client's address would else keep the client from being heard.
const RATE: u32 = 500;

/// All that the server of dynamic authorization is configured with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Who may ask; the first that matches the source address decides.
    pub clients: Vec<Client>,
    /// NAS-Identifier and NAS-IP-Address or NAS-IPv6-Address: a request that has one must have ours.
    pub identity: AttributeList,
}

/// One who may ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// Its name: the key over a reload, and a metric label.
    pub name: Arc<str>,
    /// Where its requests come from.
    pub from: Vec<IpNet>,
    /// What it shares with us.
    pub secrets: Secrets,
    /// Whether its requests must carry a Message-Authenticator.
    pub message_authenticator: Require,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    cache: Cache,
    /// Clients that have sent a Message-Authenticator: for [`Require::Auto`].
    signing: BTreeSet<Arc<str>>,
    /// The second that each client is in, and what has come of it in that and was believed.
    paces: BTreeMap<Arc<str>, (Instant, u32)>,
}

/// What becomes of a datagram.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing, and nobody is told.
    Dropped {
        /// From whom it seems to be; `None`: from a stranger.
        client: Option<Arc<str>>,
        /// Why.
        why: Dropped,
    },
    /// It is answered.
    Reply(Reply),
    /// The node is to be asked.
    Order(Box<Order>, Ticket),
}

/// An answer that is to be sent to where the request came from.
#[derive(Debug)]
pub struct Reply {
    /// Who asked.
    pub client: Arc<str>,
    /// What for.
    pub command: Command,
    /// The packet.
    pub octets: Arc<[u8]>,
    /// How it went: a metric label.
    pub result: &'static str,
}

/// What it takes to answer a request. Given back once.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    client: Arc<str>,
    command: Command,
    secret: Secret,
    proxy_states: AttributeList,
}

/// What the node says of an order: what has been done is done whole.
pub type Answer = Result<(), ErrorCause>;

/// Why a datagram has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dropped {
    /// No client has this address.
    Stranger,
    /// It is not believed.
    Rejected(Rejected),
    /// Its client has sent more than may be in a second.
    TooFast,
    /// Its date is further from ours than 300 seconds.
    Stale,
    /// It has come before, and the node has not answered yet.
    UnderWay,
    /// As many answers are kept as may be.
    Full,
}

impl Dropped {
    /// A metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Rejected(rejected) => rejected.label(),
            Self::TooFast => "too_fast",
            Self::Stale => "stale",
            Self::UnderWay => "under_way",
            Self::Full => "full",
        }
    }
}

impl Server {
    /// A server that nobody has asked yet.
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            cache: Cache::new(),
            signing: BTreeSet::new(),
            paces: BTreeMap::new(),
        }
    }

    /// Other clients, secrets, identity. Answers that are kept stay.
    pub fn handle_config(&mut self, config: Config) {
        let stays = |name: &Arc<str>| config.clients.iter().any(|client| client.name == *name);
        self.signing.retain(stays);
        self.paces.retain(|name, _| stays(name));
        self.config = config;
    }

    /// A datagram from `source`; `date` is in seconds since 1970.
    pub fn handle_datagram(
        &mut self,
        source: SocketAddr,
        datagram: &[u8],
        date: u64,
        now: Instant,
    ) -> Verdict {
        let Some(client) = self.config.find(source.ip()) else {
            return dropped(None, Dropped::Stranger);
        };
        let name = Arc::clone(&client.name);
        let must = match client.message_authenticator {
            Require::Always => true,
            Require::Auto => self.signing.contains(&name),
            Require::Never => false,
        };
        let (packet, secret) = match client.believe(must, datagram, date) {
            Ok(believed) => believed,
            Err(why) => return dropped(Some(name), why),
        };
        let (began, used) = self.paces.entry(Arc::clone(&name)).or_insert((now, 0));
        if now.since(*began) >= Duration::from_secs(1) {
            (*began, *used) = (now, 0);
        }
        *used = used.saturating_add(1);
        if *used > RATE {
            return dropped(Some(name), Dropped::TooFast);
        }
        if packet.first(kind::MESSAGE_AUTHENTICATOR).is_some() {
            self.signing.insert(Arc::clone(&name));
        }
        let command = Command::of(packet.code);
        let key = Key::new(source, &packet);
        match self.cache.see(&key, now) {
            Seen::Answered(octets) => {
                return Verdict::Reply(Reply {
                    client: name,
                    command,
                    octets,
                    result: "repeated",
                });
            }
            Seen::UnderWay => return dropped(Some(name), Dropped::UnderWay),
            Seen::Full => return dropped(Some(name), Dropped::Full),
            Seen::New => {}
        }
        let ticket = Ticket {
            key,
            client: Arc::clone(&name),
            command,
            secret,
            proxy_states: proxy_states(&packet),
        };
        match Order::read(name, command, &packet, &self.config.identity) {
            Ok(order) => Verdict::Order(Box::new(order), ticket),
            Err(cause) => Verdict::Reply(self.answer(ticket, Err(cause), now)),
        }
    }

    /// The node's answer to an order. It is kept for requests that come again.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer, now: Instant) -> Reply {
        let Ticket {
            key,
            client,
            command,
            secret,
            proxy_states,
        } = ticket;
        let octets: Arc<[u8]> = emit(command, &key, answer, &proxy_states, &secret).into();
        self.cache.answer(key, Arc::clone(&octets), now);
        Reply {
            client,
            command,
            octets,
            result: answer.err().map_or("ack", ErrorCause::label),
        }
    }

    /// Answers that are kept, and requests that wait for one.
    pub fn kept(&self) -> usize {
        self.cache.len()
    }
}

impl Config {
    fn find(&self, source: IpAddr) -> Option<&Client> {
        let source = source.to_canonical();
        let has = |client: &&Client| client.from.iter().any(|net| net.contains(&source));
        self.clients.iter().find(has)
    }
}

impl Client {
    /// The packet, and the secret that it is signed with.
    fn believe<'a>(
        &self,
        must: bool,
        datagram: &'a [u8],
        date: u64,
    ) -> Result<(Packet<'a>, Secret), Dropped> {
        let request = verify::request(datagram, &self.secrets, must).map_err(Dropped::Rejected)?;
        // One without a date may be old: the secret and what is kept are all that is there against it.
        let mut dates = request
            .attributes()
            .filter(|attribute| attribute.kind == kind::EVENT_TIMESTAMP);
        let is_near = |said: u32| u64::from(said).abs_diff(date) <= WINDOW;
        if !dates.all(|said| said.u32().is_ok_and(is_near)) {
            return Err(Dropped::Stale);
        }
        let secret = self.secrets.of(request.key()).clone();
        Ok((*request, secret))
    }
}

/// What proxies on the way want to have back (RFC 2865, 5.33).
fn proxy_states(packet: &Packet<'_>) -> AttributeList {
    let mut list = AttributeList::new();
    for state in packet
        .attributes()
        .filter(|attribute| attribute.kind == kind::PROXY_STATE)
    {
        // It fitted into an attribute before.
        let _: Result<(), _> = list.push(state.kind, state.value);
    }
    list
}

const fn dropped(client: Option<Arc<str>>, why: Dropped) -> Verdict {
    Verdict::Dropped { client, why }
}

impl Command {
    /// Of a code that [`verify::request`] has let through.
    const fn of(code: Code) -> Self {
        match code {
            Code::DISCONNECT_REQUEST => Self::Disconnect,
            _ => Self::Change,
        }
    }

    /// A metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Change => "coa",
        }
    }
}
