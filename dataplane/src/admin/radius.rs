//! `/v1/radius`: servers, their connections, and what waits for them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use lns_radius::config::Key;
use lns_radius::dynamic::Command;
use lns_radius::view::{ConnectionView, Counts, RttView, ServerView};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Admin, Refusal};
use crate::radius::dynamic::Row;
use crate::radius::journal;
use crate::radius::office::Office;
use crate::radius::pool::Seen;

/// What RADIUS does.
#[derive(Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Radius {
    /// What the manifest names servers for; empty without `spec.radius`.
    pub(super) purposes: Vec<Purpose>,
    /// The servers of all purposes, of each in the order of preference.
    pub(super) servers: Vec<Server>,
    /// Records that wait for accounting servers; null without accounting.
    pub(super) queue: Option<Queue>,
    /// Certificates that we show to servers.
    pub(super) certificates: Vec<Certificate>,
    /// Orders that found no room on their way to the thread of RADIUS, since the start.
    pub(super) refused: RefusedOrders,
    /// Requests to change or end sessions (RFC 5176), counted since the start.
    pub(super) dynamic: Vec<DynamicRequests>,
}

/// Requests of one client, type and result.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusDynamicRequests")]
pub(super) struct DynamicRequests {
    /// The client's name in the manifest; `none`: a stranger.
    client: String,
    /// `coa` or `disconnect`; `unknown`: it was not believed.
    r#type: &'static str,
    /// `ack`, or why not.
    result: &'static str,
    /// How many.
    count: u64,
}

impl DynamicRequests {
    fn new((row, count): (Row, u64)) -> Self {
        let (client, command, result) = row;
        Self {
            client: client.map_or_else(|| "none".to_owned(), |client| client.to_string()),
            r#type: command.map_or("unknown", Command::label),
            result,
            count,
        }
    }
}

/// The servers of one purpose.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusPurpose")]
#[allow(
    clippy::struct_field_names,
    reason = "the fields are the keys of the answer"
)]
pub(super) struct Purpose {
    /// `authentication`, `accounting`, or `copy` (of accounting).
    pub(super) purpose: &'static str,
    /// Whether each of its servers is down or a zombie.
    all_down: bool,
    /// Requests that wait for an answer.
    pub(super) in_flight: u32,
    /// As many may.
    max_in_flight: u32,
    /// Sockets.
    connections: u16,
    /// As many may be.
    max_connections: u16,
    /// Requests that ended without an answer, by reason.
    failures: BTreeMap<&'static str, u64>,
    /// How those ended that were sent to no server, by result.
    pub(super) unsent: BTreeMap<&'static str, u64>,
}

/// One server.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusServer")]
pub(super) struct Server {
    /// Its name in the manifest.
    pub(super) name: String,
    /// What it is for: `authentication`, `accounting`, or `copy`.
    pub(super) purpose: &'static str,
    /// Its address and port.
    address: String,
    /// `UDP` or `TLS`.
    transport: &'static str,
    /// `idle` (not needed yet), `opening`, `trial` (must show that it answers), `up`, `zombie` (does not
    /// answer), `down`.
    pub(super) state: &'static str,
    /// Why its last connection failed.
    reason: Option<&'static str>,
    /// The same in words.
    error: Option<String>,
    /// What its connections are together: `IDLE`, `PENDING`, `ACTIVE`, `FULL`, `FAILED`.
    aggregate: &'static str,
    /// Requests on its connections.
    pub(super) in_flight: u32,
    /// Requests that wait for a connection.
    backlog: u32,
    /// Seconds since its last answer.
    last_reply_seconds: Option<f64>,
    /// How long its answers took.
    rtt: Rtt,
    /// The secret that its last answer was signed with: `current` or `previous`.
    verified_with: Option<&'static str>,
    /// Whether an answer to an Access-Request must have a Message-Authenticator now.
    requires_message_authenticator: bool,
    /// What it is asked when it does not answer.
    check: Option<&'static str>,
    #[serde(flatten)]
    counts: ServerCounts,
    /// How requests ended whose last server it was, by result.
    pub(super) results: BTreeMap<&'static str, u64>,
    /// Packets from it, or as if from it, that were dropped, by reason.
    pub(super) dropped: BTreeMap<&'static str, u64>,
    /// Its connections.
    pub(super) connections: Vec<Connection>,
}

