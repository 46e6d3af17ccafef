//! What a pool may give out: its prefixes in order of address, less the exclusions, and how far each
//! has been given out for the first time.

use ipnet::Ipv4Net;

use super::leases::{Leases, State};
use super::{
    Allocation, MAX_PREFIXES, PoolConfig, PoolCounts, PoolError, PoolPrefix, PrefixCounts,
};

/// The first and the last address of a stretch.
type Range = (u32, u32);

#[derive(Debug)]
pub(super) struct Plan {
    /// By address; none overlaps another.
    prefixes: Vec<Prefix>,
    /// By address; none overlaps or touches another.
    excluded: Vec<Range>,
    /// Positions of the enabled prefixes that may have untouched addresses, the next one last.
    untouched: Vec<usize>,
}

/// A prefix and what is in it.
#[derive(Debug)]
pub(super) struct Prefix {
    config: PoolPrefix,
    range: Range,
    /// Addresses before this one were given out or passed over; `None`: all.
    cursor: Option<u32>,
    excluded: u64,
    /// Held ones, excluded or not.
    used: u64,
    used_excluded: u64,
    resting: u64,
}

impl Plan {
    pub(super) fn new(config: &PoolConfig) -> Result<Self, PoolError> {
        if config.prefixes.len() > MAX_PREFIXES {
            return Err(PoolError::TooManyPrefixes);
        }
        if config.excluded.len() > MAX_PREFIXES {
            return Err(PoolError::TooManyExclusions);
        }
        let excluded = merged(&config.excluded);
        let mut ordered: Vec<(usize, PoolPrefix)> =
            config.prefixes.iter().copied().enumerate().collect();
        ordered.sort_by_key(|(_, prefix)| prefix.net.network());
        for pair in ordered.windows(2) {
            if let [(_, one), (_, other)] = pair
                && one.net.broadcast() >= other.net.network()
            {
                return Err(PoolError::Overlap(one.net, other.net));
            }
        }
        let mut untouched: Vec<(usize, usize)> = ordered
            .iter()
            .enumerate()
            .filter(|(_, (_, prefix))| prefix.allocation == Allocation::Enabled)
            .map(|(position, (rank, _))| (*rank, position))
            .collect();
        untouched.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self {
            prefixes: ordered
                .iter()
                .map(|(_, prefix)| Prefix::new(*prefix, &excluded))
                .collect(),
            excluded,
            untouched: untouched
                .into_iter()
                .map(|(_, position)| position)
                .collect(),
        })
    }

    /// The next address that was never given out.
    pub(super) fn next_untouched(&mut self, leases: &Leases) -> Option<u32> {
        while let Some(position) = self.untouched.last() {
            if let Some(address) = self.seek(*position, leases) {
                return Some(address);
            }
            self.untouched.pop();
        }
        None
    }

    /// Moves every enabled prefix to its first untouched address.
    pub(super) fn settle(&mut self, leases: &Leases) {
        for position in 0..self.prefixes.len() {
            self.seek(position, leases);
        }
    }

    /// Whether [`AddressPool::allocate`](super::AddressPool::allocate) may give the address.
    pub(super) fn is_allocatable(&self, address: u32) -> bool {
        let prefix = self
            .position_of(address)
            .and_then(|position| self.prefixes.get(position));
        prefix.is_some_and(|prefix| prefix.config.allocation == Allocation::Enabled)
            && self.exclusion_of(address).is_none()
    }

    /// Whether the address is in a prefix and not excluded: then it rests when it is released.
    pub(super) fn is_usable(&self, address: u32) -> bool {
        self.contains(address) && self.exclusion_of(address).is_none()
    }

    pub(super) fn contains(&self, address: u32) -> bool {
        self.position_of(address).is_some()
    }

    /// Counts a change of state of an address.
    pub(super) fn note(&mut self, address: u32, from: State, to: State) {
        let is_excluded = self.exclusion_of(address).is_some();
        let position = self.position_of(address);
        let Some(prefix) = position.and_then(|position| self.prefixes.get_mut(position)) else {
            return;
        };
        for (state, before, after) in [(from, 1, 0), (to, 0, 1)] {
            let count =
                |count: &mut u64| *count = count.saturating_sub(before).saturating_add(after);
            match state {
                State::Resting { over: false, .. } if !is_excluded => count(&mut prefix.resting),
                State::Free | State::Resting { .. } => {}
                State::Held => {
                    count(&mut prefix.used);
                    if is_excluded {
                        count(&mut prefix.used_excluded);
                    }
                }
            }
        }
    }

    pub(super) fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Moves a prefix's cursor to an address that is free and not excluded.
    fn seek(&mut self, position: usize, leases: &Leases) -> Option<u32> {
        loop {
            let prefix = self.prefixes.get(position)?;
            let address = prefix.cursor?;
            let passed = match self.exclusion_of(address) {
                Some((_, last)) => last,
                None if leases.state(address) == State::Free => return Some(address),
                None => address,
            };
            let last = prefix.range.1;
            let prefix = self.prefixes.get_mut(position)?;
            prefix.cursor = passed.checked_add(1).filter(|next| *next <= last);
        }
    }

    fn position_of(&self, address: u32) -> Option<usize> {
        let after = self
            .prefixes
            .partition_point(|prefix| prefix.range.0 <= address);
        let position = after.checked_sub(1)?;
        (self.prefixes.get(position)?.range.1 >= address).then_some(position)
    }

    fn exclusion_of(&self, address: u32) -> Option<Range> {
        let after = self
            .excluded
            .partition_point(|(first, _)| *first <= address);
        let range = self.excluded.get(after.checked_sub(1)?)?;
        (range.1 >= address).then_some(*range)
    }
}

impl Prefix {
    fn new(config: PoolPrefix, excluded: &[Range]) -> Self {
        let range = range_of(config.net);
        let overlaps = excluded
            .iter()
            .map(|other| size((range.0.max(other.0), range.1.min(other.1))));
        Self {
            config,
            range,
            cursor: Some(range.0),
            excluded: overlaps.fold(0, u64::saturating_add),
            used: 0,
            used_excluded: 0,
            resting: 0,
        }
    }

    pub(super) fn counts(&self) -> PrefixCounts {
        let taken = self
            .used
            .saturating_sub(self.used_excluded)
            .saturating_add(self.resting);
        let free = match self.config.allocation {
            Allocation::Enabled => size(self.range)
                .saturating_sub(self.excluded)
                .saturating_sub(taken),
            Allocation::Disabled => 0,
        };
        let counts = PoolCounts {
            free,
            used: self.used,
            resting: self.resting,
            excluded: self.excluded,
        };
        PrefixCounts {
            prefix: self.config,
            counts,
        }
    }
}

/// The exclusions and what no subscriber can have, as stretches that lie apart.
fn merged(excluded: &[Ipv4Net]) -> Vec<Range> {
    let mut ranges: Vec<Range> = excluded.iter().map(|net| range_of(*net)).collect();
    ranges.extend([(0, 0), (u32::MAX, u32::MAX)]);
    ranges.sort_unstable();
    let mut apart: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match apart.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            Some(_) | None => apart.push((first, last)),
        }
    }
    apart
}

fn range_of(net: Ipv4Net) -> Range {
    (u32::from(net.network()), u32::from(net.broadcast()))
}

/// How many addresses a stretch has; none if it ends before it begins.
fn size((first, last): Range) -> u64 {
    u64::from(last)
        .saturating_add(1)
        .saturating_sub(u64::from(first))
}
