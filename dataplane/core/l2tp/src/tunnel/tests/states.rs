//! What each message does in each state, of a tunnel and of a call: the whole tables.

use lns_wire::l2tp::MessageType;

use crate::tunnel::{TunnelState, action};

fn table<S: Copy, A: core::fmt::Debug>(
    states: &[S],
    label: impl Fn(S) -> &'static str,
    cell: impl Fn(S, MessageType) -> A,
) -> String {
    let row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        cells
            .fold(format!("{name:8}"), |row, cell| format!("{row} {cell:15}"))
            .trim_end()
            .to_owned()
    };
    let head = row("", &mut states.iter().map(|state| label(*state).to_owned()));
    MessageType::ALL.iter().fold(head, |text, kind| {
        let cells = &mut states
            .iter()
            .map(|state| format!("{:?}", cell(*state, *kind)));
        format!("{text}\n{}", row(kind.label(), cells))
    })
}

#[test]
fn the_table_of_tunnel_states_and_messages() {
    insta::assert_snapshot!(table(&TunnelState::ALL, TunnelState::label, action));
}

#[test]
fn the_table_of_call_states_and_messages() {
    use crate::{CallState, call_step};
    insta::assert_snapshot!(table(&CallState::ALL, CallState::label, call_step));
}
