//! Frames, packets and options as octets, and each of them cut short at each octet.

use super::*;
use crate::ppp::ipcp::IpcpOption;
use crate::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

#[test]
fn a_frame_is_read_with_and_without_what_may_be_left_out() {
    let cases: [(&[u8], Protocol, &[u8]); 6] = [
        (&[0xff, 0x03, 0xc0, 0x21, 9], Protocol::LCP, &[9]),
        (&[0xc0, 0x21, 9], Protocol::LCP, &[9]),
        (&[0xff, 0x03, 0x21, 9], Protocol::IPV4, &[9]),
        (&[0x21, 9], Protocol::IPV4, &[9]),
        (&[0x00, 0x21, 9], Protocol::IPV4, &[9]),
        (&[0xff, 0x03, 0x00, 0x57], Protocol::IPV6, &[]),
    ];
    for (octets, protocol, information) in cases {
        assert_eq!(
            Frame::parse(octets),
            Ok(Frame {
                protocol,
                information
            })
        );
    }
}

#[test]
fn what_is_no_frame_says_why() {
    let cases: [(&[u8], Error); 7] = [
        (&[], Error::Truncated),
        (&[0xff], Error::Truncated),
        (&[0xff, 0x03], Error::Truncated),
        (&[0xff, 0x03, 0xc0], Error::Truncated),
        (&[0xc0], Error::Truncated),
        (&[0xff, 0x02, 0xc0, 0x21], Error::AddressControl),
        (&[0xc0, 0x20], Error::ProtocolNumber),
    ];
    for (octets, error) in cases {
        assert_eq!(Frame::parse(octets), Err(error), "{octets:?}");
    }
}

#[test]
fn headers_are_as_short_as_the_receiver_allows_and_always_long_for_lcp() {
    let emit = |acfc, pfc, protocol| {
        let mut out = Vec::new();
        Framing { acfc, pfc }.emit_header(protocol, &mut out);
        assert_eq!(Frame::parse(&out).unwrap().protocol, protocol);
        out
    };
    assert_eq!(emit(false, false, Protocol::IPV4), [0xff, 0x03, 0x00, 0x21]);
    assert_eq!(emit(true, false, Protocol::IPV4), [0x00, 0x21]);
    assert_eq!(emit(false, true, Protocol::IPV4), [0xff, 0x03, 0x21]);
    assert_eq!(emit(true, true, Protocol::IPV4), [0x21]);
    assert_eq!(emit(true, true, Protocol::IPCP), [0x80, 0x21]);
    assert_eq!(emit(true, true, Protocol::LCP), [0xff, 0x03, 0xc0, 0x21]);
}

#[test]
fn padding_behind_a_packet_is_left_out_and_a_length_past_the_end_is_an_error() {
    let octets = [1, 7, 0, 6, 0xaa, 0xbb, 0, 0, 0];
    let packet = Packet::parse(&octets).unwrap();
    assert_eq!((packet.code, packet.id), (Code::CONFIGURE_REQUEST, 7));
    assert_eq!((packet.data, packet.octets), (&octets[4..6], &octets[..6]));
    for cut in 0..4 {
        assert_eq!(Packet::parse(&octets[..cut]), Err(Error::Truncated));
    }
    for cut in 4..6 {
        assert_eq!(Packet::parse(&octets[..cut]), Err(Error::LengthBeyondEnd));
    }
    for len in 0..4 {
        assert_eq!(
            Packet::parse(&[1, 7, 0, len, 0, 0]),
            Err(Error::LengthBelowHeader)
        );
    }
}

#[test]
fn an_emitted_packet_carries_its_length_even_when_there_is_too_much_for_it() {
    let mut out = vec![0xee];
    emit_packet(&mut out, Code::ECHO_REPLY, 3, |out| {
        out.extend_from_slice(&[1, 2, 3, 4]);
    });
    assert_eq!(out, [0xee, 10, 3, 0, 8, 1, 2, 3, 4]);
    let mut out = Vec::new();
    emit_packet(&mut out, Code::CODE_REJECT, 3, |out| out.resize(70_000, 0));
    assert_eq!(out.len(), 65_535);
    assert_eq!(Packet::parse(&out).unwrap().octets.len(), 65_535);
}

