//! Who logs in: local users, and the rule for a subscriber that is already there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;

use crate::config::{DuplicateAction, DuplicateKey, Duplicates};
use crate::limits;

/// The sessions by what makes them one subscriber's.
#[derive(Debug, Default)]
pub(crate) struct Present {
    sessions: Slots,
    replaced: BTreeMap<Key, u8>,
    forget: VecDeque<(Instant, Key)>,
}

/// The values of a session that [`Duplicates::key`] names, each with its length, so that no two
/// subscribers share one by accident of their names.
pub(crate) type Key = Arc<[u8]>;

/// What is known of a session that logs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) user: &'a [u8],
    pub(crate) calling_number: Option<&'a str>,
    pub(crate) lac: &'a str,
    pub(crate) physical_channel: Option<u32>,
}

/// What the rule says of a session that logs in.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// It may.
    Admit,
    /// It may, and these end.
    Replace(Vec<SlotIndex>),
    /// It may not.
    Refuse,
}

impl Present {
    /// What `rule` says of a session with this key, and, unless it is refused, its entry.
    ///
    /// # Cost
    /// One look-up; with `Replace` also the sessions that end for it.
    pub(crate) fn admit(
        &mut self,
        rule: &Duplicates,
        key: &Key,
        slot: SlotIndex,
        now: Instant,
    ) -> Judgement {
        let held: Vec<_> = match rule.action {
            DuplicateAction::Allow => Vec::new(),
            DuplicateAction::Replace | DuplicateAction::Refuse => self.holders(key, slot).collect(),
        };
        let judgement = match rule.action {
            _ if held.is_empty() => Judgement::Admit,
            DuplicateAction::Allow => Judgement::Admit,
            DuplicateAction::Refuse => Judgement::Refuse,
            DuplicateAction::Replace if self.replaced_too_often(key, now) => Judgement::Refuse,
            DuplicateAction::Replace => Judgement::Replace(held),
        };
        if judgement != Judgement::Refuse {
            self.enter(key, slot);
        }
        judgement
    }

    /// The session is there.
    pub(crate) fn enter(&mut self, key: &Key, slot: SlotIndex) {
        self.sessions.enter(key, slot);
    }

    /// The session is gone.
    pub(crate) fn remove(&mut self, key: &Key, slot: SlotIndex) {
        self.sessions.remove(key, slot);
    }

    fn holders(&self, key: &Key, except: SlotIndex) -> impl Iterator<Item = SlotIndex> {
        self.sessions.of(key).filter(move |slot| *slot != except)
    }

    fn replaced_too_often(&mut self, key: &Key, now: Instant) -> bool {
        while let Some((at, _)) = self.forget.front()
            && now.since(*at) >= limits::REPLACE_WINDOW
        {
            let Some((_, old)) = self.forget.pop_front() else {
                break;
            };
            match self.replaced.get_mut(&old) {
                Some(count) if *count > 1 => *count = count.saturating_sub(1),
                _ => drop(self.replaced.remove(&old)),
            }
        }
        let count = self.replaced.entry(Arc::clone(key)).or_default();
        if *count >= limits::REPLACEMENTS {
            return true;
        }
        *count = count.saturating_add(1);
        self.forget.push_back((now, Arc::clone(key)));
        false
    }
}

/// Sessions by a name or key that several may have.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeSet<(Arc<[u8]>, SlotIndex)>);

impl Slots {
    /// The sessions of that name.
    pub(crate) fn of(&self, name: &Arc<[u8]>) -> impl Iterator<Item = SlotIndex> {
        let first = (Arc::clone(name), SlotIndex(0));
        let last = (Arc::clone(name), SlotIndex(u32::MAX));
        self.0.range(first..=last).map(|(_, slot)| *slot)
    }

    fn contains(&self, name: &Arc<[u8]>, slot: SlotIndex) -> bool {
        self.0.contains(&(Arc::clone(name), slot))
    }

    /// The session has that name. `false`: it had it before.
    pub(crate) fn enter(&mut self, name: &Arc<[u8]>, slot: SlotIndex) -> bool {
        self.0.insert((Arc::clone(name), slot))
    }

    /// The session has it no more. `false`: it did not have it.
    pub(crate) fn remove(&mut self, name: &Arc<[u8]>, slot: SlotIndex) -> bool {
        self.0.remove(&(Arc::clone(name), slot))
    }
}

/// The sessions of each user, for Port-Limit (RFC 2865, 5.42).
#[derive(Debug, Default)]
pub(crate) struct Ports {
    sessions: Slots,
    /// How many each user has; none is 0.
    counts: BTreeMap<Arc<[u8]>, u32>,
}

impl Ports {
    /// Whether a user may have so many sessions at most, this one among them.
    ///
    /// # Cost
    /// Two look-ups, however many there are.
    pub(crate) fn has_room(&self, user: &Arc<[u8]>, slot: SlotIndex, limit: u32) -> bool {
        let all = self.counts.get(user).copied().unwrap_or_default();
        let own = u32::from(self.sessions.contains(user, slot));
        all.saturating_sub(own) < limit
    }

