//! What may be concluded from what the nodes were seen to say.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use super::capture::Sighting;
use super::network::Place;
use crate::radius::Entry;

/// Who spoke in the cluster's name, and from when to when: each time that somebody else begins is one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reign {
    /// Who.
    pub(crate) place: Place,
    /// The first word.
    pub(crate) from: SystemTime,
    /// The last one.
    pub(crate) to: SystemTime,
}

/// The reigns of a run, in the order of time. Where two speak at once, these are very many.
pub(crate) fn reigns(sightings: &[Sighting]) -> Vec<Reign> {
    let mut reigns: Vec<Reign> = Vec::new();
    for sighting in sightings
        .iter()
        .filter(|sighting| sighting.said.needs_authority())
    {
        match reigns.last_mut() {
            Some(last) if last.place == sighting.place => last.to = sighting.at,
            _ => reigns.push(Reign {
                place: sighting.place,
                from: sighting.at,
                to: sighting.at,
            }),
        }
    }
    reigns
}

/// Fails unless never more than one spoke at once, with no more changes than `changes`.
pub(crate) fn one_at_a_time(sightings: &[Sighting], changes: usize) -> Result<()> {
    let reigns = reigns(sightings);
    ensure!(
        reigns.len() <= changes + 1,
        "the master changed more often than {changes} times: {}",
        shown(&reigns)
    );
    Ok(())
}

/// The longest time in which nobody spoke between two masters.
pub(crate) fn interregnum(sightings: &[Sighting]) -> Duration {
    silences(sightings).into_iter().max().unwrap_or_default()
}

/// Each time in which nobody spoke between two masters.
pub(crate) fn silences(sightings: &[Sighting]) -> Vec<Duration> {
    let reigns = reigns(sightings);
    let pairs = reigns.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        after.from.duration_since(before.to).ok()
    });
    pairs.collect()
}

/// Fails if a node said after `since` what needs authority.
pub(crate) fn silent(sightings: &[Sighting], place: Place, since: SystemTime) -> Result<()> {
    let word = sightings.iter().find(|sighting| {
        sighting.place == place && sighting.at > since && sighting.said.needs_authority()
    });
    ensure!(
        word.is_none(),
        "{} speaks in the cluster's name though its authority has ended: {word:?}",
        place.name()
    );
    Ok(())
}

fn shown(reigns: &[Reign]) -> String {
    let begin = reigns.first().map_or(SystemTime::UNIX_EPOCH, |it| it.from);
    let at = |time: SystemTime| time.duration_since(begin).unwrap_or_default().as_secs_f64();
    let one = |reign: &Reign| {
        format!(
            "{} {:.2}-{:.2} s",
            reign.place.name(),
            at(reign.from),
            at(reign.to)
        )
    };
    let all: Vec<_> = reigns.iter().take(20).map(one).collect();
    format!("{} ({} in all)", all.join(", "), reigns.len())
}

/// What FreeRADIUS was told of sessions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Told {
    /// Sessions with a Start.
    pub(crate) starts: usize,
    /// Sessions with a Stop.
    pub(crate) stops: usize,
    /// Records that came more than once, the same each time.
    pub(crate) repeated: usize,
}

/// What accounting has told, session by session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    sessions: BTreeMap<String, Session>,
}

/// What accounting has told of one session.
#[derive(Clone, Debug, Default)]
struct Session {
    user: String,
    address: String,
    /// The Start and the Stop, each as it came first.
    ends: [Option<Record>; 2],
    /// The last record in between.
    last: Option<Record>,
    repeated: usize,
}

/// What a record says beside whose it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Record {
    at: String,
    seconds: u64,
    octets: Octets,
}

/// Octets from a subscriber, and to him.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Octets {
    /// From him (Acct-Input-Octets).
    pub(crate) up: u64,
    /// To him (Acct-Output-Octets).
    pub(crate) down: u64,
}

impl Ledger {
    /// Takes records in, in the order in which they came. Fails if a record is of no session that began,
    /// if those of one session do not speak of one session, if a record comes again and says something
    /// else, or if counters go down.
    pub(crate) fn add(&mut self, records: &[Entry]) -> Result<()> {
        for record in records {
            let kind = record
                .get("Acct-Status-Type")
                .context("a record without a kind")?;
            if ["Start", "Interim-Update", "Stop"].contains(&kind) {
                let id = record
                    .get("Acct-Session-Id")
                    .context("a record without a session")?;
                let session = self.sessions.entry(id.to_owned()).or_default();
                session
                    .add(kind, record)
                    .with_context(|| format!("session {id}, {kind}"))?;
            }
        }
        Ok(())
    }

    /// How many sessions have begun and ended.
    pub(crate) fn told(&self) -> Told {
        let all = self.sessions.values();
        let with = |end: usize| {
            let has = move |session: &&Session| session.ends.get(end).is_some_and(Option::is_some);
            all.clone().filter(has).count()
        };
        Told {
            starts: with(0),
            stops: with(1),
            repeated: all.clone().map(|session| session.repeated).sum(),
        }
    }

    /// Sessions with a Start and without a Stop, whoever's user is not one of those who go on: their users and ids.
    pub(crate) fn open(&self, goes_on: impl Fn(&str) -> bool) -> Vec<String> {
        let open = |(_, session): &(&String, &Session)| {
            let [start, stop] = &session.ends;
            start.is_some() && stop.is_none() && !goes_on(&session.user)
        };
        let name = |(id, session): (&String, &Session)| format!("{} ({id})", session.user);
        self.sessions.iter().filter(open).map(name).collect()
    }

