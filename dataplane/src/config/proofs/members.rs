//! Fields of the members of a cluster: what each changes for one of them, and that it changes nothing for a
//! node that runs from a file.

use lns_api::Effect::{AtOnce, Restart};
use lns_crypto::Secret;
use lns_gate::Announce;
use lns_store::{Durability, Target};

use super::stage::{Edit, Stage};
use super::{Proof, proof};
use crate::config::{Changes, ClusterSetup};

pub(super) const PROOFS: &[Proof] = &[
    proof("spec.service.announce.mode", AtOnce, announce),
    proof("spec.datapath.accessInterface", AtOnce, |stage| {
        let edit = ("accessInterface: access0", "accessInterface: access1");
        let (_, after) = gate(stage, edit);
        assert_eq!(after.gate.ways.access.as_deref(), Some("access1"));
    }),
    proof("spec.store.redis.url", AtOnce, |stage| {
        let (_, after) = store(stage, ("redis:6379/1", "redis:6379/2"));
        let Target::Server(server) = after.store.config().target else {
            panic!("{:?}", after.store);
        };
        assert_eq!(server.database, 2);
    }),
    proof(
        "spec.store.redis.credentialsSecretRef.name",
        AtOnce,
        |stage| {
            let edit = (
                "credentialsSecretRef: { name: redis }",
                "credentialsSecretRef: { name: other-redis }",
            );
            let (_, after) = store(stage, edit);
            is_login(&after, None, b"second-store-password");
        },
    ),
    proof("spec.store.redis.caSecretRef.name", AtOnce, |stage| {
        let edit = (
            "caSecretRef: { name: redis-ca }",
            "caSecretRef: { name: other-redis-ca }",
        );
        let (_, after) = store(stage, edit);
        is_authority(&after, b"(second store)");
    }),
    proof("spec.store.redis.replicas", AtOnce, |stage| {
        let (_, after) = store(stage, ("replicas: 1", "replicas: 2"));
        assert_eq!(after.store.settings().replicas, 2);
    }),
    proof("spec.store.redis.durability", AtOnce, |stage| {
        stage.begin_with(&[("      replicas: 1\n", "")]);
        let edit = ("durability: Replicated", "durability: Single");
        let (_, after) = store(stage, edit);
        assert_eq!(after.store.config().durability, Durability::Single);
        assert_eq!(after.store.settings().replicas, 0);
    }),
    proof("spec.store.redis.sentinel.master", AtOnce, |stage| {
        stage.begin_with(&[SENTINEL]);
        let (_, after) = store(stage, ("master: one", "master: two"));
        assert!(
            matches!(after.store.config().target, Target::Sentinel { master, .. } if &*master == "two")
        );
    }),
    proof("spec.store.redis.sentinel.addresses", AtOnce, |stage| {
        stage.begin_with(&[SENTINEL]);
        let (_, after) = store(stage, ("addresses: [s1, s2]", "addresses: [s1, s2, s3]"));
        assert!(
            matches!(after.store.config().target, Target::Sentinel { sentinels, .. } if sentinels.len() == 3)
        );
    }),
    proof("spec.peers.port", Restart, |stage| {
        refused(stage, ("{ port: 1702,", "{ port: 1703,"), "spec.peers.port");
    }),
    proof("spec.peers.tlsSecretRef.name", AtOnce, |stage| {
        let expected = Changes {
            credentials: true,
            ..Changes::default()
        };
        let edit = (
            "port: 1702, tlsSecretRef: { name: other-radsec }",
            "port: 1702, tlsSecretRef: { name: radsec }",
        );
        taken(stage, edit, expected);
    }),
    proof("spec.forwarding.stalenessSeconds", AtOnce, |stage| {
        let expected = Changes {
            staleness: true,
            ..Changes::default()
        };
        let edit = ("stalenessSeconds: 600", "stalenessSeconds: 300");
        let (_, after) = taken(stage, edit, expected);
        assert_eq!(after.staleness.as_secs(), 300);
    }),
    proof("spec.election.profile", Restart, |stage| {
        refused(
            stage,
            ("profile: Default", "profile: Fast"),
            "spec.election.profile",
        );
    }),
    proof("Store Secret: username", AtOnce, |stage| {
        let (_, after) = store(stage, ("username: lns-member", "username: lns-other"));
        is_login(&after, Some("lns-other"), b"store-password");
    }),
    proof("Store Secret: password", AtOnce, |stage| {
        let (_, after) = store(
            stage,
            ("password: store-password", "password: new-store-password"),
        );
        is_login(&after, Some("lns-member"), b"new-store-password");
    }),
    proof("Store Secret: ca.crt", AtOnce, |stage| {
        let (_, after) = store(stage, ("(store)", "(new store)"));
        is_authority(&after, b"(new store)");
    }),
];

const SENTINEL: Edit<'_> = (
    "durability: Replicated\n",
    "durability: Replicated\n      sentinel: { master: one, addresses: [s1, s2] }\n",
);

fn announce(stage: &mut Stage) {
    let (before, after) = gate(
        stage,
        (
            "hostName: lns1 }",
            "hostName: lns1, announce: { mode: L2 } }",
        ),
    );
    let announced = |setup: &ClusterSetup| {
        let interfaces = ["access0".to_owned()].into();
        setup.gate.plan(interfaces).unwrap().announce
    };
    let interface = "access0".to_owned();
    assert_eq!(announced(&before), Announce::External);
    assert_eq!(announced(&after), Announce::L2 { interface });
}

fn is_login(setup: &ClusterSetup, user: Option<&str>, password: &[u8]) {
    let login = setup.store.config().credentials.unwrap();
    assert_eq!(login.user.as_deref(), user);
    assert!(login.password.is(password));
}

fn is_authority(setup: &ClusterSetup, behind: &[u8]) {
    let pem = Secret::new(setup.store.config().authorities.unwrap());
    assert!(pem.expose().ends_with(behind));
}

fn store(stage: &mut Stage, edit: Edit<'_>) -> (ClusterSetup, ClusterSetup) {
    let expected = Changes {
        store: true,
        ..Changes::default()
    };
    taken(stage, edit, expected)
}

fn gate(stage: &mut Stage, edit: Edit<'_>) -> (ClusterSetup, ClusterSetup) {
    let expected = Changes {
        gate: true,
        ..Changes::default()
    };
    taken(stage, edit, expected)
}

/// A running member takes the field over, and nothing else; for a node that runs from a file nothing changes.
fn taken(stage: &mut Stage, edit: Edit<'_>, expected: Changes) -> (ClusterSetup, ClusterSetup) {
    let (before, unclustered) = both(stage);
    stage.change(&[edit]);
    let (after, same) = both(stage);
    assert_eq!(before.changes(&after), expected);
    assert!(before.needs_restart(&after).is_empty());
    assert_eq!(unclustered, same);
    (before, after)
}

/// A running member refuses it, and names the field; for a node that runs from a file nothing changes.
fn refused(stage: &mut Stage, edit: Edit<'_>, field: &str) {
    let (before, unclustered) = both(stage);
    stage.change(&[edit]);
    let (after, same) = both(stage);
    assert_eq!(before.needs_restart(&after), [field]);
    assert_eq!(unclustered, same);
}

/// What the manifest means for a member, and for any node.
fn both(stage: &Stage) -> (ClusterSetup, String) {
    let member = ClusterSetup::new(&stage.manifest).unwrap();
    (member, format!("{:?}", stage.setup))
}
