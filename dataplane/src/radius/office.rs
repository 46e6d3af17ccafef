//! The thread of RADIUS: all clients with their sockets, apart from the control task.
//!
//! Orders come and outcomes go by bounded mailboxes, questions of the admin interface by a channel of
//! their own. While the control task takes no outcomes no further orders are taken, so what is held here
//! is bounded by the limits of the clients.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use lns_crypto::Rng;
use lns_node::radius::Order;
use lns_radius::request::{Failure, Outcome, Token};
use lns_tables::mailbox::Full;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, yield_now};
use tokio::time::sleep;

use super::figures::Rtts;
use super::ledger::Ledger;
use super::line::Settled;
use super::pool::{Desk, Seen, Settings};
use super::post::{Incoming, Outgoing};
use super::service::Question;
use super::setup::Setup;

/// Orders that are taken before sockets have their turn.
const BATCH: usize = 128;

/// How soon it is looked again whether the control task takes outcomes.
const AGAIN: Duration = Duration::from_millis(2);

/// What the thread begins with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) orders: Incoming<Order>,
    pub(super) outcomes: Outgoing<Outcome>,
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) rtts: Rtts,
    pub(super) seed: [u8; 32],
    /// Where the spool is; `None`: whoever keeps a record does so until a server has it.
    pub(super) folder: Option<PathBuf>,
    /// Is told which records that were kept need not be any more.
    pub(super) settled: Settled,
    /// Is gone when the thread has ended, whatever the reason.
    pub(super) alive: oneshot::Sender<()>,
}

/// The thread while it runs.
#[derive(Debug)]
pub(super) struct Thread(JoinHandle<()>);

impl Start {
    /// Starts the thread, without servers yet.
    ///
    /// # Errors
    /// The system has no thread, or no timer, for us.
    pub(super) fn run(self) -> io::Result<Thread> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().name("lnsd-radius".to_owned());
        let thread = thread.spawn(move || {
            let Self {
                orders,
                outcomes,
                questions,
                rtts,
                seed,
                folder,
                settled,
                alive: _alive,
            } = self;
            let office = Office::new(outcomes, rtts, seed, (folder, settled));
            LocalSet::new().block_on(&runtime, office.serve(orders, questions));
        })?;
        Ok(Thread(thread))
    }
}

impl Thread {
    /// Waits for its end.
    ///
    /// # Errors
    /// It has panicked.
    pub(super) fn join(self) -> Result<(), ()> {
        self.0.join().map_err(|_| ())
    }
}

/// All that runs on the thread.
pub(crate) struct Office {
    outcomes: Outcomes,
    rng: Rng,
    rtts: Rtts,
    folder: Option<PathBuf>,
    settled: Settled,
    authentication: Option<Desk>,
    /// Once the manifest has asked for accounting, to the end.
    ledger: Option<Ledger>,
    /// Who is told when all has ended.
    ended: Option<oneshot::Sender<()>>,
}

/// The way back to the control task, which all clients share.
#[derive(Clone)]
struct Outcomes(Rc<RefCell<Back>>);

struct Back {
    outgoing: Outgoing<Outcome>,
    /// For which there was no room, of those that no client has seen.
    held: VecDeque<Outcome>,
}

impl Outcomes {
    fn put(&self, outcome: Outcome) -> Result<(), Outcome> {
        let sent = self.0.borrow_mut().outgoing.send(outcome);
        sent.map_err(|Full(outcome)| outcome)
    }

    /// Puts it as soon as there is room.
    fn hold(&self, outcome: Outcome) {
        self.0.borrow_mut().held.push_back(outcome);
    }

    /// Puts what was held. Whether that is all.
    fn flush(&self) -> bool {
        let Back { outgoing, held } = &mut *self.0.borrow_mut();
        while let Some(outcome) = held.pop_front() {
            if let Err(Full(outcome)) = outgoing.send(outcome) {
                held.push_front(outcome);
                return outgoing.is_closed();
            }
        }
        true
    }
}

impl Office {
    fn new(
        outcomes: Outgoing<Outcome>,
        rtts: Rtts,
        seed: [u8; 32],
        (folder, settled): (Option<PathBuf>, Settled),
    ) -> Self {
        let back = Back {
            outgoing: outcomes,
            held: VecDeque::new(),
        };
        Self {
            outcomes: Outcomes(Rc::new(RefCell::new(back))),
            rng: Rng::from_seed(seed),
            rtts,
            folder,
            settled,
            authentication: None,
            ledger: None,
            ended: None,
        }
    }

