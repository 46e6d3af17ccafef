//! A capture file of a trace, for Wireshark and tcpdump: each datagram under IP and UDP headers, which
//! are made here from the ends of its tunnel.

use core::net::{IpAddr, SocketAddr};
use core::ops::ControlFlow;
use core::time::Duration;
use std::io::ErrorKind::BrokenPipe;
use std::path::{Path, PathBuf};

use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, UdpHeader};
use jiff::Timestamp;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError};
use serde_json::Value;

use super::sink::{self, Sink};
use super::table::{at, count, thousands};
use crate::failure::Failure;

/// Of what is not known and does not matter.
const HOP_LIMIT: u8 = 64;

/// A file that is being written.
pub(super) struct Capture {
    path: PathBuf,
    /// Written at once: whoever reads along sees it, and nothing is lost.
    writer: PcapWriter<Sink>,
    packets: u64,
}

impl Capture {
    /// Makes the file, for its owner only. One that is there already is not written over. `-` is the
    /// standard output.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: &dyn core::fmt::Display| {
            Failure::Failed(format!(
                "cannot write {} (-w): {error}; choose another file",
                path.display()
            ))
        };
        let sink = Sink::open(path).map_err(|error| cannot(&error))?;
        let header = PcapHeader {
            datalink: DataLink::RAW,
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(sink, header);
        Ok(Self {
            path: path.to_owned(),
            writer: writer.map_err(|error| cannot(&error))?,
            packets: 0,
        })
    }

    /// Appends the datagram of a line, if it has one. Break: nobody reads it any more.
    pub(super) fn write(&mut self, line: &Value) -> Result<ControlFlow<()>, Failure> {
        let Some((packet, length)) = packet(line) else {
            return Ok(ControlFlow::Continue(()));
        };
        let time = at(line, &["time"]).parse::<Timestamp>().unwrap_or_default();
        let nanos = u64::try_from(time.as_nanosecond()).unwrap_or_default();
        let packet = PcapPacket::new(Duration::from_nanos(nanos), length, &packet);
        self.packets += 1;
        match self.writer.write_packet(&packet) {
            Ok(_) => Ok(ControlFlow::Continue(())),
            Err(PcapError::IoError(error)) if self.has_output() && error.kind() == BrokenPipe => {
                Ok(ControlFlow::Break(()))
            }
            // Its own words are about reading.
            Err(PcapError::IoError(error)) => Err(self.cannot(&error)),
            Err(error) => Err(self.cannot(&error)),
        }
    }

    /// Whether the standard output is taken by it.
    pub(super) fn has_output(&self) -> bool {
        sink::is_output(&self.path)
    }

    /// What is in the file now.
    pub(super) fn summary(&self) -> String {
        let place = if self.has_output() {
            "the standard output".to_owned()
        } else {
            self.path.display().to_string()
        };
        format!("{} packets in {place}", thousands(self.packets))
    }

    fn cannot(&self, error: &dyn core::fmt::Display) -> Failure {
        Failure::failed(format_args!("cannot write {}", self.path.display()), error)
    }
}

/// The IP packet of a line, as far as its datagram was kept, and how long it was.
fn packet(line: &Value) -> Option<(Vec<u8>, u32)> {
    let octets = octets(line["octets"].as_str()?)?;
    let length = usize::try_from(count(line, &["length"])).ok()?;
    let (local, remote) = (end(line, "local")?, end(line, "remote")?);
    let (from, to) = if line["direction"] == "in" {
        (remote, local)
    } else {
        (local, remote)
    };
    let udp = UdpHeader {
        source_port: from.port(),
        destination_port: to.port(),
        length: u16::try_from(length + UdpHeader::LEN).ok()?,
        // None was computed, over IPv4; over IPv6 it does not match.
        checksum: 0,
    };
    let mut out = ip_header(from.ip(), to.ip(), udp.length)?;
    let headers = out.len() + UdpHeader::LEN;
    out.extend_from_slice(&udp.to_bytes());
    out.extend_from_slice(&octets);
    Some((out, u32::try_from(headers + length).ok()?))
}

fn ip_header(from: IpAddr, to: IpAddr, length: u16) -> Option<Vec<u8>> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (from, to) = (from.octets(), to.octets());
            let mut header = Ipv4Header::new(length, HOP_LIMIT, IpNumber::UDP, from, to).ok()?;
            header.header_checksum = header.calc_header_checksum();
            Some(header.to_bytes().to_vec())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: length,
                next_header: IpNumber::UDP,
                hop_limit: HOP_LIMIT,
                source: from.octets(),
                destination: to.octets(),
            };
            Some(header.to_bytes().to_vec())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn end(line: &Value, which: &str) -> Option<SocketAddr> {
    at(line, &[which]).parse().ok()
}

fn octets(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = core::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use pcap_file::pcap::PcapReader;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_capture_reads_back_as_what_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.pcap");
        let mut capture = Capture::create(&path).unwrap();
        let lines = [
            ("192.0.2.1:1701", "198.51.100.1:5000", "in"),
            ("[2001:db8::1]:1701", "[2001:db8::2]:5000", "out"),
        ];
        for (local, remote, direction) in lines {
            let line = json!({
                "time": "2026-11-25T21:46:40.123456Z", "direction": direction, "octets": "c802000c",
                "length": 600, "local": local, "remote": remote,
            });
            assert!(capture.write(&line).unwrap().is_continue());
        }
        let step = json!({ "octets": null, "text": "a step" });
        assert!(capture.write(&step).unwrap().is_continue());
        assert_eq!(
            capture.summary(),
            format!("2 packets in {}", path.display())
        );

        let mut reader = PcapReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.header().datalink, DataLink::RAW);
        let first = reader.next_packet().unwrap().unwrap();
        assert_eq!(first.orig_len, 600 + 28);
        assert_eq!(first.timestamp.subsec_micros(), 123_456);
        let (ip, rest) = Ipv4Header::from_slice(&first.data).unwrap();
        let (udp, rest) = UdpHeader::from_slice(rest).unwrap();
        assert_eq!(
            (ip.source, ip.destination),
            ([198, 51, 100, 1], [192, 0, 2, 1])
        );
        assert_eq!(
            (udp.source_port, udp.destination_port, udp.length),
            (5000, 1701, 608)
        );
        assert_eq!(rest, [0xc8, 2, 0, 12]);
        let second = reader.next_packet().unwrap().unwrap();
        let (ip, _) = Ipv6Header::from_slice(&second.data).unwrap();
        assert_eq!(
            (ip.source_addr().to_string(), ip.payload_length),
            ("2001:db8::1".to_owned(), 608)
        );
        assert!(reader.next_packet().is_none());
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let Err(Failure::Failed(line)) = Capture::create(file.path()) else {
            panic!("it was written over");
        };
        assert!(
            line.contains("exists") && line.ends_with("; choose another file"),
            "{line}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_says_what_to_do() {
        let Err(Failure::Failed(line)) = Capture::create(Path::new("/nowhere/x.pcap")) else {
            panic!("it was written");
        };
        assert!(
            line.starts_with("cannot write /nowhere/x.pcap (-w): "),
            "{line}"
        );
        assert!(line.ends_with("; choose another file"), "{line}");
    }
}
