//! When everybody has heard: members say up to which change they have the records, and what was given back before
//! that change need not rest for their sake any longer (spec: cluster, 1).

use core::time::Duration;
use std::collections::VecDeque;

use lns_tables::time::Instant;

use super::Mark;

/// Moments that are told apart: a rest is longer by this at most.
const GRAIN: Duration = Duration::from_millis(250);

/// Moments that are kept: more than S, in which all that is older has rested anyway.
const MOMENTS: usize = 4_096;

/// Which change was the last at which moment.
#[derive(Debug, Default)]
pub struct Confirmations {
    /// All that had happened before this moment has marks up to this one.
    moments: VecDeque<(Instant, Mark)>,
}

impl Confirmations {
    /// All that has happened before `now` has a mark, and this is the last one.
    pub fn handle_written(&mut self, mark: Mark, now: Instant) {
        if self.moments.back().is_some_and(|(_, last)| *last == mark) {
            return;
        }
        let before = self.moments.len().checked_sub(2);
        let before = before.and_then(|at| self.moments.get(at));
        let is_soon = before.is_some_and(|(at, _)| now.since(*at) < GRAIN);
        if is_soon {
            self.moments.pop_back();
        }
        self.moments.push_back((now, mark));
        if self.moments.len() > MOMENTS {
            self.moments.pop_front();
        }
    }

    /// Everybody has all changes up to this one: of what has happened before which moment they know.
    pub fn handle_confirmed(&mut self, position: Mark) -> Option<Instant> {
        let mut heard = None;
        while let Some((at, _)) = self.moments.pop_front_if(|(_, mark)| *mark <= position) {
            heard = Some(at);
        }
        heard
    }

    /// Another mastership begins, or this one is over.
    pub fn clear(&mut self) {
        self.moments.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Epoch;

    fn mark(seq: u64) -> Mark {
        Mark::new(Epoch::new(7).unwrap(), seq).unwrap()
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn what_is_confirmed_was_heard_of_and_nothing_later() {
        let mut heard = Confirmations::default();
        heard.handle_written(mark(5), at(1000));
        heard.handle_written(mark(5), at(1900));
        heard.handle_written(mark(9), at(2000));
        assert_eq!(heard.handle_confirmed(mark(4)), None);
        assert_eq!(heard.handle_confirmed(mark(8)), Some(at(1000)));
        assert_eq!(heard.handle_confirmed(mark(8)), None, "once");
        assert_eq!(heard.handle_confirmed(mark(9)), Some(at(2000)));
        heard.handle_written(mark(10), at(3000));
        heard.clear();
        assert_eq!(heard.handle_confirmed(mark(10)), None);
    }

    #[test]
    fn moments_close_to_each_other_are_one_and_their_number_is_bounded() {
        let mut heard = Confirmations::default();
        for seq in 0..1000 {
            heard.handle_written(mark(seq), at(1000 + seq));
        }
        assert!(heard.moments.len() < 8, "{heard:?}");
        assert_eq!(heard.handle_confirmed(mark(998)), Some(at(1996)));
        assert_eq!(heard.handle_confirmed(mark(999)), Some(at(1999)));
        for seq in 0..10_000 {
            heard.handle_written(mark(2000 + seq), at(10_000 + 1000 * seq));
        }
        assert_eq!(heard.moments.len(), MOMENTS);
        let oldest = mark(2000 + 10_000 - 4096);
        let expected = at(10_000 + 1000 * (10_000 - 4096));
        assert_eq!(heard.handle_confirmed(oldest), Some(expected));
    }
}
