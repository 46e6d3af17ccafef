//! Tests of the page index: scale, quarantine, recycling, and agreement with a plain map.

#![cfg(not(loom))]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use core::ops::Add as _;
use std::collections::{BTreeMap, BTreeSet};

use lns_crypto::Rng;
use proptest::prelude::*;

use super::*;
use crate::time::Instant;

const REST: Duration = Duration::from_secs(31);

fn at(secs: u64) -> Instant {
    Instant::from_millis(secs * 1000)
}

fn rng(seed: u8) -> impl FnMut() -> u32 {
    let mut rng = Rng::from_seed([seed; 32]);
    move || rng.u32()
}

fn limits(tunnels: u16, sessions: u32) -> IndexLimits {
    IndexLimits {
        tunnels,
        sessions,
        quarantine: Rest::of(REST),
    }
}

/// The ids of `count` sessions in a new tunnel.
fn draw(seed: u8, count: u32) -> (TunnelId, Vec<u16>) {
    let (mut writer, _) = PageIndex::new(limits(10, 1_000_000));
    let mut random = rng(seed);
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let ids = (0..count).map(|slot| {
        writer
            .open_session(tunnel, SlotIndex(slot), at(0), &mut random)
            .unwrap()
            .0
    });
    (tunnel, ids.collect())
}

#[test]
fn one_tunnel_takes_65535_sessions() {
    let (mut writer, index) = PageIndex::new(limits(1, 100_000));
    let mut random = rng(1);
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let mut slots = BTreeMap::new();
    for slot in 0..65_535 {
        let session = writer
            .open_session(tunnel, SlotIndex(slot), at(0), &mut random)
            .unwrap();
        assert!(!session.is_none());
        assert_eq!(slots.insert(session, slot), None);
    }
    assert_eq!(
        writer.open_session(tunnel, SlotIndex(65_535), at(0), &mut random),
        None
    );
    for (session, slot) in &slots {
        assert_eq!(index.lookup(tunnel, *session), Some(SlotIndex(*slot)));
    }
    assert_eq!(
        (writer.counts().blocks, writer.counts().sessions),
        (64, 65_535)
    );
}

#[test]
fn as_many_tunnels_take_one_session_each() {
    let (mut writer, index) = PageIndex::new(IndexLimits::default());
    let mut random = rng(1);
    let mut opened = BTreeMap::new();
    for slot in 0..65_535 {
        let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
        let session = writer
            .open_session(tunnel, SlotIndex(slot), at(0), &mut random)
            .unwrap();
        assert!(!tunnel.is_none());
        assert_eq!(opened.insert(tunnel, (session, slot)), None);
    }
    assert_eq!(writer.open_tunnel(at(0), &mut random), None);
    for (tunnel, (session, slot)) in opened {
        assert_eq!(index.lookup(tunnel, session), Some(SlotIndex(slot)));
    }
    assert_eq!(writer.counts().blocks, 65_535);
}

#[test]
fn a_million_sessions_over_twenty_tunnels_stay_dense() {
    let (mut writer, _) = PageIndex::new(limits(20, 1_000_000));
    let mut random = rng(1);
    let tunnels: Vec<TunnelId> = (0..20)
        .map(|_| writer.open_tunnel(at(0), &mut random).unwrap())
        .collect();
    for slot in 0..1_000_000 {
        let tunnel = tunnels[usize::try_from(slot % 20).unwrap()];
        assert!(
            writer
                .open_session(tunnel, SlotIndex(slot), at(0), &mut random)
                .is_some()
        );
    }
    assert_eq!(
        writer.open_session(tunnels[0], SlotIndex(1_000_000), at(0), &mut random),
        None
    );
    assert!(writer.counts().blocks <= 20 * 64);
}

#[test]
fn the_next_page_is_opened_when_the_first_is_three_quarters_full() {
    let pages = |count| {
        draw(1, count)
            .1
            .iter()
            .map(|id| id / 1024)
            .collect::<BTreeSet<_>>()
            .len()
    };
    assert_eq!(
        (
            pages(767),
            pages(768),
            pages(769),
            pages(2 * 767),
            pages(2 * 768 + 1)
        ),
        (1, 1, 2, 2, 3)
    );
}

