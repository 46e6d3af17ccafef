//! How many requests a second are asked and answered over sockets: `e2e/bench radius` runs it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lns_radius::config::Purpose;
use lns_wire::radius::MAX_PACKET;

use super::bed::{Bed, answer, run, secret, server, settings};

/// Requests in all where only their answers count, and how many are under way at once: three connections'
/// worth.
const REQUESTS: u64 = 3_000;
const AT_ONCE: u64 = 600;

/// Each of many is answered; `LNS_PAIRS` of them, on a machine that does nothing else, are a figure.
#[test]
fn pairs_per_second_over_sockets() {
    let requests = std::env::var("LNS_PAIRS").ok();
    let requests = requests.map_or(REQUESTS, |requests| requests.parse().unwrap());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let address = socket.local_addr().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let responder = {
        let ended = Arc::clone(&ended);
        thread::spawn(move || {
            let (secret, mut buffer) = (secret(), vec![0; MAX_PACKET]);
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let reply = answer(&buffer[..length], &secret);
                    socket.send_to(&reply, from).unwrap();
                }
            }
        })
    };
    run(async {
        let servers = vec![server("r1", address)];
        let bed = Bed::new(settings(Purpose::Authentication, servers));
        let begun = Instant::now();
        for first in (0..requests).step_by(usize::try_from(AT_ONCE).unwrap()) {
            let last = (first + AT_ONCE).min(requests);
            for outcome in bed.ask(first..last).await {
                assert!(outcome.result.is_ok(), "{:?}", outcome.result);
            }
        }
        let taken = begun.elapsed();
        let repeated = bed.server("r1").counts.retransmissions;
        println!(
            "radius-pairs-per-second {} (repeated {repeated})",
            u128::from(requests) * 1_000 / taken.as_millis().max(1)
        );
    });
    ended.store(true, Ordering::Relaxed);
    responder.join().unwrap();
}
