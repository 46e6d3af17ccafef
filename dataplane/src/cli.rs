//! What can be typed: commands, options, help with an example each.

mod explain;
mod flows;
mod node;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use std::path::PathBuf;
use std::{io, process, thread};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::explain::{FailuresArguments, Followed, TraceArguments, TraceOutput};
pub(crate) use self::flows::{
    FlowClass, FlowFilter, FlowsArguments, PoliciesArguments, Protocol, Remote,
};
pub(crate) use self::node::{HandshakeArguments, PreflightArguments};
use crate::failure::Failure;
use crate::{command, host, run};

/// Version and the commit that it was built from.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LNSD_COMMIT"), ")");

/// Where the admin socket is, below the state folder.
pub(crate) const SOCKET_NAME: &str = "admin.sock";

/// The state folder unless another is named.
const STATE: &str = "/run/lnsd";

/// What a process ends with that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Reads the command line and does what it says.
pub(crate) fn dispatch() -> Result<(), Failure> {
    let cli = Cli::parse();
    if cli.attached {
        end_with_input()?;
    }
    match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => command::check::check(&arguments),
        Command::Status(arguments) => command::read::status(&arguments),
        Command::Lacs(arguments) => command::read::lacs(&arguments),
        Command::Tunnels(arguments) => command::read::tunnels(&arguments),
        Command::Sessions(arguments) => command::read::sessions(&arguments),
        Command::Session(SessionCommand {
            command: SessionSubcommand::Show(arguments),
        }) => command::read::session(&arguments),
        Command::Failures(arguments) => command::failures::failures(&arguments),
        Command::Trace(arguments) => command::trace::trace(&arguments),
        Command::Pools(arguments) => command::read::pools(&arguments),
        Command::Flows(arguments) => command::flows::flows(&arguments),
        Command::Policies(arguments) => command::policies::policies(&arguments),
        Command::Radius(arguments) => command::radius::radius(&arguments),
        Command::Disconnect(arguments) => command::disconnect::disconnect(&arguments),
        Command::Members(arguments) => command::members::members(&arguments),
        Command::StepDown(arguments) => command::members::step_down(&arguments.state),
        Command::FinalizeUpgrade(arguments) => command::members::finalize_upgrade(&arguments.state),
        Command::Report(arguments) => command::report::report(&arguments),
        Command::Handshake(arguments) => command::handshake::handshake(&arguments),
        Command::Preflight(arguments) => command::preflight::preflight(&arguments),
        Command::Openapi => command::read::openapi(),
    }
}

/// A signal does not reach a process that was started over a network, and what it writes is swallowed
/// there when nobody reads it any more: what it would read tells it.
fn end_with_input() -> Result<(), Failure> {
    fn watch() {
        let _read = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(INTERRUPTED);
    }
    let started = thread::Builder::new().name("input".to_owned()).spawn(watch);
    let failed = |error| Failure::failed("cannot watch the standard input (--attached)", error);
    started.map(|_| ()).map_err(failed)
}

