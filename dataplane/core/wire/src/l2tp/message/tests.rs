//! Messages written octet by octet from RFC 2661, 4.4 and 6, read, and written back.

use alloc::vec::Vec;

use super::*;
use crate::l2tp::attribute::kind;
use crate::l2tp::code::{CdnResult, GeneralError, StopCcnResult};
use crate::l2tp::error::{EmitError, ParseError};

/// An SCCRQ with every AVP that it may have.
const SCCRQ: &[u8] = &[
    0x80, 8, 0, 0, 0, 0, 0, 1, // Message Type: SCCRQ
    0x80, 8, 0, 0, 0, 2, 1, 0, // Protocol Version 1.0
    0x80, 9, 0, 0, 0, 7, b'l', b'a', b'c', // Host Name
    0x80, 10, 0, 0, 0, 3, 0, 0, 0, 3, // Framing Capabilities
    0x80, 8, 0, 0, 0, 9, 0x12, 0x34, // Assigned Tunnel ID
    0x80, 10, 0, 0, 0, 4, 0, 0, 0, 2, // Bearer Capabilities
    0x80, 8, 0, 0, 0, 10, 0, 16, // Receive Window Size
    0x80, 10, 0, 0, 0, 11, 9, 8, 7, 6, // Challenge
    0x00, 14, 0, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, // Tie Breaker
    0x00, 8, 0, 0, 0, 6, 6, 0x90, // Firmware Revision
    0x00, 9, 0, 0, 0, 8, b'a', b'c', b'm', // Vendor Name
];

/// The AVPs that the RFC wants in an SCCRQ, without its Message Type.
const SCCRQ_REQUIRED: [&[u8]; 4] = [
    &[0x80, 8, 0, 0, 0, 2, 1, 0],
    &[0x80, 9, 0, 0, 0, 7, b'l', b'a', b'c'],
    &[0x80, 10, 0, 0, 0, 3, 0, 0, 0, 3],
    &[0x80, 8, 0, 0, 0, 9, 0x12, 0x34],
];

const ICCN: &[u8] = &[
    0x80, 8, 0, 0, 0, 0, 0, 12, // Message Type: ICCN
    0x80, 10, 0, 0, 0, 24, 0x05, 0xf5, 0xe1, 0x00, // (Tx) Connect Speed: 100 Mbit/s
    0x80, 10, 0, 0, 0, 19, 0, 0, 0, 1, // Framing Type: synchronous
    0x00, 10, 0, 0, 0, 26, 1, 4, 5, 0xd4, // Initial Received LCP CONFREQ
    0x00, 11, 0, 0, 0, 27, 3, 5, 0xc2, 0x23, 5, // Last Sent LCP CONFREQ
    0x00, 12, 0, 0, 0, 28, 5, 6, 1, 2, 3, 4, // Last Received LCP CONFREQ
    0x00, 8, 0, 0, 0, 29, 0, 2, // Proxy Authen Type: CHAP
    0x00, 11, 0, 0, 0, 30, b'u', b'@', b'i', b's', b'p', // Proxy Authen Name
    0x00, 9, 0, 0, 0, 31, 0xaa, 0xbb, 0xcc, // Proxy Authen Challenge
    0x00, 8, 0, 0, 0, 32, 0, 0x7f, // Proxy Authen ID
    0x00, 8, 0, 0, 0, 33, 0x11, 0x22, // Proxy Authen Response
    0x00, 8, 0, 0, 0, 37, b'v', b'1', // Private Group ID
    0x00, 10, 0, 0, 0, 38, 0x00, 0x98, 0x96, 0x80, // Rx Connect Speed: 10 Mbit/s
    0x80, 6, 0, 0, 0, 39, // Sequencing Required
];

fn avps(kind: u8, avps: &[&[u8]]) -> Vec<u8> {
    let mut body = alloc::vec![0x80, 8, 0, 0, 0, 0, 0, kind];
    for avp in avps {
        body.extend_from_slice(avp);
    }
    body
}

fn emitted(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.emit(&mut out).unwrap();
    out
}

