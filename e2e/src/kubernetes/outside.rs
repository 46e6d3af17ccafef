//! What is outside of the Kubernetes: two LACs, the router and the core, on the networks that `e2e/kind/networks`
//! gives the workers. The same addresses and names as in [`crate::cluster::network`], but for the nodes.
//!
//! ```text
//!  lac0 198.51.100.10 ─┐          ┌─ access 10.0.0.(10+N) ─ worker N ─ core 10.1.0.(10+N) ─┐
//!                    router 10.0.0.1                                       10.1.0.1 router ─net0─ core 203.0.113.10
//!  lac1 198.51.100.130 ┘                                                                   └──── RADIUS .21, a pod
//! ```
//!
//! Both networks are bridges, so that a node is known by its hardware address. RADIUS is in the network of the control
//! plane's node, which has a port in the core's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};

use super::kind::{CONTROL_PLANE, Kind, node_of, script};
use crate::cluster::capture::Mark;
use crate::cluster::network::{NAS, Place, forward_by_ports, join, wire_lacs};
use crate::cluster::router::{Hop, Setter, Ways};
use crate::net::{self, Namespace, VIP};
use crate::radius::ADDRESSES;

/// The namespaces.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Between LACs, nodes and core.
    pub(crate) router: Namespace,
    /// The LACs and their subscribers.
    pub(crate) lacs: [Namespace; 2],
    /// The network that subscribers reach.
    pub(crate) core: Namespace,
}

impl Outside {
    /// Makes them and joins them to the nodes.
    pub(crate) fn create(kind: &Kind) -> Result<Self> {
        script("networks", &["up"])?;
        let [router, lac0, lac1, core] = net::namespaces(["router", "lac0", "lac1", "core"])?;
        let outside = Self {
            router,
            lacs: [lac0, lac1],
            core,
        };
        forward_by_ports(&outside.router)?;
        wire_lacs(&outside.router, &outside.lacs)?;
        for (network, address) in [("access", "10.0.0.1"), ("core", "10.1.0.1")] {
            let interface = format!("{network}0");
            let name = outside.router.name();
            script("networks", &["join", network, name, &interface])?;
            let address = format!("address add {address}/24 dev {interface}");
            outside.router.ip(&[&address])?;
        }
        outside.wire_core(kind)?;
        for place in Place::ALL {
            Self::wire_node(kind, place)?;
        }
        Ok(outside)
    }

    fn wire_core(&self, kind: &Kind) -> Result<()> {
        let control_plane = attach(kind, CONTROL_PLANE)?;
        self.router.ip(&[
            "link add net0 type bridge forward_delay 0",
            "link set net0 up",
            "address add 203.0.113.1/24 dev net0",
        ])?;
        join(&self.router, "net1", &self.core, "core0")?;
        join(&self.router, "net2", &control_plane, "radius0")?;
        self.router
            .ip(&["link set net1 master net0", "link set net2 master net0"])?;
        self.core.ip(&[
            &format!("address add {}/24 dev core0", net::CORE),
            "route add default via 203.0.113.1",
        ])?;
        let [server, _] = ADDRESSES;
        control_plane.ip(&[
            &format!("address add {server}/24 dev radius0"),
            &format!("route add {NAS}/32 via 203.0.113.1"),
            &format!("route add {VIP}/32 via 203.0.113.1"),
        ])
    }

    /// Gives a worker that has just started its ways to LACs and core. The service address members put there themselves.
    pub(crate) fn wire_node(kind: &Kind, place: Place) -> Result<()> {
        let node = attach(kind, &node_of(place))?;
        for name in ["all", "default", "access0", "core0"] {
            node.sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
        }
        node.ip(&[
            "route replace 198.51.100.0/24 via 10.0.0.1",
            "route replace 203.0.113.0/24 via 10.1.0.1",
        ])
    }

    /// How the router reaches the nodes.
    pub(crate) fn ways(setter: Setter) -> Ways {
        let hops = |network: u8, device: &str| -> BTreeMap<Place, Hop> {
            let hop = |place: Place| Hop {
                address: Ipv4Addr::new(10, network, 0, 11 + octet(place)),
                device: device.to_owned(),
            };
            Place::ALL.map(|place| (place, hop(place))).into()
        };
        Ways {
            access: hops(0, "access0"),
            core: hops(1, "core0"),
            setter,
        }
    }

    /// Whose packets come from which hardware address: `e2e/kind/networks` gives them out.
    pub(crate) fn marks() -> Vec<(Mark, Place)> {
        let of = |place: Place| {
            let hardware = |network| [0x02, 0x4b, 0x4c, 0, network, octet(place) + 1];
            [1, 2].map(|network| (Mark::Hardware(hardware(network)), place))
        };
        Place::ALL.into_iter().flat_map(of).collect()
    }
}

/// The network of a node. Its interfaces and routes stay with it when the name goes.
pub(crate) fn attach(kind: &Kind, node: &str) -> Result<Namespace> {
    let process = kind.process(node)?;
    let process = process.with_context(|| format!("{node} does not run"))?;
    Namespace::attach(net::name_of(node), process)
}

fn octet(place: Place) -> u8 {
    u8::try_from(place.0).unwrap_or(u8::MAX)
}
