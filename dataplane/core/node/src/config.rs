//! What a node must be told: the manifest after validation, with every name resolved.
//!
//! Nothing here is checked again; whoever builds a [`Config`] has validated it (in the process that
//! is the manifest reader).

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use lns_crypto::Secret;
pub use lns_l2sess::policy::Policy;
pub use lns_l2tp::HostName;
pub use lns_tables::pool::{Allocation, PoolConfig, PoolPrefix};

/// All that a node is configured with. Replaced whole by [`crate::Node::handle_config`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Our Host Name AVP (RFC 2661, 4.4.3). New tunnels.
    pub host_name: HostName,
    /// The LACs that may connect; the first match wins.
    pub lacs: Vec<Lac>,
    /// PPP of every session, where the LAC's entry does not override it. New sessions.
    pub ppp: Ppp,
    /// Who may log in, and how.
    pub subscribers: Subscribers,
    /// What may be done with subscribers' packets. At once.
    pub policies: Vec<Policy>,
    /// Where addresses come from, in order.
    pub pools: Vec<Pool>,
    /// How RADIUS servers judge logins; `None`: there are none. New logins; whom a server has let in is
    /// judged by nobody else as long as it is up.
    pub radius: Option<RadiusConfig>,
    /// What servers are told of sessions; `None`: nothing. At once; of who came up while there was nobody to
    /// tell it, nothing is told later.
    pub accounting: Option<AccountingConfig>,
    /// The number of this mastership, or start: in the Acct-Session-Id of each session, so that none is
    /// ever used again. Fixed at the start.
    pub epoch: u64,
    /// The most sessions that this node holds; fixed at the start.
    pub max_sessions: u32,
    /// How long ids and addresses rest that were given back, if that is longer than LACs and pools want: until no
    /// other node of the cluster can go by them any more, or all have heard of it
    /// ([`Node::handle_heard_by_all`](crate::Node::handle_heard_by_all)). Fixed at the start.
    pub id_rest: Duration,
    /// Threads that judge packets by the policies, each with counters of its own; fixed at the start.
    pub workers: usize,
}

/// What the node must know of the servers that judge logins. Which they are, and who we are to them, is
/// the client's affair ([`lns_radius::config`]).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RadiusConfig {
    /// When local users are looked up.
    pub local_users: LocalUsers,
    /// Whether the subscriber's repetitions are told to the client ([`lns_radius::config::Mode`]).
    pub synchronous: bool,
}

/// What the node must know of accounting (RFC 2866). Which servers are told is the client's affair.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AccountingConfig {
    /// Between two records of a session that goes on, before jitter, unless its Access-Accept says
    /// otherwise; zero: none.
    pub interim: Duration,
}

/// When local users are looked up, and when RADIUS is asked. EAP is always RADIUS's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LocalUsers {
    /// Who is a local user by name is judged as such, whatever the servers would say; they judge the
    /// others.
    #[default]
    Before,
    /// The servers judge everybody; local users are looked up where no server has answered. A server's
    /// no is final.
    After,
    /// RADIUS is not asked.
    Only,
}

/// One entry of `lacs`.
#[derive(Clone, Debug)]
pub struct Lac {
    /// Its name: the key by which live tunnels find their entry again after a reload.
    pub name: Arc<str>,
    /// Where its packets come from.
    pub from: Vec<IpNet>,
    /// Glob (`*`, `?`) on its Host Name AVP, ASCII case ignored.
    pub host_name: String,
    /// Tunnel authentication: `None` asks for none and answers none.
    pub secret: Option<TunnelSecret>,
    /// Whether AVPs of call messages go out hidden (RFC 2661, 4.3), given a secret. Hidden ones that
    /// come in are always understood. New tunnels.
    pub hide_avps: bool,
    /// Whether it is let in. At once.
    pub admission: Admission,
    /// What all tunnels of this entry may use together. At once.
    pub limits: LacLimits,
    /// Silence before a HELLO is sent. New tunnels.
    pub hello: Duration,
    /// What happens to proxied LCP. New sessions.
    pub lcp_renegotiation: LcpRenegotiation,
    /// The largest outer packet of the way to this LAC, octets. New sessions.
    pub path_mtu: u16,
    /// Overrides [`Ppp::authentication`]. New sessions.
    pub authentication: Option<Vec<Authentication>>,
}

/// The shared secret of a LAC, and the one before it while it is being rotated. New tunnels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TunnelSecret {
    /// What we prove ourselves with.
    pub current: Secret,
    /// Accepted from the LAC beside `current`.
    pub previous: Option<Secret>,
}

