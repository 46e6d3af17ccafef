//! What must hold of a cluster at any time, judged from outside: by what the Lease and the store were made to say, what
//! members promised, until when gates are open, and what leaves through them.
//!
//! | part | invariants |
//! |---|---|
//! | [`masters`] | I1 one master, I2 epochs grow, I3 the store's fence, I4 nobody speaks longer than it may |
//! | [`wire`] | I10: what LACs are told, over any number of takeovers |
//! | [`tables`] | I6 addresses, I7 ids, I9 members and master, I14 names of calls |
//! | [`lines`] | I5: who is up stays up |
//! | [`accounts`] | I14: what RADIUS servers are told |
//! | [`look`] | when what is looked at, and what is missing once all was healed |

mod accounts;
mod lines;
mod look;
mod masters;
mod tables;
mod wire;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_cluster::Epoch;
use lns_tables::time::Instant;
use lns_wire::l2tp::ControlHeader;

use self::accounts::Accounts;
use self::lines::Lines;
use self::masters::Masters;
use self::tables::Tables;
use self::wire::Wire;
use super::plan::{Act, Kind, Plan};

/// What must hold.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Invariant {
    /// At any instant control of one epoch leaves at most.
    OneMaster,
    /// Epochs grow.
    Epochs,
    /// Nothing is stored in an epoch after a later one was claimed and replicas knew.
    StoreFence,
    /// Nobody speaks for longer than it has authority.
    Authority,
    /// Who is up survives one fault.
    Survival,
    /// No two sessions have an address, at any member that forwards.
    Addresses,
    /// Nor ids.
    Ids,
    /// Members have what the master has.
    Standby,
    /// Control messages: once, in order, equal repeats.
    Delivery,
    /// What waits for the store leaves when it is stored.
    Commit,
    /// The name of a call is never another call's; one Start and one Stop, repeats are equal, no counter goes down.
    Accounting,
    /// Nothing comes in a state that does not know it; nothing grows beyond its bound.
    Bounds,
    /// All is well once all was healed.
    Liveness,
    /// Nobody panics.
    Panic,
}

impl Invariant {
    /// Its number.
    pub const fn number(self) -> &'static str {
        match self {
            Self::OneMaster => "I1",
            Self::Epochs => "I2",
            Self::StoreFence => "I3",
            Self::Authority => "I4",
            Self::Survival => "I5",
            Self::Addresses => "I6",
            Self::Ids => "I7",
            Self::Standby => "I9",
            Self::Delivery => "I10",
            Self::Commit => "output commit",
            Self::Accounting => "I14",
            Self::Bounds => "I16",
            Self::Liveness => "liveness",
            Self::Panic => "panic",
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, on the world's clock.
    pub at: Instant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_millis();
        let (seconds, rest) = (millis / 1_000, millis % 1_000);
        let number = self.invariant.number();
        write!(f, "at {seconds}.{rest:03} s: {number}: {}", self.what)
    }
}

/// What one part has found.
type Finding = Result<(), (Invariant, String)>;

