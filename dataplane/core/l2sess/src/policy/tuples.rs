//! Tuple space search: entries that are exact under a mask lie in one small hash table per mask.
//!
//! The masks are looked under in the order of the first rule that each has, and no further once a rule is
//! found that is before the next mask's first. So a look-up costs what there are masks, not rules.
//!
//! Before it is hashed, a packet is held against what all entries of the mask have in common (mostly the
//! protocol); most masks end there. The hash has no seed, so that equal rules give equal tables: what
//! lies in a table are the operator's rules, and nobody who sends packets can make its rows longer.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::key::fold;
use crate::limits;

/// An octet of the packet that is looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct OctetMask {
    /// Where, from the beginning of the packet. The packet must go as far, even if the mask is 0.
    pub(super) at: usize,
    pub(super) mask: u8,
}

/// What entries are exact under.
pub(super) type MaskKey = (Fields, Vec<OctetMask>);

/// Entries by mask: the values of fields and octets, and the first rule that has them.
pub(super) type Groups = BTreeMap<MaskKey, BTreeMap<(Fields, Box<[u8]>), u32>>;

/// The rules of a table for the packets of a family, which are `N` words.
#[derive(Debug)]
pub(super) struct Tuples<const N: usize> {
    /// In the order of their first rules.
    masks: Box<[Exact<N>]>,
}

/// The entries under one mask.
#[derive(Debug)]
struct Exact<const N: usize> {
    /// The least rule that an entry has.
    first: u32,
    mask: [u64; N],
    octets: Box<[OctetMask]>,
    /// The bits of the mask that are the same in all entries, and what they are.
    common_mask: [u64; N],
    common: [u64; N],
    /// A power of two of them, at least half empty: 0, or a piece of the hash over the number of the entry,
    /// from 1.
    slots: Box<[u32]>,
    entries: Box<[Entry<N>]>,
    /// Of each entry as many as there are masks in `octets`.
    values: Box<[u8]>,
}

#[derive(Debug)]
struct Entry<const N: usize> {
    words: [u64; N],
    rule: u32,
}

/// The octets that the longest rules look at.
const OCTETS: usize = limits::OCTETS * limits::OCTET_MATCHES;
/// The bits of a slot that are the number of an entry; those above are the hash's.
const NUMBER: u32 = 0x001f_ffff;

impl<const N: usize> Tuples<N> {
    pub(super) fn new(groups: Groups, words: impl Fn(&Fields) -> [u64; N]) -> Self {
        let masks = groups.into_iter();
        let mut masks: Vec<_> = masks
            .map(|((mask, octets), entries)| Exact::new(words(&mask), octets, &entries, &words))
            .collect();
        masks.sort_by_key(|mask| mask.first);
        let masks = masks.into();
        Self { masks }
    }

    /// The least rule of those that match. `look` is called for each mask that is looked under.
    pub(super) fn find(
        &self,
        words: &[u64; N],
        octets: &[u8],
        mut look: impl FnMut(),
    ) -> Option<usize> {
        let mut best = u32::MAX;
        for mask in &self.masks {
            if mask.first >= best {
                break;
            }
            look();
            best = best.min(mask.find(words, octets).unwrap_or(u32::MAX));
        }
        let rule = Some(best).filter(|best| *best != u32::MAX)?;
        usize::try_from(rule).ok()
    }
}

#[cfg(test)]
impl<const N: usize> Tuples<N> {
    /// How many slots in a row are taken at most: the steps that a look-up may take under one mask.
    pub(super) fn longest_row(&self) -> usize {
        let rows = self.masks.iter().flat_map(|mask| {
            let taken = |row: &[u32]| row.len();
            mask.slots.split(|slot| *slot == 0).map(taken)
        });
        rows.max().unwrap_or_default()
    }
}

impl<const N: usize> Exact<N> {
    fn new(
        mask: [u64; N],
        octets: Vec<OctetMask>,
        group: &BTreeMap<(Fields, Box<[u8]>), u32>,
        words: impl Fn(&Fields) -> [u64; N],
    ) -> Self {
        let entries = group.iter().map(|((fields, _), rule)| Entry {
            words: words(fields),
            rule: *rule,
        });
        let entries: Box<[_]> = entries.collect();
        let values = group.keys().flat_map(|(_, values)| values.iter());
        let mut made = Self {
            first: entries.iter().map(|it| it.rule).min().unwrap_or(u32::MAX),
            common_mask: mask,
            common: [0; N],
            mask,
            octets: octets.into(),
            slots: Box::default(),
            values: values.copied().collect(),
            entries,
        };
        made.find_common();
        made.fill();
        made
    }

