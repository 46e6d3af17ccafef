//! Finding out who the peer is: PAP (RFC 1334), CHAP with MD5 (RFC 1994), MS-CHAPv2 (RFC 2759) and EAP
//! passed through (RFC 3748, 4.2 and 7.5; RFC 3579) on the authenticator's side, re-challenges included.
//!
//! The judgement itself is the owner's: this module asks for it with an [`AuthRequest`] and answers
//! the peer when it comes. A repeated response gets the answer that the first one got.

use core::ops::Add as _;

use lns_crypto::{Rng, Secret};
use lns_tables::time::Instant;
use lns_wire::ppp::{
    self, ChapCode, ChapPacket, ChapValue, EapCode, EapPacket, EapType, MsChapV2Response, Packet,
    PapCode, PapRequest, Protocol, emit_chap_value, emit_pap_reply,
};

use crate::config::{AuthMethod, Config};
use crate::error::{Discard, Error};
use crate::event::{CloseReason, Verdict};
use crate::limits;
use crate::link::{Link, NEVER};
use crate::proxy::{ProxyAuth, ProxyAuthKind};
use crate::request::{AuthRequest, Credentials};

/// The number of "authentication failure" in the text of a Failure (RFC 2759, 6).
const AUTHENTICATION_FAILURE: u16 = 691;

/// What the peer has told of itself.
#[derive(Debug)]
pub(crate) struct Authentication {
    stage: Stage,
    method: AuthMethod,
    /// The peer has been accepted at least once: a new challenge leaves the session open.
    accepted: bool,
    /// The last verdict was no.
    rejected: bool,
    /// Identifier of the last challenge or EAP Request, or of the last PAP request.
    id: u8,
    /// Challenges sent without an answer.
    challenges: u8,
    /// EAP Requests of this conversation behind the one for the identity.
    rounds: u8,
    /// Wrong passwords so far.
    attempts: u8,
    deadline: Instant,
    challenge: [u8; 16],
    name: Box<[u8]>,
    /// Text of the last answer; or what the EAP Request that waits for one says.
    answer: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// LCP is not open.
    Idle,
    /// The peer has to say something.
    Waiting,
    /// The owner has to.
    Judging,
    /// It did.
    Answered,
    /// It could not, of a peer that was let in before.
    Undecided,
}

/// What a packet of the peer's means.
#[derive(Debug)]
pub(crate) enum Said {
    /// Nothing new: it got the answer again that it had.
    Nothing,
    /// Once more what is being judged.
    Again,
    /// Something to judge.
    New(AuthRequest),
}

/// What a verdict meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Outcome {
    /// Nothing was asked, or the peer may try again.
    None,
    /// The peer is known; the network may come up.
    Accepted,
    /// It is still who it was.
    Confirmed,
    /// The session ends.
    Failed(CloseReason),
}

impl Authentication {
    /// Nobody was asked anything. `id` is the identifier before the first one.
    pub(crate) fn new(id: u8) -> Self {
        Self {
            stage: Stage::Idle,
            method: AuthMethod::None,
            accepted: false,
            rejected: false,
            id,
            challenges: 0,
            rounds: 0,
            attempts: 0,
            deadline: NEVER,
            challenge: [0; 16],
            name: Box::default(),
            answer: Box::default(),
        }
    }

    /// The peer was let in by an earlier node, and is to be asked again then.
    pub(crate) fn accepted(method: AuthMethod, name: Box<[u8]>, again: Instant, id: u8) -> Self {
        Self {
            stage: Stage::Answered,
            method,
            accepted: true,
            deadline: again,
            name,
            ..Self::new(id)
        }
    }

    /// LCP is open: the peer is asked as agreed, or what the LAC overheard is used.
    pub(crate) fn start(
        &mut self,
        method: AuthMethod,
        proxied: Option<&ProxyAuth<'_>>,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> Option<AuthRequest> {
        *self = Self {
            method,
            stage: Stage::Waiting,
            ..Self::new(self.id)
        };
        if let Some((proxied, credentials)) =
            proxied.and_then(|proxied| Some((proxied, overheard(method, proxied)?)))
        {
            self.id = proxied.id;
            return Some(AuthRequest {
                proxied: true,
                ..self.judge(proxied.name, credentials)
            });
        }
        match method {
            AuthMethod::None => Some(self.judge(&[], Credentials::None)),
            AuthMethod::Pap => None,
            AuthMethod::Chap | AuthMethod::MsChapV2 | AuthMethod::Eap => {
                self.ask(config, rng, link);
                None
            }
        }
    }

    /// LCP is not open any more: what was agreed and proven is void. Whether a verdict was waited for.
    pub(crate) fn stop(&mut self) -> bool {
        let before = core::mem::replace(&mut self.stage, Stage::Idle);
        self.accepted = false;
        self.deadline = NEVER;
        before == Stage::Judging
    }

