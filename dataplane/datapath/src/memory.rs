//! Arrays that are zero from the start and cost memory only where they have been touched.
//!
//! The tables are sized for the most that a node may hold; most nodes hold less. The standard
//! allocator gives lazily zeroed memory only for alignments that it gives anyway, and aborts when
//! there is none: an anonymous mapping is aligned to a page and can be refused.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// A type for which memory full of zeros is a value.
///
/// # Safety
/// The implementer promises exactly that, and that the type needs no destructor and no alignment
/// above that of a page (4096).
pub(crate) unsafe trait Zeroable {}

// SAFETY: an integer; every pattern is a value.
unsafe impl Zeroable for u8 {}
// SAFETY: the representation of the integer, whose every pattern is a value.
unsafe impl Zeroable for AtomicU32 {}
// SAFETY: the representation of the integer, whose every pattern is a value.
unsafe impl Zeroable for AtomicU64 {}

/// A fixed array of `T`, all zero at first.
pub(crate) struct Zeroed<T> {
    first: NonNull<T>,
    length: usize,
    owns: PhantomData<T>,
}

/// The system gave no memory for so many octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoMemory {
    /// How many.
    pub octets: usize,
}

impl<T: Zeroable> Zeroed<T> {
    /// `length` zeros.
    ///
    /// # Errors
    /// [`NoMemory`] when the address space or the limit of the process does not allow it.
    pub(crate) fn new(length: usize) -> Result<Self, NoMemory> {
        const { assert!(align_of::<T>() <= 4096 && !core::mem::needs_drop::<T>() && size_of::<T>() > 0) };
        let octets = length
            .checked_mul(size_of::<T>())
            .ok_or(NoMemory { octets: usize::MAX })?;
        if octets == 0 {
            return Ok(Self {
                first: NonNull::dangling(),
                length: 0,
                owns: PhantomData,
            });
        }
        // SAFETY: a new private mapping at an address of the kernel's choice touches no memory that
        // anything else refers to; all arguments are valid for MAP_ANONYMOUS.
        let mapped = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                octets,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        match NonNull::new(mapped) {
            Some(first) if mapped != libc::MAP_FAILED => Ok(Self {
                first: first.cast(),
                length,
                owns: PhantomData,
            }),
            _ => Err(NoMemory { octets }),
        }
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `first` begins a mapping of `length` elements (or `length` is 0 and it dangles,
        // aligned), readable until `drop`; it began as zeros, which `Zeroable` makes values of T; it
        // is aligned to a page, hence to T; `&self` keeps exclusive references away.
        unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, the mapping is writable too, and `&mut self` keeps every other
        // reference away.
        unsafe { core::slice::from_raw_parts_mut(self.first.as_ptr(), self.length) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        let octets = self.length.saturating_mul(size_of::<T>());
        if octets > 0 {
            // SAFETY: exactly the mapping that `new` made; nothing borrows it any more, and its
            // elements need no destructor.
            unsafe { libc::munmap(self.first.as_ptr().cast(), octets) };
        }
    }
}

// SAFETY: it owns its elements as a `Box<[T]>` does, so it may go where they may.
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: `&Zeroed<T>` gives only `&T`.
unsafe impl<T: Sync> Sync for Zeroed<T> {}

impl<T> fmt::Debug for Zeroed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zeroed")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_new_array_is_zero_at_both_ends_and_keeps_what_is_written() {
        let array = Zeroed::<AtomicU64>::new(1 << 20).unwrap();
        assert_eq!(array.len(), 1 << 20);
        assert_eq!(array.last().unwrap().load(Ordering::Relaxed), 0);
        array[7].store(9, Ordering::Relaxed);
        assert_eq!(array[7].load(Ordering::Relaxed), 9);
        let mut octets = Zeroed::<u8>::new(4097).unwrap();
        octets.fill(1);
        assert_eq!(
            octets
                .iter()
                .map(|octet| usize::from(*octet))
                .sum::<usize>(),
            4097
        );
    }

    #[test]
    fn an_empty_array_is_no_mapping() {
        assert!(Zeroed::<AtomicU32>::new(0).unwrap().is_empty());
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        assert!(Zeroed::<AtomicU64>::new(usize::MAX / 8).is_err());
        assert!(Zeroed::<AtomicU64>::new(usize::MAX).is_err());
    }
}
