//! A transaction of nftables: messages that the kernel carries out all or not at all.

use core::time::Duration;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable};

use super::attribute::Attributes;
#[allow(clippy::wildcard_imports, reason = "the names of the kernel's headers")]
use super::consts::*;
use super::model::{AddressSet, Chain, Family, Header, Hook, Meta, Step, TableId, Verdict};

/// nft's numbers for types, by which `nft list` prints values: `nf_proto`, `ipv4_addr`, `ipv6_addr`.
const TYPE_FAMILY: u32 = 2;
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;

/// Messages for one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    octets: Vec<u8>,
    /// What each message does, for errors; their sequence numbers count from `first`.
    doing: Vec<String>,
    first: u32,
    sets: u32,
}

impl Batch {
    /// An empty transaction whose messages are numbered from `first`.
    pub(super) fn new(first: u32) -> Self {
        let mut batch = Self {
            octets: Vec::with_capacity(1024),
            doing: Vec::new(),
            first,
            sets: 0,
        };
        batch.frame(NFNL_MSG_BATCH_BEGIN);
        // An error of the whole has the number of the beginning.
        batch.doing.push("commit".to_owned());
        batch
    }

    /// Makes a table, or is nothing if it is there; `flags` are `NFT_TABLE_F_*`.
    pub(crate) fn add_table(&mut self, table: &TableId, flags: u32) {
        let attributes = Attributes::new()
            .text(NFTA_TABLE_NAME, &table.name)
            .number(NFTA_TABLE_FLAGS, flags);
        self.push(
            NFT_MSG_NEWTABLE,
            NLM_F_CREATE,
            table,
            "make the table",
            attributes,
        );
    }

    /// Removes a table with all that is in it.
    pub(crate) fn remove_table(&mut self, table: &TableId) {
        let attributes = Attributes::new().text(NFTA_TABLE_NAME, &table.name);
        self.push(NFT_MSG_DELTABLE, 0, table, "remove the table", attributes);
    }

    /// Makes a set of addresses with its elements.
    pub(crate) fn add_address_set(&mut self, table: &TableId, set: &AddressSet) {
        let kind = if set.length == 4 {
            TYPE_IPV4
        } else {
            TYPE_IPV6
        };
        let attributes = self
            .set(table, set.name, 0)
            .number(NFTA_SET_KEY_TYPE, kind)
            .number(NFTA_SET_KEY_LEN, set.length);
        self.push(NFT_MSG_NEWSET, NLM_F_CREATE, table, set.name, attributes);
        if set.elements.is_empty() {
            return;
        }
        let elements = set.elements.iter();
        let elements = elements.fold(Attributes::new(), |elements, element| {
            let element = Attributes::new().nested(NFTA_SET_ELEM_KEY, value(element));
            elements.nested(NFTA_LIST_ELEM, element)
        });
        self.change_elements(NFT_MSG_NEWSETELEM, table, set.name, elements);
    }

    /// Makes a set of packets' families (`meta nfproto`), whose elements end by themselves or not.
    pub(crate) fn add_family_set(&mut self, table: &TableId, name: &'static str, timed: bool) {
        let flags = if timed { NFT_SET_TIMEOUT } else { 0 };
        let attributes = self
            .set(table, name, flags)
            .number(NFTA_SET_KEY_TYPE, TYPE_FAMILY)
            .number(NFTA_SET_KEY_LEN, 1);
        self.push(NFT_MSG_NEWSET, NLM_F_CREATE, table, name, attributes);
    }

    /// Makes a counter.
    pub(crate) fn add_counter(&mut self, table: &TableId, name: &'static str) {
        let attributes = Attributes::new()
            .text(NFTA_OBJ_TABLE, &table.name)
            .text(NFTA_OBJ_NAME, name)
            .number(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER)
            .nested(NFTA_OBJ_DATA, Attributes::new());
        self.push(NFT_MSG_NEWOBJ, NLM_F_CREATE, table, name, attributes);
    }

    /// Makes an empty chain.
    pub(crate) fn add_chain(&mut self, table: &TableId, chain: &Chain) {
        let mut attributes = Attributes::new()
            .text(NFTA_CHAIN_TABLE, &table.name)
            .text(NFTA_CHAIN_NAME, chain.name);
        if let Some(hook) = &chain.hook {
            attributes = attributes
                .nested(NFTA_CHAIN_HOOK, hook_attributes(hook))
                .signed(NFTA_CHAIN_POLICY, NF_ACCEPT)
                .text(NFTA_CHAIN_TYPE, "filter");
        }
        self.push(
            NFT_MSG_NEWCHAIN,
            NLM_F_CREATE,
            table,
            chain.name,
            attributes,
        );
    }

