//! What `flows` and `policies` take.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;

use clap::{Args, ValueEnum};
use lns_wire::ip::protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReadArguments, SessionName};

/// Flows that are shown unless asked otherwise, in every form: a node may have a million.
const FLOWS: usize = 1_000;

/// What `flows` takes.
#[derive(Args, Debug)]
pub(crate) struct FlowsArguments {
    #[command(flatten)]
    pub(crate) read: ReadArguments,
    #[command(flatten)]
    pub(crate) of: FlowFilter,
    /// Shows at most this many; 0: all
    #[arg(long, value_name = "N", default_value_t = FLOWS)]
    limit: usize,
    /// Shows them again each second until Ctrl-C
    #[arg(long, conflicts_with = "flush")]
    pub(crate) watch: bool,
    /// Clears the flows that match instead: their next packets are judged by policy anew
    #[arg(long)]
    pub(crate) flush: bool,
    /// With --flush and no filter: every flow of every subscriber
    #[arg(long, requires = "flush", conflicts_with_all = ["user", "session", "lac", "address", "calling_number", "remote", "protocol", "class"])]
    pub(crate) all: bool,
}

impl FlowsArguments {
    /// The most flows that are shown.
    pub(crate) fn limit(&self) -> usize {
        match self.limit {
            0 => usize::MAX,
            limit => limit,
        }
    }
}

/// Which flows are wanted: all that is given must match.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FlowFilter {
    /// Only of sessions that logged in with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Only of this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionName>,
    /// Only of sessions of this entry of the manifest
    #[arg(long, value_name = "NAME")]
    pub(crate) lac: Option<String>,
    /// Only of the session that has this address
    #[arg(long, value_name = "IPV4")]
    pub(crate) address: Option<Ipv4Addr>,
    /// Only of sessions with this Calling Number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) calling_number: Option<String>,
    /// Only with this other end: its address, or address and port ([ADDR]:PORT for IPv6)
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(crate) remote: Option<Remote>,
    /// Only of this protocol: tcp, udp, icmp (of both families), or its number
    #[arg(long, value_name = "NAME|N")]
    pub(crate) protocol: Option<Protocol>,
    /// Only of this class, which decides how long a flow may be silent
    #[arg(long, value_enum, ignore_case = true, value_name = "CLASS")]
    pub(crate) class: Option<FlowClass>,
}

impl FlowFilter {
    /// As the admin interface takes it.
    pub(crate) fn query(&self) -> Vec<(&'static str, Option<String>)> {
        fn text(value: Option<&impl ToString>) -> Option<String> {
            value.map(ToString::to_string)
        }
        vec![
            ("user", self.user.clone()),
            ("session", text(self.session.as_ref())),
            ("lac", self.lac.clone()),
            ("address", text(self.address.as_ref())),
            ("callingNumber", self.calling_number.clone()),
            ("remote", text(self.remote.as_ref())),
            ("protocol", text(self.protocol.as_ref())),
            ("class", self.class.map(|class| class.label().to_owned())),
        ]
    }

    /// Whether nothing is left out.
    pub(crate) fn is_everything(&self) -> bool {
        self.query().iter().all(|(_, value)| value.is_none())
    }
}

/// What `policies` takes.
#[derive(Args, Debug)]
pub(crate) struct PoliciesArguments {
    /// Shows this policy with its rules, in order, and how often each matched
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) read: ReadArguments,
}

/// The end of a flow that is not the subscriber's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Remote {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Its port; `None`: any.
    pub(crate) port: Option<u16>,
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let both = text.parse().map(|end: SocketAddr| Self {
            address: end.ip(),
            port: Some(end.port()),
        });
        let alone = || {
            text.parse().map(|address| Self {
                address,
                port: None,
            })
        };
        both.or_else(|_| alone()).map_err(|_| {
            "a remote end is ADDR or ADDR:PORT, for instance 203.0.113.7:443 or [2001:db8::7]:443"
                .to_owned()
        })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// An upper protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// ICMP, of either family.
    Icmp,
    /// The one of this number.
    Number(u8),
}

