//! Requests to change or end sessions. Clients are named by the manifest: few.

use std::collections::BTreeMap;

use lns_radius::dynamic::Command;

use super::{Page, one};
use crate::radius::dynamic::Row;

pub(super) fn write(page: &mut Page, rows: &BTreeMap<Row, u64>) {
    let rows = rows.iter().map(|((client, command, result), count)| {
        let mut labels = one("client", client.as_deref().unwrap_or("none"));
        let command = command.map_or("unknown", Command::label);
        labels.push(("type", command.to_owned()));
        labels.push(("result", (*result).to_owned()));
        (labels, *count)
    });
    page.counters(
        "radius_dynamic_requests",
        "Requests to change or end sessions, by client, type (not known of those that are dropped) and result",
        rows,
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A change that was made, and what a stranger has sent.
    pub(in super::super) fn some() -> BTreeMap<Row, u64> {
        BTreeMap::from([
            ((Some("oss".into()), Some(Command::Change), "ack"), 8),
            ((None, None, "stranger"), 9),
        ])
    }
}
