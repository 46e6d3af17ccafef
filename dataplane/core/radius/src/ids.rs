//! The identifiers of one connection (RFC 2865, 3; RFC 5080, 2.2.2).
//!
//! The one that was free longest is taken first. One that a request has given up for another, because
//! its content changed, rests: an answer to it is still one to the request, and nothing else gets it.
//!
//! Each connection begins with 1. An identifier need not be hard to guess: who forges an answer must know
//! the secret, and who only wants to be heard at all our port, which the kernel draws for each connection. A
//! server does not take a new connection's requests for old ones either, since they come from another port.

use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_crypto::radius::Authenticator;
use lns_tables::time::Instant;
use lns_wire::radius::{Code, Id};

use crate::config::{Key, Secrets};
use crate::limits::CHECK_ID;

/// Places for those that rest: twice as many as there can be, so that half of the queue at least is of
/// those that were released meanwhile before they are sorted out.
const RESTING: usize = 512;

/// What was sent with an identifier: what its answer is held against.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) code: Code,
    pub(crate) authenticator: Authenticator,
    /// Which of the server's secrets it was signed with.
    pub(crate) key: Key,
    /// That secret and no other.
    pub(crate) secrets: Arc<Secrets>,
    /// When it was sent last.
    pub(crate) sent: Instant,
}

/// Whose an identifier is: the request's place and number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owner {
    pub(crate) place: u32,
    pub(crate) number: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Free,
    Live,
    /// Until then.
    Resting(Instant),
}

struct Slot {
    state: State,
    owner: Owner,
    signed: Option<Signed>,
}

/// All of one connection but the one for checks.
pub(crate) struct Ids {
    slots: Box<[Slot]>,
    /// Longest free first.
    free: VecDeque<u8>,
    /// Soonest over first. One that was released meanwhile is still in here.
    resting: VecDeque<(Instant, u8)>,
}

impl Ids {
    pub(crate) fn new() -> Self {
        let slot = || Slot {
            state: State::Free,
            owner: Owner {
                place: 0,
                number: 0,
            },
            signed: None,
        };
        Self {
            slots: (0..=u8::MAX).map(|_| slot()).collect(),
            free: (0..=u8::MAX).filter(|id| *id != CHECK_ID).collect(),
            resting: VecDeque::with_capacity(RESTING),
        }
    }

    /// How many can be taken.
    pub(crate) fn free(&self) -> u16 {
        u16::try_from(self.free.len()).unwrap_or(u16::MAX)
    }

    /// How many are out, resting ones included.
    pub(crate) fn used(&self) -> u16 {
        crate::limits::PER_CONNECTION.saturating_sub(self.free())
    }

    /// Takes the one that was free longest.
    pub(crate) fn take(&mut self, owner: Owner) -> Option<Id> {
        let id = self.free.pop_front()?;
        if let Some(slot) = self.slots.get_mut(usize::from(id)) {
            slot.state = State::Live;
            slot.owner = owner;
            slot.signed = None;
        }
        Some(Id(id))
    }

    /// Another one for what `id` stood for, which rests until `until`. If none is free, `id` itself: its
    /// old answer is lost then, and nothing waits.
    pub(crate) fn renew(&mut self, id: Id, until: Instant) -> Id {
        let Some(owner) = self.owner(id) else {
            return id;
        };
        let Some(new) = self.take(owner) else {
            return id;
        };
        self.rest(id, until);
        new
    }

    /// Keeps one from being taken until then.
    pub(crate) fn rest(&mut self, id: Id, until: Instant) {
        let Some(slot) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        if slot.state != State::Live {
            return;
        }
        if slot.signed.is_none() {
            self.release(id);
            return;
        }
        slot.state = State::Resting(until);
        if self.resting.len() >= RESTING {
            self.sort_out();
        }
        self.resting.push_back((until, id.0));
    }

    /// Forgets those in the queue that were released meanwhile.
    fn sort_out(&mut self) {
        let slots = &self.slots;
        self.resting.retain(|(until, id)| {
            let slot = slots.get(usize::from(*id));
            slot.is_some_and(|slot| slot.state == State::Resting(*until))
        });
    }

    /// Notes what was sent with it.
    pub(crate) fn sign(&mut self, id: Id, signed: Signed) {
        if let Some(slot) = self.slots.get_mut(usize::from(id.0)) {
            slot.signed = Some(signed);
        }
    }

    /// Notes that the same was sent again.
    pub(crate) fn sent_again(&mut self, id: Id, now: Instant) {
        let slot = self.slots.get_mut(usize::from(id.0));
        if let Some(signed) = slot.and_then(|slot| slot.signed.as_mut()) {
            signed.sent = now;
        }
    }

    /// Whose it is, if it is out, and what was sent with it, if something was.
    pub(crate) fn get(&self, id: Id) -> Option<(Owner, Option<&Signed>)> {
        let slot = self.slots.get(usize::from(id.0))?;
        (slot.state != State::Free).then_some((slot.owner, slot.signed.as_ref()))
    }

    fn owner(&self, id: Id) -> Option<Owner> {
        self.get(id).map(|(owner, _)| owner)
    }

    /// Gives one back.
    pub(crate) fn release(&mut self, id: Id) {
        let Some(slot) = self.slots.get_mut(usize::from(id.0)) else {
            return;
        };
        if slot.state != State::Free && id.0 != CHECK_ID {
            slot.state = State::Free;
            slot.signed = None;
            self.free.push_back(id.0);
        }
    }

