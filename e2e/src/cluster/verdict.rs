//! What may be concluded from what the nodes were seen to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

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
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Told {
    /// Sessions with a Start.
    pub(crate) starts: usize,
    /// Sessions with a Stop.
    pub(crate) stops: usize,
    /// Starts and Stops that came more than once, the same each time.
    pub(crate) repeated: usize,
}

/// Counts Starts and Stops. Fails if a Stop has no Start, or if the records of one session do not speak
/// of one session.
pub(crate) fn told(records: &[Entry]) -> Result<Told> {
    let mut sessions: BTreeMap<&str, BTreeMap<&str, Vec<[&str; 2]>>> = BTreeMap::new();
    for record in records {
        let kind = record
            .get("Acct-Status-Type")
            .context("a record without a kind")?;
        if !["Start", "Stop"].contains(&kind) {
            continue;
        }
        let session = record
            .get("Acct-Session-Id")
            .context("a record without a session")?;
        let content =
            ["User-Name", "Framed-IP-Address"].map(|name| record.get(name).unwrap_or_default());
        let kinds = sessions.entry(session).or_default();
        kinds.entry(kind).or_default().push(content);
    }
    let mut told = Told::default();
    for (session, kinds) in &sessions {
        ensure!(
            kinds.contains_key("Start"),
            "the session {session} has a Stop and no Start"
        );
        let contents: BTreeSet<_> = kinds.values().flatten().collect();
        ensure!(
            contents.len() == 1,
            "the records of session {session} are of more than one: {contents:?}"
        );
        told.starts += 1;
        told.stops += usize::from(kinds.contains_key("Stop"));
        told.repeated += kinds.values().map(|times| times.len() - 1).sum::<usize>();
    }
    Ok(told)
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

    #[test]
    fn starts_and_stops_are_paired() {
        let record = |kind: &str, session: &str, user: &str| {
            format!(
                "Thu Nov 26 10:31:32 2026\n\tAcct-Status-Type = {kind}\n\tAcct-Session-Id = \"{session}\"\n\tUser-Name = \"{user}\"\n\n"
            )
        };
        let of = |parts: &[String]| told(&parse(&parts.concat()).unwrap());
        let start = record("Start", "1", "a");
        let told = of(&[start.clone(), start.clone(), record("Start", "2", "b")]);
        let expected = Told {
            starts: 2,
            stops: 0,
            repeated: 1,
        };
        assert_eq!(told.unwrap(), expected);
        assert!(of(&[record("Stop", "1", "a")]).is_err());
        assert!(of(&[start, record("Stop", "1", "b")]).is_err());
    }
}
