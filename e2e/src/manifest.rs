//! Manifests for `lnsd run`, written as the text that an engineer would write.

use std::fmt::Write as _;

/// The secret that a LAC and the LNS share, where a scenario does not say otherwise.
pub(crate) const TUNNEL_SECRET: &str = "a-long-tunnel-secret";
/// The password of every subscriber, where a scenario does not say otherwise.
pub(crate) const PASSWORD: &str = "a-long-password";

/// What a scenario wants of an `LnsCluster`. The default serves the LAC of
/// [`crate::net::Topology`], offers every authentication, and has one pool.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// Entries of `spec.lacs`.
    pub(crate) lacs: Vec<Lac>,
    /// `spec.ppp.authentication`, in order.
    pub(crate) authentication: &'static str,
    /// Further lines of `spec.ppp`.
    pub(crate) ppp: String,
    /// `spec.core.isolation`.
    pub(crate) isolation: &'static str,
    /// Further lines of `spec.subscribers`.
    pub(crate) subscribers: String,
    /// Name and password, or name and `{ password: .., policies: [..], address: .. }`. Without any there
    /// are no local users.
    pub(crate) users: Vec<(String, String)>,
    /// Name, local address and CIDR of each pool.
    pub(crate) pools: Vec<(&'static str, &'static str, &'static str)>,
    /// Seconds before a freed address is given again.
    pub(crate) reuse_delay_seconds: u32,
    /// Workers of the datapath; 0 is one per core.
    pub(crate) workers: u32,
    /// The inside of `spec.datapath.sessionTable`.
    pub(crate) session_table: String,
    /// Documents of `SessionPolicy` and further `Secret`s, each with its `---`.
    pub(crate) policies: String,
    /// The lines of `spec.radius`; without any there is none.
    pub(crate) radius: String,
    /// Further lines of `spec`.
    pub(crate) more: String,
}

/// An entry of `spec.lacs`.
#[derive(Clone, Debug)]
pub(crate) struct Lac {
    /// Its name.
    pub(crate) name: &'static str,
    /// `from`, one CIDR.
    pub(crate) from: &'static str,
    /// `admission`.
    pub(crate) admission: &'static str,
    /// The shared secret; `None` writes `mode: None`.
    pub(crate) secret: Option<&'static str>,
    /// `tunnelAuthentication.avpHiding`, where there is a secret.
    pub(crate) avp_hiding: &'static str,
    /// `helloSeconds`.
    pub(crate) hello_seconds: u32,
    /// `lcpRenegotiation`.
    pub(crate) lcp_renegotiation: &'static str,
    /// Further lines.
    pub(crate) more: &'static str,
}

impl Default for Lac {
    fn default() -> Self {
        Self {
            name: "wholesale-a",
            from: "198.51.100.0/24",
            admission: "Accept",
            secret: Some(TUNNEL_SECRET),
            avp_hiding: "Never",
            hello_seconds: 60,
            lcp_renegotiation: "OnMismatch",
            more: "",
        }
    }
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            lacs: vec![Lac::default()],
            authentication: "[CHAP, MSCHAPv2, PAP]",
            ppp: String::new(),
            isolation: "Nodeless",
            subscribers: String::new(),
            users: vec![("user@isp".into(), PASSWORD.into())],
            pools: vec![("default", "100.64.0.1", "100.64.0.0/16")],
            reuse_delay_seconds: 1,
            workers: 1,
            session_table: String::new(),
            policies: String::new(),
            radius: String::new(),
            more: String::new(),
        }
    }
}

impl Manifest {
    /// The default with `authentication` alone.
    pub(crate) fn with_authentication(authentication: &'static str) -> Self {
        Self {
            authentication,
            ..Self::default()
        }
    }

