//! What the operator answers over HTTP: whether it works, whether it has read everything once, and metrics.

use core::net::SocketAddr;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// What Prometheus takes it for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is answered from.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) metrics: Metrics,
    /// The caches have been filled once.
    pub(crate) is_ready: watch::Receiver<bool>,
    /// Whether the election's task does its rounds.
    pub(crate) is_alive: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Answers until the process ends.
///
/// # Errors
/// The address cannot be had.
pub(crate) async fn serve(address: SocketAddr, answers: Answers) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(answers);
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}

async fn health(State(answers): State<Answers>) -> (StatusCode, &'static str) {
    if (answers.is_alive)() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the election's task hangs\n",
        )
    }
}

async fn ready(State(answers): State<Answers>) -> (StatusCode, &'static str) {
    if *answers.is_ready.borrow() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not everything was read yet\n",
        )
    }
}

async fn metrics(State(answers): State<Answers>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], answers.metrics.text())
}
