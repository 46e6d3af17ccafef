//! Packets that have come together are met together before the first of them is classified.

use super::Classifier;
use crate::key::{Direction, FlowKey, PortId};
use crate::packet::Packet;

/// A packet that is about to be classified, and where.
#[derive(Clone, Copy, Debug)]
pub struct Coming<'a> {
    /// Whose packet it is.
    pub port: PortId,
    /// Which way it goes.
    pub direction: Direction,
    /// The packet from its IP header on.
    pub packet: &'a [u8],
}

impl Coming<'_> {
    #[inline]
    fn key(self) -> Option<FlowKey> {
        let tuple = Packet::parse(self.packet).ok()?.tuple()?;
        Some(FlowKey::new(self.port, self.direction, &tuple))
    }
}

impl Classifier {
    /// Brings into the cache what the packets of a batch will be looked up in, where there are so many
    /// flows that it is not there already. Each of them may be [`classified`](Self::classify) afterwards
    /// or not: nothing is decided here, and nothing changed. Returns how many of them have a flow, as
    /// [`FlowTable::meet`](crate::FlowTable::meet) does; 0 where there was nothing to do.
    ///
    /// Cost: with few flows one load, and `packets` are not asked for. Else for each packet that of
    /// reading its headers, and two or three cache lines, which come while those of the others do.
    #[inline]
    pub fn meet<'p>(&self, packets: impl IntoIterator<Item = Coming<'p>>) -> usize {
        if self.table().is_large() {
            let keys = packets.into_iter().filter_map(Coming::key);
            self.table().meet(keys)
        } else {
            0
        }
    }
}
