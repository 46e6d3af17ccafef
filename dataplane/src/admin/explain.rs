//! Why things are as they are: `/v1/failures`, `/v1/sessions/{id}/messages` and, over the Unix socket
//! only, the stream of `/v1/trace`.
//!
//! The node remembers octets and labels; words and the time of day are made here, outside the control
//! task. A trace costs that task one short question every [`INTERVAL`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described, StatusCode as Code};
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::stream;
use jiff::Timestamp;
use lns_datapath::clock;
use lns_node::Stage;
use lns_node::explain::failures::{self, Kind, Number};
use lns_node::explain::trace::{TooManyTraces, TraceFilter, TraceId, TraceLine};
use lns_node::explain::transcript::{Entry, Octets, RadiusAnswer, Step, What};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::text::DatagramText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::info;

use super::api::SessionPath;
use super::audit::Who;
use super::document::Asked;
use super::server::Peer;
use super::{Admin, Refusal};
use crate::cli::SessionName;
use crate::run::control::Asker;

/// Failures that one question to the control task looks at: some hundred microseconds.
const FAILURES_PER_QUESTION: usize = 512;

/// Rows of a page of failures unless asked otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 500;

/// Lines of a trace that one question takes.
const LINES_PER_QUESTION: usize = 512;

/// What the lines of a page of failures may take, octets, roughly; the page ends with the failure that
/// goes beyond it.
const PAGE_OCTETS: usize = 4 * 1024 * 1024;

/// Where the Length field of a control message is (RFC 2661, 3.1).
const LENGTH: core::ops::Range<usize> = 2..4;

/// Lines of JSON.
const LINES: &str = "application/x-ndjson";

/// How often a trace is asked for its lines: what a person calls live.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often a trace without lines says that it goes on, so that a client that is gone is noticed.
const SIGN_OF_LIFE: u32 = 50;

/// One message or step, for a person and for a capture file.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// When.
    #[schemars(with = "String")]
    time: Timestamp,
    /// Whether the message came or went; null: a step of the machine.
    direction: Option<Direction>,
    /// What became of a message that came: `ok`, `duplicate`, `early`, or why it was dropped.
    result: Option<&'static str>,
    /// The message or the step in words.
    text: String,
    /// The datagram from the L2TP header on, in hexadecimal, every password and secret masked; null: a
    /// step. A long one is cut.
    octets: Option<String>,
    /// How long the datagram was, octets.
    length: Option<usize>,
}

/// Whether a message came or went.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    /// From the LAC or the subscriber.
    In,
    /// To them.
    Out,
}

impl Line {
    fn new(entry: &Entry, now: Now) -> Self {
        let (direction, result, octets) = match &entry.what {
            What::Received { octets, result } => (Some(Direction::In), Some(*result), Some(octets)),
            What::Sent { octets } => (Some(Direction::Out), None, Some(octets)),
            What::Step(_) => (None, None, None),
        };
        Self {
            time: now.time_of(entry.at),
            direction,
            result,
            text: match &entry.what {
                What::Received { octets, .. } | What::Sent { octets } => words(octets),
                What::Step(step) => step_in_words(step),
            },
            octets: octets.map(|octets| hexadecimal(&octets.octets)),
            length: octets.map(|octets| octets.len),
        }
    }
}

fn words(octets: &Octets) -> String {
    let kept = octets.octets.len();
    if octets.len == kept {
        return DatagramText::new(&octets.octets).to_string();
    }
    // Its header tells the length of the whole; it is to be read as far as it is there.
    let mut cut = octets.octets.to_vec();
    let is_control = cut.first().is_some_and(|flags| flags & 0x80 != 0);
    if let (Ok(length), Some(field)) = (u16::try_from(kept), cut.get_mut(LENGTH))
        && is_control
    {
        field.copy_from_slice(&length.to_be_bytes());
    }
    let text = DatagramText::new(&cut);
    format!("{text} (the first {kept} of {} octets)", octets.len)
}

