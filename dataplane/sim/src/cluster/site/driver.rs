//! Between an elector and the API server, as `lns_lease`'s driver is.

use core::time::Duration;

use lns_cluster::{
    Answer, Ask, Authority, Candidacy, Elector, Epoch, Identity, NodeName, Operation, Profile,
    RequestId, Roster, State,
};
use lns_tables::time::Instant;

use super::{Effect, Env};
use crate::cluster::api::Gist;

/// What part of the time between renewals lies between two requests at least.
const BREATH: u32 = 20;

/// Candidates look at times that differ by up to this part of it.
const SPREAD: u32 = 8;

/// What follows when the elector has stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaving {
    StepDown,
    Stop,
}

/// What is made known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) me: Identity,
    pub(super) state: State,
    authority: Option<Authority>,
    pub(super) closing: Option<Epoch>,
    pub(super) holder: Option<Identity>,
    pub(super) epoch: Epoch,
    pub(super) roster: Roster,
}

impl Standing {
    pub(super) fn authority(&self, now: Instant) -> Option<Authority> {
        self.authority.filter(|authority| now < authority.until)
    }
}

/// The driver.
pub(super) struct Driver {
    name: NodeName,
    /// Which boot, which process, and how many incarnations that has had.
    origin: (u64, u64, u64),
    profile: Profile,
    pub(super) elector: Elector,
    breath: Instant,
    hint_at: Option<Instant>,
    wanted: Option<Roster>,
    heard: Epoch,
    candidacy: Candidacy,
    leaving: Option<Leaving>,
    late: Duration,
    pub(super) standing: Standing,
    has_news: bool,
    pub(super) asks: Vec<(NodeName, Ask)>,
}