    /// The sessions that a user has.
    pub(crate) fn sessions(&self, user: &Arc<[u8]>) -> impl Iterator<Item = SlotIndex> {
        self.sessions.of(user)
    }

    /// The user has this session.
    pub(crate) fn enter(&mut self, user: &Arc<[u8]>, slot: SlotIndex) {
        if self.sessions.enter(user, slot) {
            let count = self.counts.entry(Arc::clone(user)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The session is gone, or somebody else's.
    pub(crate) fn remove(&mut self, user: &Arc<[u8]>, slot: SlotIndex) {
        if !self.sessions.remove(user, slot) {
            return;
        }
        match self.counts.get_mut(user) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => drop(self.counts.remove(user)),
        }
    }
}

impl Identity<'_> {
    /// The key of this session under `rule`.
    pub(crate) fn key(&self, rule: &Duplicates) -> Key {
        let mut octets = Vec::new();
        for part in &rule.key {
            match part {
                DuplicateKey::UserName => push(&mut octets, self.user),
                DuplicateKey::CallingStationId => {
                    push(
                        &mut octets,
                        self.calling_number.unwrap_or_default().as_bytes(),
                    );
                }
                DuplicateKey::NasPortId => {
                    push(&mut octets, self.lac.as_bytes());
                    push(
                        &mut octets,
                        &self.physical_channel.unwrap_or_default().to_be_bytes(),
                    );
                }
            }
        }
        octets.into()
    }
}

fn push(octets: &mut Vec<u8>, value: &[u8]) {
    octets.extend_from_slice(&value.len().to_be_bytes());
    octets.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn rule(action: DuplicateAction) -> Duplicates {
        Duplicates {
            key: vec![DuplicateKey::UserName, DuplicateKey::CallingStationId],
            action,
        }
    }

    fn key(user: &str, number: &str) -> Key {
        let identity = Identity {
            user: user.as_bytes(),
            calling_number: Some(number),
            lac: "a",
            physical_channel: None,
        };
        identity.key(&rule(DuplicateAction::Allow))
    }

    #[test]
    fn names_and_numbers_do_not_run_into_each_other() {
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_eq!(key("ab", "c"), key("ab", "c"));
    }

    #[test]
    fn refuse_keeps_the_first_and_replace_ends_it() {
        let mut present = Present::default();
        let (user, now) = (key("u", "1"), Instant::ZERO);
        let refuse = rule(DuplicateAction::Refuse);
        assert_eq!(
            present.admit(&refuse, &user, SlotIndex(1), now),
            Judgement::Admit
        );
        assert_eq!(
            present.admit(&refuse, &user, SlotIndex(1), now),
            Judgement::Admit
        );
        assert_eq!(
            present.admit(&refuse, &user, SlotIndex(2), now),
            Judgement::Refuse
        );
        let replace = rule(DuplicateAction::Replace);
        let judged = present.admit(&replace, &user, SlotIndex(2), now);
        assert_eq!(judged, Judgement::Replace(vec![SlotIndex(1)]));
        present.remove(&user, SlotIndex(1));
        present.remove(&user, SlotIndex(2));
        assert_eq!(
            present.admit(&refuse, &user, SlotIndex(3), now),
            Judgement::Admit
        );
    }

    #[test]
    fn a_user_has_room_up_to_the_limit_and_again_when_a_session_is_gone() {
        let mut ports = Ports::default();
        let [user, other] = [Arc::from(*b"u"), Arc::from(*b"v")];
        let one_more = SlotIndex(9);
        assert!(!ports.has_room(&user, one_more, 0));
        for slot in 0..2 {
            assert!(ports.has_room(&user, one_more, 2));
            ports.enter(&user, SlotIndex(slot));
        }
        ports.enter(&user, SlotIndex(1));
        assert!(!ports.has_room(&user, one_more, 2) && ports.has_room(&user, one_more, 3));
        assert!(ports.has_room(&user, SlotIndex(1), 2), "it has its own");
        assert!(ports.has_room(&other, one_more, 1));
        ports.remove(&user, SlotIndex(0));
        ports.remove(&user, SlotIndex(0));
        assert!(ports.has_room(&user, one_more, 2) && !ports.has_room(&user, one_more, 1));
        ports.remove(&user, SlotIndex(1));
        assert!(ports.has_room(&user, one_more, 1) && ports.counts.is_empty());
    }

    #[test]
    fn two_lines_with_one_login_do_not_replace_each_other_for_ever() {
        let mut present = Present::default();
        let (user, replace) = (key("u", "1"), rule(DuplicateAction::Replace));
        let mut now = Instant::ZERO;
        let mut login = |slot, now| {
            let judged = present.admit(&replace, &user, SlotIndex(slot), now);
            if let Judgement::Replace(ended) = &judged {
                for ended in ended {
                    present.remove(&user, *ended);
                }
            }
            judged != Judgement::Refuse
        };
        let admitted = (0..10).filter(|slot| login(*slot, now)).count();
        assert_eq!(admitted, usize::from(limits::REPLACEMENTS) + 1);
        now += limits::REPLACE_WINDOW + Duration::from_secs(1);
        assert!(login(20, now));
    }
}