fn step_in_words(step: &Step) -> String {
    let plain = |label: &str| label.replace('_', " ");
    match step {
        Step::State { machine, from, to } => format!("{machine}: {from} -> {to}"),
        Step::Login { method, verdict } => format!("login by {method}: {}", plain(verdict)),
        Step::Asked => "RADIUS is asked".to_owned(),
        Step::Answered(answer) => answer_in_words(answer),
        Step::Policies { names, by, unknown } => policies_in_words(names, by, unknown.as_deref()),
        Step::Address { address, source } => format!("address {address}, chosen by {source}"),
        Step::NoAddress { reason } => format!("no address: {}", plain(reason)),
        Step::Told { message, result } => {
            format!("the LAC is told with a {message}: {}", plain(result))
        }
        Step::Ended { reason } => format!("ended: {}", plain(reason)),
    }
}

fn answer_in_words(answer: &RadiusAnswer) -> String {
    let server = answer.server.as_deref().unwrap_or("no server");
    let result = match answer.result {
        "challenge" => "asks for more".to_owned(),
        "malformed_reply" => "answered what cannot be done".to_owned(),
        "other_service" => "let it in for another service".to_owned(),
        "accepted" | "rejected" => answer.result.to_owned(),
        failure => format!("gave no answer ({})", failure.replace('_', " ")),
    };
    let rtt = answer.rtt.map_or_else(String::new, |rtt| {
        format!(" in {:.1} ms", rtt.as_secs_f64() * 1000.0)
    });
    let sends = match answer.sends {
        0 | 1 => String::new(),
        sends => format!(", sent {sends} times"),
    };
    let message = answer
        .message
        .as_deref()
        .map_or_else(String::new, |text| format!(": {text:?}"));
    format!("RADIUS server {server} {result}{rtt}{sends}{message}")
}

fn policies_in_words(names: &[Arc<str>], by: &str, unknown: Option<&str>) -> String {
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    match (by, unknown) {
        (_, Some(unknown)) => {
            format!("default policies: {names}; no policy has the Filter-Id {unknown:?}")
        }
        ("filter_id", None) => format!("policies by Filter-Id: {names}"),
        (_, None) => format!("default policies: {names}"),
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    use core::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        // A string takes everything.
        let _: Result<(), core::fmt::Error> = write!(text, "{octet:02x}");
        text
    })
}

/// The two clocks at one moment: the node's, and the time of day.
#[derive(Clone, Copy, Debug)]
struct Now {
    node: Instant,
    day: SystemTime,
}

impl Now {
    fn read() -> Self {
        Self {
            node: clock::now(),
            day: SystemTime::now(),
        }
    }

    /// The time of day of something that the node remembers.
    fn time_of(self, then: Instant) -> Timestamp {
        let day = self.day.checked_sub(self.node.since(then));
        let time = day.and_then(|day| Timestamp::try_from(day).ok());
        // Beyond the calendar: a clock that was never set.
        time.unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// What `/v1/failures` can be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailureQuery {
    /// The name that the subscriber logged in with, or tried to.
    user: Option<String>,
    /// The LAC entry.
    lac: Option<String>,
    /// The Calling Number.
    calling_number: Option<String>,
    /// The LAC's address.
    remote: Option<IpAddr>,
    /// How far it had come.
    stage: Option<Stage>,
    /// What kind of end it was.
    kind: Option<Kind>,
    /// Not longer ago than this, seconds; without it, a day.
    since_seconds: Option<u64>,
    /// Whether to tell the messages of each; without it, true.
    messages: Option<bool>,
    /// Rows at most; without it, 100.
    #[schemars(range(min = 1, max = LARGEST_PAGE))]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<u64>,
}

/// Something that failed or ended, once or many times in the same way.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    /// What kind of end it was.
    kind: Kind,
    /// How far it had come.
    stage: Stage,
    /// Why: a label from a fixed list.
    reason: &'static str,
    /// More of why, the last time.
    detail: Option<String>,
    /// What RADIUS said last; null: it was not asked.
    radius: Option<Radius>,
    /// How often.
    count: u64,
    /// The first time.
    #[schemars(with = "String")]
    first: Timestamp,
    /// The last time; what follows is of that.
    #[schemars(with = "String")]
    last: Timestamp,
    /// The name that the subscriber logged in with, or tried to.
    user: Option<String>,
    /// The LAC entry.
    lac: Option<String>,
    /// Where the LAC was.
    remote: SocketAddr,
    /// The LAC's Host Name AVP.
    host_name: Option<String>,
    /// The Calling Number AVP.
    calling_number: Option<String>,
    /// The Called Number AVP.
    called_number: Option<String>,
    /// Our tunnel id.
    tunnel: Option<u16>,
    /// Our session id.
    session: Option<u16>,
    /// The address that the subscriber had.
    address: Option<Ipv4Addr>,
    /// Seconds that it was up; null: it never was.
    up_seconds: Option<u64>,
    /// Calls that a tunnel took with it.
    sessions: u32,
    /// What was said and done before, oldest first: the last 32 messages and steps.
    messages: Vec<Line>,
    /// More was said before that, and is not kept.
    messages_cut: bool,
}

