//! The OpenAPI 3.1 document of the admin interface, made from the types of the handlers.
//!
//! An endpoint is a line of [`super::reads`] or [`super::changes`] and a handler. What the
//! handler takes and gives says the rest: fields, their comments, which are there always. So the
//! document cannot differ from what is served, and a test holds the committed copy to it.

use core::time::Duration;
use std::sync::LazyLock;

use aide::axum::ApiRouter;
use aide::generate::{self, GenContext};
use aide::openapi::{MediaType, OpenApi, Operation, Response as Described, StatusCode as Code};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
use aide::transform::TransformOpenApi;
use aide::{OperationInput, OperationOutput};
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Admin, Refusal};

/// How long a client may take to send a request's body.
pub(super) const BODY: Duration = Duration::from_secs(10);

/// The document as it is served.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = OpenApi::default();
    let router = described(super::everything);
    let _not_served = router.finish_api_with(&mut document, |document| {
        TransformOpenApi::title(document, "lnsd admin")
            .version("v1")
            .default_response_with::<Json<Problem>, _>(|answer| answer.description("What is wrong"))
            .description(
                "Reads are served over TCP and over the Unix socket; what is marked so, and every \
                 change, over the Unix socket only.",
            )
    });
    // A map of strings and schemas is always JSON.
    serde_json::to_string_pretty(&document)
        .map_or_else(|error| error.to_string(), |text| text + "\n")
});

/// The document in JSON.
pub(crate) fn text() -> &'static str {
    &DOCUMENT
}

/// Makes the routes with the settings that the document wants: answers are described as they are
/// written, and every type with a name has its place in it.
fn described(routes: impl FnOnce() -> ApiRouter<Admin>) -> ApiRouter<Admin> {
    generate::in_context(|context| {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let settings = settings.with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        context.schema = settings.into_generator();
    });
    routes()
}

/// What is asked in the query of a URL. What does not fit is refused in words.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(wrong) => Err(Refusal::bad(wrong.body_text())),
        }
    }
}

impl<T: JsonSchema> OperationInput for Asked<T> {
    /// One parameter per field. Queries are read and not written, so an `Option` may be left out.
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let mut reading = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        let schema = reading.subschema_for::<T>();
        let parameters = parameters_from_schema(context, schema, ParamLocation::Query);
        add_parameters(context, operation, parameters);
    }
}

/// What is ordered in the body of a request. What does not fit is refused in words.
#[derive(Debug)]
pub(super) struct Order<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Order<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match timeout(BODY, Json::from_request(request, state)).await {
            Ok(Ok(Json(order))) => Ok(Self(order)),
            Ok(Err(wrong)) => Err(Refusal::bad(wrong.body_text())),
            Err(_) => Err(Refusal::endless()),
        }
    }
}

impl<T: JsonSchema> OperationInput for Order<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(context, operation);
    }
}

/// What every answer that is an error says.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Error")]
pub(super) struct Problem {
    /// One line for a person.
    pub(super) error: String,
}

impl OperationOutput for Refusal {
    type Inner = Self;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<Code>, Described)> {
        let described = Json::<Problem>::operation_response(context, operation);
        described
            .map(|answer| Described {
                description: "What is wrong".to_owned(),
                ..answer
            })
            .map(|answer| (None, answer))
            .into_iter()
            .collect()
    }
}

/// What Prometheus reads.
#[derive(Debug)]
pub(super) struct OpenMetrics(pub(super) String);

impl OpenMetrics {
    const TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl IntoResponse for OpenMetrics {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Self::TYPE)], self.0).into_response()
    }
}

impl OperationOutput for OpenMetrics {
    type Inner = Self;

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Described)> {
        ok("OpenMetrics text", Self::TYPE)
    }
}

/// A manifest.
#[derive(Debug)]
pub(super) struct Yaml(pub(super) String);

impl Yaml {
    /// RFC 9512
    const TYPE: &'static str = "application/yaml";
}

impl IntoResponse for Yaml {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Self::TYPE)], self.0).into_response()
    }
}

impl OperationOutput for Yaml {
    type Inner = Self;

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Described)> {
        ok("A YAML stream", Self::TYPE)
    }
}

/// This document.
#[derive(Debug)]
pub(super) struct Document;

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], text()).into_response()
    }
}

impl OperationOutput for Document {
    type Inner = Self;

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Described)> {
        ok("OpenAPI 3.1", "application/json")
    }
}

/// An answer that no schema describes.
fn ok(description: &str, content_type: &str) -> Vec<(Option<Code>, Described)> {
    let answer = Described {
        description: description.to_owned(),
        content: [(content_type.to_owned(), MediaType::default())].into(),
        ..Described::default()
    };
    vec![(Some(Code::Code(200)), answer)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("openapi.json");

    #[test]
    fn the_committed_document_is_what_the_code_gives() {
        assert_eq!(
            COMMITTED,
            text(),
            "run: cargo run -p lnsd -- openapi > dataplane/src/admin/openapi.json"
        );
    }
}
