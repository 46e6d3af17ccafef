//! The manifest, as the parts of the process want it: node, datapath, host.
//!
//! The manifest reader has validated everything. What a reload cannot change in a running process is named by [`Setup::needs_restart`].

mod flows;
mod member;
mod memory;
mod policies;
mod radius;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZero;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use ipnet::Ipv4Net;
use lns_api::cluster;
use lns_api::{LnsClusterSpec, Manifest};
use lns_l2sess::policy::BookError;
use lns_node::config as node;

pub(crate) use self::flows::Flows;
#[cfg(test)]
pub(crate) use self::member::Changes;
pub(crate) use self::member::ClusterSetup;
pub(crate) use self::memory::limit as memory_limit;
pub(crate) use self::radius::RadiusSetup;
#[cfg(test)]
pub(crate) use self::radius::Tls;
use crate::host::{self, Plan};
use crate::radius::setup;

/// What a manifest means for this process.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// For the node.
    pub(crate) node: node::Config,
    /// Where LACs reach us.
    pub(crate) listen: Vec<SocketAddr>,
    /// Threads that move packets.
    pub(crate) workers: usize,
    /// The flows that policies open.
    pub(crate) flows: Flows,
    /// The prefixes that workers find by direct lookup.
    pub(crate) pools: Vec<Ipv4Net>,
    /// From where workers send ICMP errors.
    pub(crate) icmp_source: Ipv4Addr,
    /// For the machine.
    pub(crate) host: Plan,
    /// For RADIUS.
    pub(crate) radius: Option<RadiusSetup>,
    /// The same for the thread of RADIUS, with certificates that were read.
    pub(crate) radius_thread: Option<setup::Setup>,
}

impl Setup {
    /// Maps a valid manifest.
    ///
    /// # Errors
    /// What only this process can say of it: an [`Unfit`].
    pub(crate) fn new(manifest: &Manifest) -> Result<Self, Unfit> {
        let spec = &manifest.cluster.spec;
        let icmp_source = spec
            .pools
            .first()
            .map_or(Ipv4Addr::UNSPECIFIED, |pool| pool.local_address);
        let radius = RadiusSetup::new(manifest);
        let radius_thread = radius.as_ref().map(setup::Setup::new).transpose();
        Ok(Self {
            radius_thread: radius_thread.map_err(Unfit::Radius)?,
            radius,
            node: node_config(manifest)?,
            listen: spec
                .service
                .addresses
                .iter()
                .map(|address| SocketAddr::new(*address, spec.service.port))
                .collect(),
            workers: workers(spec.datapath.workers),
            flows: Flows::new(&spec.datapath.session_table, lns_node::limits::MAX_SESSIONS),
            pools: pool_prefixes(spec).collect(),
            icmp_source,
            host: host_plan(manifest, icmp_source),
        })
    }

    /// The same for a member of a cluster: what is given back rests for as long as another member may go by
    /// what it knew, unless it has said that it knows.
    pub(crate) fn of_member(mut self, rest: Duration) -> Self {
        self.node.id_rest = rest;
        self
    }

    /// The fields in which `newer` asks for what a running process cannot change.
    pub(crate) fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        let port = |setup: &Self| setup.listen.first().map(SocketAddr::port);
        let addresses = |setup: &Self| {
            setup
                .listen
                .iter()
                .map(SocketAddr::ip)
                .collect::<BTreeSet<_>>()
        };
        [
            (
                "spec.service.addresses",
                addresses(self) != addresses(newer),
            ),
            ("spec.service.port", port(self) != port(newer)),
            ("spec.datapath.workers", self.workers != newer.workers),
            (
                "spec.datapath.sessionTable.entries",
                !newer.flows.entries.is_served_by(&self.flows.entries),
            ),
        ]
        .into_iter()
        .filter_map(|(field, changed)| changed.then_some(field))
        .collect()
    }
}

/// Why a valid manifest is none for this process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unfit {
    /// The Host Name is empty or longer than an AVP's value may be here. The manifest's rules are
    /// stricter, so this is not seen.
    HostName,
    /// What the classifier does not take the policies for: tables that would be too large.
    Policies(Vec<BookError>),
    /// A certificate or key that is none.
    Radius(setup::Unfit),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostName => f.write_str("spec.service.hostName: must have 1 to 255 octets"),
            Self::Policies(wrong) => policies::told(wrong, f),
            Self::Radius(wrong) => fmt::Display::fmt(wrong, f),
        }
    }
}

