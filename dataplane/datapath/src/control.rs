//! The control's side of the datapath: the one writer of the tables, and the way out for control
//! messages and PPP frames that the control makes.

mod sessions;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_l2sess::policy::Policies;
use lns_l2sess::{Classifier, Seconds};
use lns_tables::free::FreeList;
use lns_tables::path::{PathReport, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::flows::port_of;
use crate::handing::{Home, SharedHome};
use crate::io::send::send_one;
use crate::limits::{GRACE, RESUME};
use crate::shared::{Published, Shared, Stage};
use crate::stats::{DropReason, ThreadCounters};
use crate::tables::{AddressTable, Found, NoMemory, Tables};

/// A UDP payload that the control sends to a LAC.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    /// The service address from which it leaves.
    pub local: SocketAddr,
    /// Where it goes.
    pub remote: SocketAddr,
    /// The payload.
    pub octets: &'a [u8],
    /// It leaves as what workers send does ([`Marks::data`](crate::Marks)), not as control.
    pub as_data: bool,
}

impl fmt::Debug for Datagram<'_> {
    /// Without the octets: a frame may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            local,
            remote,
            octets,
            as_data,
        } = self;
        f.debug_struct("Datagram")
            .field("local", local)
            .field("remote", remote)
            .field("length", &octets.len())
            .field("as_data", as_data)
            .finish()
    }
}

/// The one writer. It cannot be copied, so there is one at a time.
#[derive(Debug)]
pub struct Control {
    tables: Arc<Tables>,
    addresses: Arc<AddressTable>,
    published: Arc<Published<AddressTable>>,
    policies: Arc<Published<Policies>>,
    /// Policies that were in force and that workers may still hold.
    retired: Vec<Arc<Policies>>,
    /// Policies were put in force and a worker may be in a batch that began before.
    has_news: bool,
    classifier: Arc<Classifier>,
    home: Arc<SharedHome>,
    /// Sessions whose policies have changed, and whose flows are still to be ended.
    rebound: Vec<SlotIndex>,
    stages: Arc<[Stage]>,
    /// What the workers' stages were when a session was last cleared, or a policer taken from one.
    cleared: Vec<u64>,
    /// How long it waits for workers.
    grace: Duration,
    /// The policers that no session has.
    policers: FreeList,
    sockets: Vec<UdpSocket>,
    /// The sockets' own is that of the workers, who have the same ones.
    mark: Option<u32>,
    counters: Arc<ThreadCounters>,
    capacity: u32,
}

impl Control {
    pub(crate) fn new(shared: &Shared, sockets: Vec<UdpSocket>, capacity: u32) -> Self {
        Self {
            tables: Arc::clone(&shared.tables),
            addresses: shared.addresses.current(),
            published: Arc::clone(&shared.addresses),
            policies: Arc::clone(&shared.policies),
            retired: Vec::new(),
            has_news: false,
            classifier: Arc::clone(&shared.classifier),
            home: Arc::clone(&shared.home),
            rebound: Vec::new(),
            stages: Arc::clone(&shared.stages),
            cleared: vec![0; shared.stages.len()],
            grace: GRACE,
            policers: FreeList::new(capacity),
            sockets,
            mark: None,
            counters: Arc::clone(&shared.control_counters),
            capacity,
        }
    }

    /// This control, with this mark on all that it sends.
    pub(crate) fn with_mark(self, mark: Option<u32>) -> Self {
        Self { mark, ..self }
    }

    /// Does what the node says; the workers see it with their next packet.
    ///
    /// The answer to `ReportSession`, `ReportTunnel` and `ClearSession` comes back at once; `None` when
    /// the slot does not hold that session, or the tunnel does not exist. The last report of a cleared
    /// session may miss what workers forward of the batch in which it was cleared.
    ///
    /// An update that cannot be kept (a slot beyond the capacity, a `local` that is no service address,
    /// an address outside the pools when there is no place for another) leaves the entry as it was and
    /// is counted as [`Control::refused`].
    ///
    /// A session whose chain changes keeps the flows that it has until [`settle`](Self::settle) is called.
    ///
    /// # Cost
    /// O(1), and the number of flows of a session that ends. A slot or policer that changes hands may
    /// wait for workers that are still in the batch in which it was cleared, and so may the first session
    /// in traffic that is set to new policies: some microseconds, [`GRACE`] at most.
    pub fn apply(&mut self, update: &PathUpdate) -> Option<PathReport> {
        match update {
            PathUpdate::SetPolicies { policies } => {
                self.set_policies(policies);
                None
            }
            PathUpdate::SetTunnel { tunnel, path } => {
                if !self.tables.set_tunnel(*tunnel, path) {
                    self.refuse();
                }
                None
            }
            PathUpdate::ClearTunnel { tunnel } => {
                let slot = self.tables.tunnel_slot(*tunnel)?;
                slot.write(None);
                slot.reset();
                None
            }
            PathUpdate::SetSession { slot, path } => {
                if !self.set_session(*slot, path) {
                    self.refuse();
                }
                None
            }
            PathUpdate::SetRoute { slot, route } => {
                if !self.tables.routes().insert(*route, *slot) {
                    self.refuse();
                }
                None
            }
            PathUpdate::ClearRoute { slot, route } => {
                self.tables.routes().remove(*route, *slot);
                None
            }
            PathUpdate::ClearSession {
                slot,
                tunnel,
                session,
            } => self.clear_session(*slot, *tunnel, *session),
            PathUpdate::ReportSession {
                slot,
                tunnel,
                session,
            } => self.report(*slot, *tunnel, *session),
            PathUpdate::ReportTunnel { tunnel } => self.report_tunnel(*tunnel),
        }
    }

