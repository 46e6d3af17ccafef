//! I5: where one fault comes after the other, whoever is up stays up, in the same call with the same address.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_tables::time::Instant;

use super::{Invariant, Judge};
use crate::cluster::plan::Kind;
use crate::peers::Lac;

/// How long a session has been up that survives: longer than a record is under way to replicas.
const STORED: Duration = Duration::from_secs(2);

/// One line that is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Up {
    ids: (u16, u16),
    address: Ipv4Addr,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    up: BTreeMap<(usize, usize), Up>,
}

impl Lines {
    /// Nobody is owed anything.
    pub(super) fn forget(&mut self) {
        self.up.clear();
    }

    /// Who was up and is not any more.
    fn look(&mut self, number: usize, lac: &Lac, now: Instant) -> Option<String> {
        let mut lost = None;
        for (place, line) in lac.lines().iter().enumerate() {
            let key = (number, place);
            let before = self.up.get(&key).copied();
            let address = line.subscriber().address();
            let (Some(address), true) = (address, line.is_wanted()) else {
                if let Some(before) =
                    before.filter(|it| line.is_wanted() && now - it.since > STORED)
                {
                    lost = Some(format!("line {place} of LAC {number} was {before:?}"));
                }
                self.up.remove(&key);
                continue;
            };
            let is = Up {
                ids: line.ids(),
                address,
                since: now,
            };
            match before {
                Some(before) if (before.ids, before.address) == (is.ids, is.address) => {}
                Some(before) if now - before.since > STORED => {
                    lost = Some(format!(
                        "line {place} of LAC {number} was {before:?} and is {is:?}"
                    ));
                    self.up.insert(key, is);
                }
                Some(_) | None => drop(self.up.insert(key, is)),
            }
        }
        lost
    }
}

impl Judge {
    pub(in crate::cluster) fn look_at_lines(&mut self, lacs: &[Lac], now: Instant) {
        if self.kind != Kind::Single {
            return;
        }
        for (number, lac) in lacs.iter().enumerate() {
            if let Some(what) = self.lines.look(number, lac, now) {
                self.report(Invariant::Survival, what, now);
            }
        }
    }
}
