//! The task that owns an elector: it carries requests to the API server, answers back, and makes known
//! what the elector decides. It decides nothing itself but when to wake.
//!
//! One task owns all state. Requests are polled within it and never block it, so it does a round at each
//! renewal at least, and [`Handle::is_stuck`] tells a task that hangs from an API server that does.

mod gist;
mod handle;
mod standing;
mod start;
#[cfg(test)]
mod tests;

use core::ops::Add as _;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::DynamicObject;
use lns_cluster::{
    Candidacy, Elector, Epoch, IdentityError, Operation, Profile, Request, Revision, Roster, State,
};
use lns_tables::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::gist::Gist;
use self::handle::Command;
pub use self::handle::{Ended, Handle};
pub use self::standing::{Seen, Standing, Told};
pub use self::start::{Candidates, Config, Question, Running, StartError, start};
use crate::api::{Failure, LeaseApi, Outcome, too_late};
use crate::hint::Hint;
use crate::incarnation::Origin;
use crate::limits::{BREATH, SPREAD};
use crate::notes::Notes;
use crate::trouble::Trouble;
use crate::{chance, clock, object};

/// What follows when the elector has stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaving {
    StepDown,
    Stop,
}

/// A driver.
struct Driver {
    origin: Origin,
    profile: Profile,
    candidates: Candidates,
    elector: Elector,
    api: LeaseApi,
    flight: Option<BoxFuture<'static, Outcome>>,
    /// Before then nothing more is asked of the API server.
    breath: Instant,
    /// The last two versions of the Lease that were seen: writes keep what others put there.
    recent: VecDeque<DynamicObject>,
    /// When to look because of a hint.
    hint_at: Option<Instant>,
    wanted: Option<(Roster, Notes)>,
    heard: Epoch,
    candidacy: Candidacy,
    leaving: Option<Leaving>,
    standing: Standing,
    untold: u32,
    channels: Channels,
}

struct Channels {
    commands: mpsc::Receiver<Command>,
    hints: mpsc::Receiver<Hint>,
    transitions: mpsc::Sender<Told>,
    questions: mpsc::Sender<Question>,
    standing: watch::Sender<Standing>,
    alive: Arc<AtomicU64>,
    _watch: AbortOnDropHandle<()>,
}

fn elector(
    origin: &Origin,
    profile: Profile,
    candidates: Candidates,
) -> Result<Elector, IdentityError> {
    let me = origin.next()?;
    Ok(match candidates {
        Candidates::Rostered => Elector::new(me, profile),
        Candidates::Open => Elector::open(me, profile),
    })
}

/// What comes of the request that is out, if one is.
async fn outcome(flight: &mut Option<BoxFuture<'static, Outcome>>) -> Outcome {
    match flight {
        Some(flight) => flight.await,
        None => core::future::pending().await,
    }
}

impl Driver {
    async fn run(mut self) {
        while self.round(clock::now()) {
            let wake = self.wake(clock::now());
            tokio::select! {
                command = self.channels.commands.recv() => match command {
                    Some(command) => self.command(command, clock::now()),
                    // Nobody is left who could close a gate, so nothing is released.
                    None => return,
                },
                outcome = outcome(&mut self.flight) => self.answered(outcome, clock::now()),
                Some(hint) = self.channels.hints.recv() => self.hinted(&hint, clock::now()),
                () = tokio::time::sleep(wake) => {}
            }
        }
    }

    /// Does what is due. Whether there is anything left to do.
    fn round(&mut self, now: Instant) -> bool {
        self.channels.alive.store(now.as_nanos(), Ordering::Relaxed);
        if self.hint_at.take_if(|at| *at <= now).is_some() {
            self.elector.handle_hint(now);
        }
        self.request(now);
        self.ask(now);
        self.tell(now);
        let goes_on = self.elector.state() != State::Stopped || self.stands_again();
        self.publish(now);
        goes_on
    }

    /// A request that the elector has given up is dropped with its connection.
    fn request(&mut self, now: Instant) {
        if now < self.breath {
            return;
        }
        let Some(request) = self.elector.poll_request(now) else {
            return;
        };
        if self.flight.is_some() {
            self.note(Some(too_late(self.profile.timing().patience)), now);
        }
        let pause = self.profile.timing().renew.mul_f64(BREATH);
        self.breath = Instant::add(now, pause);
        let base = self.base(&request);
        let notes = self.notes(&request);
        self.flight = Some(self.api.clone().send(request, base, notes).boxed());
    }

    /// The Lease that a write is conditional on.
    fn base(&self, request: &Request) -> Option<DynamicObject> {
        let Operation::Write {
            base: Some(Revision(revision)),
            ..
        } = &request.operation
        else {
            return None;
        };
        let is_it = |lease: &&DynamicObject| {
            lease.metadata.resource_version.as_deref() == Some(&**revision)
        };
        self.recent.iter().find(is_it).cloned()
    }

    /// A master writes its own notes. A Lease that is created anew gets those that were seen last, and
    /// any other write leaves them as they are.
    fn notes(&self, request: &Request) -> Notes {
        if matches!(request.operation, Operation::Write { base: None, .. }) {
            return self.standing.seen.notes.clone();
        }
        let wanted = self
            .wanted
            .as_ref()
            .filter(|_| self.elector.state() == State::Holding);
        wanted.map(|(_, notes)| notes.clone()).unwrap_or_default()
    }

