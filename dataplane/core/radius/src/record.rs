//! What accounting is told (RFC 2866): records on their way to the spool.

use lns_tables::time::Instant;
use lns_wire::radius::AttributeList;

/// What a record says (RFC 2866, 5.1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Status {
    /// A session began.
    Start,
    /// A session ended.
    Stop,
    /// A session goes on.
    Interim,
    /// The NAS began with no session.
    On,
    /// The NAS ends, and with it all sessions.
    Off,
}

impl Status {
    /// The value of Acct-Status-Type.
    pub const fn number(self) -> u32 {
        match self {
            Self::Start => 1,
            Self::Stop => 2,
            Self::Interim => 3,
            Self::On => 7,
            Self::Off => 8,
        }
    }
}

/// One record. It is kept until a server has it; an interim may give way to newer ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// What it says.
    pub status: Status,
    /// The session's Acct-Session-Id: of one session no record overtakes another. Of On and Off their own.
    pub session: Box<str>,
    /// When it happened. Event-Timestamp is the shell's to add, who knows the date.
    pub at: Instant,
    /// All attributes, Acct-Status-Type and Acct-Session-Id included, but Event-Timestamp and
    /// Acct-Delay-Time and the NAS's identity.
    pub attributes: AttributeList,
    /// The realm of the user, by which servers may be chosen.
    pub realm: Option<Box<str>>,
}
