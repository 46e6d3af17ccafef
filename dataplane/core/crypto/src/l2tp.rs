//! The two uses that L2TP makes of MD5 (RFC 2661): hiding AVP values (4.3) and answering a tunnel's
//! challenge (4.4.3 and 5.1.1).
//!
//! What is hidden, when, and with which Random Vector is for the caller to say; a vector must never
//! be used twice with one secret.

use alloc::vec::Vec;

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

use crate::Secret;

/// The hidden value does not hold a value of the length that it claims: it was hidden with another
/// secret, or never.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongLength;

/// Appends `value`, the value of an AVP of attribute type `kind`, hidden after the Random Vector
/// `vector`. `padding` goes behind the value before it is enciphered, so that its length does not
/// tell the value's.
///
/// A value beyond 65,535 octets is cut off: no AVP can hold one of more than 1,015.
pub fn hide(
    secret: &Secret,
    kind: u16,
    vector: &[u8],
    value: &[u8],
    padding: &[u8],
    out: &mut Vec<u8>,
) {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let start = out.len();
    out.extend_from_slice(&len.to_be_bytes());
    out.extend(value.iter().take(usize::from(len)));
    out.extend_from_slice(padding);
    let mut mask = first_mask(secret, kind, vector);
    for block in out.get_mut(start..).unwrap_or_default().chunks_mut(BLOCK) {
        apply(&mask, block);
        mask = next_mask(secret, block);
    }
}

/// Appends the value that `hidden` hides.
///
/// # Errors
/// [`WrongLength`] when fewer than two octets are there, or the length among them goes beyond them;
/// `out` is then as it was.
pub fn unhide(
    secret: &Secret,
    kind: u16,
    vector: &[u8],
    hidden: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), WrongLength> {
    let mut clear = Vec::with_capacity(hidden.len());
    let mut mask = first_mask(secret, kind, vector);
    for block in hidden.chunks(BLOCK) {
        let start = clear.len();
        clear.extend_from_slice(block);
        apply(&mask, clear.get_mut(start..).unwrap_or_default());
        mask = next_mask(secret, block);
    }
    let (len, rest) = clear.split_first_chunk::<2>().ok_or(WrongLength)?;
    let len = usize::from(u16::from_be_bytes(*len));
    out.extend_from_slice(rest.get(..len).ok_or(WrongLength)?);
    Ok(())
}

/// The answer to `challenge` in a message whose type has the number `message_type`: 2 for an SCCRP, 3
/// for an SCCCN.
pub fn challenge_response(message_type: u8, secret: &Secret, challenge: &[u8]) -> [u8; 16] {
    digest(&[&[message_type], secret.expose(), challenge])
}

/// Whether `response` answers `challenge` in such a message, in constant time.
pub fn is_challenge_response(
    message_type: u8,
    secret: &Secret,
    challenge: &[u8],
    response: &[u8; 16],
) -> bool {
    challenge_response(message_type, secret, challenge)
        .ct_eq(response)
        .into()
}

fn first_mask(secret: &Secret, kind: u16, vector: &[u8]) -> [u8; BLOCK] {
    digest(&[&kind.to_be_bytes(), secret.expose(), vector])
}

fn next_mask(secret: &Secret, enciphered: &[u8]) -> [u8; BLOCK] {
    digest(&[secret.expose(), enciphered])
}

fn digest(parts: &[&[u8]]) -> [u8; BLOCK] {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

fn apply(mask: &[u8; BLOCK], block: &mut [u8]) {
    for (octet, mask) in block.iter_mut().zip(mask) {
        *octet ^= mask;
    }
}

const BLOCK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR: [u8; 16] = *b"0123456789abcdef";

    fn hidden(value: &[u8], padding: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        hide(
            &Secret::new(*b"s3cret"),
            30,
            &VECTOR,
            value,
            padding,
            &mut out,
        );
        out
    }

    fn clear(secret: &[u8], hidden: &[u8]) -> Result<Vec<u8>, WrongLength> {
        let mut out = Vec::new();
        unhide(&Secret::new(secret), 30, &VECTOR, hidden, &mut out).map(|()| out)
    }

    #[test]
    fn values_of_every_length_come_back_with_and_without_padding() {
        let value: Vec<u8> = (0..=255).collect();
        for len in [0, 1, 13, 14, 15, 16, 29, 30, 31, 32, 46, 255] {
            for padding in [&[][..], &[1, 2, 3]] {
                let hidden = hidden(&value[..len], padding);
                assert_eq!(hidden.len(), 2 + len + padding.len());
                assert_eq!(clear(b"s3cret", &hidden).unwrap(), value[..len]);
            }
        }
    }

    /// Computed from RFC 2661, 4.3 with another implementation of MD5: three blocks.
    #[test]
    fn a_hidden_name_is_the_vector_computed_elsewhere() {
        let octets = [
            0x19, 0x36, 0xdd, 0x7a, 0x09, 0x45, 0x5c, 0x09, 0x76, 0x0a, 0xc8, 0xb0, 0x0f, 0x7e,
            0x8d, 0x5e, 0x48, 0x90, 0x4f, 0xe2, 0xe4, 0x41, 0xf5, 0x32, 0x2d, 0xe9, 0x70, 0x4c,
            0x0f, 0x87, 0x81, 0x72, 0xf9, 0xac, 0xd8,
        ];
        assert_eq!(hidden(b"subscriber-0001@wholesale.example", &[]), octets);
        assert_eq!(
            clear(b"s3cret", &octets).unwrap(),
            b"subscriber-0001@wholesale.example"
        );
    }

    /// Computed with another implementation of MD5.
    #[test]
    fn challenge_responses_are_those_computed_elsewhere() {
        let secret = Secret::new(*b"s3cret");
        let sccrp = 0x3c46_8671_513e_a8f7_d10e_4e66_9d73_5150_u128;
        let scccn = 0xf728_f36b_ea2a_79fa_4702_9b4d_6150_9b6a_u128;
        assert_eq!(
            challenge_response(2, &secret, b"challenge"),
            sccrp.to_be_bytes()
        );
        assert_eq!(
            challenge_response(3, &secret, b"challenge"),
            scccn.to_be_bytes()
        );
    }

    #[test]
    fn truncated_and_lying_values_are_refused() {
        let whole = hidden(b"user@isp", &[]);
        for len in 0..whole.len() {
            assert_eq!(clear(b"s3cret", &whole[..len]), Err(WrongLength), "{len}");
        }
        assert_eq!(clear(b"other", &whole), Err(WrongLength));
    }

    #[test]
    fn the_response_depends_on_the_message_that_carries_it() {
        let secret = Secret::new(*b"s3cret");
        let response = challenge_response(2, &secret, b"challenge");
        assert!(is_challenge_response(2, &secret, b"challenge", &response));
        assert!(!is_challenge_response(3, &secret, b"challenge", &response));
        assert!(!is_challenge_response(2, &secret, b"challengf", &response));
        assert!(!is_challenge_response(
            2,
            &Secret::new(*b"S3cret"),
            b"challenge",
            &response
        ));
    }
}
