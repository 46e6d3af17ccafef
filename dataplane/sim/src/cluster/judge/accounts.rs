//! I14: one Start and one Stop of each session, whoever is master; what is told again by another master says the same, no
//! counter goes down, and in the end nothing is missing.

use std::collections::BTreeMap;

use lns_cluster::Epoch;
use lns_node::radius::AccountId;
use lns_radius::delivery::Place;
use lns_radius::record::{Record, Status};
use lns_wire::radius::kind;

use super::{Finding, Invariant, Judge};
use crate::cluster::site::Process;
use crate::cluster::world::World;

/// Who told a record: site, life, mastership, and its place among all that this process told.
type Teller = (usize, u64, Epoch, Place);

/// What was told of the beginning or the end of a session.
#[derive(Debug)]
struct Told {
    by: Teller,
    said: (Option<u64>, Vec<u8>),
}

/// What servers know of a session.
#[derive(Debug, Default)]
struct Account {
    start: Option<Told>,
    stop: Option<Told>,
    octets: u64,
}

#[derive(Debug, Default)]
pub(super) struct Accounts {
    sessions: BTreeMap<Box<str>, Account>,
    /// Nothing is owed of calls of masterships up to this one: somebody took over who could not know of all, or servers
    /// were told that all of them are over.
    excused: u64,
}

impl Accounts {
    /// Nothing is owed of calls of this mastership and of those before.
    pub(super) fn excuse(&mut self, epoch: u64) {
        self.excused = self.excused.max(epoch);
    }

    fn is_excused(&self, id: &str) -> bool {
        epoch(id) <= self.excused
    }

    fn told(&mut self, by: Teller, record: &Record) -> Result<bool, String> {
        if matches!(record.status, Status::On | Status::Off) {
            self.excuse(epoch(&record.session).saturating_sub(1));
            return Ok(false);
        }
        if self.is_excused(&record.session) {
            return Ok(false);
        }
        let account = self.sessions.entry(record.session.clone()).or_default();
        let id = &record.session;
        let octets = octets(record);
        let known = match record.status {
            Status::Start => &mut account.start,
            Status::Stop => &mut account.stop,
            _ => {
                if account.start.is_none() || account.stop.is_some() {
                    return Err(format!(
                        "an Interim of {id} that has not begun, or has ended"
                    ));
                }
                account.count(id, octets)?;
                return Ok(false);
            }
        };
        let said = (
            record.kept.map(|kept| kept.date),
            record.attributes.octets().to_vec(),
        );
        match known {
            Some(known) if known.by == by => Ok(false),
            Some(known) if known.said != said => {
                let (was, is) = (&known.by, &by);
                Err(format!(
                    "{:?} of {id} by {was:?}, and by {is:?}: they differ: {:02x?} and {:02x?}",
                    record.status, known.said, said
                ))
            }
            Some(known) if (known.by.0, known.by.1, known.by.2) == (by.0, by.1, by.2) => Err(
                format!("{:?} of {id} was told twice by {by:?}", record.status),
            ),
            Some(_) => Ok(true),
            None => {
                *known = Some(Told { by, said });
                if record.status == Status::Stop {
                    if account.start.is_none() {
                        return Err(format!("a Stop of {id}, and no Start"));
                    }
                    account.count(id, octets)?;
                }
                Ok(false)
            }
        }
    }
}

impl Account {
    fn count(&mut self, id: &str, octets: u64) -> Result<(), String> {
        if octets < self.octets {
            let before = self.octets;
            return Err(format!("{octets} octets of {id}, and {before} before"));
        }
        self.octets = octets;
        Ok(())
    }
}

/// The mastership in which a call was accepted.
fn epoch(id: &str) -> u64 {
    id.parse::<AccountId>().map_or(0, |id| id.epoch)
}

/// Acct-Input-Octets.
fn octets(record: &Record) -> u64 {
    let mut all = record.attributes.iter();
    let input = all.find(|it| it.kind == kind::ACCT_INPUT_OCTETS);
    let value = input.and_then(|it| <[u8; 4]>::try_from(it.value).ok());
    value.map_or(0, |value| u32::from_be_bytes(value).into())
}

