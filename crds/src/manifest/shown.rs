//! A manifest as it may be shown: with every default filled in, and without what is secret.

use lns_crypto::Secret;
use serde_json::{Value, json};

use super::Manifest;

impl Manifest {
    /// The manifest in YAML. Policies are there whole. Of each `Secret` that the cluster names, the names and
    /// keys are there, and of each value only how large it is.
    ///
    /// # Errors
    /// When it cannot be written as YAML, which the tests rule out.
    pub fn without_secrets(&self) -> Result<String, serde_saphyr::ser_error::Error> {
        let mut text = serde_saphyr::to_string(&json!(self.cluster))?;
        let policies = self.policies.iter().map(|policy| json!(policy));
        for document in policies.chain(self.shown_secrets()) {
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(&document)?);
        }
        Ok(text)
    }

    fn shown_secrets(&self) -> Vec<Value> {
        let shared = self.secrets.iter().map(|(name, secret)| {
            let mut data = json!({ "current": octets(&secret.current) });
            if let (Some(previous), Some(data)) = (&secret.previous, data.as_object_mut()) {
                data.insert("previous".to_owned(), octets(previous).into());
            }
            self.shown_secret(name, &data)
        });
        let tls = self.tls.iter().map(|(name, secret)| {
            let data = json!({
                "tls.crt": octets(&secret.certificate),
                "tls.key": octets(&secret.key),
                "ca.crt": octets(&secret.authorities),
            });
            self.shown_secret(name, &data)
        });
        let passwords = self.passwords.iter().map(|(name, secret)| {
            let data = json!({ "password": octets(secret) });
            self.shown_secret(name, &data)
        });
        let stores = self.stores.iter().map(|(name, secret)| {
            let mut data = json!({ "password": octets(&secret.password) });
            if let (Some(user), Some(data)) = (&secret.user, data.as_object_mut()) {
                data.insert("username".to_owned(), octets(user).into());
            }
            self.shown_secret(name, &data)
        });
        let authorities = self.authorities.iter().map(|(name, secret)| {
            let data = json!({ "ca.crt": octets(secret) });
            self.shown_secret(name, &data)
        });
        let shared = shared.chain(tls).chain(passwords);
        let shared = shared.chain(stores).chain(authorities);
        let users = self.cluster.spec.subscribers.local_users.as_ref();
        let users = users.map(|users| {
            let data = json!({ "users.yaml": format!("({} users, left out)", self.users.len()) });
            self.shown_secret(&users.secret_ref.name, &data)
        });
        shared.chain(users).collect()
    }

    fn shown_secret(&self, name: &str, data: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": self.cluster.metadata.namespace },
            "stringData": data,
        })
    }
}

fn octets(secret: &Secret) -> String {
    format!("({} octets, left out)", secret.expose().len())
}

#[cfg(test)]
mod tests {
    use crate::{Manifest, parse_manifest};

    const MANIFEST: &str = "\
apiVersion: kubelns.io/v1alpha1
kind: LnsCluster
metadata: { name: edge, namespace: lns }
spec:
  service: { addresses: [192.0.2.1] }
  lacs:
  - name: a
    from: [198.51.100.0/24]
    tunnelAuthentication: { mode: Secret, secretRef: { name: a } }
  subscribers:
    localUsers: { secretRef: { name: users } }
  pools:
  - name: default
    localAddress: 100.64.0.1
    prefixes: [ { cidr: 100.64.0.0/16 } ]
---
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: gold, namespace: lns }
spec:
  clusterRefs: [{ name: edge }]
  input:
    rules:
    - { name: web, protocol: TCP, destinationPorts: [\"80\", \"8000-8100\"], action: Pass }
    - { name: odd, protocol: \"89\", octets: [{ at: 8, mask: FF, value: \"01\" }], action: Drop }
    - { name: flags, protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Drop }
---
apiVersion: v1
kind: Secret
metadata: { name: a, namespace: lns }
stringData: { current: canary-in-the-mine-1, previous: canary-in-the-mine-22 }
---
apiVersion: v1
kind: Secret
metadata: { name: users, namespace: lns }
stringData:
  users.yaml: |
    alice: canary-in-the-mine-3
    bob: { password: canary-in-the-mine-4, address: 100.64.7.7 }
";

    fn manifest() -> Manifest {
        parse_manifest([("cluster.yaml", MANIFEST)]).unwrap()
    }

    #[test]
    fn a_manifest_is_shown_with_its_defaults_and_without_its_secrets() {
        let shown = manifest().without_secrets().unwrap();
        assert!(!shown.contains("canary"), "{shown}");
        for line in [
            "    port: 1701",
            "  current: (20 octets, left out)",
            "  previous: (21 octets, left out)",
            "  users.yaml: (2 users, left out)",
            "    udpIdleSeconds: 300",
        ] {
            assert!(
                shown.lines().any(|shown| shown == line),
                "no {line:?} in\n{shown}"
            );
        }
    }

    #[test]
    fn of_the_secrets_of_radius_and_store_no_value_is_shown_either() {
        let full = include_str!("../../examples/full.yaml");
        let manifest = parse_manifest([("full.yaml", full)]).unwrap();
        let shown = manifest.without_secrets().unwrap();
        for secret in [
            "0123456789",
            "change me",
            "BEGIN",
            "MIGHAgEAMBMGByqGSM49",
            "lns-member",
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for line in [
            "  password: (15 octets, left out)",
            "  tls.key: (241 octets, left out)",
            "  username: (10 octets, left out)",
        ] {
            assert!(shown.lines().any(|it| it == line), "no {line:?}: {shown}");
        }
        assert!(shown.contains("User-Name: probe@isp.example"), "{shown}");
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same_cluster_and_policies() {
        let manifest = manifest();
        let shown = manifest.without_secrets().unwrap();
        let (objects, _) = shown.split_once("---\napiVersion: v1\n").unwrap();
        let (_, secrets) = MANIFEST.split_once("---\napiVersion: v1\n").unwrap();
        let text = format!("{objects}---\napiVersion: v1\n{secrets}");
        let again = parse_manifest([("shown.yaml", text.as_str())]).unwrap();
        assert_eq!(again.cluster.spec, manifest.cluster.spec);
        assert_eq!(again.policies, manifest.policies);
        assert_eq!(again.policies.len(), 1);
    }
}