#[test]
fn ids_of_equal_seeds_are_equal_and_of_different_ones_are_not() {
    let runs: BTreeSet<_> = (0..100).map(|seed| draw(seed, 10)).collect();
    assert_eq!(runs.len(), 100);
    assert_eq!(draw(7, 100), draw(7, 100));
    let tunnels: BTreeSet<_> = runs.iter().map(|(tunnel, _)| tunnel.0 / 4096).collect();
    assert!(
        tunnels.len() > 12,
        "tunnel ids from everywhere: {tunnels:?}"
    );
    let pages: BTreeSet<_> = runs.iter().map(|(_, ids)| ids[0] / 1024).collect();
    assert!(pages.len() > 35, "first pages from everywhere: {pages:?}");
}

#[test]
fn places_in_a_page_are_drawn_evenly() {
    let mut hits = [0_u32; 16];
    for seed in 0..=255 {
        for id in draw(seed, 25).1 {
            hits[usize::from(id % 1024 / 64)] += 1;
        }
    }
    // 6400 draws over 16 stretches: 400 each, and a standard deviation below 20.
    assert!(
        hits.iter().all(|hits| (300..500).contains(hits)),
        "{hits:?}"
    );
}

#[test]
fn a_closed_session_leads_nowhere_and_its_id_rests() {
    let (mut writer, index) = PageIndex::new(limits(1, 100_000));
    let mut random = rng(1);
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let all: Vec<SessionId> = (0..65_535)
        .map(|slot| {
            writer
                .open_session(tunnel, SlotIndex(slot), at(0), &mut random)
                .unwrap()
        })
        .collect();
    assert_eq!(
        writer.close_session(tunnel, all[5], at(100)),
        Some(SlotIndex(5))
    );
    assert_eq!(writer.close_session(tunnel, all[5], at(100)), None);
    assert_eq!(index.lookup(tunnel, all[5]), None);
    assert_eq!(
        writer.open_session(tunnel, SlotIndex(5), at(130), &mut random),
        None
    );
    assert!(!writer.claim_session(tunnel, all[5], SlotIndex(5)));
    assert_eq!(
        writer.open_session(tunnel, SlotIndex(5), at(131), &mut random),
        Some(all[5])
    );
}

#[test]
fn a_tunnel_that_nobody_was_told_of_does_not_rest() {
    let (mut writer, _) = PageIndex::new(limits(10, 100));
    let mut random = rng(1);
    for _ in 0..100_000 {
        let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
        assert!(writer.withdraw_tunnel(tunnel) && !writer.is_open(tunnel));
        assert!(!writer.withdraw_tunnel(tunnel), "twice");
    }
    assert_eq!(writer.counts(), IndexCounts::default());
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let slot = SlotIndex(1);
    assert!(
        writer
            .open_session(tunnel, slot, at(0), &mut random)
            .is_some()
    );
    assert!(!writer.withdraw_tunnel(tunnel), "its ids are known");
}

#[test]
fn a_closed_tunnel_rests_and_comes_back_empty() {
    let (mut writer, index) = PageIndex::new(limits(u16::MAX, 1000));
    let mut random = rng(1);
    for _ in 0..65_534 {
        writer.open_tunnel(at(0), &mut random).unwrap();
    }
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let kept = writer
        .open_session(tunnel, SlotIndex(1), at(0), &mut random)
        .unwrap();
    let closed = writer
        .open_session(tunnel, SlotIndex(2), at(0), &mut random)
        .unwrap();
    writer.close_session(tunnel, closed, at(100));
    assert!(writer.close_tunnel(tunnel, at(100)));
    assert!(!writer.close_tunnel(tunnel, at(100)));
    assert_eq!(index.lookup(tunnel, kept), None);
    assert_eq!((writer.counts().sessions, writer.counts().blocks), (0, 0));
    assert_eq!(
        writer.open_session(tunnel, SlotIndex(3), at(100), &mut random),
        None
    );
    assert_eq!(writer.open_tunnel(at(130), &mut random), None);
    assert!(!writer.claim_tunnel(tunnel));
    assert_eq!(writer.open_tunnel(at(131), &mut random), Some(tunnel));
    assert_eq!(
        (index.lookup(tunnel, kept), writer.sessions_of(tunnel)),
        (None, 0)
    );
    // The block that was closed over a session is one of these, and holds nothing of it.
    for page in 0..2 {
        let probe = SessionId(page * 1024 + 1);
        assert!(writer.claim_session(tunnel, probe, SlotIndex(9)));
        let found = (page * 1024..=page * 1024 + 1023)
            .filter(|id| index.lookup(tunnel, SessionId(*id)).is_some());
        assert_eq!(found.collect::<Vec<_>>(), [probe.0]);
    }
}

