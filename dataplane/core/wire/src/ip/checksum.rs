//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// A running ones' complement sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self(0)
    }

    /// With `octets` added, as 16-bit words; an odd last octet is padded with zero, so only the last
    /// addition may be odd.
    ///
    /// # Cost
    /// Linear; 65,535 octets cannot overflow the sum, nor can 2^47 of them.
    #[must_use]
    pub fn octets(self, octets: &[u8]) -> Self {
        let (pairs, last) = octets.as_chunks::<2>();
        let sum = pairs
            .iter()
            .fold(self, |sum, pair| sum.word(u16::from_be_bytes(*pair)));
        last.first()
            .map_or(sum, |octet| sum.word(u16::from_be_bytes([*octet, 0])))
    }

    /// With one word added.
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0.wrapping_add(widen(word)))
    }

    /// With the upper layer's pseudo-header added: both addresses, length and protocol (RFC 8200, 8.1;
    /// the sum is the same as that of RFC 9293, 3.1 for IPv4).
    #[must_use]
    pub fn pseudo_header(
        self,
        source: &[u8],
        destination: &[u8],
        length: u32,
        protocol: u8,
    ) -> Self {
        self.octets(source)
            .octets(destination)
            .octets(&length.to_be_bytes())
            .word(u16::from(protocol))
    }

    /// The checksum: the complement of the folded sum.
    pub const fn finish(self) -> u16 {
        !fold(self.0)
    }
}

/// The checksum of `octets` alone.
pub fn of(octets: &[u8]) -> u16 {
    Sum::new().octets(octets).finish()
}

/// `checksum` after one of the words that it covers changed from `old` to `new` (RFC 1624, 3,
/// equation 3).
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = widen(!checksum)
        .wrapping_add(widen(!old))
        .wrapping_add(widen(new));
    !fold(sum)
}

#[allow(
    clippy::as_conversions,
    clippy::cast_lossless,
    reason = "u64::from is not const; widening loses nothing"
)]
const fn widen(word: u16) -> u64 {
    word as u64
}

#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the carry was folded in: at most 16 bits are left"
)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff).wrapping_add(sum >> 32);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_to_its_value() {
        assert_eq!(
            !of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
    }

    #[test]
    fn an_odd_last_octet_counts_as_the_high_half_of_a_word() {
        assert_eq!(of(&[0x12, 0x34, 0x56]), of(&[0x12, 0x34, 0x56, 0x00]));
    }

    #[test]
    fn an_update_equals_a_new_sum_for_every_old_and_new_edge() {
        let edges = [0, 1, 0x7fff, 0x8000, 0xdd2f, 0xfffe, 0xffff];
        for old in edges {
            for new in edges {
                let words = |word: u16| Sum::new().word(0x4500).word(word).word(0xbeef).finish();
                assert_eq!(
                    update(words(old), old, new),
                    words(new),
                    "{old:#x} to {new:#x}"
                );
            }
        }
    }

    #[test]
    fn the_example_of_rfc_1624_does_not_turn_into_minus_zero() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn the_largest_packet_of_ones_folds() {
        assert_eq!(of(&alloc::vec![0xff; 65_534]), 0);
    }
}
