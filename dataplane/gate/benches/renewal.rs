//! What a renewal costs, beside the start of a process that would do it, and how long before its deadline a
//! gate closes.
//!
//! `cargo bench -p lns-gate`, as root: it runs in a network namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "a bench"
)]

use core::hint::black_box;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;

use criterion::Criterion;
use lns_gate::{Announce, Gate, Kind, Mark, Plan, clock};
use nix::sched::{CloneFlags, unshare};

fn main() {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let made = Command::new("ip")
            .args([
                "link", "add", "acc0", "type", "veth", "peer", "name", "core0",
            ])
            .status();
        assert!(made.unwrap().success());
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        measure(&mut Criterion::default().configure_from_args());
    })
    .join()
    .unwrap();
}

fn measure(criterion: &mut Criterion) {
    let mut gate = Gate::install(Plan {
        cluster: "lns/edge".to_owned(),
        service: BTreeSet::from(["192.0.2.1".parse().unwrap()]),
        nas: Some("192.0.2.10".parse().unwrap()),
        announce: Announce::External,
        interfaces: ["acc0", "core0"].map(str::to_owned).into(),
        subscribers: "lns0".to_owned(),
    })
    .unwrap();
    closing(&mut gate);
    for (name, kind) in [
        ("renew control", Kind::Control),
        ("renew data", Kind::Data),
        ("renew announce", Kind::Announce),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let deadline = clock::now() + Duration::from_secs(4);
                black_box(gate.hold(kind, deadline).unwrap())
            });
        });
    }
    criterion.bench_function("state", |bencher| {
        bencher.iter(|| black_box(gate.state().unwrap()));
    });
    criterion.bench_function("start of nft", |bencher| {
        bencher.iter(|| {
            let output = Command::new("nft").args(["list", "tables"]).output();
            black_box(output.unwrap().status)
        });
    });
}

/// Prints how long before its deadline control was last seen to pass.
fn closing(gate: &mut Gate) {
    let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
    Mark::Control.set(&socket).unwrap();
    let mut early: Vec<_> = (0..40)
        .map(|_| {
            let deadline = clock::now() + Duration::from_millis(300);
            gate.control_until(deadline).unwrap();
            let mut last = clock::now();
            loop {
                // Looked at before: what passes passed at this time or later.
                let now = clock::now();
                if socket.send_to(b"x", "127.0.0.1:9").is_err() {
                    break;
                }
                last = now;
            }
            assert!(last <= deadline, "{last:?} is past {deadline:?}");
            deadline.since(last)
        })
        .collect();
    early.sort_unstable();
    println!(
        "closes {:?} to {:?} before the deadline",
        early.first().unwrap(),
        early.last().unwrap()
    );
}
