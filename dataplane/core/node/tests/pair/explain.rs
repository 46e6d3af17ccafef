//! What an engineer is told: why it failed, what was said, what goes on now.

use core::net::SocketAddr;
use core::time::Duration;

use lns_node::Stage;
use lns_node::explain::failures::{Failure, FailureFilter, Kind};
use lns_node::explain::trace::{TraceFilter, TraceId, TraceLine};
use lns_node::explain::transcript::{Entry, Octets, Step, What};
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp::{Message, MessageType, Packet};
use lns_wire::ppp::{Frame, Packet as PppPacket, Protocol};

use crate::client::Client;
use crate::manifest::{SECRET, config};
use crate::world::World;

const SECONDS: Duration = Duration::from_secs(5);
/// In no name, number or other text.
const MARKER: &str = "Canary4711";

fn failures(world: &World) -> Vec<Failure> {
    let filter = FailureFilter::default();
    world
        .node
        .failures(&filter, None, (usize::MAX, usize::MAX), world.now)
        .failures
}

/// One line of a transcript, short: what came (`<`) or went (`>`), or what was done.
fn line(entry: &Entry) -> String {
    match &entry.what {
        What::Received { octets, result } if *result == "ok" => format!("< {}", kind(octets)),
        What::Received { octets, result } => format!("< {} {result}", kind(octets)),
        What::Sent { octets } => format!("> {}", kind(octets)),
        What::Step(Step::State { machine, from, to }) => format!("{machine} {from} to {to}"),
        What::Step(Step::Login { method, verdict }) => format!("login {method} {verdict}"),
        What::Step(Step::Asked) => "asked".to_owned(),
        What::Step(Step::Answered(answer)) => format!(
            "{} {}",
            answer.server.as_deref().unwrap_or("nobody"),
            answer.result
        ),
        What::Step(Step::Policies { names, by, unknown }) => {
            format!("policies {} {by} {unknown:?}", names.join(" "))
        }
        What::Step(Step::Address { source, .. }) => format!("address of {source}"),
        What::Step(Step::NoAddress { reason }) => format!("no address {reason}"),
        What::Step(Step::Told { message, result }) => format!("told {message} {result}"),
        What::Step(Step::Ended { reason }) => format!("ended {reason}"),
    }
}

fn kind(octets: &Octets) -> String {
    match Packet::parse(&octets.octets).expect("L2TP") {
        Packet::Control(_, []) => "ZLB".to_owned(),
        Packet::Control(_, body) => MessageType::peek(body).expect("a type").label().to_owned(),
        Packet::Data(_, frame) => {
            let frame = Frame::parse(frame).expect("a frame");
            let packet = PppPacket::parse(frame.information).expect("a packet");
            let protocol = match frame.protocol {
                Protocol::LCP => "LCP",
                Protocol::PAP => "PAP",
                Protocol::CHAP => "CHAP",
                Protocol::EAP => "EAP",
                Protocol::IPCP => "IPCP",
                _ => "other",
            };
            format!("{protocol} {}", packet.code.0)
        }
    }
}

fn lines(transcript: &[std::sync::Arc<Entry>]) -> Vec<String> {
    transcript.iter().map(|entry| line(entry)).collect()
}

fn polled(world: &mut World, trace: TraceId) -> Vec<TraceLine> {
    core::iter::from_fn(|| world.node.poll_trace(trace)).collect()
}

fn traced(world: &mut World, trace: TraceId) -> Vec<String> {
    let shown = polled(world, trace);
    shown.iter().map(|shown| line(&shown.entry)).collect()
}

fn by_user(user: &str) -> TraceFilter {
    TraceFilter {
        user: Some(user.as_bytes().into()),
        ..TraceFilter::default()
    }
}

