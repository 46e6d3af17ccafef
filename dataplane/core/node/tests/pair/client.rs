//! A subscriber's PPP: enough of a conforming client to log in, and nothing of the node's own code but
//! the codecs. It repeats itself every second until it is heard, as real ones do every three.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_crypto::{Secret, chap, mschapv2};
use lns_tables::time::Instant;
use lns_wire::ppp::{
    ChapCode, ChapPacket, Code, EapCode, EapPacket, EapType, Frame, Framing, MsChapV2Response,
    Options, Packet, PapReply, PapRequest, Protocol, emit_chap_value, emit_option, emit_packet,
    ipcp, lcp,
};

const AGAIN: Duration = Duration::from_secs(1);

/// One subscriber.
#[derive(Debug)]
pub struct Client {
    pub name: String,
    pub password: Secret,
    pub mru: u16,
    pub refuses_chap: bool,
    /// What the node has told it; `None` while IPCP is not open.
    pub address: Option<Ipv4Addr>,
    pub dns: Option<Ipv4Addr>,
    pub failed: bool,
    pub terminated: bool,
    /// Configure-Requests of LCP that came from the node.
    pub lcp_requests_seen: u32,
    pub challenges_seen: u32,
    pub answers_echo: bool,
    /// The data of the Echo-Replies that came, with their ids.
    pub echo_replies: Vec<(u8, Vec<u8>)>,
    /// The text of the last Ack, Nak, Success or Failure.
    pub told: String,
    /// It says nothing to a challenge, once it is let in.
    pub mute: bool,
    /// What an MS-CHAPv2 node must say to be believed.
    proof: Option<[u8; 42]>,
    lcp: Side,
    ipcp: Side,
    asked: [Ipv4Addr; 2],
    method: Option<Vec<u8>>,
    authenticated: bool,
    again_at: Option<Instant>,
    id: u8,
}

/// One protocol's negotiation, seen from the client.
#[derive(Debug, Default)]
struct Side {
    /// The node has acknowledged our request.
    ours: bool,
    /// We have acknowledged the node's.
    theirs: bool,
    /// The id of our last request: an answer to another is too late.
    id: u8,
}

impl Side {
    const fn is_open(&self) -> bool {
        self.ours && self.theirs
    }
}

