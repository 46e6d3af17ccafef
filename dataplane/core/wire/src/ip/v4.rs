//! The IPv4 header (RFC 791, 3.1). Options are skipped, not interpreted.

use core::net::Ipv4Addr;

use super::IpError;

const HEADER: usize = 20;

/// A view of an IPv4 packet whose header describes it. The header checksum is not verified here: the
/// kernel does so when the packet comes to it.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    fixed: &'a [u8; HEADER],
    packet: &'a [u8],
    header_length: usize,
}

impl<'a> Ipv4<'a> {
    /// The length of a header without options, octets.
    pub const HEADER: usize = HEADER;

    /// The packet at the beginning of `octets`; what is behind its total length is padding and cut off.
    ///
    /// # Errors
    /// An [`IpError`] when a length does not fit.
    pub fn parse(octets: &'a [u8]) -> Result<Self, IpError> {
        let fixed = octets.first_chunk::<HEADER>().ok_or(IpError::Truncated)?;
        if fixed[0] >> 4 != 4 {
            return Err(IpError::Version);
        }
        let header_length = usize::from(fixed[0] & 0x0f).saturating_mul(4);
        if header_length < Self::HEADER {
            return Err(IpError::HeaderLength);
        }
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if total < header_length {
            return Err(if total < Self::HEADER {
                IpError::TotalLength
            } else {
                IpError::HeaderLength
            });
        }
        let packet = octets.get(..total).ok_or(IpError::TotalLength)?;
        Ok(Self {
            fixed,
            packet,
            header_length,
        })
    }

    /// The packet without padding.
    pub const fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Its length, octets.
    pub const fn total_length(&self) -> usize {
        self.packet.len()
    }

    /// The length of its header with options, octets.
    pub const fn header_length(&self) -> usize {
        self.header_length
    }

    /// Header and options.
    pub fn header(&self) -> &'a [u8] {
        self.packet.get(..self.header_length).unwrap_or_default()
    }

    /// What is behind the header.
    pub fn payload(&self) -> &'a [u8] {
        self.packet.get(self.header_length..).unwrap_or_default()
    }

    /// The source address.
    pub const fn source(&self) -> Ipv4Addr {
        Ipv4Addr::new(
            self.fixed[12],
            self.fixed[13],
            self.fixed[14],
            self.fixed[15],
        )
    }

    /// The destination address.
    pub const fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::new(
            self.fixed[16],
            self.fixed[17],
            self.fixed[18],
            self.fixed[19],
        )
    }

    /// The protocol of the payload.
    pub const fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    /// Whether the sender forbids fragments.
    pub const fn dont_fragment(&self) -> bool {
        self.fixed[6] & 0x40 != 0
    }

    /// Whether fragments follow this one.
    pub const fn more_fragments(&self) -> bool {
        self.fixed[6] & 0x20 != 0
    }

    /// Where in the original payload this one begins, in units of 8 octets.
    pub const fn fragment_offset(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6] & 0x1f, self.fixed[7]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo request of 28 octets from 10.0.0.1 to 10.0.0.2 with DF.
    const ECHO: [u8; 28] = [
        0x45, 0x00, 0x00, 0x1c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x01, 0x14, 0xab, 10, 0, 0, 1, 10, 0,
        0, 2, 8, 0, 0xe5, 0x6a, 0x12, 0x34, 0, 1,
    ];

    #[test]
    fn the_fields_of_a_packet_are_read() {
        let packet = Ipv4::parse(&ECHO).unwrap();
        assert_eq!(packet.source(), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(packet.destination(), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(packet.protocol(), super::super::protocol::ICMP);
        assert!(packet.dont_fragment() && !packet.more_fragments());
        assert_eq!(packet.fragment_offset(), 0);
        assert_eq!(packet.payload().len(), 8);
    }

    #[test]
    fn every_truncation_is_refused() {
        for length in 0..ECHO.len() {
            let error = Ipv4::parse(&ECHO[..length]).unwrap_err();
            let expected = if length < 20 {
                IpError::Truncated
            } else {
                IpError::TotalLength
            };
            assert_eq!(error, expected, "{length}");
        }
    }

    #[test]
    fn padding_behind_the_total_length_is_cut_off() {
        let mut padded = ECHO.to_vec();
        padded.extend([0; 18]);
        assert_eq!(Ipv4::parse(&padded).unwrap().packet(), ECHO);
    }

    #[test]
    fn header_lengths_that_do_not_fit_are_refused() {
        for words in 0..=15_u8 {
            let mut packet = ECHO;
            packet[0] = 0x40 | words;
            let result = Ipv4::parse(&packet);
            match words {
                0..=4 | 8.. => assert_eq!(result.unwrap_err(), IpError::HeaderLength, "{words}"),
                _ => assert_eq!(result.unwrap().header_length(), usize::from(words) * 4),
            }
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut packet = ECHO;
        packet[0] = 0x65;
        assert_eq!(Ipv4::parse(&packet).unwrap_err(), IpError::Version);
    }
}
