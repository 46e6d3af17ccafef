//! IPCP: which address the peer gets, and what else it may ask for.

use core::net::Ipv4Addr;

use lns_wire::ppp::Protocol;

use super::super::Phase;
use super::bench::{Bench, SUBSCRIBER, address_option, config, seconds};
use crate::automaton::State;
use crate::{
    AddressGrant, AuthMethod, CloseReason, Config, Discard, Error, Event, GrantedAddress, limits,
};

const NO_AUTH: &[AuthMethod] = &[AuthMethod::None];
const DNS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(192, 0, 2, 54)];

fn granted(config: Config) -> Bench {
    let mut bench = Bench::past_authentication(config);
    bench.grant(SUBSCRIBER);
    bench
}

fn unnegotiated(address: [u8; 4]) -> Vec<u8> {
    address_option(address.into())
}

#[test]
fn a_peer_that_naks_our_address_without_end_is_given_up_after_twenty() {
    let mut bench = Bench::past_authentication(Config::default());
    bench.grant(SUBSCRIBER);
    let mut rounds = 0;
    while let Some(request) = bench.sent().into_iter().find(|sent| sent.code == 1) {
        bench
            .ipcp(3, request.id, &address_option(SUBSCRIBER))
            .unwrap();
        rounds += 1;
        assert!(rounds <= 21, "it goes on for ever");
    }
    assert_eq!(rounds, 21);
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::NetworkTimeout)]
    );
}

#[test]
fn our_request_carries_the_local_address_of_the_grant_or_of_the_configuration() {
    let pool = Ipv4Addr::new(100, 64, 0, 1);
    for (local, expected) in [(None, Ipv4Addr::new(192, 0, 0, 8)), (Some(pool), pool)] {
        let mut bench = Bench::past_authentication(config(NO_AUTH));
        let grant = AddressGrant {
            dns: None,
            address: GrantedAddress::Fixed(SUBSCRIBER),
            local,
        };
        bench
            .session
            .handle_address(Some(grant), bench.now, &mut bench.rng, &mut bench.out);
        let parameters = bench.open_ipcp();
        assert_eq!(parameters.local, expected);
        assert_eq!(parameters.address, Some(SUBSCRIBER));
    }
    let mut bench = granted(config(NO_AUTH));
    assert_eq!(bench.sent().pop().unwrap().data, [3, 6, 192, 0, 0, 8]);
}

#[test]
fn any_other_address_gets_a_nak_with_the_right_one() {
    let mut bench = granted(config(NO_AUTH));
    bench.sent();
    for wrong in [
        &unnegotiated([0, 0, 0, 0])[..],
        &unnegotiated([10, 0, 0, 1]),
        &unnegotiated([255; 4]),
        &[3, 3, 1],
        &[],
    ] {
        bench.ipcp(1, 1, wrong).unwrap();
        let nak = bench.sent().remove(0);
        assert_eq!(
            (nak.code, nak.data),
            (3, address_option(SUBSCRIBER)),
            "{wrong:?}"
        );
    }
    bench.ipcp(1, 2, &address_option(SUBSCRIBER)).unwrap();
    assert_eq!(bench.sent()[0].code, 2);
}

#[test]
fn a_peer_that_insists_on_another_address_is_ended() {
    let mut bench = granted(config(NO_AUTH));
    for _ in 0..limits::MAX_FAILURE {
        bench.ipcp(1, 1, &unnegotiated([10, 0, 0, 1])).unwrap();
    }
    assert_eq!(bench.events(), []);
    bench.ipcp(1, 1, &unnegotiated([10, 0, 0, 1])).unwrap();
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AddressRefused)]
    );
}

#[test]
fn a_peer_that_never_names_an_address_opens_without_one() {
    let mut bench = granted(config(NO_AUTH));
    let request = bench.sent().pop().unwrap();
    bench.ipcp(2, request.id, &request.data).unwrap();
    for _ in 0..limits::MAX_FAILURE {
        bench.ipcp(1, 1, &[]).unwrap();
        assert_eq!(bench.sent()[0].code, 3);
    }
    bench.ipcp(1, 1, &[]).unwrap();
    assert_eq!(bench.sent()[0].code, 2);
    let Some(Event::Opened(parameters)) = bench.events().pop() else {
        panic!("not open")
    };
    assert_eq!(parameters.address, None);
}

