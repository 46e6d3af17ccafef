//! While the server thinks: repetitions, those who leave, and those whom it never answers.

use core::time::Duration;
use std::collections::BTreeSet;

use lns_node::Stage;
use lns_node::config::{Authentication, RadiusConfig};
use lns_node::explain::transcript::{Step, What};
use lns_radius::request::{Failure, Token};
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::kind;

use super::{
    METHODS, asked, cancelled, end, failures, login, repeats, routes, session, sessions,
    with_radius, world, world_of,
};
use crate::client::Client;
use crate::manifest::SECRET;
use crate::server::Mood;
use crate::world::{Faults, World};

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

#[test]
fn a_repetition_after_the_answer_has_that_answer_and_asks_nobody() {
    for (method, mood) in [
        (Authentication::Pap, Mood::Honest),
        (Authentication::Pap, Mood::No),
        (Authentication::Chap, Mood::Honest),
        (Authentication::MsChapV2, Mood::Honest),
        (Authentication::Eap, Mood::Honest),
    ] {
        let mut world = world(method);
        world.server.mood = mood;
        world.server.delay = Duration::from_millis(600);
        let texts = [&mut world.server.grant, &mut world.server.excuse];
        for text in texts {
            text.push(kind::REPLY_MESSAGE, b"Answer").expect("it fits");
        }
        world.dial(0, 1, Client::new("sub", "sub"));
        let rounds = if method == Authentication::Eap { 2 } else { 1 };
        while asked(&world).len() < rounds {
            world.run(Duration::from_millis(100));
        }
        let said = answer_of(&world);
        world.run(Duration::from_secs(2));
        let told = core::mem::take(&mut world.caller(0, 1).client.told);
        let sent = world.sent.len();
        world.send_frames(0, SessionId(1), vec![said]);
        world.run(Duration::from_millis(100));
        assert_eq!(asked(&world).len(), rounds, "{method:?}");
        assert!(world.sent.len() > sent, "{method:?} is answered");
        assert_eq!(world.client(0, 1).told, told, "{method:?}");
        assert_eq!(told.is_empty(), method == Authentication::Eap);
        assert_eq!(world.is_up(0, 1), mood == Mood::Honest);
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
