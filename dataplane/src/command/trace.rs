//! `trace`: follows what goes on, message by message.

use core::ops::ControlFlow;
use core::time::Duration;
use std::time::Instant;

use serde_json::Value;

use super::capture::Capture;
use super::client::Client;
use super::failures::message;
use super::filter::known;
use super::read::{rows, show};
use super::table::{at, count, thousands};
use crate::cli::{Followed, TraceArguments, TraceOutput};
use crate::failure::Failure;

/// `lnsd trace`
pub(crate) fn trace(arguments: &TraceArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.state)?;
    // Asked first: no file is made for a process that is not there.
    let introduction = introduction(&client, &arguments.of)?;
    let mut capture = arguments
        .write
        .as_deref()
        .map(Capture::create)
        .transpose()?;
    eprintln!("{introduction}");
    let until = arguments
        .duration
        .map(|duration| Instant::now() + Duration::from_secs(duration.0));
    let mut shown = 0_u64;
    client.follow("/v1/trace", &query(&arguments.of), until, |line| {
        shown += 1;
        if let Some(capture) = &mut capture
            && capture.write(line)?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let text = match arguments.output {
            TraceOutput::Json => format!("{line}\n"),
            TraceOutput::Text => in_words(line),
        };
        if capture.as_ref().is_some_and(Capture::has_output) {
            eprint!("{text}");
            return Ok(ControlFlow::Continue(()));
        }
        show(&text)
    })?;
    if let Some(capture) = capture {
        eprintln!("{}", capture.summary());
    }
    eprintln!("{} lines", thousands(shown));
    Ok(())
}

fn query(of: &Followed) -> Vec<(&'static str, Option<String>)> {
    let session = of.session.map(|name| name.session.to_string());
    let tunnel = of.session.map(|name| name.tunnel).or(of.tunnel);
    vec![
        ("user", of.user.clone()),
        ("lac", of.lac.clone()),
        ("callingNumber", of.calling_number.clone()),
        ("remote", of.remote.map(|remote| remote.to_string())),
        ("tunnel", tunnel.map(|tunnel| tunnel.to_string())),
        ("session", session),
    ]
}

/// What is there already that will be followed.
fn introduction(client: &Client, of: &Followed) -> Result<String, Failure> {
    let end = "Ctrl-C ends";
    if let Some(lac) = &of.lac {
        known(client, ("LAC", "lacs"), lac)?;
    }
    if of.remote.is_some() {
        return Ok(format!("following what comes from there; {end}"));
    }
    if let Some(id) = of.session {
        client.read(&format!("/v1/sessions/{id}"), &[])?;
        return Ok(format!("following session {id}; {end}"));
    }
    let mut query = query(of);
    query.retain(|(name, _)| *name != "remote" && *name != "session");
    query.push(("limit", Some("1000".to_owned())));
    let found = client.read("/v1/sessions", &query)?;
    Ok(match rows(&found, "sessions") {
        [] => format!("no session matches yet; what comes will be shown; {end}"),
        [one] => format!("session {} matches now; {end}", at(one, &["id"])),
        several => format!("{} sessions match now; {end}", several.len()),
    })
}

/// A line for a person, and one before it for what is missing.
fn in_words(line: &Value) -> String {
    let id = match (at(line, &["tunnel"]), at(line, &["session"])) {
        (tunnel, session) if session.is_empty() => tunnel,
        (tunnel, session) => format!("{tunnel}.{session}"),
    };
    let missed = match count(line, &["missed"]) {
        0 => String::new(),
        missed => format!(
            "... {} lines left out: too much at once\n",
            thousands(missed)
        ),
    };
    format!("{missed}{id:<11} {}\n", message(line))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_names_its_call_and_says_what_is_missing_before_it() {
        let line = json!({
            "time": "2026-11-25T21:46:40.123Z", "direction": "in", "result": "ok", "text": "ICRQ",
            "tunnel": 4711, "session": 12, "missed": 1200,
        });
        let shown = in_words(&line);
        let (missing, line) = shown.split_once('\n').unwrap();
        assert_eq!(missing, "... 1,200 lines left out: too much at once");
        assert!(
            line.starts_with("4711.12     ") && line.ends_with(" < ICRQ\n"),
            "{line}"
        );
    }
}
