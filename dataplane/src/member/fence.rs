//! The thread that holds the gate in the kernel open (`lns_gate`). It is told what may pass until when; what it is
//! told last counts. A change of rules may take the kernel a while, which is why no other thread waits for it
//! but who has to know that the gate is closed.

use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use lns_cluster::member::Gates;
use lns_datapath::clock;
use lns_gate::{Announcer, Gate, GateError, Kind, Plan, State};
use lns_tables::time::Instant;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// How often the gate's counters are read.
const LOOK: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
enum Wish {
    /// These may pass until then.
    Hold(Gates),
    /// Control passes no more; then this is answered.
    Close(oneshot::Sender<()>),
    /// Another plan: the gate is made anew, closed, and what was held is held again.
    Replan(Box<Plan>, oneshot::Sender<Result<(), String>>),
    /// The gate is taken away, after its addresses.
    Remove(oneshot::Sender<()>),
}

/// What is known of the gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// As it was read last.
    pub(crate) state: Option<State>,
    /// What went wrong last, if it does still.
    pub(crate) trouble: Option<String>,
}

/// The gate, from outside of its thread.
#[derive(Debug)]
pub(crate) struct Fence {
    wishes: Sender<Wish>,
    seen: Arc<Mutex<Seen>>,
    _thread: JoinHandle<()>,
}

struct Keeper {
    gate: Gate,
    plan: Plan,
    gates: Gates,
    /// In L2 mode, while control passes: says by ARP where the addresses are.
    announcer: Option<Announcer>,
    /// When it does so next.
    announces_at: Option<Instant>,
    /// When the counters are to be read.
    looks_at: Instant,
    seen: Arc<Mutex<Seen>>,
}

/// What somebody else put on the loopback interface goes on answering routers when this process has ended.
fn warn_of_lent(gate: &Gate) {
    for address in gate.lent() {
        warn!(
            %address,
            "the loopback interface had this address before: it stays when lnsd ends, and the node goes on answering \
             routers though nobody serves; take it off, lnsd puts it there itself"
        );
    }
}

impl Fence {
    /// Makes the gate, closed, and starts its thread.
    ///
    /// # Errors
    /// Why there can be no gate.
    pub(crate) fn install(plan: Plan) -> Result<Self, String> {
        let (wishes, told) = channel();
        let (ready, installed) = channel();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let of_thread = Arc::clone(&seen);
        let thread = thread::Builder::new().name("lnsd-gate".to_owned());
        let work = move || {
            let installed = Gate::install(plan.clone());
            let (gate, outcome) = match installed {
                Ok(gate) => {
                    warn_of_lent(&gate);
                    (Some(gate), Ok(()))
                }
                Err(error) => (None, Err(error)),
            };
            let _waits = ready.send(outcome);
            if let Some(gate) = gate {
                let keeper = Keeper {
                    gate,
                    plan,
                    gates: Gates::default(),
                    announcer: None,
                    announces_at: None,
                    looks_at: clock::now(),
                    seen: of_thread,
                };
                keeper.serve(&told);
            }
        };
        let thread = thread.spawn(work).map_err(|error: io::Error| {
            format!("the thread of the gate cannot be started: {error}")
        })?;
        match installed.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the thread of the gate has ended".to_owned()),
        }
        Ok(Self {
            wishes,
            seen,
            _thread: thread,
        })
    }

    /// These may pass until then.
    pub(crate) fn hold(&self, gates: Gates) {
        self.wish(Wish::Hold(gates));
    }

    /// Returns when the kernel passes nothing of the master's any more.
    pub(crate) async fn close(&self) {
        let (closed, answer) = oneshot::channel();
        self.wish(Wish::Close(closed));
        let _closed = answer.await;
    }

    /// Makes the gate anew.
    ///
    /// # Errors
    /// Why it cannot be so.
    pub(crate) async fn replan(&self, plan: Plan) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Replan(Box::new(plan), done));
        answer
            .await
            .unwrap_or_else(|_| Err("the thread of the gate has ended".to_owned()))
    }

    /// Takes the gate away.
    pub(crate) async fn remove(self) {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Remove(done));
        let _removed = answer.await;
    }

    /// What is known of it.
    pub(crate) fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn wish(&self, wish: Wish) {
        // The thread ends only after this end is gone.
        let _always_taken = self.wishes.send(wish);
    }
}

