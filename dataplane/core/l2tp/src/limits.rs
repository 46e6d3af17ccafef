//! The bounds of everything that a peer can make grow, each with its reason.

use core::time::Duration;

/// The receive window that we offer, messages. A LAC that dials thousands of calls at once keeps as
/// many ICRQs under way as this says: with 128, one round trip per call becomes one per 128. What
/// it costs is bounded by [`KEPT_OCTETS`].
pub const RECEIVE_WINDOW: u16 = 128;

/// The peer's window when it names none (RFC 2661, 4.4.3: Receive Window Size).
pub const PEER_WINDOW: u16 = 4;

/// The largest window of either side. A number and the one before it can be told apart only while
/// less than half of them are under way (RFC 2661, 5.8).
pub const WINDOW_MAX: u16 = 32_767;

/// Octets of messages that came too early, per tunnel: about what a full window of ICCNs with all
/// proxy AVPs has, 128 times 512.
pub const KEPT_OCTETS: usize = 65_536;

/// The same before the peer has shown that it knows the secret: enough for an SCCCN and the first
/// calls to overtake each other.
pub const KEPT_OCTETS_UNVERIFIED: usize = 4_096;

/// Messages that wait for the peer's window, per tunnel: one for each call that a tunnel can have, so
/// that each of them can be ended at once. A queue that is full belongs to a peer that acknowledges
/// nothing and is about to be given up.
pub const SEND_QUEUE: usize = 65_535;

/// Numbers that can be told from older ones (RFC 2661, 5.8): half of all.
pub const HALF_TURN: u16 = 0x7fff;

/// Messages that a master without a store may have sent to one LAC, and had acknowledged, before its authority was
/// over: some seconds' worth of calls. The next one has no record of them.
pub const UNHEARD: u16 = 1024;

/// So often a message must come, each time so much later than before, to be the next one though others are missing
/// before it: by then its sender would have repeated them, too.
pub const REPEATS: u8 = 4;
/// See [`REPEATS`]: half of the shortest time that RFC 2661 (5.8) has between two.
pub const REPEATED: Duration = Duration::from_millis(500);

/// Messages of a tunnel's own that stand in its record: its record stays small though a LAC that takes
/// nothing is refused call after call. Those beyond are refused by the LAC's own patience after a takeover.
pub const KEPT_MESSAGES: usize = 64;

/// How long the side that asked for a tunnel waits for the answer after its request was acknowledged,
/// or for a while longer than retransmission goes on.
pub const TUNNEL_SETUP: Duration = Duration::from_mins(1);

/// How long an incoming call may take from ICRQ to ICCN: the LAC answers the line and authenticates in
/// between. The node keeps the time, a call has no timer.
pub const CALL_SETUP: Duration = Duration::from_mins(1);

/// Octets of the peer's advisory text that are kept.
pub const ADVISORY: usize = 128;

/// Octets of the peer's host name and vendor name that are kept for display.
pub const PEER_NAME: usize = 255;
