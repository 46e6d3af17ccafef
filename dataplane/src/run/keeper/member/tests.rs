//! What a member's keeper keeps while a store is read again, and in which order it writes again what a store has
//! lost.

use core::time::Duration;

use bytes::Bytes;
use lns_radius::record::{Record, Status};
use lns_store::Key;
use lns_tables::time::Instant;
use lns_wire::radius::AttributeList;
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::config::Setup;

const NOW: Instant = Instant::from_millis(1_000);

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

fn mark(seq: u64) -> Mark {
    Mark::new(epoch(7), seq).unwrap()
}

fn keeper() -> (Keeper, Node) {
    let (told, _unheard) = unbounded_channel();
    let keeper = Keeper::follower(Arc::default(), Storage::None, told, StoreClock::default());
    (keeper, standby())
}

fn standby() -> Node {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples/minimal.yaml");
    let manifest = lns_api::read_manifest(example.as_ref()).unwrap();
    let setup = Setup::new(&manifest).unwrap();
    Node::standby(setup.node, [7; 32], NOW)
}

/// A record of accounting: nothing but its key matters here.
fn record(number: u64, seq: u64) -> Told {
    Told::Record {
        key: account::key(number).parse::<Key>().unwrap(),
        mark: mark(seq),
        blob: Bytes::from_static(b"?"),
    }
}

/// Everything was read, changes up to this one.
fn loaded(seq: u64) -> Told {
    Told::Loaded {
        position: mark(seq),
    }
}

fn kept(keeper: &Keeper) -> Vec<u64> {
    keeper.kept.keys().copied().collect()
}

#[test]
fn what_the_store_has_no_more_is_kept_until_the_master_says_that_nothing_is_missing() {
    let (mut keeper, mut node) = keeper();
    let mut follow = |keeper: &mut Keeper, told: Vec<Told>| keeper.follow(&mut node, told, NOW);
    follow(
        &mut keeper,
        vec![Told::Loading, record(1, 1), record(2, 2), loaded(2)],
    );
    assert!(!keeper.is_doubtful(), "it knew nothing before");
    assert_eq!(kept(&keeper), [1, 2]);

    // The store was emptied, and the master has written one of them again so far.
    follow(&mut keeper, vec![Told::Loading, record(2, 5), loaded(5)]);
    assert!(keeper.is_doubtful());
    assert_eq!(kept(&keeper), [1, 2]);

    // It is read once more: what a master said before does not count in the middle of that.
    follow(&mut keeper, vec![Told::Loading]);
    assert!(!keeper.is_doubtful());
    let mut other = standby();
    keeper.handle_written_again(&mut other, NOW);
    assert_eq!(kept(&keeper), [1, 2]);
    follow(&mut keeper, vec![record(2, 5), loaded(5)]);
    assert!(keeper.is_doubtful());

    keeper.handle_written_again(&mut other, NOW);
    assert!(!keeper.is_doubtful());
    assert_eq!(kept(&keeper), [2], "the other one is gone");
}

#[test]
fn a_store_that_was_put_back_takes_nothing_from_a_member() {
    let (mut keeper, mut node) = keeper();
    let mut follow = |keeper: &mut Keeper, told: Vec<Told>| keeper.follow(&mut node, told, NOW);
    follow(&mut keeper, vec![Told::Loading, record(1, 1), loaded(1)]);
    follow(&mut keeper, vec![record(1, 7)]);
    // Its replica had an older one of the same.
    follow(&mut keeper, vec![Told::Loading, record(1, 1), loaded(3)]);
    assert!(keeper.is_doubtful());
    follow(&mut keeper, vec![record(1, 8)]);
    keeper.handle_written_again(&mut standby(), NOW);
    assert_eq!(kept(&keeper), [1]);
}

