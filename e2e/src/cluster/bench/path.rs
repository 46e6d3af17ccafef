//! Which node the router sends a packet to, and having it send all of them to one.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::flows::SUBSCRIBER;
use super::super::network::{LACS, Network, Place, SUBSCRIBERS};
use crate::net::{CORE, VIP};

/// Tables of the router's for what is to go to one node.
const TABLES: [u16; 2] = [250, 251];

/// By which node goes what a tunnel of a LAC says, from this port.
pub(super) fn up(network: &Network, lac: usize, port: u16) -> Result<Place> {
    let from = LACS.get(lac).context("no such LAC")?;
    asked(
        network,
        &format!("{VIP} from {from} iif lac{lac} ipproto udp sport {port} dport 1701"),
    )
}

/// By which node goes what is sent to a subscriber, from this port of the core.
pub(super) fn down(network: &Network, subscriber: Ipv4Addr, port: u16) -> Result<Place> {
    asked(
        network,
        &format!("{subscriber} from {CORE} iif net0 ipproto udp sport {port} dport {SUBSCRIBER}"),
    )
}

fn asked(network: &Network, what: &str) -> Result<Place> {
    let mut ip = Command::new("ip");
    ip.args(["-j", "route", "get"])
        .args(what.split_whitespace());
    let output = network.router.output(&mut ip)?;
    let routes: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("ip route get {what}: {output:?}"))?;
    place(&routes).with_context(|| format!("no node for {what}: {routes}"))
}

/// The node behind the interface of a route.
fn place(routes: &Value) -> Option<Place> {
    let interface = routes.pointer("/0/dev")?.as_str()?;
    let number: usize = interface
        .trim_start_matches(char::is_alphabetic)
        .parse()
        .ok()?;
    number.checked_sub(1).map(Place)
}

/// Has the router send to this node whatever comes from a LAC or is for a subscriber.
pub(super) fn steer(network: &Network, place: Place) -> Result<()> {
    let (number, [access, core]) = (place.0 + 1, TABLES);
    network.router.ip(&[
        &format!(
            "route replace {VIP}/32 via {} dev acc{number} table {access}",
            place.access()
        ),
        &format!(
            "route replace {SUBSCRIBERS} via {} dev core{number} table {core}",
            place.core()
        ),
    ])?;
    let rules = [("lac0", access), ("lac1", access), ("net0", core)];
    for (interface, table) in rules {
        network.router.ip(&[&format!(
            "rule add iif {interface} lookup {table} priority 50"
        )])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_the_interface_of_the_route() {
        let routes = serde_json::json!([{ "dst": "192.0.2.1", "dev": "acc2" }]);
        assert_eq!(place(&routes), Some(Place(1)));
        for none in [
            serde_json::json!([]),
            serde_json::json!([{ "dev": "lo" }]),
            serde_json::json!([{ "type": "blackhole" }]),
        ] {
            assert_eq!(place(&none), None);
        }
    }
}
