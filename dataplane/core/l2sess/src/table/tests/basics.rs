//! One thread: what comes, stays and goes.

use super::*;

#[test]
fn l02_a_flow_is_found_by_its_tuple_and_by_the_mirrored_one_until_it_is_wiped() {
    let table = table(100, 10);
    let forward = tuple(UDP, 7);
    let keys = [
        FlowKey::new(PortId(3), Direction::Input, &forward),
        FlowKey::new(PortId(3), Direction::Output, &forward.mirror()),
    ];
    assert_eq!(keys.map(|key| table.find(&key)), [None; 2]);
    add_new(&table, &keys[0], at(5));
    let [hit, mirrored] = keys.map(|key| table.find(&key).unwrap());
    assert_eq!(hit, mirrored);
    assert_eq!(
        (hit.state.seconds(), hit.opener, hit.class()),
        (at(5), Direction::Input, Class::Udp)
    );
    check(&table);
    assert!(table.wipe(&hit));
    assert!(!table.wipe(&hit), "twice");
    assert_eq!(keys.map(|key| table.find(&key)), [None; 2]);
    check(&table);
    assert_eq!(table.counts().in_use, 0);
}

#[test]
fn a32_the_flow_of_one_port_is_not_that_of_another() {
    let table = table(100, 10);
    add_new(&table, &udp(3, 7), at(5));
    assert_eq!(table.find(&udp(4, 7)), None);
    assert_eq!(table.find(&udp(3 + 64, 7)), None, "of the same shard");
}

#[test]
fn what_a_flow_began_with_is_found_with_it() {
    let table = table(100, 10);
    for (number, opener) in [(1, Direction::Input), (2, Direction::Output)] {
        let key = udp(9, number);
        let new = NewFlow {
            policy: PolicyId(0xfedc),
            epoch: Epoch(0x9876_5432),
            opener,
            ..new_flow(&key, at(0xff_fffe))
        };
        table.add(&key, &new, MANY, at(0xff_ffff)).unwrap();
        let hit = table.find(&key).unwrap();
        assert_eq!(
            (hit.policy, hit.epoch, hit.opener),
            (new.policy, new.epoch, opener)
        );
        assert_eq!(hit.state, new.state);
        assert!(table.flows_of(PortId(9), 9).contains(&Flow {
            key,
            state: new.state,
            policy: new.policy,
            epoch: new.epoch,
            opener,
            opened: at(0xff_ffff),
        }));
    }
    check(&table);
}

#[test]
fn adding_is_idempotent() {
    let table = table(100, 10);
    let key = udp(1, 1);
    add_new(&table, &key, at(5));
    let Ok(Added::Existing(hit)) = add(&table, &key, at(6)) else {
        panic!("it is there");
    };
    assert_eq!(Some(hit), table.find(&key));
    assert_eq!(hit.state.seconds(), at(5), "it stays what it was");
    assert_eq!(table.counts().in_use, 1);
}

#[test]
fn a_port_that_is_not_open_takes_no_flow() {
    let table = table(100, 10);
    for port in [10, 999, 1_000, u32::MAX] {
        assert_eq!(add(&table, &udp(port, 1), at(0)), Err(Refusal::PortClosed));
        table.open(PortId(port));
        let is_port = port < 1_000;
        assert_eq!(add(&table, &udp(port, 1), at(0)).is_ok(), is_port);
    }
}

#[test]
fn a_state_is_changed_only_from_what_it_was() {
    let table = table(100, 10);
    let key = udp(1, 1);
    add_new(&table, &key, at(5));
    let hit = table.find(&key).unwrap();
    let (first, second) = (hit.state.at(at(20)), hit.state.at(at(21)));
    assert_eq!(table.change(&hit, first), Ok(()));
    let Err(Changed::Other(now)) = table.change(&hit, second) else {
        panic!("it was changed before");
    };
    assert_eq!((now, now.state), (table.find(&key).unwrap(), first));
    assert_eq!(table.change(&now, second), Ok(()));
    assert!(table.wipe(&hit), "by the flow, not by its state");
    assert_eq!(table.change(&now, first), Err(Changed::Gone));
}

