//! `kubectl lns`: looks into a running LNS from where `kubectl` works.
//!
//! Nearly every command is one of `lnsd`, run in the pod of a member by exec: its options, its output and its exit code
//! are those of `lnsd`. What needs no member (the status of the `LnsCluster`, fencing a node) is asked of the API
//! server alone, so that it works while no pod does. No secret and no password passes through here.
//!
//! | file | what |
//! |---|---|
//! | `cli` | what can be typed |
//! | `cluster` | which `LnsCluster` is meant |
//! | `member` | in which pod a command runs |
//! | `exec` | runs it there |
//! | `remote` | the commands of `lnsd`, and files that they write here |
//! | `status` | what the `LnsCluster` says of itself |
//! | `fence` | the annotation `kubelns.io/fenced` |
#![forbid(unsafe_code)]

mod cli;
mod cluster;
mod exec;
mod failure;
mod fence;
mod member;
mod remote;
mod status;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Wanted};
use crate::cluster::Access;
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::ordered(std::env::args_os()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run(cli));
            // Whoever is waited for in the standard input is not.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Failure::failed("cannot start", error)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<u8, Failure> {
    let access = Access::of(&cli.place).await?;
    let place = &cli.place;
    match cli.command.wanted() {
        Wanted::Fenced(nodes) => fence::fence(&access, place, &nodes).await,
        Wanted::Unfenced(nodes) => fence::unfence(&access, place, &nodes).await,
        Wanted::Status(arguments) => status::status(&access, place, arguments).await,
        Wanted::Remote(remote) => remote::run(&access, place, remote).await,
    }
}
