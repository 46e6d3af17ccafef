//! Handlers of `/v1`: each asks the control task short questions and joins the answers.

use core::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use lns_node::view;
use lns_tables::path::{Counters, DirectionCounters, SlotIndex};
use lns_wire::id::{SessionId, TunnelId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::field::display;
use tracing::info;

use super::audit::Who;
use super::document::{Asked, Order};
use super::server::Peer;
use super::{Admin, Refusal};
use crate::cli::{SessionName, VERSION};
use crate::run::control::Control;
use crate::run::situation::{ManifestState, Phase};

/// Rows of a page unless asked otherwise.
const PAGE: usize = 1_000;

/// Rows of a page at most.
const LARGEST_PAGE: usize = 10_000;

/// Slots that one question to the control task looks at: some hundred microseconds.
const SLOTS_PER_QUESTION: u32 = 1_024;

/// Tunnels that one question to the control task looks at.
const TUNNELS_PER_QUESTION: usize = 256;

/// Resting addresses of a pool that one question to the control task looks at.
const ADDRESSES_PER_QUESTION: usize = 4_096;

/// Sessions that one request ends at most.
const LARGEST_DISCONNECT: usize = 1_000;

/// The process and its node at a glance.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// Version and commit.
    version: &'static str,
    /// How far the process is.
    phase: Phase,
    /// Seconds since the start.
    uptime_seconds: u64,
    /// The manifest in force.
    manifest: ManifestState,
    #[serde(flatten)]
    node: view::Status,
    /// What was forwarded.
    traffic: Traffic,
}

/// What the workers have moved and dropped since the start.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Traffic {
    /// IP packets from subscribers.
    up_packets: u64,
    /// Their octets.
    up_octets: u64,
    /// IP packets to subscribers.
    down_packets: u64,
    /// Their octets.
    down_octets: u64,
    /// Packets dropped, whatever the reason: the sum of `lns_drops_total`.
    dropped: u64,
}

impl Traffic {
    /// `by_control` is what the control has dropped, beside the workers.
    fn new(stats: &lns_datapath::Stats, by_control: u64) -> Self {
        Self {
            up_packets: stats.up_packets,
            up_octets: stats.up_octets,
            down_packets: stats.down_packets,
            down_octets: stats.down_octets,
            dropped: stats
                .reasons()
                .map(|(_, packets)| packets)
                .fold(by_control, u64::wrapping_add),
        }
    }
}

/// `GET /v1/status`
pub(super) async fn status(State(admin): State<Admin>) -> Result<Json<Status>, Refusal> {
    let question = admin.asker.ask(|control, _| {
        let drops = control.node.stats().drops.values();
        (control.node.status(), drops.copied().sum())
    });
    let (node, dropped) = question.await.map_err(|_| Refusal::gone())?;
    Ok(Json(Status {
        version: VERSION,
        phase: admin.situation.phase(),
        uptime_seconds: admin.situation.uptime_seconds(),
        manifest: admin.situation.manifest(),
        node,
        traffic: Traffic::new(&(admin.stats)(), dropped),
    }))
}

/// LACs of the manifest, and others.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Lacs {
    /// In the order of the manifest.
    lacs: Vec<view::Lac>,
    /// Who was turned away, the newest of each.
    refused: Vec<view::RefusedLac>,
}

/// `GET /v1/lacs`
pub(super) async fn lacs(State(admin): State<Admin>) -> Result<Json<Lacs>, Refusal> {
    let answer = admin.asker.ask(|control, now| Lacs {
        lacs: control.node.lacs(),
        refused: control.node.refused_lacs(now),
    });
    answer.await.map(Json).map_err(|_| Refusal::gone())
}

/// Address pools.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Pools {
    /// In the order of the manifest.
    pools: Vec<view::Pool>,
}

/// `GET /v1/pools`
pub(super) async fn pools(State(admin): State<Admin>) -> Result<Json<Pools>, Refusal> {
    settle_pools(&admin).await?;
    let answer = admin.asker.ask(|control, _| Pools {
        pools: control.node.pools(),
    });
    answer.await.map(Json).map_err(|_| Refusal::gone())
}

/// The last log lines, as they were written to stderr.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logs {
    /// Oldest first.
    lines: Vec<String>,
    /// How many lines there were before them.
    left_out: u64,
}

/// `GET /v1/logs`
pub(super) async fn logs(State(admin): State<Admin>) -> Json<Logs> {
    let (lines, left_out) = admin.logs.lines();
    Json(Logs { lines, left_out })
}

