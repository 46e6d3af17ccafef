//! One worker: a thread with its own queue of the subscribers' interface and its own sockets. It moves
//! batches between them and leaves every decision to [`packet`](crate::packet).

use core::net::SocketAddr;
use core::ops::Range;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lns_l2sess::policy::Policies;
use lns_wire::id::{SessionId, TunnelId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

use crate::clock;
use crate::io::queue::ReadBatch;
use crate::io::receive::ReceiveBatch;
use crate::io::send::SendBatch;
use crate::limits::{BATCH, ROUNDS, SERVICE_ADDRESSES};
use crate::memory::NoMemory;
use crate::packet::{
    Batch, Downstream, DownstreamSink, Origin, Reorder, UpstreamSink, expire, upstream,
};
use crate::punt::{Punt, PuntSink};
use crate::shared::{Shared, Taken};
use crate::stats::{DropReason, ThreadCounters, add};
use crate::tables::{AddressTable, Service, Tables};

/// One worker's thread.
pub(crate) struct Worker {
    held: Held,
    hands: Hands,
}

/// What it knows: looked at by the packet, taken anew between batches.
struct Held {
    shared: Shared,
    number: usize,
    addresses: Taken<AddressTable>,
    policies: Taken<Policies>,
}

/// What it alone uses.
struct Hands {
    queue: OwnedFd,
    sockets: Vec<UdpSocket>,
    punts: PuntSink,
    reorder: Reorder,
    downstream: Downstream,
    received: ReceiveBatch,
    read: ReadBatch,
    /// By service address.
    sending: Vec<SendBatch>,
}

/// What there is to do.
struct Ready {
    ended: bool,
    queue: bool,
    /// A bit per socket.
    sockets: u32,
}

/// How often a worker with packets that wait for others looks whether they have waited enough,
/// milliseconds.
const REORDER_TICK: u8 = 10;

impl Worker {
    pub(crate) fn new(
        shared: &Shared,
        number: usize,
        queue: OwnedFd,
        sockets: Vec<UdpSocket>,
        punts: PuntSink,
    ) -> Result<Self, NoMemory> {
        Ok(Self {
            held: Held {
                shared: shared.clone(),
                number,
                addresses: Taken::of(&shared.addresses),
                policies: Taken::of(&shared.policies),
            },
            hands: Hands {
                queue,
                sending: sockets.iter().map(|_| SendBatch::new()).collect(),
                sockets,
                punts,
                reorder: Reorder::new()?,
                downstream: Downstream::default(),
                received: ReceiveBatch::new()?,
                read: ReadBatch::new()?,
            },
        })
    }

    /// Moves packets until the other end of `ended` is closed, or the interface is taken away.
    pub(crate) fn run(&mut self, ended: &UnixStream) {
        let Self { held, hands } = self;
        let stages = Arc::clone(&held.shared.stages);
        let counters = Arc::clone(&held.shared.worker_counters);
        let (Some(stage), Some(counters)) = (stages.get(held.number), counters.get(held.number))
        else {
            return;
        };
        loop {
            let Some(ready) = hands.wait(ended) else {
                continue;
            };
            if ready.ended {
                return;
            }
            stage.advance();
            held.refresh();
            hands.turn(held, &ready, counters);
            stage.advance();
        }
    }
}

impl Held {
    fn refresh(&mut self) {
        self.addresses.refresh(&self.shared.addresses);
        self.policies.refresh(&self.shared.policies);
    }

    /// What the packets of a batch that begins now are judged by.
    fn batch(&self) -> Batch<'_> {
        let Shared {
            tables, classifier, ..
        } = &self.shared;
        Batch::new(
            tables,
            classifier,
            &self.policies,
            self.number,
            clock::now(),
        )
    }
}

impl Hands {
    /// One turn: a bounded number of batches of each socket, then of the queue, so that neither
    /// direction starves the other, nor both the end.
    fn turn(&mut self, held: &Held, ready: &Ready, counters: &ThreadCounters) {
        for at in 0..self.sockets.len() {
            if ready
                .sockets
                .checked_shr(u32::try_from(at).unwrap_or(u32::MAX))
                .unwrap_or(0)
                & 1
                == 1
            {
                self.receive(at, held, counters);
            }
        }
        if ready.queue {
            self.transmit(held, counters);
        }
        if self.reorder.is_waiting() {
            let Self {
                queue,
                punts,
                reorder,
                ..
            } = self;
            let mut sink = Up {
                tables: &held.shared.tables,
                queue,
                punts,
                counters,
            };
            expire(&held.batch(), reorder, &mut sink);
        }
    }

