//! Steps for a machine, read from octets: whatever the octets are, they are some list of steps.

/// A cursor that never fails: where octets lack there are zeros.
#[derive(Debug)]
pub(crate) struct Ops<'a> {
    rest: &'a [u8],
}

impl<'a> Ops<'a> {
    /// Over `octets`.
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The code of the next step, while there are any.
    pub(crate) fn step(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// One octet.
    pub(crate) fn u8(&mut self) -> u8 {
        self.step().unwrap_or_default()
    }

    /// A number of two octets.
    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Octets behind their length, which has two octets: `( ... )` in a corpus file. A length beyond
    /// the end is wrapped around, so that random octets are some list too.
    pub(crate) fn octets(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        let room = self.rest.len();
        let len = if len > room { len % (room + 1) } else { len };
        let (octets, rest) = self.rest.split_at(len);
        self.rest = rest;
        octets
    }
}
