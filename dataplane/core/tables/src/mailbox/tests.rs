//! The mailbox with threads of the system; every order of their steps is tried under loom.

use std::sync::Arc;
use std::thread::{self, Thread};

use super::*;

/// Wakes this thread, and counts how often.
#[derive(Clone)]
struct Bell(Arc<(AtomicU64, Thread)>);

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new((AtomicU64::new(0), thread::current())))
    }
}

impl Bell {
    fn rung(&self) -> u64 {
        self.0.0.load(Relaxed)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        let (rung, waiting) = &*self.0;
        rung.fetch_add(1, Relaxed);
        waiting.unpark();
    }
}

#[test]
fn r34_many_messages_to_a_receiver_at_work_cause_no_wakeup() {
    let bell = Bell::default();
    let (mut sender, mut receiver) = mailbox(100, bell.clone());
    for message in 0..100 {
        sender.send(message).unwrap();
    }
    assert_eq!(bell.rung(), 0);
    let taken: Vec<_> = core::iter::from_fn(|| receiver.take()).collect();
    assert_eq!(taken, (0..100).collect::<Vec<_>>());
}

#[test]
fn r34_a_message_to_a_receiver_that_sleeps_causes_exactly_one_wakeup() {
    let bell = Bell::default();
    let (mut sender, mut receiver) = mailbox(4, bell.clone());
    for round in 1..=10 {
        assert!(receiver.sleep());
        sender.send(round).unwrap();
        assert_eq!(bell.rung(), round);
        receiver.wake();
        assert_eq!(receiver.take(), Some(round));
    }
}

#[test]
fn r35_signals_are_suppressed_while_one_is_not_acknowledged() {
    let bell = Bell::default();
    let (mut sender, mut receiver) = mailbox(8, bell.clone());
    assert!(receiver.sleep());
    for message in 0..5 {
        sender.send(message).unwrap();
    }
    assert_eq!((bell.rung(), sender.signals()), (1, 1));
    assert_eq!(sender.suppressed(), 4);
    receiver.wake();
    while receiver.take().is_some() {}
    assert!(receiver.sleep());
    sender.send(5).unwrap();
    assert_eq!((bell.rung(), sender.suppressed()), (2, 4));
}

#[test]
fn a_receiver_that_looks_once_more_does_not_sleep_over_a_message() {
    let (mut sender, mut receiver) = mailbox(1, || {});
    sender.send(1).unwrap();
    assert!(!receiver.sleep());
    assert_eq!(receiver.take(), Some(1));
    assert!(receiver.sleep());
}

#[test]
fn what_does_not_fit_comes_back_and_room_is_room_again() {
    let (mut sender, mut receiver) = mailbox(2, || {});
    assert_eq!((sender.send(1), sender.send(2)), (Ok(()), Ok(())));
    assert_eq!(sender.send(3), Err(Full(3)));
    assert_eq!(receiver.take(), Some(1));
    assert_eq!(sender.send(3), Ok(()));
    assert_eq!([receiver.take(), receiver.take()], [Some(2), Some(3)]);
    assert_eq!(receiver.take(), None);
}

#[test]
fn the_end_of_one_side_is_seen_by_the_other_and_what_was_sent_is_still_there() {
    let bell = Bell::default();
    let (mut sender, mut receiver) = mailbox(2, bell.clone());
    assert!(receiver.sleep());
    receiver.wake();
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(bell.rung(), 1, "who waits is woken");
    assert!(!receiver.sleep() && receiver.is_closed());
    assert_eq!(receiver.take(), Some(1));

    let (mut sender, receiver) = mailbox(2, || {});
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(7), Err(Full(7)));
}

#[test]
fn a_million_messages_between_two_threads_arrive_in_order_and_each_signal_rings_once() {
    const MESSAGES: u64 = 1_000_000;
    let bell = Bell::default();
    let (mut sender, mut receiver) = mailbox(256, bell.clone());
    let signals = thread::scope(|scope| {
        let sending = scope.spawn(move || {
            for message in 0..MESSAGES {
                while sender.send(message).is_err() {
                    thread::yield_now();
                }
            }
            sender.signals()
        });
        let mut expected = 0;
        while expected < MESSAGES {
            while let Some(message) = receiver.take() {
                assert_eq!(message, expected);
                expected += 1;
            }
            if expected < MESSAGES && receiver.sleep() {
                thread::park();
                receiver.wake();
            }
        }
        sending.join().unwrap()
    });
    // And one for the end.
    assert_eq!(bell.rung(), signals + 1);
}
