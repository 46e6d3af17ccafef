//! One subscriber's line at a LAC: the call that it needs, and whether it wants one.

use std::sync::Arc;

use lns_crypto::{Rng, chap};
use lns_tables::time::Instant;
use lns_wire::l2tp::{Proxy, ProxyAuthenType};
use lns_wire::ppp::lcp::LcpOption;
use lns_wire::ppp::lcp::{AuthenticationProtocol, algorithm};

use super::subscriber::{Login, Method, Subscriber};

/// What a line is like.
#[derive(Clone, Debug)]
pub struct LineSettings {
    /// Who is on it.
    pub login: Arc<Login>,
    /// The Calling Number AVP.
    pub calling_number: Option<Box<[u8]>>,
    /// The Physical Channel ID AVP.
    pub channel: Option<u32>,
    /// What the LAC settles with the subscriber before the node is asked.
    pub proxied: Proxied,
    /// The LAC requires sequence numbers on data (RFC 2661, 4.4.6).
    pub sequencing: bool,
    /// A call that ends is dialled again.
    pub redials: bool,
}

/// What a LAC settles with a subscriber in the node's place (RFC 2661, 4.4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proxied {
    /// Nothing.
    No,
    /// LCP.
    Lcp,
    /// LCP and the authentication with CHAP.
    Chap,
    /// LCP and the authentication with PAP.
    Pap,
}

impl LineSettings {
    /// A plain line that dials again whenever its call ends.
    pub fn new(login: Login) -> Self {
        Self {
            login: Arc::new(login),
            calling_number: None,
            channel: None,
            proxied: Proxied::No,
            sequencing: false,
            redials: true,
        }
    }
}

/// Where a line's call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallState {
    /// There is none; one is dialled at this time if the tunnel is up by then.
    Idle(Option<Instant>),
    /// The ICRQ is sent.
    Asked(Instant),
    /// The ICCN is sent.
    Connected,
}

/// One line.
#[derive(Debug)]
pub struct Line {
    pub(crate) settings: LineSettings,
    pub(crate) subscriber: Subscriber,
    pub(crate) state: CallState,
    /// Our id of the call; 0: none.
    pub(crate) session: u16,
    /// The node's id of the call.
    pub(crate) peer: u16,
    /// The next number of data to the node, and the next expected from it.
    pub(crate) data: (u16, u16),
    /// The timer that stands for it in its LAC's queue.
    pub(crate) armed: Option<Instant>,
    /// It wants to be up.
    pub(crate) wanted: bool,
}

impl Line {
    pub(crate) fn new(settings: LineSettings, now: Instant) -> Self {
        Self {
            subscriber: Subscriber::new(Arc::clone(&settings.login)),
            settings,
            state: CallState::Idle(Some(now)),
            session: 0,
            peer: 0,
            data: (0, 0),
            armed: None,
            wanted: true,
        }
    }

    /// The subscriber on it.
    pub const fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }

    /// What it is like.
    pub const fn settings(&self) -> &LineSettings {
        &self.settings
    }

    /// Whether it wants to be up.
    pub const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The LAC's id of its call and the node's; 0: none.
    pub const fn ids(&self) -> (u16, u16) {
        (self.session, self.peer)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            CallState::Idle(at) => at,
            CallState::Asked(until) => Some(until),
            CallState::Connected => self.subscriber.poll_timeout(),
        }
    }
}

/// What the LAC tells of its talk with a subscriber.
#[derive(Debug, Default)]
pub(crate) struct Overheard {
    last_sent: Vec<u8>,
    last_received: Vec<u8>,
    challenge: Vec<u8>,
    response: Vec<u8>,
    kind: Option<ProxyAuthenType>,
    /// The subscriber's magic number.
    pub(crate) magic: u32,
    pub(crate) method: Option<Method>,
}

impl Overheard {
    /// The id of the overheard response.
    const ID: u8 = 9;

    pub(crate) fn draw(settings: &LineSettings, rng: &mut Rng) -> Self {
        let mut this = Self::default();
        let login = &settings.login;
        let method = match settings.proxied {
            Proxied::No => return this,
            Proxied::Pap => Method::Pap,
            Proxied::Lcp | Proxied::Chap => Method::Chap,
        };
        let protocol = match method {
            Method::Pap => AuthenticationProtocol::Pap,
            Method::None | Method::Chap | Method::MsChapV2 => {
                AuthenticationProtocol::Chap(algorithm::MD5)
            }
        };
        this.magic = rng.u32();
        LcpOption::Mru(login.mru).emit(&mut this.last_sent);
        LcpOption::Authentication(protocol).emit(&mut this.last_sent);
        LcpOption::Magic(rng.u32()).emit(&mut this.last_sent);
        LcpOption::Mru(login.mru).emit(&mut this.last_received);
        LcpOption::Magic(this.magic).emit(&mut this.last_received);
        this.method = Some(method);
        match settings.proxied {
            Proxied::Chap => {
                this.challenge = rng.array::<16>().to_vec();
                let response = chap::response(Self::ID, &login.password, &this.challenge);
                this.response = response.to_vec();
                this.kind = Some(ProxyAuthenType::CHAP);
            }
            Proxied::Pap => {
                this.response = login.password.expose().to_vec();
                this.kind = Some(ProxyAuthenType::PAP);
            }
            Proxied::No | Proxied::Lcp => {}
        }
        this
    }

    pub(crate) fn avps<'a>(&'a self, login: &'a Login) -> Proxy<'a> {
        let Some(kind) = self.kind else {
            return Proxy {
                last_sent_lcp: self.method.map(|_| &self.last_sent[..]),
                last_received_lcp: self.method.map(|_| &self.last_received[..]),
                ..Proxy::default()
            };
        };
        Proxy {
            initial_received_lcp: None,
            last_sent_lcp: Some(&self.last_sent),
            last_received_lcp: Some(&self.last_received),
            authen_type: Some(kind),
            authen_name: Some(&login.name),
            authen_challenge: Some(&self.challenge)
                .filter(|it| !it.is_empty())
                .map(|it| &it[..]),
            authen_id: Some(Self::ID),
            authen_response: Some(&self.response),
        }
    }
}
