//! Subscribers whom a RADIUS server judges: how it is asked, what it grants, and what becomes of those
//! whom it does not answer.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use lns_crypto::{Secret, chap};
use lns_node::config::{
    AccountingConfig, Authentication, Config, LocalUsers, Pool, PoolConfig, RadiusConfig,
};
use lns_node::explain::failures::{Failure as Failed, FailureFilter};
use lns_node::explain::transcript::{Step, What};
use lns_node::radius::Order;
use lns_node::{Event, Stage, view};
use lns_radius::record::Status;
use lns_radius::request::{Failure, Request, Token};
use lns_tables::path::SlotIndex;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::kind::{self, vendor};
use lns_wire::radius::{AttributeList, Code};

use crate::client::Client;
use crate::manifest::{DNS, SECRET, config, policy};
use crate::server::{Mood, value};
use crate::world::{Faults, OwnedProxy, World};

const SECONDS: Duration = Duration::from_secs(5);

const METHODS: [Authentication; 4] = [
    Authentication::Pap,
    Authentication::Chap,
    Authentication::MsChapV2,
    Authentication::Eap,
];

/// The configuration of all tests with a server that judges those who are no local users.
fn with_radius(method: Authentication) -> Config {
    let mut config = config();
    config.radius = Some(RadiusConfig::default());
    config.ppp.authentication = vec![method];
    config
}

fn world_of(config: Config) -> World {
    let mut world = World::new(config, 3);
    world.dial_tunnel(1701, Some(SECRET));
    world
}

fn world(method: Authentication) -> World {
    world_of(with_radius(method))
}

fn login(world: &mut World, id: u16, name: &str) {
    world.dial(0, id, Client::new(name, name));
    world.run(SECONDS);
}

/// What was asked, in order.
fn asked(world: &World) -> Vec<&Request> {
    let asked = world.orders.iter().filter_map(|order| match order {
        Order::Ask(request) => Some(&**request),
        _ => None,
    });
    asked.collect()
}

fn repeats(world: &World) -> usize {
    let is_repeat = |order: &&Order| matches!(order, Order::Repeat(_));
    world.orders.iter().filter(is_repeat).count()
}

fn cancelled(world: &World) -> Vec<Token> {
    let cancelled = world.orders.iter().filter_map(|order| match order {
        Order::Cancel(token) => Some(*token),
        _ => None,
    });
    cancelled.collect()
}

fn sessions(world: &World) -> Vec<view::Session> {
    let filter = view::SessionFilter::default();
    let page = world.node.sessions(&filter, None, u32::MAX, world.now);
    page.sessions
}

