//! A node that is not the home of sessions: what it forwards, hands over and drops.

use core::ops::Add as _;
use core::time::Duration;

use lns_l2sess::Timeouts;
use lns_l2sess::policy::{Action, OnChange, Policy, PolicyBook, PolicyTable, Rates};
use proptest::prelude::*;

use super::filters::residential;
use super::{Bed, NOW, SERVER, SUBSCRIBER, Seen, frame, from_subscriber, packet, syn};
use crate::handing::{Home, Peer};
use crate::limits::{UNKNOWN_DOWN_BURST, UNKNOWN_UP_BURST};
use crate::packet::{Batch, Came};
use crate::stats::DropReason;

const MASTER: Peer = Peer(7);
const MEMBER: Home = Home::Peer(MASTER);
const RATES: Rates = Rates {
    up: 1_000_000,
    down: 2_000_000,
    burst_milliseconds: 100,
};

/// Nothing is remembered: what goes to port 25 is dropped, or all of it passes.
fn stateless() -> Policy {
    let table = |default| {
        Some(PolicyTable {
            rules: Vec::new(),
            default,
        })
    };
    Policy {
        name: "stateless".into(),
        filter_ids: Vec::new(),
        input: table(Action::Pass),
        output: table(Action::Pass),
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: None,
    }
}

/// Beds whose session needs no home, and beds whose session has one.
fn beds() -> (Vec<Bed>, Vec<Bed>) {
    let free = vec![Bed::new(), Bed::filtered(stateless()).0];
    let homed = vec![
        Bed::with(|path| path.sequencing = true),
        Bed::with(|path| path.rates = RATES),
        Bed::with(|path| {
            path.rates = Rates { up: 0, ..RATES };
        }),
        Bed::filtered(residential()).0,
        tracked_by_a_rule(),
        tracked_outward(),
    ];
    (free, homed)
}

/// One rule of many tracks.
fn tracked_by_a_rule() -> Bed {
    let rule = lns_l2sess::policy::Rule {
        name: "dns".into(),
        matches: lns_l2sess::policy::Matches::default(),
        action: Action::Track,
    };
    let mut policy = stateless();
    policy.input = Some(PolicyTable {
        rules: vec![rule],
        default: Action::Pass,
    });
    Bed::filtered(policy).0
}

/// The second of two policies tracks what goes to the subscriber.
fn tracked_outward() -> Bed {
    let mut other = stateless();
    other.name = "other".into();
    other.output = Some(PolicyTable {
        rules: Vec::new(),
        default: Action::Track,
    });
    let mut book = PolicyBook::new(1);
    book.replace(vec![stateless(), other]).unwrap();
    let chain = book.chain(&["stateless".into(), "other".into()]).unwrap();
    let mut bed = Bed::with(|path| path.chain = chain);
    bed.policies = book.current().clone();
    bed
}

/// One packet of each direction.
fn both(bed: &mut Bed) -> [Seen; 2] {
    let message = bed.data(&frame(&from_subscriber()));
    let up = bed.up(&message);
    [up, bed.down(&mut packet(SERVER, SUBSCRIBER, 60, true))]
}

fn passes(seen: &Seen) -> bool {
    let passed = seen.forwarded.len() + seen.sent.len();
    assert!(seen.handed.is_empty() || passed == 0);
    passed == 1 && seen.drops.is_empty()
}

#[test]
fn a_member_forwards_what_needs_no_home_and_hands_over_the_rest_as_it_came() {
    let (free, homed) = beds();
    for mut bed in free {
        bed.home = MEMBER;
        assert!(both(&mut bed).iter().all(passes));
    }
    for mut bed in homed {
        bed.home = MEMBER;
        // What would be changed on the way is changed at the home.
        let message = bed.data(&frame(&syn(SUBSCRIBER, SERVER)));
        let seen = bed.up(&message);
        assert_eq!(seen.handed, [(MASTER, message)]);
        let down = syn(SERVER, SUBSCRIBER);
        let seen = bed.down(&mut down.clone());
        assert_eq!(seen.handed, [(MASTER, down)]);
        assert!(seen.drops.is_empty());
        // It is counted at its home only.
        assert_eq!(bed.counters(), lns_tables::path::Counters::default());
        let slot = bed.tables.session_slot(super::SLOT).unwrap();
        assert_eq!((slot.last_received(), slot.last_forwarded()), (None, None));
    }
}

#[test]
fn the_home_forwards_all_of_it_wherever_it_came_in() {
    let (free, homed) = beds();
    for mut bed in free.into_iter().chain(homed) {
        bed.came = Came::Handed;
        let [up, _] = both(&mut bed);
        assert!(passes(&up));
    }
}

