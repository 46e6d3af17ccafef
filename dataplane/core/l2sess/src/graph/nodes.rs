//! What each node does with a packet.

use super::events::Event;
use super::map::{Exit, Stage};
use super::options::{IcmpErrors, WhenFull};
use super::{Classifier, Visit};
use crate::key::{Detail, Direction, FlowKey, Tuple};
use crate::packet::Packet;
use crate::policy::{Action, Chain, Epoch, Judgement, Policies, PolicyId};
use crate::state::{State, Step};
use crate::table::{Added, Changed, Hit, NewFlow};
use crate::verdict::Refusal;

/// RFC 768.
const UDP: u8 = 17;

/// How often a packet's state is tried to be written when other packets of the flow write theirs. Its
/// bits only ever grow in number and its time is written once in seconds: a few are enough.
const TRIES: usize = 64;

/// A packet on its way, and what the nodes behind it have found out.
pub(super) struct Walk<'a> {
    classifier: &'a Classifier,
    policies: &'a Policies,
    chain: Option<&'a Chain>,
    visit: &'a Visit<'a>,
    packet: &'a Packet<'a>,
    hit: Option<Hit>,
    policy: PolicyId,
    /// The flow is one that another node had open, and that the subscriber began.
    is_resumed: bool,
}

impl<'a> Walk<'a> {
    #[inline]
    pub(super) const fn new(
        classifier: &'a Classifier,
        policies: &'a Policies,
        chain: Option<&'a Chain>,
        visit: &'a Visit<'a>,
        packet: &'a Packet<'a>,
    ) -> Self {
        Self {
            classifier,
            policies,
            chain,
            visit,
            packet,
            hit: None,
            policy: PolicyId::NONE,
            is_resumed: false,
        }
    }

    #[inline]
    pub(super) fn pass(&mut self, stage: Stage) -> Exit {
        match stage {
            Stage::Session => self.session(),
            Stage::Policy => self.policy(),
            Stage::Add => {
                let exit = self.add();
                if exit == Exit::Opened {
                    self.let_fragments_follow(self.policy, self.visit.direction);
                }
                exit
            }
            Stage::Track => self.track(),
        }
    }

    #[inline]
    fn session(&mut self) -> Exit {
        self.hit = self.find();
        if self.hit.is_some() {
            return Exit::Hit;
        }
        if self.is_related() {
            self.count(Event::Related);
            return Exit::Related;
        }
        Exit::Miss
    }

    fn policy(&mut self) -> Exit {
        let Some(chain) = self.chain else {
            return Exit::Passed;
        };
        let judgement = self.judge(chain, self.visit.direction, self.packet);
        self.policy = judgement.policy;
        match judgement.action {
            Action::Pass => Exit::Passed,
            Action::Track => Exit::Tracked,
            Action::Drop if self.resumes(chain) => Exit::Tracked,
            Action::Drop => Exit::Dropped,
        }
    }

    /// Whether the packet goes on with a flow that the subscriber has begun at another node.
    #[cold]
    fn resumes(&mut self, chain: &Chain) -> bool {
        let Visit { direction, now, .. } = *self.visit;
        if direction != Direction::Output || !self.classifier.resumes(now) || !self.goes_on() {
            return false;
        }
        let question = self.judge(chain, direction.other(), &self.packet.mirror());
        self.is_resumed = question.action == Action::Track;
        if self.is_resumed {
            self.policy = question.policy;
        }
        self.is_resumed
    }

    /// Whether it may be in the middle of a flow: of what has no beginning, UDP alone has answers that are
    /// worth it.
    fn goes_on(&self) -> bool {
        match self.packet.tcp_flags() {
            Some(flags) => !flags.opens(),
            None => self.packet.protocol == UDP,
        }
    }

