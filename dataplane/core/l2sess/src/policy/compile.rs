//! From the rules of a table to the entries of a classifier.
//!
//! Each rule is cut into entries that are exact under a mask: ranges of ports, lengths, ICMP types and
//! codes into prefixes, lists into their members, a rule of no family into one of each. The entries of a
//! rule are all combinations of these, so they are counted first, and nothing is built of a table that
//! has more than [`limits::COMPILED`] or needs more than [`limits::MASKS`] masks.
//!
//! A table has a second form for later fragments, which have no upper header: the rules without what
//! they say of it. [`super::linear`] says what all of this has to mean.

use core::fmt;
use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Asked, Fields, Parts, Words, known};
use super::ranges::{Prefixed, cut};
use super::rule::{Matches, PolicyTable, Rule};
use super::tuples::{Groups, MaskKey, OctetMask, Tuples};
use crate::key::Family;
use crate::limits;

/// A table's rules in the form in which packets are looked up.
#[derive(Debug)]
pub(super) struct Classifier {
    v4: Forms<3>,
    v6: Forms<6>,
}

#[derive(Debug)]
struct Forms<const N: usize> {
    whole: Tuples<N>,
    /// For later fragments, where that is another one.
    later: Option<Tuples<N>>,
}

impl<const N: usize> Forms<N> {
    fn of(&self, is_whole: bool) -> &Tuples<N> {
        let later = self.later.as_ref().filter(|_| !is_whole);
        later.unwrap_or(&self.whole)
    }
}

/// The rule with which a table becomes too large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooLarge {
    /// Its number.
    pub(super) rule: usize,
    pub(super) excess: Excess,
}

/// What there is too much of once the rules are cut into entries that are exact under a mask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Excess {
    /// More than [`limits::COMPILED`] entries in a table.
    Entries,
    /// More than [`limits::COMPILED_IN_ALL`] entries in all tables of all policies.
    EntriesInAll,
    /// More than [`limits::MASKS`] masks for packets of this family.
    Masks(Family),
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries => write!(
                f,
                "with its combinations of ranges and lists the table has more than {} entries",
                limits::COMPILED
            ),
            Self::EntriesInAll => write!(
                f,
                "with their combinations of ranges and lists all policies have more than {} entries",
                limits::COMPILED_IN_ALL
            ),
            Self::Masks(family) => write!(
                f,
                "with its prefix lengths and ranges the table has more than {} different masks for {}",
                limits::MASKS,
                family.label()
            ),
        }
    }
}

impl Classifier {
    /// The caller has [measured](measure) the table.
    pub(super) fn new(table: &PolicyTable) -> Self {
        let is_different = table.rules.iter().any(|rule| says_upper(&rule.matches));
        let groups = |family, is_whole| groups(&table.rules, family, is_whole);
        let later = |family| is_different.then(|| groups(family, false));
        Self {
            v4: Forms {
                whole: Tuples::new(groups(Family::IPv4, true), Fields::v4),
                later: later(Family::IPv4).map(|groups| Tuples::new(groups, Fields::v4)),
            },
            v6: Forms {
                whole: Tuples::new(groups(Family::IPv6, true), Fields::v6),
                later: later(Family::IPv6).map(|groups| Tuples::new(groups, Fields::v6)),
            },
        }
    }

    /// The first rule that matches. `look` is called for each mask that has been looked under.
    pub(super) fn find(&self, asked: &Asked<'_>, look: impl FnMut()) -> Option<usize> {
        match &asked.words {
            Words::V4(words) => self.v4.of(asked.is_whole).find(words, asked.octets, look),
            Words::V6(words) => self.v6.of(asked.is_whole).find(words, asked.octets, look),
        }
    }
}

#[cfg(test)]
impl Classifier {
    /// The most steps that a look-up may take under one mask.
    pub(super) fn longest_row(&self) -> usize {
        self.v4.whole.longest_row().max(self.v6.whole.longest_row())
    }
}

