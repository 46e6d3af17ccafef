//! What is said, out of frames. Nothing is changed by what cannot be read.

use core::time::Duration;

use lns_cluster::{Ask, Epoch, Identity, Promise, Refusal};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use serde::Deserialize;

use super::body::{Body, DataKey, QuestionId, Unreadable, fits};
use super::form::{
    AdminAnswerForm, AdminQueryForm, AskForm, AskRefusedForm, DataKeyForm, DatagramForm,
    GoodbyeForm, HelloForm, Numbered, Octets, PassedForm, PositionForm, PppForm, PromiseForm,
    RecordForm, RecordsForm, RefusedForm, ReportForm, SessionForm,
};
use super::frame::Frame;
use super::hello::{Capabilities, Goodbye, Hello, Refused, RefusedFor, VERSION};
use super::kind::Kind;
use super::message::{
    AdminAnswer, AdminQuery, Answer, AskRefused, Control, DynamicRequest, Failure, Message, Passed,
    PeerRecord, Position, PppFrame, Question, RecordsPage, Report, SessionReport,
};
use crate::cluster::ClusterId;
use crate::limits::TEXT;

/// Reads what a peer says that has greeted. It can speak for itself only: a question for a promise is
/// its own, and so is a promise.
///
/// # Errors
/// Why the frame is not taken.
pub fn decode(frame: Frame<'_>, from: &Identity) -> Result<Body, Unreadable> {
    let kind = Kind::of(frame.kind).ok_or(Unreadable::Unknown(frame.kind))?;
    let body = body(kind, frame.body, from).ok_or(Unreadable::Malformed(kind))?;
    if !body.is_within_limits() {
        return Err(Unreadable::TooLong(kind));
    }
    Ok(body)
}

/// Reads the first frame of a peer: its greeting, or why it takes none.
///
/// # Errors
/// It is neither.
pub(crate) fn decode_greeting(frame: Frame<'_>) -> Result<Result<Box<Hello>, Refused>, Unreadable> {
    let kind = Kind::of(frame.kind).ok_or(Unreadable::Unknown(frame.kind))?;
    let broken = Unreadable::Malformed(kind);
    if kind == Kind::Refused {
        let refused = refused(frame.body).filter(|it| it.words.len() <= TEXT);
        return refused.map(Err).ok_or(broken);
    }
    let hello = hello(frame.body).filter(|it| kind == Kind::Hello && it.software.len() <= TEXT);
    hello.map(|hello| Ok(Box::new(hello))).ok_or(broken)
}