/// Lets the node look at all addresses that may have rested, in many short questions.
pub(super) async fn settle_pools(admin: &Admin) -> Result<(), Refusal> {
    let question =
        |control: &mut Control, now| control.node.settle_pools(now, ADDRESSES_PER_QUESTION);
    while !admin
        .asker
        .ask(question)
        .await
        .map_err(|_| Refusal::gone())?
    {}
    Ok(())
}

/// What `/v1/tunnels` can be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TunnelQuery {
    /// Only tunnels of this LAC entry.
    lac: Option<String>,
    /// Rows at most; without it, 1000.
    #[schemars(range(min = 1, max = LARGEST_PAGE))]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<u16>,
}

/// A page of tunnels.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Tunnels {
    /// Those that match, by our id.
    tunnels: Vec<view::Tunnel>,
    /// Pass it as `after` to get the next page; null: this was the last.
    next: Option<u16>,
}

/// `GET /v1/tunnels`
pub(super) async fn tunnels(
    State(admin): State<Admin>,
    Asked(query): Asked<TunnelQuery>,
) -> Result<Json<Tunnels>, Refusal> {
    let limit = page(query.limit)?;
    let mut found = Vec::new();
    let mut after = query.after.map(TunnelId);
    loop {
        let wanted = (limit - found.len()).min(TUNNELS_PER_QUESTION);
        let (tunnels, next) = admin
            .asker
            .ask(move |control, now| control.node.tunnels(after, wanted, now))
            .await
            .map_err(|_| Refusal::gone())?;
        found.extend(
            tunnels
                .into_iter()
                .filter(|tunnel| query.lac.as_ref().is_none_or(|lac| *lac == tunnel.lac)),
        );
        after = next;
        if after.is_none() || found.len() >= limit {
            return Ok(Json(Tunnels {
                tunnels: found,
                next: after.map(|TunnelId(id)| id),
            }));
        }
    }
}

/// What `/v1/sessions` can be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionQuery {
    /// The name that it logged in with.
    user: Option<String>,
    /// The LAC entry.
    lac: Option<String>,
    /// The address.
    address: Option<Ipv4Addr>,
    /// The Calling Number.
    calling_number: Option<String>,
    /// Our tunnel id.
    tunnel: Option<u16>,
    /// The pool.
    pool: Option<String>,
    /// Rows at most; without it, 1000.
    #[schemars(range(min = 1, max = LARGEST_PAGE))]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<u32>,
}

impl From<SessionQuery> for view::SessionFilter {
    fn from(query: SessionQuery) -> Self {
        Self {
            user: query.user.map(|user| user.into_bytes().into()),
            lac: query.lac,
            address: query.address,
            calling_number: query.calling_number,
            tunnel: query.tunnel,
            pool: query.pool,
        }
    }
}

/// One session with what has passed through it.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    #[serde(flatten)]
    of: view::Session,
    /// From the subscriber.
    up: Direction,
    /// To the subscriber.
    down: Direction,
}

/// One direction of a session.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Direction {
    /// IP packets.
    packets: u64,
    /// Their octets.
    octets: u64,
    /// Packets dropped.
    dropped: u64,
    /// IPv4 packets among them.
    ipv4_packets: u64,
    /// Octets of the IPv4 packets.
    ipv4_octets: u64,
    /// IPv6 packets among them.
    ipv6_packets: u64,
    /// Octets of the IPv6 packets.
    ipv6_octets: u64,
}

impl From<DirectionCounters> for Direction {
    fn from(counters: DirectionCounters) -> Self {
        Self {
            packets: counters.ipv4_packets.wrapping_add(counters.ipv6_packets),
            octets: counters.ipv4_octets.wrapping_add(counters.ipv6_octets),
            dropped: counters.dropped,
            ipv4_packets: counters.ipv4_packets,
            ipv4_octets: counters.ipv4_octets,
            ipv6_packets: counters.ipv6_packets,
            ipv6_octets: counters.ipv6_octets,
        }
    }
}

impl Session {
    fn new(session: view::Session, counters: Counters) -> Self {
        Self {
            of: session,
            up: counters.up.into(),
            down: counters.down.into(),
        }
    }
}

/// A page of sessions.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Sessions {
    /// Those that match.
    sessions: Vec<Session>,
    /// Pass it as `after` to get the next page; null: this was the last.
    next: Option<u32>,
}

/// `GET /v1/sessions`
pub(super) async fn sessions(
    State(admin): State<Admin>,
    Asked(query): Asked<SessionQuery>,
) -> Result<Json<Sessions>, Refusal> {
    let limit = page(query.limit)?;
    let mut after = query.after.map(SlotIndex);
    let filter = Arc::new(view::SessionFilter::from(query));
    let mut found = Vec::new();
    loop {
        let slots = slots(limit - found.len());
        let (sessions, next) = look(&admin, Arc::clone(&filter), after, slots).await?;
        found.extend(sessions);
        after = next;
        if after.is_none() || found.len() >= limit {
            return Ok(Json(Sessions {
                sessions: found,
                next: after.map(|SlotIndex(slot)| slot),
            }));
        }
    }
}

