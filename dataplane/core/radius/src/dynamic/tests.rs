//! Requests of dynamic authorization: believed or not, new or not, and what is made of them.

use core::net::Ipv4Addr;

use lns_crypto::radius::{
    NO_AUTHENTICATOR, sign_message, sign_request, verify_message, verify_response,
};
use lns_wire::radius::{HEADER, Id};
use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"a-coa-secret-of-some-length";
const OTHER: &[u8] = b"another-secret-of-some-length";
const DATE: u64 = 1_780_000_000;

fn now(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(1000) + Duration::from_secs(seconds)
}

fn oss() -> SocketAddr {
    "10.0.0.7:4000".parse().unwrap()
}

fn server_with(require: Require) -> Server {
    let mut identity = AttributeList::new();
    identity.push(kind::NAS_IDENTIFIER, b"edge").unwrap();
    identity.push_ipv4(kind::NAS_IP_ADDRESS, Ipv4Addr::new(192, 0, 2, 10));
    Server::new(Config {
        clients: vec![
            Client {
                name: "oss".into(),
                from: vec!["10.0.0.7/32".parse().unwrap()],
                secrets: Secrets {
                    current: Secret::new(SECRET),
                    previous: Some(Secret::new(b"the-secret-of-last-year".as_slice())),
                },
                message_authenticator: require,
            },
            Client {
                name: "others".into(),
                from: vec!["10.0.0.0/8".parse().unwrap()],
                secrets: Secrets {
                    current: Secret::new(OTHER),
                    previous: None,
                },
                message_authenticator: Require::Always,
            },
        ],
        identity,
    })
}

fn server() -> Server {
    server_with(Require::Always)
}

/// A request: attributes, and how it is signed.
struct Ask {
    code: Code,
    id: u8,
    list: AttributeList,
    secret: &'static [u8],
    message_authenticator: bool,
}

impl Ask {
    fn new(code: Code) -> Self {
        Self {
            code,
            id: 7,
            list: AttributeList::new(),
            secret: SECRET,
            message_authenticator: true,
        }
    }

    fn disconnect() -> Self {
        Self::new(Code::DISCONNECT_REQUEST).with(kind::ACCT_SESSION_ID, b"1-2-3")
    }

    fn change() -> Self {
        Self::new(Code::COA_REQUEST)
            .with(kind::USER_NAME, b"alice")
            .with(kind::FILTER_ID, b"GOLD")
    }

    fn with(mut self, kind: u8, value: &[u8]) -> Self {
        self.list.push(kind, value).unwrap();
        self
    }

    fn number(self, kind: u8, value: u32) -> Self {
        self.with(kind, &value.to_be_bytes())
    }

    fn octets(&self) -> Vec<u8> {
        let mut list = AttributeList::new();
        if self.message_authenticator {
            list.push(kind::MESSAGE_AUTHENTICATOR, &NO_AUTHENTICATOR)
                .unwrap();
        }
        let whole = [list.octets(), self.list.octets()].concat();
        let secret = Secret::new(self.secret);
        let mut out = Vec::new();
        AttributeList::from(whole)
            .emit(self.code, Id(self.id), &NO_AUTHENTICATOR, &mut out)
            .unwrap();
        if self.message_authenticator {
            sign_message(&mut out, HEADER + 2, &NO_AUTHENTICATOR, &secret).unwrap();
        }
        sign_request(&mut out, &secret).unwrap();
        out
    }
}

fn handle(server: &mut Server, ask: &Ask) -> Verdict {
    server.handle_datagram(oss(), &ask.octets(), DATE, now(0))
}

fn why(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Dropped { why, .. } => why.label(),
        Verdict::Reply(reply) => reply.result,
        Verdict::Order(..) => "order",
    }
}

fn order(verdict: Verdict) -> (Order, Ticket) {
    match verdict {
        Verdict::Order(order, ticket) => (*order, ticket),
        other @ (Verdict::Dropped { .. } | Verdict::Reply(_)) => panic!("{other:?}"),
    }
}

fn reply(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Reply(reply) => reply,
        other @ (Verdict::Dropped { .. } | Verdict::Order(..)) => panic!("{other:?}"),
    }
}

