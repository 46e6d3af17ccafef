//! Where attributes are in a packet that is already written, so that it can be changed where it lies.

use core::ops::Range;

use super::{Attribute, HEADER};
use crate::Reader;

/// Where the value of one attribute is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Its number: see [`kind`](super::kind).
    pub kind: u8,
    /// Its value, from the first octet of the header.
    pub value: Range<usize>,
}

/// The places of all attributes of `packet`, header included, in their order. What is not whole ends them.
///
/// ```
/// use lns_wire::radius::{AttributeList, Code, Id, kind, places};
///
/// let mut attributes = AttributeList::new();
/// attributes.push(kind::MESSAGE_AUTHENTICATOR, &[0; 16]).unwrap();
/// attributes.push_u32(kind::ACCT_DELAY_TIME, 0);
/// let mut packet = Vec::new();
/// attributes.emit(Code::ACCESS_REQUEST, Id(1), &[0; 16], &mut packet).unwrap();
/// let delay = places(&packet).find(|place| place.kind == kind::ACCT_DELAY_TIME).unwrap();
/// assert_eq!(delay.value, 40..44);
/// ```
pub const fn places(packet: &[u8]) -> Places<'_> {
    Places { packet, at: HEADER }
}

/// What [`places`] gives.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Iterator for Places<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let rest = self.packet.get(self.at..)?;
        let attribute = Attribute::read(&mut Reader::new(rest)).ok()?;
        let start = self.at.saturating_add(2);
        self.at = start.saturating_add(attribute.value.len());
        Some(Place {
            kind: attribute.kind,
            value: start..self.at,
        })
    }
}
