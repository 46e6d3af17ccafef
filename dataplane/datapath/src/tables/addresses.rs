//! From a subscriber's address to its slot: what a packet from the core is looked up by.
//!
//! An address of a pool is a direct index into that pool's array. Any other (a fixed address, of a user
//! or from RADIUS) is in a hash with open addressing that readers walk without a lock. The answer may
//! be stale; the slot says which address it really has.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use ipnet::Ipv4Net;
use lns_tables::path::SlotIndex;

use super::seqlock;
use crate::limits::DIRECT_ADDRESSES;
use crate::memory::{NoMemory, Zeroed};

/// Addresses of subscribers.
#[derive(Debug)]
pub struct AddressTable {
    /// By first address. Prefixes may overlap; an address belongs to the last that begins before it.
    pools: Box<[Pool]>,
    others: Others,
    icmp_source: Ipv4Addr,
}

#[derive(Debug)]
struct Pool {
    /// Its lowest address.
    first: u32,
    /// By offset: the slot plus one, or 0.
    slots: Zeroed<AtomicU32>,
}

impl AddressTable {
    /// A table for `capacity` addresses, direct for those of `pools`.
    ///
    /// # Errors
    /// [`NoMemory`] when the system does not give the address space.
    pub fn new(pools: &[Ipv4Net], capacity: u32) -> Result<Self, NoMemory> {
        let mut direct = Vec::with_capacity(pools.len());
        for net in pools {
            let addresses = 1_usize.checked_shl(u32::from(
                net.max_prefix_len().saturating_sub(net.prefix_len()),
            ));
            if let Some(addresses) = addresses.filter(|count| *count <= DIRECT_ADDRESSES) {
                direct.push(Pool {
                    first: net.network().to_bits(),
                    slots: Zeroed::new(addresses)?,
                });
            }
        }
        direct.sort_by_key(|pool| (pool.first, core::cmp::Reverse(pool.slots.len())));
        Ok(Self {
            pools: direct.into_boxed_slice(),
            others: Others::new(capacity)?,
            icmp_source: Ipv4Addr::UNSPECIFIED,
        })
    }

    /// The same table, and ICMP errors to the core come from `icmp_source`; none are sent if it is
    /// unspecified.
    #[must_use]
    pub fn answering_from(self, icmp_source: Ipv4Addr) -> Self {
        Self {
            icmp_source,
            ..self
        }
    }

    /// From where ICMP errors to the core come.
    pub const fn icmp_source(&self) -> Ipv4Addr {
        self.icmp_source
    }

    /// The slot of the session with that address. It may be stale.
    ///
    /// # Cost
    /// In a pool: the search for the pool and one load. Otherwise a probe of the hash, which is at most
    /// half full.
    pub fn lookup(&self, address: Ipv4Addr) -> Option<SlotIndex> {
        match self.direct(address) {
            Some(entry) => entry.load(Ordering::Acquire).checked_sub(1).map(SlotIndex),
            None => self.others.lookup(address),
        }
    }

    /// Whether it is of a pool that is looked up directly.
    pub fn is_of_a_pool(&self, address: Ipv4Addr) -> bool {
        self.direct(address).is_some()
    }

    /// Makes `address` lead to `slot`, whatever it led to; `false` when the hash is full. For the
    /// control only.
    pub(crate) fn insert(&self, address: Ipv4Addr, slot: SlotIndex) -> bool {
        match self.direct(address) {
            Some(entry) => {
                entry.store(slot.0.saturating_add(1), Ordering::Release);
                true
            }
            None => self.others.insert(address, slot),
        }
    }

    /// Makes `address` lead nowhere, unless it leads to another slot by now. For the control only.
    pub(crate) fn remove(&self, address: Ipv4Addr, slot: SlotIndex) {
        match self.direct(address) {
            Some(entry) if entry.load(Ordering::Relaxed) == slot.0.saturating_add(1) => {
                entry.store(0, Ordering::Release);
            }
            Some(_) => {}
            None => self.others.remove(address, slot),
        }
    }

    /// All addresses with their slots. Linear in the size of the pools: for a change of pools.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Ipv4Addr, SlotIndex)> + '_ {
        let pools = self.pools.iter().flat_map(|pool| {
            (pool.first..=u32::MAX)
                .zip(pool.slots.iter())
                .filter_map(|(address, entry)| {
                    let slot = entry.load(Ordering::Relaxed).checked_sub(1)?;
                    Some((Ipv4Addr::from_bits(address), SlotIndex(slot)))
                })
        });
        pools.chain(self.others.entries())
    }

    fn direct(&self, address: Ipv4Addr) -> Option<&AtomicU32> {
        let address = address.to_bits();
        let behind = self.pools.partition_point(|pool| pool.first <= address);
        let pool = self.pools.get(behind.checked_sub(1)?)?;
        pool.slots
            .get(usize::try_from(address.checked_sub(pool.first)?).ok()?)
    }
}

