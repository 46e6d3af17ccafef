//! The table of differences: `e2e/differential/differences.md`, a row a script, and how it is held
//! against what was seen.

use anyhow::{Result, bail, ensure};

use super::play::Observation;

/// One row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    /// The script.
    pub(super) script: String,
    /// What l2tpns does, step by step, where it differs.
    pub(super) theirs: String,
    /// What `lnsd` does there.
    pub(super) ours: String,
}

/// Reads the table. Each row needs the RFC's words and a reason.
pub(super) fn parse(text: &str) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let inner = line.trim_start_matches("| ").trim_end_matches(" |");
        let cells: Vec<_> = inner.split(" | ").map(str::trim).collect();
        let [script, theirs, ours, rfc, why] = cells.as_slice() else {
            bail!("a row of {} cells, not 5: {line}", cells.len());
        };
        ensure!(
            rfc.starts_with("RFC ") && rfc.matches('"').count() >= 2,
            "no RFC with its words: {line}"
        );
        ensure!(why.len() > 10, "no reason: {line}");
        let script = script.trim_matches('`').to_owned();
        ensure!(
            rows.iter().all(|row| row.script != script),
            "two rows for {script}"
        );
        rows.push(Row {
            script,
            theirs: (*theirs).into(),
            ours: (*ours).into(),
        });
    }
    Ok(rows)
}

/// Where two courses of one script differ; `None` where they do not.
pub(super) fn difference(
    script: &str,
    theirs: &[Observation],
    ours: &[Observation],
) -> Option<Row> {
    let mut cells = [Vec::new(), Vec::new()];
    for place in 0..theirs.len().max(ours.len()) {
        let (their, our) = (theirs.get(place), ours.get(place));
        let result = |seen: Option<&Observation>| {
            seen.map_or("not reached", |seen| seen.result.as_str())
                .to_owned()
        };
        let step = their.or(our).map_or("", |seen| seen.step.as_str());
        if result(their) != result(our) {
            for (cell, seen) in cells.iter_mut().zip([their, our]) {
                cell.push(format!("`{step}`: {}", result(seen)));
            }
        }
    }
    let [theirs, ours] = cells.map(|cell| cell.join("; "));
    (theirs != ours).then(|| Row {
        script: script.into(),
        theirs,
        ours,
    })
}

/// What is wrong between the table and what was seen of one script; `None` when they agree.
pub(super) fn verdict(seen: Option<&Row>, row: Option<&Row>) -> Option<String> {
    match (seen, row) {
        (None, None) => None,
        (None, Some(_)) => Some("the table has a row, and there is no difference any more".into()),
        (Some(seen), None) => Some(format!("a difference that the table does not have\n{seen}")),
        (Some(seen), Some(row)) if seen == row => None,
        (Some(seen), Some(row)) => Some(format!("seen\n{seen}\n      the table says\n{row}")),
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            script,
            theirs,
            ours,
        } = self;
        write!(f, "| `{script}` | {theirs} | {ours} | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(results: &[&str]) -> Vec<Observation> {
        results
            .iter()
            .map(|result| Observation {
                step: "send HELLO".into(),
                result: (*result).into(),
            })
            .collect()
    }

    #[test]
    fn only_what_differs_is_in_a_row() {
        let (theirs, ours) = (seen(&["a", "b"]), seen(&["a", "c", "d"]));
        let row = difference("x", &theirs, &ours).unwrap();
        assert_eq!(row.theirs, "`send HELLO`: b; `send HELLO`: not reached");
        assert_eq!(row.ours, "`send HELLO`: c; `send HELLO`: d");
        assert_eq!(difference("x", &theirs, &theirs), None);
    }

    #[test]
    fn a_difference_without_a_row_and_a_row_without_a_difference_fail() {
        let row = difference("x", &seen(&["a"]), &seen(&["b"])).unwrap();
        let other = difference("x", &seen(&["a"]), &seen(&["c"])).unwrap();
        assert!(
            verdict(None, Some(&row))
                .unwrap()
                .contains("no difference any more")
        );
        assert!(verdict(Some(&row), None).unwrap().contains("does not have"));
        assert!(
            verdict(Some(&row), Some(&other))
                .unwrap()
                .contains("the table says")
        );
        assert_eq!(verdict(Some(&row), Some(&row)), None);
        assert_eq!(verdict(None, None), None);
    }

    #[test]
    fn a_row_needs_the_rfcs_words_and_a_reason() {
        let good = "| `x` | `s`: a | `s`: b | RFC 2661, 4.1: \"MUST\" | The RFC says so. |";
        assert_eq!(parse(good).unwrap()[0].ours, "`s`: b");
        for bad in [
            "| `x` | `s`: a | `s`: b | | The RFC says so. |",
            "| `x` | `s`: a | `s`: b | RFC 2661, 4.1: \"MUST\" | |",
            "| `x` | `s`: a | `s`: b |",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&format!("{good}\n{good}")).is_err());
    }

    #[test]
    fn the_table_can_be_read() {
        assert!(!parse(super::super::TABLE).unwrap().is_empty());
    }
}
