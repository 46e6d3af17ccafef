//! Two manifests in, the rows between them out.

use core::fmt::Write as _;

use super::*;
use crate::parse_manifest;

const FULL: &str = include_str!("../../examples/full.yaml");

fn parse(text: &str) -> Manifest {
    parse_manifest([("m.yaml", text)]).unwrap()
}

/// The full example with one text in the place of another that it has exactly once.
fn with(from: &str, to: &str) -> Manifest {
    assert_eq!(FULL.matches(from).count(), 1, "{from:?}");
    parse(&FULL.replacen(from, to, 1))
}

fn printed(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let (before, after) = (value(&change.before), value(&change.after));
        let (path, effect) = (&change.path, change.effect.label());
        writeln!(out, "{path} | {before} | {after} | {effect}").unwrap();
    }
    out
}

/// What the example and the example with `to` for `from` differ in.
fn rows(from: &str, to: &str) -> String {
    printed(&diff(&parse(FULL), &with(from, to)))
}

#[test]
fn equal_manifests_differ_in_nothing() {
    assert_eq!(diff(&parse(FULL), &parse(FULL)), []);
    assert_eq!(
        rows("labels: { site: north }", "labels: { site: south }"),
        ""
    );
    assert_eq!(
        rows(
            "addresses: [192.0.2.1, \"2001:db8::1\"]",
            "addresses: [\"2001:db8::1\", 192.0.2.1]"
        ),
        "",
        "the order of a set says nothing"
    );
}

#[test]
fn a_value_is_a_row_with_its_path_both_values_and_the_effect() {
    assert_eq!(
        rows("pathMtu: 1500", "pathMtu: 1400"),
        "spec.lacs[wholesale-a].pathMtu | 1500 | 1400 | new sessions\n"
    );
    assert_eq!(
        rows("port: 1701", "port: 1702"),
        "spec.service.port | 1701 | 1702 | restart\n"
    );
    assert_eq!(
        rows("admission: Accept", "admission: Drain"),
        "spec.lacs[wholesale-a].admission | Accept | Drain | at once\n"
    );
    assert_eq!(
        rows("    interface: eth2 ", "    "),
        "spec.core.interface | eth2 | - | at once\n"
    );
    assert_eq!(
        rows("deletionProtection: true", "deletionProtection: false"),
        "spec.deletionProtection | true | false | at once\n"
    );
    assert_eq!(
        rows(
            "nodeSelector: { kubelns.io/edge: \"\" }",
            "nodeSelector: {}"
        ),
        "spec.nodeSelector | { kubelns.io/edge: \"\" } | none | at once\n"
    );
    assert_eq!(
        rows(
            "dns: [192.0.2.53, 192.0.2.54]",
            "dns: [192.0.2.54, 192.0.2.53]"
        ),
        "spec.ppp.dns | 192.0.2.53, 192.0.2.54 | 192.0.2.54, 192.0.2.53 | new sessions\n"
    );
    assert_eq!(
        rows("allocation: Disabled", "allocation: Enabled"),
        "spec.pools[default].prefixes[100.65.0.0/16].allocation | Disabled | Enabled | new sessions\n"
    );
    assert_eq!(
        rows(", exclude: [100.64.0.0/28]", ""),
        "spec.pools[default].prefixes[100.64.0.0/16].exclude | 100.64.0.0/28 | none | new sessions\n"
    );
}

#[test]
fn an_entry_that_comes_or_goes_is_one_row() {
    let two = "    - { cidr: 100.65.0.0/16, allocation: Disabled }";
    assert_eq!(
        rows(two, ""),
        "spec.pools[default].prefixes[100.65.0.0/16] | entry 2 of 2 | - | new sessions\n"
    );
    assert_eq!(
        rows("  - name: lab\n", "  - name: attic\n"),
        "spec.lacs[lab] | entry 2 of 2 | - | at once\n\
         spec.lacs[attic] | - | entry 2 of 2 | new tunnels\n"
    );
    let changes = diff(&parse(FULL), &with("- name: lab\n", "- name: attic\n"));
    let scopes: Vec<_> = changes.into_iter().map(|change| change.scope).collect();
    assert_eq!(scopes, [Scope::Lacs(vec!["lab".to_owned()]), Scope::Nobody]);
}

