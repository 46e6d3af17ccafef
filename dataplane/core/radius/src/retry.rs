//! When a packet is sent again (RFC 5080, 2.2.1).
//!
//! The first wait is IRT, each further one about twice the last, none much longer than MRT; each is off
//! by up to a tenth, drawn anew. A wait begins when the last one was to end, not when somebody noticed.
//!
//! After MRC sends the last wait is waited for, and then it is over. With MRC one that would be IRT: such a
//! packet has until MRD, and only its waits go on as if it were sent again.

use core::time::Duration;

use lns_crypto::Rng;
use lns_tables::time::Instant;

use crate::config::Timing;
use crate::limits;

/// Where the repetition of one packet has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    timing: Timing,
    /// When the current wait ends.
    due: Instant,
    /// How long it is.
    wait: Duration,
    /// Sends so far.
    sends: u8,
    /// When all is over.
    end: Instant,
}

/// What is to be done when a wait has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Nothing yet.
    Wait,
    /// Send again.
    Send,
    /// Do not: the time for that has been missed by more than half a wait, and the next one counts; or MRC is
    /// one. But nothing has come back for a whole wait, which says something of the connection.
    Skip,
    /// There was no answer, and there will be none: MRC or MRD is reached.
    Over,
}

impl Timing {
    /// When it is over for what was sent first at `first`.
    pub fn end(&self, first: Instant) -> Instant {
        let longest = if self.duration.is_zero() {
            limits::LONGEST
        } else {
            self.duration
        };
        first + longest
    }

    /// How long an answer must be waited for until its absence says something: IRT less its jitter, or MRD
    /// if that is shorter.
    pub(crate) fn fair(&self) -> Duration {
        let life = Some(self.duration).filter(|life| !life.is_zero());
        let wait = life.map_or(self.initial, |life| life.min(self.initial));
        wait.saturating_mul(9).checked_div(10).unwrap_or_default()
    }
}

impl Retry {
    /// The packet is sent for the first time now, and all is over at `end` at the latest.
    pub fn start(timing: Timing, now: Instant, end: Instant, rng: &mut Rng) -> Self {
        let wait = spread(timing.initial, 1, rng);
        Self {
            timing,
            due: now + wait,
            wait,
            sends: 1,
            end: end.min(timing.end(now)),
        }
    }

    /// When to ask again what is due.
    pub fn next(&self) -> Instant {
        self.due.min(self.end)
    }

    /// What is due now. [`Due::Send`] and [`Due::Skip`] begin the next wait.
    pub fn due(&mut self, now: Instant, rng: &mut Rng) -> Due {
        if now >= self.end {
            return Due::Over;
        }
        if now < self.next() {
            return Due::Wait;
        }
        let spent = self.timing.count != 0 && self.sends >= self.timing.count;
        if spent && self.timing.count != 1 {
            return Due::Over;
        }
        let late = now.since(self.due) > half(self.wait);
        self.wait = next_wait(&self.timing, self.wait, rng);
        self.due = if late {
            now + self.wait
        } else {
            self.due + self.wait
        };
        if late || spent {
            return Due::Skip;
        }
        self.sends = self.sends.saturating_add(1);
        Due::Send
    }

    /// The wait that is under way.
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// Sends so far.
    pub const fn sends(&self) -> u8 {
        self.sends
    }
}

/// The wait after `last`.
fn next_wait(timing: &Timing, last: Duration, rng: &mut Rng) -> Duration {
    let jitter = jitter(last, rng);
    let doubled = add_jitter(last.saturating_mul(2), jitter);
    if timing.longest.is_zero() || doubled <= timing.longest {
        return doubled;
    }
    spread(timing.longest, 1, rng)
}

/// `wait` times `factor + RAND`.
fn spread(wait: Duration, factor: u32, rng: &mut Rng) -> Duration {
    let jitter = jitter(wait, rng);
    add_jitter(wait.saturating_mul(factor), jitter)
}

/// `wait` times RAND, which is between -0.1 and 0.1: how much, and whether it is to be added.
fn jitter(wait: Duration, rng: &mut Rng) -> (Duration, bool) {
    let drawn = rng.u32();
    let tenth = wait.checked_div(10).unwrap_or_default();
    let part = u64::try_from(tenth.as_nanos())
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(drawn >> 1))
        .checked_div(u64::from(u32::MAX >> 1))
        .unwrap_or_default();
    (Duration::from_nanos(part), drawn & 1 == 0)
}

fn half(wait: Duration) -> Duration {
    wait.checked_div(2).unwrap_or_default()
}

fn add_jitter(wait: Duration, (jitter, add): (Duration, bool)) -> Duration {
    if add {
        wait.saturating_add(jitter)
    } else {
        wait.saturating_sub(jitter)
    }
}

#[cfg(test)]
mod tests;
