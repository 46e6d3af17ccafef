//! Records of accounting as they are kept: from the moment that they are ordered until whoever delivers them
//! needs no other copy. A session that says that servers were told, and the record that tells them, are
//! stored in one go, so that no end of a process loses either.

use core::time::Duration;

use lns_tables::time::Instant;
use lns_wire::radius::AttributeList;
use serde::{Deserialize, Serialize};

use crate::record::{Kept, Record, Status};

/// The form of what is kept.
const FORM: u8 = 1;

/// A record of accounting. `attributes` has no Event-Timestamp.
#[derive(Debug, Deserialize, Serialize)]
struct Account {
    status: u32,
    session: String,
    date: u64,
    realm: Option<String>,
    attributes: Vec<u8>,
}

/// What octets are that were kept.
#[derive(Debug)]
pub enum Read {
    /// This.
    Record(Box<Record>),
    /// Another version's: they wait for it.
    Foreign,
    /// Of no use.
    Useless,
}

/// The octets of a record that is kept under `number`, and what that is: its date never changes again.
/// Now is `now`, and `millis` since 1970.
pub fn keep(record: &mut Record, number: u64, now: Instant, millis: u64) -> Option<Vec<u8>> {
    let date = record.date(now, millis);
    record.kept = Some(Kept { number, date });
    let account = Account {
        status: record.status.number(),
        session: record.session.to_string(),
        date,
        realm: record.realm.as_deref().map(str::to_owned),
        attributes: record.attributes.octets().to_vec(),
    };
    // What grows as it needs refuses nothing.
    postcard::to_extend(&account, vec![FORM]).ok()
}

/// Reads them. `seconds` is now, since 1970.
pub fn read(octets: &[u8], number: u64, now: Instant, seconds: u64) -> Read {
    let Some((&FORM, rest)) = octets.split_first() else {
        return Read::Foreign;
    };
    let Ok(account) = postcard::from_bytes(rest) else {
        return Read::Useless;
    };
    match record(account, number, now, seconds) {
        Some(record) => Read::Record(record),
        None => Read::Useless,
    }
}

fn record(account: Account, number: u64, now: Instant, seconds: u64) -> Option<Box<Record>> {
    let mut all = Status::ALL.iter().copied();
    let status = all.find(|status| status.number() == account.status)?;
    let ago = Duration::from_secs(seconds.saturating_sub(account.date));
    Some(Box::new(Record {
        status,
        session: account.session.into(),
        at: now.ago(ago),
        attributes: AttributeList::from(account.attributes),
        realm: account.realm.map(Into::into),
        kept: Some(Kept {
            number,
            date: account.date,
        }),
    }))
}

/// The key of a record that is kept.
pub fn key(number: u64) -> String {
    format!("a/{number}")
}

/// Under which number a key's record is kept; `None`: it is no key of ours.
pub fn number(key: &str) -> Option<u64> {
    key.strip_prefix("a/")?.parse().ok()
}
