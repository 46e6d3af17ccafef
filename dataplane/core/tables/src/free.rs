//! A free list of dense indices: allocation and release in O(1), memory that was never used stays
//! untouched.

/// Hands out the indices `0..capacity`.
///
/// The last one given back is the first one taken again: what it stands for is still in the cache,
/// and the tables behind it stay as small as the highest load was. Whoever needs an index to rest
/// before it is used again keeps it back himself.
#[derive(Debug)]
pub struct FreeList {
    capacity: u32,
    /// Indices from here on have never been out.
    untouched: u32,
    /// Given back, most recent last. One that was [taken by name](Self::take_at) since then is still
    /// here, and is passed over.
    returned: Vec<u32>,
    /// One bit for each index below `untouched`: it is out.
    taken: Vec<u64>,
    /// How many are out.
    out: u32,
}

impl FreeList {
    /// A list with all of `0..capacity` free. Takes no memory until indices go out.
    pub const fn new(capacity: u32) -> Self {
        Self {
            capacity,
            untouched: 0,
            returned: Vec::new(),
            taken: Vec::new(),
            out: 0,
        }
    }

    /// Takes a free index; `None` if all are out.
    pub fn take(&mut self) -> Option<u32> {
        while let Some(index) = self.returned.pop() {
            if self.set(index) {
                return Some(index);
            }
        }
        let index = self.untouched;
        self.touch(index).then_some(index)
    }

    /// Takes this very index, when a table is restored. `false` if it is out, or there is none.
    ///
    /// # Cost
    /// One step for each index below it that was never out; each of them once.
    pub fn take_at(&mut self, index: u32) -> bool {
        if index >= self.capacity {
            return false;
        }
        while self.untouched < index {
            self.returned.push(self.untouched);
            self.grow();
        }
        if self.untouched == index {
            return self.touch(index);
        }
        self.set(index)
    }

    /// Gives an index back. `false`, and nothing happens, if it was not out.
    pub fn give(&mut self, index: u32) -> bool {
        let Some(word) = self.taken.get_mut(word_of(index)) else {
            return false;
        };
        if *word & bit(index) == 0 {
            return false;
        }
        *word &= !bit(index);
        self.out = self.out.saturating_sub(1);
        if self.returned.len() >= usize::try_from(self.untouched).unwrap_or(usize::MAX) {
            // As many are passed over as are here, so each of them pays one step of this.
            self.returned = (0..self.untouched)
                .filter(|it| !self.is_taken(*it))
                .collect();
        } else {
            self.returned.push(index);
        }
        true
    }

    /// Whether the index is out.
    pub fn is_taken(&self, index: u32) -> bool {
        self.taken
            .get(word_of(index))
            .is_some_and(|word| word & bit(index) != 0)
    }

    /// How many are out.
    pub const fn taken(&self) -> u32 {
        self.out
    }

    /// How many can be out at once.
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Every index that was ever out is below this.
    pub const fn span(&self) -> u32 {
        self.untouched
    }

    /// Takes the first index that was never out.
    fn touch(&mut self, index: u32) -> bool {
        index < self.capacity && {
            self.grow();
            self.set(index)
        }
    }

    fn grow(&mut self) {
        if self.untouched.is_multiple_of(64) {
            self.taken.push(0);
        }
        self.untouched = self.untouched.saturating_add(1);
    }

    /// Notes that it is out; `false` if it was.
    fn set(&mut self, index: u32) -> bool {
        let Some(word) = self.taken.get_mut(word_of(index)) else {
            return false;
        };
        if *word & bit(index) != 0 {
            return false;
        }
        *word |= bit(index);
        self.out = self.out.saturating_add(1);
        true
    }
}

fn word_of(index: u32) -> usize {
    usize::try_from(index / 64).unwrap_or(usize::MAX)
}

const fn bit(index: u32) -> u64 {
    1_u64.rotate_left(index % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_is_given_back_only_once() {
        let mut list = FreeList::new(2);
        assert_eq!(
            (list.take(), list.take(), list.take()),
            (Some(0), Some(1), None)
        );
        assert!(list.give(0));
        assert!(!list.give(0));
        assert!(!list.give(2), "it was never out");
        assert_eq!((list.take(), list.take()), (Some(0), None));
    }

    #[test]
    fn a_large_list_takes_no_memory_before_it_is_used() {
        let mut list = FreeList::new(u32::MAX);
        assert_eq!(list.take(), Some(0));
        assert_eq!(
            (list.taken.len(), list.returned.capacity(), list.span()),
            (1, 0, 1)
        );
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take,
        TakeAt(u32),
        Give(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Take),
            (0_u32..100).prop_map(Step::TakeAt),
            (0_u32..100).prop_map(Step::Give),
        ]
    }

    #[test]
    fn what_is_taken_by_name_and_given_back_again_and_again_costs_no_more_room() {
        let mut list = FreeList::new(100);
        for _ in 0..1000 {
            assert!(list.take_at(7) && !list.take_at(7) && list.give(7));
        }
        assert!(list.returned.len() <= 8, "{}", list.returned.len());
        assert_eq!(list.taken(), 0);
    }

    proptest! {
        #[test]
        fn no_index_is_out_twice(steps in prop::collection::vec(step(), 0..500)) {
            let mut list = FreeList::new(70);
            let mut out = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Take => {
                        let taken = list.take();
                        prop_assert_eq!(taken.is_none(), out.len() == 70);
                        prop_assert!(taken.is_none_or(|index| index < 70 && out.insert(index)));
                    }
                    Step::TakeAt(index) => {
                        prop_assert_eq!(list.take_at(index), index < 70 && out.insert(index));
                    }
                    Step::Give(index) => prop_assert_eq!(list.give(index), out.remove(&index)),
                }
                prop_assert_eq!(usize::try_from(list.taken()).unwrap(), out.len());
                prop_assert!((0..100).all(|index| list.is_taken(index) == out.contains(&index)));
                prop_assert!(out.iter().all(|index| *index < list.span()));
            }
        }
    }
}
