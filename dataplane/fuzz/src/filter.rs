//! The classifier of subscribers' packets: what is read of a packet (RFC 791; RFC 8200; RFC 792;
//! RFC 4443), and the whole of it with any policies and any packets.
//!
//! [`run`] reads steps, each an octet and what follows it:
//!
//! - `00 PORT WAY ( PACKET )`: a packet; an even way is from the subscriber.
//! - `01 SSSS`: so many seconds go by.
//! - `02 WHICH` and a policy: it replaces that policy. See [`policy_of`].
//! - `03 PORT`, `04 PORT`, `05 PORT`: the port's flows are cleared; it is closed; it is opened.
//! - `06 LIMIT CHOICES`: flows per port, and the options.
//! - `07`: a sweep.
//! - `08 PORT CHAIN`: the port has other policies.

use lns_l2sess::graph::{IcmpErrors, NodeId, Options, WhenFull};
use lns_l2sess::key::HashSeed;
use lns_l2sess::policy::{
    Action, FlagsMatch, LaterFragments, Matches, OctetsMatch, OnChange, Policy, PolicyBook,
    PolicyTable, Prefix, Rule, linear,
};
use lns_l2sess::{
    ChainId, Classifier, Direction, Event, Family, FlowKey, Packet, PortId, Seconds, TableConfig,
    Timeouts, Verdict, Visit,
};

use crate::Outcome;
use crate::ops::Ops;

const PORTS: u8 = 3;
const ENTRIES: u32 = 8;

/// A packet: what is read of it does not depend on what is behind its end, and its tuple is its key's.
pub(crate) fn packet(octets: &[u8]) -> Outcome {
    let packet = match Packet::parse(octets) {
        Ok(packet) => packet,
        Err(error) => return Err(error.label()).into(),
    };
    assert!(octets.starts_with(packet.octets));
    for padding in [0, 0xff] {
        let mut padded = packet.octets.to_vec();
        padded.resize(packet.octets.len() + 48, padding);
        let again = Packet::parse(&padded).expect("it is a packet without them");
        assert_eq!(format!("{again:?}"), format!("{packet:?}"));
        assert_eq!(again.quoted(), packet.quoted());
    }
    for tuple in [packet.tuple(), packet.quoted()].into_iter().flatten() {
        assert_eq!(tuple.family, packet.family);
        assert_eq!(tuple.mirror().mirror(), tuple);
        for direction in Direction::ALL {
            let key = FlowKey::new(PortId(7), direction, &tuple);
            assert_eq!((key.tuple(direction), key.port()), (tuple, PortId(7)));
        }
    }
    let quoted = packet.quoted().is_some();
    Outcome {
        verdict: Ok(()),
        then: match (packet.tuple(), quoted) {
            (None, _) => "no tuple".to_owned(),
            (Some(tuple), false) => format!("{:?}", tuple.detail),
            (Some(_), true) => "quotes".to_owned(),
        },
    }
}

struct World {
    classifier: Classifier,
    book: PolicyBook,
    policies: Vec<Policy>,
    chains: Vec<ChainId>,
    bound: [usize; 3],
    now: u64,
}

/// Steps: no flow is lost or counted twice, no port has more than it may, and the compiled policies say
/// what the plain ones do.
pub(crate) fn run(input: &[u8]) -> Outcome {
    let mut world = World::new();
    let mut ops = Ops::new(input);
    let mut verdict = Ok(());
    while let Some(step) = ops.step() {
        match step % 9 {
            0 => verdict = world.packet(&mut ops),
            1 => world.now += u64::from(ops.u16()),
            2 => world.replace(&mut ops),
            3 => drop(world.classifier.clear(port_of(&mut ops))),
            4 => drop(world.classifier.close(port_of(&mut ops))),
            5 => world.classifier.open(port_of(&mut ops)),
            6 => world.choose(&mut ops),
            7 => world.sweep(),
            _ => world.bind(&mut ops),
        }
        world.check();
    }
    Outcome {
        verdict,
        then: format!("{} flows", world.classifier.table().counts().flows()),
    }
}

fn port_of(ops: &mut Ops<'_>) -> PortId {
    PortId(u32::from(ops.u8() % PORTS))
}

fn direction_of(ops: &mut Ops<'_>) -> Direction {
    Direction::ALL[usize::from(ops.u8() % 2)]
}

