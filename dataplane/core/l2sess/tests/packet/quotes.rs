//! The packet that an ICMP error quotes.

use lns_l2sess::Family;
use lns_l2sess::packet::Packet;

use super::support::*;
use super::{FROM, TO};

const ROUTER: Host = Host(9);

fn errors(family: Family) -> &'static [u8] {
    match family {
        Family::IPv4 => &[3, 11, 12],
        Family::IPv6 => &[1, 2, 3, 4],
    }
}

/// What can be quoted, and how many octets of it are needed.
fn quotable(family: Family) -> Vec<(Vec<u8>, usize)> {
    let (header, icmp_number, echo) = match family {
        Family::IPv4 => (20, 1, 8),
        Family::IPv6 => (40, 58, 128),
    };
    let whole = |protocol, upper: &[u8]| packet(family, FROM, TO, protocol, upper);
    let mut all = vec![
        (whole(17, &udp(1000, 53, 30)), header + 8),
        (whole(6, &tcp(1000, 80, ACK)), header + 8),
        (whole(icmp_number, &icmp(echo, 0, 77, 30)), header + 8),
        (whole(50, &[0x5a; 40]), header),
    ];
    match family {
        Family::IPv4 => {
            let octets = ipv4(FROM, TO, 17, 0x2000, &[1; 8], &udp(1000, 53, 16));
            all.push((octets, 36));
        }
        Family::IPv6 => {
            let (next, behind) = extensions(&[(0, 0), (60, 1)], 17, &udp(1000, 53, 16));
            all.push((ipv6(FROM, TO, next, &behind), 40 + 24 + 8));
        }
    }
    all
}

#[test]
fn a70_an_error_quotes_the_tuple_of_the_packet_as_it_went() {
    for family in Family::ALL {
        for (octets, needed) in quotable(family) {
            let went = Packet::parse(&octets).unwrap().tuple().unwrap();
            for kind in errors(family) {
                for length in 0..=octets.len() {
                    let error = icmp_error(family, ROUTER, FROM, *kind, &octets[..length]);
                    let quoted = Packet::parse(&error).unwrap().quoted();
                    let expected = (length >= needed).then_some(went);
                    assert_eq!(quoted, expected, "{kind} {length}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_error_quotes_nothing() {
    for family in Family::ALL {
        let udp = packet(family, FROM, TO, 17, &udp(1000, 53, 0));
        for kind in 0..=255 {
            let error = icmp_error(family, ROUTER, FROM, kind, &udp);
            let quotes = Packet::parse(&error).unwrap().quoted().is_some();
            assert_eq!(quotes, errors(family).contains(&kind), "{family:?} {kind}");
        }
    }
}

#[test]
fn an_error_for_another_than_the_sender_of_the_packet_quotes_nothing() {
    for family in Family::ALL {
        let udp = packet(family, FROM, TO, 17, &udp(1000, 53, 0));
        for kind in errors(family) {
            let error = icmp_error(family, ROUTER, TO, *kind, &udp);
            assert_eq!(Packet::parse(&error).unwrap().quoted(), None);
        }
    }
}

#[test]
fn an_error_about_an_error_and_one_of_the_other_family_quote_nothing() {
    for (family, other) in [(Family::IPv4, Family::IPv6), (Family::IPv6, Family::IPv4)] {
        let kind = errors(family)[0];
        let udp_of = |family| packet(family, FROM, TO, 17, &udp(1000, 53, 0));
        let error = icmp_error(family, TO, FROM, kind, &udp_of(family));
        let about_it = icmp_error(family, ROUTER, TO, kind, &error);
        assert_eq!(Packet::parse(&about_it).unwrap().quoted(), None);
        let crossed = icmp_error(family, ROUTER, FROM, kind, &udp_of(other));
        assert_eq!(Packet::parse(&crossed).unwrap().quoted(), None);
    }
}

#[test]
fn a_later_fragment_of_an_error_quotes_nothing() {
    let udp = packet(Family::IPv4, FROM, TO, 17, &udp(1000, 53, 0));
    let mut error = icmp_error(Family::IPv4, ROUTER, FROM, 3, &udp);
    assert!(Packet::parse(&error).unwrap().quoted().is_some());
    error[7] = 1;
    assert_eq!(Packet::parse(&error).unwrap().quoted(), None);
}
