//! Who a subscriber is: its claim is judged by the local users or by RADIUS, then by the policies and the
//! rule for duplicates, and PPP hears the verdict.
//!
//! Local users are looked up before RADIUS is asked, or where no server answers, or alone
//! ([`LocalUsers`]). Not here: what a question to RADIUS says and what an answer means
//! ([`radius`](crate::radius)).

use std::sync::Arc;

use lns_ppp::{Acceptance, AuthMethod, AuthRequest, Credentials, Output, Verdict};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;

use crate::config::{LocalUsers, User};
use crate::event::Stage;
use crate::explain::transcript::Step;
use crate::node::Node;
use crate::radius::Granted;
use crate::rejection::Rejection;
use crate::session::Session;
use crate::subscribers::{Judgement, Present};

/// Who judges a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Judge {
    /// Nobody: no proof was asked for.
    Nobody,
    /// The local users.
    Local,
    /// The servers.
    Radius,
    /// The servers that let it in, and there are none any more.
    Gone,
}

/// A claim that was found to be true.
#[derive(Debug)]
pub(crate) struct LetIn {
    /// What proves to the subscriber that we know its password too.
    pub(crate) acceptance: Acceptance,
    /// Its Filter-Ids.
    pub(crate) filter_ids: Vec<Arc<str>>,
    /// What it is told.
    pub(crate) message: Box<[u8]>,
    /// What a server grants.
    pub(crate) granted: Option<Box<Granted>>,
}

/// What of a claim is still known when it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) method: AuthMethod,
    /// The session was let in before, and is asked again.
    pub(crate) repeated: bool,
}

impl Claim {
    pub(crate) const fn of(request: &AuthRequest) -> Self {
        Self {
            method: request.method(),
            repeated: request.repeated,
        }
    }
}

impl Node {
    /// A subscriber says who it is. Where RADIUS is asked, the verdict comes later.
    pub(crate) fn authenticate(
        &mut self,
        slot: SlotIndex,
        request: AuthRequest,
        now: Instant,
        out: &mut Output,
    ) {
        let claim = Claim::of(&request);
        let judged = match self.note_claim(slot, &request) {
            Err(rejection) => Some(Err(rejection)),
            Ok(()) => match self.judge_of(slot, &request) {
                Judge::Nobody => Some(Ok(LetIn::without_proof())),
                Judge::Local => Some(self.judge_locally(&request)),
                Judge::Radius => match self.ask_radius(slot, request, now) {
                    Ok(()) => return,
                    Err(rejection) => Some(Err(rejection)),
                },
                Judge::Gone => None,
            },
        };
        let verdict = match judged {
            Some(judged) => self.conclude(slot, claim, judged, now),
            None => Verdict::Undecided,
        };
        let ppp = self.sessions.get_mut(slot);
        if let Some(ppp) = ppp.and_then(|session| session.ppp.as_deref_mut()) {
            ppp.handle_verdict(&verdict, now, &mut self.rng, out);
        }
    }

    /// The session is whoever it says it is, until that is judged. One that was let in and is asked again
    /// stays who it is, and so does one that servers were told of: its Stop is to name whom its Start named.
    fn note_claim(&mut self, slot: SlotIndex, request: &AuthRequest) -> Result<(), Rejection> {
        let Some(session) = self.sessions.get_mut(slot) else {
            return Err(Rejection::UnknownUser);
        };
        let is_same = session
            .user
            .as_deref()
            .is_some_and(|user| *user == *request.name);
        if is_same {
            session.proxied_authentication = request.proxied;
            self.touch(slot);
            return Ok(());
        }
        if request.repeated || session.told.is_some() {
            return Err(Rejection::AnotherUser);
        }
        session.user = Some(Arc::from(&*request.name));
        session.proxied_authentication = request.proxied;
        self.note_user(slot);
        Ok(())
    }

    /// A session that is up stays the servers' whatever a reload says of local users.
    fn judge_of(&self, slot: SlotIndex, request: &AuthRequest) -> Judge {
        let order = match self.radius {
            None => LocalUsers::Only,
            Some(radius) => radius.local_users,
        };
        if request.repeated && self.is_judged_by_server(slot) {
            return match order {
                LocalUsers::Before | LocalUsers::After => Judge::Radius,
                LocalUsers::Only => Judge::Gone,
            };
        }
        let is_local = self.users.contains_key(&request.name);
        match (&request.credentials, order) {
            (Credentials::None, _) => Judge::Nobody,
            (_, LocalUsers::Only) => Judge::Local,
            (Credentials::Eap { .. }, LocalUsers::Before | LocalUsers::After)
            | (_, LocalUsers::After) => Judge::Radius,
            (_, LocalUsers::Before) if is_local => Judge::Local,
            (_, LocalUsers::Before) => Judge::Radius,
        }
    }

