//! A table over dense keys that takes memory in pieces, where it is used, and never moves.
//!
//! A `Vec` would copy a million entries when it grows, in the middle of a packet's turn.

use core::fmt;

/// Entries of one piece.
const CHUNK: usize = 256;

/// `capacity` entries, all of the default value until they are written.
pub(crate) struct Chunks<T> {
    chunks: Vec<Option<Box<[T]>>>,
}

impl<T: Default> Chunks<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let mut chunks = Vec::new();
        chunks.resize_with(capacity.div_ceil(CHUNK), || None);
        Self { chunks }
    }

    /// The entry of `key`, made if need be; `None` beyond the capacity.
    pub(crate) fn entry(&mut self, key: u32) -> Option<&mut T> {
        let (chunk, place) = split(key);
        let chunk = self.chunks.get_mut(chunk)?;
        chunk
            .get_or_insert_with(|| (0..CHUNK).map(|_| T::default()).collect())
            .get_mut(place)
    }

    /// The entry of `key`, if its piece is there.
    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        let (chunk, place) = split(key);
        self.chunks.get(chunk)?.as_ref()?.get(place)
    }

    /// See [`Chunks::get`].
    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        let (chunk, place) = split(key);
        self.chunks.get_mut(chunk)?.as_mut()?.get_mut(place)
    }
}

fn split(key: u32) -> (usize, usize) {
    let key = usize::try_from(key).unwrap_or(usize::MAX);
    (key / CHUNK, key % CHUNK)
}

impl<T> fmt::Debug for Chunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allocated = self.chunks.iter().flatten().count();
        f.debug_struct("Chunks")
            .field("allocated", &allocated)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_piece_that_is_written_is_allocated() {
        let mut table: Chunks<u32> = Chunks::new(1_000_000);
        *table.entry(999_999).unwrap() = 7;
        assert_eq!(table.get(999_999), Some(&7));
        assert_eq!(table.get(999_998), Some(&0));
        assert_eq!(table.get(0), None);
        assert!(table.entry(1_000_192).is_none(), "beyond the last piece");
        assert_eq!(table.chunks.iter().flatten().count(), 1);
    }
}
