//! The answers that are kept for requests that come again.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lns_crypto::radius::Authenticator;
use lns_tables::time::Instant;
use lns_wire::radius::{Id, Packet};

use super::{ABANDONED, CACHE, CLEANUP};

/// What makes two datagrams one request (RFC 5080, 2.2.2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    source: SocketAddr,
    code: u8,
    pub(super) id: Id,
    pub(super) authenticator: Authenticator,
}

/// Whether a request has been seen.
#[derive(Debug)]
pub(super) enum Seen {
    New,
    UnderWay,
    Answered(Arc<[u8]>),
    Full,
}

#[derive(Debug)]
struct Entry {
    expires: Instant,
    /// `None`: the node has not answered.
    octets: Option<Arc<[u8]>>,
}

/// Requests and their answers, no more than [`CACHE`].
#[derive(Debug)]
pub(super) struct Cache {
    entries: BTreeMap<Key, Entry>,
    /// When an entry may go, in the order of time for each of the two delays. Both have an entry's key at
    /// most once.
    under_way: VecDeque<(Instant, Key)>,
    answered: VecDeque<(Instant, Key)>,
}

impl Key {
    pub(super) const fn new(source: SocketAddr, packet: &Packet<'_>) -> Self {
        Self {
            source,
            code: packet.code.0,
            id: packet.id,
            authenticator: packet.authenticator,
        }
    }
}

impl Cache {
    pub(super) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            under_way: VecDeque::new(),
            answered: VecDeque::new(),
        }
    }

    /// Looks a request up, and notes a new one.
    pub(super) fn see(&mut self, key: &Key, now: Instant) -> Seen {
        self.clean(now);
        if let Some(entry) = self.entries.get(key) {
            let answered = entry.octets.as_ref().map(Arc::clone);
            return answered.map_or(Seen::UnderWay, Seen::Answered);
        }
        if self.entries.len() >= CACHE {
            return Seen::Full;
        }
        let expires = now + ABANDONED;
        let octets = None;
        self.entries.insert(*key, Entry { expires, octets });
        self.under_way.push_back((expires, *key));
        Seen::New
    }

    pub(super) fn answer(&mut self, key: Key, octets: Arc<[u8]>, now: Instant) {
        // One that was abandoned and is there no more comes too late to be kept.
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.expires = now + CLEANUP;
        entry.octets = Some(octets);
        self.answered.push_back((entry.expires, key));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing that would never go.
    #[cfg(test)]
    pub(super) fn is_tidy(&self) -> bool {
        let queued = |key: &Key| {
            let mut all = self.under_way.iter().chain(&self.answered);
            all.any(|(_, other)| other == key)
        };
        self.entries.keys().all(queued)
    }

    fn clean(&mut self, now: Instant) {
        for queue in [&mut self.under_way, &mut self.answered] {
            while let Some((at, key)) = queue.front().copied() {
                if at > now {
                    break;
                }
                queue.pop_front();
                let is_over = |entry: &Entry| entry.expires <= now;
                if self.entries.get(&key).is_some_and(is_over) {
                    self.entries.remove(&key);
                }
            }
        }
    }
}
