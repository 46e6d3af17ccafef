//! `lns-e2e bench-cluster`: the figures of a cluster beside what is promised, as one table for each part.
//!
//! It stands on what the stories stand on ([`super::bed`]): three `lnsd`, a router, an API server, Redis with a
//! replica and Sentinel, FreeRADIUS. Runs that are compared are interleaved. What was measured is kept as JSON, and
//! what has many values as a histogram.

mod cost;
mod crowd;
mod failover;
mod outcome;
mod path;
mod plot;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use self::outcome::Outcome;

/// A part, which can be run alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// The master is killed, many times over, with both usual profiles.
    Failover,
    /// The master steps down, many times over.
    Planned,
    /// Very many sessions: set up, stored, stored again after the store was emptied, taken over.
    Sessions,
    /// What a session and a packet cost the processor, beside a node alone.
    Cpu,
}

/// What to measure, and how much of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchOptions {
    /// Parts; all without
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Failovers of each kind
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// How many sessions the part `sessions` has, one crowd after the other
    #[arg(long, value_delimiter = ',', default_value = "100000,200000")]
    sessions: Vec<usize>,
    /// Have FreeRADIUS decide on each of them, and be told of each, instead of local users
    #[arg(long)]
    radius: bool,
    /// Where JSON and plots are kept
    #[arg(long, value_name = "FOLDER", default_value = "e2e/figures")]
    folder: PathBuf,
}

impl Part {
    const ALL: [Self; 4] = [Self::Failover, Self::Planned, Self::Sessions, Self::Cpu];

    const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Planned => "planned",
            Self::Sessions => "sessions",
            Self::Cpu => "cpu",
        }
    }

    fn measure(self, options: &BenchOptions, outcome: &mut Outcome) -> Result<()> {
        match self {
            Self::Failover => failover::abrupt(outcome, options.runs),
            Self::Planned => failover::planned(outcome, options.runs),
            Self::Sessions => {
                for count in &options.sessions {
                    crowd::sessions(outcome, *count, options.radius)?;
                }
                Ok(())
            }
            Self::Cpu => cost::cpu(outcome),
        }
    }
}

/// Prints a table for each part. Says whether everything that is promised holds.
pub(crate) fn run(options: &BenchOptions) -> Result<bool> {
    let parts = match options.parts.as_slice() {
        [] => &Part::ALL[..],
        parts => parts,
    };
    let mut holds = true;
    for part in parts {
        println!("{}", part.name());
        let mut outcome = Outcome::default();
        let measured = part.measure(options, &mut outcome);
        // What was measured before an error is worth having, too.
        holds &= outcome.show();
        outcome.keep(&options.folder, part.name())?;
        if let Err(error) = measured {
            println!("the rest could not be measured: {error:#}");
            holds = false;
        }
    }
    Ok(holds)
}

/// Says how far a part is.
fn progress(text: &str) {
    use std::sync::OnceLock;
    use std::time::Instant;
    static STARTED: OnceLock<Instant> = OnceLock::new();
    let started = STARTED.get_or_init(Instant::now);
    eprintln!("{:>7.1} s  {text}", started.elapsed().as_secs_f64());
}
