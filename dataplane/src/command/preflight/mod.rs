//! `preflight`: whether this node can be a member, before it is one. What `lnsd run` will need is tried where that
//! disturbs nobody, and taken back; what cannot be tried is looked at.
//!
//! | module | looks at |
//! |---|---|
//! | [`kernel`] | version, capabilities, clocks, memory, settings: what the kernel says in files |
//! | [`network`] | `/dev/net/tun`, nftables, ports: what is tried |
//! | [`store`] | a Redis, if one is named |
//!
//! Left out: what only the LnsCluster knows, such as its interfaces and routes. `lnsd run` says that.

mod kernel;
mod network;
mod store;

use serde_json::{Value, json};

use super::read::{pretty, print};
use super::table::{at, render, text};
use crate::cli::{Output, PreflightArguments};
use crate::failure::Failure;

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Check {
    /// What.
    name: &'static str,
    outcome: Outcome,
    /// What there is.
    found: String,
    /// What to do about it; empty where nothing is to be done.
    advice: String,
}

/// What is to be said of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Ok,
    /// A member works, and not as well as it could.
    Warn,
    /// No member works.
    Fail,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, found, "")
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, Outcome::Warn, found, advice)
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, Outcome::Fail, found, advice)
    }

    fn new(
        name: &'static str,
        outcome: Outcome,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            name,
            outcome,
            found: found.into(),
            advice: advice.into(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.name,
            "outcome": self.outcome.label(),
            "found": self.found,
            "advice": self.advice,
        })
    }
}

/// `lnsd preflight`
pub(crate) fn preflight(arguments: &PreflightArguments) -> Result<(), Failure> {
    let store = store::config(arguments)?;
    let mut checks = kernel::checks(&kernel::Machine::here(&arguments.sysctls));
    checks.extend(network::checks(arguments));
    checks.extend(store.map(store::check));
    print(&shown(&checks, arguments.output))?;
    verdict(&checks)
}

fn shown(checks: &[Check], output: Output) -> String {
    let rows: Vec<Value> = checks.iter().map(Check::json).collect();
    let columns = [
        text("CHECK", |check| at(check, &["check"])),
        text("OUTCOME", |check| at(check, &["outcome"])),
        text("FOUND", |check| at(check, &["found"])),
        text("WHAT TO DO", |check| at(check, &["advice"])),
    ];
    match output {
        Output::Json => pretty(&json!({ "checks": rows })),
        // What is to be done is told whole.
        Output::Table | Output::Wide => render(&columns, &rows, true),
    }
}

fn verdict(checks: &[Check]) -> Result<(), Failure> {
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Fail);
    let names: Vec<&str> = failed.map(|check| check.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "this node can be no member yet: {}",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_fails_it_and_a_warning_does_not() {
        let checks = [
            Check::ok("kernel", "6.12"),
            Check::warn("clock source", "hpet", "use tsc"),
        ];
        assert_eq!(verdict(&checks), Ok(()));
        let more = [checks.as_slice(), &[Check::fail("tun", "none", "load it")]].concat();
        let Err(Failure::Failed(line)) = verdict(&more) else {
            panic!("it does not fail")
        };
        assert_eq!(line, "this node can be no member yet: tun");
        let table = shown(&more, Output::Table);
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(
            table.contains("clock source  warn     hpet   use tsc"),
            "{table}"
        );
        let json: Value = serde_json::from_str(&shown(&more, Output::Json)).unwrap();
        assert_eq!(json["checks"][2]["outcome"], "fail");
    }
}
