//! Certificates that a run makes for itself: for RADIUS over TLS, and for the members of a cluster.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its key.
    pub(crate) key: String,
}

impl Authority {
    /// One that nobody else knows.
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of a scenario");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// Its own certificate, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this host name or address.
    pub(crate) fn issue(&self, name: &str) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        Ok(Issued {
            certificate: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A `Secret` of type `kubernetes.io/tls` in the namespace `lns`: a certificate with its key, and whom its owner
/// believes.
pub(crate) fn secret(name: &str, issued: &Issued, authority: &Authority) -> String {
    let key = |name: &str, pem: &str| {
        let lines: String = pem.lines().map(|line| format!("    {line}\n")).collect();
        format!("  {name}: |\n{lines}")
    };
    format!(
        "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\n\
         metadata: {{ name: {name}, namespace: lns }}\nstringData:\n{}{}{}",
        key("tls.crt", &issued.certificate),
        key("tls.key", &issued.key),
        key("ca.crt", &authority.pem())
    )
}

#[cfg(test)]
mod tests {
    use lns_cluster::NodeName;
    use lns_peers::{ClusterId, Credentials, Material};

    use super::*;

    /// The name that a certificate of any member of the cluster `edge` in `lns` has.
    const MEMBER: &str = "edge.lns.peers.kubelns.io";

    #[test]
    fn members_take_what_the_authority_issues_for_their_cluster() {
        let authority = Authority::new().unwrap();
        let authorities = authority.pem();
        let cluster = ClusterId::new("lns", "edge", "0-1").unwrap();
        let node = NodeName::new("n1").unwrap();
        let accepted = |name: &str| {
            let issued = authority.issue(name).unwrap();
            let material = Material {
                certificate: issued.certificate.as_bytes(),
                key: issued.key.as_bytes(),
                authorities: authorities.as_bytes(),
            };
            Credentials::new(material, &cluster, &node).is_ok()
        };
        assert!(accepted(MEMBER));
        assert!(!accepted("other.lns.peers.kubelns.io"));
    }
}
