//! One elector and a Lease that does as it is told.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::promise::{Ask, Promise, Refusal};
use crate::record::{Record, Revision, Stored};
use crate::request::{Answer, Request};

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn identity(text: &str) -> Identity {
    text.parse().unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

/// What another node wrote.
fn by(holder: &str, number: u64, serial: u64) -> Stored {
    Stored {
        record: Record {
            holder: Some(identity(holder)),
            epoch: epoch(number),
            serial: Serial::new(serial),
            released: None,
            roster: Roster::of([name("a"), name("b")]).unwrap(),
        },
        revision: Revision(format!("{holder}{serial}").into()),
    }
}

/// Elector `a`, and the Lease as it is.
struct Bed {
    elector: Elector,
    lease: Option<Stored>,
    revision: u64,
}

impl Bed {
    fn new(lease: Option<Stored>) -> Self {
        Self {
            elector: Elector::new(identity("a/1"), Profile::DEFAULT),
            lease,
            revision: 0,
        }
    }

    /// What the Lease answers to a request.
    fn served(&mut self, request: &Request) -> Answer {
        let Operation::Write { record, base } = &request.operation else {
            return Answer::Found(self.lease.clone());
        };
        if self.lease.as_ref().map(|stored| &stored.revision) != base.as_ref() {
            return Answer::Conflict;
        }
        self.revision = self.revision.saturating_add(1);
        let revision = Revision(self.revision.to_string().into());
        self.lease = Some(Stored {
            record: record.clone(),
            revision: revision.clone(),
        });
        Answer::Written(revision)
    }

    /// All that it asks at this time is answered at once.
    fn run(&mut self, now: Instant) {
        while let Some(request) = self.elector.poll_request(now) {
            let answer = self.served(&request);
            self.elector.handle_answer(request.id, answer, now);
        }
    }

    /// So in all seconds up to this one.
    fn run_to(&mut self, from: u64, to: u64) {
        for second in from..=to {
            self.run(at(second.saturating_mul(1000)));
        }
    }

    /// Master since 5 s, with the epoch 8, over `b` which held with 7; renewed at 6 s.
    fn master() -> Self {
        let mut bed = Self::new(Some(by("b/1", 7, 1)));
        bed.run_to(0, 6);
        assert_eq!(bed.elector.state(), State::Holding);
        bed
    }
}

#[test]
fn a_candidate_waits_d_after_the_last_change_and_takes_a_higher_epoch() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.run_to(0, 2);
    bed.lease = Some(by("b/1", 7, 2));
    bed.run_to(3, 7);
    assert_eq!(bed.elector.authority(at(7000)), None);
    bed.run(at(8000));
    let authority = Authority {
        epoch: epoch(8),
        until: at(12_000),
        vouched: at(8000),
    };
    assert_eq!(bed.elector.authority(at(8000)), Some(authority));
    assert_eq!(bed.elector.authority(at(12_000)), None);
}

#[test]
fn a_record_that_is_put_back_is_a_change_though_it_says_the_same() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.run_to(0, 3);
    bed.lease.as_mut().unwrap().revision = Revision("by hand".into());
    bed.run_to(4, 8);
    assert_eq!(bed.elector.authority(at(8000)), None);
    bed.run(at(9000));
    assert!(bed.elector.authority(at(9000)).is_some());
}

#[test]
fn who_stands_behind_all_others_waits_another_d() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.elector.handle_candidacy(Candidacy::Last);
    bed.run_to(0, 9);
    assert_eq!(bed.elector.authority(at(9000)), None);
    bed.run(at(10_000));
    assert!(bed.elector.authority(at(10_000)).is_some());
}

#[test]
fn who_stands_not_at_all_acquires_nothing_and_promises() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.elector.handle_candidacy(Candidacy::No);
    bed.run_to(0, 60);
    assert_eq!(bed.elector.state(), State::Waiting);
    let ask = Ask {
        holder: identity("b/1"),
        epoch: epoch(7),
        sent: at(60_000),
    };
    assert!(bed.elector.handle_ask(&ask, at(60_000)).is_ok());
    bed.elector.handle_candidacy(Candidacy::Full);
    bed.run_to(61, 70);
    assert!(bed.elector.authority(at(70_000)).is_some());
}

