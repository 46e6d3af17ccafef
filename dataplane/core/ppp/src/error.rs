//! Why a frame was not acted on. None of these changes a session's state.

use lns_wire::ppp;

/// What was wrong with a frame, by blame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The octets are no such packet.
    #[error("malformed: {0}")]
    Malformed(#[from] ppp::Error),
    /// A packet that is well formed and has no place here; RFC 1661 wants it silently discarded.
    #[error("discarded: {}", .0.label())]
    Discarded(Discard),
}

impl Error {
    /// A metric label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.label(),
            Self::Discarded(discard) => discard.label(),
        }
    }
}

impl From<Discard> for Error {
    fn from(discard: Discard) -> Self {
        Self::Discarded(discard)
    }
}

/// Why a well-formed packet was discarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Discard {
    /// Its protocol has no place in this phase (RFC 1661, 3.4 and 3.5).
    Phase,
    /// Its identifier answers nothing that we asked, or asked last.
    Identifier,
    /// It acknowledges or rejects what we did not ask for.
    Mismatch,
    /// It carries our own magic number: the line sends us what we sent.
    Loop,
    /// The automaton has no such event in its state.
    State,
    /// A repetition of what is being decided at this moment.
    Repeated,
}

impl Discard {
    /// A metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Identifier => "identifier",
            Self::Mismatch => "mismatch",
            Self::Loop => "loop",
            Self::State => "state",
            Self::Repeated => "repeated",
        }
    }
}
