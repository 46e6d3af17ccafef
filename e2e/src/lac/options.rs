//! What a LAC and its subscribers are told to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lns_crypto::Secret;

/// How a subscriber authenticates, or what it insists on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Authentication {
    /// Whatever the LNS asks for.
    #[default]
    Any,
    /// PAP (RFC 1334).
    Pap,
    /// CHAP with MD5 (RFC 1994).
    Chap,
    /// MS-CHAPv2 (RFC 2759).
    Mschapv2,
    /// EAP with MD5-Challenge (RFC 3748, 5.4).
    Eap,
    /// Refuses to authenticate.
    None,
}

/// A LAC with its subscribers.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The LNS, ADDRESS or ADDRESS:PORT.
    #[arg(long, value_parser = parse_lns)]
    pub(crate) lns: SocketAddr,
    /// The address to dial from; by default by route.
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED)]
    pub(crate) from: Ipv4Addr,
    /// The UDP port of the first tunnel, the next ones follow; 0 takes any free ones.
    #[arg(long, default_value_t = 0)]
    pub(crate) from_port: u16,
    /// Tunnels, each from a UDP port of its own.
    #[arg(long, default_value_t = 1)]
    pub(crate) tunnels: usize,
    /// Sessions in all, dealt out to the tunnels in turn.
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,
    /// How subscribers authenticate; several are dealt out in turn.
    #[arg(
        long = "auth",
        value_enum,
        value_delimiter = ',',
        default_value = "any"
    )]
    pub(crate) authentication: Vec<Authentication>,
    /// User name; `{}` becomes the number of the session, from 0.
    #[arg(long, default_value = "user{}@isp")]
    pub(crate) user: String,
    /// The password of every subscriber.
    #[arg(long, default_value = "")]
    pub(crate) password: String,
    /// The secret shared with the LNS; without one there is no tunnel authentication.
    #[arg(long)]
    pub(crate) secret: Option<String>,
    /// Our Host Name AVP.
    #[arg(long, default_value = "lac1")]
    pub(crate) host_name: String,
    /// Hide the AVPs that RFC 2661 allows to hide (4.3); needs a secret.
    #[arg(long)]
    pub(crate) hide: bool,
    /// Negotiate LCP and take the credentials ourselves, and hand both over in proxy AVPs.
    #[arg(long)]
    pub(crate) proxy: bool,
    /// Ask the LNS for sequence numbers on data.
    #[arg(long)]
    pub(crate) sequencing: bool,
    /// The receive window that we announce.
    #[arg(long, default_value_t = 256)]
    pub(crate) window: u16,
    /// The MRU that subscribers ask for.
    #[arg(long, default_value_t = 1492)]
    pub(crate) mru: u16,
    /// The address that subscribers ask for; 0.0.0.0 leaves it to the LNS.
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED)]
    pub(crate) request_address: Ipv4Addr,
    /// Calls started per second; 0 is as fast as it goes.
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u32,
    /// Calls being set up at once.
    #[arg(long, default_value_t = 256)]
    pub(crate) in_flight: usize,
    /// Make this TUN interface: it gets the subscribers' addresses, and what is sent from one of
    /// them goes into that subscriber's session.
    #[arg(long)]
    pub(crate) tun: Option<String>,
    /// Sessions whose subscribers have hosts on that interface, the first ones: the kernel takes ever longer for one
    /// address more.
    #[arg(skip = usize::MAX)]
    pub(crate) hosts: usize,
    /// Route to this network through the TUN interface; may be given several times.
    #[arg(long = "route", default_value = "0.0.0.0/0")]
    pub(crate) routes: Vec<String>,
    /// Leave LCP Echo-Requests without an answer.
    #[arg(long = "no-echo", action = clap::ArgAction::SetFalse)]
    pub(crate) answer_echo: bool,
    /// Send this ICCN body, read from a file of octets, in place of our own.
    #[arg(skip)]
    pub(crate) iccn: Option<Vec<u8>>,
    /// Keep what subscribers receive, for a scenario to look at.
    #[arg(skip)]
    pub(crate) capture: bool,
}

impl Options {
    /// The defaults of the command line, towards `lns`.
    pub(crate) fn towards(lns: SocketAddr) -> Self {
        Self {
            lns,
            from: Ipv4Addr::UNSPECIFIED,
            from_port: 0,
            tunnels: 1,
            sessions: 1,
            authentication: vec![Authentication::Any],
            user: "user@isp".into(),
            password: crate::manifest::PASSWORD.into(),
            secret: Some(crate::manifest::TUNNEL_SECRET.into()),
            host_name: "lac1".into(),
            hide: false,
            proxy: false,
            sequencing: false,
            window: 256,
            mru: 1492,
            request_address: Ipv4Addr::UNSPECIFIED,
            rate: 0,
            in_flight: 256,
            tun: None,
            hosts: usize::MAX,
            routes: vec!["0.0.0.0/0".into()],
            answer_echo: true,
            iccn: None,
            capture: false,
        }
    }

    /// How the subscriber of session `index` authenticates.
    pub(crate) fn authentication_of(&self, index: usize) -> Authentication {
        let turn = index % self.authentication.len().max(1);
        self.authentication.get(turn).copied().unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn user_of(&self, index: usize) -> String {
        self.user.replace("{}", &index.to_string())
    }

    /// What all subscribers have in common.
    pub(crate) fn profile(&self) -> Profile {
        Profile {
            password: Secret::new(self.password.as_bytes()),
            mru: self.mru,
            request_address: self.request_address,
            answer_echo: self.answer_echo,
        }
    }
}

/// What all subscribers have in common.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Their password.
    pub(crate) password: Secret,
    /// The MRU that they ask for.
    pub(crate) mru: u16,
    /// The address that they ask for first.
    pub(crate) request_address: Ipv4Addr,
    /// Whether they answer LCP Echo-Requests.
    pub(crate) answer_echo: bool,
}

/// What the `lac` command does beside being a LAC.
#[derive(Args, Clone, Debug)]
pub(crate) struct Course {
    /// Stay up for so many seconds, then hang up; by default until SIGTERM or SIGINT.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) hold: Option<u64>,
    /// Write the JSON report to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Show the progress bar even where standard error is no terminal.
    #[arg(long, overrides_with = "no_progress")]
    pub(crate) progress: bool,
    /// Show no progress bar.
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// Send so many packets per second upstream, through all sessions in turn.
    #[arg(long, value_name = "PPS", requires = "to")]
    pub(crate) blast: Option<u64>,
    /// Size of the inner IP packets, octets.
    #[arg(long, default_value_t = 64)]
    pub(crate) size: usize,
    /// Where they go.
    #[arg(long)]
    pub(crate) to: Option<Ipv4Addr>,
    /// For how many seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
}

fn parse_lns(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(SocketAddr::new(address, 1701));
    }
    text.parse()
        .map_err(|_| format!("`{text}` is neither ADDRESS nor ADDRESS:PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_lns_may_be_left_out() {
        assert_eq!(parse_lns("192.0.2.1").unwrap().port(), 1701);
        assert_eq!(parse_lns("192.0.2.1:17010").unwrap().port(), 17010);
        assert!(parse_lns("lns").is_err());
    }

    #[test]
    fn names_and_authentications_are_dealt_out_in_turn() {
        let mut options = Options::towards(parse_lns("192.0.2.1").unwrap());
        options.user = "user{}@isp".into();
        options.authentication = vec![Authentication::Pap, Authentication::Chap];
        assert_eq!(options.user_of(12), "user12@isp");
        assert_eq!(options.authentication_of(3), Authentication::Chap);
    }
}
