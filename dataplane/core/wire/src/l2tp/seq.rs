//! Sequence numbers modulo 65,536 (RFC 2661, 5.8 and appendix A).

use core::fmt;

/// An Ns or Nr. It has no `Ord`, since numbers that wrap have no order: there is only
/// [`Seq16::is_before`], good for numbers less than half the space apart.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Seq16(pub u16);

impl Seq16 {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The number `steps` after this one.
    #[must_use]
    pub const fn plus(self, steps: u16) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// The number `steps` before this one.
    #[must_use]
    pub const fn minus(self, steps: u16) -> Self {
        Self(self.0.wrapping_sub(steps))
    }

    /// How many steps forward lead from here to `to`.
    pub const fn distance(self, to: Self) -> u16 {
        to.0.wrapping_sub(self.0)
    }

    /// Whether this is one of the 32,767 numbers that precede `other` (RFC 2661, 5.8: a message whose
    /// Ns is the last one received or any of the 32,767 before it is a duplicate).
    pub const fn is_before(self, other: Self) -> bool {
        let steps = self.distance(other);
        steps != 0 && steps < 0x8000
    }
}

impl fmt::Display for Seq16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_over_the_signed_and_the_unsigned_wrap() {
        for edge in [32_767_u16, 65_535, 0, 1] {
            let (here, there) = (Seq16(edge), Seq16(edge).next());
            assert!(here.is_before(there), "{edge}");
            assert!(!there.is_before(here), "{edge}");
            assert!(!here.is_before(here), "{edge}");
            assert_eq!(here.distance(there), 1);
            assert_eq!(there.distance(here), 65_535);
            assert_eq!(there.minus(1), here);
        }
        assert_eq!(Seq16(65_535).next(), Seq16(0));
        assert_eq!(Seq16(32_767).next(), Seq16(32_768));
    }

    #[test]
    fn exactly_the_32767_numbers_before_are_before() {
        let here = Seq16(5);
        let before = (0..=u16::MAX).filter(|n| Seq16(*n).is_before(here)).count();
        assert_eq!(before, 32_767);
        assert!(here.minus(32_767).is_before(here));
        assert!(!here.minus(32_768).is_before(here));
    }
}
