//! The subscriber of a script: agrees to what is usual, by itself, so that a script tells only what is
//! not.

use lns_wire::ppp::lcp::{AuthenticationProtocol, LcpOption, kind};
use lns_wire::ppp::{self, ChapCode, ChapPacket, Code, Options, Packet, PapCode, Protocol};

use super::answer;
use super::line::Heard;
use super::script::Frame;

/// The state of one subscriber.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    id: u8,
    /// The identifier of the LNS's last Configure-Request.
    pub(super) asked: u8,
    /// It insists on this.
    pub(super) wanted: Option<AuthenticationProtocol>,
    /// It answers no request.
    pub(super) mute: bool,
    /// What the LNS demanded and we acknowledged.
    pub(super) demanded: Option<AuthenticationProtocol>,
    /// The last challenge, with its identifier.
    pub(super) challenge: Option<(u8, Vec<u8>)>,
    /// We acknowledged the LNS's request: of LCP, of IPCP.
    pub(super) acknowledging: (bool, bool),
    /// The address that the LNS gave in a Nak.
    pub(super) address: [u8; 4],
}

impl Subscriber {
    /// An identifier for a packet of ours.
    pub(super) fn next_id(&mut self) -> u8 {
        self.id = self.id.wrapping_add(1);
        self.id
    }

    /// Takes a frame in: what it is, and what is answered at once.
    pub(super) fn handle(&mut self, frame: &[u8], replies: &mut Vec<Frame>) -> Heard {
        let Ok(frame) = ppp::Frame::parse(frame) else {
            return answered("a frame that is none".into());
        };
        let Ok(packet) = Packet::parse(frame.information) else {
            return answered(format!("{:04x} data", frame.protocol.0));
        };
        let label = answer::packet(frame.protocol, &packet);
        let unasked = self.respond(frame.protocol, &packet, replies);
        Heard { label, unasked }
    }

    /// Answers what the LNS asks by itself, and says whether it was that.
    fn respond(
        &mut self,
        protocol: Protocol,
        packet: &Packet<'_>,
        replies: &mut Vec<Frame>,
    ) -> bool {
        let mut reply = |protocol: Protocol, code: Code, data: Vec<u8>| {
            replies.push(Frame {
                protocol: protocol.0,
                code: Some(code.0),
                id: Some(packet.id),
                data,
                ..Frame::default()
            });
        };
        if packet.code == Code::CONFIGURE_REQUEST {
            self.asked = packet.id;
        }
        match (protocol, packet.code) {
            (Protocol::CHAP, code) if code == ChapCode::Challenge.code() => {
                if let Ok(ChapPacket::Challenge(challenge)) = ChapPacket::parse(packet) {
                    self.challenge = Some((packet.id, challenge.value.to_vec()));
                }
                true
            }
            (Protocol::CHAP | Protocol::PAP, _) => false,
            (Protocol::LCP | Protocol::IPCP, Code::CONFIGURE_REQUEST) => {
                if !self.mute {
                    let (code, data) = self.judge(protocol, packet.data);
                    reply(protocol, code, data);
                }
                true
            }
            (other, Code::CONFIGURE_REQUEST) => {
                if !self.mute {
                    let rejected = [&other.0.to_be_bytes(), packet.octets].concat();
                    reply(Protocol::LCP, Code::PROTOCOL_REJECT, rejected);
                }
                true
            }
            (Protocol::LCP, Code::ECHO_REQUEST) => {
                if !self.mute {
                    reply(Protocol::LCP, Code::ECHO_REPLY, vec![0; 4]);
                }
                true
            }
            (_, Code::TERMINATE_REQUEST) => {
                if !self.mute {
                    reply(protocol, Code::TERMINATE_ACK, Vec::new());
                }
                false
            }
            (Protocol::IPCP, Code::CONFIGURE_NAK) => {
                if let Ok(options) = Options::parse(packet.data) {
                    let address = options.iter().find(|option| option.kind == 3);
                    let octets = address.and_then(|option| option.value.try_into().ok());
                    self.address = octets.unwrap_or(self.address);
                }
                false
            }
            _ => false,
        }
    }

