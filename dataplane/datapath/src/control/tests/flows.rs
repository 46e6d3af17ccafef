//! Ports, chains and policies: whose flows end when, and whose do not.

use std::sync::Arc;

use lns_l2sess::graph::Visit;
use lns_l2sess::policy::{Action, OnChange, Policy, PolicyBook, PolicyTable};
use lns_l2sess::{ChainId, Direction, Seconds, Timeouts, Verdict};
use proptest::prelude::*;

use super::*;
use crate::flows::FlowsHandle;

/// A policy that opens every flow.
fn opens(name: &str) -> Policy {
    Policy {
        name: name.into(),
        filter_ids: Vec::new(),
        input: Some(PolicyTable {
            rules: Vec::new(),
            default: Action::Track,
        }),
        output: None,
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: None,
    }
}

/// A control whose sessions may have either of two chains.
struct Bed {
    control: Control,
    book: PolicyBook,
    chains: [ChainId; 2],
}

impl Bed {
    fn new(shared: &Shared) -> Self {
        let mut book = PolicyBook::new(1);
        book.replace(vec![opens("a"), opens("b")]).unwrap();
        let chains = ["a", "b"].map(|name| book.chain(&[name.into()]).unwrap());
        let mut control = Control::new(shared, Vec::new(), 10);
        let policies = Arc::clone(book.current());
        control.apply(&PathUpdate::SetPolicies { policies });
        Self {
            control,
            book,
            chains,
        }
    }

    fn set(&mut self, slot: u32, session: u16, chain: ChainId) {
        let path = SessionPath {
            chain,
            ..path(session, None)
        };
        set(&mut self.control, slot, path);
    }

    /// A packet of the session in that slot, to that port of a server.
    fn up(&self, slot: u32, port: u16) -> Verdict {
        let found = self.control.tables.slot(SlotIndex(slot)).unwrap().unwrap();
        self.up_of(slot, found.view.chain, port)
    }

    fn up_of(&self, slot: u32, chain: ChainId, port: u16) -> Verdict {
        let mut packet = [0; 28];
        packet[0] = 0x45;
        packet[3] = 28;
        packet[9] = 17;
        packet[12..20].copy_from_slice(&[100, 64, 0, 9, 198, 51, 100, 7]);
        packet[22..24].copy_from_slice(&port.to_be_bytes());
        packet[25] = 8;
        let visit = Visit {
            lane: 0,
            port: port_of(SlotIndex(slot)),
            chain,
            direction: Direction::Input,
            packet: &packet,
            now: Seconds::new(1),
        };
        let policies = self.control.policies.current();
        self.control.classifier.classify(&policies, &visit)
    }

    fn flows(&self, slot: u32) -> usize {
        let table = self.control.classifier.table();
        table.flows_of(port_of(SlotIndex(slot)), 1_000).len()
    }

    fn in_use(&self) -> u32 {
        self.control.classifier.table().counts().in_use
    }
}

#[test]
fn a_session_takes_its_flows_with_it_and_who_comes_next_into_its_slot_has_none() {
    for replaced in [false, true] {
        let mut bed = Bed::new(&shared(0));
        let [chain, _] = bed.chains;
        bed.set(1, 1, chain);
        bed.set(2, 2, chain);
        for slot in [1, 2] {
            assert_eq!(bed.up(slot, 53), Verdict::Forward);
        }
        if !replaced {
            assert!(clear(&mut bed.control, 1, 1).is_some());
            assert_eq!((bed.flows(1), bed.in_use()), (0, 1));
            let refused = bed.up_of(1, chain, 53);
            assert!(matches!(refused, Verdict::Drop(_)), "{refused:?}");
        }
        bed.set(1, 3, chain);
        assert_eq!((bed.flows(1), bed.flows(2)), (0, 1));
        assert_eq!(bed.up(1, 54), Verdict::Forward);
        assert_eq!((bed.flows(1), bed.in_use()), (1, 2));
    }
}

