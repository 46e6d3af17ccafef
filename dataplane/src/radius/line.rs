//! The control task's end: orders go out, outcomes come in, and nothing of it ever waits.

use core::future::pending;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use lns_node::radius::Order;
use lns_radius::record::Status;
use lns_radius::request::{Failure, Outcome, Token};
use lns_tables::mailbox::Full;
use tokio::sync::Notify;

use super::post::{Incoming, Outgoing, post};

/// Orders that wait for the thread: a second of logins at the highest rate, with their records.
const ORDERS: usize = 16_384;

/// Outcomes that wait for the control task: it takes hundreds in a round.
const OUTCOMES: usize = 4_096;

/// How soon what found no room is tried again.
const AGAIN: Duration = Duration::from_millis(5);

/// The control task's end.
#[derive(Debug)]
pub(crate) struct Line {
    orders: Outgoing<Order>,
    outcomes: Incoming<Outcome>,
    /// What found no room and must not be lost: that nobody waits for an answer any more, and records of
    /// beginnings and ends. One each per session at most.
    late: VecDeque<Order>,
    /// What was not handed over.
    refused: Refused,
    /// Which records that were kept need not be any more.
    settled: Receiver<u64>,
    /// There are some.
    news: Arc<Notify>,
}

/// Tells which records that were kept need not be any more, and that there are some.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(super) numbers: Sender<u64>,
    pub(super) news: Arc<Notify>,
}

/// What found no room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Refused {
    /// Requests that failed at once.
    pub(crate) requests: u64,
    /// Repetitions, which the subscriber repeats once more.
    pub(crate) repeats: u64,
    /// Interim records, the next of which says all that they would have.
    pub(crate) interims: u64,
}

/// The thread's ends of the same mailboxes.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(super) orders: Incoming<Order>,
    pub(super) outcomes: Outgoing<Outcome>,
    pub(super) settled: Settled,
}

/// Both ends.
pub(crate) fn line() -> (Line, Ends) {
    of(ORDERS, OUTCOMES)
}

fn of(orders: usize, outcomes: usize) -> (Line, Ends) {
    let (to_thread, orders) = post(orders);
    let (to_control, outcomes) = post(outcomes);
    let (numbers, settled) = channel();
    let news = Arc::new(Notify::new());
    let line = Line {
        orders: to_thread,
        outcomes,
        late: VecDeque::new(),
        refused: Refused::default(),
        settled,
        news: Arc::clone(&news),
    };
    let ends = Ends {
        orders,
        outcomes: to_control,
        settled: Settled { numbers, news },
    };
    (line, ends)
}

impl Line {
    /// Hands an order over. A request for which there is no room has ended: its outcome.
    pub(crate) fn order(&mut self, order: Order) -> Option<Outcome> {
        // What is late goes first: no record overtakes another of its session.
        self.flush();
        if self.late.is_empty() {
            let Err(Full(order)) = self.orders.send(order) else {
                return None;
            };
            return self.no_room(order);
        }
        self.no_room(order)
    }

    fn no_room(&mut self, order: Order) -> Option<Outcome> {
        match order {
            Order::Ask(request) => {
                self.refused.requests += 1;
                return Some(no_capacity(request.token));
            }
            Order::Repeat(_) => self.refused.repeats += 1,
            Order::Record(record) if record.status == Status::Interim => self.refused.interims += 1,
            Order::Cancel(_) | Order::Record(_) => self.late.push_back(order),
        }
        None
    }

    /// Tries again what found no room.
    pub(crate) fn flush(&mut self) {
        while let Some(order) = self.late.pop_front() {
            if let Err(Full(order)) = self.orders.send(order) {
                self.late.push_front(order);
                return;
            }
        }
    }

    /// When to call [`Self::flush`], if there is anything.
    pub(crate) fn again(&self) -> Option<Duration> {
        (!self.late.is_empty()).then_some(AGAIN)
    }

    /// Whether all that was ordered has been handed over.
    pub(crate) fn is_flushed(&self) -> bool {
        // Nobody is there to take them, if the thread has ended.
        self.late.is_empty() || self.orders.is_closed()
    }

    /// Forgets what found no room: it is another node's to say.
    pub(crate) fn forget(&mut self) {
        self.late.clear();
    }

