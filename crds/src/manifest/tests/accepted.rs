//! What is accepted, what it becomes, and what is warned of.

use super::*;
use crate::cluster::{Authentication, DatapathMode, Isolation};

fn warnings(text: &str) -> Vec<String> {
    parse(text).unwrap().warnings
}

#[test]
fn the_minimal_example_becomes_what_it_says_and_the_defaults() {
    let manifest = parse(MINIMAL).unwrap();
    let spec = &manifest.cluster.spec;
    assert_eq!(manifest.cluster.host_name(), "edge");
    assert_eq!(
        spec.service.addresses,
        ["192.0.2.1".parse::<core::net::IpAddr>().unwrap()]
    );
    assert_eq!(
        (spec.service.port, spec.ppp.mru, spec.ppp.echo.failures),
        (1701, 1492, 4)
    );
    assert_eq!(
        (spec.lacs[0].hello_seconds, spec.lacs[0].path_mtu),
        (60, 1500)
    );
    assert_eq!(
        spec.authentication(&spec.lacs[0]),
        [
            Authentication::CHAP,
            Authentication::MSCHAPv2,
            Authentication::PAP
        ]
    );
    assert_eq!(
        (spec.core.isolation, spec.datapath.mode),
        (Isolation::Nodeless, DatapathMode::Auto)
    );
    assert_eq!(spec.pools[0].reuse_delay_seconds, 60);
    let secret = manifest.shared_secret(&spec.lacs[0]).unwrap();
    assert!(secret.current.is(b"replace-me-0123456789") && secret.previous.is_none());
    assert!(
        manifest.users["alice@isp.example"]
            .password
            .is(b"change me")
    );
    assert_eq!(
        manifest.users["bob@isp.example"].address,
        Some("203.0.113.7".parse().unwrap())
    );
    assert_eq!(manifest.warnings, [""; 0]);
}

#[test]
fn the_full_example_is_accepted_without_a_warning() {
    let manifest = parse(FULL).unwrap();
    let spec = &manifest.cluster.spec;
    assert_eq!(manifest.cluster.host_name(), "lns1.isp.example");
    assert_eq!(spec.authentication(&spec.lacs[1]), [Authentication::None]);
    assert_eq!(manifest.shared_secret(&spec.lacs[1]), None);
    let secret = manifest.shared_secret(&spec.lacs[0]).unwrap();
    assert!(
        secret
            .previous
            .as_ref()
            .unwrap()
            .is(b"the-old-secret-0123456789")
    );
    assert_eq!(manifest.warnings, [""; 0]);
}

#[test]
fn a_secret_in_base64_is_decoded() {
    let text = with(
        "stringData:\n  current: replace-me-0123456789",
        "data:\n  current: AAECAwQFBgcICQoLDA0ODw==",
    );
    let manifest = parse(&text).unwrap();
    let secret = manifest
        .shared_secret(&manifest.cluster.spec.lacs[0])
        .unwrap();
    assert!(
        secret
            .current
            .is(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    );
}

#[test]
fn a_folder_is_read_in_the_order_of_its_names_without_hidden_files() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, secrets) = MINIMAL.split_once("---\n").unwrap();
    fs::write(folder.path().join("b.yaml"), cluster).unwrap();
    fs::write(folder.path().join("a.yml"), secrets).unwrap();
    fs::write(folder.path().join(".hidden.yaml"), "{ not yaml").unwrap();
    fs::write(folder.path().join("readme.txt"), "{ not yaml").unwrap();
    assert_eq!(
        read_manifest(folder.path()).unwrap(),
        parse(MINIMAL).unwrap()
    );
    let file = folder.path().join("one.yaml");
    fs::write(&file, MINIMAL).unwrap();
    assert_eq!(read_manifest(&file).unwrap(), parse(MINIMAL).unwrap());
}

#[test]
fn debug_output_shows_no_secret() {
    let shown = format!("{:?}", parse(MINIMAL).unwrap());
    assert!(
        shown.contains("alice@isp.example")
            && !shown.contains("change me")
            && !shown.contains("replace-me")
    );
}

