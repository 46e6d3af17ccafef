//! Deltas: their octets, their order, and what is lost.

use super::*;

fn deltas(table: &FlowTable) -> Vec<Delta> {
    let mut deltas = Vec::new();
    assert_eq!(table.deltas(&mut deltas, 1_000_000), Lost(0));
    deltas
}

fn flow_of(table: &FlowTable, key: &FlowKey) -> Flow {
    let flows = table.flows_of(key.port(), 1_000);
    flows.into_iter().find(|flow| flow.key == *key).unwrap()
}

#[test]
fn what_comes_changes_its_class_and_ends_is_told_in_that_order() {
    let (table, policies) = (table(100, 100), policies(Timeouts::DEFAULT));
    let key = tcp(3, 1);
    add_new(&table, &tcp(3, 2), at(5));
    table.follow(true).unwrap();
    add_new(&table, &key, at(5));
    let new = flow_of(&table, &key);
    establish(&table, &key, at(6));
    sweep(&table, at(6), &policies);
    let established = flow_of(&table, &key);
    table.adopt(&table.find(&key).unwrap(), PolicyId(7), Epoch(8));
    let adopted = flow_of(&table, &key);
    assert_eq!((adopted.policy, adopted.epoch), (PolicyId(7), Epoch(8)));
    table.clear(PortId(3));
    let told = deltas(&table);
    let (ended, told): (Vec<_>, Vec<_>) = told
        .into_iter()
        .partition(|delta| matches!(delta, Delta::Wiped(_)));
    assert_eq!(
        told,
        [
            Delta::New(new),
            Delta::Changed(established),
            Delta::Changed(adopted)
        ]
    );
    assert_eq!(ended.len(), 2);
    assert!(ended.contains(&Delta::Wiped(key)) && ended.contains(&Delta::Wiped(tcp(3, 2))));
    table.follow(false).unwrap();
    add_new(&table, &key, at(7));
    assert_eq!(deltas(&table), []);
}

#[test]
fn a_flow_that_lives_on_is_told_of_every_two_minutes() {
    let (table, policies) = (table(100, 100), policies(Timeouts::DEFAULT));
    let key = udp(3, 1);
    add_new(&table, &key, at(0));
    table.follow(true).unwrap();
    for second in 1..=1_280 {
        if second % 5 == 0 {
            segment(&table, &key, Direction::Input, 0, at(second));
        }
        sweep(&table, at(second), &policies);
    }
    let told = deltas(&table);
    assert!((9..=11).contains(&told.len()), "{} times", told.len());
    let Some(Delta::Changed(last)) = told.last() else {
        panic!("{told:?}");
    };
    assert!(at(1_280).since(last.state.seconds()) < 128 + 10);
}

#[test]
fn what_a_slow_follower_loses_is_counted_and_beginning_anew_makes_up_for_it() {
    let table = table(10_000, 10);
    table.follow(true).unwrap();
    (0..2_000).for_each(|number| add_new(&table, &udp(1, number), at(5)));
    let mut told = Vec::new();
    assert_eq!(table.deltas(&mut told, 10), Lost(2_000 - 1_024));
    assert_eq!(table.deltas(&mut told, 5_000), Lost(0), "counted once");
    assert_eq!(told.len(), 1_024);
    table.follow(true).unwrap();
    assert_eq!(deltas(&table), []);
    assert_eq!(all_flows(&table).len(), 2_000);
    add_new(&table, &udp(1, 9_999), at(5));
    assert_eq!(deltas(&table).len(), 1);
}

#[test]
fn no_shard_keeps_another_from_being_fetched() {
    let table = table(10_000, 100);
    table.follow(true).unwrap();
    (0..1_000).for_each(|number| add_new(&table, &udp(1, number), at(5)));
    add_new(&table, &udp(2, 1), at(5));
    let mut rounds = 0;
    let mut told = Vec::new();
    while !told
        .iter()
        .any(|delta: &Delta| delta.key().port() == PortId(2))
    {
        add_new(&table, &udp(1, 10_000 + rounds), at(5));
        assert_eq!(table.deltas(&mut told, 10), Lost(0));
        rounds += 1;
        assert!(rounds < 4, "it is not told");
    }
}

