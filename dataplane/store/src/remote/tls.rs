//! TLS with a server: which authorities are believed, and what is told when there is none.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Address;
use crate::error::Reason;

/// Who is believed.
pub(crate) struct Trust(TlsConnector);

impl core::fmt::Debug for Trust {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Trust(..)")
    }
}

impl Trust {
    /// In these authorities (PEM), or in those of the system.
    ///
    /// # Errors
    /// There are none, or what is given is none.
    pub(crate) fn new(authorities: Option<&[u8]>) -> Result<Self, Reason> {
        let roots = match authorities {
            Some(pem) => configured(pem)?,
            None => systems()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Reason::Authorities(error.to_string().into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// TLS over a stream, with a server whose certificate names `host`.
    ///
    /// # Errors
    /// The server is not believed, or does not speak TLS.
    pub(crate) async fn connect(
        &self,
        host: &str,
        address: &Address,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, Reason> {
        let refused = |error: &io::Error| Reason::Tls {
            address: address.to_string().into(),
            why: error.to_string().into(),
            advice: advice(error),
        };
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| refused(&io::Error::other(error)))?;
        let connected = timeout(limit, self.0.connect(name, stream)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|error| refused(&error))
    }
}

fn configured(pem: &[u8]) -> Result<RootCertStore, Reason> {
    let unfit = |why: String| Reason::Authorities(why.into());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| unfit(format!("unreadable PEM ({error:?})")))?;
        let added = roots.add(certificate);
        added.map_err(|error| unfit(format!("this is no authority ({error})")))?;
    }
    if roots.is_empty() {
        return Err(unfit("there is no certificate".to_owned()));
    }
    Ok(roots)
}

fn systems() -> Result<RootCertStore, Reason> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let why = "rediss:// without an authority, and this system has none";
        return Err(Reason::Authorities(why.into()));
    }
    Ok(roots)
}

/// What to look at.
fn advice(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        // An authority that was made anew has the name of the old one, and another key.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "its certificate is of another authority than that of store.redis.caSecretRef",
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            "its certificate must have the host of the URL, or the address that the Sentinels tell"
        }
        Some(rustls::Error::InvalidCertificate(_)) => "give it another certificate",
        _ => "if it speaks no TLS, the URL is redis://",
    }
}
