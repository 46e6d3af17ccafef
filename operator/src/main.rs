//! `lns-operator`: makes running members of `LnsCluster`s, keeps them so through changes and upgrades, and says in the
//! status of each how it is.
//!
//! It takes no part in a failover. Who is master members decide by themselves, over a Lease; while the operator is
//! away nothing changes for subscribers. Two replicas may run: one writes, elected by the elector that members use.
//!
//! | file | what |
//! |---|---|
//! | `settings` | what all members have in common: the file of the chart |
//! | `world` | what the API server has, as it is followed |
//! | `dispatch` | from what has changed to what is looked at again |
//! | `cluster` | an `LnsCluster` in five steps: dereference, validate, build, apply, status; and rollouts |
//! | `policy` | the status of a `SessionPolicy` |
//! | `conditions`, `reason` | the words of a status |
//! | `verify` | whether all who speak of a mastership mean the same |
//! | `run` | from the start to the end: election, controllers, HTTP |
#![forbid(unsafe_code)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "no packet comes here; the core has the arithmetic that matters"
)]

mod cluster;
mod conditions;
mod dispatch;
mod error;
mod http;
mod labels;
mod metrics;
mod policy;
mod reason;
mod run;
mod settings;
mod verify;
mod world;

use core::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lns_api::Resource;

use crate::verify::VerifyArguments;

/// Makes running members of every LnsCluster, and says how it is.
#[derive(Debug, Parser)]
#[command(
    name = "lns-operator",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad input.\n\nExample:\n  lns-operator crds | kubectl apply -f -"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator until SIGTERM
    #[command(
        after_help = "Example:\n  lns-operator run --namespace lns --dataplane /etc/lns/dataplane.yaml"
    )]
    Run(RunArguments),
    /// Says whether every LnsCluster of a namespace is Ready, and whether Lease, status and members agree on its epoch
    #[command(after_help = "Example:\n  lns-operator verify --namespace lns")]
    Verify(VerifyArguments),
    /// Prints the custom resource definitions
    #[command(after_help = "Example:\n  lns-operator crds | kubectl apply -f -")]
    Crds,
}

/// What `run` takes.
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    /// The namespace in which every LnsCluster is looked after
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub(crate) namespace: String,
    /// What all members have in common, a YAML file: image, security, tolerations, resources
    #[arg(long, value_name = "FILE")]
    pub(crate) dataplane: PathBuf,
    /// Where /healthz, /readyz and /metrics are served over HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// How the API server is reached [default: $KUBECONFIG, ~/.kube/config, or as a pod does]
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The name of this replica: no two have the same [default: the host's name]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(crate) replica: Option<String>,
    /// The uid of this pod
    #[arg(long, value_name = "UID", env = "POD_UID", hide = true)]
    pub(crate) pod_uid: Option<String>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Crds => crds().map_err(run::Failure::Failed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("lns-operator: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn crds() -> Result<(), String> {
    for resource in Resource::ALL {
        let yaml = resource.crd_yaml().map_err(|error| error.to_string())?;
        print!("---\n{yaml}");
    }
    Ok(())
}