#[test]
fn a_failed_login_says_stage_reason_and_every_message_and_step_before_it() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "wrong"));
    world.run(Duration::from_secs(90));
    let failed = failures(&world);
    assert_eq!(failed.len(), 1);
    let (who, last) = (&failed[0].subject, &failed[0].last);
    assert_eq!(failed[0].kind, Kind::Failed);
    assert_eq!(
        (who.stage, who.reason, last.detail.as_deref()),
        (
            Stage::Authentication,
            "authentication_failed",
            Some("wrong_password")
        )
    );
    assert_eq!(who.user.as_deref(), Some(&b"user1"[..]));
    assert_eq!(who.calling_number.as_deref(), Some("0301234567"));
    assert_eq!(who.lac.as_deref(), Some("wholesale"));
    assert!(!last.is_cut);
    let mut said = lines(&last.transcript);
    // The subscriber does not wait for its LAC.
    said.retain(|line| line != "< LCP 1 ppp_before_iccn");
    let expected = [
        "< ICRQ",
        "> ICRP",
        "< ICCN",
        "call wait-connect to established",
        "LCP Initial to Req-Sent",
        "phase Dead to Establish",
        "> LCP 1",
    ];
    assert_eq!(said[..7], expected);
    assert!(
        said.contains(&"login CHAP wrong_password".to_owned()),
        "{said:?}"
    );
    assert!(said.contains(&"> CHAP 4".to_owned()), "{said:?}");
    assert_eq!(said.last().unwrap(), "ended authentication_failed");
}

#[test]
fn an_unknown_user_and_a_wrong_password_are_told_apart_for_the_engineer_only() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "wrong"));
    world.dial(lac, 2, Client::new("nobody", "wrong"));
    world.run(Duration::from_secs(90));
    let mut found: Vec<_> = failures(&world)
        .iter()
        .map(|failure| failure.last.detail.clone().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, ["unknown_user".into(), "wrong_password".into()]);
}

#[test]
fn a_subscriber_that_tries_again_and_again_is_one_failure_with_a_count() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=5 {
        world.dial(lac, id, Client::new("user1", "wrong"));
        world.run(Duration::from_secs(30));
    }
    let failed = failures(&world);
    assert_eq!((failed.len(), failed[0].count), (1, 5));
    assert!(failed[0].first < failed[0].last.at);
    assert_eq!(failed[0].last.session.map(|id| id.0 != 0), Some(true));
}

#[test]
fn the_end_of_a_session_that_was_up_is_told_with_its_last_32_messages() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(SECONDS);
    let address = world.address(lac, 1);
    for _ in 0..5 {
        let (now, mut frames) = (world.now, Vec::new());
        world.caller(lac, 1).client.renegotiate(now, &mut frames);
        world.send_frames(lac, SessionId(1), frames);
        world.run(SECONDS);
    }
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(lac, SessionId(1), frames);
    world.run(SECONDS);
    let ended = failures(&world);
    assert_eq!((ended.len(), ended[0].kind), (1, Kind::Ended));
    let last = &ended[0].last;
    assert_eq!(ended[0].subject.stage, Stage::Up);
    assert_eq!(ended[0].subject.reason, "peer_terminated");
    assert_eq!(last.address, address);
    assert!(last.up > Some(Duration::from_secs(20)));
    assert_eq!((last.transcript.len(), last.is_cut), (32, true));
    let said = lines(&last.transcript);
    assert!(said.contains(&"< LCP 5".to_owned()), "{said:?}");
    assert_eq!(said.last().unwrap(), "ended peer_terminated");
}

