//! Records: what of tunnels and sessions is stored, so that another node, or the next start, goes on with
//! them and neither LAC nor subscriber notices (spec: cluster, 1 to 3).
//!
//! A node is *active* or on *standby*. The active one gives out a record of each tunnel and session that
//! has changed ([`Node::poll_record`]); whoever owns it stores them, and lets out what the node wants sent
//! only when they are stored ([`Transmit::waits`](crate::Transmit)). A node on standby takes records in
//! ([`Node::handle_record`]), in any number and over each other, and is at any time what the active one
//! was when it wrote them; it tells the workers, shows what is there, and gives what comes for the active one
//! back to its caller (`forward`); it does nothing else.
//! [`Node::handle_takeover`] makes it the active one.
//!
//! What is in no record is made anew: a call that has not come up begins LCP again; questions to RADIUS
//! are asked again with it; windows grow again; echoes are counted anew. What was given back stays a
//! record of its own until it may be given out again, so that nobody does before.
//!
//! Counters of a session are in its record as they were told to accounting last: that is a checkpoint, from which
//! the next active node goes on (`reports`, `tally`).
//!
//! [`form`](self::form) has the octets, [`second`] what their second form leaves out, `write` and `read` what is
//! between them and the node's tables, `takeover` and `demotion` the change of sides, `stray` what nobody took over.

mod demotion;
mod form;
mod read;
mod second;
mod stray;
mod takeover;
mod write;

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lns_l2tp::{KeptMessage, MessageNumber, TunnelImage};
use lns_tables::dirty::DirtyList;
use lns_tables::path::SlotIndex;
use lns_tables::rest::Rest;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use serde::{Deserialize, Serialize};

pub use self::form::RecordForm;
use crate::node::Node;
use crate::session::Held;

/// Whose record.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RecordKey {
    /// A tunnel's.
    Tunnel(TunnelId),
    /// A session's.
    Session(TunnelId, SessionId),
}

/// A text that is no key of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAKey;

impl fmt::Display for RecordKey {
    /// `t/1` and `s/1/2`: tunnels come first, and nothing else has these letters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tunnel(tunnel) => write!(f, "t/{}", tunnel.0),
            Self::Session(tunnel, session) => write!(f, "s/{}/{}", tunnel.0, session.0),
        }
    }
}

impl FromStr for RecordKey {
    type Err = NotAKey;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut parts = text.split('/');
        let kind = parts.next();
        let mut id = || parts.next()?.parse::<u16>().ok();
        let key = match kind {
            Some("t") => id().map(|tunnel| Self::Tunnel(TunnelId(tunnel))),
            Some("s") => id()
                .zip(id())
                .map(|(tunnel, session)| Self::Session(TunnelId(tunnel), SessionId(session))),
            _ => None,
        };
        key.filter(|key| key.to_string() == text).ok_or(NotAKey)
    }
}

/// The time of the store, milliseconds since 1970: what the ages of records are measured with, since clocks
/// of nodes have nothing in common.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct StoreTime(pub u64);

impl StoreTime {
    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// What is to be done with a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordChange {
    /// The octets are to be stored. `lasting`: something begins or ends, or an address is granted, and
    /// replicas should have it, too.
    Put {
        /// See above.
        lasting: bool,
    },
    /// The record is to be forgotten, if it still is what was stored last.
    Forget,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unreadable {
    /// The octets are no record.
    Damaged,
    /// They have a form that this version does not know.
    Version,
    /// They are not about what the key names, or about what cannot be.
    Unfit,
    /// The session's tunnel is not known; it comes first.
    NoTunnel,
    /// This node is the active one, and knows better.
    Active,
}

impl Unreadable {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::Unfit => "unfit",
            Self::NoTunnel => "no_tunnel",
            Self::Active => "active",
        }
    }
}

/// Which side a node is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It serves.
    Active,
    /// It follows.
    Standby,
}