impl Driver {
    pub(super) fn new(name: &NodeName, boot: u64, life: u64, profile: Profile) -> Self {
        let origin = (boot, life, 0);
        let elector = Elector::new(identity(name, origin), profile);
        Self {
            name: name.clone(),
            origin,
            profile,
            breath: Instant::ZERO,
            hint_at: None,
            wanted: None,
            heard: Epoch::NONE,
            candidacy: Candidacy::Full,
            leaving: None,
            late: Duration::ZERO,
            standing: Standing {
                me: elector.me().clone(),
                state: elector.state(),
                authority: None,
                closing: None,
                holder: None,
                epoch: Epoch::NONE,
                roster: Roster::default(),
            },
            elector,
            has_news: true,
            asks: Vec::new(),
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.elector.state() == State::Stopped && self.leaving == Some(Leaving::Stop)
    }

    /// Does what is due. Whether there is something else to be known than before.
    pub(super) fn round(&mut self, env: &mut Env<'_>) -> bool {
        let now = env.now;
        if self.hint_at.take_if(|at| *at <= now).is_some() {
            self.elector.handle_hint(now);
        }
        self.request(env);
        while let Some(ask) = self.elector.poll_ask(now) {
            self.asks.push(ask);
        }
        self.tell(env);
        if self.elector.state() == State::Stopped {
            self.stand_again();
        }
        let is_new = self.publish(now);
        core::mem::take(&mut self.has_news) | is_new
    }

    fn request(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        if now < self.breath {
            return;
        }
        let Some(request) = self.elector.poll_request(now) else {
            return;
        };
        let renew = self.profile.timing().renew;
        self.breath = now + renew / BREATH;
        let spread = u32::try_from((renew / SPREAD).as_micros()).unwrap_or(u32::MAX);
        self.late = Duration::from_micros(env.dice.below(spread).into());
        let gives_up = matches!(
            &request.operation,
            Operation::Write { record, .. } if record.holder.is_none()
        );
        if gives_up && env.gate.control.is_some_and(|until| now < until) {
            env.out.push(Effect::ReleasesEarly);
        }
        env.out.push(Effect::Api(request.id, request.operation));
    }

    fn tell(&mut self, env: &mut Env<'_>) {
        while let Some(transition) = self.elector.poll_transition() {
            self.heard = self.heard.max(transition.epoch);
            let is_closing = transition.to == State::Closing;
            self.standing.closing = is_closing.then_some(transition.epoch);
            env.remark(|| {
                format!(
                    "election: {} to {}, {}, epoch {}",
                    transition.from.label(),
                    transition.to.label(),
                    transition.on.label(),
                    transition.epoch.number()
                )
            });
        }
    }

    /// One that has stepped down stands again, as an incarnation that has seen nothing.
    fn stand_again(&mut self) {
        if self
            .leaving
            .take_if(|it| *it == Leaving::StepDown)
            .is_none()
        {
            return;
        }
        self.heard = self.heard.max(self.elector.view().epoch());
        self.origin.2 += 1;
        self.elector = Elector::new(identity(&self.name, self.origin), self.profile);
        self.elector.handle_epoch(self.heard);
        self.elector.handle_candidacy(self.candidacy);
        if let Some(roster) = &self.wanted {
            self.elector.handle_roster(roster.clone());
        }
    }

    fn publish(&mut self, now: Instant) -> bool {
        let view = self.elector.view();
        let record = view.record();
        let standing = &mut self.standing;
        let authority = self.elector.authority(now);
        let is_new = standing.state != self.elector.state()
            || standing.authority != authority
            || standing.me != *self.elector.me()
            || standing.epoch != view.epoch()
            || standing.holder.as_ref() != record.and_then(|record| record.holder.as_ref())
            || standing.roster != *view.roster();
        if is_new {
            standing.me = self.elector.me().clone();
            standing.state = self.elector.state();
            standing.authority = authority;
            standing.holder = record.and_then(|record| record.holder.clone());
            standing.epoch = view.epoch();
            standing.roster = view.roster().clone();
        }
        is_new
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Instant {
        let renew = self.profile.timing().renew;
        let authority = self.elector.authority(now);
        let late = if authority.is_some() {
            Duration::ZERO
        } else {
            self.late
        };
        let due = self.elector.poll_timeout(now);
        let due = due.map(|at| (at + late).max(self.breath));
        let ends = authority.map(|authority| authority.until);
        let at = [due, ends, self.hint_at].into_iter().flatten().min();
        let at = at.map_or(now + renew, |at| at.min(now + renew));
        at.max(now + Duration::from_millis(1))
    }

    // What it is told.

    pub(super) fn answered(&mut self, id: RequestId, answer: Answer, env: &Env<'_>) {
        self.elector.handle_answer(id, answer, env.now);
    }

    pub(super) fn hinted(&mut self, gist: Option<&Gist>, env: &mut Env<'_>) {
        let known = self.elector.view().record().map(Gist::of);
        if gist != known.as_ref() && self.hint_at.is_none() {
            let spread = self.profile.timing().renew / SPREAD;
            let spread = u32::try_from(spread.as_micros()).unwrap_or(u32::MAX);
            let late = Duration::from_micros(env.dice.below(spread).into());
            self.hint_at = Some(env.now + late);
        }
    }

    pub(super) fn step_down(&mut self, now: Instant) {
        if matches!(self.elector.state(), State::Holding | State::Extending) {
            self.leaving.get_or_insert(Leaving::StepDown);
            self.elector.handle_stop(now);
        }
    }

    pub(super) const fn stand(&mut self, candidacy: Candidacy) {
        self.candidacy = candidacy;
        self.elector.handle_candidacy(candidacy);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.leaving = Some(Leaving::Stop);
        self.elector.handle_stop(now);
    }

    pub(super) fn closed(&mut self, epoch: Epoch, now: Instant) {
        if self.standing.closing == Some(epoch) {
            self.elector.handle_closed(now);
        }
    }

    pub(super) fn roster(&mut self, roster: Roster) {
        self.elector.handle_roster(roster.clone());
        self.wanted = Some(roster);
    }

    pub(super) fn heard(&mut self, epoch: Epoch) {
        self.heard = self.heard.max(epoch);
        self.elector.handle_epoch(epoch);
    }
}

fn identity(name: &NodeName, (boot, life, times): (u64, u64, u64)) -> Identity {
    let incarnation = format!("{boot}/{life}-{times}");
    Identity::new(name.clone(), &incarnation).expect("there is an incarnation")
}
