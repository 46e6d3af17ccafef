//! What of a stream, a `Secret` or `users.yaml` is refused, and the exact line for it.

use super::*;

const DOCUMENTS_THAT_DO_NOT_BELONG: &[Row<'_>] = &[
    (
        "kind: LnsCluster",
        "kind: ConfigMap",
        &[
            r#"ConfigMap/edge: kind: "ConfigMap" is no kind of a manifest; it has one LnsCluster, its SessionPolicies, and the Secrets that it names"#,
        ],
    ),
    (
        "v1alpha1",
        "v1",
        &[
            r#"LnsCluster/edge: apiVersion: "kubelns.io/v1" is not known; this LNS reads kubelns.io/v1alpha1"#,
        ],
    ),
    (
        "kind: LnsCluster",
        "kin: LnsCluster",
        &["document 1 of m.yaml: kind: is required"],
    ),
    (
        "kubelns.io/v1alpha1\nkind: LnsCluster",
        "v1\nkind: Secret",
        &["m.yaml: there is no LnsCluster in it"],
    ),
    (
        "# The least",
        "- a list\n---\n# The least",
        &["document 1 of m.yaml: must be a map, and is a list"],
    ),
];

#[test]
fn documents_that_do_not_belong() {
    refused(DOCUMENTS_THAT_DO_NOT_BELONG);
    let twice = format!("{MINIMAL}---\n{MINIMAL}");
    assert_eq!(
        parse(&twice).unwrap_err(),
        [
            "LnsCluster/edge: a manifest has one LnsCluster, and LnsCluster/edge is there already, in m.yaml",
            "Secret/wholesale-a: is there twice, first in m.yaml",
            "Secret/users: is there twice, first in m.yaml",
        ]
    );
    assert_eq!(
        parse("").unwrap_err(),
        ["m.yaml: there is no LnsCluster in it"]
    );
}

const SECRETS_THAT_ARE_MISSING_OR_WRONG: &[Row<'_>] = &[
    (
        "secretRef: { name: wholesale-a }",
        "secretRef: { name: nowhere }",
        &[
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: "nowhere" is no Secret of this manifest"#,
        ],
    ),
    (
        "metadata: { name: wholesale-a }",
        "metadata: { name: wholesale-a, namespace: lns }",
        &[
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: "wholesale-a" is no Secret of this manifest; there is one in namespace "lns", and the cluster is in "default""#,
        ],
    ),
    (
        "  current:",
        "  curent:",
        &[
            "Secret/wholesale-a: stringData.curent: unknown field; current is known",
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: Secret "wholesale-a" has no key current"#,
        ],
    ),
    (
        "  current:",
        "  previous: replace-me-0123456789\n  extra:",
        &[
            "Secret/wholesale-a: stringData.extra: unknown field; known here: current, previous",
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: Secret "wholesale-a" has no key current"#,
        ],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: 123456",
        &["Secret/wholesale-a: stringData.current: must be a string, and is a number; quote it"],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: \"\"",
        &["Secret/wholesale-a: current: is empty"],
    ),
    (
        "stringData:\n  current: replace-me-0123456789",
        "data:\n  current: replace-me",
        &["Secret/wholesale-a: data.current: is no base64; plain text goes into stringData"],
    ),
    (
        "stringData:\n  current:",
        "data:\n  current: AAECAwQFBgcICQoLDA0ODw==\nstringData:\n  current:",
        &["Secret/wholesale-a: stringData.current: is in both data and stringData"],
    ),
    (
        "stringData:\n  current:",
        "type: kubernetes.io/tls\nstringData:\n  current:",
        &[
            r#"Secret/wholesale-a: type: "kubernetes.io/tls" is not known here; leave it out, or write Opaque"#,
        ],
    ),
    (
        "stringData:\n  current:",
        "sringData: {}\nstringData:\n  current:",
        &["Secret/wholesale-a: sringData: unknown field; stringData is known"],
    ),
    (
        "stringData:\n  current: replace-me-0123456789",
        "stringData: replace-me-0123456789",
        &[
            "Secret/wholesale-a: stringData: must not be a string",
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: Secret "wholesale-a" has no key current"#,
        ],
    ),
    (
        "  users.yaml: |",
        "  user.yaml: |",
        &[
            "Secret/users: stringData.user.yaml: unknown field; users.yaml is known",
            r#"LnsCluster/edge: spec.subscribers.localUsers.secretRef.name: Secret "users" has no key users.yaml"#,
        ],
    ),
];

