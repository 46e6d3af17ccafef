//! What members say to each other.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;

use lns_cluster::{Ask, Epoch, Identity, Promise, Refusal};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use thiserror::Error;

use crate::limits::{RECORD, RECORD_KEY, RECORDS, RECORDS_OCTETS};

/// What is said once and not answered by the channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A master asks for a promise. Its holder is the sender.
    Ask(Ask),
    /// A member promises. It is from the sender.
    Promise(Promise),
    /// A member does not promise.
    AskRefused(AskRefused),
    /// How far the sender has applied the cluster's stream of changes. A member says it to the master; a master
    /// that has taken over says it to all, in its own epoch: it serves.
    Applied(Position),
    /// An L2TP control message that came to the sender; the receiver is master.
    Control(Control),
    /// A PPP frame that came to the sender; the receiver is master.
    Ppp(PppFrame),
    /// What sessions have received and sent at the sender.
    Report(Report),
}

/// There is no promise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AskRefused {
    /// Who had asked.
    pub holder: Identity,
    /// With which epoch.
    pub epoch: Epoch,
    /// The time in the question.
    pub sent: Instant,
    /// Why there is none.
    pub why: Refusal,
}

/// A place in the cluster's stream of changes: the epoch in which a change was made, and its number in
/// that. As text `<epoch>-<seq>`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The epoch.
    pub epoch: Epoch,
    /// The number in it.
    pub seq: u64,
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a position is <epoch>-<seq>")]
pub struct NoPosition;

/// An L2TP control message (RFC 2661, 3.1) as it came, unchecked.
#[derive(Clone, Eq, PartialEq)]
pub struct Control {
    /// The service address at which it came in.
    pub local: SocketAddr,
    /// From where it came.
    pub remote: SocketAddr,
    /// The UDP payload.
    pub octets: Vec<u8>,
}

/// A PPP frame that is no IP packet, of a session that exists and from that tunnel's peer.
#[derive(Clone, Eq, PartialEq)]
pub struct PppFrame {
    /// Our tunnel id.
    pub tunnel: TunnelId,
    /// Our session id.
    pub session: SessionId,
    /// The service address at which it came in.
    pub local: SocketAddr,
    /// From where it came.
    pub remote: SocketAddr,
    /// As it came: address and control field if the peer sent them, protocol, information.
    pub frame: Vec<u8>,
}

/// What sessions have received and sent at one incarnation of a node: that of who reports. All figures
/// are absolute; one that was lost is in the next.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report(pub Vec<SessionReport>);

/// One session's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionReport {
    /// Our tunnel id.
    pub tunnel: TunnelId,
    /// Our session id.
    pub session: SessionId,
    /// From the subscriber.
    pub up: Passed,
    /// To the subscriber.
    pub down: Passed,
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Passed {
    /// Octets since the incarnation began.
    pub octets: u64,
    /// Packets since then.
    pub packets: u64,
    /// How long ago the last one was; whole milliseconds travel. None: there was none.
    pub age: Option<Duration>,
}

/// What is asked of a peer and answered by it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// Where the stream of changes is.
    Position,
    /// Records that were changed after this position, the oldest first.
    Records(Position),
    /// A request of dynamic authorization (RFC 5176).
    Dynamic(DynamicRequest),
    /// A request of the admin interface.
    Admin(AdminQuery),
}

/// The answer to a [`Question`] of the same name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Where the stream of changes is, by who is master of the epoch in it.
    Position(Position),
    /// A page of records.
    Records(RecordsPage),
    /// The reply, if there is one.
    Dynamic(Option<Vec<u8>>),
    /// What the admin interface answers.
    Admin(AdminAnswer),
}

/// A packet of dynamic authorization as it came to a member.
#[derive(Clone, Eq, PartialEq)]
pub struct DynamicRequest {
    /// The address at which it came in.
    pub local: SocketAddr,
    /// From where it came.
    pub remote: SocketAddr,
    /// The UDP payload.
    pub octets: Vec<u8>,
}