/// What RADIUS said of a login.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "RadiusAnswer")]
#[serde(rename_all = "camelCase")]
struct Radius {
    /// The server that answered, or was asked last.
    server: Option<String>,
    /// `accepted`, `rejected`, `challenge`, `other_service`, `malformed_reply`, or why there is no answer: `timed_out`,
    /// `all_down`, `no_message_authenticator`, `wrong_secret` and others.
    result: &'static str,
    /// From the last send to the answer.
    rtt_milliseconds: Option<f64>,
    /// Datagrams that it took.
    sends: u16,
    /// The Reply-Message, or what is wrong with the answer.
    message: Option<String>,
}

impl Radius {
    fn new(answer: &RadiusAnswer) -> Self {
        Self {
            server: answer.server.as_deref().map(str::to_owned),
            result: answer.result,
            rtt_milliseconds: answer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            sends: answer.sends,
            message: answer.message.as_deref().map(str::to_owned),
        }
    }
}

impl Failure {
    fn new(failure: &failures::Failure, with_messages: bool, now: Now) -> Self {
        let (who, last) = (&failure.subject, &failure.last);
        Self {
            kind: failure.kind,
            stage: who.stage,
            reason: who.reason,
            detail: last.detail.as_deref().map(str::to_owned),
            radius: last.radius.as_deref().map(Radius::new),
            count: failure.count,
            first: now.time_of(failure.first),
            last: now.time_of(last.at),
            user: who.user.as_deref().map(readable),
            lac: who.lac.as_deref().map(str::to_owned),
            remote: last.remote,
            host_name: last.host_name.as_deref().map(str::to_owned),
            calling_number: failure.calling_number().map(str::to_owned),
            called_number: last.called_number.as_deref().map(str::to_owned),
            tunnel: last.tunnel.map(|id| id.0),
            session: last.session.map(|id| id.0),
            address: last.address,
            up_seconds: last.up.map(|up| up.as_secs()),
            sessions: last.sessions,
            messages: if with_messages {
                lines(&last.transcript, now)
            } else {
                Vec::new()
            },
            messages_cut: last.is_cut,
        }
    }
}

impl Failure {
    /// What its lines take in an answer, roughly.
    fn octets(&self) -> usize {
        const KEYS: usize = 128;
        let octets =
            |line: &Line| line.text.len() + line.octets.as_ref().map_or(0, String::len) + KEYS;
        self.messages.iter().map(octets).sum()
    }
}

fn lines(entries: &[Arc<Entry>], now: Now) -> Vec<Line> {
    entries.iter().map(|entry| Line::new(entry, now)).collect()
}

