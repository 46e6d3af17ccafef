//! Control messages of a script: the right one by its name, and then what is wrong with it.
//!
//! ```text
//! -AVP            leaves it out                +AVP=OCTETS     sets or adds it
//! hide:AVP        hides it (RFC 2661, 4.3)     lie:AVP         and gives it a length of 65,535
//! length:AVP=N    lies about its length        reserved:AVP    sets a reserved bit
//! ns=±N           another number than is due   tunnel=N session=N bits=0xNNNN
//! total=±N        lies about the message's length               tail=OCTETS  after the last AVP
//! ```
//!
//! An AVP is its name in the RFC in small letters with dashes, or VENDOR/TYPE; `!` behind it sets the M
//! bit, `?` clears it.

use anyhow::{Context as _, Result, bail};
use lns_crypto::{Secret, l2tp};
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{
    Attribute, Avp, MessageType, ProtocolVersion, ResultCode, Seq16, emit_control, kind,
};

use super::script::{number, value};
use crate::manifest::TUNNEL_SECRET;

/// A control message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Control {
    /// `None` is a ZLB.
    pub(super) message: Option<MessageType>,
    header: Header,
    changes: Vec<Change>,
}

/// What is other than it should be outside of the AVPs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Header {
    ns: i16,
    total: i16,
    tunnel: Option<u16>,
    session: Option<u16>,
    bits: Option<u16>,
    tail: Vec<u8>,
}

/// What a message is addressed to and numbered with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Address {
    /// Our ids and the LNS's.
    pub(super) tunnel: u16,
    pub(super) session: u16,
    pub(super) peer_tunnel: u16,
    pub(super) peer_session: u16,
    /// The next number of ours, and the one that is expected.
    pub(super) ns: Seq16,
    pub(super) nr: Seq16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Change {
    Without(u16),
    With(Attributed),
    Hide { kind: u16, lie: bool },
    Length(u16, u16),
    Reserved(u16),
}

/// An AVP that owns its value.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Attributed {
    vendor: u16,
    kind: u16,
    mandatory: bool,
    hidden: bool,
    value: Vec<u8>,
    /// What the length field says, if not the length.
    length: Option<u16>,
    reserved: bool,
}

impl Control {
    /// The message `name` with `changes`.
    pub(super) fn parse(name: &str, changes: &[&str]) -> Result<Self> {
        let known = MessageType::ALL;
        let message = known.into_iter().find(|known| known.label() == name);
        if message.is_none() && name != "ZLB" {
            bail!("there is no message {name}");
        }
        let mut control = Self {
            message,
            header: Header::default(),
            changes: Vec::new(),
        };
        for word in changes {
            if !control.header.take(word)? {
                control.changes.push(Change::parse(word)?);
            }
        }
        Ok(control)
    }

