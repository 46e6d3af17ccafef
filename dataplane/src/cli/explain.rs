//! What `failures` and `trace` take.

use core::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Limit, ReadArguments, SessionName, Since, State};

/// What `failures` takes.
#[derive(Args, Debug)]
pub(crate) struct FailuresArguments {
    #[command(flatten)]
    pub(crate) read: ReadArguments,
    /// Only of subscribers with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Only of this entry of the manifest
    #[arg(long, value_name = "NAME")]
    pub(crate) lac: Option<String>,
    /// Only of calls with this Calling Number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) calling_number: Option<String>,
    /// Only of the LAC with this address
    #[arg(long, value_name = "IP")]
    pub(crate) remote: Option<IpAddr>,
    /// Only what came so far
    #[arg(long, value_enum, ignore_case = true, value_name = "STAGE")]
    pub(crate) stage: Option<Stage>,
    /// Refused: LACs. Failed: calls that never came up. Ended: sessions and tunnels that were up
    #[arg(long, value_enum, ignore_case = true, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// Not longer ago than this, for instance 90s, 15m, 1h [default: a day]
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Since>,
    /// Shows the last messages and steps of each
    #[arg(long, short)]
    pub(crate) messages: bool,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// How far something had come, as [`lns_node::Stage`] has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(crate) enum Stage {
    /// The control connection
    Tunnel,
    /// ICRQ to ICCN
    Call,
    /// LCP
    #[value(name = "LCP")]
    Lcp,
    /// Who it is
    Authentication,
    /// Whether RADIUS lets it in
    #[value(name = "RADIUS")]
    Radius,
    /// An address is being found
    Address,
    /// IPCP
    #[value(name = "NCP")]
    Ncp,
    /// It was up
    Up,
}

impl Stage {
    /// The name in the admin interface.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Tunnel => "Tunnel",
            Self::Call => "Call",
            Self::Lcp => "LCP",
            Self::Authentication => "Authentication",
            Self::Radius => "RADIUS",
            Self::Address => "Address",
            Self::Ncp => "NCP",
            Self::Up => "Up",
        }
    }
}

/// What kind of end, as [`lns_node::explain::failures::Kind`] has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(crate) enum Kind {
    /// A LAC that was refused
    Refused,
    /// A call that never came up
    Failed,
    /// A session or tunnel that was up
    Ended,
}

impl Kind {
    /// The name in the admin interface.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Refused => "Refused",
            Self::Failed => "Failed",
            Self::Ended => "Ended",
        }
    }
}

/// What `trace` takes.
#[derive(Args, Debug)]
pub(crate) struct TraceArguments {
    #[command(flatten)]
    pub(crate) of: Followed,
    /// Also writes what is shown into this file, for Wireshark and tcpdump; -: to the standard output, and
    /// the lines to the standard error
    #[arg(short, long, value_name = "FILE.pcap")]
    pub(crate) write: Option<PathBuf>,
    /// Ends after so long, for instance 10m [default: never]
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) duration: Option<Since>,
    /// How lines look: for a person, or JSON for programs
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: TraceOutput,
    #[command(flatten)]
    pub(crate) state: State,
}

/// Whom `trace` follows.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Followed {
    /// Subscribers with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// LACs of this entry of the manifest, with their tunnels and calls
    #[arg(long, value_name = "NAME")]
    pub(crate) lac: Option<String>,
    /// Calls with this Calling Number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) calling_number: Option<String>,
    /// The LAC with this address, whether it has an entry or not
    #[arg(long, value_name = "IP")]
    pub(crate) remote: Option<IpAddr>,
    /// This tunnel with its calls, by our id
    #[arg(long, value_name = "ID", conflicts_with = "session")]
    pub(crate) tunnel: Option<u16>,
    /// This session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionName>,
}

/// How lines of a trace look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum TraceOutput {
    /// One line for a person
    Text,
    /// One JSON object per line
    Json,
}
