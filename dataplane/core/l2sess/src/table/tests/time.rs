//! What ends by time, and what floods do.

use super::*;

/// Four times a second, as the node does it, without any packet: returns when the flow was gone, in
/// quarters of a second after the time `from`.
fn quarters_until_gone(table: &FlowTable, key: &FlowKey, policies: &Policies, from: u64) -> u64 {
    (0..100_000)
        .find(|quarter| {
            sweep(table, at(from + quarter / 4), policies);
            table.find(key).is_none()
        })
        .unwrap()
}

#[test]
fn a58_without_traffic_a_flow_is_gone_within_one_and_a_half_timeouts_and_a_second() {
    for (timeout, begin) in [1, 2, 3, 4, 10, 39, 40, 127, 128, 300, 7_440]
        .into_iter()
        .flat_map(|timeout| [5, (1 << 24) - 100].map(|begin| (timeout, begin)))
    {
        let table = table(10, 10);
        let timeouts = Timeouts {
            udp_idle: timeout,
            ..Timeouts::DEFAULT
        };
        let policies = policies(timeouts);
        sweep(&table, at(begin), &policies);
        let new = NewFlow {
            timeouts,
            ..new_flow(&udp(3, 1), at(begin))
        };
        table.add(&udp(3, 1), &new, MANY, at(begin)).unwrap();
        let gone = quarters_until_gone(&table, &udp(3, 1), &policies, begin);
        let timeout = u64::from(timeout);
        assert!(gone > timeout * 4, "{timeout} s: after {gone} quarters");
        assert!(
            gone <= timeout * 6 + 4,
            "{timeout} s: after {gone} quarters"
        );
        assert_eq!(table.counts().in_use, 0, "its memory is free");
    }
}

#[test]
fn a_flow_that_closes_does_not_wait_for_the_timeout_that_it_had_before() {
    let (table, policies) = (table(10, 10), policies(Timeouts::DEFAULT));
    let key = tcp(3, 1);
    add_new(&table, &key, at(100));
    establish(&table, &key, at(100));
    sweep(&table, at(110), &policies);
    assert_eq!(table.counts().of(Class::Established), 1);
    reset(&table, &key, at(110));
    let gone = quarters_until_gone(&table, &key, &policies, 110);
    let closing = u64::from(Timeouts::DEFAULT.tcp_closing);
    assert!(
        gone > closing * 4 && gone <= closing * 6 + 4,
        "{gone} quarters"
    );
}

#[test]
fn a_timeout_that_was_shortened_frees_within_two_minutes() {
    let table = table(10, 10);
    add_new(&table, &udp(3, 1), at(100));
    sweep(
        &table,
        at(100),
        &policies(Timeouts {
            udp_idle: 100_000,
            ..Timeouts::DEFAULT
        }),
    );
    let shorter = policies(Timeouts {
        udp_idle: 10,
        ..Timeouts::DEFAULT
    });
    let gone = quarters_until_gone(&table, &udp(3, 1), &shorter, 100);
    assert!(gone <= 128 * 4, "{gone} quarters");
}

#[test]
fn l04_a_flow_that_has_been_dead_for_a_whole_turn_of_the_clock_does_not_look_young() {
    let (table, policies) = (table(10, 10), policies(Timeouts::DEFAULT));
    add_new(&table, &udp(3, 1), at(100));
    sweep(&table, at(100 + (1 << 23) - 1), &policies);
    assert_eq!(table.find(&udp(3, 1)), None);
    add_new(&table, &udp(3, 2), at(100 + (1 << 24)));
    assert_eq!(table.counts().in_use, 1);
}

#[test]
fn a_flow_that_goes_on_outlives_any_number_of_sweeps() {
    let (table, policies) = (table(10, 10), policies(Timeouts::DEFAULT));
    let (key, begin) = (udp(3, 1), (1 << 24) - 500);
    add_new(&table, &key, at(begin));
    for second in begin..begin + 2_000 {
        if second % 100 == 0 {
            segment(&table, &key, Direction::Output, 0, at(second));
        }
        assert_eq!(sweep(&table, at(second), &policies), 0);
    }
    check(&table);
}

#[test]
fn a_sweep_does_no_more_than_its_budget_and_says_that_there_is_more() {
    let (table, policies) = (table(1_000, 1_000), policies(Timeouts::DEFAULT));
    (0..1_000).for_each(|port| add_new(&table, &udp(port, 1), at(5)));
    let mut left = 1_000;
    while left > 0 {
        let swept = table.sweep(at(1_000), &policies, 30);
        assert!(swept.expired <= 30 && swept.expired > 0);
        left -= swept.expired;
        assert_eq!(swept.more, left > 0 || swept.expired == 30);
        assert_eq!(table.counts().in_use as usize, left);
    }
    assert!(!table.sweep(at(1_000), &policies, 30).more);
}

