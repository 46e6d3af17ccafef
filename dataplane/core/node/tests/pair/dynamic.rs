//! Sessions that are changed or ended by request (RFC 5176), while others go on.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_node::config::{AccountingConfig, Config};
use lns_node::radius::Order as Wanted;
use lns_node::{Event, view};
use lns_radius::dynamic::{Command, ErrorCause, Order, Target};
use lns_radius::record::Status;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::AttributeList;
use lns_wire::radius::kind::{self, vendor};

use crate::client::Client;
use crate::manifest::{SECRET, config, policy};
use crate::world::World;

const SECONDS: Duration = Duration::from_secs(5);

/// Policies and accounting beside what all tests have.
fn with_policies() -> Config {
    Config {
        policies: vec![policy("gold", &["GOLD"], 1000), policy("walled", &[], 500)],
        accounting: Some(AccountingConfig {
            interim: Duration::from_secs(600),
        }),
        epoch: 7,
        ..config()
    }
}

/// One call for each of these users.
fn world(users: &[&str]) -> World {
    let mut world = World::new(with_policies(), 5);
    world.dial_tunnel(1701, Some(SECRET));
    for (id, user) in (1..).zip(users) {
        world.dial(0, id, Client::new(user, user));
    }
    world.run(SECONDS);
    assert_eq!(sessions(&world).len(), users.len());
    world
}

fn sessions(world: &World) -> Vec<view::Session> {
    let filter = view::SessionFilter::default();
    let page = world.node.sessions(&filter, None, u32::MAX, world.now);
    page.sessions
}

fn session(world: &World, user: &str) -> view::Session {
    let mut all = sessions(world).into_iter();
    let found = all.find(|it| it.user.as_deref() == Some(user));
    found.expect("a session")
}

fn user(name: &str) -> Target {
    Target {
        user: Some(name.as_bytes().into()),
        ..Target::default()
    }
}

fn disconnect(target: Target) -> Order {
    Order {
        client: "oss".into(),
        command: Command::Disconnect,
        target,
        changes: AttributeList::new(),
    }
}

fn change(target: Target, write: impl FnOnce(&mut AttributeList)) -> Order {
    let mut changes = AttributeList::new();
    write(&mut changes);
    Order {
        command: Command::Change,
        changes,
        ..disconnect(target)
    }
}

fn filter(list: &mut AttributeList, name: &str) {
    list.push(kind::FILTER_ID, name.as_bytes())
        .expect("it fits");
}

fn number(kind: u8, value: u32) -> impl FnOnce(&mut AttributeList) {
    move |list| list.push_u32(kind, value)
}

fn cisco(list: &mut AttributeList, text: &str) {
    let text = text.as_bytes();
    list.push_vendor(vendor::CISCO, vendor::CISCO_AVPAIR, text)
        .expect("it fits");
}

fn ask(world: &mut World, order: &Order) -> Result<Vec<(TunnelId, SessionId)>, ErrorCause> {
    let done = world.node.handle_dynamic(order, world.now);
    world.run(SECONDS);
    done
}

fn id(session: &view::Session) -> (TunnelId, SessionId) {
    (TunnelId(session.tunnel), SessionId(session.session))
}

