//! How long things last: H, D and what follows from them (rules E1 and E2).
//!
//! Covers the profiles and the relation that makes an election safe: D >= H (1 + rho) + sigma. Nothing
//! here knows what time it is.

use core::time::Duration;

use thiserror::Error;

/// The times of an election, before they are checked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Timing {
    /// H: how long an authority lasts after the send of its last renewal.
    pub hold: Duration,
    /// D: how long a candidate waits after it last saw the record change.
    pub wait: Duration,
    /// How often a holder renews, and a candidate looks.
    pub renew: Duration,
    /// How long a request is waited for. Its outcome is unknown then.
    pub patience: Duration,
    /// The longest time between two looks that leaves no room for a rewound store: nobody stops an API
    /// server, restores its store and starts it again within it.
    pub gap: Duration,
    /// rho: by how much two clocks may differ in rate, in thousandths.
    pub drift: u16,
    /// sigma: how much later than the deadline the gate may still pass something.
    pub grain: Duration,
}

/// Times that fit together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Profile(Timing);

/// Why times do not fit together.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ProfileError {
    /// D < H (1 + rho) + sigma: a candidate would not outwait a holder.
    #[error("a candidate waits for less time than a holder may hold")]
    WaitTooShort,
    /// One lost renewal would end an authority.
    #[error("renewals are more than a third of the holding time apart")]
    RenewTooSlow,
    /// A request that is waited for as long leaves no time for another.
    #[error("a request is waited for as long as an authority lasts")]
    PatienceTooLong,
    /// Looks that come as seldom as promised would count as gaps.
    #[error("a gap is shorter than three renewals")]
    GapTooShort,
}

impl Profile {
    /// H 4 s, D 5 s, renewed each second: a takeover within 5 to 7 seconds.
    pub const DEFAULT: Self = Self(Timing {
        hold: Duration::from_secs(4),
        wait: Duration::from_secs(5),
        renew: Duration::from_secs(1),
        patience: Duration::from_secs(3),
        gap: Duration::from_secs(3),
        drift: 10,
        grain: Duration::from_millis(500),
    });

    /// H 2 s, D 3 s: for API servers that always answer at once.
    pub const FAST: Self = Self(Timing {
        hold: Duration::from_secs(2),
        wait: Duration::from_secs(3),
        renew: Duration::from_millis(300),
        patience: Duration::from_millis(1500),
        gap: Duration::from_secs(1),
        drift: 10,
        grain: Duration::from_millis(500),
    });

    /// H 30 s, D 45 s: for API servers that are far away or overloaded.
    pub const SLOW: Self = Self(Timing {
        hold: Duration::from_secs(30),
        wait: Duration::from_secs(45),
        renew: Duration::from_secs(5),
        patience: Duration::from_secs(20),
        gap: Duration::from_secs(15),
        drift: 10,
        grain: Duration::from_millis(500),
    });

    /// Times of the caller's own.
    ///
    /// # Errors
    /// They do not fit together.
    pub fn new(timing: Timing) -> Result<Self, ProfileError> {
        let outlasts = stretched(timing.hold, timing.drift).saturating_add(timing.grain);
        if timing.wait < outlasts {
            return Err(ProfileError::WaitTooShort);
        }
        if timing.renew.saturating_mul(3) > timing.hold {
            return Err(ProfileError::RenewTooSlow);
        }
        if timing.patience >= timing.hold {
            return Err(ProfileError::PatienceTooLong);
        }
        if timing.gap < timing.renew.saturating_mul(3) {
            return Err(ProfileError::GapTooShort);
        }
        Ok(Self(timing))
    }

    /// The times.
    pub const fn timing(&self) -> Timing {
        self.0
    }

    /// H.
    pub(crate) const fn hold(&self) -> Duration {
        self.0.hold
    }

    /// D.
    pub(crate) const fn wait(&self) -> Duration {
        self.0.wait
    }

