//! What is wrong with a manifest, by what is to blame.

use core::fmt;

use super::yaml::Fault;
use crate::schema::Violation;

/// One thing wrong with a manifest. Prints as one line, without a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// A file that cannot be read, or a manifest without a cluster.
    File {
        /// The file or folder.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is not YAML.
    Syntax {
        /// The file.
        file: String,
        /// Where and what.
        fault: Fault,
    },
    /// A document that breaks a rule.
    Document {
        /// Kind and name, as `LnsCluster/edge`.
        document: String,
        /// Where in the document and what.
        violation: Violation,
    },
}

impl ManifestError {
    /// A short fixed word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Syntax { .. } => "syntax",
            Self::Document { .. } => "document",
        }
    }

    pub(super) fn file(file: &str, reason: &str) -> Self {
        Self::File {
            file: file.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// An error in the entry of one user. Of a password, `message` says no more than its shape.
    pub(super) fn user(secret: &str, name: &str, message: &str) -> Self {
        let violation = Violation::new("users.yaml", format!("{name}: {message}"));
        Self::Document {
            document: format!("Secret/{secret}"),
            violation,
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, reason } => write!(f, "{file}: {reason}"),
            Self::Syntax { file, fault } => write!(f, "{file}:{fault}"),
            Self::Document {
                document,
                violation,
            } if violation.path.is_empty() => {
                write!(f, "{document}: {}", violation.message)
            }
            Self::Document {
                document,
                violation,
            } => {
                write!(f, "{document}: {}: {}", violation.path, violation.message)
            }
        }
    }
}

impl core::error::Error for ManifestError {}
