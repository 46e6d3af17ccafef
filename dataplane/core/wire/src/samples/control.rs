//! Control messages: each of the fourteen, and what a peer can make of their AVPs.

use alloc::vec::Vec;

use super::{Sample, message, secret, with_body};
use crate::id::{PeerSessionId, PeerTunnelId};
use crate::l2tp::{
    Accm, Avp, CallErrors, Cdn, CdnResult, GeneralError, Hide, Iccn, Icrp, Icrq, Message, Occn,
    Ocrp, Ocrq, PppDisconnectCause, ProtocolVersion, Proxy, ProxyAuthenType, Q931Cause, ResultCode,
    Scccn, Sccrp, Sccrq, Sli, StopCcn, StopCcnResult, Wen,
};
use crate::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};

pub(super) fn all() -> Vec<Sample> {
    tunnel()
        .into_iter()
        .chain(outgoing())
        .chain(incoming())
        .chain(ends())
        .chain(hidden())
        .chain(broken())
        .collect()
}

const SESSION: PeerSessionId = PeerSessionId(12);

fn sample(session: u16, what: &Message<'_>, text: &'static str) -> Sample {
    Sample {
        datagram: message(session, what),
        text: text.into(),
    }
}

fn sccrq() -> Sccrq<'static> {
    Sccrq {
        version: ProtocolVersion::ONE,
        host_name: b"lac1",
        framing: 3,
        assigned_tunnel: PeerTunnelId(77),
        bearer: Some(2),
        receive_window: Some(8),
        challenge: Some(b"0123456789abcdef"),
        tie_breaker: Some(0x0102),
        firmware: Some(5),
        vendor_name: Some(b"xelerance.com"),
    }
}

fn tunnel() -> Vec<Sample> {
    let mut body = Vec::new();
    Message::Sccrq(sccrq()).emit(&mut body).unwrap();
    alloc::vec![
        Sample {
            datagram: with_body(0, 0, &body),
            text: r#"SCCRQ tunnel 0 Ns 3 Nr 2: Protocol Version 1.0, Host Name "lac1", Framing Capabilities sync+async, Assigned Tunnel ID 77, Bearer Capabilities analogue, Receive Window Size 8, Challenge 16 octets, Tie Breaker 0x0000000000000102, Firmware Revision 5, Vendor Name "xelerance.com""#.into(),
        },
        sample(
            0,
            &Message::Sccrp(Sccrp {
                version: ProtocolVersion::ONE,
                host_name: b"lns",
                framing: 3,
                assigned_tunnel: PeerTunnelId(78),
                bearer: None,
                receive_window: Some(128),
                challenge: Some(b"0123456789abcdef"),
                challenge_response: Some(secret()),
                firmware: None,
                vendor_name: Some(b"kubelns"),
            }),
            r#"SCCRP tunnel 4711 Ns 3 Nr 2: Protocol Version 1.0, Framing Capabilities sync+async, Host Name "lns", Assigned Tunnel ID 78, Vendor Name "kubelns", Receive Window Size 128, Challenge 16 octets, Challenge Response masked"#,
        ),
        sample(
            0,
            &Message::Scccn(Scccn {
                challenge_response: Some(secret()),
            }),
            "SCCCN tunnel 4711 Ns 3 Nr 2: Challenge Response masked",
        ),
        sample(
            0,
            &Message::StopCcn(StopCcn {
                assigned_tunnel: PeerTunnelId(77),
                result: ResultCode {
                    result: StopCcnResult::GENERAL_ERROR.0,
                    error: Some(GeneralError::UNKNOWN_MANDATORY_AVP),
                    advisory: b"AVP 9/1",
                },
            }),
            r#"StopCCN tunnel 4711 Ns 3 Nr 2: Assigned Tunnel ID 77, Result Code 2 (general error) error 8 (unknown AVP with the M bit) "AVP 9/1""#,
        ),
        sample(
            0,
            &Message::StopCcn(StopCcn {
                assigned_tunnel: PeerTunnelId(77),
                result: ResultCode {
                    result: StopCcnResult::VERSION.0,
                    error: Some(GeneralError(0x0100)),
                    advisory: b"",
                },
            }),
            "StopCCN tunnel 4711 Ns 3 Nr 2: Assigned Tunnel ID 77, Result Code 5 (protocol version not supported) highest version 256",
        ),
        sample(0, &Message::Hello, "HELLO tunnel 4711 Ns 3 Nr 2"),
        Sample {
            datagram: with_body(4711, 0, &[]),
            text: "ZLB tunnel 4711 Ns 3 Nr 2".into(),
        },
    ]
}

