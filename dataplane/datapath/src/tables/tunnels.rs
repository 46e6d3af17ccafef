//! One tunnel as a worker sees it: one cache line.

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lns_tables::time::Instant;
use lns_wire::id::PeerTunnelId;

use super::Service;
use super::seqlock::{self, Busy};
use crate::memory::Zeroable;

/// A place for a tunnel.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct TunnelSlot {
    version: AtomicU32,
    /// Service (8 bits), flags (8), peer's tunnel (16), remote port (16).
    ids: AtomicU64,
    /// The remote address, an IPv4 one in its mapped form (RFC 4291, 2.5.5.2).
    address: [AtomicU64; 2],
    scope: AtomicU32,
    /// Nanoseconds; 0: never.
    last_received: AtomicU64,
}

// SAFETY: it consists of atomic integers only, for which zero is a value.
unsafe impl Zeroable for TunnelSlot {}

const _: () = assert!(size_of::<TunnelSlot>() == 64);

/// What a worker must know of a tunnel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TunnelView {
    /// Our end.
    pub service: Service,
    /// The LAC's end.
    pub remote: SocketAddr,
    /// What goes into the tunnel field of what we send.
    pub peer_tunnel: PeerTunnelId,
}

const LIVE: u8 = 1;
/// The remote address was given as IPv4, not as an IPv6 address that holds one.
const IPV4: u8 = 2;

impl TunnelSlot {
    /// What is in the entry, if anything.
    ///
    /// # Errors
    /// [`Busy`] when it was being written all the time.
    pub fn read(&self) -> Result<Option<TunnelView>, Busy> {
        let load = || {
            let address = self
                .address
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            (
                self.ids.load(Ordering::Relaxed),
                address,
                self.scope.load(Ordering::Relaxed),
            )
        };
        seqlock::read(&self.version, load).map(|(ids, address, scope)| decode(ids, address, scope))
    }

    /// Replaces what is in the entry. For the control only.
    pub(crate) fn write(&self, view: Option<&TunnelView>) {
        let (ids, address, scope) = view.map_or((0, [0; 2], 0), encode);
        seqlock::write(&self.version, || {
            self.ids.store(ids, Ordering::Relaxed);
            for (word, value) in self.address.iter().zip(address) {
                word.store(value, Ordering::Relaxed);
            }
            self.scope.store(scope, Ordering::Relaxed);
        });
    }

    /// A data message came from the LAC.
    pub(crate) fn received(&self, now: Instant) {
        self.last_received
            .store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// When a data message last came from the LAC.
    pub fn last_received(&self) -> Option<Instant> {
        match self.last_received.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Instant::from_nanos(nanos)),
        }
    }

    /// Forgets what the tunnel before left. For the control only.
    pub(crate) fn reset(&self) {
        self.last_received.store(0, Ordering::Relaxed);
    }
}

fn encode(view: &TunnelView) -> (u64, [u64; 2], u32) {
    let flags = LIVE | if view.remote.is_ipv4() { IPV4 } else { 0 };
    let (address, scope) = match view.remote {
        SocketAddr::V4(remote) => (remote.ip().to_ipv6_mapped(), 0),
        SocketAddr::V6(remote) => (*remote.ip(), remote.scope_id()),
    };
    let [p0, p1] = view.peer_tunnel.0.to_be_bytes();
    let [r0, r1] = view.remote.port().to_be_bytes();
    let ids = u64::from_be_bytes([view.service.0, flags, p0, p1, r0, r1, 0, 0]);
    let bits = address.to_bits();
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    (ids, [half(bits >> 64), half(bits)], scope)
}

fn decode(ids: u64, [high, low]: [u64; 2], scope: u32) -> Option<TunnelView> {
    let [service, flags, p0, p1, r0, r1, _, _] = ids.to_be_bytes();
    let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    let port = u16::from_be_bytes([r0, r1]);
    let remote = match address.to_ipv4_mapped().filter(|_| flags & IPV4 != 0) {
        Some(address) => SocketAddr::new(IpAddr::V4(address), port),
        None => SocketAddr::V6(SocketAddrV6::new(address, port, 0, scope)),
    };
    (flags & LIVE != 0).then(|| TunnelView {
        service: Service(service),
        remote,
        peer_tunnel: PeerTunnelId(u16::from_be_bytes([p0, p1])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Zeroed;

    #[test]
    fn every_kind_of_address_comes_back() {
        let slots = Zeroed::<TunnelSlot>::new(1).unwrap();
        assert_eq!(slots[0].read(), Ok(None));
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 1701, 0, 7));
        let others = [
            "192.0.2.1:1701",
            "0.0.0.0:0",
            "[2001:db8::1]:65535",
            "[::ffff:192.0.2.1]:1701",
        ];
        for remote in others
            .into_iter()
            .map(|text| text.parse().unwrap())
            .chain([scoped])
        {
            for service in [0, 255] {
                let view = TunnelView {
                    service: Service(service),
                    remote,
                    peer_tunnel: PeerTunnelId(0xfedc),
                };
                slots[0].write(Some(&view));
                assert_eq!(slots[0].read(), Ok(Some(view)));
            }
        }
        slots[0].write(None);
        assert_eq!(slots[0].read(), Ok(None));
    }
}
