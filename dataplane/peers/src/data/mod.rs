//! Packets that a member hands over to the one that is their session's home: sealed frames over UDP, on
//! the port of the control channel (spec: cluster, 7.1, F4; reliability, 7a). No socket, no clock: what
//! is here is called by the threads that move packets, which are none of tokio's.
//!
//! [`Data`] is the table that the control channel writes and workers read without a lock. A worker takes
//! [`Data::routes`] or [`Data::openers`] once per batch, seals with [`Route::seal`] and opens with
//! [`Openers::open`]; neither allocates.
//!
//! # Keys
//! Each connection of the control channel gives a secret to its two ends, of which both make a key for
//! each direction. The receiver says when it can open what a key seals, and by what id it knows the
//! key; the sender seals with the key that was announced last. The receiver keeps the key before it,
//! so a new connection, or a new key on the same one when [`REKEY`](crate::limits::REKEY) frames have
//! come, loses nothing that is under way. A key lives on for a while without its connection
//! ([`Timing::linger`](crate::Timing)): packets flow while two members find each other again. One that a
//! peer has said goodbye to is gone at once.
//!
//! # What is believed
//! A frame is opened by the key that its id names, wherever it comes from, if it is genuine, has not
//! come before, is not more than [`WINDOW`](crate::limits::WINDOW) frames late and was not sealed under an
//! older epoch than is known. Otherwise it is counted ([`Refused`]) and changes nothing, not even which
//! frames have come; of a genuine peer that seals nonsense in halves, those that have come are all. Whoever is on the path can drop frames, delay them within the window, and see how
//! many and how long they are.
//!
//! # What a packet grows by
//! [`OVERHEAD`] octets, 12 or 36 more for the ends of a LAC's packet, and the headers of UDP and IP.
//! [`mtu`](PathMtu) says what becomes of a packet that does not fit.
//!
//! # Left out
//! Keys in memory are not wiped: ring does not. Whether the peer gets what is sent: nobody waits for it,
//! as with any packet.

mod halves;
mod header;
mod key;
mod mtu;
mod packet;
mod refused;
mod route;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use halves::Halves;
pub use header::{HEADER, KeyId, OVERHEAD, TAG};
pub use key::{Direction, SECRET, Secret};
pub use mtu::{NoPathMtu, PathMtu};
pub use packet::{HEADROOM, Handover, Packet, TAILROOM};
pub use refused::{Refused, SealError};
pub use route::{Route, Sealed};
pub use table::{Data, DataFigures, Keyring, Opened, Openers, Routes};

pub(crate) use key::LABEL;
