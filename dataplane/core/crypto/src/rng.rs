//! The core's only source of randomness: a `ChaCha12` stream from a seed that the caller gives.
//!
//! The process seeds it from the operating system; a test or the simulator from a number, and then
//! every id, challenge and magic number of a run repeats.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A cryptographically strong generator whose whole output follows from its seed.
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator that will give the same values for the same `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// A uniformly drawn `u16`.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// A uniformly drawn `u32`.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// `N` uniformly drawn octets.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }

    /// Fills `octets` with uniformly drawn ones.
    pub fn fill(&mut self, octets: &mut [u8]) {
        self.0.fill_bytes(octets);
    }
}

impl core::fmt::Debug for Rng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_values_and_different_seeds_do_not() {
        let draw = |seed| Rng::from_seed([seed; 32]).array::<16>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
