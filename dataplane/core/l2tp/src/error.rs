//! Why a received control message was dropped, and why a message of ours was not sent.

use lns_wire::l2tp::{EmitError, ParseError};
use thiserror::Error;

use crate::channel::{Dropped, Full};

/// A control message that changed nothing. It is counted and not answered.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The octets are no message.
    #[error("malformed: {0}")]
    Malformed(ParseError),
    /// Reliable delivery has no place for it.
    #[error("dropped: {0}")]
    Dropped(Dropped),
    /// The header names another tunnel; only an SCCRQ that comes again names none.
    #[error("not addressed to this tunnel")]
    WrongTunnel,
    /// The tunnel has ended.
    #[error("the tunnel is closed")]
    Closed,
}

impl Error {
    /// The value of a metric's label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.label(),
            Self::Dropped(dropped) => dropped.label(),
            Self::WrongTunnel => "wrong_tunnel",
            Self::Closed => "tunnel_closed",
        }
    }
}

impl From<Dropped> for Error {
    fn from(dropped: Dropped) -> Self {
        Self::Dropped(dropped)
    }
}

/// Why a message of ours was not sent. Nothing changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SendError {
    /// The peer acknowledges nothing, and the queue is full.
    #[error("the send queue is full")]
    Full,
    /// The tunnel is not established.
    #[error("the tunnel is not established")]
    NotEstablished,
    /// The message cannot be written.
    #[error("not sent: {0}")]
    Emit(EmitError),
}

impl SendError {
    /// The value of a metric's label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Full => "send_queue_full",
            Self::NotEstablished => "not_established",
            Self::Emit(error) => error.label(),
        }
    }
}

impl From<Full> for SendError {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

impl From<EmitError> for SendError {
    fn from(error: EmitError) -> Self {
        Self::Emit(error)
    }
}