fn outgoing() -> Vec<Sample> {
    alloc::vec![
        sample(
            0,
            &Message::Ocrq(Ocrq {
                assigned_session: SESSION,
                serial_number: 2,
                minimum_bps: 64_000,
                maximum_bps: 128_000,
                bearer_type: 3,
                framing_type: 2,
                called_number: b"0123",
                sub_address: None,
            }),
            r#"OCRQ tunnel 4711 session 0 Ns 3 Nr 2: Assigned Session ID 12, Call Serial Number 2, Minimum BPS 64000, Maximum BPS 128000, Bearer Type digital+analogue, Framing Type async, Called Number "0123""#,
        ),
        sample(
            12,
            &Message::Ocrp(Ocrp {
                assigned_session: SESSION,
                physical_channel: Some(8),
            }),
            "OCRP tunnel 4711 session 12 Ns 3 Nr 2: Assigned Session ID 12, Physical Channel ID 0x00000008",
        ),
        sample(
            12,
            &Message::Occn(Occn {
                tx_connect_speed: 64_000,
                framing_type: 1,
                rx_connect_speed: Some(32_000),
                sequencing_required: true,
            }),
            "OCCN tunnel 4711 session 12 Ns 3 Nr 2: (Tx) Connect Speed 64000, Framing Type sync, Rx Connect Speed 32000, Sequencing Required",
        ),
    ]
}

fn incoming() -> Vec<Sample> {
    alloc::vec![
        sample(
            0,
            &Message::Icrq(Icrq {
                assigned_session: SESSION,
                serial_number: 7,
                bearer_type: Some(1),
                physical_channel: Some(0x203),
                calling_number: Some(b"0301234567"),
                called_number: Some(b"0191\n"),
                sub_address: Some(b"\xff\""),
            }),
            r#"ICRQ tunnel 4711 session 0 Ns 3 Nr 2: Assigned Session ID 12, Call Serial Number 7, Bearer Type digital, Physical Channel ID 0x00000203, Calling Number "0301234567", Called Number "0191\n", Sub-Address "\xff\"""#,
        ),
        sample(
            12,
            &Message::Icrp(Icrp {
                assigned_session: PeerSessionId(13),
            }),
            "ICRP tunnel 4711 session 12 Ns 3 Nr 2: Assigned Session ID 13",
        ),
        sample(
            12,
            &Message::Iccn(iccn(&lcp())),
            r#"ICCN tunnel 4711 session 12 Ns 3 Nr 2: (Tx) Connect Speed 100000000, Framing Type sync, Initial Received LCP CONFREQ (MRU 1492), Last Sent LCP CONFREQ (MRU 1492, Authentication CHAP-MD5, Magic-Number 0x1a2b3c4d), Last Received LCP CONFREQ (Magic-Number 0x01020304, malformed: option_length), Proxy Authen Type 3 (PAP), Proxy Authen Name "alice@isp", Proxy Authen Challenge 6 octets, Proxy Authen ID 7, Proxy Authen Response masked, Private Group ID "v1", Rx Connect Speed 10000000, Sequencing Required"#
        ),
    ]
}

fn ends() -> Vec<Sample> {
    alloc::vec![
        sample(
            12,
            &Message::Cdn(Cdn {
                assigned_session: SESSION,
                result: ResultCode {
                    result: CdnResult::GENERAL_ERROR.0,
                    error: Some(GeneralError::VENDOR),
                    advisory: b"no \"route\"",
                },
                q931: Some(Q931Cause {
                    cause: 16,
                    message: 0x45,
                    advisory: b"clear",
                }),
                disconnect: Some(PppDisconnectCause {
                    code: 16,
                    protocol: 0xc223,
                    direction: 1,
                    message: b"wrong",
                }),
            }),
            r#"CDN tunnel 4711 session 12 Ns 3 Nr 2: Result Code 2 (general error) error 6 (vendor-specific error) "no \"route\"", Assigned Session ID 12, Q.931 Cause Code 16 message 0x45 "clear", PPP Disconnect Cause Code 16 (authentication failed) CHAP direction 1 (at the peer) "wrong""#,
        ),
        sample(
            12,
            &Message::Wen(Wen {
                errors: CallErrors {
                    crc: 1,
                    framing: 2,
                    hardware_overruns: 3,
                    buffer_overruns: 4,
                    timeouts: 5,
                    alignment: 6,
                },
            }),
            "WEN tunnel 4711 session 12 Ns 3 Nr 2: Call Errors (CRC 1, framing 2, hardware overruns 3, buffer overruns 4, timeouts 5, alignment 6)",
        ),
        sample(
            12,
            &Message::Sli(Sli {
                accm: Accm {
                    send: 0x000a_0000,
                    receive: 0xffff_ffff,
                },
            }),
            "SLI tunnel 4711 session 12 Ns 3 Nr 2: ACCM (send 0x000a0000, receive 0xffffffff)",
        ),
    ]
}

/// The options of an LCP Configure-Request.
fn lcp() -> Vec<u8> {
    let mut options = Vec::new();
    for option in [
        LcpOption::Mru(1492),
        LcpOption::Authentication(AuthenticationProtocol::Chap(algorithm::MD5)),
        LcpOption::Magic(0x1a2b_3c4d),
    ] {
        option.emit(&mut options);
    }
    options
}

