//! `disconnect`: ends sessions, as fast as allowed, and says how many.

use core::time::Duration;
use std::thread::sleep;
use std::time::Instant;

use super::client::Client;
use super::filter;
use crate::admin::disconnect::{DisconnectOrder, Disconnected};
use crate::cli::{DisconnectArguments, Rate};
use crate::failure::Failure;

/// Sessions per order without a rate: what the other side takes at most.
const AT_ONCE: u32 = 1_000;

/// How often sessions are ended with a rate: ten small steps a second, not one large one.
const STEPS_PER_SECOND: u32 = 10;

/// `lnsd disconnect`
pub(crate) fn disconnect(arguments: &DisconnectArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.state)?;
    let target = &arguments.target;
    let pace = Pace::new(arguments.rate);
    let (mut ended, mut after) = (0, None);
    loop {
        let begun = Instant::now();
        let order = DisconnectOrder {
            user: target.user.clone(),
            session: target.session.map(|session| session.to_string()),
            tunnel: target.tunnel,
            pool: target.pool.clone(),
            limit: usize::try_from(pace.sessions).ok(),
            after,
        };
        let done = client.order("/v1/disconnect", &order)?;
        let done: Disconnected = serde_json::from_value(done).map_err(|error| {
            Failure::failed("lnsd answers what this version does not know", error)
        })?;
        ended += done.disconnected;
        after = done.next;
        if after.is_none() {
            break;
        }
        sleep(pace.interval.saturating_sub(begun.elapsed()));
    }
    if let Some(tunnel) = target.tunnel {
        // One that does not exist was an error above.
        println!("tunnel {tunnel} closed");
        return Ok(());
    }
    if ended == 0 {
        if let Some(pool) = &target.pool {
            filter::known(&client, ("pool", "pools"), pool)?;
        }
        return Err(Failure::Failed(
            "no session matches: `lnsd sessions` shows who is there".to_owned(),
        ));
    }
    println!(
        "{ended} {} disconnected",
        if ended == 1 { "session" } else { "sessions" }
    );
    Ok(())
}

/// So many sessions per order, and so much time for it.
#[derive(Debug, Eq, PartialEq)]
struct Pace {
    sessions: u32,
    interval: Duration,
}

impl Pace {
    fn new(rate: Option<Rate>) -> Self {
        match rate {
            None => Self {
                sessions: AT_ONCE,
                interval: Duration::ZERO,
            },
            // So slow that each session has an order of its own.
            Some(Rate(rate)) if rate < STEPS_PER_SECOND => Self {
                sessions: 1,
                interval: Duration::from_secs(1) / rate.max(1),
            },
            Some(Rate(rate)) => {
                let sessions = (rate / STEPS_PER_SECOND).min(AT_ONCE);
                Self {
                    sessions,
                    interval: Duration::from_secs(1) * sessions / rate,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rate_is_exceeded() {
        for rate in [1, 3, 9, 10, 15, 50, 999, 10_000, 100_000] {
            let pace = Pace::new(Some(Rate(rate)));
            let per_second = f64::from(pace.sessions) / pace.interval.as_secs_f64();
            assert!(per_second <= f64::from(rate) * 1.001, "{rate}: {pace:?}");
            assert!(per_second >= f64::from(rate) * 0.9, "{rate}: {pace:?}");
        }
    }
}