#[test]
fn an_option_list_is_whole_or_it_is_none() {
    let list = [1, 4, 5, 0xdc, 99, 2, 5, 6, 1, 2, 3, 4];
    let options: Vec<_> = Options::parse(&list).unwrap().iter().collect();
    assert_eq!(options.len(), 3);
    assert_eq!(
        options[1],
        RawOption {
            kind: 99,
            value: &[],
            octets: &[99, 2]
        }
    );
    assert_eq!(
        options[2],
        RawOption {
            kind: 5,
            value: &[1, 2, 3, 4],
            octets: &list[6..]
        }
    );
    for cut in 0..list.len() {
        let whole = [0, 4, 6].contains(&cut);
        assert_eq!(Options::parse(&list[..cut]).is_ok(), whole, "{cut}");
    }
    for len in [0, 1, 5, 255] {
        assert!(
            matches!(Options::parse(&[1, len, 0, 0]), Err(Error::OptionLength)),
            "{len}"
        );
    }
}

#[test]
fn lcp_options_mean_what_the_rfcs_say_and_come_back_as_they_were() {
    let cases: [(&[u8], LcpOption<'_>); 9] = [
        (&[1, 4, 0x05, 0xd4], LcpOption::Mru(1492)),
        (&[2, 6, 0, 0x0a, 0, 0], LcpOption::Accm(0x000a_0000)),
        (
            &[3, 4, 0xc0, 0x23],
            LcpOption::Authentication(AuthenticationProtocol::Pap),
        ),
        (
            &[3, 5, 0xc2, 0x23, 5],
            LcpOption::Authentication(AuthenticationProtocol::Chap(algorithm::MD5)),
        ),
        (
            &[3, 5, 0xc2, 0x23, 0x81],
            LcpOption::Authentication(AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2)),
        ),
        (
            &[3, 4, 0xc2, 0x27],
            LcpOption::Authentication(AuthenticationProtocol::Other(Protocol::EAP)),
        ),
        (&[5, 6, 1, 2, 3, 4], LcpOption::Magic(0x0102_0304)),
        (&[7, 2], LcpOption::Pfc),
        (&[8, 2], LcpOption::Acfc),
    ];
    for (octets, option) in cases {
        let raw = Options::parse(octets).unwrap().iter().next().unwrap();
        assert_eq!(LcpOption::parse(raw), option);
        let mut out = Vec::new();
        option.emit(&mut out);
        assert_eq!(out, octets);
    }
    let multilink = RawOption {
        kind: 17,
        value: &[5, 220],
        octets: &[17, 4, 5, 220],
    };
    assert_eq!(LcpOption::parse(multilink), LcpOption::Other(multilink));
}

#[test]
fn known_options_of_a_wrong_length_are_told_from_unknown_ones() {
    let wrong: [&[u8]; 10] = [
        &[1, 3, 0],
        &[1, 5, 0, 0, 0],
        &[2, 2],
        &[3, 2],
        &[3, 3, 0xc0],
        &[3, 4, 0xc2, 0x23],
        &[3, 5, 0xc0, 0x23, 0],
        &[5, 5, 0, 0, 0],
        &[7, 3, 0],
        &[8, 3, 0],
    ];
    for octets in wrong {
        let raw = Options::parse(octets).unwrap().iter().next().unwrap();
        assert_eq!(
            LcpOption::parse(raw),
            LcpOption::WrongLength { kind: octets[0] }
        );
    }
    for kind in [3, 129, 131] {
        let octets = [kind, 3, 0];
        let raw = Options::parse(&octets).unwrap().iter().next().unwrap();
        assert_eq!(IpcpOption::parse(raw), IpcpOption::WrongLength { kind });
    }
}

