//! The bounds of everything that a peer can make grow, each with its reason.

use core::time::Duration;

/// Listed peers of one member: as many as a roster has nodes.
pub const PEERS: usize = lns_cluster::MEMBERS;

/// Connected peers that are not listed, or not yet: nodes that come or go.
pub const UNLISTED: usize = 16;

/// Numbers for peers.
pub const NUMBERS: usize = PEERS + UNLISTED;

/// The longest body of a frame, octets: the largest UDP datagram with its ends, or a page of records
/// ([`RECORDS_OCTETS`]) with the record that made it full.
pub const BODY: usize = 96 * 1024;

/// The longest body before both have said who they are, octets: names and a version.
pub const GREETING: usize = 4 * 1024;

/// The longest name of a node, octets: the API server's bound.
pub const NODE_NAME: usize = 253;

/// The longest incarnation, octets: a pod's uid, a boot id and a nonce have about 100.
pub const INCARNATION: usize = 256;

/// The longest namespace, name or uid of a cluster, octets: a DNS label's.
pub const CLUSTER_NAME: usize = 63;

/// The longest text that is only for people, octets: a release, why a connection is refused with the names
/// of two nodes or clusters in it.
pub const TEXT: usize = 1024;

/// The longest datagram or frame that is handed over, octets: what UDP has.
pub const DATAGRAM: usize = 65_535;

/// Sessions in one report: about 30 octets each, a tenth of [`BODY`] in all, so that what is urgent never
/// waits for long behind one.
pub const REPORT: usize = 512;

/// The longest record, octets: one that waits in a page with others has room for nothing longer.
pub const RECORD: usize = 64 * 1024;

/// The longest key of a record, octets: what the store takes.
pub const RECORD_KEY: usize = 128;

/// A page of records is full with so many octets.
pub const RECORDS_OCTETS: usize = 24 * 1024;

/// Records in a page: the smallest ones fill it.
pub const RECORDS: usize = 1024;

/// The longest method, path and content type of an admin query, octets: what servers take as a line.
pub const ADMIN_LINE: usize = 8 * 1024;

/// The longest body of an admin query, octets: a filter, or what to disconnect.
pub const ADMIN_QUERY: usize = 64 * 1024;

/// The longest body of its answer, octets. A page of the admin interface has a few hundred rows; a
/// capture or the metrics of a large node a few megabytes.
pub const ADMIN_ANSWER: usize = 16 * 1024 * 1024;

/// What of an answer goes in one frame, octets: what is urgent waits for one of them at most.
pub const PART: usize = 16 * 1024;

/// Questions to one peer that wait for an answer. Beyond it the next is refused by us; a peer that sends
/// more is told that we are busy.
pub const QUESTIONS: usize = 64;

/// Octets of answers to one peer that wait to be written.
pub const ANSWERS_OCTETS: usize = 2 * ADMIN_ANSWER;

/// Forwarded datagrams and frames for one peer that wait to be written, or from one that wait to be
/// taken: a tenth of a second of a storm of logins. LACs send again; the newest gives way.
pub const FORWARDS: usize = 1024;

/// Octets of the same.
pub const FORWARDS_OCTETS: usize = 1024 * 1024;

/// Reports that wait to be written, or to be taken. What they say is absolute: the next one says it too.
pub const REPORTS: usize = 64;

/// Octets that the kernel may hold which it has not sent yet: what is urgent waits behind them.
pub const UNSENT: u32 = 32 * 1024;

/// Handshakes at once with addresses of listed peers: all of them after a restart.
pub const HANDSHAKES: usize = PEERS;

/// Handshakes at once with all other addresses: peers that are new, or behind a translation of addresses.
/// Whoever is neither may fill this, and keeps nobody out who is listed.
pub const HANDSHAKES_OTHERS: usize = 16;

/// How long a connection may take to be opened, with TLS and greetings.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a peer may take to read what was written to it before it is given up.
pub const STALLED: Duration = Duration::from_secs(15);

/// How long an end may take: what is urgent, and a goodbye.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// Frames that one key seals. With the largest path MTU, 576 blocks, AES-GCM allows 2^35 / 576 before
/// whoever attacks it has an advantage of 2^-57 (RFC 9001, B.1.1); this is a little more than half of
/// that. Both sides refuse the next one.
pub const SEALED: u64 = 1 << 25;

/// Frames that came sealed by a key before its successor is announced: half of [`SEALED`] are left for
/// the time that takes, at a million packets per second 16 seconds.
pub const REKEY: u64 = SEALED / 2;

/// How often it is looked whether a key is worn.
pub const REKEY_LOOK: Duration = Duration::from_secs(1);

/// By how much a frame may be overtaken: several queues of a network card, or two paths, change the
/// order of hundreds.
pub const WINDOW: u64 = 1024;

/// The smallest path MTU, octets: IPv6's.
pub const SMALLEST_MTU: u16 = 1280;

/// The largest, octets: that of jumbo frames.
pub const LARGEST_MTU: u16 = 9216;

/// Packets of which one half waits for the other, per worker. The oldest gives way: halves are sent
/// together, so one that waits for long has lost its other.
pub const HALVES: usize = 64;