/// How a node becomes the active one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beginning {
    /// No node was active before.
    Start,
    /// It takes over from another.
    Takeover,
}

/// The node's part.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) role: Role,
    /// Somebody stores them.
    kept: bool,
    /// How they are written.
    form: RecordForm,
    /// What has changed since it was last written.
    tunnels: DirtyList,
    sessions: DirtyList,
    gone: VecDeque<RecordKey>,
    /// What is over and may not be given out again.
    graves: BTreeMap<RecordKey, Grave>,
    /// Until when to keep them at least, and as long as not everybody has heard of them. None on standby.
    rests: BTreeSet<(Instant, RecordKey)>,
    unheard: Rest,
    /// Graves whose time is over, and whose records are to be forgotten.
    over: VecDeque<RecordKey>,
    /// On standby: what tunnels are made of at the takeover.
    images: BTreeMap<TunnelId, (Instant, TunnelImage)>,
    /// On standby: what sessions may have to say again.
    said: BTreeMap<RecordKey, Vec<KeptMessage>>,
    /// On standby: what sessions negotiate from at the takeover.
    pub(crate) ppp: BTreeMap<SlotIndex, (Instant, lns_ppp::SessionImage)>,
    /// While everything is read anew: what has not been read yet.
    unread: Option<BTreeSet<RecordKey>>,
    /// Sessions that were taken over, and whose LAC is to learn from where on data messages are numbered.
    renumber: VecDeque<SlotIndex>,
}

/// What is over.
#[derive(Clone, Debug, Default)]
struct Grave {
    /// Where a session was; tunnels were nowhere.
    slot: Option<SlotIndex>,
    /// Its CDN.
    cdn: Option<MessageNumber>,
    held: Option<Held>,
    /// Since when it rests, and until when at least. Nothing does on standby.
    rest: Option<(Instant, Instant)>,
}

impl Records {
    pub(crate) fn new(role: Role, kept: bool, max_sessions: u32, unheard: Duration) -> Self {
        Self {
            role,
            kept,
            form: RecordForm::default(),
            tunnels: DirtyList::new(u32::from(u16::MAX).saturating_add(1)),
            sessions: DirtyList::new(max_sessions),
            gone: VecDeque::new(),
            graves: BTreeMap::new(),
            rests: BTreeSet::new(),
            unheard: Rest::of(Duration::ZERO).with_unheard(unheard),
            over: VecDeque::new(),
            images: BTreeMap::new(),
            said: BTreeMap::new(),
            ppp: BTreeMap::new(),
            unread: None,
            renumber: VecDeque::new(),
        }
    }

    /// Where the session was that is over and has this record.
    pub(crate) fn grave(&self, key: RecordKey) -> Option<SlotIndex> {
        self.graves.get(&key)?.slot
    }

    /// Whether changes are noted.
    pub(crate) fn are_written(&self) -> bool {
        self.kept && self.role == Role::Active
    }
}

impl Node {
    /// Nobody stores its records: it gives none out.
    pub const fn handle_no_store(&mut self) {
        self.records.kept = false;
    }

    /// Records are written in this form from now on. Those that are stored stay as they are until they change, or are
    /// given out again ([`Self::handle_lost_record`]).
    pub const fn handle_form(&mut self, form: RecordForm) {
        self.records.form = form;
    }

    /// Which side it is on.
    pub const fn role(&self) -> Role {
        self.records.role
    }

    /// Something of a tunnel may have changed that its record has.
    pub(crate) fn touch_tunnel(&mut self, tunnel: TunnelId) {
        if !self.records.are_written() {
            return;
        }
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        let shape = link.shape();
        if link.written.replace(shape) != Some(shape) {
            self.records.tunnels.mark(u32::from(tunnel.0));
        }
    }

    /// Something of a session has changed that its record has.
    pub(crate) fn touch(&mut self, slot: SlotIndex) {
        if self.records.are_written() {
            self.records.sessions.mark(slot.0);
        }
    }
}