#[test]
fn a_session_is_changed_and_lives_on_and_no_other_is() {
    let mut world = world(&["user1", "user2"]);
    let before = session(&world, "user1");
    assert_eq!(
        (&before.policies[..], before.remaining_seconds),
        (&[][..], None)
    );
    let order = change(user("user1"), |list| {
        filter(list, "walled");
        filter(list, "GOLD");
        list.push_u32(kind::SESSION_TIMEOUT, 3600);
        cisco(list, "lcp:interface-config#1=service-policy input 2000");
    });
    assert_eq!(ask(&mut world, &order), Ok(vec![id(&before)]));
    let after = session(&world, "user1");
    assert_eq!(id(&after), id(&before));
    assert_eq!(after.address, before.address);
    assert_eq!(after.policies, ["walled", "gold"]);
    assert_eq!(after.remaining_seconds, Some(3595));
    let told = world.workers.sessions[&after.slot];
    assert_eq!(told.rates.up, 2_000_000, "the request's");
    assert_eq!(told.rates.down, 1000, "the policy's");
    assert_eq!(world.workers.policies_of(after.slot), ["walled", "gold"]);
    let other = session(&world, "user2");
    assert_eq!(
        (&other.policies[..], other.remaining_seconds),
        (&[][..], None)
    );
    // What a request does not name stays.
    let order = change(user("user1"), |list| cisco(list, "throttle=28"));
    assert!(ask(&mut world, &order).is_ok());
    let again = session(&world, "user1");
    assert_eq!(again.policies, ["walled", "gold"]);
    assert_eq!(again.remaining_seconds, Some(3590));
    assert_eq!(world.workers.sessions[&again.slot].rates.up, 28_000);
    assert!(world.ends().is_empty());
}

#[test]
fn the_rates_of_the_policies_are_given_back() {
    let mut world = world(&["user1"]);
    let faster = change(user("user1"), |list| {
        filter(list, "gold");
        cisco(list, "throttle=64");
    });
    assert!(ask(&mut world, &faster).is_ok());
    let slot = session(&world, "user1").slot;
    let rates = |world: &World| {
        let rates = world.workers.sessions[&slot].rates;
        (rates.up, rates.down)
    };
    assert_eq!(rates(&world), (64_000, 64_000));
    let as_before = change(user("user1"), |list| cisco(list, "throttle=yes"));
    assert!(ask(&mut world, &as_before).is_ok());
    assert_eq!(rates(&world), (1000, 2000));
    let one_way = change(user("user1"), |list| {
        cisco(list, "throttle=yes");
        cisco(list, "lcp:interface-config#1=service-policy input 5");
    });
    assert!(ask(&mut world, &one_way).is_ok());
    assert_eq!(rates(&world), (5000, 2000));
}

#[test]
fn times_are_counted_from_the_request_on() {
    let mut world = world(&["user1", "user2", "user3"]);
    let age = change(user("user1"), number(kind::SESSION_TIMEOUT, 100));
    let idle = change(user("user2"), number(kind::IDLE_TIMEOUT, 60));
    world.run(Duration::from_secs(50));
    assert!(ask(&mut world, &age).is_ok());
    assert!(ask(&mut world, &idle).is_ok());
    world.run(Duration::from_secs(80));
    assert_eq!(world.ends(), ["idle_timeout"]);
    world.run(Duration::from_secs(20));
    assert_eq!(world.ends(), ["idle_timeout", "session_timeout"]);
    // A longer time takes the place of a shorter one; none at all, too.
    let short = change(user("user3"), number(kind::SESSION_TIMEOUT, 30));
    assert!(ask(&mut world, &short).is_ok());
    let never = change(user("user3"), number(kind::SESSION_TIMEOUT, 0));
    assert!(ask(&mut world, &never).is_ok());
    world.run(Duration::from_secs(100));
    assert_eq!(sessions(&world).len(), 1);
}

#[test]
fn what_happens_at_the_end_stays_where_only_the_time_is_changed() {
    let mut world = world(&["user1"]);
    let asks = |world: &World| session(world, "user1").granted.expect("a grant").asks_again;
    let both = change(user("user1"), |list| {
        list.push_u32(kind::SESSION_TIMEOUT, 100);
        list.push_u32(kind::TERMINATION_ACTION, 1);
    });
    assert!(ask(&mut world, &both).is_ok());
    assert!(asks(&world));
    let time = change(user("user1"), number(kind::SESSION_TIMEOUT, 50));
    assert!(ask(&mut world, &time).is_ok());
    assert!(asks(&world));
    let action = change(user("user1"), number(kind::TERMINATION_ACTION, 0));
    assert!(ask(&mut world, &action).is_ok());
    assert!(!asks(&world));
    assert_eq!(session(&world, "user1").remaining_seconds, Some(40));
}

