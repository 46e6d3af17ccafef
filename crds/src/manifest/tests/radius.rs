//! `spec.radius` and its Secrets.

use super::*;
use crate::cluster::{AuthenticationCheckType, LoadBalance, RadiusTransport};

const RADIUS: &str = include_str!("../../../examples/radius.yaml");

/// Texts of the example, others in their places, and the lines that must come of it.
type Rows<'a> = &'a [(&'a [(&'a str, &'a str)], &'a [&'a str])];

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(RADIUS.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from:?}");
        text.replacen(from, to, 1)
    })
}

fn refused_with(rows: Rows<'_>) {
    let mut wrong = String::new();
    for (edits, expected) in rows {
        let found = parse(&edited(edits)).err().unwrap_or_default();
        assert!(
            !found
                .iter()
                .any(|line| line.contains("hunter") || line.contains("replace-me")),
            "{found:?}"
        );
        if found != *expected {
            writeln!(wrong, "{edits:?}").unwrap();
            for line in found {
                writeln!(wrong, "    {line}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const ASK: &str = "authentication:\n      servers:\n";
const TELL: &str = "accounting:\n      servers:\n";
const R1: &str = "authentication:\n      servers:\n      - { name: r1, address: 10.0.0.5, secretRef: { name: radius } }";
const NAS: &str = "nasAddress: 192.0.2.10 ";
const INTERIM: &str = "interimSeconds: 600";
const CLIENT: &str = "{ name: oss, from: [10.0.0.7/32], secretRef: { name: oss } }";

#[test]
fn the_radius_example_becomes_what_it_says_and_the_defaults() {
    let manifest = parse(RADIUS).unwrap();
    assert_eq!(manifest.warnings, [""; 0]);
    let radius = manifest.cluster.spec.radius.as_ref().unwrap();
    assert_eq!(radius.load_balance, LoadBalance::FailOver);
    let authentication = radius.authentication.as_ref().unwrap();
    let names: Vec<_> = authentication.servers.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["r1", "r2"]);
    let first = &authentication.servers[0];
    assert_eq!(first.transport, RadiusTransport::UDP);
    assert_eq!(first.port, None);
    assert_eq!(
        authentication.status_check.kind,
        AuthenticationCheckType::Auto
    );
    assert_eq!(authentication.limits.max_connections, 8);
    let accounting = radius.accounting.as_ref().unwrap();
    assert_eq!(accounting.interim_seconds, 600);
    assert_eq!(accounting.spool.max_bytes, 256 << 20);
    let dynamic = radius.dynamic_authorization.as_ref().unwrap();
    assert_eq!(dynamic.port, 3799);
    assert!(
        manifest.secrets["oss"]
            .current
            .is(b"replace-me-three-0123456789")
    );
    assert!(manifest.users.is_empty(), "RADIUS knows them");
}

const SERVERS_THAT_ARE_WRONG: Rows<'_> = &[
    (
        &[(NAS, "nasAddress: 192.0.2.10\n    authenticaton: {} ")],
        &["LnsCluster/edge: spec.radius.authenticaton: unknown field; authentication is known"],
    ),
    (
        &[(
            R1,
            "authentication:\n      servers:\n      - { name: r1, address: 10.0.0.5 }",
        )],
        &[
            "LnsCluster/edge: spec.radius.authentication.servers[0].secretRef: is required with transport: UDP; name a Secret with the key current",
        ],
    ),
    (
        &[(
            ASK,
            "authentication:\n      servers:\n      - { name: r2, address: 10.0.9.9, secretRef: { name: radius } }\n",
        )],
        &[
            r#"LnsCluster/edge: spec.radius.authentication.servers[2]: "r2" is there already, at [0]"#,
        ],
    ),
    (
        &[(
            TELL,
            "accounting:\n      servers:\n      - { name: r3, address: 10.0.9.9, transport: TLS, secretRef: { name: radius }, tlsServerName: r3.isp.example }\n",
        )],
        &[
            "LnsCluster/edge: spec.radius.accounting.servers[0].secretRef: must be absent with transport: TLS, where certificates prove who is who",
            "LnsCluster/edge: spec.radius.accounting.servers[0].tlsSecretRef: is required with transport: TLS; name a Secret with the keys tls.crt, tls.key and ca.crt",
        ],
    ),
    (
        &[(
            INTERIM,
            "copies: [{ name: c, address: 10.0.9.9, secretRef: { name: radius }, tlsServerName: a.example }]",
        )],
        &[
            "LnsCluster/edge: spec.radius.accounting.copies[0].tlsServerName: must be absent with transport: UDP, which has no certificates",
        ],
    ),
    (
        &[(NAS, "nasAddress: \"2001:db8::10\" ")],
        &[
            "LnsCluster/edge: spec.radius.accounting.servers: a server is of another family than nasAddress (2001:db8::10), and cannot be reached from there",
            "LnsCluster/edge: spec.radius.authentication.servers: a server is of another family than nasAddress (2001:db8::10), and cannot be reached from there",
            "LnsCluster/edge: spec.radius.dynamicAuthorization.clients: a prefix in from is of another family than nasAddress (2001:db8::10); no client there can reach the LNS",
        ],
    ),
    (
        &[(NAS, "nasAddress: 224.0.0.1 ")],
        &[r#"LnsCluster/edge: spec.radius.nasAddress: "224.0.0.1" is not the address of one host"#],
    ),
    (
        &[(
            R1,
            "authentication:\n      servers:\n      - { name: r1, address: radius.example, secretRef: { name: radius }, realms: [\"@a.example\", \"*\"] }",
        )],
        &[
            r#"LnsCluster/edge: spec.radius.authentication.servers[0].address: "radius.example" is no IP address"#,
            r#"LnsCluster/edge: spec.radius.authentication.servers[0].realms[0]: "@a.example" is no realm: what is behind the last @ of a user name, without the @; no blanks, and * is not known"#,
            r#"LnsCluster/edge: spec.radius.authentication.servers[0].realms[1]: "*" is no realm: what is behind the last @ of a user name, without the @; no blanks, and * is not known"#,
        ],
    ),
    (
        &[(INTERIM, "interimSeconds: 59")],
        &[
            "LnsCluster/edge: spec.radius.accounting.interimSeconds: is below 60, the least that is allowed (RFC 2869, section 5.16); 0 means none",
        ],
    ),
    (
        &[(INTERIM, "retransmission: { initialSeconds: 6 }")],
        &[
            "LnsCluster/edge: spec.radius.accounting.retransmission.initialSeconds: 6 is not within 1 to 5",
        ],
    ),
    (
        &[(
            ASK,
            "authentication:\n      retransmission: { initialSeconds: 9, maximumSeconds: 5, maximumCount: 11, maximumDurationSeconds: 91 }\n      servers:\n",
        )],
        &[
            "LnsCluster/edge: spec.radius.authentication.retransmission.maximumCount: 11 is not within 1 to 10",
            "LnsCluster/edge: spec.radius.authentication.retransmission.maximumDurationSeconds: 91 is not within 5 to 90",
            "LnsCluster/edge: spec.radius.authentication.retransmission.maximumSeconds: is less than initialSeconds, which it bounds",
        ],
    ),
    (
        &[(CLIENT, "{ name: oss, from: [10.0.0.7/24] }")],
        &[
            r#"LnsCluster/edge: spec.radius.dynamicAuthorization.clients[0].from[0]: "10.0.0.7/24" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address"#,
            "LnsCluster/edge: spec.radius.dynamicAuthorization.clients[0].secretRef: is required",
        ],
    ),
];

#[test]
fn servers_that_are_wrong() {
    refused_with(SERVERS_THAT_ARE_WRONG);
}

/// The check of a section is put before its servers.
fn asked(check: &str) -> (&'static str, String) {
    (
        ASK,
        format!("authentication:\n      statusCheck: {check}\n      servers:\n"),
    )
}

fn told(check: &str) -> (&'static str, String) {
    (
        TELL,
        format!("accounting:\n      statusCheck: {check}\n      servers:\n"),
    )
}

#[test]
fn r22_what_is_not_static_in_a_status_check_is_refused_by_the_name_of_the_attribute() {
    let at = "LnsCluster/edge: spec.radius.authentication.statusCheck.attributes";
    for (value, sign) in [
        ("%{User-Name}", "%{"),
        ("%(hex:a)", "%("),
        ("${confdir}", "${"),
        ("{{ name }}", "{{"),
        ("`date`", "`"),
    ] {
        let check = format!("{{ attributes: {{ NAS-Port-Id: \"{value}\" }} }}");
        let (from, to) = asked(&check);
        assert_eq!(
            parse(&edited(&[(from, &to)])).unwrap_err(),
            [format!(
                "{at}.NAS-Port-Id: {value:?} has {sign:?} of a template in it; a check says the same each time: give the value itself"
            )]
        );
    }
}

/// What a section's check is, and the ends of the lines that it is refused with.
const CHECKS: &[(bool, &str, &[&str])] = &[
    (
        true,
        "{ type: AccessRequest }",
        &[
            "attributes.User-Name: is required with type: AccessRequest; give the name of a user who is there for this",
            "passwordSecretRef: is required with type: AccessRequest; name a Secret with the key password",
        ],
    ),
    (
        true,
        "{ type: AccessRequest, attributes: { User-Name: probe } }",
        &[
            "passwordSecretRef: is required with type: AccessRequest; name a Secret with the key password",
        ],
    ),
    (
        true,
        "{ type: AccessRequest, attributes: { User-Name: probe, User-Password: hunter2 }, passwordSecretRef: { name: oss } }",
        &[
            "attributes.User-Password: must not lie open in a manifest; name a Secret with the key password in passwordSecretRef",
            "passwordSecretRef.name: Secret \"oss\" is named elsewhere for a shared secret, and cannot be for a password too",
        ],
    ),
    (
        true,
        "{ type: AccountingRequest }",
        &["type: \"AccountingRequest\" is none of Auto, None, StatusServer, AccessRequest"],
    ),
    (
        true,
        "{ type: StatusServer, attributes: { User-Name: probe } }",
        &[
            "attributes.User-Name: must be absent: Status-Server is no login of a user (RFC 5997, section 3)",
        ],
    ),
    (
        true,
        "{ attributes: { User-Name: probe } }",
        &[
            "attributes.User-Name: is of no use without passwordSecretRef; name a Secret with the key password, or leave it out",
        ],
    ),
    (
        true,
        "{ type: None, attributes: { NAS-Port: \"1\" } }",
        &["attributes: must be absent with type: None, which says nothing"],
    ),
    (
        true,
        "{ attributes: { Nas-Prt: \"1\", Foo: a } }",
        &[
            "attributes.Foo: unknown attribute; known in a check: User-Name, NAS-Port, Service-Type, Framed-Protocol, Framed-IP-Address, Called-Station-Id, Calling-Station-Id, Acct-Authentic, NAS-Port-Type, Connect-Info, NAS-Port-Id, Framed-Pool",
            "attributes.Nas-Prt: unknown attribute; NAS-Port is known",
        ],
    ),
    (
        true,
        "{ attributes: { Proxy-State: a, Message-Authenticator: a, EAP-Message: a, CHAP-Password: a, Filter-Id: a, Acct-Session-Id: a, NAS-Identifier: a, NAS-IP-Address: a } }",
        &[
            "attributes.Acct-Session-Id: must be absent: it belongs to accounting",
            "attributes.CHAP-Password: must be absent: a check logs in with User-Password, or not at all",
            "attributes.EAP-Message: must be absent: a check logs in with User-Password, or not at all",
            "attributes.Filter-Id: must be absent: it tells of a session, and a check has none",
            "attributes.Message-Authenticator: must be absent: it is added where a check is sent",
            "attributes.NAS-IP-Address: must be absent: spec.radius.nasAddress is in every check",
            "attributes.NAS-Identifier: must be absent: spec.radius.nasIdentifier is in every check",
            "attributes.Proxy-State: must be absent: it belongs to proxies, and an LNS is none",
        ],
    ),
    (
        true,
        "{ attributes: { NAS-Port: abc, NAS-Port-Type: \"4294967296\", Service-Type: \"+1\", Framed-IP-Address: \"::1\", Connect-Info: \"\" } }",
        &[
            "attributes.Connect-Info: is empty",
            "attributes.Framed-IP-Address: \"::1\" is no IPv4 address",
            "attributes.NAS-Port: \"abc\" is no number of this attribute",
            "attributes.NAS-Port-Type: \"4294967296\" is no number of this attribute",
            "attributes.Service-Type: \"+1\" is no number of this attribute",
        ],
    ),
    (
        false,
        "{ type: AccountingRequest }",
        &[
            "attributes.User-Name: is required with type: AccountingRequest; give the name of a user who is there for this",
        ],
    ),
    (
        false,
        "{ type: AccountingRequest, attributes: { User-Name: probe, Acct-Delay-Time: \"0\", Acct-Status-Type: \"3\", Acct-Session-Id: a, Event-Timestamp: \"1\" } }",
        &[
            "attributes.Acct-Delay-Time: must be absent: a check tells of nothing that has happened",
            "attributes.Acct-Session-Id: must be absent: it is added where a check is sent",
            "attributes.Acct-Status-Type: must be absent: it is added where a check is sent",
            "attributes.Event-Timestamp: must be absent: it would be a date, and checks are sent on others",
        ],
    ),
    (
        false,
        "{ type: AccessRequest }",
        &["type: \"AccessRequest\" is none of Auto, None, StatusServer, AccountingRequest"],
    ),
    (
        false,
        "{ passwordSecretRef: { name: radius } }",
        &["passwordSecretRef: unknown field; known here: attributes, type"],
    ),
];

#[test]
fn r27_a_status_check_without_what_its_type_needs_or_with_what_it_forbids_is_refused() {
    let mut wrong = String::new();
    for (is_asked, check, expected) in CHECKS {
        let (from, to) = if *is_asked { asked(check) } else { told(check) };
        let section = if *is_asked {
            "authentication"
        } else {
            "accounting"
        };
        let found = parse(&edited(&[(from, &to)])).err().unwrap_or_default();
        assert!(!found.iter().any(|line| line.contains("hunter")));
        let prefix = format!("LnsCluster/edge: spec.radius.{section}.statusCheck.");
        let expected: Vec<_> = expected
            .iter()
            .map(|end| format!("{prefix}{end}"))
            .collect();
        if found != expected {
            writeln!(wrong, "{check}").unwrap();
            for line in found {
                writeln!(wrong, "    {line}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_status_check_becomes_the_octets_of_its_attributes() {
    let check = "{ type: AccountingRequest, attributes: { User-Name: probe, NAS-Port: \"7\", Framed-IP-Address: 192.0.2.9 } }";
    let (from, to) = told(check);
    let manifest = parse(&edited(&[(from, &to)])).unwrap();
    let radius = manifest.cluster.spec.radius.unwrap();
    let check = radius.accounting.unwrap().status_check;
    let list = rules::radius::attributes(&check.attributes);
    assert_eq!(
        list.octets(),
        [
            &[8, 6, 192, 0, 2, 9][..],
            &[5, 6, 0, 0, 0, 7],
            b"\x01\x07probe"
        ]
        .concat()
    );
}

const TLS: &str = "{ name: r1, address: 10.0.0.5, transport: TLS, tlsSecretRef: { name: tls } }";

fn tls_secret(data: &str) -> String {
    let tls = "accounting:\n      servers:\n";
    let with_server = edited(&[(TELL, &format!("{tls}      - {}\n", TLS.replace("r1", "r3")))]);
    format!("{with_server}---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: tls }}\n{data}")
}

const PEM: &str = "type: kubernetes.io/tls\nstringData:\n  \
    tls.crt: |\n    -----BEGIN CERTIFICATE-----\n    hunter\n    -----END CERTIFICATE-----\n  \
    tls.key: |\n    -----BEGIN EC PRIVATE KEY-----\n    hunter\n    -----END EC PRIVATE KEY-----\n  \
    ca.crt: |\n    -----BEGIN CERTIFICATE-----\n    hunter\n    -----END CERTIFICATE-----\n";

#[test]
fn a_secret_of_tls_has_the_shape_that_kubernetes_gives_it() {
    let manifest = parse(&tls_secret(PEM)).unwrap();
    assert_eq!(manifest.warnings, [""; 0]);
    let tls = &manifest.tls["tls"];
    assert!(tls.key.expose().starts_with(b"-----BEGIN EC PRIVATE KEY"));
    for (from, to, expected) in [
        (
            "  ca.crt: ",
            "  tls.ca: ",
            &[
                "Secret/tls: stringData.tls.ca: unknown field; tls.crt is known",
                r#"LnsCluster/edge: spec.radius.accounting.servers[0].tlsSecretRef.name: Secret "tls" has no key ca.crt"#,
            ][..],
        ),
        (
            "-----BEGIN EC PRIVATE KEY",
            "-----BEGIN EC PUBLIC KEY",
            &["Secret/tls: tls.key: has no line -----BEGIN PRIVATE KEY-----: it is no PEM text"],
        ),
        (
            "type: kubernetes.io/tls",
            "type: kubernetes.io/basic-auth",
            &[
                r#"Secret/tls: type: "kubernetes.io/basic-auth" is not known here; leave it out, or write Opaque or kubernetes.io/tls"#,
            ],
        ),
    ] {
        assert_eq!(PEM.matches(from).count(), 1);
        let found = parse(&tls_secret(&PEM.replacen(from, to, 1))).unwrap_err();
        assert_eq!(found, expected);
    }
}

#[test]
fn secrets_of_radius_that_are_weak_or_odd_are_warned_of_once() {
    let text = edited(&[("replace-me-too-0123456789", "\"hunter \"")]);
    assert_eq!(
        parse(&text).unwrap().warnings,
        [
            "Secret/radius: current: has 7 octets; below 16 a secret can be guessed from one recorded exchange",
            "Secret/radius: current: ends in a blank or a line end, which is part of the secret; most RADIUS servers have none there",
        ],
        "four servers share it"
    );
    let text = edited(&[("replace-me-too-0123456789", "\"\"")]);
    assert_eq!(
        parse(&text).unwrap_err(),
        ["Secret/radius: current: is empty"]
    );
}

#[test]
fn the_password_of_a_check_fits_into_an_attribute() {
    let check = "{ type: AccessRequest, attributes: { User-Name: probe }, passwordSecretRef: { name: probe } }";
    let (from, to) = asked(check);
    let with_password = |password: &str| {
        let text = edited(&[(from, &to)]);
        format!(
            "{text}---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: probe }}\nstringData: {{ password: \"{password}\" }}\n"
        )
    };
    let manifest = parse(&with_password("hunter2")).unwrap();
    assert!(manifest.passwords["probe"].is(b"hunter2"));
    assert_eq!(
        parse(&with_password("")).unwrap_err(),
        ["Secret/probe: password: is empty"]
    );
    assert_eq!(
        parse(&with_password(&"h".repeat(129))).unwrap_err(),
        ["Secret/probe: password: has 129 octets; 128 are the most"]
    );
}

const USERS: &str = "---\napiVersion: v1\nkind: Secret\nmetadata: { name: users }\nstringData: { users.yaml: \"alice: hunter2\" }\n";
const POOLS: &str = "  pools:\n";

#[test]
fn local_users_and_eap_need_servers_where_these_are_to_be_asked() {
    let with_users = |order: &str| {
        let users = format!(
            "  subscribers: {{ localUsers: {{ secretRef: {{ name: users }}, order: {order} }} }}\n{POOLS}"
        );
        edited(&[(POOLS, &users)]) + USERS
    };
    let without_servers = |text: &str| {
        let (head, tail) = text.split_once("    authentication:\n").unwrap();
        let (_, tail) = tail.split_once("    accounting:\n").unwrap();
        format!("{head}    accounting:\n{tail}")
    };
    let eap = |text: &str| {
        text.replacen(
            POOLS,
            &format!("  ppp: {{ authentication: [EAP] }}\n{POOLS}"),
            1,
        )
    };
    let lac_eap = |text: &str| {
        text.replacen(
            "    from: [198",
            "    authentication: [EAP, CHAP]\n    from: [198",
            1,
        )
    };
    let eap_of_all = "LnsCluster/edge: spec.ppp.authentication: EAP needs servers that are asked: spec.radius.authentication, and another order of localUsers than Only";
    let eap_of_lac = "LnsCluster/edge: spec.lacs: an entry has authentication EAP, which needs servers that are asked: spec.radius.authentication, and another order of localUsers than Only";
    let after = r#"LnsCluster/edge: spec.subscribers.localUsers.order: "After" needs spec.radius.authentication: there are no servers that come first"#;
    let nobody = "LnsCluster/edge: spec.subscribers.localUsers: is required: subscribers must authenticate and there is nothing to check them against; name a Secret with users.yaml or the servers of radius.authentication, or set authentication: [None]";
    for (text, expected) in [
        (without_servers(RADIUS), &[nobody][..]),
        (without_servers(&with_users("Before")), &[]),
        (without_servers(&with_users("Only")), &[]),
        (without_servers(&with_users("After")), &[after]),
        (with_users("After"), &[]),
        (eap(RADIUS), &[]),
        (eap(&with_users("Before")), &[]),
        (eap(&with_users("Only")), &[eap_of_all]),
        (eap(&without_servers(&with_users("Before"))), &[eap_of_all]),
        (lac_eap(RADIUS), &[]),
        (lac_eap(&with_users("Only")), &[eap_of_lac]),
    ] {
        assert_eq!(parse(&text).err().unwrap_or_default(), expected, "{text}");
    }
    assert_eq!(
        parse(&with_users("Only")).unwrap().warnings,
        [
            "LnsCluster/edge: spec.subscribers.localUsers.order: Only: none of the 2 servers of spec.radius.authentication is ever asked"
        ]
    );
}
