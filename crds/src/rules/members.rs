//! What a cluster needs beside what a file does: a store, a channel between members, and addresses that only the
//! master has. `lnsd run --cluster` and the operator hold an `LnsCluster` to these; one that is only read from a file
//! may do without.

use core::net::IpAddr;

use crate::cluster::{AnnounceMode, LnsClusterSpec};
use crate::schema::Violation;

/// All that `spec` lacks as a cluster's, or has and a cluster cannot do.
pub fn check(spec: &LnsClusterSpec) -> Vec<Violation> {
    let mut violations = Vec::new();
    if spec.store.is_none() {
        violations.push(Violation::new(
            "spec.store",
            "is required by a member of a cluster: give store.redis.url",
        ));
    }
    if spec.peers.is_none() {
        violations.push(Violation::new(
            "spec.peers",
            "is required by a member of a cluster: name a Secret in peers.tlsSecretRef",
        ));
    }
    violations.extend(nas(spec));
    if spec.service.announce.mode == AnnounceMode::L2 {
        violations.extend(l2(spec));
    }
    violations
}

/// The same in Kubernetes, where somebody has to say which nodes are meant.
pub fn check_in_kubernetes(spec: &LnsClusterSpec) -> Vec<Violation> {
    let mut violations = check(spec);
    if spec.node_selector.is_empty() {
        violations.push(Violation::new(
            "spec.nodeSelector",
            "is required in Kubernetes: give the labels of the nodes that are to become members",
        ));
    }
    violations
}

/// What all of RADIUS is sent from: of the cluster, and of no node.
fn nas(spec: &LnsClusterSpec) -> Option<Violation> {
    let field = "spec.radius.nasAddress";
    let Some(address) = spec.radius.as_ref()?.nas_address else {
        return Some(Violation::new(
            field,
            "is required by a member of a cluster: it moves with the master, and servers know the cluster by it",
        ));
    };
    spec.service.addresses.contains(&address).then(|| {
        Violation::new(
            field,
            format!(
                "\"{address}\" is a service address, at which every member answers; only the master may at this one: take another address"
            ),
        )
    })
}

/// ARP is spoken on one interface, and knows IPv4 only.
fn l2(spec: &LnsClusterSpec) -> Vec<Violation> {
    let mut violations = Vec::new();
    if spec.datapath.access_interface.is_none() {
        violations.push(Violation::new(
            "spec.datapath.accessInterface",
            "is required with service.announce.mode: L2; name the interface on which ARP is answered",
        ));
    }
    let unknown = |field: String, address: &IpAddr| {
        let message = format!(
            "\"{address}\" is announced by nobody: ARP (service.announce.mode: L2) knows IPv4 only"
        );
        Violation::new(field, message)
    };
    let service = spec.service.addresses.iter().enumerate();
    let service = service.filter(|(_, address)| address.is_ipv6());
    violations.extend(
        service
            .map(|(index, address)| unknown(format!("spec.service.addresses[{index}]"), address)),
    );
    let nas = spec.radius.as_ref().and_then(|radius| radius.nas_address);
    let nas = nas.filter(IpAddr::is_ipv6);
    violations.extend(nas.map(|address| unknown("spec.radius.nasAddress".to_owned(), &address)));
    violations
}
