//! What waits to be written to one peer.
//!
//! What is urgent is no queue: of each kind only the last one counts, because the later one says all
//! that the one before did, so it takes its place. It always goes first. All else takes turns, a frame
//! each; of what may be lost the newest gives way when there is no room, and that is counted.
//!
//! | | what | room | when it is full |
//! |---|---|---|---|
//! | urgent | alive, data keys, questions for promises and their answers, positions applied | one each | the later takes the place of the earlier |
//! | 1 | answers | [`ANSWERS_OCTETS`] | the peer is told that we are busy |
//! | 2 | questions | [`QUESTIONS`] | the question fails |
//! | 3 | forwarded control messages and PPP frames | [`FORWARDS`], [`FORWARDS_OCTETS`] | the newest is dropped |
//! | 4 | reports | [`REPORTS`] | the newest is dropped |
//!
//! Nothing of it outlives its connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lns_cluster::Epoch;
use thiserror::Error;
use tokio::sync::Notify;

use crate::limits::{
    ADMIN_ANSWER, ANSWERS_OCTETS, FORWARDS, FORWARDS_OCTETS, PART, QUESTIONS, REPORTS,
};
use crate::wire::{
    AdminAnswer, Answer, Body, DataKey, Failure, Goodbye, Kind, Message, Question, QuestionId,
    TooLong, encode,
};

/// Why something was not put in.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SendError {
    /// There is no connection to the peer.
    #[error("there is no connection to this peer")]
    NotConnected,
    /// There is no room for it.
    #[error("too much waits to be sent to this peer")]
    Full,
    /// It is longer than the channel takes.
    #[error("longer than the peer channel takes")]
    TooLong,
    /// The peer's version does not know what it is.
    #[error("the peer's version does not know this")]
    Unsupported,
}

impl From<TooLong> for SendError {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

/// What to write next.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// This frame.
    Frame(Kind, Vec<u8>),
    /// Nothing for now.
    Nothing,
    /// Nothing ever: the connection ends.
    End,
}

/// The places of what is urgent, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Alive,
    DataKey,
    Promise,
    AskRefused,
    Ask,
    Applied,
}

const PLACES: usize = 6;

#[derive(Debug, Default)]
struct Waiting {
    urgent: [Option<(Kind, Vec<u8>)>; PLACES],
    answers: VecDeque<Reply>,
    answers_octets: usize,
    /// Answers that are owed: not given, or not written yet.
    owed: usize,
    questions: VecDeque<(Kind, Vec<u8>)>,
    forwards: VecDeque<(Kind, Vec<u8>)>,
    forwards_octets: usize,
    reports: VecDeque<(Kind, Vec<u8>)>,
    /// Whose turn it is.
    turn: usize,
    /// The last frame, once the connection is to end.
    farewell: Option<Vec<u8>>,
    is_closed: bool,
}

/// An answer, of which parts may have been written already.
#[derive(Debug)]
struct Reply {
    id: QuestionId,
    epoch: Epoch,
    answer: Result<Answer, Failure>,
    /// What of the body of an admin answer was written.
    written: usize,
    /// The question was admitted.
    is_owed: bool,
}

/// How many take turns.
const TURNS: usize = 4;

impl Outbox {
    /// Says that we live, and what we know.
    pub(crate) fn alive(&self, epoch: Epoch) {
        self.urgent(Place::Alive, &Body::Alive, epoch);
    }

    /// Says with which key to seal.
    pub(crate) fn data_key(&self, key: DataKey, epoch: Epoch) {
        self.urgent(Place::DataKey, &Body::DataKey(key), epoch);
    }

    /// Puts a message in. `Ok(false)`: there was no room, and it is lost.
    ///
    /// # Errors
    /// It is too long.
    pub(crate) fn message(&self, message: Message, epoch: Epoch) -> Result<bool, TooLong> {
        let place = match message {
            Message::Ask(_) => Place::Ask,
            Message::Promise(_) => Place::Promise,
            Message::AskRefused(_) => Place::AskRefused,
            Message::Applied(_) => Place::Applied,
            Message::Control(_) | Message::Ppp(_) | Message::Report(_) => {
                return self.bulk(message, epoch);
            }
        };
        self.put(place, &Body::Message(message), epoch)?;
        Ok(true)
    }

