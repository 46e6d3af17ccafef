//! `POST /v1/disconnect`: ends sessions, a page at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use lns_node::view;
use lns_tables::path::SlotIndex;
use lns_wire::id::{SessionId, TunnelId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::field::display;
use tracing::info;

use super::api::{no_session, slots};
use super::audit::Who;
use super::document::Order;
use super::server::Peer;
use super::{Admin, Refusal};
use crate::cli::SessionName;

/// Sessions that one request ends at most.
const LARGEST_DISCONNECT: usize = 1_000;

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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::run::journal;

    /// What collectors read.
    #[derive(Clone, Debug, Default)]
    struct Collected(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Collected {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Who asks in these tests.
    fn who() -> Who {
        Who {
            uid: Some(1000),
            by: Some("alice".to_owned()),
            pid: Some(77),
            process: Some("lnsd".to_owned()),
        }
    }

    #[test]
    fn a_collector_reads_who_disconnected_whom_from_fields_of_their_own() {
        let order = DisconnectOrder {
            session: Some("4711.12".to_owned()),
            ..DisconnectOrder::default()
        };
        let done = Disconnected {
            disconnected: 1,
            next: None,
        };
        let lines = journal::tests::logged(|| Target::from(&order).log(&who(), &done));
        let line: Value = serde_json::from_str(lines.first().unwrap()).unwrap();
        for (field, value) in [
            ("uid", json!(1000)),
            ("by", json!("alice")),
            ("pid", json!(77)),
            ("process", json!("lnsd")),
            ("session", json!("4711.12")),
            ("disconnected", json!(1)),
        ] {
            assert_eq!(line[field], value, "{field} in {line}");
        }
        assert_eq!(line.get("user"), None, "{line}");
    }

    /// What the log says of an order that ended so many sessions.
    fn logged(order: &DisconnectOrder, disconnected: u64) -> String {
        let collected = Collected::default();
        let writer = collected.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        let who = who();
        let done = Disconnected {
            disconnected,
            next: None,
        };
        tracing::subscriber::with_default(subscriber, || Target::from(order).log(&who, &done));
        String::from_utf8(collected.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_log_says_in_plain_fields_who_disconnected_whom() {
        let pool = DisconnectOrder {
            pool: Some("default".to_owned()),
            limit: Some(5),
            after: Some(7),
            ..DisconnectOrder::default()
        };
        assert_eq!(
            logged(&pool, 3).trim(),
            "INFO disconnect asked for over the admin socket uid=1000 by=alice pid=77 process=lnsd pool=default disconnected=3"
        );
        assert_eq!(logged(&pool, 0), "", "nothing was ended");
        let user = DisconnectOrder {
            user: Some("a\nb".to_owned()),
            ..DisconnectOrder::default()
        };
        assert!(logged(&user, 1).contains(r" user=a\nb disconnected=1"));
    }

    #[test]
    fn a_closed_tunnel_is_logged_even_when_it_had_no_session() {
        let order = DisconnectOrder {
            tunnel: Some(9),
            ..DisconnectOrder::default()
        };
        assert!(logged(&order, 0).contains(" tunnel=9 disconnected=0"));
    }
}
