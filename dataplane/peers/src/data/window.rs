//! Which frames of a key have come: each counter is taken once, by whichever thread is first, and none
//! that is too far behind (RFC 6479 has the idea of the ring).
//!
//! A word of the ring is for a block of 32 counters: the upper half says for which block, the lower half
//! which of its counters have come. One compare-and-swap takes a counter; there is no lock.

use core::sync::atomic::{AtomicU64, Ordering};

use super::refused::Refused;
use crate::limits::{SEALED, WINDOW};

/// Counters of one word.
const BLOCK: u64 = 32;

/// Words: twice the window, so that no word that the window needs is taken for a later block.
const WORDS: usize = 64;

// A block's number and one bit per counter share a word.
const _: () = assert!(SEALED / BLOCK <= 1 << 32 && WINDOW * 2 == 64 * BLOCK);

/// Which frames have come.
#[derive(Debug)]
pub(super) struct Window {
    highest: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            highest: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    /// The highest counter that has come.
    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    /// Whether this counter may be taken, for now: it spares opening what could not be. Changes nothing.
    pub(super) fn admits(&self, counter: u64) -> Result<(), Refused> {
        let word = self.word(counter)?.load(Ordering::Relaxed);
        step(word, counter).map(|_| ())
    }

    /// Takes the counter of a frame that has proved to be genuine.
    pub(super) fn take(&self, counter: u64) -> Result<(), Refused> {
        let word = self.word(counter)?;
        let mut before = word.load(Ordering::Acquire);
        loop {
            let after = step(before, counter)?;
            match word.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => before = now,
            }
        }
        self.highest.fetch_max(counter, Ordering::AcqRel);
        Ok(())
    }

    /// Where a counter is that is not too far behind.
    fn word(&self, counter: u64) -> Result<&AtomicU64, Refused> {
        if counter >= SEALED {
            return Err(Refused::Worn);
        }
        if counter.saturating_add(WINDOW) <= self.highest.load(Ordering::Acquire) {
            return Err(Refused::Late);
        }
        let place = usize::try_from(block(counter)).ok();
        let place = place.and_then(|block| block.checked_rem(WORDS));
        place
            .and_then(|place| self.words.get(place))
            .ok_or(Refused::Late)
    }
}

const fn block(counter: u64) -> u64 {
    counter / BLOCK
}

/// What a word becomes when a counter of its place is taken.
const fn step(word: u64, counter: u64) -> Result<u64, Refused> {
    let (of, block) = (word >> 32, block(counter));
    let bit = 1 << (counter % BLOCK);
    if of > block {
        return Err(Refused::Late);
    }
    if of < block {
        return Ok(block << 32 | bit);
    }
    if word & bit != 0 {
        return Err(Refused::Repeated);
    }
    Ok(word | bit)
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]
mod tests {
    use core::sync::atomic::AtomicUsize;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What the window should be.
    #[derive(Default)]
    struct Model {
        taken: BTreeSet<u64>,
        highest: u64,
    }

    impl Model {
        fn take(&mut self, counter: u64) -> Result<(), Refused> {
            if counter >= SEALED {
                return Err(Refused::Worn);
            }
            if counter + WINDOW <= self.highest {
                return Err(Refused::Late);
            }
            if !self.taken.insert(counter) {
                return Err(Refused::Repeated);
            }
            self.highest = self.highest.max(counter);
            Ok(())
        }
    }

    /// Where the next counter is: near the last, at an edge, or anywhere.
    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let window = i64::try_from(WINDOW).unwrap();
        let step = prop_oneof![
            6 => -3_i64..8,
            2 => -window - 2..=-window + 2,
            1 => -3 * window..3 * window,
            1 => Just(2 * window),
            1 => 100_000_i64..3_000_000,
        ];
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn the_window_takes_what_the_model_takes(steps in steps()) {
            let (window, mut model) = (Window::new(), Model::default());
            let mut at = 0_u64;
            for step in steps {
                let counter = at.saturating_add_signed(step);
                let wanted = model.take(counter);
                prop_assert_eq!(window.admits(counter), wanted);
                prop_assert_eq!(window.take(counter), wanted);
                prop_assert_eq!(window.highest(), model.highest);
                at = model.highest;
            }
        }
    }

    #[test]
    fn looking_at_a_counter_takes_nothing() {
        let window = Window::new();
        for _ in 0..2 {
            assert_eq!(window.admits(5), Ok(()));
        }
        assert_eq!(window.take(5), Ok(()));
        assert_eq!(window.admits(5), Err(Refused::Repeated));
        assert_eq!(window.highest(), 5);
    }

    #[test]
    fn the_last_counter_of_a_key_is_taken_and_none_behind_it() {
        let window = Window::new();
        assert_eq!(window.take(SEALED - 1), Ok(()));
        assert_eq!(window.take(SEALED), Err(Refused::Worn));
        assert_eq!(window.take(u64::MAX), Err(Refused::Worn));
        assert_eq!(window.take(0), Err(Refused::Late));
    }

    #[test]
    fn of_many_threads_one_takes_each_counter() {
        let window = Window::new();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (window, taken) = (&window, &taken);
                scope.spawn(move || {
                    for counter in 0..20_000 {
                        // Each goes through all in an order of its own, never far apart.
                        let counter = counter ^ (thread * 5);
                        if window.take(counter).is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // 20,000 ^ 15 reaches into the same block at most.
        assert!(taken.load(Ordering::Relaxed) <= 20_000 + 31);
        for counter in 19_000..20_000 {
            assert_eq!(window.take(counter), Err(Refused::Repeated));
        }
    }
}
