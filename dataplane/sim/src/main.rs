//! `lns-sim`: runs seeds, replays one, makes a failing one smaller, fills the tables.
#![forbid(unsafe_code)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool for engineers, whose output is its purpose"
)]

mod clusters;
mod report;
mod scale;
mod seeds;

use core::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use scale::Shape;

/// The node with many LACs and subscribers in virtual time, from one seed.
#[derive(Debug, Parser)]
#[command(name = "lns-sim")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds, or replays one.
    Run(RunArguments),
    /// Fills the tables of a node and empties them again, with time and memory for each session.
    /// Without numbers: 1,000,000 sessions over 20 tunnels, then 65,535 tunnels of one session.
    Scale {
        /// Sessions.
        #[arg(long, requires = "tunnels")]
        sessions: Option<usize>,
        /// Tunnels that they are in.
        #[arg(long, requires = "sessions", value_parser = clap::value_parser!(u16).range(1..))]
        tunnels: Option<u16>,
    },
    /// Takes away from the plan of a failing seed what it does not need to fail.
    Shrink {
        /// The seed.
        #[arg(long)]
        seed: u64,
    },
    /// Several nodes that elect, with an API server, a store and routers around them.
    #[command(subcommand)]
    Cluster(ClusterCommand),
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Runs seeds, or replays one.
    Run {
        #[command(flatten)]
        arguments: RunArguments,
        /// Only seeds that elect and have no tunnels: the most failovers in the shortest time.
        #[arg(long, conflicts_with = "seed")]
        elections: bool,
    },
    /// Takes away from the plan of a failing seed what it does not need to fail.
    Shrink {
        /// The seed.
        #[arg(long)]
        seed: u64,
    },
}

#[derive(Args, Debug)]
struct RunArguments {
    /// Seeds, from the first to before the last.
    #[arg(long, value_name = "FROM..TO", value_parser = range, default_value = "0..2000")]
    seeds: Range<u64>,
    /// One seed only, with a log of every datagram and event.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Writes the datagrams of the one seed into this file.
    #[arg(short, long, value_name = "FILE.pcap", requires = "seed")]
    write: Option<PathBuf>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Ends with the first seed that fails.
    #[arg(long)]
    stop: bool,
}

fn main() -> ExitCode {
    let passed = match Arguments::parse().command {
        Command::Run(arguments) => match arguments.seed {
            Some(seed) => seeds::replay(seed, arguments.write.as_deref()),
            None => seeds::run(arguments.seeds, arguments.threads, arguments.stop),
        },
        Command::Scale { sessions, tunnels } => scale::run(&shapes(sessions, tunnels)),
        Command::Shrink { seed } => seeds::shrink(seed),
        Command::Cluster(ClusterCommand::Run {
            arguments,
            elections,
        }) => match arguments.seed {
            Some(seed) => clusters::replay(seed, arguments.write.as_deref()),
            None => clusters::run(
                arguments.seeds,
                elections,
                arguments.threads,
                arguments.stop,
            ),
        },
        Command::Cluster(ClusterCommand::Shrink { seed }) => clusters::shrink(seed),
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn shapes(sessions: Option<usize>, tunnels: Option<u16>) -> Vec<Shape> {
    match sessions.zip(tunnels) {
        Some((sessions, tunnels)) => vec![Shape {
            sessions,
            tunnels: tunnels.into(),
        }],
        None => [(1_000_000, 20), (65_535, 65_535)]
            .map(|(sessions, tunnels)| Shape { sessions, tunnels })
            .to_vec(),
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parts = text.split_once("..");
    let numbers = parts.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to) = numbers.ok_or_else(|| format!("\"{text}\" is no range like 0..2000"))?;
    if from < to {
        Ok(from..to)
    } else {
        Err(format!("\"{text}\" has no seed in it"))
    }
}