#[test]
fn an_entry_that_moves_is_a_change_since_the_first_match_wins() {
    let (_, tail) = FULL.split_once("  - name: wholesale-a\n").unwrap();
    let (first, tail) = tail.split_once("  - name: lab\n").unwrap();
    let (second, _) = tail.split_once("\n\n").unwrap();
    let moved = FULL.replace(
        &format!("  - name: wholesale-a\n{first}  - name: lab\n{second}\n"),
        &format!("  - name: lab\n{second}\n  - name: wholesale-a\n{first}"),
    );
    assert_ne!(moved, FULL);
    assert_eq!(
        printed(&diff(&parse(FULL), &parse(&moved))),
        "spec.lacs | wholesale-a, lab | lab, wholesale-a | new tunnels\n"
    );
}

#[test]
fn a_long_order_is_told_where_it_differs() {
    let names =
        |order: &[u32]| -> Vec<Value> { order.iter().map(|n| json!(format!("lac-{n}"))).collect() };
    let before = names(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let after = names(&[1, 8, 2, 3, 4, 5, 6, 7, 9]);
    assert_eq!(
        text::of_orders(&before, &after),
        (
            "..., lac-2, lac-3, lac-4, lac-5, ...".to_owned(),
            "..., lac-8, lac-2, lac-3, lac-4, ...".to_owned()
        )
    );
}

#[test]
fn a_long_list_is_told_by_what_differs_and_a_long_value_is_cut() {
    let from: Vec<String> = (0..30).map(|n| format!("198.51.{n}.0/24")).collect();
    let more: Vec<String> = (0..31).map(|n| format!("198.51.{n}.0/24")).collect();
    let field = "from: [198.51.100.0/24, \"2001:db8:a::/48\"]";
    let (old, new) = (
        with(field, &format!("from: [{}]", from.join(", "))),
        with(field, &format!("from: [{}]", more.join(", "))),
    );
    assert_eq!(
        printed(&diff(&old, &new)),
        "spec.lacs[wholesale-a].from | ... | ..., 198.51.30.0/24 | new tunnels\n"
    );
    let row = rows(
        "hostName: \"lac*\"",
        &format!("hostName: {}", "x".repeat(200)),
    );
    assert_eq!(
        row,
        format!(
            "spec.lacs[wholesale-a].hostName | lac* | {}... | new tunnels\n",
            "x".repeat(48)
        )
    );
}

#[test]
fn the_resources_own_name_counts_where_lacs_are_told_it() {
    let full = FULL.replace("[{ name: edge }]", "[{ name: edge }, { name: rim }]");
    let unnamed = full.replace("    hostName: lns1.isp.example ", "    ");
    let renamed = full.replace("  name: edge\n", "  name: rim\n");
    assert_eq!(diff(&parse(&full), &parse(&renamed)), []);
    let renamed = unnamed.replace("  name: edge\n", "  name: rim\n");
    assert_eq!(
        printed(&diff(&parse(&unnamed), &parse(&renamed))),
        "metadata.name | edge | rim | new tunnels\n"
    );
}

#[test]
fn of_secrets_it_is_told_that_they_changed_and_never_a_value() {
    let mut seen = String::new();
    for (from, to, row) in [
        (
            "the-new-secret-0123456789",
            "hunter-hunter-hunter",
            "Secret/wholesale-a: current | - | changed | new tunnels\n",
        ),
        (
            "the-old-secret-0123456789",
            "hunter-hunter-hunter",
            "Secret/wholesale-a: previous | - | changed | new tunnels\n",
        ),
        (
            "  previous: the-old-secret-0123456789 ",
            "  ",
            "Secret/wholesale-a: previous | - | removed | new tunnels\n",
        ),
        (
            "alice@isp.example: \"change me\"",
            "alice@isp.example: hunter2",
            "Secret/users: users.yaml | - | 1 password changed | new sessions\n",
        ),
        (
            "    alice@isp.example: \"change me\"\n",
            "    carol: hunter2\n    dave: hunter3\n",
            "Secret/users: users.yaml | - | 2 users added, 1 user removed | new sessions\n",
        ),
        (
            "address: 100.64.0.7 }",
            "address: 100.64.0.8 }",
            "Secret/users: users.yaml | - | 1 address changed | new sessions\n",
        ),
    ] {
        let found = rows(from, to);
        assert_eq!(found, row, "{from} -> {to}");
        seen += &found;
        let changes = diff(&parse(FULL), &with(from, to));
        write!(seen, "{changes:?}{}", json!(changes)).unwrap();
    }
    for secret in ["hunter", "change me", "0123456789"] {
        assert!(!seen.contains(secret), "{seen}");
    }
}

#[test]
fn a_radius_server_is_told_by_field_and_its_secrets_never_by_value() {
    let mut seen = String::new();
    for (from, to, row) in [
        (
            "address: 10.0.2.5,",
            "address: 10.0.2.6,",
            "spec.radius.accounting.copies[archive].address | 10.0.2.5 | 10.0.2.6 | at once\n",
        ),
        (
            "      - name: r2\n",
            "      - name: r3\n",
            "spec.radius.authentication.servers[r2] | entry 2 of 2 | - | at once\n\
             spec.radius.authentication.servers[r3] | - | entry 2 of 2 | at once\n",
        ),
        (
            "attributes: { User-Name: probe@isp.example, NAS-Port-Type: \"5\" }",
            "attributes: { User-Name: other@isp.example }",
            "spec.radius.authentication.statusCheck.attributes | { NAS-Port-Type: 5, User-Name: probe@isp.example... | { User-Name: other@isp.example } | at once\n",
        ),
        (
            "interimSeconds: 600",
            "interimSeconds: 300",
            "spec.radius.accounting.interimSeconds | 600 | 300 | at once\n",
        ),
        (
            "a-radius-secret-0123456789",
            "hunter-hunter-hunter",
            "Secret/radius: current | - | changed | at once\n",
        ),
        (
            "a-coa-secret-0123456789 }",
            "a-coa-secret-0123456789, previous: hunter-hunter-hunter }",
            "Secret/oss: previous | - | added | at once\n",
        ),
        (
            "change me three",
            "hunter-hunter-hunter",
            "Secret/probe: password | - | changed | at once\n",
        ),
        (
            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqvXXif5qRrrAYIbZ",
            "hunter-hunter-hunter",
            "Secret/radsec: tls.key | - | changed | at once\n",
        ),
    ] {
        let found = rows(from, to);
        assert_eq!(found, row, "{from} -> {to}");
        let changes = diff(&parse(FULL), &with(from, to));
        write!(seen, "{found}{changes:?}{}", json!(changes)).unwrap();
    }
    for secret in [
        "hunter",
        "change me",
        "awIBAQQgqvXXif5qRrrAYIbZ",
        "0123456789",
    ] {
        assert!(!seen.contains(secret), "{seen}");
    }
}

/// A LAC's tunnels have the old one until they end, and a server's next packet the new one.
#[test]
fn a_secret_that_a_lac_and_a_server_share_is_told_of_at_both_times() {
    let shared = FULL.replace(
        "clients: [{ name: oss, from: [10.0.0.7/32], secretRef: { name: oss }",
        "clients: [{ name: oss, from: [10.0.0.7/32], secretRef: { name: wholesale-a }",
    );
    assert_ne!(shared, FULL);
    let other = shared.replace("the-new-secret-0123456789", "another-secret-123456789");
    assert_eq!(
        printed(&diff(&parse(&shared), &parse(&other))),
        "Secret/wholesale-a: current | - | changed | new tunnels\n\
         Secret/wholesale-a: current | - | changed | at once\n"
    );
}

#[test]
fn a_policy_is_told_by_field_and_one_that_comes_or_goes_is_one_row() {
    assert_eq!(
        rows(
            "destinationPorts: [\"80\", \"8000-8100\"], action: Pass",
            "destinationPorts: [\"80\"], action: Track"
        ),
        "SessionPolicy/residential: spec.input.rules[web].action | Pass | Track | at once\n\
         SessionPolicy/residential: spec.input.rules[web].destinationPorts | 80, 8000-8100 | 80 | at once\n"
    );
    assert_eq!(
        rows("    - { name: rest, action: Track }", "    "),
        "SessionPolicy/residential: spec.input.rules[rest] | entry 7 of 7 | - | at once\n"
    );
    assert_eq!(
        rows("tcpIdleSeconds: 7440", "tcpIdleSeconds: 3600"),
        "SessionPolicy/residential: spec.timeouts.tcpIdleSeconds | 7440 | 3600 | at once\n"
    );
    let another = "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
        metadata: { name: business, namespace: lns }\nspec: { clusterRefs: [{ name: edge }] }\n";
    let more = parse(&format!("{FULL}{another}"));
    assert_eq!(
        printed(&diff(&parse(FULL), &more)),
        "SessionPolicy/business | - | 0 rules | at once\n"
    );
    assert_eq!(
        printed(&diff(&more, &parse(FULL))),
        "SessionPolicy/business | 0 rules | - | at once\n"
    );
    assert_eq!(
        rows("policies: [GOLD_100M.in]", "policies: [residential]"),
        "Secret/users: users.yaml | - | 1 user with other policies | new sessions\n"
    );
    assert_eq!(
        rows("[{ name: residential }]   #", "[]   #"),
        "spec.subscribers.defaultPolicyRefs[residential] | entry 1 of 1 | - | at once\n"
    );
}

#[test]
fn the_scope_names_who_began_with_the_old_value() {
    let scope = |from: &str, to: &str| {
        let mut changes = diff(&parse(FULL), &with(from, to));
        assert_eq!(changes.len(), 1);
        changes.remove(0).scope
    };
    assert_eq!(scope("mru: 1492", "mru: 1400"), Scope::Everybody);
    assert_eq!(
        scope("helloSeconds: 60", "helloSeconds: 30"),
        Scope::Lacs(vec!["wholesale-a".to_owned()])
    );
    assert_eq!(
        scope("[CHAP, MSCHAPv2, PAP]", "[PAP]"),
        Scope::Lacs(vec!["wholesale-a".to_owned()]),
        "lab has its own authentication"
    );
    assert_eq!(
        scope("localAddress: 100.64.0.1", "localAddress: 100.64.0.2"),
        Scope::Pool("default".to_owned())
    );
    assert_eq!(
        scope("allocation: Enabled", "allocation: Disabled"),
        Scope::Prefix("100.64.0.0/16".parse().unwrap())
    );
    assert_eq!(
        scope("the-new-secret-0123456789", "another-secret-123456789"),
        Scope::Lacs(vec!["wholesale-a".to_owned()])
    );
    assert_eq!(
        scope(
            "alice@isp.example: \"change me\"",
            "alice@isp.example: another"
        ),
        Scope::Users(vec!["alice@isp.example".to_owned()])
    );
}

#[test]
fn an_optional_group_that_goes_is_one_row() {
    let none = FULL
        .replace("    localUsers: { secretRef: { name: users }, order: Before }   # Before | After RADIUS | Only\n", "")
        .replace(
            "  ppp:\n    authentication: [CHAP, MSCHAPv2, PAP] ",
            "  ppp:\n    authentication: [None] ",
        );
    let rows = printed(&diff(&parse(FULL), &parse(&none)));
    assert_eq!(
        rows,
        "spec.ppp.authentication | CHAP, MSCHAPv2, PAP | None | new sessions\n\
         spec.subscribers.localUsers | { order: Before, secretRef: { name: users } } | - | new sessions\n\
         Secret/users: users.yaml | - | 2 users removed | new sessions\n"
    );
}

#[test]
fn what_members_share_is_told_by_field_and_its_secrets_never_by_value() {
    let mut seen = String::new();
    for (from, to, row) in [
        (
            "url: \"rediss://redis:6379/0\"",
            "url: \"rediss://redis:6380/0\"",
            "spec.store.redis.url | rediss://redis:6379/0 | rediss://redis:6380/0 | at once\n",
        ),
        (
            "peers: { port: 1702,",
            "peers: { port: 1703,",
            "spec.peers.port | 1702 | 1703 | restart\n",
        ),
        (
            "stalenessSeconds: 600",
            "stalenessSeconds: 300",
            "spec.forwarding.stalenessSeconds | 600 | 300 | at once\n",
        ),
        (
            "profile: Default",
            "profile: Fast",
            "spec.election.profile | Default | Fast | restart\n",
        ),
        (
            "announce: { mode: External }",
            "announce: { mode: L2 }",
            "spec.service.announce.mode | External | L2 | at once\n",
        ),
        (
            "change me four",
            "hunter2",
            "Secret/redis: password | - | changed | at once\n",
        ),
        (
            "username: lns-member, ",
            "",
            "Secret/redis: username | - | removed | at once\n",
        ),
    ] {
        let found = rows(from, to);
        assert_eq!(found, row, "{from} -> {to}");
        seen += &found;
    }
    for secret in ["hunter", "change me", "lns-member"] {
        assert!(!seen.contains(secret), "{seen}");
    }
}
