//! Certificates that tests make for themselves.

use lns_cluster::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::{Credentials, Material};
use crate::cluster::ClusterId;

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
        self.issue_with(names, |_| {})
    }

    /// The same, that ended in 2001.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |params| {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        })
    }

    /// The same, for these uses only.
    pub(crate) fn issue_for(&self, names: &[&str], uses: &[ExtendedKeyUsagePurpose]) -> Issued {
        self.issue_with(names, |params| params.extended_key_usages = uses.to_vec())
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2090, 1, 2);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Issued {
    /// As a Secret with this authority.
    pub(crate) fn with<'a>(&'a self, authority: &'a Authority) -> Material<'a> {
        Material {
            certificate: self.certificate.as_bytes(),
            key: self.key.as_bytes(),
            authorities: authority.certificate.as_bytes(),
        }
    }

    /// What a member has that shows this and believes `authority`.
    pub(crate) fn credentials(
        &self,
        authority: &Authority,
        cluster: &ClusterId,
        node: &str,
    ) -> Credentials {
        let node = NodeName::new(node).unwrap();
        Credentials::new(self.with(authority), cluster, &node).unwrap()
    }
}
