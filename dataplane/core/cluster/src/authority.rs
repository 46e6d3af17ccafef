//! How long a master may go on: by the Lease (rule E1) and by promises.
//!
//! Both are counted from when something was *sent*: however late the answer comes, nobody else can have
//! counted from earlier.

use core::ops::Add as _;

use lns_tables::time::Instant;

use crate::profile::Profile;
use crate::promise::Promises;
use crate::record::{Epoch, NodeName, Revision};
use crate::roster::Roster;

/// The right to speak in the cluster's name, until a deadline. Whatever changes state outside the
/// process carries one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Authority {
    /// The fence.
    pub epoch: Epoch,
    /// It ends at this instant of the node's own clock, and not one nanosecond later.
    pub until: Instant,
    /// When it was asked for what it rests on: nobody else was master then, and this node was not cut off from all
    /// others.
    pub vouched: Instant,
}

/// A mastership, as long as it lasts.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Tenure {
    epoch: Epoch,
    /// When the last write that landed was sent.
    renewed: Instant,
    /// The roster that the Lease has.
    roster: Roster,
    /// Rosters that it may have instead: of writes whose outcome is not known.
    maybe: Option<(Roster, Option<Revision>)>,
    promises: Promises,
}

impl Tenure {
    pub(crate) fn new(epoch: Epoch, sent: Instant, roster: Roster) -> Self {
        Self {
            epoch,
            renewed: sent,
            roster,
            maybe: None,
            promises: Promises::default(),
        }
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// When the last write that landed was sent.
    pub(crate) const fn renewed(&self) -> Instant {
        self.renewed
    }

    /// A write of ours landed that was sent at `sent`, with this roster.
    pub(crate) fn renew(&mut self, sent: Instant, roster: Roster) {
        self.renewed = self.renewed.max(sent);
        self.roster = roster;
        self.maybe = None;
    }

    /// A write is out that may change the roster.
    pub(crate) fn propose(&mut self, roster: &Roster, base: Option<Revision>) {
        if let Some((maybe, _)) = &mut self.maybe {
            maybe.extend(roster);
        } else if *roster != self.roster {
            self.maybe = Some((roster.clone(), base));
        }
    }

    /// The Lease was read, at this revision and with this roster. A write that was conditional on
    /// another one cannot land any more. A roster that somebody emptied makes nobody alone: members go
    /// by the last one that they have seen, and so does a master; whether a write had landed before, it does not say.
    pub(crate) fn read(&mut self, roster: &Roster, revision: Option<&Revision>) {
        if roster.is_empty() {
            return;
        }
        self.roster = roster.clone();
        self.maybe = self
            .maybe
            .take()
            .filter(|(_, base)| base.as_ref() == revision);
    }

    pub(crate) const fn promises(&mut self) -> &mut Promises {
        &mut self.promises
    }

    /// Whose promises are needed: those on the roster, and those who may be on it.
    pub(crate) fn others(&self, me: &NodeName) -> Roster {
        let mut all = self.roster.clone();
        if let Some((maybe, _)) = &self.maybe {
            all.extend(maybe);
        }
        all.without(me)
    }

    /// Until when the Lease gives authority.
    pub(crate) fn by_lease(&self, profile: &Profile) -> Instant {
        Instant::add(self.renewed, profile.hold())
    }

    /// Until when promises do. One that is alone on its roster needs nobody's: no other node may
    /// acquire.
    pub(crate) fn by_promises(
        &self,
        me: &NodeName,
        now: Instant,
        profile: &Profile,
    ) -> Option<Instant> {
        let others = self.others(me);
        if others.is_empty() {
            return Some(Instant::add(now, profile.hold()));
        }
        self.promises.until(&others, profile)
    }

    /// When it was asked for what it rests on, the last time that it was granted.
    pub(crate) fn vouched(&self, me: &NodeName, now: Instant) -> Instant {
        let others = self.others(me);
        let promised = if others.is_empty() {
            Some(now)
        } else {
            self.promises.oldest(&others)
        };
        promised.map_or(self.renewed, |sent| sent.max(self.renewed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(node: &str) -> NodeName {
        NodeName::new(node).unwrap()
    }

    #[test]
    fn who_may_have_put_others_on_the_roster_is_not_alone_because_somebody_emptied_it() {
        let (me, other) = (name("a"), name("b"));
        let alone = Roster::lone(me.clone());
        let both = Roster::of([me.clone(), other.clone()]).unwrap();
        let revision = |text: &str| Revision(text.into());
        let mut tenure = Tenure::new(Epoch::NONE, Instant::ZERO, alone.clone());
        // A write is out, and nobody knows what became of it; somebody empties what it may have written.
        tenure.propose(&both, Some(revision("1")));
        tenure.read(&Roster::default(), Some(&revision("3")));
        assert!(tenure.others(&me).contains(&other), "it may have landed");
        // What is read says whether it has, and that it cannot any more.
        tenure.read(&alone, Some(&revision("4")));
        assert!(tenure.others(&me).is_empty());
    }
}
