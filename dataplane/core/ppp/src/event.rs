//! What a session says to its owner, and what the owner answers.

use core::net::Ipv4Addr;

use crate::config::AuthMethod;
use crate::request::{Acceptance, AuthRequest};

/// What a session says, in the order in which it happened.
#[derive(Debug, Eq, PartialEq)]
pub enum Event {
    /// LCP is open. After a renegotiation it comes again.
    LcpOpened(LcpParameters),
    /// Somebody must judge this and call [`crate::Session::handle_verdict`]. Also without
    /// authentication: then the name is empty and the credentials are
    /// [`crate::Credentials::None`].
    Authenticate(AuthRequest),
    /// The peer has said once more what is being judged.
    Repeated,
    /// Nobody waits for the verdict any more: LCP has begun anew, or the session ends.
    Withdrawn,
    /// Somebody must find an address and call [`crate::Session::handle_address`]. It comes once when
    /// authentication is done, with `None`; after [`GrantedAddress::PeerChooses`] it comes again with
    /// what the peer chose, or with `None` when the peer wants us to choose after all. After a
    /// renegotiation it starts over: answer with the address that the session has.
    AddressWanted {
        /// What the peer asked for; always a unicast address.
        requested: Option<Ipv4Addr>,
    },
    /// IP may pass.
    Opened(Parameters),
    /// IP may no longer pass. Another [`Event::Opened`] or the end follows.
    NetworkDown,
    /// Call [`crate::Session::handle_echo`] with the time of the last data packet.
    EchoDue,
    /// The session has begun to end: one of the two has sent a Terminate-Request. [`Event::Closed`] comes
    /// six seconds later at most; the call is not to be cleared sooner (RFC 1661, 3.7).
    Closing(CloseReason),
    /// The session is over. The last event of each session, unless its owner drops it first.
    Closed(CloseReason),
}

/// What LCP has agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LcpParameters {
    /// How the peer will say who it is.
    pub authentication: AuthMethod,
    /// The longest information field that the peer takes, octets.
    pub peer_mru: u16,
    /// The longest that the peer was asked to send, octets.
    pub local_mru: u16,
    /// The LAC had negotiated it, and we took it over.
    pub proxied: bool,
}

/// What the datapath needs of an open session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameters {
    /// The peer's address. `None` when the peer did not let us give it one.
    pub address: Option<Ipv4Addr>,
    /// Our end.
    pub local: Ipv4Addr,
    /// The name servers that the peer was told or may have asked for.
    pub dns: [Option<Ipv4Addr>; 2],
    /// The longest information field that the peer takes, octets.
    pub mru: u16,
    /// The peer takes frames without FF03.
    pub acfc: bool,
    /// The peer takes protocol fields of one octet.
    pub pfc: bool,
}

/// What became of an [`AuthRequest`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The subscriber is who it says.
    Accept {
        /// What a method needs to prove that we knew the password too.
        acceptance: Acceptance,
        /// A text for the subscriber; cut at 255 octets. May be empty.
        message: Box<[u8]>,
    },
    /// It is not, or may not come in.
    Reject {
        /// A text for the subscriber; cut at 255 octets. May be empty.
        message: Box<[u8]>,
        /// What an MS-CHAPv2 peer is told as the error; `None`: 691, authentication failure (RFC 2759, 6).
        ms_chap_error: Option<u16>,
    },
    /// It must answer this first: the next Request of an EAP conversation. To a peer of another method it
    /// is a no.
    Continue {
        /// The Request's Identifier.
        id: u8,
        /// What follows the Request's Length.
        data: Box<[u8]>,
    },
    /// Nobody could tell. Who was let in before stays, and is asked again when the time comes for it;
    /// to anybody else it is a no.
    Undecided,
}

/// An address for the subscriber.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddressGrant {
    /// Which one.
    pub address: GrantedAddress,
    /// Our end; `None` takes it from the configuration.
    pub local: Option<Ipv4Addr>,
    /// Name servers; `None` takes them from the configuration.
    pub dns: Option<[Option<Ipv4Addr>; 2]>,
}

/// Which address a subscriber gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantedAddress {
    /// This one.
    Fixed(Ipv4Addr),
    /// The unicast address that it asks for, each subject to another [`Event::AddressWanted`].
    PeerChooses,
}

impl GrantedAddress {
    /// The meaning of a Framed-IP-Address (RFC 2865, 5.8): 255.255.255.255 lets the peer choose,
    /// 255.255.255.254 is `None` and lets the LNS choose, anything else is the address.
    pub fn from_framed_ip_address(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [255, 255, 255, 254] => None,
            [255, 255, 255, 255] => Some(Self::PeerChooses),
            _ => Some(Self::Fixed(address)),
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// The owner called [`crate::Session::close`].
    Requested,
    /// The peer sent an LCP Terminate-Request.
    PeerTerminated,
    /// The peer's LCP did not answer, or did not agree in time.
    LcpTimeout,
    /// The peer rejected a code, or LCP as such, without which there is no PPP.
    LcpRejected,
    /// Our own packets came back.
    LoopedBack,
    /// The proxied LCP does not fit and may not be renegotiated.
    ProxyMismatch,
    /// The peer would not use any method that it may.
    AuthenticationRefused,
    /// The peer did not say who it is in time, or nobody judged it in time.
    AuthenticationTimeout,
    /// The verdict was no.
    AuthenticationFailed,
    /// No address was to be had.
    NoAddress,
    /// The peer insisted on another address than its own.
    AddressRefused,
    /// IPCP did not open in time.
    NetworkTimeout,
    /// The peer closed or rejected IPCP, and nothing else is open.
    NetworkClosed,
    /// The peer was silent and answered no echo.
    LostCarrier,
}

impl CloseReason {
    /// A metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::PeerTerminated => "peer_terminated",
            Self::LcpTimeout => "lcp_timeout",
            Self::LcpRejected => "lcp_rejected",
            Self::LoopedBack => "looped_back",
            Self::ProxyMismatch => "proxy_mismatch",
            Self::AuthenticationRefused => "authentication_refused",
            Self::AuthenticationTimeout => "authentication_timeout",
            Self::AuthenticationFailed => "authentication_failed",
            Self::NoAddress => "no_address",
            Self::AddressRefused => "address_refused",
            Self::NetworkTimeout => "network_timeout",
            Self::NetworkClosed => "network_closed",
            Self::LostCarrier => "lost_carrier",
        }
    }
}