#[test]
fn an_sccrq_with_everything_is_read_and_written_back() {
    let message = Message::Sccrq(Sccrq {
        version: ProtocolVersion::ONE,
        host_name: b"lac",
        framing: 3,
        assigned_tunnel: PeerTunnelId(0x1234),
        bearer: Some(2),
        receive_window: Some(16),
        challenge: Some(&[9, 8, 7, 6]),
        tie_breaker: Some(0x0102_0304_0506_0708),
        firmware: Some(0x0690),
        vendor_name: Some(b"acm"),
    });
    assert_eq!(Message::parse(SCCRQ), Ok(message));
    assert_eq!(emitted(&message), SCCRQ);
}

#[test]
fn an_sccrq_without_a_required_avp_is_refused_by_the_avp() {
    assert!(Message::parse(&avps(1, &SCCRQ_REQUIRED)).is_ok());
    for (missing, kind) in [2, 7, 3, 9].into_iter().enumerate() {
        let rest: Vec<&[u8]> = SCCRQ_REQUIRED
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != missing)
            .map(|(_, avp)| *avp)
            .collect();
        assert_eq!(
            Message::parse(&avps(1, &rest)),
            Err(ParseError::Missing { kind })
        );
        assert_eq!(
            Message::parse(&avps(2, &rest)),
            Err(ParseError::Missing { kind })
        );
    }
}

#[test]
fn each_message_without_a_required_avp_is_refused_by_the_avp() {
    let assigned = [0x80, 8, 0, 0, 0, 14, 0, 7];
    let speed = [0x80, 10, 0, 0, 0, 24, 0, 0, 0, 1];
    let tunnel = [0x80, 8, 0, 0, 0, 9, 0, 7];
    let cases: [(u8, &[&[u8]], u16); 11] = [
        (4, &[], kind::ASSIGNED_TUNNEL_ID),
        (4, &[&tunnel], kind::RESULT_CODE),
        (7, &[&assigned], kind::CALL_SERIAL_NUMBER),
        (8, &[], kind::ASSIGNED_SESSION_ID),
        (9, &[&speed], kind::FRAMING_TYPE),
        (10, &[&assigned], kind::CALL_SERIAL_NUMBER),
        (11, &[], kind::ASSIGNED_SESSION_ID),
        (12, &[], kind::TX_CONNECT_SPEED),
        (14, &[&assigned], kind::RESULT_CODE),
        (15, &[], kind::CALL_ERRORS),
        (16, &[], kind::ACCM),
    ];
    for (number, fields, kind) in cases {
        assert_eq!(
            Message::parse(&avps(number, fields)),
            Err(ParseError::Missing { kind }),
            "{number}"
        );
    }
}

#[test]
fn every_truncation_of_a_message_is_malformed_or_misses_something() {
    for whole in [SCCRQ, ICCN] {
        for len in 0..whole.len() {
            let Err(error) = Message::parse(&whole[..len]) else {
                continue;
            };
            let boundary = matches!(error, ParseError::Missing { .. });
            assert!(boundary || error.is_malformed(), "{len}: {error}");
        }
    }
}

#[test]
fn an_iccn_carries_all_that_the_lac_has_negotiated() {
    let message = Message::Iccn(Iccn {
        tx_connect_speed: 100_000_000,
        framing_type: 1,
        proxy: Proxy {
            initial_received_lcp: Some(&[1, 4, 5, 0xd4]),
            last_sent_lcp: Some(&[3, 5, 0xc2, 0x23, 5]),
            last_received_lcp: Some(&[5, 6, 1, 2, 3, 4]),
            authen_type: Some(ProxyAuthenType::CHAP),
            authen_name: Some(b"u@isp"),
            authen_challenge: Some(&[0xaa, 0xbb, 0xcc]),
            authen_id: Some(0x7f),
            authen_response: Some(&[0x11, 0x22]),
        },
        private_group: Some(b"v1"),
        rx_connect_speed: Some(10_000_000),
        sequencing_required: true,
    });
    assert_eq!(Message::parse(ICCN), Ok(message));
    assert_eq!(emitted(&message), ICCN);
}

