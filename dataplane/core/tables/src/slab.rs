//! Values in dense places, found by index in O(1), in memory that never moves.

use core::fmt;
use core::marker::PhantomData;

use crate::chunks::Chunks;
use crate::free::FreeList;
use crate::path::SlotIndex;

/// What a [`Slab`] is indexed by: a newtype of `u32`, so that the indices of two slabs cannot be
/// swapped.
pub trait Key: Copy {
    /// The key of a place.
    fn from_index(index: u32) -> Self;
    /// The place of a key.
    fn index(self) -> u32;
}

impl Key for SlotIndex {
    fn from_index(index: u32) -> Self {
        Self(index)
    }

    fn index(self) -> u32 {
        self.0
    }
}

impl Key for u32 {
    fn from_index(index: u32) -> Self {
        index
    }

    fn index(self) -> u32 {
        self
    }
}

/// At most `capacity` values. A key says where a value is, not which: whoever keeps a key longer
/// than the value lives must be able to tell the next one there from it.
pub struct Slab<T, K = SlotIndex> {
    free: FreeList,
    values: Chunks<Option<T>>,
    key: PhantomData<fn(K) -> K>,
}

impl<T, K: Key> Slab<T, K> {
    /// An empty slab. Takes memory as it fills, 256 values at a time.
    pub fn new(capacity: u32) -> Self {
        let values = Chunks::new(usize::try_from(capacity).unwrap_or(usize::MAX));
        Self {
            free: FreeList::new(capacity),
            values,
            key: PhantomData,
        }
    }

    /// Puts a value into a free place; gives it back if there is none.
    pub fn insert(&mut self, value: T) -> Result<K, T> {
        let Some((index, place)) = self.place() else {
            return Err(value);
        };
        *place = Some(value);
        Ok(K::from_index(index))
    }

    /// Puts a value that is made from its key into a free place; `None` if there is none.
    pub fn insert_with(&mut self, value: impl FnOnce(K) -> T) -> Option<K> {
        let (index, place) = self.place()?;
        let key = K::from_index(index);
        *place = Some(value(key));
        Some(key)
    }

    /// Puts a value into this very place, when a table is restored; gives it back if the place is taken
    /// or there is none.
    pub fn insert_at(&mut self, key: K, value: T) -> Result<(), T> {
        if !self.free.take_at(key.index()) {
            return Err(value);
        }
        match self.values.entry(key.index()) {
            Some(place) => {
                *place = Some(value);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Takes the value out of its place, which is free from then on.
    pub fn remove(&mut self, key: K) -> Option<T> {
        let value = self.values.get_mut(key.index())?.take()?;
        self.free.give(key.index());
        Some(value)
    }

    /// The value in a place.
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.values.get_mut(key.index())?.as_mut()
    }

    /// The value in a place.
    pub fn get(&self, key: K) -> Option<&T> {
        self.values.get(key.index())?.as_ref()
    }

    /// How many values there are.
    pub fn len(&self) -> u32 {
        self.free.taken()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no further value fits.
    pub fn is_full(&self) -> bool {
        self.len() >= self.free.capacity()
    }

    /// Every key in use is below this: what a [`Sweep`](crate::sweep::Sweep) goes over.
    pub fn span(&self) -> u32 {
        self.free.span()
    }

    /// The values of the places `range`, with their keys, in order.
    ///
    /// # Cost
    /// One step for each place of the range: for the sweep and for listings, not for packets.
    pub fn range(&self, range: core::ops::Range<u32>) -> impl Iterator<Item = (K, &T)> {
        (range.start..range.end.min(self.span())).filter_map(|index| {
            let key = K::from_index(index);
            Some((key, self.get(key)?))
        })
    }

    fn place(&mut self) -> Option<(u32, &mut Option<T>)> {
        let index = self.free.take()?;
        Some((index, self.values.entry(index)?))
    }
}

impl<T, K> fmt::Debug for Slab<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab")
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_slab_gives_the_value_back() {
        let mut slab: Slab<&str> = Slab::new(1);
        let key = slab.insert("one").unwrap();
        assert!(slab.is_full());
        assert_eq!(slab.insert("two"), Err("two"));
        assert_eq!(slab.remove(key), Some("one"));
        assert_eq!(slab.remove(key), None);
        assert!(slab.insert("two").is_ok());
    }

    #[test]
    fn a_value_can_know_its_key() {
        let mut slab: Slab<SlotIndex> = Slab::new(4);
        let key = slab.insert_with(|key| key).unwrap();
        assert_eq!(slab.get(key), Some(&key));
    }

    #[test]
    fn values_do_not_move_when_the_slab_grows() {
        let mut slab: Slab<u32, u32> = Slab::new(1_000_000);
        let first = slab.insert(0).unwrap();
        let before: *const u32 = slab.get(first).unwrap();
        for value in 1..100_000 {
            slab.insert(value).unwrap();
        }
        assert!(core::ptr::eq(before, slab.get(first).unwrap()));
    }

    proptest! {
        #[test]
        fn a_slab_holds_what_a_map_holds(steps in prop::collection::vec((0_u8..3, 0_u32..400), 0..600)) {
            let mut slab: Slab<u32, u32> = Slab::new(300);
            let mut expected = BTreeMap::new();
            for (at, (kind, key)) in (0_u32..).zip(steps) {
                match kind {
                    0 => match slab.insert(at) {
                        Ok(key) => prop_assert_eq!(expected.insert(key, at), None),
                        Err(value) => prop_assert!(value == at && expected.len() == 300),
                    },
                    1 => match slab.insert_at(key, at) {
                        Ok(()) => prop_assert_eq!(expected.insert(key, at), None),
                        Err(_) => prop_assert!(key >= 300 || expected.contains_key(&key)),
                    },
                    _ => prop_assert_eq!(slab.remove(key), expected.remove(&key)),
                }
                prop_assert_eq!(slab.get(key), expected.get(&key));
            }
            prop_assert!(slab.range(0..u32::MAX).eq(expected.iter().map(|(key, value)| (*key, value))));
        }
    }
}