#[test]
fn refused_lacs_and_calls_are_failures_too() {
    let mut refusing = config();
    refusing.lacs[0].limits.max_sessions = 0;
    let mut world = World::new(refusing, 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.dial_tunnel(1702, Some("another secret of sixteen"));
    world.run(SECONDS);
    world.lacs[0].address = SocketAddr::from(([203, 0, 113, 9], 1701));
    world.restart_lac(0);
    world.run(SECONDS);
    let failed = failures(&world);
    let told: Vec<_> = failed
        .iter()
        .map(|one| (one.kind, one.subject.stage, one.subject.reason))
        .collect();
    assert!(
        told.contains(&(Kind::Failed, Stage::Call, "max_sessions")),
        "{told:?}"
    );
    assert!(
        told.contains(&(Kind::Refused, Stage::Tunnel, "unknown_lac")),
        "{told:?}"
    );
    let wrong = failed
        .iter()
        .find(|one| one.last.detail.as_deref() == Some("secret_refused_by_lac"))
        .expect("the wrong secret");
    assert_eq!(
        (wrong.kind, wrong.subject.stage),
        (Kind::Refused, Stage::Tunnel)
    );
    let unknown = failed
        .iter()
        .find(|one| one.subject.reason == "unknown_lac")
        .unwrap();
    assert_eq!(lines(&unknown.last.transcript), ["< SCCRQ unknown_lac"]);
    assert_eq!(unknown.last.host_name.as_deref(), Some("lac1"));
    let call = failed
        .iter()
        .find(|one| one.subject.reason == "max_sessions")
        .unwrap();
    assert_eq!(
        lines(&call.last.transcript),
        ["< ICRQ", "told CDN no_facilities_now", "ended max_sessions"]
    );
    assert_eq!(call.calling_number(), Some("0301234567"));
}

#[test]
fn a_lac_at_its_limit_is_one_failure_whoever_calls() {
    let mut full = config();
    full.lacs[0].limits.max_sessions = 0;
    let mut world = World::new(full, 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=20 {
        world.dial(lac, id, Client::new("user1", "user1"));
    }
    world.run(SECONDS);
    let failed = failures(&world);
    assert_eq!((failed.len(), failed[0].count), (1, 20));
    let told = world.events.iter().filter(|event| {
        matches!(
            event,
            lns_node::Event::CallRefused {
                reason: "max_sessions",
                ..
            }
        )
    });
    assert_eq!(told.count(), 20);
}

#[test]
fn a_tunnel_that_ends_says_why_and_how_many_it_took_and_so_does_each_session() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=3 {
        world.dial(
            lac,
            id,
            Client::new(&format!("user{id}"), &format!("user{id}")),
        );
    }
    world.run(SECONDS);
    world.faults.loss = 100;
    world.run(Duration::from_secs(200));
    let ended = failures(&world);
    let tunnel = ended
        .iter()
        .find(|one| one.subject.stage == Stage::Tunnel)
        .expect("the tunnel");
    assert_eq!(
        (tunnel.kind, tunnel.subject.reason),
        (Kind::Ended, "no_answer")
    );
    assert_eq!(tunnel.last.sessions, 3);
    let said = lines(&tunnel.last.transcript);
    assert_eq!(said[..3], ["< SCCRQ", "> SCCRP", "< SCCCN"]);
    assert_eq!(said.iter().filter(|line| *line == "> HELLO").count(), 6);
    let sessions = ended
        .iter()
        .filter(|one| one.subject.reason == "tunnel_closed");
    let why: Vec<_> = sessions.map(|one| one.last.detail.as_deref()).collect();
    assert_eq!(why, [Some("no_answer"); 3]);
}

#[test]
fn a_trace_by_name_shows_a_call_from_its_first_message_to_its_goodbye_and_nobody_elses() {
    let mut world = World::new(config(), 1);
    let trace = world.node.handle_trace(by_user("user1")).unwrap();
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.dial(lac, 2, Client::new("user2", "user2"));
    world.run(SECONDS);
    let shown = polled(&mut world, trace);
    let first = shown.first().expect("something").subject.session;
    assert!(shown.iter().all(|line| line.subject.session == first));
    let said: Vec<_> = shown.iter().map(|shown| line(&shown.entry)).collect();
    assert_eq!(said[..2], ["< ICRQ", "> ICRP"]);
    for expected in [
        "login CHAP accepted",
        "address of pool",
        "IPCP Ack-Rcvd to Opened",
    ] {
        assert!(
            said.iter().any(|line| line == expected),
            "{expected}: {said:?}"
        );
    }
    let at: Vec<_> = shown.iter().map(|line| line.entry.at).collect();
    assert!(at.is_sorted());
    assert!(world.node.handle_disconnect(
        shown[0].subject.tunnel.unwrap(),
        first.unwrap(),
        world.now
    ));
    world.run(SECONDS);
    let said = traced(&mut world, trace);
    assert_eq!(said.last().unwrap(), "> CDN", "{said:?}");
    assert!(said.contains(&"ended admin_reset".to_owned()), "{said:?}");
}

#[test]
fn a_trace_by_number_begins_with_the_icrq_and_one_by_lac_shows_the_tunnel_too() {
    let mut world = World::new(config(), 1);
    let number = TraceFilter {
        calling_number: Some("0301234567".into()),
        ..TraceFilter::default()
    };
    let lac = TraceFilter {
        lac: Some("wholesale".into()),
        ..TraceFilter::default()
    };
    let other = TraceFilter {
        remote: Some([203, 0, 113, 9].into()),
        ..TraceFilter::default()
    };
    let number = world.node.handle_trace(number).unwrap();
    let by_lac = world.node.handle_trace(lac).unwrap();
    let other = world.node.handle_trace(other).unwrap();
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(SECONDS);
    assert_eq!(traced(&mut world, number)[..2], ["< ICRQ", "> ICRP"]);
    let said = traced(&mut world, by_lac);
    assert_eq!(
        said[..4],
        [
            "< SCCRQ",
            "> SCCRP",
            "< SCCCN",
            "tunnel wait-ctl-conn to established"
        ]
    );
    assert!(said.contains(&"> ZLB".to_owned()) && said.contains(&"< ICRQ".to_owned()));
    assert_eq!(traced(&mut world, other), Vec::<String>::new());
    world.node.handle_trace_end(by_lac);
    world.run(Duration::from_secs(200));
    assert_eq!(traced(&mut world, by_lac), Vec::<String>::new());
}

#[test]
fn an_outgoing_call_is_refused_and_told() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.run(SECONDS);
    let peer = lns_wire::id::PeerSessionId::NONE;
    let ocrq = Message::Ocrq(lns_wire::l2tp::Ocrq {
        assigned_session: lns_wire::id::PeerSessionId(4),
        ..lns_wire::l2tp::Ocrq::default()
    });
    let mut rng = lns_crypto::Rng::from_seed([9; 32]);
    let machine = &mut world.lacs[lac].machine;
    machine.send_call(peer, &ocrq, &mut rng).expect("room");
    world.run(SECONDS);
    let sent = world.sent.iter().filter_map(|(_, octets)| {
        let Ok(Packet::Control(_, body)) = Packet::parse(octets) else {
            return None;
        };
        match Message::parse(body) {
            Ok(Message::Cdn(cdn)) => Some(cdn.result.result),
            _ => None,
        }
    });
    assert_eq!(sent.collect::<Vec<_>>(), [5], "no facilities, ever");
    let failed = failures(&world);
    assert_eq!(failed[0].subject.reason, "outgoing_call");
    assert_eq!(
        lines(&failed[0].last.transcript),
        [
            "< OCRQ",
            "told CDN no_facilities_ever",
            "ended outgoing_call"
        ]
    );
    assert_eq!(world.node.status().tunnels, 1);
}

