//! Attributes that are to be sent.

use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::packet::emit;
use super::{Attribute, Attributes, Code, EmitError, Id, kind};

/// Octets of a value at most.
const MAX_VALUE: usize = 253;

/// Attributes in the order in which they are sent.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct AttributeList(Vec<u8>);

impl AttributeList {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`EmitError::ValueTooLong`]; nothing is added then.
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), EmitError> {
        let too_long = EmitError::ValueTooLong(kind);
        if value.len() > MAX_VALUE {
            return Err(too_long);
        }
        let length = value.len().saturating_add(2);
        let length = u8::try_from(length).map_err(|_| too_long)?;
        self.0.extend_from_slice(&[kind, length]);
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// Adds an integer or a time.
    pub fn push_u32(&mut self, kind: u8, value: u32) {
        self.push_fixed(kind, 6, &value.to_be_bytes());
    }

    /// Adds an IPv4 address.
    pub fn push_ipv4(&mut self, kind: u8, value: Ipv4Addr) {
        self.push_fixed(kind, 6, &value.octets());
    }

    /// Adds an IPv6 address.
    pub fn push_ipv6(&mut self, kind: u8, value: Ipv6Addr) {
        self.push_fixed(kind, 18, &value.octets());
    }

    fn push_fixed(&mut self, kind: u8, length: u8, value: &[u8]) {
        self.0.extend_from_slice(&[kind, length]);
        self.0.extend_from_slice(value);
    }

    /// Adds a vendor's attribute (RFC 2865, 5.26).
    ///
    /// # Errors
    /// [`EmitError::ValueTooLong`] beyond 247 octets; nothing is added then.
    pub fn push_vendor(&mut self, vendor: u32, number: u8, value: &[u8]) -> Result<(), EmitError> {
        let too_long = EmitError::ValueTooLong(kind::VENDOR_SPECIFIC);
        let inner = u8::try_from(value.len().saturating_add(2)).map_err(|_| too_long)?;
        let outer = inner.checked_add(6).ok_or(too_long)?;
        self.0.extend_from_slice(&[kind::VENDOR_SPECIFIC, outer]);
        self.0.extend_from_slice(&vendor.to_be_bytes());
        self.0.extend_from_slice(&[number, inner]);
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// Adds a value that may be longer than one attribute holds, in as many as it takes (EAP-Message,
    /// RFC 3579, 3.1).
    pub fn push_long(&mut self, kind: u8, value: &[u8]) {
        for part in value.chunks(MAX_VALUE) {
            let _: Result<(), EmitError> = self.push(kind, part);
        }
    }

    /// They as octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// They as they can be read.
    pub fn iter(&self) -> Attributes<'_> {
        Attributes::new(&self.0)
    }

    /// Writes a packet with them; the authenticator is as given, and nothing is signed.
    ///
    /// # Errors
    /// [`EmitError::PacketTooLong`]; `out` is empty then.
    pub fn emit(
        &self,
        code: Code,
        id: Id,
        authenticator: &[u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<(), EmitError> {
        emit(code, id, authenticator, &self.0, out)
    }
}

impl<'a> IntoIterator for &'a AttributeList {
    type Item = Attribute<'a>;
    type IntoIter = Attributes<'a>;

    fn into_iter(self) -> Attributes<'a> {
        self.iter()
    }
}

impl From<Vec<u8>> for AttributeList {
    /// Attributes that were octets before, as a store has kept them.
    fn from(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl fmt::Debug for AttributeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
