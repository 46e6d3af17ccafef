//! Every attribute by itself, with each length that it cannot have, and all of them together.

use lns_wire::radius::{AttributeList, Code, Id};
use proptest::prelude::*;

use super::*;

fn parse(write: impl FnOnce(&mut AttributeList)) -> Result<Grant, GrantError> {
    let mut list = AttributeList::new();
    write(&mut list);
    let mut octets = Vec::new();
    list.emit(Code::ACCESS_ACCEPT, Id(1), &[0; 16], &mut octets)
        .unwrap();
    Grant::parse(&Packet::parse(&octets).unwrap())
}

fn one(kind: u8, value: &[u8]) -> Result<Grant, GrantError> {
    parse(|list| list.push(kind, value).unwrap())
}

fn pair(text: &str) -> Result<Grant, GrantError> {
    parse(|list| {
        list.push_vendor(vendor::CISCO, vendor::CISCO_AVPAIR, text.as_bytes())
            .unwrap();
    })
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

#[test]
fn nothing_said_is_nothing_granted() {
    assert_eq!(parse(|_| ()), Ok(Grant::default()));
    let unknown = one(200, b"whatever");
    assert_eq!(
        unknown,
        Ok(Grant::default()),
        "an unknown attribute is left alone"
    );
    let vendor = parse(|list| list.push_vendor(99_999, 1, b"x").unwrap());
    assert_eq!(vendor, Ok(Grant::default()));
}

#[test]
fn each_attribute_of_four_octets_is_refused_by_name_with_any_other_length() {
    let four = [
        kind::FRAMED_IP_ADDRESS,
        kind::FRAMED_IP_NETMASK,
        kind::FRAMED_MTU,
        kind::SESSION_TIMEOUT,
        kind::IDLE_TIMEOUT,
        kind::TERMINATION_ACTION,
        kind::ACCT_INTERIM_INTERVAL,
        kind::PORT_LIMIT,
    ];
    for kind in four {
        let name = kind::name(kind).unwrap();
        for length in (0..=253).filter(|length| *length != 4) {
            let refused = one(kind, &vec![1; length]);
            assert_eq!(
                refused,
                Err(GrantError::Malformed(name)),
                "{name}, {length} octets"
            );
        }
    }
}

#[test]
fn each_vendors_name_server_is_refused_by_name_with_any_other_length() {
    for (whose, number, name) in [
        (
            vendor::MICROSOFT,
            vendor::MS_PRIMARY_DNS,
            "MS-Primary-DNS-Server",
        ),
        (
            vendor::MICROSOFT,
            vendor::MS_SECONDARY_DNS,
            "MS-Secondary-DNS-Server",
        ),
        (
            vendor::ASCEND,
            vendor::ASCEND_PRIMARY_DNS,
            "Ascend-Client-Primary-DNS",
        ),
        (
            vendor::ASCEND,
            vendor::ASCEND_SECONDARY_DNS,
            "Ascend-Client-Secondary-DNS",
        ),
    ] {
        for value in [&[][..], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
            let refused = parse(|list| list.push_vendor(whose, number, value).unwrap());
            assert_eq!(refused, Err(GrantError::Malformed(name)));
        }
    }
}

#[test]
fn an_attribute_of_text_or_octets_is_refused_by_name_when_it_is_empty_or_no_text() {
    for kind in [
        kind::FILTER_ID,
        kind::FRAMED_POOL,
        kind::FRAMED_ROUTE,
        kind::CLASS,
        kind::STATE,
        kind::USER_NAME,
    ] {
        let name = kind::name(kind).unwrap();
        assert_eq!(one(kind, b""), Err(GrantError::Malformed(name)));
        let is_text = ![kind::CLASS, kind::STATE, kind::USER_NAME].contains(&kind);
        assert_eq!(one(kind, b"\xff\xfe").is_err(), is_text, "{name}");
    }
    assert_eq!(pair("\u{0}"), Ok(Grant::default()));
    let no_text = parse(|list| list.push_vendor(vendor::CISCO, 1, b"\xff").unwrap());
    assert_eq!(no_text, Err(GrantError::Malformed("Cisco-AVPair")));
}

#[test]
fn a_vendors_attribute_that_is_not_whole_is_refused() {
    for value in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\x09\x01",
        b"\0\0\0\x09\x01\x01",
        b"\0\0\0\x09\x01\x05x",
    ] {
        let refused = one(kind::VENDOR_SPECIFIC, value);
        assert_eq!(
            refused,
            Err(GrantError::Malformed("Vendor-Specific")),
            "{value:?}"
        );
    }
    let others = one(
        kind::VENDOR_SPECIFIC,
        b"\0\0\x01\0whatever they put into it",
    );
    assert_eq!(
        others,
        Ok(Grant::default()),
        "the rest of another vendor's is his"
    );
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (kind, value) in [
        (kind::FRAMED_MTU, 63_u32),
        (kind::FRAMED_MTU, 65_536),
        (kind::TERMINATION_ACTION, 2),
        (kind::FRAMED_IP_NETMASK, 0xff00_ff00),
        (kind::FRAMED_IP_NETMASK, 0xfe00_0000),
        (kind::FRAMED_IP_ADDRESS, 0),
        (kind::FRAMED_IP_ADDRESS, 0x7f00_0001),
        (kind::FRAMED_IP_ADDRESS, 0xe000_0001),
    ] {
        let name = kind::name(kind).unwrap();
        assert_eq!(
            one(kind, &value.to_be_bytes()),
            Err(GrantError::Malformed(name))
        );
    }
    for route in ["x", "192.0.2.0/33", "0.0.0.0/0 1.2.3.4"] {
        let refused = one(kind::FRAMED_ROUTE, route.as_bytes());
        assert_eq!(refused, Err(GrantError::Malformed("Framed-Route")));
    }
    assert_eq!(
        pair("throttle=x"),
        Err(GrantError::Malformed("Cisco-AVPair"))
    );
}

