//! The options of LCP as an authenticator that serves subscribers sees them (RFC 1661, 6; RFC 1994,
//! 3), the detection of loops (RFC 1661, 6.4), and taking over what a LAC has negotiated (RFC 2661,
//! 4.4.5).

use lns_crypto::Rng;
use lns_wire::ppp::lcp::{LcpOption, kind};
use lns_wire::ppp::{Framing, Options, Protocol, RawOption};

use crate::config::{AuthMethod, Config};
use crate::event::CloseReason;
use crate::layer::{Judgement, Negotiation, Patience};
use crate::limits;
use crate::proxy::ProxyLcp;

/// What both sides have asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lcp {
    /// What we call ourselves; 0 when the peer would not hear of it.
    pub(crate) magic: u32,
    /// What the peer may send at most; `None` when it would not be asked.
    pub(crate) mru: Option<u16>,
    /// How the peer will say who it is.
    pub(crate) method: AuthMethod,
    /// What the peer asked for, as we acknowledged it last.
    pub(crate) peer: Peer,
    /// The methods that the peer would not use.
    refused: Methods,
    /// Naks of our MRU that we could not follow.
    mru_naks: u8,
    /// Times in a row that our own magic number came back.
    loops: u8,
}

/// What the peer asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    /// The longest information field that it takes, octets.
    pub(crate) mru: u16,
    /// What it lets us leave out.
    pub(crate) framing: Framing,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            mru: limits::DEFAULT_MRU,
            framing: Framing::default(),
        }
    }
}

impl Lcp {
    /// Options as the configuration wants them.
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            magic: draw_magic(rng),
            mru: Some(config.mru),
            method: first_method(config),
            peer: Peer::default(),
            refused: Methods::default(),
            mru_naks: 0,
            loops: 0,
        }
    }

    /// What a LAC negotiated in our place, if we would have agreed to all of it.
    pub(crate) fn taken_over(proxy: &ProxyLcp<'_>, config: &Config, rng: &mut Rng) -> Option<Self> {
        let mut lcp = Self {
            magic: 0,
            mru: None,
            method: AuthMethod::None,
            ..Self::new(config, rng)
        };
        for option in Options::parse(proxy.last_sent).ok()?.iter() {
            match LcpOption::parse(option) {
                LcpOption::Mru(mru) if mru >= limits::MIN_MRU => lcp.mru = Some(mru),
                LcpOption::Authentication(protocol) => {
                    lcp.method = AuthMethod::from_protocol(protocol)?;
                }
                LcpOption::Magic(magic) => lcp.magic = magic,
                LcpOption::Accm(_) | LcpOption::Pfc | LcpOption::Acfc => {}
                LcpOption::Mru(_) | LcpOption::WrongLength { .. } | LcpOption::Other(_) => {
                    return None;
                }
            }
        }
        let received = Options::parse(proxy.last_received).ok()?;
        let fits = config.allows(lcp.method)
            && lcp.judge(received, Patience::Left, config, rng) == Judgement::Ack;
        fits.then_some(lcp)
    }

    /// Our own magic number came back where only the peer's can be.
    ///
    /// # Errors
    /// The line is looped for certain.
    pub(crate) fn note_loop(&mut self) -> Result<(), CloseReason> {
        self.loops = self.loops.saturating_add(1);
        if self.loops < limits::MAX_LOOPS {
            Ok(())
        } else {
            Err(CloseReason::LoopedBack)
        }
    }

    /// Somebody else's magic number came: the line is not looped.
    pub(crate) const fn note_peer(&mut self) {
        self.loops = 0;
    }

    /// Whether `magic` is our own.
    pub(crate) const fn is_ours(&self, magic: u32) -> bool {
        self.magic != 0 && self.magic == magic
    }

    /// The next method that the peer has not refused: what it suggests if it may, else in our order.
    fn fall_back(
        &mut self,
        suggested: Option<AuthMethod>,
        config: &Config,
    ) -> Result<(), CloseReason> {
        self.refused.insert(self.method);
        let refused = self.refused;
        let is_left = |method: &AuthMethod| config.allows(*method) && !refused.contains(*method);
        let mut candidates = suggested
            .into_iter()
            .chain(config.methods().iter().copied());
        self.method = candidates
            .find(is_left)
            .ok_or(CloseReason::AuthenticationRefused)?;
        Ok(())
    }

    /// A larger MRU than ours is not followed, and a peer that insists is not asked any more.
    fn mru_nakked(&mut self, suggested: u16) {
        match self.mru {
            Some(mru) if (limits::MIN_MRU..=mru).contains(&suggested) => self.mru = Some(suggested),
            _ => {
                self.mru_naks = self.mru_naks.saturating_add(1);
                if self.mru_naks >= limits::MAX_FAILURE {
                    self.mru = None;
                }
            }
        }
    }
}

impl Negotiation for Lcp {
    const PROTOCOL: Protocol = Protocol::LCP;
    const DISAGREED: CloseReason = CloseReason::LcpTimeout;

    fn request(&self, _config: &Config, out: &mut Vec<u8>) {
        if let Some(mru) = self.mru {
            LcpOption::Mru(mru).emit(out);
        }
        if let Some(protocol) = self.method.protocol() {
            LcpOption::Authentication(protocol).emit(out);
        }
        if self.magic != 0 {
            LcpOption::Magic(self.magic).emit(out);
        }
    }