    /// What a user's session was told to have moved last, and whether that was in a record in between.
    pub(crate) fn octets(&self, user: &str) -> Option<(Octets, bool)> {
        let mut all = self.sessions.values();
        let session = all.find(|session| session.user == user)?;
        let [_, stop] = &session.ends;
        let record = stop.as_ref().or(session.last.as_ref())?;
        Some((record.octets, stop.is_none()))
    }
}

impl Session {
    fn add(&mut self, kind: &str, entry: &Entry) -> Result<()> {
        let text = |name| entry.get(name).unwrap_or_default().to_owned();
        let (user, address) = (text("User-Name"), text("Framed-IP-Address"));
        let record = Record {
            at: text("Event-Timestamp"),
            seconds: entry.number("Acct-Session-Time").unwrap_or_default(),
            octets: Octets {
                up: entry.octets("Input").unwrap_or_default(),
                down: entry.octets("Output").unwrap_or_default(),
            },
        };
        let is_start = kind == "Start";
        let [start, stop] = &mut self.ends;
        if start.is_none() {
            ensure!(is_start, "there was no Start");
            (self.user, self.address) = (user, address);
            *start = Some(record);
            return Ok(());
        }
        ensure!(
            (&user, &address) == (&self.user, &self.address),
            "it was {} at {}, and is {user} at {address}",
            self.user,
            self.address
        );
        let known = match kind {
            "Start" => start,
            "Stop" => stop,
            _ => &mut self.last,
        };
        let is_end = kind != "Interim-Update";
        match known {
            Some(first) if *first == record => {
                self.repeated += 1;
                return Ok(());
            }
            Some(first) if is_end => bail!("it came again as {record:?} behind {first:?}"),
            Some(_) | None => {}
        }
        let before = self.last.as_ref().map_or(Octets::default(), |it| it.octets);
        ensure!(
            before.up <= record.octets.up && before.down <= record.octets.down,
            "counters go down, from {before:?} to {record:?}"
        );
        if kind == "Stop" {
            self.ends[1] = Some(record);
        } else {
            self.last = Some(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::capture::Said;
    use super::*;
    use crate::radius::parse;

    fn seen(words: &[(u64, usize, Said)]) -> Vec<Sighting> {
        words
            .iter()
            .map(|&(second, place, said)| Sighting {
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
                place: Place(place),
                said,
            })
            .collect()
    }

    #[test]
    fn masters_follow_each_other_and_members_echo() {
        let run = seen(&[
            (1, 0, Said::Control),
            (2, 1, Said::Echo),
            (3, 0, Said::Radius(1812)),
            (9, 1, Said::Answer),
            (10, 0, Said::Serving),
        ]);
        one_at_a_time(&run, 1).unwrap();
        assert_eq!(interregnum(&run), Duration::from_secs(6));
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(4);
        silent(&run, Place(0), end).unwrap();
    }

    #[test]
    fn a_zombie_is_found() {
        let run = seen(&[
            (1, 0, Said::Control),
            (9, 1, Said::Control),
            (10, 0, Said::Control),
            (11, 1, Said::Control),
        ]);
        assert!(one_at_a_time(&run, 1).is_err());
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        assert!(silent(&run, Place(0), end).is_err());
    }

    fn record(kind: &str, session: &str, user: &str, more: &str) -> String {
        format!(
            "Thu Nov 26 10:31:32 2026\n\tAcct-Status-Type = {kind}\n\tAcct-Session-Id = \"{session}\"\n\tUser-Name = \"{user}\"\n{more}\n"
        )
    }

    fn ledger(parts: &[String]) -> Result<Ledger> {
        let mut ledger = Ledger::default();
        ledger.add(&parse(&parts.concat())?)?;
        Ok(ledger)
    }

    #[test]
    fn starts_and_stops_are_paired() {
        let record = |kind, session, user| record(kind, session, user, "");
        let start = record("Start", "1", "a");
        let stop = record("Stop", "1", "a");
        let told = ledger(&[start.clone(), start.clone(), record("Start", "2", "b")]);
        let expected = Told {
            starts: 2,
            stops: 0,
            repeated: 1,
        };
        assert_eq!(told.unwrap().told(), expected);
        let told = ledger(&[start.clone(), stop.clone(), stop.clone()]).unwrap();
        assert_eq!((told.told().stops, told.told().repeated), (1, 1));
        assert!(ledger(&[stop]).is_err());
        assert!(ledger(&[start, record("Stop", "1", "b")]).is_err());
    }

    #[test]
    fn counters_do_not_go_down_and_what_comes_again_is_the_same() {
        let octets = |kind, up, down| {
            let more = format!("\tAcct-Input-Octets = {up}\n\tAcct-Output-Octets = {down}\n");
            record(kind, "1", "a", &more)
        };
        let start = octets("Start", 0, 0);
        let interim = octets("Interim-Update", 10, 20);
        let told = ledger(&[start.clone(), interim.clone(), octets("Stop", 10, 30)]).unwrap();
        let last = Octets { up: 10, down: 30 };
        assert_eq!(told.octets("a"), Some((last, false)));
        let told = ledger(&[start.clone(), interim.clone(), interim.clone()]).unwrap();
        assert_eq!(
            told.octets("a").map(|(_, in_between)| in_between),
            Some(true)
        );
        assert_eq!(told.told().repeated, 1);
        for less in [octets("Stop", 9, 30), octets("Interim-Update", 10, 19)] {
            assert!(ledger(&[start.clone(), interim.clone(), less]).is_err());
        }
        let stops = [octets("Stop", 10, 30), octets("Stop", 10, 31)];
        assert!(ledger(&[vec![start], stops.to_vec()].concat()).is_err());
    }
}
