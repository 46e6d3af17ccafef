//! One attribute (RFC 2865, 5), and the typed values that it may have.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::{ParseError, kind};
use crate::{Reader, Truncated};

/// One attribute, its value not yet interpreted.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Attribute<'a> {
    /// Its number: see [`kind`].
    pub kind: u8,
    /// At most 253 octets.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Reads one and leaves the cursor on the next.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] and [`ParseError::AttributeLength`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, ParseError> {
        let kind = reader.u8()?;
        let value = reader
            .u8()?
            .checked_sub(2)
            .ok_or(ParseError::AttributeLength)?;
        Ok(Self {
            kind,
            value: reader.take(usize::from(value))?,
        })
    }

    /// An integer or a time.
    ///
    /// # Errors
    /// It is not four octets long.
    pub fn u32(&self) -> Result<u32, Truncated> {
        self.exactly().map(u32::from_be_bytes)
    }

    /// An IPv4 address.
    ///
    /// # Errors
    /// It is not four octets long.
    pub fn ipv4(&self) -> Result<Ipv4Addr, Truncated> {
        self.exactly::<4>().map(Ipv4Addr::from)
    }

    /// An IPv6 address.
    ///
    /// # Errors
    /// It is not sixteen octets long.
    pub fn ipv6(&self) -> Result<Ipv6Addr, Truncated> {
        self.exactly::<16>().map(Ipv6Addr::from)
    }

    /// A value of a fixed length.
    ///
    /// # Errors
    /// It has another one.
    pub fn exactly<const N: usize>(&self) -> Result<[u8; N], Truncated> {
        self.value.try_into().map_err(|_| Truncated)
    }

    /// Whose attribute it is and what is in it, if it is a vendor's (RFC 2865, 5.26).
    ///
    /// # Errors
    /// There is no vendor in it.
    pub fn vendor(&self) -> Option<Result<(u32, Attributes<'a>), Truncated>> {
        (self.kind == kind::VENDOR_SPECIFIC).then(|| {
            let mut reader = Reader::new(self.value);
            let vendor = reader.u32()?;
            Ok((vendor, Attributes::new(reader.take_rest())))
        })
    }
}

impl fmt::Debug for Attribute<'_> {
    /// The value may be a password, and only its length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attribute")
            .field("kind", &self.kind)
            .field("octets", &self.value.len())
            .finish()
    }
}

/// Attributes one after the other. What is not whole ends them: [`Packet::parse`](super::Packet::parse)
/// lets no such packet in, and a vendor may have put anything into its own.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(Reader<'a>);

impl<'a> Attributes<'a> {
    /// Those in `octets`.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(Reader::new(octets))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let attribute = Attribute::read(&mut self.0).ok();
        if attribute.is_none() {
            self.0.take_rest();
        }
        attribute
    }
}