#[test]
fn a_master_that_is_not_to_stand_renews_until_it_is_stopped() {
    let mut bed = Bed::master();
    bed.elector.handle_candidacy(Candidacy::No);
    bed.run_to(7, 20);
    assert!(bed.elector.authority(at(20_000)).is_some());
}

#[test]
fn an_epoch_that_the_store_knows_is_not_given_again() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.elector.handle_epoch(epoch(30));
    bed.run_to(0, 5);
    let authority = bed.elector.authority(at(5000)).unwrap();
    assert_eq!(authority.epoch, epoch(31));
}

#[test]
fn after_the_last_epoch_nobody_acquires() {
    let mut bed = Bed::new(Some(by("b/1", Epoch::LAST.number(), 1)));
    bed.run_to(0, 30);
    assert_eq!(bed.elector.state(), State::Waiting);
}

#[test]
fn who_is_not_on_the_roster_acquires_nothing() {
    let mut stored = by("b/1", 7, 1);
    stored.record.roster = Roster::lone(name("b"));
    let mut bed = Bed::new(Some(stored));
    bed.run_to(0, 30);
    assert_eq!(bed.elector.state(), State::Waiting);
    assert_eq!(bed.elector.authority(at(30_000)), None);
}

#[test]
fn without_a_lease_only_who_knows_a_roster_or_may_found_creates_one() {
    let mut bed = Bed::new(None);
    bed.run_to(0, 30);
    assert_eq!(bed.lease, None);
    bed.elector.handle_nobody_knows();
    bed.run(at(31_000));
    assert!(bed.elector.authority(at(31_000)).is_some());

    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.run_to(0, 1);
    bed.lease = None;
    bed.run_to(2, 6);
    assert_eq!(bed.lease, None, "D is waited after a deletion");
    bed.run(at(7000));
    let authority = bed.elector.authority(at(7000)).unwrap();
    assert_eq!(authority.epoch, epoch(8));
}

#[test]
fn authority_is_counted_from_the_send_however_late_the_answer_is() {
    let mut bed = Bed::master();
    let request = bed.elector.poll_request(at(7000)).unwrap();
    let answer = bed.served(&request);
    bed.elector.handle_answer(request.id, answer, at(9500));
    let authority = bed.elector.authority(at(9500)).unwrap();
    assert_eq!((authority.until, authority.vouched), (at(11_000), at(7000)));
}

#[test]
fn after_a_timeout_the_record_is_read_before_it_is_written() {
    let mut bed = Bed::master();
    let lost = bed.elector.poll_request(at(7000)).unwrap();
    assert_eq!(bed.elector.poll_request(at(9999)), None);
    let look = bed.elector.poll_request(at(10_000)).unwrap();
    assert_eq!(look.operation, Operation::Read);
    bed.elector
        .handle_answer(lost.id, Answer::Written(Revision("9".into())), at(10_001));
    assert_eq!(bed.elector.authority(at(10_001)), None);
}

#[test]
fn whoever_lapsed_waits_as_any_other_and_takes_a_new_epoch() {
    let mut bed = Bed::master();
    assert!(bed.elector.poll_request(at(7000)).is_some());
    bed.run(at(10_000));
    assert_eq!(bed.elector.state(), State::Waiting);
    bed.run_to(11, 14);
    assert_eq!(bed.elector.authority(at(14_000)), None);
    bed.run(at(15_000));
    let authority = bed.elector.authority(at(15_000)).unwrap();
    assert_eq!(authority.epoch, epoch(9));
}

#[test]
fn who_is_gone_from_the_lease_is_master_no_longer() {
    let mut bed = Bed::master();
    bed.lease = Some(by("b/2", 9, 1));
    bed.run(at(7000));
    assert_eq!(bed.elector.state(), State::Waiting);
    assert_eq!(bed.elector.authority(at(7000)), None);
}

