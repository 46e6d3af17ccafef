//! Status checks (R21-R27).

use std::collections::BTreeSet;

use lns_crypto::Secret;
use lns_crypto::radius::{reveal_password, verify_message, verify_request};
use lns_radius::CheckKind;
use lns_radius::config::{Check, Config, Purpose, StatusCheck, Transport};
use lns_radius::event::Cause;
use lns_radius::request::{Failure, Token};
use lns_radius::server::ServerState;
use lns_radius::trunk::TrunkState;
use lns_radius::trunk::rules::Rules;
use lns_wire::radius::{Code, Id, kind};

use crate::world::*;

fn probe(password: bool) -> Check {
    Check {
        attributes: attributes("probe"),
        password: password.then(|| Secret::new(*b"probe")),
    }
}

fn checked(check: StatusCheck) -> Config {
    let mut config = config(&["r1"]);
    config.check = check;
    config
}

/// Makes the only connection a zombie.
fn zombie(world: &mut World) {
    world.peer("r1").life = Life::Silent;
    world.ask();
    while world.states("r1") != [TrunkState::Inactive] {
        world.run(millis(100));
    }
}

#[test]
fn r21_each_kind_of_check_is_repeated_as_its_packet_is() {
    let kinds = [
        (
            StatusCheck::StatusServer(probe(true)),
            Code::STATUS_SERVER,
            2.0 + 4.0 + 5.0 + 5.0 + 5.0,
        ),
        (
            StatusCheck::AccessRequest(probe(true)),
            Code::ACCESS_REQUEST,
            30.0,
        ),
        (
            StatusCheck::AccountingRequest(probe(true)),
            Code::ACCOUNTING_REQUEST,
            30.0,
        ),
    ];
    for (check, code, longest) in kinds {
        let mut world = World::new(checked(check));
        zombie(&mut world);
        let begun = world.checks("r1")[0].at;
        while world.states("r1") == [TrunkState::Inactive] {
            world.run(millis(100));
        }
        let took = world.now.since(begun).as_secs_f64();
        assert!(
            (longest * 0.88..longest * 1.12).contains(&took),
            "{code}: {took} s"
        );
        let checks = world.checks("r1");
        assert!(checks.iter().all(|check| check.packet().code == code));
        let wait = checks[1].at.since(checks[0].at).as_secs_f64();
        assert!((1.79..2.23).contains(&wait), "IRT: {wait}");
    }
}

#[test]
fn r22_a_check_says_what_is_configured_and_never_anything_of_a_subscriber() {
    let mut world = World::new(checked(StatusCheck::StatusServer(Check::default())));
    zombie(&mut world);
    let check = world.checks("r1")[0].clone();
    let kinds: Vec<u8> = check.packet().attributes().map(|one| one.kind).collect();
    assert_eq!(kinds, [kind::MESSAGE_AUTHENTICATOR, kind::NAS_IDENTIFIER]);
    let authenticator = check.packet().authenticator;
    assert!(verify_message(
        &check.octets,
        22,
        &authenticator,
        &Secret::new(*b"xyzzy")
    ));

    let mut world = World::new(checked(StatusCheck::AccessRequest(probe(true))));
    zombie(&mut world);
    let check = world.checks("r1")[0].clone();
    let packet = check.packet();
    assert_eq!(packet.first(kind::USER_NAME), Some(&b"probe"[..]));
    let hidden = packet.first(kind::USER_PASSWORD).unwrap();
    let shown = reveal_password(hidden, &packet.authenticator, &Secret::new(*b"xyzzy")).unwrap();
    assert_eq!(shown.expose(), b"probe");
}

/// RFC 5997, 3: Status-Server is no login of a user.
#[test]
fn r22_a_status_server_names_no_user_also_where_auto_has_one_for_other_checks() {
    for purpose in [Purpose::Authentication, Purpose::Accounting] {
        let mut config = checked(StatusCheck::Auto(probe(true)));
        config.purpose = purpose;
        let mut world = World::new(config);
        zombie(&mut world);
        world.run(secs(12));
        let checks = world.checks("r1");
        let codes: BTreeSet<u8> = checks.iter().map(|check| check.packet().code.0).collect();
        assert_eq!(codes.len(), 2);
        for check in checks {
            let packet = check.packet();
            let named = packet.first(kind::USER_NAME).is_some();
            let hidden = packet.first(kind::USER_PASSWORD).is_some();
            assert_eq!(named, packet.code != Code::STATUS_SERVER);
            assert_eq!(hidden, packet.code == Code::ACCESS_REQUEST);
        }
    }
}