#[test]
fn a_page_whose_last_id_has_rested_gives_its_block_back() {
    let (mut writer, _) = PageIndex::new(limits(2, 1000));
    let mut random = rng(1);
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let session = writer
        .open_session(tunnel, SlotIndex(0), at(0), &mut random)
        .unwrap();
    writer.close_session(tunnel, session, at(0));
    assert_eq!(writer.counts().blocks, 1);
    let other = writer.open_tunnel(at(31), &mut random).unwrap();
    assert_eq!(
        (writer.counts().blocks, writer.counts().resting_sessions),
        (0, 0)
    );
    assert!(writer.is_open(other) && writer.is_open(tunnel));
}

#[test]
fn no_tunnel_is_without_its_first_page_because_another_took_them_all() {
    let (mut writer, _) = PageIndex::new(limits(2, 3000));
    let mut random = rng(1);
    let greedy = writer.open_tunnel(at(0), &mut random).unwrap();
    for page in 0..64 {
        writer.claim_session(
            greedy,
            SessionId(page * 1024 + 1),
            SlotIndex(u32::from(page)),
        );
    }
    assert_eq!(
        writer.counts().blocks,
        9,
        "the first, and 2 x 3000 / 768 further ones"
    );
    let modest = writer.open_tunnel(at(0), &mut random).unwrap();
    assert!(
        writer
            .open_session(modest, SlotIndex(100), at(0), &mut random)
            .is_some()
    );
    // What is left of the greedy one's pages is used up to the last place.
    for slot in 200..3190 {
        assert!(
            writer
                .open_session(greedy, SlotIndex(slot), at(0), &mut random)
                .is_some()
        );
    }
    assert_eq!(writer.counts().blocks, 10);
}

#[test]
fn resting_ids_are_bounded() {
    let (mut writer, _) = PageIndex::new(limits(1, 100));
    let mut random = rng(1);
    let tunnel = writer.open_tunnel(at(0), &mut random).unwrap();
    let mut opened = 0;
    while let Some(session) = writer.open_session(tunnel, SlotIndex(0), at(0), &mut random) {
        writer.close_session(tunnel, session, at(0));
        opened += 1;
    }
    assert_eq!((opened, writer.counts().resting_sessions), (200, 200));
    assert!(
        writer
            .open_session(tunnel, SlotIndex(0), at(31), &mut random)
            .is_some()
    );
}

#[test]
fn ids_0_and_slots_that_no_entry_can_hold_are_refused() {
    let (mut writer, index) = PageIndex::new(limits(2, 10));
    let mut random = rng(1);
    assert!(!writer.claim_tunnel(TunnelId(0)));
    assert!(writer.claim_tunnel(TunnelId(65_535)));
    let tunnel = TunnelId(65_535);
    assert!(!writer.claim_session(tunnel, SessionId(0), SlotIndex(1)));
    assert!(!writer.claim_session(tunnel, SessionId(1), SlotIndex(u32::MAX)));
    assert_eq!(
        writer.open_session(tunnel, SlotIndex(u32::MAX), at(0), &mut random),
        None
    );
    assert!(writer.claim_session(tunnel, SessionId(65_535), SlotIndex(u32::MAX - 1)));
    assert!(!writer.claim_session(tunnel, SessionId(65_535), SlotIndex(1)));
    assert_eq!(
        index.lookup(tunnel, SessionId(65_535)),
        Some(SlotIndex(u32::MAX - 1))
    );
    assert_eq!(
        writer.first_session(tunnel),
        Some((SessionId(65_535), SlotIndex(u32::MAX - 1)))
    );
    assert_eq!(index.lookup(TunnelId(0), SessionId(0)), None);
}