    pub(crate) const fn renew(&self) -> Duration {
        self.0.renew
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.0.patience
    }

    pub(crate) const fn gap(&self) -> Duration {
        self.0.gap
    }

    /// After how long without a renewal members are asked for promises: one is late, and there is time
    /// for an answer before H.
    pub(crate) const fn overdue(&self) -> Duration {
        self.0.renew.saturating_mul(2)
    }

    /// How long a member that promises writes nothing, on its own clock. Its length times (1 + rho) is
    /// D at most: a member that forgets it by a restart waits D, and so keeps it.
    pub fn promise(&self) -> Duration {
        shrunk(self.wait(), self.0.drift)
    }

    /// How long a promise is relied upon, from the send of the question, on the clock of who asked.
    pub fn reliance(&self) -> Duration {
        shrunk(self.promise(), self.0.drift)
    }
}

/// `span` x (1 + rho), rounded up.
fn stretched(span: Duration, drift: u16) -> Duration {
    let more = span
        .as_nanos()
        .saturating_mul(u128::from(drift))
        .div_ceil(1000);
    span.saturating_add(nanos(more))
}

/// `span` / (1 + rho), rounded down.
fn shrunk(span: Duration, drift: u16) -> Duration {
    let rate = u128::from(drift).saturating_add(1000);
    let less = span.as_nanos().saturating_mul(1000).checked_div(rate);
    nanos(less.unwrap_or(0))
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_profiles_fit_together() {
        for profile in [Profile::DEFAULT, Profile::FAST, Profile::SLOW] {
            assert_eq!(Profile::new(profile.timing()), Ok(profile));
        }
        let seconds = |profile: Profile| (profile.hold().as_secs(), profile.wait().as_secs());
        assert_eq!(seconds(Profile::DEFAULT), (4, 5));
        assert_eq!(seconds(Profile::FAST), (2, 3));
        assert_eq!(seconds(Profile::SLOW), (30, 45));
    }

    #[test]
    fn times_that_do_not_fit_are_refused_by_name() {
        let with = |change: fn(&mut Timing)| {
            let mut timing = Profile::DEFAULT.timing();
            change(&mut timing);
            Profile::new(timing)
        };
        let short = with(|timing| timing.wait = Duration::from_millis(4539));
        assert_eq!(short, Err(ProfileError::WaitTooShort));
        assert!(with(|timing| timing.wait = Duration::from_millis(4540)).is_ok());
        let slow = with(|timing| timing.renew = Duration::from_millis(1334));
        assert_eq!(slow, Err(ProfileError::RenewTooSlow));
        let patient = with(|timing| timing.patience = timing.hold);
        assert_eq!(patient, Err(ProfileError::PatienceTooLong));
        let gap = with(|timing| timing.gap = Duration::from_millis(2999));
        assert_eq!(gap, Err(ProfileError::GapTooShort));
    }

    proptest! {
        /// On clocks that differ by rho at most: who relies on a promise stops before the promiser
        /// may write, and before one that has restarted may.
        #[test]
        fn a_promise_outlives_who_relies_on_it_and_never_outlives_d(
            hold in 1_u64..100_000,
            more in 0_u64..100_000,
            drift in 0_u16..200,
        ) {
            let hold = Duration::from_millis(hold);
            let timing = Timing {
                hold,
                wait: stretched(hold, drift).saturating_add(Duration::from_millis(more)),
                renew: hold.mul_f64(0.3),
                patience: hold.mul_f64(0.5),
                gap: hold,
                drift,
                grain: Duration::ZERO,
            };
            let profile = Profile::new(timing);
            prop_assert!(profile.is_ok());
            let profile = profile.unwrap_or(Profile::DEFAULT);
            prop_assert!(stretched(profile.reliance(), drift) <= profile.promise());
            prop_assert!(stretched(profile.promise(), drift) <= profile.wait());
            prop_assert!(stretched(profile.hold(), drift) <= profile.wait());
        }
    }
}