#[test]
fn interims_come_as_often_as_a_request_wants_them() {
    let mut world = world(&["user1", "user2"]);
    let order = change(user("user1"), number(kind::ACCT_INTERIM_INTERVAL, 60));
    assert!(ask(&mut world, &order).is_ok());
    let interims = |world: &World| {
        let is_interim = |order: &&Wanted| matches!(order, Wanted::Record(record) if record.status == Status::Interim);
        world.orders.iter().filter(is_interim).count()
    };
    assert_eq!(interims(&world), 0);
    world.run(Duration::from_secs(140));
    assert_eq!(interims(&world), 2, "one user's, twice");
    let none = change(user("user1"), number(kind::ACCT_INTERIM_INTERVAL, 0));
    assert!(ask(&mut world, &none).is_ok());
    world.run(Duration::from_secs(140));
    assert_eq!(interims(&world), 2);
}

/// What is asked of user1 beside a Session-Timeout, and why nothing of it is done.
#[test]
fn a_request_of_which_a_part_cannot_be_done_changes_nothing() {
    type Write = fn(&mut AttributeList);
    let rows: [(Write, ErrorCause); 9] = [
        (
            |list| filter(list, "silver"),
            ErrorCause::InvalidAttributeValue,
        ),
        (
            |list| {
                filter(list, "gold");
                filter(list, "silver");
            },
            ErrorCause::InvalidAttributeValue,
        ),
        (
            |list| cisco(list, "throttle=fast"),
            ErrorCause::InvalidAttributeValue,
        ),
        (
            |list| cisco(list, "ip:route=192.0.2.0/24"),
            ErrorCause::UnsupportedAttribute,
        ),
        (
            |list| cisco(list, "throttle=28,subscriber:command=account-logoff"),
            ErrorCause::UnsupportedAttribute,
        ),
        (
            |list| {
                list.push_vendor(vendor::MICROSOFT, vendor::MS_PRIMARY_DNS, &[9, 9, 9, 9])
                    .expect("it fits");
            },
            ErrorCause::UnsupportedAttribute,
        ),
        (
            |list| {
                list.push(kind::VENDOR_SPECIFIC, &[0, 0, 0])
                    .expect("it fits");
            },
            ErrorCause::InvalidAttributeValue,
        ),
        (
            |list| {
                let octets = [0, 0, 0, 9, 1, 200, b'x'];
                list.push(kind::VENDOR_SPECIFIC, &octets).expect("it fits");
            },
            ErrorCause::InvalidAttributeValue,
        ),
        (
            |list| list.push_u32(kind::SESSION_TIMEOUT, 61),
            ErrorCause::InvalidAttributeValue,
        ),
    ];
    let mut world = world(&["user1"]);
    let before = format!("{:?}", world.workers.sessions);
    for (place, (write, cause)) in rows.into_iter().enumerate() {
        let order = change(user("user1"), |list| {
            list.push_u32(kind::SESSION_TIMEOUT, 60);
            write(list);
        });
        assert_eq!(
            world.node.handle_dynamic(&order, world.now),
            Err(cause),
            "{place}"
        );
        world.settle();
        let after = session(&world, "user1");
        assert_eq!(
            (&after.policies[..], after.remaining_seconds),
            (&[][..], None)
        );
        assert_eq!(format!("{:?}", world.workers.sessions), before);
    }
}

