//! How many requests a second are asked and answered, and how many copies written, over sockets:
//! `e2e/bench radius` runs it.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lns_radius::config::Purpose;
use lns_radius::request::Request;
use lns_wire::radius::{MAX_PACKET, kind};
use nix::sys::socket::{setsockopt, sockopt};

use super::bed::{Bed, access, answer, record, run, secret, server, settings};

/// Requests in all where only their answers count, and how many are under way at once: three connections'
/// worth.
const REQUESTS: u64 = 3_000;
const AT_ONCE: u64 = 600;

/// What a copy is filled up with, so that its packet has 128 octets, as in the client's test plan.
const FILL: [u8; 84] = [b'x'; 84];

/// Beyond this, the numbers of all have as many digits.
const SAME_LENGTH: u64 = 1_000_000;

/// Octets that wait for the server at most: of the kernel's, a small packet takes about 800.
const BUFFER: usize = 4 << 20;

/// A server on a thread of its own. Dropping it ends it.
struct Served {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    /// Octets of the longest packet that has come.
    longest: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    /// One that reads all that comes, and answers if it is to.
    fn new(answers: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        // All that is under way at once fits, so that what is measured is not its loss. It takes root.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).ok();
        let address = socket.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let longest = Arc::new(AtomicUsize::new(0));
        let most = Arc::clone(&longest);
        let serve = move || {
            let (secret, mut buffer) = (secret(), vec![0; MAX_PACKET]);
            while !end.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                most.fetch_max(length, Ordering::Relaxed);
                if answers {
                    let reply = answer(&buffer[..length], &secret);
                    socket.send_to(&reply, from).unwrap();
                }
            }
        };
        Self {
            address,
            ended,
            longest,
            thread: Some(thread::spawn(serve)),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Prints how many requests a second there are of those that `request` makes; each ends well.
fn measure(word: &str, purpose: Purpose, served: &Served, request: fn(u64) -> Request) {
    let requests = std::env::var("LNS_PAIRS").ok();
    let requests = requests.map_or(REQUESTS, |requests| requests.parse().unwrap());
    run(async {
        let bed = Bed::new(settings(purpose, vec![server("r1", served.address)]));
        let begun = Instant::now();
        for first in (0..requests).step_by(usize::try_from(AT_ONCE).unwrap()) {
            let last = (first + AT_ONCE).min(requests);
            bed.desk.ask((first..last).map(request));
            for outcome in bed.ended(usize::try_from(last - first).unwrap()).await {
                assert!(outcome.result.is_ok(), "{:?}", outcome.result);
            }
        }
        let taken = begun.elapsed();
        let repeated = bed.server("r1").counts.retransmissions;
        println!(
            "{word}-per-second {} (repeated {repeated})",
            u128::from(requests) * 1_000 / taken.as_millis().max(1)
        );
    });
}

/// Each of many is answered; `LNS_PAIRS` of them, on a machine that does nothing else, are a figure.
#[test]
fn pairs_per_second_over_sockets() {
    let served = Served::new(true);
    measure("radius-pairs", Purpose::Authentication, &served, access);
}

/// The same of copies, for which nobody waits.
#[test]
fn t1_2_copies_per_second_over_sockets() {
    let served = Served::new(false);
    measure("radius-copies", Purpose::Copy, &served, |token| {
        let mut copy = record(SAME_LENGTH + token);
        copy.attributes.push(kind::CLASS, &FILL).unwrap();
        copy
    });
    assert_eq!(served.longest.load(Ordering::Relaxed), 128);
}
