//! Requests as packets: what is added to the asker's attributes, and how it is signed.
//!
//! A packet lies in one buffer for as long as its request lives. Sent again it is the same octets; with
//! another Acct-Delay-Time it is changed where it lies.

use lns_crypto::radius::{
    Authenticator, NO_AUTHENTICATOR, hidden_password_len, hide_password, sign_message, sign_request,
};
use lns_crypto::{Rng, Secret};
use lns_wire::radius::{AttributeList, Code, HEADER, Id, MAX_PACKET, kind};

/// Where the value of the Message-Authenticator is: it is always the first attribute (CVE-2024-3596).
const MESSAGE_AUTHENTICATOR: usize = HEADER + 2;
/// Where the identifier is.
const ID: usize = 1;
/// Where the Request Authenticator is.
const AUTHENTICATOR: core::ops::Range<usize> = 4..20;

/// It does not fit into 4,096 octets, or the password not into 128.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooLarge;

/// What a packet is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) code: Code,
    pub(crate) id: Id,
    /// The asker's, and those of the NAS behind them.
    pub(crate) attributes: [&'a AttributeList; 2],
    pub(crate) password: Option<&'a Secret>,
    /// Acct-Delay-Time, seconds.
    pub(crate) delay: Option<u32>,
}

/// What has to be known of a packet afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Written {
    pub(crate) authenticator: Authenticator,
    /// Where the value of Acct-Delay-Time is.
    pub(crate) delay_at: Option<usize>,
}

/// Writes and signs a packet into `out`.
pub(crate) fn write(
    parts: &Parts<'_>,
    secret: &Secret,
    rng: &mut Rng,
    out: &mut Vec<u8>,
) -> Result<Written, TooLarge> {
    let accounting = parts.code == Code::ACCOUNTING_REQUEST;
    let authenticator = if accounting {
        NO_AUTHENTICATOR
    } else {
        rng.array()
    };
    out.clear();
    out.extend_from_slice(&[parts.code.0, parts.id.0, 0, 0]);
    out.extend_from_slice(&authenticator);
    if !accounting {
        attribute(out, kind::MESSAGE_AUTHENTICATOR, &NO_AUTHENTICATOR)?;
    }
    for list in parts.attributes {
        out.extend_from_slice(list.octets());
    }
    if let Some(password) = parts.password {
        user_password(out, password, &authenticator, secret)?;
    }
    let delay_at = match parts.delay {
        None => None,
        Some(delay) => {
            attribute(out, kind::ACCT_DELAY_TIME, &delay.to_be_bytes())?;
            out.len().checked_sub(4)
        }
    };
    put_length(out)?;
    if !accounting {
        sign_message(out, MESSAGE_AUTHENTICATOR, &authenticator, secret).map_err(|_| TooLarge)?;
        return Ok(Written {
            authenticator,
            delay_at,
        });
    }
    Ok(Written {
        authenticator: sign_accounting(out, secret)?,
        delay_at,
    })
}

/// Puts another identifier and another Acct-Delay-Time into an Accounting-Request, and signs it anew.
pub(crate) fn patch_delay(
    packet: &mut [u8],
    id: Id,
    delay_at: usize,
    delay: u32,
    secret: &Secret,
) -> Result<Authenticator, TooLarge> {
    let place = packet.get_mut(delay_at..delay_at.saturating_add(4));
    place.ok_or(TooLarge)?.copy_from_slice(&delay.to_be_bytes());
    *packet.get_mut(ID).ok_or(TooLarge)? = id.0;
    sign_accounting(packet, secret)
}

fn sign_accounting(packet: &mut [u8], secret: &Secret) -> Result<Authenticator, TooLarge> {
    sign_request(packet, secret).map_err(|_| TooLarge)?;
    let authenticator = packet.get(AUTHENTICATOR).and_then(|it| it.try_into().ok());
    authenticator.ok_or(TooLarge)
}

fn user_password(
    out: &mut Vec<u8>,
    password: &Secret,
    authenticator: &Authenticator,
    secret: &Secret,
) -> Result<(), TooLarge> {
    let len = hidden_password_len(password).map_err(|_| TooLarge)?;
    let octets = u8::try_from(len.saturating_add(2)).map_err(|_| TooLarge)?;
    out.extend_from_slice(&[kind::USER_PASSWORD, octets]);
    let at = out.len();
    out.resize(at.saturating_add(len), 0);
    let value = out.get_mut(at..).ok_or(TooLarge)?;
    hide_password(value, password, authenticator, secret).map_err(|_| TooLarge)
}

