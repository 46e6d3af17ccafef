//! Sessions that are asked again, or begin anew.

use core::time::Duration;

use lns_crypto::Secret;
use lns_node::Stage;
use lns_node::config::{Authentication, Config, LocalUsers, RadiusConfig, User};
use lns_radius::record::Status;
use lns_radius::request::Failure;
use lns_wire::radius::AttributeList;
use lns_wire::radius::kind;

use super::{
    METHODS, SECONDS, accounted, asked, become_another, cisco, end, granted, hang_up, login,
    records, renegotiate, session, with_accounting, with_radius, world, world_of,
};
use crate::manifest::SECRET;
use crate::server::{Mood, value};
use crate::world::World;

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
    renegotiate(&mut world, 1, become_another);
    let session = session(&world);
    assert_eq!(session.user.as_deref(), Some("other"));
    assert_eq!(
        world.address(0, 1).expect("it is up").octets()[..2],
        [100, 64]
    );
    assert_eq!(session.rates, None);
}

#[test]
fn who_was_told_of_begins_anew_as_nobody_else() {
    for method in METHODS {
        let mut world = world_of(with_accounting(method, Duration::ZERO));
        login(&mut world, 1, "sub");
        renegotiate(&mut world, 1, become_another);
        world.run(SECONDS * 8);
        let expected = (
            Stage::Up,
            "authentication_failed",
            "another_user".to_owned(),
        );
        assert_eq!(end(&world), expected, "{method:?}");
        let sub = || "sub".to_owned();
        assert_eq!(
            accounted(&world),
            [(Status::Start, sub()), (Status::Stop, sub())]
        );
    }
}

#[test]
fn a_stop_names_who_the_start_named_whatever_servers_say_since() {
    let mut config = with_accounting(Authentication::Chap, Duration::from_secs(60));
    config.ppp.rechallenge = Duration::from_secs(50);
    let mut world = world_of(config);
    let name = |world: &mut World, name: &[u8]| {
        world.server.grant = AttributeList::new();
        let grant = &mut world.server.grant;
        grant.push(kind::USER_NAME, name).expect("it fits");
    };
    name(&mut world, b"line1");
    login(&mut world, 1, "sub");
    name(&mut world, b"line2");
    world.run(Duration::from_secs(100));
    renegotiate(&mut world, 1, |_| ());
    hang_up(&mut world, 1);
    let line = || "line1".to_owned();
    assert_eq!(
        accounted(&world),
        [
            (Status::Start, line()),
            (Status::Interim, line()),
            (Status::Stop, line())
        ]
    );
}

#[test]
fn a_session_that_begins_anew_is_told_of_as_often_as_its_new_grant_says() {
    let mut world = world_of(with_accounting(
        Authentication::Chap,
        Duration::from_secs(600),
    ));
    login(&mut world, 1, "sub");
    let interims = |world: &World| {
        let records = records(world).into_iter();
        records.filter(|it| it.status == Status::Interim).count()
    };
    world.server.grant.push_u32(kind::ACCT_INTERIM_INTERVAL, 60);
    renegotiate(&mut world, 1, |_| ());
    world.run(Duration::from_secs(135));
    assert_eq!(interims(&world), 2);
    // The manifest's interval is nothing to who has one of the server's.
    let config = with_accounting(Authentication::Chap, Duration::from_secs(900));
    world.node.handle_config(config, world.now);
    world.run(Duration::from_secs(135));
    assert_eq!(interims(&world), 4);
}

/// Sessions of 62 s that are asked again after 60 s and then; `grant` says more of them.
fn timed(method: Authentication, grant: impl FnOnce(&mut AttributeList)) -> World {
    let mut config = with_radius(method);
    config.ppp.rechallenge = Duration::from_secs(60);
    let mut world = world_of(config);
    world.server.grant.push_u32(kind::SESSION_TIMEOUT, 62);
    world.server.grant.push_u32(kind::TERMINATION_ACTION, 1);
    grant(&mut world.server.grant);
    login(&mut world, 1, "sub");
    assert!(world.is_up(0, 1));
    world
}

