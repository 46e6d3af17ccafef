//! The bounds of everything that requests, servers and time can make grow, each with its reason.

use core::time::Duration;

/// Servers of one client. A request remembers in one word which of them it was at.
pub const SERVERS: usize = 16;

/// Sockets of one client: with 255 requests on each, a few of them carry more than any server answers.
pub const CONNECTIONS: u32 = 1024;

/// How long an identifier rests at most that its request has given up for another: nobody answers later
/// than that, and a request may go on for a day.
pub const REST: Duration = Duration::from_secs(60);

/// Failures in a row, each time without an answer to a check, after which a server may have ceased to
/// answer checks rather than to live: of Auto it is tried out by requests again.
pub const CHECKS_DOUBTED: u32 = 5;

/// Requests that one client has at once, queued ones included. As many logins wait at most as a tunnel
/// has sessions.
pub const IN_FLIGHT: u32 = 65_536;

/// Requests of one server that wait for a connection. A client that has 4,096 in flight, the default,
/// may queue all of them: PPP gives each its time, and the limit of the client comes first.
pub const BACKLOG: u32 = 65_536;

/// The identifier that is kept for status checks, on each connection (draft-ietf-radext-radiusdtls-bis).
pub const CHECK_ID: u8 = 0;

/// Requests on one connection: all identifiers but [`CHECK_ID`].
pub const PER_CONNECTION: u16 = 255;

/// Packets that wait to be sent on a connection before those are sorted out whose requests have left it:
/// twice what it can have.
pub const UNSENT: usize = 512;

/// The last checks of a connection whose answers still count: as many as RFC 5080 lets be sent.
pub const CHECKS_REMEMBERED: usize = 8;

/// Events that wait to be taken. The oldest gives way and is counted: they are for people to read.
pub const EVENTS: usize = 4096;

/// Buffers that wait for their next request: a burst's memory is kept, a flood's is not.
pub const SPARE_BUFFERS: usize = 4096;

/// The longest wait before a failed server is tried again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(30);

/// How long a connection takes nothing after a send error that passes, if nobody says sooner that it can
/// be written: the kernel says so of a full socket, but not of a full queue of the device.
pub const WRITE_PAUSE: Duration = Duration::from_millis(20);

/// How long a request goes on at most if nothing else says so (RFC 5080, 2.2.1 sets no bound).
pub const LONGEST: Duration = Duration::from_hours(24);
