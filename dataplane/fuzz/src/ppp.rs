//! PPP as octets: frames, control packets, options, PAP and CHAP (RFC 1661, 5 and 6; RFC 1332;
//! RFC 1334; RFC 1994; RFC 2759).

use lns_wire::ppp::ipcp::IpcpOption;
use lns_wire::ppp::lcp::LcpOption;
use lns_wire::ppp::{
    ChapPacket, Code, EapPacket, Error, Frame, Framing, MsChapV2Response, Options, Packet,
    PapReply, PapRequest, RawOption, emit_chap_value, emit_packet, emit_pap_reply,
};

use crate::Outcome;

/// A frame, and the control packet in it.
pub(crate) fn frame(octets: &[u8]) -> Outcome {
    outcome(parse_frame(octets))
}

fn parse_frame(octets: &[u8]) -> Result<(), Error> {
    let frame = Frame::parse(octets)?;
    for (acfc, pfc) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut again = Vec::new();
        Framing { acfc, pfc }.emit_header(frame.protocol, &mut again);
        again.extend_from_slice(frame.information);
        // An address field that is left out would make a number that begins with FF ambiguous.
        if frame.protocol.0 >> 8 != 0xff {
            assert_eq!(Frame::parse(&again), Ok(frame));
        }
    }
    let packet = Packet::parse(frame.information)?;
    assert!(packet.octets.len() <= frame.information.len());
    let mut again = Vec::new();
    emit_packet(&mut again, packet.code, packet.id, |out| {
        out.extend_from_slice(packet.data);
    });
    assert_eq!(again, packet.octets);
    Ok(())
}

/// The options of a Configure packet, as LCP's and as IPCP's.
pub(crate) fn options(data: &[u8]) -> Outcome {
    outcome(parse_options(data))
}

fn parse_options(data: &[u8]) -> Result<(), Error> {
    let options = Options::parse(data)?;
    let mut all = Vec::new();
    for raw in options.iter() {
        all.extend_from_slice(raw.octets);
        let mut written = Vec::new();
        let lcp = LcpOption::parse(raw);
        if !matches!(lcp, LcpOption::WrongLength { .. }) {
            lcp.emit(&mut written);
            assert_eq!(LcpOption::parse(only(&written)), kept(lcp, &written));
        }
        written.clear();
        let ipcp = IpcpOption::parse(raw);
        ipcp.emit(&mut written);
        assert!(written.len() <= raw.octets.len().max(6));
    }
    assert_eq!(all, data, "options lie end to end");
    Ok(())
}

/// The one option of a list of one.
fn only(octets: &[u8]) -> RawOption<'_> {
    let list = Options::parse(octets).expect("what we write is a list");
    let mut options = list.iter();
    let first = options.next().expect("of one");
    assert!(options.next().is_none());
    first
}

/// `option`, which borrows what came, as if it borrowed what was written.
fn kept<'a>(option: LcpOption<'_>, written: &'a [u8]) -> LcpOption<'a> {
    match option {
        LcpOption::Mru(mru) => LcpOption::Mru(mru),
        LcpOption::Accm(map) => LcpOption::Accm(map),
        LcpOption::Authentication(protocol) => LcpOption::Authentication(protocol),
        LcpOption::Magic(magic) => LcpOption::Magic(magic),
        LcpOption::Pfc => LcpOption::Pfc,
        LcpOption::Acfc => LcpOption::Acfc,
        LcpOption::WrongLength { kind } => LcpOption::WrongLength { kind },
        LcpOption::Other(_) => LcpOption::Other(only(written)),
    }
}

/// A PAP packet: requests by code 1, replies by the others.
pub(crate) fn pap(octets: &[u8]) -> Outcome {
    outcome(parse_pap(octets))
}

fn parse_pap(octets: &[u8]) -> Result<(), Error> {
    let packet = Packet::parse(octets)?;
    let mut again = Vec::new();
    if packet.code == Code(1) {
        let request = PapRequest::parse(packet.data)?;
        request.emit(&mut again);
        assert_eq!(PapRequest::parse(&again), Ok(request));
    } else {
        let reply = PapReply::parse(packet.data)?;
        emit_pap_reply(&mut again, reply.message);
        assert_eq!(PapReply::parse(&again), Ok(reply));
    }
    assert!(again.len() <= packet.data.len().max(1));
    Ok(())
}

/// A CHAP packet, and its value as a response of MS-CHAPv2 where its length is that of one.
pub(crate) fn chap(octets: &[u8]) -> Outcome {
    outcome(parse_chap(octets))
}

/// An EAP packet; what it says is somebody else's.
pub(crate) fn eap(octets: &[u8]) -> Outcome {
    outcome(parse_eap(octets))
}

fn parse_eap(octets: &[u8]) -> Result<(), Error> {
    let packet = Packet::parse(octets)?;
    match EapPacket::parse(&packet)? {
        EapPacket::Request(data) | EapPacket::Response(data) => {
            assert_eq!([&[data.kind.0], data.data].concat(), packet.data);
        }
        EapPacket::Success | EapPacket::Failure => {}
    }
    Ok(())
}

fn parse_chap(octets: &[u8]) -> Result<(), Error> {
    let packet = Packet::parse(octets)?;
    let parsed = ChapPacket::parse(&packet)?;
    if let ChapPacket::Challenge(value) | ChapPacket::Response(value) = parsed {
        assert!(!value.value.is_empty() && value.name.len() <= 253);
        let mut again = Vec::new();
        emit_chap_value(&mut again, value.value, value.name);
        assert_eq!(again, packet.data);
        let response = MsChapV2Response::parse(value.value);
        assert_eq!(response.is_ok(), value.value.len() == MsChapV2Response::LEN);
        if let Ok(response) = response {
            again.clear();
            response.emit(&mut again);
            assert_eq!(MsChapV2Response::parse(&again), Ok(response));
        }
    }
    Ok(())
}

fn outcome(result: Result<(), Error>) -> Outcome {
    result.map_err(Error::label).into()
}
