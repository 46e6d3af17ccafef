//! RADIUS: asks servers about logins and tells them records of accounting, as `dataplane/src/radius` does, in the
//! order of the real [`Delivery`]. A question that nobody answers is asked again, and has failed at last.

use core::time::Duration;
use std::collections::BTreeMap;

use lns_node::radius::Order;
use lns_radius::delivery::{Delivery, Ending, Place};
use lns_radius::record::Record;
use lns_radius::request::{Failure, Outcome, Reply, Request, Token};
use lns_tables::time::Instant;

/// How long an answer is waited for, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: u8 = 3;

/// Records that are under way at once.
const WINDOW: usize = 16;

/// What servers are asked or told.
#[derive(Clone, Debug)]
pub(in crate::cluster) enum Asked {
    /// Whether a subscriber may come in.
    Login(Box<Request>),
    /// What a record says, and its date.
    Record(Place, Box<Record>),
}

/// What they say.
#[derive(Clone, Debug)]
pub(in crate::cluster) enum Answered {
    Login(Token, Box<Reply>),
    /// They have the record.
    Record(Place),
}

/// What is under way, when it is asked again, and how often that was.
#[derive(Debug)]
struct Open<T> {
    what: T,
    again: Instant,
    tries: u8,
}

/// The office.
#[derive(Debug)]
pub(super) struct Office {
    logins: BTreeMap<Token, Open<Box<Request>>>,
    records: BTreeMap<Place, Box<Record>>,
    told: BTreeMap<Place, Open<()>>,
    delivery: Delivery,
    /// The place of the last record: never given twice.
    place: u64,
    outcomes: Vec<Outcome>,
    settled: Vec<u64>,
}

impl Default for Office {
    fn default() -> Self {
        Self {
            logins: BTreeMap::new(),
            records: BTreeMap::new(),
            told: BTreeMap::new(),
            delivery: Delivery::new(WINDOW),
            place: 0,
            outcomes: Vec::new(),
            settled: Vec::new(),
        }
    }
}

impl Office {
    /// An order of the node's, but for records.
    pub(super) fn order(&mut self, order: Order, now: Instant) {
        match order {
            Order::Ask(request) => {
                let open = Open {
                    what: request,
                    again: now,
                    tries: 0,
                };
                self.logins.insert(open.what.token, open);
            }
            Order::Cancel(token) => drop(self.logins.remove(&token)),
            // It is asked again anyhow.
            Order::Repeat(_) => {}
            Order::Record(record) => self.record(record),
        }
    }

    /// A record that may leave.
    pub(super) fn record(&mut self, record: Box<Record>) {
        self.place += 1;
        let place = Place(self.place);
        self.delivery
            .handle_loaded(place, &record.session, record.status);
        self.records.insert(place, record);
    }

    /// It is another node's to ask and to tell.
    pub(super) fn forget(&mut self) {
        *self = Self {
            place: self.place,
            ..Self::default()
        };
    }

    /// The next thing to send now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Asked> {
        while let Some(place) = self.delivery.poll_send(now) {
            let open = Open {
                what: (),
                again: now,
                tries: 0,
            };
            self.told.insert(place, open);
        }
        self.poll_login(now).or_else(|| self.poll_told(now))
    }

    fn poll_login(&mut self, now: Instant) -> Option<Asked> {
        while let Some(token) = due(&self.logins, now) {
            let open = self.logins.get_mut(&token)?;
            if open.ask(now) {
                return Some(Asked::Login(open.what.clone()));
            }
            self.logins.remove(&token);
            self.end(token, Err(Failure::TimedOut));
        }
        None
    }

    fn poll_told(&mut self, now: Instant) -> Option<Asked> {
        while let Some(place) = due(&self.told, now) {
            let open = self.told.get_mut(&place)?;
            if open.ask(now) {
                let record = self.records.get(&place)?;
                return Some(Asked::Record(place, record.clone()));
            }
            self.told.remove(&place);
            self.delivery.handle_end(place, Ending::Again, now);
        }
        None
    }

    pub(super) fn answered(&mut self, answered: Answered, now: Instant) {
        match answered {
            Answered::Login(token, reply) => {
                if self.logins.remove(&token).is_some() {
                    self.end(token, Ok(*reply));
                }
            }
            Answered::Record(place) => {
                if self.told.remove(&place).is_some()
                    && self.delivery.handle_end(place, Ending::Delivered, now)
                    && let Some(record) = self.records.remove(&place)
                {
                    self.settled.extend(record.kept.map(|kept| kept.number));
                }
            }
        }
    }

    fn end(&mut self, token: Token, result: Result<Reply, Failure>) {
        self.outcomes.push(Outcome {
            token,
            server: Some("r1".into()),
            rtt: None,
            sends: 1,
            result,
        });
    }

    pub(super) fn take_outcomes(&mut self) -> Vec<Outcome> {
        core::mem::take(&mut self.outcomes)
    }

    /// The numbers of records that a server has.
    pub(super) fn take_settled(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.settled)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let logins = self.logins.values().map(|open| open.again);
        let told = self.told.values().map(|open| open.again);
        logins.chain(told).chain(self.delivery.poll_timeout()).min()
    }
}

impl<T> Open<T> {
    /// Whether it is asked once more.
    fn ask(&mut self, now: Instant) -> bool {
        self.tries += 1;
        self.again = now + PATIENCE;
        self.tries <= TRIES
    }
}

fn due<K: Copy, T>(open: &BTreeMap<K, Open<T>>, now: Instant) -> Option<K> {
    let mut all = open.iter();
    all.find(|(_, open)| open.again <= now).map(|(key, _)| *key)
}
