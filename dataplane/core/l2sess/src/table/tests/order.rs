//! Who gives way first, and who does not though he was about to.

use core::sync::atomic::AtomicBool;

use super::*;
use crate::state::Step;

#[test]
fn a59_a_flow_that_took_over_the_record_of_a_shards_oldest_is_not_as_old_as_that() {
    let table = table(2, 10);
    add_new(&table, &tcp(0, 1), at(0));
    add_new(&table, &tcp(1, 1), at(5));
    let young = tcp(0, 2);
    let added = table.add(&young, &new_flow(&young, at(10)), 1, at(10));
    assert_eq!(added, Ok(Added::New { evicted: true }));
    let added = add(&table, &tcp(2, 1), at(11));
    assert_eq!(added, Ok(Added::New { evicted: true }));
    assert_eq!(table.find(&tcp(1, 1)), None, "it was the oldest");
    assert!(table.find(&young).is_some());
    check(&table);
}

#[test]
fn a_flow_that_a_syn_has_begun_anew_is_the_youngest_of_those_that_give_way() {
    let table = table(100, 10);
    for number in 0..3 {
        add_new(&table, &tcp(1, number), at(5 + u64::from(number)));
    }
    reset(&table, &tcp(1, 0), at(8));
    sweep(&table, at(8), &policies(Timeouts::DEFAULT));
    let again = TcpFlags::SYN;
    segment(&table, &tcp(1, 0), Direction::Input, again, at(9));
    let new = tcp(1, 9);
    let added = table.add(&new, &new_flow(&new, at(10)), 3, at(10));
    assert_eq!(added, Ok(Added::New { evicted: true }));
    let left = [0, 1, 2, 9].map(|number| table.find(&tcp(1, number)).is_some());
    assert_eq!(left, [true, false, true, true]);
    check(&table);
}

/// Opens a connection and brings it to the established class; `false` if it has given way before.
fn opened(table: &FlowTable, key: &FlowKey, now: Seconds) -> bool {
    if add(table, key, now).is_err() {
        return false;
    }
    let answers = [
        (Direction::Output, TcpFlags::SYN | TcpFlags::ACK),
        (Direction::Input, TcpFlags::ACK),
    ];
    answers.into_iter().all(|(direction, flags)| {
        let Some(hit) = table.find(key) else {
            return false;
        };
        let flags = Some(TcpFlags(flags));
        let step = hit.state.step(direction, flags, &Timeouts::DEFAULT, now);
        let Step::Changed(to) = step else {
            panic!("{step:?}");
        };
        table.change(&hit, to).is_ok()
    })
}

#[test]
fn a64_a_connection_that_is_established_while_others_look_for_room_does_not_give_way() {
    let table = table(64, 10);
    let is_over = AtomicBool::new(false);
    let established = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = 0..;
            while !is_over.load(Relaxed) {
                let _refused = add(&table, &tcp(2, numbers.next().unwrap_or(0)), at(10));
            }
        });
        let mut established = 0;
        for number in 0..30_000 {
            // The oldest of all, so that it is the next to go.
            let key = tcp(1, number);
            if opened(&table, &key, at(5)) {
                let hit = table.find(&key);
                is_over.store(hit.is_none(), Relaxed);
                assert!(table.wipe(&hit.unwrap()));
                established += 1;
            }
        }
        is_over.store(true, Relaxed);
        established
    });
    assert!(established > 0);
    check(&table);
}
