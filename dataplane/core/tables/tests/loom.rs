//! Every order in which a worker can see what the control does to the page index, and in which the two
//! sides of a mailbox can see each other.
//!
//! The index is small here ([`lns_tables::index`] built with `--cfg loom`); the slots are as a
//! worker keeps them: ids beside the rest, guarded by a generation. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p lns-tables --test loom`.
#![cfg(loom)]

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::AtomicBool as Seen;

use lns_tables::index::{IndexLimits, IndexWriter, PageIndex};
use lns_tables::mailbox::{Full, mailbox};
use lns_tables::path::SlotIndex;
use lns_tables::rest::Rest;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use loom::sync::Notify;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicU32, fence};
use loom::thread;

const OLD: (TunnelId, SessionId) = (TunnelId(1), SessionId(1));
const NEW: (TunnelId, SessionId) = (TunnelId(2), SessionId(1));
const OLD_SUBSCRIBER: u32 = 11;
const NEW_SUBSCRIBER: u32 = 22;

/// What a worker keeps of a session, by a sequence lock.
#[derive(Default)]
struct Slot {
    generation: AtomicU32,
    ids: AtomicU32,
    subscriber: AtomicU32,
}

impl Slot {
    fn write(&self, ids: u32, subscriber: u32) {
        let generation = self.generation.load(Relaxed);
        self.generation.store(generation + 1, Relaxed);
        fence(Release);
        self.ids.store(ids, Relaxed);
        self.subscriber.store(subscriber, Relaxed);
        self.generation.store(generation + 2, Release);
    }

    /// The ids and the subscriber, unless they are being changed.
    fn read(&self) -> Option<(u32, u32)> {
        let generation = self.generation.load(Acquire);
        let read = (self.ids.load(Relaxed), self.subscriber.load(Relaxed));
        fence(Acquire);
        (generation % 2 == 0 && self.generation.load(Relaxed) == generation).then_some(read)
    }
}

fn word((tunnel, session): (TunnelId, SessionId)) -> u32 {
    u32::from(tunnel.0) << 16 | u32::from(session.0)
}

struct Tables {
    index: Arc<PageIndex>,
    slots: [Slot; 2],
}

impl Tables {
    /// Two tunnels may be open; the old session is, in slot 0.
    fn new() -> (IndexWriter, Arc<Self>) {
        let limits = IndexLimits {
            tunnels: 2,
            sessions: 2,
            quarantine: Rest::of(Duration::from_secs(31)),
        };
        let (mut writer, index) = PageIndex::new(limits);
        let tables = Self {
            index,
            slots: Default::default(),
        };
        tables.slots[0].write(word(OLD), OLD_SUBSCRIBER);
        assert!(writer.claim_tunnel(OLD.0) && writer.claim_session(OLD.0, OLD.1, SlotIndex(0)));
        (writer, Arc::new(tables))
    }

    fn slot(&self, index: SlotIndex) -> &Slot {
        &self.slots[usize::try_from(index.0).unwrap()]
    }

    /// The subscriber whom a packet of this session is taken for.
    fn find(&self, ids: (TunnelId, SessionId), refused: &Seen) -> Option<u32> {
        let slot = self.index.lookup(ids.0, ids.1)?;
        let (found, subscriber) = self.slot(slot).read()?;
        if found != word(ids) {
            refused.store(true, Relaxed);
            return None;
        }
        Some(subscriber)
    }

    /// Closes the old session's tunnel and opens the new session in its block.
    fn recycle(&self, writer: &mut IndexWriter, slot: SlotIndex) {
        let now = Instant::ZERO;
        assert!(writer.close_tunnel(OLD.0, now));
        self.slots[0].write(0, 0);
        assert!(writer.claim_tunnel(NEW.0));
        self.slot(slot).write(word(NEW), NEW_SUBSCRIBER);
        assert!(writer.claim_session(NEW.0, NEW.1, slot));
        assert_eq!(writer.counts().blocks, 1, "the block is the same");
    }
}

/// What a worker's lookups came to, over all orders of events.
struct Outcomes {
    found: Seen,
    missed: Seen,
    refused: Seen,
}

impl Outcomes {
    const fn new() -> Self {
        Self {
            found: Seen::new(false),
            missed: Seen::new(false),
            refused: Seen::new(false),
        }
    }

    /// Looks a session up while the control recycles its block, and `slot` with it: it must be that
    /// session or none.
    fn race(&'static self, ids: (TunnelId, SessionId), expected: u32, slot: SlotIndex) {
        loom::model(move || {
            let (mut writer, tables) = Tables::new();
            let worker = {
                let tables = Arc::clone(&tables);
                thread::spawn(move || match tables.find(ids, &self.refused) {
                    Some(subscriber) => {
                        assert_eq!(subscriber, expected);
                        self.found.store(true, Relaxed);
                    }
                    None => self.missed.store(true, Relaxed),
                })
            };
            tables.recycle(&mut writer, slot);
            worker.join().unwrap();
            assert_eq!(tables.find(OLD, &self.refused), None);
            assert_eq!(tables.find(NEW, &self.refused), Some(NEW_SUBSCRIBER));
        });
        assert!(
            self.found.load(Relaxed) && self.missed.load(Relaxed),
            "both were met"
        );
    }
}

