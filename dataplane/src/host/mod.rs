//! What the machine around the process must look like: interface, addresses, routes, sysctls, rules.
//!
//! A [`Plan`] says how it should be; [`Host::apply`] makes it so, at the start and on each reload;
//! [`Host::remove`] takes it all back. The subscribers' interface belongs to the process, so
//! addresses and routes vanish with it even after a `kill -9`; rules and sysctls stay then, and the
//! next start replaces the rules and takes the sysctls' former values from the file that
//! [`sysctl`] keeps.

mod isolation;
mod link;
mod sysctl;
mod ways;

use core::fmt;
use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use ipnet::Ipv4Net;
use lns_node::radius::Reach;

use self::link::Links;
use self::sysctl::Sysctls;

pub(crate) use self::isolation::TABLE;
pub(crate) use self::sysctl::{ROOT as SYSCTLS, changed as changed_sysctls};
pub(crate) use self::ways::Ways;

/// The subscribers' interface. One per network namespace, as is the process.
pub(crate) const INTERFACE: &str = "lns0";

/// How the machine should look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// Our ends of the subscribers' links: addresses of the interface.
    pub(crate) gateways: BTreeSet<Ipv4Addr>,
    /// What is routed to the subscribers' interface, and the source that the node itself uses there.
    pub(crate) subscribers: BTreeMap<Ipv4Net, Ipv4Addr>,
    /// What of it is never given to a subscriber: the machine may have these itself.
    pub(crate) excluded: BTreeSet<Ipv4Net>,
    /// The interface of the core; `None`: the one of the default route.
    pub(crate) core_interface: Option<String>,
    /// What subscribers reach.
    pub(crate) isolation: Isolation,
}

impl Plan {
    /// This plan with what `older` had besides: nothing that a live session uses goes away.
    pub(crate) fn with_leftovers_of(mut self, older: &Self) -> Self {
        self.gateways.extend(&older.gateways);
        for (prefix, source) in &older.subscribers {
            self.subscribers.entry(*prefix).or_insert(*source);
        }
        self
    }

    /// This plan with what `older` had besides and live sessions use. The source of a route stays with
    /// it: the kernel takes the route away otherwise.
    pub(crate) fn with_used_of(mut self, older: &Self, used: &Used) -> Self {
        for (prefix, source) in &older.subscribers {
            if used.prefixes.contains(prefix) && !self.subscribers.contains_key(prefix) {
                self.subscribers.insert(*prefix, *source);
                self.gateways.insert(*source);
            }
        }
        let gateways = older.gateways.intersection(&used.gateways);
        self.gateways.extend(gateways);
        self
    }

    /// This plan with prefixes that sessions brought; what it has itself stays as it is.
    fn with_routes(&self, reached: &BTreeSet<Ipv4Net>) -> Self {
        let mut plan = self.clone();
        if let Some(source) = plan.gateways.first().copied() {
            for prefix in reached {
                plan.subscribers.entry(*prefix).or_insert(source);
            }
        }
        plan
    }

    /// What this plan has and `other` has not.
    pub(crate) fn beside(&self, other: &Self) -> Used {
        let prefixes = self.subscribers.keys().copied();
        Used {
            gateways: self.gateways.difference(&other.gateways).copied().collect(),
            prefixes: prefixes
                .filter(|prefix| !other.subscribers.contains_key(prefix))
                .collect(),
        }
    }

    /// The narrowest prefix of subscribers in which `address` is.
    pub(crate) fn prefix_of(&self, address: Ipv4Addr) -> Option<Ipv4Net> {
        let lengths = (0..=32).rev();
        lengths
            .filter_map(|length| Ipv4Net::new(address, length).ok())
            .map(|prefix| prefix.trunc())
            .find(|prefix| self.subscribers.contains_key(prefix))
    }
}

/// Parts of a plan by which live sessions go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Used {
    /// Our ends of links.
    pub(crate) gateways: BTreeSet<Ipv4Addr>,
    /// Prefixes of subscribers.
    pub(crate) prefixes: BTreeSet<Ipv4Net>,
}

impl Used {
    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.gateways.is_empty() && self.prefixes.is_empty()
    }
}

/// What subscribers reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Isolation {
    /// The core, each other, and nothing of the node.
    Nodeless,
    /// Whatever the machine routes or answers.
    Open,
}