#[test]
fn what_was_handed_over_is_never_handed_over_again() {
    for home in [MEMBER, Home::Nowhere] {
        let (free, homed) = beds();
        for mut bed in free {
            (bed.home, bed.came) = (home, Came::Handed);
            assert!(both(&mut bed).iter().all(passes));
        }
        for mut bed in homed {
            (bed.home, bed.came) = (home, Came::Handed);
            for seen in both(&mut bed) {
                assert_eq!(seen.drops, [DropReason::NotHome]);
                assert!(seen.handed.is_empty() && !passes(&seen));
            }
            let counters = bed.counters();
            assert_eq!((counters.up.dropped, counters.down.dropped), (1, 1));
        }
    }
}

#[test]
fn without_a_master_what_needs_no_home_is_forwarded_and_the_rest_waits_for_one() {
    let (free, homed) = beds();
    for mut bed in free {
        bed.home = Home::Nowhere;
        assert!(both(&mut bed).iter().all(passes));
    }
    for mut bed in homed {
        bed.home = Home::Nowhere;
        for seen in both(&mut bed) {
            assert_eq!(seen.drops, [DropReason::HomeUnknown]);
            assert!(seen.handed.is_empty());
        }
    }
}

#[test]
fn policies_that_begin_or_cease_to_track_move_a_session_with_the_next_batch() {
    let (mut bed, mut book) = Bed::filtered(stateless());
    bed.home = MEMBER;
    assert!(both(&mut bed).iter().all(passes));
    let mut tracking = residential();
    tracking.name = "stateless".into();
    book.replace(vec![tracking]).unwrap();
    bed.policies = book.current().clone();
    assert!(both(&mut bed).iter().all(|seen| seen.handed.len() == 1));
    book.replace(vec![stateless()]).unwrap();
    bed.policies = book.current().clone();
    assert!(both(&mut bed).iter().all(passes));
}

/// LCP's echo is answered where it arrives; but what is numbered is handed over whole.
#[test]
fn ppp_of_a_session_that_is_not_numbered_goes_to_the_control_here() {
    let echo = [0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4];
    let mut shaped = Bed::with(|path| path.rates = RATES);
    let mut numbered = Bed::with(|path| path.sequencing = true);
    for bed in [&mut shaped, &mut numbered] {
        bed.home = MEMBER;
        let message = bed.data(&echo);
        let seen = bed.up(&message);
        assert_eq!(seen.ppp.len() + seen.handed.len(), 1);
        let is_numbered = seen.handed.len() == 1;
        assert_eq!(
            is_numbered,
            bed.tables
                .slot(super::SLOT)
                .unwrap()
                .unwrap()
                .view
                .sequencing
        );
    }
}

#[test]
fn what_its_home_would_drop_is_dropped_here_but_nothing_leaves_a_gap() {
    let broken = [
        (packet(SERVER, SERVER, 60, true), DropReason::SourceCheck),
        (vec![0x45; 10], DropReason::MalformedIp),
    ];
    for (packet, reason) in broken {
        let mut shaped = Bed::with(|path| path.rates = RATES);
        shaped.home = MEMBER;
        let message = shaped.data(&frame(&packet));
        let seen = shaped.up(&message);
        assert_eq!(seen.drops, [reason]);
        assert!(seen.handed.is_empty());
        let mut numbered = Bed::with(|path| path.sequencing = true);
        numbered.home = MEMBER;
        let message = numbered.numbered(0, &frame(&packet));
        assert_eq!(numbered.up(&message).handed, [(MASTER, message)]);
    }
    let mut closed = Bed::with(|path| {
        path.rates = RATES;
        path.address = None;
    });
    closed.home = MEMBER;
    let message = closed.data(&frame(&from_subscriber()));
    assert_eq!(closed.up(&message).drops, [DropReason::NetworkNotOpen]);
    // From somebody else than the tunnel's peer nothing is handed over.
    let mut bed = Bed::with(|path| path.rates = RATES);
    bed.home = MEMBER;
    let message = bed.data(&frame(&from_subscriber()));
    let (mut origin, mut seen) = (bed.origin(), Seen::default());
    origin.remote = "192.0.2.1:1702".parse().unwrap();
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert_eq!(seen.drops, [DropReason::WrongPeer]);
    assert!(seen.handed.is_empty());
}

#[test]
fn the_home_decides_on_what_is_unknown_here_within_a_rate() {
    let mut bed = Bed::new();
    bed.home = MEMBER;
    let mut unknown = bed.data(&frame(&from_subscriber()));
    unknown[5] ^= 1;
    let origin = bed.origin();
    let mut seen = Seen::default();
    for _ in 0..10 {
        unknown[3] ^= 1;
        bed.up_from(&unknown, &origin, NOW, &mut seen);
    }
    assert_eq!(seen.handed.len(), 10);
    assert_eq!(seen.handed[9], (MASTER, unknown.clone()));
    let burst = usize::try_from(UNKNOWN_UP_BURST).unwrap();
    for _ in 0..burst {
        bed.up_from(&unknown, &origin, NOW, &mut seen);
    }
    assert_eq!(seen.handed.len(), burst);
    assert_eq!(seen.drops, [DropReason::UnknownRate; 10]);
    // Nobody else's packets have less for it.
    assert!(both(&mut bed).iter().all(passes));
    let mut seen = Seen::default();
    bed.up_from(
        &unknown,
        &origin,
        NOW.add(Duration::from_millis(1)),
        &mut seen,
    );
    assert_eq!(seen.handed.len(), 1);
}

