//! `check --against running`: what a manifest would change, and how many sessions would end.

use serde_json::Value;

use super::super::client::Client;
use super::super::read::print;
use super::super::table::{at, count, render, text, thousands};
use crate::admin::check::{Candidate, File};
use crate::cli::{CheckArguments, Output, State};
use crate::failure::Failure;

/// Asks the running process, and prints what it says.
pub(super) fn compare(
    arguments: &CheckArguments,
    sources: Vec<(String, String)>,
) -> Result<(), Failure> {
    let state = State {
        directory: arguments.state.clone(),
    };
    let files = sources.into_iter().map(|(name, text)| File { name, text });
    let candidate = Candidate {
        files: files.collect(),
    };
    let answer = Client::new(&state)?.order("/v1/check", &candidate)?;
    match arguments.output {
        Output::Json => print(&format!("{answer:#}\n"))?,
        Output::Table | Output::Wide => print(&page(&answer))?,
    }
    if let Some(why) = answer.get("refusal").and_then(Value::as_str) {
        return Err(Failure::Failed(format!(
            "this manifest would be refused: {why}"
        )));
    }
    if restarting(&answer).is_empty() {
        return Ok(());
    }
    // Who reloads only after a check that went well must not be told that it did.
    Err(Failure::Failed(
        "a reload refuses this manifest whole: it takes a restart of lnsd".to_owned(),
    ))
}

/// The fields that only a restart changes.
fn restarting(answer: &Value) -> Vec<&str> {
    let fields = answer.get("needsRestart").and_then(Value::as_array);
    fields
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn page(answer: &Value) -> String {
    let none = Vec::new();
    let changes = answer.get("changes").and_then(Value::as_array);
    let changes = changes.unwrap_or(&none);
    let mut out = String::new();
    if !changes.is_empty() {
        let columns = [
            text("FIELD", |change| at(change, &["path"])),
            text("BEFORE", |change| at(change, &["before"])),
            text("AFTER", |change| at(change, &["after"])),
            text("TAKES EFFECT", |change| effect(change).to_owned()),
            text("KEEP THE OLD VALUE", keeping),
        ];
        out.push_str(&render(&columns, changes, false));
    }
    // What is refused is said where failures are.
    if answer.get("refusal").is_none_or(Value::is_null) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&conclusion(answer, changes.is_empty()));
        out.push('\n');
    }
    out
}

/// The answer in one sentence.
fn conclusion(answer: &Value, is_same: bool) -> String {
    let sessions = count(answer, &["sessions"]);
    let fields = restarting(answer);
    if !fields.is_empty() {
        let end = match sessions {
            0 => "no session is up".to_owned(),
            1 => "the one session ends".to_owned(),
            sessions => format!("all {} sessions end", thousands(sessions)),
        };
        return format!("This needs a restart: {end} ({}).", fields.join(", "));
    }
    if is_same {
        return "Nothing would change.".to_owned();
    }
    let (ending, sessions) = (
        thousands(count(answer, &["sessionsEnding"])),
        thousands(sessions),
    );
    format!("A reload takes this over: {ending} of {sessions} sessions end.")
}

fn effect(change: &Value) -> &'static str {
    let effect = change.get("effect").and_then(Value::as_str);
    match effect {
        None => "nothing to do",
        Some(name) => lns_api::Effect::ALL
            .into_iter()
            .find(|effect| format!("{effect:?}") == name)
            .map_or("unknown", lns_api::Effect::label),
    }
}

fn keeping(change: &Value) -> String {
    let of = |key: &str, one: &str| match count(change, &[key]) {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{} {one}s", thousands(number))),
    };
    let parts = [
        of("tunnelsKeeping", "tunnel"),
        of("sessionsKeeping", "session"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(changes: &Value, needs_restart: &[&str], refusal: Option<&str>) -> Value {
        json!({
            "changes": changes,
            "needsRestart": needs_restart,
            "refusal": refusal,
            "sessions": 1234,
            "sessionsEnding": if needs_restart.is_empty() { 0 } else { 1234 },
        })
    }

    #[test]
    fn a_comparison_is_a_table_and_one_sentence() {
        let changes = json!([
            { "path": "spec.lacs[wholesale-a].pathMtu", "before": "1500", "after": "1400", "effect": "NewSessions", "tunnelsKeeping": 0, "sessionsKeeping": 1234 },
            { "path": "spec.lacs[wholesale-a].helloSeconds", "before": "60", "after": "30", "effect": "NewTunnels", "tunnelsKeeping": 1, "sessionsKeeping": 0 },
            { "path": "Secret/users: users.yaml", "before": null, "after": "3 users added", "effect": "AtOnce", "tunnelsKeeping": 0, "sessionsKeeping": 0 },
            { "path": "spec.datapath.workers", "before": "0", "after": "2", "effect": null, "tunnelsKeeping": 0, "sessionsKeeping": 0 },
        ]);
        assert_eq!(
            page(&answer(&changes, &[], None)),
            "\
FIELD                                BEFORE  AFTER          TAKES EFFECT   KEEP THE OLD VALUE
spec.lacs[wholesale-a].pathMtu       1500    1400           new sessions   1,234 sessions
spec.lacs[wholesale-a].helloSeconds  60      30             new tunnels    1 tunnel
Secret/users: users.yaml             -       3 users added  at once        -
spec.datapath.workers                0       2              nothing to do  -

A reload takes this over: 0 of 1,234 sessions end.
"
        );
    }

    #[test]
    fn each_conclusion_is_one_sentence() {
        let none = json!([]);
        assert_eq!(page(&answer(&none, &[], None)), "Nothing would change.\n");
        let port = json!([{ "path": "spec.service.port", "before": "1701", "after": "1702", "effect": "Restart", "tunnelsKeeping": 0, "sessionsKeeping": 0 }]);
        let said = page(&answer(&port, &["spec.service.port"], None));
        assert!(
            said.ends_with(
                "\n\nThis needs a restart: all 1,234 sessions end (spec.service.port).\n"
            ),
            "{said}"
        );
        let refused = page(&answer(&port, &[], Some("10.0.0.0/24 is taken")));
        assert_eq!(
            refused.lines().count(),
            2,
            "the reason goes to stderr: {refused}"
        );
    }
}