#[test]
fn a_change_never_comes_to_the_flow_that_took_over_the_record() {
    let table = table(1, 10);
    let (old, new) = (udp(1, 1), udp(2, 1));
    add_new(&table, &old, at(5));
    let hit = table.find(&old).unwrap();
    table.wipe(&hit);
    add_new(&table, &new, at(5));
    assert_eq!(table.find(&new).unwrap().state, hit.state, "the same word");
    assert_eq!(table.change(&hit, hit.state.at(at(9))), Err(Changed::Gone));
    assert!(!table.adopt(&hit, PolicyId(1), Epoch(1)));
    assert!(!table.wipe(&hit));
    assert_eq!(table.find(&new).unwrap().state.seconds(), at(5));
}

#[test]
fn a_flow_that_was_judged_anew_has_the_new_policy_and_its_neighbours_in_the_bucket_stay() {
    let table = table(4, 10);
    let keys: Vec<_> = (0..4).map(|number| udp(1, number)).collect();
    for key in &keys {
        add_new(&table, key, at(5));
    }
    for (number, key) in (1_u16..).zip(&keys) {
        let hit = table.find(key).unwrap();
        assert!(table.adopt(&hit, PolicyId(number), Epoch(number.into())));
    }
    for (number, key) in (1_u16..).zip(&keys) {
        let hit = table.find(key).unwrap();
        assert_eq!(
            (hit.policy, hit.epoch),
            (PolicyId(number), Epoch(number.into()))
        );
        assert_eq!(hit.state.seconds(), at(5));
    }
    check(&table);
}

#[test]
fn a59_a_port_at_its_limit_gives_up_its_oldest_transient_and_the_new_flow_comes_in() {
    let table = table(100, 10);
    for number in 0..4 {
        add_new(&table, &tcp(1, number), at(5 + u64::from(number)));
    }
    establish(&table, &tcp(1, 0), at(10));
    let new = tcp(1, 9);
    let added = table.add(&new, &new_flow(&new, at(10)), 4, at(10));
    assert_eq!(added, Ok(Added::New { evicted: true }));
    let left = [0, 1, 2, 3, 9].map(|number| table.find(&tcp(1, number)).is_some());
    assert_eq!(left, [true, false, true, true, true]);
    check(&table);
}

#[test]
fn a60_a_port_whose_flows_do_not_give_way_refuses_a_new_one_and_keeps_them() {
    let table = table(100, 10);
    for number in 0..2 {
        add_new(&table, &udp(1, number), at(5));
        add_new(&table, &tcp(1, number), at(5));
        establish(&table, &tcp(1, number), at(5));
    }
    let new = udp(1, 9);
    let add = |port| table.add(&new.at(PortId(port)), &new_flow(&new, at(6)), 4, at(6));
    assert_eq!(add(1), Err(Refusal::FlowLimit));
    assert_eq!(add(2), Ok(Added::New { evicted: false }), "another's room");
    assert_eq!(table.counts().in_use, 5);
    check(&table);
}

#[test]
fn a_limit_of_none_lets_none_in() {
    let table = table(100, 10);
    let new = udp(1, 9);
    assert_eq!(
        table.add(&new, &new_flow(&new, at(6)), 0, at(6)),
        Err(Refusal::FlowLimit)
    );
    check(&table);
}

#[test]
fn a_limit_that_was_lowered_is_reached() {
    let table = table(100, 10);
    (0..50).for_each(|number| add_new(&table, &tcp(1, number), at(5)));
    for number in 50..100 {
        let new = tcp(1, number);
        let added = table.add(&new, &new_flow(&new, at(6)), 20, at(6));
        assert_eq!(added, Ok(Added::New { evicted: true }));
    }
    assert_eq!(table.counts().in_use, 20);
    check(&table);
}

