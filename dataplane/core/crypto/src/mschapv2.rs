//! MS-CHAPv2 (RFC 2759, 8): what a peer answers to a challenge, and what an authenticator answers to
//! show that it knows the password too.
//!
//! Left out: changing a password (RFC 2759, 7), deriving keys (RFC 3079).

use alloc::vec::Vec;
use core::{iter, str};

use des::Des;
use des::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use md4::{Digest as _, Md4};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Secret;

/// What both sides know without the password.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The value of the Challenge.
    pub authenticator_challenge: &'a [u8; 16],
    /// The first 16 octets of the response value.
    pub peer_challenge: &'a [u8; 16],
    /// The name as the peer sent it; a domain before the last backslash is left out of the digest
    /// (RFC 2759, 4).
    pub user_name: &'a [u8],
}

impl Exchange<'_> {
    /// What a peer that knows `password` answers (RFC 2759, 8.1, `GenerateNTResponse`).
    pub fn nt_response(&self, password: &Secret) -> [u8; 24] {
        challenge_response(self.challenge(), &nt_password_hash(password))
    }

    /// What shows the peer that we know `password` (RFC 2759, 8.7): "S=" and 40 digits.
    pub fn authenticator_response(&self, password: &Secret, nt_response: &[u8; 24]) -> [u8; 42] {
        let password_hash = nt_password_hash(password);
        let hash_of_hash = Zeroizing::new(digest_md4(&password_hash[..]));
        let first: [u8; 20] = Sha1::new()
            .chain_update(&hash_of_hash[..])
            .chain_update(nt_response)
            .chain_update(MAGIC_SERVER_TO_CLIENT)
            .finalize()
            .into();
        let second: [u8; 20] = Sha1::new()
            .chain_update(first)
            .chain_update(self.challenge())
            .chain_update(MAGIC_PAD)
            .finalize()
            .into();
        success_text(second)
    }

    /// The authenticator's answer if `nt_response` is right, compared in constant time.
    pub fn verify(&self, password: &Secret, nt_response: &[u8; 24]) -> Option<[u8; 42]> {
        let right = bool::from(self.nt_response(password).ct_eq(nt_response));
        right.then(|| self.authenticator_response(password, nt_response))
    }

    /// RFC 2759, 8.2, `ChallengeHash`.
    fn challenge(&self) -> [u8; 8] {
        let digest: [u8; 20] = Sha1::new()
            .chain_update(self.peer_challenge)
            .chain_update(self.authenticator_challenge)
            .chain_update(without_domain(self.user_name))
            .finalize()
            .into();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

/// MD4 of the password in UTF-16LE (RFC 2759, 8.3, `NtPasswordHash`). A password that is no UTF-8 is
/// taken octet by octet, as if it were Latin-1.
pub fn nt_password_hash(password: &Secret) -> Zeroizing<[u8; 16]> {
    let mut unicode = utf16_le(password.expose());
    let hash = digest_md4(&unicode);
    unicode.zeroize();
    Zeroizing::new(hash)
}

fn digest_md4(octets: &[u8]) -> [u8; 16] {
    Md4::digest(octets).into()
}

/// Sized once, so that no grown-out-of copy of the password stays in freed memory.
fn utf16_le(password: &[u8]) -> Vec<u8> {
    let mut units = Vec::with_capacity(password.len().saturating_mul(2));
    match str::from_utf8(password) {
        Ok(text) => units.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        Err(_) => units.extend(password.iter().flat_map(|&octet| [octet, 0])),
    }
    units
}

fn without_domain(name: &[u8]) -> &[u8] {
    name.rsplit(|&octet| octet == b'\\').next().unwrap_or(name)
}

/// RFC 2759, 8.5, `ChallengeResponse`: the hash in three DES keys of seven octets, the last padded.
fn challenge_response(challenge: [u8; 8], password_hash: &[u8; 16]) -> [u8; 24] {
    let mut response = [0; 24];
    for (block, key) in response.chunks_exact_mut(8).zip(password_hash.chunks(KEY)) {
        block.copy_from_slice(&des_encrypt(challenge, key));
    }
    response
}

/// RFC 2759, 8.6, `DesEncrypt`: 56 key bits, zeros where `key` ends, spread over eight octets whose
/// lowest bit DES ignores.
fn des_encrypt(clear: [u8; 8], key: &[u8]) -> [u8; 8] {
    let padded = key.iter().copied().chain(iter::repeat(0)).take(KEY);
    let bits = padded.fold(0_u64, |bits, octet| bits << 8 | u64::from(octet));
    let mut spread = Zeroizing::new([0; 8]);
    for (shift, octet) in (0_u32..8).rev().zip(spread.iter_mut()) {
        let [.., seven] = (bits >> shift.saturating_mul(7)).to_be_bytes();
        *octet = seven << 1;
    }
    let mut block = clear.into();
    Des::new(&(*spread).into()).encrypt_block(&mut block);
    block.into()
}

fn success_text(digest: [u8; 20]) -> [u8; 42] {
    let mut text = [0; 42];
    let digits = digest
        .iter()
        .flat_map(|&octet| [digit(octet >> 4), digit(octet & 0x0f)]);
    for (to, from) in text.iter_mut().zip(b"S=".iter().copied().chain(digits)) {
        *to = from;
    }
    text
}

/// Upper case: RFC 2759, 5 wants it so.
fn digit(nibble: u8) -> u8 {
    let base = if nibble < 10 {
        b'0'
    } else {
        b'A'.wrapping_sub(10)
    };
    base.wrapping_add(nibble)
}

/// Octets of a DES key without its parity bits.
const KEY: usize = 7;
/// RFC 2759, 8.7, `Magic1`.
const MAGIC_SERVER_TO_CLIENT: &[u8] = b"Magic server to client signing constant";
/// RFC 2759, 8.7, `Magic2`.
const MAGIC_PAD: &[u8] = b"Pad to make it do more than one iteration";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2759, 9.2.
    const AUTHENTICATOR: [u8; 16] =
        *b"\x5B\x5D\x7C\x7D\x7B\x3F\x2F\x3E\x3C\x2C\x60\x21\x32\x26\x26\x28";
    const PEER: [u8; 16] = *b"\x21\x40\x23\x24\x25\x5E\x26\x2A\x28\x29\x5F\x2B\x3A\x33\x7C\x7E";
    const NT_RESPONSE: [u8; 24] =
        *b"\x82\x30\x9E\xCD\x8D\x70\x8B\x5E\xA0\x8F\xAA\x39\x81\xCD\x83\x54\x42\x33\x11\x4A\x3D\x85\xD6\xDF";

    fn exchange(user_name: &[u8]) -> Exchange<'_> {
        Exchange {
            authenticator_challenge: &AUTHENTICATOR,
            peer_challenge: &PEER,
            user_name,
        }
    }

    #[test]
    fn the_vectors_of_rfc_2759_come_out() {
        let password = Secret::new(*b"clientPass");
        assert_eq!(
            *nt_password_hash(&password),
            *b"\x44\xEB\xBA\x8D\x53\x12\xB8\xD6\x11\x47\x44\x11\xF5\x69\x89\xAE"
        );
        assert_eq!(
            digest_md4(&nt_password_hash(&password)[..]),
            *b"\x41\xC0\x0C\x58\x4B\xD2\xD9\x1C\x40\x17\xA2\xA1\x2F\xA5\x9F\x3F"
        );
        assert_eq!(
            exchange(b"User").challenge(),
            *b"\xD0\x2E\x43\x86\xBC\xE9\x12\x26"
        );
        assert_eq!(exchange(b"User").nt_response(&password), NT_RESPONSE);
        assert_eq!(
            &exchange(b"User").authenticator_response(&password, &NT_RESPONSE),
            b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
        );
    }

    #[test]
    fn a_domain_in_front_of_the_name_is_not_digested() {
        let password = Secret::new(*b"clientPass");
        assert_eq!(exchange(b"ISP\\User").nt_response(&password), NT_RESPONSE);
        assert_ne!(exchange(b"ISP/User").nt_response(&password), NT_RESPONSE);
    }

    #[test]
    fn only_the_right_response_earns_our_proof() {
        let password = Secret::new(*b"clientPass");
        assert!(exchange(b"User").verify(&password, &NT_RESPONSE).is_some());
        assert_eq!(exchange(b"user").verify(&password, &NT_RESPONSE), None);
        assert_eq!(
            exchange(b"User").verify(&Secret::new(*b"clientpass"), &NT_RESPONSE),
            None
        );
        for at in 0..NT_RESPONSE.len() {
            let mut wrong = NT_RESPONSE;
            wrong[at] ^= 0x80;
            assert_eq!(exchange(b"User").verify(&password, &wrong), None);
        }
    }

    #[test]
    fn passwords_are_hashed_as_utf16_little_endian() {
        assert_eq!(
            utf16_le("a\u{e9}\u{1f600}".as_bytes()),
            b"a\0\xe9\0\x3d\xd8\x00\xde"
        );
        assert_eq!(utf16_le(b"a\xff"), b"a\0\xff\0");
        // The hash of the empty password is MD4 of nothing, printed in RFC 1320, A.5.
        assert_eq!(
            *nt_password_hash(&Secret::new(*b"")),
            *b"\x31\xd6\xcf\xe0\xd1\x6a\xe9\x31\xb7\x3c\x59\xd7\xe0\xc0\x89\xc0"
        );
    }
}
