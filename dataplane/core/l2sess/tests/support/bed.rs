//! A classifier with policies, ports and a clock, for tests that send packets through it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "each test uses some of it; a bed that cannot be made is the test's fault"
)]

use core::cell::Cell;
use std::sync::Arc;

use lns_l2sess::key::HashSeed;
use lns_l2sess::policy::{
    Action, Matches, OnChange, Policies, Policy, PolicyBook, PolicyTable, Rule,
};
use lns_l2sess::table::TableConfig;
use lns_l2sess::{
    ChainId, Class, Classifier, Direction, Event, Family, FlowKey, Options, Packet, PortId,
    Seconds, Timeouts, Verdict, Visit,
};

use super::{Host, icmp_error, packet, tcp, udp};

pub const UP: Direction = Direction::Input;
pub const DOWN: Direction = Direction::Output;

/// The subscriber, and who is beyond.
pub const INSIDE: Host = Host(1);
pub const OUTSIDE: Host = Host(2);

pub const PORT: PortId = PortId(1);

/// A rule of that name.
pub fn rule(name: &str, action: Action, matches: Matches) -> Rule {
    Rule {
        name: name.into(),
        matches,
        action,
    }
}

/// Rules in order, and what becomes of the rest.
pub fn table(rules: Vec<Rule>, default: Action) -> PolicyTable {
    PolicyTable { rules, default }
}

/// A policy with these tables.
pub fn policy(name: &str, input: Option<PolicyTable>, output: Option<PolicyTable>) -> Policy {
    Policy {
        name: name.into(),
        filter_ids: Vec::new(),
        input,
        output,
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: None,
    }
}

/// What goes the opener's way is tracked, what comes the other way is dropped.
pub fn reflect(opener: Direction) -> Policy {
    let (tracks, drops) = (
        Some(table(Vec::new(), Action::Track)),
        Some(table(Vec::new(), Action::Drop)),
    );
    match opener {
        Direction::Input => policy("reflect", tracks, drops),
        Direction::Output => policy("reflect", drops, tracks),
    }
}

/// A policy that says `action` of what goes `direction` by `rules`, and nothing of the other.
pub fn one_way(direction: Direction, rules: Vec<Rule>, default: Action) -> Policy {
    let said = Some(table(rules, default));
    match direction {
        Direction::Input => policy("one-way", said, None),
        Direction::Output => policy("one-way", None, said),
    }
}

pub struct Bed {
    pub classifier: Classifier,
    pub book: PolicyBook,
    pub chain: ChainId,
    now: Cell<u64>,
}

impl Bed {
    /// Ports 0 to 63, all open; room for 1,000 flows.
    pub fn new(policies: Vec<Policy>) -> Self {
        Self::with_room(1_000, policies)
    }

    /// The same with room for so many flows.
    pub fn with_room(entries: u32, policies: Vec<Policy>) -> Self {
        let config = TableConfig {
            entries,
            ports: 64,
            seed: HashSeed(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210),
        };
        let classifier = Classifier::new(&config, 2).unwrap();
        for port in 0..64 {
            classifier.open(PortId(port));
        }
        let names: Vec<Arc<str>> = policies.iter().map(|it| Arc::clone(&it.name)).collect();
        let mut book = PolicyBook::new(2);
        book.replace(policies).unwrap();
        let chain = book.chain(&names).unwrap();
        Self {
            classifier,
            book,
            chain,
            now: Cell::new(1_000),
        }
    }

    pub fn policies(&self) -> &Policies {
        self.book.current()
    }

    pub fn seconds(&self) -> Seconds {
        Seconds::new(self.now.get())
    }

    /// Time goes by.
    pub fn wait(&self, seconds: u64) {
        self.now.set(self.now.get() + seconds);
    }

    /// As four times a second.
    pub fn sweep(&self) {
        while self.classifier.sweep(self.policies(), self.seconds(), 64) {}
    }

