//! The rules of a gate.
//!
//! Three tables of the same name, one a family. A packet of the cluster is sent to the chain of its kind, which
//! passes it while that kind is held and drops it otherwise; what is not the cluster's passes by.
//!
//! | way | what | kind |
//! |---|---|---|
//! | out | L2TP with T = 1 | control |
//! | | anything else that a socket with the mark of data has sent | data |
//! | | sent by a socket with the mark of control; from nasAddress | control |
//! | | ICMP echo reply of the service address | probe |
//! | | anything else from the service address | control |
//! | | IPv6 neighbour advertisement of an address of the cluster | control |
//! | in | to nasAddress; IPv6 neighbour solicitation of an address of the cluster | control |
//! | | ICMP echo request to the service address | probe |
//! | | anything else to the service address: a member hands control on to the master | member |
//! | through | from or to the subscribers' interface | data |
//! | ARP out, in | from, for an address of the cluster | control |
//! | interface out | all of "out" once more, where packets that waited for a neighbour come by | |
//!
//! *Member* is control or data. *Probe* is control in L2 mode, and otherwise announce together with
//! member: who cannot serve attracts nothing.
//!
//! Each kind has two slots. A slot is two sets with the packet's family in them, or not: its own has a timeout,
//! and the one with `_selected` says that it is this slot that counts. "Held" means that the family
//! is in both sets of one slot. See [`crate::Gate::hold`].

use core::net::IpAddr;
use std::collections::BTreeSet;

use crate::Kind;
use crate::error::KernelError;
use crate::mark::Mark;
use crate::nft::model::{
    AddressSet, Chain, Family, Header, Hook, Meta, Step, Table, TableId, Verdict,
};
use crate::nft::{Batch, Socket};
use crate::plan::{Announce, Plan};

/// Before `raw` (-300) and connection tracking (-200): a packet's mark is still that of its socket.
const FIRST: i32 = -310;

const IPV4: u8 = 2;
const IPV6: u8 = 10;
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];

/// Where ARP on Ethernet has the sender's and the target's IPv4 address (RFC 826).
const SENDER: u32 = 14;
const TARGET: u32 = 24;

const CONTROL: &str = "control";
const DATA: &str = "data";
const MEMBER: &str = "member";
const PROBE: &str = "probe";
const FORWARDED: &str = "forwarded";

/// The tables of a plan.
pub(crate) fn tables(plan: &Plan) -> Vec<Table> {
    let mut tables = vec![inet(plan), arp(plan)];
    if !plan.interfaces.is_empty() {
        tables.push(netdev(plan));
    }
    tables
}

/// The names of all tables that a gate of this cluster may have.
pub(crate) fn names(cluster: &str) -> [TableId; 3] {
    [Family::Inet, Family::Arp, Family::Netdev].map(|family| id(cluster, family))
}

/// The kinds that a family's table knows.
pub(crate) const fn kinds(family: Family) -> &'static [Kind] {
    match family {
        Family::Inet => &Kind::ALL,
        Family::Arp => &[Kind::Control],
        Family::Netdev => &[Kind::Control, Kind::Data],
    }
}

/// The addresses that an earlier gate of this cluster fences, or fenced.
pub(crate) fn earlier(socket: &mut Socket, cluster: &str) -> Result<BTreeSet<IpAddr>, KernelError> {
    let table = id(cluster, Family::Inet);
    let mut addresses = BTreeSet::new();
    for set in ["service4", "nas4"] {
        let found = socket.elements(&table, set)?.into_iter();
        let found = found.filter_map(|octets| <[u8; 4]>::try_from(octets).ok());
        addresses.extend(found.map(IpAddr::from));
    }
    for set in ["service6", "nas6"] {
        let found = socket.elements(&table, set)?.into_iter();
        let found = found.filter_map(|octets| <[u8; 16]>::try_from(octets).ok());
        addresses.extend(found.map(IpAddr::from));
    }
    Ok(addresses)
}

