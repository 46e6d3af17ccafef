//! YAML into plain values, and its errors into lines that show nothing of the text.
//!
//! Scalars mean what they mean to `kubectl`, whose reader follows YAML 1.1: an unquoted `yes` is a
//! boolean and `060` is forty-eight.

use core::fmt;

use serde_json::Value;
use serde_saphyr::{Error, options::DuplicateKeyPolicy};

use crate::limits;

/// Documents of one file: all policies of a node, a Secret for each LAC, and as many of other clusters.
const DOCUMENTS: usize = 4_096;

/// Where a text is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; 0 where it is not known.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.reason)
    }
}

/// The documents of a stream; empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| fault(&error))
}

/// The one document of a text.
pub(super) fn document(text: &str) -> Result<Value, Fault> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| fault(&error))
}

fn options() -> serde_saphyr::Options {
    // A user is at most 16 nodes (name, map, three keys, two values, a list of eight); of a million not
    // all are, and a policy of 10,000 rules is as much as 20,000 of them.
    let nodes = limits::USERS.saturating_mul(16);
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        with_snippet: false,
        emit_comments: false,
        budget: serde_saphyr::budget! {
            max_documents: DOCUMENTS,
            max_nodes: nodes,
            max_events: nodes.saturating_mul(2),
            max_total_scalar_bytes: usize::try_from(limits::FILE_OCTETS).unwrap_or(usize::MAX),
        },
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum that may grow; its other variants cannot come from plain values"
)]
fn fault(error: &Error) -> Fault {
    let error = error.without_snippet();
    let location = error.location();
    let reason = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key:?} is there twice")
        }
        Error::DuplicateMappingKey { key: None, .. } => "a key is there twice".to_owned(),
        Error::Budget { .. } => "is larger or deeper than any manifest".to_owned(),
        Error::UnknownAnchor { .. } => "an alias without its anchor".to_owned(),
        Error::Message { msg, .. } | Error::ExternalMessage { msg, .. } => {
            format!("is not YAML: {}", plain(msg))
        }
        _ => "is not YAML".to_owned(),
    };
    Fault {
        line: location.map_or(0, |location| location.line()),
        column: location.map_or(0, |location| location.column()),
        reason,
    }
}

/// The parser's words without anything that it quotes: that could be a piece of a password.
fn plain(message: &str) -> &str {
    let first = message.lines().next().unwrap_or_default();
    first
        .split(['"', '`', ':'])
        .next()
        .unwrap_or_default()
        .trim_end()
}