/// Whether a LAC is let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Yes.
    Accept,
    /// What lives stays; new calls are sent elsewhere (error code 7, RFC 2661, 4.4.2).
    Drain,
    /// New tunnels and calls are refused; what lives stays.
    Refuse,
}

/// What the tunnels of one LAC entry may use together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LacLimits {
    /// Control connections, half-open ones included.
    pub max_tunnels: u32,
    /// Calls in any state.
    pub max_sessions: u32,
    /// Incoming-Call-Requests accepted per second; the burst is one second's worth.
    pub max_setups_per_second: u32,
}

/// What happens to the LCP that the LAC has negotiated (RFC 2661, 4.4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LcpRenegotiation {
    /// It is taken over; a call whose proxied LCP does not fit is refused.
    Never,
    /// It is taken over where it fits, negotiated anew where not.
    OnMismatch,
    /// It is always negotiated anew.
    Always,
}

/// How subscribers prove who they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Authentication {
    /// CHAP with MD5 (RFC 1994).
    Chap,
    /// MS-CHAPv2 (RFC 2759).
    MsChapV2,
    /// PAP (RFC 1334).
    Pap,
    /// EAP (RFC 3748), passed through to RADIUS: without [`Config::radius`] nobody gets in by it.
    Eap,
    /// Not at all. Stands alone.
    None,
}

/// PPP parameters.
#[derive(Clone, Debug)]
pub struct Ppp {
    /// Offered in this order; one is required.
    pub authentication: Vec<Authentication>,
    /// Whether a proxied authentication is used.
    pub use_proxied_authentication: bool,
    /// What we ask for at most, octets.
    pub mru: u16,
    /// Primary and secondary DNS server (RFC 1877).
    pub dns: [Option<Ipv4Addr>; 2],
    /// How often CHAP asks again; zero: never.
    pub rechallenge: Duration,
    /// Silence before an LCP Echo-Request; zero: never.
    pub echo_interval: Duration,
    /// Unanswered Echo-Requests in a row that end the session.
    pub echo_failures: u8,
}

/// Who may log in, and how.
#[derive(Clone, Debug)]
pub struct Subscribers {
    /// Local users by name. New logins.
    pub users: BTreeMap<Box<[u8]>, User>,
    /// What makes two sessions the same subscriber's, and what then happens. New logins.
    pub duplicates: Duplicates,
    /// The policies, by name and in order, of who is given none by a Filter-Id. At once.
    pub default_policies: Vec<Arc<str>>,
    /// What becomes of a login whose Filter-Id names no policy. New logins.
    pub unknown_filter_id: UnknownFilterId,
    /// A session without an IP packet for this long ends; zero: never. New sessions.
    pub idle: Duration,
    /// A session ends at this age; zero: never. New sessions.
    pub session: Duration,
}

/// One local user.
#[derive(Clone, Debug)]
pub struct User {
    /// The password, clear, since CHAP needs it.
    pub password: Secret,
    /// Filter-Id values, in order: each the name of a policy, or one of its `filter_ids`. None: the
    /// default policies. New logins.
    pub policies: Vec<Arc<str>>,
    /// Always this address instead of one from a pool.
    pub address: Option<Ipv4Addr>,
}

/// What becomes of a login whose Filter-Id names no policy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UnknownFilterId {
    /// The session has the default policies.
    #[default]
    UseDefault,
    /// It is refused.
    Refuse,
}

/// The rule for a subscriber that is already there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Duplicates {
    /// Sessions with equal values of all of these are one subscriber's. Never empty.
    pub key: Vec<DuplicateKey>,
    /// What happens to the second.
    pub action: DuplicateAction,
}

/// One part of the key of [`Duplicates`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DuplicateKey {
    /// The name that the subscriber logged in with.
    UserName,
    /// The Calling Number AVP.
    CallingStationId,
    /// LAC entry and Physical Channel ID AVP.
    NasPortId,
}

/// What happens to the second session of one subscriber.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DuplicateAction {
    /// Both live.
    Allow,
    /// The first one ends.
    Replace,
    /// The second one is refused.
    Refuse,
}

/// One address pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// Its name: the key over a reload.
    pub name: Arc<str>,
    /// Our end of each PPP link of this pool. Never given out, whatever `addresses` says.
    pub local_address: Ipv4Addr,
    /// What it gives out.
    pub addresses: PoolConfig,
}