/// A hash with linear probing. A removal moves later entries forward instead of leaving marks, so that
/// it never fills up with them; a reader that finds nothing while entries move looks again.
#[derive(Debug)]
pub(super) struct Others {
    moves: AtomicU32,
    used: AtomicUsize,
    /// Address (32 bits), slot plus one (32 bits); 0 is free. A power of two, at least twice as many as
    /// may be used.
    entries: Zeroed<AtomicU64>,
}

impl Others {
    pub(super) fn new(capacity: u32) -> Result<Self, NoMemory> {
        let wanted = usize::try_from(capacity)
            .unwrap_or(usize::MAX)
            .saturating_mul(2)
            .max(16);
        let size = wanted
            .checked_next_power_of_two()
            .ok_or(NoMemory { octets: usize::MAX })?;
        Ok(Self {
            moves: AtomicU32::new(0),
            used: AtomicUsize::new(0),
            entries: Zeroed::new(size)?,
        })
    }

    pub(super) fn lookup(&self, address: Ipv4Addr) -> Option<SlotIndex> {
        for _ in 0..crate::limits::READ_ATTEMPTS {
            let before = self.moves.load(Ordering::Acquire);
            if let (_, Some(slot)) = self.probe(address) {
                return Some(slot);
            }
            core::sync::atomic::fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.moves.load(Ordering::Relaxed) == before {
                return None;
            }
            core::hint::spin_loop();
        }
        None
    }

    pub(super) fn insert(&self, address: Ipv4Addr, slot: SlotIndex) -> bool {
        let (place, old) = self.probe(address);
        let used = self.used.load(Ordering::Relaxed);
        if old.is_none() && used >= self.entries.len() / 2 {
            return false;
        }
        let Some(entry) = self.entries.get(place) else {
            return false;
        };
        let value = u64::from(address.to_bits()) << 32 | u64::from(slot.0.saturating_add(1));
        entry.store(value, Ordering::Release);
        self.used.store(
            used.saturating_add(usize::from(old.is_none())),
            Ordering::Relaxed,
        );
        true
    }

    /// Whether nothing is in it. For the control only.
    pub(super) fn is_empty(&self) -> bool {
        self.used.load(Ordering::Relaxed) == 0
    }

    pub(super) fn remove(&self, address: Ipv4Addr, slot: SlotIndex) {
        let (place, found) = self.probe(address);
        if found != Some(slot) {
            return;
        }
        self.used.store(
            self.used.load(Ordering::Relaxed).saturating_sub(1),
            Ordering::Relaxed,
        );
        seqlock::write(&self.moves, || self.close_gap(place));
    }

    /// Frees the entry at `gap` and moves those behind it forward that would not be found any more.
    fn close_gap(&self, mut gap: usize) {
        let mut at = gap;
        for _ in 0..self.entries.len() {
            at = self.place(at.wrapping_add(1));
            let value = self.value(at);
            if value == 0 {
                break;
            }
            // Steps from its own place to `at`: if the gap is on that way, a probe would stop there.
            let home = self.home(address_of(value));
            if self.place(at.wrapping_sub(home)) >= self.place(at.wrapping_sub(gap)) {
                self.set(gap, value);
                gap = at;
            }
        }
        self.set(gap, 0);
    }

    /// Where `address` is and its slot, or where it would go.
    fn probe(&self, address: Ipv4Addr) -> (usize, Option<SlotIndex>) {
        let mut at = self.home(address);
        for _ in 0..self.entries.len() {
            let value = self.value(at);
            if value == 0 {
                break;
            }
            if address_of(value) == address {
                return (at, slot_of(value));
            }
            at = self.place(at.wrapping_add(1));
        }
        (at, None)
    }

    fn entries(&self) -> impl Iterator<Item = (Ipv4Addr, SlotIndex)> + '_ {
        let values = self
            .entries
            .iter()
            .map(|entry| entry.load(Ordering::Relaxed));
        values.filter_map(|value| slot_of(value).map(|slot| (address_of(value), slot)))
    }

    /// Multiplicative hashing: addresses are given out by the operator, not chosen by an attacker.
    fn home(&self, address: Ipv4Addr) -> usize {
        let mixed = u64::from(address.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.place(usize::try_from(mixed).unwrap_or(0))
    }

    fn place(&self, at: usize) -> usize {
        at & self.entries.len().wrapping_sub(1)
    }

    fn value(&self, at: usize) -> u64 {
        self.entries
            .get(at)
            .map_or(0, |entry| entry.load(Ordering::Acquire))
    }

    fn set(&self, at: usize, value: u64) {
        if let Some(entry) = self.entries.get(at) {
            entry.store(value, Ordering::Relaxed);
        }
    }
}

fn address_of(value: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(value >> 32).unwrap_or(0))
}