    /// Puts a chain's rules into it.
    pub(crate) fn add_rules(&mut self, table: &TableId, chain: &Chain) {
        for rule in &chain.rules {
            let steps = rule.iter().fold(Attributes::new(), |steps, step| {
                steps.nested(NFTA_LIST_ELEM, step_attributes(step))
            });
            let attributes = Attributes::new()
                .text(NFTA_RULE_TABLE, &table.name)
                .text(NFTA_RULE_CHAIN, chain.name)
                .nested(NFTA_RULE_EXPRESSIONS, steps);
            let flags = NLM_F_CREATE | NLM_F_APPEND;
            self.push(NFT_MSG_NEWRULE, flags, table, chain.name, attributes);
        }
    }

    /// Has the families in a timed set for so long from now on, in whole milliseconds, whether they were there
    /// or not. Adding what is there gives it no new time (not even a shorter one, before Linux 6.12), and what
    /// is not there cannot be removed: so they are added, removed, and added.
    pub(crate) fn time_families(&mut self, table: &TableId, set: &'static str, life: Duration) {
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        self.change_families(NFT_MSG_NEWSETELEM, table, set, Some(millis));
        self.change_families(NFT_MSG_DELSETELEM, table, set, None);
        self.change_families(NFT_MSG_NEWSETELEM, table, set, Some(millis));
    }

    /// Puts the families into a set.
    pub(crate) fn add_families(&mut self, table: &TableId, set: &'static str) {
        self.change_families(NFT_MSG_NEWSETELEM, table, set, None);
    }

    /// Takes the families out of a set; they must be there.
    pub(crate) fn remove_families(&mut self, table: &TableId, set: &'static str) {
        self.change_families(NFT_MSG_DELSETELEM, table, set, None);
    }

    fn change_families(
        &mut self,
        message: u8,
        table: &TableId,
        set: &'static str,
        millis: Option<u64>,
    ) {
        let families = table.family.packets().iter();
        let elements = families.fold(Attributes::new(), |elements, family| {
            let element = Attributes::new().nested(NFTA_SET_ELEM_KEY, value(&[*family]));
            let element = match millis {
                Some(millis) => element.long(NFTA_SET_ELEM_TIMEOUT, millis),
                None => element,
            };
            elements.nested(NFTA_LIST_ELEM, element)
        });
        self.change_elements(message, table, set, elements);
    }

    fn change_elements(
        &mut self,
        message: u8,
        table: &TableId,
        set: &'static str,
        elements: Attributes,
    ) {
        let attributes = Attributes::new()
            .text(NFTA_SET_ELEM_LIST_TABLE, &table.name)
            .text(NFTA_SET_ELEM_LIST_SET, set)
            .nested(NFTA_SET_ELEM_LIST_ELEMENTS, elements);
        let flags = if message == NFT_MSG_NEWSETELEM {
            NLM_F_CREATE
        } else {
            0
        };
        self.push(message, flags, table, set, attributes);
    }

    fn set(&mut self, table: &TableId, name: &str, flags: u32) -> Attributes {
        self.sets = self.sets.saturating_add(1);
        Attributes::new()
            .text(NFTA_SET_TABLE, &table.name)
            .text(NFTA_SET_NAME, name)
            .number(NFTA_SET_FLAGS, flags)
            .number(NFTA_SET_ID, self.sets)
    }

    fn push(
        &mut self,
        message: u8,
        flags: u16,
        table: &TableId,
        what: &str,
        attributes: Attributes,
    ) {
        let number = self.next();
        self.doing.push(format!("{what} ({:?})", table.family));
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let message = Message::new(message, table.family.number(), attributes);
        self.octets.extend(message.octets(number, flags));
    }

    /// Adds the mark of a transaction's beginning or end, which has no answer.
    fn frame(&mut self, kind: u16) {
        let message = Message {
            kind,
            octets: general(NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES),
        };
        let octets = message.octets(self.next(), NLM_F_REQUEST);
        self.octets.extend(octets);
    }

    /// The number of the next message.
    fn next(&self) -> u32 {
        let done = u32::try_from(self.doing.len()).unwrap_or(u32::MAX);
        self.first.wrapping_add(done)
    }

    /// The finished transaction: its octets, its first number, and what each message does. All but
    /// the first, which is the transaction itself, are answered.
    pub(super) fn finish(mut self) -> (Vec<u8>, u32, Vec<String>) {
        self.frame(NFNL_MSG_BATCH_END);
        (self.octets, self.first, self.doing)
    }
}

/// A message of nfnetlink: its general header and attributes.
#[derive(Debug)]
pub(super) struct Message {
    kind: u16,
    octets: Vec<u8>,
}

impl Message {
    /// A message of nftables.
    pub(super) fn new(message: u8, family: u8, attributes: Attributes) -> Self {
        let mut octets = general(family, 0);
        octets.extend(attributes.into_octets());
        Self {
            kind: u16::from_be_bytes([NFNL_SUBSYS_NFTABLES, message]),
            octets,
        }
    }

