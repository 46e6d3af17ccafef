//! A table of nftables as data: sets, chains, and rules as lists of steps over one register.

use std::collections::BTreeSet;

/// What packets a table sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// ARP.
    Arp,
    /// Everything that passes an interface.
    Netdev,
}

/// Names a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TableId {
    /// Its family.
    pub(crate) family: Family,
    /// Its name in the family.
    pub(crate) name: String,
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) id: TableId,
    /// Sets of addresses with what is in them.
    pub(crate) sets: Vec<AddressSet>,
    /// Its chains, those that others go to first.
    pub(crate) chains: Vec<Chain>,
}

impl Table {
    /// The counters that its rules use.
    pub(crate) fn counters(&self) -> BTreeSet<&'static str> {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        let counted = rules.flatten().filter_map(|step| match step {
            Step::Count(counter) => Some(*counter),
            Step::Meta(_)
            | Step::Payload { .. }
            | Step::Mask(_)
            | Step::Equals(_)
            | Step::Among(_)
            | Step::Verdict(_) => None,
        });
        counted.collect()
    }
}

/// A set of addresses.
#[derive(Clone, Debug)]
pub(crate) struct AddressSet {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// How long an address is: 4 or 16 octets.
    pub(crate) length: u32,
    /// The addresses.
    pub(crate) elements: Vec<Vec<u8>>,
}

/// A chain of rules.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Where packets enter it; `None`: from other chains.
    pub(crate) hook: Option<Hook>,
    /// Its rules.
    pub(crate) rules: Vec<Vec<Step>>,
}

/// Where packets enter a chain. What it does not decide passes.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    /// `NF_INET_*`, `NF_ARP_*` or `NF_NETDEV_*`.
    pub(crate) number: u32,
    /// Lower comes first.
    pub(crate) priority: i32,
    /// Of the family `netdev`: whose packets.
    pub(crate) interfaces: Vec<String>,
}

/// A step of a rule. Each works on the same register, and one that does not hold ends the rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Loads what is known beside the packet.
    Meta(Meta),
    /// Loads octets of the packet; a packet that is too short ends the rule.
    Payload {
        /// Which header the offset is counted from.
        from: Header,
        /// Octets from there.
        offset: u32,
        /// How many octets.
        length: u32,
    },
    /// Keeps these bits only.
    Mask(Vec<u8>),
    /// Holds if the register has these octets.
    Equals(Vec<u8>),
    /// Holds if the register's value is in the set.
    Among(&'static str),
    /// Counts the packet.
    Count(&'static str),
    /// Ends here.
    Verdict(Verdict),
}

/// What is known of a packet beside its octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Meta {
    /// The type of the frame (`ETH_P_*`), big-endian.
    Protocol,
    /// The mark, of the sending socket at first.
    Mark,
    /// The name of the interface that it came in by, 16 octets.
    InputName,
    /// The name of the interface that it leaves by, 16 octets.
    OutputName,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`, one octet.
    Family,
    /// The protocol above IP, one octet.
    Transport,
}

/// What an offset is counted from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Header {
    /// IPv4, IPv6 or ARP.
    Network,
    /// What comes above IP.
    Transport,
}

/// How a rule ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The packet passes this table.
    Accept,
    /// It is dropped.
    Drop,
    /// Another chain decides.
    Goto(&'static str),
}
