//! The octets of the control channel: frames, their kinds, and what they say. No socket, no clock.
//!
//! [`Frames`] cuts a stream into frames, [`decode`] reads one, [`encode`] makes one. What must hold for
//! any octets: nothing here panics, allocates more than a few times what was read, or takes what is
//! longer than [`limits`](crate::limits) say; what was read and written again reads the same.

mod body;
mod form;
mod frame;
mod hello;
mod kind;
mod message;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use body::{Body, DataKey, QuestionId, TooLong, Unreadable};
pub use frame::{Frame, FrameError, Frames, HEADER};
pub use hello::{Capabilities, Goodbye, Hello, OLDEST, Refused, RefusedFor, VERSION};
pub use kind::Kind;
pub use message::{
    AdminAnswer, AdminQuery, Answer, AskRefused, Control, DynamicRequest, Failure, Message,
    NoPosition, Passed, PeerRecord, Position, PppFrame, Question, RecordTooLong, RecordsPage,
    Report, SessionReport,
};
pub use read::decode;
pub use write::encode;

pub(crate) use read::decode_greeting;
