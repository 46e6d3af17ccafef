//! What a process does that is stopped in the middle of a hold, on the loopback interface of a network
//! namespace of its own: everything that leaves passes the hook of output there too.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test may fail this way"
)]

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};

use super::*;
use crate::{Announce, Mark};

const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Runs `test` on a thread in a new network namespace whose loopback is up.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if std::env::var_os("LNS_WITHOUT_ROOT").is_some() {
        println!("skipped: LNS_WITHOUT_ROOT is set");
        return;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root for a network namespace, or LNS_WITHOUT_ROOT=1 to go without"
    );
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let up = std::process::Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.expect("iproute2").success());
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn gate() -> Gate {
    let plan = Plan {
        cluster: "lns/edge".to_owned(),
        service: BTreeSet::from([SERVICE.into()]),
        nas: None,
        announce: Announce::External,
        interfaces: BTreeSet::new(),
        subscribers: "lns0".to_owned(),
    };
    // Another test may be starting a process just now, which has the sockets of the gate before
    // until it is another program.
    loop {
        match Gate::install(plan.clone()) {
            Err(GateError::Taken(_)) => thread::yield_now(),
            installed => return installed.unwrap(),
        }
    }
}

fn sender(mark: Mark) -> UdpSocket {
    let socket = UdpSocket::bind((SERVICE, 0)).unwrap();
    mark.set(&socket).unwrap();
    socket
}

fn passes(socket: &UdpSocket) -> bool {
    socket.send_to(b"x", "127.0.0.1:9").is_ok()
}

/// Sends as fast as it can, and tells when the last packet was sent that passed.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Instant)>,
}

impl Flood {
    /// In the namespace of this thread.
    fn start(mark: Mark) -> Self {
        let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let socket = sender(mark);
            let (mut passed, mut last) = (0, Instant::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                // Looked at before: what passes was allowed at this time or later.
                let at = clock::now();
                if passes(&socket) {
                    (passed, last) = (passed + 1, at);
                }
            }
            (passed, last)
        });
        Self { stop, thread }
    }

    /// How many passed, and when the last of them was sent.
    fn end(self) -> (u64, Instant) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn whoever_is_stopped_in_the_middle_of_a_hold_opens_nothing_late() {
    in_namespace(|| {
        let mut gate = gate();
        let socket = sender(Mark::Control);
        for moment in [Moment::Read, Moment::Staged, Moment::Checked] {
            // Once with nothing held before, and once with a hold that lasts.
            for before in [Duration::ZERO, Duration::from_millis(100)] {
                gate.control_until(clock::now() + before).unwrap();
                let flood = Flood::start(Mark::Control);
                let deadline = clock::now() + Duration::from_millis(300);
                let held = gate.hold_pausing(Kind::Control, deadline, |at| {
                    while at == moment && clock::now() <= deadline {
                        thread::sleep(Duration::from_millis(10));
                    }
                    if clock::now() > deadline {
                        assert!(!passes(&socket), "open at {at:?}, stopped at {moment:?}");
                    }
                });
                assert_eq!(held.unwrap(), Held::Closed, "stopped at {moment:?}");
                assert!(!passes(&socket), "open after {moment:?}");
                let (_, last) = flood.end();
                assert!(
                    last <= deadline,
                    "{moment:?}: {last:?} is past {deadline:?}"
                );
            }
        }
    });
}

#[test]
fn whoever_is_stopped_and_goes_on_in_time_has_what_is_left() {
    in_namespace(|| {
        let mut gate = gate();
        for moment in [Moment::Read, Moment::Staged, Moment::Checked] {
            let deadline = clock::now() + Duration::from_secs(5);
            let mut once = true;
            let held = gate.hold_pausing(Kind::Control, deadline, |at| {
                if at == moment && core::mem::take(&mut once) {
                    thread::sleep(Duration::from_millis(100));
                }
            });
            let held = held.unwrap();
            assert!(
                matches!(held, Held::Until(until) if until <= deadline),
                "{moment:?}: {held:?}"
            );
            assert!(passes(&sender(Mark::Control)), "closed after {moment:?}");
            gate.close_control().unwrap();
        }
    });
}

