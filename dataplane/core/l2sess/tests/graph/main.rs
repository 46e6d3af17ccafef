//! The graph: as it is printed, from its middle, with its choices, and with more threads than one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod anew;
mod choices;
mod spliced;
mod threads;

use core::fmt::Write as _;

use lns_l2sess::graph::{NodeId, Stage};
use lns_l2sess::{Direction, Event, Family, Verdict};

#[test]
fn the_graph_is_the_one_that_is_printed() {
    let mut graph = String::new();
    for node in NodeId::all() {
        writeln!(graph, "{node}").unwrap();
        for (exit, to) in node.ways() {
            let to = match to {
                Ok(next) => next.to_string(),
                Err(Verdict::Forward) => "forward".to_owned(),
                Err(Verdict::Drop(refusal)) => format!("drop ({refusal})"),
            };
            writeln!(graph, "  {exit:?} -> {to}").unwrap();
        }
    }
    insta::assert_snapshot!(graph);
}

#[test]
fn there_are_eight_add_and_track_nodes_and_each_node_has_its_name() {
    let nodes: Vec<_> = NodeId::all().collect();
    let flows = nodes
        .iter()
        .filter(|it| matches!(it.stage(), Stage::Add | Stage::Track));
    assert_eq!((flows.count(), nodes.len()), (8, 16));
    let mut names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 16);
    for direction in Direction::ALL {
        for family in Family::ALL {
            for stage in Stage::ALL {
                let node = NodeId::new(stage, direction, family);
                assert_eq!(
                    (node.direction(), node.family(), node.stage()),
                    (direction, family, stage)
                );
            }
        }
    }
}

#[test]
fn every_event_has_its_label() {
    let mut labels: Vec<_> = Event::ALL.iter().map(|event| event.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Event::ALL.len());
}
