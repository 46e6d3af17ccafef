//! The node's limits, each with its reason.

use core::time::Duration;

/// Tunnel ids that can be held at once: all but 0 (RFC 2661, 3.1).
pub const MAX_TUNNELS: u32 = 65_535;

/// Sessions that one node holds at most: what the tables are sized and measured for.
pub const MAX_SESSIONS: u32 = 1_000_000;

/// Control connections that may be half open at once. Half the id space, so that a flood of SCCRQs
/// cannot take the ids that established LACs need to come back.
pub const MAX_HALF_OPEN_TUNNELS: u32 = 32_768;

/// A call that has not come up by then is ended: longer than any peer's own patience with one stage
/// (a LAC gives up a tunnel message after 31 s, a PPP client its negotiation after 30 s).
pub const BRING_UP: Duration = Duration::from_secs(60);

/// How long an id rests before it is given out again: the LAC's full retransmission cycle (RFC 2661,
/// 5.7), so that a late packet of the old session never meets a new one.
pub const ID_QUARANTINE: Duration = Duration::from_secs(31);

/// Refused LACs that are remembered. Beyond it the one that was seen longest ago is forgotten: the
/// list is for reading, not for deciding.
pub const REFUSED_LACS: usize = 256;

/// Sessions torn down per round of polling: about half a millisecond of work, after which others
/// are served.
pub const TEARDOWN_BATCH: usize = 256;

/// PPP frames that wait for [`crate::Node::poll_transmit`]. The caller drains after each batch of
/// inputs, and one input gives at most a few frames; beyond it frames are dropped, as a full link
/// would, and the peer's timers repeat them.
pub const TRANSMIT_QUEUE: usize = 8_192;

/// What waits for [`crate::Node::poll_forward`] at a node on standby. The caller drains after each batch of
/// inputs; beyond it what is newest is dropped, as a full link would, and the peer's timers repeat it.
pub const FORWARD_QUEUE: usize = 4_096;

/// A node on standby looks at a part of its sessions so often, for what it reports to the active one.
pub const REPORT_TICK: Duration = Duration::from_millis(200);

/// In so many parts: 20,000 of a million sessions, some milliseconds of work.
pub const REPORT_PARTS: u32 = 50;

/// After so long each session that has moved was looked at: shorter than the usual echo interval, so that
/// the active node asks no subscriber who is heard elsewhere.
pub const REPORT_ROUND: Duration = Duration::from_secs(10);

/// Last reports of sessions that are gone, which wait to be polled; more than end in one round of polling.
/// Those beyond it are as they were reported before.
pub const LAST_REPORTS: usize = 8_192;

/// Nodes whose reports are believed: more than a cluster has, with all that have been in it.
pub const REPORTERS: usize = 1_024;

/// Earlier lives of a node that are told from its present one: a report that has waited for long is of the
/// one before, or of the one before that.
pub const LIVES: usize = 8;

/// Events that wait for [`crate::Node::poll_event`]; beyond it they are counted and dropped.
pub const EVENT_QUEUE: usize = 65_536;

/// Repeated replacements of one duplicate key: after this many within [`REPLACE_WINDOW`] the newest
/// is refused, so that two lines with one login do not end each other for ever.
pub const REPLACEMENTS: u8 = 3;

/// See [`REPLACEMENTS`].
pub const REPLACE_WINDOW: Duration = Duration::from_secs(60);

/// Octets of a calling or called number that are kept: E.164 has 15 digits, line ids of wholesalers
/// have been seen up to 100.
pub const NUMBER: usize = 128;

/// Buffers kept for use again: what one round of polling sends at most in one batch, a few times.
pub const SPARE_BUFFERS: usize = 256;

/// LACs that are remembered to have the previous secret still: more than any wholesaler has, and one
/// more is asked with the current secret first, as before.
pub const SECRET_CHOICES: usize = 4_096;

/// Combinations of policies that sessions have by Filter-Id: all that there may be but two, which are
/// for the default policies before and after a reload.
pub const FILTER_ID_CHAINS: usize = lns_l2sess::limits::CHAINS - 2;

/// Who uses a policy that is to be deleted: names that are told.
pub const USERS_NAMED: usize = 3;

/// Octets of a datagram that the transcript keeps: what comes in one frame of Ethernet.
pub const KEPT_OF_DATAGRAM: usize = 1_500;

