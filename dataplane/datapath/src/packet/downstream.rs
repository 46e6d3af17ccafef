//! From the core to the LAC: which session, does it fit, PPP on, L2TP on (RFC 2661, 3.1, 5.4).

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use lns_l2sess::Direction;
use lns_tables::time::Instant;
use lns_wire::ip::{Fragments, Ipv4, Unreachable, clamp_mss, deserves_error, unreachable};

use super::{Batch, Meter, ppp};
use crate::handing::Peer;
use crate::limits::{
    HEADER, ICMP_BURST, ICMP_BURST_SESSION, ICMP_PER_SECOND, ICMP_PER_SECOND_SESSION,
};
use crate::stats::DropReason;
use crate::tables::{AddressTable, Found, Service, Tables, TunnelView};

/// Where things go from [`Downstream::packet`].
pub trait DownstreamSink {
    /// A datagram for a LAC: `header`, then that part of the packet.
    fn send(&mut self, service: Service, remote: SocketAddr, header: &[u8], payload: Range<usize>);
    /// The packet, of so many octets, is on its way, in one datagram or in fragments.
    fn forwarded(&mut self, octets: usize);
    /// The packet, as it came, for another node, which is its session's home.
    fn hand_over(&mut self, to: Peer, packet: &[u8]);
    /// An ICMP error for the core.
    fn answer(&mut self, packet: &[u8]);
    /// So many fragments have been made of the packet.
    fn fragmented(&mut self, fragments: usize);
    /// Nothing: the packet was dropped.
    fn drop(&mut self, reason: DropReason);
}

/// One worker's way down.
#[derive(Debug, Default)]
pub struct Downstream {
    errors: AtomicU64,
}

/// The least MTU that IPv4 knows (RFC 791, 3.2): a session that says less is treated as if it had said
/// this.
const LEAST_MTU: u16 = 68;

const ERRORS: Meter = Meter::new(ICMP_PER_SECOND, ICMP_BURST);
const ERRORS_SESSION: Meter = Meter::new(ICMP_PER_SECOND_SESSION, ICMP_BURST_SESSION);

impl Downstream {
    /// One IP packet from the core. It is changed in place (MSS).
    ///
    /// # Cost
    /// No allocation; a fixed number of loads from the tables, plus one header per fragment.
    pub fn packet(
        &mut self,
        batch: &Batch<'_>,
        addresses: &AddressTable,
        packet: &mut [u8],
        sink: &mut impl DownstreamSink,
    ) {
        let now = batch.now;
        let (found, ends) = match route(batch.tables, addresses, packet) {
            Ok(way) => way,
            Err(Lost { reason, ask: false }) => return sink.drop(reason),
            Err(Lost { reason, ask: true }) => {
                return match batch.unknown_down(reason) {
                    Ok(peer) => sink.hand_over(peer, packet),
                    Err(reason) => sink.drop(reason),
                };
            }
        };
        match batch.elsewhere(&found) {
            Ok(None) => {}
            Ok(Some(peer)) => return sink.hand_over(peer, packet),
            Err(reason) => {
                found.slot.down.dropped();
                return sink.drop(reason);
            }
        }
        if let Err(reason) = batch.judge(&found, Direction::Output, packet) {
            found.slot.down.dropped();
            return sink.drop(reason);
        }
        if found.view.mss > 0 {
            clamp_mss(packet, found.view.mss);
        }
        let Ok(view) = Ipv4::parse(packet) else {
            return sink.drop(DropReason::MalformedIp);
        };
        let mtu = found.view.mtu.max(LEAST_MTU);
        let length = view.total_length();
        let fits = length <= usize::from(mtu);
        if !fits && view.dont_fragment() {
            found.slot.down.dropped();
            sink.drop(DropReason::FragmentationNeeded);
            return self.too_large(addresses.icmp_source(), &view, &found, mtu, now, sink);
        }
        if let Some(policer) = found.policer
            && !policer.down.allows(length, now)
        {
            found.slot.down.dropped();
            return sink.drop(DropReason::Rate);
        }
        if fits {
            let header = Header::new(&found, &ends);
            sink.send(ends.service, ends.remote, header.octets(), 0..length);
        } else if let Some(fragments) = Fragments::new(view, mtu) {
            send_fragments(fragments, &found, &ends, sink);
        } else {
            found.slot.down.dropped();
            return sink.drop(DropReason::MalformedIp);
        }
        found.slot.down.forwarded(length, now);
        sink.forwarded(length);
    }

