//! What a frame says, and what it may not be longer than.

use lns_cluster::Identity;
use thiserror::Error;

use super::hello::{Goodbye, Hello, Refused};
use super::kind::Kind;
use super::message::{
    AdminAnswer, AdminQuery, Answer, Failure, Message, PeerRecord, Question, RecordsPage,
};
use crate::limits::{
    ADMIN_LINE, ADMIN_QUERY, DATAGRAM, INCARNATION, NODE_NAME, PART, RECORDS, REPORT, TEXT,
};

/// What a frame says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// Who is there.
    Hello(Box<Hello>),
    /// The connection is not taken.
    Refused(Refused),
    /// The connection ends.
    Goodbye(Goodbye),
    /// The sender lives.
    Alive,
    /// What to seal packets with.
    DataKey(DataKey),
    /// What is said once.
    Message(Message),
    /// A question.
    Question(QuestionId, Question),
    /// What comes before the end of an admin answer's body.
    Part(QuestionId, Vec<u8>),
    /// An answer; of one of the admin interface, with what is left of its body.
    Answer(QuestionId, Answer),
    /// There is no answer.
    Failed(QuestionId, Failure),
}

/// By what an answer belongs to its question: who asks counts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QuestionId(pub u32);

/// The sender can open packets that are sealed with this key, and wants no other any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DataKey {
    /// The how manieth key of this connection and direction it is, from zero.
    pub generation: u32,
    /// What the sender knows it by.
    pub id: u32,
}

/// Something is longer than the channel takes.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("longer than the peer channel takes")]
pub struct TooLong;

/// Why a frame is not taken. It is counted, and the next one is looked at.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unreadable {
    /// A newer version may know it.
    #[error("kind {0} is not known")]
    Unknown(u16),
    /// The octets are not what the kind says.
    #[error("a broken frame of kind {kind}", kind = .0.label())]
    Malformed(Kind),
    /// They say more than is allowed.
    #[error("too much in a frame of kind {kind}", kind = .0.label())]
    TooLong(Kind),
}

impl Unreadable {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_kind",
            Self::Malformed(_) => "malformed",
            Self::TooLong(_) => "too_long",
        }
    }
}

impl Body {
    /// The kind of its frame.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Refused(_) => Kind::Refused,
            Self::Goodbye(_) => Kind::Goodbye,
            Self::Alive => Kind::Alive,
            Self::DataKey(_) => Kind::DataKey,
            Self::Message(message) => message.kind(),
            Self::Question(_, question) => question.kind(),
            Self::Part(..) => Kind::AdminPart,
            Self::Answer(_, answer) => answer.kind(),
            Self::Failed(..) => Kind::Failed,
        }
    }

    /// Whether nothing in it is longer than may be.
    pub(super) fn is_within_limits(&self) -> bool {
        match self {
            Self::Hello(hello) => fits(&hello.identity) && hello.software.len() <= TEXT,
            Self::Refused(refused) => refused.words.len() <= TEXT,
            Self::Message(message) => message.is_within_limits(),
            Self::Question(_, question) => question.is_within_limits(),
            Self::Part(_, octets) => octets.len() <= PART,
            Self::Answer(_, answer) => answer.is_within_limits(),
            Self::Goodbye(_) | Self::Alive | Self::DataKey(_) | Self::Failed(..) => true,
        }
    }
}

impl Message {
    /// The kind of its frame.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ask(_) => Kind::Ask,
            Self::Promise(_) => Kind::Promise,
            Self::AskRefused(_) => Kind::AskRefused,
            Self::Applied(_) => Kind::Applied,
            Self::Control(_) => Kind::Control,
            Self::Ppp(_) => Kind::Ppp,
            Self::Report(_) => Kind::Report,
        }
    }

    fn is_within_limits(&self) -> bool {
        match self {
            Self::Promise(promise) => fits(&promise.holder),
            Self::AskRefused(refused) => fits(&refused.holder),
            Self::Control(control) => control.octets.len() <= DATAGRAM,
            Self::Ppp(frame) => frame.frame.len() <= DATAGRAM,
            Self::Report(report) => report.0.len() <= REPORT,
            Self::Ask(_) | Self::Applied(_) => true,
        }
    }
}

impl Question {
    /// The kind of its frame.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Position => Kind::AskPosition,
            Self::Records(_) => Kind::AskRecords,
            Self::Dynamic(_) => Kind::AskDynamic,
            Self::Admin(_) => Kind::AskAdmin,
        }
    }

    fn is_within_limits(&self) -> bool {
        match self {
            Self::Dynamic(request) => request.octets.len() <= DATAGRAM,
            Self::Admin(AdminQuery { method, path, body }) => {
                [method, path].iter().all(|line| line.len() <= ADMIN_LINE)
                    && body.len() <= ADMIN_QUERY
            }
            Self::Position | Self::Records(_) => true,
        }
    }
}

impl Answer {
    /// The kind of its frame.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Position(_) => Kind::Position,
            Self::Records(_) => Kind::Records,
            Self::Dynamic(_) => Kind::Dynamic,
            Self::Admin(_) => Kind::Admin,
        }
    }

    /// Whether this answers `question`.
    pub const fn is_to(&self, question: Kind) -> bool {
        matches!(
            (self, question),
            (Self::Position(_), Kind::AskPosition)
                | (Self::Records(_), Kind::AskRecords)
                | (Self::Dynamic(_), Kind::AskDynamic)
                | (Self::Admin(_), Kind::AskAdmin)
        )
    }

    /// The body of an admin answer is cut into parts before.
    fn is_within_limits(&self) -> bool {
        match self {
            Self::Records(page) => is_page(page),
            Self::Dynamic(reply) => reply.as_ref().is_none_or(|octets| octets.len() <= DATAGRAM),
            Self::Admin(AdminAnswer {
                content_type, body, ..
            }) => content_type.len() <= ADMIN_LINE && body.len() <= PART,
            Self::Position(_) => true,
        }
    }
}

fn is_page(page: &RecordsPage) -> bool {
    page.records().len() <= RECORDS && page.records().iter().all(PeerRecord::is_within_limits)
}

/// Whether an identity is short enough, and nothing that would not be read in a line of a log.
pub(super) fn fits(identity: &Identity) -> bool {
    let text = identity.to_string();
    let (node, incarnation) = text.split_once('/').unwrap_or_default();
    node.len() <= NODE_NAME
        && incarnation.len() <= INCARNATION
        && text.bytes().all(|octet| octet.is_ascii_graphic())
}
