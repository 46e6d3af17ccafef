//! Which nodes an `LnsCluster` keeps out of service: its annotation `kubelns.io/fenced`, a list in JSON of the names
//! of nodes, or `["*"]` for all of them. Members and the operator read it by this.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use crate::status::annotation::FENCED;

/// The name that stands for all nodes.
pub const ALL: &str = "*";

/// The nodes that are kept out of service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fenced(BTreeSet<String>);

/// The annotation cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceError(String);

impl core::error::Error for FenceError {}

impl fmt::Display for FenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{FENCED}: {:?} is no list of nodes in JSON: write '[\"node-1\"]', '[\"*\"]' for all of them, or remove it",
            self.0
        )
    }
}

impl Fenced {
    /// Reads the annotations of an `LnsCluster`.
    ///
    /// # Errors
    /// There is one, and it is no list of names.
    pub fn of(annotations: &BTreeMap<String, String>) -> Result<Self, FenceError> {
        let Some(text) = annotations
            .get(FENCED)
            .filter(|text| !text.trim().is_empty())
        else {
            return Ok(Self::default());
        };
        let names = serde_json::from_str(text).map_err(|_| FenceError(text.clone()))?;
        Ok(Self(names))
    }

    /// Whether this node is one of them.
    pub fn has(&self, node: &str) -> bool {
        self.0.contains(node) || self.0.contains(ALL)
    }

    /// The names, as they are written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Fenced, FenceError> {
        Fenced::of(&BTreeMap::from([(FENCED.to_owned(), text.to_owned())]))
    }

    #[test]
    fn a_node_is_fenced_by_its_name_or_with_all_others() {
        let some = of(r#"["a","b"]"#).unwrap();
        assert_eq!(
            ["a", "b", "c"].map(|node| some.has(node)),
            [true, true, false]
        );
        let all = of(r#"["*"]"#).unwrap();
        assert!(all.has("a") && all.has("c"));
        for none in ["", " ", "[]"] {
            assert!(!of(none).unwrap().has("a"));
        }
        assert_eq!(Fenced::of(&BTreeMap::new()), Ok(Fenced::default()));
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_to_write() {
        for wrong in ["a", "\"a\"", "{}", "[1]", "[\"a\""] {
            let said = of(wrong).unwrap_err().to_string();
            assert!(
                said.contains(&format!("{wrong:?}")) && said.contains("'[\"*\"]'"),
                "{said}"
            );
        }
    }
}