    fn bulk(&self, message: Message, epoch: Epoch) -> Result<bool, TooLong> {
        let kind = message.kind();
        let frame = encode(&Body::Message(message), epoch)?;
        let mut waiting = self.lock();
        let taken = waiting.bulk(kind, frame);
        drop(waiting);
        self.changed.notify_one();
        Ok(taken)
    }

    /// Puts a question in.
    ///
    /// # Errors
    /// It is too long, or there is no room.
    pub(crate) fn question(
        &self,
        id: QuestionId,
        question: Question,
        epoch: Epoch,
    ) -> Result<(), SendError> {
        let kind = question.kind();
        let frame = encode(&Body::Question(id, question), epoch)?;
        let mut waiting = self.lock();
        if waiting.questions.len() >= QUESTIONS {
            return Err(SendError::Full);
        }
        waiting.questions.push_back((kind, frame));
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Whether the peer may ask one more question: so many answers are owed at most. An
    /// [`answer`](Self::answer) must follow.
    pub(crate) fn admit(&self) -> bool {
        let mut waiting = self.lock();
        let may = waiting.owed < QUESTIONS;
        if may {
            waiting.owed = waiting.owed.saturating_add(1);
        }
        may
    }

    /// Puts the answer to a question in that was [admitted](Self::admit). Where there is no room for it,
    /// the peer is told so instead.
    pub(crate) fn answer(&self, id: QuestionId, answer: Result<Answer, Failure>, epoch: Epoch) {
        let mut waiting = self.lock();
        waiting.answer(id, answer, epoch);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Refuses a question that was not admitted. A peer that asks on and reads nothing is told nothing.
    pub(crate) fn refuse(&self, id: QuestionId, why: Failure, epoch: Epoch) {
        let mut waiting = self.lock();
        if waiting.answers.len() < 2 * QUESTIONS {
            waiting.answers.push_back(Reply {
                id,
                epoch,
                answer: Err(why),
                written: 0,
                is_owed: false,
            });
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// The connection ends: what is urgent is still written, then why, and nothing more.
    pub(crate) fn close(&self, why: Goodbye, epoch: Epoch) {
        let mut waiting = self.lock();
        if waiting.farewell.is_none() {
            waiting.farewell = encode(&Body::Goodbye(why), epoch).ok();
            waiting.is_closed = true;
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Takes what is to be written next.
    pub(crate) fn take(&self) -> Next {
        self.lock().take()
    }

    /// Waits until there may be something to take.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn urgent(&self, place: Place, body: &Body, epoch: Epoch) {
        // These are never too long.
        let _short = self.put(place, body, epoch);
    }

    fn put(&self, place: Place, body: &Body, epoch: Epoch) -> Result<(), TooLong> {
        let frame = encode(body, epoch)?;
        let mut waiting = self.lock();
        if let Some(at) = waiting.urgent.get_mut(place.index()) {
            *at = Some((body.kind(), frame));
        }
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    const fn index(self) -> usize {
        match self {
            Self::Alive => 0,
            Self::DataKey => 1,
            Self::Promise => 2,
            Self::AskRefused => 3,
            Self::Ask => 4,
            Self::Applied => 5,
        }
    }
}

impl Waiting {
    fn bulk(&mut self, kind: Kind, frame: Vec<u8>) -> bool {
        if kind == Kind::Report {
            let has_room = self.reports.len() < REPORTS;
            if has_room {
                self.reports.push_back((kind, frame));
            }
            return has_room;
        }
        let octets = self.forwards_octets.saturating_add(frame.len());
        let has_room = self.forwards.len() < FORWARDS && octets <= FORWARDS_OCTETS;
        if has_room {
            self.forwards_octets = octets;
            self.forwards.push_back((kind, frame));
        }
        has_room
    }

    fn answer(&mut self, id: QuestionId, answer: Result<Answer, Failure>, epoch: Epoch) {
        let length = length(&answer);
        let octets = self.answers_octets.saturating_add(length);
        let answer = if length > ADMIN_ANSWER {
            Err(Failure::TooLong)
        } else if octets > ANSWERS_OCTETS {
            Err(Failure::Busy)
        } else {
            self.answers_octets = octets;
            answer
        };
        self.answers.push_back(Reply {
            id,
            epoch,
            answer,
            written: 0,
            is_owed: true,
        });
    }

    fn take(&mut self) -> Next {
        let urgent = self.urgent.iter_mut().find_map(Option::take);
        if let Some((kind, frame)) = urgent {
            return Next::Frame(kind, frame);
        }
        if self.is_closed {
            let farewell = self.farewell.take();
            return farewell.map_or(Next::End, |frame| Next::Frame(Kind::Goodbye, frame));
        }
        for _ in 0..TURNS {
            let turn = self.turn;
            self.turn = turn.saturating_add(1).checked_rem(TURNS).unwrap_or(0);
            if let Some((kind, frame)) = self.take_of(turn) {
                return Next::Frame(kind, frame);
            }
        }
        Next::Nothing
    }

    fn take_of(&mut self, turn: usize) -> Option<(Kind, Vec<u8>)> {
        match turn {
            0 => self.take_answer(),
            1 => self.questions.pop_front(),
            2 => {
                let taken = self.forwards.pop_front()?;
                self.forwards_octets = self.forwards_octets.saturating_sub(taken.1.len());
                Some(taken)
            }
            _ => self.reports.pop_front(),
        }
    }

    /// The next part of the first answer, which goes to the end if there is more of it.
    fn take_answer(&mut self) -> Option<(Kind, Vec<u8>)> {
        let mut reply = self.answers.pop_front()?;
        if let Some(part) = reply.part() {
            let frame = encode(&Body::Part(reply.id, part), reply.epoch).ok()?;
            self.answers.push_back(reply);
            return Some((Kind::AdminPart, frame));
        }
        let length = length(&reply.answer);
        self.answers_octets = self.answers_octets.saturating_sub(length);
        self.owed = self.owed.saturating_sub(usize::from(reply.is_owed));
        let Reply { id, epoch, .. } = reply;
        let body = reply.last();
        if let Ok(frame) = encode(&body, epoch) {
            return Some((body.kind(), frame));
        }
        let failed = Body::Failed(id, Failure::TooLong);
        Some((failed.kind(), encode(&failed, epoch).ok()?))
    }
}

impl Reply {
    /// The next part of a body that is too long for one frame.
    fn part(&mut self) -> Option<Vec<u8>> {
        let Ok(Answer::Admin(AdminAnswer { body, .. })) = &self.answer else {
            return None;
        };
        let rest = body.get(self.written..)?;
        let part = rest.get(..PART).filter(|part| part.len() < rest.len())?;
        self.written = self.written.saturating_add(part.len());
        Some(part.to_vec())
    }

    /// What is left of it, as the last frame.
    fn last(self) -> Body {
        match self.answer {
            Ok(Answer::Admin(mut answer)) => {
                answer.body.drain(..self.written.min(answer.body.len()));
                Body::Answer(self.id, Answer::Admin(answer))
            }
            Ok(answer) => Body::Answer(self.id, answer),
            Err(failure) => Body::Failed(self.id, failure),
        }
    }
}

/// What an answer takes of the room for answers. Others than these two are short.
fn length(answer: &Result<Answer, Failure>) -> usize {
    match answer {
        Ok(Answer::Admin(answer)) => answer.body.len(),
        Ok(Answer::Records(page)) => {
            let octets = page.records().iter().filter_map(|record| record.octets());
            octets.map(<[u8]>::len).sum()
        }
        Ok(Answer::Position(_) | Answer::Dynamic(_)) | Err(_) => 0,
    }
}

#[cfg(test)]
mod tests;
