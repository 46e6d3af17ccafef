//! Subscribers whom a RADIUS server judges: how it is asked (`asking`), who waits for it (`waiting`), what
//! it grants (`addresses`, `grants`), and what becomes of those who are asked again (`again`).

mod addresses;
mod again;
mod asking;
mod grants;
mod waiting;

use core::time::Duration;

use ipnet::Ipv4Net;
use lns_crypto::Secret;
use lns_node::config::{AccountingConfig, Authentication, Config, RadiusConfig};
use lns_node::explain::failures::{Failure as Failed, FailureFilter};
use lns_node::radius::Order;
use lns_node::{Event, Stage, view};
use lns_radius::record::{Record, Status};
use lns_radius::request::{Request, Token};
use lns_tables::path::SlotIndex;
use lns_wire::id::SessionId;
use lns_wire::radius::AttributeList;
use lns_wire::radius::kind::{self, vendor};

use crate::client::Client;
use crate::manifest::{SECRET, config};
use crate::world::World;

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

/// The same, and servers that are told of sessions.
fn with_accounting(method: Authentication, interim: Duration) -> Config {
    Config {
        accounting: Some(AccountingConfig { interim }),
        ..with_radius(method)
    }
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

fn records(world: &World) -> Vec<&Record> {
    let records = world.orders.iter().filter_map(|order| match order {
        Order::Record(record) => Some(&**record),
        _ => None,
    });
    records.collect()
}

/// Who each of the records says that it is about, but for those about the node.
fn accounted(world: &World) -> Vec<(Status, String)> {
    let records = records(world).into_iter();
    let user = records.filter_map(|record| {
        let mut attributes = record.attributes.iter();
        let name = attributes.find(|it| it.kind == kind::USER_NAME)?;
        let name = String::from_utf8_lossy(name.value).into_owned();
        Some((record.status, name))
    });
    user.collect()
}

/// The subscriber begins LCP anew; `change` is done to him before he says who he is.
fn renegotiate(world: &mut World, id: u16, change: impl FnOnce(&mut Client)) {
    let (now, mut frames) = (world.now, Vec::new());
    let client = &mut world.caller(0, id).client;
    client.renegotiate(now, &mut frames);
    change(client);
    world.send_frames(0, SessionId(id), frames);
    world.run(SECONDS);
}

fn become_another(client: &mut Client) {
    "other".clone_into(&mut client.name);
    client.password = Secret::new(*b"other");
}

fn hang_up(world: &mut World, id: u16) {
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(id), frames);
    world.run(SECONDS);
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
