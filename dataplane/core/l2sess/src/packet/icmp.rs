//! ICMP messages: which are questions and answers, which carry an identifier, which are errors
//! (RFC 792, RFC 950, RFC 4443, RFC 4620).

use super::Upper;
use crate::key::Family;

/// The length of an ICMP header, octets: what is behind it in an error is the quote.
pub(super) const HEADER: usize = 8;

/// The type of the question that a message of type `kind` asks or answers; `None` when it does neither.
pub(super) const fn question(family: Family, kind: u8) -> Option<u8> {
    match (family, kind) {
        // Echo.
        (Family::IPv4, 8 | 0) => Some(8),
        // Timestamp.
        (Family::IPv4, 13 | 14) => Some(13),
        // Information.
        (Family::IPv4, 15 | 16) => Some(15),
        // Address mask.
        (Family::IPv4, 17 | 18) => Some(17),
        // Echo.
        (Family::IPv6, 128 | 129) => Some(128),
        // Node information.
        (Family::IPv6, NODE_QUESTION | NODE_ANSWER) => Some(NODE_QUESTION),
        _ => None,
    }
}

/// Whether a message of type `kind` tells of a packet that did not arrive. Not redirects and source
/// quenches, which tell a host what to do with those that do: policy decides on them (RFC 6633 has
/// hosts ignore the latter).
pub(super) const fn is_error(family: Family, kind: u8) -> bool {
    match family {
        Family::IPv4 => matches!(kind, 3 | 11 | 12),
        Family::IPv6 => matches!(kind, 1..=4),
    }
}

/// The message that `octets` begin with.
pub(super) fn read(family: Family, octets: &[u8]) -> Upper {
    let Some([kind, code, _, _, high, low, ..]) = octets.first_chunk::<HEADER>().copied() else {
        return Upper::Unreadable;
    };
    let identifier = match (family, kind) {
        // The nonce begins behind the type of the question and its flags (RFC 4620, 4).
        (Family::IPv6, NODE_QUESTION | NODE_ANSWER) => {
            let nonce = octets.get(HEADER..).and_then(<[u8]>::first_chunk::<2>);
            let Some(nonce) = nonce else {
                return Upper::Unreadable;
            };
            u16::from_be_bytes(*nonce)
        }
        _ if question(family, kind).is_some() => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    Upper::Icmp {
        kind,
        code,
        identifier,
    }
}

const NODE_QUESTION: u8 = 139;
const NODE_ANSWER: u8 = 140;
