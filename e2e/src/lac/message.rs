//! The control messages that a LAC sends and understands (RFC 2661, 6), AVP by AVP.

use lns_crypto::{Rng, Secret, l2tp};
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{
    Attribute, Avp, Avps, MessageType, ProtocolVersion, ResultCode, Unhide, UnhideError, kind,
    reveal,
};

/// What a LAC acts on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Incoming {
    /// The LNS takes the tunnel.
    Sccrp {
        tunnel: PeerTunnelId,
        window: Option<u16>,
        challenge: Option<Vec<u8>>,
        response: Option<[u8; 16]>,
    },
    /// The tunnel ends, and why.
    StopCcn(String),
    /// The LNS takes the call.
    Icrp(PeerSessionId),
    /// The session ends, and why.
    Cdn(String),
    /// Anything that needs no more than its acknowledgement.
    Other(u16),
}

/// Writes message bodies, with or without hidden AVPs.
#[derive(Debug)]
pub(crate) struct Writer {
    secret: Option<Secret>,
    hide: bool,
}

impl Writer {
    /// A writer; `hide` needs a secret.
    pub(crate) fn new(secret: Option<&str>, hide: bool) -> Self {
        let secret = secret.map(|secret| Secret::new(secret.as_bytes()));
        Self {
            hide: hide && secret.is_some(),
            secret,
        }
    }

    /// The answer to `challenge` in a message of type `message` (RFC 2661, 5.1.1).
    pub(crate) fn response(&self, message: MessageType, challenge: &[u8]) -> Option<[u8; 16]> {
        let secret = self.secret.as_ref()?;
        let number = u8::try_from(message.number()).ok()?;
        Some(l2tp::challenge_response(number, secret, challenge))
    }

    /// A body of message type `message` with `attributes`.
    pub(crate) fn body(
        &self,
        message: MessageType,
        attributes: &[Attribute<'_>],
        rng: &mut Rng,
    ) -> Vec<u8> {
        let mut body = Vec::with_capacity(96);
        append(&mut body, &Attribute::MessageType(message.number()));
        let vector: [u8; 16] = rng.array();
        if self.hide {
            append(&mut body, &Attribute::RandomVector(&vector));
        }
        for attribute in attributes {
            match &self.secret {
                Some(secret) if self.hide && kind::may_be_hidden(attribute.kind()) => {
                    append_hidden(&mut body, attribute, secret, &vector);
                }
                _ => append(&mut body, attribute),
            }
        }
        body
    }

    /// A StopCCN or CDN with `result`.
    pub(crate) fn goodbye(
        &self,
        message: MessageType,
        assigned: Attribute<'_>,
        result: u16,
        rng: &mut Rng,
    ) -> Vec<u8> {
        let code = ResultCode {
            result,
            ..ResultCode::default()
        };
        self.body(message, &[Attribute::ResultCode(code), assigned], rng)
    }

    /// Gives a received body its meaning; `None` when it has none.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "a LAC acts on six of forty attributes and on four of fourteen messages"
    )]
    pub(crate) fn read(&self, body: &[u8]) -> Option<Incoming> {
        let clear = reveal(body, &mut Revealer(self.secret.as_ref())).ok()?;
        let mut attributes = Avps::new(&clear)
            .map_while(Result::ok)
            .filter(|avp| avp.vendor == 0)
            .filter_map(|avp| Attribute::parse(avp.kind, avp.value).ok().flatten());
        let Some(Attribute::MessageType(number)) = attributes.next() else {
            return None;
        };
        let mut tunnel = PeerTunnelId::NONE;
        let mut session = PeerSessionId::NONE;
        let (mut window, mut challenge, mut response) = (None, None, None);
        let mut reason = String::new();
        for attribute in attributes {
            match attribute {
                Attribute::AssignedTunnelId(id) => tunnel = id,
                Attribute::AssignedSessionId(id) => session = id,
                Attribute::ReceiveWindowSize(size) => window = Some(size),
                Attribute::Challenge(octets) => challenge = Some(octets.to_vec()),
                Attribute::ChallengeResponse(octets) => response = Some(octets),
                Attribute::ResultCode(code) => reason = describe(&code),
                _ => {}
            }
        }
        Some(match MessageType::from_number(number) {
            Some(MessageType::Sccrp) => Incoming::Sccrp {
                tunnel,
                window,
                challenge,
                response,
            },
            Some(MessageType::StopCcn) => Incoming::StopCcn(format!("StopCCN {reason}")),
            Some(MessageType::Icrp) => Incoming::Icrp(session),
            Some(MessageType::Cdn) => Incoming::Cdn(format!("CDN {reason}")),
            _ => Incoming::Other(number),
        })
    }
}

/// The AVPs that say which L2TP we speak; both are required in an SCCRQ (RFC 2661, 6.1).
pub(crate) const CAPABILITIES: [Attribute<'static>; 2] = [
    Attribute::ProtocolVersion(ProtocolVersion::ONE),
    Attribute::FramingCapabilities(3),
];

struct Revealer<'a>(Option<&'a Secret>);

impl Unhide for Revealer<'_> {
    fn unhide(
        &mut self,
        kind: u16,
        vector: &[u8],
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UnhideError> {
        let secret = self.0.ok_or(UnhideError::NoSecret)?;
        l2tp::unhide(secret, kind, vector, octets, out).map_err(|_| UnhideError::Length)
    }
}

fn append(body: &mut Vec<u8>, attribute: &Attribute<'_>) {
    let mut value = Vec::new();
    attribute.emit(&mut value);
    append_avp(body, attribute.kind(), false, &value);
}

fn append_hidden(body: &mut Vec<u8>, attribute: &Attribute<'_>, secret: &Secret, vector: &[u8]) {
    let mut value = Vec::new();
    attribute.emit(&mut value);
    let mut hidden = Vec::new();
    l2tp::hide(secret, attribute.kind(), vector, &value, &[], &mut hidden);
    append_avp(body, attribute.kind(), true, &hidden);
}

fn append_avp(body: &mut Vec<u8>, kind: u16, hidden: bool, value: &[u8]) {
    let avp = Avp {
        mandatory: kind::is_mandatory(kind),
        hidden,
        reserved: false,
        vendor: 0,
        kind,
        value,
    };
    if let Err(error) = avp.emit(body) {
        // A value of ours that does not fit is a mistake in the command line.
        eprintln!("AVP {}: {error}", kind::name(kind));
    }
}

fn describe(code: &ResultCode<'_>) -> String {
    let mut text = format!("result {}", code.result);
    if let Some(error) = code.error {
        text.push_str(&format!(" error {}", error.0));
    }
    if !code.advisory.is_empty() {
        text.push_str(&format!(" ({})", String::from_utf8_lossy(code.advisory)));
    }
    text
}
