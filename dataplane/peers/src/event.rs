//! What the owner of a member is told.

use std::sync::Arc;

use crate::epochs::Epochs;
use crate::failed::Failed;
use crate::inbox::Inbox;
use crate::link::Link;
use crate::member::{Authenticated, Member};
use crate::wire::{Answer, Failure, Message, Question, QuestionId};

/// What the owner of a member is told.
#[derive(Debug)]
pub enum Event {
    /// There is a connection to this peer. If there was one before, it has ended.
    Connected(Member),
    /// There is no connection to this peer any more, and why.
    Disconnected(Member, Failed),
    /// A peer knows of a higher epoch than we do: the one that it comes with.
    Epoch(Authenticated<()>),
    /// A peer says something.
    Message(Authenticated<Message>),
    /// A peer asks something, and the answer goes there.
    Question(Authenticated<Question>, Responder),
}

/// Where the answer to a question goes. One that is dropped tells the peer that there is none.
#[derive(Debug)]
pub struct Responder {
    link: Arc<Link>,
    id: QuestionId,
    epochs: Epochs,
    is_answered: bool,
}

impl Responder {
    pub(crate) const fn new(link: Arc<Link>, id: QuestionId, epochs: Epochs) -> Self {
        Self {
            link,
            id,
            epochs,
            is_answered: false,
        }
    }

    /// Answers, under the epoch that is known now.
    pub fn answer(mut self, answer: Answer) {
        self.tell(Ok(answer));
    }

    /// Says why there is no answer. Of the reasons those travel that a peer may give; others become
    /// [`Failure::Unanswered`].
    pub fn fail(mut self, why: Failure) {
        self.tell(Err(why));
    }

    fn tell(&mut self, answer: Result<Answer, Failure>) {
        self.is_answered = true;
        self.link
            .outbox
            .answer(self.id, answer, self.epochs.known());
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(Err(Failure::Unanswered));
        }
    }
}

/// Where events come from. There is one per [`Peers`](crate::Peers).
#[derive(Debug)]
pub struct Events(pub(crate) Arc<Inbox>);

impl Events {
    /// Waits for the next. `None`: the channel has ended. Cancelling this loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }

    /// Takes the next, if there is one.
    pub fn take(&mut self) -> Option<Event> {
        self.0.take()
    }
}
