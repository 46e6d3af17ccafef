//! `POST /v1/flows/flush`: clears flows. Their next packets are judged by policy.

use core::net::Ipv4Addr;

use axum::extract::State;
use axum::{Extension, Json};
use lns_datapath::FlowsHandle;
use lns_l2sess::Classifier;
use lns_l2sess::table::Flow as Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::field::display;
use tracing::info;

use super::super::audit::Who;
use super::super::document::Order;
use super::super::server::Peer;
use super::super::{Admin, Refusal};
use super::filter::{self, Filter};
use super::look::{Cursor, Walk, look};
use crate::cli::{FlowClass, FlowFilter};

/// Which flows to clear: all that is given must match; or all there are.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FlushOrder {
    /// Those of sessions that logged in with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Those of this session, `tunnel.session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// Those of sessions of this LAC entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    lac: Option<String>,
    /// Those of the session that has this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Ipv4Addr>,
    /// Those of sessions with this Calling Number.
    #[serde(skip_serializing_if = "Option::is_none")]
    calling_number: Option<String>,
    /// Those with this other end: an address, or `address:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    /// Those of this protocol: `tcp`, `udp`, `icmp` (of both families), or its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    /// Those of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<FlowClass>,
    /// Every flow of every subscriber; without anything else.
    #[serde(default)]
    all: bool,
    /// The `next` of the answer before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
}

impl FlushOrder {
    /// For the flows of a filter that was typed.
    pub(crate) fn new(filter: &FlowFilter, all: bool) -> Self {
        Self {
            user: filter.user.clone(),
            session: filter.session.map(|session| session.to_string()),
            lac: filter.lac.clone(),
            address: filter.address,
            calling_number: filter.calling_number.clone(),
            remote: filter.remote.map(|remote| remote.to_string()),
            protocol: filter.protocol.map(|protocol| protocol.to_string()),
            class: filter.class,
            all,
            after: None,
        }
    }

    fn asked(&self) -> filter::Asked {
        filter::Asked {
            user: self.user.clone(),
            session: self.session.clone(),
            lac: self.lac.clone(),
            address: self.address,
            calling_number: self.calling_number.clone(),
            remote: self.remote.clone(),
            protocol: self.protocol.clone(),
            class: self.class,
        }
    }

    /// What is to be cleared; `None`: everything.
    fn filter(&self) -> Result<Option<Filter>, Refusal> {
        let filter = self.asked().read()?;
        let is_everything = filter.of.is_none() && filter.which.is_everything();
        match (is_everything, self.all) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(filter)),
            (true, false) | (false, true) => Err(Refusal::bad(
                "give what to clear (user, session, lac, address, callingNumber, remote, protocol, class), or all and nothing else",
            )),
        }
    }

    /// Writes who cleared what. A long order comes in parts: those that cleared nothing have no line, but
    /// for the first.
    fn log(&self, who: &Who, done: &Flushed) {
        if done.flushed == 0 && self.after.is_some() {
            return;
        }
        let escaped =
            |name: &Option<String>| name.as_deref().map(|name| name.escape_debug().to_string());
        let fields = [
            &self.user,
            &self.session,
            &self.lac,
            &self.calling_number,
            &self.remote,
            &self.protocol,
        ];
        let [user, session, lac, calling_number, remote, protocol] = fields.map(escaped);
        let shown = |name: &Option<String>| name.as_ref().map(|name| display(name.clone()));
        info!(
            uid = who.uid,
            by = shown(&who.by),
            pid = who.pid,
            process = shown(&who.process),
            user = shown(&user),
            session = shown(&session),
            lac = shown(&lac),
            address = self.address.map(display),
            calling_number = shown(&calling_number),
            remote = shown(&remote),
            protocol = shown(&protocol),
            class = self.class.map(|class| display(class.label())),
            all = self.all.then_some(true),
            flushed = done.flushed,
            "flush of flows asked for over the admin socket"
        );
    }
}

/// What was done.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
pub(crate) struct Flushed {
    /// Flows cleared.
    pub(crate) flushed: u64,
    /// Pass it as `after` to go on; null: that was all.
    pub(crate) next: Option<u64>,
}