/// That an answer is signed twice, by the secret of the request, and what it says.
fn read(octets: &[u8], request: &[u8], secret: &[u8]) -> (Code, Option<u32>) {
    let asked = Packet::parse(request).unwrap();
    let packet = Packet::parse(octets).unwrap();
    let secret = Secret::new(secret);
    assert_eq!(packet.id, asked.id);
    assert!(verify_response(octets, &asked.authenticator, &secret));
    let first = packet.attributes().next().unwrap();
    assert_eq!(first.kind, kind::MESSAGE_AUTHENTICATOR);
    let mut unsigned = octets.to_vec();
    unsigned[4..20].copy_from_slice(&asked.authenticator);
    assert!(verify_message(
        &unsigned,
        HEADER + 2,
        &asked.authenticator,
        &secret
    ));
    let mut attributes = packet.attributes();
    let cause = attributes.find(|it| it.kind == kind::ERROR_CAUSE);
    (packet.code, cause.map(|cause| cause.u32().unwrap()))
}

#[test]
fn a_request_becomes_an_order_and_its_answer_is_signed_like_it() {
    let mut server = server();
    let ask = Ask::change()
        .number(kind::SESSION_TIMEOUT, 3600)
        .number(kind::EVENT_TIMESTAMP, u32::try_from(DATE).unwrap())
        .with(kind::NAS_IDENTIFIER, b"edge")
        .with(kind::PROXY_STATE, b"one")
        .with(kind::PROXY_STATE, b"two");
    let (order, ticket) = order(handle(&mut server, &ask));
    assert_eq!((&*order.client, order.command), ("oss", Command::Change));
    assert_eq!(order.target.user.as_deref(), Some(&b"alice"[..]));
    let changes: Vec<_> = order.changes.iter().map(|it| it.kind).collect();
    assert_eq!(changes, [kind::FILTER_ID, kind::SESSION_TIMEOUT]);
    let seen = order.with_changes(|packet| packet.attributes().count());
    assert_eq!(seen, Some(2));
    let reply = server.answer(ticket, Ok(()), now(0));
    assert_eq!(reply.result, "ack");
    assert_eq!(
        read(&reply.octets, &ask.octets(), SECRET),
        (Code::COA_ACK, None)
    );
    let packet = Packet::parse(&reply.octets).unwrap();
    let states: Vec<_> = packet
        .attributes()
        .filter(|it| it.kind == kind::PROXY_STATE)
        .map(|it| it.value)
        .collect();
    assert_eq!(states, [b"one", b"two"]);
}

#[test]
fn a_disconnect_is_acknowledged_as_an_administrative_reset_or_refused_with_its_cause() {
    let mut server = server();
    let ask = Ask::disconnect();
    let (order, ticket) = order(handle(&mut server, &ask));
    assert_eq!(order.target.session.as_deref(), Some("1-2-3"));
    let reply = server.answer(ticket, Ok(()), now(0));
    let packet = Packet::parse(&reply.octets).unwrap();
    assert_eq!(packet.code, Code::DISCONNECT_ACK);
    assert_eq!(
        packet.first(kind::ACCT_TERMINATE_CAUSE),
        Some(&[0, 0, 0, 6][..])
    );
    for (id, cause) in (10..).zip(ErrorCause::ALL) {
        let ask = Ask {
            id,
            ..Ask::disconnect()
        };
        let (_, ticket) = self::order(handle(&mut server, &ask));
        let reply = server.answer(ticket, Err(*cause), now(0));
        assert_eq!(reply.result, cause.label());
        assert_eq!(
            read(&reply.octets, &ask.octets(), SECRET),
            (Code::DISCONNECT_NAK, Some(cause.number()))
        );
    }
}