fn session(world: &World) -> view::Session {
    let mut sessions = sessions(world);
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

fn failures(world: &World) -> Vec<Failed> {
    let filter = FailureFilter::default();
    world
        .node
        .failures(&filter, None, (usize::MAX, usize::MAX), world.now)
        .failures
}

/// Grants what `write` adds, to one subscriber; the world with him in it.
fn granted(write: impl FnOnce(&mut AttributeList)) -> World {
    let mut world = world(Authentication::Chap);
    write(&mut world.server.grant);
    login(&mut world, 1, "sub@isp.example");
    world
}

fn cisco(list: &mut AttributeList, text: &str) {
    let text = text.as_bytes();
    list.push_vendor(vendor::CISCO, vendor::CISCO_AVPAIR, text)
        .expect("it fits");
}

/// The only end of a session so far: stage, reason, detail.
fn end(world: &World) -> (Stage, &'static str, String) {
    let mut ends = world.events.iter().filter_map(|event| match event {
        Event::SessionDown(end) => Some(end),
        _ => None,
    });
    let end = ends.next().expect("an end");
    assert!(ends.next().is_none(), "one end");
    let detail = end.detail.clone().unwrap_or_default().into_owned();
    (end.stage, end.reason, detail)
}

#[test]
fn each_method_is_judged_by_the_server() {
    for method in METHODS {
        let mut world = world(method);
        world.server.delay = Duration::from_millis(300);
        login(&mut world, 1, "sub@isp.example");
        assert!(world.is_up(0, 1), "{method:?}");
        let rounds = if method == Authentication::Eap { 2 } else { 1 };
        assert_eq!(asked(&world).len(), rounds, "{method:?}");
        assert_eq!(asked(&world)[0].realm.as_deref(), Some("isp.example"));
        // A wrong password is told with the server's words.
        world
            .server
            .excuse
            .push(kind::REPLY_MESSAGE, b"Pay ")
            .expect("it fits");
        world
            .server
            .excuse
            .push(kind::REPLY_MESSAGE, b"first")
            .expect("it fits");
        world.dial(0, 2, Client::new("sub2", "wrong"));
        world.run(SECONDS * 8);
        assert!(
            world.client(0, 2).failed && world.caller(0, 2).cleared,
            "{method:?}"
        );
        let told = &world.client(0, 2).told;
        match method {
            Authentication::Eap => assert_eq!(told, ""),
            Authentication::MsChapV2 => {
                assert!(told.starts_with("E=691 R=0 C="), "{told}");
                assert!(told.ends_with(" V=3 M=Pay first"), "{told}");
            }
            _ => assert_eq!(told, "Pay first"),
        }
        assert_eq!(
            end(&world),
            (Stage::Radius, "rejected", "Pay first".to_owned())
        );
        assert!(world.is_up(0, 1) && world.node.stats().overdue == 0);
    }
}

#[test]
fn a_subscriber_is_told_what_comes_with_the_yes() {
    let world = granted(|list| list.push(kind::REPLY_MESSAGE, b"Welcome").expect("it fits"));
    assert_eq!(world.client(0, 1).told, "Welcome");
}

#[test]
fn an_access_request_says_all_that_the_tunnel_knows() {
    for method in METHODS {
        let mut world = world(method);
        login(&mut world, 1, "sub@isp.example");
        let request = asked(&world)[0];
        assert_eq!(request.code, Code::ACCESS_REQUEST);
        let text =
            |kind| String::from_utf8(value(request, kind).unwrap_or_default()).expect("text");
        let number =
            |kind| value(request, kind).map(|it| u32::from_be_bytes(it.try_into().expect("4")));
        for (kind, expected) in [
            (kind::USER_NAME, "sub@isp.example"),
            (kind::NAS_PORT_ID, "wholesale/1"),
            (kind::CALLING_STATION_ID, "0301234567"),
            (kind::CONNECT_INFO, "100000000/40000000"),
            (kind::TUNNEL_CLIENT_ENDPOINT, "198.51.100.1"),
            (kind::TUNNEL_SERVER_ENDPOINT, "192.0.2.1"),
            (kind::TUNNEL_CLIENT_AUTH_ID, "lac1"),
            (kind::TUNNEL_SERVER_AUTH_ID, "lns1"),
        ] {
            assert_eq!(text(kind), expected);
        }
        for (kind, expected) in [
            (kind::SERVICE_TYPE, 2),
            (kind::FRAMED_PROTOCOL, 1),
            (kind::NAS_PORT, session(&world).slot.0),
            (kind::NAS_PORT_TYPE, 5),
            (kind::TUNNEL_TYPE, 3),
            (kind::TUNNEL_MEDIUM_TYPE, 1),
        ] {
            assert_eq!(number(kind), Some(expected), "{:?}", kind::name(kind));
        }
        assert!(!text(kind::ACCT_TUNNEL_CONNECTION).is_empty());
        let is_eap = method == Authentication::Eap;
        assert_eq!(number(kind::FRAMED_MTU), is_eap.then_some(1492));
        assert_eq!(request.password.is_some(), method == Authentication::Pap);
        // What belongs to the client, or could be believed to be a proof.
        for kind in [
            kind::USER_PASSWORD,
            kind::MESSAGE_AUTHENTICATOR,
            kind::NAS_IDENTIFIER,
        ] {
            assert_eq!(value(request, kind), None);
        }
        let kinds: Vec<u8> = request.attributes.iter().map(|it| it.kind).collect();
        let single = kinds
            .iter()
            .filter(|kind| ![kind::VENDOR_SPECIFIC].contains(kind));
        let single: Vec<_> = single.collect();
        let distinct: BTreeSet<_> = single.iter().collect();
        assert_eq!(distinct.len(), single.len(), "no attribute is there twice");
    }
}

#[test]
fn what_the_lac_overheard_is_judged_by_the_server() {
    let mut world = world(Authentication::Chap);
    let challenge = b"a challenge of the LAC".to_vec();
    let response = chap::response(9, &Secret::new(*b"proxied"), &challenge);
    world.dial(0, 1, Client::proxied("proxied", "proxied"));
    world.caller(0, 1).proxy = Some(OwnedProxy {
        last_sent: b"\x01\x04\x05\xd4\x03\x05\xc2\x23\x05\x05\x06lacs".to_vec(),
        last_received: b"\x01\x04\x05\xd4\x05\x06mine".to_vec(),
        name: b"proxied".to_vec(),
        challenge: challenge.clone(),
        id: 9,
        response: response.to_vec(),
    });
    world.run(SECONDS);
    assert!(world.is_up(0, 1) && session(&world).proxied_authentication);
    let request = asked(&world)[0];
    assert_eq!(
        value(request, kind::CHAP_PASSWORD),
        Some([&[9], &response[..]].concat())
    );
    assert_eq!(value(request, kind::CHAP_CHALLENGE), Some(challenge));
}

#[test]
fn a_name_that_radius_cannot_carry_is_not_asked_for() {
    for (name, password, detail) in [
        ("", "secret".to_owned(), "no_user_name"),
        ("long", "x".repeat(129), "password_too_long"),
    ] {
        let mut world = world(Authentication::Pap);
        world.dial(0, 1, Client::new(name, &password));
        world.run(SECONDS * 8);
        assert!(asked(&world).is_empty());
        let expected = (
            Stage::Authentication,
            "authentication_failed",
            detail.to_owned(),
        );
        assert_eq!(end(&world), expected);
    }
    let mut world = world(Authentication::Pap);
    world.server.mood = Mood::Yes;
    world.dial(0, 1, Client::new("long", &"x".repeat(128)));
    world.run(SECONDS);
    assert!(world.is_up(0, 1));
}

// === Who judges ===

#[test]
fn local_users_come_before_the_server_after_it_or_alone() {
    let run = |order, mood, name: &str| {
        let mut config = with_radius(Authentication::Chap);
        config.radius = Some(RadiusConfig {
            local_users: order,
            ..RadiusConfig::default()
        });
        let mut world = world_of(config);
        world.server.mood = mood;
        login(&mut world, 1, name);
        (world.is_up(0, 1), asked(&world).len())
    };
    let away = Mood::Fails(Failure::AllDown);
    let (local, other) = ("user1", "sub");
    assert_eq!(run(LocalUsers::Before, Mood::No, local), (true, 0));
    assert_eq!(run(LocalUsers::Before, Mood::Honest, other), (true, 1));
    assert_eq!(run(LocalUsers::After, Mood::Honest, local), (true, 1));
    assert_eq!(
        run(LocalUsers::After, Mood::No, local),
        (false, 1),
        "a no is final"
    );
    assert_eq!(run(LocalUsers::After, away, local), (true, 1));
    assert_eq!(run(LocalUsers::After, away, other), (false, 1));
    assert_eq!(run(LocalUsers::Only, Mood::Yes, local), (true, 0));
    assert_eq!(run(LocalUsers::Only, Mood::Yes, other), (false, 0));
}

#[test]
fn a_local_user_with_a_wrong_password_is_not_given_to_the_server() {
    let mut world = world(Authentication::Chap);
    world.server.mood = Mood::Yes;
    world.dial(0, 1, Client::new("user1", "wrong"));
    world.run(SECONDS);
    assert!(!world.is_up(0, 1) && asked(&world).is_empty());
}

#[test]
fn eap_is_the_servers_whoever_asks_and_nobodys_without_one() {
    let mut config = with_radius(Authentication::Eap);
    let mut before = world_of(config.clone());
    login(&mut before, 1, "user1");
    assert!(before.is_up(0, 1));
    assert_eq!(asked(&before).len(), 2);
    config.radius = None;
    let mut without = world_of(config);
    login(&mut without, 1, "user1");
    assert!(asked(&without).is_empty() && !without.is_up(0, 1));
    let (_, _, detail) = end(&without);
    assert_eq!(detail, "eap_needs_radius");
}

#[test]
fn who_was_let_in_by_the_server_does_not_get_what_a_local_user_of_that_name_has() {
    let mut config = with_radius(Authentication::Chap);
    config.radius = Some(RadiusConfig {
        local_users: LocalUsers::After,
        ..RadiusConfig::default()
    });
    let mut world = world_of(config);
    login(&mut world, 1, "fixed");
    assert_eq!(
        world.address(0, 1).expect("it is up").octets()[..2],
        [100, 64]
    );
    world.server.mood = Mood::Fails(Failure::TimedOut);
    login(&mut world, 2, "fixed");
    assert_eq!(world.address(0, 2), Some([203, 0, 113, 7].into()));
}

// === While the server thinks ===

#[test]
fn a_repetition_of_the_subscribers_asks_nobody_a_second_time() {
    for (method, synchronous) in METHODS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let mut config = with_radius(method);
        config.radius = Some(RadiusConfig {
            synchronous,
            ..RadiusConfig::default()
        });
        let mut world = world_of(config);
        world.server.delay = Duration::from_secs(10);
        world.dial(0, 1, Client::new("sub", "sub"));
        world.run(Duration::from_secs(2));
        // What a client sends that has heard nothing: the frame that led to the question, again.
        let said = answer_of(&world);
        for _ in 0..3 {
            world.send_frames(0, SessionId(1), vec![said.clone()]);
            world.run(Duration::from_millis(100));
        }
        assert_eq!(asked(&world).len(), 1, "{method:?}");
        let again = repeats(&world);
        if synchronous {
            // PAP repeats itself every second beside.
            assert!(
                again == 3 || method == Authentication::Pap && again > 3,
                "{again}"
            );
        } else {
            assert_eq!(again, 0);
        }
        world.run(Duration::from_secs(30));
        assert!(world.is_up(0, 1), "{method:?}");
    }
}

