//! One connection to one peer, from the greeting to its end.
//!
//! A task reads and writes. Reading never waits for anything but the peer, and writing never keeps
//! reading from going on: a peer that reads slowly fills its own [outbox](outbox) and nobody else's.

pub(crate) mod outbox;
pub(crate) mod pending;

use core::pin::pin;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

use lns_cluster::{Epoch, NodeName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::outbox::{Next, Outbox};
use self::pending::{Pending, Unasked};
use crate::config::Timing;
use crate::data::{Data, Keyring};
use crate::epochs::Epochs;
use crate::event::Responder;
use crate::failed::{Failed, FailedFor};
use crate::figures::{Counters, NotTaken};
use crate::inbox::Inbox;
use crate::limits::{FAREWELL, PART, REKEY_LOOK, STALLED};
use crate::member::{Authenticated, Member};
use crate::wire::{Body, Failure, Frame, Frames, Goodbye, Kind, QuestionId, decode};

/// One connection to one peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) member: Member,
    pub(crate) rank: Rank,
    pub(crate) outbox: Outbox,
    pub(crate) pending: Pending,
    pub(crate) counters: Arc<Counters>,
    /// The highest epoch that the peer has told.
    epoch: AtomicU64,
    /// What keys for packets are made of, if both hand packets over.
    keyring: Option<Keyring>,
    /// How many keys the peer was told to seal with.
    generation: AtomicU32,
}

/// Which of two connections between two members is kept: the higher one. Both sides come to the same
/// end, whichever they see first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Rank {
    /// It was opened by the one whose name comes first.
    by_first: bool,
    /// How many that one had opened before.
    dial: u64,
}

/// What a connection needs of the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) epochs: &'a Epochs,
    pub(crate) inbox: &'a Inbox,
    pub(crate) data: &'a Data,
    pub(crate) timing: Timing,
}

impl Rank {
    /// Of the connection that `opener` has opened to `other` as its `dial`th.
    pub(crate) fn new(opener: &NodeName, other: &NodeName, dial: u64) -> Self {
        Self {
            by_first: opener < other,
            dial,
        }
    }
}

impl Link {
    pub(crate) fn new(
        member: Member,
        rank: Rank,
        epoch: Epoch,
        counters: Arc<Counters>,
        keyring: Option<Keyring>,
    ) -> Self {
        Self {
            member,
            rank,
            outbox: Outbox::default(),
            pending: Pending::default(),
            counters,
            epoch: AtomicU64::new(epoch.number()),
            keyring,
            generation: AtomicU32::new(0),
        }
    }

