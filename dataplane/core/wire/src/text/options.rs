//! The options of a Configure packet, and of the LCP packets that a LAC hands over.

use core::fmt;

use super::names::{OptionName, ProtocolName};
use super::octets::{Hex, Items};
use crate::Reader;
use crate::ppp::ipcp::IpcpOption;
use crate::ppp::lcp::{AuthenticationProtocol, LcpOption, algorithm};
use crate::ppp::{Protocol, RawOption};

/// A list of options: those before a fault, then the fault.
pub(super) struct OptionList<'a> {
    protocol: Protocol,
    octets: &'a [u8],
    before: &'static str,
}

impl<'a> OptionList<'a> {
    /// Of options as `protocol` has them.
    pub(super) const fn new(protocol: Protocol, octets: &'a [u8]) -> Self {
        Self {
            protocol,
            octets,
            before: "",
        }
    }

    /// With this before the first option, if there is one.
    pub(super) const fn behind(self, before: &'static str) -> Self {
        Self { before, ..self }
    }
}

impl fmt::Display for OptionList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Items::new(f, self.before);
        let mut reader = Reader::new(self.octets);
        while !reader.is_empty() && items.has_room()? {
            match RawOption::read(&mut reader) {
                Ok(raw) => items.item(OptionText(self.protocol, raw))?,
                Err(error) => return items.item(format_args!("malformed: {error}")),
            }
        }
        Ok(())
    }
}

struct OptionText<'a>(Protocol, RawOption<'a>);

impl fmt::Display for OptionText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(protocol, raw) = *self;
        let name = OptionName(protocol, raw.kind);
        match protocol {
            Protocol::LCP => lcp(f, &name, LcpOption::parse(raw)),
            Protocol::IPCP => ipcp(f, &name, IpcpOption::parse(raw)),
            _ => other(f, &name, raw),
        }
    }
}

fn lcp(f: &mut fmt::Formatter<'_>, name: &OptionName, option: LcpOption<'_>) -> fmt::Result {
    match option {
        LcpOption::Mru(mru) => write!(f, "{name} {mru}"),
        LcpOption::Accm(number) | LcpOption::Magic(number) => write!(f, "{name} {number:#010x}"),
        LcpOption::Authentication(protocol) => write!(f, "{name} {}", Authentication(protocol)),
        LcpOption::Pfc | LcpOption::Acfc => write!(f, "{name}"),
        LcpOption::WrongLength { .. } => wrong_length(f, name),
        LcpOption::Other(raw) => other(f, name, raw),
    }
}

fn ipcp(f: &mut fmt::Formatter<'_>, name: &OptionName, option: IpcpOption<'_>) -> fmt::Result {
    match option {
        IpcpOption::Address(address)
        | IpcpOption::PrimaryDns(address)
        | IpcpOption::SecondaryDns(address) => write!(f, "{name} {address}"),
        IpcpOption::WrongLength { .. } => wrong_length(f, name),
        IpcpOption::Other(raw) => other(f, name, raw),
    }
}

fn wrong_length(f: &mut fmt::Formatter<'_>, name: &OptionName) -> fmt::Result {
    write!(f, "{name} malformed: {}", crate::ppp::Error::OptionLength)
}

fn other(f: &mut fmt::Formatter<'_>, name: &OptionName, raw: RawOption<'_>) -> fmt::Result {
    if raw.value.is_empty() {
        write!(f, "{name}")
    } else {
        write!(f, "{name} {}", Hex(raw.value))
    }
}

struct Authentication(AuthenticationProtocol);

impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AuthenticationProtocol::Pap => f.write_str("PAP"),
            AuthenticationProtocol::Chap(algorithm::MD5) => f.write_str("CHAP-MD5"),
            AuthenticationProtocol::Chap(algorithm::MS_CHAP_V1) => f.write_str("MS-CHAPv1"),
            AuthenticationProtocol::Chap(algorithm::MS_CHAP_V2) => f.write_str("MS-CHAPv2"),
            AuthenticationProtocol::Chap(number) => write!(f, "CHAP algorithm {number}"),
            AuthenticationProtocol::Other(protocol) => write!(f, "{}", ProtocolName(protocol)),
        }
    }
}