impl World {
    fn new() -> Self {
        let config = TableConfig {
            entries: ENTRIES,
            ports: PORTS.into(),
            seed: HashSeed(3, 5),
        };
        let classifier = Classifier::new(&config, 1).expect("a few kilobytes");
        let policies: Vec<_> = [Action::Track, Action::Drop]
            .into_iter()
            .zip(["one", "two"])
            .map(|(default, name)| Policy {
                name: name.into(),
                filter_ids: Vec::new(),
                input: Some(PolicyTable {
                    rules: Vec::new(),
                    default,
                }),
                output: Some(PolicyTable {
                    rules: Vec::new(),
                    default: Action::Drop,
                }),
                timeouts: Timeouts::DEFAULT,
                on_change: OnChange::Keep,
                rates: None,
            })
            .collect();
        let mut book = PolicyBook::new(1);
        book.replace(policies.clone()).expect("two small policies");
        let chains = [&[][..], &["one"], &["two"], &["one", "two"]]
            .map(|names| {
                let names: Vec<_> = names.iter().map(|name| (*name).into()).collect();
                book.chain(&names).expect("their names are known")
            })
            .into();
        for port in 0..PORTS {
            classifier.open(PortId(port.into()));
        }
        Self {
            classifier,
            book,
            policies,
            chains,
            bound: [1; 3],
            now: 0,
        }
    }

    fn now(&self) -> Seconds {
        Seconds::new(self.now)
    }