#[test]
fn the_gate_is_closed_before_the_lease_is_released() {
    let mut bed = Bed::master();
    bed.elector.handle_stop(at(6500));
    assert_eq!(bed.elector.authority(at(6500)), None);
    bed.run(at(7000));
    assert!(bed.lease.as_ref().unwrap().record.holder.is_some());
    bed.elector.handle_closed(at(7000));
    bed.run(at(7000));
    let record = bed.lease.unwrap().record;
    assert_eq!(
        (record.holder, record.released),
        (None, Some(identity("a/1")))
    );
    assert_eq!(bed.elector.state(), State::Stopped);
}

#[test]
fn only_the_release_of_what_was_seen_saves_the_wait() {
    let released = |by_whom: &str, number| {
        let mut stored = by("b/1", number, 2);
        stored.record.holder = None;
        stored.record.released = Some(identity(by_whom));
        stored
    };
    let master_at_once = |found| {
        let mut bed = Bed::new(Some(by("b/1", 7, 1)));
        bed.run_to(0, 1);
        bed.lease = Some(found);
        bed.run(at(2000));
        bed.elector.authority(at(2000)).is_some()
    };
    assert!(master_at_once(released("b/1", 7)));
    assert!(!master_at_once(released("b/2", 7)));
    assert!(!master_at_once(released("b/1", 8)));
    let mut emptied = by("b/1", 7, 2);
    emptied.record.holder = None;
    assert!(!master_at_once(emptied));
}

#[test]
fn a_promise_carries_a_master_and_is_counted_from_the_question() {
    let mut bed = Bed::master();
    assert!(bed.elector.poll_request(at(7000)).is_some());
    assert_eq!(bed.elector.poll_ask(at(7999)), None);
    let (to, ask) = bed.elector.poll_ask(at(8000)).unwrap();
    assert_eq!(to, name("b"));
    let promise = Promise {
        from: to,
        holder: ask.holder,
        epoch: ask.epoch,
        sent: ask.sent,
    };
    bed.elector.handle_promise(&promise, at(9900));
    let until = at(8000) + Profile::DEFAULT.reliance();
    let authority = bed.elector.authority(at(12_000)).unwrap();
    assert_eq!((authority.until, authority.vouched), (until, at(8000)));
    assert_eq!(bed.elector.authority(until), None);
    assert_eq!(bed.elector.poll_ask(at(12_000)).unwrap().0, name("b"));
    assert_eq!(bed.elector.state(), State::Extending);
}

#[test]
fn a_roster_that_is_emptied_by_hand_makes_no_master_alone() {
    let mut bed = Bed::master();
    bed.lease.as_mut().unwrap().record.roster = Roster::default();
    bed.lease.as_mut().unwrap().revision = Revision("by hand".into());
    let request = bed.elector.poll_request(at(7000)).unwrap();
    let answer = bed.served(&request);
    assert_eq!(answer, Answer::Conflict);
    bed.elector.handle_answer(request.id, answer, at(7000));
    let look = bed.elector.poll_request(at(7000)).unwrap();
    let answer = bed.served(&look);
    bed.elector.handle_answer(look.id, answer, at(7000));
    let authority = bed.elector.authority(at(7000)).unwrap();
    assert_eq!(authority.until, at(10_000), "b has promised nothing");
    bed.run(at(7000));
    let roster = bed.lease.unwrap().record.roster;
    assert!(roster.contains(&name("b")), "and it is written again");
}

#[test]
fn without_a_roster_authority_ends_with_the_lease_and_nobody_is_asked() {
    let mut bed = Bed::new(None);
    bed.elector = Elector::open(identity("a/1"), Profile::DEFAULT);
    bed.elector.handle_roster(Roster::lone(name("b")));
    bed.run_to(0, 5);
    let authority = bed.elector.authority(at(5000)).unwrap();
    assert_eq!(authority.until, at(9000));
    assert!(bed.lease.unwrap().record.roster.is_empty());
    assert_eq!(bed.elector.poll_ask(at(8999)), None);
    assert_eq!(bed.elector.authority(at(9000)), None);
    assert!(bed.elector.poll_request(at(9000)).is_some());
    assert_eq!(bed.elector.state(), State::Waiting);
}