    fn judge(
        &mut self,
        options: Options<'_>,
        patience: Patience,
        _config: &Config,
        rng: &mut Rng,
    ) -> Judgement {
        let is_loop = |option| matches!(LcpOption::parse(option), LcpOption::Magic(magic) if self.is_ours(magic));
        if options.iter().any(is_loop) {
            return match self.note_loop() {
                Ok(()) => Judgement::Nak(nak_of(another_magic(rng))),
                Err(reason) => Judgement::GiveUp(reason),
            };
        }
        self.note_peer();
        let mut review = Review::default();
        for option in options.iter() {
            let before = review.nak.len();
            review.option(option, rng);
            if patience == Patience::Exhausted && review.nak.len() > before {
                review.reject.extend_from_slice(option.octets);
            }
        }
        let (judgement, peer) = review.conclude();
        self.peer = peer.unwrap_or(self.peer);
        judgement
    }

    fn nakked(
        &mut self,
        options: Options<'_>,
        config: &Config,
        rng: &mut Rng,
    ) -> Result<(), CloseReason> {
        for option in options.iter() {
            match LcpOption::parse(option) {
                LcpOption::Mru(mru) => self.mru_nakked(mru),
                LcpOption::Magic(_) => self.magic = draw_magic(rng),
                LcpOption::Authentication(protocol) => {
                    self.fall_back(AuthMethod::from_protocol(protocol), config)?;
                }
                LcpOption::WrongLength {
                    kind: kind::AUTHENTICATION,
                } => self.fall_back(None, config)?,
                // What we did not ask for stays unasked.
                LcpOption::Accm(_)
                | LcpOption::Pfc
                | LcpOption::Acfc
                | LcpOption::WrongLength { .. }
                | LcpOption::Other(_) => {}
            }
        }
        Ok(())
    }

    fn rejected(&mut self, options: Options<'_>, config: &Config) -> Result<(), CloseReason> {
        for option in options.iter() {
            match option.kind {
                kind::MRU => self.mru = None,
                kind::MAGIC => self.magic = 0,
                kind::AUTHENTICATION if config.allows(AuthMethod::None) => {
                    self.method = AuthMethod::None;
                }
                kind::AUTHENTICATION => return Err(CloseReason::AuthenticationRefused),
                _ => {}
            }
        }
        Ok(())
    }

    fn restart(&mut self, config: &Config) {
        self.mru = Some(config.mru);
        self.method = first_method(config);
        self.refused = Methods::default();
        self.mru_naks = 0;
    }
}

/// The judgement of one Configure-Request while it is being read.
#[derive(Debug, Default)]
struct Review {
    peer: Peer,
    nak: Vec<u8>,
    reject: Vec<u8>,
}

impl Review {
    fn option(&mut self, raw: RawOption<'_>, rng: &mut Rng) {
        match LcpOption::parse(raw) {
            LcpOption::Mru(mru) if mru >= limits::MIN_MRU => self.peer.mru = mru,
            LcpOption::Mru(_) => LcpOption::Mru(limits::MIN_MRU).emit(&mut self.nak),
            LcpOption::Magic(0) => another_magic(rng).emit(&mut self.nak),
            LcpOption::Magic(_) | LcpOption::Accm(_) => {}
            LcpOption::Pfc => self.peer.framing.pfc = true,
            LcpOption::Acfc => self.peer.framing.acfc = true,
            LcpOption::WrongLength { kind } => match right_length(kind, rng) {
                Some(option) => option.emit(&mut self.nak),
                None => self.reject.extend_from_slice(raw.octets),
            },
            // We do not say who we are, whatever the method (RFC 1661, 6.2).
            LcpOption::Authentication(_) | LcpOption::Other(_) => {
                self.reject.extend_from_slice(raw.octets);
            }
        }
    }

    /// A Reject goes before a Nak (RFC 1661, 5.4).
    fn conclude(self) -> (Judgement, Option<Peer>) {
        if !self.reject.is_empty() {
            (Judgement::Reject(self.reject), None)
        } else if !self.nak.is_empty() {
            (Judgement::Nak(self.nak), None)
        } else {
            (Judgement::Ack, Some(self.peer))
        }
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Methods(u8);

impl Methods {
    fn insert(&mut self, method: AuthMethod) {
        self.0 |= Self::bit(method);
    }

    const fn contains(self, method: AuthMethod) -> bool {
        self.0 & Self::bit(method) != 0
    }

    const fn bit(method: AuthMethod) -> u8 {
        match method {
            AuthMethod::Chap => 1,
            AuthMethod::MsChapV2 => 2,
            AuthMethod::Pap => 4,
            AuthMethod::None => 8,
            AuthMethod::Eap => 16,
        }
    }
}

/// What an option of a wrong length should have been (RFC 1661, 6: a Nak shows the right length);
/// `None` for what is refused whatever its length.
fn right_length(kind: u8, rng: &mut Rng) -> Option<LcpOption<'static>> {
    match kind {
        kind::MRU => Some(LcpOption::Mru(limits::DEFAULT_MRU)),
        kind::ACCM => Some(LcpOption::Accm(0)),
        kind::MAGIC => Some(another_magic(rng)),
        kind::PFC => Some(LcpOption::Pfc),
        kind::ACFC => Some(LcpOption::Acfc),
        _ => None,
    }
}

fn another_magic(rng: &mut Rng) -> LcpOption<'static> {
    LcpOption::Magic(draw_magic(rng))
}

fn nak_of(option: LcpOption<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    option.emit(&mut octets);
    octets
}

/// Zero means that there is none (RFC 1661, 6.4).
fn draw_magic(rng: &mut Rng) -> u32 {
    rng.u32().max(1)
}

fn first_method(config: &Config) -> AuthMethod {
    config
        .methods()
        .first()
        .copied()
        .unwrap_or(AuthMethod::None)
}