    fn find_common(&mut self) {
        let Some(first) = self.entries.first() else {
            return;
        };
        for entry in &self.entries {
            let words = entry.words.iter().zip(&first.words);
            for (mask, (word, first)) in self.common_mask.iter_mut().zip(words) {
                *mask &= !(word ^ first);
            }
        }
        self.common = masked(&first.words, &self.common_mask);
    }

    fn fill(&mut self) {
        let room = self.entries.len().saturating_mul(2).next_power_of_two();
        let mut slots = vec![0_u32; room.max(2)];
        for (entry, number) in self.entries.iter().zip(1_u32..) {
            let place = usize::try_from(number.saturating_sub(1)).unwrap_or_default();
            let hash = hash(&entry.words, self.values_of(place));
            let mut places = row(hash, slots.len());
            let is_free = |place: &usize| slots.get(*place).is_some_and(|slot| *slot == 0);
            let free = places.find(is_free);
            if let Some(slot) = free.and_then(|free| slots.get_mut(free)) {
                *slot = tag(hash) | number;
            }
        }
        self.slots = slots.into();
    }

    fn find(&self, words: &[u64; N], octets: &[u8]) -> Option<u32> {
        let common = self.common_mask.iter().zip(&self.common);
        let mut both = words.iter().zip(common);
        if !both.all(|(word, (mask, common))| word & mask == *common) {
            return None;
        }
        let words = masked(words, &self.mask);
        if self.octets.is_empty() {
            return self.entry(&words, &[]);
        }
        let mut values = [0; OCTETS];
        for (value, wanted) in values.iter_mut().zip(&self.octets) {
            *value = octets.get(wanted.at)? & wanted.mask;
        }
        self.entry(&words, values.get(..self.octets.len())?)
    }

    fn entry(&self, words: &[u64; N], values: &[u8]) -> Option<u32> {
        let hash = hash(words, values);
        for place in row(hash, self.slots.len()) {
            let slot = *self.slots.get(place)?;
            let number = usize::try_from(slot & NUMBER).ok()?.checked_sub(1)?;
            if slot & !NUMBER != tag(hash) {
                continue;
            }
            let entry = self.entries.get(number)?;
            if entry.words == *words && self.values_of(number) == values {
                return Some(entry.rule);
            }
        }
        None
    }

    fn values_of(&self, entry: usize) -> &[u8] {
        let each = self.octets.len();
        let first = entry.saturating_mul(each);
        let values = self.values.get(first..first.saturating_add(each));
        values.unwrap_or_default()
    }
}

/// The slots in which something of that hash may lie, in order; each once.
fn row(hash: u64, slots: usize) -> impl Iterator<Item = usize> {
    let last = slots.saturating_sub(1);
    let first = usize::try_from(hash & 0xffff_ffff).unwrap_or_default();
    (0..slots).map(move |step| first.wrapping_add(step) & last)
}

/// Bits of the hash that say most times that an entry is another without looking at it.
fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default() & !NUMBER
}

fn masked<const N: usize>(words: &[u64; N], mask: &[u64; N]) -> [u64; N] {
    let mut masked = *words;
    for (word, mask) in masked.iter_mut().zip(mask) {
        *word &= mask;
    }
    masked
}

fn hash<const N: usize>(words: &[u64; N], values: &[u8]) -> u64 {
    // Of the golden ratio and of pi: numbers without a pattern.
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0x2437_73a3_1319_8a2f;
    let mut hash = FIRST;
    for pair in words.chunks(2) {
        if let [first, second] = pair {
            hash = fold(first ^ hash, second ^ SECOND);
        } else {
            for word in pair {
                hash = fold(word ^ hash, SECOND);
            }
        }
    }
    for chunk in values.chunks(8) {
        let word = chunk
            .iter()
            .fold(0, |word, octet| word << 8 | u64::from(*octet));
        hash = fold(word ^ hash, SECOND);
    }
    fold(hash, SECOND)
}