/// What the transcript takes at most, octets: the whole setup of some 8,000 calls, one of which has
/// about 25 messages and steps of 80 octets.
pub const TRANSCRIPT_OCTETS: usize = 32 * 1024 * 1024;

/// Messages and steps that are kept of one failure: a whole setup, or a negotiation that goes in
/// circles, until one sees that it does.
pub const FAILURE_ENTRIES: usize = 32;

/// How long the workers may take to say what they have counted and heard. They answer at once; beyond this
/// they are asked again, and a Stop goes without them.
pub const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// How far back failures are remembered.
pub const FAILURE_AGE: Duration = Duration::from_secs(24 * 3600);

/// How long the messages of a failure are good enough for the next one of the same kind.
pub const FAILURE_INTERVAL: Duration = Duration::from_secs(1);

/// What one kind of failure may take.
#[derive(Clone, Copy, Debug)]
pub struct ShelfLimit {
    /// How many are remembered.
    pub failures: usize,
    /// What the messages of all of them take at most, octets. Beyond it the oldest keep their reason
    /// and lose their messages.
    pub octets: usize,
}

const MIB: usize = 1024 * 1024;

/// LACs of no entry: anybody can cause these.
pub const FAILURES_STRANGERS: ShelfLimit = ShelfLimit {
    failures: 1_024,
    octets: MIB,
};

/// Refused LACs that have an entry, and tunnels that never came up.
pub const FAILURES_REFUSED: ShelfLimit = ShelfLimit {
    failures: 1_024,
    octets: 2 * MIB,
};

/// Failed calls: more lines than one calls about on a bad day.
pub const FAILURES_FAILED: ShelfLimit = ShelfLimit {
    failures: 16_384,
    octets: 16 * MIB,
};

/// Tunnels that were up and have ended: each may take thousands of sessions with it.
pub const FAILURES_TUNNELS: ShelfLimit = ShelfLimit {
    failures: 4_096,
    octets: 4 * MIB,
};

/// Sessions that were up and have ended; the logs have all.
pub const FAILURES_ENDED: ShelfLimit = ShelfLimit {
    failures: 32_768,
    octets: 8 * MIB,
};

/// Calls that went with their tunnel, which has the messages.
pub const FAILURES_SWEPT: ShelfLimit = ShelfLimit {
    failures: 32_768,
    octets: 0,
};

/// Traces at once: engineers, not programs.
pub const TRACES: usize = 8;

/// Lines of a trace that wait to be taken; beyond it they are counted and left out.
pub const TRACE_LINES: usize = 8_192;

/// Calls that ended while somebody follows anything, and whose goodbyes are still told apart: what
/// leaves within a few rounds of polling.
pub const DEPARTED: usize = 256;

/// Routes of one session: a site has a few, and each is a system call at the login.
pub const ROUTES: usize = 16;

/// The shortest prefix that may be routed to a subscriber: nobody has more than a /8, and a default
/// route would draw everybody's packets.
pub const WIDEST_ROUTE: u8 = 8;

/// Class attributes of one session: each goes into every accounting record, which has 4,096 octets.
pub const CLASSES: usize = 8;

/// Filter-Ids of one session: as many as a chain has policies.
pub const FILTER_IDS: usize = lns_l2sess::limits::CHAIN;

/// Octets of all Reply-Messages together: what PAP and CHAP can tell a subscriber.
pub const REPLY_MESSAGE: usize = lns_ppp::limits::MAX_MESSAGE;

/// The shortest Acct-Interim-Interval; a shorter one is taken as this (RFC 2869, 5.16).
pub const SHORTEST_INTERIM: Duration = Duration::from_secs(60);

/// The smallest Framed-MTU (RFC 2865, 5.12).
pub const SMALLEST_FRAMED_MTU: u16 = 64;

/// The burst of rates that a server grants to a session whose policies have none: the manifest's default.
pub const GRANTED_BURST_MILLISECONDS: u32 = 200;

/// The fastest rate that a server can grant, bits per second: the manifest's limit.
pub const GRANTED_RATE: u64 = 100_000_000_000;

/// Octets of a User-Password (RFC 2865, 5.2).
pub const USER_PASSWORD: usize = 128;

/// Sessions that one Disconnect-Request ends at most: as many frames and messages as go out at once.
pub const DYNAMIC_SESSIONS: usize = 256;
