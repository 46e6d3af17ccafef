//! What a manifest becomes, and what of it needs a restart.

use std::fs;

use super::*;

const MANIFEST: &str = r#"
apiVersion: kubelns.io/v1alpha1
kind: LnsCluster
metadata: { name: edge, namespace: lns }
spec:
  service: { addresses: [192.0.2.1, "2001:db8::1"], port: 1702, hostName: lns1.isp.example }
  lacs:
  - name: wholesale-a
    from: [198.51.100.0/24]
    hostName: "lac*"
    tunnelAuthentication: { mode: Secret, secretRef: { name: wholesale-a }, avpHiding: Always }
    admission: Drain
    limits: { maxTunnels: 16, maxSessions: 20000, maxSetupsPerSecond: 1000 }
    helloSeconds: 30
    lcpRenegotiation: Always
    pathMtu: 1480
    authentication: [PAP]
  - name: wholesale-b
    from: ["2001:db8:1::/48"]
    tunnelAuthentication: { mode: None }
  ppp:
    authentication: [MSCHAPv2, CHAP]
    proxiedAuthentication: Ignore
    mru: 1400
    dns: [192.0.2.53]
    rechallengeSeconds: 300
    echo: { intervalSeconds: 20, failures: 3 }
  core: { isolation: Open, interface: core0 }
  subscribers:
    localUsers: { secretRef: { name: users } }
    defaultPolicyRefs: [{ name: silver }, { name: gold }]
    unknownFilterId: Refuse
    duplicates: { key: [UserName, NASPortId], action: Replace }
    idleSeconds: 600
    sessionSeconds: 86400
  pools:
  - name: default
    localAddress: 100.64.0.1
    prefixes:
    - { cidr: 100.64.0.0/16, exclude: [100.64.0.0/28] }
    - { cidr: 10.0.0.0/24, allocation: Disabled }
    reuseDelaySeconds: 5
  datapath: { mode: TUN, workers: 3, sessionTable: { perSession: 40, entries: 1000 } }
---
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: silver, namespace: lns }
spec: { clusterRefs: [{ name: edge }] }
---
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: gold, namespace: lns }
spec: { clusterRefs: [{ name: edge }], filterIds: [GOLD] }
---
apiVersion: v1
kind: Secret
metadata: { name: wholesale-a, namespace: lns }
stringData: { current: a-secret-of-some-length, previous: another-secret-of-some }
---
apiVersion: v1
kind: Secret
metadata: { name: users, namespace: lns }
stringData:
  users.yaml: |
    alice: a-password
    bob: { password: b-password, policies: [silver, GOLD], address: 203.0.113.7 }
    carol: { password: c-password, address: 100.64.1.1 }
"#;

fn manifest(replace: &[(&str, &str)]) -> Manifest {
    let mut text = MANIFEST.to_owned();
    for (old, new) in replace {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.yaml");
    fs::write(&path, text).unwrap();
    lns_api::read_manifest(&path).unwrap()
}

fn setup(replace: &[(&str, &str)]) -> Setup {
    Setup::new(&manifest(replace)).unwrap()
}

#[test]
fn every_field_of_a_lac_reaches_the_node() {
    let Setup { node, .. } = setup(&[]);
    let [first, second] = &node.lacs[..] else {
        panic!("{:?}", node.lacs)
    };
    assert_eq!(
        (&*first.name, first.host_name.as_str(), first.admission),
        ("wholesale-a", "lac*", node::Admission::Drain)
    );
    assert_eq!(first.from, ["198.51.100.0/24".parse().unwrap()]);
    let secret = first.secret.as_ref().unwrap();
    assert!(secret.current.is(b"a-secret-of-some-length"));
    assert!(
        secret
            .previous
            .as_ref()
            .unwrap()
            .is(b"another-secret-of-some")
    );
    assert_eq!(
        first.limits,
        node::LacLimits {
            max_tunnels: 16,
            max_sessions: 20_000,
            max_setups_per_second: 1000
        }
    );
    assert_eq!(
        (first.hello, first.path_mtu),
        (Duration::from_secs(30), 1480)
    );
    assert_eq!(first.lcp_renegotiation, node::LcpRenegotiation::Always);
    assert_eq!(first.authentication, Some(vec![node::Authentication::Pap]));
    assert_eq!(
        (second.secret.is_none(), second.authentication.is_none()),
        (true, true)
    );
    assert_eq!((first.hide_avps, second.hide_avps), (true, false));
}

#[test]
fn ppp_and_subscribers_reach_the_node() {
    let Setup { node, flows, .. } = setup(&[]);
    assert_eq!((flows.options.per_port, flows.entries.number), (40, 1000));
    let names: Vec<_> = node.policies.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["gold", "silver"]);
    assert_eq!(node.host_name.octets(), b"lns1.isp.example");
    let node::Ppp {
        authentication,
        use_proxied_authentication,
        mru,
        dns,
        rechallenge,
        echo_interval,
        echo_failures,
    } = node.ppp;
    assert_eq!(
        authentication,
        [node::Authentication::MsChapV2, node::Authentication::Chap]
    );
    assert_eq!(
        (use_proxied_authentication, mru, dns),
        (false, 1400, [Some([192, 0, 2, 53].into()), None])
    );
    assert_eq!(
        (
            rechallenge.as_secs(),
            echo_interval.as_secs(),
            echo_failures
        ),
        (300, 20, 3)
    );
    let node::Subscribers {
        users,
        duplicates,
        default_policies,
        unknown_filter_id,
        idle,
        session,
    } = node.subscribers;
    assert_eq!(users.len(), 3);
    let bob = &users[&b"bob"[..]];
    assert!(bob.password.is(b"b-password"));
    assert_eq!(bob.address, Some([203, 0, 113, 7].into()));
    assert_eq!(
        duplicates.key,
        [node::DuplicateKey::UserName, node::DuplicateKey::NasPortId]
    );
    assert_eq!(duplicates.action, node::DuplicateAction::Replace);
    assert_eq!(bob.policies, ["silver", "GOLD"].map(Arc::<str>::from));
    assert_eq!(default_policies, ["silver", "gold"].map(Arc::<str>::from));
    assert_eq!(unknown_filter_id, node::UnknownFilterId::Refuse);
    assert_eq!((idle.as_secs(), session.as_secs()), (600, 86_400));
}

