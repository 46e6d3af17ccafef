//! The subscriber's end of PPP: LCP (RFC 1661), PAP (RFC 1334), CHAP (RFC 1994), MS-CHAPv2 (RFC
//! 2759), EAP with MD5-Challenge (RFC 3748), IPCP (RFC 1332, 1877).
//!
//! Written apart from the LNS's automaton and simpler than it: it answers what is asked, asks for
//! what it needs, repeats a request every three seconds, and gives up after ten.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lns_crypto::mschapv2::Exchange;
use lns_crypto::{Rng, chap};
use lns_wire::ppp::ipcp::IpcpOption;
use lns_wire::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};
use lns_wire::ppp::{
    ChapCode, ChapPacket, ChapValue, Code, EapCode, EapPacket, EapType, Frame, Framing,
    MsChapV2Response, Options, Packet, PapCode, PapReply, PapRequest, Protocol, RawOption,
    emit_chap_value, emit_packet,
};

use super::options::{Authentication, Profile};

/// Between two tries of one request.
const RESTART: Duration = Duration::from_secs(3);
/// How long the LNS may speak first.
const HOLD_BACK: Duration = Duration::from_secs(1);
/// Tries of one request.
const MAX_TRIES: u8 = 10;

/// What a call of this module changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// IPCP is open: the subscriber has this address.
    Up(Ipv4Addr),
    /// The link went back to negotiating.
    Down,
    /// It is over, and why.
    Ended(String),
}

/// How often the LNS sent what a scenario wants to know about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// LCP Configure-Requests.
    pub(crate) configure_requests: u32,
    /// CHAP challenges.
    pub(crate) challenges: u32,
    /// LCP Echo-Requests.
    pub(crate) echo_requests: u32,
    /// The name servers that it told of last.
    pub(crate) dns: [Ipv4Addr; 2],
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            configure_requests: 0,
            challenges: 0,
            echo_requests: 0,
            dns: [Ipv4Addr::UNSPECIFIED; 2],
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Establish,
    Authenticate,
    Network,
    Up,
    Ended,
}

/// One subscriber.
#[derive(Debug)]
pub(crate) struct Ppp {
    profile: Arc<Profile>,
    user: String,
    authentication: Authentication,
    phase: Phase,
    magic: u32,
    id: u8,
    /// Both halves of the protocol that is being negotiated: our request was acknowledged, and we
    /// acknowledged theirs.
    acknowledged: bool,
    acknowledging: bool,
    demanded: Option<AuthenticationProtocol>,
    peer_challenge: [u8; 16],
    /// What the LNS has to say to show that it knows the password (RFC 2759, 5).
    expected: Vec<u8>,
    address: Ipv4Addr,
    dns: Option<[Ipv4Addr; 2]>,
    due: Option<Instant>,
    tries: u8,
    /// What came from the LNS.
    pub(crate) heard: Heard,
}

impl Ppp {
    /// A subscriber who has not dialled yet.
    pub(crate) fn new(
        profile: Arc<Profile>,
        user: String,
        authentication: Authentication,
        rng: &mut Rng,
    ) -> Self {
        Self {
            address: profile.request_address,
            profile,
            user,
            authentication,
            phase: Phase::Establish,
            magic: rng.u32() | 1,
            id: 0,
            acknowledged: false,
            acknowledging: false,
            demanded: None,
            peer_challenge: rng.array(),
            expected: Vec::new(),
            dns: Some([Ipv4Addr::UNSPECIFIED; 2]),
            due: None,
            tries: 0,
            heard: Heard::default(),
        }
    }

    /// The name that it logs in with.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// How it authenticates.
    pub(crate) fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// Starts with LCP: at the LNS's first word, which shows that the call is connected there, or
    /// by itself a little later.
    pub(crate) fn start(&mut self, now: Instant) {
        self.establish();
        self.due = Some(now + HOLD_BACK);
    }

    /// Starts behind an LCP and an authentication that the LAC has done for us.
    pub(crate) fn start_proxied(&mut self) {
        self.phase = Phase::Authenticate;
    }

    /// Handles one frame.
    pub(crate) fn handle(
        &mut self,
        frame: Frame<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        if self.phase == Phase::Ended {
            return None;
        }
        let packet = Packet::parse(frame.information).ok()?;
        if self.phase == Phase::Establish && self.tries == 0 {
            self.request(now, out);
        }
        match frame.protocol {
            Protocol::LCP => self.handle_lcp(&packet, now, out),
            Protocol::PAP => self.handle_pap(&packet, now, out),
            Protocol::CHAP => self.handle_chap(&packet, now, out),
            Protocol::EAP => self.handle_eap(&packet, now, out),
            Protocol::IPCP => self.handle_ipcp(&packet, now, out),
            other => {
                let information = frame.information;
                self.id = self.id.wrapping_add(1);
                out.push(control(
                    Protocol::LCP,
                    Code::PROTOCOL_REJECT,
                    self.id,
                    |data| {
                        data.extend_from_slice(&other.0.to_be_bytes());
                        data.extend_from_slice(information);
                    },
                ));
                None
            }
        }
    }

