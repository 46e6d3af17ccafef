//! The time between two attempts: longer each time, and never the same on two nodes.

use core::time::Duration;

use crate::limits::PAUSE;

/// How long the next attempt is waited for.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(PAUSE.0)
    }

    /// The last attempt was of use.
    pub(crate) const fn reset(&mut self) {
        self.0 = PAUSE.0;
    }

    /// How long to wait now; twice as long the next time.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = now.saturating_mul(2).min(PAUSE.1);
        jittered(now)
    }
}

/// Half of it and a random part of the other half.
pub(crate) fn jittered(time: Duration) -> Duration {
    let half = time.mul_f64(0.5);
    let drawn = getrandom::u32().unwrap_or(0);
    half.saturating_add(half.mul_f64(f64::from(drawn) / f64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_further_and_further_apart_up_to_a_bound_and_differ() {
        let mut pause = Pause::new();
        let mut most = PAUSE.0;
        for _ in 0..20 {
            let next = pause.next();
            assert!(
                next <= most && next >= most.mul_f64(0.5),
                "{next:?} {most:?}"
            );
            most = most.saturating_mul(2).min(PAUSE.1);
        }
        assert_eq!(most, PAUSE.1);
        pause.reset();
        assert!(pause.next() <= PAUSE.0);
        let drawn: std::collections::BTreeSet<_> = (0..50).map(|_| jittered(PAUSE.1)).collect();
        assert!(drawn.len() > 40);
    }
}
