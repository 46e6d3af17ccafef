//! Tests of the session table, by one thread and by several.

#![cfg(not(loom))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a test that overflows fails"
)]

mod ahead;
mod basics;
mod follow;
mod model;
mod order;
mod threads;
mod time;

use std::sync::Arc;

use super::*;
use crate::key::{Detail, Family, Tuple};
use crate::policy::{Policies, Policy, PolicyBook};
use crate::state::TcpFlags;
use crate::verdict::Refusal;

/// No limit for a port.
const MANY: u32 = u32::MAX;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn config(entries: u32) -> TableConfig {
    TableConfig {
        entries,
        ports: 1_000,
        seed: HashSeed(0x1234_5678_9abc_def1, 0xfedc_ba98_7654_3211),
    }
}

/// A table with the first so many ports open.
fn table(entries: u32, ports: u32) -> FlowTable {
    let table = FlowTable::new(&config(entries)).unwrap();
    (0..ports).for_each(|port| table.open(PortId(port)));
    table
}

fn at(seconds: u64) -> Seconds {
    Seconds::new(seconds)
}

/// The tuple of conversation `number` as the subscriber sends it.
fn tuple(protocol: u8, number: u32) -> Tuple {
    Tuple {
        family: Family::IPv4,
        source: 0x0a00_0001,
        destination: 0xc000_0200 + u128::from(number >> 16),
        protocol,
        detail: Detail::Ports {
            source: number as u16,
            destination: 443,
        },
    }
}

fn key(port: u32, protocol: u8, number: u32) -> FlowKey {
    FlowKey::new(PortId(port), Direction::Input, &tuple(protocol, number))
}

fn udp(port: u32, number: u32) -> FlowKey {
    key(port, UDP, number)
}

fn tcp(port: u32, number: u32) -> FlowKey {
    key(port, TCP, number)
}

/// What a flow begins with: TCP with a SYN.
fn new_flow(key: &FlowKey, now: Seconds) -> NewFlow {
    let flags = key.is_tcp().then_some(TcpFlags(TcpFlags::SYN));
    NewFlow {
        state: State::first(Direction::Input, flags, now),
        policy: PolicyId(0),
        epoch: Epoch(0),
        opener: Direction::Input,
        timeouts: Timeouts::DEFAULT,
    }
}

fn add(table: &FlowTable, key: &FlowKey, now: Seconds) -> Result<Added, Refusal> {
    table.add(key, &new_flow(key, now), MANY, now)
}

/// Adds a flow that must be new and for which nothing must have given way.
fn add_new(table: &FlowTable, key: &FlowKey, now: Seconds) {
    assert_eq!(add(table, key, now), Ok(Added::New { evicted: false }));
}

/// A segment of that direction.
fn segment(table: &FlowTable, key: &FlowKey, direction: Direction, flags: u8, now: Seconds) {
    use crate::state::Step;
    let hit = table.find(key).unwrap();
    let flags = hit.is_tcp().then_some(TcpFlags(flags));
    match hit.state.step(direction, flags, &Timeouts::DEFAULT, now) {
        Step::Changed(to) | Step::Restarted(to) => table.change(&hit, to).unwrap(),
        Step::Same => {}
        Step::Expired => panic!("it had expired"),
    }
}

/// Brings a TCP flow that has sent its SYN to the established class.
fn establish(table: &FlowTable, key: &FlowKey, now: Seconds) {
    segment(
        table,
        key,
        Direction::Output,
        TcpFlags::SYN | TcpFlags::ACK,
        now,
    );
    segment(table, key, Direction::Input, TcpFlags::ACK, now);
    assert_eq!(table.find(key).unwrap().class(), Class::Established);
}

/// Ends it with a RST.
fn reset(table: &FlowTable, key: &FlowKey, now: Seconds) {
    segment(table, key, Direction::Output, TcpFlags::RST, now);
    assert_eq!(table.find(key).unwrap().class(), Class::Closing);
}

/// Policy 0 with these timeouts.
fn policies(timeouts: Timeouts) -> Arc<Policies> {
    let mut book = PolicyBook::default();
    book.replace(vec![Policy {
        name: "all".into(),
        filter_ids: Vec::new(),
        input: None,
        output: None,
        timeouts,
        rates: None,
        on_change: crate::policy::OnChange::Keep,
    }])
    .unwrap();
    Arc::clone(book.current())
}

/// Sweeps until nothing is left to be done; returns how many flows ended.
fn sweep(table: &FlowTable, now: Seconds, policies: &Policies) -> usize {
    let mut expired = 0;
    loop {
        let swept = table.sweep(now, policies, 1_000);
        expired += swept.expired;
        if !swept.more {
            return expired;
        }
    }
}

/// All flows, by the listing.
fn all_flows(table: &FlowTable) -> Vec<Flow> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let (some, next) = table.flows(place, 7);
        all.extend(some);
        from = next;
    }
    all
}

/// What must be true whenever no thread is in the table.
fn check(table: &FlowTable) {
    let (counts, flows) = (table.counts(), all_flows(table));
    assert_eq!(counts.in_use, counts.flows(), "no record is lost");
    assert_eq!(counts.in_use as usize, flows.len());
    let of_ports = (0..table.ports).map(|port| {
        let flows = table.flows_of(PortId(port), usize::MAX);
        assert!(flows.iter().all(|flow| flow.key.port() == PortId(port)));
        flows.len()
    });
    assert_eq!(of_ports.sum::<usize>(), flows.len());
    for flow in flows {
        assert!(table.find(&flow.key).is_some(), "what is listed is found");
    }
}
