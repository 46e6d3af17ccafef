//! What is sent again, and with which identifier (R13-R18).

use std::collections::BTreeSet;

use lns_crypto::Secret;
use lns_crypto::radius::{reveal_password, verify_message, verify_request};
use lns_radius::config::{Config, Purpose, Timing, Transport};
use lns_radius::request::Failure;
use lns_radius::trunk::rules::Rules;
use lns_wire::radius::{Code, Id, kind};

use crate::world::*;

fn secret() -> Secret {
    Secret::new(*b"xyzzy")
}

fn accounting(delay_time: bool) -> Config {
    let mut config = config(&["r1"]);
    config.purpose = Purpose::Accounting;
    config.delay_time = delay_time;
    config
}

fn delay(seen: &Seen) -> Option<u32> {
    let value = seen.packet().first(kind::ACCT_DELAY_TIME)?.to_vec();
    Some(u32::from_be_bytes(value.try_into().unwrap()))
}

#[test]
fn an_unanswered_request_is_repeated_byte_for_byte_at_rfc_5080_s_times() {
    let mut world = World::with_rules(config(&["r1"]), patient());
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(31));
    let seen = world.requests("r1");
    assert_eq!(seen.len(), 4, "0, 2, 6, 14 s; the next would be at 30 s");
    let first = &seen[0];
    assert!(
        seen.iter()
            .all(|seen| seen.octets == first.octets && seen.over == first.over)
    );
    let mut wait = 2.0;
    for pair in seen.windows(2) {
        let took = pair[1].at.since(pair[0].at).as_secs_f64();
        assert!(
            (0.89 * wait..1.11 * wait + 0.02).contains(&took),
            "{took} for {wait}"
        );
        wait = took * 2.0;
    }
    let outcome = &world.outcomes[&token];
    assert_eq!(
        (outcome.sends, world.failure(token)),
        (4, Some(Failure::TimedOut))
    );
    world.nothing_is_held();
}

#[test]
fn r13_a_repeated_record_says_how_old_it_is() {
    let mut world = World::new(accounting(true));
    world.run(secs(7));
    let request = lns_radius::request::Request {
        happened: lns_tables::time::Instant::from_millis(world.now.as_millis() - 3000),
        ..world.request()
    };
    world.peer("r1").life = Life::Silent;
    world.ask_for(request);
    world.run(secs(29));
    let seen = world.requests("r1");
    assert!(seen.len() >= 4);
    let first = seen[0].at;
    for seen in &seen {
        let whole = seen.at.since(first).as_secs();
        assert_eq!(delay(seen), Some(3 + u32::try_from(whole).unwrap()));
    }
}

#[test]
fn r14_changed_content_gets_another_identifier_and_authenticator_and_unchanged_is_the_same_octets()
{
    let mut world = World::new(accounting(true));
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(29));
    let seen = world.requests("r1");
    let ids: BTreeSet<u8> = seen.iter().map(|seen| seen.packet().id.0).collect();
    let authenticators: BTreeSet<_> = seen
        .iter()
        .map(|seen| seen.packet().authenticator)
        .collect();
    assert_eq!((ids.len(), authenticators.len()), (seen.len(), seen.len()));
    assert!(
        seen.iter()
            .all(|seen| verify_request(&seen.octets, &secret()))
    );

    let mut world = World::new(accounting(false));
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(29));
    let seen = world.requests("r1");
    assert!(seen.len() >= 4 && seen.iter().all(|again| again.octets == seen[0].octets));
    assert_eq!(delay(&seen[0]), None);
}

#[test]
fn r15_elsewhere_all_that_hangs_on_the_authenticator_is_made_anew_and_times_stay() {
    let mut world = World::new(config(&["r1", "r2"]));
    world.peer("r2").secret = secret();
    let mut request = world.login();
    request.attributes.push_u32(kind::EVENT_TIMESTAMP, 77);
    world.peer("r1").life = Life::Silent;
    let token = world.ask_for(request);
    world.run(secs(10));
    assert!(world.is_ok(token));
    let (here, there) = (
        world.requests("r1")[0].clone(),
        world.requests("r2")[0].clone(),
    );
    assert_ne!(here.packet().authenticator, there.packet().authenticator);
    for seen in [&here, &there] {
        let packet = seen.packet();
        assert!(verify_message(
            &seen.octets,
            22,
            &packet.authenticator,
            &secret()
        ));
        let hidden = packet.first(kind::USER_PASSWORD).unwrap();
        let shown = reveal_password(hidden, &packet.authenticator, &secret()).unwrap();
        assert_eq!(shown.expose(), b"secret");
        assert_eq!(
            packet.first(kind::EVENT_TIMESTAMP),
            Some(&[0, 0, 0, 77][..])
        );
    }
}

