//! Packets of which one half has come and the other has not.
//!
//! Both halves are authenticated before they get here, and each comes once. What belongs together, key
//! and counter say: the second half has the next counter. Memory is taken once, when this is made.

use super::header::{KeyId, Part, What};
use super::mtu::PathMtu;
use super::refused::Refused;
use crate::limits::HALVES;

/// The halves of one worker.
#[derive(Debug)]
pub struct Halves {
    slots: Box<[Slot]>,
    /// Room for two halves in each slot, the first so that it ends where the second begins.
    octets: Box<[u8]>,
    /// The longest half.
    longest: usize,
    /// Halves that gave way before the other came.
    incomplete: u64,
}

/// A half that waits.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    waiting: Option<Half>,
}

#[derive(Clone, Copy, Debug)]
struct Half {
    key: KeyId,
    /// The counter of the first half.
    pair: u64,
    what: What,
    part: Part,
    length: usize,
}

impl Halves {
    /// For a worker that takes frames of this path.
    pub fn new(mtu: PathMtu) -> Self {
        let longest = mtu.octets();
        Self {
            slots: vec![Slot::default(); HALVES].into(),
            octets: vec![0; HALVES.saturating_mul(longest).saturating_mul(2)].into(),
            longest,
            incomplete: 0,
        }
    }

    /// Halves that gave way before the other came: either was lost, or came more than [`HALVES`] packets
    /// later.
    pub const fn incomplete(&self) -> u64 {
        self.incomplete
    }

    /// The longest half, octets.
    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    /// Takes a half. With the second of two, whichever that is, the whole.
    pub(super) fn put(
        &mut self,
        key: KeyId,
        counter: u64,
        what: What,
        part: Part,
        octets: &[u8],
    ) -> Result<Option<&mut [u8]>, Refused> {
        if octets.len() > self.longest {
            return Err(Refused::TooLong);
        }
        let pair = match part {
            Part::Second => counter.checked_sub(1).ok_or(Refused::Malformed)?,
            Part::Whole | Part::First => counter,
        };
        let at = place(key, pair, self.slots.len()).ok_or(Refused::TooLong)?;
        let slot = self.slots.get_mut(at).ok_or(Refused::TooLong)?;
        let room = self.longest.saturating_mul(2);
        let start = at.saturating_mul(room);
        let room = self.octets.get_mut(start..start.saturating_add(room));
        let (first, second) = room
            .and_then(|room| room.split_at_mut_checked(self.longest))
            .ok_or(Refused::TooLong)?;
        let to = if part == Part::Second {
            second.get_mut(..octets.len())
        } else {
            let from = first.len().saturating_sub(octets.len());
            first.get_mut(from..)
        };
        to.ok_or(Refused::TooLong)?.copy_from_slice(octets);
        let half = Half {
            key,
            pair,
            what,
            part,
            length: octets.len(),
        };
        let Some(other) = slot.waiting.replace(half) else {
            return Ok(None);
        };
        if (other.key, other.pair) != (key, pair) || other.part == part {
            self.incomplete = self.incomplete.saturating_add(1);
            return Ok(None);
        }
        slot.waiting = None;
        if other.what != what {
            return Err(Refused::Malformed);
        }
        let (before, behind) = if part == Part::Second {
            (other.length, octets.len())
        } else {
            (octets.len(), other.length)
        };
        let middle = start.saturating_add(self.longest);
        let whole = middle.saturating_sub(before)..middle.saturating_add(behind);
        Ok(self.octets.get_mut(whole))
    }
}

/// Where a pair waits: pairs that are under way together are in places of their own.
fn place(key: KeyId, pair: u64, places: usize) -> Option<usize> {
    let mixed = u64::from(key.0).wrapping_mul(7).wrapping_add(pair / 2);
    let places = u64::try_from(places).ok()?;
    usize::try_from(mixed.checked_rem(places)?).ok()
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHAT: What = What::ToHomeDownstream;

    fn put(halves: &mut Halves, counter: u64, part: Part, octets: &[u8]) -> Option<Vec<u8>> {
        let put = halves.put(KeyId(3), counter, WHAT, part, octets);
        put.unwrap().map(|whole| whole.to_vec())
    }

    proptest! {
        #[test]
        fn two_halves_make_the_whole_in_either_order(
            first in prop::collection::vec(any::<u8>(), 0..1500),
            second in prop::collection::vec(any::<u8>(), 0..1500),
            counter in 0_u64..1 << 25,
            backwards in any::<bool>(),
        ) {
            let mut halves = Halves::new(PathMtu::default());
            let mut both = [(counter, Part::First, &first), (counter + 1, Part::Second, &second)];
            if backwards {
                both.reverse();
            }
            let [(at, part, octets), (next, other, rest)] = both;
            prop_assert_eq!(put(&mut halves, at, part, octets), None);
            let whole = put(&mut halves, next, other, rest);
            prop_assert_eq!(whole, Some([&first[..], &second[..]].concat()));
            prop_assert_eq!(halves.incomplete(), 0);
        }
    }

    #[test]
    fn as_many_packets_wait_as_there_is_room_for_and_the_oldest_gives_way() {
        let mut halves = Halves::new(PathMtu::default());
        let all = u64::try_from(HALVES).unwrap();
        for pair in 0..all {
            assert_eq!(put(&mut halves, pair * 2, Part::First, b"first "), None);
        }
        assert_eq!(halves.incomplete(), 0);
        assert_eq!(put(&mut halves, all * 2, Part::First, b"first "), None);
        assert_eq!(halves.incomplete(), 1);
        assert_eq!(
            put(&mut halves, 3, Part::Second, b"half"),
            Some(b"first half".to_vec())
        );
        // Its first half has given way.
        assert_eq!(put(&mut halves, 1, Part::Second, b"half"), None);
    }

    #[test]
    fn halves_of_different_packets_or_keys_make_nothing() {
        let mut halves = Halves::new(PathMtu::default());
        assert_eq!(put(&mut halves, 4, Part::First, b"a"), None);
        let other = halves.put(KeyId(4), 5, WHAT, Part::Second, b"b");
        assert_eq!(other, Ok(None));
        assert_eq!(put(&mut halves, 7, Part::Second, b"c"), None);
        // One that would wait at the same place.
        let turn = 2 * u64::try_from(HALVES).unwrap();
        assert_eq!(put(&mut halves, 5 + turn, Part::Second, b"x"), None);
        assert_eq!(put(&mut halves, 4, Part::First, b"a"), None);
        let odd = halves.put(KeyId(3), 5, What::ToHomeV4, Part::Second, b"d");
        assert_eq!(odd, Err(Refused::Malformed));
        assert_eq!(
            put(&mut halves, 5, Part::Second, b"e"),
            None,
            "both are gone"
        );
    }

    #[test]
    fn a_half_that_is_too_long_or_has_no_first_is_refused() {
        let mut halves = Halves::new(PathMtu::default());
        let long = vec![0; 1501];
        assert_eq!(
            halves.put(KeyId(3), 4, WHAT, Part::First, &long),
            Err(Refused::TooLong)
        );
        assert_eq!(
            halves.put(KeyId(3), 0, WHAT, Part::Second, b"x"),
            Err(Refused::Malformed)
        );
    }
}