#[test]
fn who_is_no_client_or_signs_wrong_gets_no_answer_and_changes_nothing() {
    let mut server = server();
    let octets = Ask::disconnect().octets();
    let stranger = "192.0.2.7:4000".parse().unwrap();
    let verdict = server.handle_datagram(stranger, &octets, DATE, now(0));
    assert_eq!(why(&verdict), "stranger");
    let other = "10.0.0.8:4000".parse().unwrap();
    let verdict = server.handle_datagram(other, &octets, DATE, now(0));
    assert_eq!(
        why(&verdict),
        "bad_authenticator",
        "another client's secret"
    );
    let mapped = "[::ffff:10.0.0.7]:4000".parse().unwrap();
    let verdict = server.handle_datagram(mapped, &octets[..19], DATE, now(0));
    assert_eq!(why(&verdict), "malformed.truncated");
    for at in 0..octets.len() {
        let mut bent = octets.clone();
        bent[at] ^= 1;
        let verdict = server.handle_datagram(oss(), &bent, DATE, now(0));
        assert!(matches!(verdict, Verdict::Dropped { .. }), "octet {at}");
    }
    let other_code = Ask::new(Code::ACCESS_REQUEST).with(kind::USER_NAME, b"alice");
    assert_eq!(why(&handle(&mut server, &other_code)), "unexpected_code");
    assert_eq!(server.kept(), 0);
    assert_eq!(why(&handle(&mut server, &Ask::disconnect())), "order");
}

#[test]
fn either_secret_is_believed_and_answered_with() {
    let mut server = server();
    let old = Ask {
        secret: b"the-secret-of-last-year",
        ..Ask::disconnect()
    };
    let (_, ticket) = order(handle(&mut server, &old));
    let reply = server.answer(ticket, Ok(()), now(0));
    let (code, _) = read(&reply.octets, &old.octets(), b"the-secret-of-last-year");
    assert_eq!(code, Code::DISCONNECT_ACK);
}

#[test]
fn a_message_authenticator_is_asked_for_as_the_client_is_configured() {
    let without = |id| Ask {
        message_authenticator: false,
        id,
        ..Ask::disconnect()
    };
    let with = |id| Ask {
        id,
        ..Ask::disconnect()
    };
    let missing = "missing_message_authenticator";
    let mut always = server_with(Require::Always);
    assert_eq!(why(&handle(&mut always, &without(1))), missing);
    assert_eq!(why(&handle(&mut always, &with(2))), "order");
    let mut never = server_with(Require::Never);
    assert_eq!(why(&handle(&mut never, &with(1))), "order");
    assert_eq!(why(&handle(&mut never, &without(2))), "order");
    let mut auto = server_with(Require::Auto);
    assert_eq!(why(&handle(&mut auto, &without(1))), "order");
    assert_eq!(why(&handle(&mut auto, &with(2))), "order");
    assert_eq!(why(&handle(&mut auto, &without(3))), missing, "once shown");
    let config = auto.config.clone();
    auto.handle_config(config);
    assert_eq!(why(&handle(&mut auto, &without(4))), missing, "a reload");
    // One that is there must be right, whatever is asked for.
    let twice = without(5)
        .with(kind::MESSAGE_AUTHENTICATOR, &[0; 16])
        .with(kind::MESSAGE_AUTHENTICATOR, &[0; 16]);
    let verdict = handle(&mut never, &twice);
    assert_eq!(why(&verdict), "duplicate_message_authenticator");
    let wrong = without(6).with(kind::MESSAGE_AUTHENTICATOR, &[0; 16]);
    let verdict = handle(&mut never, &wrong);
    assert_eq!(why(&verdict), "bad_message_authenticator");
}

#[test]
fn a_date_that_is_far_from_ours_is_not_believed() {
    let mut server = server();
    let at = |id, date: u64| {
        Ask {
            id,
            ..Ask::disconnect()
        }
        .number(kind::EVENT_TIMESTAMP, u32::try_from(date).unwrap())
    };
    for (id, date, expected) in [
        (1, DATE - 301, "stale"),
        (2, DATE - 300, "order"),
        (3, DATE + 300, "order"),
        (4, DATE + 301, "stale"),
        (5, 0, "stale"),
    ] {
        assert_eq!(why(&handle(&mut server, &at(id, date))), expected, "{date}");
    }
    let two = at(6, DATE).number(kind::EVENT_TIMESTAMP, 1);
    assert_eq!(why(&handle(&mut server, &two)), "stale", "the older one");
    let odd = Ask {
        id: 7,
        ..Ask::disconnect()
    }
    .with(kind::EVENT_TIMESTAMP, b"now");
    assert_eq!(why(&handle(&mut server, &odd)), "stale");
}