/// L2TP network server: subscribers of L2TP access concentrators (LACs) get an address and reach the
/// network behind this machine.
#[derive(Debug, Parser)]
#[command(name = "lnsd", version = VERSION, disable_help_subcommand = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad input.\n\nExample:\n  lnsd run --manifest /etc/lnsd/cluster.yaml"
)]
struct Cli {
    /// Ends when the standard input does: whoever runs it from afar has gone
    #[arg(long, global = true, hide = true)]
    attached: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves LACs and subscribers until SIGTERM
    ///
    /// A changed manifest is taken over without dropping a session, on SIGHUP or when the file
    /// changes. SIGTERM tells every LAC, removes what was set up on this machine, and ends; a second
    /// one ends at once. SIGQUIT tells nobody: the next start goes on with all tunnels and sessions, as
    /// it does after a crash, if it comes before the LACs give up (about 30 s).
    ///
    /// With --cluster it is a member: the objects come from the API server, the Lease says who is master,
    /// and the sessions are in the store that the LnsCluster names.
    #[command(
        after_help = "Example:\n  lnsd run --manifest cluster.yaml --log-format json\n  lnsd run --cluster lns/edge --node worker-1"
    )]
    Run(RunArguments),
    /// Validates a manifest and prints what it would do, or what it would change
    ///
    /// With --against running, the process that runs is asked: what differs from its manifest, when
    /// each change takes effect, and how many sessions end. Nothing is changed by asking.
    #[command(
        after_help = "Example:\n  lnsd check --manifest cluster.yaml --against running && systemctl reload lnsd"
    )]
    Check(CheckArguments),
    /// Shows the running LNS at a glance
    #[command(after_help = "Example:\n  lnsd status")]
    Status(ReadArguments),
    /// Lists the LACs of the manifest, and those that were turned away
    #[command(after_help = "Example:\n  lnsd lacs -o wide")]
    Lacs(ReadArguments),
    /// Lists tunnels (control connections)
    #[command(after_help = "Example:\n  lnsd tunnels --lac wholesale-a")]
    Tunnels(TunnelsArguments),
    /// Lists sessions; all filters that are given must match
    #[command(after_help = "Example:\n  lnsd sessions --user alice@isp.example -o json")]
    Sessions(SessionsArguments),
    /// Shows one session
    Session(SessionCommand),
    /// Shows why logins failed, LACs were refused, and calls and tunnels ended
    ///
    /// A day back, as far as memory allows. What happens again in the same way is one row with a count.
    #[command(after_help = "Example:\n  lnsd failures --user alice@isp.example --messages")]
    Failures(FailuresArguments),
    /// Follows what goes on, message by message, until Ctrl-C
    ///
    /// All that is given must match. A subscriber is shown from its first message on, though its name
    /// comes later. Passwords and secrets are masked, also in the file.
    #[command(
        after_help = "Example:\n  lnsd trace --user alice@isp.example\n  lnsd trace --lac wholesale-a -w lac.pcap"
    )]
    Trace(TraceArguments),
    /// Lists address pools
    #[command(after_help = "Example:\n  lnsd pools")]
    Pools(ReadArguments),
    /// Lists flows: who speaks with whom; all filters that are given must match
    ///
    /// A flow is what a policy's Track has opened: packets of it pass in both directions without being
    /// judged again. The arrow goes from the end that opened it. With --flush the flows that match are
    /// cleared, which no session notices whose policy lets their packets open them again.
    #[command(
        after_help = "Example:\n  lnsd flows --user alice@isp.example --watch\n  lnsd flows --remote 203.0.113.7:443 --flush"
    )]
    Flows(FlowsArguments),
    /// Lists policies, or shows the rules of one and how many packets each has matched
    ///
    /// Packets of a flow that is open match no rule: they are not judged again.
    #[command(after_help = "Example:\n  lnsd policies residential")]
    Policies(PoliciesArguments),
    /// Shows RADIUS servers, their connections, and what waits for them
    ///
    /// Each connection is judged alone: one that is not answered is a zombie, and its siblings go on.
    #[command(after_help = "Example:\n  lnsd radius --watch")]
    Radius(RadiusArguments),
    /// Ends sessions; the LAC is told, the subscriber may dial in again
    #[command(after_help = "Example:\n  lnsd disconnect --pool old --rate 50/s")]
    Disconnect(DisconnectArguments),
    /// Shows the members of the cluster, who is master, and for how long
    #[command(after_help = "Example:\n  lnsd members -o wide")]
    Members(ReadArguments),
    /// Has another member become master: a planned switchover
    ///
    /// Subscribers notice nothing. This node goes on as a member.
    #[command(after_help = "Example:\n  lnsd step-down && lnsd members")]
    StepDown(StateArguments),
    /// Declares an upgrade final: the release before cannot be gone back to
    ///
    /// Until then session records are written as the release before reads them, too, and going back loses nobody.
    /// Afterwards they are smaller, and a node with an older release serves nobody. Subscribers notice nothing.
    #[command(after_help = "Example:\n  lnsd finalize-upgrade && lnsd status")]
    FinalizeUpgrade(StateArguments),
    /// Collects what is known of the node into one file, without secrets
    ///
    /// Versions, manifest, tables, metrics, log, interfaces, routes and rules. What cannot be collected
    /// is said in the file, also when no lnsd is running.
    #[command(after_help = "Example:\n  lnsd report -w report.tar.gz")]
    Report(ReportArguments),
    /// Asks an LNS for a tunnel as a LAC does, and gives it back
    ///
    /// SCCRQ, SCCRP, SCCCN, StopCCN: no call is made, nothing stays behind. The LNS must know the address
    /// from which this is sent as a LAC's. With a secret, both sides have to prove that they know it.
    #[command(
        after_help = "Example:\n  lnsd handshake 192.0.2.1 --secret-file /run/secrets/wholesale-a/current"
    )]
    Handshake(HandshakeArguments),
    /// Says whether this node can be a member, and what is to be done if not
    ///
    /// What lnsd needs of a machine is tried and taken back: an interface, tables of nftables, ports. No
    /// packet is looked at, and a member that runs here already is not disturbed.
    #[command(
        after_help = "Example:\n  lnsd preflight --address 192.0.2.1 --redis redis://redis.lns.svc:6379"
    )]
    Preflight(PreflightArguments),
    /// Prints the OpenAPI document of the admin interface
    #[command(hide = true, after_help = "Example:\n  lnsd openapi > openapi.json")]
    Openapi,
}