#[test]
fn an_address_of_a_pool_that_nobody_here_has_is_asked_for_at_home_within_a_rate() {
    let mut bed = Bed::new();
    bed.home = MEMBER;
    let unknown = packet(SERVER, "100.64.0.77".parse().unwrap(), 60, true);
    let mut seen = Seen::default();
    let burst = usize::try_from(UNKNOWN_DOWN_BURST).unwrap();
    for _ in 0..burst + 5 {
        bed.down_at(&mut unknown.clone(), NOW, &mut seen);
    }
    assert_eq!(seen.handed.len(), burst);
    assert_eq!(seen.handed[0], (MASTER, unknown));
    assert_eq!(seen.drops, [DropReason::UnknownRate; 5]);
    let outside = packet(SERVER, "100.65.0.77".parse().unwrap(), 60, true);
    let seen = bed.down(&mut outside.clone());
    assert_eq!(
        (seen.drops, seen.handed),
        (vec![DropReason::NoSession], vec![])
    );
}

#[test]
fn what_is_unknown_is_dropped_as_it_is_where_nobody_is_to_be_asked() {
    for (home, came) in [
        (Home::Here, Came::Here),
        (Home::Here, Came::Handed),
        (Home::Nowhere, Came::Here),
        (MEMBER, Came::Handed),
    ] {
        let mut bed = Bed::new();
        (bed.home, bed.came) = (home, came);
        let mut message = bed.data(&frame(&from_subscriber()));
        message[5] ^= 1;
        let seen = bed.up(&message);
        assert_eq!(seen.drops, [DropReason::UnknownSession]);
        message[3] ^= 1;
        assert_eq!(bed.up(&message).drops, [DropReason::UnknownTunnel]);
        let unknown = packet(SERVER, "100.64.0.77".parse().unwrap(), 60, true);
        let down = bed.down(&mut unknown.clone());
        assert_eq!(down.drops, [DropReason::NoSession]);
        assert!(seen.handed.is_empty() && down.handed.is_empty());
    }
}

#[test]
fn nothing_is_looked_ahead_at_that_is_handed_over() {
    let (mut bed, _book) = Bed::filtered(residential());
    bed.crowd();
    let up = bed.data(&frame(&from_subscriber()));
    let down = packet(SERVER, SUBSCRIBER, 60, true);
    bed.up(&up);
    let batch = Batch::new(&bed.tables, &bed.classifier, &bed.policies, 0, NOW);
    let met = |batch: &Batch<'_>| {
        let met = batch.meet_upstream([&up[..]; 70]);
        met + batch.meet_downstream(&bed.addresses, [&down[..]; 70])
    };
    assert!(met(&batch) >= 70);
    assert_eq!(met(&batch.with_home(MEMBER, Came::Here, &bed.unknown)), 0);
}

proptest! {
    /// Whatever comes to two nodes that each take the other for the master: it is handed over once at most,
    /// and each packet has one end.
    #[test]
    fn two_nodes_that_take_each_other_for_the_master_send_nothing_around(
        octets in prop::collection::vec(any::<u8>(), 0..100),
        is_whole in any::<bool>(),
        kind in 0_usize..8,
    ) {
        let (free, homed) = beds();
        let mut first = free.into_iter().chain(homed).nth(kind).unwrap();
        let (free, homed) = beds();
        let mut second = free.into_iter().chain(homed).nth(kind).unwrap();
        first.home = Home::Peer(Peer(2));
        (second.home, second.came) = (Home::Peer(Peer(1)), Came::Handed);
        let ends = |seen: &Seen| {
            seen.forwarded.len() + seen.sent.len() + seen.drops.len() + seen.ppp.len() + seen.control.len()
        };
        let up = if is_whole { first.data(&frame(&from_subscriber())) } else { octets.clone() };
        let mut down = if is_whole { packet(SERVER, SUBSCRIBER, 60, true) } else { octets };
        let seen = first.up(&up);
        prop_assert_eq!(ends(&seen) + seen.handed.len(), 1);
        for (_, message) in seen.handed {
            let seen = second.up(&message);
            prop_assert!(seen.handed.is_empty() && ends(&seen) <= 1);
        }
        let seen = first.down(&mut down);
        prop_assert_eq!(ends(&seen) + seen.handed.len(), 1);
        for (_, mut packet) in seen.handed {
            let seen = second.down(&mut packet);
            prop_assert!(seen.handed.is_empty() && ends(&seen) == 1);
        }
    }
}
