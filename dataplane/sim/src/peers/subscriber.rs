//! A subscriber's PPP (RFC 1661, 1334, 1994, 2759, 1332, 1877): it negotiates LCP, proves who it is,
//! asks IPCP for an address and name servers, answers echoes, and begins anew when the node does.
//!
//! It has a machine of its own, not the node's. What goes wrong over it ends it with a reason; whoever
//! has the line dials again.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::{Rng, Secret, chap, mschapv2::Exchange};
use lns_tables::time::Instant;
use lns_wire::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};
use lns_wire::ppp::{
    ChapCode, ChapPacket, ChapValue, Code, Frame, MsChapV2Response, Options, Packet, PapCode,
    PapRequest, Protocol, emit_chap_value, emit_option, ipcp, lcp,
};

use super::frames::{Frames, send};
use super::negotiation::{Negotiation, RESTART};

/// How long the node may take to judge a login.
const LOGIN: Duration = Duration::from_secs(30);

/// Echoes in a row that may stay without an answer.
const ECHOES: u8 = 3;

/// Who a subscriber is and how it behaves; many may share one.
#[derive(Clone, Debug)]
pub struct Login {
    /// What it calls itself.
    pub name: Box<[u8]>,
    /// What it proves itself with.
    pub password: Secret,
    /// What it agrees to, the one it likes best first.
    pub methods: Vec<Method>,
    /// The largest packet that it wants, octets.
    pub mru: u16,
    /// How often it asks for a sign of life; `None`: never.
    pub echo: Option<Duration>,
    /// What it does wrong.
    pub quirks: Quirks,
}

/// What a subscriber does that it should not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fault of its own, and any of them may come together"
)]
pub struct Quirks {
    /// It answers no echo.
    pub ignores_echo: bool,
    /// Its line sends back what comes.
    pub is_looped: bool,
    /// It asks for options that nobody knows.
    pub odd_options: bool,
    /// It begins LCP anew this often while it is up.
    pub renegotiates: Option<Duration>,
    /// It acknowledges with the wrong identifier.
    pub wrong_ids: bool,
    /// It says nothing any more once it is up.
    pub falls_silent: bool,
}

/// How a subscriber proves who it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// Not at all.
    None,
    /// PAP.
    Pap,
    /// CHAP with MD5.
    Chap,
    /// MS-CHAPv2.
    MsChapV2,
}

impl Login {
    /// A conforming subscriber that agrees to every method.
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.as_bytes().into(),
            password: Secret::new(password.as_bytes()),
            methods: vec![Method::Chap, Method::MsChapV2, Method::Pap, Method::None],
            mru: 1492,
            echo: None,
            quirks: Quirks::default(),
        }
    }
}

impl Method {
    const fn protocol(self) -> Option<AuthenticationProtocol> {
        match self {
            Self::None => None,
            Self::Pap => Some(AuthenticationProtocol::Pap),
            Self::Chap => Some(AuthenticationProtocol::Chap(algorithm::MD5)),
            Self::MsChapV2 => Some(AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2)),
        }
    }
}

/// Where a subscriber is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The line is not connected yet, or not any more.
    Dead,
    Establish,
    Authenticate,
    Network,
    Terminate,
}

/// One subscriber's end of a line.
#[derive(Debug)]
pub struct Subscriber {
    login: Arc<Login>,
    phase: Phase,
    lcp: Negotiation,
    ipcp: Negotiation,
    method: Method,
    magic: u32,
    asks_mru: bool,
    asks_odd: bool,
    /// Address and name server that it asks for; `None`: was rejected.
    asked: [Option<Ipv4Addr>; 2],
    address: Option<Ipv4Addr>,
    id: u8,
    /// PAP's next request, or the end of the patience with CHAP; later the end of a termination.
    act_at: Option<Instant>,
    patience: Option<Instant>,
    proof: Option<Box<[u8; 42]>>,
    echo_at: Option<Instant>,
    echoes: u8,
    anew_at: Option<Instant>,
    ended: Option<&'static str>,
    logins: u32,
}

impl Subscriber {
    /// One whose line is not connected yet.
    pub fn new(login: Arc<Login>) -> Self {
        Self {
            login,
            phase: Phase::Dead,
            lcp: Negotiation::default(),
            ipcp: Negotiation::default(),
            method: Method::None,
            magic: 0,
            asks_mru: true,
            asks_odd: false,
            asked: [Some(Ipv4Addr::UNSPECIFIED); 2],
            address: None,
            id: 0,
            act_at: None,
            patience: None,
            proof: None,
            echo_at: None,
            echoes: 0,
            anew_at: None,
            ended: None,
            logins: 0,
        }
    }

