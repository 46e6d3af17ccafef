//! Who is believed: answers to our requests (RFC 2865, 3; RFC 3579, 3.2; RFC 7930, 4) and requests of
//! dynamic authorization (RFC 5176, 2.3 and 3.3). Nothing else makes an [`Authenticated`].
//!
//! What is refused here changes no state: not of a connection, not of a server, not of a request.

use core::ops::Deref;

use lns_crypto::radius::{self as digest, Authenticator, NO_AUTHENTICATOR};
use lns_wire::radius::{Code, Id, Packet, ParseError, kind, places};

use crate::config::{Key, Require, Secrets};

/// Something that was signed with a secret of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Authenticated<T> {
    value: T,
    key: Key,
}

impl<T> Authenticated<T> {
    /// Which of the two secrets it was signed with.
    pub const fn key(&self) -> Key {
        self.key
    }
}

impl<T> Deref for Authenticated<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The request that an answer is held against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Its code.
    pub code: Code,
    /// Its identifier.
    pub id: Id,
    /// Its Request Authenticator.
    pub authenticator: Authenticator,
}

/// Judges what comes from one server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verifier {
    require: Require,
    /// The server has shown that it can send a Message-Authenticator.
    shown: bool,
}

impl Verifier {
    /// For a server of which nothing is known yet.
    pub const fn new(require: Require) -> Self {
        Self {
            require,
            shown: false,
        }
    }

    /// The rule has changed; what the server has shown is remembered.
    pub const fn set_require(&mut self, require: Require) {
        self.require = require;
    }

    /// Whether an answer to an Access-Request without Message-Authenticator is refused.
    pub const fn requires(&self) -> bool {
        match self.require {
            Require::Always => true,
            Require::Auto => self.shown,
            Require::Never => false,
        }
    }

    /// Reads and judges a datagram that came over the connection that `asked` went out on.
    ///
    /// # Errors
    /// [`Rejected`]: why it is not believed.
    pub fn answer<'a>(
        &mut self,
        datagram: &'a [u8],
        asked: &Asked,
        secrets: &Secrets,
    ) -> Result<Authenticated<Packet<'a>>, Rejected> {
        let packet = Packet::parse(datagram)?;
        answers(&packet, asked)?;
        let signature = Signature::of(&packet)?;
        let octets = packet.octets();
        let key = secrets
            .find(|secret| digest::verify_response(octets, &asked.authenticator, secret))
            .ok_or(Rejected::BadAuthenticator)?;
        signature.verify(octets, &asked.authenticator, secrets, key)?;
        let login = asked.code == Code::ACCESS_REQUEST;
        signature.suffices(login && self.requires())?;
        self.shown |= login && signature.at.is_some() && !signature.eap;
        Ok(Authenticated { value: packet, key })
    }
}

/// Reads and judges a CoA-Request or a Disconnect-Request. `require`: one without Message-Authenticator is
/// refused. How old it is, and whether it came before, is not judged here.
///
/// # Errors
/// [`Rejected`]: why it is not believed.
pub fn request<'a>(
    datagram: &'a [u8],
    secrets: &Secrets,
    require: bool,
) -> Result<Authenticated<Packet<'a>>, Rejected> {
    let packet = Packet::parse(datagram)?;
    if ![Code::COA_REQUEST, Code::DISCONNECT_REQUEST].contains(&packet.code) {
        return Err(Rejected::Code);
    }
    let signature = Signature::of(&packet)?;
    let octets = packet.octets();
    let key = secrets
        .find(|secret| digest::verify_request(octets, secret))
        .ok_or(Rejected::BadAuthenticator)?;
    signature.verify(octets, &NO_AUTHENTICATOR, secrets, key)?;
    signature.suffices(require)?;
    Ok(Authenticated { value: packet, key })
}

