//! The model, as the description has it: for each port and direction a table of tuples, and policy tables
//! behind it.
//!
//! | node | does |
//! |---|---|
//! | session table | has the tuple: to the record's track node; else to the policies |
//! | policy | the first rule that matches in the chain, else the last default |
//! | add | tuple into this direction's table, mirror into the other direction's of the port |
//! | track | eight bits and a time; too late: both entries and the packet go |

use std::collections::{BTreeMap, BTreeSet};

use lns_l2sess::policy::Action;
use lns_l2sess::{Family, Timeouts};

use crate::packets::{Sent, What};

/// Which way: 0 is from the subscriber, 1 to him.
pub(crate) type Way = usize;

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tuple {
    family: u8,
    from: u8,
    to: u8,
    protocol: u8,
    part: Part,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    Ports(u16, u16),
    Asks(u16),
    Answers(u16),
    Message(u8),
    None,
}

fn tuple(packet: &Sent) -> Option<Tuple> {
    let part = match packet.what {
        What::Tcp {
            source,
            destination,
            ..
        }
        | What::Udp {
            source,
            destination,
        } => Part::Ports(source, destination),
        What::Question(identifier) => Part::Asks(identifier),
        What::Answer(identifier) => Part::Answers(identifier),
        What::Message => Part::Message(9),
        What::Error(_) => Part::Message(3),
        What::Bare(_) | What::Later => Part::None,
        What::Cut => return None,
    };
    Some(Tuple {
        family: if packet.family == Family::IPv4 { 4 } else { 6 },
        from: packet.from,
        to: packet.to,
        protocol: packet.protocol(),
        part,
    })
}

/// The tuple of what comes back, if anything does.
fn mirror(tuple: &Tuple) -> Option<Tuple> {
    let part = match tuple.part {
        Part::Ports(source, destination) => Part::Ports(destination, source),
        Part::Asks(identifier) => Part::Answers(identifier),
        Part::Answers(identifier) => Part::Asks(identifier),
        Part::Message(_) => return None,
        Part::None => Part::None,
    };
    Some(Tuple {
        from: tuple.to,
        to: tuple.from,
        part,
        ..tuple.clone()
    })
}

/// A rule: a protocol, and a port of the receiver's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    pub(crate) protocol: Option<u8>,
    pub(crate) port: Option<u16>,
    pub(crate) action: Action,
}

impl Rule {
    fn matches(&self, packet: &Sent) -> bool {
        let port = match packet.what {
            What::Tcp { destination, .. } | What::Udp { destination, .. } => Some(destination),
            // A later fragment is matched on what else the rule says.
            What::Later => self.port,
            _ => None,
        };
        self.protocol.is_none_or(|it| it == packet.protocol())
            && self.port.is_none_or(|it| port == Some(it))
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Table {
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: Action,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Policy {
    /// Input, output.
    pub(crate) tables: [Option<Table>; 2],
    pub(crate) reclassify: bool,
    pub(crate) timeouts: Timeouts,
}

/// What has been seen of a side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "four things that are seen or not"
)]
pub(crate) struct Side {
    pub(crate) syn: bool,
    pub(crate) syn_acknowledged: bool,
    pub(crate) fin: bool,
    pub(crate) fin_acknowledged: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) port: u32,
    pub(crate) opener: Way,
    pub(crate) tuple: Tuple,
    /// Input's, output's; of TCP only.
    pub(crate) sides: Option<[Side; 2]>,
    pub(crate) policy: usize,
    pub(crate) stored: u64,
    epoch: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Transient,
    Established,
    Closing,
    Udp,
}

impl Record {
    fn class(&self) -> Class {
        let Some(sides) = &self.sides else {
            return Class::Udp;
        };
        if sides.iter().all(|side| side.fin && side.fin_acknowledged) {
            return Class::Closing;
        }
        let open = sides.iter().all(|side| side.syn && side.syn_acknowledged);
        let ends = sides.iter().any(|side| side.fin || side.fin_acknowledged);
        if open && !ends {
            Class::Established
        } else {
            Class::Transient
        }
    }

    pub(crate) fn gives_way(&self) -> bool {
        matches!(self.class(), Class::Transient | Class::Closing)
    }

