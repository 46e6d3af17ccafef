//! `check`: what a manifest would do, or what is wrong with it; against a running process, what it
//! would change there.

mod comparison;
mod radius;

use ipnet::Ipv4Net;
use lns_api::{Manifest, ManifestError, parse_manifest, read_sources};
use lns_node::config::{self as node, Admission};
use serde_json::{Value, json};

use super::policies::planned;
use super::table::{at, count, facts, number, render, text, thousands};
use crate::cli::{Against, CheckArguments};
use crate::config::Setup;
use crate::failure::Failure;
use crate::host::Isolation;

/// `lnsd check`
pub(crate) fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    let wrong = |problems: Vec<ManifestError>| {
        Failure::BadInput(problems.iter().map(ToString::to_string).collect())
    };
    let sources = read_sources(&arguments.manifest).map_err(wrong)?;
    let texts = sources.iter();
    let texts = texts.map(|(name, text)| (name.as_str(), text.as_str()));
    let manifest = parse_manifest(texts).map_err(wrong)?;
    for warning in &manifest.warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(Against::Running) = arguments.against {
        return comparison::compare(arguments, sources);
    }
    let setup = Setup::new(&manifest).map_err(|error| Failure::bad_input(error.to_string()))?;
    print!("{}", summary(&manifest, &setup));
    Ok(())
}

fn summary(manifest: &Manifest, setup: &Setup) -> String {
    let listen = setup
        .listen
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let workers = match manifest.cluster.spec.datapath.workers {
        0 => "one per core".to_owned(),
        workers => workers.to_string(),
    };
    let isolation = match setup.host.isolation {
        Isolation::Nodeless => {
            "nothing of this node, but ICMP echo with the pools' local addresses"
        }
        Isolation::Open => "whatever this node routes or answers",
    };
    let mut out = facts(&[
        ("Host name", manifest.cluster.host_name().to_owned()),
        ("Listens on", listen),
        ("Workers", workers),
        (
            "Core interface",
            setup
                .host
                .core_interface
                .clone()
                .unwrap_or_else(|| "that of the default route".to_owned()),
        ),
        ("Subscribers reach", isolation.to_owned()),
        ("Authentication", protocols(&setup.node.ppp.authentication)),
        (
            "Local users",
            thousands(u64::try_from(setup.node.subscribers.users.len()).unwrap_or(u64::MAX)),
        ),
        ("Default policies", default_policies(&setup.node)),
        ("Flows", setup.flows.entries.to_string()),
        (
            "Flows per session",
            thousands(setup.flows.options.per_port.into()),
        ),
    ]);
    out.push('\n');
    out.push_str(&lacs(&setup.node));
    out.push('\n');
    out.push_str(&pools(&setup.node));
    if !setup.node.policies.is_empty() {
        out.push('\n');
        out.push_str(&planned(&setup.node.policies));
    }
    if let Some(radius) = &setup.radius {
        out.push_str(&radius::planned(radius));
    }
    out
}

fn default_policies(config: &node::Config) -> String {
    match &config.subscribers.default_policies[..] {
        [] => "none: everything passes".to_owned(),
        names => names.join(" "),
    }
}

fn lacs(config: &node::Config) -> String {
    let columns = [
        text("LAC", |lac| at(lac, &["name"])),
        text("FROM", |lac| at(lac, &["from"])),
        text("HOST NAME", |lac| at(lac, &["hostName"])),
        text("SECRET", |lac| at(lac, &["secret"])),
        text("ADMISSION", |lac| at(lac, &["admission"])),
        text("AUTHENTICATION", |lac| at(lac, &["authentication"])),
    ];
    let rows: Vec<Value> = config
        .lacs
        .iter()
        .map(|lac| lac_row(lac, &config.ppp))
        .collect();
    render(&columns, &rows, false)
}

fn lac_row(lac: &node::Lac, ppp: &node::Ppp) -> Value {
    let secret = match &lac.secret {
        None => "none",
        Some(secret) if secret.previous.is_some() => "current, previous",
        Some(_) => "current",
    };
    let admission = match lac.admission {
        Admission::Accept => "Accept",
        Admission::Drain => "Drain",
        Admission::Refuse => "Refuse",
    };
    json!({
        "name": *lac.name,
        "from": lac.from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "hostName": lac.host_name,
        "secret": secret,
        "admission": admission,
        "authentication": protocols(lac.authentication.as_ref().unwrap_or(&ppp.authentication)),
    })
}

fn pools(config: &node::Config) -> String {
    let columns = [
        text("POOL", |pool| at(pool, &["name"])),
        text("LOCAL ADDRESS", |pool| at(pool, &["localAddress"])),
        number("ADDRESSES", |pool| thousands(count(pool, &["addresses"]))),
        text("PREFIXES", |pool| at(pool, &["prefixes"])),
    ];
    let rows: Vec<Value> = config.pools.iter().map(pool_row).collect();
    render(&columns, &rows, false)
}

fn pool_row(pool: &node::Pool) -> Value {
    let prefix = |prefix: &node::PoolPrefix| match prefix.allocation {
        node::Allocation::Enabled => prefix.net.to_string(),
        node::Allocation::Disabled => format!("{} (drains)", prefix.net),
    };
    json!({
        "name": *pool.name,
        "localAddress": pool.local_address.to_string(),
        "addresses": offered(pool),
        "prefixes": pool.addresses.prefixes.iter().map(prefix).collect::<Vec<_>>(),
    })
}

/// Addresses that the pool can give out: its own end and what is excluded is not among them.
fn offered(pool: &node::Pool) -> u64 {
    let own = Ipv4Net::from(pool.local_address);
    let excluded: Vec<Ipv4Net> = pool
        .addresses
        .excluded
        .iter()
        .copied()
        .chain([own])
        .collect();
    let excluded = Ipv4Net::aggregate(&excluded);
    let enabled = pool
        .addresses
        .prefixes
        .iter()
        .filter(|prefix| prefix.allocation == node::Allocation::Enabled);
    let prefix = |prefix: &node::PoolPrefix| {
        let not_offered = excluded
            .iter()
            .copied()
            .filter(|net| prefix.net.contains(net))
            .map(size)
            .sum();
        size(prefix.net).saturating_sub(not_offered)
    };
    enabled.map(prefix).sum()
}

fn size(net: Ipv4Net) -> u64 {
    1 << (32 - u32::from(net.prefix_len()))
}

fn protocols(protocols: &[node::Authentication]) -> String {
    let name = |protocol: &node::Authentication| match protocol {
        node::Authentication::Chap => "CHAP",
        node::Authentication::MsChapV2 => "MSCHAPv2",
        node::Authentication::Pap => "PAP",
        node::Authentication::Eap => "EAP",
        node::Authentication::None => "None",
    };
    protocols.iter().map(name).collect::<Vec<_>>().join(" ")
}