    fn packet(&self, ops: &mut Ops<'_>) -> Result<(), &'static str> {
        let (port, direction, octets) = (port_of(ops), direction_of(ops), ops.octets());
        let bound = usize::try_from(port.0).map_or(0, |port| self.bound[port]);
        let visit = Visit {
            lane: 0,
            port,
            chain: self.chains[bound],
            direction,
            packet: octets,
            now: self.now(),
        };
        if let Ok(packet) = Packet::parse(octets) {
            self.judge(&visit, &packet);
        }
        let policies = self.book.current();
        let verdict = self.classifier.classify(policies, &visit);
        if let Ok(packet) = Packet::parse(octets)
            && let Some(tuple) = packet.tuple()
            && verdict == Verdict::Forward
        {
            // A flow that is there lets the next packet through, in any node.
            let key = FlowKey::new(port, direction, &tuple);
            if self.classifier.table().find(&key).is_some() {
                let node = NodeId::Track(direction, packet.family);
                let again = self.classifier.enter(node, policies, &visit, &packet);
                assert!(again == Verdict::Forward || packet.tcp_flags().is_some());
            }
        }
        match verdict {
            Verdict::Forward => Ok(()),
            Verdict::Drop(refusal) => Err(refusal.label()),
        }
    }

    /// The compiled policies against the plain ones.
    fn judge(&self, visit: &Visit<'_>, packet: &Packet<'_>) {
        let Some(chain) = self.book.current().chain(visit.chain) else {
            return;
        };
        let direction = visit.direction;
        for later in [LaterFragments::Match, LaterFragments::Ignore] {
            let mut expected = Action::Pass;
            for name in chain.names() {
                let policy = self.policies.iter().find(|it| it.name == *name);
                let policy = policy.expect("chains name policies");
                let Some(table) = policy.table(direction) else {
                    continue;
                };
                expected = table.default;
                if let Some(rule) = linear::find(table, packet, later) {
                    expected = table.rules[rule].action;
                    break;
                }
            }
            let judged = chain.judge(packet, direction, 0, later);
            assert_eq!(judged.action, expected, "{packet:?}");
        }
    }

    fn replace(&mut self, ops: &mut Ops<'_>) {
        let which = usize::from(ops.u8()) % self.policies.len();
        let mut policies = self.policies.clone();
        policies[which] = Policy {
            name: policies[which].name.clone(),
            ..policy_of(ops)
        };
        // One that is wrong is refused whole.
        if self.book.replace(policies.clone()).is_ok() {
            self.policies = policies;
        }
    }

    fn choose(&self, ops: &mut Ops<'_>) {
        let (per_port, choices) = (u32::from(ops.u8() % 8), ops.u8());
        self.classifier.set_options(Options {
            per_port,
            when_full: [WhenFull::Deny, WhenFull::Stateless][usize::from(choices & 1)],
            icmp_errors: [IcmpErrors::Pass, IcmpErrors::Judge][usize::from(choices >> 1 & 1)],
            later_fragments: [LaterFragments::Match, LaterFragments::Ignore]
                [usize::from(choices >> 2 & 1)],
        });
    }

    fn sweep(&self) {
        for _ in 0..100 {
            if !self.classifier.sweep(self.book.current(), self.now(), 2) {
                return;
            }
        }
        panic!("a sweep of {ENTRIES} flows does not end");
    }

    fn bind(&mut self, ops: &mut Ops<'_>) {
        let (port, chain) = (ops.u8() % PORTS, usize::from(ops.u8()) % self.chains.len());
        if self.bound[usize::from(port)] != chain {
            self.bound[usize::from(port)] = chain;
            self.classifier.clear(PortId(port.into()));
        }
    }

    fn check(&self) {
        let table = self.classifier.table();
        let mut flows = 0;
        for port in 0..PORTS {
            for flow in table.flows_of(PortId(port.into()), 100) {
                assert_eq!(flow.key.port(), PortId(port.into()));
                let found = table.find(&flow.key).expect("what is listed is found");
                assert_eq!((found.state, found.policy), (flow.state, flow.policy));
                flows += 1;
            }
        }
        let counts = table.counts();
        assert!(counts.in_use <= ENTRIES);
        assert_eq!((counts.flows(), counts.in_use), (flows, flows));
        let events = self.classifier.events();
        let ended = [
            Event::Expired,
            Event::Swept,
            Event::Evicted,
            Event::Revoked,
            Event::Cleared,
        ];
        let ended: u64 = ended.into_iter().map(|event| events.of(event)).sum();
        assert_eq!(events.of(Event::Opened), ended + u64::from(flows));
    }
}

/// A policy of octets: choices (bit 0: no input table, 1: no output table, 2: flows are judged anew), a
/// timeout of two octets, then of each table its default and the number of its rules.
fn policy_of(ops: &mut Ops<'_>) -> Policy {
    let choices = ops.u8();
    let timeout = u32::from(ops.u16());
    let mut table = |is_there: bool| {
        is_there.then(|| PolicyTable {
            default: action_of(ops),
            rules: (0..ops.u8() % 4).map(|at| rule_of(at, ops)).collect(),
        })
    };
    Policy {
        name: "".into(),
        filter_ids: Vec::new(),
        input: table(choices & 1 == 0),
        output: table(choices & 2 == 0),
        timeouts: Timeouts {
            udp_idle: timeout,
            tcp_idle: timeout,
            tcp_transient: timeout / 2 + 1,
            tcp_closing: timeout / 4 + 1,
        },
        on_change: if choices & 4 == 0 {
            OnChange::Keep
        } else {
            OnChange::Reclassify
        },
        rates: None,
    }
}

fn action_of(ops: &mut Ops<'_>) -> Action {
    [Action::Track, Action::Pass, Action::Drop][usize::from(ops.u8() % 3)]
}

/// A rule: an action, an octet whose bits say what it is about, and that.
fn rule_of(at: u8, ops: &mut Ops<'_>) -> Rule {
    let action = action_of(ops);
    let about = ops.u8();
    let mut matches = Matches::default();
    if about & 0x01 != 0 {
        matches.protocol = Some(ops.u8());
    }
    if about & 0x02 != 0 {
        matches.destination_ports = vec![ops.u16()..=ops.u16()];
    }
    if about & 0x04 != 0 {
        matches.source_ports = vec![ops.u16()..=ops.u16(), ops.u16()..=ops.u16()];
    }
    if about & 0x08 != 0 {
        let address = u128::from(ops.u16()) << 16 | u128::from(ops.u16());
        matches.source = Some(Prefix {
            family: Family::IPv4,
            address,
            length: ops.u8(),
        });
    }
    if about & 0x10 != 0 {
        matches.icmp_types = vec![ops.u8()..=ops.u8()];
    }
    if about & 0x20 != 0 {
        let (value, mask) = (ops.u8(), ops.u8());
        matches.tcp_flags = Some(FlagsMatch { value, mask });
    }
    if about & 0x40 != 0 {
        matches.length = vec![ops.u16()..=ops.u16()];
        matches.dscp = vec![ops.u8()];
    }
    if about & 0x80 != 0 {
        let at = ops.u8().into();
        let (mask, value) = (Box::new([ops.u8()]), Box::new([ops.u8()]));
        matches.octets = vec![OctetsMatch { at, mask, value }];
    }
    Rule {
        name: at.to_string().into(),
        matches,
        action,
    }
}
