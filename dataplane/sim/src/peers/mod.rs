//! LACs and subscribers that talk to the node: conforming ones, and what they do wrong when told to.
//!
//! Pure, like the node: time and randomness come in, datagrams and timers go out. Of the node's code
//! they use the codecs and digests alone; numbers are compared, messages repeated and PPP negotiated
//! here by code of their own.

mod channel;
mod frames;
pub(crate) mod hiding;
mod lac;
mod line;
mod negotiation;
pub(crate) mod number;
mod subscriber;

pub use lac::{Bugs, Lac, LacSettings, LacState};
pub use line::{Line, LineSettings, Proxied};
pub use subscriber::{Login, Method, Quirks, Subscriber};
