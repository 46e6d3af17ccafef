//! What an operator decides about PPP. One value is shared by all sessions that it applies to.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_wire::ppp::Protocol;
use lns_wire::ppp::lcp::{AuthenticationProtocol, algorithm};

/// The PPP configuration of a LAC's sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// What we call ourselves in a CHAP challenge.
    pub name: Box<[u8]>,
    /// How a subscriber may say who it is, best first. Empty means the same as `[None]`.
    pub authentication: Box<[AuthMethod]>,
    /// What we ask the peer to send at most, octets. At least [`crate::limits::MIN_MRU`].
    pub mru: u16,
    /// What happens to an LCP that the LAC has negotiated.
    pub lcp_renegotiation: LcpRenegotiation,
    /// What happens to an authentication that the LAC has overheard.
    pub proxied_authentication: ProxiedAuthentication,
    /// Our end of the session when the grant does not say otherwise.
    pub local_address: Ipv4Addr,
    /// Name servers for the peer, first and second (RFC 1877). `None` is rejected.
    pub dns: [Option<Ipv4Addr>; 2],
    /// How often an open CHAP session is challenged again; `None` is never.
    pub rechallenge: Option<Duration>,
    /// When a silent peer is asked whether it is there; `None` is never.
    pub echo: Option<Echo>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: Box::from(*b"lns"),
            authentication: Box::from([AuthMethod::Chap, AuthMethod::MsChapV2, AuthMethod::Pap]),
            mru: 1492,
            lcp_renegotiation: LcpRenegotiation::OnMismatch,
            proxied_authentication: ProxiedAuthentication::Use,
            local_address: Ipv4Addr::new(192, 0, 0, 8),
            dns: [None, None],
            rechallenge: None,
            echo: Some(Echo {
                interval: Duration::from_secs(30),
                failures: 4,
            }),
        }
    }
}

impl Config {
    /// The methods in the operator's order.
    pub(crate) fn methods(&self) -> &[AuthMethod] {
        if self.authentication.is_empty() {
            &[AuthMethod::None]
        } else {
            &self.authentication
        }
    }

    /// Whether a subscriber may use `method`.
    pub(crate) fn allows(&self, method: AuthMethod) -> bool {
        self.methods().contains(&method)
    }
}

/// How a subscriber says who it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AuthMethod {
    /// CHAP with MD5 (RFC 1994).
    Chap,
    /// MS-CHAPv2 (RFC 2759).
    MsChapV2,
    /// PAP (RFC 1334).
    Pap,
    /// EAP (RFC 3748), passed through to RADIUS: nobody else can judge it.
    Eap,
    /// Not at all.
    None,
}

impl AuthMethod {
    /// The word of the manifest.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Chap => "CHAP",
            Self::MsChapV2 => "MSCHAPv2",
            Self::Pap => "PAP",
            Self::Eap => "EAP",
            Self::None => "None",
        }
    }

    /// What LCP asks for.
    pub(crate) const fn protocol(self) -> Option<AuthenticationProtocol> {
        match self {
            Self::Chap => Some(AuthenticationProtocol::Chap(algorithm::MD5)),
            Self::MsChapV2 => Some(AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2)),
            Self::Pap => Some(AuthenticationProtocol::Pap),
            Self::Eap => Some(AuthenticationProtocol::Other(Protocol::EAP)),
            Self::None => None,
        }
    }

    /// The method that LCP asked for, if it is one of ours.
    pub(crate) fn from_protocol(protocol: AuthenticationProtocol) -> Option<Self> {
        [Self::Chap, Self::MsChapV2, Self::Pap, Self::Eap]
            .into_iter()
            .find(|method| method.protocol() == Some(protocol))
    }
}

/// What happens to an LCP that the LAC has negotiated (RFC 2661, 4.4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LcpRenegotiation {
    /// It is taken over, and a call whose LCP does not fit is ended.
    Never,
    /// It is taken over if it fits.
    OnMismatch,
    /// It is never looked at.
    Always,
}

/// What happens to an authentication that the LAC has overheard (RFC 2661, 4.4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxiedAuthentication {
    /// It is judged as if the subscriber had sent it to us.
    Use,
    /// The subscriber is asked again.
    Ignore,
}

/// When a silent peer is asked whether it is there (RFC 1661, 5.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Echo {
    /// After how much silence, and how often from then on.
    pub interval: Duration,
    /// Unanswered requests that end the session.
    pub failures: u8,
}