#[test]
fn an_icrq_carries_numbers_and_the_line() {
    let octets = avps(
        10,
        &[
            &[0x80, 8, 0, 0, 0, 14, 0xab, 0xcd],       // Assigned Session ID
            &[0x80, 10, 0, 0, 0, 15, 0, 0, 0x10, 1],   // Call Serial Number
            &[0x80, 10, 0, 0, 0, 18, 0, 0, 0, 1],      // Bearer Type
            &[0x00, 10, 0, 0, 0, 25, 0, 0, 2, 3],      // Physical Channel ID
            &[0x80, 9, 0, 0, 0, 22, b'4', b'5', b'6'], // Calling Number
            &[0x80, 9, 0, 0, 0, 21, b'1', b'2', b'3'], // Called Number
            &[0x80, 7, 0, 0, 0, 23, b'9'],             // Sub-Address
        ],
    );
    let message = Message::Icrq(Icrq {
        assigned_session: PeerSessionId(0xabcd),
        serial_number: 0x1001,
        bearer_type: Some(1),
        physical_channel: Some(0x203),
        calling_number: Some(b"456"),
        called_number: Some(b"123"),
        sub_address: Some(b"9"),
    });
    assert_eq!(Message::parse(&octets), Ok(message));
    assert_eq!(emitted(&message), octets);
}

#[test]
fn a_cdn_carries_result_q931_cause_and_ppp_disconnect_cause() {
    let octets = avps(
        14,
        &[
            &[0x80, 13, 0, 0, 0, 1, 0, 2, 0, 6, b'b', b'y', b'e'],
            &[0x80, 8, 0, 0, 0, 14, 0, 5],
            &[0x80, 9, 0, 0, 0, 12, 0, 16, 0x45],
            &[0x00, 13, 0, 0, 0, 46, 0, 4, 0x80, 0x21, 1, b'o', b'k'],
        ],
    );
    let message = Message::Cdn(Cdn {
        assigned_session: PeerSessionId(5),
        result: ResultCode {
            result: CdnResult::GENERAL_ERROR.0,
            error: Some(GeneralError::VENDOR),
            advisory: b"bye",
        },
        q931: Some(Q931Cause {
            cause: 16,
            message: 0x45,
            advisory: b"",
        }),
        disconnect: Some(PppDisconnectCause {
            code: 4,
            protocol: 0x8021,
            direction: 1,
            message: b"ok",
        }),
    });
    assert_eq!(Message::parse(&octets), Ok(message));
    assert_eq!(emitted(&message), octets);
}

#[test]
fn every_other_message_is_read_and_written_back() {
    for message in other_messages() {
        let octets = emitted(&message);
        assert_eq!(octets[7], u8::try_from(message.kind().number()).unwrap());
        assert_eq!(Message::parse(&octets), Ok(message));
    }
}

fn other_messages() -> [Message<'static>; 11] {
    let session = PeerSessionId(9);
    [
        Message::Sccrp(Sccrp {
            version: ProtocolVersion::ONE,
            host_name: b"lns",
            framing: 3,
            assigned_tunnel: PeerTunnelId(77),
            bearer: Some(3),
            receive_window: Some(128),
            challenge: Some(b"0123456789abcdef"),
            challenge_response: Some([7; 16]),
            firmware: Some(1),
            vendor_name: Some(b"kubelns"),
        }),
        Message::Scccn(Scccn {
            challenge_response: Some([3; 16]),
        }),
        Message::Scccn(Scccn::default()),
        Message::StopCcn(StopCcn {
            assigned_tunnel: PeerTunnelId(3),
            result: ResultCode {
                result: StopCcnResult::SHUTDOWN.0,
                error: None,
                advisory: b"",
            },
        }),
        Message::Hello,
        Message::Icrp(Icrp {
            assigned_session: session,
        }),
        Message::Ocrq(Ocrq {
            assigned_session: session,
            serial_number: 2,
            minimum_bps: 64_000,
            maximum_bps: 128_000,
            bearer_type: 1,
            framing_type: 2,
            called_number: b"0123",
            sub_address: Some(b"4"),
        }),
        Message::Ocrp(Ocrp {
            assigned_session: session,
            physical_channel: Some(8),
        }),
        Message::Occn(Occn {
            tx_connect_speed: 64_000,
            framing_type: 2,
            rx_connect_speed: Some(32_000),
            sequencing_required: true,
        }),
        Message::Wen(Wen {
            errors: CallErrors {
                crc: 1,
                framing: 2,
                hardware_overruns: 3,
                buffer_overruns: 4,
                timeouts: 5,
                alignment: 6,
            },
        }),
        Message::Sli(Sli {
            accm: Accm {
                send: 0x000a_0000,
                receive: 0xffff_ffff,
            },
        }),
    ]
}

