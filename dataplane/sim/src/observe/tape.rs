//! What was seen: always as one number, and whole where somebody wants to read it.

use core::fmt::{self, Debug, Write};
use core::net::SocketAddr;
use std::collections::VecDeque;

use lns_node::Event;
use lns_tables::path::PathUpdate;
use lns_tables::time::Instant;

/// Which way a datagram went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// Into the node.
    ToNode,
    /// Out of it.
    FromNode,
}

/// One thing that was seen.
#[derive(Clone, Debug)]
pub enum Record {
    /// A datagram, and the other end.
    Datagram(Instant, Way, SocketAddr, Vec<u8>),
    /// An event of the node, as text.
    Event(Instant, String),
}

/// The record of a run.
#[derive(Debug)]
pub struct Tape {
    hash: u64,
    records: Option<Vec<Record>>,
    /// The last datagrams to the node, for whoever says them again.
    recent: VecDeque<(SocketAddr, Vec<u8>)>,
    seen: u64,
}

/// So many of them.
const RECENT: usize = 64;

/// Of so many one is kept.
const ONE_OF: u64 = 5;

/// FNV-1a, 64 bits.
const START: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Tape {
    pub(super) fn new(records: bool) -> Self {
        Self {
            hash: START,
            records: records.then(Vec::new),
            recent: VecDeque::new(),
            seen: 0,
        }
    }

    /// The number of all that was seen: equal for equal runs.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// What was seen, if it was kept.
    pub fn records(&self) -> &[Record] {
        self.records.as_deref().unwrap_or_default()
    }

    /// The `n`-th of the datagrams to the node that were kept, counted around.
    pub(crate) fn recent(&self, n: usize) -> Option<&(SocketAddr, Vec<u8>)> {
        self.recent.get(n.checked_rem(self.recent.len())?)
    }

    pub(super) fn note(&mut self, way: Way, other: SocketAddr, octets: &[u8], now: Instant) {
        self.mix(now.as_nanos() << 1 | u64::from(way == Way::ToNode));
        self.mix_text(&other);
        self.mix_octets(octets);
        self.seen += 1;
        if way == Way::ToNode && self.seen.is_multiple_of(ONE_OF) {
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((other, octets.to_vec()));
        }
        if let Some(records) = &mut self.records {
            records.push(Record::Datagram(now, way, other, octets.to_vec()));
        }
    }

    pub(super) fn event(&mut self, event: &Event, now: Instant) {
        self.mix(now.as_nanos());
        self.mix_text(event);
        if let Some(records) = &mut self.records {
            let mut text = String::new();
            write!(text, "{event:?}").expect("a string takes everything");
            records.push(Record::Event(now, text));
        }
    }

    /// Something that befell the process.
    pub(super) fn remark(&mut self, text: &str, now: Instant) {
        self.mix(now.as_nanos());
        self.mix_octets(text.as_bytes());
        if let Some(records) = &mut self.records {
            records.push(Record::Event(now, text.to_owned()));
        }
    }

    /// An instruction to the workers: it is in the number only, for a log would be too long with it.
    pub(super) fn path(&mut self, update: &PathUpdate, now: Instant) {
        self.mix(now.as_nanos());
        let PathUpdate::SetPolicies { policies } = update else {
            return self.mix_text(update);
        };
        // What they are compiled to says no more.
        for policy in policies.policies() {
            self.mix_text(&policy);
        }
    }

    /// Everything of `what` that its text shows: all fields.
    fn mix_text(&mut self, what: &dyn Debug) {
        write!(Mixer(self), "{what:?}").expect("it takes everything");
    }

    fn mix_octets(&mut self, octets: &[u8]) {
        self.mix(u64::try_from(octets.len()).expect("64 bits"));
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    const fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(PRIME);
        self.hash ^= self.hash >> 29;
    }
}

/// Text on its way into the number, without a string of its own.
struct Mixer<'a>(&'a mut Tape);

impl Write for Mixer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.mix_octets(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lns_tables::path::SlotIndex;
    use lns_wire::id::{SessionId, TunnelId};

    use super::*;

    fn hash(tell: impl FnOnce(&mut Tape)) -> u64 {
        let mut tape = Tape::new(false);
        tell(&mut tape);
        tape.hash()
    }

    #[test]
    fn runs_that_differ_in_a_reason_a_slot_or_an_address_are_told_apart() {
        let now = Instant::from_millis(1);
        let refused = |reason| {
            hash(|tape| {
                let event = Event::LacRefused {
                    remote: SocketAddr::from(([198, 18, 0, 1], 1701)),
                    host_name: "lac".into(),
                    reason,
                };
                tape.event(&event, now);
            })
        };
        let cleared = |slot| {
            hash(|tape| {
                let update = PathUpdate::ClearSession {
                    slot: SlotIndex(slot),
                    tunnel: TunnelId(1),
                    session: SessionId(1),
                };
                tape.path(&update, now);
            })
        };
        let sent = |last| {
            let to = SocketAddr::from(([198, 18, 0, last], 1701));
            hash(|tape| tape.note(Way::FromNode, to, b"1", now))
        };
        assert_eq!(refused("draining"), refused("draining"));
        assert_ne!(refused("draining"), refused("max_tunnels"));
        assert_ne!(cleared(1), cleared(2));
        assert_ne!(sent(1), sent(2));
    }
}
