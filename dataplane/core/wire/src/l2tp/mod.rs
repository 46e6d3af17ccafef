//! L2TP version 2 (RFC 2661): the header of control and data messages, AVPs, and the fourteen control
//! messages, with the PPP Disconnect Cause Code of RFC 3145.
//!
//! A received control message goes through three steps, and each can be refused by name:
//! [`Packet::parse`] takes the header off, [`reveal`] takes the hiding off its AVPs (RFC 2661, 4.3),
//! [`Message::parse`] gives the typed message. The digest that hiding needs is not here: it comes in
//! through [`Unhide`] and [`Hide`].
//!
//! Ids in messages and headers are typed as their receiver sees them: what a message assigns is the
//! receiver's [`PeerTunnelId`](crate::id::PeerTunnelId), what a header addresses is its
//! [`TunnelId`](crate::id::TunnelId).
//!
//! Left out: `L2TPv3` (RFC 3931), L2F, and the AVPs of other RFCs, which are skipped or refused by
//! their M bit as RFC 2661, 4.2 says.

mod attribute;
mod avp;
mod code;
mod error;
mod header;
mod message;
mod seq;

pub use attribute::{
    Accm, Attribute, CallErrors, Concealed, PppDisconnectCause, ProtocolVersion, Q931Cause,
    ResultCode, WrongLength, kind,
};
pub use avp::{Avp, Avps, Hide, Unhide, UnhideError, hidden, reveal};
pub use code::{CdnResult, GeneralError, ProxyAuthenType, StopCcnResult};
pub use error::{EmitError, ParseError};
pub(crate) use header::{Content, Parts};
pub use header::{
    ControlHeader, DataHeader, DataSequence, HeaderError, Packet, emit_control, emit_data,
};
pub use message::{
    Cdn, Iccn, Icrp, Icrq, Message, MessageType, Occn, Ocrp, Ocrq, Proxy, Scccn, Sccrp, Sccrq, Sli,
    StopCcn, Wen, assigned_session, assigned_tunnel,
};
pub use seq::Seq16;
