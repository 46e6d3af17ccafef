//! The network of a cluster: two LACs, a router with three nodes behind it, the core, and a network
//! apart by which the nodes are managed.
//!
//! ```text
//!  lac0 198.51.100.10 ─┐            ┌─acc1─ n1 ─core1─┐
//!                    router (access)├─acc2─ n2 ─core2─┤(core) router ─net0─ core 203.0.113.10
//!  lac1 198.51.100.130 ┘            └─acc3─ n3 ─core3─┘                        RADIUS .21, .22
//!
//!  management: a bridge, 10.9.0.1 with API server, Redis and Sentinels; the nodes are 10.9.0.11 to .13
//! ```
//!
//! The router is one namespace, so that one capture sees everything that a node says to the world. The
//! nodes have the service address and nasAddress on their own loopback; who is sent what is the
//! router's business ([`super::router`]).
//!
//! With ARP in place of routes (`L2`), acc1 to acc3 are ports of a bridge of the router's, the nodes are
//! 10.0.0.11 to .13 there, and whoever answers ARP for the cluster's addresses is the master; he is sent
//! what is for subscribers, too.
//!
//! A cut is a rule outside of the node: its link stays up, and what is sent on it is gone.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use nix::net::if_::if_nametoindex;

use super::capture::Mark;
use super::router::{self, Hop, Ways};
use crate::net::{self, Namespace, VIP};
use crate::radius;

/// How many nodes there are.
pub(crate) const NODES: usize = 3;
/// From where RADIUS requests come, whoever is master.
pub(crate) const NAS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Where API server, Redis and Sentinels are.
pub(crate) const MANAGEMENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// The subscribers' addresses.
pub(crate) const SUBSCRIBERS: &str = "100.64.0.0/10";
/// The two LACs' addresses.
pub(crate) const LACS: [Ipv4Addr; 2] = [
    Ipv4Addr::new(198, 51, 100, 10),
    Ipv4Addr::new(198, 51, 100, 130),
];

/// How the router finds the cluster's addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Announce {
    /// It pings them through each node.
    #[default]
    External,
    /// By ARP.
    L2,
}

/// One of the nodes, from 0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place(pub(crate) usize);

impl Place {
    /// All of them.
    pub(crate) const ALL: [Self; NODES] = [Self(0), Self(1), Self(2)];

    /// As the cluster knows it.
    pub(crate) fn name(self) -> String {
        format!("n{}", self.0 + 1)
    }

    /// Where other members reach it.
    pub(crate) fn management(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, 11 + self.octet())
    }

    /// Its address towards the LACs.
    pub(crate) fn access(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 1 + self.octet(), 2)
    }

    /// Its address towards the core.
    pub(crate) fn core(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, 1 + self.octet(), 2)
    }

    fn octet(self) -> u8 {
        u8::try_from(self.0).unwrap_or(u8::MAX)
    }
}

/// A link of a node, by its end outside of the node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// Towards the LACs.
    Access(Place),
    /// To API server, Redis and the other nodes.
    Management(Place),
}

impl Link {
    fn interface(self) -> String {
        match self {
            Self::Access(Place(number)) => format!("acc{}", number + 1),
            Self::Management(Place(number)) => format!("node{}", number + 1),
        }
    }
}

/// Which way a cut is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// Nothing passes.
    Both,
    /// Nothing that the node sends arrives.
    FromNode,
}

/// The namespaces.
#[derive(Debug)]
pub(crate) struct Network {
    /// Between LACs, nodes and core.
    pub(crate) router: Namespace,
    /// The LACs and their subscribers.
    pub(crate) lacs: [Namespace; 2],
    /// The network that subscribers reach, with the RADIUS servers.
    pub(crate) core: Namespace,
    /// API server, Redis, Sentinels.
    pub(crate) management: Namespace,
    /// Where `lnsd` runs.
    pub(crate) nodes: [Namespace; NODES],
    /// How the router finds the cluster's addresses.
    pub(crate) announce: Announce,
}

impl Network {
    /// Makes namespaces, links, addresses and all routes that do not depend on who is alive.
    pub(crate) fn create(announce: Announce) -> Result<Self> {
        let [router, lac0, lac1, core, management, n1, n2, n3] =
            net::namespaces(["router", "lac0", "lac1", "core", "mgmt", "n1", "n2", "n3"])?;
        let network = Self {
            router,
            lacs: [lac0, lac1],
            core,
            management,
            nodes: [n1, n2, n3],
            announce,
        };
        for node in &network.nodes {
            forward(node)?;
        }
        forward_by_ports(&network.router)?;
        wire_lacs(&network.router, &network.lacs)?;
        network.wire_core()?;
        network.management.ip(&[
            "link add br0 type bridge",
            &format!("address add {MANAGEMENT}/24 dev br0"),
            "link set br0 up",
        ])?;
        if announce == Announce::L2 {
            network.wire_bridge()?;
        }
        for place in Place::ALL {
            network.wire_node(place)?;
        }
        Ok(network)
    }

    /// The namespace of a node.
    pub(crate) fn node(&self, place: Place) -> &Namespace {
        let [first, second, third] = &self.nodes;
        match place.0 {
            0 => first,
            1 => second,
            _ => third,
        }
    }

