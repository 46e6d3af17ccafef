//! Black-box tests of the LNS and what they are made of: a LAC with subscribers, network namespaces,
//! traffic, scenarios with a running `lnsd`, the demo.
//!
//! Nothing here shares a machine with the LNS: only the codecs of `lns-wire` and the digests of
//! `lns-crypto`.
#![forbid(unsafe_code)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "test code: an overflow panics, and ends a test and no subscriber's session"
)]
#![allow(
    clippy::std_instead_of_core,
    reason = "a program, which has std anyway"
)]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "reports and manifests: text that is made once"
)]
#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates and percentages that people read"
)]

mod authority;
mod bench;
mod blast;
mod cleanup;
mod cluster;
#[path = "../../dataplane/src/admin/contract.rs"]
mod contract;
mod demo;
mod differential;
mod house;
mod http;
mod kubernetes;
mod l2sess;
mod lac;
mod lnsd;
mod manifest;
mod net;
mod radius;
mod scenario;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// A LAC with subscribers, network namespaces, traffic and scenarios for `lnsd`.
#[derive(Debug, Parser)]
#[command(name = "lns-e2e", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Dials an LNS with any number of tunnels and subscribers
    #[command(
        after_help = "Example: lns-e2e lac --lns 192.0.2.1 --tunnels 4 --sessions 1000 --auth chap,pap \
                            --user 'user{}@isp' --password PASSWORD --secret SECRET --tun sub0 --hold 60"
    )]
    Lac {
        #[command(flatten)]
        options: Box<lac::Options>,
        #[command(flatten)]
        course: lac::Course,
    },
    /// Runs scenarios with a running lnsd, all or those whose names contain a word given
    Scenario {
        /// Words
        names: Vec<String>,
        /// Print what there is
        #[arg(long)]
        list: bool,
    },
    /// Plays the rows of the classifier's acceptance list, all or those whose names contain a word given
    L2sess {
        /// Words
        names: Vec<String>,
        /// Print what there is
        #[arg(long)]
        list: bool,
    },
    /// Runs scenarios with lnsd and RADIUS servers, all or those whose names contain a word given
    Radius {
        /// Words
        names: Vec<String>,
        /// Print what there is
        #[arg(long)]
        list: bool,
        /// Run those that take half an hour (`LNS_SOAK_MINUTES`: or so long), and no others
        #[arg(long)]
        long: bool,
    },
    /// Runs stories of a cluster of three, all or those whose names contain a word given
    Cluster {
        /// Words
        names: Vec<String>,
        /// Print what there is
        #[arg(long)]
        list: bool,
        /// Run those that take minutes, and no others
        #[arg(long)]
        long: bool,
        /// Subscribers of those that are told in one cluster
        #[arg(long, default_value_t = 5_000)]
        sessions: usize,
    },
    /// Tells stories of a real Kubernetes (kind), all or those whose names contain a word given
    Kubernetes {
        /// Words
        names: Vec<String>,
        /// Print what there is
        #[arg(long)]
        list: bool,
        /// Tell those that take minutes, and no others
        #[arg(long)]
        long: bool,
        /// Use a Kubernetes of e2e/kind/up that runs, and leave it running
        #[arg(long)]
        keep: bool,
        /// Subscribers
        #[arg(long, default_value_t = 1_000)]
        sessions: usize,
    },
    /// Prints the figures of the classifier beside what is promised; `e2e/bench` calls it
    Bench {
        #[command(flatten)]
        options: bench::BenchOptions,
    },
    /// Prints the figures of RADIUS beside what is promised; `e2e/bench` calls it
    BenchRadius {
        #[command(flatten)]
        options: radius::BenchOptions,
    },
    /// Prints the figures of a cluster beside what is promised; `e2e/bench` calls it
    BenchCluster {
        #[command(flatten)]
        options: cluster::BenchOptions,
    },
    /// Shows one LNS, 4 tunnels and 1,000 subscribers at work
    Demo {
        /// Show a cluster of three and the end of its master
        #[arg(long)]
        cluster: bool,
    },
    /// Plays LAC scripts against l2tpns and lnsd, all or those whose names contain a word given
    Differential {
        /// Words
        names: Vec<String>,
        /// Print every step
        #[arg(long)]
        show: bool,
    },
    /// Checks the rules of the house that no compiler checks
    House,
    /// Serves pseudo-random files with their SHA-256: GET /N is N MiB, PUT / takes an upload
    Http {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Counts UDP packets, prints packets per second
    Sink {
        /// The port
        #[arg(long, default_value_t = blast::PORT)]
        port: u16,
        /// End after so many seconds; by default run until killed
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// Sends UDP packets to subscribers
    Source {
        /// Their addresses
        #[arg(long, value_delimiter = ',', required = true)]
        to: Vec<Ipv4Addr>,
        /// Packets per second
        #[arg(long, default_value_t = 100_000)]
        rate: u64,
        /// Octets per packet, IP header included
        #[arg(long, default_value_t = 64)]
        size: usize,
        /// For how long
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lns-e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Lac { options, course } => lac::run(*options, &course)?,
        Command::Scenario { list: true, .. } => scenario::list(),
        Command::Scenario { names, .. } => {
            return Ok(verdict(cleanup::guard(move || scenario::run(&names))?));
        }
        Command::L2sess { list: true, .. } => l2sess::list(),
        Command::L2sess { names, .. } => {
            return Ok(verdict(cleanup::guard(move || l2sess::run(&names))?));
        }
        Command::Radius { list: true, .. } => radius::list(),
        Command::Radius { names, long, .. } => {
            let run = if long { radius::run_long } else { radius::run };
            return Ok(verdict(cleanup::guard(move || run(&names))?));
        }
        Command::Cluster { list: true, .. } => cluster::list(),
        Command::Cluster {
            names,
            long,
            sessions,
            ..
        } => {
            let run = move || cluster::run(&names, sessions, long);
            return Ok(verdict(cleanup::guard(run)?));
        }
        Command::Kubernetes { list: true, .. } => kubernetes::list(),
        Command::Kubernetes {
            names,
            long,
            keep,
            sessions,
            ..
        } => {
            let run = move || kubernetes::run(&names, sessions, long, keep);
            return Ok(verdict(cleanup::guard(run)?));
        }
        Command::Bench { options } => {
            return Ok(verdict(cleanup::guard(move || bench::run(&options))?));
        }
        Command::BenchRadius { options } => {
            return Ok(verdict(cleanup::guard(move || radius::bench(&options))?));
        }
        Command::BenchCluster { options } => {
            return Ok(verdict(cleanup::guard(move || cluster::bench(&options))?));
        }
        Command::Demo { cluster: true } => cleanup::guard(cluster::demo)?,
        Command::Demo { cluster: false } => cleanup::guard(demo::run)?,
        Command::Differential { names, show } => {
            return Ok(verdict(cleanup::guard(move || {
                differential::run(&names, show)
            })?));
        }
        Command::House => return Ok(verdict(house::check()?)),
        Command::Http { listen } => {
            let listener =
                TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
            http::serve(&listener);
        }
        Command::Sink { port, seconds } => lac::sink(port, seconds)?,
        Command::Source {
            to,
            rate,
            size,
            seconds,
        } => lac::source(&to, rate, size, seconds)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(passed: bool) -> ExitCode {
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
