//! `GET /v1/members`, `POST /v1/step-down`: the cluster, as this member sees it, and a planned switchover.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::field::display;
use tracing::info;

use super::audit::Who;
use super::server::Peer;
use super::{Admin, Refusal};
use crate::member::{Desk, View};

/// What a planned switchover has come to.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SteppedDown {
    /// The node that was master.
    node: String,
    /// The epoch that is over.
    epoch: u64,
}

/// `GET /v1/members`
pub(super) async fn members(State(admin): State<Admin>) -> Result<Json<View>, Refusal> {
    Ok(Json(desk(&admin)?.view()))
}

/// `POST /v1/step-down`
pub(super) async fn step_down(
    State(admin): State<Admin>,
    Extension(peer): Extension<Option<Peer>>,
) -> Result<Json<SteppedDown>, Refusal> {
    let desk = desk(&admin)?.clone();
    let who = Who::of(peer).await;
    let [by, process] = [&who.by, &who.process].map(|name| name.as_ref().map(display));
    info!(
        uid = who.uid,
        by,
        pid = who.pid,
        process,
        "step-down asked for over the admin socket"
    );
    let View { node, epoch, .. } = desk.view();
    desk.step_down()
        .await
        .map_err(|why| Refusal(StatusCode::CONFLICT, why))?;
    Ok(Json(SteppedDown { node, epoch }))
}

fn desk(admin: &Admin) -> Result<&Desk, Refusal> {
    let alone = || {
        Refusal(
            StatusCode::NOT_FOUND,
            "this node serves alone: it is no member of a cluster".to_owned(),
        )
    };
    admin.member.as_ref().ok_or_else(alone)
}