#[test]
fn a_promise_that_comes_after_the_end_brings_nothing_back() {
    let mut bed = Bed::master();
    assert!(bed.elector.poll_request(at(7000)).is_some());
    let (from, ask) = bed.elector.poll_ask(at(8000)).unwrap();
    let promise = Promise {
        from,
        holder: ask.holder,
        epoch: ask.epoch,
        sent: ask.sent,
    };
    bed.elector.handle_promise(&promise, at(10_000));
    assert_eq!(bed.elector.authority(at(10_000)), None);
}

#[test]
fn whoever_promised_acquires_nothing_until_it_is_over() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.run_to(0, 4);
    let ask = Ask {
        holder: identity("b/1"),
        epoch: epoch(7),
        sent: at(1),
    };
    assert!(bed.elector.handle_ask(&ask, at(4500)).is_ok());
    bed.run_to(5, 9);
    assert_eq!(bed.elector.state(), State::Waiting);
    bed.run_to(10, 10);
    assert_eq!(bed.elector.state(), State::Holding);
}

#[test]
fn a_promise_voids_what_was_tried_even_if_it_lands() {
    let mut bed = Bed::new(Some(by("b/1", 7, 1)));
    bed.run_to(0, 4);
    let request = bed.elector.poll_request(at(5000)).unwrap();
    assert_eq!(bed.elector.state(), State::Acquiring);
    let ask = Ask {
        holder: identity("b/1"),
        epoch: epoch(7),
        sent: at(1),
    };
    assert!(bed.elector.handle_ask(&ask, at(5100)).is_ok());
    let answer = bed.served(&request);
    assert!(matches!(answer, Answer::Written(_)));
    bed.elector.handle_answer(request.id, answer, at(5200));
    bed.run_to(6, 10);
    assert_eq!(bed.elector.authority(at(10_000)), None);
}

#[test]
fn a_promise_is_refused_by_name() {
    let ask = |holder: &str, number| Ask {
        holder: identity(holder),
        epoch: epoch(number),
        sent: at(1),
    };
    let mut bed = Bed::master();
    let mut refusal = |ask: &Ask, now| bed.elector.handle_ask(ask, at(now)).err();
    assert_eq!(refusal(&ask("b/1", 7), 6000), Some(Refusal::Master));
    assert_eq!(refusal(&ask("a/0", 9), 6000), Some(Refusal::OwnNode));
    assert_eq!(refusal(&ask("b/1", 7), 20_000), Some(Refusal::OldEpoch));
    assert_eq!(refusal(&ask("b/1", 8), 20_000), Some(Refusal::NotInLease));
    assert_eq!(refusal(&ask("b/2", 9), 20_000), None);
}

proptest! {
    /// Nobody has to poll before the time that was told.
    #[test]
    fn nothing_happens_before_the_time_that_is_told(
        steps in prop::collection::vec((0_u8..6, 1_u64..3000), 1..60),
    ) {
        let mut bed = Bed::new(Some(by("b/1", 7, 1)));
        let mut now = Instant::ZERO;
        let mut out = None;
        for (answer, millis) in steps {
            while let Some(request) = bed.elector.poll_request(now) {
                out = Some(request);
            }
            while bed.elector.poll_ask(now).is_some() {}
            while bed.elector.poll_transition().is_some() {}
            let later = now + Duration::from_millis(millis);
            if let Some(told) = bed.elector.poll_timeout(now) {
                let before = Instant::from_nanos(later.as_nanos().min(told.as_nanos().saturating_sub(1)));
                if before >= now {
                    prop_assert_eq!(bed.elector.poll_request(before), None);
                    prop_assert_eq!(bed.elector.poll_ask(before), None);
                    prop_assert_eq!(bed.elector.poll_transition(), None);
                }
            }
            now = later;
            if let Some(request) = out.take_if(|_| answer > 0) {
                let answer = if answer > 1 { bed.served(&request) } else { Answer::Unknown };
                bed.elector.handle_answer(request.id, answer, now);
            }
        }
        prop_assert_eq!(bed.elector.refused(), 0);
    }
}
