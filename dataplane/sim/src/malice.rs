//! The datagrams of hostile senders ([`crate::plan::Malice`]).

use core::net::SocketAddr;

use lns_fuzz::corpus;
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{
    Cdn, Message, ProtocolVersion, ResultCode, Sccrq, Seq16, StopCcn, emit_control, emit_data,
};

use crate::observe::{Observer, Target};
use crate::plan::{Dice, Hostile, Malice};

/// Who is no LAC.
const STRANGER: SocketAddr = SocketAddr::new(
    core::net::IpAddr::V4(core::net::Ipv4Addr::new(203, 0, 113, 66)),
    40_000,
);

/// The inputs of the corpus that are octets of a datagram or of a message's body.
const FAMILIES: [&str; 5] = [
    "l2tp-header",
    "l2tp-message",
    "l2tp-hidden",
    "ppp-frame",
    "ppp-options",
];

/// The known inputs, read once for all runs.
#[derive(Debug)]
pub struct Corpus(Vec<Vec<u8>>);

impl Corpus {
    /// Reads them.
    pub fn load() -> Self {
        let cases = FAMILIES.iter().flat_map(|family| corpus::load(family));
        Self(
            cases
                .map(|case| case.octets)
                .filter(|octets| octets.len() < 60_000)
                .collect(),
        )
    }
}

/// The next datagram of a hostile sender; `None`: it finds nothing to do.
pub(crate) fn draw(
    hostile: Hostile,
    corpus: &Corpus,
    seen: &Observer,
    dice: &mut Dice,
) -> Option<(SocketAddr, Vec<u8>)> {
    let n = dice.place(1_000);
    let target = seen.target(n);
    let from = match target {
        Some(target) if hostile.spoofs => target.from,
        Some(_) | None => STRANGER,
    };
    let octets = match hostile.malice {
        Malice::Noise => {
            let len = dice.between(0, 200);
            dice.octets(len)
        }
        Malice::Corpus => known(corpus, target, dice),
        Malice::Replay => return seen.tape().recent(n).cloned(),
        Malice::End => end(target?, seen, dice),
        Malice::Flood => return Some(flood(hostile, dice)),
        Malice::Frames => frame(seen, dice)?,
        Malice::Cut => cut_short(target?, dice),
    };
    Some((from, octets))
}

fn known(corpus: &Corpus, target: Option<Target>, dice: &mut Dice) -> Vec<u8> {
    let mut octets = corpus.0[dice.place(corpus.0.len())].clone();
    if dice.percent(20)
        && let Some(octet) = octets.first_mut()
    {
        *octet ^= 0x55;
    }
    match target {
        Some(target) if dice.percent(60) => message(target, 0, &octets, dice),
        Some(_) | None => octets,
    }
}

/// A message with numbers that are right, or nearly.
fn message(target: Target, session: u16, body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let near = |number: u16, dice: &mut Dice| {
        let off = dice.pick(&[0, 0, 0, 1, 2, 0xffff, 0x7fff, 0x8000]);
        Seq16(number.wrapping_add(off))
    };
    let (ns, nr) = (near(target.ns, dice), near(target.nr, dice));
    let mut octets = Vec::new();
    let (tunnel, session) = (PeerTunnelId(target.tunnel.0), PeerSessionId(session));
    emit_control(tunnel, session, ns, nr, body, &mut octets).expect("the corpus fits");
    octets
}

fn body(message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    message
        .emit(&mut octets)
        .expect("a message of our own fits");
    octets
}

fn end(target: Target, seen: &Observer, dice: &mut Dice) -> Vec<u8> {
    let result = ResultCode {
        result: 1,
        error: None,
        advisory: b"",
    };
    let session = seen
        .session(dice.place(1_000))
        .map_or(1, |(_, session)| session.0);
    let octets = if dice.percent(30) {
        body(&Message::StopCcn(StopCcn {
            assigned_tunnel: PeerTunnelId(u16::try_from(dice.below(65_536)).expect("16 bits")),
            result,
        }))
    } else {
        body(&Message::Cdn(Cdn {
            assigned_session: PeerSessionId(u16::try_from(dice.below(65_536)).expect("16 bits")),
            result,
            q931: None,
            disconnect: None,
        }))
    };
    message(target, session, &octets, dice)
}

fn flood(hostile: Hostile, dice: &mut Dice) -> (SocketAddr, Vec<u8>) {
    let last = u8::try_from(dice.between(1, 250)).expect("an octet");
    let port = u16::try_from(dice.between(1_024, 65_535)).expect("a port");
    let from = if hostile.spoofs {
        SocketAddr::from(([198, 18, 0, last], port))
    } else {
        SocketAddr::from(([203, 0, 113, last], port))
    };
    let sccrq = body(&Message::Sccrq(Sccrq {
        version: ProtocolVersion::ONE,
        host_name: b"lac",
        framing: 3,
        assigned_tunnel: PeerTunnelId(u16::try_from(dice.between(1, 65_535)).expect("an id")),
        bearer: None,
        receive_window: None,
        challenge: None,
        tie_breaker: None,
        firmware: None,
        vendor_name: None,
    }));
    let mut octets = Vec::new();
    let (tunnel, session) = (PeerTunnelId::NONE, PeerSessionId::NONE);
    emit_control(tunnel, session, Seq16(0), Seq16(0), &sccrq, &mut octets).expect("it fits");
    (from, octets)
}

fn frame(seen: &Observer, dice: &mut Dice) -> Option<Vec<u8>> {
    let (tunnel, session) = seen.session(dice.place(1_000))?;
    let session = if dice.percent(50) {
        session.0
    } else {
        u16::try_from(dice.below(65_536)).expect("16 bits")
    };
    let mut octets = Vec::new();
    emit_data(
        PeerTunnelId(tunnel.0),
        PeerSessionId(session),
        None,
        &mut octets,
    );
    let protocol = dice.pick(&[0xc021_u16, 0xc023, 0xc223, 0x8021, 0x80fd, 0x0021]);
    octets.extend([0xff, 3]);
    octets.extend(protocol.to_be_bytes());
    let len = dice.between(0, 40);
    let data = dice.octets(len);
    if dice.percent(50) {
        let code = u8::try_from(dice.between(1, 13)).expect("a code");
        let len = u16::try_from(data.len() + 4).expect("short");
        octets.extend([code, data.first().copied().unwrap_or(1)]);
        octets.extend(len.to_be_bytes());
    }
    octets.extend(data);
    Some(octets)
}

/// The next message that the LAC could send, and not the whole of it.
fn cut_short(target: Target, dice: &mut Dice) -> Vec<u8> {
    let hello = [0x80, 8, 0, 0, 0, 0, 0, 6];
    let icrq = [
        0x80, 8, 0, 0, 0, 0, 0, 10, 0x80, 8, 0, 0, 0, 14, 0, 9, 0x80, 10, 0, 0, 0, 15, 0, 0, 0, 1,
    ];
    let whole: &[u8] = if dice.percent(50) { &hello } else { &icrq };
    let len = dice.place(whole.len() - 1) + 1;
    message(target, 0, &whole[..len], dice)
}
