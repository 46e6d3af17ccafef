//! The writer of a mastership: as `dataplane/store/src/writer` has it. One question of it is out at a time; only replicas
//! are waited for beside it.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_cluster::journal::{Mark, Round, Ticket};
use lns_cluster::{Epoch, Identity, Roster};
use lns_tables::time::Instant;

use super::{Effect, Env};
use crate::cluster::key::Key;
use crate::cluster::store::{Asker, Op, Refusal, Reply};

/// From one sign of life to the next.
const BEAT: Duration = Duration::from_secs(1);

/// The first and the longest pause before a claim is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Who claims, and what for.
#[derive(Clone, Debug)]
pub(super) struct Mastership {
    pub(super) epoch: Epoch,
    pub(super) holder: Identity,
    pub(super) roster: Roster,
}

/// What has happened.
#[derive(Debug)]
pub(super) enum News {
    Claimed { epoch: Epoch, seq: u64 },
    Stored(Ticket),
    Away,
    Lost(Epoch),
    Changed(Vec<(Key, Mark)>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Nothing is claimed.
    Rest,
    /// A claim is to be made.
    Due,
    /// It is out.
    Claiming,
    /// All marks are read.
    Comparing,
    /// It stands.
    Held,
    /// It is tried again then.
    Paused(Instant),
}

/// The writer.
#[allow(
    clippy::struct_excessive_bools,
    reason = "what is waited for, what was lost and what was told have nothing to do with each other"
)]
pub(super) struct Writer {
    replicas: bool,
    mastership: Option<Mastership>,
    stage: Stage,
    /// To which data the connection leads that the claim went out on.
    leads_to: u64,
    rounds: VecDeque<Round<Key>>,
    is_busy: bool,
    beat_at: Instant,
    seq: u64,
    origin: Option<u64>,
    rewound: bool,
    has_told: bool,
    pause: Duration,
    news: VecDeque<News>,
}

impl Writer {
    pub(super) const fn new(replicas: bool) -> Self {
        Self {
            replicas,
            mastership: None,
            stage: Stage::Rest,
            leads_to: 0,
            rounds: VecDeque::new(),
            is_busy: false,
            beat_at: Instant::ZERO,
            seq: 0,
            origin: None,
            rewound: false,
            has_told: false,
            pause: PAUSES.0,
            news: VecDeque::new(),
        }
    }

    pub(super) fn claim(&mut self, mastership: Mastership) {
        self.obey(Some(mastership));
        self.stage = Stage::Due;
    }

    pub(super) fn resign(&mut self) {
        self.obey(None);
        self.stage = Stage::Rest;
    }

    fn obey(&mut self, mastership: Option<Mastership>) {
        self.mastership = mastership;
        self.rounds.clear();
        self.is_busy = false;
        self.seq = 0;
        self.origin = None;
        self.rewound = false;
        self.has_told = false;
    }

    /// Rounds that come while no claim stands are of before: the journal gives them again.
    pub(super) fn write(&mut self, round: Round<Key>) {
        if self.stage == Stage::Held {
            self.rounds.push_back(round);
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Paused(until) => Some(until),
            Stage::Held if !self.is_busy => Some(self.beat_at),
            Stage::Held | Stage::Rest | Stage::Due | Stage::Claiming | Stage::Comparing => None,
        }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.stage == Stage::Held && !self.rewound && self.rounds.is_empty()
    }

    pub(super) fn held_with(&self) -> Option<u64> {
        self.origin.filter(|_| self.is_at_rest())
    }

    // What goes out.

    /// Asks what is to be asked; whether there was anything.
    pub(super) fn poll(&mut self, link: Option<(u64, u64)>, env: &mut Env<'_>) -> bool {
        if let Stage::Paused(until) = self.stage
            && until <= env.now
        {
            self.stage = Stage::Due;
        }
        let (Some((link, origin)), Some(mastership)) = (link, &self.mastership) else {
            return false;
        };
        let op = match self.stage {
            Stage::Due => {
                self.seq += 1;
                self.leads_to = origin;
                self.stage = Stage::Claiming;
                Op::Claim {
                    mark: Mark {
                        epoch: mastership.epoch,
                        seq: self.seq,
                    },
                    holder: mastership.holder.clone(),
                    roster: mastership.roster.clone(),
                }
            }
            Stage::Comparing if !self.is_busy => Op::Digest(Asker::Writer),
            Stage::Held if !self.is_busy => match self.next_round(env.now) {
                Some(op) => op,
                None => return false,
            },
            Stage::Held | Stage::Rest | Stage::Claiming | Stage::Comparing | Stage::Paused(_) => {
                return false;
            }
        };
        self.is_busy = true;
        env.out.push(Effect::Store(link, op));
        true
    }

