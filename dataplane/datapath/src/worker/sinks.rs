//! Where packets go from a worker.

use core::net::SocketAddr;
use core::ops::Range;
use std::os::fd::OwnedFd;

use lns_wire::id::{SessionId, TunnelId};
use nix::unistd::write;

use super::outbox::Outbox;
use crate::handing::{Handed, Peer};
use crate::io::send::SendBatch;
use crate::packet::{DownstreamSink, Origin, UpstreamSink};
use crate::punt::{Punt, PuntSink};
use crate::stats::{DropReason, ThreadCounters, add};
use crate::tables::{Service, Tables};

/// Where packets from the LACs go.
pub(super) struct Up<'a> {
    pub(super) tables: &'a Tables,
    pub(super) queue: &'a OwnedFd,
    pub(super) punts: &'a PuntSink,
    pub(super) counters: &'a ThreadCounters,
    /// To other nodes; `None`: nothing goes there from here.
    pub(super) outbox: Option<&'a mut Outbox>,
}

impl Up<'_> {
    fn punt(&self, punt: Punt) {
        if !(self.punts)(punt) {
            self.counters.count_drop(DropReason::ControlQueueFull);
        }
    }

    fn local(&self, origin: &Origin) -> Option<SocketAddr> {
        self.tables.service(origin.service)
    }
}

impl UpstreamSink for Up<'_> {
    fn forward(&mut self, packet: &[u8]) -> bool {
        if write(self.queue, packet).is_ok() {
            add(&self.counters.up_packets, 1);
            add(
                &self.counters.up_octets,
                u64::try_from(packet.len()).unwrap_or(0),
            );
            true
        } else {
            self.counters.count_drop(DropReason::InterfaceError);
            false
        }
    }

    fn control(&mut self, origin: &Origin, datagram: &[u8]) {
        if let Some(local) = self.local(origin) {
            self.punt(Punt::Control {
                local,
                remote: origin.remote,
                octets: datagram.to_vec(),
            });
        }
    }

    fn ppp(&mut self, origin: &Origin, tunnel: TunnelId, session: SessionId, frame: &[u8]) {
        if let Some(local) = self.local(origin) {
            self.punt(Punt::Ppp {
                tunnel,
                session,
                local,
                remote: origin.remote,
                frame: frame.to_vec(),
            });
        }
    }

    fn hand_over(&mut self, to: Peer, origin: &Origin, datagram: &[u8]) {
        let local = self.local(origin);
        let what = local.map(|local| Handed::Upstream {
            local,
            remote: origin.remote,
        });
        if Outbox::put(&mut self.outbox, to, what, datagram, self.counters) {
            add(&self.counters.handed_up, 1);
        }
    }

    fn drop(&mut self, reason: DropReason) {
        self.counters.count_drop(reason);
    }
}

/// Where packets from the core go.
pub(super) struct Down<'a> {
    pub(super) queue: &'a OwnedFd,
    pub(super) counters: &'a ThreadCounters,
    pub(super) sending: &'a mut [SendBatch],
    /// Where in the buffer of the batch the packet begins.
    pub(super) start: usize,
    /// To other nodes; `None`: nothing goes there from here.
    pub(super) outbox: Option<&'a mut Outbox>,
}

impl DownstreamSink for Down<'_> {
    fn send(&mut self, service: Service, remote: SocketAddr, header: &[u8], payload: Range<usize>) {
        let octets =
            self.start.saturating_add(payload.start)..self.start.saturating_add(payload.end);
        let batch = self.sending.get_mut(usize::from(service.0));
        if !batch.is_some_and(|batch| batch.push(remote, header, octets)) {
            self.counters.count_drop(DropReason::SocketFull);
        }
    }

    fn forwarded(&mut self, octets: usize) {
        add(&self.counters.down_packets, 1);
        add(
            &self.counters.down_octets,
            u64::try_from(octets).unwrap_or(0),
        );
    }

    fn hand_over(&mut self, to: Peer, packet: &[u8]) {
        let what = Some(Handed::Downstream);
        if Outbox::put(&mut self.outbox, to, what, packet, self.counters) {
            add(&self.counters.handed_down, 1);
        }
    }

    fn answer(&mut self, packet: &[u8]) {
        match write(self.queue, packet) {
            Ok(_) => add(&self.counters.icmp_sent, 1),
            Err(_) => self.counters.count_drop(DropReason::InterfaceError),
        }
    }

    fn fragmented(&mut self, fragments: usize) {
        add(
            &self.counters.fragments_sent,
            u64::try_from(fragments).unwrap_or(0),
        );
    }

    fn drop(&mut self, reason: DropReason) {
        self.counters.count_drop(reason);
    }
}
