//! A classifier under load: so many flows of so many ports, rules of a few masks, packets made in place.
//!
//! Packets are made in place from the number of their flow, so that what is measured finds them in the
//! cache, as a worker does that has just received them. As a worker's, they come in batches, which are
//! met before they are classified.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "each bench uses some of it; one that cannot be set up measures nothing"
)]

use std::sync::Arc;

use lns_l2sess::key::HashSeed;
use lns_l2sess::policy::{
    Action, Matches, OnChange, Policies, Policy, PolicyBook, PolicyTable, Prefix, Rule,
};
use lns_l2sess::table::TableConfig;
use lns_l2sess::{
    ChainId, Classifier, Coming, Direction, Family, Options, PortId, Seconds, Timeouts, Verdict,
    Visit,
};

/// Subscribers.
pub const PORTS: u32 = 4096;

/// Packets of a batch.
pub const BATCH: usize = 32;

const TCP: u8 = 6;
const UDP: u8 = 17;
pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

/// Shapes of rules that match no packet of the bed: the masks of a table.
const MASKS: u32 = 5;

/// A table of so many rules of [`MASKS`] masks and one more, of which only the last matches.
pub fn rules(count: u32, action: Action) -> PolicyTable {
    let host = |address: u32, length| {
        Some(Prefix {
            family: Family::IPv4,
            address: address.into(),
            length,
        })
    };
    let mut rules: Vec<_> = (0..count.saturating_sub(1))
        .map(|number| {
            let nth = number / MASKS;
            let port = u16::try_from(20_000 + nth).unwrap();
            let matches = match number % MASKS {
                0 => Matches {
                    protocol: Some(TCP),
                    destination_ports: vec![port..=port],
                    ..Matches::default()
                },
                1 => Matches {
                    destination: host(0x0a00_0000 | (nth << 8), 24),
                    ..Matches::default()
                },
                2 => Matches {
                    source: host(0xc0a8_0000 | nth, 32),
                    ..Matches::default()
                },
                3 => Matches {
                    protocol: Some(UDP),
                    source_ports: vec![port..=port],
                    ..Matches::default()
                },
                _ => Matches {
                    destination: host(0xac10_0000 | nth, 32),
                    protocol: Some(TCP),
                    destination_ports: vec![443..=443],
                    ..Matches::default()
                },
            };
            rule(number, matches, Action::Drop)
        })
        .collect();
    rules.push(rule(count, Matches::default(), action));
    PolicyTable {
        rules,
        default: Action::Drop,
    }
}

fn rule(number: u32, matches: Matches, action: Action) -> Rule {
    Rule {
        name: format!("r{number}").into(),
        matches,
        action,
    }
}

/// Policies of which one has these rules for both directions, and the chain of that one.
fn govern(table: &PolicyTable) -> (Arc<Policies>, ChainId) {
    let mut book = PolicyBook::new(1);
    let policy = Policy {
        name: "bench".into(),
        filter_ids: Vec::new(),
        input: Some(table.clone()),
        output: Some(table.clone()),
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: None,
    };
    book.replace(vec![policy]).unwrap();
    let chain = book.chain(&["bench".into()]).unwrap();
    (Arc::clone(book.current()), chain)
}

/// A packet as it came, and where.
#[derive(Clone, Copy, Debug)]
struct Came {
    port: PortId,
    direction: Direction,
    octets: [u8; 40],
}

/// A classifier, its policies, and the packets that go through it.
#[derive(Debug)]
pub struct Bed {
    pub classifier: Classifier,
    policies: Arc<Policies>,
    chain: ChainId,
    batch: [Came; BATCH],
    /// The first address beyond.
    server: u32,
    random: u64,
}

