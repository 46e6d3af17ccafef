//! The version that guards an entry: readers see all of a write or nothing of it, and never wait.
//!
//! Why it is right: all words are atomics, so no access is a data race, and only a *mix* of two writes
//! is to be ruled out. The writer makes the version odd, then a release fence, then stores the words,
//! then stores the next even version with release. A reader loads the version with acquire, loads the
//! words, then an acquire fence, then the version again.
//! - If a reader saw any word of a write, its acquire fence synchronizes with that writer's release
//!   fence, so its second load sees that write's odd version or a later one.
//! - If its first load saw the even version that ended a write, it synchronizes with that store, and
//!   its words are of that write or later.
//!
//! So an equal and even version before and after means that the words are of exactly that write. The
//! version has 32 bits: a reader would have to sleep through 2^31 writes of one entry to be fooled.
//!
//! There is one writer at a time; that is the caller's promise, kept by `&mut Control`.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::limits::READ_ATTEMPTS;

/// The entry was being written each time that a reader looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entry is being written")
    }
}

impl core::error::Error for Busy {}

/// Runs `load`, which loads the words that `version` guards with relaxed order, until no write came
/// between.
///
/// # Errors
/// [`Busy`] after [`READ_ATTEMPTS`].
pub(crate) fn read<T>(version: &AtomicU32, load: impl Fn() -> T) -> Result<T, Busy> {
    for _ in 0..READ_ATTEMPTS {
        let before = version.load(Ordering::Acquire);
        if before.is_multiple_of(2) {
            let value = load();
            fence(Ordering::Acquire);
            if version.load(Ordering::Relaxed) == before {
                return Ok(value);
            }
        }
        core::hint::spin_loop();
    }
    Err(Busy)
}

/// Runs `store`, which stores the words that `version` guards with relaxed order.
pub(crate) fn write(version: &AtomicU32, store: impl FnOnce()) {
    let before = version.load(Ordering::Relaxed);
    version.store(before.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    store();
    version.store(before.wrapping_add(2), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicBool, AtomicU64};

    use super::*;

    #[test]
    fn a_reader_never_sees_a_mix_of_two_writes() {
        let version = AtomicU32::new(0);
        let words: [AtomicU64; 4] = core::array::from_fn(|_| AtomicU64::new(0));
        let (stop, changes) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let load = || words.each_ref().map(|word| word.load(Ordering::Relaxed));
                        let Ok(values) = read(&version, load) else {
                            continue;
                        };
                        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
                        if values[0] != last {
                            last = values[0];
                            changes.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            // Until the readers have run beside the writer often enough, or for so long that they
            // never will.
            for value in 0..5_000_000_u64 {
                write(&version, || {
                    for word in &words {
                        word.store(value, Ordering::Relaxed);
                    }
                });
                for _ in 0..value % 40 {
                    core::hint::spin_loop();
                }
                if value > 100_000 && changes.load(Ordering::Relaxed) > 10_000 {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(
            changes.into_inner() > 100,
            "the readers ran beside the writer"
        );
    }

    #[test]
    fn a_writer_that_never_ends_makes_a_reader_give_up() {
        let version = AtomicU32::new(1);
        assert_eq!(read(&version, || ()), Err(Busy));
    }

    #[test]
    fn versions_wrap() {
        let version = AtomicU32::new(u32::MAX - 1);
        write(&version, || ());
        assert_eq!(version.load(Ordering::Relaxed), 0);
        assert_eq!(read(&version, || 5), Ok(5));
    }
}