#[test]
fn name_servers_are_told_by_nak_and_rejected_where_there_is_none() {
    let asks = [
        &address_option(SUBSCRIBER)[..],
        &[129, 6, 0, 0, 0, 0, 131, 6, 0, 0, 0, 0],
    ]
    .concat();
    let mut bench = granted(Config {
        dns: [Some(DNS[0]), Some(DNS[1])],
        ..config(NO_AUTH)
    });
    bench.sent();
    bench.ipcp(1, 1, &asks).unwrap();
    let nak = bench.sent().remove(0);
    assert_eq!(
        (nak.code, &nak.data[..]),
        (3, &[129, 6, 192, 0, 2, 53, 131, 6, 192, 0, 2, 54][..])
    );
    bench
        .ipcp(1, 2, &[&address_option(SUBSCRIBER), &nak.data[..]].concat())
        .unwrap();
    assert_eq!(bench.sent()[0].code, 2);

    let mut bench = granted(Config {
        dns: [Some(DNS[0]), None],
        ..config(NO_AUTH)
    });
    bench.sent();
    bench.ipcp(1, 1, &asks).unwrap();
    let reject = bench.sent().remove(0);
    assert_eq!(
        (reject.code, &reject.data[..]),
        (4, &[131, 6, 0, 0, 0, 0][..])
    );
}

#[test]
fn a_peer_that_insists_on_other_name_servers_has_them_rejected() {
    let mut bench = granted(Config {
        dns: [Some(DNS[0]), None],
        ..config(NO_AUTH)
    });
    let asks = [&address_option(SUBSCRIBER)[..], &[129, 6, 9, 9, 9, 9]].concat();
    for _ in 0..limits::MAX_FAILURE {
        bench.ipcp(1, 1, &asks).unwrap();
    }
    bench.sent();
    bench.ipcp(1, 1, &asks).unwrap();
    let reject = bench.sent().remove(0);
    assert_eq!(
        (reject.code, &reject.data[..]),
        (4, &[129, 6, 9, 9, 9, 9][..])
    );
}

#[test]
fn compression_wins_servers_and_the_old_addresses_option_are_rejected() {
    let mut bench = granted(config(NO_AUTH));
    bench.sent();
    let refused: [&[u8]; 5] = [
        &[1, 10, 10, 0, 0, 1, 10, 0, 0, 2],
        &[2, 6, 0x00, 0x2d, 15, 1],
        &[130, 6, 0, 0, 0, 0],
        &[132, 6, 0, 0, 0, 0],
        &[144, 6, 0, 0, 0, 0],
    ];
    for option in refused {
        bench
            .ipcp(1, 3, &[option, &unnegotiated([0; 4])].concat())
            .unwrap();
        let reject = bench.sent().remove(0);
        assert_eq!((reject.code, &reject.data[..]), (4, option));
    }
}

#[test]
fn a_nak_or_reject_of_our_own_address_changes_nothing_or_leaves_it_out() {
    let mut bench = granted(config(NO_AUTH));
    let request = bench.sent().pop().unwrap();
    bench
        .ipcp(3, request.id, &unnegotiated([10, 9, 9, 9]))
        .unwrap();
    let again = bench.sent().pop().unwrap();
    assert_eq!(again.data, request.data);
    bench.ipcp(4, again.id, &again.data).unwrap();
    assert_eq!(bench.sent().pop().unwrap().data, []);
}