/// Why the machine does not look as planned. One line, made to be read by an operator.
#[derive(Debug)]
pub(crate) enum HostError {
    /// The kernel refused a change of interface, address or route.
    Netlink {
        /// What was being done.
        doing: String,
        /// What the kernel said.
        cause: String,
    },
    /// The interface of the core does not exist.
    NoInterface(String),
    /// The interface to the LACs does not exist.
    NoAccess(String),
    /// Nothing says which interface leads to the core.
    NoDefaultRoute,
    /// What is to lead to subscribers is the machine's already.
    Taken {
        /// What the manifest wants for subscribers.
        wanted: Ipv4Net,
        /// What has it: "the address 192.0.2.1 of eth0".
        by: String,
    },
    /// A sysctl could not be written.
    Sysctl {
        /// Its file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// `nft` is not installed.
    NftMissing,
    /// `nft` refused the rules.
    Nft(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netlink { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Self::NoInterface(name) => write!(
                f,
                "spec.core.interface: there is no interface \"{name}\" on this machine (`ip link` lists them)"
            ),
            Self::NoAccess(name) => write!(
                f,
                "spec.datapath.accessInterface: there is no interface \"{name}\" on this machine (`ip link` lists them)"
            ),
            Self::NoDefaultRoute => f.write_str(
                "no interface leads to the core: set spec.core.interface, or add a default route",
            ),
            Self::Taken { wanted, by } => write!(
                f,
                "{wanted} of the pools or users belongs to {by} already, which would be cut off: \
                 choose other addresses for subscribers, or remove it"
            ),
            Self::Sysctl { path, source } => write!(
                f,
                "cannot write {path}: {source}: run as root with a writable /proc/sys (in a container: privileged)"
            ),
            Self::NftMissing => f.write_str(
                "the program `nft` is not installed: install nftables, or set spec.core.isolation: Open",
            ),
            Self::Nft(cause) => write!(
                f,
                "nft refused the isolation rules: {cause} (does this kernel have nf_tables?)"
            ),
        }
    }
}

/// The machine as we have changed it.
#[derive(Debug)]
pub(crate) struct Host {
    links: Links,
    sysctls: Sysctls,
    applied: Option<Plan>,
    /// What sessions brought: routed to subscribers beside the plan.
    reached: BTreeSet<Ipv4Net>,
}

impl Host {
    /// Finds the subscribers' interface, which the datapath has made. Former values of sysctls are
    /// kept below `state`; `root` is where those of the network are.
    pub(crate) async fn open(state: &Path, root: &Path) -> Result<Self, HostError> {
        Ok(Self {
            links: Links::open(INTERFACE).await?,
            sysctls: Sysctls::open(root, state)?,
            applied: None,
            reached: BTreeSet::new(),
        })
    }

    /// How the machine looks, as far as it is ours.
    pub(crate) const fn applied(&self) -> Option<&Plan> {
        self.applied.as_ref()
    }

    /// Makes the machine look as `plan` says. What fails leaves the rest as it is; calling again
    /// repairs.
    pub(crate) async fn apply(&mut self, plan: Plan) -> Result<(), HostError> {
        if self.applied.as_ref() == Some(&plan) {
            return Ok(());
        }
        let core = self.check(&plan).await?;
        // The rules stand before the first packet can come in.
        match plan.isolation {
            Isolation::Nodeless => isolation::install(&plan, &core).await?,
            Isolation::Open => isolation::remove().await?,
        }
        if self.applied.is_none() {
            self.sysctls.set_subscriber_interface(INTERFACE)?;
            self.links.up().await?;
        }
        self.sysctls.set_core_interface(&core)?;
        self.links.set(&plan.with_routes(&self.reached)).await?;
        self.applied = Some(plan);
        Ok(())
    }

