//! One L2TP message in one line, for an engineer: RFC 2661 (headers and AVPs), RFC 3145, RFC 1661,
//! RFC 1570 (LCP), RFC 1334 (PAP), RFC 1994 and RFC 2759 (CHAP), RFC 1332 and RFC 1877 (IPCP).
//!
//! The parsers are those that the node acts on. A message is shown as far as they read it, then comes
//! `malformed:` with the label that the metrics use. No octets make it fail or panic, and the line has
//! bounds.
//!
//! No line has a secret in it: passwords, responses to challenges and hidden values are only said to be
//! there. It says the same of a message that [`mask`](crate::mask) has been over.

mod avps;
mod frame;
mod names;
mod octets;
mod options;

#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::ToString;
use core::fmt;

use crate::l2tp::{ControlHeader, DataHeader, MessageType, Packet, ParseError};
use crate::ppp::Frame;

mod limits {
    /// Characters of a peer's text: enough for a name, a number or a sentence.
    pub(super) const TEXT: usize = 64;
    /// Octets that are shown as a number: as many as an address or a key has.
    pub(super) const HEX: usize = 16;
    /// AVPs of a message, options of a packet: three times what the RFCs name.
    pub(super) const ITEMS: usize = 128;
}

/// One UDP payload as text.
#[derive(Clone, Copy)]
pub struct DatagramText<'a> {
    octets: &'a [u8],
}

impl<'a> DatagramText<'a> {
    /// Of a payload as it lay on the wire.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// What it is, in few words: `ICRQ`, `ZLB`, `LCP Configure-Request`; `malformed` when it has no
    /// L2TP header.
    pub fn kind(&self) -> Cow<'static, str> {
        match Packet::parse(self.octets) {
            Ok(Packet::Control(_, body)) => MessageText::new(body).kind(),
            Ok(Packet::Data(_, frame)) => FrameText::new(frame).kind(),
            Err(_) => Cow::Borrowed(MALFORMED),
        }
    }
}

impl fmt::Display for DatagramText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Packet::parse(self.octets) {
            Ok(Packet::Control(header, body)) => control(f, header, body),
            Ok(Packet::Data(header, frame)) => data(f, header, frame),
            Err(error) => write!(f, "{} octets: malformed: {error}", self.octets.len()),
        }
    }
}

fn control(f: &mut fmt::Formatter<'_>, header: ControlHeader, body: &[u8]) -> fmt::Result {
    MessageText::new(body).write_kind(f)?;
    write!(f, " tunnel {}", header.tunnel)?;
    let is_call = MessageType::peek(body).is_ok_and(MessageType::is_call);
    if is_call || !header.session.is_none() {
        write!(f, " session {}", header.session)?;
    }
    write!(f, " Ns {} Nr {}", header.ns, header.nr)?;
    avps::write(f, body)
}

fn data(f: &mut fmt::Formatter<'_>, header: DataHeader, frame: &[u8]) -> fmt::Result {
    write!(
        f,
        "data tunnel {} session {}",
        header.tunnel, header.session
    )?;
    if let Some(sequence) = header.sequence {
        write!(f, " Ns {}", sequence.ns)?;
    }
    if header.priority {
        f.write_str(" priority")?;
    }
    write!(f, ": {}", FrameText::new(frame))
}

/// The body of a control message as text: its kind and its AVPs.
#[derive(Clone, Copy)]
pub struct MessageText<'a> {
    body: &'a [u8],
}

impl<'a> MessageText<'a> {
    /// Of the AVPs of a message; none of them are a ZLB.
    pub const fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The abbreviation of the message; `message type N` for one that the RFC does not know, and
    /// `control` without a type.
    pub fn kind(&self) -> Cow<'static, str> {
        if self.body.is_empty() {
            return Cow::Borrowed("ZLB");
        }
        match MessageType::peek(self.body) {
            Ok(message) => Cow::Borrowed(message.label()),
            Err(ParseError::UnknownMessage { kind, .. }) => {
                Cow::Owned(alloc::format!("message type {kind}"))
            }
            Err(_) => Cow::Borrowed("control"),
        }
    }

    /// The kind, and the M bit of one that nobody here knows.
    fn write_kind(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())?;
        match MessageType::peek(self.body) {
            Err(ParseError::UnknownMessage { mandatory, .. }) => {
                write!(f, " M={}", u8::from(mandatory))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for MessageText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_kind(f)?;
        avps::write(f, self.body)
    }
}

/// A PPP frame as text.
#[derive(Clone, Copy)]
pub struct FrameText<'a> {
    frame: &'a [u8],
}

impl<'a> FrameText<'a> {
    /// Of a frame as a data message carries it.
    pub const fn new(frame: &'a [u8]) -> Self {
        Self { frame }
    }

    /// Its protocol, and the code of a control packet; `malformed` when it is no frame.
    pub fn kind(&self) -> Cow<'static, str> {
        match Frame::parse(self.frame) {
            Ok(frame) => Cow::Owned(frame::Kind(frame).to_string()),
            Err(_) => Cow::Borrowed(MALFORMED),
        }
    }
}

impl fmt::Display for FrameText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Frame::parse(self.frame) {
            Ok(frame) => frame::write(f, frame),
            Err(error) => write!(f, "malformed: {error}"),
        }
    }
}

macro_rules! debug_is_display {
    ($($name:ident)*) => {
        $(impl fmt::Debug for $name<'_> {
            /// The text: the octets may hold a password.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        })*
    };
}

debug_is_display! { DatagramText MessageText FrameText }

const MALFORMED: &str = "malformed";