#[test]
fn who_is_being_asked_already_when_his_time_is_over_need_not_be_asked_once_more() {
    let mut world = timed(Authentication::Chap, |list| {
        list.push(kind::STATE, b"kept").expect("it fits");
    });
    let before = asked(&world).len();
    world.run(Duration::from_secs(50));
    world.caller(0, 1).client.mute = true;
    world.run(Duration::from_secs(10));
    world.caller(0, 1).client.mute = false;
    assert!(world.ends().is_empty());
    world.run(Duration::from_secs(20));
    assert!(world.ends().is_empty());
    assert_eq!(asked(&world).len(), before + 1);
    let state = value(asked(&world)[before], kind::STATE);
    assert_eq!(state, Some(b"kept".to_vec()), "his time is over");
    let left = session(&world).remaining_seconds.expect("an end");
    assert!((40..=60).contains(&left), "{left}");
}

#[test]
fn a_state_that_was_granted_is_for_when_the_time_is_over_and_for_nothing_else() {
    for method in [
        Authentication::Chap,
        Authentication::MsChapV2,
        Authentication::Eap,
    ] {
        let mut config = with_radius(method);
        config.ppp.rechallenge = Duration::from_secs(60);
        let mut world = world_of(config);
        let grant = &mut world.server.grant;
        grant.push(kind::STATE, b"kept").expect("it fits");
        login(&mut world, 1, "sub");
        let before = asked(&world).len();
        world.run(Duration::from_secs(70));
        let first = asked(&world)[before];
        assert_eq!(value(first, kind::STATE), None, "{method:?}");
        assert!(world.ends().is_empty());
    }
}

#[test]
fn who_was_let_in_by_the_server_is_judged_by_nobody_else_as_long_as_it_is_there() {
    // A local user of this name, and another password.
    let namesake = |config: &mut Config| {
        let user = User {
            password: Secret::new(*b"other"),
            policies: Vec::new(),
            address: None,
        };
        let users = &mut config.subscribers.users;
        users.insert((*b"sub").into(), user);
    };
    let with_order = |method, local_users| {
        let mut config = with_radius(method);
        config.ppp.rechallenge = Duration::from_secs(60);
        config.radius = Some(RadiusConfig {
            local_users,
            ..RadiusConfig::default()
        });
        config
    };
    for method in [Authentication::Chap, Authentication::Eap] {
        for order in [LocalUsers::Before, LocalUsers::After, LocalUsers::Only] {
            let mut world = world_of(with_order(method, LocalUsers::After));
            login(&mut world, 1, "sub");
            let mut config = with_order(method, order);
            namesake(&mut config);
            world.node.handle_config(config, world.now);
            world.run(Duration::from_secs(70));
            world.server.mood = Mood::Fails(Failure::TimedOut);
            world.run(Duration::from_secs(70));
            assert!(world.ends().is_empty(), "{method:?} {order:?}");
            let mut config = with_order(method, order);
            namesake(&mut config);
            config.radius = None;
            world.node.handle_config(config, world.now);
            world.run(Duration::from_secs(70));
            assert!(world.ends().is_empty(), "{method:?} {order:?}");
        }
    }
    // Who was let in as a local user is judged as one.
    let mut world = world_of(with_order(Authentication::Chap, LocalUsers::After));
    world.server.mood = Mood::Fails(Failure::TimedOut);
    login(&mut world, 1, "user1");
    world.run(Duration::from_secs(70));
    assert!(world.ends().is_empty());
    world.caller(0, 1).client.password = Secret::new(*b"wrong");
    world.run(Duration::from_secs(70));
    assert_eq!(end(&world).2, "wrong_password");
}

#[test]
fn to_begin_anew_is_a_proof_like_any_other() {
    let mut world = timed(Authentication::Chap, |_| ());
    world.run(Duration::from_secs(50));
    world.caller(0, 1).client.mute = true;
    world.run(Duration::from_secs(15));
    world.server.grant = AttributeList::new();
    renegotiate(&mut world, 1, |_| ());
    assert_eq!(session(&world).remaining_seconds, None);
    world.run(Duration::from_secs(50));
    assert!(world.ends().is_empty());
}

#[test]
fn what_happens_at_the_end_is_what_the_last_yes_says() {
    let mut world = timed(Authentication::Chap, |_| ());
    assert!(session(&world).granted.expect("a grant").asks_again);
    world.server.grant = AttributeList::new();
    world.server.grant.push_u32(kind::SESSION_TIMEOUT, 62);
    world.run(Duration::from_secs(57));
    assert!(!session(&world).granted.expect("a grant").asks_again);
    world.run(Duration::from_secs(10));
    assert_eq!(world.ends(), ["session_timeout"]);
}
