//! What `handshake` and `preflight` take: commands that ask no running lnsd.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::path::PathBuf;

use clap::Args;

use super::Output;
use crate::host;

/// What `handshake` takes.
#[derive(Args, Debug)]
pub(crate) struct HandshakeArguments {
    /// Where the LNS serves: ADDRESS or ADDRESS:PORT; an IPv6 address with a port is in brackets
    #[arg(value_name = "ADDRESS[:PORT]")]
    pub(crate) lns: Lns,
    /// The Host Name that is sent: the LNS may serve by it
    #[arg(long, value_name = "NAME", default_value = "lnsd-handshake")]
    pub(crate) host_name: String,
    /// A file with the secret of the tunnel, octet by octet [default: `$LNSD_TUNNEL_SECRET`, or none]
    #[arg(long, value_name = "PATH")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The address of this machine from which it is asked [default: by route]
    #[arg(long, value_name = "IP")]
    pub(crate) from: Option<IpAddr>,
    /// How often a message is sent again before the LNS is given up: after 0.5, 1.5, 3.5, 5.5 s and so on
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=20))]
    pub(crate) tries: u8,
    /// How the answer looks
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) output: Output,
}

/// What `preflight` takes.
#[derive(Args, Debug)]
pub(crate) struct PreflightArguments {
    /// An address of spec.service.addresses; may be given several times [default: any]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Vec<IpAddr>,
    /// The port of spec.service.port
    #[arg(long, value_name = "PORT", default_value_t = L2TP)]
    pub(crate) port: u16,
    /// The port of spec.peers.port
    #[arg(long, value_name = "PORT", default_value_t = 1702)]
    pub(crate) peer_port: u16,
    /// Where an lnsd of this node serves HTTP: ports that it has are not taken by somebody else
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9171")]
    pub(crate) admin: SocketAddr,
    /// Where the settings of the node's network are, for a container whose own are read-only
    #[arg(long, value_name = "DIR", default_value = host::SYSCTLS)]
    pub(crate) sysctls: PathBuf,
    /// A Redis that is to be looked at too; user and password are in `$LNSD_REDIS_USERNAME` and
    /// `$LNSD_REDIS_PASSWORD`
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Certificates of the authorities that it is believed on, PEM [default: those of the system]
    #[arg(long, value_name = "PATH", requires = "redis")]
    pub(crate) redis_ca: Option<PathBuf>,
    /// It may be without replicas: spec.store.redis.durability is Single
    #[arg(long, requires = "redis")]
    pub(crate) redis_single: bool,
    /// How the answer looks
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) output: Output,
}

/// Where an LNS serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lns(pub(crate) SocketAddr);

/// The port of L2TP (RFC 2661, 8.1).
const L2TP: u16 = 1701;

impl FromStr for Lns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = text.parse().map(|address| SocketAddr::new(address, L2TP));
        let lns = text.parse().or(alone).map(Self);
        lns.ok()
            .filter(|lns| lns.0.port() != 0 && !lns.0.ip().is_unspecified())
            .ok_or_else(|| {
                "is no address, for instance 192.0.2.1, 192.0.2.1:1701, [2001:db8::1]:1701"
                    .to_owned()
            })
    }
}

impl fmt::Display for Lns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lns_has_the_port_of_l2tp_unless_another_is_named() {
        for (text, lns) in [
            ("192.0.2.1", "192.0.2.1:1701"),
            ("192.0.2.1:1702", "192.0.2.1:1702"),
            ("2001:db8::1", "[2001:db8::1]:1701"),
            ("[2001:db8::1]:1702", "[2001:db8::1]:1702"),
        ] {
            assert_eq!(text.parse::<Lns>().unwrap().to_string(), lns);
        }
        for wrong in ["", "lns.example", "192.0.2.1:0", "192.0.2", "0.0.0.0", "::"] {
            assert!(wrong.parse::<Lns>().is_err(), "{wrong}");
        }
    }
}
