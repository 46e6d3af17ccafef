//! The PPP header in front of a packet (RFC 1661, 2, 6.5 and 6.6; RFC 1662, 3.1).

use lns_wire::Reader;

/// IPv4 (RFC 1332).
pub(super) const IPV4: u16 = 0x0021;
/// IPv6 (RFC 5072).
pub(super) const IPV6: u16 = 0x0057;

/// The protocol of a frame and where its information begins. A peer may leave out FF03 and the first
/// octet of the protocol whether or not it was allowed to: there is no doubt what it means. `None` when
/// the frame ends before that or the protocol field is not one: its last octet is even, or it begins
/// with FF, which is kept free to be told from the address field (RFC 1661, 6.5).
pub(super) fn protocol(frame: &[u8]) -> Option<(u16, usize)> {
    let mut reader = Reader::new(frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame));
    let first = reader.u8().ok()?;
    let protocol = if first & 1 == 1 {
        u16::from(first)
    } else {
        u16::from_be_bytes([first, reader.u8().ok()?])
    };
    (protocol & 1 == 1 && first != 0xff)
        .then_some((protocol, frame.len().saturating_sub(reader.len())))
}

/// The header before an IPv4 packet, as short as the peer allows; it ends at the end of the array.
pub(super) fn ipv4_header(acfc: bool, pfc: bool) -> &'static [u8] {
    match (acfc, pfc) {
        (false, false) => &[0xff, 0x03, 0x00, 0x21],
        (false, true) => &[0xff, 0x03, 0x21],
        (true, false) => &[0x00, 0x21],
        (true, true) => &[0x21],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_header_is_read() {
        for acfc in [false, true] {
            for pfc in [false, true] {
                let header = ipv4_header(acfc, pfc);
                assert_eq!(
                    protocol(&[header, &[0x45]].concat()),
                    Some((IPV4, header.len()))
                );
            }
        }
        assert_eq!(protocol(&[0xff, 0x03, 0xc0, 0x21, 1]), Some((0xc021, 4)));
        assert_eq!(protocol(&[0x80, 0x21]), Some((0x8021, 2)));
    }

    #[test]
    fn cut_frames_and_even_protocols_are_refused() {
        for frame in [
            &[][..],
            &[0xff, 0x03],
            &[0xff, 0x03, 0xc0],
            &[0xc0],
            &[0xc0, 0x20],
            &[0x00, 0x00],
            &[0xff],
            &[0xff, 0x21],
        ] {
            assert_eq!(protocol(frame), None, "{frame:02x?}");
        }
    }
}