/// A slot's sets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slot {
    /// The one with a timeout.
    pub(crate) alive: &'static str,
    /// The one that says that this slot counts.
    pub(crate) selected: &'static str,
}

/// The slots of a kind.
pub(crate) const fn slots(kind: Kind) -> [Slot; 2] {
    const fn slot(alive: &'static str, selected: &'static str) -> Slot {
        Slot { alive, selected }
    }
    match kind {
        Kind::Control => [
            slot("control_a", "control_a_selected"),
            slot("control_b", "control_b_selected"),
        ],
        Kind::Data => [
            slot("data_a", "data_a_selected"),
            slot("data_b", "data_b_selected"),
        ],
        Kind::Announce => [
            slot("announce_a", "announce_a_selected"),
            slot("announce_b", "announce_b_selected"),
        ],
    }
}

/// Adds the messages that make `table`, with nothing held.
pub(crate) fn install(batch: &mut Batch, table: &Table) {
    let kinds = kinds(table.id.family).iter();
    for slot in kinds.flat_map(|kind| slots(*kind)) {
        batch.add_family_set(&table.id, slot.alive, true);
        batch.add_family_set(&table.id, slot.selected, false);
    }
    for counter in table.counters() {
        batch.add_counter(&table.id, counter);
    }
    for set in &table.sets {
        batch.add_address_set(&table.id, set);
    }
    for chain in &table.chains {
        batch.add_chain(&table.id, chain);
    }
    for chain in &table.chains {
        batch.add_rules(&table.id, chain);
    }
}

fn id(cluster: &str, family: Family) -> TableId {
    let name = format!("kubelns-gate/{cluster}");
    TableId { family, name }
}

fn inet(plan: &Plan) -> Table {
    let accept = || Step::Verdict(Verdict::Accept);
    let probe = match plan.announce {
        Announce::External => if_held(Kind::Announce, &goto(MEMBER)),
        Announce::L2 { .. } => if_held(Kind::Control, &accept()),
    };
    Table {
        id: id(&plan.cluster, Family::Inet),
        sets: [service(plan), nas(plan)].concat(),
        chains: vec![
            control(),
            data(),
            member(),
            decision(PROBE, probe),
            chain(FORWARDED, None, forwarded()),
            chain("from_service", None, from_service()),
            chain("to_service", None, to_service()),
            chain("input", Some(hook(1)), inet_input()),
            chain("forward", Some(hook(2)), inet_forward(plan)),
            chain("output", Some(hook(3)), inet_output()),
        ],
    }
}

fn arp(plan: &Plan) -> Table {
    Table {
        id: id(&plan.cluster, Family::Arp),
        sets: vec![own(plan)],
        chains: vec![
            control(),
            chain("input", Some(hook(0)), vec![arp_about(TARGET)]),
            chain("output", Some(hook(1)), vec![arp_about(SENDER)]),
        ],
    }
}

fn netdev(plan: &Plan) -> Table {
    let mut egress = hook(1);
    egress.interfaces = plan.interfaces.iter().cloned().collect();
    let mut about_arp = vec![
        Step::Meta(Meta::Protocol),
        Step::Equals(ETHERTYPE_ARP.to_vec()),
    ];
    about_arp.extend(arp_about(SENDER));
    let rules = vec![
        about_arp,
        marked(Mark::Data, FORWARDED),
        marked(Mark::Control, CONTROL),
        from(Seen::Frame(ETHERTYPE_IPV4), "nas4", CONTROL),
        from(Seen::Frame(ETHERTYPE_IPV6), "nas6", CONTROL),
        from(Seen::Frame(ETHERTYPE_IPV4), "service4", "from_service"),
        from(Seen::Frame(ETHERTYPE_IPV6), "service6", "from_service"),
    ];
    // Others may have changed the mark on the way here, so what has not that of control passes with
    // either kind: the table `inet` has seen it with the mark of its socket.
    let from_service = vec![l2tp_control(), vec![goto(MEMBER)]];
    Table {
        id: id(&plan.cluster, Family::Netdev),
        sets: [service(plan), nas(plan), vec![own(plan)]].concat(),
        chains: vec![
            control(),
            data(),
            member(),
            chain(FORWARDED, None, forwarded()),
            chain("from_service", None, from_service),
            chain("egress", Some(egress), rules),
        ],
    }
}

