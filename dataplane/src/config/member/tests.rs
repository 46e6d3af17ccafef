//! What a member makes of a manifest, what it lacks, and what of a change it can do.

use lns_api::parse_manifest;
use lns_store::{Address, Endpoint, Space, Target};

use super::*;

const FULL: &str = include_str!("../../../../crds/examples/full.yaml");

/// An address of version 6, which L2 mode does not take, is left out.
fn manifest(edits: &[(&str, &str)]) -> Manifest {
    let mut text = FULL.replace(", \"2001:db8::1\"]", "]").replace(
        "from: [198.51.100.0/24, \"2001:db8:a::/48\"]",
        "from: [198.51.100.0/24]",
    );
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from:?}");
        text = text.replacen(from, to, 1);
    }
    parse_manifest([("full.yaml", text.as_str())]).unwrap()
}

fn setup(edits: &[(&str, &str)]) -> ClusterSetup {
    ClusterSetup::new(&manifest(edits)).unwrap()
}

/// The lines that are told.
fn said(edits: &[(&str, &str)]) -> Vec<String> {
    let errors = ClusterSetup::new(&manifest(edits)).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

const STORE: &str = "  store:\n    redis:\n      url: \"rediss://redis:6379/0\" ";
const SENTINEL: &str = "      sentinel: { master: lns, addresses: [\"sentinel-0:26379\", \"sentinel-1:26379\", \"sentinel-2:26379\"] }\n";
const L2: (&str, &str) = ("mode: External }", "mode: L2 }");

#[test]
fn a_manifest_becomes_what_a_member_needs() {
    let setup = setup(&[(SENTINEL, "")]);
    assert_eq!(setup.staleness, Duration::from_secs(600));
    assert_eq!(setup.profile, Profile::DEFAULT);
    assert_eq!(setup.peers.port, 1702);
    assert_eq!(setup.store.settings().replicas, 1);
    let config = setup.store.config();
    let endpoint = Endpoint {
        address: Address::Tcp {
            host: "redis".into(),
            port: 6379,
        },
        tls: true,
        database: 0,
    };
    assert_eq!(config.target, Target::Server(endpoint));
    assert_eq!(config.space, Space::new("lns", "edge").unwrap());
    assert_eq!(config.durability, lns_store::Durability::Replicated);
    let credentials = config.credentials.unwrap();
    assert_eq!(credentials.user.as_deref(), Some("lns-member"));
    assert!(credentials.password.is(b"change me four"));
    let authorities = config.authorities.unwrap();
    assert!(authorities.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let plan = setup
        .gate
        .plan(BTreeSet::from(["eth1".to_owned()]))
        .unwrap();
    assert_eq!(plan.cluster, "lns/edge");
    assert_eq!(plan.nas, Some("192.0.2.10".parse().unwrap()));
    assert_eq!(plan.announce, Announce::External);
    assert_eq!(plan.subscribers, "lns0");
    let shown = format!("{setup:?}");
    for secret in ["change me", "lns-member", "BEGIN"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn sentinels_are_asked_where_the_manifest_names_them() {
    let config = setup(&[]).store.config();
    let Target::Sentinel {
        master,
        sentinels,
        tls,
        database,
    } = config.target
    else {
        panic!("{:?}", config.target);
    };
    assert_eq!(
        (&*master, sentinels.len(), tls, database),
        ("lns", 3, true, 0)
    );
}

#[test]
fn a_server_that_may_be_alone_is_waited_for_by_nobody() {
    let single = setup(&[
        ("      replicas: 1 ", "      "),
        ("durability: Replicated", "durability: Single"),
    ]);
    assert_eq!(single.store.settings().replicas, 0);
    assert_eq!(
        single.store.config().durability,
        lns_store::Durability::Single
    );
}

#[test]
fn the_profiles_are_those_of_the_elector() {
    let profile = |name| setup(&[("profile: Default", &format!("profile: {name}"))]).profile;
    assert_eq!(profile("Fast"), Profile::FAST);
    assert_eq!(profile("Slow"), Profile::SLOW);
}

#[test]
fn the_gate_is_on_the_ways_to_all_who_are_spoken_with() {
    let ways = setup(&[]).gate.ways;
    assert_eq!(ways.core.as_deref(), Some("eth2"));
    assert_eq!(ways.access.as_deref(), Some("eth1"));
    let others: Vec<_> = ways.others.iter().map(ToString::to_string).collect();
    assert_eq!(
        others,
        [
            "10.0.0.5/32",
            "10.0.0.7/32",
            "10.0.1.5/32",
            "10.0.2.5/32",
            "198.51.100.0/24",
            "203.0.113.200/32"
        ]
    );
}

#[test]
fn what_a_member_lacks_is_told_by_field() {
    let text = FULL.replace(
        "peers: { port: 1702, tlsSecretRef: { name: edge-peers } }",
        "",
    );
    let (head, rest) = text.split_once(STORE).unwrap();
    let (_, tail) = rest.split_once("  forwarding:").unwrap();
    let text = format!("{head}  forwarding:{tail}");
    let manifest = parse_manifest([("full.yaml", text.as_str())]).unwrap();
    let errors = ClusterSetup::new(&manifest).unwrap_err();
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "LnsCluster/edge: spec.store: is required by a member of a cluster: give store.redis.url",
            "LnsCluster/edge: spec.peers: is required by a member of a cluster: name a Secret in peers.tlsSecretRef",
        ]
    );
}

#[test]
fn a_store_whose_url_cannot_be_read_is_told_by_field() {
    // The rules of the schema cannot tell a number of a database from one that is too large.
    assert_eq!(
        said(&[("6379/0", "6379/99999999999")]),
        ["LnsCluster/edge: spec.store.redis.url: the path of the URL is the number of a database"]
    );
    assert_eq!(
        said(&[("sentinel-1:26379", "sentinel-1:99999")]),
        [
            "LnsCluster/edge: spec.store.redis.sentinel.addresses[1]: an address is HOST, HOST:PORT or [IPV6]:PORT"
        ]
    );
}

#[test]
fn radius_of_a_cluster_has_an_address_of_its_own() {
    let (field, none) = ("    nasAddress: 192.0.2.10 ", "    ");
    assert_eq!(
        said(&[(field, none)]),
        [
            "LnsCluster/edge: spec.radius.nasAddress: is required by a member of a cluster: it moves with the master, and servers know the cluster by it"
        ]
    );
    assert_eq!(
        said(&[("nasAddress: 192.0.2.10", "nasAddress: 192.0.2.1")]),
        [
            "LnsCluster/edge: spec.radius.nasAddress: \"192.0.2.1\" is a service address, at which every member answers; only the master may at this one: take another address"
        ]
    );
}

#[test]
fn arp_needs_an_interface_and_addresses_that_it_knows() {
    let l2 = setup(&[L2]);
    let interfaces = BTreeSet::from(["eth1".to_owned(), "eth2".to_owned()]);
    let plan = l2.gate.plan(interfaces).unwrap();
    let interface = "eth1".to_owned();
    assert_eq!(plan.announce, Announce::L2 { interface });
    let elsewhere = BTreeSet::from(["eth2".to_owned()]);
    assert_eq!(
        l2.gate.plan(elsewhere),
        Err(PlanError::Access("eth1".to_owned()))
    );
    assert_eq!(
        said(&[
            L2,
            ("accessInterface: eth1 ", ""),
            (
                "addresses: [192.0.2.1]",
                "addresses: [192.0.2.1, \"2001:db8::1\"]"
            ),
        ]),
        [
            "LnsCluster/edge: spec.datapath.accessInterface: is required with service.announce.mode: L2; name the interface on which ARP is answered",
            "LnsCluster/edge: spec.service.addresses[1]: \"2001:db8::1\" is announced by nobody: ARP (service.announce.mode: L2) knows IPv4 only",
        ]
    );
}

#[test]
fn a_change_is_told_by_what_it_asks_for() {
    let running = setup(&[]);
    let of = |edit| {
        let newer = setup(&[edit]);
        (running.changes(&newer), running.needs_restart(&newer))
    };
    let nothing = Changes::default();
    assert_eq!(of(("site: north", "site: south")), (nothing, vec![]));
    let store = Changes {
        store: true,
        ..nothing
    };
    for edit in [
        ("master: lns,", "master: other,"),
        ("replicas: 1", "replicas: 2"),
        ("change me four", "change me five"),
        ("username: lns-member, ", ""),
    ] {
        assert_eq!(of(edit), (store, vec![]), "{edit:?}");
    }
    let gate = Changes {
        gate: true,
        ..nothing
    };
    for edit in [
        L2,
        ("accessInterface: eth1", "accessInterface: eth3"),
        ("nasAddress: 192.0.2.10", "nasAddress: 192.0.2.11"),
        ("interface: eth2", "interface: eth4"),
        ("address: 10.0.2.5", "address: 10.0.2.6"),
    ] {
        assert_eq!(of(edit), (gate, vec![]), "{edit:?}");
    }
    let staleness = Changes {
        staleness: true,
        ..nothing
    };
    assert_eq!(
        of(("stalenessSeconds: 600", "stalenessSeconds: 601")),
        (staleness, vec![])
    );
    let credentials = Changes {
        credentials: true,
        ..nothing
    };
    let edit = (
        "tlsSecretRef: { name: edge-peers }",
        "tlsSecretRef: { name: radsec }",
    );
    assert_eq!(of(edit), (credentials, vec![]));
    assert_eq!(
        of(("peers: { port: 1702", "peers: { port: 1703")),
        (nothing, vec!["spec.peers.port"])
    );
    assert_eq!(
        of(("profile: Default", "profile: Fast")),
        (nothing, vec!["spec.election.profile"])
    );
}

#[test]
fn a_certificate_is_shown_to_peers_only_if_they_believe_it() {
    let node = NodeName::new("a").unwrap();
    let uid = "6d0d5b5c-2a6f-4a4e-9a2e-0d4d7a3b8c11";
    let (cluster, _) = setup(&[]).peers.credentials(uid, &node).unwrap();
    assert_eq!(cluster.member_name(), "edge.lns.peers.kubelns.io");
    let edit = (
        "tlsSecretRef: { name: edge-peers }",
        "tlsSecretRef: { name: radsec }",
    );
    let wrong = setup(&[edit]).peers.credentials(uid, &node).unwrap_err();
    assert_eq!(
        wrong,
        "LnsCluster/edge: spec.peers.tlsSecretRef: tls.crt: its subjectAltName has neither the DNS name edge.lns.peers.kubelns.io nor a.edge.lns.peers.kubelns.io: no member would believe it"
    );
}