#[derive(Clone, Debug)]
enum Step {
    OpenTunnel,
    CloseTunnel(usize),
    OpenSession(usize),
    CloseSession(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::OpenTunnel),
        1 => any::<usize>().prop_map(Step::CloseTunnel),
        8 => any::<usize>().prop_map(Step::OpenSession),
        6 => any::<usize>().prop_map(Step::CloseSession),
        2 => (0_u64..20).prop_map(Step::Wait),
    ]
}

fn pick<T: Copy>(from: impl ExactSizeIterator<Item = T>, at: usize) -> Option<T> {
    let len = from.len();
    from.into_iter().nth(at.checked_rem(len)?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_index_holds_what_a_map_holds_and_quarantine_holds(seed in any::<u8>(), steps in prop::collection::vec(step(), 0..300)) {
        let (mut writer, index) = PageIndex::new(limits(4, 60));
        let mut random = rng(seed);
        let mut now = at(0);
        let mut tunnels: BTreeMap<TunnelId, BTreeMap<SessionId, SlotIndex>> = BTreeMap::new();
        let mut closed: BTreeMap<(TunnelId, SessionId), Instant> = BTreeMap::new();
        for (slot, step) in (0..).map(SlotIndex).zip(steps) {
            match step {
                Step::OpenTunnel => {
                    let opened = writer.open_tunnel(now, &mut random);
                    prop_assert_eq!(opened.is_some(), tunnels.len() < 4);
                    if let Some(tunnel) = opened {
                        prop_assert!(closed.get(&(tunnel, SessionId::NONE)).is_none_or(|at| at.add(REST) <= now));
                        prop_assert!(tunnels.insert(tunnel, BTreeMap::new()).is_none());
                    }
                }
                Step::CloseTunnel(at) => {
                    let Some(tunnel) = pick(tunnels.keys().copied(), at) else { continue };
                    prop_assert!(writer.close_tunnel(tunnel, now));
                    closed.insert((tunnel, SessionId::NONE), now);
                    for session in tunnels.remove(&tunnel).unwrap().into_keys() {
                        prop_assert_eq!(index.lookup(tunnel, session), None);
                    }
                }
                Step::OpenSession(at) => {
                    let Some(tunnel) = pick(tunnels.keys().copied(), at) else { continue };
                    let Some(session) = writer.open_session(tunnel, slot, now, &mut random) else {
                        let counts = writer.counts();
                        prop_assert!(counts.sessions == 60 || counts.sessions + counts.resting_sessions == 120);
                        continue;
                    };
                    prop_assert!(closed.get(&(tunnel, session)).is_none_or(|at| at.add(REST) <= now));
                    prop_assert_eq!(tunnels.get_mut(&tunnel).unwrap().insert(session, slot), None);
                }
                Step::CloseSession(at) => {
                    let Some(tunnel) = pick(tunnels.keys().copied(), at) else { continue };
                    let sessions = tunnels.get_mut(&tunnel).unwrap();
                    let Some(session) = pick(sessions.keys().copied(), at) else { continue };
                    prop_assert_eq!(writer.close_session(tunnel, session, now), sessions.remove(&session));
                    closed.insert((tunnel, session), now);
                }
                Step::Wait(secs) => now = now.add(Duration::from_secs(secs)),
            }
            for (tunnel, sessions) in &tunnels {
                prop_assert_eq!(usize::try_from(writer.sessions_of(*tunnel)).unwrap(), sessions.len());
                prop_assert_eq!(writer.first_session(*tunnel).is_some(), !sessions.is_empty());
                for (session, slot) in sessions {
                    prop_assert_eq!(index.lookup(*tunnel, *session), Some(*slot));
                }
            }
            let counts = writer.counts();
            prop_assert_eq!(usize::try_from(counts.tunnels).unwrap(), tunnels.len());
            prop_assert_eq!(usize::try_from(counts.sessions).unwrap(), tunnels.values().map(BTreeMap::len).sum::<usize>());
            prop_assert!(counts.blocks >= u32::try_from(tunnels.values().filter(|sessions| !sessions.is_empty()).count()).unwrap());
        }
    }
}
