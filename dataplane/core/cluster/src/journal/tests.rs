//! A journal against a store that stops, answers late, forgets what it has not answered, and comes back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A store: what it has of each key, and which rounds it has not answered.
#[derive(Debug, Default)]
struct Store {
    records: BTreeMap<u8, (Mark, Box<[u8]>)>,
    last: Mark,
    unanswered: VecDeque<Ticket>,
}

impl Store {
    fn take(&mut self, round: &Round<u8>) {
        for write in &round.writes {
            assert!(write.mark > self.last, "marks do not grow");
            self.last = write.mark;
            match &write.change {
                Change::Put(octets) => {
                    self.records.insert(write.key, (write.mark, octets.clone()));
                }
                Change::Forget => drop(self.records.remove(&write.key)),
            }
        }
        self.unanswered.push_back(round.ticket);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u8, u8),
    Forget(u8),
    Close,
    /// The store takes so many rounds.
    Take(u8),
    /// It answers so many.
    Answer(u8),
    /// It goes away, and takes so many first, which it never answers.
    Away(u8),
    Back,
    Wait,
    /// It is found out that nobody else is master.
    Vouch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..6, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (0_u8..6).prop_map(Step::Forget),
        4 => Just(Step::Close),
        3 => (1_u8..4).prop_map(Step::Take),
        3 => (1_u8..4).prop_map(Step::Answer),
        1 => (0_u8..3).prop_map(Step::Away),
        1 => Just(Step::Back),
        1 => Just(Step::Wait),
        1 => Just(Step::Vouch),
    ]
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

proptest! {
    /// What is settled is stored, unless the journal says that it is degraded and nobody else was master when it was
    /// said; and in the end the store has what the node has.
    #[test]
    fn what_is_settled_is_stored(steps in prop::collection::vec(step(), 0..120), is_alone in any::<bool>()) {
        let mut journal: Journal<u8> = Journal::new(Patience::default());
        let mut store = Store::default();
        let mut node: BTreeMap<u8, Box<[u8]>> = BTreeMap::new();
        // What the node had when each ticket was given.
        let mut history: BTreeMap<Ticket, BTreeMap<u8, Box<[u8]>>> = BTreeMap::new();
        let mut now = Instant::from_millis(1);
        let mut closed: BTreeMap<Ticket, Instant> = BTreeMap::new();
        let mut vouched = Instant::ZERO;
        let (mut is_changed, mut said) = (false, now);
        if !is_alone {
            journal.handle_vouched(vouched);
        }
        journal.handle_claimed(epoch(1), 0, now);
        let mut up = true;
        for step in steps.into_iter().chain([Step::Close, Step::Back]).chain([Step::Take(9), Step::Answer(9)].repeat(40)) {
            match step {
                Step::Put(key, value) => {
                    is_changed = true;
                    node.insert(key, Box::new([value]));
                    journal.put(key, &[value], value % 2 == 0);
                }
                Step::Forget(key) => {
                    is_changed = true;
                    node.remove(&key);
                    journal.forget(key);
                }
                Step::Close => {
                    let ticket = journal.close(now);
                    history.entry(ticket).or_insert_with(|| node.clone());
                    if core::mem::take(&mut is_changed) {
                        said = now;
                    }
                    closed.entry(ticket).or_insert(said);
                }
                Step::Take(count) => {
                    for _ in 0..count {
                        let Some(round) = journal.poll_round() else { break };
                        store.take(&round.clone());
                    }
                }
                Step::Answer(count) => {
                    for _ in 0..count {
                        let Some(ticket) = store.unanswered.pop_front() else { break };
                        journal.handle_stored(ticket);
                    }
                }
                Step::Away(count) if up => {
                    for _ in 0..count {
                        let Some(round) = journal.poll_round() else { break };
                        store.take(&round.clone());
                    }
                    store.unanswered.clear();
                    journal.handle_away();
                    up = false;
                }
                Step::Back if !up => {
                    journal.handle_claimed(epoch(1), store.last.seq, now);
                    up = true;
                }
                Step::Away(_) | Step::Back => {}
                Step::Wait => {
                    now += Duration::from_millis(300);
                    journal.handle_timeout(now);
                }
                Step::Vouch => {
                    vouched = now;
                    if !is_alone {
                        journal.handle_vouched(now);
                        journal.handle_timeout(now);
                    }
                }
            }
            let settled = journal.settled();
            if let Some((ticket, then)) = history.range(..=settled).next_back() {
                let is_unvouched = !is_alone && closed[ticket] > vouched;
                if journal.standing() == Standing::Whole || is_unvouched {
                    for (key, octets) in then {
                        // It may be newer by now, and is there.
                        let newer = history.range(settled..).any(|(_, later)| later.get(key) != Some(octets))
                            || node.get(key) != Some(octets);
                        let stored = store.records.get(key).map(|(_, octets)| octets);
                        prop_assert!(stored == Some(octets) || newer, "{key} {stored:?} {octets:?}");
                    }
                }
            }
        }
        prop_assert!(!journal.take_overrun());
        let stored: BTreeMap<u8, Box<[u8]>> = store.records.into_iter().map(|(key, (_, octets))| (key, octets)).collect();
        prop_assert_eq!(stored, node);
        prop_assert_eq!(journal.standing(), Standing::Whole);
        prop_assert_eq!(journal.unstored(), 0);
    }
}