#[test]
fn r16_a_late_answer_to_an_earlier_identifier_completes_the_record_once() {
    let mut world = World::new(accounting(true));
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(3));
    let seen = world.requests("r1");
    assert_eq!(seen.len(), 2);
    let (first, second) = (&seen[0], &seen[1]);
    let late = world.peers["r1"].sign(&first.packet(), Code::ACCOUNTING_RESPONSE, &identity_free());
    world.forge(first.over, &late);
    assert!(world.is_ok(token));
    // The other answer, and the same one again, complete nothing.
    let other = world.peers["r1"].sign(
        &second.packet(),
        Code::ACCOUNTING_RESPONSE,
        &identity_free(),
    );
    world.forge(first.over, &other);
    world.forge(first.over, &late);
    assert_eq!(world.outcomes.len(), 1);
    assert_eq!(world.dropped("r1", "late"), 2);
}

fn identity_free() -> lns_wire::radius::AttributeList {
    lns_wire::radius::AttributeList::new()
}

#[test]
fn r16_an_earlier_identifier_is_not_used_again_before_its_time_is_over() {
    let mut world = World::new(accounting(true));
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(3));
    let old = world.requests("r1")[0].clone();
    world.peer("r1").life = Life::Answers;
    world.run(secs(5));
    let again = world.requests("r1").len();
    // More requests than there are identifiers, all within its time.
    for _ in 0..600 {
        world.ask();
        world.run(millis(10));
    }
    let seen = world.requests("r1");
    assert!(
        seen[again..]
            .iter()
            .all(|seen| seen.packet().id != old.packet().id)
    );
    world.run(secs(40));
    world.nothing_is_held();
}

#[test]
fn r18_with_all_identifiers_in_use_changed_content_is_still_sent() {
    let mut config = accounting(true);
    config.limits.max_connections = 1;
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    world.asks(255);
    world.run(secs(5));
    let seen = world.requests("r1");
    assert!(seen.len() >= 510, "all were repeated: {}", seen.len());
    assert!(seen[255..].iter().all(|seen| delay(seen).unwrap() >= 1));
    world.peer("r1").life = Life::Answers;
    world.run(secs(30));
    assert_eq!(world.outcomes.len(), 255);
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    world.run(secs(60));
    world.nothing_is_held();
}

#[test]
fn on_a_stream_nothing_is_repeated_and_the_timers_run() {
    let mut config = config(&["r1"]);
    config.servers[0].transport = Transport::Tls;
    let rules = Rules {
        min_streams: 1,
        ..patient()
    };
    let mut world = World::with_rules(config, rules);
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(31));
    assert_eq!(world.requests("r1").len(), 1);
    assert_eq!(world.failure(token), Some(Failure::TimedOut));
    // An answer may still come, and must not be taken for one to somebody else.
    world.run(secs(60));
    world.nothing_is_held();
}

#[test]
fn mrc_ends_a_request_before_mrd_and_the_wait_after_the_last_send_is_waited_for() {
    let mut config = config(&["r1"]);
    config.timing = Timing {
        count: 2,
        ..Timing::ACCESS
    };
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(5));
    assert_eq!(
        (world.requests("r1").len(), world.failure(token)),
        (2, None)
    );
    world.run(secs(2));
    assert_eq!(world.failure(token), Some(Failure::TimedOut));
}

#[test]
fn every_access_request_has_its_message_authenticator_first_and_the_nas_in_it() {
    let mut world = World::new(config(&["r1"]));
    world.ask();
    let seen = world.requests("r1")[0].clone();
    let kinds: Vec<u8> = seen.packet().attributes().map(|one| one.kind).collect();
    assert_eq!(kinds[0], kind::MESSAGE_AUTHENTICATOR);
    assert!(kinds.contains(&kind::NAS_IDENTIFIER) && kinds.contains(&kind::USER_PASSWORD));
    assert_ne!(seen.packet().id, Id(0));
}