    pub fn visit<'a>(&self, port: PortId, direction: Direction, packet: &'a [u8]) -> Visit<'a> {
        Visit {
            lane: 0,
            port,
            chain: self.chain,
            direction,
            packet,
            now: self.seconds(),
        }
    }

    pub fn send_at(&self, port: PortId, direction: Direction, packet: &[u8]) -> Verdict {
        let visit = self.visit(port, direction, packet);
        self.classifier.classify(self.policies(), &visit)
    }

    pub fn send(&self, direction: Direction, packet: &[u8]) -> Verdict {
        self.send_at(PORT, direction, packet)
    }

    pub fn passes(&self, direction: Direction, packet: &[u8]) -> bool {
        self.send(direction, packet) == Verdict::Forward
    }

    pub fn set(&self, change: impl FnOnce(&mut Options)) {
        let mut options = self.classifier.options();
        change(&mut options);
        self.classifier.set_options(options);
    }

    pub fn events(&self, event: Event) -> u64 {
        self.classifier.events().of(event)
    }

    /// All flows, as the table counts them.
    pub fn flows(&self) -> u32 {
        self.classifier.table().counts().flows()
    }

    /// The key of a packet.
    pub fn key(port: PortId, direction: Direction, packet: &[u8]) -> FlowKey {
        let tuple = Packet::parse(packet).unwrap().tuple().unwrap();
        FlowKey::new(port, direction, &tuple)
    }

    /// Whether the table of that direction has an entry for that packet.
    pub fn has(&self, direction: Direction, packet: &[u8]) -> bool {
        let key = Self::key(PORT, direction, packet);
        self.classifier.table().find(&key).is_some()
    }

    /// The class of the flow of that packet.
    pub fn class(&self, direction: Direction, packet: &[u8]) -> Option<Class> {
        let key = Self::key(PORT, direction, packet);
        self.classifier.table().find(&key).map(|hit| hit.class())
    }
}

/// One family, and one side that opens flows while the other's packets are dropped.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub family: Family,
    pub opener: Direction,
}

impl Case {
    /// Both families and both sides.
    pub fn all() -> impl Iterator<Item = Self> {
        Family::ALL.into_iter().flat_map(|family| {
            Direction::ALL
                .into_iter()
                .map(move |opener| Self { family, opener })
        })
    }

    pub fn back(self) -> Direction {
        self.opener.other()
    }

    /// Who sends what goes `direction`, and to whom.
    pub fn ends(direction: Direction) -> (Host, Host) {
        match direction {
            Direction::Input => (INSIDE, OUTSIDE),
            Direction::Output => (OUTSIDE, INSIDE),
        }
    }

    /// A packet that goes `direction`.
    pub fn packet(self, direction: Direction, protocol: u8, upper: &[u8]) -> Vec<u8> {
        let (from, to) = Self::ends(direction);
        packet(self.family, from, to, protocol, upper)
    }

    /// UDP of the conversation in which the opener has port 1000 and the other side port 53.
    pub fn udp(self, direction: Direction) -> Vec<u8> {
        let ports = if direction == self.opener {
            (1000, 53)
        } else {
            (53, 1000)
        };
        self.packet(direction, 17, &udp(ports.0, ports.1, 20))
    }

    /// A segment of the connection from the opener's port 1000 to port 80.
    pub fn tcp(self, direction: Direction, flags: u8) -> Vec<u8> {
        let ports = if direction == self.opener {
            (1000, 80)
        } else {
            (80, 1000)
        };
        self.packet(direction, 6, &tcp(ports.0, ports.1, flags))
    }

    pub fn icmp_number(self) -> u8 {
        match self.family {
            Family::IPv4 => 1,
            Family::IPv6 => 58,
        }
    }

    /// An ICMP error that goes `direction` and quotes `packet`, which went the other way.
    pub fn error(self, direction: Direction, packet: &[u8]) -> Vec<u8> {
        let kind = if self.family == Family::IPv4 { 3 } else { 1 };
        icmp_error(self.family, Host(9), Self::ends(direction).1, kind, packet)
    }

    /// A bed whose policy tracks what the opener sends and drops the rest.
    pub fn bed(self) -> Bed {
        Bed::new(vec![reflect(self.opener)])
    }

    /// The same with other timeouts.
    pub fn bed_with(self, timeouts: Timeouts) -> Bed {
        let mut policy = reflect(self.opener);
        policy.timeouts = timeouts;
        Bed::new(vec![policy])
    }
}
