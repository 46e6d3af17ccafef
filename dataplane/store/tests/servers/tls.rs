//! TLS with an authority of the test's own.

use core::time::Duration;
use lns_store::{Reason, Redis};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use tempfile::TempDir;

use crate::rig::{Process, claim, config, free_port, mark, put, up, write};

/// An authority, and a certificate of it for these names, in files of a folder.
struct Authority {
    folder: TempDir,
    certificate: String,
}

impl Authority {
    fn new(name: &str, names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let issued = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", issued.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self {
            folder,
            certificate: authority.pem(),
        }
    }

    /// A server that shows the certificate.
    async fn server(&self, clients: &str) -> Process {
        let (port, path) = (free_port(), |name| {
            self.folder.path().join(name).display().to_string()
        });
        let options = [
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &path("cert.pem"),
            "--tls-key-file",
            &path("key.pem"),
            "--tls-ca-cert-file",
            &path("ca.pem"),
            "--tls-auth-clients",
            clients,
        ];
        Process::listening(port, &options).await
    }
}

/// Why a client that believes in `authority` has no connection.
async fn told(server: &Process, scheme: &str, authority: Option<&str>) -> String {
    let mut config = config(&format!("{scheme}://127.0.0.1:{}", server.port));
    config.authorities = authority.map(|pem| pem.as_bytes().to_vec());
    config.timing.connect = Duration::from_secs(4);
    let reason = Redis::probe(config).await.unwrap_err();
    reason
        .to_string()
        .replace(&format!("127.0.0.1:{}", server.port), "ADDR")
}

#[tokio::test]
async fn records_are_written_over_tls_to_a_server_that_is_believed() {
    let authority = Authority::new("one", &["127.0.0.1"]);
    let server = authority.server("no").await;
    let mut config = config(&format!("rediss://127.0.0.1:{}", server.port));
    config.authorities = Some(authority.certificate.clone().into_bytes());
    let store = Redis::start(config).unwrap();
    up(&store).await;
    claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_believed_is_told_with_what_to_look_at() {
    let authority = Authority::new("one", &["127.0.0.1"]);
    let server = authority.server("no").await;
    let other = Authority::new("other", &["redis.example"]);
    let told_by = told(&server, "rediss", Some(&other.certificate)).await;
    assert_eq!(
        told_by,
        "store.redis: no TLS with ADDR (invalid peer certificate: UnknownIssuer): its certificate is of another authority than that of store.redis.caSecretRef"
    );
    let anew = Authority::new("one", &[]);
    let told_by = told(&server, "rediss", Some(&anew.certificate)).await;
    assert!(
        told_by.ends_with("of another authority than that of store.redis.caSecretRef"),
        "{told_by}"
    );
    let elsewhere = other.server("no").await;
    let told_by = told(&elsewhere, "rediss", Some(&other.certificate)).await;
    assert!(
        told_by.ends_with(
            "its certificate must have the host of the URL, or the address that the Sentinels tell"
        ),
        "{told_by}"
    );
    // One that wants a certificate of ours.
    let strict = authority.server("yes").await;
    let told_by = told(&strict, "rediss", Some(&authority.certificate)).await;
    assert!(told_by.ends_with("set tls-auth-clients no)"), "{told_by}");
}

#[tokio::test]
async fn tls_on_one_side_only_is_told() {
    let authority = Authority::new("one", &["127.0.0.1"]);
    let plain = Process::start().await;
    let told_by = told(&plain, "rediss", Some(&authority.certificate)).await;
    assert!(
        told_by.ends_with("if it speaks no TLS, the URL is redis://"),
        "{told_by}"
    );
    let server = authority.server("no").await;
    let told_by = told(&server, "redis", None).await;
    assert!(
        told_by.ends_with("if it speaks TLS only, the URL is rediss://)"),
        "{told_by}"
    );
}

#[tokio::test]
async fn an_authority_that_is_none_is_told_before_anything_is_tried() {
    for (pem, line) in [
        ("", "there is no certificate"),
        ("no PEM", "there is no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "this is no authority (invalid peer certificate: BadEncoding)",
        ),
    ] {
        let mut config = config("rediss://127.0.0.1:1");
        config.authorities = Some(pem.into());
        let reason = Redis::start(config).unwrap_err();
        assert_eq!(reason, Reason::Authorities(line.into()));
    }
}
