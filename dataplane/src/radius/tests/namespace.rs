//! What only a network of its own can show: a narrow way, and none at all.
//!
//! It needs root; with `LNS_WITHOUT_ROOT` in the environment its tests are not made. The thread leaves the
//! machine's network before it changes anything, and what it makes vanishes with it.

use core::time::Duration;
use std::process::Command;
use std::thread;

use lns_radius::config::Purpose;
use lns_radius::request::Failure;
use nix::sched::{CloneFlags, unshare};

use super::bed::{Bed, Responder, access, long, run, settings};

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
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A child of this thread is in its namespace.
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

#[test]
fn t3_3_a_request_that_is_too_long_for_the_way_fails_alone_and_its_connection_stays() {
    in_namespace(|| {
        ip("link set lo mtu 1280");
        run(async {
            let responder = Responder::local().await;
            let bed = Bed::new(settings(
                Purpose::Authentication,
                vec![responder.server("r1")],
            ));
            bed.desk.ask([access(1), long(2, 2_000), access(3)]);
            let ended = bed.ended(3).await;
            assert!(ended[0].result.is_ok());
            assert_eq!(ended[1].result, Err(Failure::DatagramTooLarge));
            assert!(ended[2].result.is_ok());
            let server = bed.server("r1");
            assert_eq!((server.counts.opened, server.counts.failed), (1, 0));
            assert_eq!(responder.seen().values().sum::<u64>(), 2);
        });
    });
}

/// A connection works, then the way to its server is changed by `ip`, then changed back.
fn without_a_way(gone: &'static str, back: &'static str) {
    in_namespace(move || {
        ip("address add 192.0.2.1/32 dev lo");
        ip("address add 198.51.100.5/32 dev lo");
        run(async {
            let responder = Responder::new([198, 51, 100, 5].into()).await;
            let mut settings = settings(Purpose::Authentication, vec![responder.server("r1")]);
            settings.source = Some([192, 0, 2, 1].into());
            let bed = Bed::new(settings);
            assert!(bed.ask(1..2).await[0].result.is_ok());
            ip(gone);
            let failed = bed.ask(2..3).await;
            assert!(failed[0].result.is_err(), "there is no other server");
            assert!(bed.server("r1").counts.failed >= 1);
            ip(back);
            let mut token = 3;
            while bed.ask(token..token + 1).await[0].result.is_err() {
                token += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert!(bed.server("r1").counts.opened >= 2, "it was opened again");
        });
    });
}

#[test]
fn t3_5_a_host_that_cannot_be_reached_fails_the_connection_which_is_opened_again() {
    without_a_way(
        "route replace unreachable 198.51.100.5 table local",
        "route replace local 198.51.100.5 dev lo table local",
    );
}

#[test]
fn t3_6_a_network_that_cannot_be_reached_fails_the_connection_which_is_opened_again() {
    without_a_way(
        "address del 198.51.100.5/32 dev lo",
        "address add 198.51.100.5/32 dev lo",
    );
}