    /// What the node gave it; `None` while IPCP is not open.
    pub const fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }

    /// How often it has come up.
    pub const fn logins(&self) -> u32 {
        self.logins
    }

    /// Why it has ended, once it has.
    pub const fn ended(&self) -> Option<&'static str> {
        self.ended
    }

    /// Who it is.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The line is connected.
    pub(crate) fn start(&mut self, now: Instant, rng: &mut Rng, out: &mut Frames) {
        *self = Self {
            logins: self.logins,
            asks_odd: self.login.quirks.odd_options,
            ..Self::new(Arc::clone(&self.login))
        };
        self.establish(now, rng, out);
    }

    /// The line is connected, and the LAC has agreed on LCP with this subscriber already.
    pub(crate) fn start_proxied(&mut self, method: Method, magic: u32, now: Instant) {
        *self = Self {
            logins: self.logins,
            phase: Phase::Authenticate,
            method,
            magic,
            ..Self::new(Arc::clone(&self.login))
        };
        self.lcp.id = Some(0);
        self.lcp.ours = true;
        self.lcp.theirs = true;
        self.patience = Some(now + LOGIN);
        self.act_at = (method == Method::Pap).then_some(now + RESTART);
    }

    /// The subscriber wants to go.
    pub(crate) fn hang_up(&mut self, now: Instant, out: &mut Frames) {
        if matches!(self.phase, Phase::Dead | Phase::Terminate) {
            return;
        }
        self.leave(now, out);
    }

    /// The line is gone.
    pub(crate) fn disconnect(&mut self) {
        self.phase = Phase::Dead;
        self.address = None;
        self.lcp = Negotiation::default();
        self.ipcp = Negotiation::default();
        [self.act_at, self.patience, self.echo_at, self.anew_at] = [None; 4];
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timers = [
            self.lcp.again_at,
            self.ipcp.again_at,
            self.act_at,
            self.patience,
            self.echo_at,
            self.anew_at,
        ];
        timers
            .into_iter()
            .flatten()
            .min()
            .filter(|_| self.phase != Phase::Dead)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut Rng, out: &mut Frames) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        if self.lcp.is_due(now) {
            if self.lcp.is_given_up() {
                return self.end("no answer to LCP");
            }
            self.request_lcp(now, out);
        }
        if self.ipcp.is_due(now) {
            if self.ipcp.is_given_up() {
                return self.end("no answer to IPCP");
            }
            self.request_ipcp(now, out);
        }
        if self.act_at.is_some_and(|at| at <= now) {
            self.act_at = None;
            match self.phase {
                Phase::Authenticate => self.log_in(now, out),
                Phase::Terminate => return self.end("terminated"),
                Phase::Dead | Phase::Establish | Phase::Network => {}
            }
        }
        if self.patience.is_some_and(|at| at <= now) {
            return self.end("no answer to the login");
        }
        if self.echo_at.is_some_and(|at| at <= now) {
            self.ask_for_echo(now, out);
        }
        if self.anew_at.is_some_and(|at| at <= now) {
            self.establish(now, rng, out);
        }
    }

    /// Takes in what the node sent.
    pub(crate) fn handle_frame(
        &mut self,
        frame: &[u8],
        now: Instant,
        rng: &mut Rng,
        out: &mut Frames,
    ) {
        let quirks = self.login.quirks;
        if self.phase == Phase::Dead || quirks.falls_silent && self.address.is_some() {
            return;
        }
        if quirks.is_looped {
            return out.push(frame.to_vec());
        }
        // The network may have broken it.
        let Ok(frame) = Frame::parse(frame) else {
            return;
        };
        if frame.protocol == Protocol::IPV4 {
            return;
        }
        let Ok(packet) = Packet::parse(frame.information) else {
            return;
        };
        match frame.protocol {
            Protocol::LCP => self.handle_lcp(&packet, now, rng, out),
            Protocol::PAP => self.handle_pap(&packet, now, out),
            Protocol::CHAP => self.handle_chap(&packet, now, rng, out),
            Protocol::IPCP => self.handle_ipcp(&packet, now, out),
            _ => {}
        }
    }

    // === LCP ===

    fn establish(&mut self, now: Instant, rng: &mut Rng, out: &mut Frames) {
        self.phase = Phase::Establish;
        self.lcp = Negotiation::default();
        self.ipcp = Negotiation::default();
        self.address = None;
        self.asked = [Some(Ipv4Addr::UNSPECIFIED); 2];
        self.magic = rng.u32();
        self.asks_mru = true;
        [self.act_at, self.patience, self.echo_at, self.anew_at] = [None; 4];
        self.request_lcp(now, out);
    }

    fn request_lcp(&mut self, now: Instant, out: &mut Frames) {
        let id = self.next_id();
        self.lcp.requested(id, now);
        let (mru, magic) = (self.login.mru, self.magic);
        let (asks_mru, asks_odd) = (self.asks_mru, self.asks_odd);
        send(out, Protocol::LCP, Code::CONFIGURE_REQUEST, id, |data| {
            if asks_mru {
                emit_option(data, lcp::kind::MRU, &mru.to_be_bytes());
            }
            emit_option(data, lcp::kind::MAGIC, &magic.to_be_bytes());
            if asks_odd {
                emit_option(data, lcp::kind::CALLBACK, &[6]);
                emit_option(data, 0xfe, b"odd");
            }
        });
    }

    fn handle_lcp(&mut self, packet: &Packet<'_>, now: Instant, rng: &mut Rng, out: &mut Frames) {
        match packet.code {
            Code::CONFIGURE_REQUEST => self.lcp_requested(packet, now, rng, out),
            Code::CONFIGURE_ACK if self.lcp.is_answer(packet.id) => {
                self.lcp.acknowledged(now);
                self.lcp_moved(now, out);
            }
            Code::CONFIGURE_NAK if self.lcp.is_answer(packet.id) => {
                self.magic = rng.u32();
                self.request_lcp(now, out);
            }
            Code::CONFIGURE_REJECT if self.lcp.is_answer(packet.id) => {
                self.asks_odd = false;
                let rejected = Options::parse(packet.data)
                    .into_iter()
                    .flat_map(Options::iter);
                let mru = rejected
                    .into_iter()
                    .any(|option| option.kind == lcp::kind::MRU);
                self.asks_mru &= !mru;
                self.request_lcp(now, out);
            }
            Code::TERMINATE_REQUEST => {
                send(out, Protocol::LCP, Code::TERMINATE_ACK, packet.id, |_| {});
                self.end("terminated by the node");
            }
            Code::TERMINATE_ACK if self.phase == Phase::Terminate => self.end("terminated"),
            Code::ECHO_REQUEST if self.lcp.is_open() && !self.login.quirks.ignores_echo => {
                let magic = self.magic;
                let rest = packet.data.get(4..).unwrap_or_default();
                send(out, Protocol::LCP, Code::ECHO_REPLY, packet.id, |data| {
                    data.extend(magic.to_be_bytes());
                    data.extend(rest);
                });
            }
            Code::ECHO_REPLY => self.echoes = 0,
            _ => {}
        }
    }

    fn lcp_requested(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Frames,
    ) {
        let Ok(options) = Options::parse(packet.data) else {
            return;
        };
        if self.phase == Phase::Terminate {
            return;
        }
        if self.lcp.is_open() {
            self.establish(now, rng, out);
        }
        let (mut nak, mut reject) = (Vec::new(), Vec::new());
        let mut method = Method::None;
        for raw in options.iter() {
            match LcpOption::parse(raw) {
                LcpOption::Authentication(protocol) => match self.method_of(protocol) {
                    Some(agreed) => method = agreed,
                    None => self.propose(&mut nak),
                },
                LcpOption::Magic(magic) if magic == self.magic => {
                    LcpOption::Magic(rng.u32()).emit(&mut nak);
                }
                LcpOption::Mru(_)
                | LcpOption::Magic(_)
                | LcpOption::Accm(_)
                | LcpOption::Pfc
                | LcpOption::Acfc => {}
                LcpOption::WrongLength { .. } | LcpOption::Other(_) => reject.extend(raw.octets),
            }
        }
        let (code, data) = if !reject.is_empty() {
            (Code::CONFIGURE_REJECT, &reject[..])
        } else if !nak.is_empty() {
            (Code::CONFIGURE_NAK, &nak[..])
        } else {
            (Code::CONFIGURE_ACK, packet.data)
        };
        let id = packet
            .id
            .wrapping_add(u8::from(self.login.quirks.wrong_ids));
        send(out, Protocol::LCP, code, id, |out| out.extend(data));
        self.lcp.answered(code == Code::CONFIGURE_ACK);
        self.method = method;
        self.lcp_moved(now, out);
    }

    fn method_of(&self, asked: AuthenticationProtocol) -> Option<Method> {
        let mut methods = self.login.methods.iter().copied();
        methods.find(|method| method.protocol() == Some(asked))
    }

    fn propose(&self, nak: &mut Vec<u8>) {
        let wanted = self
            .login
            .methods
            .first()
            .copied()
            .and_then(Method::protocol);
        let wanted = wanted.unwrap_or(AuthenticationProtocol::Pap);
        LcpOption::Authentication(wanted).emit(nak);
    }

    /// Something was acknowledged, by us or by the node.
    fn lcp_moved(&mut self, now: Instant, out: &mut Frames) {
        if !self.lcp.is_open() || self.phase != Phase::Establish {
            return;
        }
        self.phase = Phase::Authenticate;
        self.patience = Some(now + LOGIN);
        self.echo_at = self.login.echo.map(|echo| now + echo);
        match self.method {
            Method::None => self.logged_in(now, out),
            Method::Pap => self.log_in(now, out),
            Method::Chap | Method::MsChapV2 => {}
        }
    }

    fn ask_for_echo(&mut self, now: Instant, out: &mut Frames) {
        if self.echoes >= ECHOES {
            return self.end("no answer to an echo");
        }
        self.echoes += 1;
        self.echo_at = self.login.echo.map(|echo| now + echo);
        let (id, magic) = (self.next_id(), self.magic);
        send(out, Protocol::LCP, Code::ECHO_REQUEST, id, |data| {
            data.extend(magic.to_be_bytes());
        });
    }

    // === Authentication ===

    fn log_in(&mut self, now: Instant, out: &mut Frames) {
        if self.method != Method::Pap {
            return;
        }
        self.act_at = Some(now + RESTART);
        let (id, login) = (self.next_id(), Arc::clone(&self.login));
        send(out, Protocol::PAP, PapCode::Request.code(), id, |data| {
            let request = PapRequest {
                name: &login.name,
                password: login.password.expose(),
            };
            request.emit(data);
        });
    }

    fn handle_pap(&mut self, packet: &Packet<'_>, now: Instant, out: &mut Frames) {
        match PapCode::from_code(packet.code) {
            Some(PapCode::Ack) => self.logged_in(now, out),
            Some(PapCode::Nak) => self.end("login refused"),
            Some(PapCode::Request) | None => {}
        }
    }

    fn handle_chap(&mut self, packet: &Packet<'_>, now: Instant, rng: &mut Rng, out: &mut Frames) {
        if !matches!(self.phase, Phase::Authenticate | Phase::Network) {
            return;
        }
        match ChapPacket::parse(packet) {
            Ok(ChapPacket::Challenge(challenge)) => self.respond(packet.id, &challenge, rng, out),
            Ok(ChapPacket::Success(message)) => {
                let right = self
                    .proof
                    .as_ref()
                    .is_none_or(|proof| message.starts_with(&proof[..]));
                if right {
                    self.logged_in(now, out);
                } else {
                    self.end("the node does not know the password");
                }
            }
            Ok(ChapPacket::Failure(_)) => self.end("login refused"),
            Ok(ChapPacket::Response(_)) | Err(_) => {}
        }
    }

    fn respond(&mut self, id: u8, challenge: &ChapValue<'_>, rng: &mut Rng, out: &mut Frames) {
        let login = Arc::clone(&self.login);
        let mut value = Vec::with_capacity(MsChapV2Response::LEN);
        if self.method == Method::MsChapV2 {
            let Ok(theirs) = <&[u8; 16]>::try_from(challenge.value) else {
                return;
            };
            let peer_challenge = rng.array();
            let exchange = Exchange {
                authenticator_challenge: theirs,
                peer_challenge: &peer_challenge,
                user_name: &login.name,
            };
            let nt_response = exchange.nt_response(&login.password);
            let proof = exchange.authenticator_response(&login.password, &nt_response);
            self.proof = Some(Box::new(proof));
            let response = MsChapV2Response {
                peer_challenge,
                nt_response,
                flags: 0,
            };
            response.emit(&mut value);
        } else {
            value.extend(chap::response(id, &login.password, challenge.value));
        }
        send(out, Protocol::CHAP, ChapCode::Response.code(), id, |data| {
            emit_chap_value(data, &value, &login.name);
        });
    }

    fn logged_in(&mut self, now: Instant, out: &mut Frames) {
        if self.phase != Phase::Authenticate {
            return;
        }
        self.phase = Phase::Network;
        self.act_at = None;
        self.patience = None;
        if self.ipcp.id.is_none() {
            self.request_ipcp(now, out);
        }
    }

    // === IPCP ===

    fn request_ipcp(&mut self, now: Instant, out: &mut Frames) {
        let id = self.next_id();
        self.ipcp.requested(id, now);
        let [address, dns] = self.asked;
        send(out, Protocol::IPCP, Code::CONFIGURE_REQUEST, id, |data| {
            for (kind, asked) in [
                (ipcp::kind::ADDRESS, address),
                (ipcp::kind::PRIMARY_DNS, dns),
            ] {
                if let Some(asked) = asked {
                    emit_option(data, kind, &asked.octets());
                }
            }
        });
    }

    fn handle_ipcp(&mut self, packet: &Packet<'_>, now: Instant, out: &mut Frames) {
        // To be asked for IPCP is to be let in, even if the word of it was lost.
        self.logged_in(now, out);
        if self.phase != Phase::Network {
            return;
        }
        match packet.code {
            Code::CONFIGURE_REQUEST => self.ipcp_requested(packet, now, out),
            Code::CONFIGURE_ACK if self.ipcp.is_answer(packet.id) => {
                self.ipcp.acknowledged(now);
                self.ipcp_moved(now);
            }
            Code::CONFIGURE_NAK | Code::CONFIGURE_REJECT if self.ipcp.is_answer(packet.id) => {
                self.adapt(packet);
                self.request_ipcp(now, out);
            }
            Code::TERMINATE_REQUEST => {
                send(out, Protocol::IPCP, Code::TERMINATE_ACK, packet.id, |_| {});
                self.end("IPCP was terminated");
            }
            _ => {}
        }
    }

    /// Takes over what the node has in mind.
    fn adapt(&mut self, packet: &Packet<'_>) {
        for option in Options::parse(packet.data)
            .into_iter()
            .flat_map(Options::iter)
        {
            let place = match option.kind {
                ipcp::kind::ADDRESS => &mut self.asked[0],
                ipcp::kind::PRIMARY_DNS => &mut self.asked[1],
                _ => continue,
            };
            let value = <[u8; 4]>::try_from(option.value).ok().map(Ipv4Addr::from);
            *place = value.filter(|_| packet.code == Code::CONFIGURE_NAK);
        }
    }

    fn ipcp_requested(&mut self, packet: &Packet<'_>, now: Instant, out: &mut Frames) {
        if self.ipcp.is_open() {
            // IPCP begins anew for both sides (RFC 1661, 4.1: RCR in Opened).
            self.ipcp = Negotiation::default();
            self.address = None;
            self.request_ipcp(now, out);
        }
        let mut reject = Vec::new();
        for option in Options::parse(packet.data)
            .into_iter()
            .flat_map(Options::iter)
        {
            if option.kind != ipcp::kind::ADDRESS {
                reject.extend(option.octets);
            }
        }
        let (code, data) = if reject.is_empty() {
            (Code::CONFIGURE_ACK, packet.data)
        } else {
            (Code::CONFIGURE_REJECT, &reject[..])
        };
        send(out, Protocol::IPCP, code, packet.id, |out| out.extend(data));
        self.ipcp.answered(reject.is_empty());
        if self.ipcp.id.is_none() {
            self.request_ipcp(now, out);
        }
        self.ipcp_moved(now);
    }

    fn ipcp_moved(&mut self, now: Instant) {
        if self.ipcp.is_open() && self.address.is_none() {
            self.address = self.asked[0];
            self.logins += 1;
            self.anew_at = self.login.quirks.renegotiates.map(|after| now + after);
        }
    }

    // === The end ===

    fn leave(&mut self, now: Instant, out: &mut Frames) {
        self.phase = Phase::Terminate;
        self.address = None;
        self.lcp.again_at = None;
        self.ipcp = Negotiation::default();
        [self.patience, self.echo_at, self.anew_at] = [None; 3];
        self.act_at = Some(now + RESTART);
        let id = self.next_id();
        send(out, Protocol::LCP, Code::TERMINATE_REQUEST, id, |_| {});
    }

    fn end(&mut self, why: &'static str) {
        self.disconnect();
        self.ended = Some(why);
    }

    const fn next_id(&mut self) -> u8 {
        self.id = self.id.wrapping_add(1);
        self.id
    }
}