impl World {
    /// A record reaches the servers.
    pub(in crate::cluster) fn account(&mut self, by: Teller, record: &Record) {
        let now = self.now;
        self.judge.count("records");
        self.remark(|| format!("{:?} of {} by {by:?}", record.status, record.session));
        let told = self.judge.accounts.told(by, record);
        if matches!(told, Ok(true)) {
            self.judge.count("records told again");
        }
        let found: Finding = told.map(drop).map_err(|what| (Invariant::Accounting, what));
        self.judge.note(found, now);
    }

    /// What servers lack, of what the master knows.
    pub(in crate::cluster) fn missing_account(&self, master: usize) -> Option<String> {
        self.plan.radius?;
        let site = &self.sites[master];
        let engine = site.process.as_ref().and_then(Process::engine)?;
        let shown = crate::observe::standby::sessions(&engine.node, site.clock.local(self.now));
        let live: BTreeMap<&str, bool> = shown
            .iter()
            .map(|it| (it.acct_session_id.as_str(), it.stage == lns_node::Stage::Up))
            .collect();
        self.judge.missing_account(&live)
    }
}

impl Judge {
    fn missing_account(&self, live: &BTreeMap<&str, bool>) -> Option<String> {
        let accounts = &self.accounts.sessions;
        let owed = |id: &str| !self.accounts.is_excused(id);
        for (id, account) in accounts.iter().filter(|(id, _)| owed(id)) {
            if account.stop.is_some() && live.contains_key(&**id) {
                return Some(format!("{id} has a Stop, and lives"));
            }
            if account.stop.is_none() && !live.contains_key(&**id) {
                return Some(format!("{id} is gone, and has no Stop"));
            }
        }
        let mut up = live.iter().filter(|(id, is_up)| **is_up && owed(id));
        let without = up.find(|(id, _)| {
            let account = accounts.get(**id);
            account.is_none_or(|account| account.start.is_none())
        });
        without.map(|(id, _)| format!("{id} is up, and has no Start"))
    }
}

#[cfg(test)]
mod tests {
    use lns_radius::record::Kept;
    use lns_tables::time::Instant;
    use lns_wire::radius::AttributeList;

    use super::*;

    const EPOCH: u64 = 7;

    fn record(status: Status, octets: u32) -> Record {
        let mut attributes = AttributeList::new();
        attributes.push_u32(kind::ACCT_INPUT_OCTETS, octets);
        let id = AccountId {
            epoch: EPOCH,
            number: 1,
        };
        Record {
            status,
            session: id.to_string().into(),
            at: Instant::ZERO,
            attributes,
            realm: None,
            kept: Some(Kept { number: 1, date: 1 }),
        }
    }

    fn by(site: usize, place: u64) -> Teller {
        (site, 1, Epoch::NONE, Place(place))
    }

    /// Accounts that have heard of a Start and an Interim.
    fn accounts() -> Accounts {
        let mut accounts = Accounts::default();
        assert_eq!(
            accounts.told(by(0, 1), &record(Status::Start, 0)),
            Ok(false)
        );
        assert_eq!(
            accounts.told(by(0, 2), &record(Status::Interim, 100)),
            Ok(false)
        );
        accounts
    }

    #[test]
    fn what_is_told_twice_or_says_less_is_i14() {
        // Sent again, and told again by the next master.
        let stop = record(Status::Stop, 100);
        let mut heard = accounts();
        assert_eq!(heard.told(by(0, 3), &stop), Ok(false));
        assert_eq!(heard.told(by(0, 3), &stop), Ok(false));
        assert_eq!(heard.told(by(1, 1), &stop), Ok(true));
        heard.told(by(0, 4), &stop).unwrap_err();
        heard
            .told(by(1, 2), &record(Status::Stop, 101))
            .unwrap_err();
        heard
            .told(by(1, 3), &record(Status::Interim, 200))
            .unwrap_err();
        for less in [Status::Interim, Status::Stop] {
            accounts().told(by(1, 1), &record(less, 99)).unwrap_err();
        }
        Accounts::default().told(by(0, 1), &stop).unwrap_err();
    }

    #[test]
    fn nothing_is_owed_of_what_nobody_could_know() {
        let mut accounts = accounts();
        accounts.excuse(EPOCH - 1);
        accounts
            .told(by(1, 1), &record(Status::Stop, 1))
            .unwrap_err();
        accounts.excuse(EPOCH);
        assert_eq!(accounts.told(by(1, 1), &record(Status::Stop, 1)), Ok(false));
    }
}
