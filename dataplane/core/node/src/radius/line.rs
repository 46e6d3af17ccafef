//! What servers are told of a call, whatever the packet is about: the line, the tunnel, the service (RFC
//! 2865, 5; RFC 2867, 4; RFC 2868, 3; RFC 2869, 5).
//!
//! The identity of the NAS is not here: it is the client's to add.

use core::net::IpAddr;

use lns_wire::radius::{AttributeList, kind};

use crate::session::Session;
use crate::tunnels::Link;

/// Octets of a value at most (RFC 2865, 5).
const MAX_VALUE: usize = 253;

/// Service-Type: the subscriber is a network of his own (RFC 2865, 5.6).
pub(super) const FRAMED: u32 = 2;

/// Framed-Protocol (RFC 2865, 5.7).
const PPP: u32 = 1;

/// NAS-Port-Type: a port that is none (RFC 2865, 5.41).
const VIRTUAL: u32 = 5;

/// Tunnel-Type, its tag zero (RFC 2868, 3.1).
const L2TP: u32 = 3;

/// Adds what is known of the call.
pub(crate) fn push(list: &mut AttributeList, session: &Session, link: &Link) {
    list.push_u32(kind::SERVICE_TYPE, FRAMED);
    list.push_u32(kind::FRAMED_PROTOCOL, PPP);
    list.push_u32(kind::NAS_PORT_TYPE, VIRTUAL);
    let about = &session.about;
    let lac = &link.profile.lac.name;
    push_text(list, kind::NAS_PORT_ID, &port_id(session, lac));
    let calling = about.calling_number.as_deref();
    push_text(list, kind::CALLING_STATION_ID, calling.unwrap_or_default());
    let called = about.called_number.as_deref();
    push_text(list, kind::CALLED_STATION_ID, called.unwrap_or_default());
    push_text(
        list,
        kind::CONNECT_INFO,
        &connect_info(about.tx_speed, about.rx_speed),
    );
    push_tunnel(list, session, link);
    push_text(list, kind::ACCT_SESSION_ID, &session.account.to_string());
}

/// NAS-Port-Id: the entry of the LAC, and the channel that it names.
pub(crate) fn port_id(session: &Session, lac: &str) -> String {
    match session.about.physical_channel {
        Some(channel) => format!("{lac}/{channel}"),
        None => lac.to_owned(),
    }
}

fn push_tunnel(list: &mut AttributeList, session: &Session, link: &Link) {
    let remote = link.remote.ip().to_canonical();
    list.push_u32(kind::TUNNEL_TYPE, L2TP);
    // IPv4 and IPv6, by the numbers of address families (RFC 2868, 3.2).
    let medium = if remote.is_ipv4() { 1 } else { 2 };
    list.push_u32(kind::TUNNEL_MEDIUM_TYPE, medium);
    let text = |address: IpAddr| address.to_canonical().to_string();
    push_text(list, kind::TUNNEL_CLIENT_ENDPOINT, &text(remote));
    push_text(list, kind::TUNNEL_SERVER_ENDPOINT, &text(link.local.ip()));
    push_tagged(list, kind::TUNNEL_CLIENT_AUTH_ID, link.machine.peer_name());
    let ours = &link.profile.ppp.name;
    push_tagged(list, kind::TUNNEL_SERVER_AUTH_ID, ours);
    let connection = format!("{}.{}", session.tunnel, session.call.local());
    push_text(list, kind::ACCT_TUNNEL_CONNECTION, &connection);
}

/// The speeds at which the line came up (RFC 2869, 5.11); nothing if the LAC has not said.
fn connect_info(tx: u32, rx: u32) -> String {
    match (tx, rx) {
        (0, _) => String::new(),
        (tx, rx) if tx == rx => tx.to_string(),
        (tx, rx) => format!("{tx}/{rx}"),
    }
}

/// Adds a text: no empty one (RFC 2865, 5), and none that is longer than an attribute.
pub(crate) fn push_text(list: &mut AttributeList, kind: u8, text: &str) {
    let end = text.floor_char_boundary(MAX_VALUE);
    push_octets(list, kind, text.get(..end).unwrap_or_default().as_bytes());
}

/// Adds octets in the same way.
pub(crate) fn push_octets(list: &mut AttributeList, kind: u8, octets: &[u8]) {
    let octets = octets.get(..MAX_VALUE).unwrap_or(octets);
    if !octets.is_empty() && list.push(kind, octets).is_err() {
        debug_assert!(false, "a value of 253 octets fits");
    }
}

/// Adds the name of a tunnel's end. What begins with an octet that could be a tag has one, of no tunnel
/// (RFC 2868, 3.3).
fn push_tagged(list: &mut AttributeList, kind: u8, name: &[u8]) {
    const LARGEST_TAG: u8 = 0x1f;
    match name.first() {
        Some(first) if *first <= LARGEST_TAG => push_octets(list, kind, &[&[0], name].concat()),
        Some(_) | None => push_octets(list, kind, name),
    }
}

/// The realm of a user: what is behind the last `@`.
pub(crate) fn realm(user: &[u8]) -> Option<Box<str>> {
    let at = user.iter().rposition(|octet| *octet == b'@')?;
    let realm = core::str::from_utf8(user.get(at.saturating_add(1)..)?).ok()?;
    (!realm.is_empty()).then(|| realm.into())
}
