//! L2TP as octets: headers, control messages, hidden AVPs (RFC 2661, 3.1, 4, 6).

use lns_crypto::{Rng, Secret};
use lns_l2tp::SecretChoice;
use lns_l2tp::hiding::{Hider, open};
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Avps, Message, MessageType, Packet, emit_control, emit_data, reveal};

use crate::Outcome;

/// The secret of the family `l2tp-hidden`.
const SECRET: &[u8] = b"a tunnel secret of sixteen";

/// A whole datagram: its header, and that it is the same after being written again.
pub(crate) fn header(datagram: &[u8]) -> Outcome {
    let packet = match Packet::parse(datagram) {
        Ok(packet) => packet,
        Err(error) => return Err(error.label()).into(),
    };
    let mut again = Vec::new();
    match packet {
        Packet::Control(header, body) => {
            assert_eq!(body.len() + 12, datagram.len());
            let (tunnel, session) = (header.tunnel.0, header.session.0);
            emit_control(
                PeerTunnelId(tunnel),
                PeerSessionId(session),
                header.ns,
                header.nr,
                body,
                &mut again,
            )
            .expect("what was received fits");
        }
        Packet::Data(header, frame) => {
            assert!(frame.len() + 6 <= datagram.len());
            let ns = header.sequence.map(|sequence| sequence.ns);
            let (tunnel, session) = (header.tunnel.0, header.session.0);
            emit_data(PeerTunnelId(tunnel), PeerSessionId(session), ns, &mut again);
            again.extend_from_slice(frame);
        }
    }
    match (Packet::parse(&again), packet) {
        (Ok(Packet::Control(header, body)), Packet::Control(first, octets)) => {
            assert_eq!((header, body), (first, octets));
        }
        (Ok(Packet::Data(header, frame)), Packet::Data(first, octets)) => {
            assert_eq!(
                (header.tunnel, header.session),
                (first.tunnel, first.session)
            );
            assert_eq!(
                header.sequence.map(|sequence| sequence.ns),
                first.sequence.map(|sequence| sequence.ns)
            );
            assert_eq!(frame, octets);
        }
        (other, _) => panic!("{other:?} of what was {packet:?}"),
    }
    Ok(()).into()
}

/// The body of a control message with nothing hidden. What can be read can be written, is then the
/// same message, and stays it when it is written again; hidden, it says the same to who has the secret.
pub(crate) fn message(body: &[u8]) -> Outcome {
    let mut read = 0;
    for avp in Avps::new(body) {
        read += avp.map_or(0, |avp| avp.value.len() + 6);
    }
    assert!(read <= body.len());
    let message = match Message::parse(body) {
        Ok(message) => message,
        Err(error) => {
            let answered = error.general_error().is_some();
            assert!(!(answered && error.is_malformed()));
            return Err(error.label()).into();
        }
    };
    assert_eq!(MessageType::peek(body), Ok(message.kind()));
    let mut once = Vec::new();
    message.emit(&mut once).expect("what was received fits");
    assert_eq!(Message::parse(&once), Ok(message));
    assert!(once.len() <= body.len() + 64, "it grew");
    let secret = Secret::new(SECRET);
    let mut hidden = Vec::new();
    let mut rng = Rng::from_seed([1; 32]);
    // A value may be too long to be hidden; it is refused and nothing is written.
    match message.emit_hidden(&mut Hider::new(&secret, &mut rng), &mut hidden) {
        Ok(()) => {
            let secrets = lns_l2tp::Secrets::single(secret);
            let (clear, _) = open(&hidden, Some(&secrets), SecretChoice::Current)
                .expect("what we hide can be revealed");
            assert_eq!(Message::parse(&clear), Ok(message));
        }
        Err(_) => assert!(hidden.is_empty()),
    }
    Ok(()).into()
}

/// The body of a control message with hidden AVPs, with and without the secret.
pub(crate) fn hidden(body: &[u8]) -> Outcome {
    let secrets = lns_l2tp::Secrets {
        current: Secret::new(SECRET),
        previous: Some(Secret::new(*b"another")),
    };
    let _: Result<_, _> = open(body, None, SecretChoice::Current).map(|(clear, _)| {
        assert!(clear.len() <= body.len());
    });
    let clear = match open(body, Some(&secrets), SecretChoice::Current) {
        Ok((clear, _)) => clear,
        Err(error) => return Err(error.label()).into(),
    };
    assert!(
        clear.len() <= body.len(),
        "a hidden AVP is longer than what it hides"
    );
    // Reserved bits are copied with the AVP: nobody reads it then, hidden or not.
    let still = Avps::new(&clear)
        .any(|avp| avp.is_ok_and(|avp| avp.hidden && avp.vendor == 0 && !avp.reserved));
    assert!(!still, "something is hidden still");
    let again = reveal(&clear, &mut Nobody).map(|again| again == clear);
    assert!(again.unwrap_or(true));
    Message::parse(&clear)
        .map(|_| ())
        .map_err(lns_wire::l2tp::ParseError::label)
        .into()
}

/// Reveals nothing.
struct Nobody;

impl lns_wire::l2tp::Unhide for Nobody {
    fn unhide(
        &mut self,
        _: u16,
        _: &[u8],
        _: &[u8],
        _: &mut Vec<u8>,
    ) -> Result<(), lns_wire::l2tp::UnhideError> {
        Err(lns_wire::l2tp::UnhideError::NoSecret)
    }
}
