//! Whole manifests in, exact lines out.

use core::fmt::Write as _;

use super::*;

const MINIMAL: &str = include_str!("../../examples/minimal.yaml");
const FULL: &str = include_str!("../../examples/full.yaml");

fn parse(text: &str) -> Result<Manifest, Vec<String>> {
    let printed = |errors: Vec<ManifestError>| errors.iter().map(ToString::to_string).collect();
    parse_manifest([("m.yaml", text)]).map_err(printed)
}

/// The minimal example with one text in the place of another that it has exactly once.
fn with(from: &str, to: &str) -> String {
    assert_eq!(MINIMAL.matches(from).count(), 1, "{from:?}");
    MINIMAL.replacen(from, to, 1)
}

/// A text of the minimal example, another in its place, and the lines that must come of it.
type Row<'a> = (&'a str, &'a str, &'a [&'a str]);

fn refused(table: &[Row<'_>]) {
    let mut wrong = String::new();
    for (from, to, expected) in table {
        let found = parse(&with(from, to)).err().unwrap_or_default();
        for secret in ["hunter", "change me", "replace-me"] {
            assert!(!found.iter().any(|line| line.contains(secret)), "{found:?}");
        }
        if found != *expected {
            writeln!(wrong, "{from:?} -> {to:?}").unwrap();
            for line in found {
                writeln!(wrong, "    {line}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const CIDR: &str = "cidr: 100.64.0.0/16 }";
const FROM: &str = "from: [198.51.100.0/24]";
const ADDRESSES: &str = "addresses: [192.0.2.1]";
const AUTHENTICATION: &str = "{ mode: Secret, secretRef: { name: wholesale-a } }";
const LAC: &str = "  - name: wholesale-a\n";
const POOL: &str = "  - name: default\n";
const SPEC: &str = "spec:\n";
const ALICE: &str = "alice@isp.example: \"change me\"";

mod accepted;
mod cluster;
mod documents;
mod members;
mod policies;
mod radius;