    fn ask(&mut self, now: Instant) {
        while let Some((to, ask)) = self.elector.poll_ask(now) {
            // A question that finds no room comes again with the next round.
            let _full = self.channels.questions.try_send(Question { to, ask });
        }
    }

    fn tell(&mut self, now: Instant) {
        while let Some(transition) = self.elector.poll_transition() {
            self.heard = self.heard.max(transition.epoch);
            self.standing.since = now;
            self.standing.why = Some(transition.on);
            self.standing.closing = (transition.to == State::Closing).then_some(transition.epoch);
            let told = Told {
                transition,
                at: now,
                untold: self.untold,
            };
            self.untold = match self.channels.transitions.try_send(told) {
                Ok(()) => 0,
                Err(_) => self.untold.saturating_add(1),
            };
        }
    }

    fn publish(&mut self, now: Instant) {
        self.standing.me = self.elector.me().clone();
        self.standing.state = self.elector.state();
        self.standing.authority = self.elector.authority(now);
        let view = self.elector.view();
        self.standing.seen.holder = view.record().and_then(|record| record.holder.clone());
        self.standing.seen.epoch = view.epoch();
        self.standing.seen.roster = view.roster().clone();
        self.channels.standing.send_if_modified(|published| {
            let is_new = *published != self.standing;
            if is_new {
                published.clone_from(&self.standing);
            }
            is_new
        });
    }

    /// One that has stepped down stands again, as an incarnation that has seen nothing: it waits D, and
    /// so comes after everybody else. What it promised it keeps by that too.
    fn stands_again(&mut self) -> bool {
        if self.leaving.take() != Some(Leaving::StepDown) {
            return false;
        }
        self.heard = self.heard.max(self.elector.view().epoch());
        let Ok(elector) = elector(&self.origin, self.profile, self.candidates) else {
            return false;
        };
        self.elector = elector;
        self.flight = None;
        self.elector.handle_epoch(self.heard);
        self.elector.handle_candidacy(self.candidacy);
        if let Some((roster, _)) = &self.wanted {
            self.elector.handle_roster(roster.clone());
        }
        true
    }

    /// For how long there is nothing to do. Candidates, and masters in trouble, are a little late, each
    /// by another span: not all of them at once. The end of an authority is told when it comes.
    fn wake(&self, now: Instant) -> Duration {
        let renew = self.profile.timing().renew;
        let authority = self.elector.authority(now);
        let is_steady = authority.is_some() && self.standing.trouble.is_none();
        let late = if is_steady {
            Duration::ZERO
        } else {
            chance::up_to(renew.mul_f64(SPREAD))
        };
        let due = self
            .elector
            .poll_timeout(now)
            .map(|at| Instant::add(at, late).max(self.breath));
        let ends = authority.map(|authority| authority.until);
        let at = [due, ends, self.hint_at].into_iter().flatten().min();
        let wake = at.map_or(renew, |at| at.since(now).min(renew));
        wake.max(Duration::from_millis(1))
    }

    fn answered(&mut self, outcome: Outcome, now: Instant) {
        self.flight = None;
        if let Some(lease) = outcome.lease {
            self.standing.seen.notes = object::notes(&lease);
            self.recent.push_front(lease);
            self.recent.truncate(2);
        }
        self.note(outcome.trouble, now);
        self.elector.handle_answer(outcome.id, outcome.answer, now);
    }

    /// Whether there is trouble, and since when.
    fn note(&mut self, failure: Option<Failure>, now: Instant) {
        let before = self.standing.trouble.take();
        self.standing.trouble = Trouble::after(before, failure, now);
    }

    /// A look is due if somebody else may hold than the elector thinks.
    fn hinted(&mut self, hint: &Hint, now: Instant) {
        let known = self.elector.view().record().map(Gist::of);
        let told = hint.as_ref().and_then(Gist::in_lease);
        if told != known && self.hint_at.is_none() {
            let late = chance::up_to(self.profile.timing().renew.mul_f64(SPREAD));
            self.hint_at = Some(Instant::add(now, late));
        }
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::StepDown => {
                if matches!(self.elector.state(), State::Holding | State::Extending) {
                    self.leaving.get_or_insert(Leaving::StepDown);
                    self.elector.handle_stop(now);
                }
            }
            Command::Stop => {
                self.leaving = Some(Leaving::Stop);
                self.elector.handle_stop(now);
            }
            Command::Closed(epoch) => {
                if self.standing.closing == Some(epoch) {
                    self.elector.handle_closed(now);
                }
            }
            Command::Roster(roster, notes) => {
                self.elector.handle_roster(roster.clone());
                self.wanted = Some((roster, notes));
            }
            Command::Heard(epoch) => {
                self.heard = self.heard.max(epoch);
                self.elector.handle_epoch(epoch);
            }
            Command::Renew => self.elector.handle_hint(now),
            Command::MayFound => self.elector.handle_nobody_knows(),
            Command::Candidacy(candidacy) => {
                self.candidacy = candidacy;
                self.elector.handle_candidacy(candidacy);
            }
            // Who asked may have gone.
            Command::Ask(ask, answer) => drop(answer.send(self.elector.handle_ask(&ask, now))),
            Command::Promised(promise) => self.elector.handle_promise(&promise, now),
        }
    }
}
