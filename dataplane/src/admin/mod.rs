//! The admin interface: HTTP over a Unix socket, which does everything, and over TCP, which serves
//! reads only.
//!
//! What there is to ask is listed once, in [`reads`] and [`changes`]; `openapi.json` is the same for
//! programs, made from the types of the handlers.

pub(crate) mod api;
mod audit;
pub(crate) mod check;
mod connections;
#[cfg(test)]
mod contract;
pub(crate) mod disconnect;
pub(crate) mod document;
mod explain;
pub(crate) mod flows;
mod members;
mod metrics;
pub(crate) mod policies;
pub(crate) mod radius;
pub(crate) mod relay;
pub(crate) mod server;

use core::time::Duration;
use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::body::{HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use lns_datapath::FlowsHandle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::connections::Connection;
use self::document::{Document, OpenMetrics, Problem, Yaml};
use crate::log::Ring;
use crate::member::Desk;
use crate::radius::dynamic::Figures;
use crate::radius::service;
use crate::run::control::Asker;
use crate::run::reload::Comparer;
use crate::run::situation::{Phase, Situation};

/// Requests that are worked on at once: each may hold a page of sessions.
const REQUESTS: usize = 16;

/// Octets of a request's body; what is asked is short.
const BODY: usize = 16 * 1024;

/// The longest a request may take. A list of a million sessions takes many short ones.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon a healthy control task answers.
const HEALTHY: Duration = Duration::from_secs(1);

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
    /// Flows and policies.
    pub(crate) flows: FlowsHandle,
    /// What a manifest would change.
    pub(crate) comparer: Comparer,
    /// The thread of RADIUS.
    pub(crate) radius: service::Asker,
    /// Requests to change or end sessions.
    pub(crate) dynamic: Figures,
    /// The last log lines.
    pub(crate) logs: Arc<Ring>,
    /// Of a member of a cluster.
    pub(crate) member: Option<Desk>,
}

/// An answer that is an error: status and one line.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(Problem { error: self.1 })).into_response()
    }
}

impl Refusal {
    /// The control task has ended: the process is about to.
    pub(crate) fn gone() -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, "lnsd is ending".to_owned())
    }

    /// The client did not send all of its request.
    pub(crate) fn endless() -> Self {
        Self(
            StatusCode::REQUEST_TIMEOUT,
            "the request came to no end".to_owned(),
        )
    }

    /// The request makes no sense.
    pub(crate) fn bad(line: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, line.into())
    }
}

/// What is served over TCP: reads.
pub(crate) fn over_tcp(admin: Admin) -> Router {
    guarded(reads(), admin)
}

/// What is served over the Unix socket: everything.
pub(crate) fn over_unix(admin: Admin) -> Router {
    guarded(everything(), admin)
}

/// All there is.
fn everything() -> ApiRouter<Admin> {
    reads().merge(confidential()).merge(changes())
}

/// What can be read. A line here and its handler are all that an endpoint needs.
fn reads() -> ApiRouter<Admin> {
    classified()
        .api_route(
            "/healthz",
            get_with(healthz, |of| {
                of.summary("Whether the process works: the control task answers within a second")
            }),
        )
        .api_route(
            "/readyz",
            get_with(readyz, |of| {
                of.summary("Whether LACs and subscribers are served, and no drain is going on")
            }),
        )
        .api_route("/metrics", get_with(metrics, |of| of.summary("Counters")))
        .api_route(
            "/v1/status",
            get_with(api::status, |of| of.summary("The LNS at a glance")),
        )
        .api_route(
            "/v1/lacs",
            get_with(api::lacs, |of| {
                of.summary("The LACs of the manifest, and those that were turned away")
            }),
        )
        .api_route(
            "/v1/tunnels",
            get_with(api::tunnels, |of| of.summary("A page of tunnels")),
        )
        .api_route(
            "/v1/sessions",
            get_with(api::sessions, |of| {
                of.summary("A page of sessions; all filters that are given must match")
            }),
        )
        .api_route(
            "/v1/sessions/{id}",
            get_with(api::session, |of| of.summary("One session")),
        )
        .api_route(
            "/v1/sessions/{id}/messages",
            get_with(explain::messages, |of| {
                of.summary("The last messages and steps of one session")
            }),
        )
        .api_route(
            "/v1/failures",
            get_with(explain::failures, |of| {
                of.summary("Why logins failed, LACs were refused, and calls and tunnels ended")
            }),
        )
        .api_route(
            "/v1/pools",
            get_with(api::pools, |of| of.summary("Address pools")),
        )
        .api_route(
            "/v1/radius",
            get_with(radius::radius, |of| {
                of.summary("RADIUS servers, their connections, and what waits for them")
            }),
        )
        .api_route(
            "/v1/members",
            get_with(members::members, |of| {
                of.summary("The cluster, as this member sees it")
            }),
        )
        .api_route(
            "/v1/openapi.json",
            get_with(openapi, |of| of.summary("This document")),
        )
}

/// What of the classifier can be read.
fn classified() -> ApiRouter<Admin> {
    ApiRouter::new()
        .api_route(
            "/v1/flows",
            get_with(flows::flows, |of| {
                of.summary("A page of flows; all filters that are given must match")
            }),
        )
        .api_route(
            "/v1/policies",
            get_with(policies::list, |of| of.summary("Policies")),
        )
        .api_route(
            "/v1/policies/{name}",
            get_with(policies::one, |of| {
                of.summary("One policy with its rules and how often each has decided")
            }),
        )
}

