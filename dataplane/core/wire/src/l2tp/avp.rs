//! The AVP as octets (RFC 2661, 4.1), and the way around hidden ones (4.3).
//!
//! Not here: what a value means ([`Attribute`](super::Attribute)) and how it is enciphered
//! ([`Unhide`], [`Hide`]: the digest belongs to whoever has the secret).

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::attribute::kind;
use super::error::{EmitError, ParseError};
use crate::Reader;

/// One AVP, not yet interpreted.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Avp<'a> {
    /// The M bit: whoever does not know it must end the session or tunnel.
    pub mandatory: bool,
    /// The H bit: the value is enciphered.
    pub hidden: bool,
    /// One of the four reserved bits is set, which makes it an AVP that nobody knows.
    pub reserved: bool,
    /// The SMI network code that the type belongs to; 0 is IETF.
    pub vendor: u16,
    /// The attribute type.
    pub kind: u16,
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Avp<'a> {
    /// Reads one AVP and leaves the cursor on the next; on an error the cursor stays.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] and [`ParseError::LengthBelowHeader`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let mut ahead = *reader;
        let bits = ahead.u16()?;
        let len = usize::from(bits & LENGTH);
        if len < HEADER {
            return Err(ParseError::LengthBelowHeader);
        }
        let mut avp = Reader::new(reader.take(len)?);
        avp.take(2)?;
        Ok(Self {
            mandatory: bits & M != 0,
            hidden: bits & H != 0,
            reserved: bits & RESERVED != 0,
            vendor: avp.u16()?,
            kind: avp.u16()?,
            value: avp.take_rest(),
        })
    }

    /// Appends the AVP.
    ///
    /// # Errors
    /// [`EmitError::ValueTooLong`] beyond 1,017 octets; `out` is as it was.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let too_long = EmitError::ValueTooLong { kind: self.kind };
        let len = self.value.len().saturating_add(HEADER);
        let len = u16::try_from(len)
            .ok()
            .filter(|len| *len <= LENGTH)
            .ok_or(too_long)?;
        let m = if self.mandatory { M } else { 0 };
        let h = if self.hidden { H } else { 0 };
        for field in [m | h | len, self.vendor, self.kind] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(self.value);
        Ok(())
    }

    /// Whether it can be looked up at all: IETF, in clear, with no reserved bit.
    pub const fn is_readable(&self) -> bool {
        self.vendor == 0 && !self.hidden && !self.reserved
    }
}

impl fmt::Debug for Avp<'_> {
    /// The value may be a password, and only its length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Avp")
            .field("mandatory", &self.mandatory)
            .field("hidden", &self.hidden)
            .field("vendor", &self.vendor)
            .field("kind", &self.kind)
            .field("octets", &self.value.len())
            .finish_non_exhaustive()
    }
}

/// The AVPs of a body, one after the other. After an error there are no more.
#[derive(Clone)]
pub struct Avps<'a>(Reader<'a>);

impl<'a> Avps<'a> {
    /// Those of `body`.
    pub const fn new(body: &'a [u8]) -> Self {
        Self(Reader::new(body))
    }
}

impl fmt::Debug for Avps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let avp = Avp::read(&mut self.0);
        if avp.is_err() {
            self.0.take_rest();
        }
        Some(avp)
    }
}

/// Deciphers hidden values (RFC 2661, 4.3).
pub trait Unhide {
    /// Appends the original value of an AVP of attribute type `kind`, hidden as `octets` after the
    /// Random Vector `vector`.
    ///
    /// # Errors
    /// [`UnhideError`]; then `out` may hold anything.
    fn unhide(
        &mut self,
        kind: u16,
        vector: &[u8],
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UnhideError>;
}

/// Enciphers values (RFC 2661, 4.3).
pub trait Hide {
    /// Whether values of attribute type `kind` are to be hidden; asked only for those that may be.
    fn is_hidden(&self, kind: u16) -> bool;

    /// A Random Vector, never the same twice.
    fn vector(&mut self) -> [u8; 16];

