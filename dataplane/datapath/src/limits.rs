//! The bounds of everything in this crate that could grow, each with its reason.

use core::time::Duration;

/// Worker threads: more cores than any machine spends on one LNS; keeps the table of their stages
/// small.
pub const WORKERS: usize = 64;

/// Service addresses: each costs a socket per worker.
pub const SERVICE_ADDRESSES: usize = 16;

/// Sessions: what one node is built for.
pub const SESSIONS: usize = 1_000_000;

/// Datagrams per system call: the gain of more is nil, the cost is latency.
pub const BATCH: usize = 64;

/// Batches taken from one source before the next source has its turn.
pub const ROUNDS: usize = 4;

/// Octets of a received datagram or packet: a jumbo frame with all headers. Longer ones are dropped
/// and counted.
pub const PACKET: usize = 9_728;

/// The longest header put before a packet: L2TP with Ns and Nr (10), PPP (4), and for a fragment its
/// own IPv4 header with options (60).
pub const HEADER: usize = 80;

/// The most fragments that one packet can become, at the least MTU of 68 octets (RFC 791, 3.2): each
/// carries 48 of its octets.
pub const FRAGMENTS: usize = PACKET.div_ceil(48);

/// Routes to subscribers of one prefix length at most: as many sites as a node has, some times over.
pub const ROUTES_OF_A_LENGTH: u32 = 1 << 16;

/// A pool prefix of at most this many addresses (a /8) is looked up directly; a larger one would
/// reserve gigabytes of address space, so its addresses go through the hash.
pub const DIRECT_ADDRESSES: usize = 1 << 24;

/// How far ahead of the expected one a sequenced packet may be and still wait for it
/// (RFC 2661, 5.4).
pub const REORDER_PACKETS: usize = 8;

/// Sessions of one worker that can wait for a missing packet at the same time; those beyond give it up
/// at once.
pub const REORDER_WINDOWS: usize = 64;

/// The longest sequenced packet that can wait, octets: an Ethernet frame's worth.
pub const REORDER_OCTETS: usize = 2_048;

/// How long a sequenced packet waits for a missing one before it: longer than links differ in
/// latency, shorter than anybody notices.
pub const REORDER_WAIT: Duration = Duration::from_millis(50);

/// Old packets in a row, each the successor of the one before, after which the peer is taken to have
/// started its numbering again.
pub const RESYNCHRONISE: u8 = 16;

/// ICMP errors per second of one worker and the burst allowed: path MTU discovery needs one per flow,
/// a flood needs none (RFC 1812, 4.3.2.8).
pub const ICMP_PER_SECOND: u32 = 1_000;
/// See [`ICMP_PER_SECOND`].
pub const ICMP_BURST: u32 = 100;

/// ICMP errors per second about one session, so that one subscriber cannot use up the worker's.
pub const ICMP_PER_SECOND_SESSION: u32 = 100;
/// See [`ICMP_PER_SECOND_SESSION`].
pub const ICMP_BURST_SESSION: u32 = 20;

/// PPP frames of one session that go to the control per second: a login takes some twenty, an open
/// session one in many seconds. Who sends more than this takes nothing from the others' share of the
/// control's queue.
pub const PPP_PER_SECOND_SESSION: u32 = 100;
/// See [`PPP_PER_SECOND_SESSION`].
pub const PPP_BURST_SESSION: u32 = 200;

/// Data messages of tunnels and sessions that are not known here, that one worker hands to the master a
/// second: what a few hundred calls say that come up at once, before their records are here. Of a flood of ids
/// that nobody has, no more than this reaches another node.
pub const UNKNOWN_UP_PER_SECOND: u32 = 5_000;
/// See [`UNKNOWN_UP_PER_SECOND`].
pub const UNKNOWN_UP_BURST: u32 = 1_000;

/// Packets for addresses of pools that nobody here has, that one worker hands to the master a second. Who looks
/// through a pool from outside asks for all of its addresses, so it is less.
pub const UNKNOWN_DOWN_PER_SECOND: u32 = 1_000;
/// See [`UNKNOWN_DOWN_PER_SECOND`].
pub const UNKNOWN_DOWN_BURST: u32 = 200;

/// What sealing may add to a packet, before and behind it, octets.
pub const HANDING_ROOM: usize = 256;

/// How often a reader starts again because the writer was at the same entry. A write takes some
/// nanoseconds; only a writer that lost its processor in the middle makes this run out, and then the
/// packet is dropped and counted rather than the worker stopped.
pub const READ_ATTEMPTS: usize = 256;

/// How long the control waits for workers to leave the batch in which they may still hold a cleared
/// session, before it gives the slot to another one.
pub const GRACE: Duration = Duration::from_millis(20);

/// Octets that each socket may queue in the kernel while its worker is busy.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// How often flows that were silent for too long are looked for, milliseconds. A flow is told its end
/// by a clock of seconds; four looks a second add no second to it.
pub const SWEEP_MILLISECONDS: u8 = 250;

/// Flows that are looked at in one piece of a sweep: some milliseconds of work, after which the thread
/// sees what else there is to do.
pub const SWEEP_BUDGET: usize = 16_384;

/// Changes of sessions' policies after which the flows that were opened under the former ones are ended
/// at the latest: all of one reload of a small node, and a bound for the others.
pub const REBOUND: usize = 4_096;

/// Flows where the caller says nothing: enough for a thousand subscribers, 8 MiB.
pub const FLOWS: u32 = 65_536;

/// How long flows are resumed after a takeover, seconds: as long as a TCP connection that nobody has seen begin
/// may be silent (`tcpTransientSeconds`), for as such it is resumed.
pub const RESUME: u32 = 120;
