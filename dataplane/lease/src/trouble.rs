//! Why the Lease could not be read or written: for a condition, a metric and whoever has to repair it.

use core::fmt;
use std::sync::Arc;

use kube::Error;
use lns_tables::time::Instant;

lns_wire::labelled! {
    /// What kind of trouble it is.
    pub enum Cause {
        /// No answer came while it was waited for.
        Timeout = "timeout",
        /// The API server could not be reached, or the connection broke.
        Connection = "connection",
        /// It does not let this node do it (RBAC), or knows it not.
        Forbidden = "forbidden",
        /// It has too much to do, or its store is away.
        Server = "server",
        /// It refuses what was asked.
        Refused = "refused",
        /// What it answered is no Lease, or not what was written.
        Unreadable = "unreadable",
    }
}

/// Requests have had no usable answer since a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// Since when, with this cause or another.
    pub since: Instant,
    /// The last cause.
    pub cause: Cause,
    /// In words.
    pub text: Arc<str>,
}

impl Trouble {
    /// What there is after another request, which failed or did not.
    pub(crate) fn after(
        before: Option<Self>,
        failure: Option<(Cause, Arc<str>)>,
        now: Instant,
    ) -> Option<Self> {
        let (cause, text) = failure?;
        let since = before.map_or(now, |trouble| trouble.since);
        Some(Self { since, cause, text })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What an error of the client is.
pub(crate) fn of_error(error: &Error) -> (Cause, Arc<str>) {
    if let Error::Api(status) = error {
        let cause = match status.code {
            401 | 403 => Cause::Forbidden,
            429 | 500.. => Cause::Server,
            _ => Cause::Refused,
        };
        let reason = if status.message.is_empty() {
            &status.reason
        } else {
            &status.message
        };
        let text = format!("the API server answers {}: {reason}", status.code);
        return (cause, text.into());
    }
    let is_unreadable = matches!(error, Error::SerdeError(_) | Error::FromUtf8(_));
    let cause = if is_unreadable {
        Cause::Unreadable
    } else {
        Cause::Connection
    };
    (cause, chain(error).into())
}

/// An error and what is behind it: "client error" alone tells nobody anything.
fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
