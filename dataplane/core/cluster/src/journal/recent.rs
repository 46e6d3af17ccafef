//! The last changes that a member knows of, for a master that took over without the store and asks the others for
//! what is newer than its own (spec: cluster, 2).
//!
//! [`Recent`] says of itself from where on it has every change. Whoever asks for what is after an earlier change
//! gets no answer, since there may be something between.

use std::collections::VecDeque;

use super::Mark;

/// Changes that are kept: members are a second apart at most, and a storm of logins changes some thousand
/// records in one.
const CHANGES: usize = 1 << 16;

/// Octets of them: an eighth of what the records of 200,000 sessions have.
const OCTETS: usize = 16 << 20;

/// One change of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed<K, V> {
    /// Of what.
    pub key: K,
    /// Which change.
    pub mark: Mark,
    /// What it says from then on; `None`: it is gone.
    pub octets: Option<V>,
}

/// The last changes, oldest first.
#[derive(Debug)]
pub struct Recent<K, V> {
    /// Every change after this one is here. `None`: the records were never read.
    after: Option<Mark>,
    changes: VecDeque<Changed<K, V>>,
    octets: usize,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            after: None,
            changes: VecDeque::new(),
            octets: 0,
        }
    }
}

impl<K, V: AsRef<[u8]>> Recent<K, V> {
    /// All records were read, and what changes after `position` follows.
    pub fn begin(&mut self, position: Mark) {
        self.clear();
        self.after = Some(position);
    }

    /// What is known is not whole any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A change, later than all before it; one that is not is known already.
    pub fn push(&mut self, change: Changed<K, V>) {
        let last = self.changes.back().map(|it| it.mark).or(self.after);
        if last.is_none_or(|last| change.mark <= last) {
            return;
        }
        self.octets = self.octets.saturating_add(length(&change));
        self.changes.push_back(change);
        while self.changes.len() > CHANGES || self.octets > OCTETS {
            let Some(oldest) = self.changes.pop_front() else {
                return;
            };
            self.octets = self.octets.saturating_sub(length(&oldest));
            self.after = Some(oldest.mark);
        }
    }

    /// All changes after `mark`, oldest first; `None`: there may be more of them than are known.
    pub fn newer(&self, mark: Mark) -> Option<impl Iterator<Item = &Changed<K, V>>> {
        if self.after.is_none_or(|after| mark < after) {
            return None;
        }
        let known = self.changes.partition_point(|it| it.mark <= mark);
        Some(self.changes.range(known..))
    }
}

fn length<K, V: AsRef<[u8]>>(change: &Changed<K, V>) -> usize {
    change
        .octets
        .as_ref()
        .map_or(0, |octets| octets.as_ref().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Epoch;

    fn mark(epoch: u64, seq: u64) -> Mark {
        Mark::new(Epoch::new(epoch).unwrap(), seq).unwrap()
    }

    fn change(epoch: u64, seq: u64, octets: usize) -> Changed<u64, Vec<u8>> {
        Changed {
            key: seq,
            mark: mark(epoch, seq),
            octets: Some(vec![0; octets]),
        }
    }

    fn keys(recent: &Recent<u64, Vec<u8>>, after: Mark) -> Option<Vec<u64>> {
        Some(recent.newer(after)?.map(|it| it.key).collect())
    }

    #[test]
    fn what_is_newer_is_known_from_where_the_records_were_read() {
        let mut recent = Recent::default();
        recent.push(change(3, 1, 1));
        assert_eq!(keys(&recent, mark(3, 9)), None, "nothing was read");
        recent.begin(mark(3, 9));
        assert_eq!(keys(&recent, mark(3, 9)), Some(vec![]));
        assert_eq!(keys(&recent, mark(3, 8)), None);
        for seq in [10, 11, 11, 9, 12] {
            recent.push(change(3, seq, 1));
        }
        recent.push(change(4, 1, 1));
        assert_eq!(keys(&recent, mark(3, 9)), Some(vec![10, 11, 12, 1]));
        assert_eq!(keys(&recent, mark(3, 11)), Some(vec![12, 1]));
        assert_eq!(keys(&recent, mark(5, 0)), Some(vec![]));
        recent.clear();
        assert_eq!(keys(&recent, mark(5, 0)), None);
    }

    #[test]
    fn the_oldest_changes_give_way_and_are_not_claimed_to_be_known() {
        let mut recent = Recent::default();
        recent.begin(mark(3, 0));
        let half = OCTETS / 2;
        for seq in 1..=3 {
            recent.push(change(3, seq, half));
        }
        assert_eq!(keys(&recent, mark(3, 0)), None);
        assert_eq!(keys(&recent, mark(3, 1)), Some(vec![2, 3]));
        recent.begin(mark(3, 0));
        let many = u64::try_from(CHANGES).unwrap() + 1;
        for seq in 1..=many {
            recent.push(change(3, seq, 0));
        }
        assert_eq!(keys(&recent, mark(3, 0)), None);
        assert_eq!(keys(&recent, mark(3, 1)).map(|it| it.len()), Some(CHANGES));
    }
}
