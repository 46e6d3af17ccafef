//! Frames out of what is to be said.

use core::time::Duration;

use lns_cluster::{Ask, Epoch, Refusal};
use serde::Serialize;

use super::body::{Body, DataKey, QuestionId, TooLong};
use super::form::{
    AdminAnswerForm, AdminQueryForm, AskForm, AskRefusedForm, DataKeyForm, DatagramForm,
    GoodbyeForm, HelloForm, Numbered, Octets, PassedForm, PositionForm, PppForm, PromiseForm,
    RecordForm, RecordsForm, RefusedForm, ReportForm, SessionForm,
};
use super::frame::{begin, finish};
use super::hello::Hello;
use super::kind::Kind;
use super::message::{
    Answer, Control, Failure, Message, Passed, PeerRecord, Position, PppFrame, Question, Report,
    SessionReport,
};
use crate::limits::BODY;

/// The frame that says this, under this epoch.
///
/// # Errors
/// Something in it is too long.
pub fn encode(body: &Body, epoch: Epoch) -> Result<Vec<u8>, TooLong> {
    if !body.is_within_limits() {
        return Err(TooLong);
    }
    let out = Out::new(body.kind(), epoch);
    match body {
        Body::Hello(hello) => out.hello(hello),
        Body::Refused(refused) => out.form(&RefusedForm {
            why: refused.why.code(),
            words: &refused.words,
        }),
        Body::Goodbye(why) => out.form(&GoodbyeForm { why: why.code() }),
        Body::Alive => out.form(&()),
        Body::DataKey(DataKey { generation, id }) => out.form(&DataKeyForm {
            generation: *generation,
            id: *id,
        }),
        Body::Message(message) => out.message(message),
        Body::Question(id, question) => out.question(*id, question),
        Body::Part(id, octets) => out.numbered(*id, Octets(octets)),
        Body::Answer(id, answer) => out.answer(*id, answer),
        Body::Failed(id, failure) => out.numbered(*id, code(*failure)),
    }
}

/// A frame that is being written.
struct Out {
    octets: Vec<u8>,
}

impl Out {
    fn new(kind: Kind, epoch: Epoch) -> Self {
        let mut octets = Vec::new();
        begin(kind.code(), epoch, &mut octets);
        Self { octets }
    }

    /// The body, and then it is whole.
    fn form(self, form: &impl Serialize) -> Result<Vec<u8>, TooLong> {
        let mut octets = postcard::to_extend(form, self.octets).map_err(|_| TooLong)?;
        finish(&mut octets, BODY).ok_or(TooLong)?;
        Ok(octets)
    }

    fn numbered(
        self,
        QuestionId(number): QuestionId,
        of: impl Serialize,
    ) -> Result<Vec<u8>, TooLong> {
        self.form(&Numbered { number, of })
    }

    fn hello(self, hello: &Hello) -> Result<Vec<u8>, TooLong> {
        self.form(&HelloForm {
            namespace: hello.cluster.namespace(),
            name: hello.cluster.name(),
            uid: hello.cluster.uid(),
            identity: &hello.identity.to_string(),
            version: hello.version,
            oldest: hello.oldest,
            capabilities: hello.capabilities.0,
            dial: hello.dial,
            software: &hello.software,
        })
    }

    fn message(self, message: &Message) -> Result<Vec<u8>, TooLong> {
        match message {
            Message::Ask(Ask { epoch, sent, .. }) => self.form(&AskForm {
                epoch: epoch.number(),
                sent: sent.as_nanos(),
            }),
            Message::Promise(promise) => self.form(&PromiseForm {
                holder: &promise.holder.to_string(),
                epoch: promise.epoch.number(),
                sent: promise.sent.as_nanos(),
            }),
            Message::AskRefused(refused) => self.form(&AskRefusedForm {
                holder: &refused.holder.to_string(),
                epoch: refused.epoch.number(),
                sent: refused.sent.as_nanos(),
                why: refusal(refused.why),
            }),
            Message::Applied(at) => self.form(&position(*at)),
            Message::Control(Control {
                local,
                remote,
                octets,
            }) => self.form(&DatagramForm {
                local: *local,
                remote: *remote,
                octets: Octets(octets),
            }),
            Message::Ppp(frame) => self.ppp(frame),
            Message::Report(Report(sessions)) => self.form(&ReportForm {
                sessions: sessions.iter().map(session).collect(),
            }),
        }
    }

    fn ppp(self, frame: &PppFrame) -> Result<Vec<u8>, TooLong> {
        self.form(&PppForm {
            tunnel: frame.tunnel.0,
            session: frame.session.0,
            local: frame.local,
            remote: frame.remote,
            frame: Octets(&frame.frame),
        })
    }

    fn question(self, id: QuestionId, question: &Question) -> Result<Vec<u8>, TooLong> {
        match question {
            Question::Position => self.numbered(id, ()),
            Question::Records(after) => self.numbered(id, position(*after)),
            Question::Dynamic(request) => self.numbered(
                id,
                DatagramForm {
                    local: request.local,
                    remote: request.remote,
                    octets: Octets(&request.octets),
                },
            ),
            Question::Admin(query) => self.numbered(
                id,
                AdminQueryForm {
                    method: &query.method,
                    path: &query.path,
                    body: Octets(&query.body),
                },
            ),
        }
    }

    fn answer(self, id: QuestionId, answer: &Answer) -> Result<Vec<u8>, TooLong> {
        match answer {
            Answer::Position(at) => self.numbered(id, position(*at)),
            Answer::Records(page) => self.numbered(
                id,
                RecordsForm {
                    records: page.records().iter().map(record).collect(),
                    more: page.has_more(),
                    whole: page.is_whole(),
                    store: page.reaches_store(),
                },
            ),
            Answer::Dynamic(reply) => self.numbered(id, reply.as_deref().map(Octets)),
            Answer::Admin(answer) => self.numbered(
                id,
                AdminAnswerForm {
                    status: answer.status,
                    content_type: &answer.content_type,
                    body: Octets(&answer.body),
                },
            ),
        }
    }
}

const fn position(at: Position) -> PositionForm {
    PositionForm {
        epoch: at.epoch.number(),
        seq: at.seq,
    }
}

fn session(report: &SessionReport) -> SessionForm {
    SessionForm {
        tunnel: report.tunnel.0,
        session: report.session.0,
        up: passed(&report.up),
        down: passed(&report.down),
    }
}

fn passed(passed: &Passed) -> PassedForm {
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    PassedForm {
        octets: passed.octets,
        packets: passed.packets,
        age: passed.age.map(millis),
    }
}

fn record(record: &PeerRecord) -> RecordForm<'_> {
    RecordForm {
        key: record.key(),
        position: position(record.position()),
        octets: record.octets().map(Octets),
    }
}

/// The number of a refusal; `read` has the way back.
const fn refusal(why: Refusal) -> u8 {
    match why {
        Refusal::Master => 1,
        Refusal::OwnNode => 2,
        Refusal::OldEpoch => 3,
        Refusal::NotInLease => 4,
    }
}

/// The number of a failure that a peer tells; `read` has the way back.
const fn code(failure: Failure) -> u8 {
    match failure {
        Failure::Busy => 1,
        Failure::OldEpoch => 2,
        Failure::NotMaster => 3,
        Failure::TooLong => 4,
        Failure::NotConnected
        | Failure::Disconnected
        | Failure::Timeout
        | Failure::Full
        | Failure::Unsupported
        | Failure::Unanswered
        | Failure::Mismatch => 0,
    }
}
