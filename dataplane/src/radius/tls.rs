//! RadSec's side of TLS (RFC 6614): who we are, whom we believe, and until when.
//!
//! Both ends show a certificate. Ours is `tls.crt` with its key `tls.key`; a server's must be issued by
//! one of `ca.crt` and be for that server: its subjectAltName holds the server's address, or the name that
//! the manifest gives for it (RFC 6125 and RFC 9525 for names: no common names, wildcards for the leftmost
//! label only). TLS 1.2 and 1.3, no early data, no compression (rustls has neither by default).
//!
//! By ALPN we say `radius/1.0` (RFC 9765, 3.3), so that a server that could also speak RADIUS/1.1 knows
//! that we do not; one that knows nothing of it ignores that.

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// What a peer knows us to speak (RFC 9765, 3.3).
const ALPN: &[u8] = b"radius/1.0";

/// What there is to agree on (RFC 9325).
const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// What a Secret of type `kubernetes.io/tls` holds, PEM.
#[derive(Clone, Copy)]
pub(crate) struct Material<'a> {
    /// `tls.crt`: our certificate, then those that lead from it to an authority.
    pub(crate) certificate: &'a [u8],
    /// `tls.key`
    pub(crate) key: &'a [u8],
    /// `ca.crt`: who may issue a server's certificate.
    pub(crate) authorities: &'a [u8],
}

/// How connections to a server are secured.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// For rustls.
    pub(super) config: Arc<ClientConfig>,
    /// When our certificate ends, seconds since 1970; negative before.
    expires: i64,
}

/// What is wrong with a Secret.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum TlsError {
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
}

impl Identity {
    /// Reads a Secret.
    ///
    /// # Errors
    /// Which part of it is of no use, and why.
    pub(crate) fn new(material: Material<'_>) -> Result<Self, TlsError> {
        let chain = certificates("tls.crt", material.certificate)?;
        let expires = chain.first().and_then(expiry);
        let expires = expires.ok_or(TlsError::Certificate("tls.crt"))?;
        let key = PrivateKeyDer::from_pem_slice(material.key).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in certificates("ca.crt", material.authorities)? {
            let added = roots.add(authority);
            added.map_err(|error| TlsError::Authority(error.to_string()))?;
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| TlsError::Authority(error.to_string()))?;
        let pair = |error: rustls::Error| TlsError::Pair(error.to_string());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(pair)?
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            expires,
        })
    }

    /// How long our certificate is still valid, seconds; negative: since when it is not.
    pub(crate) fn seconds_left(&self, now: SystemTime) -> i64 {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(since.as_ref().map_or(0, Duration::as_secs)).unwrap_or(i64::MAX);
        self.expires.saturating_sub(now)
    }
}

/// What a server's certificate must be for.
///
/// # Errors
/// `name` cannot be a host's.
pub(crate) fn server_name(
    name: Option<&str>,
    address: IpAddr,
) -> Result<ServerName<'static>, String> {
    let Some(name) = name else {
        return Ok(ServerName::IpAddress(address.into()));
    };
    ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no host name"))
}

fn certificates(part: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(some) if !some.is_empty() => Ok(some),
        Ok(_) | Err(_) => Err(TlsError::Certificate(part)),
    }
}

/// The end of its validity (RFC 5280, 4.1.2.5), seconds since 1970.
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radius::certificates::{Authority, EXPIRES};

    #[test]
    fn a_secret_without_one_of_its_parts_is_refused_by_the_name_of_the_part() {
        let authority = Authority::new();
        let ours = authority.issue(&["client.example"]);
        let other = authority.issue(&["other.example"]);
        let good = Material {
            certificate: ours.certificate.as_bytes(),
            key: ours.key.as_bytes(),
            authorities: authority.certificate.as_bytes(),
        };
        assert!(Identity::new(good).is_ok());
        let refused = |material| Identity::new(material).unwrap_err().to_string();
        let no_certificate = Material {
            certificate: b"",
            ..good
        };
        assert_eq!(
            refused(no_certificate),
            "tls.crt: holds no certificate in PEM"
        );
        let no_authority = Material {
            authorities: b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            ..good
        };
        assert_eq!(refused(no_authority), "ca.crt: holds no certificate in PEM");
        let no_key = Material {
            key: good.certificate,
            ..good
        };
        assert_eq!(refused(no_key), "tls.key: holds no private key in PEM");
        let wrong_key = Material {
            key: other.key.as_bytes(),
            ..good
        };
        assert!(refused(wrong_key).starts_with("tls.crt and tls.key: "));
    }

    #[test]
    fn the_time_until_a_certificate_ends_is_counted_down_and_below_zero() {
        let authority = Authority::new();
        let ours = authority.issue(&["client.example"]);
        let identity = Identity::new(Material {
            certificate: ours.certificate.as_bytes(),
            key: ours.key.as_bytes(),
            authorities: authority.certificate.as_bytes(),
        })
        .unwrap();
        let at = |unix: i64| {
            let unix = Duration::from_secs(u64::try_from(unix).unwrap());
            identity.seconds_left(SystemTime::UNIX_EPOCH + unix)
        };
        assert_eq!(at(EXPIRES - 60), 60);
        assert_eq!(at(EXPIRES + 1), -1);
    }

    #[test]
    fn a_server_is_known_by_its_address_unless_it_has_a_name() {
        let address: IpAddr = "192.0.2.5".parse().unwrap();
        assert_eq!(
            server_name(None, address),
            Ok(ServerName::IpAddress(address.into()))
        );
        assert_eq!(
            server_name(Some("radius.example"), address),
            Ok(ServerName::try_from("radius.example").unwrap())
        );
        assert!(server_name(Some("not a name"), address).is_err());
    }
}
