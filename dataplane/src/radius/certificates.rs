//! Certificates that tests make for themselves, and a RadSec server that shows them.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::tls::{Identity, Material};

/// When they end, seconds since 1970.
pub(crate) const EXPIRES: i64 = 3_786_998_400;

/// Who issues them.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// PEM
    pub(crate) certificate: String,
}

/// One of them.
pub(crate) struct Issued {
    /// PEM
    pub(crate) certificate: String,
    /// PEM
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certificate = issuer.pem();
        Self {
            issuer,
            certificate,
        }
    }

    /// For these host names or addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(2090, 1, 2);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// What a client has that shows `issued` and believes this authority.
    pub(crate) fn identity(&self, issued: &Issued) -> Identity {
        let material = Material {
            certificate: issued.certificate.as_bytes(),
            key: issued.key.as_bytes(),
            authorities: self.certificate.as_bytes(),
        };
        Identity::new(material).unwrap()
    }

    /// A server that shows `issued` and wants a certificate of this authority.
    pub(crate) fn acceptor(&self, issued: &Issued) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.certificate)).unwrap();
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![certificate(&issued.certificate)], key)
            .unwrap();
        config.alpn_protocols = vec![b"radius/1.1".to_vec(), b"radius/1.0".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