    fn timeout(&self, timeouts: &Timeouts) -> u64 {
        u64::from(match self.class() {
            Class::Transient => timeouts.tcp_transient,
            Class::Established => timeouts.tcp_idle,
            Class::Closing => timeouts.tcp_closing,
            Class::Udp => timeouts.udp_idle,
        })
    }

    fn refresh(&self, timeouts: &Timeouts) -> u64 {
        (self.timeout(timeouts) / 4).min(10)
    }
}

#[derive(Clone, Debug)]
struct Port {
    open: bool,
    chain: usize,
    tables: [BTreeMap<Tuple, u32>; 2],
}

/// What an end of a packet is, beside going on.
pub(crate) type Refused = &'static str;

/// Of where flows may have to give way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Room {
    Port(u32),
    Table,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    ports: BTreeMap<u32, Port>,
    pub(crate) records: BTreeMap<u32, Record>,
    next: u32,
    pub(crate) policies: Vec<Policy>,
    /// The policies of each chain, and how often one has changed so that flows are judged anew.
    chains: Vec<(Vec<usize>, u32)>,
    pub(crate) now: u64,
    pub(crate) entries: usize,
    pub(crate) per_port: usize,
    pub(crate) stateless_when_full: bool,
    pub(crate) errors_pass: bool,
    /// The flow that was added last had to be made room for.
    pub(crate) wants_room: Option<Room>,
}

impl Model {
    pub(crate) fn new(policies: Vec<Policy>, chains: Vec<Vec<usize>>, entries: usize) -> Self {
        Self {
            ports: BTreeMap::new(),
            records: BTreeMap::new(),
            next: 0,
            policies,
            chains: chains.into_iter().map(|chain| (chain, 0)).collect(),
            now: 1_000,
            entries,
            per_port: 400,
            stateless_when_full: false,
            errors_pass: true,
            wants_room: None,
        }
    }

    pub(crate) fn open(&mut self, port: u32, chain: usize) {
        let tables = [BTreeMap::new(), BTreeMap::new()];
        let fresh = Port {
            open: true,
            chain,
            tables,
        };
        self.ports.entry(port).or_insert(fresh).open = true;
    }

    pub(crate) fn close(&mut self, port: u32) {
        self.clear(port);
        self.ports.get_mut(&port).unwrap().open = false;
    }

    pub(crate) fn chain_of(&self, port: u32) -> usize {
        self.ports[&port].chain
    }

    /// Another set of policies clears the port's flows; the same set does nothing.
    pub(crate) fn bind(&mut self, port: u32, chain: usize) -> bool {
        let changes = self.ports[&port].chain != chain;
        if changes {
            self.clear(port);
            self.ports.get_mut(&port).unwrap().chain = chain;
        }
        changes
    }

    pub(crate) fn clear(&mut self, port: u32) {
        let of_port = |record: &Record| record.port == port;
        let ids: Vec<u32> = self.ids(of_port).into_iter().collect();
        for id in ids {
            self.wipe(id);
        }
    }

