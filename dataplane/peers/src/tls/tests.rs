//! Secrets that are of use, and those that are not. What goes over sockets is in `crate::tests`.

use super::certificates::{Authority, EXPIRES};
use super::*;

fn edge() -> ClusterId {
    ClusterId::new("lns", "edge", "7d1c").unwrap()
}

fn node() -> NodeName {
    NodeName::new("n1").unwrap()
}

const MEMBER: &str = "edge.lns.peers.kubelns.io";

#[test]
fn a_secret_without_one_of_its_parts_is_refused_by_the_name_of_the_part() {
    let authority = Authority::new();
    let (ours, other) = (authority.issue(&[MEMBER]), authority.issue(&[MEMBER]));
    let good = ours.with(&authority);
    assert!(Credentials::new(good, &edge(), &node()).is_ok());
    let refused = |material| {
        let read = Credentials::new(material, &edge(), &node());
        read.unwrap_err().to_string()
    };
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
fn a_certificate_that_no_member_would_believe_is_refused_when_it_is_read() {
    let authority = Authority::new();
    for names in [
        &["n1"][..],
        &["other.lns.peers.kubelns.io"],
        &["n2.edge.lns.peers.kubelns.io"],
        &["*.edge.lns.peers.kubelns.io"],
        &["192.0.2.1"],
        &[],
    ] {
        let issued = authority.issue(names);
        let refused = Credentials::new(issued.with(&authority), &edge(), &node());
        assert_eq!(
            refused.unwrap_err().to_string(),
            "tls.crt: its subjectAltName has neither the DNS name edge.lns.peers.kubelns.io nor \
             n1.edge.lns.peers.kubelns.io: no member would believe it",
            "{names:?}"
        );
    }
    for names in [
        &[MEMBER][..],
        &["x.example", "n1.edge.lns.peers.kubelns.io"],
    ] {
        let issued = authority.issue(names);
        assert!(Credentials::new(issued.with(&authority), &edge(), &node()).is_ok());
    }
}

#[test]
fn the_time_until_a_certificate_ends_is_counted_down_and_below_zero() {
    let authority = Authority::new();
    let issued = authority.issue(&[MEMBER]);
    let credentials = issued.credentials(&authority, &edge(), "n1");
    let at = |unix: i64| {
        let unix = Duration::from_secs(u64::try_from(unix).unwrap());
        credentials.seconds_left(SystemTime::UNIX_EPOCH + unix)
    };
    assert_eq!(at(EXPIRES - 60), 60);
    assert_eq!(at(EXPIRES + 1), -1);
}
