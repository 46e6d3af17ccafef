//! A set of up to 1024 small numbers that can give its k-th absent member.

/// Which of 1024 places are taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    words: [u64; 16],
    taken: u16,
}

impl Places {
    /// How many are taken.
    pub(super) fn len(&self) -> usize {
        usize::from(self.taken)
    }

    /// Takes `place`; `false` if it was taken already, or there is no such place.
    pub(super) fn insert(&mut self, place: usize) -> bool {
        let Some(word) = self.words.get_mut(place / 64) else {
            return false;
        };
        let fresh = *word & bit(place) == 0;
        *word |= bit(place);
        self.taken = self.taken.saturating_add(u16::from(fresh));
        fresh
    }

    /// Gives `place` back; `false` if it was not taken.
    pub(super) fn remove(&mut self, place: usize) -> bool {
        let Some(word) = self.words.get_mut(place / 64) else {
            return false;
        };
        let there = *word & bit(place) != 0;
        *word &= !bit(place);
        self.taken = self.taken.saturating_sub(u16::from(there));
        there
    }

    /// The smallest taken place.
    pub(super) fn first(&self) -> Option<usize> {
        let at = self.words.iter().position(|word| *word != 0)?;
        Some(
            at.saturating_mul(64)
                .saturating_add(nth_set(*self.words.get(at)?, 0)),
        )
    }

    /// The free place before which `rank` other free ones lie.
    pub(super) fn nth_free(&self, rank: usize) -> Option<usize> {
        let mut left = rank;
        for (at, word) in self.words.iter().enumerate() {
            let free = count(!word);
            if left < free {
                return Some(at.saturating_mul(64).saturating_add(nth_set(!word, left)));
            }
            left = left.saturating_sub(free);
        }
        None
    }
}

/// The position of the set bit before which `rank` other set ones lie; 64 if there is none.
pub(super) fn nth_set(word: u64, rank: usize) -> usize {
    let mut word = word;
    for _ in 0..rank {
        word &= word.wrapping_sub(1);
    }
    usize::try_from(word.trailing_zeros()).unwrap_or(usize::MAX)
}

/// How many bits are set.
pub(super) fn count(word: u64) -> usize {
    usize::try_from(word.count_ones()).unwrap_or(usize::MAX)
}

/// The bit of a place in its word, or of a page in a tunnel's mask.
pub(super) fn bit(place: usize) -> u64 {
    1_u64.rotate_left(u32::try_from(place % 64).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_free_place_is_the_one_that_counting_finds() {
        let mut places = Places::default();
        for place in (0..1024).filter(|place| place % 3 != 1) {
            assert!(places.insert(place));
            assert!(!places.insert(place), "twice");
        }
        let free: Vec<usize> = (0..1024).filter(|place| place % 3 == 1).collect();
        assert_eq!(places.len(), 1024 - free.len());
        for (rank, place) in free.iter().enumerate() {
            assert_eq!(places.nth_free(rank), Some(*place));
        }
        assert_eq!(places.nth_free(free.len()), None);
        assert_eq!(places.first(), Some(0));
        assert!(places.remove(0));
        assert!(!places.remove(0));
        assert_eq!(places.first(), Some(2));
        assert!(!places.insert(1024), "there is no such place");
    }
}