    /// The highest epoch that the peer has told.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::new(self.epoch.load(Ordering::Relaxed)).unwrap_or(Epoch::LAST)
    }

    /// The peer knows this epoch.
    pub(crate) fn hear(&self, epoch: Epoch, context: &Context<'_>) {
        self.epoch.fetch_max(epoch.number(), Ordering::Relaxed);
        if epoch > context.epochs.known() {
            context.inbox.epoch(self.member.clone(), epoch);
        }
    }

    /// Makes the next key that the peer is to seal packets with, and tells it.
    pub(crate) fn rekey(&self, context: &Context<'_>) {
        let Some(keyring) = &self.keyring else {
            return;
        };
        // From one: zero is what there was before the first.
        let generation = self
            .generation
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        if let Some(key) = context.data.expect(keyring, generation) {
            self.outbox.data_key(key, context.epochs.known());
        }
    }

    /// Takes what a frame says, or counts why not. `Some`: the peer ends the connection.
    fn take(self: &Arc<Self>, frame: Frame<'_>, context: &Context<'_>) -> Option<Failed> {
        self.hear(frame.epoch, context);
        let epoch = frame.epoch;
        let body = match decode(frame, self.member.identity()) {
            Ok(body) => body,
            Err(unreadable) => {
                self.counters.not_taken(unreadable.into());
                return None;
            }
        };
        let kind = body.kind();
        if kind.is_fenced() && epoch < context.epochs.known() {
            self.fence(&body, context);
            return None;
        }
        match self.act(body, epoch, context) {
            Ok(ended) => {
                self.counters.received(kind);
                ended
            }
            Err(why) => {
                self.counters.not_taken(why);
                None
            }
        }
    }

    /// Refuses what was made under an older epoch (F4). The peer is told of the later one, and whoever
    /// waits for an answer is told at once.
    fn fence(&self, body: &Body, context: &Context<'_>) {
        self.counters.not_taken(NotTaken::OldEpoch);
        let known = context.epochs.known();
        self.outbox.alive(known);
        match body {
            Body::Question(id, _) => self.outbox.refuse(*id, Failure::OldEpoch, known),
            Body::Part(id, _) | Body::Answer(id, _) => {
                let _nobody = self.pending.fail(*id, Failure::OldEpoch);
            }
            Body::Hello(_)
            | Body::Refused(_)
            | Body::Goodbye(_)
            | Body::Alive
            | Body::DataKey(_)
            | Body::Message(_)
            | Body::Failed(..) => {}
        }
    }

    fn act(
        self: &Arc<Self>,
        body: Body,
        epoch: Epoch,
        context: &Context<'_>,
    ) -> Result<Option<Failed>, NotTaken> {
        let unasked = |Unasked| NotTaken::Unasked;
        match body {
            Body::Hello(_) | Body::Refused(_) => return Err(NotTaken::Unexpected),
            Body::Goodbye(why) => return Ok(Some(ended(why))),
            Body::Alive => {}
            Body::DataKey(key) => {
                let keyring = self.keyring.as_ref().ok_or(NotTaken::Unexpected)?;
                if !context.data.seal_with(keyring, key) {
                    return Err(NotTaken::Unexpected);
                }
            }
            Body::Message(message) => {
                let message = Authenticated::new(self.member.clone(), epoch, message);
                if !context.inbox.message(message) {
                    return Err(NotTaken::Full);
                }
            }
            Body::Question(id, question) => {
                if !self.outbox.admit() {
                    self.outbox
                        .refuse(id, Failure::Busy, context.epochs.known());
                    return Err(NotTaken::Busy);
                }
                let question = Authenticated::new(self.member.clone(), epoch, question);
                let responder = Responder::new(Arc::clone(self), id, context.epochs.clone());
                context.inbox.question(question, responder);
            }
            Body::Part(id, octets) => self.pending.part(id, &octets).map_err(unasked)?,
            Body::Answer(id, answer) => {
                self.pending.answer(id, answer, epoch).map_err(unasked)?;
            }
            Body::Failed(id, why) => self.pending.fail(id, why).map_err(unasked)?,
        }
        Ok(None)
    }
}

/// Gives up a question whose asker has gone.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) link: &'a Link,
    pub(crate) id: QuestionId,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.link.pending.forget(self.id);
    }
}

/// Serves a connection until it ends, and says why it did.
pub(crate) async fn serve(
    link: &Arc<Link>,
    stream: impl AsyncRead + AsyncWrite,
    frames: Frames,
    context: Context<'_>,
) -> Failed {
    let (reader, writer) = tokio::io::split(stream);
    let mut writing = pin!(write(link, writer, context));
    let failed = tokio::select! {
        failed = read(link, reader, frames, context) => failed,
        failed = &mut writing => failed,
        failed = keep_keys(link, context) => failed,
    };
    if failed.why == FailedFor::Stream {
        // The peer is told, if it still listens.
        link.outbox.close(Goodbye::Stream, context.epochs.known());
        let _late = timeout(FAREWELL.saturating_mul(2), writing).await;
    }
    link.pending.close();
    failed
}

/// Gives the peer another key before the last one is worn out. Never returns.
async fn keep_keys(link: &Link, context: Context<'_>) -> Failed {
    loop {
        sleep(REKEY_LOOK).await;
        if context.data.is_worn(link.member.number()) {
            link.rekey(&context);
        }
    }
}

