//! What all members of all clusters have in common: the image that they run, and how Kubernetes is to treat their
//! pods. It is a file, which the chart makes of its values; the operator reads it once, at its start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements, Toleration};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How long a member has to leave: the Lease is handed over, routers are sent away, and what is still on its way
/// is forwarded until they have gone.
const GRACE_SECONDS: i64 = 60;

/// The file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    /// The image with lnsd.
    pub(crate) image: String,
    /// `Always`, `IfNotPresent` or `Never`; absent: as Kubernetes has it for this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_pull_policy: Option<PullPolicy>,
    /// Secrets by which the image is pulled.
    #[serde(default)]
    pub(crate) image_pull_secrets: Vec<LocalObjectReference>,
    /// Which pods give way to these, and to which these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) priority_class_name: Option<String>,
    /// What the process may do on its node.
    #[serde(default)]
    pub(crate) security: Security,
    /// Which taints of nodes do not keep members away. Absent: none does, for a node that is not well may still
    /// forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tolerations: Option<Vec<Toleration>>,
    /// Requests and limits of the pod's container.
    #[serde(default)]
    pub(crate) resources: ResourceRequirements,
    /// Seconds that a member has to leave.
    #[serde(default = "grace_seconds")]
    pub(crate) termination_grace_period_seconds: i64,
    /// Labels of pods, beside the operator's own.
    #[serde(default)]
    pub(crate) pod_labels: BTreeMap<String, String>,
    /// Annotations of pods, beside the operator's own.
    #[serde(default)]
    pub(crate) pod_annotations: BTreeMap<String, String>,
    /// How lines of members' logs look.
    #[serde(default)]
    pub(crate) log_format: LogFormat,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What a member's process may do on its node.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Security {
    /// Everything.
    #[default]
    Privileged,
    /// What it needs, by name.
    Capabilities,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    #[default]
    Json,
}

impl LogFormat {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Why the file is of no use.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    /// It cannot be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// Its name.
        file: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// It says something that means nothing here.
    #[error("{file}: {error}")]
    Malformed {
        /// Its name.
        file: String,
        /// The reader's words.
        error: String,
    },
    /// It says something that cannot be.
    #[error("{file}: {field}: {problem}")]
    Wrong {
        /// Its name.
        file: String,
        /// Where.
        field: &'static str,
        /// What.
        problem: String,
    },
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(file: &Path) -> Result<Self, SettingsError> {
        let name = file.display().to_string();
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => Err(SettingsError::Unreadable { file: name, error }),
        }
    }

    fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            serde_saphyr::from_str(text).map_err(|error| SettingsError::Malformed {
                file: file.to_owned(),
                error: error.to_string(),
            })?;
        let wrong = |field, problem: String| SettingsError::Wrong {
            file: file.to_owned(),
            field,
            problem,
        };
        if settings.image.trim().is_empty() {
            return Err(wrong(
                "image",
                "is empty: name the image with lnsd".to_owned(),
            ));
        }
        if settings.termination_grace_period_seconds < 1 {
            let seconds = settings.termination_grace_period_seconds;
            return Err(wrong(
                "terminationGracePeriodSeconds",
                format!("{seconds} leaves no time to hand the mastership over; 1 is the least"),
            ));
        }
        Ok(settings)
    }
}

const fn grace_seconds() -> i64 {
    GRACE_SECONDS
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The least that a file says.
    pub(crate) fn least() -> Settings {
        Settings::parse("dataplane.yaml", "image: registry.example/lns:1\n").unwrap()
    }

    #[test]
    fn a_file_needs_an_image_and_nothing_else() {
        let settings = least();
        assert_eq!(settings.security, Security::Privileged);
        assert_eq!(settings.termination_grace_period_seconds, GRACE_SECONDS);
        assert_eq!(settings.tolerations, None);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        let wrong = [
            ("{}", "image"),
            ("image: ''", "image"),
            ("image: a\nimgae: b", "imgae"),
            ("image: a\nsecurity: Root", "Root"),
            (
                "image: a\nterminationGracePeriodSeconds: 0",
                "terminationGracePeriodSeconds",
            ),
        ];
        for (text, named) in wrong {
            let error = Settings::parse("dataplane.yaml", text)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("dataplane.yaml: "), "{error}");
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