    /// Appends `value`, the value of an AVP of attribute type `kind`, hidden after `vector`.
    fn hide(&mut self, kind: u16, vector: &[u8], value: &[u8], out: &mut Vec<u8>);
}

/// Why a hidden value stays hidden.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnhideError {
    /// There is no secret.
    NoSecret,
    /// The original length does not fit the deciphered octets.
    Length,
}

/// Whether any AVP of `body` is hidden. Stops at the first that cannot be read.
pub fn hidden(body: &[u8]) -> bool {
    Avps::new(body).map_while(Result::ok).any(|avp| avp.hidden)
}

/// The same body with nothing hidden; borrowed if it was so already.
///
/// A hidden AVP that nobody can decipher for want of a secret counts as unknown: left out without
/// the M bit, an error with it. Hidden AVPs of other vendors are left as they are.
///
/// # Errors
/// Those of [`Avp::read`], [`ParseError::NoRandomVector`], [`ParseError::HiddenLength`] and
/// [`ParseError::UnknownMandatory`].
pub fn reveal<'a>(body: &'a [u8], unhide: &mut impl Unhide) -> Result<Cow<'a, [u8]>, ParseError> {
    if !hidden(body) {
        return Ok(Cow::Borrowed(body));
    }
    let mut clear = Vec::with_capacity(body.len());
    let mut vector: Option<&[u8]> = None;
    let mut value = Vec::new();
    for avp in Avps::new(body) {
        let avp = avp?;
        if avp.is_readable() && avp.kind == kind::RANDOM_VECTOR {
            vector = Some(avp.value);
        }
        if !avp.hidden || avp.reserved || avp.vendor != 0 {
            copy(&avp, &mut clear)?;
            continue;
        }
        value.clear();
        let vector = vector.ok_or(ParseError::NoRandomVector)?;
        match unhide.unhide(avp.kind, vector, avp.value, &mut value) {
            Ok(()) => copy(
                &Avp {
                    hidden: false,
                    value: &value,
                    ..avp
                },
                &mut clear,
            )?,
            Err(UnhideError::Length) => return Err(ParseError::HiddenLength),
            Err(UnhideError::NoSecret) if avp.mandatory => {
                return Err(ParseError::UnknownMandatory {
                    vendor: 0,
                    kind: avp.kind,
                });
            }
            Err(UnhideError::NoSecret) => {}
        }
    }
    Ok(Cow::Owned(clear))
}

/// Copies an AVP that was read, reserved bits aside: with them it would be unknown, and so it stays.
fn copy(avp: &Avp<'_>, out: &mut Vec<u8>) -> Result<(), ParseError> {
    let start = out.len();
    avp.emit(out).map_err(|_| ParseError::HiddenLength)?;
    if let (true, Some(octet)) = (avp.reserved, out.get_mut(start)) {
        *octet |= 0x3c;
    }
    Ok(())
}