/// RFC 2866, 4.1: Acct-Status-Type and Acct-Session-Id must be there. A Stop leaves no session open.
#[test]
fn r22_a_check_by_a_record_is_the_end_of_a_session_of_its_own() {
    let mut config = checked(StatusCheck::AccountingRequest(probe(false)));
    config.purpose = Purpose::Accounting;
    let mut world = World::new(config);
    zombie(&mut world);
    world.run(secs(12));
    let checks = world.checks("r1");
    assert!(checks.len() >= 3);
    for check in &checks {
        let packet = check.packet();
        assert!(verify_request(&check.octets, &Secret::new(*b"xyzzy")));
        let kinds: Vec<u8> = packet.attributes().map(|one| one.kind).collect();
        let expected = [
            kind::USER_NAME,
            kind::ACCT_STATUS_TYPE,
            kind::ACCT_SESSION_ID,
            kind::NAS_IDENTIFIER,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(
            packet.first(kind::ACCT_STATUS_TYPE),
            Some(&[0, 0, 0, 2][..])
        );
        assert_eq!(packet.first(kind::USER_NAME), Some(&b"probe"[..]));
    }
    let each = |of: fn(&Seen) -> Vec<u8>| checks.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(
        each(|check| check.packet().authenticator.to_vec()),
        checks.len()
    );
    let session = |check: &Seen| {
        check
            .packet()
            .first(kind::ACCT_SESSION_ID)
            .unwrap()
            .to_vec()
    };
    assert_eq!(each(session), checks.len());
}

#[test]
fn r23_a_server_that_answers_only_one_kind_of_check_is_found_alive_by_it() {
    let other = [
        Code::ACCESS_REQUEST.0,
        Code::ACCOUNTING_REQUEST.0,
        Code::STATUS_SERVER.0,
    ];
    let cases = [
        (
            StatusCheck::StatusServer(probe(true)),
            Code::STATUS_SERVER,
            Code::ACCESS_ACCEPT,
        ),
        (
            StatusCheck::AccessRequest(probe(true)),
            Code::ACCESS_REQUEST,
            Code::ACCESS_ACCEPT,
        ),
        (
            StatusCheck::AccessRequest(probe(true)),
            Code::ACCESS_REQUEST,
            Code::ACCESS_REJECT,
        ),
        (
            StatusCheck::AccountingRequest(probe(true)),
            Code::ACCOUNTING_REQUEST,
            Code::ACCOUNTING_RESPONSE,
        ),
    ];
    for (check, answered, reply) in cases {
        let mut world = World::new(checked(check));
        world.asks(1);
        world.run(secs(1));
        zombie(&mut world);
        // What was asked before is given up: only checks can bring it back.
        world.cancel(Token(2));
        let peer = world.peer("r1");
        peer.life = Life::Answers;
        peer.reply = reply;
        peer.deaf_to = other
            .into_iter()
            .filter(|code| *code != answered.0)
            .collect();
        world.run(secs(12));
        assert_eq!(
            world.states("r1"),
            [TrunkState::Active],
            "{answered} {reply}"
        );
        assert_eq!(world.server("r1").counts.checks_answered, 3);
        assert_eq!(world.server("r1").counts.opened, 1);
    }
}

#[test]
fn r24_a_check_has_its_identifier_even_if_all_others_are_in_use() {
    let mut config = checked(with_status_server());
    config.limits.max_connections = 1;
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    world.asks(255);
    assert_eq!(world.connection("r1").free_ids, 0);
    world.run(secs(8));
    let checks = world.checks("r1");
    assert!(!checks.is_empty());
    assert!(checks.iter().all(|check| check.packet().id == Id(0)));
    assert!(
        world
            .requests("r1")
            .iter()
            .all(|seen| seen.packet().id != Id(0))
    );
    let authenticators: BTreeSet<_> = checks
        .iter()
        .map(|check| check.packet().authenticator)
        .collect();
    assert_eq!(authenticators.len(), checks.len(), "none is sent twice");
}

#[test]
fn r24_the_answer_to_any_of_the_last_checks_counts() {
    let mut world = World::new(checked(with_status_server()));
    zombie(&mut world);
    world.run(secs(8));
    let checks = world.checks("r1");
    assert!(checks.len() >= 3);
    for check in &checks[..2] {
        let answer = world.peers["r1"].answer(&check.octets).unwrap();
        world.forge(check.over, &answer);
    }
    assert_eq!(world.server("r1").counts.checks_answered, 2);
}

#[test]
fn r25_who_is_answered_or_idle_is_never_checked() {
    let mut config = config(&["r1", "r2"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    for _ in 0..50 {
        world.ask();
        world.run(secs(1));
    }
    world.run(secs(3600));
    assert!(world.checks("r1").is_empty() && world.checks("r2").is_empty());
    assert_eq!(
        world.client.poll_timeout(),
        None,
        "and nothing is waited for"
    );
}

#[test]
fn r26_auto_finds_what_the_server_answers_and_tells() {
    let order = [
        Code::STATUS_SERVER,
        Code::ACCESS_REQUEST,
        Code::STATUS_SERVER,
    ];
    let mut world = World::new(checked(StatusCheck::Auto(probe(true))));
    assert_eq!(world.server("r1").check, None);
    zombie(&mut world);
    world.run(secs(7));
    let codes: Vec<Code> = world
        .checks("r1")
        .iter()
        .map(|check| check.packet().code)
        .collect();
    assert_eq!(codes[..3], order, "each in turn");
    world.cancel(Token(1));
    let peer = world.peer("r1");
    peer.life = Life::Answers;
    peer.deaf_to.insert(Code::STATUS_SERVER.0);
    while world.states("r1") != [TrunkState::Active] {
        world.run(millis(100));
    }
    assert_eq!(world.server("r1").check, Some(CheckKind::AccessRequest));

    let mut config = checked(StatusCheck::Auto(probe(true)));
    config.purpose = Purpose::Accounting;
    let mut world = World::new(config);
    zombie(&mut world);
    world.run(secs(7));
    let codes: Vec<Code> = world
        .checks("r1")
        .iter()
        .map(|check| check.packet().code)
        .collect();
    assert_eq!(codes[..2], [Code::STATUS_SERVER, Code::ACCOUNTING_REQUEST]);
}

#[test]
fn r26_auto_with_a_server_that_answers_no_check_goes_on_without() {
    let mut world = World::new(checked(StatusCheck::Auto(Check::default())));
    world.peer("r1").deaf_to.insert(Code::STATUS_SERVER.0);
    zombie(&mut world);
    world.peer("r1").life = Life::Answers;
    world.run(secs(120));
    // Its connection was given up and opened again, and one request tries it out.
    let token = world.ask();
    world.run(millis(10));
    assert!(world.is_ok(token));
    assert_eq!(world.server("r1").check, None);
    assert_eq!(world.server("r1").state, ServerState::Up);
}

#[test]
fn r27_auto_only_sends_checks_whose_attributes_suffice() {
    let check = |named: bool, password: bool| Check {
        attributes: if named {
            attributes("probe")
        } else {
            Check::default().attributes
        },
        password: password.then(|| Secret::new(*b"probe")),
    };
    for (purpose, check, other) in [
        (Purpose::Authentication, check(true, false), None),
        (Purpose::Authentication, check(false, true), None),
        (
            Purpose::Authentication,
            check(true, true),
            Some(CheckKind::AccessRequest),
        ),
        (Purpose::Accounting, check(false, true), None),
        (
            Purpose::Accounting,
            check(true, false),
            Some(CheckKind::AccountingRequest),
        ),
    ] {
        let auto = StatusCheck::Auto(check);
        assert_eq!(auto.kind(purpose, None, 0), Some(CheckKind::StatusServer));
        assert_eq!(
            auto.kind(purpose, None, 1),
            other.or(Some(CheckKind::StatusServer))
        );
    }
}

#[test]
fn a_check_that_is_missed_begins_the_count_anew() {
    let mut world = World::new(checked(with_status_server()));
    world.close(world.connection("r1").id, Cause::Refused);
    world.run(millis(3100));
    assert_eq!(world.server("r1").counts.checks_answered, 2, "at 1 and 3 s");
    world.peer("r1").life = Life::Silent;
    world.run(secs(3));
    world.peer("r1").life = Life::Answers;
    world.run(secs(4));
    // The one at 5 s was lost; those at about 7 and 9 s are the first and the second in a row.
    assert_eq!(world.server("r1").counts.checks_answered, 4);
    assert_eq!(world.states("r1"), [TrunkState::Connecting]);
    world.run(secs(3));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
}

#[test]
fn a_stream_that_is_silent_is_asked_after_tw_and_given_up_after_two_without_an_answer() {
    let mut config = checked(with_status_server());
    config.servers[0].transport = Transport::Tls;
    let rules = Rules {
        min_streams: 1,
        ..Rules::DEFAULT
    };
    let mut world = World::with_rules(config, rules);
    let first = world.connection("r1").id;
    world.run(secs(300));
    let checks = world.checks("r1").len();
    assert!((7..=11).contains(&checks), "about every 30 s: {checks}");
    assert_eq!(world.connection("r1").id, first);
    world.peer("r1").life = Life::Silent;
    world.run(secs(100));
    assert_ne!(world.connection("r1").id, first);
    assert_eq!(world.server("r1").cause, Some(Cause::NoAnswer));
    let token = world.ask();
    assert_eq!(world.failure(token), Some(Failure::AllDown));
}

#[test]
fn by_auto_a_server_that_has_ceased_to_answer_checks_is_tried_out_after_a_while() {
    let mut world = World::new(checked(StatusCheck::Auto(Check::default())));
    zombie(&mut world);
    world.peer("r1").life = Life::Answers;
    world.run(secs(10));
    assert_eq!(world.server("r1").check, Some(CheckKind::StatusServer));
    world.close(world.connection("r1").id, Cause::Broken);
    world.peer("r1").deaf_to.insert(Code::STATUS_SERVER.0);
    world.run(secs(30));
    let token = world.ask();
    assert_eq!(world.failure(token), Some(Failure::AllDown));
    world.run(secs(300));
    let token = world.ask();
    world.run(millis(10));
    assert!(world.is_ok(token));
}

/// A reload that ends the checks, while a connection waits for what they say.
#[test]
fn a_reload_without_checks_leaves_no_connection_waiting_for_one() {
    let without = |world: &mut World| {
        let mut config = world.config.clone();
        config.check = StatusCheck::None;
        world.configure(config);
    };
    for answered in 0..3 {
        let mut world = World::new(checked(with_status_server()));
        zombie(&mut world);
        world.cancel(Token(1));
        world.peer("r1").life = Life::Answers;
        while world.server("r1").counts.checks_answered < answered {
            world.run(millis(10));
        }
        let before = world.server("r1").counts.opened;
        without(&mut world);
        world.peer("r1").seen.clear();
        world.run(secs(60));
        assert!(world.checks("r1").is_empty());
        assert_eq!(world.server("r1").counts.opened, before + 1, "{answered}");
        let token = world.ask();
        world.run(millis(10));
        assert!(world.is_ok(token), "{answered}");
    }
    // One that was opened after a failure, and is asked whether it lives.
    let mut world = World::new(checked(with_status_server()));
    world.close(world.connection("r1").id, Cause::Broken);
    world.run(millis(1100));
    assert_eq!(world.states("r1"), [TrunkState::Connecting]);
    without(&mut world);
    world.run(secs(60));
    let token = world.ask();
    world.run(millis(10));
    assert!(world.is_ok(token));
}

#[test]
fn a_stream_is_watched_from_the_reload_on_that_brings_checks_and_to_the_one_that_ends_them() {
    let mut config = config(&["r1"]);
    config.servers[0].transport = Transport::Tls;
    let mut world = World::new(config.clone());
    world.run(secs(300));
    assert!(world.checks("r1").is_empty());
    config.check = with_status_server();
    world.configure(config.clone());
    world.run(secs(100));
    let streams = world.connections("r1").len();
    let each = world.checks("r1").len() / streams;
    assert!((2..=4).contains(&each), "{each}");
    // Nothing is asked any more, and nobody is given up for want of an answer.
    world.peer("r1").life = Life::Silent;
    world.run(secs(45));
    config.check = StatusCheck::None;
    world.configure(config);
    let asked = world.checks("r1").len();
    world.run(secs(300));
    assert_eq!(world.checks("r1").len(), asked);
    assert_eq!(world.server("r1").counts.failed, 0);
    assert_eq!(world.client.poll_timeout(), None);
}
