//! RADIUS from start to end: the thread is there once the manifest has asked for it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::figures::{Rtts, rtts};
use super::line::{Ends, Line, line};
use super::office::{Office, Start, Thread};
use super::setup::Setup;

/// Questions that wait. Those who ask wait too.
const QUESTIONS: usize = 16;

/// How often it is looked whether the last records are with a server.
const LOOK: Duration = Duration::from_millis(20);

/// What the thread is asked: runs there, briefly.
pub(super) type Question = Box<dyn FnOnce(&mut Office) + Send>;

/// There is no thread, or it has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Gone;

/// Asks the thread.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    questions: mpsc::Sender<Question>,
    running: Arc<AtomicBool>,
    rtts: Rtts,
}

impl Asker {
    /// Runs `question` in the thread and gives its answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Office) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        if !self.running.load(Ordering::Acquire) {
            return Err(Gone);
        }
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |office: &mut Office| {
            // Who has stopped waiting needs no answer.
            let _unwanted = answer.send(question(office));
        });
        self.questions.send(question).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }

    /// How long answers took, since the start.
    pub(crate) fn rtts(&self) -> Rtts {
        self.rtts.clone()
    }
}

/// Starts, configures and ends the thread.
#[derive(Debug)]
pub(crate) struct Service {
    asker: Asker,
    state: State,
}

#[derive(Debug)]
enum State {
    /// RADIUS was not asked for yet.
    Idle(Start),
    Running(Thread),
    /// It could not be started, or has ended.
    Ended,
}

/// RADIUS that nobody has asked for yet: what starts it, the control task's end, and what resolves when the
/// thread has ended, which it should do only by [`Service::end`]. The spool is in `folder`, or in memory, where
/// records are kept elsewhere until a server has them.
pub(crate) fn service(
    seed: [u8; 32],
    folder: Option<PathBuf>,
) -> (Service, Line, oneshot::Receiver<()>) {
    let (line, ends) = line();
    let Ends {
        orders,
        outcomes,
        settled,
    } = ends;
    let (questions, inbox) = mpsc::channel(QUESTIONS);
    let (alive, ended) = oneshot::channel();
    let asker = Asker {
        questions,
        running: Arc::default(),
        rtts: rtts(),
    };
    let start = Start {
        orders,
        outcomes,
        questions: inbox,
        rtts: asker.rtts(),
        seed,
        folder,
        settled,
        alive,
    };
    let service = Service {
        asker,
        state: State::Idle(start),
    };
    (service, line, ended)
}

impl Service {
    /// Asks the thread.
    pub(crate) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Takes over what a manifest says. `None`: it has no RADIUS.
    ///
    /// # Errors
    /// What cannot be had of the system.
    pub(crate) async fn configure(&mut self, setup: Option<Setup>) -> Result<(), String> {
        if matches!(self.state, State::Idle(_)) {
            if setup.is_none() {
                return Ok(());
            }
            self.start()?;
        }
        let configured = self.asker.ask(|office| office.configure(setup)).await;
        configured.unwrap_or_else(|Gone| Err("the thread of RADIUS has ended".to_owned()))
    }

    /// Nobody is asked or told anything until it is configured again, and what waits is forgotten.
    pub(crate) async fn rest(&mut self) {
        if matches!(self.state, State::Running(_)) {
            // A thread that has ended has nothing that waits.
            let _ended = self.asker.ask(Office::rest).await;
        }
    }

    /// Starts the thread, unless it runs or has run.
    fn start(&mut self) -> Result<(), String> {
        let start = match core::mem::replace(&mut self.state, State::Ended) {
            State::Idle(start) => start,
            other @ (State::Running(_) | State::Ended) => {
                self.state = other;
                return Ok(());
            }
        };
        let thread = start
            .run()
            .map_err(|error| format!("the thread of RADIUS cannot be started: {error}"))?;
        self.state = State::Running(thread);
        self.asker.running.store(true, Ordering::Release);
        Ok(())
    }

    /// Ends the thread: what was told of is on disk, and as much of it with a server as `patience` allows.
    pub(crate) async fn end(self, patience: Duration) {
        let State::Running(thread) = self.state else {
            return;
        };
        let deadline = Instant::now() + patience;
        while let Ok(left @ 1..) = self.asker.ask(|office| office.unsettled()).await {
            if Instant::now() > deadline {
                warn!(
                    left,
                    "not every record is with a server; those left wait on disk for the next start"
                );
                break;
            }
            sleep(LOOK).await;
        }
        self.asker.running.store(false, Ordering::Release);
        let (ended, ending) = oneshot::channel();
        let question: Question = Box::new(|office| office.end(ended));
        if self.asker.questions.send(question).await.is_ok() {
            let _ended = ending.await;
        }
        let joined = tokio::task::spawn_blocking(|| thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            error!("the thread of RADIUS has panicked: please report it with the lines above");
        }
    }
}
