//! `GET /v1/members`, `POST /v1/step-down`, `POST /v1/finalize-upgrade`: the cluster, as this member sees it, a planned
//! switchover, and the end of an upgrade.

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

/// What the end of an upgrade has come to.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FinalizedUpgrade {
    /// The form in which records are written from now on.
    form: u8,
    /// How many are written again in it; 0: they were before.
    records: u64,
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
    note("step-down", peer).await;
    let View { node, epoch, .. } = desk.view();
    desk.step_down()
        .await
        .map_err(|why| Refusal(StatusCode::CONFLICT, why))?;
    Ok(Json(SteppedDown { node, epoch }))
}

/// `POST /v1/finalize-upgrade`
pub(super) async fn finalize_upgrade(
    State(admin): State<Admin>,
    Extension(peer): Extension<Option<Peer>>,
) -> Result<Json<FinalizedUpgrade>, Refusal> {
    note("finalize-upgrade", peer).await;
    let done = match &admin.member {
        Some(desk) => desk.clone().finalize().await,
        None => admin
            .asker
            .ask(|control, _| control.keeper.finalize(&mut control.node))
            .await
            .map_err(|_| Refusal::gone())?
            .map_err(str::to_owned),
    };
    let done = done.map_err(|why| Refusal(StatusCode::CONFLICT, why))?;
    Ok(Json(FinalizedUpgrade {
        form: done.form.number(),
        records: u64::try_from(done.records).unwrap_or(u64::MAX),
    }))
}

/// Whoever asks for it is named in the log.
async fn note(what: &str, peer: Option<Peer>) {
    let who = Who::of(peer).await;
    let [by, process] = [&who.by, &who.process].map(|name| name.as_ref().map(display));
    info!(
        uid = who.uid,
        by,
        pid = who.pid,
        process,
        "{what} asked for over the admin socket"
    );
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
