//! How a command ends when it does not end well: a line that says what to do, and an exit code as that of `lnsd`.

use core::fmt::Display;
use std::process::ExitCode;

/// Why it did not go well.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// It could not be done: exit code 1.
    Failed(String),
    /// What was given is wrong: exit code 2.
    BadInput(String),
}

impl Failure {
    /// "`what`: `cause`", exit code 1.
    pub(crate) fn failed(what: impl Display, cause: impl Display) -> Self {
        Self::Failed(format!("{what}: {cause}"))
    }

    /// One line, exit code 2.
    pub(crate) fn bad_input(line: impl Into<String>) -> Self {
        Self::BadInput(line.into())
    }

    /// Says it on the standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("kubectl-lns: {self}");
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::BadInput(_) => 2,
        })
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (Self::Failed(line) | Self::BadInput(line)) = self;
        // Words of others can have more lines.
        f.write_str(&line.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// What the API server said no to, and what to do about it. `what`: reading something, for instance.
pub(crate) fn of_api(what: &str, error: &kube::Error) -> Failure {
    let kube::Error::Api(status) = error else {
        return Failure::Failed(format!(
            "{what}: {}: check that kubectl reaches the API server, or choose another with --context",
            chain(error)
        ));
    };
    if status.code == 403 {
        return Failure::Failed(format!(
            "{what}: {}: ask whoever administers the cluster for this right",
            status.message
        ));
    }
    Failure::failed(what, &status.message)
}

/// An error with its causes: the outer one often says nothing.
fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