/// What was counted of a server.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusCounts")]
struct ServerCounts {
    /// Packets of requests, repeated ones included.
    sent: u64,
    /// Those that were repeated.
    retransmissions: u64,
    /// Answers that a request waited for.
    replies: u64,
    /// Requests that ended here without an answer.
    timeouts: u64,
    /// Requests that went on to another server or connection.
    moved: u64,
    /// Status checks that were sent.
    checks: u64,
    /// Those that were answered.
    checks_answered: u64,
    /// Sockets that were opened.
    opened: u64,
    /// Sockets that failed.
    failed: u64,
    /// Sockets that took too long to open.
    timed_out: u64,
    /// Packets that a socket did not take at once.
    send_errors: u64,
}

/// How long answers took, seconds.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusRtt")]
struct Rtt {
    /// Answers.
    count: u64,
    /// Half of them took no longer.
    median_seconds: Option<f64>,
    /// Nine of ten.
    p90_seconds: Option<f64>,
    /// 99 of 100.
    p99_seconds: Option<f64>,
    /// All.
    max_seconds: Option<f64>,
}

/// One connection.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusConnection")]
pub(super) struct Connection {
    /// Its name; never used for two.
    id: String,
    /// Our port; 0 while it is being opened.
    local_port: u16,
    /// `opening`, `active`, `full`, `zombie`, `draining` or `closed`.
    pub(super) state: &'static str,
    /// The same as the trunk has it.
    trunk_state: &'static str,
    /// The state of its socket.
    socket: &'static str,
    /// Whether it is being asked whether its server lives.
    checking: bool,
    /// Whether it takes one request at a time until one is answered.
    on_trial: bool,
    /// Requests on it.
    in_flight: u16,
    /// Identifiers that are free.
    free_ids: u16,
    /// Seconds since its last answer.
    last_reply_seconds: Option<f64>,
    /// Packets sent on it.
    sent: u64,
    /// Answers on it.
    replies: u64,
}

/// A certificate that we show.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusCertificate")]
pub(super) struct Certificate {
    /// The server that it is shown to.
    pub(super) server: String,
    /// `authentication`, `accounting` or `copy`.
    pub(super) purpose: &'static str,
    /// How long it is still valid; negative: since when it is not.
    pub(super) seconds_left: i64,
}

/// Records that no accounting server has acknowledged.
#[derive(Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccountingQueue")]
pub(super) struct Queue {
    /// How many.
    pub(super) records: u64,
    /// Octets that they take on disk.
    pub(super) octets: u64,
    /// How long ago the first of them happened.
    pub(super) oldest_seconds: Option<u64>,
    /// Those that were sent and wait for an answer.
    under_way: u64,
    /// Those that are not on disk yet.
    unwritten: u64,
    /// Interim records that were given up for want of room, since the start.
    pub(super) dropped_interims: u64,
    /// Records that no server will ever take, since the start.
    pub(super) undeliverable: u64,
    /// Of the records, those that another version of `lnsd` has written and that wait for it.
    pub(super) foreign: u64,
    /// Whether the disk fails.
    pub(super) disk_fails: bool,
}

impl From<lns_spool::Figures> for Queue {
    fn from(figures: lns_spool::Figures) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            records: figures.records,
            octets: figures.octets,
            oldest_seconds: figures.oldest.map(|oldest| oldest.as_secs()),
            under_way: count(figures.under_way),
            unwritten: count(figures.unwritten),
            dropped_interims: figures.dropped_interims,
            undeliverable: figures.undeliverable,
            foreign: figures.foreign,
            disk_fails: figures.is_failing,
        }
    }
}

