//! Fields of `spec.pools`: who has an address keeps it, whatever becomes of where it came from.

use lns_api::Effect::{AtOnce, NewSessions};
use lns_wire::ppp::{Code, Protocol, ipcp};

use super::ppp::old_and_new;
use super::stage::{Call, SECOND_POOL, Stage};
use super::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof("spec.pools", NewSessions, order),
    proof("spec.pools[].name", NewSessions, name),
    proof("spec.pools[].localAddress", NewSessions, local_address),
    proof("spec.pools[].prefixes", NewSessions, prefix_order),
    proof("spec.pools[].prefixes[].cidr", NewSessions, cidr),
    proof(
        "spec.pools[].prefixes[].allocation",
        NewSessions,
        allocation,
    ),
    proof("spec.pools[].prefixes[].exclude", NewSessions, exclude),
    proof("spec.pools[].reuseDelaySeconds", AtOnce, reuse_delay),
];

/// The session keeps its address, and nobody else gets it. The next call.
fn next_beside(stage: &mut Stage, old: Call, address: &str) -> Call {
    let new = stage.call(old.lac, "bob");
    assert!(stage.is_up(old) && stage.is_up(new));
    assert_eq!(stage.address(old), address);
    assert_ne!(stage.address(new), address, "held twice");
    new
}

fn order(stage: &mut Stage) {
    let old = stage.alice();
    assert_eq!(stage.pool(old), "first");
    let whole = stage.text().to_owned();
    let (_, first) = whole.split_once("  pools:").unwrap();
    let (first, _) = first.split_once(SECOND_POOL).unwrap();
    let address = stage.address(old);
    stage.change(&[(
        &format!("{first}{SECOND_POOL}"),
        &format!("{SECOND_POOL}{first}"),
    )]);
    let new = next_beside(stage, old, &address);
    assert_eq!(stage.pool(new), "second");
    assert_eq!(stage.pool(old), "first");
}

/// Under another name it is another pool, which has the addresses of the old one and who holds them.
fn name(stage: &mut Stage) {
    let old = stage.alice();
    let address = stage.address(old);
    stage.change(&[("- name: first\n", "- name: renamed\n")]);
    let new = next_beside(stage, old, &address);
    assert_eq!(stage.pool(new), "renamed");
    let third = stage.call(old.lac, "carol");
    assert_ne!(stage.address(third), address, "held twice");
    stage.hang_up(old);
    let pools = stage.node().pools();
    let used: u64 = pools.iter().map(|pool| pool.used).sum();
    assert_eq!(used, 2, "{pools:?}");
}

fn local_address(stage: &mut Stage) {
    let told = |stage: &Stage, call, since| {
        let request = (Protocol::IPCP, Code::CONFIGURE_REQUEST);
        stage.option(call, request, ipcp::kind::ADDRESS, since)
    };
    let edit = ("localAddress: 100.64.0.1", "localAddress: 100.64.0.200");
    let (old, new) = old_and_new(stage, edit, told);
    assert_eq!(old, Some(vec![100, 64, 0, 1]));
    assert_eq!(new, Some(vec![100, 64, 0, 200]));
    // What the workers answer with is the first pool's, and changes with the pools.
    assert_eq!(stage.setup.icmp_source.octets(), [100, 64, 0, 200]);
    former_local_address(stage);
}