#[test]
fn a_recycled_page_and_slot_are_never_taken_for_the_old_session() {
    static OUTCOMES: Outcomes = Outcomes::new();
    OUTCOMES.race(OLD, OLD_SUBSCRIBER, SlotIndex(0));
    assert!(
        OUTCOMES.refused.load(Relaxed),
        "the check of the ids was needed"
    );
}

#[test]
fn a_recycled_page_that_leads_to_another_slot_is_refused_by_its_ids() {
    static OUTCOMES: Outcomes = Outcomes::new();
    OUTCOMES.race(OLD, OLD_SUBSCRIBER, SlotIndex(1));
    assert!(
        OUTCOMES.refused.load(Relaxed),
        "the check of the ids was needed"
    );
}

#[test]
fn the_new_session_of_a_recycled_page_is_never_taken_for_the_old_one() {
    static OUTCOMES: Outcomes = Outcomes::new();
    OUTCOMES.race(NEW, NEW_SUBSCRIBER, SlotIndex(0));
}

#[test]
fn a_session_that_the_index_leads_to_is_wholly_in_its_slot() {
    loom::model(|| {
        let (mut writer, tables) = Tables::new();
        let worker = {
            let tables = Arc::clone(&tables);
            thread::spawn(move || {
                if let Some(slot) = tables.index.lookup(NEW.0, NEW.1) {
                    assert_eq!(tables.slot(slot).read(), Some((word(NEW), NEW_SUBSCRIBER)));
                }
            })
        };
        tables.recycle(&mut writer, SlotIndex(1));
        worker.join().unwrap();
    });
}

#[test]
fn a_closed_session_is_found_by_nobody_who_knows_that_it_is_closed() {
    loom::model(|| {
        let (mut writer, tables) = Tables::new();
        let closed = Arc::new(AtomicU32::new(0));
        let worker = {
            let (tables, closed) = (Arc::clone(&tables), Arc::clone(&closed));
            thread::spawn(move || {
                let is_closed = closed.load(Acquire) == 1;
                assert!(!is_closed || tables.index.lookup(OLD.0, OLD.1).is_none());
            })
        };
        assert_eq!(
            writer.close_session(OLD.0, OLD.1, Instant::ZERO),
            Some(SlotIndex(0))
        );
        closed.store(1, Release);
        worker.join().unwrap();
    });
}

/// What a sleeping receiver waits for, and how often it rang.
struct Bell {
    notify: Notify,
    rung: AtomicU32,
}

#[test]
fn r34_no_message_is_lost_and_a_receiver_is_signalled_once_per_sleep_at_most() {
    static SLEPT: Seen = Seen::new(false);
    static AWAKE: Seen = Seen::new(false);
    // Three interruptions where none is needed: all orders of events would take hours.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let bell = Arc::new(Bell {
            notify: Notify::new(),
            rung: AtomicU32::new(0),
        });
        let ring = Arc::clone(&bell);
        let (mut sender, mut receiver) = mailbox(2, move || {
            ring.rung.fetch_add(1, Relaxed);
            ring.notify.notify();
        });
        let sending = thread::spawn(move || {
            for message in 1..=2 {
                assert_eq!(sender.send(message), Ok(()), "there is room");
            }
            let rung = sender.signals();
            // A mailbox without a sender rings once more, which is not counted here.
            core::mem::forget(sender);
            rung
        });
        let (mut looks, mut expected) = (0, 1);
        while expected <= 2 {
            if let Some(message) = receiver.take() {
                assert_eq!(message, expected);
                expected += 1;
                continue;
            }
            looks += 1;
            if receiver.sleep() {
                // It may also return for no reason.
                bell.notify.wait();
                receiver.wake();
            }
        }
        let signals = sending.join().unwrap();
        assert_eq!(u64::from(bell.rung.load(Relaxed)), signals);
        assert!(
            signals <= looks,
            "one signal at most for each time that it wanted to sleep"
        );
        let met = if signals > 0 { &SLEPT } else { &AWAKE };
        met.store(true, Relaxed);
    });
    assert!(SLEPT.load(Relaxed) && AWAKE.load(Relaxed), "both were met");
}

#[test]
fn a_place_in_the_ring_is_used_again_only_when_its_message_was_taken() {
    static REFUSED: Seen = Seen::new(false);
    loom::model(|| {
        let (mut sender, mut receiver) = mailbox(1, || {});
        let taking = thread::spawn(move || {
            let first = receiver.take();
            (first, receiver)
        });
        assert_eq!(sender.send(1), Ok(()));
        let second = sender.send(2);
        let (first, mut receiver) = taking.join().unwrap();
        let rest: Vec<_> = core::iter::from_fn(|| receiver.take()).collect();
        let all: Vec<_> = first.into_iter().chain(rest).collect();
        match second {
            Ok(()) => assert_eq!(all, [1, 2]),
            Err(Full(2)) => {
                REFUSED.store(true, Relaxed);
                assert_eq!(all, [1]);
            }
            Err(Full(other)) => panic!("{other} came back"),
        }
    });
    assert!(REFUSED.load(Relaxed), "a full ring was met");
}