impl Protocol {
    /// Whether a flow with this number is of it.
    pub(crate) fn is(self, number: u8) -> bool {
        match self {
            Self::Icmp => [protocol::ICMP, protocol::ICMPV6].contains(&number),
            Self::Number(wanted) => wanted == number,
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Number(protocol::TCP)),
            "udp" => Ok(Self::Number(protocol::UDP)),
            "icmp" => Ok(Self::Icmp),
            number => number
                .parse()
                .map(Self::Number)
                .map_err(|_| "a protocol is tcp, udp, icmp, or a number from 0 to 255".to_owned()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// How long a flow lives without a packet, as [`lns_l2sess::Class`] has it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum FlowClass {
    /// TCP that is not, or not any more, established
    Transient,
    /// TCP whose SYNs have both been acknowledged
    Established,
    /// TCP after a RST, or after both FINs
    Closing,
    /// UDP, and every protocol but TCP
    Udp,
}

impl FlowClass {
    /// The name in the admin interface.
    pub(crate) const fn label(self) -> &'static str {
        self.of_flows().label()
    }

    /// The class of the session table.
    pub(crate) const fn of_flows(self) -> lns_l2sess::Class {
        match self {
            Self::Transient => lns_l2sess::Class::Transient,
            Self::Established => lns_l2sess::Class::Established,
            Self::Closing => lns_l2sess::Class::Closing,
            Self::Udp => lns_l2sess::Class::Udp,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["lnsd", "flows"], arguments].concat())
    }

    #[test]
    fn a_remote_end_is_an_address_with_or_without_a_port() {
        for text in [
            "203.0.113.7",
            "203.0.113.7:443",
            "2001:db8::7",
            "[2001:db8::7]:443",
        ] {
            let remote: Remote = text.parse().unwrap();
            assert_eq!(remote.to_string(), text);
            assert_eq!(remote.port.is_some(), text.ends_with(":443"));
        }
        for wrong in ["", "443", "203.0.113.7:", "203.0.113.7:65536", "host:80"] {
            assert!(wrong.parse::<Remote>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_protocol_is_a_name_or_a_number_and_icmp_is_both_of_them() {
        let parsed = |text: &str| text.parse::<Protocol>();
        assert_eq!(parsed("TCP"), Ok(Protocol::Number(6)));
        assert_eq!(parsed("17"), Ok(Protocol::Number(17)));
        assert!([1, 58].into_iter().all(|number| Protocol::Icmp.is(number)));
        assert!(!Protocol::Icmp.is(17) && Protocol::Number(17).is(17));
        for protocol in [Protocol::Icmp, Protocol::Number(47)] {
            assert_eq!(parsed(&protocol.to_string()), Ok(protocol));
        }
        for wrong in ["", "256", "-1", "http"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn classes_are_named_as_the_session_table_has_them() {
        let typed: Vec<_> = FlowClass::value_variants()
            .iter()
            .map(|class| class.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        assert_eq!(typed, lns_l2sess::Class::ALL.map(lns_l2sess::Class::label));
        for class in FlowClass::value_variants() {
            assert_eq!(class.label(), class.of_flows().label());
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for wrong in [
            &["--flush", "--watch"][..],
            &["--all"],
            &["--flush", "--all", "--user", "a"],
            &["--flush", "--all", "--class", "udp"],
            &["--class", "old"],
            &["--remote", "host"],
            &["--protocol", "http"],
            &["--colour"],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
        for right in [
            &["--flush", "--all"][..],
            &["--flush", "--user", "a"],
            &["--watch", "--class", "UDP", "--protocol", "tcp"],
        ] {
            assert!(parse(right).is_ok(), "{right:?}");
        }
    }
}