/// What found no room.
#[derive(Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusedOrders {
    /// Requests, which failed at once.
    pub(super) requests: u64,
    /// Repetitions of a subscriber, who repeats once more.
    pub(super) repeats: u64,
    /// Interim records; the next of the session says all that they would have.
    pub(super) interims: u64,
}

/// `GET /v1/radius`
pub(super) async fn radius(State(admin): State<Admin>) -> Result<Json<Radius>, Refusal> {
    look(&admin).await.map(Json)
}

/// All that there is to see.
pub(super) async fn look(admin: &Admin) -> Result<Radius, Refusal> {
    // Without `spec.radius` there is no such thread, and nothing to see.
    let mut seen = admin.radius.ask(Radius::of).await.unwrap_or_default();
    let refused = admin.asker.ask(|control, _| control.radius.refused());
    let refused = refused.await.map_err(|_| Refusal::gone())?;
    seen.refused = RefusedOrders {
        requests: refused.requests,
        repeats: refused.repeats,
        interims: refused.interims,
    };
    let counted = admin.dynamic.rows().into_iter();
    seen.dynamic = counted.map(DynamicRequests::new).collect();
    Ok(seen)
}

impl Radius {
    /// Taken in the thread of RADIUS.
    fn of(office: &mut Office) -> Self {
        let now = SystemTime::now();
        let views = office.seen();
        let certificates = views.iter().flat_map(|seen| {
            let purpose = journal::label(seen.view.purpose);
            let shown = seen.certificates.iter();
            shown.map(move |(server, identity)| Certificate {
                server: server.to_string(),
                purpose,
                seconds_left: identity.seconds_left(now),
            })
        });
        Self {
            certificates: certificates.collect(),
            purposes: purposes(&views),
            servers: views.iter().flat_map(servers).collect(),
            queue: office.queue().map(Queue::from),
            refused: RefusedOrders::default(),
            dynamic: Vec::new(),
        }
    }
}

/// The servers of one purpose at a glance.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RadiusSummary")]
pub(super) struct Summary {
    /// `authentication`, `accounting`, or `copy` (of accounting).
    purpose: &'static str,
    /// Servers that there are.
    servers: usize,
    /// Those that cannot be reached, or do not answer.
    failed: Vec<String>,
    /// Whether that is all of them.
    all_down: bool,
}

impl Radius {
    /// What a glance is to show.
    pub(super) fn summaries(&self) -> Vec<Summary> {
        let each = self.purposes.iter();
        each.map(|purpose| {
            let servers = self.servers.iter();
            let servers = servers.filter(|server| server.purpose == purpose.purpose);
            let failed = servers.clone().filter(|server| server.has_failed());
            Summary {
                purpose: purpose.purpose,
                servers: servers.count(),
                failed: failed.map(|server| server.name.clone()).collect(),
                all_down: purpose.all_down,
            }
        })
        .collect()
    }
}

/// The purposes; servers that get copies have a client each, and are one purpose.
fn purposes(views: &[Seen]) -> Vec<Purpose> {
    let mut purposes: Vec<Purpose> = Vec::new();
    for purpose in views.iter().map(Purpose::new) {
        match purposes.last_mut() {
            Some(last) if last.purpose == purpose.purpose => last.add(purpose),
            _ => purposes.push(purpose),
        }
    }
    purposes
}

/// The servers of one purpose.
fn servers(seen: &Seen) -> impl Iterator<Item = Server> {
    let servers = seen.view.servers.iter();
    servers.map(|server| Server::new(seen, server))
}

impl Purpose {
    fn new(seen: &Seen) -> Self {
        let view = &seen.view;
        let servers = &view.servers;
        let failed = |server: &ServerView| has_failed(server.state.label());
        Self {
            purpose: journal::label(view.purpose),
            all_down: !servers.is_empty() && servers.iter().all(failed),
            in_flight: view.in_flight,
            max_in_flight: view.max_in_flight,
            connections: view.connections,
            max_connections: view.max_connections,
            failures: view.failures.iter().copied().collect(),
            unsent: seen.figures.unsent(),
        }
    }

