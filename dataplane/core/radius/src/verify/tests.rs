//! A server that is honest, and others that are not.

use lns_crypto::Secret;
use lns_wire::radius::AttributeList;

use super::*;
use crate::request::Reply;

const ASKED: Asked = asked(Code::ACCESS_REQUEST);

const fn asked(code: Code) -> Asked {
    Asked {
        code,
        id: Id(7),
        authenticator: [0x5a; 16],
    }
}

fn secrets(current: &str, previous: Option<&str>) -> Secrets {
    let secret = |text: &str| Secret::new(text.as_bytes());
    Secrets {
        current: secret(current),
        previous: previous.map(secret),
    }
}

fn ours() -> Secrets {
    secrets("current", Some("previous"))
}

/// What a server sends.
struct Sent {
    code: Code,
    id: Id,
    /// The secret that it signs with.
    secret: &'static str,
    /// Attributes before and behind the Message-Authenticators.
    before: AttributeList,
    /// Message-Authenticators, each to be right.
    signatures: usize,
    behind: AttributeList,
    asked: Asked,
}

impl Default for Sent {
    /// An Access-Accept that nothing is wrong with.
    fn default() -> Self {
        Self {
            code: Code::ACCESS_ACCEPT,
            id: Id(7),
            secret: "current",
            before: AttributeList::new(),
            signatures: 1,
            behind: AttributeList::new(),
            asked: ASKED,
        }
    }
}

impl Sent {
    fn answer(&self) -> Vec<u8> {
        let mut packet = self.written();
        self.sign_messages(&mut packet, &self.asked.authenticator);
        let secret = Secret::new(self.secret.as_bytes());
        digest::sign_response(&mut packet, &self.asked.authenticator, &secret).unwrap();
        packet
    }

    fn request(&self) -> Vec<u8> {
        let mut packet = self.written();
        self.sign_messages(&mut packet, &NO_AUTHENTICATOR);
        digest::sign_request(&mut packet, &Secret::new(self.secret.as_bytes())).unwrap();
        packet
    }

    fn written(&self) -> Vec<u8> {
        let mut octets = self.before.octets().to_vec();
        for _ in 0..self.signatures {
            octets.extend([kind::MESSAGE_AUTHENTICATOR, 18]);
            octets.extend(NO_AUTHENTICATOR);
        }
        octets.extend(self.behind.octets());
        let mut packet = Vec::new();
        AttributeList::from(octets)
            .emit(self.code, self.id, &NO_AUTHENTICATOR, &mut packet)
            .unwrap();
        packet
    }

    fn sign_messages(&self, packet: &mut [u8], header: &Authenticator) {
        let secret = Secret::new(self.secret.as_bytes());
        let own: Vec<usize> = places(packet)
            .filter(|place| place.kind == kind::MESSAGE_AUTHENTICATOR && place.value.len() == 16)
            .map(|place| place.value.start)
            .collect();
        for at in own {
            digest::sign_message(packet, at, header, &secret).unwrap();
        }
    }
}

fn one(kind: u8, value: &[u8]) -> AttributeList {
    let mut list = AttributeList::new();
    list.push(kind, value).unwrap();
    list
}

fn judged(require: Require, sent: &Sent) -> Result<Key, Rejected> {
    Verifier::new(require)
        .answer(&sent.answer(), &sent.asked, &ours())
        .map(|packet| packet.key())
}

#[test]
fn an_answer_is_believed_with_either_secret_and_tells_which() {
    for (secret, key) in [("current", Key::Current), ("previous", Key::Previous)] {
        let sent = Sent {
            secret,
            ..Sent::default()
        };
        assert_eq!(judged(Require::Always, &sent), Ok(key));
        let octets = sent.answer();
        let packet = Verifier::new(Require::Always)
            .answer(&octets, &ASKED, &ours())
            .unwrap();
        let reply = Reply::new(&packet, ASKED.authenticator, &ours());
        assert!(reply.secret.is(secret.as_bytes()));
        assert_eq!(reply.packet(), Some(*packet));
    }
    let stranger = Sent {
        secret: "stranger",
        ..Sent::default()
    };
    let rejected = judged(Require::Always, &stranger);
    assert_eq!(rejected, Err(Rejected::BadAuthenticator));
}