#[test]
fn r33_a_duplicate_has_the_answer_that_is_kept_and_is_done_anew_only_after_that() {
    let mut server = server();
    let octets = Ask::disconnect().octets();
    let at =
        |server: &mut Server, second| server.handle_datagram(oss(), &octets, DATE, now(second));
    let (_, ticket) = order(at(&mut server, 0));
    assert_eq!(why(&at(&mut server, 1)), "under_way");
    let first = server.answer(ticket, Ok(()), now(2));
    for second in [2, 6] {
        let again = reply(at(&mut server, second));
        assert_eq!(again.result, "repeated");
        assert_eq!(again.octets, first.octets);
    }
    let (_, ticket) = order(at(&mut server, 7));
    server.answer(ticket, Err(ErrorCause::SessionContextNotFound), now(7));
    // Another port, identifier or authenticator is another request.
    let other = "10.0.0.7:4001".parse().unwrap();
    let verdict = server.handle_datagram(other, &octets, DATE, now(7));
    assert_eq!(why(&verdict), "order");
    let dated = Ask::disconnect().number(kind::EVENT_TIMESTAMP, u32::try_from(DATE).unwrap());
    assert_eq!(why(&handle(&mut server, &dated)), "order");
}

#[test]
fn r33_what_is_kept_is_bounded_and_a_full_cache_forgets_nobody() {
    let mut server = server();
    let ask = |server: &mut Server, n: u32, second| {
        let source = SocketAddr::from(([10, 0, 0, 7], 1000 + u16::try_from(n / 256).unwrap()));
        let ask = Ask {
            id: u8::try_from(n % 256).unwrap(),
            ..Ask::disconnect()
        };
        server.handle_datagram(source, &ask.octets(), DATE, now(second))
    };
    let many = u32::try_from(CACHE).unwrap();
    for n in 0..many {
        // As if it were the first in its second.
        server.paces.clear();
        let (_, ticket) = order(ask(&mut server, n, 0));
        server.answer(ticket, Ok(()), now(0));
    }
    assert_eq!(server.kept(), CACHE);
    assert_eq!(why(&ask(&mut server, many, 4)), "full");
    assert_eq!(why(&ask(&mut server, 0, 4)), "repeated");
    assert_eq!(why(&ask(&mut server, many, 5)), "order");
    assert_eq!(server.kept(), 1, "all others are over");
    // One that the node never answers is asked again in the end.
    assert_eq!(why(&ask(&mut server, many, 34)), "under_way");
    assert_eq!(why(&ask(&mut server, many, 35)), "order");
    assert_eq!(server.kept(), 1);
    assert!(server.cache.is_tidy());
}

/// Whoever sends from its address does not keep it from being heard.
#[test]
fn what_is_not_signed_uses_up_no_rate_of_the_client_that_it_seems_to_be_from() {
    let mut server = server();
    let forged = Ask {
        secret: b"somebody-elses-secret",
        ..Ask::disconnect()
    };
    for _ in 0..RATE * 2 {
        assert_eq!(why(&handle(&mut server, &forged)), "bad_authenticator");
        let old = Ask::disconnect().number(kind::EVENT_TIMESTAMP, 1);
        assert_eq!(why(&handle(&mut server, &old)), "stale");
    }
    assert_eq!(why(&handle(&mut server, &Ask::disconnect())), "order");
}

#[test]
fn a_client_that_sends_too_fast_is_not_listened_to_until_its_second_is_over() {
    let mut server = server();
    let octets = Ask::disconnect().octets();
    let mut at = |source: &str, second| {
        let source = source.parse().unwrap();
        why(&server.handle_datagram(source, &octets, DATE, now(second)))
    };
    for _ in 0..RATE {
        assert_ne!(at("10.0.0.7:4000", 0), "too_fast");
    }
    assert_eq!(at("10.0.0.7:4000", 0), "too_fast");
    assert_eq!(
        at("10.0.0.8:4000", 0),
        "bad_authenticator",
        "another client"
    );
    assert_eq!(at("192.0.2.7:4000", 0), "stranger");
    assert_eq!(at("10.0.0.7:4000", 1), "under_way");
}