async fn read(
    link: &Arc<Link>,
    mut stream: impl AsyncRead + Unpin,
    mut frames: Frames,
    context: Context<'_>,
) -> Failed {
    loop {
        // What came with the greeting comes first.
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(ended) = link.take(frame, &context) {
                        return ended;
                    }
                }
                Ok(None) => break,
                Err(error) => return error.into(),
            }
        }
        match timeout(context.timing.dead, stream.read(frames.space())).await {
            Err(_) => return Failed::timeout("the peer is silent"),
            Ok(Err(error)) => return Failed::of(&error),
            Ok(Ok(0)) => {
                return Failed::new(FailedFor::Closed, "the peer has closed the connection");
            }
            Ok(Ok(octets)) => frames.read(octets),
        }
    }
}

async fn write(
    link: &Arc<Link>,
    mut stream: impl AsyncWrite + Unpin,
    context: Context<'_>,
) -> Failed {
    let mut raised = context.epochs.watch();
    let mut octets = Vec::new();
    // The peer hears at once that we have taken the connection.
    let mut alive_at = Instant::now();
    loop {
        let last = gather(link, &mut octets);
        if !octets.is_empty() {
            if let Err(failed) = put(&mut stream, &octets).await {
                return failed;
            }
            octets.clear();
            let now = Instant::now();
            alive_at = now.checked_add(context.timing.alive).unwrap_or(now);
        } else if let Some(why) = last {
            // Who does not take it in time is left.
            let _late = timeout(FAREWELL, stream.shutdown()).await;
            sleep(FAREWELL).await;
            return why;
        } else {
            wait(link, &mut raised, alive_at, context.epochs).await;
        }
    }
}

/// Waits until there is something to write, or it is time to show that we live.
async fn wait(link: &Link, raised: &mut watch::Receiver<()>, alive_at: Instant, epochs: &Epochs) {
    let is_time = tokio::select! {
        () = link.outbox.changed() => false,
        _ = raised.changed() => true,
        () = sleep_until(alive_at) => true,
    };
    if is_time {
        link.outbox.alive(epochs.known());
    }
}

/// Puts what is to be written next into `octets`: a few frames, so that small ones share a record of TLS,
/// and few, so that what is urgent does not wait behind them. `Some`: it is the last.
fn gather(link: &Link, octets: &mut Vec<u8>) -> Option<Failed> {
    while octets.len() < PART {
        match link.outbox.take() {
            Next::Nothing => return None,
            Next::End => return Some(Failed::new(FailedFor::Leaving, "we have ended it")),
            Next::Frame(kind, frame) => {
                link.counters.sent(kind);
                octets.extend_from_slice(&frame);
            }
        }
    }
    None
}

async fn put(stream: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> Result<(), Failed> {
    let written = timeout(STALLED, async {
        stream.write_all(octets).await?;
        stream.flush().await
    })
    .await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failed::of(&error)),
        Err(_) => Err(Failed::timeout("the peer does not read what we send")),
    }
}

/// Why a peer has ended the connection.
fn ended(why: Goodbye) -> Failed {
    let failed = match why {
        Goodbye::Leaving => FailedFor::Left,
        Goodbye::Other => FailedFor::Closed,
        Goodbye::Replaced => FailedFor::Replaced,
        Goodbye::Stream => FailedFor::Stream,
    };
    Failed::new(failed, format!("the peer says goodbye: {why}"))
}

/// Which frames a peer of this version knows.
pub(crate) const fn knows(version: u16, kind: Kind) -> bool {
    kind.since() <= version
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_two_connections_that_cross_that_of_the_first_name_is_kept(
            first in "[a-m]{1,8}",
            last in "[n-z]{1,8}",
            dials in any::<[u64; 2]>(),
        ) {
            let [first, last] = [first, last].map(|name| NodeName::new(&name).unwrap());
            let of_first = Rank::new(&first, &last, dials[0]);
            let of_last = Rank::new(&last, &first, dials[1]);
            prop_assert!(of_first > of_last);
        }

        #[test]
        fn of_two_connections_of_one_side_the_later_is_kept(dials in any::<[u64; 2]>(), by_first in any::<bool>()) {
            let [a, b] = ["a", "b"].map(|name| NodeName::new(name).unwrap());
            let (opener, other) = if by_first { (&a, &b) } else { (&b, &a) };
            let [one, two] = dials.map(|dial| Rank::new(opener, other, dial));
            prop_assert_eq!(one.cmp(&two), dials[0].cmp(&dials[1]));
        }
    }
}
