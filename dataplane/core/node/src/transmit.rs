//! What waits to leave the node: PPP frames, already in their L2TP data message.
//!
//! Control messages wait in their tunnels, which know window and order; PPP frames have neither, so
//! one queue holds those of all sessions. Its buffers are used again, so that a busy node stops
//! allocating.

use core::net::SocketAddr;
use std::collections::VecDeque;

use lns_tables::path::SlotIndex;

use crate::limits;

/// Where one datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// The service address that it leaves from.
    pub local: SocketAddr,
    /// The LAC's end of the tunnel.
    pub remote: SocketAddr,
    /// A data message of a session with sequencing: the worker's Ns goes into it before it leaves.
    pub sequence: Option<Sequence>,
    /// It tells of what must not be forgotten: it leaves when all records that were given out before it
    /// are stored, and not before. Order among those that wait is kept.
    pub waits: bool,
    /// It is no control but answers an LCP echo, which any node does wherever it forwards: it leaves as
    /// data does.
    pub as_data: bool,
}

/// How a data message is numbered (RFC 2661, 5.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sequence {
    /// By the worker's Ns of this slot.
    pub slot: SlotIndex,
    /// So many numbers are left out before it.
    pub skips: u16,
}

/// The queue of PPP frames.
#[derive(Debug, Default)]
pub(crate) struct FrameQueue {
    waiting: VecDeque<(Transmit, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl FrameQueue {
    /// Appends one datagram that `fill` writes. `false`: the queue is full and nothing was done.
    pub(crate) fn push(&mut self, transmit: Transmit, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.waiting.len() >= limits::TRANSMIT_QUEUE {
            return false;
        }
        let mut octets = self.spare.pop().unwrap_or_default();
        octets.clear();
        fill(&mut octets);
        self.waiting.push_back((transmit, octets));
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets all that waits.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes the oldest datagram into `out`.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let (transmit, octets) = self.waiting.pop_front()?;
        let used = core::mem::replace(out, octets);
        if self.spare.len() < limits::SPARE_BUFFERS {
            self.spare.push(used);
        }
        Some(transmit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_keeps_order() {
        let address = SocketAddr::from(([192, 0, 2, 1], 1701));
        let transmit = Transmit {
            local: address,
            remote: address,
            sequence: None,
            waits: false,
            as_data: false,
        };
        let mut queue = FrameQueue::default();
        for n in 0..limits::TRANSMIT_QUEUE {
            assert!(queue.push(transmit, |out| out.extend(n.to_be_bytes())));
        }
        assert!(!queue.push(transmit, |_| unreachable!()));
        let mut out = Vec::new();
        for n in 0..limits::TRANSMIT_QUEUE {
            assert_eq!(queue.pop(&mut out), Some(transmit));
            assert_eq!(out, n.to_be_bytes());
        }
        assert_eq!(queue.pop(&mut out), None);
    }
}
