//! The rules that neither a schema nor CEL can say: those over all pools together, which would cost
//! the API server the square of their number, and those between objects ([`policies`]), what a status
//! check may say ([`radius`]), and what only a cluster needs ([`members`]). The operator
//! runs them as the reader of files does, and reports them in the condition `Stalled`.
//!
//! They work on the document with its defaults applied, so that they also find what is wrong beside
//! values that are no addresses at all; those are skipped here, the schema has reported them.

pub mod members;
pub mod policies;
pub mod radius;

use core::cmp::Reverse;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use crate::cluster::{
    Authentication, DuplicateAction, DuplicateKey, LnsClusterSpec, LocalUsersOrder,
};
use crate::{limits, schema::Violation};

/// The violations of `document`: prefixes of pools that overlap, and more addresses than a node holds.
pub fn check(document: &Value) -> Vec<Violation> {
    let prefixes = pool_prefixes(document);
    let mut violations = overlaps(&prefixes);
    violations.extend(radius::check(document));
    // What is too large by itself has been reported as such.
    let counted = prefixes
        .iter()
        .filter(|(_, prefix)| prefix.prefix_len() >= limits::SHORTEST_POOL_PREFIX);
    let addresses: u64 = counted.map(|(_, prefix)| size(*prefix)).sum();
    if addresses > limits::POOL_ADDRESSES {
        let most = limits::POOL_ADDRESSES;
        violations.push(Violation::new(
            "spec.pools",
            format!("{addresses} addresses in all pools; {most} are the most that a node holds"),
        ));
    }
    violations
}

/// What is allowed in `spec` and yet likely to be a mistake; path and message.
pub fn warnings(spec: &LnsClusterSpec) -> Vec<Violation> {
    let mut warnings = Vec::new();
    for (index, lac) in spec.lacs.iter().enumerate() {
        let earlier = spec.lacs.iter().take(index).find(|earlier| {
            let covered = |from: &IpNet| earlier.from.iter().any(|other| other.contains(from));
            (earlier.host_name == "*" || earlier.host_name == lac.host_name)
                && lac.from.iter().all(covered)
        });
        if let Some(earlier) = earlier {
            warnings.push(Violation::new(
                format!("spec.lacs[{index}]"),
                format!(
                    "{:?} never matches: {:?} comes first and takes all of it",
                    lac.name, earlier.name
                ),
            ));
        }
        if lac.tunnel_authentication.secret_ref.is_none()
            && lac.from.iter().any(|from| from.prefix_len() == 0)
        {
            warnings.push(Violation::new(
                format!("spec.lacs[{index}]"),
                format!(
                    "{:?} takes tunnels from any address, without a secret",
                    lac.name
                ),
            ));
        }
    }
    warnings.extend(nameless_duplicates(spec));
    warnings.extend(one_for_all(spec));
    warnings.extend(never_asked(spec));
    warnings
}

/// Servers that nobody asks.
fn never_asked(spec: &LnsClusterSpec) -> Option<Violation> {
    let asked = spec.radius.as_ref()?.authentication.as_ref()?;
    let users = spec.subscribers.local_users.as_ref()?;
    (users.order == LocalUsersOrder::Only).then(|| {
        let servers = asked.servers.len();
        Violation::new(
            "spec.subscribers.localUsers.order",
            format!(
                "Only: none of the {servers} servers of spec.radius.authentication is ever asked"
            ),
        )
    })
}

/// A bound for one subscriber that is none.
fn one_for_all(spec: &LnsClusterSpec) -> Option<Violation> {
    let table = &spec.datapath.session_table;
    let (one, all) = (table.per_session, table.entries);
    (all > 0 && one >= all).then(|| {
        Violation::new(
            "spec.datapath.sessionTable.perSession",
            format!("{one} lets one subscriber take all {all} entries from the others"),
        )
    })
}

/// Who logs in without authentication has no name, and all who have none are one subscriber.
fn nameless_duplicates(spec: &LnsClusterSpec) -> Option<Violation> {
    let duplicates = &spec.subscribers.duplicates;
    if duplicates.action == DuplicateAction::Allow || duplicates.key != [DuplicateKey::UserName] {
        return None;
    }
    let lac = spec
        .lacs
        .iter()
        .find(|lac| spec.authentication(lac) == [Authentication::None])?;
    Some(Violation::new(
        "spec.subscribers.duplicates.key",
        format!(
            "subscribers of {:?} have no user name, so that only one of them can be online; \
             add CallingStationId or NASPortId",
            lac.name
        ),
    ))
}

/// A prefix is reported that lies in another one, or is given twice; the later of two equal ones.
fn overlaps(prefixes: &[(String, Ipv4Net)]) -> Vec<Violation> {
    let mut sorted: Vec<_> = prefixes.iter().collect();
    // Prefixes overlap only by one holding the other. The sort is stable: equals stay in their order.
    sorted.sort_by_key(|(_, prefix)| (prefix.network(), Reverse(size(*prefix))));
    let mut violations = Vec::new();
    let mut outer: Option<&(String, Ipv4Net)> = None;
    for entry in sorted {
        let (path, prefix) = entry;
        match outer {
            Some((holder_path, holder)) if holder.contains(prefix) => violations.push(Violation::new(
                path.clone(),
                format!(r#""{prefix}" overlaps "{holder}" at {holder_path}; an address belongs to one pool"#),
            )),
            Some(_) | None => outer = Some(entry),
        }
    }
    violations
}

fn pool_prefixes(document: &Value) -> Vec<(String, Ipv4Net)> {
    let pools = document.pointer("/spec/pools").and_then(Value::as_array);
    let mut found = Vec::new();
    for (p, pool) in pools.into_iter().flatten().enumerate() {
        let prefixes = pool.get("prefixes").and_then(Value::as_array);
        for (c, prefix) in prefixes.into_iter().flatten().enumerate() {
            let cidr = prefix
                .get("cidr")
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok());
            if let Some(cidr) = cidr {
                found.push((format!("spec.pools[{p}].prefixes[{c}].cidr"), cidr));
            }
        }
    }
    found
}

fn size(prefix: Ipv4Net) -> u64 {
    1_u64 << 32_u8.saturating_sub(prefix.prefix_len()).min(32)
}
