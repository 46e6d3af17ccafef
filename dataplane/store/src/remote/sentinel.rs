//! Who is master, as the Sentinels have it.
//!
//! All are asked at once and the answer of the latest configuration counts: one that was cut off goes on
//! naming the master of before. What they say is a hint; whether the server is a master, it says itself.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use redis::{ServerError, Value, cmd};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{Address, Target};
use crate::error::Reason;
use crate::remote::dial::{Dialer, within};

/// What a Sentinel says.
#[derive(Debug, Eq, PartialEq)]
struct Word {
    /// Grows with each failover.
    config_epoch: u64,
    master: Address,
}

/// Where the server is: as it is configured, or as the Sentinels say.
///
/// # Errors
/// No Sentinel knows.
pub(crate) async fn resolve(dialer: &Arc<Dialer>) -> Result<Address, Reason> {
    let (name, sentinels) = match &dialer.config.target {
        Target::Server(endpoint) => return Ok(endpoint.address.clone()),
        Target::Sentinel {
            master, sentinels, ..
        } => (master, sentinels),
    };
    let mut asked = JoinSet::new();
    for address in sentinels {
        let (dialer, name, address) = (Arc::clone(dialer), name.clone(), address.clone());
        asked.spawn(async move {
            let limit = dialer.config.timing.call;
            within(limit, &address, ask(&dialer, &address, &name)).await
        });
    }
    let mut best: Option<Word> = None;
    let mut last = Reason::NoSentinel("none is configured".into());
    while let Some(heard) = asked.join_next().await {
        match heard {
            Ok(Ok(word))
                if best
                    .as_ref()
                    .is_none_or(|best| word.config_epoch > best.config_epoch) =>
            {
                best = Some(word);
            }
            Ok(Ok(_)) => {}
            // Of one that answers more is to be learnt than of one that does not.
            Ok(Err(reason)) if matches!(last, Reason::UnknownMaster(_)) => drop(reason),
            Ok(Err(reason @ Reason::UnknownMaster(_))) => last = reason,
            Ok(Err(reason)) => last = Reason::NoSentinel(reason.to_string().into()),
            Err(error) => last = Reason::NoSentinel(error.to_string().into()),
        }
    }
    best.map(|best| best.master).ok_or(last)
}

/// Ends when the Sentinels name another master than `address`. Where there are none it never does.
pub(crate) async fn watch(dialer: Arc<Dialer>, address: Address) -> Reason {
    let every = dialer.config.timing.watch;
    loop {
        sleep(every.max(Duration::from_millis(1))).await;
        match resolve(&dialer).await {
            Ok(named) if named != address => {
                return Reason::Changed {
                    address: address.to_string().into(),
                    why: "the Sentinels name another master",
                };
            }
            // Without a Sentinel the connection is as good as before.
            Ok(_) | Err(_) => {}
        }
    }
}

async fn ask(dialer: &Dialer, address: &Address, name: &str) -> Result<Word, Reason> {
    let mut connection = dialer.dial(address).await?;
    let mut question = cmd("SENTINEL");
    question.arg("MASTER").arg(name);
    let mut answer = connection.ask(&question, None).await?;
    // Most Sentinels have no password, and those that have may have another one than the servers.
    if matches!(&answer, Err(error) if error.code() == "NOAUTH") {
        dialer.authenticate(&mut connection).await?;
        answer = connection.ask(&question, None).await?;
    }
    match answer {
        Ok(value) => word(value).ok_or_else(|| Reason::Strange {
            address: connection.address.clone(),
            text: "SENTINEL MASTER without an address".into(),
        }),
        Err(error) if is_unknown(&error) => Err(Reason::UnknownMaster(name.into())),
        Err(error) => Err(dialer.denied(&connection, &error)),
    }
}

fn is_unknown(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    details.starts_with("No such master")
}

fn word(value: Value) -> Option<Word> {
    let fields: BTreeMap<String, String> = redis::from_redis_value(value).ok()?;
    let host = fields.get("ip").filter(|host| !host.is_empty())?;
    Some(Word {
        config_epoch: fields.get("config-epoch")?.parse().ok()?,
        master: Address::Tcp {
            host: host.as_str().into(),
            port: fields.get("port")?.parse().ok()?,
        },
    })
}