#[test]
fn broken_octets_count_before_the_type_and_the_type_before_the_avps() {
    let unknown = [0x80, 6, 0, 9, 0, 1];
    let mut body = avps(99, &[&unknown]);
    body[0] = 0;
    let ignorable = ParseError::UnknownMessage {
        kind: 99,
        mandatory: false,
    };
    assert_eq!(Message::parse(&body), Err(ignorable));
    body.push(0);
    assert_eq!(Message::parse(&body), Err(ParseError::Truncated));
}

#[test]
fn an_unknown_avp_is_skipped_without_the_m_bit_and_refused_with_it() {
    let unknown: [(&[u8], u16, u16); 5] = [
        (&[0x00, 8, 0, 9, 0, 1, 1, 2], 9, 1),   // another vendor's
        (&[0x00, 7, 0, 0, 0, 99, 1], 0, 99),    // a type that nobody assigned
        (&[0x00, 6, 0, 0, 0, 20], 0, 20),       // one that the RFC reserves
        (&[0x04, 8, 0, 0, 0, 10, 0, 9], 0, 10), // reserved bits
        (&[0x40, 8, 0, 0, 0, 10, 0, 9], 0, 10), // hidden, where nothing can be revealed
    ];
    for (avp, vendor, kind) in unknown {
        let Ok(Message::Scccn(_)) = Message::parse(&avps(3, &[avp])) else {
            panic!("{avp:?}")
        };
        let mut mandatory = avp.to_vec();
        mandatory[0] |= 0x80;
        let body = avps(3, &[&mandatory]);
        let refused = Message::parse(&body);
        assert_eq!(refused, Err(ParseError::UnknownMandatory { vendor, kind }));
    }
}

#[test]
fn a_wrong_length_is_skipped_without_the_m_bit_and_refused_with_it() {
    // RFC 2661, 7: an Rx Connect Speed of two octets is as if it were not there.
    let required = &ICCN[8..28];
    let short = [0x00, 8, 0, 0, 0, 38, 1, 2];
    let body = avps(12, &[required, &short]);
    let Ok(Message::Iccn(iccn)) = Message::parse(&body) else {
        panic!()
    };
    assert_eq!(iccn.rx_connect_speed, None);
    let mut mandatory = short;
    mandatory[0] = 0x80;
    let body = avps(12, &[required, &mandatory]);
    let refused = Message::parse(&body);
    assert_eq!(refused, Err(ParseError::ValueLength { kind: 38 }));
}

#[test]
fn of_two_avps_of_a_kind_the_first_counts() {
    let body = avps(
        11,
        &[&[0x80, 8, 0, 0, 0, 14, 0, 1], &[0x80, 8, 0, 0, 0, 14, 0, 2]],
    );
    assert_eq!(
        Message::parse(&body),
        Ok(Message::Icrp(Icrp {
            assigned_session: PeerSessionId(1)
        }))
    );
}

#[test]
fn the_first_avp_must_be_a_plain_message_type() {
    let wrong: [&[u8]; 5] = [
        &[],
        &[0x80, 8, 0, 0, 0, 2, 1, 0],
        &[0x80, 7, 0, 0, 0, 0, 6],
        &[0x80, 9, 0, 0, 0, 0, 0, 6, 0],
        &[0xc0, 8, 0, 0, 0, 0, 0, 6],
    ];
    for body in wrong {
        assert_eq!(
            Message::parse(body),
            Err(ParseError::NoMessageType),
            "{body:?}"
        );
    }
    // Known types are taken without the M bit too.
    assert_eq!(
        Message::parse(&[0, 8, 0, 0, 0, 0, 0, 6]),
        Ok(Message::Hello)
    );
}

#[test]
fn only_the_fourteen_types_are_known() {
    for kind in [0, 5, 13, 17, 255] {
        let unknown = |mandatory| {
            Err(ParseError::UnknownMessage {
                kind: kind.into(),
                mandatory,
            })
        };
        assert_eq!(Message::parse(&avps(kind, &[])), unknown(true));
        assert_eq!(Message::parse(&[0, 8, 0, 0, 0, 0, 0, kind]), unknown(false));
    }
    for kind in MessageType::ALL {
        assert_eq!(MessageType::from_number(kind.number()), Some(kind));
    }
}

