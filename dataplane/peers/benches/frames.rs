//! What a packet costs that is handed over, one thread: sealed, and opened. 1,500 octets go in two frames.
//!
//! `cargo bench -p lns-peers`
#![allow(
    missing_docs,
    unused_crate_dependencies,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "criterion's macros make public functions; a bench that cannot be set up measures nothing"
)]

use core::hint::black_box;
use core::time::Duration;

use criterion::measurement::{Measurement as _, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lns_peers::data::{
    Data, Direction, HEADROOM, Halves, Handover, Keyring, PathMtu, SECRET, Secret, TAILROOM,
};
use lns_peers::{Epochs, PeerNumber};

const LENGTHS: [usize; 3] = [64, 1400, 1500];

/// Frames that are sealed before some are opened.
const BATCH: u64 = 64;

/// A member that seals, and one that opens.
struct Pair {
    keyrings: [Keyring; 2],
    sender: Data,
    receiver: Data,
    generation: u32,
}

impl Pair {
    fn new() -> Self {
        let peer = PeerNumber::new(0).unwrap();
        let keyring = |outbound| Keyring {
            peer,
            secret: Secret::new(&[7; SECRET]),
            outbound,
            connection: 1,
        };
        let data = || Data::new(Epochs::default(), PathMtu::default(), 0);
        let (sender, receiver) = (data(), data());
        sender.set_address(peer, Some("192.0.2.7:1702".parse().unwrap()));
        Self {
            keyrings: [Direction::FromOpener, Direction::ToOpener].map(keyring),
            sender,
            receiver,
            generation: 0,
        }
    }

    /// A key that has sealed nothing yet.
    fn rekey(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        let key = self.receiver.expect(&self.keyrings[1], self.generation);
        assert!(self.sender.seal_with(&self.keyrings[0], key.unwrap()));
    }

    /// Seals so many packets into `buffers`. What that took.
    fn seal(&self, buffers: &mut [[Vec<u8>; 2]], sealed: &mut Vec<[usize; 2]>) -> Duration {
        sealed.clear();
        let started = WallTime.start();
        let routes = self.sender.routes();
        let route = routes.get(PeerNumber::new(0).unwrap()).unwrap();
        for [buffer, spare] in buffers {
            let frames = route
                .seal(Handover::ToHomeDownstream, buffer, spare)
                .unwrap();
            sealed.push([frames.first.len(), frames.second.map_or(0, <[u8]>::len)]);
        }
        WallTime.end(started)
    }

    /// Opens them. What that took.
    fn open(&self, frames: &mut [Vec<u8>], halves: &mut Halves) -> Duration {
        let started = WallTime.start();
        let openers = self.receiver.openers();
        for frame in frames {
            black_box(openers.open(frame, halves).unwrap());
        }
        WallTime.end(started)
    }
}

/// What `count` packets take: to be sealed, and to be opened.
fn timed(pair: &mut Pair, length: usize, count: u64) -> [Duration; 2] {
    let batch = usize::try_from(BATCH).unwrap();
    let mut buffers = vec![[vec![0; HEADROOM + length + TAILROOM], vec![0; 1500]]; batch];
    let (mut sealed, mut halves) = (Vec::new(), Halves::new(PathMtu::default()));
    let mut took = [Duration::ZERO; 2];
    let mut left = count;
    while left > 0 {
        if left.is_multiple_of(1 << 20) || left == count {
            pair.rekey();
        }
        let now = usize::try_from(left.min(BATCH)).unwrap();
        took[0] += pair.seal(&mut buffers[..now], &mut sealed);
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for ([buffer, spare], [first, second]) in buffers.iter().zip(&sealed) {
            // The ends of a LAC's packet would be in front.
            let start = HEADROOM - lns_peers::data::HEADER;
            frames.push(buffer[start..start + first].to_vec());
            frames.extend((*second > 0).then(|| spare[..*second].to_vec()));
        }
        took[1] += pair.open(&mut frames, &mut halves);
        left -= left.min(BATCH);
    }
    took
}

fn frames(criterion: &mut Criterion) {
    for (at, name) in ["seal", "open"].into_iter().enumerate() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for length in LENGTHS {
            let mut pair = Pair::new();
            group.bench_function(length.to_string(), |bencher| {
                bencher.iter_custom(|count| timed(&mut pair, length, count)[at]);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