fn slot_of(value: u64) -> Option<SlotIndex> {
    u32::try_from(value & u64::from(u32::MAX))
        .ok()?
        .checked_sub(1)
        .map(SlotIndex)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use core::sync::atomic::AtomicBool;
    use std::collections::BTreeMap;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn pool_addresses_and_others_lead_to_their_slots() {
        let table = AddressTable::new(
            &[net("100.64.0.0/24"), net("10.0.0.0/30"), net("0.0.0.0/0")],
            8,
        )
        .unwrap();
        let addresses = [
            "100.64.0.0",
            "100.64.0.255",
            "100.64.1.0",
            "10.0.0.3",
            "10.0.0.4",
            "255.255.255.255",
        ];
        for (slot, address) in (0..).zip(addresses) {
            assert!(table.insert(address.parse().unwrap(), SlotIndex(slot)));
        }
        for (slot, address) in (0..).zip(addresses) {
            assert_eq!(
                table.lookup(address.parse().unwrap()),
                Some(SlotIndex(slot)),
                "{address}"
            );
        }
        assert_eq!(table.entries().count(), addresses.len());
        assert_eq!(table.lookup(Ipv4Addr::new(100, 64, 0, 1)), None);
        assert_eq!(table.lookup(Ipv4Addr::new(9, 9, 9, 9)), None);
    }

    #[test]
    fn an_address_that_moved_on_is_not_removed_by_its_former_holder() {
        let table = AddressTable::new(&[net("100.64.0.0/24")], 8).unwrap();
        for address in [Ipv4Addr::new(100, 64, 0, 9), Ipv4Addr::new(192, 0, 2, 9)] {
            table.insert(address, SlotIndex(1));
            table.insert(address, SlotIndex(2));
            table.remove(address, SlotIndex(1));
            assert_eq!(table.lookup(address), Some(SlotIndex(2)));
            table.remove(address, SlotIndex(2));
            assert_eq!(table.lookup(address), None);
        }
    }

    #[test]
    fn overlapping_pools_still_find_what_was_put_in() {
        let table = AddressTable::new(
            &[net("10.0.0.0/8"), net("10.0.0.0/24"), net("10.1.0.0/16")],
            8,
        )
        .unwrap();
        for address in
            [[10, 0, 0, 1], [10, 1, 2, 3], [10, 2, 0, 1], [10, 0, 1, 0]].map(Ipv4Addr::from)
        {
            table.insert(address, SlotIndex(5));
            assert_eq!(table.lookup(address), Some(SlotIndex(5)), "{address}");
        }
    }

    #[test]
    fn the_hash_agrees_with_a_map_through_many_inserts_and_removals() {
        let table = AddressTable::new(&[], 64).unwrap();
        let mut model = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..20_000_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let address = Ipv4Addr::from_bits(u32::try_from(state >> 57).unwrap());
            if state >> 40 & 1 == 0 {
                let fits = model.len() < 64 || model.contains_key(&address);
                assert_eq!(table.insert(address, SlotIndex(step)), fits);
                if fits {
                    model.insert(address, SlotIndex(step));
                }
            } else if let Some(slot) = model.remove(&address) {
                table.remove(address, slot);
            }
            assert_eq!(table.lookup(address), model.get(&address).copied());
        }
        for (address, slot) in &model {
            assert_eq!(table.lookup(*address), Some(*slot));
        }
        assert_eq!(table.entries().collect::<BTreeMap<_, _>>(), model);
    }

    #[test]
    fn a_reader_finds_what_is_being_moved() {
        // All of one home, those that go in front of those that stay: each removal moves all behind it.
        let sample = Others::new(16).unwrap();
        let one_home = (0..)
            .map(Ipv4Addr::from_bits)
            .filter(|address| sample.home(*address) == 7);
        let addresses: Vec<_> = one_home.take(16).collect();
        let (goes, stays) = addresses.split_at(8);
        let tables: Vec<_> = (0..3_000).map(|_| filled(&addresses)).collect();
        let (current, seen, stop) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicBool::new(false),
        );
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = current.load(Ordering::Acquire);
                    for address in stays {
                        assert!(tables[number].lookup(*address).is_some(), "{address}");
                        seen.store(number, Ordering::Release);
                    }
                }
            });
            for (number, table) in tables.iter().enumerate() {
                current.store(number, Ordering::Release);
                let waited = (0..1_000_000).find(|_| {
                    core::hint::spin_loop();
                    seen.load(Ordering::Acquire) == number || reader.is_finished()
                });
                if waited.is_none() {
                    std::thread::yield_now();
                }
                for address in goes {
                    table.remove(*address, SlotIndex(1));
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(seen.load(Ordering::Relaxed) > 0);
    }

    fn filled(addresses: &[Ipv4Addr]) -> Others {
        let table = Others::new(16).unwrap();
        for address in addresses {
            assert!(table.insert(*address, SlotIndex(1)));
        }
        table
    }
}
