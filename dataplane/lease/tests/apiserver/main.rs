//! Drivers with a real API server, all of them with no rights but those of `rbac.yaml`.
//!
//! `e2e/test cluster` builds the API server, starts it and names its folder in `LNS_APISERVER`. Without that
//! variable there is nothing to test with, and every test is told to be left out.
//!
//! In all tests a referee looks each millisecond whether two drivers have authority, and whether an epoch
//! is had twice or comes after a higher one.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail this way"
)]

mod elections;
mod hands;
mod nodes;
mod outages;
mod proxy;
mod referee;
mod world;

use core::pin::Pin;
use core::time::Duration;
use std::process::ExitCode;
use std::sync::RwLock;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Builder;

use crate::world::{Server, World};

/// How long a test may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(240);

/// Those that stop the API server have it for themselves.
static ALONE: RwLock<()> = RwLock::new(());

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($module:ident::$test:ident,)*) => {
        [$({
            let test: Test = |world| Box::pin($module::$test(world));
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
    let together = tests![
        elections::two_have_one_master_and_a_release_hands_over_at_once,
        elections::when_the_task_of_a_master_is_killed_another_takes_over_after_d,
        elections::nothing_is_done_without_the_rights_to_do_it,
        hands::a_deleted_lease_is_written_anew_after_d_with_a_higher_epoch,
        hands::a_lease_that_is_edited_by_hand_costs_a_mastership_and_no_more,
        hands::a_lease_that_is_restored_from_a_copy_makes_no_second_master,
        hands::nonsense_in_a_lease_is_unknown_and_overwritten,
        nodes::a_node_keeps_its_own_lease_and_whoever_likes_finds_it,
        outages::answers_that_are_a_little_late_cost_nothing,
        outages::an_authority_counts_from_the_send_of_a_renewal,
        outages::answers_that_are_four_seconds_late_never_make_two_masters,
        outages::connections_that_break_are_made_anew,
    ];
    let alone = tests![
        outages::an_api_server_that_stops_ends_an_authority_without_promises,
        outages::promises_carry_a_master_while_the_api_server_is_stopped,
        outages::promises_carry_a_master_while_the_store_of_the_api_server_is_stopped,
    ];
    let together = together.map(|test| trial(test, server.clone(), false));
    let alone = alone.map(|test| trial(test, server.clone(), true));
    let trials = together.into_iter().chain(alone).collect();
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(6);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial((name, test): (&'static str, Test), server: Option<Server>, alone: bool) -> Trial {
    let left_out = server.is_none();
    let run = move || {
        let server = server.ok_or("there is no API server")?;
        let _alone = alone.then(|| ALONE.write());
        let _together = (!alone).then(|| ALONE.read());
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let world = World::new(&server, name).await;
            let outcome = tokio::time::timeout(PATIENCE, test(&world)).await;
            outcome.map_err(|_| "it did not end in time")?;
            world.judge().await;
            Ok(())
        })
    };
    Trial::test(name, run).with_ignored_flag(left_out)
}