    /// The message with the header of netlink.
    pub(super) fn octets(self, number: u32, flags: u16) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = number;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(self));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        octets
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.octets.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.octets);
    }
}

/// `struct nfgenmsg`
fn general(family: u8, resource: u8) -> Vec<u8> {
    vec![family, 0, 0, resource]
}

impl Family {
    /// `NFPROTO_*`
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Inet => NFPROTO_INET,
            Self::Arp => NFPROTO_ARP,
            Self::Netdev => NFPROTO_NETDEV,
        }
    }

    /// What a packet of the table can be (`meta nfproto`).
    const fn packets(self) -> &'static [u8] {
        match self {
            Self::Inet => &[NFPROTO_IPV4, NFPROTO_IPV6],
            Self::Arp => &[NFPROTO_ARP],
            Self::Netdev => &[NFPROTO_NETDEV],
        }
    }
}

impl Meta {
    /// `NFT_META_*`
    const fn number(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Mark => 3,
            Self::InputName => 6,
            Self::OutputName => 7,
            Self::Family => 15,
            Self::Transport => 16,
        }
    }
}

impl Header {
    /// `NFT_PAYLOAD_*`
    const fn number(self) -> u32 {
        match self {
            Self::Network => 1,
            Self::Transport => 2,
        }
    }
}

fn hook_attributes(hook: &Hook) -> Attributes {
    let attributes = Attributes::new()
        .number(NFTA_HOOK_HOOKNUM, hook.number)
        .signed(NFTA_HOOK_PRIORITY, hook.priority);
    if hook.interfaces.is_empty() {
        return attributes;
    }
    let names = hook.interfaces.iter();
    let names = names.fold(Attributes::new(), |names, name| {
        names.text(NFTA_DEVICE_NAME, name)
    });
    attributes.nested(NFTA_HOOK_DEVS, names)
}

fn value(octets: &[u8]) -> Attributes {
    Attributes::new().octets(NFTA_DATA_VALUE, octets)
}

fn step_attributes(step: &Step) -> Attributes {
    let (name, data) = expression(step);
    Attributes::new()
        .text(NFTA_EXPR_NAME, name)
        .nested(NFTA_EXPR_DATA, data)
}

fn expression(step: &Step) -> (&'static str, Attributes) {
    let new = Attributes::new();
    match step {
        Step::Meta(meta) => (
            "meta",
            new.number(NFTA_META_DREG, NFT_REG_1)
                .number(NFTA_META_KEY, meta.number()),
        ),
        Step::Payload {
            from,
            offset,
            length,
        } => (
            "payload",
            new.number(NFTA_PAYLOAD_DREG, NFT_REG_1)
                .number(NFTA_PAYLOAD_BASE, from.number())
                .number(NFTA_PAYLOAD_OFFSET, *offset)
                .number(NFTA_PAYLOAD_LEN, *length),
        ),
        Step::Mask(mask) => ("bitwise", mask_attributes(mask)),
        Step::Equals(octets) => (
            "cmp",
            new.number(NFTA_CMP_SREG, NFT_REG_1)
                .number(NFTA_CMP_OP, NFT_CMP_EQ)
                .nested(NFTA_CMP_DATA, value(octets)),
        ),
        Step::Among(set) => (
            "lookup",
            new.text(NFTA_LOOKUP_SET, set)
                .number(NFTA_LOOKUP_SREG, NFT_REG_1),
        ),
        Step::Count(counter) => (
            "objref",
            new.number(NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER)
                .text(NFTA_OBJREF_IMM_NAME, counter),
        ),
        Step::Verdict(verdict) => ("immediate", verdict_attributes(*verdict)),
    }
}

fn mask_attributes(mask: &[u8]) -> Attributes {
    let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
    Attributes::new()
        .number(NFTA_BITWISE_SREG, NFT_REG_1)
        .number(NFTA_BITWISE_DREG, NFT_REG_1)
        .number(NFTA_BITWISE_LEN, length)
        .nested(NFTA_BITWISE_MASK, value(mask))
        .nested(NFTA_BITWISE_XOR, value(&vec![0; mask.len()]))
}

fn verdict_attributes(verdict: Verdict) -> Attributes {
    let attributes = match verdict {
        Verdict::Accept => Attributes::new().signed(NFTA_VERDICT_CODE, NF_ACCEPT),
        Verdict::Drop => Attributes::new().signed(NFTA_VERDICT_CODE, NF_DROP),
        Verdict::Goto(chain) => Attributes::new()
            .signed(NFTA_VERDICT_CODE, NFT_GOTO)
            .text(NFTA_VERDICT_CHAIN, chain),
    };
    let data = Attributes::new().nested(NFTA_DATA_VERDICT, attributes);
    Attributes::new()
        .number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)
        .nested(NFTA_IMMEDIATE_DATA, data)
}
