//! How long what was given back rests before it is given out again: its own time; and in a cluster, until every
//! member knows that it was given back, for one that does not may still forward packets by it (spec: cluster, 1).

use core::ops::Add as _;
use core::time::Duration;

use crate::time::Instant;

/// How long something rests. Of two things that were given back one after the other the first has never rested
/// less far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rest {
    own: Duration,
    /// As long as somebody who has not heard of it may go by what was.
    unheard: Duration,
    /// Everybody has heard of what was given back before.
    heard: Instant,
}

impl Rest {
    /// Always so long.
    pub const fn of(own: Duration) -> Self {
        Self {
            own,
            unheard: Duration::ZERO,
            heard: Instant::ZERO,
        }
    }

    /// So long at least; and for `unheard`, unless everybody has [heard](Self::handle_heard) of it before.
    #[must_use]
    pub const fn with_unheard(self, unheard: Duration) -> Self {
        Self { unheard, ..self }
    }

    /// The least of it is another one.
    pub const fn set_own(&mut self, own: Duration) {
        self.own = own;
    }

    /// Everybody knows what was given back before that moment.
    pub fn handle_heard(&mut self, before: Instant) {
        self.heard = self.heard.max(before);
    }

    /// When what was given back `since` then may be given out, as far as is known now.
    pub fn until(&self, since: Instant) -> Instant {
        let unheard = if since < self.heard {
            Duration::ZERO
        } else {
            self.unheard
        };
        since.add(self.own.max(unheard))
    }

    /// Whether it has rested long enough.
    pub fn is_over(&self, since: Instant, now: Instant) -> bool {
        self.until(since) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_lasts_until_everybody_has_heard_and_its_own_time_at_least() {
        let at = Instant::from_millis;
        let rest = Rest::of(Duration::from_millis(31));
        assert_eq!(rest.until(at(100)), at(131));
        let mut rest = rest.with_unheard(Duration::from_millis(600));
        assert_eq!(rest.until(at(100)), at(700));
        rest.handle_heard(at(100));
        assert_eq!(rest.until(at(99)), at(130));
        assert_eq!(rest.until(at(100)), at(700), "not before that moment");
        rest.handle_heard(at(50));
        assert_eq!(rest.until(at(99)), at(130));
        rest.handle_heard(at(101));
        assert!(rest.is_over(at(100), at(131)) && !rest.is_over(at(100), at(130)));
        rest.set_own(Duration::from_millis(900));
        assert_eq!(rest.until(at(200)), at(1100));
    }
}