#[test]
fn echoes_are_shown_and_do_not_take_the_place_of_other_messages() {
    let mut quick = config();
    quick.ppp.echo_interval = Duration::from_secs(1);
    let mut world = World::new(quick, 1);
    let trace = world.node.handle_trace(by_user("user1")).unwrap();
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(Duration::from_secs(60));
    let shown = traced(&mut world, trace);
    let echoes = shown.iter().filter(|line| *line == "> LCP 9").count();
    assert!(echoes > 20, "{shown:?}");
    let filter = lns_node::view::SessionFilter::default();
    let session = &world.node.sessions(&filter, None, 10, world.now).sessions[0];
    let (tunnel, session) = (TunnelId(session.tunnel), SessionId(session.session));
    let (kept, _) = world.node.transcript(tunnel, session);
    let kept = lines(&kept);
    assert_eq!(kept[0], "< ICRQ");
    assert!(!kept.contains(&"> LCP 9".to_owned()), "{kept:?}");
}

#[test]
fn what_was_said_twice_or_out_of_turn_is_shown_with_what_became_of_it() {
    let mut world = World::new(config(), 1);
    world.faults.duplication = 100;
    world.faults.reordering = 30;
    let lac = TraceFilter {
        lac: Some("wholesale".into()),
        ..TraceFilter::default()
    };
    let trace = world.node.handle_trace(lac).unwrap();
    let lac = world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=20 {
        world.dial(lac, id, Client::new("user1", "user1"));
    }
    world.run(SECONDS);
    let said = traced(&mut world, trace);
    let count = |end: &str| said.iter().filter(|line| line.ends_with(end)).count();
    assert!(count("duplicate") > 10 && count("early") > 0, "{said:?}");
    assert_eq!(said.iter().filter(|line| *line == "< ICRQ").count(), 20);
}

