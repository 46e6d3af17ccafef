//! What servers say, for each method, and what they cannot say.

use lns_wire::radius::{AttributeList, Id};

use super::*;

fn read(
    code: Code,
    method: AuthMethod,
    write: impl FnOnce(&mut AttributeList),
) -> Result<Answer, String> {
    let mut list = AttributeList::new();
    write(&mut list);
    let mut octets = Vec::new();
    list.emit(code, Id(1), &[0; 16], &mut octets).unwrap();
    Answer::read(&Packet::parse(&octets).unwrap(), method)
}

fn microsofts(list: &mut AttributeList, number: u8, value: &[u8]) {
    list.push_vendor(vendor::MICROSOFT, number, value).unwrap();
}

const PROOF: &[u8; 42] = b"S=0123456789ABCDEF0123456789ABCDEF01234567";

#[test]
fn an_accept_of_mschapv2_must_prove_that_the_server_knows_the_password() {
    let success = |value: &[u8]| {
        read(Code::ACCESS_ACCEPT, AuthMethod::MsChapV2, |list| {
            microsofts(list, vendor::MS_CHAP2_SUCCESS, value);
        })
    };
    let Ok(Answer::Accept { acceptance, .. }) = success(&[&[9], &PROOF[..]].concat()) else {
        panic!("not accepted")
    };
    assert_eq!(acceptance.authenticator_response, Some(*PROOF));
    for wrong in [
        &PROOF[..],
        &[9],
        b"",
        &[&[9], &PROOF[..], b"x"].concat(),
        &[9; 43],
    ] {
        assert_eq!(
            success(wrong),
            Err("MS-CHAP2-Success is malformed".to_owned())
        );
    }
    let missing = read(Code::ACCESS_ACCEPT, AuthMethod::MsChapV2, |_| ());
    assert_eq!(missing, Err("MS-CHAP2-Success is missing".to_owned()));
    let chap = read(Code::ACCESS_ACCEPT, AuthMethod::Chap, |_| ());
    assert!(
        matches!(chap, Ok(Answer::Accept { .. })),
        "others prove nothing"
    );
}

#[test]
fn what_cannot_be_granted_is_told_by_the_name_of_the_attribute() {
    let accept = read(Code::ACCESS_ACCEPT, AuthMethod::Pap, |list| {
        list.push(kind::FRAMED_IP_ADDRESS, b"xyz").unwrap();
    });
    assert_eq!(accept, Err("Framed-IP-Address is malformed".to_owned()));
}

#[test]
fn a_reject_says_why_by_reply_message_or_else_by_the_text_of_an_ms_chap_error() {
    let reject = |reply: &[u8], error: &[u8]| {
        let answer = read(Code::ACCESS_REJECT, AuthMethod::MsChapV2, |list| {
            if !reply.is_empty() {
                list.push(kind::REPLY_MESSAGE, reply).unwrap();
            }
            if !error.is_empty() {
                microsofts(list, vendor::MS_CHAP_ERROR, error);
            }
        });
        let Ok(Answer::Reject {
            message,
            ms_chap_error,
        }) = answer
        else {
            panic!("not rejected")
        };
        (message.to_vec(), ms_chap_error)
    };
    let error = b"\x09E=648 R=1 C=00112233445566778899AABBCCDDEEFF V=3 M=Expired";
    assert_eq!(reject(b"", error), (b"Expired".to_vec(), Some(648)));
    assert_eq!(reject(b"Go away", error), (b"Go away".to_vec(), Some(648)));
    assert_eq!(reject(b"Go away", b""), (b"Go away".to_vec(), None));
    assert_eq!(reject(b"", b"\x09E=x"), (vec![], None));
    assert_eq!(reject(b"", b"\x09"), (vec![], None));
    let broken = read(Code::ACCESS_REJECT, AuthMethod::Pap, |list| {
        list.push(kind::VENDOR_SPECIFIC, b"\0\0\x01\x37\x02\x09x")
            .unwrap();
    });
    assert!(
        matches!(broken, Ok(Answer::Reject { .. })),
        "a broken no is no yes"
    );
}

#[test]
fn a_challenge_is_a_question_of_eap_or_a_no() {
    let challenge = |method, message: &[u8]| {
        read(Code::ACCESS_CHALLENGE, method, |list| {
            list.push_long(kind::EAP_MESSAGE, message);
            list.push(kind::STATE, b"state").unwrap();
        })
    };
    let long = [&[1, 7, 1, 0x30, 13][..], &[b'x'; 299]].concat();
    for message in [&b"\x01\x07\x00\x06\x04x"[..], &long] {
        let expected = Answer::Challenge {
            id: 7,
            data: message[4..].into(),
            state: Some(Box::from(*b"state")),
        };
        assert_eq!(challenge(AuthMethod::Eap, message), Ok(expected));
    }
    for method in [AuthMethod::Pap, AuthMethod::Chap, AuthMethod::MsChapV2] {
        let no = challenge(method, b"\x01\x07\x00\x06\x04x");
        assert!(matches!(no, Ok(Answer::Reject { .. })));
    }
    let none = "an Access-Challenge without EAP-Message";
    assert_eq!(challenge(AuthMethod::Eap, b""), Err(none.to_owned()));
    for broken in [
        &b"\x01"[..],
        b"\x01\x07\x00\x09\x04x",
        b"\x07\x07\x00\x06\x04x",
        b"\x01\x07\x00\x04",
    ] {
        let what = "EAP-Message is malformed";
        assert_eq!(challenge(AuthMethod::Eap, broken), Err(what.to_owned()));
    }
    for asks_nothing in [
        &b"\x02\x07\x00\x06\x04x"[..],
        b"\x03\x07\x00\x04",
        b"\x04\x07\x00\x04",
    ] {
        let what = "an Access-Challenge whose EAP-Message asks nothing";
        assert_eq!(
            challenge(AuthMethod::Eap, asks_nothing),
            Err(what.to_owned())
        );
    }
}

/// Fragments that are right each, and a length within them that is of more than all of them.
#[test]
fn cve_2026_25075_eap_that_is_longer_than_its_fragments_is_refused() {
    for length in (0..4).chain(8..=600).chain([0x7fff, 0xfff0, u16::MAX]) {
        let answer = read(Code::ACCESS_CHALLENGE, AuthMethod::Eap, |list| {
            let [high, low] = length.to_be_bytes();
            list.push(kind::EAP_MESSAGE, &[1, 7, high]).unwrap();
            list.push(kind::EAP_MESSAGE, &[low, 21]).unwrap();
            list.push(kind::EAP_MESSAGE, &[]).unwrap();
            list.push(kind::EAP_MESSAGE, b"xx").unwrap();
        });
        let what = "EAP-Message is malformed";
        assert_eq!(answer, Err(what.to_owned()), "{length}");
    }
}

#[test]
fn what_answers_no_login_is_none() {
    let wrong = read(Code::ACCOUNTING_RESPONSE, AuthMethod::Pap, |_| ());
    let what = "Accounting-Response is no answer to an Access-Request";
    assert_eq!(wrong, Err(what.to_owned()));
}
