//! The router where addresses are found by ARP: whose hardware address it has for the cluster's.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::network::{NAS, Network, Place};
use super::router::{View, lock};
use crate::net::VIP;

/// How often the table is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// The nodes by the hardware addresses of their access interfaces.
pub(super) fn of(network: &Network) -> Result<BTreeMap<String, Place>> {
    let mut nodes = BTreeMap::new();
    for place in Place::ALL {
        let mut ip = Command::new("ip");
        let output = network
            .node(place)
            .output(ip.args(["-j", "link", "show", "dev", "acc0"]))?;
        let links: Value = serde_json::from_slice(&output.stdout)?;
        let address = links.pointer("/0/address").and_then(Value::as_str);
        nodes.insert(
            address.context("an interface without address")?.to_owned(),
            place,
        );
    }
    Ok(nodes)
}

/// Keeps each change of the table, in the namespace of this thread.
pub(super) fn watch(
    nodes: &BTreeMap<String, Place>,
    views: &Mutex<Vec<View>>,
    stop: &AtomicBool,
) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        // Asks for addresses that nobody has spoken to for a while.
        for address in [VIP, NAS] {
            let mut ping = Command::new("ping");
            ping.args(["-c1", "-W1", "-q"]).arg(address.to_string());
            // Whether it is answered does not matter.
            ping.stdout(std::process::Stdio::null()).status().ok();
        }
        let mut ip = Command::new("ip");
        let output = ip.args(["-j", "neigh", "show", "dev", "access"]).output()?;
        let table: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let who = |address: std::net::Ipv4Addr| found(&table, &address.to_string(), nodes);
        let (service, nas) = (who(VIP), who(NAS));
        let mut views = lock(views);
        let last = views.last().map(|view| (&view.service, &view.nas));
        if last != Some((&service, &nas)) {
            views.push(View {
                at: SystemTime::now(),
                service,
                nas,
            });
        }
        drop(views);
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Whose an address is by the neighbour table.
fn found(table: &Value, address: &str, nodes: &BTreeMap<String, Place>) -> BTreeSet<Place> {
    let rows = table.as_array().into_iter().flatten();
    let is_his = |row: &&Value| row.get("dst").is_some_and(|dst| dst == address);
    rows.filter(is_his)
        .filter_map(|row| nodes.get(row.get("lladdr")?.as_str()?).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_known_by_its_hardware_address() {
        let table: Value = serde_json::from_str(
            r#"[{"dst":"192.0.2.1","lladdr":"02:00:00:00:00:02","state":["REACHABLE"]},
                {"dst":"192.0.2.10","state":["FAILED"]}]"#,
        )
        .unwrap();
        let nodes = BTreeMap::from([("02:00:00:00:00:02".to_owned(), Place(1))]);
        assert_eq!(
            found(&table, "192.0.2.1", &nodes),
            BTreeSet::from([Place(1)])
        );
        assert!(found(&table, "192.0.2.10", &nodes).is_empty());
    }
}