    fn add(&mut self) -> Exit {
        let Some(key) = self
            .packet
            .tuple()
            .filter(|tuple| !is_answer(tuple))
            .map(|it| self.key(&it))
        else {
            self.count(Event::Untracked);
            return Exit::Untracked;
        };
        let Visit { direction, now, .. } = *self.visit;
        let options = self.classifier.options();
        let new = NewFlow {
            state: State::first(direction, self.packet.tcp_flags(), now),
            policy: self.policy,
            epoch: self.epoch(),
            opener: if self.is_resumed {
                direction.other()
            } else {
                direction
            },
            timeouts: self.policies.timeouts(self.policy),
        };
        match self.classifier.table.add(&key, &new, options.per_port, now) {
            Ok(Added::New { .. }) => {
                self.count(Event::Opened);
                Exit::Opened
            }
            Ok(Added::Existing(hit)) => {
                self.hit = Some(hit);
                Exit::Known
            }
            Err(refusal) => self.refused(refusal, options.when_full),
        }
    }

    fn refused(&self, refusal: Refusal, when_full: WhenFull) -> Exit {
        let (event, exit) = match refusal {
            Refusal::FlowTableFull => (Event::RefusedFull, Exit::Full),
            Refusal::FlowLimit => (Event::RefusedLimit, Exit::Limit),
            Refusal::PortClosed | Refusal::Policy | Refusal::FlowExpired | Refusal::Malformed => {
                (Event::RefusedClosed, Exit::Closed)
            }
        };
        self.count(event);
        if exit != Exit::Closed && when_full == WhenFull::Stateless {
            self.count(Event::Stateless);
            return Exit::Stateless;
        }
        exit
    }

    #[inline]
    fn track(&mut self) -> Exit {
        let Some(mut hit) = self.hit.take().or_else(|| self.find()) else {
            return Exit::Unknown;
        };
        let Visit { direction, now, .. } = *self.visit;
        for _ in 0..TRIES {
            let timeouts = self.policies.timeouts(hit.policy);
            let flags = self.packet.tcp_flags();
            let step = hit.state.step(direction, flags, &timeouts, now);
            if step == Step::Expired {
                return self.expired(&hit);
            }
            let is_stale = hit.epoch != self.epoch();
            if is_stale && let Err(exit) = self.judge_anew(&mut hit) {
                return exit;
            }
            let next = match step {
                // It has other timeouts now: they begin with this packet.
                Step::Same if is_stale => hit.state.at(now),
                Step::Same | Step::Expired => return self.live(&hit),
                Step::Restarted(_) if direction != hit.opener => return self.other_begins(&hit),
                Step::Changed(next) | Step::Restarted(next) => next,
            };
            match self.classifier.table.change(&hit, next) {
                Ok(()) => {
                    if matches!(step, Step::Restarted(_)) {
                        self.count(Event::Restarted);
                    }
                    return self.live(&hit);
                }
                Err(Changed::Gone) => return Exit::Gone,
                Err(Changed::Other(now)) => hit.state = now.state,
            }
        }
        Exit::Live
    }

    #[inline]
    fn live(&self, hit: &Hit) -> Exit {
        self.let_fragments_follow(hit.policy, hit.opener);
        Exit::Live
    }

    #[inline]
    fn let_fragments_follow(&self, policy: PolicyId, opener: Direction) {
        if let Some(tuple) = self.packet.fragments() {
            self.open_fragments(&tuple, policy, opener);
        }
    }

    /// The packet is of an open flow. If it is the first fragment of a larger one, those behind it, which
    /// have no ports, may follow: they are a flow of addresses and protocol, opened as the packet's own
    /// was. Without its first fragment, which is judged, nobody can put a packet together.
    fn open_fragments(&self, tuple: &Tuple, policy: PolicyId, opener: Direction) {
        let Visit { now, .. } = *self.visit;
        let new = NewFlow {
            state: State::first(opener, None, now),
            policy,
            epoch: self.epoch(),
            opener,
            timeouts: self.policies.timeouts(policy),
        };
        let per_port = self.classifier.options().per_port;
        let added = self
            .classifier
            .table
            .add(&self.key(tuple), &new, per_port, now);
        // Where there is no room for them policy judges those that come.
        if matches!(added, Ok(Added::New { .. })) {
            self.count(Event::Opened);
        }
    }