    /// Looks up addresses of `pools` directly from now on, and has ICMP errors come from `icmp_source`.
    /// Sessions stay what and where they are.
    ///
    /// # Errors
    /// [`NoMemory`]: nothing has changed.
    ///
    /// # Cost
    /// Linear in the size of the old pools: for a changed manifest, not for a packet.
    pub fn set_pools(&mut self, pools: &[Ipv4Net], icmp_source: Ipv4Addr) -> Result<(), NoMemory> {
        let table = AddressTable::new(pools, self.capacity)?.answering_from(icmp_source);
        for (address, slot) in self.addresses.entries() {
            if !table.insert(address, slot) {
                self.refuse();
            }
        }
        self.addresses = Arc::new(table);
        self.published.publish(Arc::clone(&self.addresses));
        Ok(())
    }

    /// Says where sessions that have a home have it. The workers see it with their next batch; at the start it
    /// is here. A node that is not master says first where its master is, or that it knows none.
    pub fn set_home(&self, home: Home) {
        self.home.set(home);
    }

    /// Sessions come here that another node had: for a while, flows of theirs are resumed in the middle
    /// ([`Classifier::resume_until`](lns_l2sess::Classifier::resume_until)).
    pub fn resume_flows(&self, now: Instant) {
        let end = Seconds::new(now.as_secs()).plus(RESUME);
        self.classifier.resume_until(end);
    }

    /// Ends the flows of sessions whose policies have changed since the last call. To be called after the
    /// updates of one moment.
    ///
    /// # Cost
    /// Nothing if there are none; else as long as workers are in the batch in which they may have seen
    /// the former policies, [`GRACE`] at most, whatever the number of sessions.
    pub fn settle(&mut self) {
        if self.rebound.is_empty() {
            return;
        }
        self.let_workers_pass();
        for slot in self.rebound.drain(..) {
            self.classifier.clear(port_of(slot));
        }
    }

    /// Sends datagrams from their service addresses, without waiting, and returns how many the kernel
    /// took. The others are counted as [`DropReason::SocketFull`] or [`DropReason::SocketError`]: what
    /// must arrive is sent again by its protocol.
    pub fn send(&self, datagrams: &[Datagram<'_>]) -> usize {
        datagrams
            .iter()
            .filter(|datagram| self.send_one(datagram))
            .count()
    }

    /// Leaves `skips` numbers out, and puts the next Ns of a session into a data message with the S bit and without L
    /// (RFC 2661, 3.1, 5.4), so that what the control sends is numbered together with what the workers
    /// send. Returns whether it did: not if the session is gone or not numbered, or this is no such
    /// message.
    pub fn stamp_sequence(&self, slot: SlotIndex, skips: u16, datagram: &mut [u8]) -> bool {
        const CONTROL_OR_LENGTH: u8 = 0xc0;
        const SEQUENCE: u8 = 0x08;
        let Ok(Some(found)) = self.tables.slot(slot) else {
            return false;
        };
        let Some((header, _)) = datagram.split_first_chunk_mut::<10>() else {
            return false;
        };
        if !found.view.sequencing || header[0] & (CONTROL_OR_LENGTH | SEQUENCE) != SEQUENCE {
            return false;
        }
        [header[6], header[7]] = found.slot.sequence_after(skips).to_be_bytes();
        true
    }

    /// The tables, to look at.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// How many updates could not be kept. It stays 0 unless the node and the datapath were given
    /// different limits.
    pub fn refused(&self) -> u64 {
        self.counters.refused.load(Ordering::Relaxed)
    }

    fn report(&self, index: SlotIndex, tunnel: TunnelId, session: SessionId) -> Option<PathReport> {
        let found = self.tables.slot(index).ok()??;
        let same = (found.view.tunnel, found.view.session) == (tunnel, session);
        same.then(|| report_of(&found))
    }

    fn report_tunnel(&self, tunnel: TunnelId) -> Option<PathReport> {
        let (slot, _) = self.tables.tunnel(tunnel).ok()??;
        Some(PathReport::Tunnel {
            tunnel,
            last_received: slot.last_received(),
        })
    }

    /// Puts policies in force. The former ones are freed here and not by the worker that lets go of them
    /// last.
    fn set_policies(&mut self, policies: &Arc<Policies>) {
        self.retired
            .retain(|retired| Arc::strong_count(retired) > 1);
        let last = self.policies.publish(Arc::clone(policies));
        self.retired.push(last);
        self.has_news = true;
    }

    fn send_one(&self, datagram: &Datagram<'_>) -> bool {
        let service = self.tables.service_of(datagram.local);
        let Some(socket) = service.and_then(|service| self.sockets.get(usize::from(service.0)))
        else {
            self.counters.count_shared_drop(DropReason::SocketError);
            return false;
        };
        // The socket's own mark is that of data.
        let mark = self.mark.filter(|_| !datagram.as_data);
        match send_one(socket, datagram.octets, datagram.remote, mark) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.counters.count_shared_drop(DropReason::SocketFull);
                false
            }
            Err(_) => {
                self.counters.count_shared_drop(DropReason::SocketError);
                false
            }
        }
    }

    fn refuse(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is said of a session, from its slot.
fn report_of(found: &Found<'_>) -> PathReport {
    let Found {
        index, slot, view, ..
    } = found;
    PathReport::Session {
        slot: *index,
        tunnel: view.tunnel,
        session: view.session,
        last_received: slot.last_received(),
        last_forwarded: slot.last_forwarded(),
        counters: slot.counters(),
    }
}