    /// Sets what a member's gate needs, until [`remove`](Self::remove).
    pub(crate) fn require<'a>(
        &mut self,
        settings: impl Iterator<Item = &'a (String, &'static str)>,
    ) -> Result<(), HostError> {
        for (name, value) in settings {
            self.sysctls.require(name, value)?;
        }
        Ok(())
    }

    /// Routes a prefix to the subscribers as long as a session has it, or no longer. What the plan routes
    /// to them stays. What the kernel refuses is forgotten, and no later plan asks for it. The rules know
    /// nothing of it: they only spare what they know connection tracking.
    pub(crate) async fn reach(&mut self, change: Reach) -> Result<(), HostError> {
        match change {
            Reach::Add(prefix) => self.reached.insert(prefix),
            Reach::Remove(prefix) => self.reached.remove(&prefix),
        };
        let Some(plan) = &self.applied else {
            return Ok(());
        };
        let done = match (change, plan.gateways.first()) {
            (Reach::Add(prefix) | Reach::Remove(prefix), _)
                if plan.subscribers.contains_key(&prefix) =>
            {
                Ok(())
            }
            (Reach::Add(prefix), Some(source)) => self.links.add(prefix, *source).await,
            // Without a pool there is no address of ours that the kernel could send from.
            (Reach::Add(_), None) => Ok(()),
            (Reach::Remove(prefix), _) => self.links.remove(prefix).await,
        };
        if let (Reach::Add(prefix), Err(_)) = (change, &done) {
            self.reached.remove(&prefix);
        }
        done
    }

    /// Whether the machine has what `plan` asks for and needs nothing of what it takes, as far as can
    /// be known without changing it. The core's interface.
    pub(crate) async fn check(&self, plan: &Plan) -> Result<String, HostError> {
        let core = self
            .links
            .core_interface(plan.core_interface.as_deref())
            .await?;
        self.links.check(plan).await?;
        Ok(core)
    }

    /// Takes back what outlives the subscribers' interface. Says what could not be taken back.
    pub(crate) async fn remove(&mut self) -> Vec<HostError> {
        let rules = isolation::remove().await;
        [rules, self.sysctls.restore()]
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(gateway: [u8; 4], prefix: &str) -> Plan {
        Plan {
            gateways: BTreeSet::from([gateway.into()]),
            subscribers: BTreeMap::from([(prefix.parse().unwrap(), gateway.into())]),
            excluded: BTreeSet::new(),
            core_interface: None,
            isolation: Isolation::Nodeless,
        }
    }

    #[test]
    fn leftovers_of_an_older_plan_are_kept_beside_the_new_one() {
        let older = plan([10, 0, 0, 1], "10.0.0.0/24");
        let newer = plan([10, 0, 1, 1], "10.0.1.0/24");
        let both = newer.clone().with_leftovers_of(&older);
        assert_eq!(both.gateways.len(), 2);
        assert_eq!(both.subscribers.len(), 2);
        assert_eq!(newer.clone().with_leftovers_of(&newer), newer);
    }

    #[test]
    fn of_the_leftovers_stays_what_sessions_use_and_the_source_of_a_route() {
        let older = plan([10, 0, 0, 1], "10.0.0.0/24")
            .with_leftovers_of(&plan([10, 0, 2, 1], "10.0.2.0/24"));
        let newer = plan([10, 0, 1, 1], "10.0.1.0/24");
        let both = newer.clone().with_leftovers_of(&older);
        let left = both.beside(&newer);
        assert_eq!((left.gateways.len(), left.prefixes.len()), (2, 2));
        assert_eq!(newer.clone().with_used_of(&both, &left), both);
        assert_eq!(newer.clone().with_used_of(&both, &Used::default()), newer);

        let address = Used {
            gateways: BTreeSet::from([[10, 0, 0, 1].into()]),
            ..Used::default()
        };
        let kept = newer.clone().with_used_of(&both, &address).beside(&newer);
        assert_eq!(kept, address);
        let prefix = Used {
            prefixes: BTreeSet::from(["10.0.2.0/24".parse().unwrap()]),
            ..Used::default()
        };
        let kept = newer.clone().with_used_of(&both, &prefix).beside(&newer);
        assert_eq!(kept.prefixes, prefix.prefixes);
        assert_eq!(kept.gateways, BTreeSet::from([[10, 0, 2, 1].into()]));
        assert!(newer.beside(&both).is_empty());
    }

    #[test]
    fn what_sessions_bring_is_routed_beside_the_plan_and_changes_nothing_of_it() {
        let plan = plan([10, 0, 0, 1], "10.0.0.0/24");
        let reached = ["10.0.0.0/24", "198.51.100.0/24"].map(|net| net.parse().unwrap());
        let all = plan.with_routes(&BTreeSet::from(reached));
        assert_eq!(all.subscribers.len(), 2);
        assert_eq!(all.subscribers[&reached[0]], plan.subscribers[&reached[0]]);
        assert_eq!(all.gateways, plan.gateways);
        assert_eq!(plan.with_routes(&BTreeSet::new()), plan);
        let without = Plan {
            gateways: BTreeSet::new(),
            ..plan
        };
        assert_eq!(without.with_routes(&BTreeSet::from(reached)), without);
    }

    #[test]
    fn the_narrowest_prefix_of_an_address_is_found() {
        let wide = plan([10, 0, 0, 1], "10.0.0.0/8");
        let both = wide.with_leftovers_of(&plan([10, 0, 0, 1], "10.0.7.7/32"));
        for (address, prefix) in [
            ([10, 0, 7, 7], Some("10.0.7.7/32")),
            ([10, 0, 7, 8], Some("10.0.0.0/8")),
            ([11, 0, 0, 1], None),
        ] {
            let expected = prefix.map(|prefix| prefix.parse().unwrap());
            assert_eq!(both.prefix_of(address.into()), expected, "{address:?}");
        }
    }
}