/// How many entries the rules become.
///
/// # Errors
/// They are more than there may be, or need more masks. At most that many have been counted.
pub(super) fn measure(table: &PolicyTable) -> Result<usize, TooLarge> {
    let mut entries = 0_usize;
    let mut masks = Family::ALL.map(|family| (family, BTreeSet::new()));
    for (rule, matches) in table.rules.iter().map(|rule| &rule.matches).enumerate() {
        for (family, masks) in &mut masks {
            let Some(cuts) = Cuts::new(matches, *family, true) else {
                continue;
            };
            entries = entries.saturating_add(cuts.entries());
            if entries > limits::COMPILED {
                let excess = Excess::Entries;
                return Err(TooLarge { rule, excess });
            }
            cuts.each_mask(&mut |mask| {
                masks.insert(mask);
            });
            if masks.len() > limits::MASKS {
                let excess = Excess::Masks(*family);
                return Err(TooLarge { rule, excess });
            }
        }
    }
    Ok(entries)
}

fn groups(rules: &[Rule], family: Family, is_whole: bool) -> Groups {
    let mut groups = Groups::new();
    for (number, rule) in (0_u32..).zip(rules) {
        let Some(cuts) = Cuts::new(&rule.matches, family, is_whole) else {
            continue;
        };
        let (masks, values): (Vec<_>, Box<[u8]>) = cuts.octets();
        each(&cuts.lists, Entry::default(), &mut |entry| {
            let key = (entry.mask, masks.clone());
            let group = groups.entry(key).or_default();
            // Of equal ones the first wins.
            let value = (entry.value, values.clone());
            group.entry(value).or_insert(number);
        });
    }
    groups
}

/// Whether a rule says anything of the upper header.
fn says_upper(rule: &Matches) -> bool {
    says_ports(rule) || says_types(rule) || rule.tcp_flags.is_some()
}

fn says_ports(rule: &Matches) -> bool {
    !rule.source_ports.is_empty() || !rule.destination_ports.is_empty()
}

fn says_types(rule: &Matches) -> bool {
    !rule.icmp_types.is_empty() || !rule.icmp_codes.is_empty()
}

/// Some of the fields: what they must be.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    mask: Fields,
    value: Fields,
}

/// What a rule says: one of each list, and the octets.
#[derive(Debug)]
struct Cuts {
    lists: Vec<Vec<Entry>>,
    /// By place: mask and value.
    octets: BTreeMap<usize, (u8, u8)>,
}

impl Cuts {
    /// `None`: no packet of that family matches.
    fn new(rule: &Matches, family: Family, is_whole: bool) -> Option<Self> {
        let prefixes = [rule.source, rule.destination];
        let families = prefixes.map(|prefix| prefix.map(|prefix| prefix.family));
        let mut families = families.iter().chain([&rule.family]).flatten();
        if families.any(|other| *other != family) {
            return None;
        }
        let octets = octets(rule)?;
        let mut lists = vec![vec![always(rule, is_whole)]];
        if !rule.dscp.is_empty() {
            lists.push(rule.dscp.iter().map(|dscp| Entry::dscp(*dscp)).collect());
        }
        if !rule.length.is_empty() {
            lists.push(
                cut(&rule.length, 16)
                    .into_iter()
                    .map(Entry::length)
                    .collect(),
            );
        }
        if is_whole {
            lists.extend(upper(rule));
        }
        Some(Self { lists, octets })
    }

    /// How many they are.
    fn entries(&self) -> usize {
        let lengths = self.lists.iter().map(Vec::len);
        lengths.fold(1, usize::saturating_mul)
    }

    /// Calls `look` for each of their masks, some more than once.
    fn each_mask(&self, look: &mut impl FnMut(MaskKey)) {
        let (octets, _) = self.octets();
        let masks: Vec<Vec<Entry>> = self.lists.iter().map(|list| masks(list)).collect();
        each(&masks, Entry::default(), &mut |entry| {
            look((entry.mask, octets.clone()));
        });
    }

    fn octets(&self) -> (Vec<OctetMask>, Box<[u8]>) {
        let masks = self.octets.iter();
        let masks = masks.map(|(at, (mask, _))| OctetMask {
            at: *at,
            mask: *mask,
        });
        let values = self.octets.values().map(|(_, value)| *value);
        (masks.collect(), values.collect())
    }
}