    /// The answer to a Configure-Request: a usual subscriber knows no multilink.
    fn judge(&mut self, protocol: Protocol, data: &[u8]) -> (Code, Vec<u8>) {
        if protocol == Protocol::IPCP {
            self.acknowledging.1 = true;
            return (Code::CONFIGURE_ACK, data.to_vec());
        }
        let (mut nak, mut reject) = (Vec::new(), Vec::new());
        self.demanded = None;
        for option in Options::parse(data).into_iter().flat_map(Options::iter) {
            match (LcpOption::parse(option), self.wanted) {
                (LcpOption::Authentication(asked), Some(wanted)) if asked != wanted => {
                    LcpOption::Authentication(wanted).emit(&mut nak);
                }
                (LcpOption::Authentication(asked), _) => self.demanded = Some(asked),
                _ if matches!(
                    option.kind,
                    kind::MRRU | kind::SHORT_SEQUENCE | kind::ENDPOINT
                ) =>
                {
                    reject.extend_from_slice(option.octets);
                }
                _ => {}
            }
        }
        if !reject.is_empty() {
            (Code::CONFIGURE_REJECT, reject)
        } else if !nak.is_empty() {
            (Code::CONFIGURE_NAK, nak)
        } else {
            self.acknowledging.0 = true;
            (Code::CONFIGURE_ACK, data.to_vec())
        }
    }
}

/// The frame that logs in, by what was agreed; `None` while the challenge has not come.
pub(super) fn login(subscriber: &mut Subscriber, name: &str, password: &str) -> Option<Frame> {
    let mut data = Vec::new();
    if subscriber.demanded == Some(AuthenticationProtocol::Pap) {
        let request = ppp::PapRequest {
            name: name.as_bytes(),
            password: password.as_bytes(),
        };
        request.emit(&mut data);
        return Some(Frame {
            protocol: Protocol::PAP.0,
            code: Some(PapCode::Request.code().0),
            data,
            ..Frame::default()
        });
    }
    let (id, challenge) = subscriber.challenge.take()?;
    let secret = lns_crypto::Secret::new(password.as_bytes());
    let response = lns_crypto::chap::response(id, &secret, &challenge);
    ppp::emit_chap_value(&mut data, &response, name.as_bytes());
    Some(Frame {
        protocol: Protocol::CHAP.0,
        code: Some(ChapCode::Response.code().0),
        id: Some(id),
        data,
        ..Frame::default()
    })
}

fn answered(label: String) -> Heard {
    Heard {
        label,
        unasked: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(subscriber: &mut Subscriber, options: &[u8]) -> (Code, Vec<u8>) {
        subscriber.judge(Protocol::LCP, options)
    }

    #[test]
    fn what_is_usual_is_acknowledged_and_multilink_rejected() {
        let mut subscriber = Subscriber::default();
        let usual = b"\x01\x04\x05\xdc\x03\x05\xc2\x23\x05";
        assert_eq!(
            asked(&mut subscriber, usual),
            (Code::CONFIGURE_ACK, usual.to_vec())
        );
        assert_eq!(subscriber.demanded, Some(AuthenticationProtocol::Chap(5)));
        assert!(subscriber.acknowledging.0);
        let multilink = b"\x11\x04\x06\x4e\x01\x04\x05\xdc";
        assert_eq!(
            asked(&mut subscriber, multilink),
            (Code::CONFIGURE_REJECT, multilink[..4].to_vec())
        );
    }

    #[test]
    fn who_wants_pap_says_so() {
        let mut subscriber = Subscriber {
            wanted: Some(AuthenticationProtocol::Pap),
            ..Subscriber::default()
        };
        assert_eq!(
            asked(&mut subscriber, b"\x03\x05\xc2\x23\x05"),
            (Code::CONFIGURE_NAK, b"\x03\x04\xc0\x23".to_vec())
        );
    }
}