#[test]
fn without_a_previous_secret_only_the_current_one_counts() {
    let octets = Sent {
        secret: "previous",
        ..Sent::default()
    }
    .answer();
    let only = secrets("current", None);
    let judged = Verifier::new(Require::Always).answer(&octets, &ASKED, &only);
    assert_eq!(judged, Err(Rejected::BadAuthenticator));
}

/// On receipt it may be anywhere; only what we send has it first.
#[test]
fn a_message_authenticator_counts_wherever_it_is() {
    for (before, behind) in [
        (AttributeList::new(), one(kind::CLASS, b"a")),
        (one(kind::CLASS, b"a"), AttributeList::new()),
        (one(kind::CLASS, b"a"), one(kind::CLASS, b"b")),
    ] {
        let sent = Sent {
            before,
            behind,
            ..Sent::default()
        };
        assert_eq!(judged(Require::Always, &sent), Ok(Key::Current));
    }
}

/// An attacker who can compute a Response Authenticator (MD5 with a chosen prefix) cannot compute an
/// HMAC: all that is left to him is to leave it out, or to invent it.
#[test]
fn cve_2024_3596_an_accept_without_or_with_wrong_message_authenticator_is_refused() {
    let bare = Sent {
        signatures: 0,
        behind: one(kind::PROXY_STATE, &[0xff; 64]),
        ..Sent::default()
    };
    let rejected = judged(Require::Always, &bare);
    assert_eq!(rejected, Err(Rejected::MissingMessageAuthenticator));

    let secret = Secret::new(*b"current");
    for flipped in 22..38 {
        let mut octets = Sent::default().answer();
        octets[flipped] ^= 1;
        digest::sign_response(&mut octets, &ASKED.authenticator, &secret).unwrap();
        for require in [Require::Always, Require::Auto, Require::Never] {
            let judged = Verifier::new(require).answer(&octets, &ASKED, &ours());
            assert_eq!(judged, Err(Rejected::BadMessageAuthenticator));
        }
    }
}

/// Late: the Message-Authenticator of another answer, to an earlier request.
#[test]
fn cve_2024_3596_a_message_authenticator_of_another_request_is_refused() {
    let earlier = Asked {
        authenticator: [0x33; 16],
        ..ASKED
    };
    let mut octets = Sent {
        asked: earlier,
        ..Sent::default()
    }
    .answer();
    let secret = Secret::new(*b"current");
    digest::sign_response(&mut octets, &ASKED.authenticator, &secret).unwrap();
    let judged = Verifier::new(Require::Always).answer(&octets, &ASKED, &ours());
    assert_eq!(judged, Err(Rejected::BadMessageAuthenticator));
}

#[test]
fn cve_2024_3596_a_coa_without_or_with_wrong_message_authenticator_is_refused() {
    for code in [Code::COA_REQUEST, Code::DISCONNECT_REQUEST] {
        let mut sent = Sent {
            code,
            ..Sent::default()
        };
        let octets = sent.request();
        let believed = request(&octets, &ours(), true).unwrap();
        assert_eq!((believed.code, believed.key()), (code, Key::Current));

        let mut wrong = octets.clone();
        wrong[30] ^= 1;
        let secret = Secret::new(*b"current");
        digest::sign_request(&mut wrong, &secret).unwrap();
        let rejected = request(&wrong, &ours(), false);
        assert_eq!(rejected, Err(Rejected::BadMessageAuthenticator));

        sent.signatures = 0;
        let bare = sent.request();
        let rejected = request(&bare, &ours(), true);
        assert_eq!(rejected, Err(Rejected::MissingMessageAuthenticator));
        assert!(request(&bare, &ours(), false).is_ok());
    }
}

#[test]
fn a_request_of_dynamic_authorization_must_be_one_and_be_signed() {
    let login = Sent {
        code: Code::ACCESS_REQUEST,
        ..Sent::default()
    };
    assert_eq!(
        request(&login.request(), &ours(), true),
        Err(Rejected::Code)
    );
    let stranger = Sent {
        code: Code::COA_REQUEST,
        secret: "stranger",
        ..Sent::default()
    };
    let rejected = request(&stranger.request(), &ours(), true).map(|packet| packet.key());
    assert_eq!(rejected, Err(Rejected::BadAuthenticator));
    let rotated = Sent {
        secret: "previous",
        ..stranger
    };
    let octets = rotated.request();
    let believed = request(&octets, &ours(), true).unwrap();
    assert_eq!(believed.key(), Key::Previous);
}

