//! `spec.radius`, as the clients, the spool and the server of dynamic authorization want it.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_api::cluster::{self, RadiusTransport};
use lns_api::{LnsClusterSpec, Manifest, SharedSecret, rules};
use lns_crypto::Secret;
use lns_node::config as node;
use lns_radius::config::{
    Check, Config, Limits, LoadBalance, Mode, Purpose, Require, Secrets, Server, StatusCheck,
    Timing, Transport,
};
use lns_radius::dynamic;
use lns_wire::radius::{AttributeList, kind};

use super::seconds;
use crate::radius::dynamic::Wanted;

/// What RADIUS is for here, and over what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RadiusSetup {
    /// The client that asks, where RADIUS checks subscribers.
    pub(crate) authentication: Option<Config>,
    /// The client that tells, where there is accounting.
    pub(crate) accounting: Option<Config>,
    /// One client for each server that is sent copies.
    pub(crate) copies: Vec<Config>,
    /// Octets of the records that wait on disk.
    pub(crate) spool_max: u64,
    /// The address that sockets are bound to; by route, where there is none.
    pub(crate) nas_address: Option<IpAddr>,
    /// The server of dynamic authorization and its port.
    pub(crate) dynamic: Option<(u16, dynamic::Config)>,
    /// What TLS is spoken with, by purpose and server.
    pub(crate) tls: BTreeMap<(Purpose, Arc<str>), Tls>,
}

/// What TLS is spoken with to one server: PEM texts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tls {
    /// Our certificate, and those between it and an authority.
    pub(crate) certificate: Secret,
    /// Its key.
    pub(crate) key: Secret,
    /// The authorities that the server's certificate may be of.
    pub(crate) authorities: Secret,
    /// The DNS name that the server's certificate must have; its address, where there is none.
    pub(crate) server_name: Option<Box<str>>,
}

/// RFC 6614, 2.3: what is signed with inside of TLS.
const RADSEC: &[u8] = b"radsec";
/// RFC 2865, 3.
const AUTHENTICATION_PORT: u16 = 1812;
/// RFC 2866, 3.
const ACCOUNTING_PORT: u16 = 1813;

impl RadiusSetup {
    /// `None`: the manifest has no RADIUS.
    pub(super) fn new(manifest: &Manifest) -> Option<Self> {
        let radius = manifest.cluster.spec.radius.as_ref()?;
        let parts = Parts {
            manifest,
            radius,
            identity: identity(manifest, radius),
        };
        let accounting = radius.accounting.as_ref();
        Some(Self {
            authentication: radius.authentication.as_ref().map(|it| parts.asking(it)),
            accounting: accounting.map(|it| parts.telling(it)),
            copies: accounting.map_or_else(Vec::new, |it| parts.copies(it)),
            spool_max: accounting.map_or(0, |it| it.spool.max_bytes),
            nas_address: radius.nas_address,
            dynamic: radius
                .dynamic_authorization
                .as_ref()
                .map(|it| (it.port, parts.dynamic(it))),
            tls: parts.tls(),
        })
    }
}

impl RadiusSetup {
    /// Where requests to change or end sessions come in; `None`: nowhere.
    pub(crate) fn desk(&self) -> Option<Wanted> {
        let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let (port, config) = self.dynamic.clone()?;
        Some(Wanted {
            address: SocketAddr::new(self.nas_address.unwrap_or(any), port),
            config,
        })
    }
}

/// What the node must know of those who judge logins.
pub(super) fn judges(spec: &LnsClusterSpec) -> Option<node::RadiusConfig> {
    let servers = spec.radius.as_ref()?.authentication.as_ref()?;
    let users = spec.subscribers.local_users.as_ref();
    Some(node::RadiusConfig {
        local_users: match users.map(|users| users.order).unwrap_or_default() {
            cluster::LocalUsersOrder::Before => node::LocalUsers::Before,
            cluster::LocalUsersOrder::After => node::LocalUsers::After,
            cluster::LocalUsersOrder::Only => node::LocalUsers::Only,
        },
        synchronous: servers.mode == cluster::RequestMode::Synchronous,
    })
}

/// What the node must know of those who are told.
pub(super) fn told(spec: &LnsClusterSpec) -> Option<node::AccountingConfig> {
    let accounting = spec.radius.as_ref()?.accounting.as_ref()?;
    Some(node::AccountingConfig {
        interim: seconds(accounting.interim_seconds),
    })
}