const HEADER: usize = 6;
const M: u16 = 0x8000;
const H: u16 = 0x4000;
const RESERVED: u16 = 0x3c00;
const LENGTH: u16 = 0x03ff;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reverses the value; "deciphers" nothing after an empty vector.
    struct Mirror;

    impl Unhide for Mirror {
        fn unhide(
            &mut self,
            _: u16,
            vector: &[u8],
            octets: &[u8],
            out: &mut Vec<u8>,
        ) -> Result<(), UnhideError> {
            if vector.is_empty() {
                return Err(UnhideError::NoSecret);
            }
            if octets.is_empty() {
                return Err(UnhideError::Length);
            }
            out.extend(octets.iter().rev());
            Ok(())
        }
    }

    #[test]
    fn every_truncation_of_an_avp_is_refused_and_moves_nothing() {
        let octets = [0x80, 8, 0, 0, 0, 9, 0x12, 0x34];
        for len in 0..octets.len() {
            let mut reader = Reader::new(&octets[..len]);
            assert_eq!(Avp::read(&mut reader), Err(ParseError::Truncated), "{len}");
            assert_eq!(reader.len(), len);
        }
        let avp = Avp::read(&mut Reader::new(&octets)).unwrap();
        assert_eq!(
            (avp.mandatory, avp.hidden, avp.reserved),
            (true, false, false)
        );
        assert_eq!((avp.vendor, avp.kind, avp.value), (0, 9, &[0x12, 0x34][..]));
    }

    #[test]
    fn a_length_below_the_header_is_refused() {
        for len in 0..6 {
            let octets = [0, len, 0, 0, 0, 9, 0, 0];
            assert_eq!(
                Avp::read(&mut Reader::new(&octets)),
                Err(ParseError::LengthBelowHeader)
            );
        }
    }

    #[test]
    fn a_walk_ends_after_the_first_error() {
        let octets = [0, 6, 0, 0, 0, 39, 0, 5, 0, 0, 0, 39, 0, 6, 0, 0, 0, 39];
        let kinds: Vec<bool> = Avps::new(&octets).map(|avp| avp.is_ok()).collect();
        assert_eq!(kinds, [true, false]);
    }

    #[test]
    fn a_value_of_1017_octets_is_the_longest() {
        let long = alloc::vec![7; 1018];
        let avp = |value| Avp {
            mandatory: true,
            hidden: false,
            reserved: false,
            vendor: 0,
            kind: 7,
            value,
        };
        let mut out = Vec::new();
        assert_eq!(
            avp(&long).emit(&mut out),
            Err(EmitError::ValueTooLong { kind: 7 })
        );
        assert!(out.is_empty());
        avp(&long[..1017]).emit(&mut out).unwrap();
        assert_eq!(out[..2], [0x83, 0xff]);
        assert_eq!(Avp::read(&mut Reader::new(&out)).unwrap().value.len(), 1017);
    }

    #[test]
    fn a_body_with_nothing_hidden_is_not_copied() {
        let body = [0x80, 8, 0, 0, 0, 0, 0, 6];
        assert!(matches!(reveal(&body, &mut Mirror), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn the_last_random_vector_before_a_hidden_avp_counts() {
        let body = [
            0x80, 7, 0, 0, 0, 36, 1, 0xc0, 8, 0, 0, 0, 9, 5, 6, 0, 6, 0, 0, 0, 36, 0x40, 7, 0, 0,
            0, 25, 1,
        ];
        let clear = reveal(&body, &mut Mirror).unwrap();
        assert_eq!(
            clear[..],
            [
                0x80, 7, 0, 0, 0, 36, 1, 0x80, 8, 0, 0, 0, 9, 6, 5, 0, 6, 0, 0, 0, 36
            ]
        );
    }

    #[test]
    fn what_cannot_be_deciphered_is_refused_by_its_reason() {
        let hidden_first = [0xc0, 8, 0, 0, 0, 9, 5, 6];
        assert_eq!(
            reveal(&hidden_first, &mut Mirror),
            Err(ParseError::NoRandomVector)
        );
        let no_secret = [0x80, 6, 0, 0, 0, 36, 0xc0, 7, 0, 0, 0, 9, 5];
        let unknown = ParseError::UnknownMandatory { vendor: 0, kind: 9 };
        assert_eq!(reveal(&no_secret, &mut Mirror), Err(unknown));
        let lies = [0x80, 7, 0, 0, 0, 36, 1, 0xc0, 6, 0, 0, 0, 9];
        assert_eq!(reveal(&lies, &mut Mirror), Err(ParseError::HiddenLength));
    }

    #[test]
    fn a_hidden_avp_with_reserved_bits_or_of_another_vendor_stays_unreadable() {
        let body = [
            0x80, 7, 0, 0, 0, 36, 1, 0x44, 7, 0, 0, 0, 9, 5, 0x40, 7, 0, 9, 0, 9, 5,
        ];
        let clear = reveal(&body, &mut Mirror).unwrap();
        let readable: Vec<bool> = Avps::new(&clear)
            .map(|avp| avp.unwrap().is_readable())
            .collect();
        assert_eq!(readable, [true, false, false]);
    }
}