/// The different masks of a list.
fn masks(list: &[Entry]) -> Vec<Entry> {
    let masks: BTreeSet<Fields> = list.iter().map(|entry| entry.mask).collect();
    let value = Fields::default();
    masks
        .into_iter()
        .map(|mask| Entry { mask, value })
        .collect()
}

/// Calls `look` with each combination of one of each list.
fn each(lists: &[Vec<Entry>], so_far: Entry, look: &mut impl FnMut(Entry)) {
    let Some((first, others)) = lists.split_first() else {
        return look(so_far);
    };
    for entry in first {
        let both = Entry {
            mask: so_far.mask | entry.mask,
            value: so_far.value | entry.value,
        };
        each(others, both, look);
    }
}

/// What all entries of a rule have.
fn always(rule: &Matches, is_whole: bool) -> Entry {
    let [mask, value] = Fields::addresses(rule.source, rule.destination);
    let (mut wanted, mut given) = (Parts::default(), Parts::default());
    if let Some(protocol) = rule.protocol {
        (wanted.protocol, given.protocol) = (0xff, protocol);
    }
    if is_whole {
        let ports = if says_ports(rule) { known::PORTS } else { 0 };
        let types = if says_types(rule) { known::MESSAGE } else { 0 };
        wanted.known = ports | types;
        if let Some(flags) = rule.tcp_flags {
            wanted.known |= known::FLAGS;
            (wanted.flags, given.flags) = (flags.mask, flags.value);
        }
        given.known = wanted.known;
    }
    Entry {
        mask: mask | wanted.into(),
        value: value | given.into(),
    }
}

/// What a rule says of the upper header, but for TCP's flags.
fn upper(rule: &Matches) -> impl Iterator<Item = Vec<Entry>> {
    let wide = |ranges: &[RangeInclusive<u8>]| -> Vec<RangeInclusive<u16>> {
        let wide = |it: &RangeInclusive<u8>| u16::from(*it.start())..=u16::from(*it.end());
        ranges.iter().map(wide).collect()
    };
    let lists = [
        (rule.source_ports.clone(), 16, true),
        (rule.destination_ports.clone(), 16, false),
        (wide(&rule.icmp_types), 8, true),
        (wide(&rule.icmp_codes), 8, false),
    ];
    let said = lists.into_iter().filter(|(ranges, ..)| !ranges.is_empty());
    said.map(|(ranges, bits, is_first)| {
        let prefixes = cut(&ranges, bits);
        let entry = |prefix| Entry::upper(prefix, is_first);
        prefixes.into_iter().map(entry).collect()
    })
}

/// What octets must be; `None` where two matches contradict each other.
fn octets(rule: &Matches) -> Option<BTreeMap<usize, (u8, u8)>> {
    let mut octets = BTreeMap::new();
    for wanted in &rule.octets {
        let pattern = wanted.mask.iter().zip(&wanted.value);
        for (at, (mask, value)) in (usize::from(wanted.at)..).zip(pattern) {
            let (known, is) = octets.entry(at).or_insert((0_u8, 0_u8));
            if value & !mask != 0 || (*is ^ value) & *known & mask != 0 {
                return None;
            }
            *known |= mask;
            *is |= value;
        }
    }
    Some(octets)
}

impl Entry {
    fn dscp(dscp: u8) -> Self {
        let fields = |dscp| {
            Fields::from(Parts {
                dscp,
                ..Parts::default()
            })
        };
        Self {
            mask: fields(0xff),
            value: fields(dscp),
        }
    }

    fn length(length: Prefixed) -> Self {
        Self {
            mask: Fields::length(length.mask),
            value: Fields::length(length.value),
        }
    }

    fn upper(number: Prefixed, is_first: bool) -> Self {
        let fields = |number| {
            let (first, second) = if is_first { (number, 0) } else { (0, number) };
            Fields::from(Parts {
                first,
                second,
                ..Parts::default()
            })
        };
        Self {
            mask: fields(number.mask),
            value: fields(number.value),
        }
    }
}