    /// Servers, or other ones. `None`: no RADIUS any more.
    ///
    /// # Errors
    /// What cannot be had of the system.
    pub(super) fn configure(&mut self, setup: Option<Setup>) -> Result<(), String> {
        let setup = setup.unwrap_or_default();
        self.configure_accounting(setup.accounting, setup.copies, setup.spool_max)?;
        match (&self.authentication, setup.authentication) {
            (Some(desk), Some(settings)) => desk.configure(settings),
            (None, Some(settings)) => {
                let outcomes = self.outcomes.clone();
                let sink = Box::new(move |outcome| outcomes.put(outcome));
                let desk = Desk::new(settings, self.rng.array(), &self.rtts, sink);
                self.authentication = Some(desk);
            }
            // What is under way ends for want of a server.
            (Some(desk), None) => desk.without_servers(),
            (None, None) => {}
        }
        Ok(())
    }

    /// Nobody is asked or told anything any more, and records that wait are forgotten: another node has them.
    pub(super) fn rest(&mut self) {
        if let Some(desk) = &self.authentication {
            desk.without_servers();
        }
        self.ledger = None;
    }

    fn configure_accounting(
        &mut self,
        servers: Option<Settings>,
        copies: Vec<Settings>,
        spool_max: u64,
    ) -> Result<(), String> {
        if self.ledger.is_none() && servers.is_none() {
            return Ok(());
        }
        let spool_max = servers.is_some().then_some(spool_max);
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            none => {
                let opened = Ledger::open(
                    self.folder.as_deref(),
                    spool_max.unwrap_or_default(),
                    self.settled.clone(),
                );
                none.insert(opened.map_err(|error| {
                    format!("the spool of accounting cannot be opened: {error}")
                })?)
            }
        };
        ledger.configure(servers, copies, spool_max, (&mut self.rng, &self.rtts));
        Ok(())
    }

    /// What all clients look like.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let asked = self.authentication.iter().map(Desk::seen);
        let told = self.ledger.iter().flat_map(Ledger::seen);
        asked.chain(told).collect()
    }

    /// What waits for accounting servers; `None` without accounting.
    pub(crate) fn queue(&self) -> Option<lns_spool::Figures> {
        self.ledger.as_ref().map(Ledger::figures)
    }

    /// Records that are not with a server, and may be soon.
    pub(super) fn unsettled(&self) -> u64 {
        let queue = self.queue().unwrap_or_default();
        queue.records.saturating_sub(queue.foreign)
    }

    /// Ends the thread, and then tells so.
    pub(super) fn end(&mut self, ended: oneshot::Sender<()>) {
        self.ended = Some(ended);
    }

    async fn serve(mut self, mut orders: Incoming<Order>, mut questions: mpsc::Receiver<Question>) {
        loop {
            let blocked = self.is_blocked();
            tokio::select! {
                () = orders.wait(), if !blocked && !orders.is_closed() => {}
                () = sleep(AGAIN), if blocked => continue,
                question = questions.recv() => match question {
                    Some(question) => {
                        // Who asks has ordered before, and may ask whether all of that is done.
                        while !self.is_blocked() && self.take(&mut orders) {}
                        question(&mut self);
                    }
                    None => return,
                },
            }
            let more = self.take(&mut orders);
            if let Some(ended) = self.ended.take() {
                // Whether outcomes have room or not: records are on disk before it ends.
                while self.take(&mut orders) {}
                let _unwanted = ended.send(());
                return;
            }
            if more {
                yield_now().await;
            }
        }
    }

    /// Whether the control task does not take outcomes.
    fn is_blocked(&self) -> bool {
        !self.outcomes.flush() || self.authentication.as_ref().is_some_and(Desk::is_blocked)
    }

    /// Carries orders out. Whether there may be more.
    fn take(&mut self, orders: &mut Incoming<Order>) -> bool {
        let mut records = Vec::new();
        let more = match &self.authentication {
            Some(desk) => desk.with(|pool, now| {
                each(orders, |order| match order {
                    Order::Ask(request) => pool.client.handle_request(*request, now),
                    Order::Repeat(token) => pool.client.handle_repeat(token, now),
                    Order::Cancel(token) => pool.client.handle_cancel(token, now),
                    Order::Record(record) => records.push(*record),
                })
            }),
            None => each(orders, |order| match order {
                Order::Ask(request) => self.outcomes.hold(no_server(request.token)),
                Order::Repeat(_) | Order::Cancel(_) => {}
                Order::Record(record) => records.push(*record),
            }),
        };
        if let Some(ledger) = self.ledger.as_ref().filter(|_| !records.is_empty()) {
            ledger.take(records);
        }
        more
    }
}

/// Hands some orders on. Whether there may be more.
fn each(orders: &mut Incoming<Order>, mut carry_out: impl FnMut(Order)) -> bool {
    for _ in 0..BATCH {
        match orders.take() {
            Some(order) => carry_out(order),
            None => return false,
        }
    }
    true
}

/// A request that nobody is there for.
fn no_server(token: Token) -> Outcome {
    Outcome {
        token,
        server: None,
        rtt: None,
        sends: 0,
        result: Err(Failure::NoServer),
    }
}