/// A request, and the Error-Cause that it is refused with; `None`: it is an order.
type Row = (Ask, Option<u32>);

fn disconnects() -> Vec<Row> {
    let bare = || Ask::new(Code::DISCONNECT_REQUEST);
    vec![
        (bare(), Some(402)),
        (bare().with(kind::CALLING_STATION_ID, b"5551"), Some(402)),
        (bare().with(kind::FRAMED_IP_ADDRESS, &[100, 64, 0, 7]), None),
        (
            bare().with(kind::FRAMED_IP_ADDRESS, &[100, 64, 0]),
            Some(407),
        ),
        (bare().with(kind::USER_NAME, b""), Some(407)),
        (bare().with(kind::ACCT_SESSION_ID, b"\xff"), Some(407)),
        (
            Ask::disconnect().with(kind::ACCT_SESSION_ID, b"4-5-6"),
            Some(407),
        ),
        (
            Ask::disconnect().with(kind::ACCT_SESSION_ID, b"1-2-3"),
            None,
        ),
        (
            Ask::disconnect()
                .with(kind::CALLING_STATION_ID, b"5551")
                .with(kind::NAS_PORT_ID, b"wholesale/9"),
            None,
        ),
        (
            Ask::disconnect().with(kind::NAS_IDENTIFIER, b"other"),
            Some(403),
        ),
        (
            Ask::disconnect().with(kind::NAS_IP_ADDRESS, &[192, 0, 2, 11]),
            Some(403),
        ),
        (
            Ask::disconnect().with(kind::NAS_IP_ADDRESS, &[192, 0, 2, 10]),
            None,
        ),
        (
            Ask::disconnect().with(kind::NAS_IPV6_ADDRESS, &[0; 16]),
            Some(403),
        ),
        (
            bare()
                .with(kind::NAS_IDENTIFIER, b"other")
                .number(kind::SERVICE_TYPE, 17),
            Some(403),
        ),
        (Ask::disconnect().with(kind::FILTER_ID, b"GOLD"), Some(401)),
        (Ask::disconnect().with(kind::EAP_MESSAGE, b"x"), Some(401)),
        (Ask::disconnect().with(250, b"x"), Some(401)),
        (Ask::disconnect().number(kind::NAS_PORT, 9), Some(401)),
        (Ask::disconnect().number(kind::SERVICE_TYPE, 2), Some(405)),
    ]
}

fn changes() -> Vec<Row> {
    let change = || Ask::new(Code::COA_REQUEST).with(kind::ACCT_SESSION_ID, b"1-2-3");
    vec![
        (change(), Some(402)),
        (change().number(kind::SESSION_TIMEOUT, 60), None),
        (change().number(kind::IDLE_TIMEOUT, 60), None),
        (change().number(kind::ACCT_INTERIM_INTERVAL, 60), None),
        (
            change()
                .with(kind::FILTER_ID, b"GOLD")
                .with(kind::FILTER_ID, b"SILVER"),
            None,
        ),
        (
            change()
                .number(kind::SESSION_TIMEOUT, 60)
                .number(kind::SERVICE_TYPE, 2),
            None,
        ),
        (
            change()
                .number(kind::SESSION_TIMEOUT, 60)
                .number(kind::SERVICE_TYPE, 17),
            Some(405),
        ),
        (
            change()
                .number(kind::SESSION_TIMEOUT, 60)
                .with(kind::STATE, b"s"),
            Some(401),
        ),
        (change().number(kind::FRAMED_MTU, 1400), Some(401)),
        (change().with(kind::FRAMED_POOL, b"gold"), Some(401)),
    ]
}