#[test]
fn a_session_is_found_by_its_account_its_address_or_its_user_and_must_be_all_that_is_said() {
    let mut world = world(&["user1", "user2"]);
    let (one, two) = (session(&world, "user1"), session(&world, "user2"));
    let account = |of: &view::Session| Target {
        session: Some(of.acct_session_id.as_str().into()),
        ..Target::default()
    };
    let address = |of: &view::Session| Target {
        address: of.address,
        ..Target::default()
    };
    let mut find = |target: Target| {
        let order = change(target, |list| filter(list, "gold"));
        world.node.handle_dynamic(&order, world.now)
    };
    for target in [account(&one), address(&one), user("user1")] {
        assert_eq!(find(target), Ok(vec![id(&one)]));
    }
    let all = Target {
        user: Some((*b"user2").into()),
        address: two.address,
        calling: two.calling_number.as_deref().map(|it| it.as_bytes().into()),
        called: two.called_number.as_deref().map(|it| it.as_bytes().into()),
        ..account(&two)
    };
    assert!(all.calling.is_some(), "the LAC tells one");
    assert_eq!(find(all.clone()), Ok(vec![id(&two)]));
    let not_found = Err(ErrorCause::SessionContextNotFound);
    let other: Box<[u8]> = (*b"other").into();
    for wrong in [
        Target {
            user: Some((*b"user1").into()),
            ..all.clone()
        },
        Target {
            address: one.address,
            ..all.clone()
        },
        Target {
            calling: Some(other.clone()),
            ..all.clone()
        },
        Target {
            called: Some(other.clone()),
            ..all.clone()
        },
        Target {
            port_id: Some(other.clone()),
            ..all.clone()
        },
        Target {
            session: Some("00000007-000000ff".into()),
            ..all.clone()
        },
        Target {
            session: Some("00000006-00000001".into()),
            ..Target::default()
        },
        Target {
            session: Some("1-1".into()),
            ..Target::default()
        },
        Target {
            address: Some(Ipv4Addr::new(203, 0, 113, 9)),
            ..Target::default()
        },
        user("user3"),
        user("user"),
    ] {
        assert_eq!(find(wrong.clone()), not_found, "{wrong:?}");
    }
}

#[test]
fn a_disconnect_ends_all_that_are_meant_as_an_administrative_reset() {
    let mut world = world(&["user1", "user1", "user2"]);
    let order = change(user("user1"), |list| filter(list, "gold"));
    let several = Err(ErrorCause::MultipleSessionSelectionUnsupported);
    assert_eq!(world.node.handle_dynamic(&order, world.now), several);
    assert!(sessions(&world).iter().all(|it| it.policies.is_empty()));
    let done = ask(&mut world, &disconnect(user("user1")));
    assert_eq!(done.map(|ids| ids.len()), Ok(2));
    assert_eq!(sessions(&world).len(), 1);
    assert_eq!(world.ends(), ["admin_reset", "admin_reset"]);
    let details: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SessionDown(end) => end.detail.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(details, ["by oss", "by oss"]);
    let causes: Vec<_> = world
        .orders
        .iter()
        .filter_map(|order| match order {
            Wanted::Record(record) if record.status == Status::Stop => record
                .attributes
                .iter()
                .find(|it| it.kind == kind::ACCT_TERMINATE_CAUSE)
                .and_then(|it| it.u32().ok()),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [6, 6], "Admin Reset");
    let gone = Err(ErrorCause::SessionContextNotFound);
    assert_eq!(ask(&mut world, &disconnect(user("user1"))), gone);
    assert_eq!(sessions(&world).len(), 1);
}

#[test]
fn a_session_whose_end_has_begun_is_there_no_more() {
    let mut world = world(&["user1"]);
    let held = session(&world, "user1");
    let order = disconnect(Target {
        address: held.address,
        ..Target::default()
    });
    assert!(world.node.handle_dynamic(&order, world.now).is_ok());
    let gone = Err(ErrorCause::SessionContextNotFound);
    assert_eq!(world.node.handle_dynamic(&order, world.now), gone);
    world.run(SECONDS);
    assert_eq!(world.ends(), ["admin_reset"]);
}