/// One thread per core unless told otherwise.
fn workers(wanted: u16) -> usize {
    let wanted = match wanted {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        wanted => usize::from(wanted),
    };
    wanted.min(lns_datapath::limits::WORKERS)
}

fn pool_prefixes(spec: &LnsClusterSpec) -> impl Iterator<Item = Ipv4Net> {
    spec.pools
        .iter()
        .flat_map(|pool| &pool.prefixes)
        .map(|prefix| prefix.cidr.trunc())
}

fn host_plan(manifest: &Manifest, first_gateway: Ipv4Addr) -> Plan {
    let spec = &manifest.cluster.spec;
    let mut subscribers = BTreeMap::new();
    for pool in &spec.pools {
        subscribers.extend(
            pool.prefixes
                .iter()
                .map(|prefix| (prefix.cidr.trunc(), pool.local_address)),
        );
    }
    let pools: Vec<Ipv4Net> = pool_prefixes(spec).collect();
    let fixed = manifest.users.values().filter_map(|user| user.address);
    for address in fixed.filter(|address| !pools.iter().any(|pool| pool.contains(address))) {
        subscribers.insert(Ipv4Net::from(address), first_gateway);
    }
    Plan {
        gateways: spec.pools.iter().map(|pool| pool.local_address).collect(),
        subscribers,
        excluded: excluded(spec).collect(),
        core_interface: spec.core.interface.clone(),
        isolation: match spec.core.isolation {
            cluster::Isolation::Nodeless => host::Isolation::Nodeless,
            cluster::Isolation::Open => host::Isolation::Open,
        },
    }
}

/// What no pool gives out: what the manifest excludes, and the service addresses.
fn excluded(spec: &LnsClusterSpec) -> impl Iterator<Item = Ipv4Net> {
    let prefixes = spec.pools.iter().flat_map(|pool| &pool.prefixes);
    let service = spec
        .service
        .addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(Ipv4Net::from(*address)),
            IpAddr::V6(_) => None,
        });
    prefixes
        .flat_map(|prefix| prefix.exclude.iter().copied())
        .chain(service)
}

fn node_config(manifest: &Manifest) -> Result<node::Config, Unfit> {
    let spec = &manifest.cluster.spec;
    Ok(node::Config {
        host_name: node::HostName::new(manifest.cluster.host_name().as_bytes())
            .ok_or(Unfit::HostName)?,
        lacs: spec.lacs.iter().map(|entry| lac(entry, manifest)).collect(),
        ppp: ppp(&spec.ppp),
        subscribers: subscribers(manifest),
        policies: policies::taken(manifest).map_err(Unfit::Policies)?,
        pools: spec.pools.iter().map(|entry| pool(entry, spec)).collect(),
        radius: radius::judges(spec),
        accounting: radius::told(spec),
        epoch: 0,
        max_sessions: lns_node::limits::MAX_SESSIONS,
        id_rest: Duration::ZERO,
        workers: workers(spec.datapath.workers),
    })
}

fn lac(entry: &cluster::Lac, manifest: &Manifest) -> node::Lac {
    let secret = entry
        .tunnel_authentication
        .secret_ref
        .as_ref()
        .and_then(|reference| manifest.secrets.get(&reference.name));
    node::Lac {
        name: entry.name.as_str().into(),
        from: entry.from.clone(),
        host_name: entry.host_name.clone(),
        secret: secret.map(|secret| node::TunnelSecret {
            current: secret.current.clone(),
            previous: secret.previous.clone(),
        }),
        hide_avps: entry.tunnel_authentication.avp_hiding == cluster::AvpHiding::Always,
        admission: match entry.admission {
            cluster::Admission::Accept => node::Admission::Accept,
            cluster::Admission::Drain => node::Admission::Drain,
            cluster::Admission::Refuse => node::Admission::Refuse,
        },
        limits: node::LacLimits {
            max_tunnels: entry.limits.max_tunnels.into(),
            max_sessions: entry.limits.max_sessions,
            max_setups_per_second: entry.limits.max_setups_per_second,
        },
        hello: seconds(entry.hello_seconds),
        lcp_renegotiation: match entry.lcp_renegotiation {
            cluster::LcpRenegotiation::Never => node::LcpRenegotiation::Never,
            cluster::LcpRenegotiation::OnMismatch => node::LcpRenegotiation::OnMismatch,
            cluster::LcpRenegotiation::Always => node::LcpRenegotiation::Always,
        },
        path_mtu: entry.path_mtu,
        authentication: entry.authentication.as_deref().map(authentication),
    }
}