fn readable(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A page of failures.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Failures {
    /// Those that match, the newest first.
    failures: Vec<Failure>,
    /// Pass it as `after` to get the next page; null: this was the last.
    next: Option<u64>,
}

/// `GET /v1/failures`
pub(super) async fn failures(
    State(admin): State<Admin>,
    Asked(query): Asked<FailureQuery>,
) -> Result<Json<Failures>, Refusal> {
    let limit = match query.limit.unwrap_or(PAGE) {
        limit @ 1..=LARGEST_PAGE => limit,
        limit => {
            return Err(Refusal::bad(format!(
                "limit must be between 1 and {LARGEST_PAGE}, not {limit}"
            )));
        }
    };
    let mut after = query.after.map(Number);
    let with_messages = query.messages.unwrap_or(true);
    let now = Now::read();
    let filter = Arc::new(filter(query, now.node));
    let (mut found, mut octets) = (Vec::new(), 0);
    loop {
        let filter = Arc::clone(&filter);
        let bounds = (FAILURES_PER_QUESTION, limit - found.len());
        let question = admin
            .asker
            .ask(move |control, now| control.node.failures(&filter, after, bounds, now));
        let page = question.await.map_err(|_| Refusal::gone())?;
        after = page.next;
        for failure in page.failures {
            let told = Failure::new(&failure, with_messages, now);
            octets += told.octets();
            found.push(told);
            if octets > PAGE_OCTETS {
                after = Some(failure.number);
                break;
            }
        }
        if after.is_none() || found.len() >= limit || octets > PAGE_OCTETS {
            return Ok(Json(Failures {
                failures: found,
                next: after.map(|Number(number)| number),
            }));
        }
    }
}

fn filter(query: FailureQuery, now: Instant) -> failures::FailureFilter {
    let since = query.since_seconds.map_or(Instant::ZERO, |seconds| {
        let before = now.since(Instant::ZERO);
        Instant::ZERO + before.saturating_sub(Duration::from_secs(seconds))
    });
    failures::FailureFilter {
        user: query.user.map(|user| user.into_bytes().into()),
        lac: query.lac.map(Into::into),
        calling_number: query.calling_number.map(Into::into),
        remote: query.remote,
        stage: query.stage,
        kind: query.kind,
        since,
    }
}

/// The last messages and steps of a session.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Messages {
    /// Oldest first, at most 32.
    messages: Vec<Line>,
    /// More was said before that, and is not kept.
    messages_cut: bool,
}

/// `GET /v1/sessions/{id}/messages`
pub(super) async fn messages(
    State(admin): State<Admin>,
    path: Result<Path<SessionPath>, PathRejection>,
) -> Result<Json<Messages>, Refusal> {
    let Path(SessionPath { id }) = path.map_err(|wrong| Refusal::bad(wrong.body_text()))?;
    let SessionName { tunnel, session } = id.parse().map_err(Refusal::bad)?;
    let question = admin.asker.ask(move |control, now| {
        let (tunnel, session) = (TunnelId(tunnel), SessionId(session));
        control.node.session(tunnel, session, now)?;
        Some(control.node.transcript(tunnel, session))
    });
    let found = question.await.map_err(|_| Refusal::gone())?;
    let (entries, messages_cut) =
        found.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, format!("there is no session {id}")))?;
    Ok(Json(Messages {
        messages: lines(&entries, Now::read()),
        messages_cut,
    }))
}

/// What `/v1/trace` can be asked: all that is given must match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TraceQuery {
    /// The name that a subscriber logs in with.
    user: Option<String>,
    /// The LAC entry.
    lac: Option<String>,
    /// The Calling Number.
    calling_number: Option<String>,
    /// The LAC's address, whether it has an entry or not.
    remote: Option<IpAddr>,
    /// Our tunnel id.
    tunnel: Option<u16>,
    /// Our session id, in that tunnel.
    session: Option<u16>,
}

/// One line of a trace.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Traced {
    #[serde(flatten)]
    line: Line,
    /// Our tunnel id.
    tunnel: Option<u16>,
    /// Our session id.
    session: Option<u16>,
    /// The LAC entry.
    lac: Option<String>,
    /// The subscriber's name, once it is known.
    user: Option<String>,
    /// The Calling Number AVP.
    calling_number: Option<String>,
    /// Our end.
    local: SocketAddr,
    /// The LAC's end.
    remote: SocketAddr,
    /// Lines that were left out before this one, because too many waited to be taken.
    missed: u64,
}

impl Traced {
    fn new(line: &TraceLine, now: Now) -> Self {
        let subject = &line.subject;
        Self {
            line: Line::new(&line.entry, now),
            tunnel: subject.tunnel.map(|id| id.0),
            session: subject.session.map(|id| id.0),
            lac: subject.lac.as_deref().map(str::to_owned),
            user: subject.user.as_deref().map(readable),
            calling_number: subject.calling_number.as_deref().map(str::to_owned),
            local: subject.local,
            remote: subject.remote,
            missed: line.missed,
        }
    }
}