impl Client {
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: Secret::new(password.as_bytes()),
            mru: 1492,
            refuses_chap: false,
            address: None,
            dns: None,
            failed: false,
            terminated: false,
            lcp_requests_seen: 0,
            challenges_seen: 0,
            answers_echo: true,
            echo_replies: Vec::new(),
            told: String::new(),
            mute: false,
            proof: None,
            lcp: Side::default(),
            ipcp: Side::default(),
            asked: [Ipv4Addr::UNSPECIFIED; 2],
            method: None,
            authenticated: false,
            again_at: None,
            id: 0,
        }
    }

    /// A client that has settled LCP with its LAC already, and answers nothing before it is asked.
    pub fn proxied(name: &str, password: &str) -> Self {
        let lcp = Side {
            ours: true,
            theirs: true,
            id: 0,
        };
        Self {
            lcp,
            method: Some(vec![0xc2, 0x23, 5]),
            ..Self::new(name, password)
        }
    }

    /// The same client, and it asks for this address.
    #[must_use]
    pub fn asking_for(mut self, address: Ipv4Addr) -> Self {
        self.asked[0] = address;
        self
    }

    pub fn start(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        self.again_at = Some(now + AGAIN);
        if !self.lcp.ours {
            self.request_lcp(out);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.again_at
            .filter(|_| !self.failed && !self.terminated && self.address.is_none())
    }

    /// Says again what was not heard.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.again_at = Some(now + AGAIN);
        if !self.lcp.ours {
            self.request_lcp(out);
        } else if self.lcp.is_open() && !self.authenticated {
            self.log_in(out);
        } else if self.authenticated && !self.ipcp.ours {
            self.request_ipcp(out);
        }
    }

    pub fn handle(&mut self, frame: &[u8], out: &mut Vec<Vec<u8>>) {
        let frame = Frame::parse(frame).expect("the node sends frames");
        let packet = Packet::parse(frame.information).expect("the node sends packets");
        match frame.protocol {
            Protocol::LCP => self.handle_lcp(&packet, out),
            Protocol::PAP => {
                let reply = PapReply::parse(packet.data).expect("a reply");
                self.told = String::from_utf8_lossy(reply.message).into_owned();
                self.authenticated(packet.code.0 == 2, out);
            }
            Protocol::EAP => self.handle_eap(&packet, out),
            Protocol::CHAP => self.handle_chap(&packet, out),
            Protocol::IPCP => self.handle_ipcp(&packet, out),
            other => panic!("the node sent {other:?}"),
        }
    }

    /// Asks whether the node is there.
    pub fn echo(id: u8, data: &[u8], out: &mut Vec<Vec<u8>>) {
        send(Protocol::LCP, Code::ECHO_REQUEST, id, out, |out| {
            out.extend(data);
        });
    }

    /// Hangs up.
    pub fn terminate(out: &mut Vec<Vec<u8>>) {
        send(Protocol::LCP, Code::TERMINATE_REQUEST, 99, out, |_| {});
    }

    /// Begins LCP anew while everything is open.
    pub fn renegotiate(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let (name, password) = (self.name.clone(), self.password.clone());
        *self = Self {
            password,
            ..Self::new(&name, "")
        };
        self.start(now, out);
    }

    /// Begins IPCP anew while everything is open.
    pub fn renegotiate_ipcp(&mut self, out: &mut Vec<Vec<u8>>) {
        self.address = None;
        self.ipcp = Side::default();
        self.request_ipcp(out);
    }

    fn handle_lcp(&mut self, packet: &Packet<'_>, out: &mut Vec<Vec<u8>>) {
        match packet.code {
            Code::CONFIGURE_REQUEST => self.judge_lcp(packet, out),
            Code::CONFIGURE_ACK if packet.id == self.lcp.id => {
                self.lcp.ours = true;
                self.lcp_changed(out);
            }
            Code::TERMINATE_REQUEST => {
                self.terminated = true;
                send(Protocol::LCP, Code::TERMINATE_ACK, packet.id, out, |_| {});
            }
            Code::TERMINATE_ACK => self.terminated = true,
            Code::ECHO_REQUEST if self.answers_echo => {
                send(Protocol::LCP, Code::ECHO_REPLY, packet.id, out, |data| {
                    data.extend([0; 4]);
                });
            }
            Code::ECHO_REPLY => self.echo_replies.push((packet.id, packet.data.to_vec())),
            Code::CONFIGURE_ACK | Code::ECHO_REQUEST | Code::PROTOCOL_REJECT => {}
            other => panic!("the node sent LCP code {other:?}"),
        }
    }

    fn judge_lcp(&mut self, packet: &Packet<'_>, out: &mut Vec<Vec<u8>>) {
        self.lcp_requests_seen += 1;
        self.address = None;
        self.authenticated = false;
        self.ipcp = Side::default();
        if self.lcp.is_open() {
            // LCP begins anew for both sides (RFC 1661, 4.1: RCR in Opened).
            self.lcp = Side::default();
            self.request_lcp(out);
        }
        let options = Options::parse(packet.data).expect("the node's options are well formed");
        let method = options
            .iter()
            .find(|option| option.kind == lcp::kind::AUTHENTICATION);
        let method = method.map(|option| option.value.to_vec());
        if self.refuses_chap
            && method
                .as_deref()
                .is_some_and(|method| method.starts_with(&[0xc2, 0x23]))
        {
            return send(Protocol::LCP, Code::CONFIGURE_NAK, packet.id, out, |data| {
                emit_option(data, lcp::kind::AUTHENTICATION, &[0xc0, 0x23]);
            });
        }
        self.method = method;
        self.lcp.theirs = true;
        send(Protocol::LCP, Code::CONFIGURE_ACK, packet.id, out, |data| {
            data.extend(packet.data);
        });
        self.lcp_changed(out);
    }

    fn lcp_changed(&mut self, out: &mut Vec<Vec<u8>>) {
        if self.lcp.is_open() && !self.authenticated {
            self.log_in(out);
        }
    }

    fn log_in(&mut self, out: &mut Vec<Vec<u8>>) {
        match self.method.as_deref() {
            None => self.authenticated(true, out),
            Some([0xc0, 0x23]) => {
                let (name, password) = (self.name.clone(), self.password.clone());
                send(Protocol::PAP, Code(1), 7, out, |data| {
                    PapRequest {
                        name: name.as_bytes(),
                        password: password.expose(),
                    }
                    .emit(data);
                });
            }
            // CHAP waits for the challenge.
            Some(_) => {}
        }
    }

    fn handle_chap(&mut self, packet: &Packet<'_>, out: &mut Vec<Vec<u8>>) {
        match ChapPacket::parse(packet).expect("the node's CHAP is well formed") {
            ChapPacket::Challenge(challenge) => {
                self.challenges_seen += 1;
                if self.mute && self.authenticated {
                    return;
                }
                let response = self.response(packet.id, challenge.value);
                let name = self.name.clone();
                send(
                    Protocol::CHAP,
                    ChapCode::Response.code(),
                    packet.id,
                    out,
                    |data| {
                        emit_chap_value(data, &response, name.as_bytes());
                    },
                );
            }
            ChapPacket::Success(text) => {
                self.told = String::from_utf8_lossy(text).into_owned();
                let is_proved = self.proof.is_none_or(|proof| text.starts_with(&proof));
                assert!(is_proved, "the node does not know the password");
                self.authenticated(true, out);
            }
            ChapPacket::Failure(text) => {
                self.told = String::from_utf8_lossy(text).into_owned();
                self.authenticated(false, out);
            }
            ChapPacket::Response(_) => panic!("the node answers no challenge"),
        }
    }

    /// The value of a Response, by the algorithm that was agreed on.
    fn response(&mut self, id: u8, challenge: &[u8]) -> Vec<u8> {
        if self.method.as_deref() != Some(&[0xc2, 0x23, 0x81]) {
            return chap::response(id, &self.password, challenge).to_vec();
        }
        let exchange = mschapv2::Exchange {
            authenticator_challenge: challenge.try_into().expect("sixteen octets"),
            peer_challenge: &[3; 16],
            user_name: self.name.as_bytes(),
        };
        let nt_response = exchange.nt_response(&self.password);
        self.proof = Some(exchange.authenticator_response(&self.password, &nt_response));
        let mut value = Vec::new();
        MsChapV2Response {
            peer_challenge: [3; 16],
            nt_response,
            flags: 0,
        }
        .emit(&mut value);
        value
    }

    /// EAP with MD5-Challenge (RFC 3748, 5.4).
    fn handle_eap(&mut self, packet: &Packet<'_>, out: &mut Vec<Vec<u8>>) {
        let data = match EapPacket::parse(packet).expect("the node's EAP is well formed") {
            EapPacket::Request(request) => match (request.kind, request.data) {
                (EapType::IDENTITY, _) => [&[1], self.name.as_bytes()].concat(),
                (EapType::MD5_CHALLENGE, [16, challenge @ ..]) => {
                    self.challenges_seen += 1;
                    let digest = chap::response(packet.id, &self.password, challenge);
                    [&[4, 16], &digest[..]].concat()
                }
                // Something else, please.
                _ => vec![EapType::NAK.0, EapType::MD5_CHALLENGE.0],
            },
            EapPacket::Success => return self.authenticated(true, out),
            EapPacket::Failure => return self.authenticated(false, out),
            EapPacket::Response(_) => panic!("the node answers nothing"),
        };
        send(
            Protocol::EAP,
            EapCode::Response.code(),
            packet.id,
            out,
            |octets| octets.extend(data),
        );
    }

    fn authenticated(&mut self, good: bool, out: &mut Vec<Vec<u8>>) {
        self.failed |= !good;
        self.authenticated |= good;
        if good && self.ipcp.id == 0 {
            self.request_ipcp(out);
        }
    }

    fn handle_ipcp(&mut self, packet: &Packet<'_>, out: &mut Vec<Vec<u8>>) {
        // To be asked for IPCP is to be let in, even if the word of it was lost.
        self.authenticated = true;
        match packet.code {
            Code::CONFIGURE_REQUEST => {
                if self.ipcp.is_open() {
                    self.ipcp = Side::default();
                }
                self.ipcp.theirs = true;
                send(
                    Protocol::IPCP,
                    Code::CONFIGURE_ACK,
                    packet.id,
                    out,
                    |data| data.extend(packet.data),
                );
                if self.ipcp.id == 0 {
                    self.request_ipcp(out);
                }
            }
            Code::CONFIGURE_ACK | Code::CONFIGURE_NAK if packet.id != self.ipcp.id => {}
            Code::CONFIGURE_NAK => {
                for option in Options::parse(packet.data).expect("options").iter() {
                    let value = <[u8; 4]>::try_from(option.value).expect("an address");
                    match option.kind {
                        ipcp::kind::ADDRESS => self.asked[0] = value.into(),
                        ipcp::kind::PRIMARY_DNS => self.asked[1] = value.into(),
                        other => panic!("the node naks option {other}"),
                    }
                }
                self.request_ipcp(out);
            }
            Code::CONFIGURE_ACK => self.ipcp.ours = true,
            other => panic!("the node sent IPCP code {other:?}"),
        }
        if self.ipcp.is_open() {
            self.address = Some(self.asked[0]);
            self.dns = Some(self.asked[1]);
        }
    }

    fn request_lcp(&mut self, out: &mut Vec<Vec<u8>>) {
        let mru = self.mru;
        self.id = self.id.wrapping_add(1);
        self.lcp.id = self.id;
        send(
            Protocol::LCP,
            Code::CONFIGURE_REQUEST,
            self.id,
            out,
            |data| {
                emit_option(data, lcp::kind::MRU, &mru.to_be_bytes());
                emit_option(data, lcp::kind::MAGIC, b"mine");
            },
        );
    }

    fn request_ipcp(&mut self, out: &mut Vec<Vec<u8>>) {
        let [address, dns] = self.asked;
        self.id = self.id.wrapping_add(1);
        self.ipcp.id = self.id;
        send(
            Protocol::IPCP,
            Code::CONFIGURE_REQUEST,
            self.id,
            out,
            |data| {
                emit_option(data, ipcp::kind::ADDRESS, &address.octets());
                emit_option(data, ipcp::kind::PRIMARY_DNS, &dns.octets());
            },
        );
    }
}

fn send(
    protocol: Protocol,
    code: Code,
    id: u8,
    out: &mut Vec<Vec<u8>>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let mut frame = Vec::new();
    Framing::default().emit_header(protocol, &mut frame);
    emit_packet(&mut frame, code, id, write);
    out.push(frame);
}