fn attribute(out: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), TooLarge> {
    let len = u8::try_from(value.len().saturating_add(2)).map_err(|_| TooLarge)?;
    out.extend_from_slice(&[kind, len]);
    out.extend_from_slice(value);
    Ok(())
}

fn put_length(out: &mut [u8]) -> Result<(), TooLarge> {
    if out.len() > MAX_PACKET {
        return Err(TooLarge);
    }
    let length = u16::try_from(out.len()).map_err(|_| TooLarge)?;
    let place = out.get_mut(2..4).ok_or(TooLarge)?;
    place.copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use lns_crypto::radius::{reveal_password, verify_message, verify_request};
    use lns_wire::radius::Packet;

    use super::*;

    fn secret() -> Secret {
        Secret::new(*b"xyzzy5461")
    }

    fn rng() -> Rng {
        Rng::from_seed([7; 32])
    }

    fn list(kind: u8, value: &[u8]) -> AttributeList {
        let mut list = AttributeList::new();
        list.push(kind, value).unwrap();
        list
    }

    #[test]
    fn the_message_authenticator_comes_first_and_is_right() {
        let (user, nas) = (
            list(kind::USER_NAME, b"u"),
            list(kind::NAS_IDENTIFIER, b"n"),
        );
        let password = Secret::new(*b"secret password that is longer than sixteen");
        for code in [Code::ACCESS_REQUEST, Code::STATUS_SERVER] {
            let parts = Parts {
                code,
                id: Id(7),
                attributes: [&user, &nas],
                password: Some(&password),
                delay: None,
            };
            let mut out = vec![1, 2, 3];
            let written = write(&parts, &secret(), &mut rng(), &mut out).unwrap();
            let packet = Packet::parse(&out).unwrap();
            assert_eq!((packet.code, packet.id), (code, Id(7)));
            assert_eq!(packet.authenticator, written.authenticator);
            let first = packet.attributes().next().unwrap();
            assert_eq!(first.kind, kind::MESSAGE_AUTHENTICATOR);
            assert!(verify_message(&out, 22, &packet.authenticator, &secret()));
            let hidden = packet.first(kind::USER_PASSWORD).unwrap();
            let shown = reveal_password(hidden, &packet.authenticator, &secret()).unwrap();
            assert_eq!(shown.expose(), password.expose());
        }
    }

    #[test]
    fn an_accounting_request_is_signed_by_its_authenticator_and_its_delay_changes_in_place() {
        let (user, nas) = (
            list(kind::USER_NAME, b"u"),
            list(kind::NAS_IDENTIFIER, b"n"),
        );
        let parts = Parts {
            code: Code::ACCOUNTING_REQUEST,
            id: Id(7),
            attributes: [&user, &nas],
            password: None,
            delay: Some(3),
        };
        let mut out = Vec::new();
        let written = write(&parts, &secret(), &mut rng(), &mut out).unwrap();
        assert!(verify_request(&out, &secret()));
        assert!(
            Packet::parse(&out)
                .unwrap()
                .first(kind::MESSAGE_AUTHENTICATOR)
                .is_none()
        );
        let at = written.delay_at.unwrap();
        let anew = patch_delay(&mut out, Id(8), at, 5, &secret()).unwrap();
        assert_ne!(anew, written.authenticator);
        assert!(verify_request(&out, &secret()));
        let packet = Packet::parse(&out).unwrap();
        assert_eq!((packet.id, packet.authenticator), (Id(8), anew));
        assert_eq!(packet.first(kind::ACCT_DELAY_TIME), Some(&[0, 0, 0, 5][..]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (mut large, nas) = (AttributeList::new(), AttributeList::new());
        large.push_long(kind::EAP_MESSAGE, &[0; 4000]);
        let parts = |password| Parts {
            code: Code::ACCESS_REQUEST,
            id: Id(1),
            attributes: [&large, &nas],
            password,
            delay: None,
        };
        let mut out = Vec::new();
        let mut refused = |password| {
            let parts = parts(password);
            write(&parts, &secret(), &mut rng(), &mut out).is_err()
        };
        assert!(!refused(None));
        let (long, longest) = (Secret::new([b'x'; 65]), Secret::new([b'x'; 129]));
        assert!(refused(Some(&long)), "more than 4,096 octets");
        assert!(refused(Some(&longest)), "a password of 129");
    }
}
