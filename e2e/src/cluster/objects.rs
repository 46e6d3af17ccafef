//! What the API server holds for a cluster of three: the `LnsCluster`, the policy of half of the
//! subscribers, and the `Secret`s that they name.

use anyhow::Result;

use super::network::{Announce, MANAGEMENT, NAS};
use super::redis;
use crate::authority::{self, Authority};
use crate::manifest::{Lac, Manifest};
use crate::radius::{ADDRESSES, SECRET};

/// The cluster, as `lnsd run --cluster` and the API server know it.
pub(crate) const CLUSTER: &str = "lns/edge";
/// Where the API server has it.
pub(crate) const OBJECT: &str = "/apis/kubelns.io/v1alpha1/namespaces/lns/lnsclusters/edge";
/// Where the API server has the Lease of its master.
pub(crate) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/lns/leases/edge.master";
/// Where all Leases are.
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/lns/leases";
/// Whom certificates of its members are for.
const MEMBER: &str = "edge.lns.peers.kubelns.io";
/// How often a tunnel without other traffic says that it is alive, seconds.
const HELLO: u32 = 5;

/// Who may log in, as a file `users` of FreeRADIUS: subscribers whose names begin with `home` are under the
/// policy `residential`, all others under none; those who are counted are told of each minute.
pub(crate) const USERS: &str = "DEFAULT User-Name =~ \"^home-count\", Cleartext-Password := \"a-long-password\"\n\
    \tFilter-Id = \"residential\", Acct-Interim-Interval = 60\n\
    DEFAULT User-Name =~ \"^count\", Cleartext-Password := \"a-long-password\"\n\
    \tAcct-Interim-Interval = 60\n\
    DEFAULT User-Name =~ \"^home\", Cleartext-Password := \"a-long-password\"\n\
    \tFilter-Id = \"residential\"\n\
    DEFAULT Cleartext-Password := \"a-long-password\"\n";

/// How a cluster is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// `service.announce.mode`.
    pub(crate) announce: Announce,
    /// `election.profile`.
    pub(crate) profile: &'static str,
    /// `store.redis.durability`.
    pub(crate) durability: &'static str,
    /// `forwarding.stalenessSeconds`.
    pub(crate) staleness: u32,
    /// What else is to be otherwise.
    pub(crate) change: fn(&mut Manifest),
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            announce: Announce::External,
            profile: "Default",
            durability: "Replicated",
            staleness: 600,
            change: |_| {},
        }
    }
}

/// The stream of manifests, to be applied as it is.
pub(crate) fn stream(wanted: &Wanted) -> Result<String> {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: { name: lns }\n---\n";
    let objects = manifest(wanted, &store(wanted))?.yaml();
    let objects = match wanted.announce {
        Announce::External => objects,
        Announce::L2 => objects
            .replace("announce: { mode: External }", "announce: { mode: L2 }")
            .replace("datapath: { ", "datapath: { accessInterface: acc0, "),
    };
    Ok(namespace.to_owned() + &objects)
}

/// The manifest of a node that is the whole LNS, and else the same.
pub(crate) fn alone() -> Result<Manifest> {
    Ok(Manifest {
        more: String::new(),
        ..manifest(&Wanted::default(), "")?
    })
}

/// The manifest of a cluster whose `store` is this.
pub(crate) fn manifest(wanted: &Wanted, store: &str) -> Result<Manifest> {
    let authority = Authority::new()?;
    let identity = authority.issue(MEMBER)?;
    let [server, _] = ADDRESSES;
    let mut manifest = Manifest {
        lacs: vec![Lac {
            hello_seconds: HELLO,
            ..Lac::default()
        }],
        users: Vec::new(),
        radius: format!(
            "nasIdentifier: edge\nnasAddress: {NAS}\n\
             authentication: {{ servers: [ {{ name: r1, address: {server}, port: 1812, secretRef: {{ name: radius }} }} ] }}\n\
             accounting: {{ servers: [ {{ name: r1, address: {server}, port: 1813, secretRef: {{ name: radius }} }} ] }}\n"
        ),
        policies: [
            policy(),
            format!(
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: radius, namespace: lns }}\n\
                 stringData: {{ current: {SECRET} }}\n"
            ),
            authority::secret("edge-peers", &identity, &authority),
        ]
        .concat(),
        more: store.to_owned() + &members(wanted),
        ..Manifest::default()
    };
    (wanted.change)(&mut manifest);
    Ok(manifest)
}

/// Where the records are.
fn store(wanted: &Wanted) -> String {
    let [master, _] = redis::PORTS;
    format!(
        "store:\n  redis:\n    url: redis://{MANAGEMENT}:{master}\n    replicas: 1\n    \
         durability: {}\n    \
         sentinel: {{ master: lns, addresses: [\"{MANAGEMENT}:{}\"] }}\n",
        wanted.durability,
        redis::SENTINEL
    )
}

/// The other lines of `spec` that only a cluster has.
fn members(wanted: &Wanted) -> String {
    format!(
        "peers: {{ port: 1702, tlsSecretRef: {{ name: edge-peers }} }}\n\
         forwarding: {{ stalenessSeconds: {} }}\n\
         election: {{ profile: {} }}\n",
        wanted.staleness, wanted.profile
    )
}

/// The example of a policy for homes.
fn policy() -> String {
    let example = include_str!("../../../crds/examples/residential.yaml");
    format!("---\n{example}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_that_the_cluster_names_is_in_the_stream() {
        let text = stream(&Wanted::default()).unwrap();
        for name in ["wholesale-a", "radius", "edge-peers"] {
            assert!(
                text.contains(&format!("ecretRef: {{ name: {name} }}")),
                "{name}"
            );
            assert!(
                text.contains(&format!("metadata: {{ name: {name}, namespace: lns }}")),
                "{name}"
            );
        }
        assert!(text.contains("\n  election: { profile: Default }\n"));
    }
}