#[test]
fn what_a_store_has_lost_is_written_again_in_parts_and_tunnels_first() {
    let (mut keeper, mut node) = keeper();
    keeper.take_over(&mut node, epoch(7), NOW);
    keeper.journal.handle_claimed(epoch(7), 10, NOW);
    let sessions = (1..=1_500_u64).map(|id| format!("s/1/{id}"));
    for (key, seq) in sessions.chain(["t/1".to_owned()]).zip(1..) {
        keeper.journal.handle_loaded(key, mark(seq));
    }
    keeper.handle_digest(&mut node, Vec::new(), &BTreeMap::new(), NOW);
    assert_eq!(keeper.lost.front().map(String::as_str), Some("t/1"));
    assert_eq!(keeper.lost.len(), 1_501);
    assert_eq!(
        keeper.position(),
        None,
        "something is missing in the stream"
    );
    assert_eq!(keeper.patience(NOW), Some(Duration::ZERO));
    keeper.store(&mut node, NOW);
    assert_eq!(keeper.lost.len(), 1_501 - AGAIN);
    keeper.store(&mut node, NOW);
    assert!(keeper.lost.is_empty());
    assert!(keeper.position().is_some());
}

#[test]
fn who_takes_over_stores_first_what_it_knows_and_the_store_does_not() {
    let (mut keeper, mut node) = keeper();
    let records = |numbers: [u64; 3]| numbers.map(|it| record(it, it)).to_vec();
    keeper.follow(&mut node, vec![Told::Loading], NOW);
    keeper.follow(&mut node, records([1, 2, 3]), NOW);
    keeper.follow(&mut node, vec![loaded(3)], NOW);
    keeper.follow(&mut node, vec![Told::Loading, record(2, 2), loaded(2)], NOW);
    assert!(keeper.is_doubtful());

    let epoch = epoch(8);
    keeper.membership.as_mut().unwrap().claimed = Some((epoch, 4));
    keeper.take_over(&mut node, epoch, NOW);
    let newest_first = [3, 1].map(account::key);
    assert_eq!(keeper.lost, newest_first);
    assert_eq!(keeper.position(), None, "they are missing in the stream");
    keeper.store(&mut node, NOW);
    assert!(keeper.lost.is_empty());
    let round = keeper.journal.poll_round().unwrap();
    let written: Vec<_> = round.writes.iter().map(|it| it.key.clone()).collect();
    assert!(newest_first.iter().all(|key| written.contains(key)));
}

#[test]
fn without_a_store_interims_are_not_told_and_starts_are() {
    let (mut keeper, mut node) = keeper();
    keeper.take_over(&mut node, epoch(7), NOW);
    keeper.handle_vouched(NOW);
    for status in [Status::Interim, Status::Start] {
        keeper.take(Record {
            status,
            session: "1-1".into(),
            at: NOW,
            attributes: AttributeList::new(),
            realm: None,
            kept: None,
        });
    }
    // Something of the session has changed, too.
    keeper.journal.put("s/1/1".to_owned(), b"?", true);
    keeper.store(&mut node, NOW);
    let late = NOW + Duration::from_secs(1);
    keeper.handle_vouched(late);
    keeper.turn(&mut node, late);
    let told: Vec<_> = core::iter::from_fn(|| keeper.poll_output(late)).collect();
    assert!(
        matches!(&told[..], [Output::Record(record)] if record.status == Status::Start),
        "{told:?}"
    );
    assert_eq!(keeper.figures().unsaid, 1);
}

#[test]
fn records_of_a_later_release_are_noticed_kept_and_counted_anew_when_all_is_read_anew() {
    let of_kind = |key: &str, blob: &'static [u8]| Told::Record {
        key: key.parse::<Key>().unwrap(),
        mark: mark(1),
        blob: Bytes::from_static(blob),
    };
    // A form that is not known, and a kind that is not.
    for told in [of_kind("t/1", &[200, 1]), of_kind("later/1", &[1])] {
        let (mut keeper, mut node) = keeper();
        keeper.follow(&mut node, vec![Told::Loading, told, loaded(1)], NOW);
        assert!(keeper.is_foreign());
        let membership = keeper.membership.as_ref().unwrap();
        assert!(membership.useless.is_empty(), "nobody forgets it");
        keeper.follow(&mut node, vec![Told::Loading, loaded(2)], NOW);
        assert!(!keeper.is_foreign());
    }
}

/// A tunnel's record as the release before wrote it.
const TUNNEL: &str = "01b9c0d9f29e34000977686f6c6573616c6500c0000201a50d00c6336401a50d050301010707070707070707070707070707070701046c61633100010102808004848004ffff03800100030104050101";