#[test]
fn a_peer_that_may_choose_gets_what_the_owner_approves() {
    let chosen = Ipv4Addr::new(203, 0, 113, 9);
    let mut bench = Bench::past_authentication(config(NO_AUTH));
    bench.answer_address(Some(GrantedAddress::PeerChooses));
    let request = bench.sent().pop().unwrap();
    bench.ipcp(2, request.id, &request.data).unwrap();
    bench.ipcp(1, 1, &address_option(chosen)).unwrap();
    assert_eq!(
        bench.events(),
        [Event::AddressWanted {
            requested: Some(chosen)
        }]
    );
    // Asked again while the owner thinks: it is not asked twice.
    assert_eq!(
        bench.ipcp(1, 1, &address_option(chosen)),
        Err(Error::Discarded(Discard::Repeated))
    );
    assert_eq!(bench.events(), []);
    bench.grant(chosen);
    assert_eq!(
        bench.sent()[0].code,
        2,
        "the request that waited is answered"
    );
    let Some(Event::Opened(parameters)) = bench.events().pop() else {
        panic!("not open")
    };
    assert_eq!(parameters.address, Some(chosen));
}

#[test]
fn a_peer_that_may_choose_and_does_not_is_given_an_address() {
    for address in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        let mut bench = Bench::past_authentication(config(NO_AUTH));
        bench.answer_address(Some(GrantedAddress::PeerChooses));
        bench.sent();
        bench.ipcp(1, 1, &unnegotiated(address)).unwrap();
        assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
        bench.grant(SUBSCRIBER);
        let nak = bench.sent().remove(0);
        assert_eq!((nak.code, nak.data), (3, address_option(SUBSCRIBER)));
    }
}

#[test]
fn no_address_ends_the_session() {
    let mut bench = Bench::past_authentication(config(NO_AUTH));
    bench.answer_address(None);
    assert_eq!(bench.events(), [Event::Closing(CloseReason::NoAddress)]);

    let mut bench = Bench::past_authentication(config(NO_AUTH));
    bench.answer_address(Some(GrantedAddress::PeerChooses));
    bench.ipcp(1, 1, &[]).unwrap();
    bench.events();
    bench.answer_address(Some(GrantedAddress::PeerChooses));
    assert_eq!(bench.events(), [Event::Closing(CloseReason::NoAddress)]);

    // Nor does an owner that never answers keep it for ever.
    let mut bench = Bench::past_authentication(config(NO_AUTH));
    bench.advance(seconds(60));
    assert_eq!(bench.events(), [Event::Closing(CloseReason::NoAddress)]);
}

#[test]
fn a_request_that_came_before_the_address_is_answered_when_it_is_known() {
    let mut bench = Bench::past_authentication(config(NO_AUTH));
    bench.ipcp(1, 77, &unnegotiated([0; 4])).unwrap();
    assert!(matches!(
        bench.ipcp(1, 78, &[3, 1]),
        Err(Error::Malformed(_))
    ));
    assert_eq!(bench.ipcp(2, 1, &[]), Err(Error::Discarded(Discard::Phase)));
    assert!(bench.sent().is_empty());
    bench.grant(SUBSCRIBER);
    let [request, nak] = &bench.sent()[..] else {
        panic!("a request and a Nak")
    };
    assert_eq!((request.code, nak.code, nak.id), (1, 3, 77));
}

#[test]
fn an_address_that_nobody_asked_for_changes_nothing() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench.grant(Ipv4Addr::new(10, 0, 0, 1));
    bench.answer_address(None::<GrantedAddress>.or(Some(GrantedAddress::PeerChooses)));
    assert_eq!(bench.events(), []);
    let mut bench = Bench::past_lcp(config(&[AuthMethod::Pap]));
    bench.events();
    bench.grant(SUBSCRIBER);
    assert_eq!((bench.events(), bench.sent()), (vec![], vec![]));
}

#[test]
fn framed_ip_addresses_have_two_that_are_none() {
    assert_eq!(
        GrantedAddress::from_framed_ip_address(Ipv4Addr::new(255, 255, 255, 254)),
        None
    );
    assert_eq!(
        GrantedAddress::from_framed_ip_address(Ipv4Addr::BROADCAST),
        Some(GrantedAddress::PeerChooses)
    );
    assert_eq!(
        GrantedAddress::from_framed_ip_address(SUBSCRIBER),
        Some(GrantedAddress::Fixed(SUBSCRIBER))
    );
}