fn claimed() -> (Journal<u8>, Instant) {
    let mut journal = Journal::new(Patience::default());
    let now = Instant::from_millis(1);
    journal.handle_claimed(epoch(3), 0, now);
    (journal, now)
}

#[test]
fn nothing_that_was_changed_waits_for_nothing() {
    let (mut journal, now) = claimed();
    let ticket = journal.close(now);
    assert!(journal.is_settled(ticket));
    assert_eq!(journal.poll_timeout(), None);
}

#[test]
fn a_round_settles_when_it_and_all_before_it_are_stored() {
    let (mut journal, now) = claimed();
    let close = |journal: &mut Journal<u8>, key| {
        journal.put(key, b"x", true);
        journal.close(now)
    };
    let first = close(&mut journal, 1);
    let second = close(&mut journal, 2);
    assert!(!journal.is_settled(first));
    let rounds = [(); 2].map(|()| journal.poll_round().unwrap().clone());
    assert_eq!(journal.poll_round(), None);
    let marks = rounds.map(|round| {
        round
            .writes
            .iter()
            .map(|write| write.mark.seq)
            .collect::<Vec<_>>()
    });
    assert_eq!(marks, [vec![1], vec![2]]);
    journal.handle_stored(second);
    assert!(!journal.is_settled(first) && !journal.is_settled(second));
    journal.handle_stored(first);
    assert!(journal.is_settled(first) && journal.is_settled(second));
}

#[test]
fn what_waits_too_long_leaves_and_the_journal_says_so_until_all_is_stored() {
    let (mut journal, now) = claimed();
    journal.put(1, b"x", true);
    let ticket = journal.close(now);
    let due = journal.poll_timeout().unwrap();
    assert!(!journal.handle_timeout(now) && !journal.is_settled(ticket));
    assert!(journal.handle_timeout(due));
    assert!(journal.is_settled(ticket));
    assert_eq!(journal.standing(), Standing::Degraded);
    assert_eq!(journal.unstored(), 1);
    let given = journal.poll_round().unwrap().ticket;
    journal.handle_stored(given);
    assert_eq!(journal.standing(), Standing::Whole);
}

#[test]
fn what_is_not_stored_leaves_only_when_nobody_else_was_master() {
    let (mut journal, now) = claimed();
    journal.handle_vouched(now);
    journal.handle_away();
    let said = now + Duration::from_millis(10);
    journal.put(1, b"x", true);
    let first = journal.close(said);
    let due = journal.poll_timeout().unwrap();
    assert!(!journal.handle_timeout(due) && !journal.is_settled(first));
    assert!(journal.poll_question(due) && !journal.poll_question(due));
    assert_eq!(journal.poll_timeout(), None, "it needs an answer");
    // One that was on its way when it was said is none.
    journal.handle_vouched(now + Duration::from_millis(9));
    assert!(journal.poll_question(due) && !journal.handle_timeout(due));
    journal.handle_vouched(said);
    assert!(journal.handle_timeout(due) && journal.is_settled(first));

    // The next one waits for the answer alone, and the store that is back is waited for again.
    journal.put(2, b"x", true);
    let second = journal.close(due);
    assert!(!journal.is_settled(second) && journal.poll_question(due));
    journal.handle_claimed(epoch(3), 40, due);
    assert!(!journal.is_settled(second));
    let round = journal.poll_round().unwrap().clone();
    journal.handle_stored(round.ticket);
    assert!(journal.is_settled(second));
    assert_eq!(journal.standing(), Standing::Whole);
}

#[test]
fn each_waits_for_its_own_time_however_much_is_stored_before_it() {
    let (mut journal, start) = claimed();
    let late = start + Patience::default().output;
    let mut tickets = Vec::new();
    for tenth in 0..5 {
        let now = start + Duration::from_millis(100) * tenth;
        journal.put(1, b"x", false);
        tickets.push(journal.close(now));
    }
    let first = journal.poll_round().unwrap().ticket;
    journal.handle_stored(first);
    assert_eq!(
        journal.poll_timeout(),
        Some(late + Duration::from_millis(100))
    );
    assert!(journal.handle_timeout(late + Duration::from_millis(200)));
    let settled: Vec<bool> = tickets.iter().map(|it| journal.is_settled(*it)).collect();
    assert_eq!(settled, [true, true, true, false, false]);
}

