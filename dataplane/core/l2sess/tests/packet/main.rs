//! What is read of packets: of both families, whole, in fragments, with options and extension headers,
//! cut short, and with any bit changed. `etherparse` is asked, too.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod other_reader;
mod quotes;
mod shapes;
mod truncation;

use lns_l2sess::Family;
use support::*;

const FROM: Host = Host(1);
const TO: Host = Host(2);

/// Packets of every shape that the crate knows, with a name.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut samples = Vec::new();
    for family in Family::ALL {
        let whole = |protocol, upper: &[u8]| packet(family, FROM, TO, protocol, upper);
        let icmp_number = if family == Family::IPv4 { 1 } else { 58 };
        let (echo, unreachable) = if family == Family::IPv4 {
            (8, 3)
        } else {
            (128, 1)
        };
        let segment = whole(6, &tcp(1000, 80, SYN));
        samples.extend([
            ("tcp", segment.clone()),
            ("udp", whole(17, &udp(1000, 53, 20))),
            ("udp without data", whole(17, &udp(1000, 53, 0))),
            ("sctp", whole(132, &udp(1000, 53, 4))),
            ("echo", whole(icmp_number, &icmp(echo, 0, 77, 8))),
            ("esp", whole(50, &[0x5a; 16])),
            ("gre", whole(47, &[0, 0, 8, 0])),
            ("nothing", whole(59, &[])),
            (
                "error",
                icmp_error(family, Host(9), FROM, unreachable, &segment),
            ),
        ]);
    }
    let v4 = |fragment, options: &[u8], upper: &[u8]| ipv4(FROM, TO, 17, fragment, options, upper);
    let all = [
        (0, 0),
        (60, 1),
        (43, 2),
        (135, 0),
        (139, 1),
        (140, 0),
        (253, 0),
        (254, 1),
    ];
    let (next, behind) = extensions(&all, 17, &udp(1000, 53, 4));
    let first = [fragment_header(17, 0, true), udp(1000, 53, 12)].concat();
    let later = [fragment_header(17, 9, false), vec![0x5a; 12]].concat();
    samples.extend([
        (
            "options",
            v4(0, &[7, 7, 4, 0, 0, 0, 0, 0], &udp(1000, 53, 4)),
        ),
        ("first fragment", v4(0x2000, &[], &udp(1000, 53, 12))),
        ("later fragment", v4(0x2003, &[], &[0x5a; 16])),
        ("extensions", ipv6(FROM, TO, next, &behind)),
        ("first fragment, IPv6", ipv6(FROM, TO, 44, &first)),
        ("later fragment, IPv6", ipv6(FROM, TO, 44, &later)),
        (
            "node information",
            packet(Family::IPv6, FROM, TO, 58, &icmp(139, 0, 2, 8)),
        ),
    ]);
    samples
}