#[test]
fn weak_secrets_and_secrets_with_a_line_end_are_warned_of() {
    assert_eq!(
        warnings(&with("replace-me-0123456789", "|\n    short")),
        [
            "Secret/wholesale-a: current: has 6 octets; below 16 a secret can be guessed from one recorded exchange",
            "Secret/wholesale-a: current: ends in a blank or a line end, which is part of the secret; most LACs have none there",
        ]
    );
}

#[test]
fn a_secret_that_nothing_names_is_warned_of() {
    let text = format!("{MINIMAL}---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: stray }}\n");
    assert_eq!(warnings(&text), ["Secret/stray: nothing names it"]);
}

#[test]
fn a_lac_that_never_matches_is_warned_of() {
    let second = "  - { name: b, from: [198.51.100.64/26], tunnelAuthentication: { mode: None } }\n  subscribers:";
    assert_eq!(
        warnings(&with("  subscribers:", second)),
        [
            r#"LnsCluster/edge: spec.lacs[1]: "b" never matches: "wholesale-a" comes first and takes all of it"#
        ]
    );
    let other_name =
        with("  subscribers:", second).replace(LAC, "  - name: wholesale-a\n    hostName: a*\n");
    assert_eq!(warnings(&other_name), [""; 0]);
}

#[test]
fn a_lac_from_anywhere_without_a_secret_is_warned_of() {
    let text = with(FROM, "from: [0.0.0.0/0]").replace(AUTHENTICATION, "{ mode: None }");
    assert_eq!(
        warnings(&text),
        [
            r#"LnsCluster/edge: spec.lacs[0]: "wholesale-a" takes tunnels from any address, without a secret"#,
            "Secret/wholesale-a: nothing names it",
        ]
    );
}

#[test]
fn duplicates_by_a_name_that_nobody_has_are_warned_of() {
    let text = with(
        "    localUsers: { secretRef: { name: users } }",
        "    localUsers: { secretRef: { name: users } }\n    duplicates: { key: [UserName], action: Replace }",
    );
    assert_eq!(warnings(&text), [""; 0]);
    let nameless = text.replace(LAC, &format!("{LAC}    authentication: [None]\n"));
    let named = nameless.replace("[UserName]", "[UserName, CallingStationId]");
    assert_eq!(warnings(&named), [""; 0]);
    assert_eq!(
        warnings(&nameless),
        [
            r#"LnsCluster/edge: spec.subscribers.duplicates.key: subscribers of "wholesale-a" have no user name, so that only one of them can be online; add CallingStationId or NASPortId"#
        ]
    );
}

#[test]
fn the_largest_manifest_is_accepted() {
    let (mut lacs, mut users) = (String::new(), String::new());
    for i in 0..255 {
        writeln!(
            lacs,
            "  - {{ name: w{i}, from: [10.{i}.0.0/16], tunnelAuthentication: {{ mode: None }} }}"
        )
        .unwrap();
    }
    for i in 0..100_000 {
        writeln!(users, "    u{i}: {{ password: p{i} }}").unwrap();
    }
    let text = with("  lacs:\n", &format!("  lacs:\n{lacs}"))
        .replace("    alice", &format!("{users}    alice"));
    let manifest = parse(&text).unwrap();
    assert_eq!(
        (manifest.cluster.spec.lacs.len(), manifest.users.len()),
        (256, 100_002)
    );
}

#[test]
fn numbers_mean_what_they_mean_to_kubectl() {
    let text = with(
        FROM,
        "from: [198.51.100.0/24]\n    helloSeconds: 060\n    pathMtu: 0x5dc",
    );
    let lac = &parse(&text).unwrap().cluster.spec.lacs[0];
    assert_eq!((lac.hello_seconds, lac.path_mtu), (48, 1500));
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let second = "  - { <<: *one, name: b, from: [203.0.113.0/24] }\n  subscribers:";
    let text = with(
        "  - name: wholesale-a\n",
        "  - &one\n    name: wholesale-a\n",
    )
    .replace("  subscribers:", second);
    let manifest = parse(&text).unwrap();
    let [one, other] = &manifest.cluster.spec.lacs[..] else {
        panic!("two LACs")
    };
    assert_eq!(one.tunnel_authentication, other.tunnel_authentication);
    assert_eq!(manifest.shared_secret(one), manifest.shared_secret(other));
}