    /// With another client of the same purpose.
    fn add(&mut self, other: Self) {
        self.all_down &= other.all_down;
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.max_in_flight = self.max_in_flight.saturating_add(other.max_in_flight);
        self.connections = self.connections.saturating_add(other.connections);
        self.max_connections = self.max_connections.saturating_add(other.max_connections);
        for (reason, times) in other.failures {
            *self.failures.entry(reason).or_default() += times;
        }
        for (result, times) in other.unsent {
            *self.unsent.entry(result).or_default() += times;
        }
    }

    /// Whether each of its servers is down or a zombie.
    pub(super) const fn all_down(&self) -> bool {
        self.all_down
    }
}

impl Server {
    fn new(seen: &Seen, server: &ServerView) -> Self {
        let figures = &seen.figures;
        let connections = server.connections.iter();
        Self {
            name: server.name.to_string(),
            purpose: journal::label(seen.view.purpose),
            address: server.address.to_string(),
            transport: server.transport.label(),
            state: server.state.label(),
            reason: server.cause.map(lns_radius::event::Cause::label),
            error: figures.last_failure(&server.name).map(str::to_owned),
            aggregate: server.aggregate.label(),
            in_flight: server.in_flight,
            backlog: server.backlog,
            last_reply_seconds: server.last_reply.map(|since| since.as_secs_f64()),
            rtt: Rtt::from(server.rtt),
            verified_with: server.verified.map(|key| match key {
                Key::Current => "current",
                Key::Previous => "previous",
            }),
            requires_message_authenticator: server.requires_message_authenticator,
            check: server.check.map(lns_radius::CheckKind::label),
            counts: ServerCounts::from(server.counts),
            results: figures.results_of(&server.name),
            dropped: server.dropped.iter().copied().collect(),
            connections: connections
                .map(|connection| Connection::new(seen, connection))
                .collect(),
        }
    }

    /// Whether it cannot be reached, or does not answer.
    fn has_failed(&self) -> bool {
        has_failed(self.state)
    }

    /// Packets that were repeated.
    pub(super) const fn retransmissions(&self) -> u64 {
        self.counts.retransmissions
    }
}

impl From<Counts> for ServerCounts {
    fn from(counts: Counts) -> Self {
        Self {
            sent: counts.sent,
            retransmissions: counts.retransmissions,
            replies: counts.replies,
            timeouts: counts.timeouts,
            moved: counts.moved,
            checks: counts.checks,
            checks_answered: counts.checks_answered,
            opened: counts.opened,
            failed: counts.failed,
            timed_out: counts.timed_out,
            send_errors: counts.send_errors,
        }
    }
}

impl From<RttView> for Rtt {
    fn from(rtt: RttView) -> Self {
        let seconds = |time: Option<core::time::Duration>| time.map(|time| time.as_secs_f64());
        Self {
            count: rtt.count,
            median_seconds: seconds(rtt.median),
            p90_seconds: seconds(rtt.p90),
            p99_seconds: seconds(rtt.p99),
            max_seconds: seconds(rtt.max),
        }
    }
}

/// Whether a server in this state serves nobody, though it should.
fn has_failed(state: &str) -> bool {
    matches!(state, "down" | "zombie")
}