#[test]
fn pools_reach_node_and_workers() {
    let Setup {
        node,
        pools,
        icmp_source,
        ..
    } = setup(&[]);
    let [pool] = &node.pools[..] else {
        panic!("{:?}", node.pools)
    };
    assert_eq!(
        (&*pool.name, pool.local_address),
        ("default", Ipv4Addr::new(100, 64, 0, 1))
    );
    let allocations: Vec<_> = pool
        .addresses
        .prefixes
        .iter()
        .map(|prefix| prefix.allocation)
        .collect();
    assert_eq!(
        allocations,
        [node::Allocation::Enabled, node::Allocation::Disabled]
    );
    // What is excluded, and the service address: it is the machine's own.
    assert_eq!(
        pool.addresses.excluded,
        ["100.64.0.0/28", "192.0.2.1/32"].map(|text| text.parse().unwrap())
    );
    assert_eq!(pool.addresses.reuse_delay, Duration::from_secs(5));
    assert_eq!(
        pools,
        [
            "100.64.0.0/16".parse().unwrap(),
            "10.0.0.0/24".parse().unwrap()
        ]
    );
    assert_eq!(icmp_source, Ipv4Addr::new(100, 64, 0, 1));
}

#[test]
fn the_machine_routes_pools_and_the_fixed_addresses_outside_of_them() {
    let Setup {
        host,
        listen,
        workers,
        ..
    } = setup(&[]);
    let gateway = Ipv4Addr::new(100, 64, 0, 1);
    let routed: Vec<String> = host.subscribers.keys().map(ToString::to_string).collect();
    assert_eq!(routed, ["10.0.0.0/24", "100.64.0.0/16", "203.0.113.7/32"]);
    assert!(host.subscribers.values().all(|source| *source == gateway));
    assert_eq!(host.gateways, BTreeSet::from([gateway]));
    assert_eq!(
        (host.core_interface.as_deref(), host.isolation),
        (Some("core0"), host::Isolation::Open)
    );
    assert_eq!(
        listen,
        [
            "192.0.2.1:1702".parse().unwrap(),
            "[2001:db8::1]:1702".parse().unwrap()
        ]
    );
    assert_eq!(workers, 3);
}

#[test]
fn only_sockets_and_workers_need_a_restart() {
    let running = setup(&[]);
    let needs = |replace: &[(&str, &str)]| running.needs_restart(&setup(replace));
    assert_eq!(
        needs(&[("[192.0.2.1, ", "[192.0.2.2, ")]),
        ["spec.service.addresses"]
    );
    assert_eq!(
        needs(&[("port: 1702", "port: 1701"), ("workers: 3", "workers: 2")]),
        ["spec.service.port", "spec.datapath.workers"]
    );
    assert!(
        needs(&[
            ("admission: Drain", "admission: Accept"),
            ("isolation: Open", "isolation: Nodeless")
        ])
        .is_empty()
    );
    assert!(needs(&[("10.0.0.0/24", "10.0.1.0/24"), ("mru: 1400", "mru: 1492")]).is_empty());
    assert!(
        needs(&[(
            "[192.0.2.1, \"2001:db8::1\"]",
            "[\"2001:db8::1\", 192.0.2.1]"
        )])
        .is_empty(),
        "the order says nothing"
    );
}
