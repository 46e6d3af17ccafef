//! Chance, for what must not happen everywhere at once: a part of a time span, drawn anew each time.

use core::time::Duration;

/// From nothing up to `most`. Nothing if the system has no randomness to give: then it is the order of
/// things that is worse, and nothing else.
pub(crate) fn up_to(most: Duration) -> Duration {
    let drawn = getrandom::u32().unwrap_or(0);
    most.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_differs_and_is_within_its_bound() {
        let most = Duration::from_secs(1);
        let drawn: std::collections::BTreeSet<_> = (0..100).map(|_| up_to(most)).collect();
        assert!(drawn.len() > 90);
        assert!(drawn.iter().all(|one| *one <= most));
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }
}
