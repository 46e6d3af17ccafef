//! From a prefix that is routed to a subscriber to his slot: the longest match.
//!
//! One hash for each length of a prefix, and a word that tells which lengths there are: a look-up probes
//! those, the longest first, and where nobody is routed anything it is one load. What lies behind a
//! subscriber may also come from him; a packet whose source is not his address is looked up here too.
//!
//! The answer may be stale for a worker that is still in the batch in which a route was taken back. Its
//! slot is given to nobody else before that batch is over.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU64, Ordering};

use ipnet::Ipv4Net;
use lns_tables::path::SlotIndex;

use super::addresses::Others;
use crate::limits::ROUTES_OF_A_LENGTH;
use crate::memory::NoMemory;

/// Lengths that a prefix can have.
const LENGTHS: usize = 33;

/// Routes to subscribers.
#[derive(Debug)]
pub struct RouteTable {
    /// Bit n: there are routes of length n.
    lengths: AtomicU64,
    by_length: Box<[Others]>,
}

impl RouteTable {
    /// No routes.
    ///
    /// # Errors
    /// [`NoMemory`] when the system does not give the address space.
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let by_length = (0..LENGTHS).map(|_| Others::new(ROUTES_OF_A_LENGTH));
        Ok(Self {
            lengths: AtomicU64::new(0),
            by_length: by_length.collect::<Result<_, _>>()?,
        })
    }

    /// The slot of the session to which `address` is routed. It may be stale.
    ///
    /// # Cost
    /// One load where there is no route; else one probe of a hash for each length that routes have.
    pub fn lookup(&self, address: Ipv4Addr) -> Option<SlotIndex> {
        let mut lengths = self.lengths.load(Ordering::Acquire);
        while let Some(length) = lengths.checked_ilog2() {
            lengths &= !(1 << length);
            let length = u8::try_from(length).ok()?;
            let net = Ipv4Net::new(address, length).ok()?.network();
            let found = self.of_length(length)?.lookup(net);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Makes `route` lead to `slot`, whatever it led to; `false` when there are as many of its length as
    /// there may be. For the control only.
    pub(crate) fn insert(&self, route: Ipv4Net, slot: SlotIndex) -> bool {
        let length = route.prefix_len();
        let Some(hash) = self.of_length(length) else {
            return false;
        };
        let done = hash.insert(route.network(), slot);
        if done {
            self.lengths.fetch_or(1 << length, Ordering::Release);
        }
        done
    }

    /// Makes `route` lead nowhere, unless it leads to another slot by now. For the control only.
    pub(crate) fn remove(&self, route: Ipv4Net, slot: SlotIndex) {
        let length = route.prefix_len();
        let Some(hash) = self.of_length(length) else {
            return;
        };
        hash.remove(route.network(), slot);
        if hash.is_empty() {
            self.lengths.fetch_and(!(1 << length), Ordering::Release);
        }
    }

    fn of_length(&self, length: u8) -> Option<&Others> {
        self.by_length.get(usize::from(length))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn lookup(table: &RouteTable, address: &str) -> Option<u32> {
        table.lookup(address.parse().unwrap()).map(|slot| slot.0)
    }

    #[test]
    fn the_longest_prefix_leads() {
        let table = RouteTable::new().unwrap();
        for (slot, route) in (0..).zip(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"])
        {
            assert!(table.insert(net(route), SlotIndex(slot)));
        }
        for (address, slot) in [
            ("10.9.9.9", Some(0)),
            ("10.1.9.9", Some(1)),
            ("10.1.2.9", Some(2)),
            ("10.1.2.3", Some(3)),
            ("11.0.0.0", None),
        ] {
            assert_eq!(lookup(&table, address), slot, "{address}");
        }
        table.remove(net("10.1.2.0/24"), SlotIndex(2));
        assert_eq!(lookup(&table, "10.1.2.9"), Some(1));
    }

    #[test]
    fn a_route_that_moved_on_is_not_removed_by_its_former_holder() {
        let table = RouteTable::new().unwrap();
        let route = net("192.0.2.0/28");
        table.insert(route, SlotIndex(1));
        table.insert(route, SlotIndex(2));
        table.remove(route, SlotIndex(1));
        assert_eq!(lookup(&table, "192.0.2.7"), Some(2));
        table.remove(route, SlotIndex(2));
        assert_eq!(lookup(&table, "192.0.2.7"), None);
        assert_eq!(table.lengths.load(Ordering::Relaxed), 0, "one load again");
    }

    #[test]
    fn the_table_agrees_with_a_list_through_many_changes() {
        let table = RouteTable::new().unwrap();
        let mut model: BTreeMap<Ipv4Net, SlotIndex> = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..20_000_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let length = u8::try_from(24 + (state >> 60) % 9).unwrap();
            let address = Ipv4Addr::from_bits(u32::try_from(state >> 54).unwrap());
            let route = Ipv4Net::new(address, length).unwrap().trunc();
            if state >> 40 & 1 == 0 {
                assert!(table.insert(route, SlotIndex(step)));
                model.insert(route, SlotIndex(step));
            } else if let Some(slot) = model.remove(&route) {
                table.remove(route, slot);
            }
            let longest = model
                .iter()
                .filter(|(route, _)| route.contains(&address))
                .max_by_key(|(route, _)| route.prefix_len());
            assert_eq!(table.lookup(address), longest.map(|(_, slot)| *slot));
        }
    }
}
