//! What the node shows of itself to an engineer: plain values, serialised as the admin API has them.
//! Their comments are the descriptions in the API's document.
//!
//! Lists come in pages, so that a question about a million sessions is many short ones.

use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;

use lns_tables::path::SlotIndex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Stage;

/// The whole node at a glance.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Our Host Name AVP.
    pub host_name: String,
    /// Established tunnels.
    pub tunnels: u32,
    /// Half-open tunnels.
    pub tunnels_opening: u32,
    /// Sessions that are up.
    pub sessions: u32,
    /// Calls on their way up.
    pub sessions_opening: u32,
    /// The most sessions that fit.
    pub max_sessions: u32,
    /// The node is draining: no new tunnel, no new call.
    pub draining: bool,
    /// What the back-stop sweep found overdue since the start. Anything but 0 is a bug.
    pub overdue: u64,
}

/// One LAC entry.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lac {
    /// Its name in the manifest.
    pub name: String,
    /// From where its LACs come: prefixes. Empty for one that is removed.
    pub from: Vec<String>,
    /// The pattern of their Host Name AVPs.
    pub host_name: String,
    /// `Accept`, `Drain`, `Refuse`, or `Removed`: gone from the manifest, tunnels still live.
    pub admission: &'static str,
    /// Its tunnels, half-open ones included.
    pub tunnels: u32,
    /// Its calls in any state.
    pub sessions: u32,
    /// Calls accepted since the start.
    pub setups: u64,
    /// Calls and tunnels refused since the start, for whatever reason.
    pub refusals: u64,
    /// The same by reason.
    pub refusals_by_reason: BTreeMap<&'static str, u64>,
    /// The most tunnels; null for one that is removed.
    pub max_tunnels: Option<u32>,
    /// The most calls.
    pub max_sessions: Option<u32>,
    /// The most calls accepted in a second.
    pub max_setups_per_second: Option<u32>,
}

/// A LAC that was turned away.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedLac {
    /// Where it last came from.
    pub remote: SocketAddr,
    /// Its Host Name AVP.
    pub host_name: String,
    /// Why.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
    /// Seconds since the last time.
    pub seconds_ago: u64,
}

/// One tunnel.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// Our id.
    pub id: u16,
    /// The LAC's id.
    pub peer_id: u16,
    /// Its LAC entry.
    pub lac: String,
    /// Its Host Name AVP.
    pub host_name: String,
    /// Its Vendor Name AVP.
    pub vendor: String,
    /// Our end.
    pub local: SocketAddr,
    /// The LAC's end.
    pub remote: SocketAddr,
    /// State of the control connection, by RFC 2661, 7.2.
    pub state: &'static str,
    /// Its calls in any state.
    pub sessions: u32,
    /// Seconds since it came up, or since the SCCRQ while it is opening.
    pub seconds: u64,
}

/// One session.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// `tunnel.session`, our ids: what the commands take as ID.
    pub id: String,
    /// Its name for RADIUS servers.
    pub acct_session_id: String,
    /// Where it is.
    #[serde(skip)]
    pub slot: SlotIndex,
    /// Our tunnel id.
    pub tunnel: u16,
    /// Our session id.
    pub session: u16,
    /// The LAC's session id.
    pub peer_session: u16,
    /// Its LAC entry.
    pub lac: String,
    /// The name that it logged in with; octets that are no UTF-8 are shown as U+FFFD.
    pub user: Option<String>,
    /// What it was given.
    pub address: Option<Ipv4Addr>,
    /// The pool that the address is from.
    pub pool: Option<String>,
    /// How far it has come.
    pub stage: Stage,
    /// The Calling Number AVP.
    pub calling_number: Option<String>,
    /// The Called Number AVP.
    pub called_number: Option<String>,
    /// The Call Serial Number AVP.
    pub call_serial: u32,
    /// What it proved itself with: `CHAP`, `MSCHAPv2`, `PAP`, `EAP`, `None`.
    pub authentication: Option<&'static str>,
    /// LCP was taken over from the LAC.
    pub proxied_lcp: bool,
    /// The authentication was taken over from the LAC.
    pub proxied_authentication: bool,
    /// The largest packet that the subscriber is sent, octets: what it takes, or less by Framed-MTU.
    pub mtu: Option<u16>,
    /// The policies by which its packets are judged, in order.
    pub policies: Vec<String>,
    /// How it has come to them.
    pub bound_by: BoundBy,
    /// The Filter-Id that names no policy, for which it has the default ones.
    pub unknown_filter_id: Option<String>,
    /// How fast it may be; null: neither its policies nor a server say.
    pub rates: Option<Rates>,
    /// What a RADIUS server granted it, or changed since; null: none has.
    pub granted: Option<Granted>,
    /// The LAC's transmit speed, bit/s; 0: unknown.
    pub tx_speed: u32,
    /// The LAC's receive speed, bit/s; 0: unknown.
    pub rx_speed: u32,
    /// Seconds since it came up, or since the ICRQ while it is opening.
    pub seconds: u64,
    /// Seconds until it ends for its age.
    pub remaining_seconds: Option<u64>,
}