#[test]
fn a_flow_that_closes_gives_way_though_no_sweep_has_seen_it() {
    let table = table(100, 10);
    for number in 0..4 {
        add_new(&table, &tcp(1, number), at(5));
        establish(&table, &tcp(1, number), at(5));
    }
    sweep(&table, at(6), &policies(Timeouts::DEFAULT));
    assert_eq!(table.counts().of(Class::Established), 4);
    reset(&table, &tcp(1, 2), at(7));
    let new = tcp(1, 9);
    let added = table.add(&new, &new_flow(&new, at(7)), 4, at(7));
    assert_eq!(added, Ok(Added::New { evicted: true }));
    assert_eq!(table.find(&tcp(1, 2)), None);
    check(&table);
}

#[test]
fn a59_a_full_table_gives_up_its_oldest_transient_whosever_it_is() {
    let table = table(8, 10);
    for port in 0..8 {
        add_new(&table, &tcp(port, 1), at(100 - u64::from(port)));
    }
    for port in (0..8).rev() {
        let new = udp(9, port);
        assert_eq!(add(&table, &new, at(100)), Ok(Added::New { evicted: true }));
        assert_eq!(table.find(&tcp(port, 1)), None, "the oldest of all");
        assert!(table.find(&new).is_some());
        check(&table);
    }
    assert_eq!(
        add(&table, &udp(9, 99), at(100)),
        Err(Refusal::FlowTableFull)
    );
    assert_eq!(table.counts().in_use, 8);
}

#[test]
fn a60_a_full_table_whose_flows_do_not_give_way_refuses_a_new_one_and_keeps_them() {
    let table = table(4, 10);
    for port in 0..4 {
        add_new(&table, &tcp(port, 1), at(5));
        establish(&table, &tcp(port, 1), at(5));
    }
    assert_eq!(add(&table, &udp(7, 1), at(6)), Err(Refusal::FlowTableFull));
    assert!((0..4).all(|port| table.find(&tcp(port, 1)).is_some()));
    reset(&table, &tcp(2, 1), at(7));
    assert_eq!(
        add(&table, &udp(7, 1), at(7)),
        Ok(Added::New { evicted: true })
    );
    assert_eq!(
        table.find(&tcp(2, 1)),
        None,
        "no sweep has seen that it closes"
    );
    check(&table);
}

#[test]
fn a07_a_port_that_closes_leaves_nothing_and_its_number_can_be_used_again() {
    let table = table(100, 100);
    for round in 0..5 {
        (0..20).for_each(|number| add_new(&table, &tcp(3, number), at(round)));
        (0..20).for_each(|number| add_new(&table, &udp(3, number), at(round)));
        add_new(&table, &udp(3 + 64, 1), at(round));
        assert_eq!(table.close(PortId(3)), 40);
        assert_eq!(table.close(PortId(3)), 0);
        assert_eq!(table.flows_of(PortId(3), 100), []);
        assert!((0..20).all(|number| table.find(&udp(3, number)).is_none()));
        assert_eq!(add(&table, &udp(3, 1), at(round)), Err(Refusal::PortClosed));
        assert_eq!(table.counts().in_use, 1, "its neighbour's");
        table.clear(PortId(3 + 64));
        table.open(PortId(3));
    }
    check(&table);
}

#[test]
fn a40_clearing_a_port_leaves_the_others_as_they_are() {
    let table = table(1_000, 100);
    for port in 0..100 {
        (0..5).for_each(|number| add_new(&table, &udp(port, number), at(5)));
    }
    assert_eq!(table.clear(PortId(7)), 5);
    for port in 0..100 {
        let left = table.flows_of(PortId(port), 10).len();
        assert_eq!(left, if port == 7 { 0 } else { 5 });
    }
    add_new(&table, &udp(7, 1), at(5));
    check(&table);
}

#[test]
fn a41_clearing_all_leaves_none() {
    let table = table(5_000, 100);
    for port in 0..100 {
        (0..50).for_each(|number| add_new(&table, &udp(port, number), at(5)));
    }
    assert_eq!(table.clear_all(), 5_000);
    assert_eq!((table.counts().in_use, all_flows(&table).len()), (0, 0));
    assert_eq!(table.clear_all(), 0);
    add_new(&table, &udp(7, 1), at(5));
    check(&table);
}
