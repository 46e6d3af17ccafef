//! Subscribers log in: who they are, which address they get, what the LAC has settled for them.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_crypto::{Secret, chap};
use lns_node::config::{
    Admission, Allocation, Authentication, DuplicateAction, DuplicateKey, LcpRenegotiation,
};
use lns_node::{Event, Stage};
use lns_wire::id::SessionId;

use crate::client::Client;
use crate::manifest::{DNS, SECRET, config};
use crate::world::{OwnedProxy, World};

const SECONDS: Duration = Duration::from_secs(5);

fn world() -> World {
    World::new(config(), 1)
}

/// A world with one established tunnel.
fn connected() -> World {
    let mut world = world();
    world.dial_tunnel(1701, Some(SECRET));
    world
}

fn login(world: &mut World, id: u16, client: Client) {
    world.dial(0, id, client);
    world.run(SECONDS);
}

/// What a LAC passes on that has asked for CHAP with the MRU of its line (RFC 2661, 4.4.5): written by
/// hand, options without the packet's header.
fn proxy(name: &str, mru: u16) -> OwnedProxy {
    let challenge = b"a challenge of the LAC".to_vec();
    let mru = mru.to_be_bytes();
    let response = chap::response(9, &Secret::new(name.as_bytes()), &challenge);
    OwnedProxy {
        last_sent: [
            &[1, 4, mru[0], mru[1], 3, 5, 0xc2, 0x23, 5, 5, 6][..],
            b"lacs",
        ]
        .concat(),
        last_received: [&[1, 4, mru[0], mru[1], 5, 6][..], b"mine"].concat(),
        name: name.as_bytes().to_vec(),
        challenge,
        id: 9,
        response: response.to_vec(),
    }
}

#[test]
fn a_subscriber_logs_in_by_chap_and_gets_an_address_of_the_pool_and_the_dns() {
    let mut world = connected();
    login(&mut world, 1, Client::new("user1", "user1"));
    let address = world.address(0, 1).expect("it is up");
    assert_eq!(address.octets()[..2], [100, 64]);
    assert_ne!(address, crate::manifest::LOCAL);
    assert_eq!(world.client(0, 1).dns, Some(DNS));
    let status = world.node.status();
    assert_eq!((status.tunnels, status.tunnels_opening), (1, 0));
    assert_eq!((status.sessions, status.sessions_opening), (1, 0));
    let path = *world.workers.sessions.values().next().expect("a path");
    assert_eq!(
        (path.address, path.mtu, path.mss),
        (Some(address), 1492, 1420)
    );
    assert_eq!(world.node.stats().overdue, 0);
}

#[test]
fn a_client_that_naks_chap_logs_in_by_pap() {
    let mut world = connected();
    let mut client = Client::new("user2", "user2");
    client.refuses_chap = true;
    login(&mut world, 1, client);
    assert!(world.is_up(0, 1));
    assert_eq!(world.client(0, 1).challenges_seen, 0);
}

#[test]
fn a_wrong_password_an_unknown_name_and_empty_ones_are_refused_and_counted() {
    let mut world = connected();
    for (id, (name, password)) in [
        (1, ("user1", "wrong")),
        (2, ("nobody", "user1")),
        (3, ("", "")),
    ] {
        login(&mut world, id, Client::new(name, password));
        assert!(world.client(0, id).failed, "{name:?} was told");
        assert!(world.caller(0, id).cleared, "{name:?} was disconnected");
    }
    assert_eq!(world.ends(), ["authentication_failed"; 3]);
    let failures = world.node.stats().failures.clone();
    assert_eq!(
        failures[&(Stage::Authentication, "authentication_failed")],
        3
    );
    assert_eq!(world.node.status().sessions_opening, 0);
}

#[test]
fn a_users_own_address_is_given_and_taken_back_from_a_call_that_hangs() {
    let mut world = connected();
    let fixed = Ipv4Addr::new(203, 0, 113, 7);
    login(&mut world, 1, Client::new("fixed", "fixed"));
    assert_eq!(world.address(0, 1), Some(fixed));
    login(&mut world, 2, Client::new("fixed", "fixed"));
    assert_eq!(world.address(0, 2), Some(fixed));
    assert_eq!(world.ends(), ["address_taken_back"]);
    assert!(world.caller(0, 1).cleared);
}

#[test]
fn without_authentication_everybody_is_let_in_without_a_name() {
    let mut config = config();
    config.lacs[0].authentication = Some(vec![Authentication::None]);
    let mut world = World::new(config, 2);
    world.dial_tunnel(1701, Some(SECRET));
    login(&mut world, 1, Client::new("whoever", ""));
    assert!(world.is_up(0, 1));
}

