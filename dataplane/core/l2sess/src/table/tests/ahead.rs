//! Keys that are met before they are looked up.

use super::super::scale::FEW;
use super::*;

/// A table with so many flows of port 1, all of them UDP.
fn crowded(flows: u32) -> FlowTable {
    let table = table(flows, 2);
    for number in 0..flows {
        add_new(&table, &udp(1, number), at(5));
    }
    table
}

#[test]
fn it_is_worth_its_while_from_one_flow_more_than_the_caches_keep() {
    let table = table(FEW + 1, 2);
    for number in 0..=FEW {
        assert!(!table.is_large());
        add_new(&table, &udp(1, number), at(5));
    }
    assert!(table.is_large());
    assert!(table.wipe(&table.find(&udp(1, 0)).unwrap()));
    assert!(!table.is_large());
}

#[test]
fn keys_that_have_a_flow_are_met_and_others_are_not() {
    const FLOWS: u32 = 10_000;
    let table = crowded(FLOWS);
    let met = table.meet((0..FLOWS).map(|number| udp(1, number)));
    assert!(met > 9_000, "{met} of those in front of their buckets");
    assert!(met < 10_000, "some are behind two others");
    assert_eq!(
        table.meet((FLOWS..2 * FLOWS).map(|number| udp(1, number))),
        0
    );
    assert_eq!(table.meet((0..FLOWS).map(|number| udp(0, number))), 0);
    assert_eq!(table.meet([]), 0);
}

#[test]
fn every_key_of_a_batch_is_met_however_many_they_are() {
    let table = crowded(1);
    for count in [1, 31, 32, 33, 64, 65] {
        assert_eq!(table.meet(vec![udp(1, 0); count]), count);
    }
}

#[test]
fn what_has_no_ports_is_not_met_in_an_empty_bucket() {
    let table = table(100, 1);
    let nothing = Tuple {
        detail: Detail::None,
        ..tuple(50, 0)
    };
    let key = FlowKey::new(PortId(0), Direction::Input, &nothing);
    assert_eq!(table.meet([key]), 0);
    add_new(&table, &key, at(5));
    assert_eq!(table.meet([key]), 1);
}

#[test]
fn a_table_is_what_it_was_after_keys_were_met() {
    const FLOWS: u32 = 1_000;
    let table = crowded(FLOWS);
    let state = |table: &FlowTable| {
        let all = (0..2 * FLOWS).map(|number| table.find(&udp(1, number)));
        (table.counts(), all.collect::<Vec<_>>())
    };
    let before = state(&table);
    table.meet((0..2 * FLOWS).map(|number| udp(1, number)));
    assert_eq!(state(&table), before);
    check(&table);
}
