//! Which server a request is given to.

use core::cmp::Reverse;

use crate::client::Client;
use crate::config::LoadBalance;
use crate::ids::Owner;
use crate::request::{Failure, hash};
use crate::server::{Server, ServerKey, Standing};
use crate::trunk::ask::Ask;

/// What choices are compared by; the least is taken.
type Rank = (u8, Reverse<u64>, u32, usize);

impl Client {
    /// The best server for a request.
    pub(super) fn choose(&self, owner: Owner) -> Result<ServerKey, Failure> {
        let ask = self.ask(owner).ok_or(Failure::AllDown)?;
        let realm = self.realm_of(ask);
        let mut best: Option<(Rank, ServerKey)> = None;
        let mut refusal = Failure::NoServer;
        for (position, key) in self.preference.iter().copied().enumerate() {
            let Some(server) = self.servers.get(key) else {
                continue;
            };
            if !serves(server, ask, realm) {
                continue;
            }
            let standing = self.standing(key);
            if standing == Standing::Down {
                refusal = refused(refusal, server.complaint.unwrap_or(Failure::AllDown));
                continue;
            }
            if server.order.first().is_none() && self.is_crowded(server) {
                refusal = refused(refusal, Failure::NoCapacity);
                continue;
            }
            let rank = self.rank_of(ask, key, server, standing, position);
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, key));
            }
        }
        best.map(|(_, key)| key).ok_or(
            if ask.request.server.is_some() && refusal == Failure::NoServer {
                Failure::AllDown
            } else {
                refusal
            },
        )
    }

    /// Another server, or the same one by another connection, where a request that is not answered has
    /// better prospects.
    pub(super) fn better(&self, owner: Owner) -> Option<ServerKey> {
        let ask = self.ask(owner)?;
        let here = ask.server?;
        let at = ask.at?;
        let server = self.servers.get(here)?;
        let sibling = server.order.first();
        if sibling.is_some_and(|(lively, link)| lively.answers && link != at.link.0) {
            return Some(here);
        }
        let fresh = |key: &ServerKey| {
            *key != here && !ask.has_tried(*key) && self.standing(*key) == Standing::Open
        };
        if let Some(other) = self.choose(owner).ok().filter(fresh) {
            return Some(other);
        }
        // A sibling that is answered and merely full has room sooner than a zombie has an answer.
        let zombie = self.links.get(at.link)?.state.is_zombie();
        let full = server.has_full() && server.last_reply > ask.first_sent;
        (zombie && full && !server.gone && !self.is_crowded(server)).then_some(here)
    }

    pub(super) fn standing(&self, key: ServerKey) -> Standing {
        self.servers.get(key).map_or(Standing::Down, |server| {
            server.standing(|| self.can_open(key))
        })
    }

    /// The realm by which a request is sent to servers of its own, if any server names it.
    fn realm_of<'a>(&self, ask: &'a Ask) -> Option<&'a str> {
        let realm = ask.request.realm.as_deref()?;
        let mut servers = self
            .preference
            .iter()
            .filter_map(|key| self.servers.get(*key));
        servers.any(|server| names(server, realm)).then_some(realm)
    }

    fn is_crowded(&self, server: &Server) -> bool {
        u32::try_from(server.backlog.len()).unwrap_or(u32::MAX) >= self.rules.max_backlog
    }

    fn rank_of(
        &self,
        ask: &Ask,
        key: ServerKey,
        server: &Server,
        standing: Standing,
        position: usize,
    ) -> Rank {
        let standing = match standing {
            Standing::Open => 0,
            Standing::Suspect => 1,
            Standing::Full => 2,
            Standing::Zombie | Standing::Down => 3_u8,
        };
        let tried = if ask.has_tried(key) { 2 } else { 0 };
        let (weight, load) = match self.config.balance {
            LoadBalance::FailOver => (0, 0),
            LoadBalance::Balance => (0, server.requests()),
            LoadBalance::KeyedBalance => (weight(ask.request.key, &server.config.name), 0),
        };
        (
            standing.saturating_add(tried),
            Reverse(weight),
            load,
            position,
        )
    }
}

/// The reason that says most.
const fn refused(before: Failure, now: Failure) -> Failure {
    match before {
        Failure::NoServer | Failure::AllDown => now,
        Failure::TimedOut
        | Failure::NoCapacity
        | Failure::TooLarge
        | Failure::DatagramTooLarge
        | Failure::NoMessageAuthenticator
        | Failure::WrongSecret
        | Failure::ProtocolError
        | Failure::Cancelled => before,
    }
}

fn serves(server: &Server, ask: &Ask, realm: Option<&str>) -> bool {
    if let Some(bound) = &ask.request.server {
        return *bound == server.config.name;
    }
    match realm {
        Some(realm) => names(server, realm),
        None => server.config.realms.is_empty(),
    }
}

fn names(server: &Server, realm: &str) -> bool {
    let mut realms = server.config.realms.iter();
    realms.any(|named| named.eq_ignore_ascii_case(realm))
}

/// How much a key is drawn to a server (rendezvous hashing, over FNV-1a and the finish of `SplitMix64`): of
/// all servers the one that draws most, so that one that goes moves no key of another.
fn weight(key: u64, server: &str) -> u64 {
    let hash = hash(server.bytes().chain(key.to_be_bytes()));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