#[test]
fn to_be_followed_changes_nothing() {
    let run = |followed: bool| {
        let mut world = World::new(config(), 7);
        world.faults.loss = 10;
        if followed {
            world.node.handle_trace(TraceFilter::default()).unwrap();
            world.node.handle_trace(by_user("user1")).unwrap();
        }
        let lac = world.dial_tunnel(1701, Some(SECRET));
        for id in 1..=10 {
            world.dial(lac, id, Client::new(&format!("user{id}"), "user1"));
        }
        world.run(Duration::from_secs(120));
        let told: Vec<_> = failures(&world)
            .iter()
            .map(|one| (one.subject.clone(), one.count, lines(&one.last.transcript)))
            .collect();
        (world.sent, told)
    };
    let (sent, told) = run(false);
    assert!(told.len() >= 9, "{told:?}");
    assert_eq!((sent, told), run(true));
}

#[test]
fn no_password_and_no_proof_of_one_is_kept_or_shown() {
    let mut guarded = config();
    guarded.lacs[0].hide_avps = true;
    let user = guarded.subscribers.users.get_mut(&b"user1"[..]);
    user.expect("a user").password = lns_crypto::Secret::new(MARKER.as_bytes());
    let mut world = World::new(guarded, 1);
    let trace = world.node.handle_trace(TraceFilter::default()).unwrap();
    let lac = world.dial_tunnel(1701, Some(SECRET));
    for (id, refuses_chap) in [(1, true), (2, false)] {
        for (password, id) in [(MARKER, id), ("Canary4711 wrong", id + 10)] {
            let mut client = Client::new("user1", password);
            client.refuses_chap = refuses_chap;
            world.dial(lac, id, client);
        }
    }
    world.run(Duration::from_secs(90));
    let shown = polled(&mut world, trace);
    assert!(shown.len() > 100);
    let kept = failures(&world);
    let kept = kept.iter().flat_map(|one| one.last.transcript.iter());
    let mut responses = 0;
    for entry in shown.iter().map(|shown| &shown.entry).chain(kept) {
        let octets = match &entry.what {
            What::Received { octets, .. } | What::Sent { octets } => &octets.octets,
            What::Step(_) => continue,
        };
        let clear = String::from_utf8_lossy(octets);
        assert!(!clear.contains(MARKER), "{}", line(entry));
        if let Ok(Packet::Control(_, body)) = Packet::parse(octets)
            && let Ok(Message::Sccrp(sccrp)) = Message::parse(body)
        {
            assert_eq!(sccrp.challenge_response, Some([b'*'; 16]));
            responses += 1;
        }
        if line(entry) == "< CHAP 2" {
            assert!(clear.contains("****************"), "{clear}");
            responses += 1;
        }
    }
    assert!(responses >= 3);
}
