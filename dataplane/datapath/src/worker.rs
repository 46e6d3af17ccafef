//! One worker: a thread with its own queue of the subscribers' interface and its own sockets. It moves
//! batches between them and leaves every decision to [`packet`](crate::packet).

mod outbox;
mod sinks;
mod taking;

use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lns_l2sess::policy::Policies;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock;
use crate::io::queue::ReadBatch;
use crate::io::receive::ReceiveBatch;
use crate::io::send::SendBatch;
use crate::limits::{BATCH, ROUNDS, SERVICE_ADDRESSES};
use crate::memory::NoMemory;
use crate::packet::{
    Batch, Came, Downstream, DownstreamSink as _, Origin, Reorder, Unknown, UpstreamSink as _,
    expire, upstream,
};
use crate::punt::PuntSink;
use crate::shared::{Shared, Taken};
use crate::stats::{DropReason, ThreadCounters, add};
use crate::tables::{AddressTable, Service};

use self::outbox::Outbox;
use self::sinks::{Down, Up};
pub(crate) use self::taking::Handing;
use self::taking::Taking;

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
    unknown: Unknown,
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
    /// From and to other nodes, if there are any.
    taking: Option<Taking>,
    outbox: Option<Outbox>,
}

/// What there is to do.
struct Ready {
    ended: bool,
    queue: bool,
    peers: bool,
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
        handing: Option<Handing>,
    ) -> Result<Self, NoMemory> {
        let (taking, outbox) = match handing {
            Some(Handing { socket, seal }) => {
                let taking = Taking::new(&*seal)?;
                (Some(taking), Some(Outbox::new(socket, seal)?))
            }
            None => (None, None),
        };
        Ok(Self {
            held: Held {
                shared: shared.clone(),
                number,
                addresses: Taken::of(&shared.addresses),
                policies: Taken::of(&shared.policies),
                unknown: Unknown::default(),
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
                taking,
                outbox,
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
    fn batch(&self, came: Came) -> Batch<'_> {
        let Shared {
            tables,
            classifier,
            home,
            ..
        } = &self.shared;
        let (number, now) = (self.number, clock::now());
        Batch::new(tables, classifier, &self.policies, number, now).with_home(
            home.get(),
            came,
            &self.unknown,
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
        if ready.peers {
            self.take(held, counters);
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
                outbox: None,
            };
            expire(&held.batch(Came::Here), reorder, &mut sink);
        }
    }

    /// Waits for something to do; `None` when it was interrupted.
    fn wait(&self, ended: &UnixStream) -> Option<Ready> {
        const FIXED: usize = 2;
        let peers = self.outbox.as_ref().map(Outbox::socket);
        let mut descriptors: [_; FIXED + SERVICE_ADDRESSES + 1] = core::array::from_fn(|at| {
            let source = match at.checked_sub(FIXED).map(|at| self.sockets.get(at)) {
                Some(Some(socket)) => socket.as_fd(),
                None if at > 0 => self.queue.as_fd(),
                // Also where there is no socket: those places are cut off below.
                None => ended.as_fd(),
                Some(None) => peers.map_or(ended.as_fd(), AsFd::as_fd),
            };
            PollFd::new(source, PollFlags::POLLIN)
        });
        let used = self.sockets.len().saturating_add(FIXED);
        let used = used.saturating_add(usize::from(peers.is_some()));
        let used = descriptors.get_mut(..used)?;
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
        for (at, seen) in (0_u32..).zip(seen.by_ref().take(self.sockets.len())) {
            if !seen.is_empty() {
                sockets |= 1_u32.checked_shl(at).unwrap_or(0);
            }
        }
        let peers = seen.next().is_some_and(|seen| !seen.is_empty());
        let gone = queue.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
        Some(Ready {
            ended: ended || gone,
            queue: queue.contains(PollFlags::POLLIN),
            peers,
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
            outbox,
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
            outbox: outbox.as_mut(),
        };
        for _ in 0..ROUNDS {
            add(&counters.receive_calls, 1);
            // An error is one of an earlier datagram that was sent; asking for it has cleared it.
            let Ok(count) = received.receive(socket) else {
                return;
            };
            let batch = held.batch(Came::Here);
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
            Outbox::flush(&mut sink.outbox, counters);
            if count < BATCH {
                return;
            }
        }
    }

    /// From the core to the LACs.
    fn transmit(&mut self, held: &Held, counters: &ThreadCounters) {
        for _ in 0..ROUNDS {
            let batch = held.batch(Came::Here);
            let more = self.transmit_batch(&batch, &held.addresses, counters);
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
                outbox,
                ..
            } = self;
            let (start, packet) = read.packet_mut(number);
            let mut sink = Down {
                queue,
                counters,
                sending,
                start,
                outbox: outbox.as_mut(),
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
        Outbox::flush(&mut self.outbox.as_mut(), counters);
    }
}
