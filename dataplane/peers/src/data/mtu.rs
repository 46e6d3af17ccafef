//! What fits on a path between two members.
//!
//! A packet that does not fit into one frame is sealed in two halves, each a frame of its own, and never
//! in more: with a path of 1,500 octets, packets of up to 2,740 pass, and those of a subscriber have
//! 1,500 at most. Halves of our own instead of IP's fragments: many networks of nodes drop those, they
//! meet in the kernel unauthenticated and by a number of 16 bits that wraps within a second at
//! such rates, and receive queues cannot be chosen by their ports. A path that is smaller than it was said to
//! be is the kernel's to find and to fragment for, as for any datagram.

use core::net::SocketAddr;

use thiserror::Error;

use super::header::OVERHEAD;
use crate::limits::{LARGEST_MTU, SMALLEST_MTU};

/// The longest IP packet that passes between members, octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PathMtu(u16);

/// An MTU that no path between nodes has.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a path MTU is between {SMALLEST_MTU} and {LARGEST_MTU} octets, and not {0}")]
pub struct NoPathMtu(u16);

impl Default for PathMtu {
    /// Ethernet's.
    fn default() -> Self {
        Self(1500)
    }
}

impl PathMtu {
    /// Of so many octets.
    ///
    /// # Errors
    /// No path has that.
    pub fn new(octets: u16) -> Result<Self, NoPathMtu> {
        if !(SMALLEST_MTU..=LARGEST_MTU).contains(&octets) {
            return Err(NoPathMtu(octets));
        }
        Ok(Self(octets))
    }

    /// As a number of octets.
    pub fn octets(self) -> usize {
        self.0.into()
    }

    /// What one frame to this address seals at most, octets.
    pub(super) fn sealed(self, to: SocketAddr) -> usize {
        const UDP: usize = 8;
        let is_v4 = to.ip().to_canonical().is_ipv4();
        let ip = if is_v4 { 20 } else { 40 };
        self.octets()
            .saturating_sub(ip)
            .saturating_sub(UDP + OVERHEAD)
    }
}
