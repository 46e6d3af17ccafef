//! The classifier and the model side by side.

use std::collections::BTreeSet;

use lns_l2sess::graph::{IcmpErrors, Options, WhenFull};
use lns_l2sess::key::{Detail, HashSeed};
use lns_l2sess::policy::{self, Action, LaterFragments, Matches, OnChange, PolicyBook};
use lns_l2sess::table::{Flow, TableConfig};
use lns_l2sess::{
    ChainId, Classifier, Direction, Family, PortId, Seconds, Timeouts, Verdict, Visit,
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::plain::{Model, Policy, Record, Room, Rule, Seen, Table, Way};
use crate::steps::{CHAINS, PORTS, Step, Talk};

const ENTRIES: u32 = 8;

pub(crate) struct Both {
    classifier: Classifier,
    book: PolicyBook,
    chains: Vec<ChainId>,
    model: Model,
}

fn direction(way: Way) -> Direction {
    Direction::ALL[way]
}

fn first_policies() -> Vec<Policy> {
    let table = |default| {
        Some(Table {
            rules: Vec::new(),
            default,
        })
    };
    let policy = |tables, scale: u32| Policy {
        tables,
        reclassify: false,
        timeouts: Timeouts {
            udp_idle: 12 * scale,
            tcp_idle: 60 * scale,
            tcp_transient: 6 * scale,
            tcp_closing: 2 * scale,
        },
    };
    vec![
        policy([table(Action::Track), table(Action::Drop)], 1),
        policy([table(Action::Drop), table(Action::Track)], 4),
    ]
}

fn real(name: usize, policy: &Policy) -> policy::Policy {
    let rule = |(at, rule): (usize, &Rule)| policy::Rule {
        name: at.to_string().into(),
        matches: Matches {
            protocol: rule.protocol,
            destination_ports: rule.port.map(|port| port..=port).into_iter().collect(),
            ..Matches::default()
        },
        action: rule.action,
    };
    let table = |table: &Table| policy::PolicyTable {
        rules: table.rules.iter().enumerate().map(rule).collect(),
        default: table.default,
    };
    let [input, output] = &policy.tables;
    policy::Policy {
        name: name.to_string().into(),
        filter_ids: Vec::new(),
        input: input.as_ref().map(table),
        output: output.as_ref().map(table),
        timeouts: policy.timeouts,
        on_change: if policy.reclassify {
            OnChange::Reclassify
        } else {
            OnChange::Keep
        },
        rates: None,
    }
}

fn seen(flow: &Flow) -> Seen {
    let tuple = flow.key.tuple(flow.opener);
    let family = if tuple.family == Family::IPv4 { 4 } else { 6 };
    let detail = match tuple.detail {
        Detail::None => String::new(),
        Detail::Ports {
            source,
            destination,
        } => format!("{source}>{destination}"),
        Detail::Query {
            identifier,
            answer: false,
            ..
        } => format!("asks {identifier}"),
        Detail::Query {
            identifier,
            answer: true,
            ..
        } => format!("answers {identifier}"),
        Detail::Message { .. } => "message".to_owned(),
    };
    let (from, to) = (tuple.source & 0xff, tuple.destination & 0xff);
    Seen {
        port: flow.key.port().0,
        opener: usize::from(flow.opener == Direction::Output),
        tuple: format!("{family} {from}>{to} {} {detail}", tuple.protocol),
        bits: flow.state.bits(),
        policy: flow.policy.0,
        stored: flow.state.seconds().get(),
    }
}

impl Both {
    fn new() -> Self {
        let config = TableConfig {
            entries: ENTRIES,
            ports: 65,
            seed: HashSeed(3, 5),
        };
        let classifier = Classifier::new(&config, 1).unwrap();
        let policies = first_policies();
        let mut book = PolicyBook::new(1);
        let all = policies.iter().enumerate();
        book.replace(all.map(|(at, policy)| real(at, policy)).collect())
            .unwrap();
        let chains = CHAINS.map(|chain| {
            let names: Vec<_> = chain.iter().map(|at| at.to_string().into()).collect();
            book.chain(&names).unwrap()
        });
        let named = CHAINS.iter().map(|chain| chain.to_vec()).collect();
        let mut model = Model::new(policies, named, ENTRIES.try_into().unwrap());
        for (port, chain) in PORTS.into_iter().zip([1, 2, 3]) {
            classifier.open(PortId(port));
            model.open(port, chain);
        }
        Self {
            classifier,
            book,
            chains: chains.into(),
            model,
        }
    }

    fn now(&self) -> Seconds {
        Seconds::new(self.model.now)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Packet { port, way, packet } => {
                let verdict = self.send(port, way, &packet.octets());
                let verdict = match verdict {
                    Verdict::Forward => Ok(()),
                    Verdict::Drop(refusal) => Err(refusal.label()),
                };
                assert_eq!(verdict, self.model.packet(port, way, &packet));
                if let Some(room) = self.model.wants_room {
                    self.make_room(room);
                }
            }
            Step::Replace(at, policy) => {
                self.model.replace(at, policy);
                let all = self.model.policies.iter().enumerate();
                let all = all.map(|(at, policy)| real(at, policy)).collect();
                self.book.replace(all).unwrap();
            }
            Step::Bind { port, chain } => {
                if self.model.bind(port, chain) {
                    self.classifier.clear(PortId(port));
                }
            }
            Step::Clear(port) => {
                self.model.clear(port);
                self.classifier.clear(PortId(port));
            }
            Step::ClearAll => {
                for port in PORTS {
                    self.model.clear(port);
                }
                self.classifier.clear_all();
            }
            Step::Close(port) => {
                self.model.close(port);
                self.classifier.close(PortId(port));
            }
            Step::Open(port) => {
                self.model.open(port, 0);
                self.classifier.open(PortId(port));
            }
            Step::Limit {
                per_port,
                stateless,
                errors_pass,
            } => {
                self.limit(per_port, stateless, errors_pass);
            }
            Step::Wait(seconds) => self.model.now += seconds,
            Step::Sweep => self.sweep(),
        }
    }

    fn send(&self, port: u32, way: Way, packet: &[u8]) -> Verdict {
        let visit = Visit {
            lane: 0,
            port: PortId(port),
            chain: self.chains[self.model.chain_of(port)],
            direction: direction(way),
            packet,
            now: self.now(),
        };
        self.classifier.classify(self.book.current(), &visit)
    }

    fn limit(&mut self, per_port: usize, stateless: bool, errors_pass: bool) {
        self.model.per_port = per_port;
        self.model.stateless_when_full = stateless;
        self.model.errors_pass = errors_pass;
        self.classifier.set_options(Options {
            per_port: per_port.try_into().unwrap(),
            when_full: if stateless {
                WhenFull::Stateless
            } else {
                WhenFull::Deny
            },
            icmp_errors: if errors_pass {
                IcmpErrors::Pass
            } else {
                IcmpErrors::Judge
            },
            later_fragments: LaterFragments::Match,
        });
    }

    fn flows(&self) -> BTreeSet<Seen> {
        let flows = PORTS.map(|port| self.classifier.table().flows_of(PortId(port), 100));
        flows.iter().flatten().map(seen).collect()
    }

    /// The records of the model that the table does not have.
    fn gone(&self) -> BTreeSet<u32> {
        let flows = self.flows();
        self.model.ids(|record| !flows.contains(&record.seen()))
    }

    /// A flow has come for which others had to go: it is seen which; that they might is checked.
    fn make_room(&mut self, room: Room) {
        let gone = self.gone();
        assert!(
            !gone.is_empty(),
            "nothing has given way, and yet there was room"
        );
        if room == Room::Table {
            assert_eq!(gone.len(), 1);
        }
        for id in gone {
            let record = &self.model.records[&id];
            assert!(record.gives_way(), "{record:?} does not give way");
            if let Room::Port(port) = room {
                assert_eq!(record.port, port, "another port's flow has given way");
            }
            self.model.wipe(id);
        }
    }

    /// What the sweep takes is over, and nothing that is over stays for longer than it may.
    fn sweep(&mut self) {
        while self.classifier.sweep(self.book.current(), self.now(), 4) {}
        for id in self.gone() {
            assert!(self.model.is_over(&self.model.records[&id]));
            self.model.wipe(id);
        }
        let over = self.model.ids(|record| self.model.is_over(record));
        assert!(over.is_empty(), "{over:?} are left");
    }
}

impl StateMachineTest for Both {
    type SystemUnderTest = Self;
    type Reference = Talk;

    fn init_test(_: &<Talk as ReferenceStateMachine>::State) -> Self {
        Self::new()
    }

    fn apply(mut both: Self, _: &<Talk as ReferenceStateMachine>::State, step: Step) -> Self {
        both.step(step);
        both
    }

    fn check_invariants(both: &Self, _: &<Talk as ReferenceStateMachine>::State) {
        let records: BTreeSet<Seen> = both.model.records.values().map(Record::seen).collect();
        assert_eq!(both.flows(), records);
        let counts = both.classifier.table().counts();
        let all = u32::try_from(records.len()).unwrap();
        assert_eq!((counts.flows(), counts.in_use), (all, all));
    }
}
