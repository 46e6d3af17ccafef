//! How another table comes to have the same flows: what has changed, as records of a fixed length.
//!
//! A follower says that it follows, takes a whole listing ([`FlowTable::flows`]), and then what has
//! changed since, in order. Each delta says all that there is to say of its flow, so that it does not
//! matter whether the listing had it already. One that is lost (the follower was too slow) is counted:
//! then the follower begins anew, as from there on it may know of flows that have ended.
//!
//! Refreshes of a flow's time by its packets are no deltas of their own; the sweep tells of a flow that
//! lives on when it comes by, at least every two minutes.
//!
//! | octets | what |
//! |---|---|
//! | 0 | version: 1 |
//! | 1 | kind: 1 new, 2 changed, 3 wiped |
//! | 2 | opener: 0 input, 1 output |
//! | 3 | 0 |
//! | 4, 5 | policy |
//! | 6, 7 | 0 |
//! | 8 to 11 | state |
//! | 12 to 15 | epoch |
//! | 16 to 19 | when it was opened, below 2^24 |
//! | 20 to 67 | key |
//!
//! All numbers are big-endian. Of a wiped flow octets 2 to 19 are 0.

use core::fmt;

use super::add::Wanted;
use super::scale::SHARDS;
use super::sync::Relaxed;
use super::{Added, Changed, Flow, FlowTable, Hit, NewFlow, NoMemory};
use crate::key::{Direction, FlowKey};
use crate::policy::{Epoch, PolicyId};
use crate::state::{Seconds, State, Timeouts};
use crate::verdict::Refusal;

/// One change of the flows of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delta {
    /// A flow has come.
    New(Flow),
    /// Its class, its policy or the time of its last packet is another.
    Changed(Flow),
    /// It has ended.
    Wiped(FlowKey),
}

/// How many deltas have been lost since the last fetch. If any: begin anew.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lost(pub u64);

/// What is wrong with octets that should be a delta.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeltaError {
    /// There are not [`Delta::OCTETS`] of them but so many.
    Length(usize),
    /// Another version.
    Version(u8),
    /// No kind has this number.
    Kind(u8),
    /// No direction has this number.
    Opener(u8),
    /// It is wiped, or the octets are always 0, and they are not.
    NotZero,
    /// This is no 24-bit time.
    Opened(u32),
    /// No flow has such a key.
    Key,
}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(octets) => {
                write!(f, "delta: {octets} octets, not {}", Delta::OCTETS)
            }
            Self::Version(version) => write!(f, "delta: version {version}, not {VERSION}"),
            Self::Kind(kind) => write!(f, "delta: there is no kind {kind}"),
            Self::Opener(opener) => write!(f, "delta: there is no direction {opener}"),
            Self::NotZero => f.write_str("delta: octets that must be 0 are not"),
            Self::Opened(seconds) => {
                write!(f, "delta: the time {seconds} is not below 2^24")
            }
            Self::Key => f.write_str("delta: no flow has such a key"),
        }
    }
}

impl core::error::Error for DeltaError {}

const VERSION: u8 = 1;
const NEW: u8 = 1;
const CHANGED: u8 = 2;
const WIPED: u8 = 3;

impl Delta {
    /// The length of an encoded delta.
    pub const OCTETS: usize = 68;

    /// Whose flow it is.
    pub const fn key(&self) -> &FlowKey {
        match self {
            Self::New(flow) | Self::Changed(flow) => &flow.key,
            Self::Wiped(key) => key,
        }
    }

    /// As octets.
    pub fn encode(&self) -> [u8; Self::OCTETS] {
        let (kind, flow) = match self {
            Self::New(flow) => (NEW, Some(flow)),
            Self::Changed(flow) => (CHANGED, Some(flow)),
            Self::Wiped(_) => (WIPED, None),
        };
        let (mut head, mut at) = ([0; 20], 0_usize);
        let mut put = |octets: &[u8]| {
            let places = head.iter_mut().skip(at);
            places
                .zip(octets)
                .for_each(|(place, octet)| *place = *octet);
            at = at.saturating_add(octets.len());
        };
        put(&[VERSION, kind]);
        if let Some(flow) = flow {
            put(&[u8::from(flow.opener == Direction::Output), 0]);
            put(&flow.policy.0.to_be_bytes());
            put(&[0; 2]);
            put(&flow.state.word().to_be_bytes());
            put(&flow.epoch.0.to_be_bytes());
            put(&flow.opened.get().to_be_bytes());
        }
        let mut octets = [0; Self::OCTETS];
        let key = self.key().words();
        let all = head
            .into_iter()
            .chain(key.into_iter().flat_map(u64::to_be_bytes));
        octets
            .iter_mut()
            .zip(all)
            .for_each(|(place, octet)| *place = octet);
        octets
    }