#[test]
fn two_message_authenticators_are_refused_even_if_both_are_right() {
    let sent = Sent {
        signatures: 2,
        ..Sent::default()
    };
    for require in [Require::Always, Require::Never] {
        let rejected = judged(require, &sent);
        assert_eq!(rejected, Err(Rejected::DuplicateMessageAuthenticator));
    }
}

#[test]
fn a_message_authenticator_of_any_other_length_is_refused() {
    for len in (0..=253).filter(|len| *len != 16) {
        let sent = Sent {
            signatures: 0,
            before: one(kind::MESSAGE_AUTHENTICATOR, &[0; 253][..len]),
            ..Sent::default()
        };
        let rejected = judged(Require::Never, &sent);
        assert_eq!(rejected, Err(Rejected::MessageAuthenticatorLength), "{len}");
    }
}

#[test]
fn eap_without_message_authenticator_is_refused_whatever_is_configured() {
    for require in [Require::Always, Require::Auto, Require::Never] {
        let sent = Sent {
            code: Code::ACCESS_CHALLENGE,
            signatures: 0,
            before: one(kind::EAP_MESSAGE, &[1, 1, 0, 4]),
            ..Sent::default()
        };
        let rejected = judged(require, &sent);
        assert_eq!(rejected, Err(Rejected::EapWithoutMessageAuthenticator));
    }
}

#[test]
fn by_auto_a_server_that_has_shown_one_must_go_on() {
    let bare = Sent {
        signatures: 0,
        ..Sent::default()
    }
    .answer();
    let signed = Sent::default().answer();
    let mut wrong = signed.clone();
    wrong[25] ^= 1;
    digest::sign_response(&mut wrong, &ASKED.authenticator, &Secret::new(*b"current")).unwrap();

    let mut auto = Verifier::new(Require::Auto);
    assert!(auto.answer(&bare, &ASKED, &ours()).is_ok());
    assert!(auto.answer(&wrong, &ASKED, &ours()).is_err());
    assert!(!auto.requires());
    assert!(auto.answer(&signed, &ASKED, &ours()).is_ok());
    assert!(auto.requires());
    let rejected = auto.answer(&bare, &ASKED, &ours());
    assert_eq!(rejected, Err(Rejected::MissingMessageAuthenticator));

    auto.set_require(Require::Never);
    assert!(auto.answer(&bare, &ASKED, &ours()).is_ok());
    auto.set_require(Require::Auto);
    assert!(auto.requires());
}

/// With EAP every server must sign, and with a status check every server may.
#[test]
fn by_auto_neither_eap_nor_a_status_check_shows_anything() {
    let eap = Sent {
        code: Code::ACCESS_CHALLENGE,
        before: one(kind::EAP_MESSAGE, &[1, 1, 0, 4]),
        ..Sent::default()
    };
    let check = Sent {
        asked: asked(Code::STATUS_SERVER),
        ..Sent::default()
    };
    let mut auto = Verifier::new(Require::Auto);
    for sent in [eap, check] {
        assert!(auto.answer(&sent.answer(), &sent.asked, &ours()).is_ok());
        assert!(!auto.requires());
    }
}

/// RFC 2866 knows no Message-Authenticator, and RFC 5997 prints answers to Status-Server without one.
#[test]
fn answers_to_accounting_and_status_checks_need_no_message_authenticator() {
    for (asked_for, code) in [
        (Code::ACCOUNTING_REQUEST, Code::ACCOUNTING_RESPONSE),
        (Code::STATUS_SERVER, Code::ACCOUNTING_RESPONSE),
        (Code::STATUS_SERVER, Code::ACCESS_ACCEPT),
        (Code::STATUS_SERVER, Code::ACCESS_REJECT),
    ] {
        let sent = Sent {
            code,
            asked: asked(asked_for),
            signatures: 0,
            ..Sent::default()
        };
        assert_eq!(judged(Require::Always, &sent), Ok(Key::Current));
    }
}

