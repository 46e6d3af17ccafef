//! From the LAC to the core: L2TP off (RFC 2661, 3.1, 5.4), PPP off, checks, IP out.

use core::net::{Ipv4Addr, SocketAddr};

use lns_l2sess::Direction;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::ip::{Ipv4, clamp_mss};
use lns_wire::l2tp::{DataHeader, Packet};

use super::sequence::{Arrival, Arrivals, Hold, Reorder};
use super::{Batch, Meter, ppp};
use crate::handing::Peer;
use crate::limits::{PPP_BURST_SESSION, PPP_PER_SECOND_SESSION};
use crate::stats::DropReason;
use crate::tables::{Found, Service, TunnelView};

const PPP: Meter = Meter::new(PPP_PER_SECOND_SESSION, PPP_BURST_SESSION);

/// Where a datagram came from and to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The service address to which it came.
    pub service: Service,
    /// Who sent it.
    pub remote: SocketAddr,
}

/// Where things go from [`upstream`].
pub trait UpstreamSink {
    /// An IP packet for the core; `false` when it could not be taken.
    fn forward(&mut self, packet: &[u8]) -> bool;
    /// An L2TP control message for the control.
    fn control(&mut self, origin: &Origin, datagram: &[u8]);
    /// A PPP frame for the control.
    fn ppp(&mut self, origin: &Origin, tunnel: TunnelId, session: SessionId, frame: &[u8]);
    /// The datagram, as it came, for another node, which is its session's home.
    fn hand_over(&mut self, to: Peer, origin: &Origin, datagram: &[u8]);
    /// Nothing: the packet was dropped.
    fn drop(&mut self, reason: DropReason);
}

/// One datagram from a LAC.
///
/// Nothing is believed before it is checked: first the tunnel and its ends, then the session, then what
/// is inside. An inner packet is changed in place (MSS).
///
/// # Cost
/// No allocation; a fixed number of loads from the tables.
///
/// # Denial of service
/// Anybody can send here. What is not from the ends of a tunnel costs the parse of a header and four
/// loads.
pub fn upstream(
    batch: &Batch<'_>,
    reorder: &mut Reorder,
    datagram: &mut [u8],
    origin: &Origin,
    sink: &mut impl UpstreamSink,
) {
    const CONTROL: u8 = 0x80;
    if datagram.first().is_some_and(|flags| flags & CONTROL != 0) {
        sink.control(origin, datagram);
        return;
    }
    match admit(batch, datagram, origin) {
        Ok((found, header, frame)) => {
            match elsewhere(batch, &found, datagram.get(frame.clone())) {
                Ok(None) => {}
                Ok(Some(peer)) => return sink.hand_over(peer, origin, datagram),
                Err(reason) => {
                    found.slot.up.dropped();
                    return sink.drop(reason);
                }
            }
            let Some(frame) = datagram.get_mut(frame) else {
                return;
            };
            found.slot.up.received(batch.now);
            let mut session = Session {
                batch,
                found: &found,
                origin,
                sink,
            };
            match header.sequence.filter(|_| found.view.sequencing) {
                Some(sequence) => session.in_order(reorder, sequence.ns.0, frame),
                None => session.pass(frame),
            }
        }
        Err(reason @ (DropReason::UnknownTunnel | DropReason::UnknownSession)) => {
            match batch.unknown_up(reason) {
                Ok(peer) => sink.hand_over(peer, origin, datagram),
                Err(reason) => sink.drop(reason),
            }
        }
        Err(reason) => sink.drop(reason),
    }
}

/// Where a data message goes that is forwarded elsewhere, if it is. What is no IP of a session that is not
/// numbered is the control's here: it knows which of that is another node's. What would be dropped at its
/// home, too, is dropped here; but nothing of a session that is numbered, for a gap would be waited for.
fn elsewhere(
    batch: &Batch<'_>,
    found: &Found<'_>,
    frame: Option<&[u8]>,
) -> Result<Option<Peer>, DropReason> {
    let peer = match batch.elsewhere(found) {
        Ok(None) => return Ok(None),
        other => other,
    };
    if found.view.sequencing {
        return peer;
    }
    let frame = frame.ok_or(DropReason::MalformedPpp)?;
    match ppp::protocol(frame) {
        Some((ppp::IPV4, at)) => {
            let packet = frame.get(at..).ok_or(DropReason::MalformedPpp)?;
            check_source(batch, found, packet)?;
            peer
        }
        Some(_) | None => Ok(None),
    }
}

/// The length of an IPv4 packet of the session, if it may send it.
fn check_source(batch: &Batch<'_>, found: &Found<'_>, octets: &[u8]) -> Result<usize, DropReason> {
    let packet = Ipv4::parse(octets).map_err(|_| DropReason::MalformedIp)?;
    let address = found.view.address.ok_or(DropReason::NetworkNotOpen)?;
    if packet.source() != address && !is_behind(batch, found, packet.source()) {
        return Err(DropReason::SourceCheck);
    }
    Ok(packet.total_length())
}

/// Whether `source` lies behind the subscriber.
#[cold]
fn is_behind(batch: &Batch<'_>, found: &Found<'_>, source: Ipv4Addr) -> bool {
    batch.tables.routes().lookup(source) == Some(found.index)
}