    /// The oldest outcome.
    pub(crate) fn take(&mut self) -> Option<Outcome> {
        self.outcomes.take()
    }

    /// The number of a record that was kept and need not be any more: it is on disk, or with a server.
    pub(crate) fn take_settled(&mut self) -> Option<u64> {
        self.settled.try_recv().ok()
    }

    /// Waits until there may be an outcome, or a record that need not be kept any more.
    pub(crate) async fn wait(&mut self) {
        if self.outcomes.is_closed() {
            // The thread has ended: nothing comes any more.
            return pending().await;
        }
        tokio::select! {
            () = self.outcomes.wait() => {}
            () = self.news.notified() => {}
        }
    }

    /// What found no room so far.
    pub(crate) const fn refused(&self) -> Refused {
        self.refused
    }

    /// Messages to the thread, wakeups for them, and messages that needed none because one was on its way.
    pub(crate) fn signals(&self) -> [u64; 3] {
        [
            self.orders.sent(),
            self.orders.signals(),
            self.orders.suppressed(),
        ]
    }
}

/// A request that could not be handed over.
fn no_capacity(token: Token) -> Outcome {
    Outcome {
        token,
        server: None,
        rtt: None,
        sends: 0,
        result: Err(Failure::NoCapacity),
    }
}

#[cfg(test)]
mod tests {
    use lns_radius::record::Record;
    use lns_radius::request::Request;
    use lns_tables::time::Instant;
    use lns_wire::radius::{AttributeList, Code};

    use super::*;

    fn ask(token: u64) -> Order {
        Order::Ask(Box::new(Request {
            token: Token(token),
            code: Code::ACCESS_REQUEST,
            attributes: AttributeList::new(),
            password: None,
            realm: None,
            key: 0,
            happened: Instant::ZERO,
            server: None,
        }))
    }

    fn record(status: Status, session: &str) -> Order {
        Order::Record(Box::new(Record {
            status,
            session: session.into(),
            at: Instant::ZERO,
            attributes: AttributeList::new(),
            realm: None,
            kept: None,
        }))
    }

    #[test]
    fn a_request_without_room_ends_at_once_for_want_of_capacity() {
        let (mut line, mut ends) = of(1, 1);
        assert_eq!(line.order(ask(1)), None);
        let refused = line.order(ask(2)).unwrap();
        assert_eq!(refused.token, Token(2));
        assert_eq!(refused.result, Err(Failure::NoCapacity));
        assert_eq!(line.refused().requests, 1);
        assert_eq!(ends.orders.take(), Some(ask(1)));
        assert_eq!(line.order(ask(3)), None);
    }

    #[test]
    fn starts_stops_and_cancels_wait_in_their_order_while_interims_give_way() {
        let (mut line, mut ends) = of(1, 1);
        let orders = [
            record(Status::Start, "a"),
            record(Status::Interim, "a"),
            record(Status::Stop, "a"),
            Order::Cancel(Token(1)),
            Order::Repeat(Token(2)),
            record(Status::Off, ""),
        ];
        for order in orders.clone() {
            assert_eq!(line.order(order), None);
        }
        let refused = Refused {
            requests: 0,
            repeats: 1,
            interims: 1,
        };
        assert_eq!(line.refused(), refused);
        assert!(line.again().is_some() && !line.is_flushed());
        let mut taken = Vec::new();
        while let Some(order) = ends.orders.take() {
            taken.push(order);
            line.flush();
        }
        let [start, _, stop, cancel, _, off] = orders;
        assert_eq!(taken, [start, stop, cancel, off]);
        assert!(line.is_flushed());
    }

    #[test]
    fn nothing_new_overtakes_what_is_late() {
        let (mut line, mut ends) = of(1, 1);
        for session in ["a", "b"] {
            line.order(record(Status::Start, session));
        }
        assert_eq!(ends.orders.take(), Some(record(Status::Start, "a")));
        line.order(record(Status::Stop, "b"));
        assert_eq!(ends.orders.take(), Some(record(Status::Start, "b")));
        line.flush();
        assert_eq!(ends.orders.take(), Some(record(Status::Stop, "b")));
    }
}
