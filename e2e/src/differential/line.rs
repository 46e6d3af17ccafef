//! One tunnel of a script with its one call: numbers, acknowledgements, and what a subscriber that
//! wants nothing special answers by itself.
//!
//! Numbers follow what the LNS acknowledges, so that a message which it drops costs the script nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Attribute, Avps, ControlHeader, MessageType, Packet, Seq16, emit_data};
use lns_wire::ppp::{Code, Framing, Protocol, emit_packet};

use super::answer;
use super::control::{Address, Control};
use super::script::Frame;
use super::subscriber::Subscriber;

/// How long nothing must come before nothing more is expected, once the LNS is known to have handled
/// what was sent.
const GRACE: Duration = Duration::from_millis(30);
/// How long a server may take for one answer on a busy machine. One that takes longer answers nobody.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries of the question whether the server is there.
const AGAIN: Duration = Duration::from_secs(1);

/// Something that the LNS sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Heard {
    /// What it is, in words.
    pub(super) label: String,
    /// It came by the LNS's own timers: a request, not an answer.
    pub(super) unasked: bool,
}

/// One tunnel.
#[derive(Debug)]
pub(super) struct Line {
    socket: UdpSocket,
    lns: SocketAddr,
    address: Address,
    /// The last control message.
    last: Vec<u8>,
    /// The challenge in the LNS's SCCRP.
    challenge: Option<Vec<u8>>,
    /// The subscriber at the end of the call.
    pub(super) subscriber: Subscriber,
    /// The LNS has ended the tunnel, or the call in it.
    pub(super) over: bool,
    /// What came and was not taken yet.
    pub(super) heard: Vec<Heard>,
    sent: u64,
}

impl Line {
    /// A tunnel that has sent nothing yet.
    pub(super) fn new(from: SocketAddr, lns: SocketAddr, tunnel: u16) -> Result<Self> {
        Ok(Self {
            socket: UdpSocket::bind(from).with_context(|| format!("binding {from}"))?,
            lns,
            address: Address {
                tunnel,
                session: 1,
                ..Address::default()
            },
            last: Vec::new(),
            challenge: None,
            subscriber: Subscriber::default(),
            over: false,
            heard: Vec::new(),
            sent: 0,
        })
    }

    /// Sends a control message.
    pub(super) fn send(&mut self, control: &Control) -> Result<()> {
        self.last = control.emit(&self.address)?;
        self.again()
    }

    /// Sends the last control message again.
    pub(super) fn again(&mut self) -> Result<()> {
        self.put(&self.last.clone())
    }

    /// Sends a PPP frame.
    pub(super) fn send_frame(&mut self, frame: &Frame) -> Result<()> {
        let mut octets = Vec::new();
        Framing::default().emit_header(Protocol(frame.protocol), &mut octets);
        match frame.code {
            None => octets.extend_from_slice(&frame.data),
            Some(code) => {
                let theirs = frame.answers.then_some(self.subscriber.asked);
                let id = theirs.or(frame.id);
                let id = id.unwrap_or_else(|| self.subscriber.next_id());
                emit_packet(&mut octets, Code(code), id, |data| {
                    data.extend_from_slice(&frame.data);
                });
            }
        }
        let tunnel = frame.tunnel.unwrap_or(self.address.peer_tunnel);
        let session = frame.session.unwrap_or(self.address.peer_session);
        let message = data_message(tunnel, session, &frame.bits, &octets);
        self.put(&message)
    }

    /// Datagrams sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The next session id of ours, for a call beside the first.
    pub(super) fn second_call(&mut self) {
        self.address.session = 2;
    }

    /// Whether the LNS has named its tunnel, and its session.
    pub(super) fn named(&self) -> (bool, bool) {
        (
            self.address.peer_tunnel != 0,
            self.address.peer_session != 0,
        )
    }

    /// The number that the LNS expects next from us.
    pub(super) fn acknowledged(&self) -> Seq16 {
        self.address.ns
    }

    /// What our SCCCN has to answer.
    pub(super) fn challenge(&self) -> Option<&[u8]> {
        self.challenge.as_deref()
    }

    /// Says HELLO until it is acknowledged; `false` when the LNS does not answer. What came before that
    /// was handled before.
    pub(super) fn ping(&mut self) -> Result<bool> {
        let before = self.address.ns;
        self.send(&Control::plain(MessageType::Hello, &[]))?;
        self.insist(|line| line.address.ns != before)
    }

    /// Sends the last control message again each second until `holds`, and says whether it does.
    pub(super) fn insist(&mut self, holds: impl Fn(&Self) -> bool) -> Result<bool> {
        let give_up = Instant::now() + PATIENCE;
        let mut due = Instant::now() + AGAIN;
        while !holds(self) {
            if !self.receive(due.min(give_up))? && Instant::now() >= due {
                if due >= give_up {
                    return Ok(false);
                }
                self.again()?;
                due += AGAIN;
            }
        }
        Ok(true)
    }

