//! Questions to RADIUS, from the subscriber's claim to the verdict that PPP hears, and what is granted
//! with it.
//!
//! A session has one question at most. It is taken back when the session begins anew or ends; an answer
//! that comes for it later finds nobody. A server's yes is a login like any other from there on. That no
//! server answers ends no session that is up: it stays what it is, and is asked again when the time comes.

use core::time::Duration;
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_ppp::{AuthMethod, AuthRequest, Verdict};
use lns_radius::request::{Failure, Outcome, Token};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;

use super::answer::Answer;
use super::grant::{Grant, TerminationAction};
use super::{Order, access};
use crate::config::LocalUsers;
use crate::control::printable;
use crate::event::Stage;
use crate::explain::transcript::{RadiusAnswer, Step};
use crate::login::{Claim, LetIn};
use crate::node::Node;
use crate::rejection::Rejection;
use crate::session::{Idle, Session};
use crate::view;

/// Bits of a token that are a slot: [`limits::MAX_SESSIONS`](crate::limits::MAX_SESSIONS) has 20.
const SLOT_BITS: u32 = 20;

/// How long a session whose time is over has to prove itself once more.
const PROOF: Duration = Duration::from_secs(60);

/// A conversation with RADIUS about a session that wants to come in, or is asked again.
#[derive(Debug)]
pub(crate) struct Question {
    /// The claim that a server is judging; `None`: it is the subscriber's turn to answer one.
    asked: Option<(Token, AuthRequest)>,
    dialogue: Dialogue,
}

/// What the next Access-Request of a conversation must say, and to whom (RFC 2865, 4.4 and 5.24).
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialogue {
    pub(super) state: Option<Box<[u8]>>,
    pub(super) server: Option<Arc<str>>,
}

/// What a session was granted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granted {
    /// The server that let it in; `None`: none did.
    pub(crate) server: Option<Arc<str>>,
    /// What holds now.
    pub(crate) grant: Grant,
    /// Its time is over, and the session must have proved itself anew before it ends.
    pub(crate) proving: bool,
    /// The prefixes that it was given, lost ones too.
    pub(crate) routes: Vec<Ipv4Net>,
}

impl Granted {
    /// For an engineer.
    pub(crate) fn view(&self) -> view::Granted {
        let Self { server, grant, .. } = self;
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        view::Granted {
            server: server.as_deref().map(str::to_owned),
            user_name: grant.user_name.as_deref().map(printable),
            framed_ip_address: grant.address,
            framed_ip_netmask: grant.netmask,
            framed_pool: grant.pool.as_deref().map(str::to_owned),
            framed_mtu: grant.mtu,
            routes: self.routes.iter().map(ToString::to_string).collect(),
            filter_ids: grant.filter_ids.iter().map(ToString::to_string).collect(),
            session_timeout_seconds: seconds(grant.session_timeout),
            idle_timeout_seconds: seconds(grant.idle_timeout),
            asks_again: grant.termination_action == Some(TerminationAction::Ask),
            interim_seconds: seconds(grant.interim),
            port_limit: grant.port_limit,
            dns: grant.dns.into_iter().flatten().collect(),
            up_bits_per_second: grant.rates.up,
            down_bits_per_second: grant.rates.down,
            classes: grant.classes.len(),
        }
    }
}

impl Node {
    /// Asks the servers whether a claim is true. The verdict comes with [`Node::handle_outcome`].
    pub(crate) fn ask_radius(
        &mut self,
        slot: SlotIndex,
        claim: AuthRequest,
        now: Instant,
    ) -> Result<(), Rejection> {
        let token = self.next_token(slot);
        let Some(session) = self.sessions.get_mut(slot) else {
            return Ok(());
        };
        let before = session.question.take().map(|question| question.dialogue);
        let Some(link) = self.tunnels.get(session.tunnel) else {
            return Ok(());
        };
        // A session that was let in with a State has it in the request that follows the end of its time,
        // and in no other (RFC 2865, 5.24).
        let kept = || {
            let granted = session.granted.as_ref().filter(|it| it.proving)?;
            Some(Dialogue {
                state: granted.grant.state.clone(),
                server: None,
            })
        };
        let dialogue = before.or_else(kept);
        let request =
            access::request(token, slot, (session, link), &claim, dialogue.as_ref(), now)?;
        session.question = Some(Box::new(Question {
            asked: Some((token, claim)),
            dialogue: dialogue.unwrap_or_default(),
        }));
        if session.up_at.is_none() {
            session.stage = Stage::Radius;
        }
        self.orders.push_back(Order::Ask(Box::new(request)));
        self.note_step(slot, Step::Asked, now);
        Ok(())
    }