/// The last frame of the subscriber's: what the node has asked the server about.
fn answer_of(world: &World) -> Vec<u8> {
    world.last_frames[&(0, SessionId(1))].clone()
}

#[test]
fn who_leaves_or_begins_anew_takes_the_question_back_and_a_late_answer_finds_nobody() {
    for leaves in [true, false] {
        let mut world = world(Authentication::Chap);
        world.server.delay = Duration::from_secs(4);
        world.server.answers_the_cancelled = true;
        world.dial(0, 1, Client::new("sub", "sub"));
        world.run(Duration::from_secs(2));
        let first = asked(&world)[0].token;
        assert!(cancelled(&world).is_empty());
        let mut frames = Vec::new();
        if leaves {
            Client::terminate(&mut frames);
        } else {
            let now = world.now;
            world.caller(0, 1).client.renegotiate(now, &mut frames);
        }
        world.send_frames(0, SessionId(1), frames);
        world.run(Duration::from_secs(2));
        assert_eq!(cancelled(&world), [first]);
        world.run(Duration::from_secs(10));
        assert_eq!(
            world.node.stats().drops.get("late_radius_outcome"),
            Some(&1)
        );
        assert_eq!(world.is_up(0, 1), !leaves);
        if !leaves {
            assert_eq!(asked(&world).len(), 2);
            assert_ne!(asked(&world)[1].token, first);
        }
    }
}