/// `GET /v1/trace`: a line of JSON for each message or step, and an empty line as a sign of life, until
/// the client goes.
pub(super) async fn trace(
    State(admin): State<Admin>,
    peer: Option<Extension<Option<Peer>>>,
    Asked(query): Asked<TraceQuery>,
) -> Result<TraceStream, Refusal> {
    let peer = peer.and_then(|Extension(peer)| peer);
    let who = Who::of(peer).await;
    info!(
        uid = who.uid,
        by = who.by.as_ref().map(display),
        pid = who.pid,
        process = who.process.as_ref().map(display),
        of = ?query,
        "trace begins"
    );
    let filter = TraceFilter {
        user: query.user.map(|user| user.into_bytes().into()),
        calling_number: query.calling_number.map(Into::into),
        lac: query.lac.map(Into::into),
        remote: query.remote,
        tunnel: query.tunnel.map(TunnelId),
        session: query.session.map(SessionId),
    };
    let asker = admin.asker.clone();
    // Made where the trace begins: if nobody waits for the answer any more, it ends there.
    let begun = admin.asker.ask(move |control, _| {
        let id = control.node.handle_trace(filter)?;
        let quiet = 0;
        Ok(Following { asker, id, quiet })
    });
    let begun = begun.await.map_err(|_| Refusal::gone())?;
    let following = begun.map_err(|TooManyTraces| {
        Refusal(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "{} traces are going on, which is the most there may be: end one of them first",
                lns_node::limits::TRACES
            ),
        )
    })?;
    Ok(TraceStream(following))
}

/// The answer that goes on.
#[derive(Debug)]
pub(super) struct TraceStream(Following);

impl IntoResponse for TraceStream {
    fn into_response(self) -> Response {
        let lines = stream::unfold(self.0, async |mut following| {
            let lines = following.next().await?;
            Some((Ok::<_, core::convert::Infallible>(lines), following))
        });
        ([(header::CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response()
    }
}

impl OperationOutput for TraceStream {
    type Inner = Self;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<Code>, Described)> {
        let mut described = Json::<Traced>::inferred_responses(context, operation);
        for (_, answer) in &mut described {
            let lines = core::mem::take(&mut answer.content);
            let lines = lines.into_values().map(|line| (LINES.to_owned(), line));
            answer.content = lines.collect();
            "One JSON object per line".clone_into(&mut answer.description);
        }
        described
    }
}

/// A trace, ended when nobody takes its lines any more.
#[derive(Debug)]
struct Following {
    asker: Asker,
    id: TraceId,
    /// Intervals without a line.
    quiet: u32,
}

impl Following {
    /// The next lines; `None`: the process ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let id = self.id;
            let question = self.asker.ask(move |control, _| {
                let polled = || control.node.poll_trace(id);
                let lines = core::iter::from_fn(polled).take(LINES_PER_QUESTION);
                lines.collect::<Vec<_>>()
            });
            let lines = question.await.ok()?;
            if !lines.is_empty() {
                self.quiet = 0;
                return Some(written(&lines));
            }
            self.quiet += 1;
            if self.quiet == SIGN_OF_LIFE {
                self.quiet = 0;
                return Some(Bytes::from_static(b"\n"));
            }
            sleep(INTERVAL).await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let (asker, id) = (self.asker.clone(), self.id);
        // Where the runtime is gone, so is the node.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let _detached = runtime.spawn(async move {
                asker
                    .ask(move |control, _| control.node.handle_trace_end(id))
                    .await
            });
        }
    }
}

fn written(lines: &[TraceLine]) -> Bytes {
    let now = Now::read();
    let mut out = Vec::new();
    for line in lines {
        // A line is made of strings and numbers, which JSON always takes.
        let _written = serde_json::to_writer(&mut out, &Traced::new(line, now)).is_ok();
        out.push(b'\n');
    }
    out.into()
}
