//! Messages from one thread to another, with no more wakeups than are needed.
//!
//! A [`Sender`] and a [`Receiver`] share a ring of fixed size; neither ever waits for the other. A
//! receiver that finds nothing says that it [sleeps](Receiver::sleep), and the first message after that
//! wakes it, by a call that their owner gives. Until the receiver has [answered](Receiver::wake), further
//! messages cause no call: they would tell it nothing new. So many messages to a receiver that is at work
//! cause one wakeup at most, one to a receiver that sleeps causes exactly one, and none is lost: the
//! receiver looks once more after it has said that it sleeps, and the sender looks whether it sleeps
//! after its message can be seen.

mod sync;

use core::fmt;
use std::sync::Arc;

use self::sync::{Acquire, AtomicBool, AtomicU64, Cell, Relaxed, Release, SeqCst, fence};

/// How the other side is woken: from any thread, without waiting, and so that a wakeup that comes before
/// the wait ends it at once.
pub trait Wake {
    /// Wakes it.
    fn wake(&self);
}

impl<F: Fn()> Wake for F {
    fn wake(&self) {
        self();
    }
}

/// Nobody takes messages any more, or the ring is full: the message comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full<T>(pub T);

/// What both sides see.
struct Shared<T> {
    ring: Box<[Cell<T>]>,
    /// Messages taken; the receiver's.
    taken: AtomicU64,
    /// Messages put; the sender's.
    put: AtomicU64,
    /// The receiver has found nothing and takes nothing until it is woken.
    asleep: AtomicBool,
    /// Wakeups sent; the sender's.
    signals: AtomicU64,
    /// Of those, how many the receiver has answered.
    acknowledged: AtomicU64,
    /// One side is gone.
    closed: AtomicBool,
}

impl<T> Shared<T> {
    fn cell(&self, number: u64) -> Option<&Cell<T>> {
        let length = u64::try_from(self.ring.len()).ok()?;
        let place = number.checked_rem(length)?;
        self.ring.get(usize::try_from(place).ok()?)
    }
}

/// Puts messages in. There is one per mailbox.
pub struct Sender<T, W: Wake> {
    shared: Arc<Shared<T>>,
    wake: W,
    /// Messages that came to a receiver which sleeps and had been sent a wakeup already.
    suppressed: u64,
}

/// Takes messages out. There is one per mailbox.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// A mailbox for `capacity` messages (at least 1), whose receiver is woken by `wake`.
pub fn mailbox<T, W: Wake>(capacity: usize, wake: W) -> (Sender<T, W>, Receiver<T>) {
    let shared = Arc::new(Shared {
        ring: (0..capacity.max(1)).map(|_| Cell::new()).collect(),
        taken: AtomicU64::new(0),
        put: AtomicU64::new(0),
        asleep: AtomicBool::new(false),
        signals: AtomicU64::new(0),
        acknowledged: AtomicU64::new(0),
        closed: AtomicBool::new(false),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
        wake,
        suppressed: 0,
    };
    (sender, Receiver { shared })
}

impl<T, W: Wake> Sender<T, W> {
    /// Puts a message in, and wakes the receiver if it must be.
    ///
    /// # Errors
    /// [`Full`]; see also [`Self::is_closed`].
    pub fn send(&mut self, message: T) -> Result<(), Full<T>> {
        let put = self.shared.put.load(Relaxed);
        // What was taken is out of its cell before it counts as taken.
        let waiting = put.wrapping_sub(self.shared.taken.load(Acquire));
        let room = usize::try_from(waiting).is_ok_and(|waiting| waiting < self.shared.ring.len());
        let cell = self.shared.cell(put);
        let Some(cell) = cell.filter(|_| room && !self.is_closed()) else {
            return Err(Full(message));
        };
        cell.put(message);
        self.shared.put.store(put.wrapping_add(1), Release);
        self.signal();
        Ok(())
    }

    fn signal(&mut self) {
        // Either the receiver's last look sees the message, or this look sees that it sleeps.
        fence(SeqCst);
        let signals = self.shared.signals.load(Relaxed);
        // In this order: who has answered a wakeup had said before that it is awake.
        let answered = self.shared.acknowledged.load(Acquire) == signals;
        if !self.shared.asleep.load(Relaxed) {
            return;
        }
        if !answered {
            self.suppressed = self.suppressed.wrapping_add(1);
            return;
        }
        self.shared.signals.store(signals.wrapping_add(1), Release);
        self.wake.wake();
    }

    /// Wakeups that were sent so far.
    pub fn signals(&self) -> u64 {
        self.shared.signals.load(Relaxed)
    }

    /// Messages that came while a wakeup was on its way, and caused none.
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Messages put in so far.
    pub fn sent(&self) -> u64 {
        self.shared.put.load(Relaxed)
    }

    /// Whether nobody takes messages any more.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Relaxed)
    }
}

impl<T, W: Wake> Drop for Sender<T, W> {
    /// Who waits for messages must know that none comes.
    fn drop(&mut self) {
        self.shared.closed.store(true, Release);
        self.wake.wake();
    }
}

impl<T> Receiver<T> {
    /// The oldest message.
    pub fn take(&mut self) -> Option<T> {
        let taken = self.shared.taken.load(Relaxed);
        if self.shared.put.load(Acquire) == taken {
            return None;
        }
        let message = self.shared.cell(taken).and_then(Cell::take);
        self.shared.taken.store(taken.wrapping_add(1), Release);
        message
    }

    /// Says that nothing is taken until a wakeup comes. `false`: there is something after all, or nobody
    /// can send any more; the receiver does not sleep then.
    pub fn sleep(&mut self) -> bool {
        self.acknowledge();
        self.shared.asleep.store(true, Relaxed);
        fence(SeqCst);
        let nothing = self.shared.put.load(Acquire) == self.shared.taken.load(Relaxed);
        if nothing && !self.is_closed() {
            return true;
        }
        self.shared.asleep.store(false, Relaxed);
        false
    }

    /// Says that messages are taken again: after a wakeup, or because something else came up.
    pub fn wake(&mut self) {
        self.shared.asleep.store(false, Relaxed);
        self.acknowledge();
    }

    fn acknowledge(&self) {
        let signals = self.shared.signals.load(Acquire);
        self.shared.acknowledged.store(signals, Release);
    }

    /// Whether nobody can send any more. What was sent before can still be taken.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Acquire)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Release);
    }
}

impl<T, W: Wake> fmt::Debug for Sender<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("sent", &self.sent())
            .field("signals", &self.signals())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
