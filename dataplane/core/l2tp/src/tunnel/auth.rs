//! Tunnel authentication (RFC 2661, 5.1.1): each side may challenge the other once, in its SCCRQ or
//! SCCRP.

use lns_crypto::Rng;
use lns_crypto::l2tp::{challenge_response, is_challenge_response};
use lns_wire::l2tp::MessageType;

use crate::config::{SecretChoice, Secrets};
use crate::reason::StopReason;

/// A challenge of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Challenge(pub(super) [u8; 16]);

impl Challenge {
    /// A new one, and never the one that the peer has sent.
    pub(super) fn draw(rng: &mut Rng, theirs: Option<&[u8]>) -> Self {
        let mut octets: [u8; 16] = rng.array();
        if theirs == Some(&octets[..]) {
            octets = rng.array();
        }
        Self(octets)
    }

    /// One that was sent by an earlier node.
    pub(super) const fn sent(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    pub(super) const fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Which of the secrets the peer has proved to know with `response` in a message of type `kind`.
    ///
    /// # Errors
    /// [`StopReason::NotAuthorized`]: none of them.
    pub(super) fn verify(
        self,
        secrets: &Secrets,
        first: SecretChoice,
        kind: MessageType,
        response: Option<[u8; 16]>,
    ) -> Result<SecretChoice, StopReason> {
        let response = response.ok_or(StopReason::NotAuthorized)?;
        secrets
            .find(first, |secret| {
                is_challenge_response(octet(kind), secret, &self.0, &response)
            })
            .ok_or(StopReason::NotAuthorized)
    }
}

/// The answer to the peer's challenge in a message of type `kind`, if it has sent one.
///
/// # Errors
/// [`StopReason::NotAuthorized`] when there is no secret to answer with.
pub(super) fn respond(
    secrets: Option<&Secrets>,
    choice: SecretChoice,
    kind: MessageType,
    challenge: Option<&[u8]>,
) -> Result<Option<[u8; 16]>, StopReason> {
    let Some(challenge) = challenge else {
        return Ok(None);
    };
    let secrets = secrets.ok_or(StopReason::NotAuthorized)?;
    Ok(Some(challenge_response(
        octet(kind),
        secrets.choose(choice),
        challenge,
    )))
}

/// The number of the message type, as the digest takes it in.
fn octet(kind: MessageType) -> u8 {
    let [_, low] = kind.number().to_be_bytes();
    low
}