/// A request of the admin interface. Whoever sends it has found that its caller may.
#[derive(Clone, Eq, PartialEq)]
pub struct AdminQuery {
    /// `GET` and so on.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What the admin interface answers.
#[derive(Clone, Eq, PartialEq)]
pub struct AdminAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Some records, the oldest change first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordsPage {
    records: Vec<PeerRecord>,
    has_more: bool,
    is_whole: bool,
    reaches_store: bool,
}

/// A record as a peer has it.
#[derive(Clone, Eq, PartialEq)]
pub struct PeerRecord {
    key: String,
    position: Position,
    octets: Option<Vec<u8>>,
}

/// A record that is longer than any page takes.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a record has at most {RECORD} octets, and its key {RECORD_KEY}")]
pub struct RecordTooLong;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Failure {
    /// There is no connection to the peer.
    #[error("there is no connection to this peer")]
    NotConnected,
    /// The connection ended before the answer came.
    #[error("the connection to this peer has ended")]
    Disconnected,
    /// The peer took too long.
    #[error("the peer has not answered in time")]
    Timeout,
    /// Too many questions wait for an answer, or are waiting to be sent.
    #[error("too many questions to this peer wait for an answer")]
    Full,
    /// The question is longer than the channel takes.
    #[error("the question is too long")]
    TooLong,
    /// The peer's version does not know the question.
    #[error("the peer's version does not know this question")]
    Unsupported,
    /// The peer has too much to answer.
    #[error("the peer is busy")]
    Busy,
    /// The peer knows of a later epoch than the question was asked in, or the answer was given in an
    /// older one than we know.
    #[error("the epoch is over")]
    OldEpoch,
    /// The peer is not master.
    #[error("the peer is not master")]
    NotMaster,
    /// The peer gives no answer.
    #[error("the peer gives no answer")]
    Unanswered,
    /// What came is no answer to the question.
    #[error("the peer's answer is to something else")]
    Mismatch,
}

impl Failure {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::Full => "full",
            Self::TooLong => "too_long",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::OldEpoch => "old_epoch",
            Self::NotMaster => "not_master",
            Self::Unanswered => "unanswered",
            Self::Mismatch => "mismatch",
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.number(), self.seq)
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (epoch, seq) = text.split_once('-').ok_or(NoPosition)?;
        let epoch = epoch.parse().ok().and_then(Epoch::new).ok_or(NoPosition)?;
        let seq = seq.parse().map_err(|_| NoPosition)?;
        let position = Self { epoch, seq };
        Some(position)
            .filter(|position| position.to_string() == text)
            .ok_or(NoPosition)
    }
}

impl RecordsPage {
    /// As many of these as a page has room for, in their order, which is that of their positions.
    pub fn of(records: impl IntoIterator<Item = PeerRecord>) -> Self {
        let mut page = Self {
            is_whole: true,
            ..Self::default()
        };
        let mut octets = 0_usize;
        for record in records {
            if page.records.len() >= RECORDS || octets >= RECORDS_OCTETS {
                page.has_more = true;
                break;
            }
            octets = octets.saturating_add(record.length());
            page.records.push(record);
        }
        page
    }

    /// Whoever answers does not know what all of them are.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Whoever answers reaches the store, or does not.
    #[must_use]
    pub fn with_store(self, reaches_store: bool) -> Self {
        Self {
            reaches_store,
            ..self
        }
    }

    /// For what was read.
    pub(super) const fn read(
        records: Vec<PeerRecord>,
        [has_more, is_whole, reaches_store]: [bool; 3],
    ) -> Self {
        Self {
            records,
            has_more,
            is_whole,
            reaches_store,
        }
    }

    /// Whether whoever answers knows all that was changed after the position.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether whoever answers reaches the store.
    pub const fn reaches_store(&self) -> bool {
        self.reaches_store
    }

    /// The records.
    pub fn records(&self) -> &[PeerRecord] {
        &self.records
    }

    /// After which position to ask for more; `None`: these are all.
    pub fn next(&self) -> Option<Position> {
        let last = self.records.last().filter(|_| self.has_more)?;
        Some(last.position)
    }

    /// The records themselves.
    pub fn into_records(self) -> Vec<PeerRecord> {
        self.records
    }

    /// Whether there are more.
    pub(super) const fn has_more(&self) -> bool {
        self.has_more
    }
}

impl PeerRecord {
    /// The record of this name, with its last change, and what it says; `None`: it is gone for good.
    ///
    /// # Errors
    /// It is too long.
    pub fn new(
        key: String,
        position: Position,
        octets: Option<Vec<u8>>,
    ) -> Result<Self, RecordTooLong> {
        let record = Self {
            key,
            position,
            octets,
        };
        if !record.is_within_limits() {
            return Err(RecordTooLong);
        }
        Ok(record)
    }

    pub(super) fn is_within_limits(&self) -> bool {
        self.octets.as_ref().map_or(0, Vec::len) <= RECORD && self.key.len() <= RECORD_KEY
    }

    /// Its name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its last change.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Its name, and what it says.
    pub fn into_parts(self) -> (String, Option<Vec<u8>>) {
        (self.key, self.octets)
    }

    /// What it says; `None`: it is gone for good.
    pub fn octets(&self) -> Option<&[u8]> {
        self.octets.as_deref()
    }

    /// Its octets in a frame, or a few more.
    fn length(&self) -> usize {
        let octets = self.octets.as_ref().map_or(0, Vec::len);
        octets.saturating_add(self.key.len()).saturating_add(32)
    }
}

// What these carry may be a password, a secret, or what a subscriber does.

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("length", &self.octets.len())
            .finish()
    }
}

impl fmt::Debug for PppFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PppFrame")
            .field("tunnel", &self.tunnel)
            .field("session", &self.session)
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("length", &self.frame.len())
            .finish()
    }
}

impl fmt::Debug for DynamicRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicRequest")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("length", &self.octets.len())
            .finish()
    }
}

impl fmt::Debug for AdminQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminQuery")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("length", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for AdminAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminAnswer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("length", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for PeerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerRecord")
            .field("key", &self.key)
            .field("position", &self.position)
            .field("length", &self.octets.as_ref().map(Vec::len))
            .finish()
    }
}
