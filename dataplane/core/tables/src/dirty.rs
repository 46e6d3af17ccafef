//! A list of what has changed, over dense keys: each at most once, oldest first.

use crate::chunks::Chunks;

/// Keys `0..capacity` that await a visit.
#[derive(Debug)]
pub struct DirtyList {
    capacity: u32,
    links: Chunks<Link>,
    ends: Option<(u32, u32)>,
    len: u32,
}

/// Where a key stands in the list.
#[derive(Clone, Copy, Debug, Default)]
enum Link {
    /// Not in it.
    #[default]
    Out,
    /// In it, at its end.
    Last,
    /// In it, before this key.
    Before(u32),
}

impl DirtyList {
    /// An empty list for the keys `0..capacity`. Takes memory as keys are marked, 8 octets each.
    pub fn new(capacity: u32) -> Self {
        let links = Chunks::new(usize::try_from(capacity).unwrap_or(usize::MAX));
        Self {
            capacity,
            links,
            ends: None,
            len: 0,
        }
    }

    /// Puts `key` at the end of the list, unless it is in it. `false` if it was, or is no key.
    pub fn mark(&mut self, key: u32) -> bool {
        if key >= self.capacity || self.is_marked(key) {
            return false;
        }
        self.link(key, Link::Last);
        let first = match self.ends {
            None => key,
            Some((first, last)) => {
                self.link(last, Link::Before(key));
                first
            }
        };
        self.ends = Some((first, key));
        self.len = self.len.saturating_add(1);
        true
    }

    /// Takes the key that was marked first.
    pub fn pop(&mut self) -> Option<u32> {
        let (first, last) = self.ends?;
        self.ends = match self.links.get(first) {
            Some(Link::Before(next)) => Some((*next, last)),
            Some(Link::Last | Link::Out) | None => None,
        };
        self.link(first, Link::Out);
        self.len = self.len.saturating_sub(1);
        Some(first)
    }

    /// Whether `key` is in the list.
    pub fn is_marked(&self, key: u32) -> bool {
        self.links
            .get(key)
            .is_some_and(|link| !matches!(link, Link::Out))
    }

    /// How many keys are in the list.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no key is in the list.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn link(&mut self, key: u32, to: Link) {
        if let Some(link) = self.links.entry(key) {
            *link = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_beyond_the_capacity_is_not_marked() {
        let mut list = DirtyList::new(3);
        assert!(!list.mark(3));
        assert!(list.mark(2));
        assert_eq!((list.pop(), list.pop()), (Some(2), None));
    }

    proptest! {
        #[test]
        fn keys_come_once_and_in_order(steps in prop::collection::vec(prop::option::of(0_u32..600), 0..400)) {
            let mut list = DirtyList::new(600);
            let mut expected = VecDeque::new();
            for step in steps {
                if let Some(key) = step {
                    let fresh = !expected.contains(&key);
                    prop_assert_eq!(list.mark(key), fresh);
                    if fresh {
                        expected.push_back(key);
                    }
                    prop_assert!(list.is_marked(key));
                } else {
                    prop_assert_eq!(list.pop(), expected.pop_front());
                }
                prop_assert_eq!(usize::try_from(list.len()).unwrap(), expected.len());
                prop_assert_eq!(list.is_empty(), expected.is_empty());
            }
        }
    }
}