    pub(crate) fn ids(&self, which: impl Fn(&Record) -> bool) -> BTreeSet<u32> {
        let records = self.records.iter();
        records
            .filter(|(_, record)| which(record))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn replace(&mut self, at: usize, policy: Policy) {
        let anew = policy.reclassify && policy.tables != self.policies[at].tables;
        self.policies[at] = policy;
        for (chain, epoch) in &mut self.chains {
            *epoch += u32::from(anew && chain.contains(&at));
        }
    }

    pub(crate) fn is_over(&self, record: &Record) -> bool {
        let timeouts = &self.policies[record.policy].timeouts;
        self.now - record.stored > record.timeout(timeouts) + record.refresh(timeouts)
    }

    /// Takes both entries of a record.
    pub(crate) fn wipe(&mut self, id: u32) {
        let record = self.records.remove(&id).unwrap();
        let port = self.ports.get_mut(&record.port).unwrap();
        assert_eq!(port.tables[record.opener].remove(&record.tuple), Some(id));
        if let Some(mirror) = mirror(&record.tuple) {
            assert_eq!(port.tables[1 - record.opener].remove(&mirror), Some(id));
        }
    }

    pub(crate) fn packet(&mut self, port: u32, way: Way, packet: &Sent) -> Result<(), Refused> {
        self.wants_room = None;
        if self.chains[self.ports[&port].chain].0.is_empty() {
            return Ok(());
        }
        let found = tuple(packet).and_then(|tuple| self.ports[&port].tables[way].get(&tuple));
        match found.copied() {
            Some(id) => self.track(id, way, packet),
            None if self.is_about_a_flow(port, way, packet) => Ok(()),
            None => self.judge(port, way, packet),
        }
    }

    fn is_about_a_flow(&self, port: u32, way: Way, packet: &Sent) -> bool {
        let What::Error(about) = &packet.what else {
            return false;
        };
        let is_message = matches!(about.what, What::Message | What::Error(_));
        let tuple = tuple(about).filter(|_| self.errors_pass && !is_message);
        let port = &self.ports[&port];
        let id = tuple.and_then(|tuple| port.tables[1 - way].get(&tuple));
        id.is_some_and(|id| {
            let record = &self.records[id];
            !self.is_over(record) && record.epoch == self.chains[port.chain].1
        })
    }

    fn said(&self, port: u32, way: Way, packet: &Sent) -> (Action, Option<usize>) {
        let (chain, _) = &self.chains[self.ports[&port].chain];
        let mut last = (Action::Pass, None);
        for at in chain {
            let Some(table) = &self.policies[*at].tables[way] else {
                continue;
            };
            if let Some(rule) = table.rules.iter().find(|rule| rule.matches(packet)) {
                return (rule.action, Some(*at));
            }
            last = (table.default, Some(*at));
        }
        last
    }

    fn judge(&mut self, port: u32, way: Way, packet: &Sent) -> Result<(), Refused> {
        match self.said(port, way, packet) {
            (Action::Pass, _) => Ok(()),
            (Action::Drop, _) => Err("policy"),
            (Action::Track, policy) => self.add(port, way, packet, policy.unwrap()),
        }
    }

    fn add(&mut self, at: u32, way: Way, packet: &Sent, policy: usize) -> Result<(), Refused> {
        let is_answer = matches!(packet.what, What::Answer(_));
        let Some(tuple) = tuple(packet).filter(|_| !is_answer) else {
            return Ok(());
        };
        let port = &self.ports[&at];
        if !port.open {
            return Err("port_closed");
        }
        let of_port = self
            .records
            .values()
            .filter(|record| record.port == at)
            .count();
        let full = if of_port >= self.per_port {
            Some((Room::Port(at), "flow_limit"))
        } else if self.records.len() >= self.entries {
            Some((Room::Table, "flow_table_full"))
        } else {
            None
        };
        if let Some((room, refused)) = full {
            let may =
                |record: &Record| record.gives_way() && (room == Room::Table || record.port == at);
            if self.ids(may).is_empty() {
                return if self.stateless_when_full {
                    Ok(())
                } else {
                    Err(refused)
                };
            }
            self.wants_room = Some(room);
        }
        let mut sides = None;
        if let What::Tcp { flags, .. } = packet.what {
            sides = Some(segment([Side::default(); 2], way, flags));
        }
        let epoch = self.chains[port.chain].1;
        let record = Record {
            port: at,
            opener: way,
            tuple: tuple.clone(),
            sides,
            policy,
            stored: self.now,
            epoch,
        };
        let id = self.next;
        self.next += 1;
        self.records.insert(id, record);
        let port = self.ports.get_mut(&at).unwrap();
        if let Some(mirror) = mirror(&tuple) {
            port.tables[1 - way].insert(mirror, id);
        }
        port.tables[way].insert(tuple, id);
        Ok(())
    }

    fn track(&mut self, id: u32, way: Way, packet: &Sent) -> Result<(), Refused> {
        let mut record = self.records[&id].clone();
        if self.is_over(&record) {
            self.wipe(id);
            return Err("flow_expired");
        }
        let timeouts = self.policies[record.policy].timeouts;
        let epoch = self.chains[self.ports[&record.port].chain].1;
        let is_stale = record.epoch != epoch;
        if is_stale {
            // As its opener's packets are judged: this one, or the one that it answers.
            let judged = if way == record.opener {
                packet.clone()
            } else {
                packet.answer(flags(packet))
            };
            let (action, policy) = self.said(record.port, record.opener, &judged);
            if action != Action::Track {
                self.wipe(id);
                return match action {
                    _ if way != record.opener => self.judge(record.port, way, packet),
                    Action::Drop => Err("policy"),
                    _ => Ok(()),
                };
            }
            (record.policy, record.epoch) = (policy.unwrap(), epoch);
            record.stored = self.now;
        }
        let before = (record.sides, record.class());
        if let Some(sides) = record.sides {
            let opens = flags(packet) & 0x17 == 0x02;
            if opens && record.class() == Class::Closing {
                if way != record.opener {
                    return self.other_begins(id, record, way, packet);
                }
                record.sides = Some(segment([Side::default(); 2], way, 0x02));
                record.stored = self.now;
            } else {
                record.sides = Some(segment(sides, way, flags(packet)));
            }
        }
        let is_old = self.now - record.stored > record.refresh(&timeouts);
        if before.0 != record.sides || is_old {
            record.stored = self.now;
        }
        self.records.insert(id, record);
        Ok(())
    }

    /// Who did not open a closing flow begins another, if policy has it so.
    fn other_begins(
        &mut self,
        id: u32,
        mut record: Record,
        way: Way,
        packet: &Sent,
    ) -> Result<(), Refused> {
        let (action, _) = self.said(record.port, way, packet);
        if action == Action::Track {
            self.wipe(id);
        } else {
            // It may have been judged anew, but this packet is none of its own.
            record.stored = self.records[&id].stored;
            self.records.insert(id, record.clone());
        }
        self.judge(record.port, way, packet)
    }
}

fn flags(packet: &Sent) -> u8 {
    match packet.what {
        What::Tcp { flags, .. } => flags,
        _ => 0,
    }
}

/// What a segment shows: its sender's SYN and FIN, and that it acknowledges the other side's. A RST is the
/// end of both.
fn segment(mut sides: [Side; 2], sender: Way, flags: u8) -> [Side; 2] {
    if flags & 0x04 != 0 {
        for side in &mut sides {
            side.fin = true;
            side.fin_acknowledged = true;
        }
        return sides;
    }
    let other = sides[1 - sender];
    let side = &mut sides[sender];
    if flags & 0x10 != 0 {
        side.syn_acknowledged |= other.syn;
        side.fin_acknowledged |= other.fin;
    }
    side.syn |= flags & 0x02 != 0;
    side.fin |= flags & 0x01 != 0;
    sides
}

/// What a flow of the classifier's is compared by.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Seen {
    pub(crate) port: u32,
    pub(crate) opener: Way,
    pub(crate) tuple: String,
    pub(crate) bits: u8,
    pub(crate) policy: u16,
    pub(crate) stored: u32,
}

impl Record {
    pub(crate) fn seen(&self) -> Seen {
        let mut bits = 0;
        for (way, side) in self.sides.iter().flatten().enumerate() {
            let each = [
                side.syn,
                side.syn_acknowledged,
                side.fin,
                side.fin_acknowledged,
            ];
            for (at, is_set) in each.into_iter().enumerate() {
                bits |= u8::from(is_set) << (way + 2 * at);
            }
        }
        let Tuple {
            family,
            from,
            to,
            protocol,
            part,
        } = &self.tuple;
        let part = match part {
            Part::Ports(source, destination) => format!("{source}>{destination}"),
            Part::Asks(identifier) => format!("asks {identifier}"),
            Part::Answers(identifier) => format!("answers {identifier}"),
            Part::Message(_) => "message".to_owned(),
            Part::None => String::new(),
        };
        Seen {
            port: self.port,
            opener: self.opener,
            tuple: format!("{family} {from}>{to} {protocol} {part}"),
            bits,
            policy: u16::try_from(self.policy).unwrap(),
            stored: u32::try_from(self.stored % (1 << 24)).unwrap(),
        }
    }
}