const fn hook(number: u32) -> Hook {
    Hook {
        number,
        priority: FIRST,
        interfaces: Vec::new(),
    }
}

fn control() -> Chain {
    let accept = Step::Verdict(Verdict::Accept);
    decision(CONTROL, if_held(Kind::Control, &accept))
}

fn data() -> Chain {
    let accept = Step::Verdict(Verdict::Accept);
    decision(DATA, if_held(Kind::Data, &accept))
}

fn member() -> Chain {
    let accept = Step::Verdict(Verdict::Accept);
    let any = [Kind::Control, Kind::Data].map(|kind| if_held(kind, &accept));
    decision(MEMBER, any.concat())
}

/// A chain that counts and drops what `rules` do not pass.
fn decision(name: &'static str, mut rules: Vec<Vec<Step>>) -> Chain {
    rules.push(vec![Step::Count(name), Step::Verdict(Verdict::Drop)]);
    chain(name, None, rules)
}

/// Rules that do `then` while `kind` is held.
fn if_held(kind: Kind, then: &Step) -> Vec<Vec<Step>> {
    let rules = slots(kind).map(|slot| {
        vec![
            Step::Meta(Meta::Family),
            Step::Among(slot.selected),
            Step::Meta(Meta::Family),
            Step::Among(slot.alive),
            then.clone(),
        ]
    });
    rules.into()
}

/// What a socket for data has sent: many packets, so it is asked for nothing more than it must.
fn forwarded() -> Vec<Vec<Step>> {
    vec![l2tp_control(), vec![goto(DATA)]]
}

fn from_service() -> Vec<Vec<Step>> {
    vec![
        l2tp_control(),
        icmp(ICMP, 0, PROBE),
        icmp(ICMPV6, 129, PROBE),
        vec![goto(CONTROL)],
    ]
}

fn to_service() -> Vec<Vec<Step>> {
    vec![
        icmp(ICMP, 8, PROBE),
        icmp(ICMPV6, 128, PROBE),
        vec![goto(MEMBER)],
    ]
}

fn inet_input() -> Vec<Vec<Step>> {
    let mut rules = vec![neighbour(135, "service6"), neighbour(135, "nas6")];
    rules.extend([
        to(IPV4, "nas4", CONTROL),
        to(IPV6, "nas6", CONTROL),
        to(IPV4, "service4", "to_service"),
        to(IPV6, "service6", "to_service"),
    ]);
    rules
}

fn inet_forward(plan: &Plan) -> Vec<Vec<Step>> {
    let mut name = plan.subscribers.clone().into_bytes();
    name.resize(16, 0);
    let mut rules = Vec::new();
    for meta in [Meta::InputName, Meta::OutputName] {
        rules.push(vec![
            Step::Meta(meta),
            Step::Equals(name.clone()),
            goto(DATA),
        ]);
    }
    rules
}

fn inet_output() -> Vec<Vec<Step>> {
    vec![
        marked(Mark::Data, FORWARDED),
        marked(Mark::Control, CONTROL),
        from(Seen::Packet(IPV4), "nas4", CONTROL),
        from(Seen::Packet(IPV6), "nas6", CONTROL),
        neighbour(136, "service6"),
        neighbour(136, "nas6"),
        from(Seen::Packet(IPV4), "service4", "from_service"),
        from(Seen::Packet(IPV6), "service6", "from_service"),
    ]
}

fn service(plan: &Plan) -> Vec<AddressSet> {
    let addresses = || plan.service.iter().copied();
    vec![
        address_set("service4", 4, addresses()),
        address_set("service6", 16, addresses()),
    ]
}

fn nas(plan: &Plan) -> Vec<AddressSet> {
    vec![
        address_set("nas4", 4, plan.nas.into_iter()),
        address_set("nas6", 16, plan.nas.into_iter()),
    ]
}

