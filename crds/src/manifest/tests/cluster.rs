//! What of an `LnsCluster` is refused, and the exact line for it.

use super::*;

const ADDRESSES_AND_PREFIXES_THAT_ARE_WRONG: &[Row<'_>] = &[
    (
        CIDR,
        "cidr: 100.64.0.0/33 }",
        &[r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "100.64.0.0/33" is no CIDR"#],
    ),
    (
        CIDR,
        "cidr: 100.64.0.1/16 }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "100.64.0.1/16" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address"#,
        ],
    ),
    (
        CIDR,
        "cidr: 10.0.0.0/8 }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "10.0.0.0/8" is larger than a /10; give the part of it that subscribers really get"#,
        ],
    ),
    (
        CIDR,
        "cidr: 224.0.0.0/16 }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "224.0.0.0/16" has no addresses that a host can have"#,
        ],
    ),
    (
        CIDR,
        "cidr: \"2001:db8::/64\" }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "2001:db8::/64" is no IPv4 prefix; pools are IPv4 only"#,
        ],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/16, exclude: [10.0.0.0/28] }",
        &[
            "LnsCluster/edge: spec.pools[0].prefixes[0].exclude: of 10.0.0.0/28 not all is inside of 100.64.0.0/16; exclude only what the prefix has",
        ],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/16, exclude: [100.64.0.1/28] }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].exclude[0]: "100.64.0.1/28" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address"#,
        ],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/16, exclude: [100.64.0.0] }",
        &[r#"LnsCluster/edge: spec.pools[0].prefixes[0].exclude[0]: "100.64.0.0" is no CIDR"#],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/16, exclude: [\"2001:db8::/64\"] }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[0].exclude[0]: "2001:db8::/64" is no IPv4 prefix"#,
        ],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/16 }, { cidr: 100.64.5.0/24 }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[1].cidr: "100.64.5.0/24" overlaps "100.64.0.0/16" at spec.pools[0].prefixes[0].cidr; an address belongs to one pool"#,
        ],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/16 }, { cidr: 100.64.0.0/16 }",
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[1].cidr: "100.64.0.0/16" overlaps "100.64.0.0/16" at spec.pools[0].prefixes[0].cidr; an address belongs to one pool"#,
        ],
    ),
    (
        CIDR,
        "cidr: 100.64.0.0/10 }, { cidr: 10.0.0.0/10 }, { cidr: 11.0.0.0/32 }",
        &[
            "LnsCluster/edge: spec.pools: 8388609 addresses in all pools; 8388608 are the most that a node holds",
        ],
    ),
    (
        FROM,
        "from: [198.51.100.7/24]",
        &[
            r#"LnsCluster/edge: spec.lacs[0].from[0]: "198.51.100.7/24" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address"#,
        ],
    ),
    (
        FROM,
        "from: [198.51.100.7]",
        &[r#"LnsCluster/edge: spec.lacs[0].from[0]: "198.51.100.7" is no CIDR"#],
    ),
    (
        FROM,
        "from: [\"2001:db8::/64\"]",
        &[
            "LnsCluster/edge: spec.lacs: a prefix in from is of another family than every service address (192.0.2.1); no LAC there can reach the LNS",
        ],
    ),
    (
        FROM,
        "from: [198.51.100.0/24, 198.51.100.0/24]",
        &[r#"LnsCluster/edge: spec.lacs[0].from[1]: "198.51.100.0/24" is there already, at [0]"#],
    ),
    (
        ADDRESSES,
        "addresses: [0.0.0.0]",
        &[
            r#"LnsCluster/edge: spec.service.addresses[0]: "0.0.0.0" is not an address that a LAC can be told to dial; name the very addresses"#,
        ],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1/32]",
        &[r#"LnsCluster/edge: spec.service.addresses[0]: "192.0.2.1/32" is no IP address"#],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.256]",
        &[r#"LnsCluster/edge: spec.service.addresses[0]: "192.0.2.256" is no IP address"#],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1, 239.0.0.1]",
        &[
            r#"LnsCluster/edge: spec.service.addresses[1]: "239.0.0.1" is not an address that a LAC can be told to dial; name the very addresses"#,
        ],
    ),
    (
        ADDRESSES,
        "addresses: []",
        &["LnsCluster/edge: spec.service.addresses: has 0 entries; 1 is the least"],
    ),
    (
        "localAddress: 100.64.0.1",
        "localAddress: 192.0.2.1",
        &[
            "LnsCluster/edge: spec.pools: the localAddress of a pool is a service address (192.0.2.1); a subscriber would route the tunnel into itself: take another address",
        ],
    ),
    (
        "localAddress: 100.64.0.1",
        "localAddress: \"2001:db8::1\"",
        &[r#"LnsCluster/edge: spec.pools[0].localAddress: "2001:db8::1" is no IPv4 address"#],
    ),
    (
        "localAddress: 100.64.0.1",
        "localAddress: 127.0.0.1",
        &[
            r#"LnsCluster/edge: spec.pools[0].localAddress: "127.0.0.1" is not an address that a host can have"#,
        ],
    ),
    (
        "  pools:",
        "  ppp: { dns: [dns.isp.example] }\n  pools:",
        &[r#"LnsCluster/edge: spec.ppp.dns[0]: "dns.isp.example" is no IPv4 address"#],
    ),
];

#[test]
fn addresses_and_prefixes_that_are_wrong() {
    refused(ADDRESSES_AND_PREFIXES_THAT_ARE_WRONG);
}

const NAMES_THAT_ARE_WRONG_OR_THERE_TWICE: &[Row<'_>] = &[
    (
        "name: edge",
        "name: ed.ge",
        &[
            "LnsCluster/ed.ge: metadata.name has a dot or more than 45 characters; names of other objects are made of it",
        ],
    ),
    (
        "name: edge",
        "name: a123456789-123456789-123456789-123456789-123456",
        &[
            "LnsCluster/a123456789-123456789-123456789-123456789-123456: metadata.name has a dot or more than 45 characters; names of other objects are made of it",
        ],
    ),
    (
        "name: edge",
        "name: Edge",
        &[
            r#"LnsCluster/Edge: metadata.name: "Edge" is no name: small letters, digits and hyphens only, with a letter or digit at both ends"#,
        ],
    ),
    (
        "name: edge",
        "name: edge, namespace: a.b",
        &[
            r#"LnsCluster/edge: metadata.namespace: "a.b" is no name: small letters, digits and hyphens only, with a letter or digit at both ends"#,
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: "wholesale-a" is no Secret of this manifest; there is one in namespace "default", and the cluster is in "a.b""#,
            r#"LnsCluster/edge: spec.subscribers.localUsers.secretRef.name: "users" is no Secret of this manifest; there is one in namespace "default", and the cluster is in "a.b""#,
        ],
    ),
    (
        "name: edge",
        "namespace: lns",
        &["LnsCluster (document 1 of m.yaml): metadata.name: is required"],
    ),
    (
        "name: edge",
        "name: edge, lables: {}",
        &["LnsCluster/edge: metadata.lables: unknown field; labels is known"],
    ),
    (
        "name: edge",
        "name: edge, labels: { a: 1 }",
        &["LnsCluster/edge: metadata.labels.a: must be a string, and is the number 1"],
    ),
    (
        LAC,
        "  - name: Wholesale A\n",
        &[
            r#"LnsCluster/edge: spec.lacs[0].name: "Wholesale A" is no name: small letters, digits and hyphens only, with a letter or digit at both ends"#,
        ],
    ),
    (
        LAC,
        "  - { name: wholesale-a, from: [10.0.0.0/8], tunnelAuthentication: { mode: None } }\n  - name: wholesale-a\n",
        &["LnsCluster/edge: spec.lacs: two LACs have the same name; give each entry its own"],
    ),
    (
        POOL,
        "  - { name: default, localAddress: 10.0.0.1, prefixes: [{ cidr: 10.0.0.0/16 }] }\n  - name: default\n",
        &[r#"LnsCluster/edge: spec.pools[1]: "default" is there already, at [0]"#],
    ),
    (
        POOL,
        "  - name: -default\n",
        &[
            r#"LnsCluster/edge: spec.pools[0].name: "-default" is no name: small letters, digits and hyphens only, with a letter or digit at both ends"#,
        ],
    ),
    (
        LAC,
        "  - name: wholesale-a\n    hostName: 'la[c]'\n",
        &[
            r#"LnsCluster/edge: spec.lacs[0].hostName: "la[c]" is no pattern for a host name: * stands for any run of characters and ? for one; blanks, brackets, braces and backslashes are not known"#,
        ],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    hostName: lns_.example-",
        &[
            r#"LnsCluster/edge: spec.service.hostName: "lns_.example-" is no host name: letters, digits, dots, hyphens and underscores only, with a letter or digit at both ends"#,
        ],
    ),
    (
        SPEC,
        "spec:\n  core: { interface: lns0 }\n",
        &[
            r#"LnsCluster/edge: spec.core.interface: "lns0" leads to no core network: lns0 is the subscribers, lo this machine"#,
        ],
    ),
    (
        SPEC,
        "spec:\n  core: { interface: eth/0 }\n",
        &[
            r#"LnsCluster/edge: spec.core.interface: "eth/0" is no name of a network interface: no blanks, slashes or colons"#,
        ],
    ),
    (
        "secretRef: { name: wholesale-a }",
        "secretRef: { name: Wholesale }",
        &[
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: "Wholesale" is no object name: small letters, digits, hyphens and dots only, with a letter or digit at both ends"#,
            r#"LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: "Wholesale" is no Secret of this manifest"#,
        ],
    ),
];

#[test]
fn names_that_are_wrong_or_there_twice() {
    refused(NAMES_THAT_ARE_WRONG_OR_THERE_TWICE);
}

const FIELDS_THAT_ARE_UNKNOWN_MISSING_OR_OF_ANOTHER_KIND: &[Row<'_>] = &[
    (
        SPEC,
        "spec:\n  fencing: {}\n",
        &[
            "LnsCluster/edge: spec.fencing: unknown field; known here: core, datapath, deletionProtection, election, forwarding, lacs, nodeSelector, peers, pools, ppp, radius, service, store, subscribers",
        ],
    ),
    (
        SPEC,
        "spec:\n  datpath: {}\n",
        &["LnsCluster/edge: spec.datpath: unknown field; datapath is known"],
    ),
    (
        "  service:",
        "  servce:",
        &[
            "LnsCluster/edge: spec.servce: unknown field; service is known",
            "LnsCluster/edge: spec.service: is required",
        ],
    ),
    (
        "localUsers: {",
        "localUsers: { password: hunter2,",
        &[
            "LnsCluster/edge: spec.subscribers.localUsers.password: unknown field; known here: order, secretRef",
        ],
    ),
    (
        "  lacs:
",
        "  lacs: []
  lacks:
",
        &[
            "LnsCluster/edge: spec.lacks: unknown field; lacs is known",
            "LnsCluster/edge: spec.lacs: has 0 entries; 1 is the least",
        ],
    ),
    (
        FROM,
        "from: 198.51.100.0/24",
        &[
            r#"LnsCluster/edge: spec.lacs[0].from: must be a list, and is the string "198.51.100.0/24""#,
        ],
    ),
    (
        FROM,
        "from: []",
        &["LnsCluster/edge: spec.lacs[0].from: has 0 entries; 1 is the least"],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    port: 0",
        &["LnsCluster/edge: spec.service.port: 0 is not within 1 to 65535"],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    port: \"1701\"",
        &[
            r#"LnsCluster/edge: spec.service.port: must be a whole number, and is the string "1701""#,
        ],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    port: 1701.5",
        &["LnsCluster/edge: spec.service.port: must be a whole number, and is the number 1701.5"],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    hostName: on",
        &[
            "LnsCluster/edge: spec.service.hostName: must be a string, and is the boolean true; a word that YAML takes for one must be quoted",
        ],
    ),
    (
        ADDRESSES,
        "addresses: [192.0.2.1]\n    announce: { mode: BGP }",
        &[r#"LnsCluster/edge: spec.service.announce.mode: "BGP" is none of External, L2"#],
    ),
    (
        SPEC,
        "spec:\n  ppp: { mru: 1501 }\n",
        &["LnsCluster/edge: spec.ppp.mru: 1501 is not within 128 to 1500"],
    ),
    (
        SPEC,
        "spec:\n  ppp: { mru: 127 }\n",
        &["LnsCluster/edge: spec.ppp.mru: 127 is not within 128 to 1500"],
    ),
    (
        SPEC,
        "spec:\n  ppp: { dns: [10.0.0.1, 10.0.0.2, 10.0.0.3] }\n",
        &["LnsCluster/edge: spec.ppp.dns: has 3 entries; 2 are the most"],
    ),
    (
        LAC,
        "  - name: wholesale-a\n    helloSeconds: 4\n",
        &["LnsCluster/edge: spec.lacs[0].helloSeconds: 4 is not within 5 to 3600"],
    ),
    (
        LAC,
        "  - name: wholesale-a\n    admission: drain\n",
        &[r#"LnsCluster/edge: spec.lacs[0].admission: "drain" is none of Accept, Drain, Refuse"#],
    ),
    (
        LAC,
        "  - name: wholesale-a\n    limits: { maxTunnels: 65536 }\n",
        &["LnsCluster/edge: spec.lacs[0].limits.maxTunnels: 65536 is not within 1 to 65535"],
    ),
    (
        SPEC,
        "spec:\n  datapath: { mode: XDP }\n",
        &[r#"LnsCluster/edge: spec.datapath.mode: "XDP" is none of Auto, TUN"#],
    ),
    (
        SPEC,
        "spec:\n  nodeSelector: { a: true }\n",
        &[
            "LnsCluster/edge: spec.nodeSelector.a: must be a string, and is the boolean true; a word that YAML takes for one must be quoted",
        ],
    ),
    (
        SPEC,
        "status: {}\nspec:\n",
        &["LnsCluster/edge: status: unknown field; known here: spec"],
    ),
];

#[test]
fn fields_that_are_unknown_missing_or_of_another_kind() {
    refused(FIELDS_THAT_ARE_UNKNOWN_MISSING_OR_OF_ANOTHER_KIND);
}

const AUTHENTICATION_THAT_DOES_NOT_WORK_OUT: &[Row<'_>] = &[
    (
        AUTHENTICATION,
        "{ mode: Secret }",
        &[
            "LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef: is required with mode: Secret; name a Secret with the key current",
        ],
    ),
    (
        AUTHENTICATION,
        "{ secretRef: { name: wholesale-a } }",
        &["LnsCluster/edge: spec.lacs[0].tunnelAuthentication.mode: is required"],
    ),
    (
        AUTHENTICATION,
        "{ mode: None, secretRef: { name: wholesale-a } }",
        &[
            "LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef: must be absent with mode: None; a secret that is not used protects nothing",
        ],
    ),
    (
        AUTHENTICATION,
        "{ mode: None, avpHiding: Always }",
        &[
            "LnsCluster/edge: spec.lacs[0].tunnelAuthentication.avpHiding: \"Always\" needs mode: Secret; AVPs are hidden by the shared secret",
        ],
    ),
    (
        "localUsers: { secretRef: { name: users } }",
        "{}",
        &[
            "LnsCluster/edge: spec.subscribers.localUsers: is required: subscribers must authenticate and there is nothing to check them against; name a Secret with users.yaml or the servers of radius.authentication, or set authentication: [None]",
        ],
    ),
    (
        SPEC,
        "spec:\n  ppp: { authentication: [CHAP, None] }\n",
        &[
            "LnsCluster/edge: spec.ppp.authentication: None stands beside other protocols; a subscriber could always choose it: leave None out, or list nothing else",
        ],
    ),
    (
        SPEC,
        "spec:\n  ppp: { authentication: [CHAP, PAP, CHAP] }\n",
        &[
            "LnsCluster/edge: spec.ppp.authentication: a protocol is listed twice; each is offered once, in the order given",
        ],
    ),
    (
        SPEC,
        "spec:\n  ppp: { authentication: [] }\n",
        &["LnsCluster/edge: spec.ppp.authentication: has 0 entries; 1 is the least"],
    ),
    (
        SPEC,
        "spec:\n  ppp: { authentication: [MSCHAP] }\n",
        &[
            r#"LnsCluster/edge: spec.ppp.authentication[0]: "MSCHAP" is none of CHAP, MSCHAPv2, PAP, EAP, None"#,
        ],
    ),
    (
        LAC,
        "  - name: wholesale-a\n    authentication: [PAP, None]\n",
        &[
            "LnsCluster/edge: spec.lacs[0].authentication: None stands beside other protocols; a subscriber could always choose it: leave None out, or list nothing else",
        ],
    ),
    (
        LAC,
        "  - name: wholesale-a\n    authentication: [PAP, PAP]\n",
        &[
            "LnsCluster/edge: spec.lacs[0].authentication: a protocol is listed twice; each is offered once, in the order given",
        ],
    ),
];

#[test]
fn authentication_that_does_not_work_out() {
    refused(AUTHENTICATION_THAT_DOES_NOT_WORK_OUT);
}