/// Passes on what has waited long enough for packets that did not come.
pub fn expire(batch: &Batch<'_>, reorder: &mut Reorder, sink: &mut impl UpstreamSink) {
    let tables = batch.tables;
    while let Some((slot, tunnel, id)) = reorder.overdue(batch.now) {
        let found = tables.slot(slot).ok().flatten();
        let found = found.filter(|found| found.view.tunnel == tunnel && found.view.session == id);
        let ends = tables.tunnel(tunnel).ok().flatten();
        match (found, ends) {
            (
                Some(found),
                Some((
                    _,
                    TunnelView {
                        service, remote, ..
                    },
                )),
            ) => {
                let origin = Origin { service, remote };
                Session {
                    batch,
                    found: &found,
                    origin: &origin,
                    sink,
                }
                .give_up_waiting(reorder);
            }
            _ => reorder.forget(slot),
        }
    }
}

/// The session of a data message, its header and where its frame is, if all of it is right.
fn admit<'t>(
    batch: &Batch<'t>,
    datagram: &[u8],
    origin: &Origin,
) -> Result<(Found<'t>, DataHeader, core::ops::Range<usize>), DropReason> {
    let tables = batch.tables;
    let Ok(Packet::Data(header, frame)) = Packet::parse(datagram) else {
        return Err(DropReason::MalformedL2tp);
    };
    let tunnel = tables
        .tunnel(header.tunnel)
        .map_err(|_| DropReason::TableBusy)?;
    let (tunnel, ends) = tunnel.ok_or(DropReason::UnknownTunnel)?;
    if (ends.service, ends.remote) != (origin.service, origin.remote) {
        return Err(DropReason::WrongPeer);
    }
    let found = tables
        .session(header.tunnel, header.session)
        .map_err(|_| DropReason::TableBusy)?;
    let found = found.ok_or(DropReason::UnknownSession)?;
    tunnel.received(batch.now);
    Ok((found, header, place_of(frame, datagram)))
}

/// Where `part`, a slice of `whole`, lies in it.
fn place_of(part: &[u8], whole: &[u8]) -> core::ops::Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

/// One session while a packet of it is handled.
struct Session<'a, S> {
    batch: &'a Batch<'a>,
    found: &'a Found<'a>,
    origin: &'a Origin,
    sink: &'a mut S,
}

impl<S: UpstreamSink> Session<'_, S> {
    /// A frame numbered `ns`.
    fn in_order(&mut self, reorder: &mut Reorder, ns: u16, frame: &mut [u8]) {
        let (found, now) = (self.found, self.batch.now);
        let mut arrivals = Arrivals::load(&found.slot.arrivals);
        let waited_for = arrivals.expected;
        match arrivals.arrive(ns) {
            Arrival::Next => {
                self.pass(frame);
                let next = arrivals.expected;
                arrivals.expected = reorder.release(found, next, false, now, |frame| {
                    self.pass(frame);
                });
            }
            Arrival::Early => match reorder.hold(found, ns, frame, now) {
                Hold::Held => {}
                Hold::Duplicate => self.drop(DropReason::SequenceOld),
                Hold::Full => {
                    reorder.release(found, waited_for, true, now, |frame| {
                        self.pass(frame);
                    });
                    self.pass(frame);
                    arrivals.expected = ns.wrapping_add(1);
                }
            },
            Arrival::Jump => {
                reorder.release(found, waited_for, true, now, |frame| {
                    self.pass(frame);
                });
                self.pass(frame);
            }
            Arrival::Old => self.drop(DropReason::SequenceOld),
        }
        arrivals.store(&found.slot.arrivals);
    }

    fn give_up_waiting(&mut self, reorder: &mut Reorder) {
        let (found, now) = (self.found, self.batch.now);
        let mut arrivals = Arrivals::load(&found.slot.arrivals);
        arrivals.expected = reorder.release(found, arrivals.expected, true, now, |frame| {
            self.pass(frame);
        });
        arrivals.store(&found.slot.arrivals);
    }

    /// A frame whose turn it is.
    fn pass(&mut self, frame: &mut [u8]) {
        let path = &self.found.view;
        match ppp::protocol(frame) {
            None => self.drop(DropReason::MalformedPpp),
            Some((ppp::IPV4, at)) => match frame.get_mut(at..) {
                Some(packet) => self.ipv4(packet),
                None => self.drop(DropReason::MalformedPpp),
            },
            Some((ppp::IPV6, _)) => self.drop(DropReason::Ipv6NotEnabled),
            Some(_) if PPP.allows(&self.found.slot.control, self.batch.now) => {
                self.sink.ppp(self.origin, path.tunnel, path.session, frame);
            }
            Some(_) => self.drop(DropReason::ControlRate),
        }
    }

    fn ipv4(&mut self, octets: &mut [u8]) {
        let path = &self.found.view;
        let length = match check_source(self.batch, self.found, octets) {
            Ok(length) => length,
            Err(reason) => return self.drop(reason),
        };
        let Some(packet) = octets.get_mut(..length) else {
            return self.drop(DropReason::MalformedIp);
        };
        if let Err(reason) = self.batch.judge(self.found, Direction::Input, packet) {
            return self.drop(reason);
        }
        if let Some(policer) = self.found.policer
            && !policer.up.allows(length, self.batch.now)
        {
            return self.drop(DropReason::Rate);
        }
        if path.mss > 0 {
            clamp_mss(packet, path.mss);
        }
        if self.sink.forward(packet) {
            self.found.slot.up.forwarded(length, self.batch.now);
        } else {
            self.found.slot.up.dropped();
        }
    }

    fn drop(&mut self, reason: DropReason) {
        self.found.slot.up.dropped();
        self.sink.drop(reason);
    }
}
