//! PPP of one subscriber: the RFC 1661 automaton once, LCP and IPCP on it, and between them PAP,
//! CHAP-MD5 and MS-CHAPv2 as the authenticator, and EAP passed through to RADIUS.
//!
//! [`Session`] is the whole of it. It owns no socket and reads no clock: frames, time and randomness
//! come in as arguments of its `handle_*` calls, frames and [`Event`]s go into an [`Output`] that the
//! caller reuses for all its sessions, and [`Session::poll_timeout`] says when to call again.
//!
//! Left out: being authenticated by the peer, multilink, IPv6CP, compression and encryption.
//! What a peer asks of these is rejected as RFC 1661 says.
#![forbid(unsafe_code)]

mod auth;
pub mod automaton;
mod config;
mod error;
mod event;
mod ipcp;
mod layer;
mod lcp;
pub mod limits;
mod link;
mod output;
mod proxy;
mod request;
mod session;

pub use config::{AuthMethod, Config, Echo, LcpRenegotiation, ProxiedAuthentication};
pub use error::{Discard, Error};
pub use event::{
    AddressGrant, CloseReason, Event, GrantedAddress, LcpParameters, Parameters, Verdict,
};
pub use output::{Frames, Output};
pub use proxy::{Proxy, ProxyAuth, ProxyAuthKind, ProxyLcp};
pub use request::{Acceptance, AuthRequest, Credentials};
pub use session::{Phase, Session, SessionImage};