#[test]
fn whoever_is_cut_off_while_the_server_thinks_is_not_let_in_by_its_answer() {
    type Cut = fn(&mut World);
    let cuts: [Cut; 3] = [
        |world| {
            let session = session(world);
            let (tunnel, id) = (TunnelId(session.tunnel), SessionId(session.session));
            assert!(world.node.handle_disconnect(tunnel, id, world.now));
        },
        |world| {
            let tunnel = TunnelId(session(world).tunnel);
            assert!(world.node.handle_disconnect_tunnel(tunnel, world.now));
        },
        |world| world.node.handle_drain(world.now),
    ];
    for cut in cuts {
        let mut world = world(Authentication::Chap);
        world.server.delay = Duration::from_secs(20);
        world.server.answers_the_cancelled = true;
        login(&mut world, 1, "sub");
        cut(&mut world);
        world.run(Duration::from_secs(60));
        assert_eq!(cancelled(&world).len(), 1);
        assert_eq!(
            world.node.stats().drops.get("late_radius_outcome"),
            Some(&1)
        );
        assert!(sessions(&world).is_empty());
        assert_eq!(world.node.pools()[0].used, 0);
    }
}

#[test]
fn a_server_that_never_answers_holds_nobody_longer_than_the_bring_up_may_take() {
    for method in METHODS {
        let mut world = world(method);
        world.server.mood = Mood::Silent;
        login(&mut world, 1, "sub");
        assert_eq!(session(&world).stage, Stage::Radius);
        world.run(Duration::from_secs(70));
        assert!(sessions(&world).is_empty());
        let (stage, reason, _) = end(&world);
        assert_eq!(stage, Stage::Radius);
        assert!(
            ["authentication_timeout", "bring_up_timeout"].contains(&reason),
            "{reason}"
        );
        let tokens: Vec<_> = asked(&world).iter().map(|it| it.token).collect();
        assert_eq!(cancelled(&world), tokens, "nothing stays asked");
    }
}

#[test]
fn why_there_is_no_answer_is_told_apart() {
    for failure in Failure::ALL {
        if *failure == Failure::Cancelled {
            continue;
        }
        let mut world = world(Authentication::Chap);
        world.server.mood = Mood::Fails(*failure);
        login(&mut world, 1, "sub");
        let label = failure.label();
        assert_eq!(end(&world), (Stage::Radius, label, label.to_owned()));
        assert_eq!(world.client(0, 1).told, "Service not available");
        let failed = failures(&world).remove(0);
        let radius = failed.last.radius.expect("RADIUS was asked");
        assert_eq!(
            (radius.server.as_deref(), radius.result),
            (Some("r1"), label)
        );
        assert_eq!(radius.rtt, None);
    }
}

#[test]
fn a_failed_login_tells_server_rtt_result_and_message_and_how_it_came_to_it() {
    let mut world = world(Authentication::Chap);
    world.server.delay = Duration::from_millis(12);
    world.server.mood = Mood::No;
    world
        .server
        .excuse
        .push(kind::REPLY_MESSAGE, b"No\x1b[2J credit")
        .expect("it fits");
    login(&mut world, 1, "sub");
    let failed = failures(&world).remove(0);
    assert_eq!(
        (failed.subject.stage, failed.subject.reason),
        (Stage::Radius, "rejected")
    );
    let radius = failed.last.radius.as_ref().expect("RADIUS was asked");
    assert_eq!(radius.server.as_deref(), Some("r1"));
    assert_eq!(radius.rtt, Some(Duration::from_millis(12)));
    assert_eq!(radius.message.as_deref(), Some("No\u{fffd}[2J credit"));
    let steps: Vec<_> = failed
        .last
        .transcript
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Step(Step::Asked) => Some("asked".to_owned()),
            What::Step(Step::Answered(answer)) => Some(answer.result.to_owned()),
            What::Step(Step::Login { verdict, .. }) => Some(format!("login {verdict}")),
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["asked", "rejected", "login rejected"]);
}

// === What is granted ===

#[test]
fn an_address_of_the_servers_is_given_and_taken_back_from_a_call_that_hangs() {
    let wanted = Ipv4Addr::new(203, 0, 113, 99);
    let mut world = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, wanted));
    assert_eq!(world.address(0, 1), Some(wanted));
    login(&mut world, 2, "sub@isp.example");
    assert_eq!(world.address(0, 2), Some(wanted));
    assert_eq!(world.ends(), ["address_taken_back"]);
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a prefix")
}

/// Who has which prefix, by the caller's number.
fn routes(world: &World) -> Vec<(String, u16)> {
    let caller = |slot: &SlotIndex| {
        let slot = world.workers.sessions[slot].peer_session;
        slot.0
    };
    let routes = world.workers.routes.iter();
    routes
        .map(|(net, slot)| (net.to_string(), caller(slot)))
        .collect()
}

