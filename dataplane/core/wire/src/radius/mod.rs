//! RADIUS as octets: the packet (RFC 2865, 3), attributes (5), vendor's attributes (5.26), and the
//! numbers of those that an LNS says or understands.
//!
//! Not here: what needs a secret ([`lns_crypto::radius`](../../lns_crypto/radius/index.html)), and what an
//! attribute means for a subscriber.

mod attribute;
mod code;
pub mod kind;
mod list;
mod packet;
mod place;

pub use attribute::{Attribute, Attributes};
pub use code::Code;
pub use list::AttributeList;
pub use packet::{EmitError, HEADER, Id, MAX_PACKET, Packet, ParseError};
pub use place::{Place, Places, places};

#[cfg(test)]
mod tests;
