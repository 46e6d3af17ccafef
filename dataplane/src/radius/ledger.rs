//! Accounting: records go to the spool, from there to the accounting servers, and as they come to those
//! that get copies.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use lns_crypto::Rng;
use lns_datapath::clock;
use lns_radius::record::Record;
use lns_radius::request::{Failure, Outcome, Request, Token};
use lns_spool::{Figures, Spool};
use lns_wire::radius::Code;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::figures::Rtts;
use super::line::Settled;
use super::pool::{Desk, Seen, Settings};
use crate::run::situation::{unix_millis, unix_seconds};

/// The longest sleep: the time counts through a suspend of the machine, the runtime's sleep does not.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Records, from the session that they are of to the servers.
pub(super) struct Ledger {
    books: Rc<Books>,
    copies: Vec<Desk>,
    /// The next copy's name.
    copy: Cell<u64>,
}

/// What the task of the ledger works with.
struct Books {
    spool: RefCell<Spool>,
    /// The accounting servers; none while the manifest names none.
    desk: RefCell<Option<Desk>>,
    /// Records that were sent and have no outcome.
    under_way: RefCell<BTreeSet<Token>>,
    /// Outcomes of them.
    ended: Rc<RefCell<Vec<Outcome>>>,
    /// There is something to do.
    news: Arc<Notify>,
}

impl Ledger {
    /// Opens the spool in `folder`. `settled` is told which records that were kept are there; without a folder,
    /// which of them a server has.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(super) fn open(
        folder: Option<&Path>,
        max_octets: u64,
        settled: Settled,
    ) -> io::Result<Self> {
        let news = Arc::new(Notify::new());
        let wake = {
            let (news, on_disk) = (Arc::clone(&news), Arc::clone(&settled.news));
            move || {
                news.notify_one();
                on_disk.notify_one();
            }
        };
        let spool = match folder {
            Some(folder) => Spool::open(folder, max_octets, settled.numbers, wake),
            None => Spool::in_memory(max_octets, settled.numbers, wake),
        };
        let books = Rc::new(Books {
            spool: RefCell::new(spool?),
            desk: RefCell::new(None),
            under_way: RefCell::default(),
            ended: Rc::default(),
            news,
        });
        spawn_local(keep(Rc::downgrade(&books), Arc::clone(&books.news)));
        Ok(Self {
            books,
            copies: Vec::new(),
            copy: Cell::new(0),
        })
    }

    /// Other servers, other limits. `None`: records wait until there are servers again.
    pub(super) fn configure(
        &mut self,
        servers: Option<Settings>,
        copies: Vec<Settings>,
        max_octets: Option<u64>,
        (rng, rtts): (&mut Rng, &Rtts),
    ) {
        if let Some(max_octets) = max_octets {
            self.books.spool.borrow().set_max_octets(max_octets);
        }
        self.books.configure(servers, rng, rtts);
        let mut before: BTreeMap<_, _> = core::mem::take(&mut self.copies)
            .into_iter()
            .map(|desk| (desk.first_server(), desk))
            .collect();
        self.copies = copies
            .into_iter()
            .map(|settings| match before.remove(&settings.first_server()) {
                Some(desk) => {
                    desk.configure(settings);
                    desk
                }
                None => Desk::new(settings, rng.array(), rtts, Box::new(|_| Ok(()))),
            })
            .collect();
    }

    /// Takes records: they are sent to accounting servers when they are on disk, to others at once.
    pub(super) fn take(&self, records: Vec<Record>) {
        let (now, millis) = (clock::now(), unix_millis());
        for copies in &self.copies {
            let of = |record: &Record| self.copy_of(record, record.date(now, millis));
            copies.ask(records.iter().map(of));
        }
        let mut spool = self.books.spool.borrow_mut();
        for record in records {
            spool.handle_record(record, now, millis);
        }
    }

    fn copy_of(&self, record: &Record, date: u64) -> Request {
        let token = self.copy.get();
        self.copy.set(token.wrapping_add(1));
        Request {
            token: Token(token),
            code: Code::ACCOUNTING_REQUEST,
            attributes: record.dated(date),
            password: None,
            realm: record.realm.clone(),
            key: 0,
            happened: record.at,
            server: None,
        }
    }

    /// What all clients look like.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let desk = self.books.desk.borrow();
        desk.iter().chain(&self.copies).map(Desk::seen).collect()
    }

    /// What waits.
    pub(super) fn figures(&self) -> Figures {
        self.books.spool.borrow().figures(unix_seconds())
    }
}

impl Books {
    fn configure(&self, servers: Option<Settings>, rng: &mut Rng, rtts: &Rtts) {
        let mut desk = self.desk.borrow_mut();
        match (&*desk, servers) {
            (Some(desk), Some(settings)) => desk.configure(settings),
            (None, Some(settings)) => {
                let (ended, news) = (Rc::clone(&self.ended), Arc::clone(&self.news));
                let sink = Box::new(move |outcome| {
                    ended.borrow_mut().push(outcome);
                    news.notify_one();
                    Ok(())
                });
                *desk = Some(Desk::new(settings, rng.array(), rtts, sink));
            }
            (Some(_), None) => {
                *desk = None;
                self.take_back();
            }
            (None, None) => {}
        }
        drop(desk);
        self.spool.borrow_mut().handle_change();
        self.news.notify_one();
    }

    /// What was under way has no servers any more: it waits for others.
    fn take_back(&self) {
        let under_way = self.under_way.take();
        let back = under_way.into_iter().map(|token| Outcome {
            token,
            server: None,
            rtt: None,
            sends: 0,
            result: Err(Failure::AllDown),
        });
        // Behind those that have come: who was delivered is not taken back.
        self.ended.borrow_mut().extend(back);
    }

    /// Does all that there is to do now.
    fn turn(&self) {
        let (now, date) = (clock::now(), unix_seconds());
        let mut spool = self.spool.borrow_mut();
        spool.handle_news();
        for outcome in self.ended.take() {
            self.under_way.borrow_mut().remove(&outcome.token);
            spool.handle_outcome(&outcome, now);
        }
        let desk = self.desk.borrow();
        let Some(desk) = &*desk else {
            return;
        };
        let requests: Vec<_> = core::iter::from_fn(|| spool.poll_request(now, date)).collect();
        let tokens = requests.iter().map(|request| request.token);
        self.under_way.borrow_mut().extend(tokens);
        drop(spool);
        if !requests.is_empty() {
            desk.ask(requests);
        }
    }

    fn patience(&self) -> Duration {
        let until = self.spool.borrow().poll_timeout();
        let until = until.map(|at| at.since(clock::now()));
        until.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }
}

/// Keeps the books until they are closed.
async fn keep(books: Weak<Books>, news: Arc<Notify>) {
    loop {
        let Some(open) = books.upgrade() else {
            return;
        };
        open.turn();
        let patience = open.patience();
        drop(open);
        tokio::select! {
            () = news.notified() => {}
            () = sleep(patience) => {}
        }
    }
}