#[test]
fn a40_another_chain_ends_the_flows_of_that_session_only_and_the_same_one_keeps_them() {
    let mut bed = Bed::new(&shared(0));
    let [first, second] = bed.chains;
    for slot in [1_u16, 2] {
        bed.set(slot.into(), slot, first);
        assert_eq!(bed.up(slot.into(), 53), Verdict::Forward);
    }
    bed.set(1, 1, first);
    bed.control.settle();
    assert_eq!((bed.flows(1), bed.flows(2)), (1, 1));
    bed.set(1, 1, second);
    bed.control.settle();
    assert_eq!((bed.flows(1), bed.flows(2)), (0, 1));
    assert_eq!(bed.up(1, 53), Verdict::Forward);
    bed.control.settle();
    assert_eq!((bed.flows(1), bed.flows(2)), (1, 1));
    bed.set(1, 1, ChainId::NONE);
    bed.control.settle();
    assert_eq!((bed.flows(1), bed.flows(2)), (0, 1));
}

#[test]
fn flows_that_a_worker_opens_under_the_former_policies_end_with_the_others() {
    let shared = shared(1);
    let mut bed = Bed::new(&shared);
    let [first, second] = bed.chains;
    bed.set(1, 1, first);
    shared.stages[0].advance();
    bed.set(1, 1, second);
    let visit = bed.up_of(1, first, 53);
    assert_eq!((visit, bed.flows(1)), (Verdict::Forward, 1));
    waits_for_the_worker(&shared, &mut bed.control, Control::settle);
    assert_eq!(bed.flows(1), 0);
}

#[test]
fn so_many_changes_are_not_put_off_for_ever() {
    let mut bed = Bed::new(&shared(0));
    let [first, second] = bed.chains;
    bed.set(1, 1, first);
    bed.up(1, 53);
    for number in 0..crate::limits::REBOUND {
        assert_eq!(bed.flows(1), 1);
        bed.set(1, 1, [second, first][number % 2]);
    }
    assert_eq!(bed.flows(1), 0);
    assert!(bed.control.rebound.is_empty());
}

#[test]
fn policies_are_taken_over_by_workers_and_the_former_ones_freed_by_the_control() {
    let shared = shared(0);
    let mut bed = Bed::new(&shared);
    let handle = FlowsHandle::new(&shared);
    let held = handle.policies();
    assert_eq!(held, *bed.book.current());
    for number in 0..5 {
        let policy = opens(&format!("policy-{number}"));
        bed.book.replace(vec![policy]).unwrap();
        let policies = Arc::clone(bed.book.current());
        bed.control.apply(&PathUpdate::SetPolicies { policies });
        assert_eq!(handle.policies(), *bed.book.current());
    }
    // The one that somebody holds, and the last.
    assert_eq!(bed.control.retired.len(), 2);
    drop(held);
    let policies = Arc::clone(bed.book.current());
    bed.control.apply(&PathUpdate::SetPolicies { policies });
    assert!(bed.control.retired.len() <= 2);
}

/// A worker is in a batch that began before the policies that are in force now, of which the chain is.
fn with_news(shared: &Shared, bed: &mut Bed) -> ChainId {
    shared.stages[0].advance();
    bed.book.replace(vec![opens("c")]).unwrap();
    let chain = bed.book.chain(&["c".into()]).unwrap();
    let policies = Arc::clone(bed.book.current());
    bed.control.apply(&PathUpdate::SetPolicies { policies });
    chain
}

#[test]
fn policies_are_every_workers_before_a_session_in_traffic_is_set_to_a_chain_of_them() {
    let shared = shared(1);
    let mut bed = Bed::new(&shared);
    let in_traffic = path(1, Some([100, 64, 0, 9]));
    set(&mut bed.control, 1, in_traffic);
    let chain = with_news(&shared, &mut bed);
    waits_for_the_worker(&shared, &mut bed.control, |control| {
        set(
            control,
            1,
            SessionPath {
                chain,
                ..in_traffic
            },
        );
    });
}