/// Of four addresses one is alice's, two are ends of ours, the old one among them as long as she has it
/// and the machine too: one is left.
fn former_local_address(stage: &mut Stage) {
    *stage = Stage::new();
    stage.begin_with(&[
        ("cidr: 100.64.0.0/24", "cidr: 100.64.0.0/30"),
        ("exclude: [100.64.0.2/32]", "exclude: []"),
        (SECOND_PREFIX, ""),
        (SECOND_POOL, ""),
        ("reuseDelaySeconds: 60", "reuseDelaySeconds: 1"),
    ]);
    let old = stage.alice();
    let lac = old.lac;
    stage.change(&[("localAddress: 100.64.0.1", "localAddress: 100.64.0.2")]);
    let in_use = |stage: &Stage| stage.node().local_addresses_in_use().count();
    let new = stage.call(lac, "bob");
    assert_eq!(stage.address(new), "100.64.0.3");
    assert_eq!(in_use(stage), 2);
    let late = stage.call(lac, "carol");
    assert!(!stage.is_up(late), "the old local address was given out");
    stage.hang_up(old);
    assert_eq!(in_use(stage), 1);
    stage.world.with_node(|node, now| {
        node.handle_free_local([100, 64, 0, 1].into(), now);
    });
    stage.run(5);
    let calls = [stage.call(lac, "carol"), stage.call(lac, "alice")];
    let got = calls.map(|call| stage.address(call));
    assert!(got.contains(&"100.64.0.1".to_owned()), "{got:?}");
}

const FIRST_PREFIX: &str =
    "    - { cidr: 100.64.0.0/24, allocation: Enabled, exclude: [100.64.0.2/32] }\n";
const SECOND_PREFIX: &str = "    - { cidr: 100.65.0.0/24 }\n";

fn prefix_order(stage: &mut Stage) {
    let old = stage.alice();
    let address = stage.address(old);
    assert!(address.starts_with("100.64.0."), "{address}");
    stage.change(&[(
        &format!("{FIRST_PREFIX}{SECOND_PREFIX}"),
        &format!("{SECOND_PREFIX}{FIRST_PREFIX}"),
    )]);
    let new = next_beside(stage, old, &address);
    assert!(stage.address(new).starts_with("100.65.0."));
}

fn cidr(stage: &mut Stage) {
    let old = stage.alice();
    let address = stage.address(old);
    stage.change(&[(
        "{ cidr: 100.64.0.0/24, allocation: Enabled, exclude: [100.64.0.2/32] }",
        "{ cidr: 100.67.0.0/24, allocation: Enabled, exclude: [100.67.0.2/32] }",
    )]);
    let new = next_beside(stage, old, &address);
    assert!(stage.address(new).starts_with("100.67.0."));
}

fn allocation(stage: &mut Stage) {
    let old = stage.alice();
    let address = stage.address(old);
    stage.change(&[("allocation: Enabled", "allocation: Disabled")]);
    let new = next_beside(stage, old, &address);
    assert!(stage.address(new).starts_with("100.65.0."));
}

/// The first address of the prefix is alice's, the next two are not given out by then.
fn exclude(stage: &mut Stage) {
    let old = stage.alice();
    let address = stage.address(old);
    assert_eq!(address, "100.64.0.0");
    let edit = ("exclude: [100.64.0.2/32]", "exclude: [100.64.0.0/29]");
    stage.change(&[edit]);
    let new = next_beside(stage, old, &address);
    assert_eq!(stage.address(new), "100.64.0.8");
}

/// Of two addresses both rest; the shorter rest holds for them, too.
fn reuse_delay(stage: &mut Stage) {
    stage.begin_with(&[
        ("cidr: 100.64.0.0/24", "cidr: 100.64.0.0/30"),
        (SECOND_PREFIX, ""),
        (SECOND_POOL, ""),
        ("reuseDelaySeconds: 60", "reuseDelaySeconds: 3600"),
    ]);
    let old = stage.alice();
    let second = stage.call(old.lac, "bob");
    let address = stage.address(second);
    stage.hang_up(second);
    stage.run(10);
    let refused = stage.call(old.lac, "carol");
    assert!(!stage.is_up(refused), "the address rests");
    stage.change(&[("reuseDelaySeconds: 3600", "reuseDelaySeconds: 5")]);
    let late = stage.call(old.lac, "carol");
    assert!(stage.is_up(late));
    assert_eq!(stage.address(late), address);
    assert!(stage.is_up(old));
}
