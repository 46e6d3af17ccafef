//! What a worker takes from other nodes: opened, and handled as if it had come in here.

use std::net::UdpSocket;
use std::sync::Arc;

use super::sinks::{Down, Up};
use super::{Hands, Held};
use crate::handing::{Handed, Open, Seal};
use crate::io::send::SendBatch;
use crate::limits::{BATCH, PACKET, ROUNDS};
use crate::memory::{NoMemory, Zeroed};
use crate::packet::{Came, Origin, upstream};
use crate::stats::{DropReason, ThreadCounters, add};

/// A worker's way to other nodes.
pub(crate) struct Handing {
    pub(crate) socket: UdpSocket,
    pub(crate) seal: Arc<dyn Seal>,
}

/// What a worker opens with.
pub(super) struct Taking {
    opener: Box<dyn Open>,
    /// Packets for subscribers, which wait here to be sent: where they were opened another may come.
    down: Zeroed<u8>,
}

impl Taking {
    pub(super) fn new(seal: &dyn Seal) -> Result<Self, NoMemory> {
        Ok(Self {
            opener: seal.opener(),
            down: Zeroed::new(BATCH.saturating_mul(PACKET))?,
        })
    }
}

impl Hands {
    /// From other nodes to the core and to the LACs.
    pub(super) fn take(&mut self, held: &Held, counters: &ThreadCounters) {
        for _ in 0..ROUNDS {
            add(&counters.receive_calls, 1);
            let Self {
                received, outbox, ..
            } = self;
            let Some(outbox) = outbox else {
                return;
            };
            // An error is one of an earlier datagram that was sent; asking for it has cleared it.
            let Ok(count) = received.receive(outbox.socket()) else {
                return;
            };
            self.take_batch(held, counters);
            if count < BATCH {
                return;
            }
        }
    }

    fn take_batch(&mut self, held: &Held, counters: &ThreadCounters) {
        let batch = held.batch(Came::Handed);
        let Self {
            queue,
            sockets,
            punts,
            reorder,
            downstream,
            received,
            sending,
            taking,
            ..
        } = self;
        let Some(Taking { opener, down }) = taking else {
            return;
        };
        let mut waiting = 0_usize;
        for (datagram, _) in received.datagrams() {
            let Some(datagram) = datagram else {
                counters.count_drop(DropReason::TooLarge);
                continue;
            };
            if sending.iter().any(SendBatch::is_full) {
                flush(sending, sockets, down, counters);
                waiting = 0;
            }
            opener.open(datagram, &mut |what, octets| match what {
                Handed::Upstream { local, remote } => {
                    add(&counters.taken_up, 1);
                    let tables = &held.shared.tables;
                    let mut sink = Up {
                        tables,
                        queue,
                        punts,
                        counters,
                        outbox: None,
                    };
                    let is_control = octets.first().is_none_or(|flags| flags & 0x80 != 0);
                    match tables.service_of(local).filter(|_| !is_control) {
                        Some(service) => {
                            let origin = Origin { service, remote };
                            upstream(&batch, reorder, octets, &origin, &mut sink);
                        }
                        None => counters.count_drop(DropReason::WrongPeer),
                    }
                }
                Handed::Downstream => {
                    add(&counters.taken_down, 1);
                    let start = waiting.saturating_mul(PACKET);
                    let end = start.saturating_add(octets.len().min(PACKET));
                    let Some(packet) = down.get_mut(start..end) else {
                        return counters.count_drop(DropReason::TooLarge);
                    };
                    packet.copy_from_slice(octets.get(..packet.len()).unwrap_or_default());
                    let mut sink = Down {
                        queue,
                        counters,
                        sending,
                        start,
                        outbox: None,
                    };
                    downstream.packet(&batch, &held.addresses, packet, &mut sink);
                    waiting = waiting.saturating_add(1);
                }
            });
        }
        flush(sending, sockets, down, counters);
    }
}

fn flush(
    sending: &mut [SendBatch],
    sockets: &[UdpSocket],
    octets: &[u8],
    counters: &ThreadCounters,
) {
    for (batch, socket) in sending.iter_mut().zip(sockets) {
        batch.flush(socket, octets, counters);
    }
}