fn own(plan: &Plan) -> AddressSet {
    address_set("own4", 4, plan.own())
}

/// The set of those addresses that have this many octets.
fn address_set(
    name: &'static str,
    length: u32,
    addresses: impl Iterator<Item = IpAddr>,
) -> AddressSet {
    AddressSet {
        name,
        length,
        elements: addresses
            .map(octets)
            .filter(|octets| u32::try_from(octets.len()) == Ok(length))
            .collect(),
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

const fn chain(name: &'static str, hook: Option<Hook>, rules: Vec<Vec<Step>>) -> Chain {
    Chain { name, hook, rules }
}

const fn goto(chain: &'static str) -> Step {
    Step::Verdict(Verdict::Goto(chain))
}

const fn network(offset: u32, length: u32) -> Step {
    Step::Payload {
        from: Header::Network,
        offset,
        length,
    }
}

const fn transport(offset: u32, length: u32) -> Step {
    Step::Payload {
        from: Header::Transport,
        offset,
        length,
    }
}

fn marked(mark: Mark, to: &'static str) -> Vec<Step> {
    vec![
        Step::Meta(Meta::Mark),
        Step::Equals(mark.value().to_ne_bytes().to_vec()),
        goto(to),
    ]
}

/// ARP with an address of the cluster at this offset.
fn arp_about(offset: u32) -> Vec<Step> {
    vec![network(offset, 4), Step::Among("own4"), goto(CONTROL)]
}

/// UDP whose first octet has the T bit set (RFC 2661, 3.1).
fn l2tp_control() -> Vec<Step> {
    vec![
        Step::Meta(Meta::Transport),
        Step::Equals(vec![UDP]),
        transport(8, 1),
        Step::Mask(vec![0x80]),
        Step::Equals(vec![0x80]),
        goto(CONTROL),
    ]
}

fn icmp(protocol: u8, kind: u8, to: &'static str) -> Vec<Step> {
    vec![
        Step::Meta(Meta::Transport),
        Step::Equals(vec![protocol]),
        transport(0, 1),
        Step::Equals(vec![kind]),
        goto(to),
    ]
}

/// A message of neighbour discovery about an address of `set` (RFC 4861, 4.3 and 4.4).
fn neighbour(kind: u8, set: &'static str) -> Vec<Step> {
    vec![
        Step::Meta(Meta::Transport),
        Step::Equals(vec![ICMPV6]),
        transport(0, 1),
        Step::Equals(vec![kind]),
        transport(8, 16),
        Step::Among(set),
        goto(CONTROL),
    ]
}

/// How a table sees whether a packet is IPv4 or IPv6.
#[derive(Clone, Copy)]
enum Seen {
    /// `inet`: by family.
    Packet(u8),
    /// `netdev`: by the type of the frame.
    Frame([u8; 2]),
}

fn from(seen: Seen, set: &'static str, chain: &'static str) -> Vec<Step> {
    let (known, source) = match seen {
        Seen::Packet(IPV4) => ((Meta::Family, vec![IPV4]), network(12, 4)),
        Seen::Packet(family) => ((Meta::Family, vec![family]), network(8, 16)),
        Seen::Frame(ETHERTYPE_IPV4) => ((Meta::Protocol, ETHERTYPE_IPV4.to_vec()), network(12, 4)),
        Seen::Frame(ethertype) => ((Meta::Protocol, ethertype.to_vec()), network(8, 16)),
    };
    let (meta, value) = known;
    vec![
        Step::Meta(meta),
        Step::Equals(value),
        source,
        Step::Among(set),
        goto(chain),
    ]
}

fn to(family: u8, set: &'static str, chain: &'static str) -> Vec<Step> {
    let destination = if family == IPV4 {
        network(16, 4)
    } else {
        network(24, 16)
    };
    vec![
        Step::Meta(Meta::Family),
        Step::Equals(vec![family]),
        destination,
        Step::Among(set),
        goto(chain),
    ]
}
