//! How much clients may hold: connections, and octets of answers that they have not read yet.
//!
//! A client that sends half a request or stops reading costs nobody else anything for long. As long as
//! there is room it may take its time; when somebody waits, the slowest is cut off, the one that was
//! waited for longest. One whose request is being worked on never is: that ends by itself.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// Connections per listener. Scrapers and engineers, not the public; with those of both listeners,
/// half of the 1,024 descriptors that a process usually has.
const CONNECTIONS: usize = 256;

/// Octets of answers per listener that are not read yet: some of the largest pages. What is being
/// worked on comes on top.
const OCTETS: usize = 16 << 20;

/// What a client is given even when others wait: an answer is read in much less on any machine.
const GRACE: Duration = Duration::from_millis(500);

/// How often it is looked for one to cut off while somebody waits.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long one client may take in all: to ask, to be answered, and to read the answer.
const LIFETIME: Duration = Duration::from_secs(70);

/// The connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Connections {
    state: Mutex<State>,
    /// One has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    doing: Doing,
    since: Instant,
    cut: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doing {
    /// The client is sending its request.
    Asking,
    /// We are working on it.
    Working,
    /// The client is reading an answer of so many octets.
    Reading(usize),
    /// The client is reading an answer that goes on; what makes it has bounds of its own.
    Following,
}

/// One connection; it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    cut: Arc<Notify>,
    of: Arc<Connections>,
}

impl Connections {
    /// A place for a new connection, as soon as there is one.
    pub(super) async fn enter(self: &Arc<Self>) -> Connection {
        loop {
            if let Some(connection) = self.try_enter() {
                return connection;
            }
            self.cut(|doing| matches!(doing, Doing::Asking | Doing::Reading(_)));
            // Which of both it was does not matter.
            let _waited = timeout(INTERVAL, self.ended.notified()).await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<Connection> {
        let mut state = self.lock();
        if state.open.len() >= CONNECTIONS {
            return None;
        }
        let (id, cut) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        let open = Open {
            doing: Doing::Asking,
            since: Instant::now(),
            cut: Arc::clone(&cut),
        };
        state.open.insert(id, open);
        Some(Connection {
            id,
            cut,
            of: Arc::clone(self),
        })
    }

    /// Waits until another answer may be made.
    pub(super) async fn room(&self) {
        while self.unread() >= OCTETS {
            self.cut(|doing| matches!(doing, Doing::Reading(_)));
            let _waited = timeout(INTERVAL, self.ended.notified()).await;
        }
    }

    fn unread(&self) -> usize {
        let state = self.lock();
        let octets = state.open.values().map(|open| match open.doing {
            Doing::Reading(octets) => octets,
            Doing::Asking | Doing::Working | Doing::Following => 0,
        });
        octets.sum()
    }

    /// Cuts off the one of these that has taken longest, if it had its time.
    fn cut(&self, these: impl Fn(Doing) -> bool) {
        let state = self.lock();
        let slowest = state
            .open
            .values()
            .filter(|open| these(open.doing) && open.since.elapsed() >= GRACE)
            .min_by_key(|open| open.since);
        if let Some(slowest) = slowest {
            slowest.cut.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// The connections that this is one of.
    pub(super) fn of(&self) -> &Connections {
        &self.of
    }

    /// The request is there.
    pub(super) fn working(&self) {
        self.does(Doing::Working);
    }

    /// The answer is there, of so many octets; `None`: it goes on as long as the client reads.
    pub(super) fn answered(&self, octets: Option<usize>) {
        self.does(octets.map_or(Doing::Following, Doing::Reading));
    }

    /// Returns when the client has had its time.
    pub(super) async fn over(&self) {
        loop {
            // What it does by now counts: its request may have become whole in between.
            let spared = tokio::select! {
                () = self.cut.notified() => Doing::Working,
                () = sleep(LIFETIME) => Doing::Following,
            };
            let is_spared = |open: &Open| open.doing == spared;
            if !self.of.lock().open.get(&self.id).is_some_and(is_spared) {
                return;
            }
        }
    }

    fn does(&self, doing: Doing) {
        if let Some(open) = self.of.lock().open.get_mut(&self.id) {
            (open.doing, open.since) = (doing, Instant::now());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.of.lock().open.remove(&self.id);
        self.of.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn full() -> (Arc<Connections>, Vec<Connection>) {
        let connections = Arc::new(Connections::default());
        let open = (0..CONNECTIONS).map(|_| connections.try_enter().unwrap());
        let open = open.collect();
        (connections, open)
    }

    /// Which of these were cut off.
    fn cut(open: &[Connection]) -> Vec<u64> {
        let cut = open
            .iter()
            .filter(|open| open.cut.notified().now_or_never().is_some());
        cut.map(|open| open.id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_request_became_whole_before_it_was_cut_is_spared() {
        let (connections, open) = full();
        sleep(GRACE).await;
        connections.cut(|doing| doing == Doing::Asking);
        open[0].working();
        assert!(timeout(INTERVAL, open[0].over()).await.is_err());
        open[0].answered(Some(1));
        sleep(GRACE).await;
        connections.cut(|doing| matches!(doing, Doing::Reading(_)));
        assert!(timeout(INTERVAL, open[0].over()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_the_slowest_and_never_of_one_that_is_worked_on() {
        let (connections, mut open) = full();
        open[0].working();
        sleep(GRACE).await;
        open[1].answered(Some(1));
        let newcomer = connections.enter();
        tokio::pin!(newcomer);
        assert!(
            (&mut newcomer).now_or_never().is_none(),
            "there is no place"
        );
        assert_eq!(cut(&open), [2]);
        open.remove(2);
        assert_eq!(newcomer.await.id, CONNECTIONS as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_cut_off_before_its_time_or_without_need() {
        let (connections, mut open) = full();
        assert!(connections.enter().now_or_never().is_none());
        assert_eq!(cut(&open), [0; 0]);
        open.pop();
        sleep(LIFETIME / 2).await;
        assert!(connections.enter().now_or_never().is_some());
        assert_eq!(cut(&open), [0; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_reads_are_given_up_for_new_ones() {
        let connections = Arc::new(Connections::default());
        let mut open: Vec<_> = (0..3).map(|_| connections.try_enter().unwrap()).collect();
        open[1].answered(Some(OCTETS));
        assert!(connections.room().now_or_never().is_none());
        assert_eq!(cut(&open), [0; 0], "it has its time");
        sleep(GRACE).await;
        assert!(connections.room().now_or_never().is_none());
        assert_eq!(cut(&open), [1]);
        open.remove(1);
        assert!(connections.room().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_its_time_and_one_that_follows_has_no_end() {
        let connections = Arc::new(Connections::default());
        let slow = connections.try_enter().unwrap();
        slow.answered(Some(1));
        assert!(timeout(LIFETIME * 2, slow.over()).await.is_ok());
        slow.answered(None);
        assert!(timeout(LIFETIME * 20, slow.over()).await.is_err());
        slow.answered(Some(1));
        slow.cut.notify_one();
        assert!(slow.over().now_or_never().is_some());
    }
}
