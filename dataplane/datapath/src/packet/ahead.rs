//! What a batch of packets will be judged by is brought into the cache before the first one is handled.
//!
//! Nothing is believed and nothing decided here: who forges a packet gets its flow looked up, as it would
//! be. See [`Classifier::meet`](lns_l2sess::Classifier::meet), which says when it is worth its while.

use lns_l2sess::{ChainId, Coming, Direction};
use lns_wire::ip::Ipv4;
use lns_wire::l2tp::Packet;

use super::{Batch, ppp};
use crate::flows::port_of;
use crate::tables::{AddressTable, Found};

impl Batch<'_> {
    /// Looks ahead at datagrams that have come from LACs. Returns how many flows of theirs it has met.
    ///
    /// # Cost
    /// One load where there are few flows. No allocation.
    pub fn meet_upstream<'p>(&self, datagrams: impl IntoIterator<Item = &'p [u8]>) -> usize {
        let coming = datagrams
            .into_iter()
            .filter_map(|datagram| self.of_lac(datagram));
        self.classifier.meet(coming)
    }

    /// The same, at packets that have come from the core.
    pub fn meet_downstream<'p>(
        &self,
        addresses: &AddressTable,
        packets: impl IntoIterator<Item = &'p [u8]>,
    ) -> usize {
        let coming = packets
            .into_iter()
            .filter_map(|packet| self.of_core(addresses, packet));
        self.classifier.meet(coming)
    }

    fn of_lac<'p>(&self, datagram: &'p [u8]) -> Option<Coming<'p>> {
        let Ok(Packet::Data(header, frame)) = Packet::parse(datagram) else {
            return None;
        };
        let found = self.tables.session(header.tunnel, header.session);
        let (protocol, at) = ppp::protocol(frame)?;
        let packet = frame.get(at..).filter(|_| protocol == ppp::IPV4)?;
        self.coming(&found.ok()??, Direction::Input, packet)
    }

    fn of_core<'p>(&self, addresses: &AddressTable, packet: &'p [u8]) -> Option<Coming<'p>> {
        let destination = Ipv4::parse(packet).ok()?.destination();
        let found = self.tables.slot(addresses.lookup(destination)?);
        self.coming(&found.ok()??, Direction::Output, packet)
    }

    /// Nothing is met of what has its flows elsewhere.
    fn coming<'p>(
        &self,
        found: &Found<'_>,
        direction: Direction,
        packet: &'p [u8],
    ) -> Option<Coming<'p>> {
        let is_here = found.view.chain != ChainId::NONE && self.elsewhere(found) == Ok(None);
        is_here.then_some(Coming {
            port: port_of(found.index),
            direction,
            packet,
        })
    }
}