#[test]
fn only_the_codes_that_answer_a_request_are_believed() {
    let fits = |asked: Code, code: Code| {
        let login = [
            Code::ACCESS_ACCEPT,
            Code::ACCESS_REJECT,
            Code::ACCESS_CHALLENGE,
        ];
        match asked {
            Code::ACCESS_REQUEST => login.contains(&code),
            Code::ACCOUNTING_REQUEST => code == Code::ACCOUNTING_RESPONSE,
            Code::STATUS_SERVER => login.contains(&code) || code == Code::ACCOUNTING_RESPONSE,
            _ => false,
        }
    };
    for asked_for in [1, 4, 12, 40, 43].map(Code) {
        for code in (0..=255)
            .map(Code)
            .filter(|code| *code != Code::PROTOCOL_ERROR)
        {
            let sent = Sent {
                code,
                asked: asked(asked_for),
                ..Sent::default()
            };
            let expected = fits(asked_for, code);
            let expected = expected.then_some(Key::Current).ok_or(Rejected::Code);
            assert_eq!(
                judged(Require::Always, &sent),
                expected,
                "{asked_for} {code}"
            );
        }
    }
}

#[test]
fn a_protocol_error_is_believed_if_it_names_the_code_of_the_request() {
    for (named, expected) in [
        (vec![4, 0, 0, 0, 4], Ok(Key::Current)),
        (vec![4, 0, 0, 0, 1], Err(Rejected::OriginalPacketCode)),
        (vec![5, 0, 0, 0, 4], Err(Rejected::OriginalPacketCode)),
        (vec![4, 0, 0, 4], Err(Rejected::OriginalPacketCode)),
        (vec![], Err(Rejected::OriginalPacketCode)),
    ] {
        let sent = Sent {
            code: Code::PROTOCOL_ERROR,
            asked: asked(Code::ACCOUNTING_REQUEST),
            behind: one(kind::EXTENDED_1, &named),
            ..Sent::default()
        };
        assert_eq!(judged(Require::Always, &sent), expected, "{named:?}");
    }
}

#[test]
fn another_identifier_is_refused_though_it_is_signed() {
    let sent = Sent {
        id: Id(8),
        ..Sent::default()
    };
    assert_eq!(judged(Require::Always, &sent), Err(Rejected::Identifier));
}

#[test]
fn malformed_answers_are_refused_by_their_reason() {
    let whole = Sent::default().answer();
    let mut cases: Vec<(Vec<u8>, Rejected)> = Vec::new();
    for len in 0..whole.len() {
        cases.push((whole[..len].to_vec(), Rejected::Truncated));
    }
    let with = |at: usize, octet: u8| {
        let mut octets = whole.clone();
        octets[at] = octet;
        octets
    };
    cases.push((with(3, 19), Rejected::Length));
    cases.push((with(2, 0x11), Rejected::Length));
    cases.push((with(21, 0), Rejected::AttributeLength));
    cases.push((with(21, 1), Rejected::AttributeLength));
    cases.push((with(21, 19), Rejected::Truncated));
    let mut many = whole[..20].to_vec();
    many.extend([kind::CLASS, 2].repeat(256));
    many[2..4].copy_from_slice(&532_u16.to_be_bytes());
    cases.push((many, Rejected::TooManyAttributes));
    for (octets, expected) in cases {
        let judged = Verifier::new(Require::Always).answer(&octets, &ASKED, &ours());
        assert_eq!(judged, Err(expected), "{octets:02x?}");
    }
}

#[test]
fn padding_behind_an_answer_is_no_part_of_it() {
    let mut octets = Sent::default().answer();
    octets.extend([0xff; 7]);
    let mut verifier = Verifier::new(Require::Always);
    assert!(verifier.answer(&octets, &ASKED, &ours()).is_ok());
}

#[test]
fn no_two_reasons_share_a_label() {
    let labels: std::collections::BTreeSet<_> = Rejected::ALL.iter().map(|it| it.label()).collect();
    assert_eq!(labels.len(), Rejected::ALL.len());
}
