//! Keys of tuples and of their mirrors.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "small numbers of a test"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn details() -> impl Strategy<Value = Detail> {
    prop_oneof![
        Just(Detail::None),
        (any::<u16>(), any::<u16>()).prop_map(|(source, destination)| Detail::Ports {
            source,
            destination
        }),
        (any::<u8>(), any::<u16>(), any::<bool>()).prop_map(|(question, identifier, answer)| {
            Detail::Query {
                question,
                identifier,
                answer,
            }
        }),
        (any::<u8>(), any::<u8>()).prop_map(|(kind, code)| Detail::Message { kind, code }),
    ]
}

fn tuples() -> impl Strategy<Value = Tuple> {
    let family = prop_oneof![Just(Family::IPv4), Just(Family::IPv6)];
    let ends = (any::<u128>(), any::<u128>());
    (family, ends, any::<u8>(), details()).prop_map(
        |(family, (source, destination), protocol, detail)| {
            let cut = |address: u128| match family {
                Family::IPv4 => address & 0xffff_ffff,
                Family::IPv6 => address,
            };
            Tuple {
                family,
                source: cut(source),
                destination: cut(destination),
                protocol,
                detail,
            }
        },
    )
}

fn directions() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Input), Just(Direction::Output)]
}

const TUPLE: Tuple = Tuple {
    family: Family::IPv4,
    source: 0x0a00_0001,
    destination: 0x0a00_0002,
    protocol: protocol::UDP,
    detail: Detail::Ports {
        source: 1000,
        destination: 53,
    },
};

proptest! {
    #[test]
    fn a_tuple_and_its_mirror_in_the_other_direction_have_one_key(
        port: u32, direction in directions(), tuple in tuples(),
    ) {
        let key = FlowKey::new(PortId(port), direction, &tuple);
        let mirror = FlowKey::new(PortId(port), direction.other(), &tuple.mirror());
        let is_message = matches!(tuple.detail, Detail::Message { .. });
        prop_assert_eq!(key == mirror, !is_message);
        prop_assert_eq!(tuple.mirror().mirror(), tuple);
    }

    #[test]
    fn a_key_gives_back_the_tuples_of_both_directions(
        port: u32, direction in directions(), tuple in tuples(),
    ) {
        let key = FlowKey::new(PortId(port), direction, &tuple);
        prop_assert_eq!(key.tuple(direction), tuple);
        let back = match tuple.detail {
            Detail::Message { .. } => tuple,
            _ => tuple.mirror(),
        };
        prop_assert_eq!(key.tuple(direction.other()), back);
        prop_assert_eq!(key.port(), PortId(port));
        prop_assert_eq!(key.protocol(), tuple.protocol);
        let has_ports = matches!(tuple.detail, Detail::Ports { .. });
        prop_assert_eq!(key.is_tcp(), has_ports && tuple.protocol == protocol::TCP);
        prop_assert_eq!(FlowKey::from_words(key.words()), key);
        prop_assert_eq!(key.words()[5] >> 24, 0, "others may use the upper bits");
    }

    #[test]
    fn keys_are_equal_only_where_port_and_conversation_are(
        ports: (u32, u32), one in (directions(), tuples()), other in (directions(), tuples()),
    ) {
        let key = |port, (direction, tuple): (Direction, Tuple)| {
            FlowKey::new(PortId(port), direction, &tuple)
        };
        let same = ports.0 == ports.1
            && (one == other || (one.0, one.1) == (other.0.other(), other.1.mirror()));
        prop_assert_eq!(key(ports.0, one) == key(ports.1, other), same);
    }

    #[test]
    fn each_bit_of_port_addresses_and_ports_tells_keys_apart(bit in 0..32 + 32 + 16_u32) {
        let mut other = TUPLE;
        let mut port = PortId(0);
        match bit {
            0..32 => port.0 ^= 1 << bit,
            32..64 => other.source ^= 1 << (bit - 32),
            _ => other.detail = Detail::Ports { source: 0x03e8 ^ 1 << (bit - 64), destination: 53 },
        }
        for direction in Direction::ALL {
            let key = FlowKey::new(PortId(0), direction, &TUPLE);
            let changed = FlowKey::new(port, direction, &other);
            prop_assert_ne!(key, changed);
            let seed = HashSeed(1, 2);
            prop_assert_ne!(key.hash(seed), changed.hash(seed));
        }
    }
}

#[test]
fn l01_ports_that_are_equal_in_their_low_sixteen_bits_have_different_keys() {
    let key = |port| FlowKey::new(PortId(port), Direction::Input, &TUPLE);
    for far in [1 << 16, 1 << 20, 1 << 31, u32::MAX << 16] {
        assert_ne!(key(7), key(7 | far));
        assert_eq!(key(7 | far).port(), PortId(7 | far));
    }
}

#[test]
fn an_answer_matches_only_the_question_of_the_other_side() {
    let query = |source, destination, answer| Tuple {
        source,
        destination,
        protocol: protocol::ICMP,
        detail: Detail::Query {
            question: 8,
            identifier: 77,
            answer,
        },
        ..TUPLE
    };
    let key = |direction, tuple| FlowKey::new(PortId(1), direction, &tuple);
    let asked = key(Direction::Input, query(1, 2, false));
    assert_eq!(asked, key(Direction::Output, query(2, 1, true)));
    // The other side asks with the same identifier: another flow, whose answer goes the other way.
    assert_ne!(asked, key(Direction::Output, query(2, 1, false)));
    assert_ne!(asked, key(Direction::Input, query(1, 2, true)));
    let asked_outside = key(Direction::Output, query(2, 1, false));
    assert_eq!(asked_outside, key(Direction::Input, query(1, 2, true)));
}

#[test]
fn a_message_that_nothing_answers_has_a_key_of_its_direction_alone() {
    let message = Tuple {
        protocol: protocol::ICMP,
        detail: Detail::Message { kind: 3, code: 1 },
        ..TUPLE
    };
    let mut keys = Vec::new();
    for direction in Direction::ALL {
        for tuple in [message, message.mirror()] {
            keys.push(FlowKey::new(PortId(1), direction, &tuple));
        }
    }
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key));
    }
}

#[test]
fn the_seed_decides_where_a_key_falls() {
    let key = FlowKey::new(PortId(1), Direction::Input, &TUPLE);
    let places: BTreeSet<u64> = (0..64)
        .map(|seed| key.hash(HashSeed(seed, seed << 32 | 1)) >> 32)
        .collect();
    assert!(places.len() > 60, "{}", places.len());
}

#[test]
fn keys_of_neighbours_spread_over_the_buckets() {
    let seed = HashSeed(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
    let mut buckets = [0_u32; 256];
    for port in 0..64 {
        for source in 0..256 {
            let tuple = Tuple {
                detail: Detail::Ports {
                    source,
                    destination: 53,
                },
                ..TUPLE
            };
            let key = FlowKey::new(PortId(port), Direction::Input, &tuple);
            let bucket = usize::try_from(key.hash(seed) & 0xff).unwrap();
            buckets[bucket] += 1;
        }
    }
    // 64 are expected in each; a bucket of twice as many is eight standard deviations away.
    assert!(
        buckets.iter().all(|flows| (16..128).contains(flows)),
        "{buckets:?}"
    );
}
