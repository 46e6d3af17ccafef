//! What a gate is for: the cluster's addresses, and the ways out and in.

use core::net::IpAddr;
use std::collections::BTreeSet;

/// Longest name of a network interface (`IFNAMSIZ`, without the zero behind it).
const MAX_INTERFACE: usize = 15;
/// Longest name of a cluster: nftables has room for 255 octets with our prefix.
const MAX_CLUSTER: usize = 200;

/// What to fence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The cluster, as `namespace/name`: two clusters on one node have a gate each.
    pub cluster: String,
    /// Where LACs reach the cluster (`spec.service.addresses`).
    pub service: BTreeSet<IpAddr>,
    /// Where RADIUS comes from (`spec.radius.nasAddress`); `None`: there is no RADIUS.
    pub nas: Option<IpAddr>,
    /// How the addresses come to this node (`spec.service.announce.mode`).
    pub announce: Announce,
    /// The interfaces to LACs, routers and RADIUS servers. What leaves them is looked at once more, behind the
    /// queues in which packets wait for a neighbour's address. They must exist.
    pub interfaces: BTreeSet<String>,
    /// The subscribers' interface. It may come later.
    pub subscribers: String,
}

/// How the cluster's addresses come to a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Announce {
    /// Routers ping the service address through each node, and nasAddress too: each is answered
    /// while its gate is open.
    External,
    /// The master answers ARP on this interface, which is one of [`Plan::interfaces`].
    L2 {
        /// The access interface.
        interface: String,
    },
}

/// What is wrong with a plan.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The cluster's name cannot be part of a table's.
    #[error(
        "the cluster's name {0:?} cannot name its gate: use namespace/name of at most {MAX_CLUSTER} letters, digits, '-' and '.'"
    )]
    Cluster(String),
    /// There is nothing to fence.
    #[error("there is no service address to fence: give spec.service.addresses")]
    NoService,
    /// nasAddress would be fenced in two ways.
    #[error(
        "{0} is both a service address and nasAddress, but every member answers at the one and only the master at the other: take another nasAddress"
    )]
    Shared(IpAddr),
    /// No interface has such a name.
    #[error("{0:?} cannot be the name of an interface")]
    Interface(String),
    /// The access interface is not fenced.
    #[error("the access interface {0} is not among the fenced interfaces")]
    Access(String),
    /// ARP knows IPv4 only.
    #[error(
        "{0} cannot be announced by ARP, which knows IPv4 only: use announce.mode External for it"
    )]
    NoArp(IpAddr),
}

impl Plan {
    /// Looks for contradictions.
    pub fn check(&self) -> Result<(), PlanError> {
        if !names_a_table(&self.cluster) {
            return Err(PlanError::Cluster(self.cluster.clone()));
        }
        if self.service.is_empty() {
            return Err(PlanError::NoService);
        }
        if let Some(nas) = self.nas.filter(|nas| self.service.contains(nas)) {
            return Err(PlanError::Shared(nas));
        }
        let mut names = self.interfaces.iter().chain([&self.subscribers]);
        if let Some(name) = names.find(|name| !names_an_interface(name)) {
            return Err(PlanError::Interface(name.clone()));
        }
        self.check_l2()
    }

    fn check_l2(&self) -> Result<(), PlanError> {
        let Announce::L2 { interface } = &self.announce else {
            return Ok(());
        };
        if !self.interfaces.contains(interface) {
            return Err(PlanError::Access(interface.clone()));
        }
        match self.own().find(IpAddr::is_ipv6) {
            Some(address) => Err(PlanError::NoArp(address)),
            None => Ok(()),
        }
    }

    /// The cluster's addresses.
    pub fn own(&self) -> impl Iterator<Item = IpAddr> {
        self.service.iter().copied().chain(self.nas)
    }

    /// What must be set below `/proc/sys/net`, and to what, so that this node can speak for the
    /// service address while the gate drops ARP of it.
    ///
    /// - `arp_announce` 2: who is asked for his hardware address is told the interface's own address, not that of
    ///   the packet that waits. Otherwise the questions of a member would say that the service
    ///   address is there; the gate drops those, and the packet would wait for ever.
    pub fn sysctls(&self) -> impl Iterator<Item = (String, &'static str)> {
        let names = self.interfaces.iter();
        names.map(|name| (format!("ipv4/conf/{name}/arp_announce"), "2"))
    }
}

fn names_a_table(cluster: &str) -> bool {
    let known = |letter: char| letter.is_ascii_alphanumeric() || "-./".contains(letter);
    !cluster.is_empty() && cluster.len() <= MAX_CLUSTER && cluster.chars().all(known)
}

fn names_an_interface(name: &str) -> bool {
    let bad = |letter: char| letter == '/' || letter.is_whitespace() || letter.is_control();
    !name.is_empty() && name.len() <= MAX_INTERFACE && !name.contains(bad)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail this way")]

    use super::*;

    fn plan() -> Plan {
        Plan {
            cluster: "lns/edge".to_owned(),
            service: BTreeSet::from(["192.0.2.1".parse().unwrap()]),
            nas: Some("192.0.2.10".parse().unwrap()),
            announce: Announce::External,
            interfaces: BTreeSet::from(["eth1".to_owned()]),
            subscribers: "lns0".to_owned(),
        }
    }

    fn refused(change: impl FnOnce(&mut Plan)) -> PlanError {
        let mut plan = plan();
        change(&mut plan);
        plan.check().unwrap_err()
    }

    #[test]
    fn a_plan_without_contradictions_is_taken() {
        assert_eq!(plan().check(), Ok(()));
        let mut l2 = plan();
        l2.announce = Announce::L2 {
            interface: "eth1".to_owned(),
        };
        assert_eq!(l2.check(), Ok(()));
    }

    #[test]
    fn a_plan_that_contradicts_itself_is_refused_by_what_is_wrong() {
        let nas = plan().nas.unwrap();
        let l2 = |interface: &str| Announce::L2 {
            interface: interface.to_owned(),
        };
        assert_eq!(
            refused(|plan| plan.cluster = "a b".to_owned()),
            PlanError::Cluster("a b".to_owned())
        );
        assert_eq!(refused(|plan| plan.service.clear()), PlanError::NoService);
        assert_eq!(
            refused(|plan| plan.service.extend([nas])),
            PlanError::Shared(nas)
        );
        assert_eq!(
            refused(|plan| plan.subscribers = "sixteen-letters-".to_owned()),
            PlanError::Interface("sixteen-letters-".to_owned())
        );
        assert_eq!(
            refused(|plan| plan.announce = l2("eth2")),
            PlanError::Access("eth2".to_owned())
        );
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let said = refused(|plan| {
            plan.service.insert(v6);
            plan.announce = l2("eth1");
        });
        assert_eq!(said, PlanError::NoArp(v6));
    }
}