#[test]
fn what_may_be_there_once_may_be_there_twice_with_one_value_and_not_with_two() {
    let twice = |first: u32, second: u32| {
        parse(|list| {
            list.push_u32(kind::SESSION_TIMEOUT, first);
            list.push_u32(kind::SESSION_TIMEOUT, second);
        })
    };
    assert!(twice(60, 60).is_ok());
    assert_eq!(
        twice(60, 61),
        Err(GrantError::Contradictory("Session-Timeout"))
    );
}

#[test]
fn more_of_an_attribute_than_a_session_may_have_is_refused() {
    let many = |kind: u8, number: usize| {
        parse(|list| {
            for n in 0..number {
                list.push(kind, format!("198.51.{n}.0/24").as_bytes())
                    .unwrap();
            }
        })
    };
    for (kind, most) in [
        (kind::FRAMED_ROUTE, limits::ROUTES),
        (kind::CLASS, limits::CLASSES),
        (kind::FILTER_ID, limits::FILTER_IDS),
    ] {
        assert!(many(kind, most).is_ok());
        let name = kind::name(kind).unwrap();
        assert_eq!(many(kind, most + 1), Err(GrantError::TooMany(name)));
    }
}

#[test]
fn an_accept_with_everything_is_read_whole() {
    let all = parse(|list| {
        list.push_ipv4(kind::FRAMED_IP_ADDRESS, [203, 0, 113, 9].into());
        list.push_ipv4(kind::FRAMED_IP_NETMASK, [255, 255, 255, 248].into());
        list.push(kind::FRAMED_ROUTE, b"198.51.100.0/24 203.0.113.9 1")
            .unwrap();
        list.push(kind::FRAMED_POOL, b"gold").unwrap();
        list.push_u32(kind::FRAMED_MTU, 1400);
        list.push(kind::FILTER_ID, b"residential").unwrap();
        list.push(kind::FILTER_ID, b"walled").unwrap();
        list.push_u32(kind::SESSION_TIMEOUT, 3600);
        list.push_u32(kind::IDLE_TIMEOUT, 0);
        list.push_u32(kind::TERMINATION_ACTION, 1);
        list.push_u32(kind::ACCT_INTERIM_INTERVAL, 5);
        list.push(kind::CLASS, b"\x00\x01").unwrap();
        list.push(kind::CLASS, b"second").unwrap();
        list.push(kind::STATE, b"state").unwrap();
        list.push_u32(kind::PORT_LIMIT, 1);
        list.push(kind::REPLY_MESSAGE, b"Welcome, ").unwrap();
        list.push(kind::REPLY_MESSAGE, b"you").unwrap();
        list.push(kind::USER_NAME, b"line42").unwrap();
        let dns = |n| [192, 0, 2, n];
        list.push_vendor(vendor::MICROSOFT, vendor::MS_PRIMARY_DNS, &dns(1))
            .unwrap();
        list.push_vendor(vendor::ASCEND, vendor::ASCEND_PRIMARY_DNS, &dns(3))
            .unwrap();
        list.push_vendor(vendor::ASCEND, vendor::ASCEND_SECONDARY_DNS, &dns(2))
            .unwrap();
        let rate = b"lcp:interface-config#1=service-policy input 2000";
        list.push_vendor(vendor::CISCO, vendor::CISCO_AVPAIR, rate)
            .unwrap();
    });
    let expected = Grant {
        no_former_rates: false,
        address: Some([203, 0, 113, 9].into()),
        netmask: Some([255, 255, 255, 248].into()),
        routes: vec![net("198.51.100.0/24"), net("203.0.113.8/29")],
        pool: Some("gold".into()),
        mtu: Some(1400),
        filter_ids: vec!["residential".into(), "walled".into()],
        session_timeout: Some(Duration::from_secs(3600)),
        idle_timeout: Some(Duration::ZERO),
        termination_action: Some(TerminationAction::Ask),
        interim: Some(Duration::from_secs(60)),
        classes: vec![Box::from(*b"\x00\x01"), Box::from(*b"second")],
        state: Some(Box::from(*b"state")),
        port_limit: Some(1),
        dns: [Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into())],
        rates: GrantedRates {
            up: Some(2_000_000),
            down: None,
        },
        reply_message: Box::from(*b"Welcome, you"),
        user_name: Some(Arc::from(*b"line42")),
    };
    assert_eq!(all, Ok(expected));
}

