//! What RADIUS makes of MD5: authenticators (RFC 2865, 3; RFC 2866, 3; RFC 5176, 2.3), the
//! Message-Authenticator (RFC 3579, 3.2), and hidden values: User-Password (RFC 2865, 5.2),
//! Tunnel-Password (RFC 2868, 3.5) and the MS-MPPE keys (RFC 2548, 2.4.2).
//!
//! Packets are octets here: a header of 20, then attributes, and nothing behind them. Where an attribute
//! is, and which packets must be signed how, is for the caller to say. Signing and verifying work in place
//! and allocate nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::Secret;

/// The sixteen octets that the Request Authenticator, the Response Authenticator and the
/// Message-Authenticator each are.
pub type Authenticator = [u8; 16];

/// What stands for an authenticator that is still to be computed.
pub const NO_AUTHENTICATOR: Authenticator = [0; 16];

/// The longest User-Password, octets (RFC 2865, 5.2).
pub const MAX_PASSWORD: usize = 128;

/// Where the authenticator is in a packet.
const PLACE: Range<usize> = 4..20;

/// Octets that MD5 masks at once.
const BLOCK: usize = 16;

/// The packet is shorter than its header, or what should be written or read lies outside of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutOfPlace;

/// Signs an Accounting-Request, a CoA-Request or a Disconnect-Request by its Request Authenticator
/// (RFC 2866, 3; RFC 5176, 2.3).
///
/// # Errors
/// [`OutOfPlace`]; the packet is as it was.
pub fn sign_request(packet: &mut [u8], secret: &Secret) -> Result<(), OutOfPlace> {
    sign_response(packet, &NO_AUTHENTICATOR, secret)
}

/// Whether that signature is right, in constant time.
pub fn verify_request(packet: &[u8], secret: &Secret) -> bool {
    verify_response(packet, &NO_AUTHENTICATOR, secret)
}

/// Signs an answer by its Response Authenticator (RFC 2865, 3). A Message-Authenticator must be in it
/// already: it is among what is signed.
///
/// # Errors
/// [`OutOfPlace`]; the packet is as it was.
pub fn sign_response(
    packet: &mut [u8],
    request: &Authenticator,
    secret: &Secret,
) -> Result<(), OutOfPlace> {
    let authenticator = response_authenticator(packet, request, secret).ok_or(OutOfPlace)?;
    write(packet, PLACE.start, &authenticator)
}

/// Whether that signature is right for an answer to a request with the authenticator `request`, in
/// constant time.
pub fn verify_response(packet: &[u8], request: &Authenticator, secret: &Secret) -> bool {
    let expected = response_authenticator(packet, request, secret);
    equal(expected, packet.get(PLACE))
}

/// Signs a packet by the Message-Authenticator whose value begins at `at` (RFC 3579, 3.2).
///
/// `header` is taken for the packet's authenticator: of an Access-Request and a Status-Server its own, of
/// an answer that of the request, of all other requests [`NO_AUTHENTICATOR`].
///
/// # Errors
/// [`OutOfPlace`]; the packet is as it was.
pub fn sign_message(
    packet: &mut [u8],
    at: usize,
    header: &Authenticator,
    secret: &Secret,
) -> Result<(), OutOfPlace> {
    let authenticator = message_authenticator(packet, at, header, secret).ok_or(OutOfPlace)?;
    write(packet, at, &authenticator)
}

/// Whether that signature is right, in constant time.
pub fn verify_message(packet: &[u8], at: usize, header: &Authenticator, secret: &Secret) -> bool {
    let expected = message_authenticator(packet, at, header, secret);
    equal(expected, packet.get(at..at.saturating_add(BLOCK)))
}

/// Octets of a User-Password that hides `password`: whole blocks, one at least.
///
/// # Errors
/// [`PasswordTooLong`].
pub fn hidden_password_len(password: &Secret) -> Result<usize, PasswordTooLong> {
    let octets = password.expose().len();
    if octets > MAX_PASSWORD {
        return Err(PasswordTooLong);
    }
    Ok(octets
        .div_ceil(BLOCK)
        .clamp(1, MAX_PASSWORD / BLOCK)
        .saturating_mul(BLOCK))
}

/// The password is longer than the 128 octets that a User-Password hides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PasswordTooLong;

/// Writes `password`, hidden, over the value of a User-Password (RFC 2865, 5.2), which is
/// [`hidden_password_len`] octets long.
///
/// # Errors
/// [`OutOfPlace`]: `value` has another length; it is as it was.
pub fn hide_password(
    value: &mut [u8],
    password: &Secret,
    request: &Authenticator,
    secret: &Secret,
) -> Result<(), OutOfPlace> {
    if hidden_password_len(password) != Ok(value.len()) {
        return Err(OutOfPlace);
    }
    let mut mask = digest(&[secret.expose(), request]);
    let clear = password.expose().iter().chain(core::iter::repeat(&0));
    value
        .iter_mut()
        .zip(clear)
        .for_each(|(to, from)| *to = *from);
    for block in value.chunks_mut(BLOCK) {
        apply(&mask, block);
        mask = digest(&[secret.expose(), block]);
    }
    Ok(())
}

