//! I10: what nobody acknowledges is sent again (RFC 2661, 5.8).
//!
//! Watched is the oldest message of the node that its LAC has not acknowledged, as the wire shows it: each
//! time that it goes out, or becomes the oldest, the next wait begins: 1, 2, 4, 8, 8 and 8 seconds. When
//! one is over, the message must have gone out again, and after the last one the tunnel must have ended.
//!
//! Not watched: the SCCRP, which goes out again for a repeated SCCRQ alone; a tunnel that has ended, but
//! for the node's own StopCCN; what a LAC that has opened two tunnels under one id is told.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use lns_tables::time::Instant;
use lns_wire::id::TunnelId;

/// The waits, in seconds; the peer is given up after the last one.
const WAITS: [u64; 6] = [1, 2, 4, 8, 8, 8];

/// All of them together: how long a StopCCN is said.
const CYCLE: Duration = Duration::from_secs(31);

/// A tick of the timers, on both ends of a wait.
const TICK: Duration = Duration::from_millis(200);

/// The oldest message of one tunnel.
#[derive(Clone, Copy, Debug)]
struct Oldest {
    since: Instant,
    repeats: usize,
}

/// What is known of one tunnel.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    oldest: Option<Oldest>,
    /// When it is looked at next.
    armed: Option<Instant>,
    ended: Option<Instant>,
    /// The node has said StopCCN, and the LAC has not.
    is_stopping: bool,
    has_stopped: bool,
}

/// When which tunnel is looked at.
#[derive(Debug, Default)]
pub(super) struct Rota {
    queue: BinaryHeap<Reverse<(Instant, TunnelId)>>,
    excused: Instant,
    /// How long a repeat may wait for the store.
    commit: Duration,
}

impl Rota {
    pub(super) fn new(commit: Duration) -> Self {
        Self {
            commit,
            ..Self::default()
        }
    }

    fn due(&self, repeats: &Repeats) -> Option<Instant> {
        Some(repeats.due(self.excused)? + self.commit)
    }

    /// What slept could do nothing, and begins to count when it wakes.
    pub(super) fn excuse(&mut self, until: Instant) {
        self.excused = self.excused.max(until);
    }

    /// The next tunnel that is to be looked at.
    pub(super) fn next(&mut self, now: Instant) -> Option<TunnelId> {
        self.queue.peek().filter(|it| it.0.0 < now)?;
        self.queue.pop().map(|it| it.0.1)
    }

    /// Sees to it that the tunnel is looked at in time.
    pub(super) fn arm(&mut self, tunnel: TunnelId, repeats: &mut Repeats) {
        let Some(due) = self.due(repeats) else {
            return;
        };
        if repeats.armed.is_none_or(|armed| due < armed) {
            repeats.armed = Some(due);
            self.queue.push(Reverse((due, tunnel)));
        }
    }

    /// Whether the message is late.
    pub(super) fn judge(&self, repeats: &mut Repeats, now: Instant) -> Result<(), String> {
        repeats.armed = repeats.armed.filter(|at| now <= *at);
        match repeats.oldest {
            Some(Oldest { since, repeats: n }) if self.due(repeats).is_some_and(|at| at < now) => {
                Err(format!(
                    "nothing has acknowledged what was sent at {since:?} and again {n} times: it is \
                     not sent again, and the tunnel does not end"
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Repeats {
    /// A message is now the oldest, or there is none.
    pub(super) fn begins(&mut self, has_any: bool, now: Instant) {
        let oldest = Oldest {
            since: now,
            repeats: 0,
        };
        self.oldest = has_any.then_some(oldest);
    }

    /// A message was sent for the first time.
    pub(super) fn sent(&mut self, is_stop: bool, now: Instant) {
        self.is_stopping |= is_stop;
        if self.oldest.is_none() {
            self.begins(true, now);
        }
    }

    /// The LAC has shown where it is: from now on the node repeats by itself.
    pub(super) fn proven(&mut self, now: Instant) {
        if self.ended.is_none() {
            self.begins(self.oldest.is_some(), now);
        }
    }

    /// The oldest was sent again.
    pub(super) const fn repeated(&mut self, now: Instant) {
        if let Some(oldest) = &mut self.oldest {
            oldest.since = now;
            oldest.repeats += 1;
        }
    }

    /// The LAC has ended the tunnel: whatever it has not acknowledged does not matter any more.
    pub(super) const fn stopped(&mut self) {
        self.has_stopped = true;
    }

    /// The tunnel has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// Its end is nobody's: another node has it still.
    pub(super) const fn goes_on(&mut self) {
        self.ended = None;
        self.is_stopping = false;
    }

    /// Until when the oldest must have been repeated, if it must.
    fn due(&self, excused: Instant) -> Option<Instant> {
        let oldest = self.oldest?;
        let wait = WAITS.get(oldest.repeats).or(WAITS.last()).copied()?;
        let wait = Duration::from_secs(wait);
        let due = oldest.since.max(excused) + wait + TICK;
        match self.ended {
            None => Some(due),
            Some(_) if !self.is_stopping || self.has_stopped => None,
            // That it is given up cannot be seen once the tunnel has ended.
            Some(_) if oldest.repeats + 1 >= WAITS.len() => None,
            Some(ended) => Some(due).filter(|due| *due < ended + CYCLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNNEL: TunnelId = TunnelId(7);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    /// What is found by `end`, milliseconds, of a message sent at 0 and again at `again`.
    fn found(again: &[u64], end: u64, tell: impl FnOnce(&mut Repeats, &mut Rota)) -> bool {
        let (mut repeats, mut rota) = (Repeats::default(), Rota::default());
        repeats.sent(false, at(0));
        for millis in again {
            assert_eq!(rota.judge(&mut repeats, at(*millis)), Ok(()), "{millis}");
            repeats.repeated(at(*millis));
        }
        tell(&mut repeats, &mut rota);
        rota.arm(TUNNEL, &mut repeats);
        rota.next(at(end)).is_some() && rota.judge(&mut repeats, at(end)).is_err()
    }

    #[test]
    fn what_is_not_sent_again_in_its_time_is_told() {
        assert!(found(&[], 1_300, |_, _| ()));
        assert!(!found(&[], 1_100, |_, _| ()));
        assert!(found(&[1_000], 3_300, |_, _| ()));
        assert!(!found(&[1_000], 3_100, |_, _| ()));
        assert!(found(
            &[1_000, 3_000, 7_000, 15_000, 23_000],
            31_300,
            |_, _| ()
        ));
    }

    #[test]
    fn what_is_acknowledged_or_slept_through_or_ended_is_not_waited_for() {
        assert!(!found(&[], 1_300, |it, _| it.begins(false, at(500))));
        assert!(!found(&[], 1_300, |it, _| it.begins(true, at(500))));
        assert!(!found(&[], 1_300, |_, rota| rota.excuse(at(500))));
        assert!(!found(&[], 1_300, |it, _| it.ended(at(500))));
    }

    #[test]
    fn a_stopccn_is_sent_again_until_the_lac_has_ended_the_tunnel_too() {
        let stop = |it: &mut Repeats| {
            it.sent(true, at(0));
            it.ended(at(0));
        };
        assert!(found(&[], 1_300, |it, _| stop(it)));
        assert!(!found(&[], 1_300, |it, _| {
            stop(it);
            it.stopped();
        }));
    }
}
