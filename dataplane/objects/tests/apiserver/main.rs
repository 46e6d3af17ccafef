//! The objects of a cluster with a real API server, followed with no rights but those of `rbac.yaml`.
//!
//! `e2e/test cluster` builds the API server, starts it with the definitions of `crds/`, and names its folder in
//! `LNS_APISERVER`. Without that variable there is nothing to test with, and every test is told to be left out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail this way"
)]

mod proxy;
mod sights;
mod world;

use core::pin::Pin;
use core::time::Duration;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Builder;

use crate::world::{Server, World};

/// How long a test may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(240);

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($test:ident,)*) => {
        [$({
            let test: Test = |world| Box::pin(sights::$test(world));
            (stringify!($test), test)
        }),*]
    };
}

fn main() -> ExitCode {
    let server = match Server::of_run() {
        Ok(server) => server,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if server.is_none() {
        println!("LNS_APISERVER names no API server; \"e2e/test cluster\" brings one");
    }
    let tests = tests![
        the_examples_are_taken_and_say_what_they_say_as_files,
        the_api_server_refuses_in_the_words_of_a_file,
        a_changed_policy_a_changed_secret_and_a_changed_cluster_are_seen,
        what_is_wrong_is_told_and_what_is_right_again_is_seen,
        a_secret_is_followed_from_when_it_is_named,
        an_api_server_that_is_away_leaves_what_was_seen_and_is_told,
        without_rights_nothing_is_seen_and_it_is_told_why,
        a_cluster_that_is_deleted_is_gone_and_one_made_anew_is_another,
    ];
    let trials = tests.map(|test| trial(test, server.clone())).into();
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial((name, test): (&'static str, Test), server: Option<Server>) -> Trial {
    let left_out = server.is_none();
    let run = move || {
        let server = server.ok_or("there is no API server")?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let world = World::new(&server, name).await;
            let outcome = tokio::time::timeout(PATIENCE, test(&world)).await;
            world.end().await;
            outcome.map_err(|_| "it did not end in time".into())
        })
    };
    Trial::test(name, run).with_ignored_flag(left_out)
}
