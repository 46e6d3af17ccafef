//! What is applied: Redis with a replica and three Sentinels, FreeRADIUS, and the cluster. All that the LNS stands on
//! runs on the node of the control plane: what is killed here are nodes of the LNS.

use anyhow::Result;

use super::kind::NAMESPACE;
use crate::cluster::objects::{self, Wanted};
use crate::manifest::Manifest;

/// The service addresses of the two servers of Redis.
pub(crate) const REDIS: [&str; 2] = ["10.96.0.61", "10.96.0.62"];
/// Those of the Sentinels.
const SENTINELS: [&str; 3] = ["10.96.0.71", "10.96.0.72", "10.96.0.73"];
/// Where FreeRADIUS has what it reads and what it writes, on its node.
pub(crate) const RADIUS: &str = "/var/lib/kubelns-radius";
/// Which nodes are the cluster's.
pub(crate) const LABEL: &str = "kubelns.io/edge";

/// The namespace, in which pods may use their node's network.
pub(crate) fn namespace() -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels: {{ pod-security.kubernetes.io/enforce: privileged }}\n"
    )
}

/// Redis, its Sentinels and FreeRADIUS.
pub(crate) fn servers() -> String {
    let [first, second] = REDIS;
    let common = "--bind 0.0.0.0 --protected-mode no --dir /data --appendonly yes --save '' \
                  --min-replicas-to-write 1 --min-replicas-max-lag 5 --repl-diskless-sync-delay 0";
    let mut all = [
        server(
            "redis-0",
            first,
            6379,
            &format!("exec redis-server {common} --replica-announce-ip {first}"),
        ),
        server(
            "redis-1",
            second,
            6379,
            &format!(
                "exec redis-server {common} --replica-announce-ip {second} --replicaof {first} 6379"
            ),
        ),
    ]
    .concat();
    for (number, address) in SENTINELS.iter().enumerate() {
        let command = format!(
            "printf '%s\\n' 'port 26379' 'bind 0.0.0.0' 'protected-mode no' 'dir /data' \
             'sentinel monitor lns {first} 6379 2' 'sentinel down-after-milliseconds lns 2000' \
             'sentinel failover-timeout lns 10000' 'sentinel announce-ip {address}' >/data/sentinel.conf; \
             until redis-cli -h {first} ping; do sleep 0.2; done; exec redis-sentinel /data/sentinel.conf"
        );
        all += &server(&format!("sentinel-{number}"), address, 26_379, &command);
    }
    all + &radius()
}

/// A pod of one of the programs of Redis, with an address that it keeps.
fn server(name: &str, address: &str, port: u16, command: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\n\
         spec:\n  clusterIP: {address}\n  publishNotReadyAddresses: true\n  selector: {{ app: {name} }}\n  \
         ports: [ {{ port: {port} }} ]\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
         labels: {{ part: store }}\nspec:\n  replicas: 1\n  strategy: {{ type: Recreate }}\n  \
         selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    \
         metadata: {{ labels: {{ app: {name}, part: store }} }}\n    spec:\n{}\
         \x20     containers:\n      - name: redis\n        image: localhost/kubelns/redis:e2e\n        \
         imagePullPolicy: Never\n        command: [/bin/sh, -c, \"{}\"]\n        \
         readinessProbe: {{ tcpSocket: {{ port: {port} }}, periodSeconds: 1 }}\n        \
         volumeMounts: [ {{ name: data, mountPath: /data }} ]\n      \
         volumes: [ {{ name: data, emptyDir: {{}} }} ]\n",
        ON_CONTROL_PLANE,
        command.replace('\\', "\\\\")
    )
}

const ON_CONTROL_PLANE: &str = "      nodeSelector: { node-role.kubernetes.io/control-plane: \"\" }\n      \
     tolerations: [ { operator: Exists } ]\n      terminationGracePeriodSeconds: 1\n      \
     enableServiceLinks: false\n";

/// FreeRADIUS, in the network of its node, which has an address in the core.
fn radius() -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: radius, namespace: {NAMESPACE} }}\n\
         spec:\n  replicas: 1\n  strategy: {{ type: Recreate }}\n  \
         selector: {{ matchLabels: {{ app: radius }} }}\n  template:\n    \
         metadata: {{ labels: {{ app: radius }} }}\n    spec:\n{ON_CONTROL_PLANE}      hostNetwork: true\n      \
         containers:\n      - name: radius\n        image: localhost/kubelns/freeradius:e2e\n        \
         imagePullPolicy: Never\n        \
         volumeMounts: [ {{ name: etc, mountPath: /etc/freeradius }} ]\n      \
         volumes: [ {{ name: etc, hostPath: {{ path: {RADIUS}, type: Directory }} }} ]\n"
    )
}

/// The cluster and all that it names.
pub(crate) fn cluster() -> Result<String> {
    Ok(manifest()?.yaml())
}

fn manifest() -> Result<Manifest> {
    let [first, _] = REDIS;
    let sentinels: Vec<_> = SENTINELS
        .iter()
        .map(|address| format!("\"{address}:26379\""))
        .collect();
    let store = format!(
        "nodeSelector: {{ {LABEL}: \"\" }}\n\
         store:\n  redis:\n    url: redis://{first}:6379\n    replicas: 1\n    durability: Replicated\n    \
         sentinel: {{ master: lns, addresses: [{}] }}\n",
        sentinels.join(", ")
    );
    objects::manifest(&Wanted::default(), &store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_says_where_its_members_and_its_store_are() {
        let text = cluster().unwrap();
        assert!(text.contains("\n  nodeSelector: { kubelns.io/edge: \"\" }\n"));
        for address in SENTINELS {
            assert!(text.contains(address));
            assert!(servers().contains(&format!("clusterIP: {address}\n")));
        }
    }
}
