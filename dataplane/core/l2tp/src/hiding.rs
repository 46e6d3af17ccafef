//! Hidden AVPs with a tunnel's secrets (RFC 2661, 4.3).
//!
//! Received: with the secret that the peer has proved, then with the other one, since a peer may
//! change its secret while the tunnel is up. Sent: in call messages only, when a proof has shown which
//! secret the peer has; there everything that the RFC lets be hidden, padded to whole blocks.

use std::borrow::Cow;

use lns_crypto::l2tp::{hide, unhide};
use lns_crypto::{Rng, Secret};
use lns_wire::l2tp::{Hide, ParseError, Unhide, UnhideError, reveal};

use crate::config::{SecretChoice, Secrets};

/// The body with nothing hidden, and the secret that revealed it: `choice` unless only the other one
/// fits. The node does so with an SCCRQ, whose tunnel does not exist yet.
///
/// # Errors
/// Those of [`reveal`].
pub fn open<'a>(
    body: &'a [u8],
    secrets: Option<&Secrets>,
    choice: SecretChoice,
) -> Result<(Cow<'a, [u8]>, SecretChoice), ParseError> {
    let attempt = |choice| {
        reveal(
            body,
            &mut Revealer(secrets.map(|secrets| secrets.choose(choice))),
        )
    };
    match attempt(choice) {
        Err(ParseError::HiddenLength)
            if secrets.is_some_and(|secrets| secrets.previous.is_some()) =>
        {
            attempt(choice.other()).map(|clear| (clear, choice.other()))
        }
        clear => clear.map(|clear| (clear, choice)),
    }
}

struct Revealer<'s>(Option<&'s Secret>);

impl Unhide for Revealer<'_> {
    fn unhide(
        &mut self,
        kind: u16,
        vector: &[u8],
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UnhideError> {
        let secret = self.0.ok_or(UnhideError::NoSecret)?;
        unhide(secret, kind, vector, octets, out).map_err(|_| UnhideError::Length)
    }
}

/// Hides with one secret.
#[derive(Debug)]
pub struct Hider<'s> {
    secret: &'s Secret,
    rng: &'s mut Rng,
}

impl<'s> Hider<'s> {
    /// Hides with `secret`; vectors and padding come from `rng`.
    pub const fn new(secret: &'s Secret, rng: &'s mut Rng) -> Self {
        Self { secret, rng }
    }
}

impl Hide for Hider<'_> {
    fn is_hidden(&self, _: u16) -> bool {
        true
    }

    fn vector(&mut self) -> [u8; 16] {
        self.rng.array()
    }

    fn hide(&mut self, kind: u16, vector: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let padding: [u8; 16] = self.rng.array();
        let used = value.len().saturating_add(2);
        let room = MAX_HIDDEN.saturating_sub(used);
        let fill = used.next_multiple_of(16).saturating_sub(used).min(room);
        hide(
            self.secret,
            kind,
            vector,
            value,
            padding.get(..fill).unwrap_or_default(),
            out,
        );
    }
}

/// The longest value of an AVP, octets.
const MAX_HIDDEN: usize = 1_017;

#[cfg(test)]
mod tests {
    use lns_wire::id::PeerSessionId;
    use lns_wire::l2tp::{Icrq, Message};

    use super::*;

    fn icrq() -> Message<'static> {
        Message::Icrq(Icrq {
            assigned_session: PeerSessionId(7),
            serial_number: 1,
            calling_number: Some(b"0301234567"),
            ..Icrq::default()
        })
    }

    fn hidden(secret: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let secret = Secret::new(secret);
        icrq()
            .emit_hidden(
                &mut Hider::new(&secret, &mut Rng::from_seed([1; 32])),
                &mut out,
            )
            .unwrap();
        out
    }

    fn both() -> Secrets {
        Secrets {
            current: Secret::new(*b"now"),
            previous: Some(Secret::new(*b"old")),
        }
    }

    #[test]
    fn a_hidden_message_shows_nothing_and_opens_with_either_secret() {
        for (secret, choice) in [
            (&b"now"[..], SecretChoice::Current),
            (b"old", SecretChoice::Previous),
        ] {
            let body = hidden(secret);
            assert!(!body.windows(10).any(|octets| octets == b"0301234567"));
            assert_eq!(
                Message::parse(&body),
                Err(ParseError::UnknownMandatory {
                    vendor: 0,
                    kind: 14
                })
            );
            let (clear, opened_by) = open(&body, Some(&both()), SecretChoice::Current).unwrap();
            assert_eq!(opened_by, choice);
            assert_eq!(Message::parse(&clear), Ok(icrq()));
        }
    }

    #[test]
    fn a_wrong_secret_makes_the_message_malformed_and_none_makes_its_avps_unknown() {
        let body = hidden(b"another");
        let error = open(&body, Some(&both()), SecretChoice::Current).unwrap_err();
        assert!(error.is_malformed(), "{error}");
        let error = open(&body, None, SecretChoice::Current).unwrap_err();
        assert_eq!(
            error,
            ParseError::UnknownMandatory {
                vendor: 0,
                kind: 14
            }
        );
    }

    #[test]
    fn the_length_of_a_short_value_is_not_told() {
        let mut rng = Rng::from_seed([2; 32]);
        let secret = Secret::new(*b"now");
        let mut lengths = [1, 5, 14].map(|len| {
            let mut out = Vec::new();
            Hider::new(&secret, &mut rng).hide(22, &[0; 16], &vec![b'0'; len], &mut out);
            out.len()
        });
        lengths.sort_unstable();
        assert_eq!(lengths, [16, 16, 16]);
    }
}
