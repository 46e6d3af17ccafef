//! How a command ends when it does not end well: lines for a person, and an exit code for a program.

use core::fmt::Display;
use std::process::ExitCode;

/// Why a command failed. Each line says what is wrong and, where it is not obvious, what to do.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// It could not be done: exit code 1.
    Failed(String),
    /// What was given is wrong: exit code 2.
    BadInput(Vec<String>),
}

impl Failure {
    /// "`what`: `cause`", exit code 1.
    pub(crate) fn failed(what: impl Display, cause: impl Display) -> Self {
        Self::Failed(format!("{what}: {cause}"))
    }

    /// One line, exit code 2.
    pub(crate) fn bad_input(line: impl Into<String>) -> Self {
        Self::BadInput(vec![line.into()])
    }

    /// Prints the lines to stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Failed(line) => {
                eprintln!("lnsd: {line}");
                ExitCode::from(1)
            }
            Self::BadInput(lines) => {
                for line in lines {
                    eprintln!("{line}");
                }
                ExitCode::from(2)
            }
        }
    }
}