fn ppp(ppp: &cluster::Ppp) -> node::Ppp {
    let mut dns = ppp.dns.iter().copied();
    node::Ppp {
        authentication: authentication(&ppp.authentication),
        use_proxied_authentication: match ppp.proxied_authentication {
            cluster::ProxiedAuthentication::Use => true,
            cluster::ProxiedAuthentication::Ignore => false,
        },
        mru: ppp.mru,
        dns: [dns.next(), dns.next()],
        rechallenge: seconds(ppp.rechallenge_seconds),
        echo_interval: seconds(ppp.echo.interval_seconds),
        echo_failures: ppp.echo.failures,
    }
}

fn authentication(protocols: &[cluster::Authentication]) -> Vec<node::Authentication> {
    protocols
        .iter()
        .map(|protocol| match protocol {
            cluster::Authentication::CHAP => node::Authentication::Chap,
            cluster::Authentication::MSCHAPv2 => node::Authentication::MsChapV2,
            cluster::Authentication::PAP => node::Authentication::Pap,
            cluster::Authentication::EAP => node::Authentication::Eap,
            cluster::Authentication::None => node::Authentication::None,
        })
        .collect()
}

fn subscribers(manifest: &Manifest) -> node::Subscribers {
    let subscribers = &manifest.cluster.spec.subscribers;
    let users = manifest.users.iter().map(|(name, user)| {
        (
            name.as_bytes().into(),
            node::User {
                password: user.password.clone(),
                policies: texts(user.policies.iter().map(String::as_str)),
                address: user.address,
            },
        )
    });
    let default_policies = subscribers.default_policy_refs.iter();
    node::Subscribers {
        users: users.collect(),
        duplicates: duplicates(&subscribers.duplicates),
        default_policies: texts(default_policies.map(|policy| policy.name.as_str())),
        unknown_filter_id: match subscribers.unknown_filter_id {
            cluster::UnknownFilterId::UseDefault => node::UnknownFilterId::UseDefault,
            cluster::UnknownFilterId::Refuse => node::UnknownFilterId::Refuse,
        },
        idle: seconds(subscribers.idle_seconds),
        session: seconds(subscribers.session_seconds),
    }
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Arc<str>> {
    texts.map(Arc::from).collect()
}

fn duplicates(duplicates: &cluster::Duplicates) -> node::Duplicates {
    let key = |key: &cluster::DuplicateKey| match key {
        cluster::DuplicateKey::UserName => node::DuplicateKey::UserName,
        cluster::DuplicateKey::CallingStationId => node::DuplicateKey::CallingStationId,
        cluster::DuplicateKey::NASPortId => node::DuplicateKey::NasPortId,
    };
    node::Duplicates {
        key: duplicates.key.iter().map(key).collect(),
        action: match duplicates.action {
            cluster::DuplicateAction::Allow => node::DuplicateAction::Allow,
            cluster::DuplicateAction::Replace => node::DuplicateAction::Replace,
            cluster::DuplicateAction::Refuse => node::DuplicateAction::Refuse,
        },
    }
}

fn pool(pool: &cluster::Pool, spec: &LnsClusterSpec) -> node::Pool {
    let prefix = |prefix: &cluster::PoolPrefix| node::PoolPrefix {
        net: prefix.cidr.trunc(),
        allocation: match prefix.allocation {
            cluster::Allocation::Enabled => node::Allocation::Enabled,
            cluster::Allocation::Disabled => node::Allocation::Disabled,
        },
    };
    node::Pool {
        name: pool.name.as_str().into(),
        local_address: pool.local_address,
        addresses: node::PoolConfig {
            prefixes: pool.prefixes.iter().map(prefix).collect(),
            excluded: excluded(spec).collect(),
            reuse_delay: seconds(pool.reuse_delay_seconds),
        },
    }
}

fn seconds(seconds: impl Into<u64>) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod proofs;
#[cfg(test)]
mod tests;