    /// Gives back all: there is no socket any more.
    pub(crate) fn clear(&mut self) {
        for id in 0..=u8::MAX {
            self.release(Id(id));
        }
        self.resting.clear();
    }

    /// Gives back all that rest for a request.
    pub(crate) fn forget(&mut self, owner: Owner) {
        for at in 0..self.resting.len() {
            let Some((until, id)) = self.resting.get(at).copied() else {
                return;
            };
            if self.rests(id, until) && self.owner(Id(id)) == Some(owner) {
                self.release(Id(id));
            }
        }
    }

    /// Gives back those whose rest is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((until, id)) = self.resting.front().copied() {
            let rests = self.rests(id, until);
            if rests && until > now {
                return;
            }
            self.resting.pop_front();
            if rests {
                self.release(Id(id));
            }
        }
    }

    /// When the next rest is over.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let mut resting = self.resting.iter();
        resting
            .find(|(until, id)| self.rests(*id, *until))
            .map(|(until, _)| *until)
    }

    fn rests(&self, id: u8, until: Instant) -> bool {
        self.slots
            .get(usize::from(id))
            .is_some_and(|slot| slot.state == State::Resting(until))
    }

    /// The requests that have one, without those that rest.
    pub(crate) fn live(&self) -> impl Iterator<Item = Owner> + '_ {
        self.slots
            .iter()
            .filter(|slot| slot.state == State::Live)
            .map(|slot| slot.owner)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids")
            .field("free", &self.free.len())
            .field("resting", &self.resting.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lns_crypto::Secret;
    use proptest::prelude::*;

    use super::*;

    fn owner(number: u64) -> Owner {
        Owner { place: 1, number }
    }

    fn signed() -> Signed {
        Signed {
            code: Code::ACCESS_REQUEST,
            authenticator: [1; 16],
            key: Key::Current,
            secrets: Arc::new(Secrets {
                current: Secret::new(*b"s"),
                previous: None,
            }),
            sent: Instant::ZERO,
        }
    }

    #[test]
    fn the_one_that_was_free_longest_is_taken_first_and_the_check_s_never() {
        let mut ids = Ids::new();
        let first = ids.take(owner(1)).unwrap();
        ids.release(first);
        let rest: Vec<u8> = (0..255).map(|at| ids.take(owner(at)).unwrap().0).collect();
        assert_eq!(ids.take(owner(9)), None);
        assert_eq!(rest.last(), Some(&first.0));
        assert!(!rest.contains(&CHECK_ID));
    }

    #[test]
    fn with_all_in_use_a_request_gets_its_own_back() {
        let mut ids = Ids::new();
        let mine = ids.take(owner(1)).unwrap();
        ids.sign(mine, signed());
        while ids.take(owner(2)).is_some() {}
        assert_eq!(ids.renew(mine, Instant::from_millis(9)), mine);
    }

    #[test]
    fn one_that_rests_is_not_taken_before_its_time_and_remembers_its_owner() {
        let mut ids = Ids::new();
        let until = Instant::from_millis(30_000);
        let old = ids.take(owner(1)).unwrap();
        ids.sign(old, signed());
        let new = ids.renew(old, until);
        assert_ne!(new, old);
        assert_eq!(ids.get(old).map(|(owner, _)| owner), Some(owner(1)));
        let free = ids.free();
        ids.expire(Instant::from_millis(29_999));
        assert_eq!((ids.free(), ids.next_expiry()), (free, Some(until)));
        ids.expire(until);
        assert_eq!((ids.free(), ids.next_expiry()), (free + 1, None));
        assert!(ids.get(old).is_none());
    }

    #[test]
    fn a_request_that_is_cancelled_leaves_nothing_resting() {
        let mut ids = Ids::new();
        let old = ids.take(owner(1)).unwrap();
        ids.sign(old, signed());
        let new = ids.renew(old, Instant::from_millis(5));
        ids.release(new);
        ids.forget(owner(1));
        assert_eq!((ids.used(), ids.next_expiry()), (0, None));
    }

    proptest! {
        #[test]
        fn no_identifier_is_out_twice(steps in prop::collection::vec((0_u8..5, any::<u8>()), 0..800)) {
            let mut ids = Ids::new();
            let mut live = BTreeMap::new();
            let mut now = Instant::ZERO;
            for (number, (step, pick)) in (0_u64..).zip(steps) {
                let at = usize::from(pick).checked_rem(live.len()).unwrap_or_default();
                let picked = live.keys().nth(at).copied();
                match (step, picked) {
                    (0 | 1, _) => {
                        if let Some(id) = ids.take(owner(number)) {
                            ids.sign(id, signed());
                            prop_assert_eq!(live.insert(id.0, number), None);
                        }
                    }
                    (2, Some(id)) => {
                        live.remove(&id);
                        ids.release(Id(id));
                    }
                    (3, Some(id)) => {
                        let whose = live.remove(&id).unwrap();
                        let new = ids.renew(Id(id), now + core::time::Duration::from_secs(5));
                        ids.sign(new, signed());
                        prop_assert_eq!(live.insert(new.0, whose), None);
                    }
                    _ => {
                        now += core::time::Duration::from_secs(u64::from(pick % 4));
                        ids.expire(now);
                    }
                }
                prop_assert_eq!(ids.live().count(), live.len());
                for (id, number) in &live {
                    prop_assert_eq!(ids.get(Id(*id)).map(|(owner, _)| owner.number), Some(*number));
                }
            }
        }
    }
}
