//! RADIUS as octets: packets, and what is believed and granted of those that somebody has signed (RFC
//! 2865; RFC 2868, 3.5; RFC 3579; RFC 5176; RFC 7930).

use lns_crypto::Secret;
use lns_crypto::radius::{
    Authenticator, NO_AUTHENTICATOR, reveal_password, reveal_salted, sign_message, sign_request,
    sign_response,
};
use lns_node::radius::grant::{Grant, GrantError};
use lns_radius::config::{Key, Require, Secrets};
use lns_radius::request::Reply;
use lns_radius::verify::{Asked, Authenticated, Rejected, Verifier, request};
use lns_wire::radius::{
    Attribute, AttributeList, Code, HEADER, Id, Packet, ParseError, kind, places,
};

use crate::Outcome;

/// A datagram.
pub(crate) fn packet(octets: &[u8]) -> Outcome {
    let parsed = Packet::parse(octets);
    if let Ok(packet) = &parsed {
        read(packet);
        assert!(octets.starts_with(packet.octets()));
    }
    parsed.map(drop).map_err(ParseError::label).into()
}

/// Walks all of a packet, and writes it again.
fn read(packet: &Packet<'_>) {
    let octets = packet.octets();
    let mut list = AttributeList::new();
    for (attribute, place) in packet.attributes().zip(places(octets)) {
        assert_eq!(attribute.kind, place.kind);
        assert_eq!(attribute.value, &octets[place.value]);
        list.push(attribute.kind, attribute.value)
            .expect("it fitted");
        walk(&attribute);
    }
    assert_eq!(list.octets(), &octets[HEADER..]);
    assert!(packet.attributes().count() <= 255);
    let mut again = Vec::new();
    list.emit(packet.code, packet.id, &packet.authenticator, &mut again)
        .expect("it was one");
    assert_eq!(again, octets);
    assert_eq!(Packet::parse(&again).as_ref(), Ok(packet));
}

fn walk(attribute: &Attribute<'_>) {
    let len = attribute.value.len();
    assert_eq!(attribute.u32().is_ok(), len == 4);
    assert_eq!(attribute.ipv4().is_ok(), len == 4);
    assert_eq!(attribute.ipv6().is_ok(), len == 16);
    let Some(vendor) = attribute.vendor() else {
        return;
    };
    assert_eq!(vendor.is_ok(), len >= 4);
    let inside = vendor.map_or(0, |(_, attributes)| {
        attributes.map(|it| it.value.len() + 2).sum()
    });
    assert!(inside <= len);
}

/// What is signed before it is judged, and how it is judged: the first octet of an input.
#[derive(Clone, Copy)]
struct Plan(u8);

impl Plan {
    /// 0 an Access-Request, 1 an Accounting-Request, 2 a Status-Server; 3: it is a request itself.
    const fn asked(self) -> u8 {
        self.0 & 3
    }

    /// The first Message-Authenticator is made right.
    const fn has_message_authenticator(self) -> bool {
        self.0 & 4 != 0
    }

    /// The authenticator is made right.
    const fn is_signed(self) -> bool {
        self.0 & 8 != 0
    }

    const fn key(self) -> Key {
        if self.0 & 16 == 0 {
            Key::Current
        } else {
            Key::Previous
        }
    }

    const fn require(self) -> Require {
        match (self.0 >> 5) & 3 {
            0 => Require::Always,
            1 => Require::Auto,
            _ => Require::Never,
        }
    }
}

/// A datagram behind a [`Plan`]: whether it is believed, and what it grants.
pub(crate) fn reply(octets: &[u8]) -> Outcome {
    let (plan, datagram) = octets
        .split_first()
        .map_or((Plan(0), octets), |(plan, rest)| (Plan(*plan), rest));
    let secrets = Secrets {
        current: Secret::new(*b"current"),
        previous: Some(Secret::new(*b"previous")),
    };
    let asked = Asked {
        code: [
            Code::ACCESS_REQUEST,
            Code::ACCOUNTING_REQUEST,
            Code::STATUS_SERVER,
        ]
        .get(usize::from(plan.asked()))
        .copied()
        .unwrap_or(Code::COA_REQUEST),
        id: Id(7),
        authenticator: [0x5a; 16],
    };
    let header = if plan.asked() == 3 {
        NO_AUTHENTICATOR
    } else {
        asked.authenticator
    };
    let mut datagram = datagram.to_vec();
    sign(plan, &mut datagram, &header, &secrets);
    let judged = if plan.asked() == 3 {
        request(&datagram, &secrets, plan.require() == Require::Always)
    } else {
        Verifier::new(plan.require()).answer(&datagram, &asked, &secrets)
    };
    if let Ok(packet) = &judged {
        believed(plan, packet, &header, &secrets);
    }
    granted(&judged).into()
}

/// Makes right what the plan says, where there is a packet to sign.
fn sign(plan: Plan, datagram: &mut [u8], header: &Authenticator, secrets: &Secrets) {
    let Ok(packet) = Packet::parse(datagram) else {
        return;
    };
    let secret = secrets.of(plan.key());
    let len = packet.octets().len();
    let at = places(packet.octets())
        .find(|place| place.kind == kind::MESSAGE_AUTHENTICATOR && place.value.len() == 16)
        .map(|place| place.value.start);
    let packet = &mut datagram[..len];
    if let Some(at) = at.filter(|_| plan.has_message_authenticator()) {
        sign_message(packet, at, header, secret).expect("it is in the packet");
    }
    if plan.is_signed() && plan.asked() == 3 {
        sign_request(packet, secret).expect("it has a header");
    } else if plan.is_signed() {
        sign_response(packet, header, secret).expect("it has a header");
    }
}

/// What must hold of all that is believed.
fn believed(
    plan: Plan,
    packet: &Authenticated<Packet<'_>>,
    header: &Authenticator,
    secrets: &Secrets,
) {
    assert!(plan.is_signed(), "nobody else has the secret");
    assert_eq!(packet.key(), plan.key());
    read(packet);
    let count = |wanted| packet.attributes().filter(|it| it.kind == wanted).count();
    let signatures = count(kind::MESSAGE_AUTHENTICATOR);
    assert!(signatures <= 1);
    assert!(signatures == 0 || plan.has_message_authenticator());
    let needs_one = count(kind::EAP_MESSAGE) > 0
        || plan.require() == Require::Always && matches!(plan.asked(), 0 | 3);
    assert!(signatures == 1 || !needs_one);
    let reply = Reply::new(packet, *header, secrets);
    assert_eq!(reply.packet(), Some(**packet));
    for attribute in packet.attributes() {
        // Tunnel-Password, behind its tag, and what it would be as a User-Password.
        let salted = attribute.value.get(1..).unwrap_or_default();
        if let Ok(password) = reveal_salted(salted, header, &reply.secret) {
            assert!(password.expose().len() < salted.len());
        }
        if let Some(password) = reveal_password(attribute.value, header, &reply.secret) {
            assert!(password.expose().len() <= attribute.value.len());
        }
    }
}

/// The label of what is wrong, with the packet or with what it grants.
fn granted(judged: &Result<Authenticated<Packet<'_>>, Rejected>) -> Result<(), &'static str> {
    let packet = judged.as_ref().map_err(|rejected| rejected.label())?;
    if packet.code == Code::ACCESS_ACCEPT || packet.code == Code::COA_REQUEST {
        Grant::parse(packet).map_err(GrantError::attribute)?;
    }
    Ok(())
}