    /// Whether a server has let a session in.
    pub(crate) fn is_judged_by_server(&self, slot: SlotIndex) -> bool {
        let session = self.sessions.get(slot);
        session.is_some_and(Session::is_judged_by_server)
    }

    /// Judges a claim against the local users.
    pub(crate) fn judge_locally(&self, request: &AuthRequest) -> Result<LetIn, Rejection> {
        if request.method() == AuthMethod::Eap {
            return Err(Rejection::NeedsRadius);
        }
        let user = self.users.get(&request.name);
        let user = user.ok_or(Rejection::UnknownUser)?;
        let verified = request.verify(&user.password);
        Ok(LetIn {
            acceptance: verified.ok_or(Rejection::WrongPassword)?,
            filter_ids: user.policies.clone(),
            message: Box::default(),
            granted: None,
        })
    }

    /// What a judged claim means for the session, and the verdict that PPP is to hear.
    pub(crate) fn conclude(
        &mut self,
        slot: SlotIndex,
        claim: Claim,
        judged: Result<LetIn, Rejection>,
        now: Instant,
    ) -> Verdict {
        let judged = judged.and_then(|let_in| self.admit(slot, claim, let_in, now));
        let login = Step::Login {
            method: claim.method.label(),
            verdict: judged
                .as_ref()
                .map_or_else(Rejection::label, |_| "accepted"),
        };
        self.note_step(slot, login, now);
        match judged {
            Ok(verdict) => {
                self.change(slot, |session| {
                    // A wrong password before is no reason for an end any more.
                    session.closing = None;
                    session.detail = None;
                    if session.up_at.is_none() {
                        session.stage = Stage::Address;
                    }
                });
                if !claim.repeated {
                    self.note_binding(slot, now);
                }
                verdict
            }
            Err(rejection) => {
                self.change(slot, |session| {
                    session.closing = Some(rejection.reason());
                    session.detail = Some(rejection.detail());
                });
                Verdict::Reject {
                    message: rejection.message().into(),
                    ms_chap_error: rejection.ms_chap_error(),
                }
            }
        }
    }

    /// Lets a subscriber in who is who it says, if there are such policies and by the rule for duplicates.
    fn admit(
        &mut self,
        slot: SlotIndex,
        claim: Claim,
        let_in: LetIn,
        now: Instant,
    ) -> Result<Verdict, Rejection> {
        if claim.repeated {
            self.confirm(slot, let_in.granted.as_deref(), now)?;
        } else {
            self.begin(slot, let_in.granted, &let_in.filter_ids, now)?;
        }
        Ok(Verdict::Accept {
            acceptance: let_in.acceptance,
            message: let_in.message,
        })
    }

    /// A subscriber comes in: what it is granted holds from here on.
    fn begin(
        &mut self,
        slot: SlotIndex,
        granted: Option<Box<Granted>>,
        filter_ids: &[Arc<str>],
        now: Instant,
    ) -> Result<(), Rejection> {
        if let Some(pool) = granted
            .as_ref()
            .and_then(|granted| granted.grant.pool.as_ref())
            && !self.pools.has(pool)
        {
            return Err(Rejection::UnknownPool(Arc::clone(pool)));
        }
        let is_another = self.is_another(slot);
        let limit = granted.as_ref().and_then(|it| it.grant.port_limit);
        self.bind(slot, filter_ids)?;
        self.admit_subscriber(slot, now)
            .ok_or(Rejection::Duplicate)?;
        if !self.admit_port(slot, limit) {
            // Who is refused is not there, and keeps nobody else out.
            self.forget_key(slot);
            return Err(Rejection::PortLimit);
        }
        let Some(session) = self.sessions.get_mut(slot) else {
            return Err(Rejection::UnknownUser);
        };
        let former = core::mem::replace(&mut session.granted, granted);
        self.enter_called(slot);
        let had_to = former.as_ref().is_some_and(|former| former.proving);
        if let Some(former) = former {
            self.clear_routes(slot, &former.routes);
        }
        if is_another || self.has_wrong_address(slot) {
            // LCP began anew, with another subscriber on the line or other wishes of the server: what was
            // given before is not its.
            self.release_address(slot, now);
        }
        self.settle_grant(slot, is_another || had_to, now);
        Ok(())
    }