#[test]
fn a_netmask_makes_a_net_of_an_address_of_ones_own_and_of_no_other() {
    let with = |address: [u8; 4], mask: [u8; 4]| {
        let grant = parse(|list| {
            list.push_ipv4(kind::FRAMED_IP_ADDRESS, address.into());
            list.push_ipv4(kind::FRAMED_IP_NETMASK, mask.into());
        });
        grant.unwrap().routes
    };
    assert_eq!(
        with([203, 0, 113, 9], [255, 255, 255, 252]),
        [net("203.0.113.8/30")]
    );
    assert!(with([203, 0, 113, 9], [255; 4]).is_empty());
    assert!(with([255, 255, 255, 254], [255, 255, 255, 0]).is_empty());
    assert!(with([255; 4], [255, 255, 255, 0]).is_empty());
    let alone = one(kind::FRAMED_IP_NETMASK, &[255, 255, 255, 0]).unwrap();
    assert!(alone.routes.is_empty());
}

#[test]
fn a_reply_message_is_cut_to_what_a_subscriber_can_be_told() {
    let long = parse(|list| {
        for _ in 0..3 {
            list.push(kind::REPLY_MESSAGE, &[b'x'; 253]).unwrap();
        }
    });
    assert_eq!(long.unwrap().reply_message.len(), limits::REPLY_MESSAGE);
}

#[test]
fn granted_rates_go_before_those_of_the_policies_each_direction_by_itself() {
    let policies = Rates {
        up: 1,
        down: 2,
        burst_milliseconds: 3,
    };
    let granted = GrantedRates {
        up: Some(9),
        down: None,
    };
    assert_eq!(granted.over(Some(policies)), Rates { up: 9, ..policies });
    let alone = granted.over(None);
    assert_eq!((alone.up, alone.down), (9, 0));
    assert_eq!(alone.burst_milliseconds, limits::GRANTED_BURST_MILLISECONDS);
    assert_eq!(GrantedRates::default().over(Some(policies)), policies);
}

proptest! {
    #[test]
    fn no_packet_is_too_strange_to_be_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut packet = vec![2, 1, 0, 0];
        packet.extend([0; 16]);
        packet.extend(&octets);
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        if let Ok(packet) = Packet::parse(&packet)
            && let Ok(grant) = Grant::parse(&packet)
        {
            prop_assert!(grant.routes.len() <= limits::ROUTES);
            prop_assert!(grant.reply_message.len() <= limits::REPLY_MESSAGE);
        }
    }
}