    /// Waits for something to do; `None` when it was interrupted.
    fn wait(&self, ended: &UnixStream) -> Option<Ready> {
        const FIXED: usize = 2;
        let mut descriptors: [_; FIXED + SERVICE_ADDRESSES] = core::array::from_fn(|at| {
            let source = match at.checked_sub(FIXED).map(|at| self.sockets.get(at)) {
                Some(Some(socket)) => socket.as_fd(),
                None if at > 0 => self.queue.as_fd(),
                // Also where there is no socket: those places are cut off below.
                None | Some(None) => ended.as_fd(),
            };
            PollFd::new(source, PollFlags::POLLIN)
        });
        let used = descriptors.get_mut(..self.sockets.len().saturating_add(FIXED))?;
        let timeout = if self.reorder.is_waiting() {
            PollTimeout::from(REORDER_TICK)
        } else {
            PollTimeout::NONE
        };
        poll(used, timeout).ok()?;
        let events = |each: &PollFd<'_>| each.revents().unwrap_or(PollFlags::empty());
        let mut seen = used.iter().map(events);
        let ended = !seen.next()?.is_empty();
        let queue = seen.next()?;
        let mut sockets = 0_u32;
        for (at, seen) in (0_u32..).zip(seen) {
            if !seen.is_empty() {
                sockets |= 1_u32.checked_shl(at).unwrap_or(0);
            }
        }
        let gone = queue.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
        Some(Ready {
            ended: ended || gone,
            queue: queue.contains(PollFlags::POLLIN),
            sockets,
        })
    }

    /// From one socket to the core.
    fn receive(&mut self, at: usize, held: &Held, counters: &ThreadCounters) {
        let Self {
            queue,
            sockets,
            punts,
            reorder,
            received,
            ..
        } = self;
        let (Some(socket), Ok(service)) = (sockets.get(at), u8::try_from(at).map(Service)) else {
            return;
        };
        let mut sink = Up {
            tables: &held.shared.tables,
            queue,
            punts,
            counters,
        };
        for _ in 0..ROUNDS {
            add(&counters.receive_calls, 1);
            // An error is one of an earlier datagram that was sent; asking for it has cleared it.
            let Ok(count) = received.receive(socket) else {
                return;
            };
            let batch = held.batch();
            batch.meet_upstream(received.octets());
            for (datagram, remote) in received.datagrams() {
                match (datagram, remote) {
                    (Some(datagram), Some(remote)) => {
                        let origin = Origin { service, remote };
                        upstream(&batch, reorder, datagram, &origin, &mut sink);
                    }
                    (None, _) => sink.drop(DropReason::TooLarge),
                    (_, None) => sink.drop(DropReason::WrongPeer),
                }
            }
            if count < BATCH {
                return;
            }
        }
    }

    /// From the core to the LACs.
    fn transmit(&mut self, held: &Held, counters: &ThreadCounters) {
        for _ in 0..ROUNDS {
            let more = self.transmit_batch(&held.batch(), &held.addresses, counters);
            self.flush(counters);
            if !more {
                return;
            }
        }
    }

    /// Up to a batch; returns whether there may be more.
    fn transmit_batch(
        &mut self,
        batch: &Batch<'_>,
        addresses: &AddressTable,
        counters: &ThreadCounters,
    ) -> bool {
        let count = self.read.read(&self.queue);
        batch.meet_downstream(addresses, self.read.packets().flatten());
        for number in 0..count {
            if self.sending.iter().any(SendBatch::is_full) {
                self.flush(counters);
            }
            let Self {
                queue,
                downstream,
                read,
                sending,
                ..
            } = self;
            let (start, packet) = read.packet_mut(number);
            let mut sink = Down {
                queue,
                counters,
                sending,
                start,
            };
            match packet {
                Some(packet) => downstream.packet(batch, addresses, packet, &mut sink),
                None => sink.drop(DropReason::TooLarge),
            }
        }
        count == BATCH
    }

    fn flush(&mut self, counters: &ThreadCounters) {
        for (batch, socket) in self.sending.iter_mut().zip(&self.sockets) {
            batch.flush(socket, self.read.octets(), counters);
        }
    }
}

/// Where packets from the LACs go.
struct Up<'a> {
    tables: &'a Tables,
    queue: &'a OwnedFd,
    punts: &'a PuntSink,
    counters: &'a ThreadCounters,
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

    fn drop(&mut self, reason: DropReason) {
        self.counters.count_drop(reason);
    }
}

/// Where packets from the core go.
struct Down<'a> {
    queue: &'a OwnedFd,
    counters: &'a ThreadCounters,
    sending: &'a mut [SendBatch],
    /// Where in the buffer of the batch the packet begins.
    start: usize,
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
