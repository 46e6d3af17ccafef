//! What a packet costs in the classifier, one thread: rows A85 and A86 of the acceptance list.
//! Packets come in batches and are met before they are classified, as the workers do it.
//!
//! | group | what one iteration is |
//! |---|---|
//! | `stateful/RULES/FLOWS` | a segment of an established connection, any of so many |
//! | `stateless/RULES/FLOWS` | such a segment of no connection, passed by the last of so many rules, beside so many connections |
//! | `new/50` | the first packet of a flow: 50 rules, then its record |
//! | `rules/COUNT` | a packet that so many rules of the same masks judge |
//!
//! `e2e/bench l2sess` runs it and prints what came out beside what is promised.
#![allow(
    missing_docs,
    unused_crate_dependencies,
    clippy::panic,
    reason = "criterion's macros make public functions; a bench that cannot be set up measures nothing"
)]

mod bed;

use core::hint::black_box;
use core::time::Duration;

use bed::{BATCH, Bed, PORTS, SYN, rules};
use criterion::measurement::{Measurement as _, WallTime};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lns_l2sess::policy::Action;
use lns_l2sess::{Direction, Verdict};

const RULES: [u32; 3] = [1, 10, 50];
const FLOWS: [u32; 4] = [100, 10_000, 100_000, 1_000_000];
/// New flows before the table is emptied beside the clock.
const FRESH: u32 = 1_000_000;

/// What so many packets of any of so many connections take, in batches.
fn timed(bed: &mut Bed, flows: u32, packets: u64) -> Duration {
    let mut left = packets;
    let started = WallTime.start();
    while left > 0 {
        let batch = usize::try_from(left).map_or(BATCH, |left| left.min(BATCH));
        assert_eq!(black_box(bed.send_any(flows, batch)), batch);
        left = left.saturating_sub(u64::try_from(batch).unwrap_or(left));
    }
    WallTime.end(started)
}

fn stateful(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stateful");
    for count in RULES {
        for flows in FLOWS {
            let mut bed = Bed::with_flows(flows, &rules(count, Action::Track));
            group.bench_function(BenchmarkId::new(count.to_string(), flows), |bencher| {
                bencher.iter_custom(|packets| timed(&mut bed, flows, packets));
            });
        }
    }
    group.finish();
}

fn stateless(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stateless");
    for count in RULES {
        for flows in FLOWS {
            let mut bed = Bed::beside_flows(flows, &rules(count, Action::Pass));
            group.bench_function(BenchmarkId::new(count.to_string(), flows), |bencher| {
                bencher.iter_custom(|packets| timed(&mut bed, flows, packets));
            });
        }
    }
    group.finish();
}

fn fresh(criterion: &mut Criterion) {
    let mut bed = Bed::new(FRESH.next_multiple_of(PORTS), &rules(50, Action::Track));
    let mut flow = 0;
    criterion.bench_function("new/50", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                if flow == FRESH {
                    bed.classifier.clear_all();
                    flow = 0;
                }
                let batch = u64::from(FRESH.saturating_sub(flow)).min(left);
                let started = WallTime.start();
                for _ in 0..batch {
                    let verdict = bed.send(flow, Direction::Input, SYN);
                    assert_eq!(black_box(verdict), Verdict::Forward);
                    flow = flow.saturating_add(1);
                }
                took = took.saturating_add(WallTime.end(started));
                left = left.saturating_sub(batch);
            }
            took
        });
    });
}

fn many_rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rules");
    for count in [10, 10_000] {
        let mut bed = Bed::new(1, &rules(count, Action::Pass));
        group.bench_function(count.to_string(), |bencher| {
            bencher.iter_custom(|packets| timed(&mut bed, 10_000, packets));
        });
    }
    group.finish();
}

fn configured() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
}

criterion_group! {
    name = benches;
    config = configured();
    targets = stateful, stateless, fresh, many_rules
}
criterion_main!(benches);
