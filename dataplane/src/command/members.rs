//! `members`, `step-down`, `finalize-upgrade`: the cluster, a planned switchover, and the end of an upgrade.

use serde_json::Value;

use super::client::Client;
use super::read::{pretty, print, rows};
use super::table::{Column, age, at, count, facts, render, text, thousands};
use crate::cli::{Output, ReadArguments, State};
use crate::failure::Failure;

/// `lnsd members`
pub(crate) fn members(arguments: &ReadArguments) -> Result<(), Failure> {
    let cluster = Client::new(&arguments.state)?.read("/v1/members", &[])?;
    print(&match arguments.output {
        Output::Json => pretty(&cluster),
        Output::Table | Output::Wide => {
            let wide = arguments.output == Output::Wide;
            format!(
                "{}\n{}",
                facts(&of_cluster(&cluster, wide)),
                render(&COLUMNS, rows(&cluster, "members"), wide)
            )
        }
    })
}

/// `lnsd step-down`
pub(crate) fn step_down(state: &State) -> Result<(), Failure> {
    let done = Client::new(state)?.order("/v1/step-down", &Value::Null)?;
    println!(
        "{} steps down from epoch {}; `lnsd members` shows who follows",
        at(&done, &["node"]),
        count(&done, &["epoch"])
    );
    Ok(())
}

/// `lnsd finalize-upgrade`
pub(crate) fn finalize_upgrade(state: &State) -> Result<(), Failure> {
    let done = Client::new(state)?.order("/v1/finalize-upgrade", &Value::Null)?;
    let form = count(&done, &["form"]);
    match count(&done, &["records"]) {
        0 => println!("records have form {form}: there is nothing older to go back to"),
        records => println!(
            "records have form {form} from now on, {} are written again: releases that do not read it cannot be gone back to",
            thousands(records)
        ),
    }
    Ok(())
}

fn of_cluster(cluster: &Value, wide: bool) -> Vec<(&'static str, String)> {
    let master = match cluster["master"].as_str() {
        Some(master) => format!("{master} (epoch {})", count(cluster, &["epoch"])),
        None => "nobody is known".to_owned(),
    };
    let here = format!(
        "{} since {} ({}: {})",
        at(cluster, &["side"]),
        age(count(cluster, &["sideSeconds"])),
        at(cluster, &["election"]),
        cluster["why"].as_str().unwrap_or("started"),
    );
    let mut shown = vec![
        ("Master", master),
        ("This node", format!("{}: {here}", at(cluster, &["node"]))),
        ("Authority", authority(cluster)),
        (
            "Forwards",
            left(&cluster["dataSeconds"], "closed: nothing passes"),
        ),
        ("Stands aside", aside(cluster)),
        ("API SERVER", at(cluster, &["leaseTrouble"])),
        ("STORE", at(cluster, &["storeTrouble"])),
        ("RECORDS", at(cluster, &["recordsTrouble"])),
        ("GATE", at(cluster, &["gateTrouble"])),
    ];
    if wide {
        shown.extend([
            ("Records up to", at(cluster, &["applied"])),
            ("Answers routers", left(&cluster["announceSeconds"], "no")),
            (
                "Switchovers here",
                count(cluster, &["switchovers"]).to_string(),
            ),
            ("Dropped by gate", dropped(&cluster["gateDropped"])),
        ]);
    }
    shown
}

fn authority(cluster: &Value) -> String {
    match cluster["authoritySeconds"].as_f64() {
        Some(seconds) if seconds > 0.0 => format!("{seconds:.1} s left"),
        _ => "none: another node is master, or nobody".to_owned(),
    }
}

/// Nothing, of a node that serves as the others do.
fn aside(cluster: &Value) -> String {
    match cluster["aside"].as_str() {
        Some("draining") => "it is drained: packets still come".to_owned(),
        Some("drained") => "it is drained: nothing comes here any more".to_owned(),
        Some("fenced") => "it is fenced: it serves nobody until that is lifted".to_owned(),
        _ => String::new(),
    }
}

fn left(seconds: &Value, none: &str) -> String {
    match seconds.as_f64() {
        Some(seconds) => format!("for {seconds:.0} s more"),
        None => none.to_owned(),
    }
}

fn dropped(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let each: Vec<_> = counts
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    each.join(", ")
}

/// The columns of the list of nodes.
const COLUMNS: [Column; 7] = [
    text("NODE", |row| {
        let here = if row["isHere"] == Value::Bool(true) {
            " (here)"
        } else {
            ""
        };
        at(row, &["node"]) + here
    }),
    text("STATE", |row| match row["aside"].as_str() {
        Some(aside @ ("draining" | "drained" | "fenced")) => aside.to_owned(),
        _ if row["isReady"] == Value::Bool(true) => "ready".to_owned(),
        _ => "not ready".to_owned(),
    }),
    text("CONNECTED", |row| at(row, &["isConnected"])),
    text("ROSTER", |row| at(row, &["isOnRoster"])),
    text("RECORDS UP TO", |row| {
        // What it says to the master is newer than what its Lease says.
        match at(row, &["position"]) {
            unknown if unknown.is_empty() => at(row, &["loaded"]),
            position => position,
        }
    }),
    text("ADDRESS", |row| at(row, &["address"])).wide(),
    text("VERSION", |row| at(row, &["version"])).wide(),
];
