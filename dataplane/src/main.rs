//! `lnsd`: one kubelns node as a process, and the commands that look into a running one.
//!
//! The protocol lives in `lns-node`, which has no sockets and no clock; packets are moved by
//! `lns-datapath`. This crate is what lies between them and the machine: the manifest, interface,
//! routes and rules, the control task, the admin interface, logs, signals.
//!
//! | module | what is in it |
//! |---|---|
//! | [`cli`] | what can be typed |
//! | [`config`] | the manifest, as node, datapath and host want it |
//! | [`run`] | the serving process: start, control task, reload, end |
//! | [`member`] | a node as a member of a cluster: Lease, store, gate, the other members |
//! | [`radius`] | RADIUS: its thread, its sockets, RadSec |
//! | [`host`] | interface, routes, sysctls, isolation |
//! | [`handover`] | what seals the packets that workers hand to another node |
//! | [`admin`] | HTTP over the Unix socket and TCP, metrics |
//! | [`command`] | the commands that ask a running process |
#![forbid(unsafe_code)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "shell code: small counts and durations of our own, never a peer's numbers"
)]

mod admin;
mod cli;
mod command;
mod config;
mod failure;
mod handover;
mod host;
mod log;
mod member;
mod radius;
mod run;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Of sessions and their records there are very many, each in a few small pieces.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match cli::dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