    /// How the router reaches them, where it routes.
    pub(crate) fn ways() -> Ways {
        let hops = |device: &str, address: fn(Place) -> Ipv4Addr| {
            let hop = |place: Place| Hop {
                address: address(place),
                device: format!("{device}{}", place.0 + 1),
            };
            Place::ALL.map(|place| (place, hop(place))).into()
        };
        Ways {
            access: hops("acc", Place::access),
            core: hops("core", Place::core),
            setter: Arc::new(router::by_ip),
        }
    }

    /// Whose packets come in by which interface of the router.
    pub(crate) fn marks(&self) -> Result<Vec<(Mark, Place)>> {
        self.router.enter(|| {
            let mut marks = Vec::new();
            for place in Place::ALL {
                for kind in ["acc", "core"] {
                    let name = format!("{kind}{}", place.0 + 1);
                    let index = if_nametoindex(name.as_str())?;
                    marks.push((Mark::Interface(index), place));
                }
            }
            Ok(marks)
        })?
    }

    /// Cuts a link.
    pub(crate) fn cut(&self, link: Link, way: Way) -> Result<()> {
        let interface = link.interface();
        let chain = |name: &str, hook: &str| {
            format!(
                "chain {name} {{ type filter hook {hook} device \"{interface}\" priority 0; policy drop;\n}}\n"
            )
        };
        let chains = match way {
            Way::Both => chain("from", "ingress") + &chain("to", "egress"),
            Way::FromNode => chain("from", "ingress"),
        };
        self.outside(link)
            .nft(&format!("table netdev cut-{interface} {{\n{chains}}}\n"))
    }

    /// Mends it.
    pub(crate) fn mend(&self, link: Link) -> Result<()> {
        let rule = format!("delete table netdev cut-{}\n", link.interface());
        self.outside(link).nft(&rule)
    }

    fn outside(&self, link: Link) -> &Namespace {
        match link {
            Link::Access(_) => &self.router,
            Link::Management(_) => &self.management,
        }
    }

    fn wire_core(&self) -> Result<()> {
        join(&self.router, "net0", &self.core, "core0")?;
        self.router.ip(&["address add 203.0.113.1/24 dev net0"])?;
        self.core.ip(&[
            &format!("address add {}/24 dev core0", net::CORE),
            "route add default via 203.0.113.1",
        ])?;
        radius::prepare(&self.core)
    }

    fn wire_bridge(&self) -> Result<()> {
        self.router.ip(&[
            "link add access type bridge",
            "address add 10.0.0.1/24 dev access",
            "link set access up",
            &format!("route add {VIP}/32 dev access"),
            &format!("route add {NAS}/32 dev access"),
            &format!("route add {SUBSCRIBERS} via {VIP} dev access onlink"),
        ])
    }

    fn wire_node(&self, place: Place) -> Result<()> {
        let (node, number) = (self.node(place), place.0 + 1);
        join(&self.router, &format!("acc{number}"), node, "acc0")?;
        join(&self.router, &format!("core{number}"), node, "core0")?;
        join(&self.management, &format!("node{number}"), node, "mgmt0")?;
        self.management
            .ip(&[&format!("link set node{number} master br0")])?;
        let (address, gateway) = match self.announce {
            Announce::External => {
                let gateway = format!("10.0.{number}.1");
                self.router
                    .ip(&[&format!("address add {gateway}/24 dev acc{number}")])?;
                (place.access().to_string(), gateway)
            }
            Announce::L2 => {
                self.router
                    .ip(&[&format!("link set acc{number} master access")])?;
                (format!("10.0.0.{}", 10 + number), "10.0.0.1".to_owned())
            }
        };
        self.router
            .ip(&[&format!("address add 10.1.{number}.1/24 dev core{number}")])?;
        node.ip(&[
            &format!("address add {address}/24 dev acc0"),
            &format!("address add {}/24 dev core0", place.core()),
            &format!("address add {}/24 dev mgmt0", place.management()),
            &format!("route add 198.51.100.0/24 via {gateway}"),
            &format!("route add default via 10.1.{number}.1"),
        ])
    }
}

/// Has a namespace forward packets, whichever way they come.
pub(crate) fn forward(space: &Namespace) -> Result<()> {
    space.sysctl("net/ipv4/ip_forward", "1")?;
    for name in ["all", "default"] {
        space.sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
    }
    Ok(())
}

/// The same for a router: by ports, too, so that the tunnels of one LAC spread over the nodes.
pub(crate) fn forward_by_ports(router: &Namespace) -> Result<()> {
    forward(router)?;
    router.sysctl("net/ipv4/fib_multipath_hash_policy", "1")
}

/// Joins the LACs to the router.
pub(crate) fn wire_lacs(router: &Namespace, lacs: &[Namespace; 2]) -> Result<()> {
    for (number, ((space, address), gateway)) in lacs.iter().zip(LACS).zip([1, 129]).enumerate() {
        let gateway = Ipv4Addr::new(198, 51, 100, gateway);
        join(router, &format!("lac{number}"), space, "acc0")?;
        router.ip(&[&format!("address add {gateway}/25 dev lac{number}")])?;
        space.ip(&[
            &format!("address add {address}/25 dev acc0"),
            &format!("route add {VIP}/32 via {gateway}"),
        ])?;
    }
    Ok(())
}

/// A veth between two namespaces, both ends up.
pub(crate) fn join(one: &Namespace, name: &str, other: &Namespace, their: &str) -> Result<()> {
    one.ip(&[
        &format!(
            "link add {name} type veth peer name {their} netns {}",
            other.name()
        ),
        &format!("link set {name} up"),
    ])?;
    other.ip(&[&format!("link set {their} up")])
}