/// The sessions that match among the next `slots` slots, and where to go on.
async fn look(
    admin: &Admin,
    filter: Arc<view::SessionFilter>,
    after: Option<SlotIndex>,
    slots: u32,
) -> Result<(Vec<Session>, Option<SlotIndex>), Refusal> {
    let question = admin.asker.ask(move |control, now| {
        let page = control.node.sessions(&filter, after, slots, now);
        let with_counters = page.sessions.into_iter().map(|session| {
            let counters = control.counters(
                session.slot,
                TunnelId(session.tunnel),
                SessionId(session.session),
            );
            Session::new(session, counters)
        });
        (with_counters.collect(), page.next)
    });
    question.await.map_err(|_| Refusal::gone())
}

/// Which session.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SessionPath {
    /// TUNNEL.SESSION, our ids.
    pub(super) id: String,
}

/// `GET /v1/sessions/{id}`
pub(super) async fn session(
    State(admin): State<Admin>,
    path: Result<Path<SessionPath>, PathRejection>,
) -> Result<Json<Session>, Refusal> {
    let Path(SessionPath { id }) = path.map_err(|wrong| Refusal::bad(wrong.body_text()))?;
    let name: SessionName = id.parse().map_err(Refusal::bad)?;
    let found = admin.asker.ask(move |control, now| {
        let session = control
            .node
            .session(TunnelId(name.tunnel), SessionId(name.session), now)?;
        let counters =
            control.counters(session.slot, TunnelId(name.tunnel), SessionId(name.session));
        Some(Session::new(session, counters))
    });
    let found = found.await.map_err(|_| Refusal::gone())?;
    found.map(Json).ok_or_else(|| no_session(name))
}

/// Whom to disconnect, by exactly one of user, session, tunnel, pool; and how many at once.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DisconnectOrder {
    /// Every session that logged in with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// This session, `tunnel.session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// This tunnel, by our id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tunnel: Option<u16>,
    /// Every session of this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pool: Option<String>,
    /// At most so many sessions now; without it, 1000.
    #[schemars(range(min = 1, max = LARGEST_DISCONNECT))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// The `next` of the answer before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u32>,
}

/// What was done.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Disconnected {
    /// Sessions ended (for a tunnel: all that it had).
    pub(crate) disconnected: u64,
    /// Pass it as `after` to go on; null: that was all.
    pub(crate) next: Option<u32>,
}

/// `POST /v1/disconnect`
pub(super) async fn disconnect(
    State(admin): State<Admin>,
    Extension(peer): Extension<Option<Peer>>,
    Order(order): Order<DisconnectOrder>,
) -> Result<Json<Disconnected>, Refusal> {
    let target = Target::from(&order);
    let who = Who::of(peer).await;
    // What has begun is finished and told, though its client may leave meanwhile.
    let done = tokio::spawn(async move {
        let done = carry_out(&admin, order).await?;
        target.log(&who, &done);
        Ok(Json(done))
    });
    done.await.map_err(|_| Refusal::gone())?
}

/// Whom an order named, kept for the log.
#[derive(Debug)]
struct Target {
    user: Option<String>,
    session: Option<String>,
    tunnel: Option<u16>,
    pool: Option<String>,
}

impl From<&DisconnectOrder> for Target {
    fn from(order: &DisconnectOrder) -> Self {
        let escaped =
            |name: &Option<String>| name.as_deref().map(|name| name.escape_debug().to_string());
        Self {
            user: escaped(&order.user),
            session: escaped(&order.session),
            tunnel: order.tunnel,
            pool: escaped(&order.pool),
        }
    }
}

impl Target {
    /// Writes who asked for what. Of the many orders of a slow disconnect, those that ended nothing
    /// have no line; a tunnel is closed even when it had no session.
    fn log(&self, who: &Who, done: &Disconnected) {
        if done.disconnected == 0 && self.tunnel.is_none() {
            return;
        }
        let [user, session, pool, by, process] =
            [&self.user, &self.session, &self.pool, &who.by, &who.process]
                .map(|name| name.as_ref().map(display));
        info!(
            uid = who.uid,
            by,
            pid = who.pid,
            process,
            user,
            session,
            tunnel = self.tunnel,
            pool,
            disconnected = done.disconnected,
            "disconnect asked for over the admin socket"
        );
    }
}