fn body(kind: Kind, octets: &[u8], from: &Identity) -> Option<Body> {
    match kind {
        Kind::Hello => hello(octets).map(|hello| Body::Hello(Box::new(hello))),
        Kind::Refused => refused(octets).map(Body::Refused),
        Kind::Goodbye => {
            whole(octets).map(|form: GoodbyeForm| Body::Goodbye(Goodbye::of(form.why)))
        }
        Kind::Alive => whole(octets).map(|()| Body::Alive),
        Kind::DataKey => whole(octets).map(|form: DataKeyForm| {
            Body::DataKey(DataKey {
                generation: form.generation,
                id: form.id,
            })
        }),
        Kind::Ask => ask(octets, from).map(Body::Message),
        Kind::Promise => promise(octets, from).map(Body::Message),
        Kind::AskRefused => ask_refused(octets).map(Body::Message),
        Kind::Applied => Some(Body::Message(Message::Applied(position(whole(octets)?)?))),
        Kind::Control => control(octets).map(Body::Message),
        Kind::Ppp => ppp(octets).map(Body::Message),
        Kind::Report => report(octets).map(Body::Message),
        Kind::AskPosition => {
            numbered(octets).map(|(id, ())| Body::Question(id, Question::Position))
        }
        Kind::AskRecords => {
            let (id, after) = numbered(octets)?;
            Some(Body::Question(id, Question::Records(position(after)?)))
        }
        Kind::AskDynamic => ask_dynamic(octets),
        Kind::AskAdmin => ask_admin(octets),
        Kind::Position => {
            let (id, at) = numbered(octets)?;
            Some(Body::Answer(id, Answer::Position(position(at)?)))
        }
        Kind::Records => records(octets),
        Kind::Dynamic => {
            let (id, reply): (_, Option<Octets<'_>>) = numbered(octets)?;
            let reply = reply.map(|Octets(octets)| octets.to_vec());
            Some(Body::Answer(id, Answer::Dynamic(reply)))
        }
        Kind::AdminPart => {
            let (id, Octets(octets)) = numbered(octets)?;
            Some(Body::Part(id, octets.to_vec()))
        }
        Kind::Admin => admin(octets),
        Kind::Failed => numbered(octets).map(|(id, code)| Body::Failed(id, failure(code))),
    }
}

/// A greeting of a newer version may have more behind what this one knows.
fn hello(octets: &[u8]) -> Option<Hello> {
    let (form, rest): (HelloForm<'_>, _) = postcard::take_from_bytes(octets).ok()?;
    if !rest.is_empty() && form.version <= VERSION {
        return None;
    }
    Some(Hello {
        cluster: ClusterId::new(form.namespace, form.name, form.uid).ok()?,
        identity: form.identity.parse().ok().filter(fits)?,
        version: form.version,
        oldest: form.oldest,
        capabilities: Capabilities(form.capabilities),
        dial: form.dial,
        software: printable(form.software),
    })
}

fn refused(octets: &[u8]) -> Option<Refused> {
    let form: RefusedForm<'_> = whole(octets)?;
    Some(Refused {
        why: RefusedFor::of(form.why),
        words: printable(form.words),
    })
}

fn ask(octets: &[u8], from: &Identity) -> Option<Message> {
    let form: AskForm = whole(octets)?;
    Some(Message::Ask(Ask {
        holder: from.clone(),
        epoch: Epoch::new(form.epoch)?,
        sent: Instant::from_nanos(form.sent),
    }))
}

fn promise(octets: &[u8], from: &Identity) -> Option<Message> {
    let form: PromiseForm<'_> = whole(octets)?;
    Some(Message::Promise(Promise {
        from: from.node().clone(),
        holder: form.holder.parse().ok()?,
        epoch: Epoch::new(form.epoch)?,
        sent: Instant::from_nanos(form.sent),
    }))
}

fn ask_refused(octets: &[u8]) -> Option<Message> {
    let form: AskRefusedForm<'_> = whole(octets)?;
    Some(Message::AskRefused(AskRefused {
        holder: form.holder.parse().ok()?,
        epoch: Epoch::new(form.epoch)?,
        sent: Instant::from_nanos(form.sent),
        why: refusal(form.why)?,
    }))
}

fn control(octets: &[u8]) -> Option<Message> {
    let form: DatagramForm<'_> = whole(octets)?;
    Some(Message::Control(Control {
        local: form.local,
        remote: form.remote,
        octets: form.octets.0.to_vec(),
    }))
}

fn ppp(octets: &[u8]) -> Option<Message> {
    let form: PppForm<'_> = whole(octets)?;
    Some(Message::Ppp(PppFrame {
        tunnel: TunnelId(form.tunnel),
        session: SessionId(form.session),
        local: form.local,
        remote: form.remote,
        frame: form.frame.0.to_vec(),
    }))
}

fn report(octets: &[u8]) -> Option<Message> {
    let form: ReportForm = whole(octets)?;
    Some(Message::Report(Report(
        form.sessions.iter().map(session).collect(),
    )))
}

fn ask_dynamic(octets: &[u8]) -> Option<Body> {
    let (id, form): (_, DatagramForm<'_>) = numbered(octets)?;
    let request = DynamicRequest {
        local: form.local,
        remote: form.remote,
        octets: form.octets.0.to_vec(),
    };
    Some(Body::Question(id, Question::Dynamic(request)))
}

fn ask_admin(octets: &[u8]) -> Option<Body> {
    let (id, form): (_, AdminQueryForm<'_>) = numbered(octets)?;
    let query = AdminQuery {
        method: form.method.to_owned(),
        path: form.path.to_owned(),
        body: form.body.0.to_vec(),
    };
    Some(Body::Question(id, Question::Admin(query)))
}

fn records(octets: &[u8]) -> Option<Body> {
    let (id, form): (_, RecordsForm<'_>) = numbered(octets)?;
    let records: Option<Vec<_>> = form.records.iter().map(record).collect();
    let page = RecordsPage::read(records?, [form.more, form.whole, form.store]);
    Some(Body::Answer(id, Answer::Records(page)))
}

fn admin(octets: &[u8]) -> Option<Body> {
    let (id, form): (_, AdminAnswerForm<'_>) = numbered(octets)?;
    let answer = AdminAnswer {
        status: form.status,
        content_type: form.content_type.to_owned(),
        body: form.body.0.to_vec(),
    };
    Some(Body::Answer(id, Answer::Admin(answer)))
}

/// A body that has nothing behind what it says.
fn whole<'de, T: Deserialize<'de>>(octets: &'de [u8]) -> Option<T> {
    let (form, rest) = postcard::take_from_bytes(octets).ok()?;
    rest.is_empty().then_some(form)
}

fn numbered<'de, T: Deserialize<'de>>(octets: &'de [u8]) -> Option<(QuestionId, T)> {
    let form: Numbered<T> = whole(octets)?;
    Some((QuestionId(form.number), form.of))
}

fn position(form: PositionForm) -> Option<Position> {
    Some(Position {
        epoch: Epoch::new(form.epoch)?,
        seq: form.seq,
    })
}

fn session(form: &SessionForm) -> SessionReport {
    SessionReport {
        tunnel: TunnelId(form.tunnel),
        session: SessionId(form.session),
        up: passed(&form.up),
        down: passed(&form.down),
    }
}

fn passed(form: &PassedForm) -> Passed {
    Passed {
        octets: form.octets,
        packets: form.packets,
        age: form.age.map(Duration::from_millis),
    }
}

fn record(form: &RecordForm<'_>) -> Option<PeerRecord> {
    let octets = form.octets.map(|Octets(octets)| octets.to_vec());
    PeerRecord::new(form.key.to_owned(), position(form.position)?, octets).ok()
}

const fn refusal(code: u8) -> Option<Refusal> {
    match code {
        1 => Some(Refusal::Master),
        2 => Some(Refusal::OwnNode),
        3 => Some(Refusal::OldEpoch),
        4 => Some(Refusal::NotInLease),
        _ => None,
    }
}

const fn failure(code: u8) -> Failure {
    match code {
        1 => Failure::Busy,
        2 => Failure::OldEpoch,
        3 => Failure::NotMaster,
        4 => Failure::TooLong,
        _ => Failure::Unanswered,
    }
}

/// A text of a peer as a line of a log may have it.
fn printable(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { '?' } else { letter };
    text.chars().map(plain).collect()
}