    /// A name for a question that no other has: the slot, below a number that never comes again.
    const fn next_token(&mut self, slot: SlotIndex) -> Token {
        self.questions = self.questions.wrapping_add(1);
        #[allow(
            clippy::as_conversions,
            reason = "From is not const, and this loses nothing"
        )]
        Token(self.questions << SLOT_BITS | slot.0 as u64)
    }

    /// The subscriber has said again what the servers are judging.
    pub(crate) fn repeat_question(&mut self, slot: SlotIndex) {
        let synchronous = self.radius.is_some_and(|radius| radius.synchronous);
        let session = self.sessions.get(slot);
        let asked = session.and_then(|session| session.question.as_ref()?.asked.as_ref());
        if let Some((token, _)) = asked.filter(|_| synchronous) {
            self.orders.push_back(Order::Repeat(*token));
        }
    }

    /// Nobody waits for an answer any more, and no conversation goes on.
    pub(crate) fn withdraw_question(&mut self, slot: SlotIndex) {
        let question = self
            .sessions
            .get_mut(slot)
            .and_then(|session| session.question.take());
        self.cancel(question);
    }

    /// The same, of a session that is gone.
    pub(crate) fn cancel(&mut self, question: Option<Box<Question>>) {
        if let Some((token, _)) = question.and_then(|question| question.asked) {
            self.orders.push_back(Order::Cancel(token));
        }
    }

    /// What became of an [`Order::Ask`]. One that nobody waits for any more is counted and changes nothing.
    pub fn handle_outcome(&mut self, outcome: &Outcome, now: Instant) {
        let Some((slot, claim, dialogue)) = self.question_of(outcome.token) else {
            if outcome.result != Err(Failure::Cancelled) {
                self.stats.drop("late_radius_outcome");
            }
            return;
        };
        let answer = Answer::of(outcome, claim.method());
        self.note_radius(slot, outcome, &answer, now);
        let verdict = self.weigh(slot, &claim, dialogue, outcome, answer, now);
        self.with_ppp(slot, now, |ppp, rng, out| {
            ppp.handle_verdict(&verdict, now, rng, out);
        });
    }

    /// The question that a token names, if it is still asked: it is answered now.
    fn question_of(&mut self, token: Token) -> Option<(SlotIndex, AuthRequest, Dialogue)> {
        let slot = token.0 & (1_u64 << SLOT_BITS).wrapping_sub(1);
        let slot = SlotIndex(u32::try_from(slot).ok()?);
        let session = self.sessions.get_mut(slot)?;
        let question = session.question.take_if(|question| {
            let asked = question.asked.as_ref();
            asked.is_some_and(|(asked, _)| *asked == token)
        })?;
        let (_, claim) = question.asked?;
        Some((slot, claim, question.dialogue))
    }

    /// What an answer means for the session, and the verdict that PPP is to hear.
    fn weigh(
        &mut self,
        slot: SlotIndex,
        claim: &AuthRequest,
        dialogue: Dialogue,
        outcome: &Outcome,
        answer: Answer,
        now: Instant,
    ) -> Verdict {
        let judged = match answer {
            Answer::Accept { grant, acceptance } => Ok(LetIn {
                acceptance,
                filter_ids: grant.filter_ids.clone(),
                message: grant.reply_message.clone(),
                granted: Some(Box::new(Granted {
                    server: Some(outcome.server.clone().unwrap_or_default()),
                    grant: *grant,
                    proving: false,
                    routes: Vec::new(),
                })),
            }),
            Answer::Reject {
                message,
                ms_chap_error,
            } => Err(Rejection::Refused {
                message,
                ms_chap_error,
            }),
            Answer::Challenge { id, data, state } => {
                let dialogue = Dialogue {
                    state: state.or(dialogue.state),
                    server: outcome.server.clone(),
                };
                return self.go_on(slot, dialogue, id, data);
            }
            Answer::OtherService(service) => Err(Rejection::OtherService(service)),
            Answer::Malformed(what) => Err(Rejection::Malformed(what)),
            Answer::None(_) if self.falls_back(slot, claim) => self.judge_locally(claim),
            Answer::None(_) if claim.repeated => return Verdict::Undecided,
            Answer::None(failure) => Err(Rejection::NoAnswer(failure)),
        };
        self.conclude(slot, Claim::of(claim), judged, now)
    }

    /// Whether a local user may come in, or stay, although no server has answered. Whom a server has let in
    /// is no local user.
    fn falls_back(&self, slot: SlotIndex, claim: &AuthRequest) -> bool {
        let order = self.radius.map(|radius| radius.local_users);
        order == Some(LocalUsers::After)
            && !(claim.repeated && self.is_judged_by_server(slot))
            && claim.method() != AuthMethod::Eap
            && self.users.contains_key(&claim.name)
    }

    /// It is the subscriber's turn.
    fn go_on(&mut self, slot: SlotIndex, dialogue: Dialogue, id: u8, data: Box<[u8]>) -> Verdict {
        self.change(slot, |session| {
            session.question = Some(Box::new(Question {
                asked: None,
                dialogue,
            }));
            if session.up_at.is_none() {
                session.stage = Stage::Authentication;
            }
        });
        Verdict::Continue { id, data }
    }

    fn note_radius(&mut self, slot: SlotIndex, outcome: &Outcome, answer: &Answer, now: Instant) {
        let message = match answer {
            Answer::Accept { grant, .. } => &grant.reply_message[..],
            Answer::Reject { message, .. } => message,
            Answer::Malformed(what) => what.as_bytes(),
            Answer::Challenge { .. } | Answer::OtherService(_) | Answer::None(_) => &[],
        };
        let answered = Arc::new(RadiusAnswer {
            server: outcome.server.clone(),
            result: answer.label(),
            rtt: outcome.rtt,
            sends: outcome.sends,
            message: (!message.is_empty()).then(|| printable(message).into()),
        });
        self.change(slot, |session| {
            session.answer = Some(Arc::clone(&answered));
        });
        self.note_step(slot, Step::Answered(answered), now);
    }

    // === What is granted ===

    /// What was granted with a login of a session that is up already, and began anew, holds from now on.
    /// To begin anew alone prolongs nothing: the end is another only where a server has set one, or where
    /// somebody else is there now, or who was there has proved himself anew as he had to.
    pub(crate) fn settle_grant(&mut self, slot: SlotIndex, begins: bool, now: Instant) {
        let Some(session) = self.sessions.get(slot).filter(|it| it.up_at.is_some()) else {
            return;
        };
        let granted = session.grant().and_then(|grant| grant.session_timeout);
        if begins || granted.is_some() {
            self.set_end(slot, now);
        }
        self.set_idle(slot, now);
        self.account_change(slot, now);
        self.publish(slot);
        self.set_routes(slot);
    }

    /// A session that was asked again is still who it was. What a server grants with that is changed, but
    /// the session lasts no longer for it, unless it was asked because its time was over.
    pub(crate) fn confirm(
        &mut self,
        slot: SlotIndex,
        granted: Option<&Granted>,
        now: Instant,
    ) -> Result<(), Rejection> {
        let Some(session) = self.sessions.get_mut(slot) else {
            return Ok(());
        };
        let before = session.granted.as_deref_mut();
        let proving = before.is_some_and(|it| core::mem::take(&mut it.proving));
        let ends_at = session.ends_at;
        if let Some(granted) = granted {
            self.amend(slot, &granted.grant, now)?;
        }
        if proving {
            self.set_end(slot, now);
        } else {
            self.change(slot, |session| {
                session.ends_at = ends_at.into_iter().chain(session.ends_at).min();
            });
        }
        Ok(())
    }

    /// Changes what a session was granted: Filter-Ids, rates, times (from now on), Class and State, each
    /// where `grant` has it. Address, pool, routes, MTU and User-Name stay what it came up with.
    ///
    /// # Errors
    /// The Filter-Ids mean no policies that the session may have; nothing has changed then.
    pub(crate) fn amend(
        &mut self,
        slot: SlotIndex,
        grant: &Grant,
        now: Instant,
    ) -> Result<(), Rejection> {
        if !grant.filter_ids.is_empty() {
            self.bind(slot, &grant.filter_ids)?;
            self.note_binding(slot, now);
        }
        let Some(session) = self.sessions.get_mut(slot) else {
            return Ok(());
        };
        session.granted.get_or_insert_default().grant.amend(grant);
        if grant.session_timeout.is_some() {
            self.set_end(slot, now);
        }
        if grant.idle_timeout.is_some() {
            self.set_idle(slot, now);
        }
        if grant.interim.is_some() {
            self.account_change(slot, now);
        }
        self.publish(slot);
        self.rearm(slot);
        Ok(())
    }

    /// When a session that comes up must end.
    pub(crate) fn set_times(&mut self, slot: SlotIndex, now: Instant) {
        self.set_end(slot, now);
        self.set_idle(slot, now);
    }

    /// The end for age, by what was granted, else by the manifest.
    fn set_end(&mut self, slot: SlotIndex, now: Instant) {
        let of_manifest = self.session_limit;
        self.change(slot, |session| {
            let granted = session.granted.as_ref();
            let granted = granted.and_then(|granted| granted.grant.session_timeout);
            let limit = granted.unwrap_or(of_manifest);
            session.ends_at = (!limit.is_zero()).then(|| now + limit);
        });
    }

    /// The end for want of traffic, in the same way.
    fn set_idle(&mut self, slot: SlotIndex, now: Instant) {
        let of_manifest = self.idle;
        self.change(slot, |session| {
            let granted = session.granted.as_ref();
            let granted = granted.and_then(|granted| granted.grant.idle_timeout);
            let after = granted.unwrap_or(of_manifest);
            session.idle = (!after.is_zero()).then(|| Idle {
                after,
                since: now,
                check_at: now + after,
            });
        });
    }

    /// The Session-Timeout is over. Whether the session goes on for the moment, to prove itself anew
    /// (RFC 2865, 5.29): if it is let in again, it has that long once more.
    pub(crate) fn prove_anew(&mut self, slot: SlotIndex, now: Instant) -> bool {
        let grant = self.sessions.get(slot).and_then(Session::grant);
        let wanted = grant.and_then(|grant| grant.termination_action);
        if wanted != Some(TerminationAction::Ask) {
            return false;
        }
        let asked = self.with_ppp(slot, now, |ppp, rng, out| ppp.ask_again(now, rng, out));
        if asked != Some(true) {
            return false;
        }
        self.change(slot, |session| {
            session.granted.get_or_insert_default().proving = true;
            session.ends_at = Some(now + PROOF);
        });
        self.rearm(slot);
        true
    }
}