/// What `step-down` and `finalize-upgrade` take.
#[derive(Args, Debug)]
pub(crate) struct StateArguments {
    #[command(flatten)]
    pub(crate) state: State,
}

/// What `run` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("origin").required(true).args(["manifest", "cluster"]))]
pub(crate) struct RunArguments {
    /// Serves alone. One YAML stream, or a folder of .yaml files: an LnsCluster and the Secrets that it names
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) member: MemberArguments,
    /// Where /healthz, /readyz, /metrics and reads of /v1 are served over HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9171")]
    pub(crate) admin: SocketAddr,
    #[command(flatten)]
    pub(crate) state: State,
    /// Where the settings of the node's network are, for a container whose own are read-only
    #[arg(long, value_name = "DIR", default_value = host::SYSCTLS)]
    pub(crate) sysctls: PathBuf,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// What `run` takes of a member of a cluster.
#[derive(Args, Debug)]
pub(crate) struct MemberArguments {
    /// Serves as a member of this LnsCluster of a Kubernetes API server
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(crate) cluster: Option<ObjectName>,
    /// The name of this node; every member has its own [default: the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME", requires = "cluster")]
    pub(crate) node: Option<String>,
    /// How the API server is reached [default: $KUBECONFIG, ~/.kube/config, or as a pod does]
    #[arg(long, value_name = "PATH", requires = "cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The address of this node at which other members reach it [default: the one that leads to the
    /// API server]
    #[arg(long, value_name = "ADDR", env = "HOST_IP", requires = "cluster")]
    pub(crate) peer_address: Option<IpAddr>,
    /// The uid of the pod that this runs in
    #[arg(
        long,
        value_name = "UID",
        env = "POD_UID",
        requires = "cluster",
        hide = true
    )]
    pub(crate) pod_uid: Option<String>,
}

/// An object of Kubernetes: NAMESPACE/NAME.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ObjectName {
    /// The namespace.
    pub(crate) namespace: String,
    /// The name in it.
    pub(crate) name: String,
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
        let (namespace, name) = parts
            .filter(|(_, name)| !name.contains('/'))
            .ok_or_else(|| "is not NAMESPACE/NAME".to_owned())?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What `check` takes.
#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    /// One YAML stream, or a folder of .yaml files
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: PathBuf,
    /// Compares it with the manifest in force
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) against: Option<Against>,
    /// The state folder of the running process, with the admin socket in it
    #[arg(long, value_name = "DIR", default_value = STATE, requires = "against")]
    pub(crate) state: PathBuf,
    /// How the comparison looks
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        requires = "against"
    )]
    pub(crate) output: Output,
}

/// With what a manifest is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Against {
    /// What the running lnsd has in force
    Running,
}

/// Where the running process keeps its socket.
#[derive(Args, Clone, Debug)]
pub(crate) struct State {
    /// The state folder, with the admin socket in it
    #[arg(long = "state", value_name = "DIR", default_value = STATE)]
    pub(crate) directory: PathBuf,
}

impl State {
    /// The admin socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET_NAME)
    }
}

