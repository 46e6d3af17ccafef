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
            RawOption::read(&mut ahead)?;
        }
        Ok(list)
    }

    /// The options in their order.
    pub fn iter(self) -> impl Iterator<Item = RawOption<'a>> {
        let mut rest = self.rest;
        core::iter::from_fn(move || RawOption::read(&mut rest).ok())
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

impl<'a> RawOption<'a> {
    /// Reads one option and leaves the cursor on the next; on an error the cursor stays. For a list
    /// that is shown rather than acted on: [`Options`] checks the whole of it.
    ///
    /// # Errors
    /// [`Error::OptionLength`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut ahead = *reader;
        let (kind, len) = (ahead.u8(), ahead.u8());
        let (Ok(kind), Ok(len)) = (kind, len.map(usize::from)) else {
            return Err(Error::OptionLength);
        };
        if len < HEADER {
            return Err(Error::OptionLength);
        }
        let octets = reader.take(len).map_err(|_| Error::OptionLength)?;
        Ok(Self {
            kind,
            value: octets.get(HEADER..).unwrap_or_default(),
            octets,
        })
    }
}

/// Appends an option. A value longer than 253 octets does not fit one and is cut; none of ours is.
pub fn emit_option(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = value.get(..MAX_VALUE).unwrap_or(value);
    let len = u8::try_from(value.len().saturating_add(HEADER)).unwrap_or(u8::MAX);
    out.extend_from_slice(&[kind, len]);
    out.extend_from_slice(value);
}

const HEADER: usize = 2;
const MAX_VALUE: usize = 253;
