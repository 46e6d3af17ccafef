//! All else that a server grants: policies, rates, times, limits, what accounting repeats.

use core::time::Duration;

use lns_crypto::Secret;
use lns_node::Stage;
use lns_node::config::{AccountingConfig, Authentication, DuplicateAction};
use lns_node::radius::Order;
use lns_radius::dynamic::{self, Command, ErrorCause, Target};
use lns_radius::record::Status;
use lns_wire::id::SessionId;
use lns_wire::radius::AttributeList;
use lns_wire::radius::kind::{self, vendor};

use super::{
    SECONDS, asked, become_another, cisco, end, granted, login, renegotiate, session, with_radius,
    world, world_of,
};
use crate::client::Client;
use crate::manifest::{DNS, policy};
use crate::server::{Mood, value};

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
    lenient.run(SECONDS * 20);
    assert!(lenient.ends().is_empty(), "nor does it end later");
}

#[test]
fn a_session_is_found_by_the_name_that_the_server_gave_it() {
    for name in ["line42", "sub@isp.example"] {
        let mut world = granted(|list| list.push(kind::USER_NAME, b"line42").expect("it fits"));
        login(&mut world, 2, "other");
        let mut find = |command, user: &str| {
            let target = Target {
                user: Some(user.as_bytes().into()),
                ..Target::default()
            };
            let mut changes = AttributeList::new();
            if command == Command::Change {
                changes.push_u32(kind::SESSION_TIMEOUT, 3600);
            }
            let order = dynamic::Order {
                client: "oss".into(),
                command,
                target,
                changes,
            };
            let done = world.node.handle_dynamic(&order, world.now);
            world.run(SECONDS);
            done.map(|ids| ids.len())
        };
        assert_eq!(find(Command::Change, "sub@isp.example"), Ok(1));
        let several = Err(ErrorCause::MultipleSessionSelectionUnsupported);
        assert_eq!(find(Command::Change, "line42"), several, "both have it");
        let ended = if name == "line42" { 2 } else { 1 };
        assert_eq!(find(Command::Disconnect, name), Ok(ended));
        let gone = Err(ErrorCause::SessionContextNotFound);
        assert_eq!(find(Command::Disconnect, name), gone);
    }
}

#[test]
fn a_yes_for_another_service_is_a_no() {
    let framed = granted(|list| list.push_u32(kind::SERVICE_TYPE, 2));
    assert!(framed.is_up(0, 1));
    let login_service = granted(|list| list.push_u32(kind::SERVICE_TYPE, 1));
    assert!(!login_service.is_up(0, 1) && login_service.client(0, 1).failed);
    let expected = (Stage::Radius, "other_service", "Service-Type 1".to_owned());
    assert_eq!(end(&login_service), expected);
    assert_eq!(login_service.client(0, 1).told, "Service not available");
    let malformed = granted(|list| list.push(kind::SERVICE_TYPE, b"x").expect("it fits"));
    assert_eq!(end(&malformed).2, "Service-Type is malformed");
}

#[test]
fn who_is_refused_for_its_port_limit_keeps_nobody_out_and_is_still_who_it_was() {
    let mut config = with_radius(Authentication::Pap);
    config.subscribers.duplicates.action = DuplicateAction::Refuse;
    let mut world = world_of(config);
    login(&mut world, 1, "sub");
    let first = world.address(0, 1).expect("it is up");
    world.server.grant.push_u32(kind::PORT_LIMIT, 0);
    renegotiate(&mut world, 1, become_another);
    assert!(world.client(0, 1).failed, "it may try again");
    world.server.grant = AttributeList::new();
    login(&mut world, 2, "other");
    assert!(world.is_up(0, 2), "nobody of this name is in");
    renegotiate(&mut world, 1, |client| {
        "third".clone_into(&mut client.name);
        client.password = Secret::new(*b"third");
    });
    assert!(world.is_up(0, 1));
    assert_ne!(world.address(0, 1), Some(first), "that was another's");
}
