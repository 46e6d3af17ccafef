//! `POST /v1/check`: what a manifest would change in the running process. It changes nothing; it is
//! served over the Unix socket only, since the question has secrets in it. The answer has none.

use std::sync::Arc;

use aide::axum::routing::{ApiMethodRouter, post_with};
use axum::Json;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use lns_api::{Manifest, ManifestError, parse_manifest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::document::Order;
use super::{Admin, Refusal};
use crate::run::comparison::Comparison;

/// Octets of a manifest in a request: a million users at 100 octets each, and as much again for JSON's
/// escapes. There is never more than one, see [`one_at_a_time`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "a constant that fits every machine"
)]
const BODY: usize = lns_api::limits::FILE_OCTETS as usize;

/// A manifest to compare with the one in force.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Candidate {
    /// Its files, in the order of their names.
    pub(crate) files: Vec<File>,
}

/// One file of a manifest.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What errors call it.
    pub(crate) name: String,
    /// A YAML stream.
    pub(crate) text: String,
}

/// The route with its own bounds.
pub(super) fn route() -> ApiMethodRouter<Admin> {
    post_with(check, |of| {
        of.summary("What a manifest would change; changes nothing (Unix socket only)")
    })
    .layer(DefaultBodyLimit::max(BODY))
    .layer(middleware::from_fn_with_state(
        Arc::new(Semaphore::new(1)),
        one_at_a_time,
    ))
}

/// Lets the body of one request in at a time: each may be large. Others are told so, and hold up
/// nobody.
async fn one_at_a_time(
    State(slot): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_slot) = slot.try_acquire() else {
        return Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "another manifest is being compared: try again".to_owned(),
        )
        .into_response();
    };
    next.run(request).await
}

/// `POST /v1/check`
async fn check(
    State(admin): State<Admin>,
    Order(candidate): Order<Candidate>,
) -> Result<Json<Comparison>, Refusal> {
    // A million users take a second to read.
    let parsed = tokio::task::spawn_blocking(move || parse(&candidate)).await;
    let manifest = match parsed {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(problems)) => return Err(Refusal::bad(told(&problems))),
        Err(failed) => {
            return Err(Refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the manifest could not be read: {failed}"),
            ));
        }
    };
    let compared = admin.comparer.compare(manifest).await;
    compared.map(Json).map_err(|_| Refusal::gone())
}

fn parse(candidate: &Candidate) -> Result<Manifest, Vec<ManifestError>> {
    let files = candidate.files.iter();
    parse_manifest(files.map(|file| (file.name.as_str(), file.text.as_str())))
}

fn told(problems: &[ManifestError]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{contract, document};
    use super::*;
    use crate::run::comparison;

    #[test]
    fn a_comparison_fits_the_document() {
        let document = serde_json::from_str(document::text()).unwrap();
        let answer = json!(comparison::tests::comparison());
        let fits = contract::check(&document, ("POST", "/v1/check"), 200, &answer);
        assert_eq!(fits, Ok(()));
    }

    #[test]
    fn a_candidate_that_is_wrong_is_told_by_file_and_without_what_it_says() {
        let candidate = Candidate {
            files: vec![File {
                name: "cluster.yaml".to_owned(),
                text: "hunter2: [".to_owned(),
            }],
        };
        let said = told(&parse(&candidate).unwrap_err());
        assert!(said.starts_with("cluster.yaml:"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