fn iccn(lcp: &[u8]) -> Iccn<'_> {
    Iccn {
        tx_connect_speed: 100_000_000,
        framing_type: 1,
        proxy: Proxy {
            initial_received_lcp: Some(&[1, 4, 5, 0xd4]),
            last_sent_lcp: Some(lcp),
            last_received_lcp: Some(&[5, 6, 1, 2, 3, 4, 7, 1]),
            authen_type: Some(ProxyAuthenType::PAP),
            authen_name: Some(b"alice@isp"),
            authen_challenge: Some(b"abcdef"),
            authen_id: Some(7),
            authen_response: Some(&PASSWORD),
        },
        private_group: Some(b"v1"),
        rx_connect_speed: Some(10_000_000),
        sequencing_required: true,
    }
}

const PASSWORD: [u8; 11] = secret();

/// Hides nothing, so that what is hidden would be seen.
struct Plain;

impl Hide for Plain {
    fn is_hidden(&self, kind: u16) -> bool {
        kind != 9
    }

    fn vector(&mut self) -> [u8; 16] {
        [1; 16]
    }

    fn hide(&mut self, _: u16, _: &[u8], _: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&secret::<18>());
    }
}

fn body(parts: &[&[u8]], text: &str) -> Sample {
    Sample {
        datagram: with_body(4711, 12, &parts.concat()),
        text: text.into(),
    }
}

const CDN: &[u8] = &[0x80, 8, 0, 0, 0, 0, 0, 14];
const ICRQ: &[u8] = &[0x80, 8, 0, 0, 0, 0, 0, 10];

/// What is hidden, or known to nobody.
fn hidden() -> Vec<Sample> {
    let mut hidden = Vec::new();
    Message::Icrp(Icrp {
        assigned_session: SESSION,
    })
    .emit_hidden(&mut Plain, &mut hidden)
    .unwrap();
    alloc::vec![
        body(
            &[&hidden],
            "ICRP tunnel 4711 session 12 Ns 3 Nr 2: Random Vector 16 octets, Assigned Session ID hidden 18 octets"
        ),
        body(
            &[ICRQ, &avp(0x40, 9, 1, &secret::<5>())],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: AVP 9/1 hidden 5 octets M=0"
        ),
        body(
            &[ICRQ, &avp(0x84, 0, 33, &secret::<5>())],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: Proxy Authen Response with reserved bits 5 octets M=1"
        ),
        body(
            &[ICRQ, &avp(0x80, 9, 1, b"1234"), &avp(0, 0, 99, b"")],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: AVP 9/1 4 octets M=1, AVP 0/99 0 octets M=0"
        ),
        body(
            &[ICRQ, &avp(0x80, 0, 59, &secret::<17>())],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: AVP 0/59 17 octets M=1"
        ),
    ]
}

/// What only a hand writes.
fn broken() -> Vec<Sample> {
    alloc::vec![
        body(
            &[ICRQ, &avp(0, 0, 15, b"123")],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: Call Serial Number 3 octets malformed: avp_value_length M=0"
        ),
        body(
            &[
                CDN,
                &avp(0x80, 0, 1, &[0, 1]),
                &avp(0x80, 0, 1, &[0, 99, 0, 98])
            ],
            "CDN tunnel 4711 session 12 Ns 3 Nr 2: Result Code 1 (loss of carrier), Result Code 99 error 98"
        ),
        body(
            &[
                ICRQ,
                &avp(0, 0, 24, b"1234"),
                &avp(0x80, 0, 13, &secret::<9>())
            ],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: (Tx) Connect Speed 825373492 M=0, Challenge Response 9 octets malformed: avp_value_length"
        ),
        body(
            &[ICRQ, &[0x80, 5, 0, 0, 0, 33], &secret::<6>()],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: malformed: avp_length_below_header"
        ),
        body(
            &[ICRQ, &[0x80, 40, 0, 0, 0, 33], &secret::<6>()],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: malformed: avp_truncated"
        ),
        body(
            &[ICRQ, ICRQ],
            "ICRQ tunnel 4711 session 12 Ns 3 Nr 2: Message Type 10 (ICRQ)"
        ),
        body(
            &[&[0x80, 8, 0, 0, 0, 0, 0, 99], &avp(0x80, 0, 7, b"x")],
            r#"message type 99 M=1 tunnel 4711 session 12 Ns 3 Nr 2: Host Name "x""#
        ),
        body(
            &[&avp(0x80, 0, 7, b"lac1"), &avp(0, 0, 33, &secret::<8>())],
            r#"control tunnel 4711 session 12 Ns 3 Nr 2: Host Name "lac1", Proxy Authen Response masked, malformed: no_message_type"#
        ),
        body(
            &[&avp(0xc0, 0, 0, &secret::<2>())],
            "control tunnel 4711 session 12 Ns 3 Nr 2: Message Type hidden 2 octets, malformed: no_message_type"
        ),
        body(
            &[&[0x80]],
            "control tunnel 4711 session 12 Ns 3 Nr 2: malformed: avp_truncated"
        ),
    ]
}

/// One AVP, with any flags.
fn avp(flags: u8, vendor: u16, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Avp {
        mandatory: false,
        hidden: false,
        reserved: false,
        vendor,
        kind,
        value,
    }
    .emit(&mut out)
    .unwrap();
    out[0] |= flags;
    out
}