/// The password that a User-Password hides, without the zeroes behind it. `None`: the value is not of one
/// to eight whole blocks.
pub fn reveal_password(value: &[u8], request: &Authenticator, secret: &Secret) -> Option<Secret> {
    if value.is_empty() || value.len() > MAX_PASSWORD {
        return None;
    }
    let mut clear = reveal(value, &[request], secret).ok()?;
    let end = clear.iter().rposition(|octet| *octet != 0);
    Some(cut(
        &mut clear,
        0,
        end.map_or(0, |last| last.saturating_add(1)),
    ))
}

/// What a value with a salt hides: of a Tunnel-Password what is behind its tag (RFC 2868, 3.5), of an
/// MS-MPPE-Send-Key or MS-MPPE-Recv-Key all of it (RFC 2548, 2.4.2). `request` is the Request
/// Authenticator of what was answered.
///
/// # Errors
/// [`WrongSalted`]: what is wrong with it. With a wrong secret it is this too, more often than not.
pub fn reveal_salted(
    value: &[u8],
    request: &Authenticator,
    secret: &Secret,
) -> Result<Secret, WrongSalted> {
    let (salt, hidden) = value
        .split_first_chunk::<2>()
        .ok_or(WrongSalted::Truncated)?;
    if hidden.is_empty() {
        return Err(WrongSalted::Truncated);
    }
    let mut clear = reveal(hidden, &[request, salt], secret)?;
    let end = clear
        .first()
        .map_or(0, |len| usize::from(*len).saturating_add(1));
    if end > clear.len() {
        clear.zeroize();
        return Err(WrongSalted::Length);
    }
    Ok(cut(&mut clear, 1, end))
}

/// Why a value with a salt cannot be revealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WrongSalted {
    /// There is no salt, or nothing behind it.
    Truncated,
    /// What is behind the salt is not whole blocks.
    Blocks,
    /// The length that it hides goes beyond it: most likely another secret hid it.
    Length,
}

/// Unmasks whole blocks; the first mask is over the secret and `first`.
fn reveal(hidden: &[u8], first: &[&[u8]], secret: &Secret) -> Result<Vec<u8>, WrongSalted> {
    if !hidden.len().is_multiple_of(BLOCK) {
        return Err(WrongSalted::Blocks);
    }
    let mut clear = hidden.to_vec();
    let mut md5 = Md5::new().chain_update(secret.expose());
    for part in first {
        md5.update(part);
    }
    let mut mask: Authenticator = md5.finalize().into();
    for (block, hidden) in clear.chunks_mut(BLOCK).zip(hidden.chunks(BLOCK)) {
        apply(&mask, block);
        mask = digest(&[secret.expose(), hidden]);
    }
    Ok(clear)
}

/// A part as a secret; the whole is wiped.
fn cut(clear: &mut Vec<u8>, from: usize, to: usize) -> Secret {
    let part: Box<[u8]> = clear.get(from..to).unwrap_or_default().into();
    clear.zeroize();
    Secret::new(part)
}

fn response_authenticator(
    packet: &[u8],
    request: &Authenticator,
    secret: &Secret,
) -> Option<Authenticator> {
    let head = packet.get(..PLACE.start)?;
    let attributes = packet.get(PLACE.end..)?;
    Some(digest(&[head, request, attributes, secret.expose()]))
}

fn message_authenticator(
    packet: &[u8],
    at: usize,
    header: &Authenticator,
    secret: &Secret,
) -> Option<Authenticator> {
    let head = packet.get(..PLACE.start)?;
    let before = packet.get(PLACE.end..at)?;
    let behind = packet.get(at.checked_add(BLOCK)?..)?;
    let mut mac = Hmac::<Md5>::new_from_slice(secret.expose()).ok()?;
    for part in [head, header, before, &NO_AUTHENTICATOR, behind] {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().into())
}

fn write(packet: &mut [u8], at: usize, authenticator: &Authenticator) -> Result<(), OutOfPlace> {
    let place = packet
        .get_mut(at..at.saturating_add(BLOCK))
        .ok_or(OutOfPlace)?;
    place.copy_from_slice(authenticator);
    Ok(())
}

fn equal(expected: Option<Authenticator>, found: Option<&[u8]>) -> bool {
    let (Some(expected), Some(found)) = (expected, found) else {
        return false;
    };
    expected.ct_eq(found).into()
}

fn digest(parts: &[&[u8]]) -> Authenticator {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

fn apply(mask: &Authenticator, block: &mut [u8]) {
    for (octet, mask) in block.iter_mut().zip(mask) {
        *octet ^= mask;
    }
}

#[cfg(test)]
mod tests;
