//! Pairs of a request and its answer on one core: taken, sent, answered, verified, told.
//!
//! The time of a pair is measured with and without the trivial server's own signing, which a real server
//! does elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a bench"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lns_radius::config::Purpose;
use lns_wire::radius::Code;
use support::Bed;

/// Requests in flight at a time.
const BATCH: u64 = 100;

fn pairs(bed: &mut Bed, code: Code) {
    let mut answers = Vec::new();
    for _ in 0..BATCH {
        bed.ask(code);
    }
    while let Some(transmit) = bed.transmit() {
        bed.sign();
        answers.push((transmit.connection, bed.answer.clone()));
    }
    for (over, answer) in &answers {
        bed.client.handle_datagram(*over, answer, bed.now);
    }
    let mut outcomes = 0;
    while let Some(outcome) = bed.client.poll_outcome() {
        outcomes += u64::from(outcome.result.is_ok());
    }
    assert_eq!(outcomes, BATCH);
    while bed.client.poll_event().is_some() {}
}

/// What the server's side of it costs, to be subtracted.
fn server(bed: &mut Bed) {
    let mut answers = Vec::new();
    for _ in 0..BATCH {
        bed.sign();
        answers.push(bed.answer.clone());
    }
    assert_eq!(u64::try_from(answers.len()), Ok(BATCH));
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pairs");
    group.throughput(Throughput::Elements(BATCH));
    for (name, purpose, code) in [
        ("login", Purpose::Authentication, Code::ACCESS_REQUEST),
        ("accounting", Purpose::Accounting, Code::ACCOUNTING_REQUEST),
    ] {
        let mut bed = Bed::new(purpose, false);
        group.bench_function(name, |bencher| bencher.iter(|| pairs(&mut bed, code)));
        bed.ask(code);
        bed.transmit().unwrap();
        group.bench_function(format!("{name}, the server's part"), |bencher| {
            bencher.iter(|| server(&mut bed));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
