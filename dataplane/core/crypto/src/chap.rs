//! CHAP with MD5 (RFC 1994, 4.1): the digest of identifier, secret and challenge.

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

use crate::Secret;

/// What a peer that knows `secret` answers to `challenge`.
pub fn response(id: u8, secret: &Secret, challenge: &[u8]) -> [u8; 16] {
    Md5::new()
        .chain_update([id])
        .chain_update(secret.expose())
        .chain_update(challenge)
        .finalize()
        .into()
}

/// Whether `answer` is that response: its length first, then its contents in constant time.
pub fn verify(id: u8, secret: &Secret, challenge: &[u8], answer: &[u8]) -> bool {
    let expected = response(id, secret, challenge);
    answer.len() == expected.len() && bool::from(expected.ct_eq(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_identifier_secret_and_challenge_in_this_order() {
        // MD5 of "abc" and of "message digest" are printed in RFC 1321, A.5.
        let abc = *b"\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72";
        assert_eq!(response(b'a', &Secret::new(*b"b"), b"c"), abc);
        let message_digest = *b"\xf9\x6b\x69\x7d\x7c\xb7\x93\x8d\x52\x5a\x2f\x31\xaa\xf1\x61\xd0";
        assert_eq!(
            response(b'm', &Secret::new(*b"essage "), b"digest"),
            message_digest
        );
        assert!(verify(b'a', &Secret::new(*b"b"), b"c", &abc));
    }

    #[test]
    fn a_wrong_or_shortened_answer_is_refused() {
        let secret = Secret::new(*b"b");
        let right = response(1, &secret, b"c");
        for at in 0..right.len() {
            let mut wrong = right;
            wrong[at] ^= 1;
            assert!(!verify(1, &secret, b"c", &wrong));
            assert!(!verify(1, &secret, b"c", &right[..at]));
        }
        assert!(!verify(2, &secret, b"c", &right));
        assert!(!verify(1, &Secret::new(*b""), b"c", &right));
    }
}
