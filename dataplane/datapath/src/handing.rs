//! Packets between the nodes of a cluster: which node is the home of the sessions that have one, and what
//! seals and opens what is handed over to it (spec: cluster, 1 and 3).
//!
//! A session has a home if what becomes of a packet depends on those before it: its policies track, it has
//! a rate, or its LAC wants data numbered. Any other is forwarded where its packets arrive. At first the
//! home of all is the master, so there is one [`Home`] for all.
//!
//! What is handed over is never handed over again: a node that is not its home forwards it if the session
//! needs none, and drops it otherwise. So no two nodes that each take the other for the master send a
//! packet around.
//!
//! Not here: how packets are sealed, and which node has which number. Who starts the workers gives a
//! [`Seal`].

use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

/// Another node of the cluster, by the number that [`Seal`] knows it by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Peer(pub u8);

/// Where sessions that have a home have it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Home {
    /// Here: this node is the master, or alone.
    #[default]
    Here,
    /// At another node, the master.
    Peer(Peer),
    /// Nobody knows where: there is no master.
    Nowhere,
}

/// What is handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handed {
    /// An L2TP data message as it came from a LAC.
    Upstream {
        /// The service address at which it came in.
        local: SocketAddr,
        /// From where it came.
        remote: SocketAddr,
    },
    /// An IP packet for a subscriber.
    Downstream,
}

/// A packet that is sealed: one datagram, or two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Where they go.
    pub to: SocketAddr,
    /// Where in the buffer the first one is.
    pub first: Range<usize>,
    /// How many octets of the spare room the second one has, if there is one.
    pub second: Option<usize>,
}

/// Seals what is handed over. Workers share it.
pub trait Seal: fmt::Debug + Send + Sync {
    /// The room that it needs in front of a packet, octets: [`limits::HANDING_ROOM`](crate::limits) at most.
    fn headroom(&self) -> usize;

    /// The room behind it.
    fn tailroom(&self) -> usize;

    /// Seals a packet for `to`, in place: `buffer` is headroom, packet and tailroom, nothing else. What
    /// does not fit into one datagram goes to `spare`. `None`: there is no way to that node, or not for
    /// this packet. It is called for each packet, so it waits for nobody and allocates nothing.
    fn seal(&self, to: Peer, what: Handed, buffer: &mut [u8], spare: &mut [u8]) -> Option<Sealed>;

    /// What one worker opens datagrams with.
    fn opener(&self) -> Box<dyn Open>;
}

/// Opens what other nodes have sealed, for one worker.
pub trait Open: Send {
    /// Opens a datagram and gives what is in it to `take`, if it is genuine, new and whole. It is called for
    /// each datagram, so it waits for nobody and allocates nothing. What it refuses, it counts.
    fn open(&mut self, datagram: &mut [u8], take: &mut dyn FnMut(Handed, &mut [u8]));
}

/// How packets are handed over.
#[derive(Clone, Debug)]
pub struct HandingConfig {
    /// Where this node takes what others hand over, over UDP.
    pub listen: SocketAddr,
    /// What seals and opens.
    pub seal: Arc<dyn Seal>,
}

/// The home as workers read it, once a batch.
#[derive(Debug, Default)]
pub(crate) struct SharedHome(AtomicU32);

const HERE: u32 = 0;
const NOWHERE: u32 = 1;
const FIRST_PEER: u32 = 2;

impl SharedHome {
    pub(crate) fn set(&self, home: Home) {
        let word = match home {
            Home::Here => HERE,
            Home::Nowhere => NOWHERE,
            Home::Peer(Peer(number)) => FIRST_PEER.saturating_add(number.into()),
        };
        self.0.store(word, Ordering::Release);
    }

    pub(crate) fn get(&self) -> Home {
        match self.0.load(Ordering::Acquire) {
            HERE => Home::Here,
            word => word
                .checked_sub(FIRST_PEER)
                .and_then(|number| u8::try_from(number).ok())
                .map_or(Home::Nowhere, |number| Home::Peer(Peer(number))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_read_as_it_was_set_and_is_here_at_first() {
        let shared = SharedHome::default();
        assert_eq!(shared.get(), Home::Here);
        let peers = (0..=u8::MAX).map(|number| Home::Peer(Peer(number)));
        for home in peers.chain([Home::Nowhere, Home::Here]) {
            shared.set(home);
            assert_eq!(shared.get(), home);
        }
    }
}