    fn next_round(&mut self, now: Instant) -> Option<Op> {
        let mastership = self.mastership.as_ref()?;
        let (epoch, holder) = (mastership.epoch, mastership.holder.clone());
        if let Some(round) = self.rounds.pop_front() {
            if let Some(last) = round.writes.last() {
                self.seq = self.seq.max(last.mark.seq);
            }
            return Some(Op::Round {
                ticket: round.ticket,
                lasting: round.lasting && self.replicas,
                epoch,
                holder,
                writes: Arc::from(round.writes),
            });
        }
        if self.beat_at > now {
            return None;
        }
        self.beat_at = now + BEAT;
        Some(Op::Beat { epoch, holder })
    }

    // What comes back.

    pub(super) fn answered(&mut self, reply: Reply, now: Instant) {
        match reply {
            Reply::Claimed { again } if self.stage == Stage::Claiming => {
                self.is_busy = false;
                self.claimed(again, now);
            }
            Reply::Digest(_, marks) if self.stage == Stage::Comparing => {
                self.is_busy = false;
                self.rewound = false;
                self.news.push_back(News::Changed(marks));
                self.hold(now);
            }
            Reply::Written { ticket, lasting } if self.stage == Stage::Held => {
                self.is_busy = false;
                self.pause = PAUSES.0;
                if !lasting {
                    self.news.push_back(News::Stored(ticket));
                }
            }
            Reply::Replicated(ticket) if self.stage == Stage::Held => {
                self.news.push_back(News::Stored(ticket));
            }
            Reply::Beaten if self.stage == Stage::Held => {
                self.is_busy = false;
                self.pause = PAUSES.0;
            }
            Reply::Refused(refusal) => {
                if matches!(self.stage, Stage::Claiming | Stage::Held) {
                    self.is_busy = false;
                    self.judge(refusal, now);
                }
            }
            // To what is not waited for any more.
            _ => {}
        }
    }

    fn claimed(&mut self, again: bool, now: Instant) {
        let now_leads_to = self.leads_to;
        self.rewound |= self
            .origin
            .is_some_and(|before| before != now_leads_to || !again);
        if self.rewound {
            self.stage = Stage::Comparing;
        } else {
            self.hold(now);
        }
    }

    fn hold(&mut self, now: Instant) {
        let Some(mastership) = &self.mastership else {
            return;
        };
        self.origin = Some(self.leads_to);
        self.has_told = false;
        self.stage = Stage::Held;
        self.beat_at = now + BEAT;
        self.rounds.clear();
        self.news.push_back(News::Claimed {
            epoch: mastership.epoch,
            seq: self.seq,
        });
    }

    /// What a refusal means for the mastership.
    fn judge(&mut self, refusal: Refusal, now: Instant) {
        let Some(epoch) = self.mastership.as_ref().map(|it| it.epoch) else {
            return;
        };
        match refusal {
            Refusal::NotHolder(by) | Refusal::StaleEpoch(by) => {
                if by >= epoch {
                    return self.lose(by);
                }
                // It does not know of this mastership, or of an older one only.
                self.rewound = true;
                self.away();
                self.stage = Stage::Due;
            }
            Refusal::Stale(mark) => {
                if mark.epoch > epoch {
                    return self.lose(mark.epoch);
                }
                // One of our own, whose outcome was unknown: behind it, then.
                if mark.epoch == epoch {
                    self.seq = self.seq.max(mark.seq);
                }
                self.fail(now);
            }
        }
    }

    fn lose(&mut self, epoch: Epoch) {
        self.mastership = None;
        self.stage = Stage::Rest;
        self.rounds.clear();
        self.news.push_back(News::Lost(epoch));
    }

    fn fail(&mut self, now: Instant) {
        self.away();
        self.stage = Stage::Paused(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    fn away(&mut self) {
        self.rounds.clear();
        self.is_busy = false;
        if !core::mem::replace(&mut self.has_told, true) {
            self.news.push_back(News::Away);
        }
    }

    /// What is out has an unknown outcome.
    pub(super) fn lose_link(&mut self, now: Instant) {
        match self.stage {
            Stage::Rest | Stage::Paused(_) => return,
            // It may be done, and be answered as known the next time.
            Stage::Claiming => self.rewound |= self.origin.is_some(),
            Stage::Due | Stage::Comparing | Stage::Held => {}
        }
        self.fail(now);
    }
}