/// Who we are, in every request.
fn identity(manifest: &Manifest, radius: &cluster::Radius) -> AttributeList {
    let mut identity = AttributeList::new();
    let name = radius.nas_identifier.as_ref();
    let name = name.or(manifest.cluster.metadata.name.as_ref());
    // The manifest's bounds are stricter than an attribute's.
    let _: Result<(), _> = name.map_or(Ok(()), |name| {
        identity.push(kind::NAS_IDENTIFIER, name.as_bytes())
    });
    match radius.nas_address {
        Some(IpAddr::V4(address)) => identity.push_ipv4(kind::NAS_IP_ADDRESS, address),
        Some(IpAddr::V6(address)) => identity.push_ipv6(kind::NAS_IPV6_ADDRESS, address),
        None => {}
    }
    identity
}

struct Parts<'a> {
    manifest: &'a Manifest,
    radius: &'a cluster::Radius,
    identity: AttributeList,
}

/// What servers of both purposes have.
struct Endpoint<'a> {
    name: &'a str,
    address: SocketAddr,
    transport: RadiusTransport,
    secret: Option<&'a cluster::SecretReference>,
    tls_secret: Option<&'a cluster::SecretReference>,
    tls_name: Option<&'a String>,
    realms: &'a [String],
}

impl<'a> From<&'a cluster::AuthenticationServer> for Endpoint<'a> {
    fn from(server: &'a cluster::AuthenticationServer) -> Self {
        let port = server.transport.port(AUTHENTICATION_PORT);
        Self {
            name: &server.name,
            address: SocketAddr::new(server.address, server.port.unwrap_or(port)),
            transport: server.transport,
            secret: server.secret_ref.as_ref(),
            tls_secret: server.tls_secret_ref.as_ref(),
            tls_name: server.tls_server_name.as_ref(),
            realms: &server.realms,
        }
    }
}

impl<'a> From<&'a cluster::AccountingServer> for Endpoint<'a> {
    fn from(server: &'a cluster::AccountingServer) -> Self {
        let port = server.transport.port(ACCOUNTING_PORT);
        Self {
            name: &server.name,
            address: SocketAddr::new(server.address, server.port.unwrap_or(port)),
            transport: server.transport,
            secret: server.secret_ref.as_ref(),
            tls_secret: server.tls_secret_ref.as_ref(),
            tls_name: server.tls_server_name.as_ref(),
            realms: &server.realms,
        }
    }
}