#[test]
fn rounds_that_wait_behind_those_under_way_become_one() {
    let (mut journal, now) = claimed();
    let mut close = |key| {
        journal.put(key, b"x", key == 9);
        (journal.close(now), journal.poll_round().cloned())
    };
    let given: Vec<_> = (0..8).map(&mut close).collect();
    assert!(
        given
            .iter()
            .all(|(ticket, round)| round.as_ref().map(|it| it.ticket) == Some(*ticket))
    );
    let waiting: Vec<Ticket> = (8..12).map(&mut close).map(|it| it.0).collect();
    for (ticket, _) in given {
        journal.handle_stored(ticket);
    }
    let round = journal.poll_round().unwrap().clone();
    assert_eq!((round.writes.len(), round.lasting), (4, true));
    assert!(!journal.is_settled(waiting[0]));
    journal.handle_stored(round.ticket);
    assert!(waiting.iter().all(|ticket| journal.is_settled(*ticket)));
    assert_eq!(journal.poll_round(), None);
}

#[test]
fn without_a_store_the_newest_of_each_key_is_kept_and_nobody_waits_twice() {
    let (mut journal, now) = claimed();
    journal.handle_away();
    journal.put(1, b"old", true);
    let first = journal.close(now);
    assert!(!journal.is_settled(first));
    let due = journal.poll_timeout().unwrap();
    journal.handle_timeout(due);
    journal.put(1, b"new", true);
    let second = journal.close(due);
    assert!(journal.is_settled(second), "it is degraded already");
    journal.handle_claimed(epoch(3), 40, due);
    let round = journal.poll_round().unwrap().clone();
    assert_eq!(round.writes.len(), 1);
    assert_eq!(round.writes[0].change, Change::Put((*b"new").into()));
    assert_eq!(round.writes[0].mark.seq, 41);
    journal.handle_stored(round.ticket);
    assert_eq!(journal.standing(), Standing::Whole);
}

#[test]
fn more_than_may_be_kept_is_asked_for_again() {
    let patience = Patience {
        kept: 2,
        ..Patience::default()
    };
    let mut journal = Journal::new(patience);
    let now = Instant::from_millis(1);
    journal.handle_claimed(epoch(1), 0, now);
    journal.handle_away();
    for key in 0..3_u8 {
        journal.put(key, b"x", true);
    }
    journal.close(now);
    assert_eq!(journal.unstored(), 2);
    assert!(journal.take_overrun() && !journal.take_overrun());
}

#[test]
fn what_was_loaded_is_forgotten_and_what_never_was_there_is_not() {
    let mut journal = Journal::new(Patience::default());
    let now = Instant::from_millis(1);
    let old = Mark {
        epoch: epoch(1),
        seq: 9,
    };
    journal.handle_loaded(1_u8, old);
    journal.handle_claimed(epoch(2), 0, now);
    journal.forget(1);
    journal.forget(2);
    journal.close(now);
    let round = journal.poll_round().unwrap();
    let writes: Vec<_> = round
        .writes
        .iter()
        .map(|write| (write.key, write.change.clone()))
        .collect();
    assert_eq!(writes, [(1, Change::Forget)]);
    assert_eq!(journal.mark(&1), None);
}

#[test]
fn what_the_store_has_lost_is_named_and_what_only_it_has_can_be_forgotten() {
    let (mut journal, now) = claimed();
    for key in 1..=3_u8 {
        journal.put(key, b"x", true);
    }
    journal.close(now);
    let round = journal.poll_round().unwrap().clone();
    journal.handle_stored(round.ticket);
    journal.handle_away();
    let [first, second, _] = [0, 1, 2].map(|at: usize| round.writes[at].mark);
    let older = Mark { seq: 0, ..second };
    // The third is lost, the second is older, and one was forgotten when the store still had it.
    let differing = journal.handle_digest([(1, first), (2, older), (9, older)]);
    assert_eq!(differing, [2, 3, 9]);
    journal.put(2, b"x", true);
    journal.put(3, b"x", true);
    journal.forget(9);
    let ticket = journal.close(now);
    journal.handle_claimed(epoch(3), 40, now);
    assert!(!journal.is_settled(ticket));
    let again = journal.poll_round().unwrap().clone();
    let keys: Vec<_> = again.writes.iter().map(|write| write.key).collect();
    assert_eq!(keys, [2, 3, 9]);
    assert_eq!(again.writes[2].change, Change::Forget);
    journal.handle_stored(again.ticket);
    assert!(journal.is_settled(ticket));
}