/// What is for the Unix socket only, though it changes nothing: it tells more than figures.
fn confidential() -> ApiRouter<Admin> {
    ApiRouter::new()
        .api_route(
            "/v1/manifest",
            get_with(manifest, |of| {
                of.summary(
                    "The manifest in force, with defaults and without secrets (Unix socket only)",
                )
            }),
        )
        .api_route(
            "/v1/logs",
            get_with(api::logs, |of| {
                of.summary("The last log lines (Unix socket only)")
            }),
        )
        .api_route(
            "/v1/trace",
            get_with(explain::trace, |of| {
                of.summary("What goes on, live, until the client leaves (Unix socket only)")
            }),
        )
}

/// What is for the Unix socket only: whatever changes something, and what is
/// asked with secrets in the question.
fn changes() -> ApiRouter<Admin> {
    ApiRouter::new()
        .api_route(
            "/v1/disconnect",
            post_with(disconnect::disconnect, |of| {
                of.summary("Ends sessions, a page at a time (Unix socket only)")
            }),
        )
        .api_route(
            "/v1/flows/flush",
            post_with(flows::flush::flush, |of| {
                of.summary("Clears flows (Unix socket only)")
            }),
        )
        .api_route(
            "/v1/step-down",
            post_with(members::step_down, |of| {
                of.summary("Has another member become master (Unix socket only)")
            }),
        )
        .api_route(
            "/v1/finalize-upgrade",
            post_with(members::finalize_upgrade, |of| {
                of.summary("Writes records as only this release and later ones read them (Unix socket only)")
            }),
        )
        .api_route("/v1/check", check::route())
}

fn guarded(routes: ApiRouter<Admin>, admin: Admin) -> Router {
    let slots = Arc::new(Semaphore::new(REQUESTS));
    Router::from(routes)
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing here".to_owned()) })
        .method_not_allowed_fallback(|| async {
            Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this can only be read here".to_owned(),
            )
        })
        .layer(middleware::from_fn_with_state(admin.clone(), relay::relay))
        .with_state(admin)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(slots, guard))
}

/// Bounds how many requests are worked on, and for how long; and what is not read of their answers.
async fn guard(
    State(slots): State<Arc<Semaphore>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
    next: Next,
) -> Response {
    let request = match complete(request).await {
        Ok(request) => request,
        Err(refusal) => return refusal.into_response(),
    };
    let answer = async {
        let Ok(_slot) = slots.acquire().await else {
            return Refusal::gone().into_response();
        };
        connection.of().room().await;
        next.run(request).await
    };
    let late = || {
        Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much to do: try again".to_owned(),
        )
        .into_response()
    };
    connection.working();
    let answer = timeout(PATIENCE, answer).await.unwrap_or_else(|_| late());
    let octets = answer.body().size_hint().exact();
    connection.answered(octets.and_then(|octets| usize::try_from(octets).ok()));
    answer
}

/// Reads the body of a request before it takes a place among those that are worked on. A large one is
/// left to the endpoint that takes such, and bounds them itself.
async fn complete(request: Request) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    let large = usize::try_from(body.size_hint().lower()).map_or(true, |octets| octets > BODY);
    if large || body.is_end_stream() {
        return Ok(Request::from_parts(head, body));
    }
    match timeout(document::BODY, to_bytes(body, BODY)).await {
        Ok(Ok(octets)) => Ok(Request::from_parts(head, octets.into())),
        Ok(Err(_)) => Err(Refusal::bad(format!(
            "the request broke off, or has more than {BODY} octets"
        ))),
        Err(_) => Err(Refusal::endless()),
    }
}

async fn openapi() -> Document {
    Document
}

async fn healthz(State(admin): State<Admin>) -> Result<&'static str, Refusal> {
    match timeout(HEALTHY, admin.asker.ask(|_, _| ())).await {
        Ok(Ok(())) if admin.member.as_ref().is_some_and(Desk::is_stuck) => Err(Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the election is stuck".to_owned(),
        )),
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
        Phase::Serving if let Some(desk) = admin.member.as_ref().filter(|it| !it.is_ready()) => {
            let trouble = desk.view().records_trouble;
            not_ready(
                trouble.as_deref().unwrap_or(
                    "the records of the cluster are not here, or older than they may be",
                ),
            )
        }
        Phase::Serving => Ok("ok\n"),
        Phase::Starting => not_ready("starting"),
        Phase::Draining => not_ready("draining"),
    }
}

async fn manifest(State(admin): State<Admin>) -> Yaml {
    Yaml(String::from(&*admin.situation.shown()))
}

async fn metrics(State(admin): State<Admin>) -> Result<OpenMetrics, Refusal> {
    api::settle_pools(&admin).await?;
    let snapshot = admin
        .asker
        .ask(|control, _| metrics::Snapshot::take(control))
        .await
        .map_err(|_| Refusal::gone())?;
    let radius = metrics::Measured {
        seen: radius::look(&admin).await?,
        rtts: admin.radius.rtts(),
        signals: snapshot.radius_signals(),
    };
    let text = metrics::encode(
        &snapshot,
        &(admin.stats)(),
        &metrics::Flows::of(&admin.flows),
        &radius,
        &admin.dynamic.rows(),
        &metrics::Process {
            uptime_seconds: admin.situation.uptime_seconds(),
            manifest: &admin.situation.manifest(),
            member: admin.member.as_ref().map(Desk::view).as_ref(),
        },
    )
    .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(OpenMetrics(text))
}
