//! Netlink attributes: a type, a length and a value, one behind the other and one in another.

use netlink_packet_core::{DefaultNla, Emitable as _, NlasIterator};

use super::consts::{NLA_F_NESTED, NLA_TYPE_MASK};

/// A list of attributes that is being written. Numbers are big-endian, as nftables has them.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// An empty list.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds octets as they are.
    pub(super) fn octets(mut self, kind: u16, value: &[u8]) -> Self {
        let attribute = DefaultNla::new(kind, value.to_vec());
        let mut written = vec![0; attribute.buffer_len()];
        attribute.emit(&mut written);
        self.0.append(&mut written);
        self
    }

    /// Adds a text, with the zero behind it.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut octets = value.as_bytes().to_vec();
        octets.push(0);
        self.octets(kind, &octets)
    }

    /// Adds a number of 32 bits.
    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// Adds a number of 32 bits with a sign.
    pub(super) fn signed(self, kind: u16, value: i32) -> Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// Adds a number of 64 bits.
    pub(super) fn long(self, kind: u16, value: u64) -> Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// Adds a list in the list.
    pub(super) fn nested(self, kind: u16, inner: Self) -> Self {
        let Self(octets) = inner;
        self.octets(kind | NLA_F_NESTED, &octets)
    }

    /// What was written.
    pub(super) fn into_octets(self) -> Vec<u8> {
        self.0
    }
}

/// The value of the first attribute of `kind` in a list that was received.
pub(super) fn find(octets: &[u8], kind: u16) -> Option<Vec<u8>> {
    NlasIterator::new(octets)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() & NLA_TYPE_MASK == kind)
        .map(|attribute| attribute.value().to_vec())
}

/// The values of all attributes in a list that was received.
pub(super) fn values(octets: &[u8]) -> Vec<Vec<u8>> {
    NlasIterator::new(octets)
        .filter_map(Result::ok)
        .map(|attribute| attribute.value().to_vec())
        .collect()
}

/// A text that was received, without the zero behind it.
pub(super) fn text(octets: &[u8]) -> String {
    let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested_as_the_kernel_reads_them() {
        let inner = Attributes::new().text(1, "ab").number(2, 0x0102_0304);
        let octets = Attributes::new().nested(3, inner).into_octets();
        let (head, rest) = octets.split_at(4);
        assert_eq!(
            head,
            [20_u16.to_ne_bytes(), 0x8003_u16.to_ne_bytes()].concat()
        );
        let (text, number) = rest.split_at(8);
        assert_eq!(&text[..2], 7_u16.to_ne_bytes());
        assert_eq!(&text[4..], b"ab\0\0");
        assert_eq!(&number[4..], [1, 2, 3, 4]);
    }

    #[test]
    fn what_was_written_is_found() {
        let octets = Attributes::new().text(1, "x").long(9, 7).into_octets();
        assert_eq!(find(&octets, 9), Some(7_u64.to_be_bytes().to_vec()));
        assert_eq!(find(&octets, 2), None);
        assert_eq!(text(&find(&octets, 1).unwrap_or_default()), "x");
    }
}
