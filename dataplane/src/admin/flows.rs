//! `/v1/flows`: the session table, a page at a time, and `/v1/flows/flush`.

mod filter;
pub(crate) mod flush;
mod look;
mod row;

use core::net::Ipv4Addr;
use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lns_datapath::FlowsHandle;
use lns_l2sess::policy::Policies;
use lns_l2sess::table::Flow as Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::look::{Cursor, Owner, Walk, cut, owners};
use self::row::Flow;
use super::api::{LARGEST_PAGE, page};
use super::document::Asked;
use super::{Admin, Refusal};
use crate::cli::FlowClass;

/// What `/v1/flows` can be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FlowQuery {
    /// Only of sessions that logged in with this name.
    user: Option<String>,
    /// Only of this session, `tunnel.session`.
    session: Option<String>,
    /// Only of sessions of this LAC entry.
    lac: Option<String>,
    /// Only of the session that has this address.
    address: Option<Ipv4Addr>,
    /// Only of sessions with this Calling Number.
    calling_number: Option<String>,
    /// Only with this other end: an address, or `address:port`.
    remote: Option<String>,
    /// Only of this protocol: `tcp`, `udp`, `icmp` (of both families), or its number.
    protocol: Option<String>,
    /// Only of this class.
    class: Option<FlowClass>,
    /// Rows at most; without it, 1000. There may be fewer though more follow.
    #[schemars(range(min = 1, max = LARGEST_PAGE))]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<u64>,
}

/// A page of flows. Flows that come and go between two pages may be missing or be there twice.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Flows")]
pub(crate) struct Page {
    /// Those that match.
    flows: Vec<Flow>,
    /// Pass it as `after` to get the next page; null: this was the last.
    next: Option<u64>,
    /// All flows that there are, whatever was asked for.
    in_use: u64,
    /// How many fit.
    capacity: u64,
}

/// `GET /v1/flows`
pub(super) async fn flows(
    State(admin): State<Admin>,
    Asked(query): Asked<FlowQuery>,
) -> Result<Json<Page>, Refusal> {
    let limit = page(query.limit)?;
    let cursor = query.after.map_or(Ok(Cursor::default()), Cursor::new)?;
    let asked = filter::Asked {
        user: query.user,
        session: query.session,
        lac: query.lac,
        address: query.address,
        calling_number: query.calling_number,
        remote: query.remote,
        protocol: query.protocol,
        class: query.class,
    };
    let (flows, next) = walk(&admin, asked.read()?, cursor, limit).await?;
    let counts = admin.flows.counts();
    Ok(Json(Page {
        flows,
        next: next.map(Cursor::number),
        in_use: counts.in_use.into(),
        capacity: counts.capacity.into(),
    }))
}

async fn walk(
    admin: &Admin,
    filter: filter::Filter,
    cursor: Cursor,
    limit: usize,
) -> Result<(Vec<Flow>, Option<Cursor>), Refusal> {
    let policies = admin.flows.policies();
    let mut walk = Walk::new(admin, filter, cursor.place);
    let (mut found, mut skip) = (Vec::new(), cursor.skip);
    loop {
        let wanted = limit.saturating_sub(found.len());
        let Some(mut batch) = walk.next(skip, wanted).await? else {
            return Ok((found, None));
        };
        let (taken, flow) = cut(&mut batch, skip, wanted);
        skip = 0;
        found.extend(named(admin, taken, batch.owner, &policies).await?);
        if let ControlFlow::Break(next) = flow {
            return Ok((found, Some(next)));
        }
        if found.len() >= limit || walk.is_tired() {
            let next = batch.next.map(|place| Cursor { place, skip: 0 });
            return Ok((found, next));
        }
    }
}

/// The records as they are shown, but for those that nobody has any more.
async fn named(
    admin: &Admin,
    records: Vec<Record>,
    owner: Option<Owner>,
    policies: &Arc<Policies>,
) -> Result<Vec<Flow>, Refusal> {
    let ports: BTreeSet<u32> = records.iter().map(|record| record.key.port().0).collect();
    let owners = match owner {
        Some(owner) => ports
            .into_iter()
            .map(|port| (port, owner.clone()))
            .collect(),
        None => owners(admin, ports).await?,
    };
    let now = FlowsHandle::now();
    let shown = records.iter().filter_map(|record| {
        let owner = owners.get(&record.key.port().0)?;
        let is_its = owner.may_have(now.since(record.opened));
        is_its.then(|| Flow::new(record, owner, policies, now))
    });
    Ok(shown.collect())
}

#[cfg(test)]
mod tests {
    use lns_l2sess::Direction;
    use lns_l2sess::key::Detail;
    use serde_json::json;

    use super::super::{contract, document};
    use super::flush::Flushed;
    use super::row::tests::{owner, record};
    use super::*;

    #[test]
    fn flows_of_every_kind_fit_the_document() {
        let ports = Detail::Ports {
            source: 40_000,
            destination: 443,
        };
        let echo = Detail::Query {
            question: 8,
            identifier: 7,
            answer: false,
        };
        let kinds = [(6, ports), (17, ports), (1, echo), (50, Detail::None)];
        let flow = |(protocol, detail)| {
            let record = record(Direction::Input, protocol, detail);
            Flow::new(&record, &owner(), &Policies::none(), record.opened)
        };
        let answer = Page {
            flows: kinds.into_iter().map(flow).collect(),
            next: Some(1 << 40),
            in_use: 4,
            capacity: 4_096,
        };
        let document = serde_json::from_str(document::text()).unwrap();
        let fits = |method, path, answer| contract::check(&document, (method, path), 200, &answer);
        assert_eq!(fits("GET", "/v1/flows?limit=4", json!(answer)), Ok(()));
        let done = json!(Flushed::default());
        assert_eq!(fits("POST", "/v1/flows/flush", done), Ok(()));
    }
}
