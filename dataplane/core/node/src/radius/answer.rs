//! What a server's answer to an Access-Request means (RFC 2865, 4.2 to 4.4; RFC 2548, 2.1 and 2.3; RFC
//! 3579, 2.6): read whole, before anything is done.
//!
//! That it is the server's, and answers this question, was proved by the client.

use lns_ppp::{Acceptance, AuthMethod};
use lns_radius::request::{Failure, Outcome};
use lns_wire::ppp::{EapPacket, Packet as PppPacket};
use lns_wire::radius::kind::{self, vendor};
use lns_wire::radius::{Code, Packet};

use super::grant::{Grant, TerminationAction};
use super::{line, vendors};
use crate::limits;

/// What a server says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The subscriber may come in.
    Accept {
        grant: Box<Grant>,
        acceptance: Acceptance,
    },
    /// He may not.
    Reject {
        message: Box<[u8]>,
        ms_chap_error: Option<u16>,
    },
    /// He must answer this first.
    Challenge {
        id: u8,
        data: Box<[u8]>,
        state: Option<Box<[u8]>>,
    },
    /// A yes for a service that is not ours, which is a no (RFC 2865, 5.6).
    OtherService(u32),
    /// What cannot be done: what is wrong with it.
    Malformed(Box<str>),
    /// Nothing.
    None(Failure),
}

impl Answer {
    /// The meaning of an outcome for a subscriber who proved himself by `method`.
    pub(super) fn of(outcome: &Outcome, method: AuthMethod) -> Self {
        match &outcome.result {
            Ok(reply) => {
                let packet = reply.packet().ok_or("a packet that is none".to_owned());
                let answer = packet.and_then(|packet| Self::read(&packet, method));
                answer.unwrap_or_else(|what| Self::Malformed(what.into_boxed_str()))
            }
            Err(failure) => Self::None(*failure),
        }
    }

    /// The label of the list of failures and of the transcript.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accepted",
            Self::Reject { .. } => "rejected",
            Self::Challenge { .. } => "challenge",
            Self::OtherService(_) => "other_service",
            Self::Malformed(_) => "malformed_reply",
            Self::None(failure) => failure.label(),
        }
    }

    fn read(packet: &Packet<'_>, method: AuthMethod) -> Result<Self, String> {
        match packet.code {
            Code::ACCESS_ACCEPT => accept(packet, method),
            Code::ACCESS_CHALLENGE if method == AuthMethod::Eap => challenge(packet),
            // A NAS that cannot ask what the server wants to know takes a challenge as a no (RFC 2865,
            // 4.4): PAP and CHAP have no place for it.
            Code::ACCESS_REJECT | Code::ACCESS_CHALLENGE => Ok(reject(packet)),
            other => Err(format!("{other} is no answer to an Access-Request")),
        }
    }
}

fn accept(packet: &Packet<'_>, method: AuthMethod) -> Result<Answer, String> {
    for attribute in packet.attributes() {
        if attribute.kind == kind::SERVICE_TYPE {
            let service = attribute.u32();
            let service = service.map_err(|_| "Service-Type is malformed".to_owned())?;
            if service != line::FRAMED {
                return Ok(Answer::OtherService(service));
            }
        }
    }
    let mut grant = Grant::parse(packet).map_err(|error| error.to_string())?;
    if grant.session_timeout.is_some() {
        // With another time comes another end: what this yes does not say is not left from an earlier one.
        grant
            .termination_action
            .get_or_insert(TerminationAction::Default);
    }
    let authenticator_response = match method {
        AuthMethod::MsChapV2 => Some(proof(packet)?),
        AuthMethod::Chap | AuthMethod::Pap | AuthMethod::Eap | AuthMethod::None => None,
    };
    Ok(Answer::Accept {
        grant: Box::new(grant),
        acceptance: Acceptance {
            authenticator_response,
        },
    })
}

/// What shows an MS-CHAPv2 peer that the server knows his password, without which he would leave: the
/// identifier, "S=" and 40 digits (RFC 2548, 2.3.3).
fn proof(packet: &Packet<'_>) -> Result<[u8; 42], String> {
    let missing = || "MS-CHAP2-Success is missing".to_owned();
    let value = microsoft(packet, vendor::MS_CHAP2_SUCCESS)?.ok_or_else(missing)?;
    let proof = value
        .get(1..)
        .and_then(|rest| <[u8; 42]>::try_from(rest).ok());
    proof
        .filter(|proof| proof.starts_with(b"S="))
        .ok_or_else(|| "MS-CHAP2-Success is malformed".to_owned())
}

fn reject(packet: &Packet<'_>) -> Answer {
    let mut message = packet.joined(kind::REPLY_MESSAGE);
    // What is malformed in a no does not make it a yes: it is left out.
    let error = microsoft(packet, vendor::MS_CHAP_ERROR).ok().flatten();
    let error = error.and_then(|value| value.get(1..)).unwrap_or_default();
    if let (true, Some(text)) = (message.is_empty(), behind(error, b" M=")) {
        message.extend_from_slice(text);
    }
    message.truncate(limits::REPLY_MESSAGE);
    let number = behind(error, b"E=").and_then(|rest| {
        let digits = rest.split(|octet| !octet.is_ascii_digit()).next()?;
        core::str::from_utf8(digits).ok()?.parse().ok()
    });
    Answer::Reject {
        message: message.into(),
        ms_chap_error: number,
    }
}

fn challenge(packet: &Packet<'_>) -> Result<Answer, String> {
    let message = packet.joined(kind::EAP_MESSAGE);
    let state = packet.first(kind::STATE).map(Into::into);
    let malformed = |_| "EAP-Message is malformed".to_owned();
    if message.is_empty() {
        return Err("an Access-Challenge without EAP-Message".to_owned());
    }
    let eap = PppPacket::parse(&message).map_err(malformed)?;
    match EapPacket::parse(&eap).map_err(malformed)? {
        EapPacket::Request(_) => Ok(Answer::Challenge {
            id: eap.id,
            data: eap.data.into(),
            state,
        }),
        EapPacket::Response(_) | EapPacket::Success | EapPacket::Failure => {
            Err("an Access-Challenge whose EAP-Message asks nothing".to_owned())
        }
    }
}

/// The first of Microsoft's attributes with that number.
fn microsoft<'a>(packet: &Packet<'a>, number: u8) -> Result<Option<&'a [u8]>, String> {
    for attribute in packet.attributes() {
        let Some(Ok((vendor::MICROSOFT, all))) = vendors::read(&attribute) else {
            continue;
        };
        for inner in all {
            let inner = inner.map_err(|_| "Vendor-Specific is malformed".to_owned())?;
            if inner.kind == number {
                return Ok(Some(inner.value));
            }
        }
    }
    Ok(None)
}

/// What follows `mark` in `text`.
fn behind<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(mark.len()).position(|part| part == mark)?;
    text.get(at.saturating_add(mark.len())..)
}

#[cfg(test)]
mod tests;