#[test]
fn secrets_that_are_missing_or_wrong() {
    refused(SECRETS_THAT_ARE_MISSING_OR_WRONG);
}

const USERS_THAT_ARE_WRONG: &[Row<'_>] = &[
    (
        ALICE,
        "alice@isp.example: 12345",
        &[
            "Secret/users: users.yaml: alice@isp.example: must be a password or { password, policies, address }, and is a number; a password of digits or such a word must be quoted",
        ],
    ),
    (
        ALICE,
        "alice@isp.example: no",
        &[
            "Secret/users: users.yaml: alice@isp.example: must be a password or { password, policies, address }, and is a boolean; a password of digits or such a word must be quoted",
        ],
    ),
    (
        ALICE,
        "alice@isp.example:",
        &[
            "Secret/users: users.yaml: alice@isp.example: must be a password or { password, policies, address }, and is empty; a password of digits or such a word must be quoted",
        ],
    ),
    (
        ALICE,
        "alice@isp.example: \"\"",
        &["Secret/users: users.yaml: alice@isp.example: password: is empty"],
    ),
    (
        ALICE,
        "alice@isp.example: { password: 12345 }",
        &[
            "Secret/users: users.yaml: alice@isp.example: password: must be a string, and is a number; quote it",
        ],
    ),
    (
        ALICE,
        "alice@isp.example: { address: 10.0.0.1 }",
        &["Secret/users: users.yaml: alice@isp.example: password: is required"],
    ),
    (
        ALICE,
        "alice@isp.example: { password: hunter2, adress: 10.0.0.1 }",
        &["Secret/users: users.yaml: alice@isp.example: adress: unknown field; address is known"],
    ),
    (
        ALICE,
        "alice@isp.example: { password: hunter2, polices: [gold] }",
        &["Secret/users: users.yaml: alice@isp.example: polices: unknown field; policies is known"],
    ),
    (
        ALICE,
        "alice@isp.example: { password: hunter2, address: 10.0.0.256 }",
        &[
            r#"Secret/users: users.yaml: alice@isp.example: address: "10.0.0.256" is no IPv4 address"#,
        ],
    ),
    (
        ALICE,
        "alice@isp.example: { password: hunter2, address: 224.0.0.1 }",
        &[
            r#"Secret/users: users.yaml: alice@isp.example: address: "224.0.0.1" is not an address that a host can have"#,
        ],
    ),
    (
        ALICE,
        "alice@isp.example: { password: hunter2, address: 203.0.113.7 }",
        &[
            r#"Secret/users: users.yaml: bob@isp.example: address: "203.0.113.7" is the address of "alice@isp.example" already"#,
        ],
    ),
    (
        ALICE,
        "alice@isp.example: { password: hunter2, address: 100.64.0.1 }",
        &[
            r#"Secret/users: users.yaml: alice@isp.example: address: "100.64.0.1" is an address of the LNS itself"#,
        ],
    ),
    (
        ALICE,
        "\"\": secret",
        &["Secret/users: users.yaml: : a user name has 1 to 253 octets, not 0"],
    ),
    (
        ALICE,
        "bob@isp.example: \"change me\"",
        &[r#"Secret/users: users.yaml:2:1: the key "bob@isp.example" is there twice"#],
    ),
    (
        ALICE,
        "alice@isp.example: \"change me",
        &[
            "Secret/users: users.yaml:2:1: is not YAML: invalid indentation in multiline quoted scalar",
        ],
    ),
    (
        ALICE,
        "alice@isp.example: hunter2: hunter3",
        &[
            "Secret/users: users.yaml:1:27: is not YAML: mapping values are not allowed in this context",
        ],
    ),
];

#[test]
fn users_that_are_wrong() {
    refused(USERS_THAT_ARE_WRONG);
    let long = "x".repeat(256);
    let long_password = format!("alice@isp.example: {long}");
    let long_name = format!("{}: secret", &long[..254]);
    refused(&[
        (
            ALICE,
            &long_password,
            &[
                "Secret/users: users.yaml: alice@isp.example: password: has 256 octets; 255 are the most",
            ],
        ),
        (
            ALICE,
            &long_name,
            &[
                "Secret/users: users.yaml: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: a user name has 1 to 253 octets, not 254",
            ],
        ),
    ]);
    let list = with(ALICE, "").replace("    bob@isp.example: ", "    - ");
    assert_eq!(
        parse(&list).unwrap_err(),
        ["Secret/users: users.yaml: must be a map from user name to password, and is a list"]
    );
}

const YAML_THAT_IS_NONE_NAMES_LINE_AND_COLUMN_AND_QUOTES_NOTHING: &[Row<'_>] = &[
    (
        "  current: replace",
        "  current: [ replace",
        &["m.yaml:24:12: is not YAML: unclosed bracket '['"],
    ),
    (
        SPEC,
        "spec:\n\tservice: {}\n",
        &["m.yaml:7:2: is not YAML: tabs disallowed within this context (block indentation)"],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    addresses: []",
        &[r#"m.yaml:9:5: the key "addresses" is there twice"#],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: \"hunter2\\q\"",
        &[
            "m.yaml:24:12: is not YAML: while parsing a quoted scalar, found unknown escape character",
        ],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: *hunter2",
        &["m.yaml:24:12: an alias without its anchor"],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: @hunter2",
        &["m.yaml:24:12: is not YAML: unexpected character"],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: hunter2: hunter3",
        &["m.yaml:24:19: is not YAML: mapping values are not allowed in this context"],
    ),
    (
        "  current: replace-me-0123456789",
        "  current: 'hunter2",
        &["m.yaml:25:1: is not YAML: invalid indentation in multiline quoted scalar"],
    ),
];

#[test]
fn yaml_that_is_none_names_line_and_column_and_quotes_nothing() {
    refused(YAML_THAT_IS_NONE_NAMES_LINE_AND_COLUMN_AND_QUOTES_NOTHING);
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let previous = i - 1;
        writeln!(
            text,
            "a{i}: &a{i} [{}]",
            format!("*a{previous}, ").repeat(9)
        )
        .unwrap();
    }
    // Expanded, it would be 9^12 values: only a bound on aliases lets this end.
    assert!(parse(&text).is_err());
}

#[test]
fn all_errors_are_told_at_once_and_in_order() {
    let text = with(
        CIDR,
        "cidr: 100.64.0.0/33 }, { cidr: 10.0.0.0/16 }, { cidr: 10.0.1.0/24 }",
    )
    .replace(FROM, "from: [198.51.100.7/24]\n    helloSeconds: 1")
    .replace(ALICE, "alice@isp.example: 12345")
    .replace("  current:", "  curent:");
    assert_eq!(
        parse(&text).unwrap_err(),
        [
            r#"LnsCluster/edge: spec.lacs[0].from[0]: "198.51.100.7/24" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address"#,
            "LnsCluster/edge: spec.lacs[0].helloSeconds: 1 is not within 5 to 3600",
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "100.64.0.0/33" is no CIDR"#,
            r#"LnsCluster/edge: spec.pools[0].prefixes[2].cidr: "10.0.1.0/24" overlaps "10.0.0.0/16" at spec.pools[0].prefixes[1].cidr; an address belongs to one pool"#,
            "Secret/wholesale-a: stringData.curent: unknown field; current is known",
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: Secret "wholesale-a" has no key current"#,
            "Secret/users: users.yaml: alice@isp.example: must be a password or { password, policies, address }, and is a number; a password of digits or such a word must be quoted",
        ]
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let lines = |path: &Path| {
        read_manifest(path)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(folder.path()),
        [format!("{path}: there is no .yaml or .yml file in it")]
    );
    assert_eq!(
        lines(&folder.path().join("none.yaml")),
        [format!(
            "{path}/none.yaml: No such file or directory (os error 2)"
        )]
    );
    fs::write(folder.path().join("a.yaml"), [0xff, 0xfe]).unwrap();
    fs::write(folder.path().join("b.yaml"), MINIMAL).unwrap();
    assert_eq!(
        lines(folder.path()),
        [format!("{path}/a.yaml: is not UTF-8 text")]
    );
    let label = read_manifest(folder.path()).unwrap_err()[0].label();
    assert_eq!(label, "file");
}