    /// From octets, whoever sent them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(octets: &[u8]) -> Result<Self, DeltaError> {
        let octets: &[u8; Self::OCTETS] = octets
            .try_into()
            .map_err(|_| DeltaError::Length(octets.len()))?;
        let [version, kind, opener, z0, p0, p1, z1, z2, rest @ ..] = *octets;
        let [s0, s1, s2, s3, e0, e1, e2, e3, o0, o1, o2, o3, key @ ..] = rest;
        if version != VERSION {
            return Err(DeltaError::Version(version));
        }
        if [z0, z1, z2] != [0; 3] {
            return Err(DeltaError::NotZero);
        }
        let (words, _) = key.as_chunks::<8>();
        let mut key = [0; FlowKey::WORDS];
        for (word, octets) in key.iter_mut().zip(words) {
            *word = u64::from_be_bytes(*octets);
        }
        let key = FlowKey::checked(key).ok_or(DeltaError::Key)?;
        if kind == WIPED {
            let said = [
                opener, p0, p1, s0, s1, s2, s3, e0, e1, e2, e3, o0, o1, o2, o3,
            ];
            let is_zero = said.iter().all(|octet| *octet == 0);
            return if is_zero {
                Ok(Self::Wiped(key))
            } else {
                Err(DeltaError::NotZero)
            };
        }
        let opener = match opener {
            0 => Direction::Input,
            1 => Direction::Output,
            other => return Err(DeltaError::Opener(other)),
        };
        let seconds = u32::from_be_bytes([o0, o1, o2, o3]);
        if o0 != 0 {
            return Err(DeltaError::Opened(seconds));
        }
        let flow = Flow {
            key,
            state: State::from_word(u32::from_be_bytes([s0, s1, s2, s3])),
            policy: PolicyId(u16::from_be_bytes([p0, p1])),
            epoch: Epoch(u32::from_be_bytes([e0, e1, e2, e3])),
            opener,
            opened: Seconds::new(u64::from(seconds)),
        };
        match kind {
            NEW => Ok(Self::New(flow)),
            CHANGED => Ok(Self::Changed(flow)),
            other => Err(DeltaError::Kind(other)),
        }
    }
}

/// Two clocks, read at the same moment: a flow is as old here as it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clocks {
    /// That of the table that the delta is of.
    pub theirs: Seconds,
    /// That of the table that takes it in.
    pub ours: Seconds,
}

impl Clocks {
    /// What our clock showed when theirs showed that.
    pub const fn translate(self, theirs: Seconds) -> Seconds {
        let difference = self.ours.get().wrapping_sub(self.theirs.get());
        Seconds::new(0).plus(theirs.get()).plus(difference)
    }
}

impl FlowTable {
    /// Begins to keep what changes, or stops. Beginning anew forgets what has not been fetched.
    ///
    /// # Errors
    /// [`NoMemory`] for what is kept, some 100 octets for each of 65,536 deltas; then nobody follows.
    pub fn follow(&self, on: bool) -> Result<(), NoMemory> {
        let mut cells = self.cells.iter();
        let begun =
            cells.try_for_each(|cell| cell.with(&self.records, |shard| shard.news.follow(on)));
        if begun.is_err() {
            self.follow(false)?;
        }
        begun
    }

    /// Moves up to `most` deltas to `out`. Those of one port come in the order in which they happened.
    /// If any were lost, all that were fetched are of no use: [`follow`](Self::follow) anew and list.
    pub fn deltas(&self, out: &mut Vec<Delta>, most: usize) -> Lost {
        let first = usize::try_from(self.fetched.load(Relaxed)).unwrap_or(0);
        let end = out.len().saturating_add(most);
        let mut lost = 0_u64;
        for at in 0..SHARDS {
            let number = first.wrapping_add(at) % SHARDS;
            let Some(cell) = self.cells.get(number) else {
                continue;
            };
            let left = end.saturating_sub(out.len());
            lost =
                lost.saturating_add(cell.with(&self.records, |shard| shard.news.drain(out, left)));
            if left > 0 && out.len() >= end {
                // The others are first the next time.
                let next = u32::try_from(number.wrapping_add(1)).unwrap_or(0);
                self.fetched.store(next, Relaxed);
            }
        }
        Lost(lost)
    }

    /// Takes a change of another table in, or a flow of its listing as [`Delta::New`]. The caller has
    /// put this table's numbers for port, policy and epoch into it; `timeouts` are the policy's.
    ///
    /// # Errors
    /// As those of [`add`](Self::add); nothing has changed.
    pub fn take_in(
        &self,
        delta: &Delta,
        clocks: Clocks,
        timeouts: &Timeouts,
        per_port: u32,
    ) -> Result<(), Refusal> {
        let flow = match delta {
            Delta::New(flow) | Delta::Changed(flow) => flow,
            Delta::Wiped(key) => {
                if let Some(hit) = self.find(key) {
                    self.wipe(&hit);
                }
                return Ok(());
            }
        };
        let state = flow.state.at(clocks.translate(flow.state.seconds()));
        let new = NewFlow {
            state,
            policy: flow.policy,
            epoch: flow.epoch,
            opener: flow.opener,
            timeouts: *timeouts,
        };
        let wanted = Wanted {
            key: &flow.key,
            new: &new,
            opened: clocks.translate(flow.opened),
            per_port,
            now: clocks.ours,
        };
        match self.admit(&wanted)? {
            Added::New { .. } => {}
            Added::Existing(hit) => self.overwrite(hit, &new),
        }
        Ok(())
    }

    /// Makes a flow that is there what its delta says, unless it ends meanwhile.
    fn overwrite(&self, hit: Hit, new: &NewFlow) {
        let mut hit = hit;
        while let Err(Changed::Other(other)) = self.change(&hit, new.state) {
            hit = other;
        }
        if (hit.policy, hit.epoch) != (new.policy, new.epoch) {
            self.adopt(&hit, new.policy, new.epoch);
        }
    }
}