/// All that judges.
#[derive(Debug)]
pub(super) struct Judge {
    first: Option<Violation>,
    hash: u64,
    kind: Kind,
    masters: Masters,
    wire: Wire,
    tables: Tables,
    lines: Lines,
    accounts: Accounts,
    /// Data of the store was lost that nobody has written again.
    is_lost: bool,
    /// Until then nobody knows which ids and addresses are held: somebody took over without knowing all.
    uncertain: Instant,
    /// For so long after that.
    lasts: Duration,
    /// What has happened, by kind.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// FNV-1a, 64 bits.
const START: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Judge {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            first: None,
            hash: START,
            kind: plan.kind,
            masters: Masters::new(plan),
            wire: Wire::default(),
            tables: Tables::default(),
            lines: Lines::default(),
            accounts: Accounts::default(),
            is_lost: false,
            uncertain: Instant::ZERO,
            lasts: plan.times().outlasts().mul_f64(1.02) + Duration::from_secs(10),
            counts: BTreeMap::new(),
        }
    }

    pub(super) const fn violation(&self) -> Option<&Violation> {
        self.first.as_ref()
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Masterships that there were.
    pub(super) const fn failovers(&self) -> u64 {
        self.masters.failovers()
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn report(&mut self, invariant: Invariant, what: String, at: Instant) {
        self.note(Err((invariant, what)), at);
    }

    fn note(&mut self, found: Finding, at: Instant) {
        if let (Err((invariant, what)), None) = (found, &self.first) {
            self.first = Some(Violation {
                invariant,
                at,
                what,
            });
        }
    }

    pub(super) const fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(PRIME);
        self.hash ^= self.hash >> 29;
    }

    pub(super) fn mix_octets(&mut self, now: Instant, octets: &[u8]) {
        self.mix(now.as_nanos());
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// Something befalls somebody.
    pub(super) fn act(&mut self, act: &Act, now: Instant) {
        self.mix(now.as_nanos());
        let name = match act {
            Act::Kill(..) => "kills",
            Act::Reboot(..) => "reboots",
            Act::Pause(..) => "pauses",
            Act::StepDown(_) => "switchovers",
            Act::Aside(..) => "sites that stand aside",
            Act::Leave(..) => "stops",
            Act::KillAll(_) => "kills of all",
            Act::ApiAway(_) | Act::ApiCut(..) => "API outages",
            Act::Delete
            | Act::Empty
            | Act::Unnumber
            | Act::Unlist
            | Act::Name(_)
            | Act::Restore => "edits of the Lease",
            Act::Save => "saves",
            Act::Rewind => "rewinds",
            Act::StoreAway(_) | Act::StoreCut(..) | Act::StoreSlow(..) => "store outages",
            Act::FailOver(_) => "store failovers",
            Act::RadiusAway(_) => "RADIUS outages",
            Act::Flush => "flushes",
            Act::PeerCut(..) | Act::Isolate(..) | Act::RouterCut(..) => "cuts",
            Act::Restart(_) => "LAC restarts",
            Act::Redial(..) => "redials",
            Act::Packets(_) => "packets",
        };
        self.count(name);
    }

    // The store's data.

    pub(super) const fn store_lost(&mut self, has_lost: bool) {
        self.is_lost |= has_lost;
    }

    pub(super) const fn store_has_all(&mut self) {
        self.is_lost = false;
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Somebody goes on who does not know all that others were told.
    pub(super) fn is_uncertain(&mut self, now: Instant) {
        self.count("uncertain takeovers");
        self.uncertain = now + self.lasts;
        self.wire.taint();
        self.lines.forget();
        self.accounts.excuse(self.masters.highest().number());
    }

    pub(super) fn is_certain(&self, now: Instant) -> bool {
        now >= self.uncertain
    }

    // What leaves.

    /// A control message leaves through a gate.
    pub(super) fn control(
        &mut self,
        site: usize,
        to: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        sent: Option<u16>,
        now: Instant,
    ) {
        let found = self.masters.speaks(site, now);
        self.note(found, now);
        let found = self.wire.sends(to, header, body, sent);
        self.note(found, now);
    }

    /// Something leaves a site that only a master says.
    pub(super) fn speaks(&mut self, site: usize, now: Instant) {
        let found = self.masters.speaks(site, now);
        self.note(found, now);
    }

    pub(super) fn claimed(&mut self, epoch: Epoch) {
        self.mix(epoch.number());
        self.count("claims");
    }

    /// A write is stored.
    pub(super) fn stored(&mut self, epoch: Epoch, claimed: Epoch, now: Instant) {
        if epoch < claimed {
            let what = format!(
                "a change of epoch {} is stored after the claim of {}",
                epoch.number(),
                claimed.number()
            );
            self.report(Invariant::StoreFence, what, now);
        }
    }
}