#[test]
fn a_hold_replaces_a_longer_one_and_a_deadline_that_is_over_closes() {
    in_namespace(|| {
        let mut gate = gate();
        let socket = sender(Mark::Control);
        gate.control_until(clock::now() + Duration::from_secs(600))
            .unwrap();
        assert!(passes(&socket));
        let flood = Flood::start(Mark::Control);
        let deadline = clock::now() + Duration::from_millis(200);
        assert!(
            matches!(gate.control_until(deadline).unwrap(), Held::Until(until) if until <= deadline)
        );
        while clock::now() <= deadline {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(!passes(&socket));
        let (passed, last) = flood.end();
        assert!(
            passed > 0 && last <= deadline,
            "{last:?} is past {deadline:?}"
        );
        gate.control_until(clock::now() + Duration::from_secs(600))
            .unwrap();
        assert!(passes(&socket));
        assert_eq!(gate.control_until(clock::now()).unwrap(), Held::Closed);
        assert!(!passes(&socket));
    });
}

#[test]
fn where_nftables_is_too_slow_the_hold_before_stays_until_its_own_end() {
    in_namespace(|| {
        let mut gate = gate();
        let first = clock::now() + Duration::from_secs(60);
        gate.control_until(first).unwrap();
        // Each attempt takes longer than it had left itself.
        let slow = |at| {
            if at == Moment::Read {
                thread::sleep(Duration::from_millis(1100));
            }
        };
        let later = clock::now() + Duration::from_secs(120);
        let held = gate.hold_pausing(Kind::Control, later, slow).unwrap();
        assert!(
            matches!(held, Held::Until(until) if until <= first),
            "{held:?}"
        );
        assert!(passes(&sender(Mark::Control)));
        // But not beyond an authority that ends earlier.
        let earlier = clock::now() + Duration::from_secs(30);
        let held = gate.hold_pausing(Kind::Control, earlier, slow).unwrap();
        assert_eq!(held, Held::Closed);
        assert!(!passes(&sender(Mark::Control)));
    });
}

#[test]
fn closing_holds_when_it_returns() {
    in_namespace(|| {
        let mut gate = gate();
        let (control, data) = (sender(Mark::Control), sender(Mark::Data));
        for _ in 0..100 {
            let deadline = clock::now() + Duration::from_secs(600);
            gate.control_until(deadline).unwrap();
            gate.data_until(deadline).unwrap();
            assert!(passes(&control) && passes(&data));
            gate.close_control().unwrap();
            assert!(!passes(&control) && passes(&data));
            gate.close(Kind::Data).unwrap();
            assert!(!passes(&data));
        }
    });
}

#[test]
fn a_gate_that_is_made_anew_is_open_at_no_moment() {
    in_namespace(|| {
        drop(gate());
        let floods = [Mark::Control, Mark::Data].map(Flood::start);
        for _ in 0..200 {
            // What a process leaves that is killed: a table, and no socket.
            drop(gate());
        }
        for flood in floods {
            assert_eq!(flood.end().0, 0);
        }
    });
}

#[test]
fn a_table_that_somebody_removed_is_made_anew_by_the_next_hold() {
    in_namespace(|| {
        let mut gate = gate();
        gate.control_until(clock::now() + Duration::from_secs(600))
            .unwrap();
        // As before Linux 6.9, when others could.
        let there = existing(&mut gate.socket, "lns/edge").unwrap();
        let mut batch = gate.socket.batch();
        for table in &there {
            batch.remove_table(table);
        }
        gate.socket.commit(batch).unwrap();
        assert!(matches!(gate.state(), Err(GateError::Gone(_))));
        let held = gate
            .data_until(clock::now() + Duration::from_secs(600))
            .unwrap();
        assert!(matches!(held, Held::Until(_)));
        assert!(passes(&sender(Mark::Data)) && !passes(&sender(Mark::Control)));
        assert!(gate.state().unwrap().control.is_none());
    });
}
