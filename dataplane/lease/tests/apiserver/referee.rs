//! Looks at all drivers of a test at once: two with authority, an epoch that is had twice, an epoch after
//! a higher one.
//!
//! What epochs there were it tells all of them, as the store of a cluster does: a Lease that somebody
//! empties does not know it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lns_cluster::{Epoch, Identity};
use lns_lease::{Handle, Standing, clock};
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Book {
    /// Who had which epoch.
    held: BTreeMap<Epoch, Identity>,
    findings: Vec<String>,
    looks: u64,
}

pub(crate) struct Referee {
    seats: Arc<Mutex<Vec<Handle>>>,
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

impl Referee {
    pub(crate) fn new() -> Self {
        let seats = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::new(Mutex::new(Book::default()));
        let (looked_at, written) = (Arc::clone(&seats), Arc::clone(&book));
        let task = tokio::spawn(async move {
            let mut told = Vec::new();
            loop {
                let seats = looked_at.lock().unwrap().clone();
                written.lock().unwrap().look(&seats);
                let last = written.lock().unwrap().last();
                told.resize(seats.len(), Epoch::NONE);
                for (seat, told) in seats.iter().zip(&mut told) {
                    if *told < last {
                        let _ended = seat.heard(last).await;
                        *told = last;
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { seats, book, task }
    }

    /// From now on this driver is looked at, also when its task is killed: what it was allowed to do it
    /// may do until the end of its authority.
    pub(crate) fn watch(&self, handle: Handle) {
        self.seats.lock().unwrap().push(handle);
    }

    /// Waits until there were so many masterships.
    pub(crate) async fn has_seen(&self, masterships: usize) {
        while self.masterships() < masterships {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many masterships there were.
    pub(crate) fn masterships(&self) -> usize {
        self.book.lock().unwrap().held.len()
    }

    pub(crate) fn judge(&self) {
        assert!(!self.task.is_finished(), "the referee has ended");
        let book = self.book.lock().unwrap();
        assert!(book.looks > 100, "{} looks", book.looks);
        assert_eq!(book.findings, Vec::<String>::new(), "{:?}", book.held);
    }
}

impl Drop for Referee {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Book {
    /// Who has the same mastership before and after an instant that is before its deadline has it at that
    /// instant, for no mastership comes back.
    fn look(&mut self, seats: &[Handle]) {
        self.looks += 1;
        let all = || seats.iter().map(|seat| seat.standing().borrow().clone());
        let before: Vec<Standing> = all().collect();
        let now = clock::now();
        let after: Vec<Standing> = all().collect();
        let pairs = before.iter().zip(&after);
        let masters = pairs.filter_map(|(before, after)| {
            let epoch = before.authority(now)?.epoch;
            let still = after.authority.is_some_and(|after| after.epoch == epoch);
            (still && before.me == after.me).then(|| (epoch, before.me.clone()))
        });
        let masters: Vec<_> = masters.collect();
        if masters.len() > 1 {
            self.find(format!("two masters at {now:?}: {masters:?}"));
        }
        for (epoch, me) in masters {
            if epoch < self.last() {
                let text = format!("{me} has epoch {} after a higher one", epoch.number());
                self.find(text);
            }
            let holder = self.held.entry(epoch).or_insert_with(|| me.clone());
            if *holder != me {
                let text = format!("epoch {} is had by {holder} and {me}", epoch.number());
                self.find(text);
            }
        }
    }

    /// The highest epoch that anybody had.
    fn last(&self) -> Epoch {
        self.held.keys().next_back().copied().unwrap_or_default()
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < 10 && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}
