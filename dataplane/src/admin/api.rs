//! Handlers of `/v1`: each asks the control task short questions and joins the answers.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lns_datapath::FlowsHandle;
use lns_l2sess::graph::Options;
use lns_l2sess::table::Counts;
use lns_l2sess::{Class, PortId};
use lns_node::view;
use lns_tables::path::{Counters, DirectionCounters, SlotIndex};
use lns_wire::id::{SessionId, TunnelId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::Asked;
use super::{Admin, Refusal, radius};
use crate::cli::{SessionName, VERSION};
use crate::member::View;
use crate::run::control::Control;
use crate::run::keeper;
use crate::run::situation::{ManifestState, Phase};

/// Rows of a page unless asked otherwise.
const PAGE: usize = 1_000;

/// Rows of a page at most.
pub(super) const LARGEST_PAGE: usize = 10_000;

/// Slots that one question to the control task looks at: some hundred microseconds.
const SLOTS_PER_QUESTION: u32 = 1_024;

/// Tunnels that one question to the control task looks at.
const TUNNELS_PER_QUESTION: usize = 256;

/// Resting addresses of a pool that one question to the control task looks at.
const ADDRESSES_PER_QUESTION: usize = 4_096;

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
    /// What the session table holds.
    flows: Flows,
    /// What was forwarded.
    traffic: Traffic,
    /// The servers that are asked and told; empty without `spec.radius`.
    radius: Vec<radius::Summary>,
    /// What the next start goes on with.
    records: keeper::Figures,
    /// The cluster, of a member of one.
    cluster: Option<Standing>,
}

/// How a member of a cluster stands.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClusterStanding")]
struct Standing {
    /// This node.
    node: String,
    /// What it does.
    side: &'static str,
    /// Who is master, as far as is known.
    master: Option<String>,
    /// The highest epoch that was heard of.
    epoch: u64,
    /// What is away or in danger, in its own words: API server, store, gate; and admission, while it is closed.
    troubles: Vec<String>,
}

/// Why a master that took over without the store lets nobody new in.
const UNSURE: &str =
    "closed until the store or all other members have told who has which ids and addresses";

impl From<View> for Standing {
    fn from(view: View) -> Self {
        let troubles = [
            ("API server", view.lease_trouble),
            ("store", view.store_trouble),
            ("gate", view.gate_trouble),
            ("admission", view.unsure.then(|| UNSURE.to_owned())),
        ];
        Self {
            node: view.node,
            side: view.side,
            master: view.master,
            epoch: view.epoch,
            troubles: troubles
                .into_iter()
                .filter_map(|(what, why)| Some(format!("{what}: {}", why?)))
                .collect(),
        }
    }
}

/// What the session table holds.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FlowCounts")]
struct Flows {
    /// Flows that there are.
    in_use: u32,
    /// How many fit.
    capacity: u32,
    /// How many one session may have.
    per_session: u32,
    /// Those that there are, by class: `transient`, `established`, `closing` (TCP), `udp` (the rest).
    by_class: BTreeMap<&'static str, u32>,
}

impl Flows {
    fn new(counts: &Counts, options: Options) -> Self {
        let by_class = Class::ALL.map(|class| (class.label(), counts.of(class)));
        Self {
            in_use: counts.in_use,
            capacity: counts.capacity,
            per_session: options.per_port,
            by_class: by_class.into(),
        }
    }
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
        let dropped = drops.copied().sum();
        (control.node.status(), dropped, control.keeper.figures())
    });
    let (node, dropped, records) = question.await.map_err(|_| Refusal::gone())?;
    Ok(Json(Status {
        version: VERSION,
        phase: admin.situation.phase(),
        uptime_seconds: admin.situation.uptime_seconds(),
        manifest: admin.situation.manifest(),
        node,
        flows: Flows::new(&admin.flows.counts(), admin.flows.classifier().options()),
        traffic: Traffic::new(&(admin.stats)(), dropped),
        radius: radius::look(&admin).await?.summaries(),
        records,
        cluster: admin.member.as_ref().map(|it| it.view().into()),
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
    /// Flows that it has.
    flows: u32,
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
    fn new(session: view::Session, counters: Counters, flows: u32) -> Self {
        Self {
            of: session,
            up: counters.up.into(),
            down: counters.down.into(),
            flows,
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
    let handle = admin.flows.clone();
    let question = admin.asker.ask(move |control, now| {
        let page = control.node.sessions(&filter, after, slots, now);
        let with_counters = page.sessions.into_iter().map(|session| {
            let counters = control.counters(
                session.slot,
                TunnelId(session.tunnel),
                SessionId(session.session),
            );
            let flows = flows_of(&handle, session.slot);
            Session::new(session, counters, flows)
        });
        (with_counters.collect(), page.next)
    });
    question.await.map_err(|_| Refusal::gone())
}

/// How many flows the session in a slot has.
fn flows_of(flows: &FlowsHandle, SlotIndex(slot): SlotIndex) -> u32 {
    flows.classifier().table().flows_at(PortId(slot))
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
    let handle = admin.flows.clone();
    let found = admin.asker.ask(move |control, now| {
        let session = control
            .node
            .session(TunnelId(name.tunnel), SessionId(name.session), now)?;
        let counters =
            control.counters(session.slot, TunnelId(name.tunnel), SessionId(name.session));
        let flows = flows_of(&handle, session.slot);
        Some(Session::new(session, counters, flows))
    });
    let found = found.await.map_err(|_| Refusal::gone())?;
    found.map(Json).ok_or_else(|| no_session(name))
}

/// No more slots than results are still wanted: then a page never has to be cut.
pub(super) fn slots(wanted: usize) -> u32 {
    u32::try_from(wanted).map_or(SLOTS_PER_QUESTION, |wanted| wanted.min(SLOTS_PER_QUESTION))
}

/// The rows of a page, as they are asked for.
pub(super) fn page(limit: Option<usize>) -> Result<usize, Refusal> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=LARGEST_PAGE => Ok(limit),
        limit => Err(Refusal::bad(format!(
            "limit must be between 1 and {LARGEST_PAGE}, not {limit}"
        ))),
    }
}

/// No session has that name.
pub(super) fn no_session(name: SessionName) -> Refusal {
    Refusal(
        StatusCode::NOT_FOUND,
        format!("there is no session {name}: `lnsd sessions` lists those that there are"),
    )
}

#[cfg(test)]
mod tests;
