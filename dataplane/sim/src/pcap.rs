//! A capture of what went in and out of the node, as raw IP with UDP, which Wireshark decodes.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::fs::File;
use std::path::Path;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError};

use crate::observe::{Record, Way};
use crate::world::SERVICE;

/// Octets of the headers of IPv4 and UDP.
const HEADERS: usize = 28;

/// Writes the datagrams among `records`.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, records: &[Record]) -> Result<(), PcapError> {
    let header = PcapHeader {
        datalink: DataLink::RAW,
        ..PcapHeader::default()
    };
    let mut writer =
        PcapWriter::with_header(File::create(path).map_err(PcapError::IoError)?, header)?;
    for record in records {
        let Record::Datagram(at, way, other, octets) = record else {
            continue;
        };
        let (from, to) = match way {
            Way::ToNode => (*other, SERVICE),
            Way::FromNode => (SERVICE, *other),
        };
        let packet = packet(from, to, octets);
        let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let at = Duration::from_nanos(at.as_nanos());
        writer.write_packet(&PcapPacket::new(at, len, &packet))?;
    }
    Ok(())
}

fn packet(from: SocketAddr, to: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let len = u16::try_from(octets.len() + HEADERS).unwrap_or(u16::MAX);
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    for end in [from, to] {
        match end.ip() {
            IpAddr::V4(address) => packet.extend(address.octets()),
            IpAddr::V6(_) => packet.extend([0; 4]),
        }
    }
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    for field in [from.port(), to.port(), len - 20, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(octets);
    packet
}

fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use lns_tables::time::Instant;

    use super::*;

    #[test]
    fn a_capture_holds_each_datagram_with_right_headers() {
        let lac = SocketAddr::from(([198, 18, 0, 1], 1702));
        let records = [
            Record::Datagram(Instant::from_millis(1_500), Way::ToNode, lac, vec![1, 2, 3]),
            Record::Event(Instant::ZERO, "no datagram".to_owned()),
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &records).unwrap();
        let mut reader =
            pcap_file::pcap::PcapReader::new(File::open(file.path()).unwrap()).unwrap();
        assert_eq!(reader.header().datalink, DataLink::RAW);
        let packet = reader.next_packet().unwrap().unwrap();
        assert_eq!(packet.timestamp, Duration::from_millis(1_500));
        // The sum over a header and its checksum is all ones.
        assert_eq!(checksum(&packet.data[..20]), 0);
        assert_eq!(
            (packet.data[0], packet.data[9], packet.data[3]),
            (0x45, 17, 31)
        );
        assert_eq!(packet.data[20..24], [6, 166, 6, 165], "from 1702 to 1701");
        assert_eq!(packet.data[28..], [1, 2, 3]);
        assert!(reader.next_packet().is_none());
    }
}
