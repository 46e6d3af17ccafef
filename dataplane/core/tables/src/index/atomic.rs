//! The atomics of the index: the machine's, or loom's while it explores what two threads can see.

#[cfg(not(loom))]
pub(super) use core::sync::atomic::AtomicU32;

#[cfg(loom)]
pub(super) use loom::sync::atomic::AtomicU32;

/// `len` zeros in memory that the operating system gives when it is first touched.
#[cfg(not(loom))]
pub(super) fn zeroed(len: usize) -> Box<[AtomicU32]> {
    bytemuck::zeroed_slice_box(len)
}

/// `len` zeros.
#[cfg(loom)]
pub(super) fn zeroed(len: usize) -> Box<[AtomicU32]> {
    (0..len).map(|_| AtomicU32::new(0)).collect()
}
