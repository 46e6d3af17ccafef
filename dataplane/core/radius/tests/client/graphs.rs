//! The machines as they are printed: the same lines that run.

use std::collections::BTreeSet;

use lns_radius::connection::{ConnectionEvent, ConnectionState};
use lns_radius::trunk::{AggregateState, RequestEvent, RequestState, TrunkEvent, TrunkState};

#[test]
fn the_graph_of_a_socket() {
    insta::assert_snapshot!(ConnectionState::graph());
}

#[test]
fn the_graph_of_a_connection_of_a_trunk() {
    insta::assert_snapshot!(TrunkState::graph());
}

#[test]
fn the_graph_of_a_request() {
    insta::assert_snapshot!(RequestState::graph());
}

#[test]
fn what_no_line_says_is_refused_by_name() {
    let mut refused = 0;
    for state in ConnectionState::ALL {
        for event in ConnectionEvent::ALL {
            let line = ConnectionState::TABLE
                .iter()
                .find(|(from, on, _)| (from, on) == (state, event));
            match (state.on(*event), line) {
                (Ok(to), Some((_, _, there))) => assert_eq!(to, *there),
                (Err(illegal), None) => {
                    refused += 1;
                    assert_eq!(
                        (illegal.state, illegal.event),
                        (state.label(), event.label())
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(refused > 30);
    let illegal = RequestState::Complete.on(RequestEvent::Cancel).unwrap_err();
    assert_eq!(illegal.to_string(), "cancel in COMPLETE");
    assert!(
        TrunkState::DrainingToFree.on(TrunkEvent::Undrain).is_err(),
        "it is never taken back"
    );
}

#[test]
fn the_names_are_those_of_the_field_and_no_two_are_the_same() {
    let names = |all: Vec<&'static str>| {
        let count = all.len();
        let set: BTreeSet<_> = all.into_iter().collect();
        assert_eq!(set.len(), count);
        set
    };
    let sockets = names(
        ConnectionState::ALL
            .iter()
            .map(|state| state.label())
            .collect(),
    );
    for name in [
        "HALTED",
        "INIT",
        "CONNECTING",
        "TIMEOUT",
        "CONNECTED",
        "SHUTDOWN",
        "FAILED",
        "CLOSED",
    ] {
        assert!(sockets.contains(name));
    }
    let trunks = names(TrunkState::ALL.iter().map(|state| state.label()).collect());
    for name in [
        "ACTIVE",
        "FULL",
        "INACTIVE",
        "INACTIVE-DRAINING",
        "DRAINING",
        "DRAINING-TO-FREE",
    ] {
        assert!(trunks.contains(name));
    }
    let aggregates = names(
        AggregateState::ALL
            .iter()
            .map(|state| state.label())
            .collect(),
    );
    assert_eq!(
        aggregates,
        BTreeSet::from(["IDLE", "PENDING", "ACTIVE", "FULL", "FAILED"])
    );
    names(
        RequestState::ALL
            .iter()
            .map(|state| state.label())
            .collect(),
    );
}
