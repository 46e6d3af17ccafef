//! What a server is asked, and who is asked in its place.

use core::time::Duration;
use std::collections::BTreeSet;

use lns_crypto::{Secret, chap};
use lns_node::Stage;
use lns_node::config::{Authentication, LocalUsers, RadiusConfig};
use lns_radius::request::Failure;
use lns_wire::radius::Code;
use lns_wire::radius::kind;

use super::{METHODS, SECONDS, asked, end, granted, login, session, with_radius, world, world_of};
use crate::client::Client;
use crate::server::{Mood, value};
use crate::world::OwnedProxy;

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