impl Bed {
    /// With room for so many flows; both directions have these rules.
    pub fn new(entries: u32, table: &PolicyTable) -> Self {
        let config = TableConfig {
            entries,
            ports: PORTS,
            seed: HashSeed(0x1234_5678_9abc_def1, 0xfedc_ba98_7654_3211),
        };
        let classifier = Classifier::new(&config, 1).unwrap();
        classifier.set_options(Options {
            per_port: entries,
            ..Options::default()
        });
        for port in 0..PORTS {
            classifier.open(PortId(port));
        }
        let (policies, chain) = govern(table);
        let mut octets = [0; 40];
        octets[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0]);
        octets[32] = 0x50;
        let came = Came {
            port: PortId(0),
            direction: Direction::Input,
            octets,
        };
        Self {
            classifier,
            policies,
            chain,
            batch: [came; BATCH],
            server: 0xcb00_7100,
            random: 1,
        }
    }

    /// The same with so many established connections.
    pub fn with_flows(flows: u32, table: &PolicyTable) -> Self {
        let mut bed = Self::new(flows, table);
        for flow in 0..flows {
            for (direction, flags) in [
                (Direction::Input, SYN),
                (Direction::Output, SYN | ACK),
                (Direction::Input, ACK),
            ] {
                assert_eq!(bed.send(flow, direction, flags), Verdict::Forward);
            }
        }
        assert_eq!(bed.classifier.table().counts().in_use, flows);
        bed
    }

    /// The same, but the packets that are sent from here on are of none of these connections, and these
    /// rules judge them.
    pub fn beside_flows(flows: u32, table: &PolicyTable) -> Self {
        let mut bed = Self::with_flows(flows, &rules(1, Action::Track));
        (bed.policies, bed.chain) = govern(table);
        bed.server = 0xc633_6400;
        bed
    }

    /// A segment of connection `flow`, alone.
    #[inline]
    pub fn send(&mut self, flow: u32, direction: Direction, flags: u8) -> Verdict {
        self.make(0, flow, direction, flags);
        self.classify(0)
    }

    /// Segments of any of so many connections, either way, one batch of up to [`BATCH`] of them: no two
    /// in a row are near each other. Returns how many have passed.
    #[inline]
    pub fn send_any(&mut self, flows: u32, count: usize) -> usize {
        for place in 0..count {
            let (flow, direction) = self.any(flows);
            self.make(place, flow, direction, ACK);
        }
        let coming = self.batch[..count].iter().map(|came| Coming {
            port: came.port,
            direction: came.direction,
            packet: &came.octets,
        });
        self.classifier.meet(coming);
        (0..count)
            .filter(|place| self.classify(*place) == Verdict::Forward)
            .count()
    }

    #[inline]
    fn any(&mut self, flows: u32) -> (u32, Direction) {
        // Knuth's MMIX generator; its upper bits are the good ones.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let flow = (((self.random >> 32) * u64::from(flows)) >> 32) as u32;
        let direction = if (self.random >> 31) & 1 == 0 {
            Direction::Input
        } else {
            Direction::Output
        };
        (flow, direction)
    }

    /// Makes a segment of connection `flow` in a place of the batch.
    #[inline]
    fn make(&mut self, place: usize, flow: u32, direction: Direction, flags: u8) {
        let (port, nth) = (flow % PORTS, flow / PORTS);
        let inside = (0x6440_0000 | port).to_be_bytes();
        let outside = (self.server | (nth & 0xff)).to_be_bytes();
        let [inner, outer] = [
            (1024 + (nth & 0x3fff) as u16).to_be_bytes(),
            443_u16.to_be_bytes(),
        ];
        let (source, destination, from, to) = match direction {
            Direction::Input => (inside, outside, inner, outer),
            Direction::Output => (outside, inside, outer, inner),
        };
        let came = &mut self.batch[place];
        (came.port, came.direction) = (PortId(port), direction);
        came.octets[12..16].copy_from_slice(&source);
        came.octets[16..20].copy_from_slice(&destination);
        came.octets[20..22].copy_from_slice(&from);
        came.octets[22..24].copy_from_slice(&to);
        came.octets[33] = flags;
    }

    #[inline]
    fn classify(&self, place: usize) -> Verdict {
        let came = &self.batch[place];
        let visit = Visit {
            lane: 0,
            port: came.port,
            chain: self.chain,
            direction: came.direction,
            packet: &came.octets,
            now: Seconds::new(1000),
        };
        self.classifier.classify(&self.policies, &visit)
    }
}