#[test]
fn routes_lead_to_the_session_as_long_as_it_is_up() {
    let mut world = granted(|list| {
        list.push_ipv4(kind::FRAMED_IP_ADDRESS, [203, 0, 113, 99].into());
        list.push_ipv4(kind::FRAMED_IP_NETMASK, [255, 255, 255, 248].into());
        let route = b"198.51.100.0/24 203.0.113.99 1";
        list.push(kind::FRAMED_ROUTE, route).expect("it fits");
        cisco(list, "ip:route=192.0.2.128 255.255.255.192");
    });
    let expected = ["192.0.2.128/26", "198.51.100.0/24", "203.0.113.96/29"];
    let expected: Vec<_> = expected.iter().map(|it| ((*it).to_owned(), 1)).collect();
    assert_eq!(routes(&world), expected);
    let reached = BTreeSet::from([
        net("192.0.2.128/26"),
        net("198.51.100.0/24"),
        net("203.0.113.96/29"),
        net("203.0.113.99/32"),
    ]);
    assert_eq!(
        world.reached, reached,
        "and its address, which lies in no pool"
    );
    // It begins anew, and the server grants less.
    world.server.grant = AttributeList::new();
    world
        .server
        .grant
        .push(kind::FRAMED_ROUTE, b"198.51.100.0/24")
        .expect("it fits");
    let (now, mut frames) = (world.now, Vec::new());
    world.caller(0, 1).client.renegotiate(now, &mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert_eq!(routes(&world), [("198.51.100.0/24".to_owned(), 1)]);
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert!(routes(&world).is_empty() && world.reached.is_empty());
}

#[test]
fn a_prefix_is_the_sessions_that_it_was_granted_to_last() {
    let mut world = granted(|list| {
        list.push(kind::FRAMED_ROUTE, b"198.51.100.0/24")
            .expect("it fits");
    });
    login(&mut world, 2, "other");
    assert_eq!(routes(&world), [("198.51.100.0/24".to_owned(), 2)]);
    assert!(
        world.is_up(0, 1) && world.ends().is_empty(),
        "no session ends for it"
    );
    // IPCP of the first begins anew: it does not take back what it lost.
    for (id, left) in [(1, 1), (2, 0)] {
        let mut frames = Vec::new();
        Client::terminate(&mut frames);
        world.send_frames(0, SessionId(id), frames);
        world.run(SECONDS);
        assert_eq!(routes(&world).len(), left);
        assert_eq!(world.reached.len(), left);
    }
}

#[test]
fn two_addresses_of_the_servers_mean_that_the_pool_or_the_peer_chooses() {
    let ours = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, [255, 255, 255, 254].into()));
    assert_eq!(
        ours.address(0, 1).expect("it is up").octets()[..2],
        [100, 64]
    );
    assert_eq!(session(&ours).pool.as_deref(), Some("default"));
    let mut theirs = world(Authentication::Chap);
    theirs
        .server
        .grant
        .push_ipv4(kind::FRAMED_IP_ADDRESS, [255; 4].into());
    let chosen = Ipv4Addr::new(198, 51, 100, 200);
    theirs.dial(0, 1, Client::new("sub", "sub").asking_for(chosen));
    theirs.run(SECONDS);
    assert_eq!(theirs.address(0, 1), Some(chosen));
}

#[test]
fn an_address_that_is_ours_is_nobody_elses() {
    let world = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, crate::manifest::LOCAL));
    assert!(!world.is_up(0, 1));
    let (stage, reason, _) = end(&world);
    assert_eq!((stage, reason), (Stage::Address, "address_unavailable"));
}

#[test]
fn a_framed_pool_is_drawn_from_and_an_unknown_one_is_told_by_name() {
    let with_pools = |name: &str| {
        let mut config = with_radius(Authentication::Chap);
        let gold = Pool {
            name: "gold".into(),
            local_address: Ipv4Addr::new(100, 65, 0, 1),
            addresses: PoolConfig {
                prefixes: vec![lns_node::config::PoolPrefix {
                    net: "100.65.0.0/29".parse().expect("a prefix"),
                    allocation: lns_node::config::Allocation::Enabled,
                }],
                ..config.pools[0].addresses.clone()
            },
        };
        config.pools.push(gold);
        let mut world = world_of(config);
        world
            .server
            .grant
            .push(kind::FRAMED_POOL, name.as_bytes())
            .expect("it fits");
        login(&mut world, 1, "sub");
        world
    };
    let mut gold = with_pools("gold");
    assert_eq!(
        gold.address(0, 1).expect("it is up").octets()[..2],
        [100, 65]
    );
    assert_eq!(session(&gold).pool.as_deref(), Some("gold"));
    for id in 2..9 {
        login(&mut gold, id, &format!("sub{id}"));
    }
    assert!(
        gold.ends().contains(&"pool_exhausted"),
        "no other pool helps out"
    );
    let unknown = with_pools("golden");
    assert_eq!(
        end(&unknown),
        (Stage::Radius, "unknown_pool", "golden".to_owned())
    );
    assert_eq!(unknown.client(0, 1).told, "Service not available");
}