    /// The packet comes too late: its flow ends, and so does the packet.
    fn expired(&self, hit: &Hit) -> Exit {
        if self.classifier.table.wipe(hit) {
            self.count(Event::Expired);
        }
        Exit::Expired
    }

    /// The flow is no more; the packet may begin another.
    fn ended(&self, hit: &Hit) -> Exit {
        if self.classifier.table.wipe(hit) {
            self.count(Event::Revoked);
        }
        Exit::Unknown
    }

    /// The flow is closing, and the side that did not open it begins another between the same ends. Whether
    /// it may is for policy to say. If it may not, the flow is what it was: a RST and a SYN that somebody
    /// forged do not end one that goes on.
    fn other_begins(&mut self, hit: &Hit) -> Exit {
        let exit = self.policy();
        if exit == Exit::Tracked {
            self.ended(hit);
        }
        exit
    }

    /// The policies have changed since the flow was opened, in a way that it must be judged by. If they
    /// would not open it today it ends. The packet is then what they have said of it; if it goes the
    /// other way than the flow's first, they have been asked about what it answers, and it is judged as
    /// one of no flow.
    fn judge_anew(&self, hit: &mut Hit) -> Result<(), Exit> {
        let Some(chain) = self.chain else {
            return Err(self.ended(hit));
        };
        let is_opener = hit.opener == self.visit.direction;
        let judgement = if is_opener {
            self.judge(chain, hit.opener, self.packet)
        } else {
            self.judge(chain, hit.opener, &self.packet.mirror())
        };
        let ended = match judgement.action {
            Action::Track => None,
            Action::Pass => Some(Exit::Passed),
            Action::Drop => Some(Exit::Dropped),
        };
        if let Some(exit) = ended {
            let unknown = self.ended(hit);
            return Err(if is_opener { exit } else { unknown });
        }
        (hit.policy, hit.epoch) = (judgement.policy, chain.epoch());
        if !self.classifier.table.adopt(hit, hit.policy, hit.epoch) {
            return Err(Exit::Gone);
        }
        self.count(Event::Reclassified);
        Ok(())
    }

    /// Whether it is an ICMP error about a packet of a flow that is open. That packet went the other way.
    fn is_related(&self) -> bool {
        let may_pass = || self.classifier.options().icmp_errors == IcmpErrors::Pass;
        let Some(quoted) = self.packet.quoted().filter(|_| may_pass()) else {
            return false;
        };
        let Visit {
            port,
            direction,
            now,
            ..
        } = *self.visit;
        let key = FlowKey::new(port, direction.other(), &quoted);
        self.classifier.table.find(&key).is_some_and(|hit| {
            let timeouts = self.policies.timeouts(hit.policy);
            hit.epoch == self.epoch() && !hit.state.is_over(hit.is_tcp(), &timeouts, now)
        })
    }

    #[inline]
    fn find(&self) -> Option<Hit> {
        let key = self.key(&self.packet.tuple()?);
        self.classifier.table.find(&key)
    }

    #[inline]
    fn key(&self, tuple: &Tuple) -> FlowKey {
        FlowKey::new(self.visit.port, self.visit.direction, tuple)
    }

    fn epoch(&self) -> Epoch {
        self.chain.map_or_else(Epoch::default, Chain::epoch)
    }

    fn judge(&self, chain: &Chain, direction: Direction, packet: &Packet<'_>) -> Judgement {
        let later = self.classifier.options().later_fragments;
        chain.judge(packet, direction, self.visit.lane, later)
    }

    fn count(&self, event: Event) {
        self.classifier.events.count(self.visit.lane, event);
    }
}

/// Whether it answers a question. An answer opens nothing: it would let the other side ask.
const fn is_answer(tuple: &Tuple) -> bool {
    matches!(tuple.detail, Detail::Query { answer: true, .. })
}
