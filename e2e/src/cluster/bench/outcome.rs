//! What a part has measured: figures for people, values for programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::plot;
use crate::bench::{Figure, print};

/// Values of so many runs are plotted.
const PLOTTED: usize = 8;

/// What a part has measured.
#[derive(Default)]
pub(super) struct Outcome {
    figures: Vec<Figure>,
    /// Values of single runs by their name, which has their unit in it.
    values: BTreeMap<String, Vec<f64>>,
}

impl Outcome {
    /// Something that is promised, and whether that holds.
    pub(super) fn promise(&mut self, what: &str, measured: String, promised: &str, held: bool) {
        self.figures.push(Figure {
            what: what.to_owned(),
            measured,
            promised: promised.to_owned(),
            held: Some(held),
        });
    }

    /// Something to be known beside it.
    pub(super) fn tell(&mut self, what: &str, measured: String) {
        self.figures.push(Figure {
            what: what.to_owned(),
            measured,
            promised: String::new(),
            held: None,
        });
    }

    /// Values of single runs.
    pub(super) fn values(&mut self, name: &str, values: Vec<f64>) {
        self.values.insert(name.to_owned(), values);
    }

    /// Prints the table. Says whether everything that is promised holds.
    pub(super) fn show(&self) -> bool {
        print(&self.figures);
        self.figures.iter().all(|figure| figure.held != Some(false))
    }

    /// Writes JSON and plots.
    pub(super) fn keep(&self, folder: &Path, part: &str) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let write = |name: String, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        let text = serde_json::to_string_pretty(&self.json())?;
        write(format!("cluster-{part}.json"), text + "\n")?;
        for (name, values) in &self.values {
            if values.len() >= PLOTTED {
                let file = name.replace([' ', ','], "-").replace("--", "-");
                write(format!("cluster-{file}.svg"), plot::histogram(name, values))?;
            }
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let figure = |figure: &Figure| {
            json!({
                "figure": figure.what, "reach": figure.promised, "seen": figure.measured,
                "held": figure.held,
            })
        };
        let figures: Vec<_> = self.figures.iter().map(figure).collect();
        json!({ "figures": figures, "values": self.values })
    }
}

/// The middle one of some values, the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// Half of the values are below.
    pub(super) median: f64,
    /// The smallest.
    pub(super) least: f64,
    /// The largest.
    pub(super) most: f64,
}

impl Spread {
    /// Of these; zeros without any.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
        Self {
            median: at(sorted.len() / 2),
            least: at(0),
            most: at(sorted.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_sorted_values() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(&[]).most.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn what_is_missed_is_said() {
        let mut outcome = Outcome::default();
        outcome.promise("a", "1".into(), "<= 2", true);
        outcome.tell("b", "1".into());
        assert!(outcome.show());
        outcome.promise("c", "3".into(), "<= 2", false);
        assert!(!outcome.show());
        assert_eq!(
            outcome.json().pointer("/figures/2/held"),
            Some(&json!(false))
        );
    }
}