/// What the store has is compared with what a mastership has stored: where there is none any more, or none yet, an
/// answer that comes late would have every record forgotten.
#[test]
fn a_journal_that_was_never_begun_has_nothing_to_compare() {
    let mut journal: Journal<u8> = Journal::new(Patience::default());
    let now = Instant::from_millis(1);
    let mark = Mark {
        epoch: epoch(3),
        seq: 7,
    };
    journal.handle_loaded(1, mark);
    assert_eq!(journal.handle_digest([(1, mark), (2, mark)]), []);
    assert_eq!(journal.mark(&1), Some(mark));
    assert_eq!(journal.mark(&2), None);
    journal.handle_claimed(epoch(4), 1, now);
    assert_eq!(journal.handle_digest([(1, mark), (2, mark)]), [2]);
}

#[test]
fn at_its_end_a_mastership_gives_out_what_the_store_may_not_have() {
    let epoch = Epoch::new(7).unwrap();
    let mark = |seq| Mark::new(epoch, seq).unwrap();
    let now = Instant::from_millis(1);
    let mut journal = Journal::new(Patience::default());
    journal.handle_loaded(9, Mark::new(Epoch::new(6).unwrap(), 3).unwrap());
    journal.handle_claimed(epoch, 10, now);
    journal.put(1, b"stored", true);
    let first = journal.close(now);
    journal.poll_round();
    journal.handle_stored(first);
    journal.put(2, b"given out", true);
    journal.close(now);
    journal.poll_round();
    journal.handle_away();
    journal.put(2, b"newer", true);
    journal.forget(9);
    let last = journal.close(now);
    let writes = journal.handle_end(epoch);
    let write = |key, seq, change| Write {
        key,
        mark: mark(seq),
        change,
    };
    assert_eq!(
        writes,
        [
            write(2, 13, Change::Put(b"newer".as_slice().into())),
            write(9, 14, Change::Forget),
        ]
    );
    assert_eq!(journal.mark(&1), Some(mark(11)));
    assert_eq!(journal.mark(&2), Some(mark(13)));
    assert_eq!(journal.mark(&9), None);
    assert!(!journal.is_up() && journal.poll_round().is_none());
    assert_eq!(journal.poll_timeout(), None, "nothing waits");
    assert!(journal.is_settled(Ticket::default()) && !journal.is_settled(last));

    // A mastership that never had a store begins with its first mark.
    journal.put(4, b"of the next", true);
    journal.close(now);
    let next = Epoch::new(8).unwrap();
    let [only] = journal.handle_end(next).try_into().unwrap();
    assert_eq!((only.key, only.mark), (4, Mark::new(next, 1).unwrap()));
}

#[test]
fn what_is_said_again_and_again_is_said_when_it_is_stored_or_after_a_long_silence() {
    let at = |seconds: u64| Instant::from_millis(seconds.saturating_mul(1_000));
    let mut journal: Journal<u8> = Journal::new(Patience::default());
    journal.handle_claimed(epoch(1), 0, at(1));
    journal.handle_vouched(at(1_000));
    journal.put(1, b"a", false);
    let stored = journal.close(at(2));
    let given = journal.poll_round().unwrap().ticket;
    journal.handle_stored(given);
    assert!(journal.may_say_more(stored, at(2)));

    // The store is away: all may leave, and what can be said later waits for it.
    journal.handle_away();
    journal.put(1, b"b", false);
    let unstored = journal.close(at(3));
    assert!(journal.handle_timeout(at(4)));
    assert!(journal.is_settled(unstored));
    assert!(journal.may_say_more(stored, at(4)));
    assert!(!journal.may_say_more(unstored, at(303)));
    assert!(journal.may_say_more(unstored, at(304)));

    // It is back, and has it.
    journal.handle_claimed(epoch(1), 1, at(305));
    while let Some(ticket) = journal.poll_round().map(|round| round.ticket) {
        journal.handle_stored(ticket);
    }
    assert_eq!(journal.standing(), Standing::Whole);
    journal.handle_away();
    journal.put(1, b"c", false);
    let again = journal.close(at(400));
    journal.handle_timeout(at(401));
    assert!(
        !journal.may_say_more(again, at(401)),
        "the time begins anew"
    );
}

#[test]
fn a_node_that_nobody_can_replace_says_all() {
    let mut journal: Journal<u8> = Journal::new(Patience::default());
    journal.put(1, b"a", false);
    let ticket = journal.close(Instant::from_millis(1));
    assert!(journal.may_say_more(ticket, Instant::from_millis(2)));
}
