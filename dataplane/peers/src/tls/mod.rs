//! The peer channel's TLS: who we are, whom we believe, and until when (RFC 8446).
//!
//! TLS 1.3 only, by rustls with ring. Both sides show a certificate that one of the cluster's authorities
//! has issued, for a member of this cluster ([`cluster`](crate::ClusterId) has the rule). There is no
//! mode without. A certificate with extended key usages must have both `server auth` and `client auth`,
//! for a member is both; one without any, as cert-manager makes it by default, may do both. No session is
//! resumed and no early data taken, so every connection looks at the certificates that are in force.
//! By ALPN both say `kubelns-peers/1`: what else may listen there is not taken for a member.
//!
//! Left out: revocation. A key that is lost is locked out by another authority, or by certificates that
//! live for hours; connections that it has opened end with the process.

#[cfg(test)]
pub(crate) mod certificates;
mod verify;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use lns_cluster::NodeName;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use thiserror::Error;

pub(crate) use verify::entitled;
use verify::{Authorities, expiry};

use crate::cluster::ClusterId;

/// What both sides speak.
pub(crate) const ALPN: &[u8] = b"kubelns-peers/1";

const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// What a Secret of type `kubernetes.io/tls` holds, PEM.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// `tls.crt`: our certificate, then those that lead from it to an authority.
    pub certificate: &'a [u8],
    /// `tls.key`
    pub key: &'a [u8],
    /// `ca.crt`: who may issue a member's certificate.
    pub authorities: &'a [u8],
}

impl fmt::Debug for Material<'_> {
    /// Without any of it: a key is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(..)")
    }
}

/// Who a member is, and whom it believes.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
    /// What a client asks for; servers do not mind.
    pub(crate) name: ServerName<'static>,
    /// When our certificate ends, seconds since 1970; negative before.
    expires: i64,
}

/// What is wrong with a Secret.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TlsError {
    /// There is no certificate in it, or something that is none.
    #[error("{0}: holds no certificate in PEM")]
    Certificate(&'static str),
    /// There is no key in it.
    #[error("tls.key: holds no private key in PEM")]
    Key,
    /// Key and certificate are not of one pair, or of a kind that is not known.
    #[error("tls.crt and tls.key: {0}")]
    Pair(String),
    /// An authority cannot be one.
    #[error("ca.crt: {0}")]
    Authority(String),
    /// No other member would believe it.
    #[error(
        "tls.crt: its subjectAltName has neither the DNS name {member} nor {node}: no member would believe it"
    )]
    Name {
        /// Of a certificate for any member.
        member: String,
        /// Of one for this node.
        node: String,
    },
}

impl Credentials {
    /// Reads a Secret for this node of this cluster.
    ///
    /// # Errors
    /// Which part of it is of no use, and why.
    pub fn new(
        material: Material<'_>,
        cluster: &ClusterId,
        node: &NodeName,
    ) -> Result<Self, TlsError> {
        let chain = certificates("tls.crt", material.certificate)?;
        let first = chain.first().ok_or(TlsError::Certificate("tls.crt"))?;
        let expires = expiry(first).ok_or(TlsError::Certificate("tls.crt"))?;
        let names = || TlsError::Name {
            member: cluster.member_name(),
            node: cluster.node_name(node),
        };
        let entitled = entitled(first, cluster).filter(|it| it.admits(node));
        entitled.ok_or_else(names)?;
        let key = PrivateKeyDer::from_pem_slice(material.key).map_err(|_| TlsError::Key)?;
        let authorities = authorities(material.authorities, cluster)?;
        let name = ServerName::try_from(cluster.member_name()).map_err(|_| names())?;
        Ok(Self {
            client: client(chain.clone(), key.clone_key(), Arc::clone(&authorities))?,
            server: server(chain, key, authorities)?,
            name,
            expires,
        })
    }

    /// How long our certificate is still valid, seconds; negative: since when it is not.
    pub fn seconds_left(&self, now: SystemTime) -> i64 {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(since.as_ref().map_or(0, Duration::as_secs)).unwrap_or(i64::MAX);
        self.expires.saturating_sub(now)
    }
}

fn client(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Arc<Authorities>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(pair)?
        .dangerous()
        .with_custom_certificate_verifier(authorities)
        .with_client_auth_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Arc<Authorities>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(pair)?
        .with_client_cert_verifier(authorities)
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn authorities(pem: &[u8], cluster: &ClusterId) -> Result<Arc<Authorities>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("ca.crt", pem)? {
        let added = roots.add(authority);
        added.map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    let authorities = Authorities::new(roots, &provider(), cluster.clone());
    let authorities = authorities.map_err(|error| TlsError::Authority(error.to_string()))?;
    Ok(Arc::new(authorities))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn pair(error: rustls::Error) -> TlsError {
    TlsError::Pair(error.to_string())
}

fn certificates(part: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(some) if !some.is_empty() => Ok(some),
        Ok(_) | Err(_) => Err(TlsError::Certificate(part)),
    }
}

#[cfg(test)]
mod tests;