#[test]
fn flows_that_change_their_class_all_the_time_do_not_keep_others_from_ending() {
    let (table, policies) = (table(1_000, 100), policies(Timeouts::DEFAULT));
    let over = udp(65, 1);
    add_new(&table, &over, at(5));
    for number in 0..200 {
        add_new(&table, &tcp(1, number), at(500));
        establish(&table, &tcp(1, number), at(500));
    }
    for _ in 0..200 {
        table.sweep(at(500), &policies, 64);
        if table.find(&over).is_none() {
            return check(&table);
        }
        for number in 0..200 {
            let hit = table.find(&tcp(1, number)).unwrap();
            let to = State::first(Direction::Input, Some(TcpFlags(TcpFlags::RST)), at(500));
            let to = if hit.class() == Class::Closing {
                new_flow(&tcp(1, number), at(500)).state
            } else {
                to
            };
            table.change(&hit, to).unwrap();
        }
    }
    panic!("it never ends");
}

#[test]
fn a63_filled_and_drained_a_hundred_times_all_records_and_keys_come_back() {
    let (table, policies) = (table(512, 10), policies(Timeouts::DEFAULT));
    for round in 0..100 {
        let now = round * 1_000;
        for number in 0..512 {
            let key = udp(number % 10, number + 512 * round as u32);
            add_new(&table, &key, at(now));
        }
        assert_eq!(table.counts().in_use, 512);
        assert_eq!(
            add(&table, &udp(1, 99_999_999), at(now)),
            Err(Refusal::FlowTableFull)
        );
        match round % 4 {
            0 => assert_eq!(table.clear_all(), 512),
            1 => assert_eq!(sweep(&table, at(now + 500), &policies), 512),
            2 => (0..10).for_each(|port| {
                table.close(PortId(port));
                table.open(PortId(port));
            }),
            _ => {
                for flow in all_flows(&table) {
                    assert!(table.wipe(&table.find(&flow.key).unwrap()));
                }
            }
        }
        assert_eq!(
            table.counts(),
            Counts {
                capacity: 512,
                ..Counts::default()
            }
        );
        assert_eq!(table.flows(0, 1_000), (Vec::new(), None));
    }
}

#[test]
fn a64_a_flood_of_ten_tables_of_syns_costs_no_established_flow() {
    const ENTRIES: u32 = 1_000;
    let (table, policies) = (table(ENTRIES, 100), policies(Timeouts::DEFAULT));
    let established: Vec<FlowKey> = (0..90)
        .flat_map(|port| [1, 2, 3, 4, 5].map(|n| tcp(port, n)))
        .collect();
    for key in &established {
        add_new(&table, key, at(5));
        establish(&table, key, at(5));
    }
    for number in 0..ENTRIES * 10 {
        let (key, now) = (
            tcp(90 + number % 10, 1_000 + number),
            at(10 + u64::from(number) / 1_000),
        );
        let added = table.add(&key, &new_flow(&key, now), 400, now);
        assert!(
            matches!(added, Ok(Added::New { .. })),
            "the flood finds room at its own cost"
        );
        let one = &established[number as usize % established.len()];
        assert!(table.find(one).is_some());
        if number % 250 == 0 {
            sweep(&table, now, &policies);
        }
    }
    assert!(established.iter().all(|key| table.find(key).is_some()));
    assert_eq!(table.counts().in_use, ENTRIES);
    check(&table);
}

#[test]
fn one_subscriber_cannot_fill_the_table() {
    let table = table(1_000, 10);
    for number in 0..5_000 {
        let key = udp(1, number);
        let added = table.add(&key, &new_flow(&key, at(5)), 400, at(5));
        assert_eq!(added.is_ok(), number < 400);
    }
    (0..600).for_each(|number| add_new(&table, &udp(2, number), at(5)));
    check(&table);
}

#[test]
fn what_is_behind_another_clock_by_a_moment_is_not_over() {
    let (table, policies) = (table(10, 10), policies(Timeouts::DEFAULT));
    sweep(&table, at(100), &policies);
    add_new(&table, &udp(1, 1), at(101));
    assert_eq!(sweep(&table, at(100), &policies), 0);
    assert_eq!(sweep(&table, at(99), &policies), 0);
    check(&table);
}

#[test]
fn a_table_takes_no_more_than_128_octets_per_flow_with_its_keys() {
    for entries in [1_000, 1 << 16, (1 << 16) + 1, 500_000, 1 << 24] {
        let config = TableConfig {
            ports: 0,
            ..config(entries)
        };
        assert!(
            FlowTable::octets(&config) <= 128 * u64::from(entries) + 128,
            "{entries}"
        );
    }
    let one = Records::new(1_000).unwrap();
    let cache_lines = one.cache_lines();
    assert!(
        cache_lines.is_some(),
        "what packets look at of a record is one line"
    );
}

#[test]
fn there_is_no_table_that_the_memory_is_too_small_for() {
    let memory = Records::new(1 << 56);
    let Err(NoMemory { octets }) = memory else {
        panic!("2^62 octets");
    };
    assert_eq!(
        NoMemory { octets }.to_string(),
        format!("no {octets} octets of memory for the session table")
    );
    assert!(octets >= 1 << 62);
}
