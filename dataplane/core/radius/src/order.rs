//! Which connection comes first: a heap whose members know their place, so that each can be moved.

use core::cmp::Reverse;

use lns_tables::time::Instant;

/// What is compared: the greatest is the most lively. The order is total, as numbers differ.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Lively {
    /// Nothing that was sent on it has been waiting for its answer too long.
    pub(crate) answers: bool,
    /// When its last answer came that was believed; `None` sorts lowest.
    pub(crate) last_reply: Option<Instant>,
    /// Only where those are equal.
    pub(crate) free_ids: u16,
    /// And then the one that is longest there.
    pub(crate) number: Reverse<u16>,
}

/// Connections that can take a request, most lively first. All operations but the first take as many
/// steps as the number of members has bits.
#[derive(Debug, Default)]
pub(crate) struct Order {
    heap: Vec<(Lively, u16)>,
    /// By member: where it is in the heap.
    places: Vec<Option<u32>>,
}

impl Order {
    /// The most lively.
    pub(crate) fn first(&self) -> Option<(Lively, u16)> {
        self.heap.first().copied()
    }

    /// Whether it is one of them.
    #[cfg(test)]
    pub(crate) fn has(&self, member: u16) -> bool {
        self.place(member).is_some()
    }

    /// Puts a member in, or moves it.
    pub(crate) fn put(&mut self, member: u16, lively: Lively) {
        let at = if let Some(at) = self.place(member) {
            if let Some(entry) = self.heap.get_mut(at) {
                entry.0 = lively;
            }
            at
        } else {
            self.heap.push((lively, member));
            let at = self.heap.len().saturating_sub(1);
            self.note(at);
            at
        };
        let at = self.rise(at);
        self.sink(at);
    }

    /// Takes a member out, if it is one.
    pub(crate) fn remove(&mut self, member: u16) {
        let Some(at) = self.place(member) else {
            return;
        };
        let last = self.heap.len().saturating_sub(1);
        self.swap(at, last);
        self.heap.pop();
        if let Some(place) = self.places.get_mut(usize::from(member)) {
            *place = None;
        }
        if at < last {
            let at = self.rise(at);
            self.sink(at);
        }
    }

    fn place(&self, member: u16) -> Option<usize> {
        let place = self.places.get(usize::from(member)).copied().flatten()?;
        usize::try_from(place).ok()
    }

    fn note(&mut self, at: usize) {
        let Some((_, member)) = self.heap.get(at) else {
            return;
        };
        let member = usize::from(*member);
        if member >= self.places.len() {
            self.places.resize(member.saturating_add(1), None);
        }
        if let Some(place) = self.places.get_mut(member) {
            *place = u32::try_from(at).ok();
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a != b && a < self.heap.len() && b < self.heap.len() {
            self.heap.swap(a, b);
            self.note(a);
            self.note(b);
        }
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while let Some(above) = at.checked_sub(1).map(|at| at / 2) {
            if self.heap.get(at) <= self.heap.get(above) {
                break;
            }
            self.swap(at, above);
            at = above;
        }
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let left = at.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            let greater = if self.heap.get(right) > self.heap.get(left) {
                right
            } else {
                left
            };
            if self.heap.get(greater) <= self.heap.get(at) {
                return;
            }
            self.swap(at, greater);
            at = greater;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn lively(answers: bool, reply: u64, free_ids: u16, number: u16) -> Lively {
        Lively {
            answers,
            last_reply: (reply > 0).then(|| Instant::from_millis(reply)),
            free_ids,
            number: Reverse(number),
        }
    }

    fn any_lively() -> impl Strategy<Value = Lively> {
        (any::<bool>(), 0_u64..4, 0_u16..3, 0_u16..5).prop_map(|(a, b, c, d)| lively(a, b, c, d))
    }

    proptest! {
        #[test]
        fn r03_the_order_is_strict_and_free_ids_only_break_ties(a in any_lively(), b in any_lively(), c in any_lively()) {
            prop_assert!(!(a < b && b < a));
            prop_assert!(!(a < b && b < c) || a < c, "transitive");
            prop_assert!(a.cmp(&b) == b.cmp(&a).reverse(), "antisymmetric");
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
            if (a.answers, a.last_reply) != (b.answers, b.last_reply) {
                let without = |lively: Lively| Lively { free_ids: 0, ..lively };
                prop_assert_eq!(a.cmp(&b), without(a).cmp(&without(b)));
            }
        }

        #[test]
        fn the_first_is_the_greatest_whatever_was_moved(steps in prop::collection::vec((0_u16..12, prop::option::of(any_lively())), 0..200)) {
            let mut order = Order::default();
            let mut expected = BTreeMap::new();
            for (member, lively) in steps {
                if let Some(lively) = lively {
                    let lively = Lively { number: Reverse(member), ..lively };
                    order.put(member, lively);
                    expected.insert(member, lively);
                } else {
                    order.remove(member);
                    expected.remove(&member);
                }
                let first = expected.iter().map(|(member, lively)| (*lively, *member)).max();
                prop_assert_eq!(order.first(), first);
                prop_assert!((0..12).all(|member| order.has(member) == expected.contains_key(&member)));
            }
        }
    }
}