#[test]
fn a_session_that_comes_up_waits_for_no_worker() {
    let shared = shared(1);
    let mut bed = Bed::new(&shared);
    let chain = with_news(&shared, &mut bed);
    let open = SessionPath {
        chain,
        ..path(1, Some([100, 64, 0, 9]))
    };
    let begins = SessionPath {
        chain: ChainId::NONE,
        address: None,
        ..open
    };
    let logged_in = SessionPath {
        address: None,
        ..open
    };
    does_not_wait(&shared, &mut bed.control, |control| {
        for path in [begins, logged_in, open] {
            set(control, 1, path);
            control.settle();
        }
        for path in [begins, open] {
            set(control, 2, path);
            control.settle();
        }
    });
}

#[test]
fn flows_are_listed_and_ended_by_session_or_all_at_once() {
    let shared = shared(0);
    let mut bed = Bed::new(&shared);
    let handle = FlowsHandle::new(&shared);
    let [chain, _] = bed.chains;
    for slot in [1_u16, 2, 3] {
        bed.set(slot.into(), slot, chain);
        for port in 0..slot {
            bed.up(slot.into(), port);
        }
    }
    assert_eq!(handle.flows_of(SlotIndex(3), 2).len(), 2);
    assert_eq!(handle.flows_of(SlotIndex(3), 10).len(), 3);
    let (all, more) = handle.flows(0, 100);
    assert_eq!((all.len(), more), (6, None));
    assert_eq!(handle.counts().flows(), 6);
    assert_eq!(handle.flush(SlotIndex(3)), 3);
    assert_eq!(handle.flush(SlotIndex(3)), 0);
    assert_eq!((bed.flows(1), bed.flows(2), bed.flows(3)), (1, 2, 0));
    assert_eq!(handle.flush_all(), 3);
    assert_eq!(bed.in_use(), 0);
    assert_eq!(handle.events().of(lns_l2sess::graph::Event::Cleared), 6);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Set(u32, u16, usize),
    Clear(u32, u16),
    Open(u32, u16),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        3 => (0_u32..4, 1_u16..4, 0_usize..3).prop_map(|(slot, session, chain)| Step::Set(slot, session, chain)),
        2 => (0_u32..4, 1_u16..4).prop_map(|(slot, session)| Step::Clear(slot, session)),
        4 => (0_u32..4, 1_u16..6).prop_map(|(slot, port)| Step::Open(slot, port)),
        1 => Just(Step::Settle),
    ];
    prop::collection::vec(one, 0..80)
}

proptest! {
    #[test]
    fn whatever_becomes_of_sessions_a_flow_is_of_one_that_is_there_and_in_the_end_none_is_left(steps in steps()) {
        let mut bed = Bed::new(&shared(0));
        let [a, b] = bed.chains;
        let chains = [a, b, ChainId::NONE];
        let mut sessions = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(slot, session, chain) => {
                    bed.set(slot, session, chains[chain]);
                    sessions.insert(slot, (session, chain));
                }
                Step::Clear(slot, session) => {
                    if clear(&mut bed.control, slot, session).is_some() {
                        sessions.remove(&slot);
                    }
                }
                Step::Open(slot, port) => match sessions.get(&slot) {
                    Some(_) => prop_assert_eq!(bed.up(slot, port), Verdict::Forward),
                    None => prop_assert!(bed.up_of(slot, a, port) != Verdict::Forward),
                },
                Step::Settle => bed.control.settle(),
            }
            for slot in (0..4).filter(|slot| !sessions.contains_key(slot)) {
                prop_assert_eq!(bed.flows(slot), 0);
            }
        }
        for (slot, (session, _)) in sessions {
            clear(&mut bed.control, slot, session);
        }
        prop_assert_eq!(bed.in_use(), 0);
    }
}
