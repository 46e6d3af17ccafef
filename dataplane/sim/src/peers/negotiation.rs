//! One Configure exchange as a subscriber sees it (RFC 1661, 4): both sides' requests, the id that an
//! answer must have, and repeats.

use core::time::Duration;

use lns_tables::time::Instant;

/// How long an answer may take (RFC 1661, 4.6: Restart timer).
pub(crate) const RESTART: Duration = Duration::from_secs(3);

/// How often a request is said (RFC 1661, 4.6: Max-Configure).
const MAX_CONFIGURE: u8 = 10;

/// How far it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Negotiation {
    /// Our request was acknowledged.
    pub(crate) ours: bool,
    /// We have acknowledged the node's request.
    pub(crate) theirs: bool,
    /// The id of our last request; `None`: nothing was requested yet.
    pub(crate) id: Option<u8>,
    /// When our request is said again.
    pub(crate) again_at: Option<Instant>,
    said: u8,
}

impl Negotiation {
    pub(crate) const fn is_open(&self) -> bool {
        self.ours && self.theirs
    }

    /// A request with this id goes out.
    pub(crate) fn requested(&mut self, id: u8, now: Instant) {
        self.id = Some(id);
        self.ours = false;
        self.said = self.said.saturating_add(1);
        self.again_at = Some(now + RESTART);
    }

    /// An answer came with this id: whether it is one to the last request.
    pub(crate) fn is_answer(&self, id: u8) -> bool {
        self.id == Some(id) && !self.ours
    }

    /// Our request was acknowledged: the node's is waited for as long as an answer.
    pub(crate) fn acknowledged(&mut self, now: Instant) {
        self.ours = true;
        self.again_at = (!self.theirs).then(|| now + RESTART);
    }

    /// The node's request was answered, with or without an acknowledgement.
    pub(crate) const fn answered(&mut self, is_acknowledged: bool) {
        self.theirs = is_acknowledged;
        if self.is_open() {
            self.again_at = None;
        }
    }

    pub(crate) const fn is_given_up(&self) -> bool {
        self.said >= MAX_CONFIGURE
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.again_at.is_some_and(|at| at <= now)
    }
}