    /// Tells the sender what fits (RFC 1191, 4), within the limits of RFC 1812, 4.3.2.8.
    fn too_large(
        &self,
        source: Ipv4Addr,
        view: &Ipv4<'_>,
        found: &Found<'_>,
        mtu: u16,
        now: Instant,
        sink: &mut impl DownstreamSink,
    ) {
        let allowed = !source.is_unspecified()
            && deserves_error(view)
            && ERRORS_SESSION.allows(&found.slot.errors, now)
            && ERRORS.allows(&self.errors, now);
        let mut error = [0; 576];
        let why = Unreachable::FragmentationNeeded { mtu };
        if let Some(length) = allowed
            .then(|| unreachable(why, source, view, &mut error))
            .flatten()
        {
            sink.answer(error.get(..length).unwrap_or_default());
        }
    }
}

/// A packet that goes nowhere from here.
struct Lost {
    reason: DropReason,
    /// Its destination is a pool's, and another node may know more of it.
    ask: bool,
}

impl From<DropReason> for Lost {
    fn from(reason: DropReason) -> Self {
        Self { reason, ask: false }
    }
}

/// The session that has the packet's destination, and its tunnel.
fn route<'t>(
    tables: &'t Tables,
    addresses: &AddressTable,
    packet: &[u8],
) -> Result<(Found<'t>, TunnelView), Lost> {
    if packet.first().is_some_and(|version| version >> 4 == 6) {
        return Err(DropReason::Ipv6NotEnabled.into());
    }
    let destination = Ipv4::parse(packet)
        .map_err(|_| DropReason::MalformedIp)?
        .destination();
    let read = |index| tables.slot(index).map_err(|_| DropReason::TableBusy);
    let has_it = |found: &Found<'_>| found.view.address == Some(destination);
    let found = match addresses.lookup(destination).map(read).transpose()? {
        Some(Some(found)) if has_it(&found) => found,
        _ => behind(tables, destination)?.ok_or_else(|| Lost {
            reason: DropReason::NoSession,
            ask: addresses.is_of_a_pool(destination),
        })?,
    };
    let tunnel = tables
        .tunnel(found.view.tunnel)
        .map_err(|_| DropReason::TableBusy)?;
    let (_, ends) = tunnel.ok_or(DropReason::NoSession)?;
    Ok((found, ends))
}

/// The session behind which the destination lies, if IP may pass there.
#[cold]
fn behind(tables: &Tables, destination: Ipv4Addr) -> Result<Option<Found<'_>>, DropReason> {
    let Some(index) = tables.routes().lookup(destination) else {
        return Ok(None);
    };
    let found = tables.slot(index).map_err(|_| DropReason::TableBusy)?;
    Ok(found.filter(|found| found.view.address.is_some()))
}

fn send_fragments(
    fragments: Fragments<'_>,
    found: &Found<'_>,
    ends: &TunnelView,
    sink: &mut impl DownstreamSink,
) {
    let mut count = 0_usize;
    for fragment in fragments {
        let mut header = Header::new(found, ends);
        header.push(fragment.header());
        sink.send(ends.service, ends.remote, header.octets(), fragment.payload);
        count = count.saturating_add(1);
    }
    sink.fragmented(count);
}

/// What goes before a packet.
struct Header {
    octets: [u8; HEADER],
    length: usize,
}

impl Header {
    /// L2TP without Length, Offset or Priority, with Ns if the session is numbered; then PPP.
    fn new(found: &Found<'_>, ends: &TunnelView) -> Self {
        const VERSION: u8 = 2;
        const SEQUENCE: u8 = 0x08;
        let path = &found.view;
        let flags = if path.sequencing { SEQUENCE } else { 0 };
        let [t0, t1] = ends.peer_tunnel.0.to_be_bytes();
        let [s0, s1] = path.peer_session.0.to_be_bytes();
        let mut header = Self {
            octets: [0; HEADER],
            length: 0,
        };
        header.push(&[flags, VERSION, t0, t1, s0, s1]);
        if path.sequencing {
            let [n0, n1] = found.slot.next_sequence().to_be_bytes();
            header.push(&[n0, n1, 0, 0]);
        }
        header.push(ppp::ipv4_header(path.acfc, path.pfc));
        header
    }

    /// Appends; the array holds the longest header that there is.
    fn push(&mut self, part: &[u8]) {
        let end = self.length.saturating_add(part.len());
        if let Some(place) = self.octets.get_mut(self.length..end) {
            place.copy_from_slice(part);
            self.length = end;
        }
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}