fn tunnel(seq: u64) -> Told {
    let octets = (0..TUNNEL.len()).step_by(2);
    let octets = octets.map(|at| u8::from_str_radix(&TUNNEL[at..at + 2], 16).unwrap());
    Told::Record {
        key: "t/1".parse::<Key>().unwrap(),
        mark: mark(seq),
        blob: octets.collect(),
    }
}

/// What is written in the next rounds, by key.
fn written(keeper: &mut Keeper, node: &mut Node) -> BTreeMap<String, Vec<u8>> {
    keeper.store(node, NOW);
    let mut all = BTreeMap::new();
    while let Some(round) = keeper.journal.poll_round() {
        for write in &round.writes {
            if let Change::Put(octets) = &write.change {
                all.insert(write.key.clone(), octets.to_vec());
            }
        }
    }
    all
}

fn claim(keeper: &mut Keeper, node: &mut Node, number: u64) {
    let membership = keeper.membership.as_mut().unwrap();
    membership.claimed = Some((epoch(number), 2));
    keeper.take_over(node, epoch(number), NOW);
}

#[test]
fn records_keep_their_form_until_the_upgrade_is_final_and_then_all_are_written_again() {
    let (mut keeper, mut node) = keeper();
    keeper.follow(&mut node, vec![Told::Loading, tunnel(1), loaded(1)], NOW);
    let refused = keeper.finalize(&mut node);
    assert_eq!(refused, Err("this node does not serve"));
    claim(&mut keeper, &mut node, 8);
    let refused = keeper.finalize(&mut node);
    assert_eq!(
        refused,
        Err("sessions are not stored now: see `lnsd status`")
    );
    node.handle_lost_store();
    let before = written(&mut keeper, &mut node);
    assert!(!before.contains_key("form/records"));
    assert_eq!(before["t/1"][0], 1);

    assert_eq!(keeper.write_in_newest(&mut node), 1);
    let after = written(&mut keeper, &mut node);
    assert_eq!(after["form/records"], [2]);
    assert_eq!(after["t/1"][0], 2);
    assert_eq!(keeper.figures().form, 2);
}

#[test]
fn who_follows_knows_the_form_and_a_store_that_has_lost_it_has_it_again() {
    let (mut keeper, mut node) = keeper();
    let form = Told::Record {
        key: "form/records".parse::<Key>().unwrap(),
        mark: mark(1),
        blob: Bytes::from_static(&[2]),
    };
    keeper.follow(&mut node, vec![Told::Loading, form, loaded(1)], NOW);
    claim(&mut keeper, &mut node, 8);
    assert_eq!(keeper.form().number(), 2);
    keeper.handle_digest(&mut node, Vec::new(), &BTreeMap::new(), NOW);
    let again = written(&mut keeper, &mut node);
    assert_eq!(again["form/records"], [2]);
}

#[test]
fn who_has_taken_over_without_it_learns_the_form_from_the_store() {
    // What a later release has is left as it is.
    for (octets, form, again) in [(&[3][..], 1, None), (&[2], 2, Some(vec![2]))] {
        let (mut keeper, mut node) = keeper();
        keeper.take_over(&mut node, epoch(8), NOW);
        keeper.journal.handle_claimed(epoch(8), 2, NOW);
        let key = "form/records".to_owned();
        let strays = BTreeMap::from([(key.clone(), Bytes::from_static(octets))]);
        keeper.handle_digest(&mut node, vec![(key.clone(), mark(1))], &strays, NOW);
        assert_eq!(written(&mut keeper, &mut node).get(&key), again.as_ref());
        assert_eq!(keeper.form().number(), form);
        assert_eq!(keeper.is_foreign(), again.is_none());
    }
}

#[test]
fn what_begins_with_this_release_has_the_newest_form() {
    let (mut keeper, mut node) = keeper();
    keeper.follow(&mut node, vec![Told::Loading, loaded(0)], NOW);
    claim(&mut keeper, &mut node, 1);
    assert_eq!(written(&mut keeper, &mut node)["form/records"], [2]);
    // Where somebody was master before there may be an older release to go back to.
    let (mut keeper, mut node) = self::keeper();
    keeper.follow(&mut node, vec![Told::Loading, loaded(0)], NOW);
    claim(&mut keeper, &mut node, 2);
    assert!(written(&mut keeper, &mut node).is_empty());
    assert_eq!(keeper.form().number(), 1);
}
