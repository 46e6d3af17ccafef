//! The operator with a real API server: no kubelets, so pods are made and become ready by the hand of the test, which
//! plays `DaemonSet` controller, kubelets and members.
//!
//! `e2e/test kubernetes` builds the API server, starts it with the definitions of `crds/`, and names its folder in
//! `LNS_APISERVER`. Without that variable there is nothing to test with, and every test is told to be left out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail this way"
)]

mod clusters;
mod ends;
mod examples;
mod foreign;
mod generate;
mod gitops;
mod members;
mod policies;
mod random;
mod replicas;
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
    ($($room:ident::$test:ident,)*) => {
        [$({
            let test: Test = |world| Box::pin($room::$test(world));
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
        println!("LNS_APISERVER names no API server; \"e2e/test kubernetes\" brings one");
    }
    let tests = tests![
        clusters::an_object_that_nobody_has_looked_at_says_so,
        clusters::a_cluster_gets_its_objects_and_waits_for_members,
        clusters::a_cluster_whose_members_serve_is_ready_and_says_who_is_master,
        clusters::what_somebody_changes_by_hand_is_put_back,
        clusters::what_is_wrong_is_stalled_with_the_field_and_goes_on_when_it_is_put_right,
        clusters::one_object_that_cannot_be_read_does_not_stop_the_others,
        clusters::what_the_api_server_does_not_take_is_stalled_in_its_words,
        clusters::a_paused_cluster_is_left_alone,
        clusters::a_node_serves_one_cluster,
        clusters::what_is_well_is_left_in_peace,
        ends::a_cluster_with_sessions_is_kept_until_somebody_lets_it_go,
        ends::a_cluster_whose_store_is_away_ends_all_the_same_and_it_is_told,
        ends::a_cordoned_node_is_drained_while_another_one_serves,
        ends::who_is_fenced_is_told_of_and_nobody_waits_for_it,
        examples::every_example_is_taken_and_applied_again_changes_nothing,
        foreign::an_object_of_another_schema_is_stalled_and_the_others_are_followed,
        members::pods_are_replaced_one_at_a_time_and_the_master_last,
        members::a_new_node_becomes_a_member_and_may_keep_its_lease,
        gitops::gitops_tools_see_a_cluster_come_up_stand_still_and_go,
        gitops::gitops_tools_see_a_bad_spec_fail_and_a_good_one_recover,
        gitops::what_a_gitops_tool_applies_twice_is_no_difference_and_no_fight,
        gitops::what_is_verified_is_that_all_mean_the_same_epoch,
        policies::a_policy_names_the_cluster_that_is_not_there,
        policies::a_policy_says_in_which_clusters_it_is_in_force,
        random::whatever_the_api_server_takes_is_reconciled_or_stalled,
        replicas::of_two_replicas_one_writes_and_the_other_takes_over,
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
