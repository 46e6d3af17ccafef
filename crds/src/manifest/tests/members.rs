//! What members of a cluster share: what of it is refused, and what it becomes.

use super::*;
use crate::cluster::{AnnounceMode, Durability, ElectionProfile};

const REDIS: &str = "\
---
apiVersion: v1
kind: Secret
metadata: { name: redis }
stringData: { username: hunter-user, password: hunter-password }
";

const CA: &str = "\
---
apiVersion: v1
kind: Secret
metadata: { name: ca }
stringData: { ca.crt: \"-----BEGIN CERTIFICATE-----\" }
";

const PEERS: &str = "\
---
apiVersion: v1
kind: Secret
metadata: { name: peers }
type: kubernetes.io/tls
stringData:
  tls.crt: \"-----BEGIN CERTIFICATE-----\"
  tls.key: \"-----BEGIN PRIVATE KEY-----\"
  ca.crt: \"-----BEGIN CERTIFICATE-----\"
";

/// The minimal example with these lines in its spec, and with the Secrets of members.
fn member(lines: &str) -> String {
    format!(
        "{}{REDIS}{CA}{PEERS}",
        with(SPEC, &format!("spec:\n{lines}"))
    )
}

/// A store with these fields behind its URL, and peers.
fn store(url: &str, fields: &str) -> String {
    member(&format!(
        "  store: {{ redis: {{ url: \"{url}\"{fields} }} }}\n  peers: {{ tlsSecretRef: {{ name: peers }} }}\n"
    ))
}

/// What is said of a text, without the warnings' share: a refused manifest has none.
fn said(text: &str) -> Vec<String> {
    let said = parse(text).err().unwrap_or_default();
    for secret in ["hunter", "BEGIN"] {
        assert!(!said.iter().any(|line| line.contains(secret)), "{said:?}");
    }
    said
}

#[test]
fn what_members_share_becomes_what_it_says_and_the_defaults() {
    let manifest = parse(MINIMAL).unwrap();
    let spec = &manifest.cluster.spec;
    assert_eq!((&spec.store, &spec.peers), (&None, &None));
    assert_eq!(spec.forwarding.staleness_seconds, 600);
    assert_eq!(spec.election.profile, ElectionProfile::Default);

    let manifest = parse(&store(
        "rediss://redis",
        ", credentialsSecretRef: { name: redis }, caSecretRef: { name: ca }",
    ))
    .unwrap();
    let spec = &manifest.cluster.spec;
    let redis = &spec.store.as_ref().unwrap().redis;
    assert_eq!(redis.durability, Durability::Replicated);
    assert_eq!((redis.replicas, redis.wanted_replicas()), (None, 1));
    assert_eq!(spec.peers.as_ref().unwrap().port, 1702);
    let secret = &manifest.stores["redis"];
    assert!(secret.password.is(b"hunter-password"));
    assert!(secret.user.as_ref().unwrap().is(b"hunter-user"));
    assert!(manifest.authorities["ca"].is(b"-----BEGIN CERTIFICATE-----"));
    assert!(manifest.tls["peers"].key.is(b"-----BEGIN PRIVATE KEY-----"));
    assert_eq!(manifest.warnings, [""; 0]);
    let shown = format!("{manifest:?}{}", manifest.without_secrets().unwrap());
    assert!(!shown.contains("hunter") && !shown.contains("BEGIN"));

    let manifest = parse(&store("unix:///run/redis.sock", ", durability: Single")).unwrap();
    let store = manifest.cluster.spec.store.unwrap();
    assert_eq!(store.redis.wanted_replicas(), 0);
}

#[test]
fn how_the_addresses_are_announced() {
    let l2 = with(
        ADDRESSES,
        "addresses: [192.0.2.1]\n    announce: { mode: L2 }",
    );
    let spec = parse(&l2).unwrap().cluster.spec;
    assert_eq!(spec.service.announce.mode, AnnounceMode::L2);
    refused(&[
        (
            SPEC,
            "spec:\n  datapath: { accessInterface: lns0 }\n",
            &[
                r#"LnsCluster/edge: spec.datapath.accessInterface: "lns0" leads to no LAC: lns0 is the subscribers, lo this machine"#,
            ],
        ),
        (
            SPEC,
            "spec:\n  datapath: { accessInterface: eth/0 }\n",
            &[
                r#"LnsCluster/edge: spec.datapath.accessInterface: "eth/0" is no name of a network interface: no blanks, slashes or colons"#,
            ],
        ),
    ]);
}

#[test]
fn a_url_that_is_no_store_is_refused_and_one_with_a_password_is_not_repeated() {
    for url in [
        "redis://redis",
        "rediss://redis.isp.svc:7000/",
        "rediss://10.0.0.1/3",
        "redis://[2001:db8::1]:1",
        "unix:///run/redis.sock",
    ] {
        assert_eq!(said(&store(url, "")), [""; 0], "{url}");
    }
    for url in [
        "redis",
        "http://redis",
        "redis://",
        "unix://",
        "redis://redis?db=1",
        "redis://redis/one",
        "redis://redis/1/2",
    ] {
        assert_eq!(
            said(&store(url, "")),
            [format!(
                "LnsCluster/edge: spec.store.redis.url: \"{url}\" is no store: redis://HOST:PORT, rediss://HOST:PORT (TLS) or unix:///PATH; behind HOST:PORT may stand /DATABASE"
            )]
        );
    }
    assert_eq!(
        said(&store("redis://:hunter2@redis", "")),
        [
            "LnsCluster/edge: spec.store.redis.url: has a user or a password in it, where everybody can read them; name a Secret in credentialsSecretRef"
        ]
    );
}

#[test]
fn parts_of_a_store_that_contradict_each_other() {
    for (url, fields, line) in [
        (
            "redis://redis",
            ", caSecretRef: { name: ca }",
            "caSecretRef: must be absent without TLS; write rediss:// in the URL",
        ),
        (
            "unix:///run/redis.sock",
            ", sentinel: { master: lns, addresses: [a] }",
            "sentinel: must be absent with a unix:// URL: what Sentinels tell are addresses",
        ),
        (
            "redis://redis",
            ", replicas: 2, durability: Single",
            "replicas: must be absent with durability: Single, which waits for no replica",
        ),
        (
            "redis://redis",
            ", sentinel: { master: \"a b\", addresses: [a] }",
            "sentinel.master: \"a b\" is no name of a master: letters, digits, dots, hyphens and underscores only",
        ),
        (
            "redis://redis",
            ", sentinel: { master: lns, addresses: [a, \"a:b\"] }",
            "sentinel.addresses[1]: \"a:b\" is no address of a Sentinel: HOST, HOST:PORT or [IPV6]:PORT",
        ),
    ] {
        let line = format!("LnsCluster/edge: spec.store.redis.{line}");
        assert_eq!(said(&store(url, fields)), [line]);
    }
    let addresses =
        "[sentinel, 10.0.0.1, \"10.0.0.1:5000\", \"[2001:db8::1]:5000\", \"2001:db8::1\"]";
    let fields = format!(", sentinel: {{ master: lns, addresses: {addresses} }}");
    assert_eq!(said(&store("redis://redis", &fields)), [""; 0]);
}

#[test]
fn store_and_peers_come_together() {
    assert_eq!(
        said(&member("  store: { redis: { url: redis://redis } }\n")),
        [
            "LnsCluster/edge: spec.peers: is required with spec.store: members that share a store talk to each other; name a Secret in peers.tlsSecretRef"
        ]
    );
    assert_eq!(
        said(&member("  peers: { tlsSecretRef: { name: peers } }\n")),
        [
            "LnsCluster/edge: spec.store: is required with spec.peers: members that talk to each other share a store; give store.redis.url"
        ]
    );
}

#[test]
fn nobody_forwards_by_himself_for_less_time_than_an_election_takes() {
    refused(&[
        (
            SPEC,
            "spec:\n  forwarding: { stalenessSeconds: 59 }\n",
            &["LnsCluster/edge: spec.forwarding.stalenessSeconds: 59 is not within 60 to 86400"],
        ),
        (
            SPEC,
            "spec:\n  forwarding: { stalenessSeconds: 119 }\n  election: { profile: Slow }\n",
            &[
                "LnsCluster/edge: spec.forwarding.stalenessSeconds: is less than 120 with election.profile: Slow, by which a takeover alone can take 50 seconds",
            ],
        ),
    ]);
    let slow = "spec:\n  forwarding: { stalenessSeconds: 120 }\n  election: { profile: Slow }\n";
    assert!(parse(&with(SPEC, slow)).is_ok());
    assert!(
        parse(&with(
            SPEC,
            "spec:\n  forwarding: { stalenessSeconds: 60 }\n"
        ))
        .is_ok()
    );
}

#[test]
fn secrets_of_members_that_are_wrong() {
    let text = store(
        "rediss://redis",
        ", credentialsSecretRef: { name: redis }, caSecretRef: { name: ca }",
    );
    for (from, to, line) in [
        (
            "password: hunter-password",
            "password: \"\"",
            "Secret/redis: password: is empty",
        ),
        (
            "username: hunter-user, password: hunter-password",
            "username: hunter-user",
            "LnsCluster/edge: spec.store.redis.credentialsSecretRef.name: Secret \"redis\" has no key password",
        ),
        (
            "username: hunter-user",
            "user: hunter-user",
            "Secret/redis: stringData.user: unknown field; known here: username, password",
        ),
        (
            "stringData: { username: hunter-user, password: hunter-password }",
            "data: { username: /w==, password: aHVudGVy }",
            "Secret/redis: username: is no UTF-8 text",
        ),
        (
            "{ ca.crt: \"-----BEGIN CERTIFICATE-----\" }",
            "{ ca.crt: hunter }",
            "Secret/ca: ca.crt: has no line -----BEGIN CERTIFICATE-----: it is no PEM text",
        ),
        (
            "caSecretRef: { name: ca }",
            "caSecretRef: { name: peers }",
            "LnsCluster/edge: spec.peers.tlsSecretRef.name: Secret \"peers\" is named elsewhere for the authorities of a store, and cannot be for TLS too",
        ),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let said = parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(!said.iter().any(|line| line.contains("hunter")), "{said:?}");
        assert!(said.iter().any(|found| found == line), "{line}: {said:?}");
    }
    let basic = "metadata: { name: redis }\n";
    assert_eq!(text.matches(basic).count(), 1);
    let basic = text.replace(basic, &format!("{basic}type: kubernetes.io/basic-auth\n"));
    assert!(parse(&basic).is_ok());
    let blank = text.replace("hunter-password", "\"hunter \"");
    assert_eq!(
        parse(&blank).unwrap().warnings,
        [
            "Secret/redis: password: ends in a blank or a line end, which is sent with it; most stores have none there"
        ]
    );
}