/// What every reading command takes.
#[derive(Args, Debug)]
pub(crate) struct ReadArguments {
    #[command(flatten)]
    pub(crate) state: State,
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

/// What `radius` takes.
#[derive(Args, Debug)]
pub(crate) struct RadiusArguments {
    #[command(flatten)]
    pub(crate) read: ReadArguments,
    /// Shows it again each second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// What `tunnels` takes.
#[derive(Args, Debug)]
pub(crate) struct TunnelsArguments {
    #[command(flatten)]
    pub(crate) read: ReadArguments,
    /// Only tunnels of this entry of the manifest
    #[arg(long, value_name = "NAME")]
    pub(crate) lac: Option<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// What `sessions` takes.
#[derive(Args, Debug)]
pub(crate) struct SessionsArguments {
    #[command(flatten)]
    pub(crate) read: ReadArguments,
    /// Only sessions that logged in with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Only sessions of this entry of the manifest
    #[arg(long, value_name = "NAME")]
    pub(crate) lac: Option<String>,
    /// Only the session that has this address
    #[arg(long, value_name = "IPV4")]
    pub(crate) address: Option<Ipv4Addr>,
    /// Only sessions with this Calling Number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) calling_number: Option<String>,
    /// Only sessions of this tunnel, by our id
    #[arg(long, value_name = "ID")]
    pub(crate) tunnel: Option<u16>,
    /// Only sessions with an address of this pool
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// How many.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Shows at most this many; 0: all [default: 1000 in a table, all in JSON]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Limit {
    /// The most rows of an answer in this form.
    pub(crate) fn rows(self, output: Output) -> usize {
        match (self.limit, output) {
            (Some(0), _) | (None, Output::Json) => usize::MAX,
            (Some(limit), _) => limit,
            (None, Output::Table | Output::Wide) => 1000,
        }
    }
}

#[derive(Args, Debug)]
struct SessionCommand {
    #[command(subcommand)]
    command: SessionSubcommand,
}

#[derive(Debug, Subcommand)]
enum SessionSubcommand {
    /// Shows state, times, addresses and counters of one session
    #[command(after_help = "Example:\n  lnsd session show 4711.12")]
    Show(ShowArguments),
}

/// What `session show` takes.
#[derive(Args, Debug)]
pub(crate) struct ShowArguments {
    /// The session: TUNNEL.SESSION, as `lnsd sessions` prints it
    #[arg(value_name = "ID")]
    pub(crate) id: SessionName,
    /// Shows its last messages too
    #[arg(long, short)]
    pub(crate) messages: bool,
    #[command(flatten)]
    pub(crate) read: ReadArguments,
}

/// A length of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Since(pub(crate) u64);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const DAY: u64 = 24 * 3600;
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        let time = text.parse::<jiff::SignedDuration>().ok();
        let seconds = time.and_then(|time| u64::try_from(time.as_secs()).ok());
        let seconds = seconds.or_else(|| DAY.checked_mul(days?));
        seconds.map(Self).ok_or_else(|| {
            "a length of time is a number with a unit, for instance 90s, 15m, 1h, 1d".to_owned()
        })
    }
}

/// What `disconnect` takes.
#[derive(Args, Debug)]
pub(crate) struct DisconnectArguments {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Ends at most so many sessions per second; default: as fast as it goes
    #[arg(long, value_name = "N/s", conflicts_with_all = ["session", "tunnel"])]
    pub(crate) rate: Option<Rate>,
    #[command(flatten)]
    pub(crate) state: State,
}

/// What `report` takes.
#[derive(Args, Debug)]
pub(crate) struct ReportArguments {
    /// The file to write; one that exists is left alone; -: the standard output
    /// [default: lnsd-report-HOST-TIME.tar.gz]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

/// Whom `disconnect` throws out.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// Every session that logged in with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// This session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionName>,
    /// This tunnel with all its sessions, by our id
    #[arg(long, value_name = "ID")]
    pub(crate) tunnel: Option<u16>,
    /// Every session with an address of this pool
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
}

/// How an answer looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns
    Table,
    /// What programs read
    Json,
    /// More columns
    Wide,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line for a person
    Text,
    /// One JSON object per line
    Json,
}