#[test]
fn what_a_request_may_have_is_what_can_be_done() {
    let rows = disconnects().into_iter().chain(changes());
    for (id, (ask, expected)) in (0..).zip(rows) {
        let mut server = server();
        let ask = Ask { id, ..ask };
        let verdict = handle(&mut server, &ask);
        let found = match &verdict {
            Verdict::Order(..) => None,
            Verdict::Reply(reply) => read(&reply.octets, &ask.octets(), SECRET).1,
            Verdict::Dropped { .. } => panic!("{verdict:?}"),
        };
        assert_eq!(found, expected, "{:?}", ask.list);
    }
}

#[test]
fn an_address_of_a_nas_is_anybodys_where_none_of_ours_is_configured() {
    let mut server = server();
    let mut config = server.config.clone();
    config.identity = AttributeList::new();
    config.identity.push(kind::NAS_IDENTIFIER, b"edge").unwrap();
    server.handle_config(config);
    let ask = Ask::disconnect().with(kind::NAS_IP_ADDRESS, &[192, 0, 2, 77]);
    assert_eq!(why(&handle(&mut server, &ask)), "order");
}

#[test]
fn an_answer_that_proxies_left_no_room_for_goes_without_what_they_wanted() {
    let mut server = server_with(Require::Never);
    let mut list = Ask::disconnect().list;
    while list.octets().len() + HEADER + 255 <= 4096 {
        list.push(kind::PROXY_STATE, &[1; 253]).unwrap();
    }
    let room = 4096 - HEADER - list.octets().len();
    list.push(kind::PROXY_STATE, &vec![1; room - 2]).unwrap();
    let ask = Ask {
        list,
        message_authenticator: false,
        ..Ask::disconnect()
    };
    let octets = ask.octets();
    assert_eq!(octets.len(), 4096);
    let (_, ticket) = order(handle(&mut server, &ask));
    let reply = server.answer(ticket, Err(ErrorCause::SessionContextNotFound), now(0));
    assert_eq!(read(&reply.octets, &octets, SECRET).1, Some(503));
    let packet = Packet::parse(&reply.octets).unwrap();
    assert_eq!(packet.first(kind::PROXY_STATE), None);
}

proptest! {
    #[test]
    fn whatever_comes_from_a_client_is_refused_unless_it_is_signed(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut server = server();
        let verdict = server.handle_datagram(oss(), &octets, DATE, now(0));
        let is_dropped = matches!(verdict, Verdict::Dropped { .. });
        prop_assert!(is_dropped);
        prop_assert_eq!(server.kept(), 0);
    }

    #[test]
    fn a_whole_request_that_another_secret_signs_is_refused(
        attributes in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..12),
        code in 0..2_u8,
        message_authenticator: bool,
        require in 0..3_usize,
    ) {
        let require = [Require::Always, Require::Auto, Require::Never][require];
        let mut server = server_with(require);
        let mut ask = Ask {
            secret: b"somebody-elses-secret",
            message_authenticator,
            ..Ask::new(if code == 0 { Code::COA_REQUEST } else { Code::DISCONNECT_REQUEST })
        };
        for (kind, value) in attributes {
            ask = ask.with(kind, &value);
        }
        let verdict = handle(&mut server, &ask);
        let refused = matches!(verdict, Verdict::Dropped { why: Dropped::Rejected(_), .. });
        prop_assert!(refused, "{verdict:?}");
        prop_assert_eq!(server.kept(), 0);
    }

    #[test]
    fn whatever_attributes_are_signed_are_an_order_or_a_refusal(octets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..12), code in 0..2_u8) {
        let mut server = server();
        let mut ask = Ask::new(if code == 0 { Code::COA_REQUEST } else { Code::DISCONNECT_REQUEST });
        for (kind, value) in octets {
            if ![kind::MESSAGE_AUTHENTICATOR, kind::EVENT_TIMESTAMP].contains(&kind) {
                ask = ask.with(kind, &value);
            }
        }
        match handle(&mut server, &ask) {
            Verdict::Order(order, _) => {
                let target = order.target;
                prop_assert!(target.session.is_some() || target.user.is_some() || target.address.is_some());
            }
            Verdict::Reply(reply) => prop_assert!(read(&reply.octets, &ask.octets(), SECRET).1.is_some()),
            Verdict::Dropped { why, .. } => prop_assert!(matches!(why, Dropped::Rejected(_)), "EAP without its own"),
        }
    }
}