    /// Whether somebody else was let in on this session before.
    fn is_another(&self, slot: SlotIndex) -> bool {
        let session = self.sessions.get(slot);
        session.is_some_and(|it| it.let_in_as.is_some() && it.let_in_as != it.user)
    }

    /// Enters a session among those of its user, if there may be so many (RFC 2865, 5.42). One that is
    /// refused stays with who was let in on it before: what it holds is his.
    fn admit_port(&mut self, slot: SlotIndex, limit: Option<u32>) -> bool {
        let user = self.sessions.get(slot).and_then(|it| it.user.clone());
        let Some(user) = user else {
            return true;
        };
        if limit.is_some_and(|limit| !self.ports.has_room(&user, slot, limit)) {
            return false;
        }
        self.forget_port(slot);
        self.ports.enter(&user, slot);
        self.change(slot, |session| session.let_in_as = Some(user));
        true
    }

    /// A request of a server's finds the session by the name that the server gave it, too.
    pub(crate) fn enter_called(&mut self, slot: SlotIndex) {
        self.forget_called(slot);
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let called = session.accounted_user().cloned();
        let Some(called) = called.filter(|called| session.user.as_ref() != Some(called)) else {
            return;
        };
        self.accounted.enter(&called, slot);
        session.called = Some(called);
    }

    fn forget_port(&mut self, slot: SlotIndex) {
        if let Some(user) = self.take(slot, |session| &mut session.let_in_as) {
            self.ports.remove(&user, slot);
        }
    }

    fn forget_called(&mut self, slot: SlotIndex) {
        if let Some(called) = self.take(slot, |session| &mut session.called) {
            self.accounted.remove(&called, slot);
        }
    }

    /// The rule for duplicates. `None`: refused.
    fn admit_subscriber(&mut self, slot: SlotIndex, now: Instant) -> Option<()> {
        self.forget_key(slot);
        let session = self.sessions.get_mut(slot)?;
        let key = session.identity()?.key(&self.duplicates);
        session.key = Some(Arc::clone(&key));
        match self.present.admit(&self.duplicates, &key, slot, now) {
            Judgement::Admit => Some(()),
            Judgement::Replace(held) => {
                for other in held {
                    self.end_session(other, "replaced", now);
                }
                Some(())
            }
            Judgement::Refuse => {
                self.forget_key(slot);
                None
            }
        }
    }

    /// Who is about to go is not there any more: it may dial in again at once.
    pub(crate) fn forget_subscriber(&mut self, slot: SlotIndex) {
        self.forget_port(slot);
        self.forget_called(slot);
        self.forget_key(slot);
    }

    fn forget_key(&mut self, slot: SlotIndex) {
        if let Some(key) = self.take(slot, |session| &mut session.key) {
            self.present.remove(&key, slot);
        }
    }

    /// One of the names under which a session is entered somewhere: it has it no more.
    fn take(
        &mut self,
        slot: SlotIndex,
        name: fn(&mut Session) -> &mut Option<Arc<[u8]>>,
    ) -> Option<Arc<[u8]>> {
        name(self.sessions.get_mut(slot)?).take()
    }

    /// The rule has another key: who is there is entered under it.
    ///
    /// # Cost
    /// One step for each session, once for such a reload.
    pub(crate) fn know_subscribers_anew(&mut self) {
        self.present = Present::default();
        let slots: Vec<SlotIndex> = self
            .sessions
            .range(0..self.sessions.span())
            .filter(|(_, session)| session.key.is_some())
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            let key = session
                .identity()
                .map(|identity| identity.key(&self.duplicates));
            if let Some(key) = &key {
                self.present.enter(key, slot);
            }
            session.key = key;
        }
    }

    /// The local user that a session was let in as.
    pub(crate) fn user_of(&self, slot: SlotIndex) -> Option<&User> {
        let session = self.sessions.get(slot)?;
        if session.is_judged_by_server() {
            return None;
        }
        match session.lcp?.authentication {
            AuthMethod::None | AuthMethod::Eap => None,
            AuthMethod::Pap | AuthMethod::Chap | AuthMethod::MsChapV2 => {
                self.users.get(session.user.as_deref()?)
            }
        }
    }
}

impl LetIn {
    /// Who is not asked to prove anything.
    fn without_proof() -> Self {
        Self {
            acceptance: Acceptance::default(),
            filter_ids: Vec::new(),
            message: Box::default(),
            granted: None,
        }
    }
}
