//! A program for `valgrind`, which counts instructions: sets so many connections up and sends so many
//! segments through them. The difference of two runs is what the segments cost, whatever the clock says.
//!
//! `instructions established FLOWS SEGMENTS`; `instructions octets` prints the octets of a flow with both
//! keys, of a table of a million.
#![allow(
    missing_docs,
    unused_crate_dependencies,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what cannot be set up measures nothing; a program has arguments"
)]

mod bed;

use bed::{BATCH, Bed, PORTS, rules};
use lns_l2sess::key::HashSeed;
use lns_l2sess::policy::Action;
use lns_l2sess::table::{FlowTable, TableConfig};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
    match (words.first().map(String::as_str), number(1), number(2)) {
        (Some("established"), Some(flows), Some(segments)) => established(flows, segments),
        (Some("octets"), None, None) => octets(),
        // `cargo bench` and `cargo test` call every bench with words of their own.
        _ => {}
    }
}

fn established(flows: u32, segments: u32) {
    let mut bed = Bed::with_flows(flows, &rules(50, Action::Track));
    let mut left = usize::try_from(segments).unwrap_or(0);
    while left > 0 {
        let batch = left.min(BATCH);
        assert_eq!(bed.send_any(flows, batch), batch);
        left = left.saturating_sub(batch);
    }
}

fn octets() {
    const ENTRIES: u32 = 1_000_000;
    let config = TableConfig {
        entries: ENTRIES,
        ports: PORTS,
        seed: HashSeed(1, 2),
    };
    println!("{}", FlowTable::octets(&config).div_ceil(ENTRIES.into()));
}
