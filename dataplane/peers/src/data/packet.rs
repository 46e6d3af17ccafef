//! What is handed over, and how it is laid out in what is sealed: a packet of a LAC's behind its two
//! ends, one for a subscriber as it is.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{HEADER, TAG, What};
use super::refused::{Refused, SealError};

/// Octets of two ends of IPv4, and of IPv6.
const ENDS_V4: usize = 12;
const ENDS_V6: usize = 36;

/// Room in front of a packet that is to be sealed.
pub const HEADROOM: usize = HEADER + ENDS_V6;

/// Room behind it.
pub const TAILROOM: usize = TAG;

/// What is handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handover {
    /// An L2TP data message (RFC 2661, 3.1) as it came from a LAC, to the home of its session.
    ToHome {
        /// The service address at which it came in.
        local: SocketAddr,
        /// From where it came.
        remote: SocketAddr,
    },
    /// An IP packet for a subscriber, to the home of the session.
    ToHomeDownstream,
}

/// What was handed over, in the memory of the frame or of [`Halves`](super::Halves).
#[derive(Debug, Eq, PartialEq)]
pub struct Packet<'b> {
    /// What it is.
    pub handover: Handover,
    /// The message or the packet.
    pub octets: &'b mut [u8],
}

/// The ends of a LAC's packet as they are sealed.
pub(super) struct Ends {
    octets: [u8; ENDS_V6],
    length: usize,
}

impl Ends {
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

impl Handover {
    /// How it is named, and what goes in front of the packet.
    pub(super) fn emit(&self) -> Result<(What, Ends), SealError> {
        let mut ends = Ends {
            octets: [0; ENDS_V6],
            length: 0,
        };
        let Self::ToHome { local, remote } = self else {
            return Ok((What::ToHomeDownstream, ends));
        };
        let what = match (local, remote) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => What::ToHomeV4,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => What::ToHomeV6,
            (SocketAddr::V4(_), SocketAddr::V6(_)) | (SocketAddr::V6(_), SocketAddr::V4(_)) => {
                return Err(SealError::Families);
            }
        };
        let mut room = ends.octets.iter_mut();
        for end in [local, remote] {
            let port = end.port().to_be_bytes();
            let written = match end.ip() {
                IpAddr::V4(ip) => put(&mut room, &ip.octets()),
                IpAddr::V6(ip) => put(&mut room, &ip.octets()),
            };
            let port = put(&mut room, &port);
            ends.length = ends.length.saturating_add(written).saturating_add(port);
        }
        Ok((what, ends))
    }
}

/// Writes octets where there is room, and says how many.
fn put(room: &mut core::slice::IterMut<'_, u8>, octets: &[u8]) -> usize {
    room.zip(octets).map(|(room, octet)| *room = *octet).count()
}

impl<'b> Packet<'b> {
    /// Reads what was sealed.
    pub(super) fn parse(what: What, sealed: &'b mut [u8]) -> Result<Self, Refused> {
        let (handover, octets) = match what {
            What::ToHomeDownstream => (Handover::ToHomeDownstream, sealed),
            What::ToHomeV4 => {
                let split = sealed.split_first_chunk_mut::<ENDS_V4>();
                let (ends, octets) = split.ok_or(Refused::Malformed)?;
                (v4(ends).ok_or(Refused::Malformed)?, octets)
            }
            What::ToHomeV6 => {
                let split = sealed.split_first_chunk_mut::<ENDS_V6>();
                let (ends, octets) = split.ok_or(Refused::Malformed)?;
                (v6(ends).ok_or(Refused::Malformed)?, octets)
            }
        };
        if octets.is_empty() {
            return Err(Refused::Malformed);
        }
        Ok(Self { handover, octets })
    }
}

fn v4(ends: &[u8; ENDS_V4]) -> Option<Handover> {
    let (local, remote) = ends.split_first_chunk::<6>()?;
    let end = |octets: &[u8; 6]| {
        let [a, b, c, d, high, low] = *octets;
        let ip = Ipv4Addr::new(a, b, c, d);
        SocketAddr::from((ip, u16::from_be_bytes([high, low])))
    };
    Some(Handover::ToHome {
        local: end(local),
        remote: end(remote.first_chunk()?),
    })
}

fn v6(ends: &[u8; ENDS_V6]) -> Option<Handover> {
    let (local, remote) = ends.split_first_chunk::<18>()?;
    let end = |octets: &[u8; 18]| {
        let (ip, port) = octets.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(*port.first_chunk()?);
        Some(SocketAddr::from((Ipv6Addr::from(*ip), port)))
    };
    Some(Handover::ToHome {
        local: end(local)?,
        remote: end(remote.first_chunk()?)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends() -> impl Strategy<Value = Handover> {
        let v4 = (any::<[Ipv4Addr; 2]>(), any::<[u16; 2]>());
        let v6 = (any::<[Ipv6Addr; 2]>(), any::<[u16; 2]>());
        let of = |[local, remote]: [IpAddr; 2], ports: [u16; 2]| Handover::ToHome {
            local: (local, ports[0]).into(),
            remote: (remote, ports[1]).into(),
        };
        prop_oneof![
            Just(Handover::ToHomeDownstream),
            v4.prop_map(move |(ips, ports)| of(ips.map(IpAddr::V4), ports)),
            v6.prop_map(move |(ips, ports)| of(ips.map(IpAddr::V6), ports)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_handed_over_is_read_as_it_was_written(handover in ends(), packet in prop::collection::vec(any::<u8>(), 1..50)) {
            let (what, ends) = handover.emit().unwrap();
            let mut sealed = [ends.octets(), &packet].concat();
            let read = Packet::parse(what, &mut sealed).unwrap();
            prop_assert_eq!(read.handover, handover);
            prop_assert_eq!(read.octets.to_vec(), packet);
            let mut short = ends.octets().to_vec();
            prop_assert_eq!(Packet::parse(what, &mut short), Err(Refused::Malformed));
        }
    }

    #[test]
    fn ends_are_of_one_family() {
        let handover = Handover::ToHome {
            local: "192.0.2.1:1701".parse().unwrap(),
            remote: "[2001:db8::1]:1701".parse().unwrap(),
        };
        assert_eq!(handover.emit().err(), Some(SealError::Families));
    }
}