#[test]
fn a_proxied_login_that_fits_costs_the_subscriber_nothing() {
    let mut world = connected();
    world.dial(0, 1, Client::proxied("user5", "user5"));
    world.caller(0, 1).proxy = Some(proxy("user5", 1492));
    world.run(SECONDS);
    assert!(world.is_up(0, 1));
    assert_eq!(
        world.client(0, 1).lcp_requests_seen,
        0,
        "LCP was taken over"
    );
    assert_eq!(
        world.client(0, 1).challenges_seen,
        0,
        "the response was taken over"
    );
    let session = session(&world);
    assert!(session.proxied_lcp && session.proxied_authentication);
    assert_eq!(session.user.as_deref(), Some("user5"));
}

#[test]
fn a_proxied_login_with_another_mru_fits_all_the_same() {
    let mut world = connected();
    world.dial(0, 1, Client::proxied("user5", "user5"));
    world.caller(0, 1).proxy = Some(proxy("user5", 1454));
    world.run(SECONDS);
    assert_eq!(world.client(0, 1).lcp_requests_seen, 0);
    let path = world.workers.sessions.values().next().expect("a path");
    assert_eq!((path.mtu, path.mss), (1454, 1414));
}

#[test]
fn a_proxied_wrong_password_is_refused() {
    let mut world = connected();
    world.dial(0, 1, Client::proxied("user5", "user5"));
    let wrong = OwnedProxy {
        name: b"user6".to_vec(),
        ..proxy("user5", 1492)
    };
    world.caller(0, 1).proxy = Some(wrong);
    world.run(SECONDS);
    assert!(!world.is_up(0, 1));
    assert_eq!(world.ends(), ["authentication_failed"]);
}

#[test]
fn a_proxied_lcp_that_does_not_fit_is_negotiated_anew_or_refused_as_the_entry_says() {
    for (policy, up, requests) in [
        (LcpRenegotiation::OnMismatch, true, 1),
        (LcpRenegotiation::Always, true, 1),
        (LcpRenegotiation::Never, false, 0),
    ] {
        let mut config = config();
        config.lacs[0].lcp_renegotiation = policy;
        // The LAC has asked for CHAP, and only PAP will do here.
        config.lacs[0].authentication = Some(vec![Authentication::Pap]);
        let mut world = World::new(config, 3);
        world.dial_tunnel(1701, Some(SECRET));
        world.dial(0, 1, Client::proxied("user5", "user5"));
        world.caller(0, 1).proxy = Some(proxy("user5", 1492));
        world.run(SECONDS);
        assert_eq!(world.is_up(0, 1), up, "{policy:?}");
        assert_eq!(
            world.client(0, 1).lcp_requests_seen.min(1),
            requests,
            "{policy:?}"
        );
    }
}

#[test]
fn a_second_session_of_a_subscriber_is_allowed_refused_or_takes_over_as_configured() {
    for (action, first, second) in [
        (DuplicateAction::Allow, true, true),
        (DuplicateAction::Refuse, true, false),
        (DuplicateAction::Replace, false, true),
    ] {
        let mut config = config();
        config.subscribers.duplicates.action = action;
        let mut world = World::new(config, 4);
        world.dial_tunnel(1701, Some(SECRET));
        login(&mut world, 1, Client::new("user1", "user1"));
        login(&mut world, 2, Client::new("user1", "user1"));
        assert_eq!(!world.caller(0, 1).cleared, first, "{action:?}");
        assert_eq!(world.is_up(0, 2), second, "{action:?}");
    }
}

#[test]
fn who_hangs_up_may_dial_in_again_at_once_even_where_duplicates_are_refused() {
    let mut config = config();
    config.subscribers.duplicates.action = DuplicateAction::Refuse;
    let mut world = World::new(config, 4);
    world.dial_tunnel(1701, Some(SECRET));
    login(&mut world, 1, Client::new("user1", "user1"));
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.dial(0, 2, Client::new("user1", "user1"));
    // Less than the restart time that the old line is left.
    world.run(Duration::from_secs(2));
    assert!(!world.caller(0, 1).cleared && world.is_up(0, 2));
}

#[test]
fn a_reload_that_changes_the_key_of_duplicates_concerns_who_is_there_already() {
    let mut world = connected();
    login(&mut world, 1, Client::new("user1", "user1"));
    let mut changed = config();
    changed.subscribers.duplicates.key = vec![DuplicateKey::CallingStationId];
    changed.subscribers.duplicates.action = DuplicateAction::Refuse;
    world.node.handle_config(changed, world.now);
    // Another user of the same line.
    login(&mut world, 2, Client::new("user2", "user2"));
    assert!(world.is_up(0, 1) && !world.is_up(0, 2));
}