/// A session by our ids, `tunnel.session`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SessionName {
    /// Our tunnel id.
    pub(crate) tunnel: u16,
    /// Our session id.
    pub(crate) session: u16,
}

impl FromStr for SessionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('.')
            .and_then(|(tunnel, session)| {
                Some(Self {
                    tunnel: tunnel.parse().ok()?,
                    session: session.parse().ok()?,
                })
            })
            .ok_or_else(|| "a session is TUNNEL.SESSION, for instance 4711.12".to_owned())
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tunnel, self.session)
    }
}

/// Events per second, at least one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rate(pub(crate) u32);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("/s").unwrap_or(text);
        match number.parse() {
            Ok(rate @ 1..) => Ok(Self(rate)),
            Ok(0) | Err(_) => Err(
                "a rate is a whole number of sessions per second from 1 up, for instance 50/s"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::explain::{Kind, Stage};
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_that_does_something_has_an_example() {
        fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
            if command.has_subcommands() && command.get_name() != "lnsd" {
                command.get_subcommands().for_each(|sub| leaves(sub, found));
            } else if command.get_name() != "lnsd" {
                found.push(command.clone());
            }
        }
        let mut found = Vec::new();
        Cli::command()
            .get_subcommands()
            .for_each(|sub| leaves(sub, &mut found));
        assert_eq!(found.len(), 21);
        for command in found {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Example:\n  lnsd "), "{}", command.get_name());
        }
    }

    #[test]
    fn a_session_is_named_by_two_numbers() {
        assert_eq!(
            "4711.12".parse(),
            Ok(SessionName {
                tunnel: 4711,
                session: 12
            })
        );
        for wrong in ["4711", "4711.", ".12", "4711.12.1", "65536.1", "-1.1", ""] {
            assert!(wrong.parse::<SessionName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h", 3600),
            ("1h30m", 5400),
            ("1d", 86_400),
        ] {
            assert_eq!(text.parse(), Ok(Since(seconds)));
        }
        for wrong in ["", "5", "-1h", "soon", "1x"] {
            assert!(wrong.parse::<Since>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn stages_and_kinds_are_named_as_the_admin_interface_has_them() {
        for stage in Stage::value_variants() {
            let label = serde_json::Value::from(stage.label());
            assert!(serde_json::from_value::<lns_node::Stage>(label).is_ok());
            assert_eq!(stage.to_possible_value().unwrap().get_name(), stage.label());
        }
        for kind in Kind::value_variants() {
            let label = serde_json::Value::from(kind.label());
            let known = serde_json::from_value::<lns_node::explain::failures::Kind>(label);
            assert!(known.is_ok());
        }
    }

    #[test]
    fn trace_wants_to_know_whom() {
        let parse =
            |arguments: &[&str]| Cli::try_parse_from([&["lnsd", "trace"], arguments].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--user", "a", "--lac", "b", "-w", "x.pcap"]).is_ok());
        assert!(parse(&["--tunnel", "1", "--session", "1.2"]).is_err());
    }

    #[test]
    fn a_rate_is_per_second_and_never_zero() {
        assert_eq!("50/s".parse(), Ok(Rate(50)));
        assert_eq!("50".parse(), Ok(Rate(50)));
        for wrong in ["0", "0/s", "50/m", "fast", "-1/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_comparison_has_a_running_process_and_a_form() {
        let parse = |arguments: &[&str]| {
            Cli::try_parse_from([&["lnsd", "check", "--manifest", "m"], arguments].concat())
        };
        assert!(parse(&[]).is_ok());
        assert!(parse(&["--against", "running", "--state", "/s", "-o", "json"]).is_ok());
        for wrong in [
            &["--state", "/s"][..],
            &["-o", "json"],
            &["--against", "tomorrow"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn disconnect_wants_exactly_one_target() {
        let parse =
            |arguments: &[&str]| Cli::try_parse_from([&["lnsd", "disconnect"], arguments].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--user", "a", "--pool", "b"]).is_err());
        assert!(parse(&["--user", "a", "--rate", "5/s"]).is_ok());
        assert!(parse(&["--session", "1.2", "--rate", "5/s"]).is_err());
    }
}
