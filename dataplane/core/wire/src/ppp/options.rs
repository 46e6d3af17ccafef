//! The option list of a Configure packet: Type, Length, Data (RFC 1661, 6).

use alloc::vec::Vec;

use super::Error;
use crate::Reader;

/// A checked option list: each Length is at least 2 and the last option ends where the list does.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: Reader<'a>,
}

impl<'a> Options<'a> {
    /// Checks the whole list at once, so that nothing acts on the first half of a broken one.
    ///
    /// # Errors
    /// [`Error::OptionLength`].
    pub fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let list = Self {
            rest: Reader::new(data),
        };
        let mut ahead = list.rest;
        while !ahead.is_empty() {
            next_option(&mut ahead).ok_or(Error::OptionLength)?;
        }
        Ok(list)
    }

    /// The options in their order.
    pub fn iter(self) -> impl Iterator<Item = RawOption<'a>> {
        let mut rest = self.rest;
        core::iter::from_fn(move || next_option(&mut rest))
    }
}

/// One option as it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RawOption<'a> {
    /// Its type. What it means depends on the protocol.
    pub kind: u8,
    /// What follows Type and Length.
    pub value: &'a [u8],
    /// The whole option: what an Ack or Reject sends back.
    pub octets: &'a [u8],
}

/// Appends an option. A value longer than 253 octets does not fit one and is cut; none of ours is.
pub fn emit_option(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = value.get(..MAX_VALUE).unwrap_or(value);
    let len = u8::try_from(value.len().saturating_add(HEADER)).unwrap_or(u8::MAX);
    out.extend_from_slice(&[kind, len]);
    out.extend_from_slice(value);
}

fn next_option<'a>(reader: &mut Reader<'a>) -> Option<RawOption<'a>> {
    let mut ahead = *reader;
    let kind = ahead.u8().ok()?;
    let len = usize::from(ahead.u8().ok()?);
    if len < HEADER {
        return None;
    }
    let octets = reader.take(len).ok()?;
    Some(RawOption {
        kind,
        value: octets.get(HEADER..)?,
        octets,
    })
}

const HEADER: usize = 2;
const MAX_VALUE: usize = 253;
