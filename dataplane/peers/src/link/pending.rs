//! Questions of ours that wait for an answer of one peer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lns_cluster::Epoch;
use tokio::sync::oneshot;

use crate::limits::{ADMIN_ANSWER, QUESTIONS};
use crate::wire::{AdminAnswer, Answer, Failure, Kind, QuestionId};

/// What comes back: the answer, and the epoch that the peer knew.
pub(crate) type Outcome = Result<(Answer, Epoch), Failure>;

/// Those that wait.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u32,
    asked: BTreeMap<QuestionId, Asked>,
    /// The connection has ended.
    is_closed: bool,
}

#[derive(Debug)]
struct Asked {
    kind: Kind,
    /// What has come of the body of an admin answer.
    parts: Vec<u8>,
    tell: oneshot::Sender<Outcome>,
}

/// An answer to something that nobody waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unasked;

impl Pending {
    /// A question of this kind is about to be asked: its number, and where its outcome comes.
    ///
    /// # Errors
    /// Too many wait, or the connection has ended.
    pub(crate) fn ask(
        &self,
        kind: Kind,
    ) -> Result<(QuestionId, oneshot::Receiver<Outcome>), Failure> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Failure::Disconnected);
        }
        if state.asked.len() >= QUESTIONS {
            return Err(Failure::Full);
        }
        state.last = state.last.wrapping_add(1);
        let id = QuestionId(state.last);
        let (tell, told) = oneshot::channel();
        let asked = Asked {
            kind,
            parts: Vec::new(),
            tell,
        };
        state.asked.insert(id, asked);
        Ok((id, told))
    }

    /// Nobody waits for this any more.
    pub(crate) fn forget(&self, id: QuestionId) {
        self.lock().asked.remove(&id);
    }

    /// A part of the body of an admin answer has come.
    ///
    /// # Errors
    /// Nobody waits for it.
    pub(crate) fn part(&self, id: QuestionId, octets: &[u8]) -> Result<(), Unasked> {
        let mut state = self.lock();
        let asked = state.asked.get_mut(&id).ok_or(Unasked)?;
        let why = if asked.kind != Kind::AskAdmin {
            Failure::Mismatch
        } else if asked.parts.len().saturating_add(octets.len()) > ADMIN_ANSWER {
            Failure::TooLong
        } else {
            asked.parts.extend_from_slice(octets);
            return Ok(());
        };
        drop(state);
        self.fail(id, why)
    }

    /// An answer has come.
    ///
    /// # Errors
    /// Nobody waits for it.
    pub(crate) fn answer(
        &self,
        id: QuestionId,
        answer: Answer,
        epoch: Epoch,
    ) -> Result<(), Unasked> {
        let asked = self.lock().asked.remove(&id).ok_or(Unasked)?;
        let outcome = if answer.is_to(asked.kind) {
            Ok((whole(answer, asked.parts), epoch))
        } else {
            Err(Failure::Mismatch)
        };
        asked.tell.send(outcome).map_err(|_| Unasked)
    }

    /// There will be no answer.
    ///
    /// # Errors
    /// Nobody waits for it.
    pub(crate) fn fail(&self, id: QuestionId, why: Failure) -> Result<(), Unasked> {
        let asked = self.lock().asked.remove(&id).ok_or(Unasked)?;
        asked.tell.send(Err(why)).map_err(|_| Unasked)
    }

    /// The connection has ended: whoever waits is told, and nobody asks any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let asked = core::mem::take(&mut state.asked);
        drop(state);
        for (_, asked) in asked {
            // Who has given up does not mind.
            let _gone = asked.tell.send(Err(Failure::Disconnected));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admin answer with the whole body.
fn whole(answer: Answer, mut parts: Vec<u8>) -> Answer {
    match answer {
        Answer::Admin(AdminAnswer {
            status,
            content_type,
            body,
        }) => {
            parts.extend_from_slice(&body);
            Answer::Admin(AdminAnswer {
                status,
                content_type,
                body: parts,
            })
        }
        other @ (Answer::Position(_) | Answer::Records(_) | Answer::Dynamic(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Position;

    fn admin(body: &[u8]) -> Answer {
        Answer::Admin(AdminAnswer {
            status: 200,
            content_type: "text/plain".to_owned(),
            body: body.to_vec(),
        })
    }

    #[test]
    fn an_answer_finds_its_question_and_nothing_else() {
        let pending = Pending::default();
        let (first, mut told_first) = pending.ask(Kind::AskPosition).unwrap();
        let (second, mut told_second) = pending.ask(Kind::AskPosition).unwrap();
        let at = |seq| Position {
            epoch: Epoch::NONE,
            seq,
        };
        let answer = |id, seq| pending.answer(id, Answer::Position(at(seq)), Epoch::NONE);
        assert_eq!(answer(second, 2), Ok(()));
        assert_eq!(answer(second, 3), Err(Unasked));
        assert_eq!(
            told_second.try_recv().unwrap(),
            Ok((Answer::Position(at(2)), Epoch::NONE))
        );
        assert!(told_first.try_recv().is_err());
        pending.forget(first);
        assert_eq!(answer(first, 1), Err(Unasked));
    }

    #[test]
    fn an_answer_of_another_kind_is_none() {
        let pending = Pending::default();
        let (id, mut told) = pending.ask(Kind::AskPosition).unwrap();
        assert_eq!(pending.answer(id, admin(b""), Epoch::NONE), Ok(()));
        assert_eq!(told.try_recv().unwrap(), Err(Failure::Mismatch));
        let (id, mut told) = pending.ask(Kind::AskRecords).unwrap();
        assert_eq!(pending.part(id, b"a"), Ok(()));
        assert_eq!(told.try_recv().unwrap(), Err(Failure::Mismatch));
    }

    #[test]
    fn a_long_answer_is_put_together_of_its_parts_and_bounded() {
        let pending = Pending::default();
        let (id, mut told) = pending.ask(Kind::AskAdmin).unwrap();
        assert_eq!(pending.part(id, b"one "), Ok(()));
        assert_eq!(pending.part(id, b"two "), Ok(()));
        assert_eq!(pending.answer(id, admin(b"three"), Epoch::NONE), Ok(()));
        assert_eq!(
            told.try_recv().unwrap(),
            Ok((admin(b"one two three"), Epoch::NONE))
        );
        let (id, mut told) = pending.ask(Kind::AskAdmin).unwrap();
        let part = vec![0; ADMIN_ANSWER / 2];
        assert_eq!(pending.part(id, &part), Ok(()));
        assert_eq!(pending.part(id, &part), Ok(()));
        assert_eq!(pending.part(id, b"x"), Ok(()));
        assert_eq!(told.try_recv().unwrap(), Err(Failure::TooLong));
        assert_eq!(pending.part(id, b"x"), Err(Unasked));
    }

    #[test]
    fn questions_are_bounded_and_end_with_the_connection() {
        let pending = Pending::default();
        let mut all: Vec<_> = (0..QUESTIONS)
            .map(|_| pending.ask(Kind::AskPosition).unwrap().1)
            .collect();
        assert_eq!(pending.ask(Kind::AskPosition).unwrap_err(), Failure::Full);
        pending.close();
        for told in &mut all {
            assert_eq!(told.try_recv().unwrap(), Err(Failure::Disconnected));
        }
        assert_eq!(
            pending.ask(Kind::AskPosition).unwrap_err(),
            Failure::Disconnected
        );
    }
}