#[test]
fn mtu_and_name_servers_are_the_servers_where_it_has_any() {
    let world = granted(|list| {
        list.push_u32(kind::FRAMED_MTU, 1400);
        let dns = [192, 0, 2, 99];
        list.push_vendor(vendor::MICROSOFT, vendor::MS_PRIMARY_DNS, &dns)
            .expect("it fits");
    });
    assert_eq!(world.client(0, 1).dns, Some([192, 0, 2, 99].into()));
    let path = *world.workers.sessions.values().next().expect("a path");
    assert_eq!((path.mtu, path.mss), (1400, 1360));
    let larger = granted(|list| list.push_u32(kind::FRAMED_MTU, 9000));
    let path = *larger.workers.sessions.values().next().expect("a path");
    assert_eq!(path.mtu, 1492, "never more than the subscriber takes");
    assert_eq!(larger.client(0, 1).dns, Some(DNS));
}

#[test]
fn filter_ids_bind_policies_and_rates_go_before_theirs() {
    let mut config = with_radius(Authentication::Chap);
    config.policies = vec![policy("gold", &[], 1000), policy("walled", &[], 500)];
    let mut world = world_of(config);
    for filter_id in [&b"walled"[..], b"gold"] {
        world
            .server
            .grant
            .push(kind::FILTER_ID, filter_id)
            .expect("it fits");
    }
    cisco(
        &mut world.server.grant,
        "lcp:interface-config#1=service-policy input 2000",
    );
    login(&mut world, 1, "sub");
    let session = session(&world);
    assert_eq!(session.policies, ["walled", "gold"]);
    let path = *world.workers.sessions.values().next().expect("a path");
    assert_eq!(path.rates.up, 2_000_000);
    assert_eq!(session.rates.expect("rates").up_bits_per_second, 2_000_000);
}

#[test]
fn a_session_ends_when_the_server_wants_and_never_where_it_wants_that() {
    let timeout = |kind, seconds| {
        let mut config = with_radius(Authentication::Chap);
        config.subscribers.session = Duration::from_secs(100);
        config.subscribers.idle = Duration::from_secs(100);
        let mut world = world_of(config);
        if let Some(seconds) = seconds {
            world.server.grant.push_u32(kind, seconds);
        }
        login(&mut world, 1, "sub");
        world.run(Duration::from_secs(80));
        let early = world.ends();
        world.run(Duration::from_secs(300));
        (early, world.ends())
    };
    let session = kind::SESSION_TIMEOUT;
    assert_eq!(timeout(session, Some(30)).0, ["session_timeout"]);
    let (early, late) = timeout(session, None);
    assert!(early.is_empty() && late.len() == 1);
    // Without an age it still ends for want of traffic, and the other way round.
    assert_eq!(timeout(session, Some(0)).1, ["idle_timeout"]);
    assert_eq!(timeout(kind::IDLE_TIMEOUT, Some(30)).0, ["idle_timeout"]);
    assert_eq!(timeout(kind::IDLE_TIMEOUT, Some(0)).1, ["session_timeout"]);
}

#[test]
fn to_begin_anew_prolongs_nothing_unless_the_server_says_so() {
    for (seconds, ended) in [(None, true), (Some(100), false)] {
        let mut config = with_radius(Authentication::Chap);
        config.subscribers.session = Duration::from_secs(100);
        let mut world = world_of(config);
        if let Some(seconds) = seconds {
            world.server.grant.push_u32(kind::SESSION_TIMEOUT, seconds);
        }
        login(&mut world, 1, "sub");
        world.run(Duration::from_secs(60));
        let (now, mut frames) = (world.now, Vec::new());
        world.caller(0, 1).client.renegotiate(now, &mut frames);
        world.send_frames(0, SessionId(1), frames);
        world.run(Duration::from_secs(60));
        assert_eq!(world.ends().len(), usize::from(ended), "{seconds:?}");
    }
}

#[test]
fn a_port_limit_is_how_many_sessions_a_user_has_at_once() {
    let mut world = granted(|list| list.push_u32(kind::PORT_LIMIT, 2));
    login(&mut world, 2, "sub@isp.example");
    login(&mut world, 3, "sub@isp.example");
    login(&mut world, 4, "another@isp.example");
    let up: Vec<_> = (1..=4).map(|id| world.is_up(0, id)).collect();
    assert_eq!(up, [true, true, false, true]);
    assert_eq!(end(&world).1, "port_limit");
    assert_eq!(world.client(0, 3).told, "Already logged in");
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    login(&mut world, 5, "sub@isp.example");
    assert!(world.is_up(0, 5), "there is room again");
}

#[test]
fn what_cannot_be_granted_refuses_the_login_by_the_name_of_the_attribute() {
    for (kind, octets, detail) in [
        (
            kind::FRAMED_IP_ADDRESS,
            &b"xyz"[..],
            "Framed-IP-Address is malformed",
        ),
        (kind::SESSION_TIMEOUT, b"x", "Session-Timeout is malformed"),
        (
            kind::FRAMED_ROUTE,
            b"everywhere",
            "Framed-Route is malformed",
        ),
    ] {
        let world = granted(|list| list.push(kind, octets).expect("it fits"));
        assert!(!world.is_up(0, 1));
        assert_eq!(
            end(&world),
            (Stage::Radius, "malformed_reply", detail.to_owned())
        );
    }
    let mut world = world(Authentication::MsChapV2);
    world.server.mood = Mood::Yes;
    login(&mut world, 1, "sub");
    assert!(!world.is_up(0, 1));
    assert_eq!(end(&world).2, "MS-CHAP2-Success is missing");
}

