//! Hostile inputs: one harness per family of messages, and the corpus of inputs that are known to
//! have broken programs of this kind.
//!
//! A harness is a function over octets. It calls the production parsers and machines, checks what
//! must hold for any input, and says what became of this one. It runs in three ways:
//!
//! - `cargo test -p lns-fuzz` runs each file of `corpus/<family>/` and checks what the file expects,
//!   then a fixed number of inputs that a fixed seed makes of them.
//! - `LNS_FUZZ_ROUNDS=1000000 LNS_FUZZ_SEED=7 cargo test -p lns-fuzz node` does more of the latter.
//! - `cargo bolero test -p lns-fuzz --rustc-bootstrap --sanitizer NONE -T 600s node` lets libFuzzer
//!   search, guided by coverage (needs `cargo install cargo-bolero`). `cargo run -p lns-fuzz --example
//!   seeds -- node DIR` writes the corpus as octets for its `--corpus-dir`.
//!
//! To add an input, write a file: [`corpus`] says how. Code is not needed.
//!
//! Left out: the workers' packet functions, whose tables only their own crate can fill; their tests
//! are there.
#![forbid(unsafe_code)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness's panics are its findings"
)]

pub mod corpus;
mod dynamic;
mod explain;
mod filter;
mod ip;
mod l2tp;
mod node;
mod ops;
mod peers;
mod ppp;
mod radius;
pub mod random;
mod records;
mod session;
mod tunnel;

/// What became of an input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// `Err` with the label of the counter: it was dropped. Of a list of steps, the last that could be
    /// dropped counts.
    pub verdict: Result<(), &'static str>,
    /// What is there afterwards, for families of machines; else empty.
    pub then: String,
}

impl From<Result<(), &'static str>> for Outcome {
    fn from(verdict: Result<(), &'static str>) -> Self {
        Self {
            verdict,
            then: String::new(),
        }
    }
}

/// One harness.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name of its folder in `corpus/`.
    pub name: &'static str,
    /// Runs one input. Panics when something does not hold that must.
    pub run: fn(&[u8]) -> Outcome,
    /// Families whose corpora are where random inputs begin, too: what is known there is hostile here.
    pub also: &'static [&'static str],
    /// Random inputs that `cargo test` makes: about two seconds' worth.
    pub rounds: u32,
}

/// All harnesses.
pub const FAMILIES: [Family; 22] = [
    family("l2tp-header", l2tp::header, 400_000),
    family("l2tp-message", l2tp::message, 400_000),
    family("l2tp-hidden", l2tp::hidden, 300_000),
    family("ppp-frame", ppp::frame, 400_000),
    family("ppp-options", ppp::options, 400_000),
    family("ppp-pap", ppp::pap, 400_000),
    family("ppp-chap", ppp::chap, 400_000),
    family("ppp-eap", ppp::eap, 400_000),
    family("radius-packet", radius::packet, 400_000),
    Family {
        also: &["radius-packet"],
        ..family("radius-reply", radius::reply, 200_000)
    },
    family("ip-upstream", ip::upstream, 400_000),
    family("ip-downstream", ip::downstream, 200_000),
    Family {
        also: &["ip-upstream"],
        ..family("filter-packet", filter::packet, 200_000)
    },
    family("filter", filter::run, 40_000),
    family("ppp-session", session::run, 100_000),
    family("l2tp-tunnel", tunnel::run, 60_000),
    family("radius-dynamic", dynamic::run, 100_000),
    family("records", records::run, 2_500),
    family("peer-frames", peers::frames, 100_000),
    family("peer-data", peers::data, 24_000),
    family("node", node::run, 800),
    Family {
        also: &[
            "l2tp-header",
            "l2tp-message",
            "l2tp-hidden",
            "ppp-frame",
            "ppp-options",
            "ppp-pap",
            "ppp-chap",
            "ppp-eap",
        ],
        ..family("explain", explain::run, 120_000)
    },
];

impl Family {
    /// What a search begins with: the octets of its own corpus and of those of `also`, with a name each.
    pub fn seeds(&self) -> Vec<(String, Vec<u8>)> {
        let folders = core::iter::once(&self.name).chain(self.also);
        folders
            .flat_map(|folder| {
                corpus::load(folder).into_iter().map(move |case| {
                    let file = case.path.file_stem().unwrap_or_default();
                    (format!("{folder}-{}", file.display()), case.octets)
                })
            })
            .collect()
    }
}

/// The harness of that name.
pub fn find(name: &str) -> Option<Family> {
    FAMILIES.into_iter().find(|family| family.name == name)
}

const fn family(name: &'static str, run: fn(&[u8]) -> Outcome, rounds: u32) -> Family {
    Family {
        name,
        run,
        also: &[],
        rounds,
    }
}