#[test]
fn a_flow_that_is_taken_in_is_as_old_as_it_was_and_may_have_another_port() {
    let (theirs, ours) = (table(10, 100), table(10, 100));
    let key = tcp(3, 1);
    let begin = (1 << 24) - 10;
    add_new(&theirs, &key, at(begin));
    establish(&theirs, &key, at(begin + 100));
    let mut flow = flow_of(&theirs, &key);
    flow.key = key.at(PortId(77));
    flow.policy = PolicyId(9);
    let clocks = Clocks {
        theirs: at(begin + 150),
        ours: at(40),
    };
    for _ in 0..2 {
        let delta = Delta::New(flow);
        ours.take_in(&delta, clocks, &Timeouts::DEFAULT, MANY)
            .unwrap();
        let taken = flow_of(&ours, &tcp(77, 1));
        assert_eq!(at(40).since(taken.state.seconds()), 50);
        assert_eq!(taken.opened.plus(150), at(40));
        assert_eq!(taken.state.bits(), flow.state.bits());
        assert_eq!(
            (taken.policy, taken.epoch, taken.opener),
            (PolicyId(9), flow.epoch, flow.opener)
        );
        check(&ours);
    }
    let wiped = Delta::Wiped(flow.key);
    for _ in 0..2 {
        ours.take_in(&wiped, clocks, &Timeouts::DEFAULT, MANY)
            .unwrap();
        assert_eq!(ours.counts().in_use, 0);
    }
}

#[test]
fn what_finds_no_room_here_is_refused() {
    let (theirs, ours) = (table(10, 100), table(10, 1));
    let key = udp(3, 1);
    add_new(&theirs, &key, at(5));
    let clocks = Clocks {
        theirs: at(5),
        ours: at(5),
    };
    let mut flow = flow_of(&theirs, &key);
    let take_in =
        |flow, per_port| ours.take_in(&Delta::New(flow), clocks, &Timeouts::DEFAULT, per_port);
    assert_eq!(take_in(flow, MANY), Err(Refusal::PortClosed));
    flow.key = key.at(PortId(0));
    assert_eq!(take_in(flow, 0), Err(Refusal::FlowLimit));
    check(&ours);
}

#[test]
fn a_delta_survives_its_octets_and_wrong_octets_are_named() {
    let table = table(10, 10);
    let key = udp(3, 1);
    let new = NewFlow {
        policy: PolicyId(0x1234),
        epoch: Epoch(0x89ab_cdef),
        opener: Direction::Output,
        ..new_flow(&key, at(0x65_4321))
    };
    table.add(&key, &new, MANY, at(0x76_5432)).unwrap();
    let flow = flow_of(&table, &key);
    let all = [Delta::New(flow), Delta::Changed(flow), Delta::Wiped(key)];
    for delta in all {
        let octets = delta.encode();
        assert_eq!(Delta::decode(&octets), Ok(delta));
        for shorter in 0..octets.len() {
            assert_eq!(
                Delta::decode(&octets[..shorter]),
                Err(DeltaError::Length(shorter))
            );
        }
    }
    let [new, _, wiped] = all.map(|delta| delta.encode());
    let with = |octets: [u8; Delta::OCTETS], place: usize, octet: u8| {
        let mut wrong = octets;
        wrong[place] = octet;
        Delta::decode(&wrong)
    };
    assert_eq!(with(new, 0, 2), Err(DeltaError::Version(2)));
    assert_eq!(with(new, 1, 0), Err(DeltaError::Kind(0)));
    assert_eq!(with(new, 1, 4), Err(DeltaError::Kind(4)));
    assert_eq!(with(new, 2, 2), Err(DeltaError::Opener(2)));
    assert_eq!(with(new, 16, 1), Err(DeltaError::Opened(0x0176_5432)));
    for place in [3, 6, 7] {
        assert_eq!(with(new, place, 1), Err(DeltaError::NotZero));
    }
    for place in 2..20 {
        assert_eq!(with(wiped, place, 1), Err(DeltaError::NotZero));
    }
    // IPv4 addresses have no upper halves, the key has nothing in its upper 40 bits, and there are
    // two families and six kinds of detail.
    for (place, octet) in [
        (20, 1),
        (28, 1),
        (36, 1),
        (44, 1),
        (60, 1),
        (64, 1),
        (66, 6),
        (67, 5),
    ] {
        assert_eq!(
            with(new, place, octet),
            Err(DeltaError::Key),
            "octet {place}"
        );
    }
    let named = with(new, 16, 1).unwrap_err().to_string();
    assert_eq!(named, "delta: the time 24532018 is not below 2^24");
}

proptest::proptest! {
    #[test]
    fn octets_are_a_delta_or_an_error_and_a_delta_has_but_one_form(
        octets in proptest::collection::vec(proptest::prelude::any::<u8>(), Delta::OCTETS),
        kind in 0_u8..5,
        family in 3_u8..7,
        zeros in proptest::prelude::any::<bool>(),
    ) {
        let mut octets = octets;
        (octets[0], octets[1], octets[67]) = (1, kind, family);
        for place in [2, 3, 6, 7, 16, 60, 61, 62, 63, 64] {
            octets[place] = 0;
        }
        octets[66] %= 8;
        if zeros {
            octets[2..36].fill(0);
        }
        if let Ok(delta) = Delta::decode(&octets) {
            proptest::prop_assert_eq!(&delta.encode()[..], &octets[..]);
        }
    }
}
