//! Each kind of datagram and its exact line; cut short at each octet, none panics or tells a secret.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::l2tp::{Avps, MessageType};
use crate::ppp::{Framing, Protocol};
use crate::samples::{self, SECRET, data, frame, packet, secret, with_body};

fn text(datagram: &[u8]) -> String {
    DatagramText::new(datagram).to_string()
}

/// One line with nothing in it of a secret: not as text, not as a number.
#[track_caller]
fn assert_fit_to_show(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(!text.contains("QQ") && !text.contains("5151"), "{text}");
}

#[test]
fn each_message_and_each_packet_is_one_line() {
    let wrong: Vec<String> = samples::all()
        .into_iter()
        .map(|sample| (text(&sample.datagram), sample.text))
        .filter(|(is, wanted)| is != wanted)
        .map(|(is, wanted)| alloc::format!("{is}\n  wanted: {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_lines_leave_no_message_and_no_protocol_out() {
    let kinds: Vec<_> = samples::all()
        .iter()
        .map(|sample| DatagramText::new(&sample.datagram).kind())
        .collect();
    for message in MessageType::ALL {
        assert!(
            kinds.iter().any(|kind| kind == message.label()),
            "{message:?}"
        );
    }
    for kind in [
        "ZLB",
        "LCP Echo-Request",
        "PAP Authenticate-Request",
        "CHAP Success",
    ] {
        assert!(kinds.iter().any(|each| each == kind), "{kind}");
    }
    for kind in [
        "IPCP Configure-Nak",
        "EAP Response",
        "IPv4",
        "IPv6",
        "multilink",
    ] {
        assert!(kinds.iter().any(|each| each == kind), "{kind}");
    }
}

#[test]
fn every_avp_that_is_known_has_its_value_in_a_line() {
    let mut seen: Vec<u16> = Vec::new();
    for sample in samples::all() {
        if let Ok(Packet::Control(_, body)) = Packet::parse(&sample.datagram) {
            seen.extend(Avps::new(body).flatten().map(|avp| avp.kind));
        }
    }
    for kind in (0..=u16::MAX).filter(|kind| crate::l2tp::kind::is_known(*kind)) {
        assert!(seen.contains(&kind), "{kind}");
    }
}

#[test]
fn no_line_has_a_secret_in_it_wherever_a_datagram_is_cut() {
    for sample in samples::all() {
        let whole = sample.datagram;
        for len in 0..=whole.len() {
            let mut cut = whole[..len].to_vec();
            assert_fit_to_show(&text(&cut));
            if let (true, Ok(len)) = (whole[0] & 0x40 != 0 && len >= 4, u16::try_from(len)) {
                cut[2..4].copy_from_slice(&len.to_be_bytes());
                assert_fit_to_show(&text(&cut));
            }
        }
    }
}

#[test]
fn a_cut_datagram_is_shown_as_far_as_it_can_be_read() {
    let body = &samples::message(12, &crate::l2tp::Message::Hello)[12..];
    let body = [
        body,
        &[0x80, 10, 0, 0, 0, 7, b'l', b'a', b'c', b'1'],
        &[0x80, 8, 0, 0],
    ]
    .concat();
    assert_eq!(
        text(&with_body(4711, 0, &body)),
        r#"HELLO tunnel 4711 Ns 3 Nr 2: Host Name "lac1", malformed: avp_truncated"#
    );
    let sccrq = samples::all().swap_remove(0).datagram;
    assert_eq!(text(&sccrq[..40]), "40 octets: malformed: header_length");
    assert_eq!(text(&[]), "0 octets: malformed: header_truncated");
    assert_eq!(text(&[0, 3, 0, 0]), "4 octets: malformed: header_version");
    assert_eq!(DatagramText::new(&[]).kind(), "malformed");
    assert_eq!(
        text(&data(&[])),
        "data tunnel 4711 session 12: malformed: truncated"
    );
}

#[test]
fn a_data_message_shows_its_number_and_priority_in_every_form_of_frame() {
    let echo = packet(crate::ppp::Code::ECHO_REQUEST, 1, &[0, 0, 0, 1]);
    let ip = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    for (acfc, pfc) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut short = alloc::vec![0x4b, 2, 0, 0, 0, 1, 0, 2, 0, 7, 0, 0, 0, 3, 9, 9, 9];
        Framing { acfc, pfc }.emit_header(Protocol::IPV4, &mut short);
        short.extend_from_slice(&ip);
        short[3] = u8::try_from(short.len()).unwrap();
        short.extend_from_slice(b"padding");
        assert_eq!(
            text(&short),
            "data tunnel 1 session 2 Ns 7 priority: IPv4 TCP 10.0.0.1 to 10.0.0.2, 20 octets"
        );
    }
    let echo = FrameText::new(&frame(Protocol::LCP, &echo)).to_string();
    assert_eq!(echo, "LCP Echo-Request id 1: Magic-Number 0x00000001");
}

#[test]
fn a_message_of_too_many_avps_and_options_is_cut() {
    let body = [0x80, 6, 0, 0, 0, 39].repeat(200);
    let line = text(&with_body(4711, 0, &body));
    assert!(line.ends_with(", Sequencing Required, ..."), "{line}");
    assert_eq!(line.matches("Sequencing").count(), limits::ITEMS);
    let request = packet(crate::ppp::Code::CONFIGURE_REQUEST, 1, &[7, 2].repeat(200));
    let line = text(&data(&frame(Protocol::LCP, &request)));
    assert!(line.ends_with(", PFC, ..."), "{line}");
    assert_eq!(line.matches("PFC").count(), limits::ITEMS);
}

#[test]
fn a_body_and_a_frame_alone_are_shown_as_in_a_datagram() {
    for sample in samples::all() {
        match Packet::parse(&sample.datagram).unwrap() {
            Packet::Control(_, body) => {
                let line = MessageText::new(body).to_string();
                let (kind, avps) = line.split_at(line.find(": ").unwrap_or(line.len()));
                assert!(sample.text.starts_with(kind), "{kind}");
                assert!(sample.text.ends_with(avps), "{avps}");
            }
            Packet::Data(_, frame) => {
                let line = FrameText::new(frame).to_string();
                assert!(sample.text.ends_with(&line), "{line}");
            }
        }
    }
}

#[test]
fn debug_output_is_the_text() {
    let request = [&[1, 7, 0, 12, 1, b'a', 5][..], &secret::<5>()].concat();
    let datagram = data(&frame(Protocol::PAP, &request));
    let debug = alloc::format!("{:?}", DatagramText::new(&datagram));
    assert_eq!(debug, text(&datagram));
    assert!(datagram.contains(&SECRET) && !debug.contains("QQ"));
}

proptest! {
    /// Behind any header that can be read there may be anything.
    #[test]
    fn any_octets_give_one_line_of_bounded_length(
        start in prop::sample::select(STARTS.as_slice()),
        octets in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut datagram = start.to_vec();
        datagram.extend(&octets);
        if start.first() == Some(&0xc8) {
            let len = u16::try_from(datagram.len()).unwrap();
            datagram[2..4].copy_from_slice(&len.to_be_bytes());
        }
        let line = text(&datagram);
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        prop_assert!(line.len() / 32 < 7_usize.saturating_add(datagram.len()), "{line}");
        prop_assert!(!DatagramText::new(&datagram).kind().is_empty());
    }
}

/// Beginnings of datagrams, up to where a peer's own words begin.
const STARTS: [&[u8]; 8] = [
    &[],
    &[0xc8, 2, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4],
    &[
        0xc8, 2, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0x80, 8, 0, 0, 0, 0, 0, 12,
    ],
    &[0, 2, 0, 1, 0, 2],
    &[0, 2, 0, 1, 0, 2, 0xff, 3, 0xc0, 0x21],
    &[0, 2, 0, 1, 0, 2, 0xc0, 0x23, 1, 1],
    &[0, 2, 0, 1, 0, 2, 0xc2, 0x23, 2, 1],
    &[0, 2, 0, 1, 0, 2, 0x80, 0x21],
];