impl Connection {
    fn new(seen: &Seen, connection: &ConnectionView) -> Self {
        let port = seen.ports.get(&connection.id);
        Self {
            id: connection.id.to_string(),
            local_port: port.copied().unwrap_or(0),
            state: connection.state.word(),
            trunk_state: connection.state.label(),
            socket: connection.socket.label(),
            checking: connection.checking,
            on_trial: connection.on_trial,
            in_flight: connection.in_flight,
            free_ids: connection.free_ids,
            last_reply_seconds: connection.last_reply.map(|since| since.as_secs_f64()),
            sent: connection.sent,
            replies: connection.replies,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use lns_radius::CheckKind;
    use lns_radius::config::{Purpose as Asked, Transport};
    use lns_radius::event::Cause;
    use lns_radius::server::ServerState;
    use lns_radius::trunk::AggregateState;
    use lns_radius::view::View;

    use super::*;
    use crate::radius::figures::{Figures, Rtts, rtts};

    /// One server that is down, and what was counted of it.
    fn view() -> View {
        let half = Some(Duration::from_millis(500));
        View {
            purpose: Asked::Authentication,
            servers: vec![ServerView {
                name: "r1".into(),
                address: "[2001:db8::5]:1812".parse().unwrap(),
                transport: Transport::Udp,
                state: ServerState::Down,
                cause: Some(Cause::Refused),
                aggregate: AggregateState::Failed,
                in_flight: 3,
                backlog: 2,
                last_reply: half,
                rtt: RttView {
                    count: 1,
                    median: half,
                    p90: half,
                    p99: half,
                    max: half,
                },
                verified: Some(Key::Previous),
                requires_message_authenticator: true,
                check: Some(CheckKind::StatusServer),
                counts: Counts {
                    sent: 9,
                    retransmissions: 4,
                    ..Counts::default()
                },
                dropped: vec![("late", 7)],
                connections: Vec::new(),
            }],
            in_flight: 5,
            max_in_flight: 4096,
            connections: 0,
            max_connections: 8,
            failures: vec![("timed_out", 2)],
            events_lost: 0,
        }
    }

    fn seen() -> (Seen, Rtts) {
        let rtts = rtts();
        let mut figures = Figures::new(Asked::Authentication, &rtts);
        figures.failed(&Arc::from("r1"), "Connection refused (os error 111)");
        let seen = Seen {
            view: view(),
            figures,
            ports: BTreeMap::new(),
            certificates: Vec::new(),
        };
        (seen, rtts)
    }

    /// What there is to see of it, and how long its answers took.
    pub(in super::super) fn some() -> (Radius, Rtts) {
        let (seen, rtts) = seen();
        let radius = Radius {
            purposes: vec![Purpose::new(&seen)],
            servers: servers(&seen).collect(),
            queue: Some(Queue {
                records: 12,
                octets: 3_456,
                oldest_seconds: Some(78),
                dropped_interims: 9,
                ..Queue::default()
            }),
            certificates: vec![Certificate {
                server: "r1".to_owned(),
                purpose: "accounting",
                seconds_left: -5,
            }],
            refused: RefusedOrders {
                requests: 1,
                ..RefusedOrders::default()
            },
            dynamic: vec![DynamicRequests::new((
                (Some("oss".into()), Some(Command::Change), "ack"),
                8,
            ))],
        };
        (radius, rtts)
    }

    #[test]
    fn servers_that_get_copies_are_one_purpose_though_each_has_a_client() {
        let (asked, _rtts) = seen();
        let copies = || {
            let (mut copy, _rtts) = seen();
            copy.view.purpose = Asked::Copy;
            copy
        };
        let all = purposes(&[asked, copies(), copies()]);
        let labels: Vec<_> = all.iter().map(|purpose| purpose.purpose).collect();
        assert_eq!(labels, ["authentication", "copy"]);
        assert_eq!((all[0].in_flight, all[1].in_flight), (5, 10));
        assert_eq!(all[1].failures["timed_out"], 4);
    }

    #[test]
    fn a_purpose_whose_servers_are_all_down_says_so() {
        let (mut seen, _rtts) = seen();
        assert!(Purpose::new(&seen).all_down());
        let mut other = seen.view.servers[0].clone();
        other.state = ServerState::Idle;
        seen.view.servers.push(other);
        assert!(!Purpose::new(&seen).all_down());
        seen.view.servers.clear();
        assert!(!Purpose::new(&seen).all_down(), "there is none");
    }
}
