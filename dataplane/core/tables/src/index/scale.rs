//! The sizes of the index, which a session id is cut into, and how many blocks a node needs.

use lns_wire::id::SessionId;

use super::IndexLimits;

/// Tunnel ids, 0 included.
#[cfg(not(loom))]
pub(super) const TUNNELS: usize = 65_536;
/// Pages of a tunnel.
#[cfg(not(loom))]
pub(super) const PAGES: usize = 64;
/// Entries of an index block.
#[cfg(not(loom))]
pub(super) const PLACES: usize = 1024;

/// Small enough for loom to try every order of events.
#[cfg(loom)]
pub(super) const TUNNELS: usize = 3;
#[cfg(loom)]
pub(super) const PAGES: usize = 2;
#[cfg(loom)]
pub(super) const PLACES: usize = 4;

/// One bit for each page of a tunnel.
pub(super) const ALL_PAGES: u64 = u64::MAX >> (64 - PAGES);

/// A tunnel opens its next page when no page that it has open holds less than this: ids stay hard
/// to guess (a quarter of the page leads nowhere, and which quarter is random) and memory dense.
pub(super) const CROWDED: usize = PLACES / 4 * 3;

/// The page that a session's id falls into.
pub(super) fn page_of(session: SessionId) -> usize {
    usize::from(session.0) / PLACES
}

/// Its place in the page's block.
pub(super) fn place_of(session: SessionId) -> usize {
    usize::from(session.0) % PLACES
}

/// The id of a place in a page.
pub(super) fn session_at(page: usize, place: usize) -> Option<SessionId> {
    u16::try_from(page.checked_mul(PLACES)?.checked_add(place)?)
        .ok()
        .map(SessionId)
}

/// Blocks beyond each tunnel's first: what all sessions, and as many resting ids, fill to three
/// quarters.
pub(super) fn further_blocks(limits: IndexLimits) -> usize {
    let ids = usize::try_from(limits.sessions)
        .unwrap_or(usize::MAX)
        .saturating_mul(2);
    let all_pages = usize::from(limits.tunnels).saturating_mul(PAGES.saturating_sub(1));
    ids.div_ceil(CROWDED.max(1)).min(all_pages)
}

/// All blocks: no tunnel is ever without its first.
pub(super) fn blocks(limits: IndexLimits) -> usize {
    usize::from(limits.tunnels).saturating_add(further_blocks(limits))
}
