//! What a cluster refuses: a second cluster on the records of a first, and a store that would lose them. A start
//! ends with one line and exit code 2; a server that becomes such later is shown, and subscribers go on.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::apiserver::ApiServer;
use super::bed::{Bed, PATIENCE};
use super::network::{Announce, Network, Place};
use super::objects::{self, OBJECT, Wanted};
use crate::lnsd;
use crate::scenario::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "cluster-second-owner",
        says: "a cluster of the same name that another API server has, on the same store, refuses to start",
        run: second_owner,
    },
    Scenario {
        name: "cluster-unfit-store",
        says: "a Redis that lets nobody in, or would lose records, is told at the start, and later",
        run: unfit_store,
    },
];

/// Where the second cluster's API server is.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// What Redis wants to hear for a while.
const PASSWORD: &str = "a-long-store-password";
/// As `lnsd` ends where something that it was given is wrong.
const BAD_INPUT: i32 = 2;

fn second_owner() -> Result<String> {
    let network = Network::create(Announce::External)?;
    let wanted = Wanted::default();
    let mut bed = Bed::start(&network, &wanted)?;
    let [first, second, _] = Place::ALL;
    bed.launch(first)?;
    bed.wait_ready(first)?;
    bed.router.wait_for(PATIENCE, &[first])?;
    network
        .management
        .ip(&[&format!("address add {OTHER}/24 dev br0")])?;
    let api = ApiServer::start(&network.management, OTHER)?;
    api.admit(&objects::stream(&wanted)?)?;
    let refused = refuse(&bed, second, &api)?;
    let uid = bed.api.get(OBJECT)?;
    let uid = uid.pointer("/metadata/uid").and_then(|uid| uid.as_str());
    let uid = uid.context("an object without uid")?;
    ensure!(
        refused.contains(uid) && refused.contains(&first.name()),
        "neither {uid} nor its master is named: {refused}"
    );
    bed.router.wait_for(PATIENCE, &[first])?;
    Ok(String::new())
}

fn unfit_store() -> Result<String> {
    let network = Network::create(Announce::External)?;
    let mut bed = Bed::start(&network, &Wanted::default())?;
    let [first, ..] = Place::ALL;
    let port = bed.store.master()?;
    let set = |bed: &Bed<'_>, name: &str, value: &str| -> Result<()> {
        let said = bed.store.ask(port, &["CONFIG", "SET", name, value])?;
        ensure!(said.trim() == "OK", "CONFIG SET {name} {value}: {said}");
        Ok(())
    };
    for (name, wrong, right) in [
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendonly", "no", "yes"),
        ("min-replicas-to-write", "0", "1"),
    ] {
        set(&bed, name, wrong)?;
        let refused = refuse(&bed, first, &bed.api)?;
        ensure!(refused.contains(name), "{name} is not named: {refused}");
        set(&bed, name, right)?;
    }
    set(&bed, "requirepass", PASSWORD)?;
    let refused = refuse(&bed, first, &bed.api)?;
    ensure!(
        refused.contains("credentialsSecretRef"),
        "what to give is not named: {refused}"
    );
    let open = ["-a", PASSWORD, "CONFIG", "SET", "requirepass", ""];
    bed.store.ask(port, &open)?;
    bed.launch(first)?;
    bed.wait_ready(first)?;
    bed.router.wait_for(PATIENCE, &[first])?;
    set(&bed, "maxmemory-policy", "allkeys-lru")?;
    bed.node(first)?
        .wait(PATIENCE, "the setting is shown", |lnsd| {
            Ok(lnsd.table(&["status"])?.contains("maxmemory-policy"))
        })?;
    bed.router.wait_for(PATIENCE, &[first])?;
    Ok(String::new())
}

/// The last line of a member that must not start.
fn refuse(bed: &Bed<'_>, place: Place, api: &ApiServer<'_>) -> Result<String> {
    let node = bed.network.node(place);
    let (status, log) = lnsd::run_with(node, &Bed::arguments(place, api))?;
    ensure!(
        status == BAD_INPUT,
        "it ended with {status} and not {BAD_INPUT}: {log}"
    );
    let last = log.lines().last().context("it said nothing")?;
    Ok(last.to_owned())
}