#[test]
fn accounting_has_what_the_server_gave_for_it() {
    let mut config = with_radius(Authentication::Chap);
    config.accounting = Some(AccountingConfig {
        interim: Duration::ZERO,
    });
    let mut world = world_of(config);
    for class in [&b"\x00one"[..], b"two"] {
        let grant = &mut world.server.grant;
        grant.push(kind::CLASS, class).expect("it fits");
    }
    world
        .server
        .grant
        .push(kind::USER_NAME, b"line42")
        .expect("it fits");
    world.server.grant.push_u32(kind::ACCT_INTERIM_INTERVAL, 60);
    login(&mut world, 1, "sub@isp.example");
    world.run(Duration::from_secs(100));
    let records: Vec<_> = world
        .orders
        .iter()
        .filter_map(|order| match order {
            Order::Record(record) if record.status != Status::On => Some(record),
            _ => None,
        })
        .collect();
    let kinds: Vec<_> = records.iter().map(|record| record.status).collect();
    assert_eq!(kinds, [Status::Start, Status::Interim]);
    let id = value(asked(&world)[0], kind::ACCT_SESSION_ID).expect("it has a name");
    for record in records {
        let all = |kind| {
            let all = record.attributes.iter().filter(move |it| it.kind == kind);
            all.map(|it| it.value.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(all(kind::CLASS), [b"\x00one".to_vec(), b"two".to_vec()]);
        assert_eq!(all(kind::USER_NAME), [b"line42".to_vec()]);
        assert_eq!(all(kind::ACCT_AUTHENTIC), [vec![0, 0, 0, 1]]);
        assert_eq!(
            all(kind::ACCT_SESSION_ID),
            core::slice::from_ref(&id),
            "as in the Access-Request"
        );
        assert_eq!(record.realm.as_deref(), Some("isp.example"));
    }
}

#[test]
fn an_unknown_filter_id_of_the_servers_is_the_manifests_affair() {
    let mut config = with_radius(Authentication::Chap);
    config.subscribers.unknown_filter_id = lns_node::config::UnknownFilterId::Refuse;
    let mut world = world_of(config);
    world
        .server
        .grant
        .push(kind::FILTER_ID, b"nothing")
        .expect("it fits");
    login(&mut world, 1, "sub");
    assert_eq!(
        end(&world),
        (Stage::Radius, "unknown_filter_id", "nothing".to_owned())
    );
    let mut lenient = granted(|list| list.push(kind::FILTER_ID, b"nothing").expect("it fits"));
    assert!(lenient.is_up(0, 1));
    assert_eq!(
        session(&lenient).unknown_filter_id.as_deref(),
        Some("nothing")
    );
    lenient.run(SECONDS);
}

#[test]
fn whatever_is_lost_and_however_the_server_dithers_nothing_is_left_behind() {
    for (method, seed) in METHODS.into_iter().zip(40..) {
        let mut config = with_radius(method);
        config.ppp.rechallenge = Duration::from_secs(45);
        let mut world = World::new(config, seed);
        world.dial_tunnel(1701, Some(SECRET));
        world.faults = Faults {
            loss: 10,
            duplication: 10,
            reordering: 20,
        };
        world.server.dithers = Duration::from_millis(700);
        let route = format!("198.51.{seed}.0/24");
        world
            .server
            .grant
            .push(kind::FRAMED_ROUTE, route.as_bytes())
            .expect("it fits");
        world.server.grant.push_u32(kind::PORT_LIMIT, 1);
        let moods = [
            Mood::Honest,
            Mood::Fails(Failure::TimedOut),
            Mood::Honest,
            Mood::Silent,
            Mood::No,
            Mood::Honest,
        ];
        for (mood, phase) in moods.into_iter().zip(0_u16..) {
            world.server.mood = mood;
            for id in phase * 8..phase * 8 + 8 {
                let name = format!("sub{id}");
                world.dial(0, id + 1, Client::new(&name, &name));
            }
            world.run(Duration::from_secs(8));
        }
        world.run(Duration::from_secs(60));
        let (up, ends) = (sessions(&world).len(), world.ends());
        assert!(up > 0, "{method:?}: nobody is up: {ends:?}");
        world.faults = Faults::default();
        world.node.handle_drain(world.now);
        world.run(Duration::from_secs(120));
        assert!(sessions(&world).is_empty());
        let pool = &world.node.pools()[0];
        assert_eq!((pool.used, world.node.stats().overdue), (0, 0));
        assert!(routes(&world).is_empty() && world.reached.is_empty());
        let tokens: Vec<Token> = asked(&world).iter().map(|it| it.token).collect();
        let distinct: BTreeSet<Token> = tokens.iter().copied().collect();
        assert_eq!(distinct.len(), tokens.len(), "no name is given twice");
        let cancelled: BTreeSet<Token> = cancelled(&world).into_iter().collect();
        for token in tokens {
            let ends = [&world.server.told, &cancelled];
            let ends = ends.iter().filter(|ends| ends.contains(&token)).count();
            assert_eq!(
                ends, 1,
                "{method:?}: each question is answered or taken back"
            );
        }
    }
}

// === Asked again ===

fn rechallenged(method: Authentication) -> World {
    let mut config = with_radius(method);
    config.ppp.rechallenge = Duration::from_secs(60);
    let mut world = world_of(config);
    login(&mut world, 1, "sub");
    assert!(world.is_up(0, 1));
    world
}

#[test]
fn no_answer_to_a_challenge_of_an_open_session_ends_it_not_and_a_no_does() {
    for method in [
        Authentication::Chap,
        Authentication::MsChapV2,
        Authentication::Eap,
    ] {
        let mut world = rechallenged(method);
        let before = asked(&world).len();
        world.server.mood = Mood::Fails(Failure::TimedOut);
        world.run(Duration::from_secs(200));
        assert!(
            asked(&world).len() >= before + 3,
            "{method:?} is asked again"
        );
        assert!(world.ends().is_empty());
        world.server.mood = Mood::Honest;
        world.run(Duration::from_secs(60));
        assert!(world.ends().is_empty());
        world.server.mood = Mood::No;
        world.run(Duration::from_secs(70));
        assert_eq!(end(&world).1, "rejected");
        assert_eq!(end(&world).0, Stage::Up);
    }
}

#[test]
fn a_confirmed_session_changes_what_it_is_granted_and_lasts_no_longer() {
    let mut world = world(Authentication::Chap);
    world.server.grant.push_u32(kind::SESSION_TIMEOUT, 150);
    let mut config = with_radius(Authentication::Chap);
    config.ppp.rechallenge = Duration::from_secs(60);
    world.node.handle_config(config, world.now);
    world.lacs.clear();
    world.dial_tunnel(1702, Some(SECRET));
    login(&mut world, 1, "sub");
    cisco(&mut world.server.grant, "throttle=64");
    world.run(Duration::from_secs(65));
    assert_eq!(
        session(&world).rates.expect("rates").up_bits_per_second,
        64_000
    );
    assert!(session(&world).remaining_seconds.expect("an end") < 100);
    world.run(Duration::from_secs(100));
    assert_eq!(world.ends(), ["session_timeout"]);
}

#[test]
fn a_session_whose_time_is_over_proves_itself_anew_where_the_server_wants_it() {
    for method in METHODS {
        let mut world = world(method);
        world.server.grant.push_u32(kind::SESSION_TIMEOUT, 100);
        world.server.grant.push_u32(kind::TERMINATION_ACTION, 1);
        world
            .server
            .grant
            .push(kind::STATE, b"kept")
            .expect("it fits");
        login(&mut world, 1, "sub");
        let before = asked(&world).len();
        if method == Authentication::Pap {
            world.run(Duration::from_secs(110));
            assert_eq!(world.ends(), ["session_timeout"], "PAP cannot be asked");
            continue;
        }
        // EAP's own conversation needs the State for itself.
        if method == Authentication::Eap {
            world.server.mood = Mood::Yes;
        }
        world.run(Duration::from_secs(250));
        assert!(world.ends().is_empty(), "{method:?}");
        let again = asked(&world).len() - before;
        assert_eq!(again, 2, "{method:?} was asked twice in 250 seconds");
        assert_eq!(
            value(asked(&world)[before], kind::STATE),
            Some(b"kept".to_vec())
        );
        world.server.mood = Mood::No;
        world.run(Duration::from_secs(110));
        assert_eq!(end(&world).1, "rejected");
    }
}

#[test]
fn who_does_not_prove_itself_anew_ends_and_who_cannot_be_judged_is_asked_on() {
    let mut world = world(Authentication::Chap);
    world.server.grant.push_u32(kind::SESSION_TIMEOUT, 100);
    world.server.grant.push_u32(kind::TERMINATION_ACTION, 1);
    login(&mut world, 1, "sub");
    let before = asked(&world).len();
    world.server.mood = Mood::Fails(Failure::AllDown);
    world.run(Duration::from_secs(300));
    assert!(
        world.ends().is_empty(),
        "that the servers are away is not its fault"
    );
    assert!(asked(&world).len() >= before + 3);
    world.caller(0, 1).client.mute = true;
    world.run(Duration::from_secs(120));
    assert_eq!(world.ends(), ["authentication_timeout"]);
}

#[test]
fn a_subscriber_that_begins_anew_as_another_has_nothing_of_the_first() {
    let mut world = granted(|list| {
        list.push_ipv4(kind::FRAMED_IP_ADDRESS, [203, 0, 113, 99].into());
        cisco(list, "throttle=64");
    });
    world.server.grant = AttributeList::new();
    let mut frames = Vec::new();
    let now = world.now;
    let client = &mut world.caller(0, 1).client;
    client.renegotiate(now, &mut frames);
    client.name = "other".to_owned();
    client.password = Secret::new(*b"other");
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    let session = session(&world);
    assert_eq!(session.user.as_deref(), Some("other"));
    assert_eq!(
        world.address(0, 1).expect("it is up").octets()[..2],
        [100, 64]
    );
    assert_eq!(session.rates, None);
}