    /// Repeats what was not answered.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) -> Option<Event> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        if self.tries >= MAX_TRIES {
            return Some(self.end(format!("{:?} timed out", self.phase).to_lowercase()));
        }
        self.request(now, out);
        None
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Says goodbye.
    pub(crate) fn terminate(&mut self, out: &mut Vec<Vec<u8>>) {
        self.phase = Phase::Ended;
        self.due = None;
        self.id = self.id.wrapping_add(1);
        out.push(control(
            Protocol::LCP,
            Code::TERMINATE_REQUEST,
            self.id,
            |_| {},
        ));
    }

    fn establish(&mut self) {
        self.phase = Phase::Establish;
        self.acknowledged = false;
        self.acknowledging = false;
        self.demanded = None;
        self.tries = 0;
    }

    fn end(&mut self, reason: String) -> Event {
        self.phase = Phase::Ended;
        self.due = None;
        Event::Ended(reason)
    }

    /// Sends the request of this phase.
    fn request(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        self.tries = self.tries.saturating_add(1);
        self.due = Some(now + RESTART);
        self.id = self.id.wrapping_add(1);
        let id = self.id;
        match self.phase {
            Phase::Establish => out.push(control(
                Protocol::LCP,
                Code::CONFIGURE_REQUEST,
                id,
                |data| {
                    LcpOption::Mru(self.profile.mru).emit(data);
                    LcpOption::Magic(self.magic).emit(data);
                },
            )),
            Phase::Authenticate if self.demanded == Some(AuthenticationProtocol::Pap) => {
                let request = PapRequest {
                    name: self.user.as_bytes(),
                    password: self.profile.password.expose(),
                };
                out.push(control(
                    Protocol::PAP,
                    PapCode::Request.code(),
                    id,
                    |data| {
                        request.emit(data);
                    },
                ));
            }
            Phase::Network => out.push(control(
                Protocol::IPCP,
                Code::CONFIGURE_REQUEST,
                id,
                |data| {
                    IpcpOption::Address(self.address).emit(data);
                    if let Some([primary, secondary]) = self.dns {
                        IpcpOption::PrimaryDns(primary).emit(data);
                        if !secondary.is_unspecified() {
                            IpcpOption::SecondaryDns(secondary).emit(data);
                        }
                    }
                },
            )),
            // Nothing to ask: the LNS speaks next, or it has all been said.
            Phase::Authenticate => {}
            Phase::Up | Phase::Ended => self.due = None,
        }
    }

    fn handle_lcp(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        match packet.code {
            Code::CONFIGURE_REQUEST => return self.handle_configure_request(packet, now, out),
            Code::CONFIGURE_ACK if self.phase == Phase::Establish && packet.id == self.id => {
                self.acknowledged = true;
                self.advance(now, out);
            }
            Code::CONFIGURE_NAK | Code::CONFIGURE_REJECT
                if self.phase == Phase::Establish && packet.id == self.id =>
            {
                self.request(now, out);
            }
            Code::ECHO_REQUEST => {
                self.heard.echo_requests += 1;
                if self.profile.answer_echo {
                    let magic = self.magic.to_be_bytes();
                    let rest = packet.data.get(4..).unwrap_or_default();
                    out.push(control(
                        Protocol::LCP,
                        Code::ECHO_REPLY,
                        packet.id,
                        |data| {
                            data.extend_from_slice(&magic);
                            data.extend_from_slice(rest);
                        },
                    ));
                }
            }
            Code::TERMINATE_REQUEST => {
                out.push(control(
                    Protocol::LCP,
                    Code::TERMINATE_ACK,
                    packet.id,
                    |_| {},
                ));
                return Some(self.end("terminated by the LNS".into()));
            }
            _ => {}
        }
        None
    }

    fn handle_configure_request(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        self.heard.configure_requests += 1;
        let options = Options::parse(packet.data).ok()?;
        let was_up = self.phase == Phase::Up;
        if self.phase != Phase::Establish {
            // The LNS negotiates anew, and so do we (RFC 1661, 4.3: RCR in Opened).
            self.establish();
            self.request(now, out);
        }
        let mut answer = Answer::default();
        self.demanded = None;
        for raw in options.iter() {
            match LcpOption::parse(raw) {
                LcpOption::Mru(_)
                | LcpOption::Accm(_)
                | LcpOption::Magic(_)
                | LcpOption::Pfc
                | LcpOption::Acfc => {}
                LcpOption::Authentication(protocol) => {
                    self.judge_authentication(protocol, raw, &mut answer);
                }
                LcpOption::WrongLength { .. } | LcpOption::Other(_) => answer.reject(raw),
            }
        }
        self.acknowledging = answer.is_acknowledgement();
        out.push(answer.emit(Protocol::LCP, packet));
        self.advance(now, out);
        was_up.then_some(Event::Down)
    }

    fn judge_authentication(
        &mut self,
        protocol: AuthenticationProtocol,
        raw: RawOption<'_>,
        answer: &mut Answer,
    ) {
        let known = matches!(
            protocol,
            AuthenticationProtocol::Pap
                | AuthenticationProtocol::Chap(algorithm::MD5 | algorithm::MS_CHAP_V2)
        );
        let wanted = match self.authentication {
            Authentication::Any if known => protocol,
            Authentication::Any | Authentication::Pap => AuthenticationProtocol::Pap,
            Authentication::Chap => AuthenticationProtocol::Chap(algorithm::MD5),
            Authentication::Mschapv2 => AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2),
            Authentication::Eap => AuthenticationProtocol::Other(Protocol::EAP),
            Authentication::None => return answer.reject(raw),
        };
        if wanted == protocol {
            self.demanded = Some(protocol);
        } else {
            LcpOption::Authentication(wanted).emit(&mut answer.nak);
        }
    }

    /// Goes on to the next phase when both halves of this one are agreed.
    fn advance(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) -> Option<Event> {
        if !(self.acknowledged && self.acknowledging) {
            return None;
        }
        self.acknowledged = false;
        self.acknowledging = false;
        self.tries = 0;
        match self.phase {
            Phase::Establish if self.demanded.is_some() => self.phase = Phase::Authenticate,
            Phase::Establish => self.phase = Phase::Network,
            Phase::Network => {
                self.phase = Phase::Up;
                self.due = None;
                return Some(Event::Up(self.address));
            }
            Phase::Authenticate | Phase::Up | Phase::Ended => {}
        }
        self.request(now, out);
        None
    }

    /// The LNS knows us.
    fn authenticated(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.phase == Phase::Authenticate {
            self.phase = Phase::Network;
            self.tries = 0;
            self.request(now, out);
        }
    }

    fn handle_pap(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        let reply = PapReply::parse(packet.data).ok()?;
        match PapCode::from_code(packet.code)? {
            PapCode::Ack => self.authenticated(now, out),
            PapCode::Nak => return Some(self.refused(reply.message)),
            PapCode::Request => {}
        }
        None
    }

    fn handle_chap(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        match ChapPacket::parse(packet).ok()? {
            ChapPacket::Challenge(challenge) => {
                self.heard.challenges += 1;
                self.due = None;
                self.respond(packet.id, challenge, out);
            }
            ChapPacket::Success(message) => {
                let Some(AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2)) = self.demanded
                else {
                    self.authenticated(now, out);
                    return None;
                };
                if !message.starts_with(&self.expected) {
                    return Some(self.end("the LNS does not know the password".into()));
                }
                self.authenticated(now, out);
            }
            ChapPacket::Failure(message) => return Some(self.refused(message)),
            ChapPacket::Response(_) => {}
        }
        None
    }

    fn respond(&mut self, id: u8, challenge: ChapValue<'_>, out: &mut Vec<Vec<u8>>) {
        let user = self.user.as_bytes();
        let password = &self.profile.password;
        let mut value = Vec::new();
        if self.demanded == Some(AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2)) {
            let Ok(authenticator_challenge) = <[u8; 16]>::try_from(challenge.value) else {
                return;
            };
            let exchange = Exchange {
                authenticator_challenge: &authenticator_challenge,
                peer_challenge: &self.peer_challenge,
                user_name: user,
            };
            let nt_response = exchange.nt_response(password);
            self.expected = exchange
                .authenticator_response(password, &nt_response)
                .to_vec();
            MsChapV2Response {
                peer_challenge: self.peer_challenge,
                nt_response,
                flags: 0,
            }
            .emit(&mut value);
        } else {
            value.extend_from_slice(&chap::response(id, password, challenge.value));
        }
        out.push(control(
            Protocol::CHAP,
            ChapCode::Response.code(),
            id,
            |data| {
                emit_chap_value(data, &value, user);
            },
        ));
    }

    fn handle_eap(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        let request = match EapPacket::parse(packet).ok()? {
            EapPacket::Request(request) => request,
            EapPacket::Success => {
                self.authenticated(now, out);
                return None;
            }
            EapPacket::Failure => return Some(self.refused(b"EAP Failure")),
            EapPacket::Response(_) => return None,
        };
        self.due = None;
        let mut answer = vec![request.kind.0];
        match request.kind {
            EapType::IDENTITY => answer.extend_from_slice(self.user.as_bytes()),
            EapType::NOTIFICATION => {}
            EapType::MD5_CHALLENGE => {
                self.heard.challenges += 1;
                let length = usize::from(*request.data.first()?);
                let challenge = request.data.get(1..=length)?;
                let response = chap::response(packet.id, &self.profile.password, challenge);
                answer.push(16);
                answer.extend_from_slice(&response);
            }
            _ => answer = vec![EapType::NAK.0, EapType::MD5_CHALLENGE.0],
        }
        let code = EapCode::Response.code();
        out.push(control(Protocol::EAP, code, packet.id, |data| {
            data.extend_from_slice(&answer);
        }));
        None
    }

    fn refused(&mut self, message: &[u8]) -> Event {
        let text = String::from_utf8_lossy(message);
        self.end(format!("authentication refused: {text}"))
    }

    fn handle_ipcp(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Event> {
        if self.phase == Phase::Authenticate && self.demanded.is_none() {
            // Proxied without authentication: the LNS goes straight on to IPCP.
            self.authenticated(now, out);
        }
        match packet.code {
            Code::CONFIGURE_REQUEST if self.phase == Phase::Network => {
                let mut answer = Answer::default();
                for raw in Options::parse(packet.data).ok()?.iter() {
                    if !matches!(IpcpOption::parse(raw), IpcpOption::Address(_)) {
                        answer.reject(raw);
                    }
                }
                self.acknowledging = answer.is_acknowledgement();
                out.push(answer.emit(Protocol::IPCP, packet));
                self.advance(now, out)
            }
            Code::CONFIGURE_ACK if self.phase == Phase::Network && packet.id == self.id => {
                self.acknowledged = true;
                self.advance(now, out)
            }
            Code::CONFIGURE_NAK if self.phase == Phase::Network && packet.id == self.id => {
                self.take_suggestions(Options::parse(packet.data).ok()?);
                self.request(now, out);
                None
            }
            Code::CONFIGURE_REJECT if self.phase == Phase::Network && packet.id == self.id => {
                self.dns = None;
                self.request(now, out);
                None
            }
            Code::TERMINATE_REQUEST => {
                out.push(control(
                    Protocol::IPCP,
                    Code::TERMINATE_ACK,
                    packet.id,
                    |_| {},
                ));
                None
            }
            _ => None,
        }
    }

    fn take_suggestions(&mut self, options: Options<'_>) {
        for raw in options.iter() {
            let [primary, secondary] = self.dns.unwrap_or([Ipv4Addr::UNSPECIFIED; 2]);
            match IpcpOption::parse(raw) {
                IpcpOption::Address(address) => self.address = address,
                IpcpOption::PrimaryDns(address) => self.dns = Some([address, secondary]),
                IpcpOption::SecondaryDns(address) => self.dns = Some([primary, address]),
                IpcpOption::WrongLength { .. } | IpcpOption::Other(_) => {}
            }
        }
        self.heard.dns = self.dns.unwrap_or([Ipv4Addr::UNSPECIFIED; 2]);
    }
}

/// What a Configure-Request is answered with.
#[derive(Debug, Default)]
struct Answer {
    nak: Vec<u8>,
    reject: Vec<u8>,
}

impl Answer {
    fn reject(&mut self, option: RawOption<'_>) {
        self.reject.extend_from_slice(option.octets);
    }

    fn is_acknowledgement(&self) -> bool {
        self.nak.is_empty() && self.reject.is_empty()
    }

    fn emit(&self, protocol: Protocol, request: &Packet<'_>) -> Vec<u8> {
        let (code, options) = if !self.reject.is_empty() {
            (Code::CONFIGURE_REJECT, &self.reject[..])
        } else if !self.nak.is_empty() {
            (Code::CONFIGURE_NAK, &self.nak[..])
        } else {
            (Code::CONFIGURE_ACK, request.data)
        };
        control(protocol, code, request.id, |data| {
            data.extend_from_slice(options);
        })
    }
}

/// A control packet in its frame.
fn control(protocol: Protocol, code: Code, id: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::with_capacity(48);
    Framing::default().emit_header(protocol, &mut frame);
    emit_packet(&mut frame, code, id, write);
    frame
}