    /// Takes in all that has come.
    pub(super) fn drain(&mut self) -> Result<()> {
        while self.receive(Instant::now() + GRACE)? {}
        Ok(())
    }

    /// Takes in what comes until `holds`, and says whether it does.
    pub(super) fn until(&mut self, holds: impl Fn(&Self) -> bool) -> Result<bool> {
        let give_up = Instant::now() + PATIENCE;
        while !holds(self) {
            if !self.receive(give_up)? && Instant::now() >= give_up {
                return Ok(holds(self));
            }
        }
        Ok(true)
    }

    /// Takes in one datagram; `false` when none came by then.
    fn receive(&mut self, by: Instant) -> Result<bool> {
        let left = by.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 2048];
        let length = match self.socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if is_silence(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        match Packet::parse(buffer.get(..length).unwrap_or_default()) {
            Ok(Packet::Control(header, body)) => self.handle_control(header, body)?,
            Ok(Packet::Data(_, frame)) => {
                let mut replies = Vec::new();
                let heard = self.subscriber.handle(frame, &mut replies);
                self.heard.push(heard);
                for reply in replies {
                    self.send_frame(&reply)?;
                }
            }
            Err(error) => self.hear(format!("a message that is none ({error})"), false),
        }
        Ok(true)
    }

    fn handle_control(&mut self, header: ControlHeader, body: &[u8]) -> Result<()> {
        if self.address.ns.is_before(header.nr) {
            self.address.ns = header.nr;
        }
        if body.is_empty() {
            return Ok(());
        }
        let is_new = header.ns == self.address.nr;
        if is_new {
            self.address.nr = header.ns.next();
            self.learn(body);
            let label = answer::control(body);
            let unasked = label == MessageType::Hello.label();
            self.over |= label.starts_with("CDN") || label.starts_with("StopCCN");
            self.hear(label, unasked);
        }
        let zlb = Control::parse("ZLB", &[])?.emit(&self.address)?;
        self.put(&zlb)
    }

    fn put(&mut self, octets: &[u8]) -> Result<()> {
        self.sent += 1;
        self.socket.send_to(octets, self.lns)?;
        Ok(())
    }

    fn learn(&mut self, body: &[u8]) {
        let avps = Avps::new(body).map_while(Result::ok);
        for avp in avps.filter(|avp| avp.vendor == 0 && !avp.hidden) {
            match Attribute::parse(avp.kind, avp.value) {
                Ok(Some(Attribute::AssignedTunnelId(id))) => self.address.peer_tunnel = id.0,
                Ok(Some(Attribute::AssignedSessionId(id))) if self.address.peer_session == 0 => {
                    self.address.peer_session = id.0;
                }
                Ok(Some(Attribute::Challenge(octets))) => self.challenge = Some(octets.to_vec()),
                _ => {}
            }
        }
    }

    fn hear(&mut self, label: String, unasked: bool) {
        self.heard.push(Heard { label, unasked });
    }
}

/// A data message with the bits that `letters` name: L and S get true values, O an offset of four
/// octets.
fn data_message(tunnel: u16, session: u16, letters: &str, frame: &[u8]) -> Vec<u8> {
    let (tunnel, session) = (PeerTunnelId(tunnel), PeerSessionId(session));
    let mut plain = Vec::new();
    let number = letters.contains('S').then_some(Seq16(0));
    emit_data(tunnel, session, number, &mut plain);
    let (first, rest) = plain.split_at(2);
    let mut flags = first
        .first_chunk::<2>()
        .map_or(0, |flags| u16::from_be_bytes(*flags));
    let mut tail = rest.to_vec();
    if letters.contains('O') {
        flags |= 0x0200;
        tail.extend_from_slice(&[0, 4, 0, 0, 0, 0]);
    }
    if letters.contains('P') {
        flags |= 0x0100;
    }
    tail.extend_from_slice(frame);
    let mut octets = Vec::new();
    if letters.contains('L') {
        let length = u16::try_from(tail.len() + 4).unwrap_or(u16::MAX);
        octets.extend_from_slice(&(flags | 0x4000).to_be_bytes());
        octets.extend_from_slice(&length.to_be_bytes());
    } else {
        octets.extend_from_slice(&flags.to_be_bytes());
    }
    octets.extend_from_slice(&tail);
    octets
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock
            | std::io::ErrorKind::TimedOut
            | std::io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_data_message_is_understood() {
        for letters in ["", "L", "S", "O", "P", "LSOP"] {
            let octets = data_message(3, 4, letters, b"\xff\x03frame");
            let Ok(Packet::Data(header, frame)) = Packet::parse(&octets) else {
                panic!("{letters}");
            };
            assert_eq!((header.tunnel.0, header.session.0), (3, 4), "{letters}");
            assert_eq!(header.priority, letters.contains('P'));
            assert_eq!(header.sequence.is_some(), letters.contains('S'));
            assert_eq!(frame, b"\xff\x03frame", "{letters}");
        }
    }
}
