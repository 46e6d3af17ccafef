//! The admin interface: HTTP over a Unix socket, which does everything, and over TCP, which serves
//! reads only.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200: the control task answers within a second |
//! | `/readyz` | 200: LACs and subscribers are served, no drain is going on |
//! | `/metrics` | `OpenMetrics` text |
//! | `/v1/status`, `/v1/lacs`, `/v1/pools` | one object |
//! | `/v1/tunnels`, `/v1/sessions` | a page, and `next` to go on with |
//! | `/v1/sessions/{id}` | one session |
//! | `/v1/openapi.json` | the same for programs |
//! | `POST /v1/disconnect` | Unix socket only: ends sessions, a page at a time |

pub(crate) mod api;
mod metrics;
pub(crate) mod server;

use core::time::Duration;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::run::control::Asker;
use crate::run::situation::{Phase, Situation};

/// Requests that are worked on at once: each may hold a page of sessions.
const REQUESTS: usize = 16;

/// Octets of a request's body; what is asked is short.
const BODY: usize = 16 * 1024;

/// The longest a request may take. A list of a million sessions takes many short ones.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon a healthy control task answers.
const HEALTHY: Duration = Duration::from_secs(1);

/// What programs are told of all this; a test compares it with the answers.
const OPENAPI: &str = include_str!("openapi.json");

/// Gives the workers' counters.
pub(crate) type StatsSource = Arc<dyn Fn() -> lns_datapath::Stats + Send + Sync>;

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Admin {
    /// The control task.
    pub(crate) asker: Asker,
    /// The process.
    pub(crate) situation: Arc<Situation>,
    /// The workers.
    pub(crate) stats: StatsSource,
}

/// An answer that is an error: status and one line.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl Refusal {
    /// The control task has ended: the process is about to.
    pub(crate) fn gone() -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, "lnsd is ending".to_owned())
    }

    /// The request makes no sense.
    pub(crate) fn bad(line: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, line.into())
    }
}

/// What is served over TCP: reads.
pub(crate) fn reads(admin: Admin) -> Router {
    guarded(routes().with_state(admin))
}

/// What is served over the Unix socket: everything.
pub(crate) fn everything(admin: Admin) -> Router {
    guarded(
        routes()
            .route("/v1/disconnect", post(api::disconnect))
            .with_state(admin),
    )
}

fn routes() -> Router<Admin> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(api::status))
        .route("/v1/lacs", get(api::lacs))
        .route("/v1/tunnels", get(api::tunnels))
        .route("/v1/sessions", get(api::sessions))
        .route("/v1/sessions/{id}", get(api::session))
        .route("/v1/pools", get(api::pools))
        .route("/v1/openapi.json", get(openapi))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing here".to_owned()) })
        .method_not_allowed_fallback(|| async {
            Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this can only be read here".to_owned(),
            )
        })
}

fn guarded(router: Router) -> Router {
    let slots = Arc::new(Semaphore::new(REQUESTS));
    router
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(slots, guard))
}

/// Bounds how many requests are worked on, and for how long.
async fn guard(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let answer = async {
        let Ok(_slot) = slots.acquire().await else {
            return Refusal::gone().into_response();
        };
        next.run(request).await
    };
    let late = || {
        Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much to do: try again".to_owned(),
        )
        .into_response()
    };
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| late())
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn healthz(State(admin): State<Admin>) -> Result<&'static str, Refusal> {
    match timeout(HEALTHY, admin.asker.ask(|_, _| ())).await {
        Ok(Ok(())) => Ok("ok\n"),
        Ok(Err(_)) => Err(Refusal::gone()),
        Err(_) => Err(Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the control task is stuck".to_owned(),
        )),
    }
}

async fn readyz(State(admin): State<Admin>) -> Result<&'static str, Refusal> {
    let not_ready = |why: &str| Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
    match admin.situation.phase() {
        Phase::Serving => Ok("ok\n"),
        Phase::Starting => not_ready("starting"),
        Phase::Draining => not_ready("draining"),
    }
}

async fn metrics(State(admin): State<Admin>) -> Result<Response, Refusal> {
    let snapshot = admin
        .asker
        .ask(|control, _| metrics::Snapshot::take(control))
        .await
        .map_err(|_| Refusal::gone())?;
    let text = metrics::encode(
        &snapshot,
        &(admin.stats)(),
        admin.situation.uptime_seconds(),
        &admin.situation.manifest(),
    )
    .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response())
}
