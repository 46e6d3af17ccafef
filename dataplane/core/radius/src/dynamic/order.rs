//! What is asked: of which session, and what may be in such a request (RFC 5176, 3.6).

use core::net::Ipv4Addr;
use std::sync::Arc;

use lns_wire::radius::{Attribute, AttributeList, Code, Packet, kind};

use super::reply::ErrorCause;

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Command {
    /// A session is to end.
    Disconnect,
    /// A session is to be changed.
    Change,
}

/// A request that is whole and signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// Who asks.
    pub client: Arc<str>,
    /// What for.
    pub command: Command,
    /// Of which session.
    pub target: Target,
    /// What to change; of a Disconnect-Request nothing.
    pub changes: AttributeList,
}

/// Which session is meant: one that has all that is said here.
///
/// One of `session`, `user` and `address` is there at least: by these, sessions are found. The others only
/// tell apart what has been found. NAS-Port is not among them: it is the number of a place, which another session
/// has later.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Target {
    /// Acct-Session-Id.
    pub session: Option<Box<str>>,
    /// User-Name.
    pub user: Option<Box<[u8]>>,
    /// Framed-IP-Address.
    pub address: Option<Ipv4Addr>,
    /// Calling-Station-Id.
    pub calling: Option<Box<[u8]>>,
    /// Called-Station-Id.
    pub called: Option<Box<[u8]>>,
    /// NAS-Port-Id.
    pub port_id: Option<Box<[u8]>>,
}

/// Service-Type: Framed (RFC 2865, 5.6), which all sessions here are.
const FRAMED: u32 = 2;

impl Order {
    /// Reads a request. Its signatures and its date were right.
    pub(super) fn read(
        client: Arc<str>,
        command: Command,
        packet: &Packet<'_>,
        identity: &AttributeList,
    ) -> Result<Self, ErrorCause> {
        let mut order = Self {
            client,
            command,
            target: Target::default(),
            changes: AttributeList::new(),
        };
        // Which NAS is meant comes first: whatever else is wrong concerns another one then.
        if packet.attributes().any(|it| is_anothers(&it, identity)) {
            return Err(ErrorCause::NasIdentificationMismatch);
        }
        for attribute in packet.attributes() {
            order.take(&attribute)?;
        }
        let target = &order.target;
        if target.session.is_none() && target.user.is_none() && target.address.is_none() {
            return Err(ErrorCause::MissingAttribute);
        }
        if command == Command::Change && order.changes.octets().is_empty() {
            return Err(ErrorCause::MissingAttribute);
        }
        Ok(order)
    }

    fn take(&mut self, attribute: &Attribute<'_>) -> Result<(), ErrorCause> {
        let target = &mut self.target;
        match attribute.kind {
            kind::ACCT_SESSION_ID => {
                let text = core::str::from_utf8(octets(attribute)?);
                let text = text.map_err(|_| ErrorCause::InvalidAttributeValue)?;
                once(&mut target.session, text.into())
            }
            kind::USER_NAME => once(&mut target.user, octets(attribute)?.into()),
            kind::FRAMED_IP_ADDRESS => {
                let address = attribute.ipv4();
                once(&mut target.address, address.map_err(invalid)?)
            }
            kind::CALLING_STATION_ID => once(&mut target.calling, octets(attribute)?.into()),
            kind::CALLED_STATION_ID => once(&mut target.called, octets(attribute)?.into()),
            kind::NAS_PORT_ID => once(&mut target.port_id, octets(attribute)?.into()),
            // Of the packet, and read before.
            kind::NAS_IDENTIFIER
            | kind::NAS_IP_ADDRESS
            | kind::NAS_IPV6_ADDRESS
            | kind::MESSAGE_AUTHENTICATOR
            | kind::EVENT_TIMESTAMP
            | kind::PROXY_STATE => Ok(()),
            kind::SERVICE_TYPE => match attribute.u32().map_err(invalid)? {
                FRAMED if self.command == Command::Change => Ok(()),
                _ => Err(ErrorCause::UnsupportedService),
            },
            kind::FILTER_ID
            | kind::SESSION_TIMEOUT
            | kind::IDLE_TIMEOUT
            | kind::ACCT_INTERIM_INTERVAL
            | kind::VENDOR_SPECIFIC
                if self.command == Command::Change =>
            {
                let pushed = self.changes.push(attribute.kind, attribute.value);
                pushed.map_err(|_| ErrorCause::InvalidAttributeValue)
            }
            _ => Err(ErrorCause::UnsupportedAttribute),
        }
    }

    /// The attributes to change, as a packet that can be read like an answer of a server.
    pub fn with_changes<T>(&self, read: impl FnOnce(&Packet<'_>) -> T) -> Option<T> {
        let mut octets = Vec::new();
        let id = lns_wire::radius::Id(0);
        self.changes
            .emit(Code::COA_REQUEST, id, &[0; 16], &mut octets)
            .ok()?;
        Packet::parse(&octets).ok().map(|packet| read(&packet))
    }
}

/// Whether an attribute names another NAS. Where no address of ours is configured, an address may be any.
fn is_anothers(attribute: &Attribute<'_>, identity: &AttributeList) -> bool {
    let is_named = match attribute.kind {
        kind::NAS_IDENTIFIER => true,
        kind::NAS_IP_ADDRESS | kind::NAS_IPV6_ADDRESS => identity
            .iter()
            .any(|own| matches!(own.kind, kind::NAS_IP_ADDRESS | kind::NAS_IPV6_ADDRESS)),
        _ => false,
    };
    is_named && !identity.iter().any(|own| own == *attribute)
}

fn invalid(_: lns_wire::Truncated) -> ErrorCause {
    ErrorCause::InvalidAttributeValue
}

/// Sets what may be there twice only with one value.
fn once<T: PartialEq>(place: &mut Option<T>, value: T) -> Result<(), ErrorCause> {
    match place {
        Some(before) if *before != value => Err(ErrorCause::InvalidAttributeValue),
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// No attribute is empty (RFC 2865, 5).
fn octets<'a>(attribute: &Attribute<'a>) -> Result<&'a [u8], ErrorCause> {
    if attribute.value.is_empty() {
        return Err(ErrorCause::InvalidAttributeValue);
    }
    Ok(attribute.value)
}