    /// Asks a peer again that was let in, unless it is being asked or judged already. `false`: it is not
    /// in, or its method cannot be asked again.
    pub(crate) fn ask_again(
        &mut self,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> bool {
        if !self.accepted || self.rejected || !self.can_be_asked() {
            return false;
        }
        match self.stage {
            Stage::Idle => return false,
            Stage::Waiting | Stage::Judging => {}
            Stage::Answered | Stage::Undecided => self.ask(config, rng, link),
        }
        true
    }

    /// Handles a packet of PAP.
    ///
    /// # Errors
    /// Why it was not acted on.
    pub(crate) fn handle_pap(
        &mut self,
        packet: &Packet<'_>,
        link: &mut Link<'_>,
    ) -> Result<Said, Error> {
        if self.method != AuthMethod::Pap {
            return Err(Discard::Phase.into());
        }
        match PapCode::from_code(packet.code).ok_or(ppp::Error::Code)? {
            PapCode::Request => {}
            PapCode::Ack | PapCode::Nak => return Err(Discard::Phase.into()),
        }
        let request = PapRequest::parse(packet.data)?;
        let fresh = match self.stage {
            Stage::Idle => return Err(Discard::Phase.into()),
            Stage::Judging if *request.name != *self.name => {
                return Err(Discard::Repeated.into());
            }
            Stage::Judging => {
                // Peers give each repetition another identifier, and wait for that.
                self.id = packet.id;
                return Ok(Said::Again);
            }
            Stage::Waiting => true,
            Stage::Answered | Stage::Undecided => self.rejected && packet.id != self.id,
        };
        self.id = packet.id;
        if !fresh {
            self.send_answer(link);
            return Ok(Said::Nothing);
        }
        self.deadline = NEVER;
        let credentials = Credentials::Pap {
            password: Secret::new(request.password),
        };
        Ok(Said::New(self.judge(request.name, credentials)))
    }

    /// Handles a packet of CHAP.
    ///
    /// # Errors
    /// Why it was not acted on.
    pub(crate) fn handle_chap(
        &mut self,
        packet: &Packet<'_>,
        link: &mut Link<'_>,
    ) -> Result<Said, Error> {
        if !matches!(self.method, AuthMethod::Chap | AuthMethod::MsChapV2) {
            return Err(Discard::Phase.into());
        }
        let response = match ChapPacket::parse(packet)? {
            ChapPacket::Response(response) => response,
            ChapPacket::Challenge(_) | ChapPacket::Success(_) | ChapPacket::Failure(_) => {
                return Err(Discard::Phase.into());
            }
        };
        let credentials = self.credentials(&response)?;
        if packet.id != self.id {
            return Err(Discard::Identifier.into());
        }
        match self.stage {
            Stage::Idle => Err(Discard::Phase.into()),
            Stage::Judging => Ok(Said::Again),
            Stage::Waiting | Stage::Undecided => {
                self.deadline = NEVER;
                Ok(Said::New(self.judge(response.name, credentials)))
            }
            Stage::Answered => {
                self.send_answer(link);
                Ok(Said::Nothing)
            }
        }
    }

    /// Handles a packet of EAP. Its first answer says the name; all of them go to the owner.
    ///
    /// # Errors
    /// Why it was not acted on.
    pub(crate) fn handle_eap(
        &mut self,
        packet: &Packet<'_>,
        link: &mut Link<'_>,
    ) -> Result<Said, Error> {
        if self.method != AuthMethod::Eap {
            return Err(Discard::Phase.into());
        }
        let EapPacket::Response(response) = EapPacket::parse(packet)? else {
            return Err(Discard::Phase.into());
        };
        if packet.id != self.id {
            return Err(Discard::Identifier.into());
        }
        match self.stage {
            Stage::Idle => Err(Discard::Phase.into()),
            Stage::Judging => Ok(Said::Again),
            // The server may have forgotten the conversation that this belongs to.
            Stage::Undecided => Err(Discard::Repeated.into()),
            Stage::Waiting => {
                self.deadline = NEVER;
                let is_name = self.rounds == 0 && response.kind == EapType::IDENTITY;
                let name = if is_name {
                    Box::from(response.data)
                } else {
                    self.name.clone()
                };
                let message = Secret::new(packet.octets);
                Ok(Said::New(self.judge(&name, Credentials::Eap { message })))
            }
            Stage::Answered => {
                self.send_answer(link);
                Ok(Said::Nothing)
            }
        }
    }

    /// Takes the owner's verdict. One that nobody waits for changes nothing.
    pub(crate) fn handle_verdict(
        &mut self,
        verdict: &Verdict,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> Outcome {
        if self.stage != Stage::Judging {
            return Outcome::None;
        }
        match verdict {
            Verdict::Continue { id, data }
                if self.method == AuthMethod::Eap && self.rounds < limits::MAX_EAP_ROUNDS =>
            {
                self.rounds = self.rounds.saturating_add(1);
                self.relay(*id, data, link);
                return Outcome::None;
            }
            Verdict::Undecided if self.accepted => {
                self.stage = Stage::Undecided;
                self.deadline = self.next_challenge(config, link.now);
                return Outcome::None;
            }
            Verdict::Accept { .. }
            | Verdict::Reject { .. }
            | Verdict::Continue { .. }
            | Verdict::Undecided => {}
        }
        self.stage = Stage::Answered;
        self.rejected = !matches!(verdict, Verdict::Accept { .. });
        self.answer = self.text(verdict, rng);
        self.send_answer(link);
        if self.rejected {
            return self.failed(link.now);
        }
        self.deadline = self.next_challenge(config, link.now);
        let again = core::mem::replace(&mut self.accepted, true);
        if again {
            Outcome::Confirmed
        } else {
            Outcome::Accepted
        }
    }

    /// The peer was silent for too long, or is due for another challenge.
    pub(crate) fn handle_timeout(
        &mut self,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> Outcome {
        self.deadline = NEVER;
        match self.stage {
            Stage::Idle | Stage::Judging => {}
            Stage::Answered if self.rejected => {
                return Outcome::Failed(CloseReason::AuthenticationFailed);
            }
            Stage::Answered | Stage::Undecided => self.ask(config, rng, link),
            Stage::Waiting if self.challenges >= limits::MAX_CHALLENGE => {
                return Outcome::Failed(CloseReason::AuthenticationTimeout);
            }
            Stage::Waiting => self.send_challenge(config, link),
        }
        Outcome::None
    }

    /// When [`Authentication::handle_timeout`] is due.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The name that the peer gave last.
    pub(crate) const fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether the last verdict was no.
    pub(crate) const fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// Whether we can ask: a PAP peer says who it is when it wants to.
    const fn can_be_asked(&self) -> bool {
        match self.method {
            AuthMethod::Chap | AuthMethod::MsChapV2 | AuthMethod::Eap => true,
            AuthMethod::Pap | AuthMethod::None => false,
        }
    }

    /// When a peer that is let in is asked again.
    fn next_challenge(&self, config: &Config, now: Instant) -> Instant {
        let interval = config.rechallenge.filter(|_| self.can_be_asked());
        interval.map_or(NEVER, |interval| now.add(interval))
    }

    fn judge(&mut self, name: &[u8], credentials: Credentials) -> AuthRequest {
        self.stage = Stage::Judging;
        self.name = Box::from(name);
        AuthRequest {
            name: self.name.clone(),
            credentials,
            proxied: false,
            repeated: self.accepted,
        }
    }

    fn credentials(&self, response: &ChapValue<'_>) -> Result<Credentials, ppp::Error> {
        if self.method == AuthMethod::MsChapV2 {
            let response = MsChapV2Response::parse(response.value)?;
            return Ok(Credentials::MsChapV2 {
                id: self.id,
                challenge: self.challenge,
                response,
            });
        }
        let response = response
            .value
            .try_into()
            .map_err(|_| ppp::Error::ValueSize)?;
        Ok(Credentials::Chap {
            id: self.id,
            challenge: Box::from(self.challenge),
            response,
        })
    }

    /// A PAP peer may try again; a CHAP peer has had its try (RFC 1994, 4.2; MS-CHAPv2 is told `R=0`).
    fn failed(&mut self, now: Instant) -> Outcome {
        self.attempts = self.attempts.saturating_add(1);
        if self.method != AuthMethod::Pap || self.attempts >= limits::MAX_ATTEMPTS {
            return Outcome::Failed(CloseReason::AuthenticationFailed);
        }
        self.deadline = now.add(limits::RETRY);
        Outcome::None
    }

    /// A new challenge, or a new EAP conversation.
    fn ask(&mut self, config: &Config, rng: &mut Rng, link: &mut Link<'_>) {
        self.stage = Stage::Waiting;
        self.id = self.id.wrapping_add(1);
        self.challenges = 0;
        self.rounds = 0;
        if self.method == AuthMethod::Eap {
            self.answer = Box::from([EapType::IDENTITY.0]);
        } else {
            self.challenge = rng.array();
        }
        self.send_challenge(config, link);
    }

    /// The next Request of the server that the peer talks to through us.
    fn relay(&mut self, id: u8, data: &[u8], link: &mut Link<'_>) {
        self.stage = Stage::Waiting;
        self.id = id;
        self.challenges = 0;
        self.answer = Box::from(data);
        self.send_request(link);
    }

    /// Sends an EAP Request, for the first time or again (RFC 3748, 4.3).
    fn send_request(&mut self, link: &mut Link<'_>) {
        self.challenges = self.challenges.saturating_add(1);
        self.deadline = link.now.add(limits::AUTH_RESTART);
        let data = &self.answer;
        link.send(Protocol::EAP, EapCode::Request.code(), self.id, |out| {
            out.extend_from_slice(data);
        });
    }

    fn send_challenge(&mut self, config: &Config, link: &mut Link<'_>) {
        if self.method == AuthMethod::Eap {
            return self.send_request(link);
        }
        self.challenges = self.challenges.saturating_add(1);
        self.deadline = link.now.add(limits::AUTH_RESTART);
        let challenge = &self.challenge;
        link.send(Protocol::CHAP, ChapCode::Challenge.code(), self.id, |out| {
            emit_chap_value(out, challenge, &config.name);
        });
    }

    fn send_answer(&self, link: &mut Link<'_>) {
        let answer = &self.answer;
        match (self.method, self.rejected) {
            (AuthMethod::None, _) => {}
            (AuthMethod::Eap, rejected) => {
                let code = if rejected {
                    EapCode::Failure
                } else {
                    EapCode::Success
                };
                link.send(Protocol::EAP, code.code(), self.id, |_| {});
            }
            (AuthMethod::Pap, rejected) => {
                let code = if rejected { PapCode::Nak } else { PapCode::Ack };
                link.send(Protocol::PAP, code.code(), self.id, |out| {
                    emit_pap_reply(out, answer);
                });
            }
            (AuthMethod::Chap | AuthMethod::MsChapV2, rejected) => {
                let code = if rejected {
                    ChapCode::Failure
                } else {
                    ChapCode::Success
                };
                link.send(Protocol::CHAP, code.code(), self.id, |out| {
                    out.extend_from_slice(answer);
                });
            }
        }
    }

    fn text(&self, verdict: &Verdict, rng: &mut Rng) -> Box<[u8]> {
        let message = match verdict {
            Verdict::Accept { message, .. } | Verdict::Reject { message, .. } => message,
            Verdict::Continue { .. } | Verdict::Undecided => &[][..],
        };
        let message = message.get(..limits::MAX_MESSAGE).unwrap_or(message);
        match self.method {
            AuthMethod::MsChapV2 => {}
            // Success and Failure say nothing else (RFC 3748, 4.2).
            AuthMethod::Eap => return Box::default(),
            AuthMethod::Chap | AuthMethod::Pap | AuthMethod::None => return Box::from(message),
        }
        let mut text = Vec::with_capacity(limits::MAX_MESSAGE);
        match verdict {
            Verdict::Accept { acceptance, .. } => {
                text.extend_from_slice(
                    acceptance
                        .authenticator_response
                        .as_ref()
                        .map_or(&[][..], |proof| proof),
                );
                if !message.is_empty() {
                    text.extend_from_slice(b" M=");
                }
            }
            Verdict::Reject { .. } | Verdict::Continue { .. } | Verdict::Undecided => {
                let [high, low] = [rng.array::<8>(), rng.array::<8>()].map(u64::from_be_bytes);
                let error = match verdict {
                    Verdict::Reject { ms_chap_error, .. } => *ms_chap_error,
                    Verdict::Accept { .. } | Verdict::Continue { .. } | Verdict::Undecided => None,
                };
                let error = error.unwrap_or(AUTHENTICATION_FAILURE);
                text.extend_from_slice(
                    format!("E={error} R=0 C={high:016X}{low:016X} V=3 M=").as_bytes(),
                );
            }
        }
        text.extend_from_slice(message);
        text.into_boxed_slice()
    }
}

/// What the LAC overheard, if it is what LCP has agreed on (RFC 2661, 4.4.5). Text is what a login
/// prompt gave: a name and a password, as PAP has them.
fn overheard(method: AuthMethod, proxied: &ProxyAuth<'_>) -> Option<Credentials> {
    if proxied.name.len() > limits::MAX_NAME {
        return None;
    }
    match (method, proxied.kind) {
        (AuthMethod::Pap, ProxyAuthKind::Pap | ProxyAuthKind::Text) => Some(Credentials::Pap {
            password: Secret::new(proxied.response),
        }),
        (AuthMethod::Chap, ProxyAuthKind::Chap) => {
            let usable = !proxied.challenge.is_empty()
                && proxied.challenge.len() <= limits::MAX_CHALLENGE_LEN;
            let response = proxied.response.try_into().ok()?;
            usable.then(|| Credentials::Chap {
                id: proxied.id,
                challenge: Box::from(proxied.challenge),
                response,
            })
        }
        (
            AuthMethod::Chap
            | AuthMethod::MsChapV2
            | AuthMethod::Pap
            | AuthMethod::Eap
            | AuthMethod::None,
            _,
        ) => None,
    }
}