#[test]
fn ids_windows_names_and_challenges_that_cannot_be_are_refused() {
    let [version, name, framing, tunnel] = SCCRQ_REQUIRED;
    let sccrq = |name: &[u8], tunnel: &[u8], more: &[u8]| {
        Message::parse(&avps(1, &[version, name, framing, tunnel, more]))
            .map(|message| message.kind())
    };
    let range = |kind| Err(ParseError::ValueRange { kind });
    assert_eq!(
        sccrq(name, &[0x80, 8, 0, 0, 0, 9, 0, 0], &[]),
        range(kind::ASSIGNED_TUNNEL_ID)
    );
    assert_eq!(
        sccrq(&[0x80, 6, 0, 0, 0, 7], tunnel, &[]),
        range(kind::HOST_NAME)
    );
    assert_eq!(
        sccrq(name, tunnel, &[0x80, 8, 0, 0, 0, 10, 0, 0]),
        range(kind::RECEIVE_WINDOW_SIZE)
    );
    assert_eq!(
        sccrq(name, tunnel, &[0x80, 6, 0, 0, 0, 11]),
        range(kind::CHALLENGE)
    );
    let icrp = avps(11, &[&[0x80, 8, 0, 0, 0, 14, 0, 0]]);
    assert_eq!(
        Message::parse(&icrp).map(|m| m.kind()),
        range(kind::ASSIGNED_SESSION_ID)
    );
}

#[test]
fn an_id_of_0_is_legal_where_none_was_assigned() {
    let stop = avps(
        4,
        &[&[0x80, 8, 0, 0, 0, 9, 0, 0], &[0x80, 8, 0, 0, 0, 1, 0, 1]],
    );
    assert!(matches!(Message::parse(&stop), Ok(Message::StopCcn(_))));
    assert_eq!(assigned_tunnel(&stop), None);
    let cdn = avps(
        14,
        &[&[0x80, 8, 0, 0, 0, 14, 0, 0], &[0x80, 8, 0, 0, 0, 1, 0, 3]],
    );
    assert!(matches!(Message::parse(&cdn), Ok(Message::Cdn(_))));
    assert_eq!(assigned_session(&cdn), None);
}

#[test]
fn the_address_of_an_answer_is_found_in_a_message_that_is_refused() {
    let body = avps(10, &[&[0x80, 8, 0, 0, 0, 14, 0, 7], &[0x80, 6, 0, 9, 0, 1]]);
    assert!(Message::parse(&body).is_err());
    assert_eq!(assigned_session(&body), Some(PeerSessionId(7)));
    assert_eq!(assigned_tunnel(SCCRQ), Some(PeerTunnelId(0x1234)));
}

#[test]
fn a_value_that_does_not_fit_leaves_nothing_behind() {
    let long = alloc::vec![b'x'; 1018];
    let message = Message::Icrq(Icrq {
        called_number: Some(&long),
        ..Icrq::default()
    });
    let mut out = alloc::vec![1, 2];
    assert_eq!(
        message.emit(&mut out),
        Err(EmitError::ValueTooLong {
            kind: kind::CALLED_NUMBER
        })
    );
    assert_eq!(out, [1, 2]);
}

#[test]
fn a_proxied_password_is_never_printed() {
    let proxy = Proxy {
        authen_response: Some(b"canary"),
        ..Proxy::default()
    };
    let body = emitted(&Message::Iccn(Iccn {
        proxy,
        ..Iccn::default()
    }));
    let packet = crate::l2tp::Packet::Control(crate::l2tp::ControlHeader::default(), &body);
    let avps: Vec<_> = crate::l2tp::Avps::new(&body).map(Result::unwrap).collect();
    let attributes: Vec<_> = avps
        .iter()
        .map(|avp| crate::l2tp::Attribute::parse(avp.kind, avp.value))
        .collect();
    let printed = alloc::format!(
        "{:?} {packet:?} {avps:?} {attributes:?}",
        Message::parse(&body)
    );
    assert!(printed.contains("authen_response: Some(..)"), "{printed}");
    assert!(
        !printed.contains("canary") && !printed.contains("99, 97, 110"),
        "{printed}"
    );
}