    /// The message `message` as it should be, with `attributes` beside its own.
    pub(super) fn plain(message: MessageType, attributes: &[Attribute<'_>]) -> Self {
        let changes = attributes
            .iter()
            .map(|attribute| Change::With(attribute.into()));
        Self {
            message: Some(message),
            header: Header::default(),
            changes: changes.collect(),
        }
    }

    /// Whether it is `message` with nothing changed.
    pub(super) fn is_plain(&self, message: MessageType) -> bool {
        *self == Self::plain(message, &[])
    }

    /// Its octets.
    pub(super) fn emit(&self, address: &Address) -> Result<Vec<u8>> {
        let mut attributes = match self.message {
            Some(message) => own(message, address),
            None => Vec::new(),
        };
        for change in &self.changes {
            change.apply(&mut attributes)?;
        }
        let mut body = Vec::new();
        for attribute in attributes {
            attribute.emit(&mut body)?;
        }
        let header = &self.header;
        body.extend_from_slice(&header.tail);
        let (tunnel, session) = self.destination(address);
        let mut octets = Vec::new();
        emit_control(
            PeerTunnelId(header.tunnel.unwrap_or(tunnel)),
            PeerSessionId(header.session.unwrap_or(session)),
            Seq16(address.ns.0.wrapping_add_signed(header.ns)),
            address.nr,
            &body,
            &mut octets,
        )?;
        patch(&mut octets, 0, |bits| header.bits.unwrap_or(bits));
        patch(&mut octets, 2, |total| {
            total.wrapping_add_signed(header.total)
        });
        Ok(octets)
    }

    /// The tunnel and session that a message of this kind is about.
    fn destination(&self, address: &Address) -> (u16, u16) {
        match self.message {
            Some(MessageType::Sccrq) => (0, 0),
            Some(message) if message.is_call() && message != MessageType::Icrq => {
                (address.peer_tunnel, address.peer_session)
            }
            _ => (address.peer_tunnel, 0),
        }
    }
}

impl Header {
    /// Takes a change of the header; `false` when `word` is none.
    fn take(&mut self, word: &str) -> Result<bool> {
        match word.split_once('=') {
            Some(("ns", by)) => self.ns = by.parse()?,
            Some(("total", by)) => self.total = by.parse()?,
            Some(("tunnel", id)) => self.tunnel = Some(number(id)?),
            Some(("session", id)) => self.session = Some(number(id)?),
            Some(("bits", bits)) => self.bits = Some(number(bits)?),
            Some(("tail", octets)) => self.tail = value(octets)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Change {
    fn parse(word: &str) -> Result<Self> {
        if let Some(avp) = word.strip_prefix('-') {
            return Ok(Self::Without(Attributed::named(avp)?.kind));
        }
        if let Some((avp, octets)) = word.strip_prefix('+').and_then(|word| word.split_once('=')) {
            let mut attributed = Attributed::named(avp)?;
            attributed.value = value(octets)?;
            return Ok(Self::With(attributed));
        }
        let (what, avp) = word
            .split_once(':')
            .with_context(|| format!("no such change: {word}"))?;
        let (avp, length) = avp.split_once('=').unwrap_or((avp, "0"));
        let kind = Attributed::named(avp)?.kind;
        Ok(match what {
            "hide" => Self::Hide { kind, lie: false },
            "lie" => Self::Hide { kind, lie: true },
            "length" => Self::Length(kind, number(length)?),
            "reserved" => Self::Reserved(kind),
            _ => bail!("no such change: {what}"),
        })
    }

    /// Changes the list of AVPs.
    fn apply(&self, attributes: &mut Vec<Attributed>) -> Result<()> {
        let place = |kind: u16| attributes.iter().position(|known| known.kind == kind);
        match self {
            Self::Without(kind) => attributes.retain(|known| known.kind != *kind),
            Self::With(new) => {
                let same =
                    |known: &&mut Attributed| (known.vendor, known.kind) == (new.vendor, new.kind);
                match attributes.iter_mut().find(same) {
                    Some(known) => *known = new.clone(),
                    None => attributes.push(new.clone()),
                }
            }
            Self::Hide { kind, lie } => {
                let place = place(*kind).context("nothing to hide")?;
                let hidden = attributes.get_mut(place).context("nothing to hide")?;
                hidden.hide(*lie);
                attributes.insert(1, (&Attribute::RandomVector(&VECTOR)).into());
            }
            Self::Length(kind, length) => {
                let place = place(*kind).context("no such AVP")?;
                if let Some(known) = attributes.get_mut(place) {
                    known.length = Some(*length);
                }
            }
            Self::Reserved(kind) => {
                let place = place(*kind).context("no such AVP")?;
                if let Some(known) = attributes.get_mut(place) {
                    known.reserved = true;
                }
            }
        }
        Ok(())
    }
}

impl Attributed {
    /// An AVP by its name, without a value.
    fn named(word: &str) -> Result<Self> {
        let (name, mandatory) = match word.strip_suffix('!') {
            Some(name) => (name, Some(true)),
            None => word
                .strip_suffix('?')
                .map_or((word, None), |name| (name, Some(false))),
        };
        let (vendor, kind) = if let Some((vendor, kind)) = name.split_once('/') {
            (number(vendor)?, number(kind)?)
        } else {
            let known = (0..=kind::PPP_DISCONNECT_CAUSE).find(|kind| dashed(*kind) == name);
            (0, known.with_context(|| format!("there is no AVP {name}"))?)
        };
        Ok(Self {
            vendor,
            kind,
            mandatory: mandatory.unwrap_or(vendor == 0 && kind::is_mandatory(kind)),
            hidden: false,
            value: Vec::new(),
            length: None,
            reserved: false,
        })
    }

    fn hide(&mut self, lie: bool) {
        let secret = Secret::new(TUNNEL_SECRET.as_bytes());
        let mut hidden = Vec::new();
        l2tp::hide(&secret, self.kind, &VECTOR, &self.value, &[], &mut hidden);
        if lie {
            // The first two octets are the length under the mask: one under the same mask is as easy.
            let length = u16::try_from(self.value.len()).unwrap_or(0);
            patch(&mut hidden, 0, |masked| masked ^ length ^ u16::MAX);
        }
        self.hidden = true;
        self.value = hidden;
    }

    fn emit(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let avp = Avp {
            mandatory: self.mandatory,
            hidden: self.hidden,
            reserved: false,
            vendor: self.vendor,
            kind: self.kind,
            value: &self.value,
        };
        avp.emit(out)?;
        if let Some(length) = self.length {
            patch(out, start, |bits| bits & !0x03ff | length & 0x03ff);
        }
        if self.reserved {
            patch(out, start, |bits| bits | 0x0400);
        }
        Ok(())
    }
}

impl From<&Attribute<'_>> for Attributed {
    fn from(attribute: &Attribute<'_>) -> Self {
        let mut value = Vec::new();
        attribute.emit(&mut value);
        Self {
            vendor: 0,
            kind: attribute.kind(),
            mandatory: kind::is_mandatory(attribute.kind()),
            hidden: false,
            value,
            length: None,
            reserved: false,
        }
    }
}

/// What a Random Vector AVP of ours says: here nobody guesses.
const VECTOR: [u8; 16] = *b"0123456789abcdef";

/// The AVPs of a message as it should be.
fn own(message: MessageType, address: &Address) -> Vec<Attributed> {
    let tunnel = Attribute::AssignedTunnelId(PeerTunnelId(address.tunnel));
    let session = Attribute::AssignedSessionId(PeerSessionId(address.session));
    let result = |result| {
        Attribute::ResultCode(ResultCode {
            result,
            ..ResultCode::default()
        })
    };
    let own: &[Attribute<'_>] = match message {
        MessageType::Sccrq | MessageType::Sccrp => &[
            Attribute::ProtocolVersion(ProtocolVersion::ONE),
            Attribute::FramingCapabilities(3),
            Attribute::HostName(b"lac1"),
            tunnel,
            Attribute::ReceiveWindowSize(8),
        ],
        MessageType::StopCcn => &[tunnel, result(1)],
        MessageType::Icrq => &[session, Attribute::CallSerialNumber(1)],
        MessageType::Icrp => &[session],
        MessageType::Iccn => &[
            Attribute::TxConnectSpeed(100_000_000),
            Attribute::FramingType(1),
        ],
        MessageType::Cdn => &[result(3), session],
        MessageType::Ocrq => &[
            session,
            Attribute::CallSerialNumber(1),
            Attribute::MinimumBps(1),
            Attribute::MaximumBps(100_000_000),
            Attribute::BearerType(1),
            Attribute::FramingType(1),
            Attribute::CalledNumber(b"isp"),
        ],
        MessageType::Ocrp
        | MessageType::Occn
        | MessageType::Scccn
        | MessageType::Hello
        | MessageType::Wen
        | MessageType::Sli => &[],
    };
    let first = Attribute::MessageType(message.number());
    std::iter::once(&first).chain(own).map(Into::into).collect()
}

/// The name of an AVP as one word.
fn dashed(kind: u16) -> String {
    let name = kind::name(kind).to_lowercase();
    name.replace(['(', ')'], "").replace(' ', "-")
}

/// Changes two octets as one number.
fn patch(octets: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) {
    let field = octets.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>);
    if let Some(field) = field {
        *field = change(u16::from_be_bytes(*field)).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address {
        tunnel: 1,
        session: 2,
        peer_tunnel: 3,
        peer_session: 4,
        ns: Seq16(5),
        nr: Seq16(6),
    };

    fn octets(name: &str, changes: &[&str]) -> Vec<u8> {
        Control::parse(name, changes)
            .unwrap()
            .emit(&ADDRESS)
            .unwrap()
    }

    #[test]
    fn a_message_is_addressed_by_what_it_is() {
        assert_eq!(octets("SCCRQ", &[])[4..8], [0, 0, 0, 0]);
        assert_eq!(octets("ICRQ", &[])[4..8], [0, 3, 0, 0]);
        assert_eq!(octets("CDN", &[])[4..12], [0, 3, 0, 4, 0, 5, 0, 6]);
        assert_eq!(octets("ZLB", &[]).len(), 12);
    }

    #[test]
    fn each_change_is_in_the_octets_and_nothing_else_is() {
        let hello = octets("HELLO", &[]);
        assert_eq!(octets("HELLO", &["ns=-1"])[8..10], [0, 4]);
        assert_eq!(octets("HELLO", &["bits=0x4802"])[..2], [0x48, 2]);
        assert_eq!(octets("HELLO", &["total=+3"])[2..4], [0, 23]);
        assert_eq!(octets("HELLO", &["tail=00"]).len(), hello.len() + 1);
        assert_eq!(octets("HELLO", &["-message-type"]).len(), 12);
        assert_eq!(
            octets("HELLO", &["length:message-type=0"])[12..14],
            [0x80, 0]
        );
        assert_eq!(
            octets("HELLO", &["reserved:message-type"])[12..14],
            [0x84, 8]
        );
        assert_eq!(
            octets("HELLO", &["+9/7!=0102"])[20..],
            [0x80, 8, 0, 9, 0, 7, 1, 2]
        );
        assert_eq!(
            octets("HELLO", &["+message-type?=0007"])[12..20],
            [0, 8, 0, 0, 0, 0, 0, 7]
        );
    }

    #[test]
    fn a_lie_about_a_hidden_length_is_read_as_one() {
        let read = |change: &str| {
            let octets = octets("ICRQ", &["+calling-number=\"123\"", change]);
            let at = octets.len() - 5;
            let mut out = Vec::new();
            let secret = Secret::new(TUNNEL_SECRET.as_bytes());
            l2tp::unhide(
                &secret,
                kind::CALLING_NUMBER,
                &VECTOR,
                &octets[at..],
                &mut out,
            )
            .map(|()| out)
        };
        assert_eq!(read("hide:calling-number").unwrap(), b"123");
        assert!(read("lie:calling-number").is_err());
    }
}