async fn carry_out(admin: &Admin, order: DisconnectOrder) -> Result<Disconnected, Refusal> {
    match order {
        DisconnectOrder {
            user: None,
            session: Some(id),
            tunnel: None,
            pool: None,
            ..
        } => disconnect_session(admin, id.parse().map_err(Refusal::bad)?).await,
        DisconnectOrder {
            user: None,
            session: None,
            tunnel: Some(id),
            pool: None,
            ..
        } => disconnect_tunnel(admin, TunnelId(id)).await,
        DisconnectOrder {
            user,
            session: None,
            tunnel: None,
            pool,
            limit,
            after,
        } if user.is_some() != pool.is_some() => {
            let filter = view::SessionFilter {
                user: user.map(|user| user.into_bytes().into()),
                pool,
                ..Default::default()
            };
            let limit = limit
                .unwrap_or(LARGEST_DISCONNECT)
                .clamp(1, LARGEST_DISCONNECT);
            disconnect_matching(admin, Arc::new(filter), limit, after.map(SlotIndex)).await
        }
        _ => Err(Refusal::bad(
            "give exactly one of user, session, tunnel, pool",
        )),
    }
}

async fn disconnect_session(admin: &Admin, name: SessionName) -> Result<Disconnected, Refusal> {
    let ended = admin.asker.ask(move |control, now| {
        control
            .node
            .handle_disconnect(TunnelId(name.tunnel), SessionId(name.session), now)
    });
    if ended.await.map_err(|_| Refusal::gone())? {
        Ok(Disconnected {
            disconnected: 1,
            next: None,
        })
    } else {
        Err(no_session(name))
    }
}

async fn disconnect_tunnel(admin: &Admin, tunnel: TunnelId) -> Result<Disconnected, Refusal> {
    let ended = admin.asker.ask(move |control, now| {
        let sessions = tunnel_sessions(&control.node, tunnel, now);
        control
            .node
            .handle_disconnect_tunnel(tunnel, now)
            .then_some(sessions)
    });
    match ended.await.map_err(|_| Refusal::gone())? {
        Some(sessions) => Ok(Disconnected {
            disconnected: sessions,
            next: None,
        }),
        None => Err(Refusal(
            StatusCode::NOT_FOUND,
            format!("there is no tunnel {tunnel}"),
        )),
    }
}

/// How many calls a tunnel has. Pages are ordered by id and begin behind the one given.
fn tunnel_sessions(node: &lns_node::Node, tunnel: TunnelId, now: lns_tables::time::Instant) -> u64 {
    let before = tunnel.0.checked_sub(1).map(TunnelId);
    let (found, _) = node.tunnels(before, 1, now);
    found
        .iter()
        .find(|found| found.id == tunnel.0)
        .map_or(0, |found| found.sessions.into())
}

/// Ends matching sessions until `limit` are ended or there are no more.
async fn disconnect_matching(
    admin: &Admin,
    filter: Arc<view::SessionFilter>,
    limit: usize,
    mut after: Option<SlotIndex>,
) -> Result<Disconnected, Refusal> {
    let mut ended = 0;
    loop {
        let filter = Arc::clone(&filter);
        let slots = slots(limit - ended);
        let question = admin.asker.ask(move |control, now| {
            let page = control.node.sessions(&filter, after, slots, now);
            let end = |session: &&view::Session| {
                control.node.handle_disconnect(
                    TunnelId(session.tunnel),
                    SessionId(session.session),
                    now,
                )
            };
            (page.sessions.iter().filter(end).count(), page.next)
        });
        let (count, next) = question.await.map_err(|_| Refusal::gone())?;
        ended += count;
        after = next;
        if after.is_none() || ended >= limit {
            let disconnected = u64::try_from(ended).unwrap_or(u64::MAX);
            return Ok(Disconnected {
                disconnected,
                next: after.map(|SlotIndex(slot)| slot),
            });
        }
    }
}

/// No more slots than results are still wanted: then a page never has to be cut.
fn slots(wanted: usize) -> u32 {
    u32::try_from(wanted).map_or(SLOTS_PER_QUESTION, |wanted| wanted.min(SLOTS_PER_QUESTION))
}

fn page(limit: Option<usize>) -> Result<usize, Refusal> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=LARGEST_PAGE => Ok(limit),
        limit => Err(Refusal::bad(format!(
            "limit must be between 1 and {LARGEST_PAGE}, not {limit}"
        ))),
    }
}

fn no_session(name: SessionName) -> Refusal {
    Refusal(
        StatusCode::NOT_FOUND,
        format!("there is no session {name}: `lnsd sessions` lists those that there are"),
    )
}

#[cfg(test)]
mod tests;
