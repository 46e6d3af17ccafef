//! Socket addresses as the kernel reads and writes them (`sockaddr_in`, `sockaddr_in6`), taken apart and
//! put together octet by octet.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Room for either kind.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct RawAddress([u8; Self::LENGTH]);

const IPV4_LENGTH: u32 = 16;
const IPV6_LENGTH: u32 = 28;

impl RawAddress {
    /// Octets of the longer kind.
    pub(super) const LENGTH: usize = 28;

    pub(super) const EMPTY: Self = Self([0; Self::LENGTH]);

    pub(super) fn encode(address: SocketAddr) -> (Self, u32) {
        let mut raw = [0; Self::LENGTH];
        let put = |raw: &mut [u8; Self::LENGTH], at: usize, octets: &[u8]| {
            if let Some(place) = raw.get_mut(at..at.saturating_add(octets.len())) {
                place.copy_from_slice(octets);
            }
        };
        put(&mut raw, 2, &address.port().to_be_bytes());
        match address {
            SocketAddr::V4(address) => {
                put(&mut raw, 0, &family(libc::AF_INET).to_ne_bytes());
                put(&mut raw, 4, &address.ip().octets());
                (Self(raw), IPV4_LENGTH)
            }
            SocketAddr::V6(address) => {
                put(&mut raw, 0, &family(libc::AF_INET6).to_ne_bytes());
                put(&mut raw, 8, &address.ip().octets());
                put(&mut raw, 24, &address.scope_id().to_ne_bytes());
                (Self(raw), IPV6_LENGTH)
            }
        }
    }

    /// The address, if it is of one of the two kinds.
    pub(super) fn decode(&self) -> Option<SocketAddr> {
        let [f0, f1, p0, p1, a0, a1, a2, a3, ..] = self.0;
        let port = u16::from_be_bytes([p0, p1]);
        let kind = u16::from_ne_bytes([f0, f1]);
        if kind == family(libc::AF_INET) {
            return Some(SocketAddr::new(Ipv4Addr::new(a0, a1, a2, a3).into(), port));
        }
        let address = self.0.get(8..)?.first_chunk::<16>()?;
        let scope = self.0.get(24..)?.first_chunk::<4>()?;
        let address = SocketAddrV6::new(
            Ipv6Addr::from(*address),
            port,
            0,
            u32::from_ne_bytes(*scope),
        );
        (kind == family(libc::AF_INET6)).then_some(SocketAddr::V6(address))
    }
}

fn family(family: libc::c_int) -> u16 {
    u16::try_from(family).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_come_back_and_have_the_kernels_length() {
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 1701, 0, 3));
        let plain = ["192.0.2.1:1701", "[2001:db8::1]:40000"].map(|text| text.parse().unwrap());
        for address in plain.into_iter().chain([scoped]) {
            let (raw, length) = RawAddress::encode(address);
            assert_eq!(raw.decode(), Some(address));
            assert_eq!(length, socket2::SockAddr::from(address).len());
        }
        assert_eq!(RawAddress::EMPTY.decode(), None);
    }
}
