//! Whole manifests in, exact lines out.

use std::fs;

use super::*;

const MINIMAL: &str = include_str!("../../examples/minimal.yaml");
const FULL: &str = include_str!("../../examples/full.yaml");

fn parse(text: &str) -> Result<Manifest, Vec<String>> {
    let printed = |errors: Vec<ManifestError>| errors.iter().map(ToString::to_string).collect();
    parse_manifest([("m.yaml", text)]).map_err(printed)
}

#[test]
fn scratch() {
    for text in [MINIMAL, FULL] {
        println!("{:#?}", parse(text));
    }
    let try_one = |from: &str, to: &str| {
        let text = MINIMAL.replacen(from, to, 1);
        println!("--- {from:?} -> {to:?}");
        match parse(&text) {
            Ok(m) => println!("OK {:?}", m.warnings),
            Err(e) => e.iter().for_each(|e| println!("{e}")),
        }
    };
    try_one("", "");
    try_one("100.64.0.0/16", "100.64.0.0/33");
    try_one("100.64.0.0/16", "100.64.0.1/16");
    try_one("100.64.0.0/16", "10.0.0.0/8");
    try_one("100.64.0.0/16", "224.0.0.0/16");
    try_one("100.64.0.0/16", "\"2001:db8::/64\"");
    try_one("100.64.0.0/16", "100.64.0.0/16, exclude: [10.0.0.0/28]");
    try_one(
        "100.64.0.0/16 }",
        "100.64.0.0/16 }, { cidr: 100.64.5.0/24 }",
    );
    try_one("198.51.100.0/24", "198.51.100.7/24");
    try_one("198.51.100.0/24", "\"2001:db8::1/64\"");
    try_one("198.51.100.0/24", "\"2001:db8::/64\"");
    try_one("192.0.2.1", "0.0.0.0");
    try_one("192.0.2.1", "192.0.2.1/32");
    try_one("100.64.0.1", "192.0.2.1");
    try_one("name: edge", "name: ed.ge");
    try_one("  service:", "  radius: {}\n  service:");
    try_one("  service:", "  servce:");
    try_one(
        "    addresses: [192.0.2.1]",
        "    addresses: [192.0.2.1]\n    port: 0\n    hostName: yes\n    announce: { mode: L2 }",
    );
    try_one("mode: Secret, ", "mode: None, ");
    try_one(
        "mode: Secret, secretRef: { name: wholesale-a }",
        "mode: Secret",
    );
    try_one("localUsers: { secretRef: { name: users } }", "{}");
    try_one(
        "secretRef: { name: wholesale-a }",
        "secretRef: { name: nowhere }",
    );
    try_one("current:", "curent:");
    try_one("  current: replace", "  current: [ replace");
    try_one("alice@isp.example:", "bob@isp.example:");
    try_one("\"change me\"", "12345");
    try_one("spec:", "spec:\n  lacs: []");
    try_one("kind: LnsCluster", "kind: SessionPolicy");
    try_one("v1alpha1", "v1");
    try_one(
        "wholesale-a\n    from",
        "wholesale-a\n    hostName: 'la[c]'\n    from",
    );
    let mut lacs = String::new();
    for i in 0..250 {
        lacs.push_str(&format!("  - {{ name: w{i}, from: [198.51.{i}.0/24], tunnelAuthentication: {{ mode: None }} }}\n"));
    }
    let t = std::time::Instant::now();
    let text = MINIMAL.replacen("  lacs:\n", &format!("  lacs:\n{lacs}"), 1);
    println!(
        "{:?} {:?}",
        parse(&text).map(|m| m.warnings.len()),
        t.elapsed()
    );
    for bad in [
        "a: [\n",
        "a: 'x\n",
        "a: \"\\q hunter2\"",
        "stringData: { current: hunter2: hunter3 }",
        "a: *hunter2",
        "a: hunter2\n b: c",
        "a: !hunter2 b",
        "a: .inf",
        "{hunter2",
        "a: |\n x\n\ty",
        "a: @hunter2",
        "a: &x &y z",
        "%YAML 3\n---\na",
        "a: \u{0}",
    ] {
        println!("{bad:?} => {:?}", parse(bad));
    }
}
