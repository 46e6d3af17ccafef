//! PPP with the subscribers: authentication, MRU, echo.

use core::net::Ipv4Addr;

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format;

/// How PPP is spoken with subscribers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ppp {
    /// The authentication protocols, offered in this order; one of them is required of every
    /// subscriber. [None] lets everyone in. A change takes effect for new sessions.
    #[serde(default = "authentication")]
    #[schemars(
        length(min = 1, max = crate::limits::AUTHENTICATIONS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    #[x_kube(validation = none_stands_alone(), validation = each_protocol_once())]
    pub authentication: Vec<Authentication>,

    /// Use: what the subscriber answered to the LAC is checked, and he is not asked again. Ignore: he
    /// is always asked again. A change takes effect for new sessions.
    #[serde(default)]
    pub proxied_authentication: ProxiedAuthentication,

    /// Octets of the largest packet that we ask subscribers to send. Below 128 an IPv4 header with
    /// options leaves no room for data; 1500 is what every PPP peer can take (RFC 1661, section 6.1).
    /// A change takes effect for new sessions.
    #[serde(default = "mru")]
    #[schemars(range(min = 128, max = 1500))]
    pub mru: u16,

    /// The DNS servers told to subscribers who ask (RFC 1877): primary, then secondary. A change
    /// takes effect for new sessions.
    #[serde(default)]
    #[schemars(
        with = "Vec<format::Ipv4Address>",
        length(max = crate::limits::DNS_SERVERS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub dns: Vec<Ipv4Addr>,

    /// Seconds between two CHAP challenges of a live session; 0 means only the one at login. A change
    /// takes effect for new sessions.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub rechallenge_seconds: u32,

    /// How a subscriber who went away is noticed. A change takes effect for new sessions.
    #[serde(default)]
    pub echo: Echo,
}

impl Default for Ppp {
    fn default() -> Self {
        Self {
            authentication: authentication(),
            proxied_authentication: ProxiedAuthentication::default(),
            mru: mru(),
            dns: Vec::new(),
            rechallenge_seconds: 0,
            echo: Echo::default(),
        }
    }
}

/// The ways in which a subscriber authenticates.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    #[doc = "CHAP with MD5 (RFC 1994)."]
    CHAP,
    #[doc = "MS-CHAPv2 (RFC 2759)."]
    MSCHAPv2,
    #[doc = "PAP (RFC 1334): the password in the clear."]
    PAP,
    #[doc = "EAP (RFC 3748): by whatever method subscriber and RADIUS server agree on."]
    EAP,
    #[doc = "None at all."]
    None,
}

/// What happens to the authentication that the LAC has begun (RFC 2661, section 4.4.5).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxiedAuthentication {
    #[doc = "The answer that the LAC collected is checked."]
    #[default]
    Use,
    #[doc = "The subscriber is asked again."]
    Ignore,
}

/// LCP Echo-Requests (RFC 1661, section 5.8).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Echo {
    /// Seconds without anything received from the subscriber after which he is asked. A change takes
    /// effect for new sessions.
    #[serde(default = "echo_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: u16,

    /// Requests without an answer after which the session ends. A change takes effect for new
    /// sessions.
    #[serde(default = "echo_failures")]
    #[schemars(range(min = 1, max = 100))]
    pub failures: u8,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            interval_seconds: echo_interval_seconds(),
            failures: echo_failures(),
        }
    }
}

/// The rule that `None` cannot be mixed with protocols: it would be the weakest that a peer may pick.
pub(super) fn none_stands_alone() -> Rule {
    Rule::new("size(self) <= 1 || !('None' in self)")
        .message("None stands beside other protocols; a subscriber could always choose it: leave None out, or list nothing else")
}

/// The rule that an authentication protocol is offered once.
pub(super) fn each_protocol_once() -> Rule {
    Rule::new("self.all(a, self.exists_one(b, a == b))")
        .message("a protocol is listed twice; each is offered once, in the order given")
}

fn authentication() -> Vec<Authentication> {
    vec![
        Authentication::CHAP,
        Authentication::MSCHAPv2,
        Authentication::PAP,
    ]
}

fn mru() -> u16 {
    1492
}

fn echo_interval_seconds() -> u16 {
    30
}

fn echo_failures() -> u8 {
    4
}
