//! What the scenarios of RADIUS are made of: the topology with the servers' addresses, and manifests with
//! `spec.radius`.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use super::server::{self, ADDRESSES, SECRET};
use crate::manifest::Manifest;
use crate::net::{LNS_CORE, Namespace, Topology};
use crate::scenario::expect;

/// The secret of who may change and end sessions.
pub(super) const DYNAMIC_SECRET: &str = "a-long-dynamic-secret";

/// The namespaces, the core with the servers' addresses.
pub(super) fn topology() -> Result<Topology> {
    let topology = Topology::create()?;
    server::prepare(&topology.core)?;
    Ok(topology)
}

/// What a scenario wants of `spec.radius`. The default has both servers for everything, and
/// nothing else but defaults.
#[derive(Clone, Debug)]
pub(super) struct Radius {
    /// Places of [`ADDRESSES`] that are asked.
    pub(super) authentication: Vec<usize>,
    /// Further keys of each of those servers, behind a comma.
    pub(super) server: String,
    /// Further lines of `authentication`.
    pub(super) authentication_lines: String,
    /// Places that are told. None: there is no accounting.
    pub(super) accounting: Vec<usize>,
    /// Further lines of `accounting`.
    pub(super) accounting_lines: String,
    /// Further lines of `radius`.
    pub(super) lines: String,
    /// The secret, and the one before it.
    pub(super) secrets: [Option<String>; 2],
}

impl Default for Radius {
    fn default() -> Self {
        Self {
            authentication: vec![0, 1],
            server: String::new(),
            authentication_lines: String::new(),
            accounting: vec![0, 1],
            accounting_lines: String::new(),
            lines: String::new(),
            secrets: [Some(SECRET.to_owned()), None],
        }
    }
}

impl Radius {
    /// One server for everything.
    pub(super) fn one() -> Self {
        Self {
            authentication: vec![0],
            accounting: vec![0],
            ..Self::default()
        }
    }

    /// A manifest without local users and with this.
    pub(super) fn manifest(&self) -> Manifest {
        Manifest {
            users: Vec::new(),
            radius: self.lines(),
            policies: self.documents(),
            ..Manifest::default()
        }
    }

    fn lines(&self) -> String {
        let mut text = format!("nasIdentifier: edge\nnasAddress: {LNS_CORE}\n");
        let mut section = |name: &str, places: &[usize], port: u16, more: &str, lines: &str| {
            if places.is_empty() {
                return;
            }
            text.push_str(&format!("{name}:\n  servers:\n"));
            for place in places {
                let address = ADDRESSES.get(*place).unwrap_or(&Ipv4Addr::UNSPECIFIED);
                text.push_str(&format!(
                    "  - {{ name: r{}, address: {address}, port: {port}, secretRef: {{ name: radius }}{} }}\n",
                    place + 1,
                    more
                ));
            }
            for line in lines.lines() {
                text.push_str(&format!("  {line}\n"));
            }
        };
        section(
            "authentication",
            &self.authentication,
            1812,
            &self.server,
            &self.authentication_lines,
        );
        section(
            "accounting",
            &self.accounting,
            1813,
            "",
            &self.accounting_lines,
        );
        text + &self.lines
    }

    fn documents(&self) -> String {
        let mut keys = String::new();
        for (key, secret) in ["current", "previous"].iter().zip(&self.secrets) {
            if let Some(secret) = secret {
                keys.push_str(&format!(" {key}: {secret},"));
            }
        }
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: radius, namespace: lns }}\n\
             stringData: {{{} }}\n---\napiVersion: v1\nkind: Secret\n\
             metadata: {{ name: oss, namespace: lns }}\nstringData: {{ current: {DYNAMIC_SECRET} }}\n",
            keys.trim_end_matches(',')
        )
    }
}

/// The local port of the connection to an authentication server that has the most requests in flight, out
/// of what `lnsd radius -o json` prints.
pub(super) fn busiest_port(answer: &serde_json::Value) -> Option<u64> {
    let servers = answer.get("servers")?.as_array()?.iter();
    let asked = servers.filter(|it| it.get("purpose").is_some_and(|it| it == "authentication"));
    let connections = asked.filter_map(|it| it.get("connections")?.as_array());
    let number = |connection: &serde_json::Value, key| connection.get(key)?.as_u64();
    connections
        .flatten()
        .max_by_key(|connection| number(connection, "inFlight"))
        .and_then(|connection| number(connection, "localPort"))
}

/// Drops what comes to the core from one port, `way` being nftables' words before the port's number.
pub(super) fn drop_port(core: &Namespace, way: &str, port: u64) -> Result<()> {
    core.nft(&format!(
        "table inet fault {{ chain input {{ type filter hook input priority 0; \
         {way} {port} counter drop\n}}\n}}\n"
    ))
}

/// Fails if [`drop_port`] has dropped nothing.
pub(super) fn check_dropped(core: &Namespace) -> Result<()> {
    let mut list = Command::new("nft");
    let output = core.output(list.args(["list", "table", "inet", "fault"]))?;
    let rules = String::from_utf8_lossy(&output.stdout).into_owned();
    expect(
        rules.contains("drop") && !rules.contains("packets 0 "),
        format!("nothing was dropped: {rules}"),
    )
}