#[test]
fn other_network_protocols_are_rejected_with_a_bounded_copy() {
    let mut bench = Bench::open(config(NO_AUTH));
    let protocols = [
        Protocol::CCP,
        Protocol::ECP,
        Protocol::IPV6CP,
        Protocol::IPXCP,
        Protocol::EAP,
        Protocol(0x4001),
    ];
    let mut ids = Vec::new();
    for protocol in protocols {
        bench.packet(protocol, 1, 9, &[0; 3000]).unwrap();
        let reject = bench.sent().remove(0);
        assert_eq!((reject.protocol, reject.code), (Protocol::LCP, 8));
        assert_eq!(
            reject.data[..6],
            [&protocol.0.to_be_bytes()[..], &[1, 9, 0x0b, 0xbc]].concat()
        );
        assert_eq!(reject.data.len(), 1496);
        ids.push(reject.id);
    }
    assert!(
        ids.windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1))
    );
    assert_eq!(bench.events(), []);
}

#[test]
fn ip_that_strays_into_control_is_no_error_once_ipcp_is_open() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench.packet(Protocol::IPV4, 0x45, 0, &[0; 40]).unwrap();
    let mut bench = granted(config(NO_AUTH));
    assert_eq!(
        bench.packet(Protocol::IPV4, 0x45, 0, &[0; 40]),
        Err(Error::Discarded(Discard::Phase))
    );
}

#[test]
fn a_peer_that_closes_or_rejects_ipcp_has_nothing_left() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench.ipcp(5, 3, &[]).unwrap();
    assert_eq!(bench.sent()[0].code, 6);
    assert_eq!(bench.events(), [Event::NetworkDown]);
    assert_eq!(bench.session.ipcp_state(), State::Stopping);
    bench.advance(seconds(3));
    assert_eq!(bench.events(), [Event::Closing(CloseReason::NetworkClosed)]);

    let mut bench = granted(config(NO_AUTH));
    bench.lcp(8, 3, &[0x80, 0x21, 1, 1, 0, 4]).unwrap();
    assert_eq!(bench.events(), [Event::Closing(CloseReason::NetworkClosed)]);

    let mut bench = granted(config(NO_AUTH));
    bench.ipcp(7, 3, &[1, 1, 0, 4]).unwrap();
    assert_eq!(bench.events(), [Event::Closing(CloseReason::NetworkClosed)]);
}

#[test]
fn codes_of_lcp_are_unknown_to_ipcp() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench.ipcp(9, 3, &[0; 4]).unwrap();
    let reject = bench.sent().remove(0);
    assert_eq!(
        (reject.protocol, reject.code, reject.data[0]),
        (Protocol::IPCP, 7, 9)
    );
}

#[test]
fn an_ipcp_that_is_not_answered_is_given_up() {
    let mut bench = granted(config(NO_AUTH));
    bench.advance(seconds(30));
    assert_eq!(
        bench
            .sent()
            .iter()
            .filter(|sent| sent.protocol == Protocol::IPCP)
            .count(),
        10
    );
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::NetworkTimeout)]
    );
}

#[test]
fn a_renegotiation_of_ipcp_alone_leaves_the_peer_known() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench.ipcp(1, 9, &unnegotiated([0; 4])).unwrap();
    assert_eq!(bench.events(), [Event::NetworkDown]);
    let [request, nak] = &bench.sent()[..] else {
        panic!("a request and a Nak")
    };
    assert_eq!((request.code, nak.code), (1, 3));
    bench.ipcp(1, 10, &address_option(SUBSCRIBER)).unwrap();
    bench.ipcp(2, request.id, &request.data).unwrap();
    assert!(matches!(bench.events()[..], [Event::Opened(_)]));
    assert_eq!(bench.session.phase(), Phase::Network);
}