#[test]
fn ipcp_options_mean_what_the_rfcs_say_and_come_back_as_they_were() {
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let cases: [(&[u8], IpcpOption<'_>); 3] = [
        (&[3, 6, 192, 0, 2, 1], IpcpOption::Address(address)),
        (&[129, 6, 192, 0, 2, 1], IpcpOption::PrimaryDns(address)),
        (&[131, 6, 192, 0, 2, 1], IpcpOption::SecondaryDns(address)),
    ];
    for (octets, option) in cases {
        let raw = Options::parse(octets).unwrap().iter().next().unwrap();
        assert_eq!(IpcpOption::parse(raw), option);
        let mut out = Vec::new();
        option.emit(&mut out);
        assert_eq!(out, octets);
    }
    for kind in [1, 2, 130, 132] {
        let octets = [kind, 2];
        let raw = Options::parse(&octets).unwrap().iter().next().unwrap();
        assert_eq!(IpcpOption::parse(raw), IpcpOption::Other(raw));
    }
}

#[test]
fn pap_requests_are_read_back_and_cut_ones_refused() {
    let mut data = Vec::new();
    PapRequest {
        name: b"alice",
        password: b"secret",
    }
    .emit(&mut data);
    assert_eq!(data, b"\x05alice\x06secret");
    let request = PapRequest::parse(&data).unwrap();
    assert_eq!(
        (request.name, request.password),
        (&b"alice"[..], &b"secret"[..])
    );
    for cut in 0..data.len() {
        assert_eq!(
            PapRequest::parse(&data[..cut]),
            Err(Error::Truncated),
            "{cut}"
        );
    }
    let empty = PapRequest::parse(&[0, 0]).unwrap();
    assert_eq!((empty.name, empty.password), (&[][..], &[][..]));
    let long = [&[254][..], &[b'x'; 254], &[0]].concat();
    assert_eq!(PapRequest::parse(&long), Err(Error::NameTooLong));
    let printed = alloc::format!(
        "{:?}",
        PapRequest {
            name: b"",
            password: b"canary"
        }
    );
    assert!(!printed.contains("99, 97") && !printed.contains("canary"));
}

#[test]
fn pap_replies_may_leave_an_empty_text_out() {
    assert_eq!(PapReply::parse(&[]), Ok(PapReply { message: &[] }));
    assert_eq!(PapReply::parse(b"\x02ok"), Ok(PapReply { message: b"ok" }));
    assert_eq!(PapReply::parse(b"\x03ok"), Err(Error::Truncated));
    let mut out = Vec::new();
    emit_pap_reply(&mut out, &[b'x'; 300]);
    assert_eq!((out[0], out.len()), (255, 256));
}

#[test]
fn chap_packets_are_read_back_and_cut_ones_refused() {
    let mut octets = Vec::new();
    emit_packet(&mut octets, ChapCode::Response.code(), 9, |out| {
        emit_chap_value(out, &[7; 16], b"bob");
    });
    let packet = Packet::parse(&octets).unwrap();
    let value = ChapValue {
        value: &[7; 16],
        name: b"bob",
    };
    assert_eq!(ChapPacket::parse(&packet), Ok(ChapPacket::Response(value)));
    let challenge = Packet {
        code: ChapCode::Challenge.code(),
        ..packet
    };
    assert_eq!(
        ChapPacket::parse(&challenge),
        Ok(ChapPacket::Challenge(value))
    );
    for cut in 0..17 {
        let short = Packet {
            data: &packet.data[..cut],
            ..packet
        };
        assert_eq!(ChapPacket::parse(&short), Err(Error::Truncated), "{cut}");
    }
    assert_eq!(
        ChapPacket::parse(&Packet {
            data: &[0],
            ..packet
        }),
        Err(Error::ValueSize)
    );
    let long = [&[1, 1][..], &[b'x'; 254]].concat();
    assert_eq!(
        ChapPacket::parse(&Packet {
            data: &long,
            ..packet
        }),
        Err(Error::NameTooLong)
    );
    for code in [0, 5, 255] {
        assert_eq!(
            ChapPacket::parse(&Packet {
                code: Code(code),
                ..packet
            }),
            Err(Error::Code)
        );
    }
}

#[test]
fn an_ms_chap_v2_response_has_49_octets() {
    let response = MsChapV2Response {
        peer_challenge: [1; 16],
        nt_response: [2; 24],
        flags: 3,
    };
    let mut value = Vec::new();
    response.emit(&mut value);
    assert_eq!(value, [&[1; 16][..], &[0; 8], &[2; 24], &[3]].concat());
    assert_eq!(MsChapV2Response::parse(&value), Ok(response));
    for len in (0..49).chain(50..60) {
        let value = vec![0; len];
        assert_eq!(
            MsChapV2Response::parse(&value),
            Err(Error::ValueSize),
            "{len}"
        );
    }
}
