//! Ranges of numbers, cut into prefixes: numbers that have their upper bits in common, as entries of a
//! classifier need them.

use core::ops::RangeInclusive;

/// Numbers that are `value` under `mask`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Prefixed {
    pub(super) value: u16,
    pub(super) mask: u16,
}

/// The least set of prefixes that has the numbers of the ranges and no others, of numbers with so many
/// bits (16 at most). No two have a number in common.
pub(super) fn cut(ranges: &[RangeInclusive<u16>], bits: u32) -> Vec<Prefixed> {
    let all = 1_u32.checked_shl(bits).unwrap_or(u32::MAX).wrapping_sub(1);
    let mut prefixes = Vec::new();
    for (first, last) in merged(ranges) {
        let (mut first, last) = (u32::from(first), u32::from(last).min(all));
        while first <= last {
            let left = last.saturating_sub(first).saturating_add(1);
            // The largest power of two that both begins here and ends in the range.
            let size = left.ilog2().min(first.trailing_zeros()).min(bits);
            let size = 1_u32.checked_shl(size).unwrap_or(1);
            prefixes.push(Prefixed {
                value: low(first),
                mask: low(all & !size.saturating_sub(1)),
            });
            first = first.saturating_add(size);
        }
    }
    prefixes
}

/// The ranges in order, those that touch made one, and the empty ones left out.
fn merged(ranges: &[RangeInclusive<u16>]) -> Vec<(u16, u16)> {
    let there = ranges.iter().filter(|range| !range.is_empty());
    let mut sorted: Vec<_> = there.map(|it| (*it.start(), *it.end())).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

const fn low(number: u32) -> u16 {
    let [_, _, high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}
