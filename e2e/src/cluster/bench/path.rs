//! Which node the router sends what to, and having it send all of it to one.
//!
//! It is seen and not computed: what the kernel hashes is not only what stands in a packet, but also what the sender's
//! socket was given.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::network::{LACS, Network, Place, SUBSCRIBERS};
use crate::net::VIP;

/// Tables of the router's for what is to go to one node.
const TABLES: [u16; 2] = [250, 251];

/// Notes by which node goes what: from the second LAC by the port of the tunnel, and to a subscriber by his address.
pub(super) fn observe(network: &Network) -> Result<()> {
    let [_, lac] = LACS;
    network.router.nft(&format!(
        "table ip paths {{\n\
         set up {{ typeof udp sport . meta oifname; flags dynamic; size 4096; }}\n\
         set down {{ typeof ip daddr . meta oifname; flags dynamic; size 4096; }}\n\
         chain seen {{ type filter hook forward priority 0;\n\
         ip saddr {lac} ip daddr {VIP} udp dport 1701 add @up {{ udp sport . meta oifname }}\n\
         ip daddr {SUBSCRIBERS} meta l4proto udp add @down {{ ip daddr . meta oifname }}\n}}\n}}\n"
    ))
}

/// What was noted, since [`forget`] or [`observe`].
pub(super) fn seen(network: &Network, way: &str) -> Result<BTreeMap<String, Place>> {
    let mut nft = Command::new("nft");
    let output = network
        .router
        .output(nft.args(["-j", "list", "set", "ip", "paths", way]))?;
    let set: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("nft: {output:?}"))?;
    Ok(places(&set))
}

/// Forgets what was noted.
pub(super) fn forget(network: &Network) -> Result<()> {
    network
        .router
        .nft("flush set ip paths up\nflush set ip paths down\n")
}

/// The nodes of a set's elements, each of a key and an interface.
fn places(answer: &Value) -> BTreeMap<String, Place> {
    let objects = answer.get("nftables").and_then(Value::as_array);
    let sets = objects.into_iter().flatten();
    let elements = sets.filter_map(|it| it.pointer("/set/elem")?.as_array());
    let pairs = elements.flatten().filter_map(|element| {
        let pair = element
            .get("concat")
            .or(element.pointer("/elem/val/concat"))?;
        let interface = pair.get(1)?.as_str()?;
        let number = interface.trim_start_matches(char::is_alphabetic);
        let place = number.parse::<usize>().ok()?.checked_sub(1)?;
        let key = pair.get(0)?;
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        Some((key, Place(place)))
    });
    pairs.collect()
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
    fn nodes_are_known_by_the_interface_of_what_was_seen() {
        let answer = serde_json::json!({ "nftables": [
            { "metainfo": {} },
            { "set": { "name": "up", "elem": [
                { "concat": [20001, "acc2"] },
                { "elem": { "val": { "concat": ["100.64.0.9", "core3"] }, "timeout": 1 } },
                { "concat": [20002, "lac"] },
            ] } },
        ] });
        let expected = [("20001", Place(1)), ("100.64.0.9", Place(2))];
        let expected = expected.map(|(key, place)| (key.to_owned(), place));
        assert_eq!(places(&answer), BTreeMap::from(expected));
    }
}
