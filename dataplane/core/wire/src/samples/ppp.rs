//! PPP frames: each code of each protocol, and what a peer can make of them.

use alloc::format;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::{Sample, data, frame, packet, secret};
use crate::ppp::ipcp::IpcpOption;
use crate::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};
use crate::ppp::{
    ChapCode, Code, MsChapV2Response, PapCode, PapRequest, Protocol, emit_chap_value, emit_option,
    emit_pap_reply,
};

pub(super) fn all() -> Vec<Sample> {
    configure()
        .into_iter()
        .chain(link())
        .chain(rejects())
        .chain(pap())
        .chain(chap())
        .chain(chap_broken())
        .chain(ncps())
        .chain(others())
        .collect()
}

fn sample(protocol: Protocol, information: &[u8], text: &str) -> Sample {
    raw(&frame(protocol, information), text)
}

fn raw(frame: &[u8], text: &str) -> Sample {
    Sample {
        datagram: data(frame),
        text: format!("data tunnel 4711 session 12: {text}"),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn lcp_options() -> Vec<u8> {
    written(|out| {
        for option in [
            LcpOption::Mru(1492),
            LcpOption::Accm(0x000a_0000),
            LcpOption::Authentication(AuthenticationProtocol::Chap(algorithm::MD5)),
            LcpOption::Magic(0x1a2b_3c4d),
            LcpOption::Pfc,
            LcpOption::Acfc,
        ] {
            option.emit(out);
        }
    })
}

fn authentication(protocol: AuthenticationProtocol) -> Vec<u8> {
    written(|out| LcpOption::Authentication(protocol).emit(out))
}

fn lcp(code: Code, id: u8, data: &[u8], text: &str) -> Sample {
    sample(Protocol::LCP, &packet(code, id, data), text)
}

fn configure() -> Vec<Sample> {
    use AuthenticationProtocol as A;
    let asks = [
        A::Pap,
        A::Chap(algorithm::MS_CHAP_V1),
        A::Chap(algorithm::MS_CHAP_V2),
        A::Chap(9),
        A::Other(Protocol::EAP),
    ]
    .map(authentication)
    .concat();
    let odd = written(|out| {
        emit_option(out, 1, &[5]);
        emit_option(out, 17, &[5, 0xdc]);
        emit_option(out, 18, &[]);
        emit_option(out, 19, &[7; 20]);
        emit_option(out, 99, &[1, 2]);
    });
    alloc::vec![
        lcp(
            Code::CONFIGURE_REQUEST,
            1,
            &lcp_options(),
            "LCP Configure-Request id 1: MRU 1492, ACCM 0x000a0000, Authentication CHAP-MD5, Magic-Number 0x1a2b3c4d, PFC, ACFC"
        ),
        lcp(
            Code::CONFIGURE_REQUEST,
            2,
            &[],
            "LCP Configure-Request id 2"
        ),
        lcp(
            Code::CONFIGURE_ACK,
            1,
            &[7, 2],
            "LCP Configure-Ack id 1: PFC"
        ),
        lcp(
            Code::CONFIGURE_NAK,
            1,
            &asks,
            "LCP Configure-Nak id 1: Authentication PAP, Authentication MS-CHAPv1, Authentication MS-CHAPv2, Authentication CHAP algorithm 9, Authentication EAP"
        ),
        lcp(
            Code::CONFIGURE_REJECT,
            1,
            &odd,
            "LCP Configure-Reject id 1: MRU malformed: option_length, MRRU 0x05dc, Short-Sequence-Number, Endpoint-Discriminator 0x07070707070707070707070707070707..., option 99 0x0102"
        ),
        lcp(
            Code::CONFIGURE_REJECT,
            3,
            &[7, 2, 5, 1],
            "LCP Configure-Reject id 3: PFC, malformed: option_length"
        ),
    ]
}

/// What LCP does besides.
fn link() -> Vec<Sample> {
    let magic = [0x1a, 0x2b, 0x3c, 0x4d];
    alloc::vec![
        lcp(
            Code::TERMINATE_REQUEST,
            4,
            b"User request",
            r#"LCP Terminate-Request id 4: "User request""#
        ),
        lcp(Code::TERMINATE_ACK, 4, &[], "LCP Terminate-Ack id 4"),
        lcp(
            Code::ECHO_REQUEST,
            5,
            &magic,
            "LCP Echo-Request id 5: Magic-Number 0x1a2b3c4d"
        ),
        lcp(
            Code::ECHO_REPLY,
            5,
            &[&magic[..], b"data"].concat(),
            "LCP Echo-Reply id 5: Magic-Number 0x1a2b3c4d, 4 octets"
        ),
        lcp(
            Code::ECHO_REQUEST,
            5,
            &[1, 2],
            "LCP Echo-Request id 5: malformed: truncated"
        ),
        lcp(
            Code::DISCARD_REQUEST,
            6,
            &magic,
            "LCP Discard-Request id 6: Magic-Number 0x1a2b3c4d"
        ),
        lcp(
            Code::IDENTIFICATION,
            7,
            &[&magic[..], b"MSRASV5.20"].concat(),
            r#"LCP Identification id 7: Magic-Number 0x1a2b3c4d, "MSRASV5.20""#
        ),
        lcp(
            Code::TIME_REMAINING,
            8,
            &[&magic[..], &[0, 0, 1, 0], b"bye"].concat(),
            r#"LCP Time-Remaining id 8: Magic-Number 0x1a2b3c4d, 256 s, "bye""#
        ),
        lcp(Code(0), 9, &[1, 2, 3], "LCP code 0 id 9: 0x010203"),
        lcp(Code(14), 9, &[], "LCP code 14 id 9"),
    ]
}

/// Packets that quote others, with a password and cut as they may be.
fn rejects() -> Vec<Sample> {
    let password = request(b"alice");
    let pap = [&Protocol::PAP.0.to_be_bytes()[..], &password].concat();
    let response = chap_response(&secret::<16>());
    let chap = [&Protocol::CHAP.0.to_be_bytes()[..], &response].concat();
    alloc::vec![
        lcp(
            Code::CODE_REJECT,
            1,
            &packet(Code(14), 9, b"1234"),
            "LCP Code-Reject id 1: code 14, 8 octets"
        ),
        lcp(
            Code::CODE_REJECT,
            2,
            &password,
            "LCP Code-Reject id 2: Configure-Request, 20 octets"
        ),
        lcp(
            Code::CODE_REJECT,
            3,
            &[],
            "LCP Code-Reject id 3: malformed: truncated"
        ),
        lcp(
            Code::PROTOCOL_REJECT,
            4,
            &[0x80, 0x57, 1, 1, 0, 4],
            "LCP Protocol-Reject id 4: IPV6CP, 4 octets"
        ),
        lcp(
            Code::PROTOCOL_REJECT,
            5,
            &pap,
            "LCP Protocol-Reject id 5: PAP, 20 octets"
        ),
        lcp(
            Code::PROTOCOL_REJECT,
            6,
            &chap[..20],
            "LCP Protocol-Reject id 6: CHAP, 18 octets"
        ),
        lcp(
            Code::PROTOCOL_REJECT,
            7,
            &[0x12, 0x35],
            "LCP Protocol-Reject id 7: protocol 0x1235, 0 octets"
        ),
        lcp(
            Code::PROTOCOL_REJECT,
            8,
            &[0x80],
            "LCP Protocol-Reject id 8: malformed: truncated"
        ),
    ]
}

fn request(name: &[u8]) -> Vec<u8> {
    let password = &secret::<9>();
    let data = written(|out| PapRequest { name, password }.emit(out));
    packet(PapCode::Request.code(), 7, &data)
}

fn pap() -> Vec<Sample> {
    let pap = |packet: &[u8], text| sample(Protocol::PAP, packet, text);
    let reply = |message: &[u8]| written(|out| emit_pap_reply(out, message));
    let long = request(&[b'n'; 254]);
    let padded = [&request(b"alice")[..], &secret::<4>()].concat();
    let short = [&[1, 7, 0, 13, 5][..], b"alice", &[90], &secret::<60>()].concat();
    alloc::vec![
        pap(
            &request(b"alice"),
            r#"PAP Authenticate-Request id 7: name "alice", password masked"#
        ),
        pap(
            &padded,
            r#"PAP Authenticate-Request id 7: name "alice", password masked"#
        ),
        pap(
            &long,
            "PAP Authenticate-Request id 7: malformed: name_too_long"
        ),
        pap(
            &short,
            "PAP Authenticate-Request id 7: malformed: truncated"
        ),
        pap(
            &packet(Code(1), 7, &[&[200][..], &secret::<9>()].concat()),
            "PAP Authenticate-Request id 7: malformed: truncated"
        ),
        pap(
            &packet(Code(1), 7, &[&[1, b'a', 60][..], &secret::<50>()].concat()),
            "PAP Authenticate-Request id 7: malformed: truncated"
        ),
        pap(
            &packet(Code(1), 7, &[]),
            "PAP Authenticate-Request id 7: malformed: truncated"
        ),
        pap(
            &packet(PapCode::Ack.code(), 7, &reply(b"welcome")),
            r#"PAP Authenticate-Ack id 7: "welcome""#
        ),
        pap(
            &packet(PapCode::Nak.code(), 7, &reply(b"")),
            "PAP Authenticate-Nak id 7"
        ),
        pap(
            &packet(
                PapCode::Nak.code(),
                7,
                &[&[2, b'n', b'o'][..], &secret::<3>()].concat()
            ),
            r#"PAP Authenticate-Nak id 7: "no""#
        ),
        pap(
            &packet(PapCode::Ack.code(), 7, &[&[9][..], &secret::<3>()].concat()),
            "PAP Authenticate-Ack id 7: malformed: truncated"
        ),
        pap(
            &packet(Code(9), 7, &secret::<7>()),
            "PAP code 9 id 7: malformed: code"
        ),
        pap(
            &[&[1, 7, 0, 99][..], &secret::<7>()].concat(),
            "PAP: malformed: length_beyond_end"
        ),
        pap(
            &[&[1, 7, 0, 3][..], &secret::<7>()].concat(),
            "PAP: malformed: length_below_header"
        ),
    ]
}

fn chap_response(value: &[u8]) -> Vec<u8> {
    let data = written(|out| emit_chap_value(out, value, b"alice"));
    packet(ChapCode::Response.code(), 3, &data)
}

fn chap_sample(packet: &[u8], text: &str) -> Sample {
    sample(Protocol::CHAP, packet, text)
}

fn chap() -> Vec<Sample> {
    let challenge = written(|out| emit_chap_value(out, b"0123456789abcdef", b"lns"));
    let ms = written(|out| {
        MsChapV2Response {
            peer_challenge: secret(),
            nt_response: secret(),
            flags: 0,
        }
        .emit(out);
    });
    let success = |message: &[u8]| packet(ChapCode::Success.code(), 3, message);
    let proof = [b"S=", &secret::<40>()[..]].concat();
    alloc::vec![
        chap_sample(
            &packet(ChapCode::Challenge.code(), 3, &challenge),
            r#"CHAP Challenge id 3: name "lns", value 16 octets"#
        ),
        chap_sample(
            &chap_response(&secret::<16>()),
            r#"CHAP Response id 3: name "alice", value masked"#
        ),
        chap_sample(
            &chap_response(&ms),
            r#"CHAP Response id 3: name "alice", MS-CHAPv2 value masked"#
        ),
        chap_sample(
            &chap_response(&secret::<255>()),
            r#"CHAP Response id 3: name "alice", value masked"#
        ),
        chap_sample(&success(b""), "CHAP Success id 3"),
        chap_sample(&success(b"Welcome"), r#"CHAP Success id 3: "Welcome""#),
        chap_sample(
            &success(&proof),
            "CHAP Success id 3: MS-CHAPv2 authenticator response masked"
        ),
        chap_sample(
            &success(&[&proof[..], b" M=Access granted"].concat()),
            r#"CHAP Success id 3: MS-CHAPv2 authenticator response masked, "M=Access granted""#
        ),
        chap_sample(
            &success(&[b"hi ", &proof[..]].concat()),
            r#"CHAP Success id 3: MS-CHAPv2 authenticator response masked, "hi S=""#
        ),
    ]
}

fn chap_broken() -> Vec<Sample> {
    alloc::vec![
        chap_sample(
            &packet(ChapCode::Failure.code(), 3, b"E=691 R=1 C=00 V=3 M=no"),
            r#"CHAP Failure id 3: "E=691 R=1 C=00 V=3 M=no""#
        ),
        chap_sample(
            &packet(ChapCode::Failure.code(), 3, b""),
            "CHAP Failure id 3"
        ),
        chap_sample(
            &packet(Code(2), 3, &[&[0][..], &secret::<9>()].concat()),
            "CHAP Response id 3: malformed: value_size"
        ),
        chap_sample(
            &packet(Code(2), 3, &[&[99][..], &secret::<9>()].concat()),
            "CHAP Response id 3: malformed: truncated"
        ),
        chap_sample(
            &packet(Code(2), 3, &[&[1][..], &secret::<255>()].concat()),
            "CHAP Response id 3: malformed: name_too_long"
        ),
        chap_sample(
            &packet(Code(1), 3, &[&[99][..], &secret::<9>()].concat()),
            "CHAP Challenge id 3: malformed: truncated"
        ),
        chap_sample(
            &packet(Code(7), 3, &secret::<9>()),
            "CHAP code 7 id 3: malformed: code"
        ),
    ]
}

fn ncps() -> Vec<Sample> {
    let ipcp = |code, id, data: &[u8], text| sample(Protocol::IPCP, &packet(code, id, data), text);
    let addresses = written(|out| {
        for option in [
            IpcpOption::Address(Ipv4Addr::new(100, 64, 0, 7)),
            IpcpOption::PrimaryDns(Ipv4Addr::new(192, 0, 2, 53)),
            IpcpOption::SecondaryDns(Ipv4Addr::new(192, 0, 2, 54)),
        ] {
            option.emit(out);
        }
    });
    let odd = written(|out| {
        emit_option(out, 2, &[0, 0x2d, 15, 1]);
        emit_option(out, 3, &[1]);
        emit_option(out, 130, &[192, 0, 2, 1]);
    });
    let other = |protocol, data: &[u8], text| sample(protocol, &packet(Code(1), 1, data), text);
    alloc::vec![
        ipcp(
            Code::CONFIGURE_REQUEST,
            1,
            &[3, 6, 0, 0, 0, 0],
            "IPCP Configure-Request id 1: IP-Address 0.0.0.0"
        ),
        ipcp(
            Code::CONFIGURE_ACK,
            1,
            &addresses[..6],
            "IPCP Configure-Ack id 1: IP-Address 100.64.0.7"
        ),
        ipcp(
            Code::CONFIGURE_NAK,
            2,
            &addresses,
            "IPCP Configure-Nak id 2: IP-Address 100.64.0.7, Primary-DNS 192.0.2.53, Secondary-DNS 192.0.2.54"
        ),
        ipcp(
            Code::CONFIGURE_REJECT,
            2,
            &odd,
            "IPCP Configure-Reject id 2: IP-Compression-Protocol 0x002d0f01, IP-Address malformed: option_length, Primary-NBNS 0xc0000201"
        ),
        ipcp(
            Code::TERMINATE_REQUEST,
            3,
            b"done\x07",
            r#"IPCP Terminate-Request id 3: "done\u{7}""#
        ),
        ipcp(
            Code::CODE_REJECT,
            4,
            &packet(Code(8), 9, b""),
            "IPCP Code-Reject id 4: code 8, 4 octets"
        ),
        ipcp(Code(9), 5, &[0xab, 0xcd], "IPCP code 9 id 5: 0xabcd"),
        other(
            Protocol::IPV6CP,
            &[1, 10, 1, 2, 3, 4, 5, 6, 7, 8],
            "IPV6CP Configure-Request id 1: option 1 0x0102030405060708"
        ),
        other(
            Protocol::CCP,
            &[18, 6, 1, 0, 0, 0x60],
            "CCP Configure-Request id 1: option 18 0x01000060"
        ),
        other(
            Protocol(0x8281),
            &[],
            "protocol 0x8281 Configure-Request id 1"
        ),
    ]
}

fn others() -> Vec<Sample> {
    let mut ipv4 = alloc::vec![
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
    ];
    ipv4.extend([0; 8]);
    let mut ipv6 = alloc::vec![0x60, 0, 0, 0, 0, 8, 58, 64];
    ipv6.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ipv6.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    ipv6.extend([0; 8]);
    let eap = packet(Code(2), 3, &[&[4, 16][..], &secret::<16>()].concat());
    alloc::vec![
        sample(
            Protocol::IPV4,
            &ipv4,
            "IPv4 UDP 10.0.0.1 to 10.0.0.2, 28 octets"
        ),
        sample(Protocol::IPV4, &ipv4[..12], "IPv4: malformed: truncated"),
        sample(
            Protocol::IPV6,
            &ipv6,
            "IPv6 ICMPv6 2001:db8::1 to 2001:db8::2, 48 octets"
        ),
        sample(Protocol::IPV6, &ipv6[..12], "IPv6: malformed: truncated"),
        sample(Protocol::EAP, &eap, "EAP Response id 3: 18 octets"),
        sample(
            Protocol(0xc281),
            &eap,
            "protocol 0xc281 code 2 id 3: 18 octets"
        ),
        sample(Protocol::LQR, &[0; 48], "LQR 48 octets"),
        sample(
            Protocol::MULTILINK,
            &[&[0xc0, 0, 0, 1][..], &secret::<9>()].concat(),
            "multilink 13 octets"
        ),
        sample(
            Protocol(0x0049),
            &[7; 40],
            "protocol 0x0049 40 octets: 0x07070707070707070707070707070707..."
        ),
        sample(Protocol(0x0049), &[], "protocol 0x0049 0 octets"),
        raw(&[], "malformed: truncated"),
        raw(
            &[&[0xff, 0x02, 0xc0, 0x23][..], &secret::<9>()].concat(),
            "malformed: address_control"
        ),
        raw(
            &[&[0xff, 0x03, 0xc0, 0x24][..], &secret::<9>()].concat(),
            "malformed: protocol_number"
        ),
        raw(
            &[&[0xc0, 0x24][..], &secret::<9>()].concat(),
            "malformed: protocol_number"
        ),
    ]
}