impl Keeper {
    fn serve(mut self, told: &Receiver<Wish>) {
        loop {
            let first = match told.recv_timeout(self.patience(clock::now())) {
                Ok(wish) => Some(wish),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut latest = None;
            for wish in first.into_iter().chain(told.try_iter()) {
                match wish {
                    Wish::Hold(gates) => latest = Some(gates),
                    Wish::Close(closed) => {
                        latest = None;
                        self.gates.control = None;
                        self.fall_silent();
                        let done = self.gate.close_control();
                        self.note(done);
                        let _waits = closed.send(());
                    }
                    Wish::Replan(plan, done) => {
                        let _waits = done.send(self.replan(*plan));
                    }
                    Wish::Remove(done) => {
                        if let Err(error) = self.gate.remove() {
                            warn!("the gate could not be taken away: {error}");
                        }
                        let _waits = done.send(());
                        return;
                    }
                }
            }
            if let Some(gates) = latest {
                self.hold(gates);
            }
            let now = clock::now();
            if now >= self.looks_at {
                self.looks_at = now + LOOK;
                self.look();
            }
        }
    }

    fn patience(&self, now: Instant) -> Duration {
        let due = self.announces_at.map(|at| at.since(now));
        due.map_or(LOOK, |due| due.min(LOOK))
    }

    fn hold(&mut self, gates: Gates) {
        let begins = gates.control.is_some() && self.gates.control.is_none();
        self.gates = gates;
        let done = self.hold_all();
        self.note(done);
        if gates.control.is_none() {
            self.fall_silent();
        } else if begins {
            self.speak_up();
        }
        self.announce();
    }

    /// Begins to say where the addresses are.
    fn speak_up(&mut self) {
        let now = clock::now();
        match Announcer::open(&self.plan, now) {
            Ok(announcer) => {
                self.announces_at = announcer.is_some().then_some(now);
                self.announcer = announcer;
            }
            Err(problem) => error!("the service address is not announced: {problem}"),
        }
    }

    fn fall_silent(&mut self) {
        self.announcer = None;
        self.announces_at = None;
    }

    fn announce(&mut self) {
        let now = clock::now();
        if self.gates.control.is_none_or(|until| until <= now) {
            self.fall_silent();
        }
        let Some(announcer) = &mut self.announcer else {
            return;
        };
        match announcer.tick(now) {
            Ok(due) => self.announces_at = Some(due),
            Err(problem) => {
                warn!("the service address could not be announced: {problem}");
                self.speak_up();
                self.announces_at = Some(now + LOOK);
            }
        }
    }

    fn hold_all(&mut self) -> Result<(), GateError> {
        for (kind, until) in [
            (Kind::Control, self.gates.control),
            (Kind::Data, self.gates.data),
            (Kind::Announce, self.gates.announce),
        ] {
            match until {
                Some(until) => drop(self.gate.hold(kind, until)?),
                None => self.gate.close(kind)?,
            }
        }
        Ok(())
    }

    /// Reads the counters, and says what is due by ARP.
    fn look(&mut self) {
        self.announce();
        let state = self.gate.state();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Ok(state) => seen.state = Some(state),
            Err(error) => seen.trouble = Some(error.to_string()),
        }
    }

    fn replan(&mut self, plan: Plan) -> Result<(), String> {
        self.gate
            .replan(plan.clone())
            .map_err(|error| error.to_string())?;
        self.plan = plan;
        let done = self.hold_all();
        self.note(done);
        if self.gates.control.is_some() {
            self.speak_up();
        }
        Ok(())
    }

    fn note(&self, done: Result<(), GateError>) {
        let trouble = done.err().map(|error| error.to_string());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble == seen.trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            error!("the gate cannot be held open: {trouble}");
        } else {
            info!("the gate is held open again");
        }
        seen.trouble = trouble;
    }
}