/// `POST /v1/flows/flush`
pub(in super::super) async fn flush(
    State(admin): State<Admin>,
    Extension(peer): Extension<Option<Peer>>,
    Order(order): Order<FlushOrder>,
) -> Result<Json<Flushed>, Refusal> {
    let filter = order.filter()?;
    let cursor = order.after.map_or(Ok(Cursor::default()), Cursor::new)?;
    let who = Who::of(peer).await;
    // What has begun is finished and told, though its client may leave meanwhile.
    let done = tokio::spawn(async move {
        let done = match filter {
            None => all(&admin).await?,
            Some(filter) => matching(&admin, filter, cursor.place).await?,
        };
        order.log(&who, &done);
        Ok(Json(done))
    });
    done.await.map_err(|_| Refusal::gone())?
}

async fn all(admin: &Admin) -> Result<Flushed, Refusal> {
    let flushed = look(&admin.flows, FlowsHandle::flush_all).await?;
    Ok(Flushed {
        flushed: number(flushed),
        next: None,
    })
}

async fn matching(admin: &Admin, filter: Filter, place: u32) -> Result<Flushed, Refusal> {
    let is_whole = filter.which.is_everything();
    let mut walk = Walk::new(admin, filter, place);
    let mut flushed = 0;
    while let Some(batch) = walk.next(0, usize::MAX).await? {
        let (records, slot) = (batch.records, batch.slot.filter(|_| is_whole));
        let cleared = look(&admin.flows, move |flows| match slot {
            // Whatever has come since is its, too.
            Some(slot) => flows.flush(slot),
            None => records
                .iter()
                .filter(|record| wipe(flows.classifier(), record))
                .count(),
        });
        flushed += number(cleared.await?);
        if walk.is_tired() {
            return Ok(Flushed {
                flushed,
                next: batch.next.map(|place| Cursor { place, skip: 0 }.number()),
            });
        }
    }
    Ok(Flushed {
        flushed,
        next: None,
    })
}

fn wipe(classifier: &Classifier, record: &Record) -> bool {
    let hit = classifier.table().find(&record.key);
    hit.is_some_and(|hit| classifier.wipe(&hit))
}

fn number(flows: usize) -> u64 {
    u64::try_from(flows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::run::journal::tests::logged;

    fn order(value: Value) -> FlushOrder {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nothing_is_cleared_by_an_order_that_names_nothing() {
        assert!(order(json!({})).filter().is_err());
        assert!(
            order(json!({ "all": true, "user": "alice" }))
                .filter()
                .is_err()
        );
        assert!(
            order(json!({ "all": true, "class": "udp" }))
                .filter()
                .is_err()
        );
        assert!(order(json!({ "all": true })).filter().unwrap().is_none());
        assert!(order(json!({ "class": "udp" })).filter().unwrap().is_some());
    }

    #[test]
    fn a_collector_reads_who_cleared_what_from_fields_of_their_own() {
        let who = Who {
            uid: Some(1000),
            by: Some("alice".to_owned()),
            pid: Some(77),
            process: Some("lnsd".to_owned()),
        };
        let order =
            order(json!({ "user": "a\nb", "remote": "203.0.113.7:443", "class": "closing" }));
        let done = |flushed| Flushed {
            flushed,
            next: None,
        };
        let lines = logged(|| order.log(&who, &done(3)));
        let line: Value = serde_json::from_str(lines.first().unwrap()).unwrap();
        for (field, value) in [
            ("uid", json!(1000)),
            ("by", json!("alice")),
            ("user", json!(r"a\nb")),
            ("remote", json!("203.0.113.7:443")),
            ("class", json!("closing")),
            ("flushed", json!(3)),
        ] {
            assert_eq!(line[field], value, "{field} in {line}");
        }
        assert_eq!(line.get("session"), None, "{line}");
        let part = FlushOrder {
            after: Some(5),
            ..order
        };
        assert!(logged(|| part.log(&who, &done(0))).is_empty());
    }
}