#[test]
fn an_exhausted_pool_refuses_the_newest_and_a_released_address_rests() {
    let mut config = config();
    let pool = &mut config.pools[0];
    pool.addresses.prefixes[0].net = "100.64.7.0/31".parse().expect("a prefix");
    let mut world = World::new(config, 5);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=3 {
        login(&mut world, id, Client::new("user1", "user1"));
    }
    assert!(world.is_up(0, 1) && world.is_up(0, 2) && !world.is_up(0, 3));
    assert_eq!(world.ends(), ["pool_exhausted"]);
    hang_up(&mut world, 1);
    login(&mut world, 4, Client::new("user1", "user1"));
    assert!(!world.is_up(0, 4), "the address rests for a minute");
    world.run(Duration::from_secs(60));
    login(&mut world, 5, Client::new("user1", "user1"));
    assert!(world.is_up(0, 5));
}

#[test]
fn a_prefix_that_drains_gives_out_nothing_new_and_takes_nothing_away() {
    let mut world = connected();
    login(&mut world, 1, Client::new("user1", "user1"));
    let mut changed = config();
    changed.pools[0].addresses.prefixes[0].allocation = Allocation::Disabled;
    world.node.handle_config(changed, world.now);
    login(&mut world, 2, Client::new("user2", "user2"));
    assert!(world.is_up(0, 1) && !world.is_up(0, 2));
}

#[test]
fn renegotiation_in_the_open_session_authenticates_again_and_keeps_the_address() {
    let mut world = connected();
    login(&mut world, 1, Client::new("user1", "user1"));
    let address = world.address(0, 1);
    let challenges = world.client(0, 1).challenges_seen;
    let mut frames = Vec::new();
    let now = world.now;
    world.caller(0, 1).client.renegotiate(now, &mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert_eq!(world.address(0, 1), address);
    assert_eq!(world.client(0, 1).challenges_seen, challenges);
    assert!(world.ends().is_empty());
}

#[test]
fn a_lac_that_required_sequencing_gets_it_on_ppp_frames_too() {
    let mut world = connected();
    world.dial(0, 1, Client::new("user1", "user1"));
    world.caller(0, 1).sequencing = true;
    world.run(SECONDS);
    assert!(world.is_up(0, 1));
    assert!(
        world
            .workers
            .sessions
            .values()
            .all(|path| path.sequencing && path.mss == 1416)
    );
}

#[test]
fn limits_and_admission_of_a_lac_refuse_the_newest_call_with_their_own_reason() {
    let mut refusing = config();
    refusing.lacs[0].limits.max_sessions = 1;
    let mut world = World::new(refusing, 6);
    world.dial_tunnel(1701, Some(SECRET));
    login(&mut world, 1, Client::new("user1", "user1"));
    login(&mut world, 2, Client::new("user2", "user2"));
    assert!(world.is_up(0, 1) && world.caller(0, 2).cleared);
    assert_eq!(
        world.node.stats().failures[&(Stage::Call, "max_sessions")],
        1
    );
    for (admission, label) in [
        (Admission::Drain, "draining"),
        (Admission::Refuse, "admission_refuse"),
    ] {
        let mut changed = config();
        changed.lacs[0].admission = admission;
        world.node.handle_config(changed, world.now);
        let id = if admission == Admission::Drain { 3 } else { 4 };
        login(&mut world, id, Client::new("user3", "user3"));
        assert!(world.caller(0, id).cleared && world.is_up(0, 1));
        assert_eq!(world.node.stats().failures[&(Stage::Call, label)], 1);
    }
}

#[test]
fn each_session_has_one_beginning_and_one_end() {
    let mut world = connected();
    login(&mut world, 1, Client::new("user1", "user1"));
    hang_up(&mut world, 1);
    let ups = world
        .events
        .iter()
        .filter(|event| matches!(event, Event::SessionUp { .. }))
        .count();
    assert_eq!((ups, world.ends()), (1, vec!["peer_terminated"]));
    assert!(world.workers.sessions.is_empty());
    assert_eq!(world.node.pools()[0].used, 0);
}

fn hang_up(world: &mut World, id: u16) {
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(id), frames);
    world.run(SECONDS);
}

fn session(world: &World) -> lns_node::view::Session {
    let page = world.node.sessions(
        &lns_node::view::SessionFilter::default(),
        None,
        100,
        world.now,
    );
    page.sessions.into_iter().next().expect("a session")
}