impl Parts<'_> {
    fn asking(&self, from: &cluster::RadiusAuthentication) -> Config {
        let servers = from.servers.iter();
        let check = &from.status_check;
        let said = self.check(&check.attributes, check.password_secret_ref.as_ref());
        Config {
            purpose: Purpose::Authentication,
            servers: servers
                .map(|it| self.server(&it.into(), require(it.require_message_authenticator)))
                .collect(),
            balance: self.balance(),
            mode: match from.mode {
                cluster::RequestMode::Originate => Mode::Originate,
                cluster::RequestMode::Synchronous => Mode::Synchronous,
            },
            timing: Timing {
                initial: seconds(from.retransmission.initial_seconds),
                longest: seconds(from.retransmission.maximum_seconds),
                count: from.retransmission.maximum_count,
                duration: seconds(from.retransmission.maximum_duration_seconds),
            },
            check: match check.kind {
                cluster::AuthenticationCheckType::Auto => StatusCheck::Auto(said),
                cluster::AuthenticationCheckType::None => StatusCheck::None,
                cluster::AuthenticationCheckType::StatusServer => StatusCheck::StatusServer(said),
                cluster::AuthenticationCheckType::AccessRequest => StatusCheck::AccessRequest(said),
            },
            limits: limits(&from.limits),
            identity: self.identity.clone(),
            delay_time: false,
        }
    }

    fn telling(&self, from: &cluster::RadiusAccounting) -> Config {
        self.accounting(Purpose::Accounting, from.servers.iter(), from)
    }

    /// A client each: every one of them is told everything, and none is waited for.
    fn copies(&self, from: &cluster::RadiusAccounting) -> Vec<Config> {
        let copies = from.copies.iter();
        let copies = copies.map(|server| Config {
            check: StatusCheck::None,
            ..self.accounting(Purpose::Copy, [server].into_iter(), from)
        });
        copies.collect()
    }

    fn accounting<'b>(
        &self,
        purpose: Purpose,
        servers: impl Iterator<Item = &'b cluster::AccountingServer>,
        from: &cluster::RadiusAccounting,
    ) -> Config {
        let check = &from.status_check;
        let said = self.check(&check.attributes, None);
        Config {
            purpose,
            servers: servers
                .map(|it| self.server(&it.into(), Require::Never))
                .collect(),
            balance: self.balance(),
            mode: Mode::Originate,
            timing: Timing {
                initial: seconds(from.retransmission.initial_seconds),
                longest: seconds(from.retransmission.maximum_seconds),
                count: from.retransmission.maximum_count,
                duration: seconds(from.retransmission.maximum_duration_seconds),
            },
            check: match check.kind {
                cluster::AccountingCheckType::Auto => StatusCheck::Auto(said),
                cluster::AccountingCheckType::None => StatusCheck::None,
                cluster::AccountingCheckType::StatusServer => StatusCheck::StatusServer(said),
                cluster::AccountingCheckType::AccountingRequest => {
                    StatusCheck::AccountingRequest(said)
                }
            },
            limits: limits(&from.limits),
            identity: self.identity.clone(),
            delay_time: from.timestamps == cluster::AccountingTimestamps::DelayTime,
        }
    }

    fn dynamic(&self, from: &cluster::DynamicAuthorization) -> dynamic::Config {
        let client = |it: &cluster::DynamicClient| dynamic::Client {
            name: it.name.as_str().into(),
            from: it.from.clone(),
            secrets: self.secrets(Some(&it.secret_ref)),
            message_authenticator: require(it.require_message_authenticator),
        };
        dynamic::Config {
            clients: from.clients.iter().map(client).collect(),
            identity: self.identity.clone(),
        }
    }

    fn server(&self, endpoint: &Endpoint<'_>, message_authenticator: Require) -> Server {
        let (transport, secrets) = match endpoint.transport {
            RadiusTransport::UDP => (Transport::Udp, self.secrets(endpoint.secret)),
            RadiusTransport::TLS => (Transport::Tls, radsec()),
        };
        let realms = endpoint.realms.iter();
        Server {
            name: endpoint.name.into(),
            address: endpoint.address,
            transport,
            secrets,
            message_authenticator,
            realms: realms.map(|realm| realm.as_str().into()).collect(),
        }
    }

    fn secrets(&self, reference: Option<&cluster::SecretReference>) -> Secrets {
        let secret = reference.and_then(|it| self.manifest.secrets.get(&it.name));
        // Over UDP the manifest's rules ask for one.
        secret.map_or_else(radsec, |SharedSecret { current, previous }| Secrets {
            current: current.clone(),
            previous: previous.clone(),
        })
    }

    fn check(
        &self,
        attributes: &BTreeMap<String, String>,
        password: Option<&cluster::SecretReference>,
    ) -> Check {
        let password = password.and_then(|it| self.manifest.passwords.get(&it.name));
        Check {
            attributes: rules::radius::attributes(attributes),
            password: password.cloned(),
        }
    }

    fn balance(&self) -> LoadBalance {
        match self.radius.load_balance {
            cluster::LoadBalance::FailOver => LoadBalance::FailOver,
            cluster::LoadBalance::Balance => LoadBalance::Balance,
            cluster::LoadBalance::KeyedBalance => LoadBalance::KeyedBalance,
        }
    }

    fn tls(&self) -> BTreeMap<(Purpose, Arc<str>), Tls> {
        let authentication = self.radius.authentication.iter();
        let authentication = authentication.flat_map(|it| &it.servers);
        let accounting = || self.radius.accounting.iter();
        let endpoints = authentication
            .map(|it| (Purpose::Authentication, Endpoint::from(it)))
            .chain(
                accounting()
                    .flat_map(|it| &it.servers)
                    .map(|it| (Purpose::Accounting, it.into())),
            )
            .chain(
                accounting()
                    .flat_map(|it| &it.copies)
                    .map(|it| (Purpose::Copy, it.into())),
            );
        let with_tls = endpoints.filter_map(|(purpose, endpoint)| {
            let secret = self.manifest.tls.get(&endpoint.tls_secret?.name)?;
            let tls = Tls {
                certificate: secret.certificate.clone(),
                key: secret.key.clone(),
                authorities: secret.authorities.clone(),
                server_name: endpoint.tls_name.map(|name| name.as_str().into()),
            };
            Some(((purpose, endpoint.name.into()), tls))
        });
        with_tls.collect()
    }
}

fn radsec() -> Secrets {
    Secrets {
        current: Secret::new(RADSEC),
        previous: None,
    }
}

fn require(require: cluster::RequireMessageAuthenticator) -> Require {
    match require {
        cluster::RequireMessageAuthenticator::Always => Require::Always,
        cluster::RequireMessageAuthenticator::Auto => Require::Auto,
        cluster::RequireMessageAuthenticator::Never => Require::Never,
    }
}

fn limits(limits: &cluster::RadiusLimits) -> Limits {
    Limits {
        max_connections: limits.max_connections,
        max_in_flight: limits.max_in_flight,
    }
}
