//! What can go wrong while reconciling, and what kind of thing that is.

use thiserror::Error;

use crate::cluster::status::Problem;
use crate::reason;

/// Something that could not be done now.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The API server refused it, or is away.
    #[error("the API server: {0}")]
    Api(#[source] kube::Error),
    /// An object could not be written down.
    #[error("an object cannot be written: {0}")]
    Unwritable(#[source] serde_json::Error),
}

impl Error {
    /// What somebody has to put right, where it will not go by itself: the API server does not take what is made.
    pub(crate) fn to_be_put_right(&self) -> Option<Problem> {
        let Self::Api(kube::Error::Api(status)) = self else {
            return None;
        };
        [400, 403, 422].contains(&status.code).then(|| Problem {
            reason: reason::REFUSED,
            message: format!(
                "the API server does not take what is made of it: {}",
                status.message
            ),
        })
    }

    /// A short fixed word for metrics.
    pub(crate) const fn category(&self) -> &'static str {
        match self {
            Self::Api(kube::Error::Api(status)) if status.code == 409 => "conflict",
            Self::Api(kube::Error::Api(status)) if status.code == 403 => "forbidden",
            Self::Api(kube::Error::Api(_)) => "refused",
            Self::Api(_) => "unreachable",
            Self::Unwritable(_) => "unwritable",
        }
    }
}