/// Whether the packet can be an answer to that request at all.
fn answers(packet: &Packet<'_>, asked: &Asked) -> Result<(), Rejected> {
    if packet.id != asked.id {
        return Err(Rejected::Identifier);
    }
    if packet.code == Code::PROTOCOL_ERROR {
        let ours = packet.original_code() == Some(asked.code);
        return ours.then_some(()).ok_or(Rejected::OriginalPacketCode);
    }
    let login = [
        Code::ACCESS_ACCEPT,
        Code::ACCESS_REJECT,
        Code::ACCESS_CHALLENGE,
    ]
    .contains(&packet.code);
    let accounting = packet.code == Code::ACCOUNTING_RESPONSE;
    let fits = match asked.code {
        Code::ACCESS_REQUEST => login,
        Code::ACCOUNTING_REQUEST => accounting,
        // Whatever a server says to a Status-Server, it lives (RFC 5997, 4.3).
        Code::STATUS_SERVER => login || accounting,
        _ => false,
    };
    fits.then_some(()).ok_or(Rejected::Code)
}

/// What a packet has of RFC 3579.
struct Signature {
    /// Where the value of its Message-Authenticator is.
    at: Option<usize>,
    /// Whether it has an EAP-Message.
    eap: bool,
}

impl Signature {
    fn of(packet: &Packet<'_>) -> Result<Self, Rejected> {
        let mut signature = Self {
            at: None,
            eap: false,
        };
        for place in places(packet.octets()) {
            signature.eap |= place.kind == kind::EAP_MESSAGE;
            if place.kind != kind::MESSAGE_AUTHENTICATOR {
                continue;
            }
            if place.value.len() != NO_AUTHENTICATOR.len() {
                return Err(Rejected::MessageAuthenticatorLength);
            }
            if signature.at.replace(place.value.start).is_some() {
                return Err(Rejected::DuplicateMessageAuthenticator);
            }
        }
        Ok(signature)
    }

    /// One that is there must be right, whether it is asked for or not.
    fn verify(
        &self,
        octets: &[u8],
        header: &Authenticator,
        secrets: &Secrets,
        key: Key,
    ) -> Result<(), Rejected> {
        let right = self
            .at
            .is_none_or(|at| digest::verify_message(octets, at, header, secrets.of(key)));
        right.then_some(()).ok_or(Rejected::BadMessageAuthenticator)
    }

    fn suffices(&self, require: bool) -> Result<(), Rejected> {
        if self.at.is_some() {
            return Ok(());
        }
        if self.eap {
            return Err(Rejected::EapWithoutMessageAuthenticator);
        }
        if require {
            return Err(Rejected::MissingMessageAuthenticator);
        }
        Ok(())
    }
}

lns_wire::labelled! {
    /// Why a packet is not believed.
    pub enum Rejected {
        /// It ends before what its lengths promise.
        Truncated = "malformed.truncated",
        /// Its Length is below 20 or above 4,096.
        Length = "malformed.length",
        /// An attribute's length is 0 or 1.
        AttributeLength = "malformed.attribute_length",
        /// It has more than 255 attributes.
        TooManyAttributes = "malformed.too_many_attributes",
        /// A Message-Authenticator of another length than sixteen octets.
        MessageAuthenticatorLength = "malformed.message_authenticator_length",
        /// It has two of them or more.
        DuplicateMessageAuthenticator = "duplicate_message_authenticator",
        /// It has another identifier than the request.
        Identifier = "unexpected_identifier",
        /// Nothing of that code answers the request, or asks us anything.
        Code = "unexpected_code",
        /// A Protocol-Error that does not say that it answers a request of our code (RFC 7930, 4).
        OriginalPacketCode = "unexpected_original_packet_code",
        /// The authenticator in the header is wrong with either secret.
        BadAuthenticator = "bad_authenticator",
        /// The header's authenticator is right and the Message-Authenticator is not.
        BadMessageAuthenticator = "bad_message_authenticator",
        /// All is right but that it has no Message-Authenticator, which this server's answers must have.
        MissingMessageAuthenticator = "missing_message_authenticator",
        /// It has an EAP-Message and no Message-Authenticator (RFC 3579, 3.2).
        EapWithoutMessageAuthenticator = "eap_without_message_authenticator",
    }
}

impl From<ParseError> for Rejected {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Truncated => Self::Truncated,
            ParseError::Length => Self::Length,
            ParseError::AttributeLength => Self::AttributeLength,
            ParseError::TooManyAttributes => Self::TooManyAttributes,
        }
    }
}

#[cfg(test)]
mod tests;
