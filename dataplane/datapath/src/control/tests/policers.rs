//! Policers come and go with the sessions that have rates, and none is ever lost or had twice.

use std::collections::{BTreeMap, BTreeSet};

use lns_l2sess::ChainId;
use lns_l2sess::policy::Rates;
use proptest::prelude::*;

use super::*;
use crate::tables::PolicerId;

const RATES: [Rates; 4] = [
    Rates {
        up: 0,
        down: 0,
        burst_milliseconds: 200,
    },
    Rates {
        up: 1_000_000,
        down: 0,
        burst_milliseconds: 100,
    },
    Rates {
        up: 0,
        down: 5_000_000,
        burst_milliseconds: 200,
    },
    Rates {
        up: u64::MAX,
        down: 1,
        burst_milliseconds: u32::MAX,
    },
];

fn with_rates(session: u16, rates: Rates) -> SessionPath {
    SessionPath {
        chain: ChainId(session.into()),
        rates,
        ..path(session, None)
    }
}

/// What may pass up at once, octets of packets of 1,000.
fn burst(control: &Control, slot: u32) -> usize {
    let found = control.tables.slot(SlotIndex(slot)).unwrap().unwrap();
    let policer = found.policer.unwrap();
    (0..1_000)
        .filter(|_| policer.up.allows(1_000, NOW))
        .count()
        .saturating_mul(1_000)
}

fn taken(control: &Control) -> usize {
    usize::try_from(control.policers.taken()).unwrap()
}

#[test]
fn chain_and_rates_come_back_as_they_were_given() {
    let mut control = control();
    for rates in RATES {
        let path = with_rates(7, rates);
        set(&mut control, 1, path);
        let found = control.tables.slot(SlotIndex(1)).unwrap().unwrap();
        let limited = rates.up > 0 || rates.down > 0;
        let expected = SessionPath {
            // Without a limit there is nothing that has a burst.
            rates: if limited { rates } else { Rates::default() },
            ..path
        };
        assert_eq!(found.path(), expected);
        assert_eq!(found.policer.is_some(), limited);
    }
}

#[test]
fn other_rates_do_not_give_back_what_was_used_and_the_same_ones_touch_nothing() {
    let mut control = control();
    set(&mut control, 1, with_rates(1, RATES[1]));
    assert_eq!(burst(&control, 1), 12_000);
    set(&mut control, 1, with_rates(1, RATES[1]));
    assert_eq!(burst(&control, 1), 0);
    let faster = Rates {
        up: 100_000_000,
        ..RATES[1]
    };
    set(&mut control, 1, with_rates(1, faster));
    // Half an octet's worth of time was left, which is more octets now; not a new burst of 1,250,000.
    assert!(burst(&control, 1) < 60_000);
    assert_eq!(taken(&control), 1);
}

#[test]
fn another_session_in_the_slot_begins_with_full_buckets() {
    let mut control = control();
    set(&mut control, 1, with_rates(1, RATES[1]));
    assert_eq!(burst(&control, 1), 12_000);
    set(&mut control, 1, with_rates(2, RATES[1]));
    assert_eq!((burst(&control, 1), taken(&control)), (12_000, 1));
    clear(&mut control, 1, 2);
    set(&mut control, 1, with_rates(2, RATES[1]));
    assert_eq!((burst(&control, 1), taken(&control)), (12_000, 1));
}

#[test]
fn a_policer_is_not_given_on_while_a_worker_may_still_hold_it() {
    let shared = shared(1);
    let mut control = Control::new(&shared, Vec::new(), 4);
    set(&mut control, 1, with_rates(1, RATES[1]));
    shared.stages[0].advance();
    // The session goes on without rates; another one, in a slot that nobody has had, gets some.
    set(&mut control, 1, with_rates(1, RATES[0]));
    waits_for_the_worker(&shared, &mut control, |control| {
        set(control, 2, with_rates(2, RATES[1]));
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Set(u32, u16, usize),
    Clear(u32, u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        3 => (0_u32..4, 1_u16..4, 0..RATES.len()).prop_map(|(slot, session, rates)| Step::Set(slot, session, rates)),
        2 => (0_u32..4, 1_u16..4).prop_map(|(slot, session)| Step::Clear(slot, session)),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn whatever_becomes_of_sessions_each_with_rates_has_one_policer_and_in_the_end_all_are_free(steps in steps()) {
        let mut control = control();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(slot, session, rates) => {
                    set(&mut control, slot, with_rates(session, RATES[rates]));
                    model.insert(slot, (session, rates));
                }
                Step::Clear(slot, session) => {
                    let there = model.get(&slot).is_some_and(|(has, _)| *has == session);
                    prop_assert_eq!(clear(&mut control, slot, session).is_some(), there);
                    if there {
                        model.remove(&slot);
                    }
                }
            }
            let mut had = BTreeSet::new();
            for (slot, (_, rates)) in &model {
                let found = control.tables.slot(SlotIndex(*slot)).unwrap().unwrap();
                let policer = found.view.policer.map(PolicerId::number);
                prop_assert_eq!(policer.is_some(), *rates > 0);
                prop_assert!(*rates == 0 || found.path().rates == RATES[*rates]);
                prop_assert!(policer.is_none_or(|policer| had.insert(policer)));
            }
            prop_assert_eq!(taken(&control), had.len());
        }
        for (slot, (session, _)) in model {
            clear(&mut control, slot, session);
        }
        prop_assert_eq!((taken(&control), control.refused()), (0, 0));
    }
}
