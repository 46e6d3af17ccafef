//! Which change of a cluster's records this is.

use core::fmt;
use core::str::FromStr;

use crate::record::Epoch;

/// Which change: the epoch in which it was made, and its place among those of the epoch. Marks grow with
/// every change, over masterships too.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mark {
    /// The mastership.
    pub epoch: Epoch,
    /// Its place there; the claim has one, too.
    pub seq: u64,
}

impl Mark {
    /// Before every change.
    pub const ZERO: Self = Self {
        epoch: Epoch::NONE,
        seq: 0,
    };

    /// The first number that a store which compares in Lua does not know exactly.
    pub const INEXACT: u64 = 1 << 53;

    /// The mark of these numbers, if every store compares them exactly: both are below
    /// [`INEXACT`](Self::INEXACT).
    pub const fn new(epoch: Epoch, seq: u64) -> Option<Self> {
        let mark = Self { epoch, seq };
        if !mark.is_exact() {
            return None;
        }
        Some(mark)
    }

    /// Whether every store compares it exactly.
    pub const fn is_exact(self) -> bool {
        self.epoch.number() < Self::INEXACT && self.seq < Self::INEXACT
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.number(), self.seq)
    }
}

impl FromStr for Mark {
    type Err = ();

    /// What its `Display` writes, and Redis gives as the id of an entry.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, seq) = text.split_once('-').ok_or(())?;
        let epoch = epoch.parse().ok().and_then(Epoch::new).ok_or(())?;
        Self::new(epoch, seq.parse().map_err(|_| ())?).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_lua_does_not_know_are_no_marks() {
        let epoch = |number| Epoch::new(number).unwrap();
        assert_eq!(Mark::new(epoch(Mark::INEXACT), 0), None);
        assert_eq!(Mark::new(epoch(1), Mark::INEXACT), None);
        assert_eq!(Mark::new(epoch(0), 0), Some(Mark::ZERO));
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "1-9007199254740992",
            "1-1-1",
            "18446744073709551615-1",
        ] {
            assert_eq!(text.parse::<Mark>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_mark_is_read_as_it_is_written(epoch in 0..Mark::INEXACT, seq in 0..Mark::INEXACT) {
            let mark = Mark::new(Epoch::new(epoch).unwrap(), seq).unwrap();
            prop_assert_eq!(mark.to_string().parse(), Ok(mark));
        }

        #[test]
        fn marks_are_ordered_by_epoch_and_then_by_place(a in any::<(u32, u32)>(), b in any::<(u32, u32)>()) {
            let mark = |(epoch, seq)| Mark::new(Epoch::new(u64::from(epoch)).unwrap(), u64::from(seq)).unwrap();
            prop_assert_eq!(mark(a).cmp(&mark(b)), a.cmp(&b));
        }
    }
}