    /// The YAML stream: the `LnsCluster` and the `Secret`s that it names.
    pub(crate) fn yaml(&self) -> String {
        let mut text = String::from(
            "apiVersion: kubelns.io/v1alpha1\nkind: LnsCluster\n\
             metadata: { name: edge, namespace: lns }\nspec:\n  service:\n    \
             addresses: [192.0.2.1]\n    port: 1701\n    hostName: lns1.isp.example\n    \
             announce: { mode: External }\n  lacs:\n",
        );
        for lac in &self.lacs {
            text.push_str(&lac.yaml());
        }
        let Self {
            authentication,
            ppp,
            isolation,
            subscribers,
            workers,
            ..
        } = self;
        let table = match self.session_table.as_str() {
            "" => String::new(),
            inside => format!(", sessionTable: {{ {inside} }}"),
        };
        text.push_str(&format!(
            "  ppp:\n    authentication: {authentication}\n    dns: [203.0.113.53]\n{}\
             \x20 core:\n    isolation: {isolation}\n    interface: core0\n{}\
             \x20 datapath: {{ mode: TUN, workers: {workers}{table} }}\n{}  pools:\n",
            indented(ppp),
            section(
                "subscribers",
                &(self.local_users() + &indented(subscribers))
            ),
            section("radius", &indented(&self.radius)),
        ));
        for (name, local, cidr) in &self.pools {
            text.push_str(&format!(
                "  - name: {name}\n    localAddress: {local}\n    \
                 reuseDelaySeconds: {}\n    prefixes: [ {{ cidr: {cidr}, allocation: Enabled }} ]\n",
                self.reuse_delay_seconds
            ));
        }
        for line in self.more.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text + &self.policies + &self.secrets()
    }

    fn local_users(&self) -> String {
        match self.users.as_slice() {
            // The order stands in further lines, if anywhere: both are one field.
            [] => String::new(),
            _ if self.subscribers.contains("localUsers:") => String::new(),
            _ => "    localUsers: { secretRef: { name: users } }\n".to_owned(),
        }
    }

    fn secrets(&self) -> String {
        let mut text = String::new();
        for lac in &self.lacs {
            if let Some(secret) = lac.secret {
                text.push_str(&format!(
                    "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: {}, namespace: lns }}\n\
                     stringData: {{ current: {secret} }}\n",
                    lac.name
                ));
            }
        }
        if self.users.is_empty() {
            return text;
        }
        text.push_str(
            "---\napiVersion: v1\nkind: Secret\nmetadata: { name: users, namespace: lns }\n\
             stringData:\n  users.yaml: |\n",
        );
        for (name, password) in &self.users {
            // Writing into a String does not fail.
            writeln!(text, "    \"{name}\": {password}").ok();
        }
        text
    }
}

impl Lac {
    fn yaml(&self) -> String {
        let Self {
            name,
            from,
            admission,
            secret,
            avp_hiding,
            hello_seconds,
            lcp_renegotiation,
            more,
        } = self;
        let authentication = match secret {
            Some(_) => format!(
                "{{ mode: Secret, secretRef: {{ name: {name} }}, avpHiding: {avp_hiding} }}"
            ),
            None => "{ mode: None }".into(),
        };
        format!(
            "  - name: {name}\n    from: [{from}]\n    tunnelAuthentication: {authentication}\n    \
             admission: {admission}\n    limits: {{ maxTunnels: 64, maxSessions: 1000000, maxSetupsPerSecond: 100000 }}\n    \
             helloSeconds: {hello_seconds}\n    \
             lcpRenegotiation: {lcp_renegotiation}\n    pathMtu: 1500\n{}",
            indented(more)
        )
    }
}

/// The section `name` of `spec` with these lines; nothing without lines.
fn section(name: &str, lines: &str) -> String {
    match lines {
        "" => String::new(),
        _ => format!("  {name}:\n{lines}"),
    }
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lac_with_a_secret_names_one_that_is_in_the_stream() {
        let manifest = Manifest {
            lacs: vec![
                Lac::default(),
                Lac {
                    name: "open",
                    secret: None,
                    ..Lac::default()
                },
            ],
            ppp: "mru: 1492\necho: { intervalSeconds: 1, failures: 2 }".into(),
            ..Manifest::default()
        };
        let text = manifest.yaml();
        assert!(text.contains("secretRef: { name: wholesale-a }"));
        assert!(text.contains("metadata: { name: wholesale-a, namespace: lns }"));
        assert!(text.contains("tunnelAuthentication: { mode: None }"));
        assert!(
            text.contains(
                "\n    mru: 1492\n    echo: { intervalSeconds: 1, failures: 2 }\n  core:"
            )
        );
    }
}