/// How a session has come to its policies.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
pub enum BoundBy {
    /// By a Filter-Id.
    FilterId,
    /// As one of those without.
    Default,
    /// It has none.
    None,
}

/// What a RADIUS server granted a session. Null, or an empty list: it did not say.
#[derive(Clone, Debug, Default, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Granted {
    /// The server that let it in; null: none did, but one has changed it.
    pub server: Option<String>,
    /// User-Name: who it is for accounting.
    pub user_name: Option<String>,
    /// Framed-IP-Address.
    pub framed_ip_address: Option<Ipv4Addr>,
    /// Framed-IP-Netmask.
    pub framed_ip_netmask: Option<Ipv4Addr>,
    /// Framed-Pool.
    pub framed_pool: Option<String>,
    /// Framed-MTU, octets.
    pub framed_mtu: Option<u16>,
    /// What is routed to it.
    pub routes: Vec<String>,
    /// Filter-Ids, in order.
    pub filter_ids: Vec<String>,
    /// Session-Timeout.
    pub session_timeout_seconds: Option<u64>,
    /// Idle-Timeout.
    pub idle_timeout_seconds: Option<u64>,
    /// When the Session-Timeout is over it is asked who it is again, and does not end at once.
    pub asks_again: bool,
    /// Acct-Interim-Interval.
    pub interim_seconds: Option<u64>,
    /// Port-Limit.
    pub port_limit: Option<u32>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// From the subscriber, bits of IP packets per second; 0: no limit.
    pub up_bits_per_second: Option<u64>,
    /// To the subscriber.
    pub down_bits_per_second: Option<u64>,
    /// How many Class attributes accounting repeats.
    pub classes: usize,
}

/// How fast a subscriber may be.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// From the subscriber, bits of IP packets per second; 0: no limit.
    pub up_bits_per_second: u64,
    /// To the subscriber.
    pub down_bits_per_second: u64,
    /// How much may pass at once after silence: so many milliseconds' worth.
    pub burst_milliseconds: u32,
}

impl From<lns_l2sess::policy::Rates> for Rates {
    fn from(rates: lns_l2sess::policy::Rates) -> Self {
        Self {
            up_bits_per_second: rates.up,
            down_bits_per_second: rates.down,
            burst_milliseconds: rates.burst_milliseconds,
        }
    }
}

/// How many sessions have a policy.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySessions {
    /// Its name.
    pub policy: String,
    /// Sessions that have it.
    pub sessions: u32,
    /// Those of them that have it by a Filter-Id.
    pub by_filter_id: u32,
}

/// A policy that cannot go yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyInUse {
    /// Its name.
    pub policy: String,
    /// Sessions that have it by a Filter-Id.
    pub sessions: u32,
    /// Some of those who have it: at most [`crate::limits::USERS_NAMED`].
    pub users: Vec<String>,
    /// There are others.
    pub has_others: bool,
}

/// A part of the sessions.
#[derive(Clone, Debug)]
pub struct SessionPage {
    /// What was found.
    pub sessions: Vec<Session>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<SlotIndex>,
}

/// Which sessions are wanted: all that is given must match.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// The name that it logged in with.
    pub user: Option<Box<[u8]>>,
    /// The LAC entry.
    pub lac: Option<String>,
    /// The address.
    pub address: Option<Ipv4Addr>,
    /// The Calling Number AVP.
    pub calling_number: Option<String>,
    /// Our tunnel id.
    pub tunnel: Option<u16>,
    /// The pool.
    pub pool: Option<String>,
}

/// One address pool.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Its name in the manifest.
    pub name: String,
    /// Our end of its links.
    pub local_address: Ipv4Addr,
    /// Its prefixes.
    pub prefixes: Vec<String>,
    /// How long an address rests that was given back, seconds.
    pub reuse_delay_seconds: u64,
    /// Addresses that may be given out now.
    pub free: u64,
    /// Addresses given out.
    pub used: u64,
    /// Addresses that a session has given back and that rest before somebody else gets them.
    pub resting: u64,
    /// Addresses never given out: excluded, or of a prefix that drains; and former local addresses.
    pub excluded: u64,
}
