//! What can be typed.
//!
//! Options of this program may stand anywhere, as `kubectl` has it; all others of a command are those of `lnsd`, and
//! are handed on as they are.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Options of this program: with a value each.
const OWN: [&str; 6] = [
    "-n",
    "--namespace",
    "--cluster",
    "--node",
    "--context",
    "--kubeconfig",
];

/// Looks into a running LNS from where kubectl works.
///
/// Commands run in the pod of a member, the master where there is one; what they print and their exit
/// codes are those of lnsd.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-lns",
    bin_name = "kubectl lns",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad input.\n\nExample:\n  kubectl lns -n lns status\n  kubectl lns -n lns sessions --user alice@isp.example -o json"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster is meant, and where.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Place {
    /// The namespace of the LnsCluster [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The LnsCluster, where a namespace has several
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// The node whose member is asked [default: the master, or one that is ready]
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config, or as a pod does]
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// What `lnsd` gets.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Passed {
    /// As `lnsd` takes them; --help shows them
    #[arg(
        value_name = "OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<String>,
}

/// Which nodes.
#[derive(Args, Debug)]
pub(crate) struct Nodes {
    /// Names of members' nodes; '*': all
    #[arg(value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what the LnsCluster says of itself, and the LNS at a glance
    #[command(after_help = "Example:\n  kubectl lns status")]
    Status(Passed),
    /// Shows the members, who is master, and for how long
    #[command(after_help = "Example:\n  kubectl lns members -o wide")]
    Members(Passed),
    /// Lists tunnels (control connections)
    #[command(after_help = "Example:\n  kubectl lns tunnels --lac wholesale-a")]
    Tunnels(Passed),
    /// Lists sessions
    #[command(after_help = "Example:\n  kubectl lns sessions --user alice@isp.example")]
    Sessions(Passed),
    /// Shows one session
    #[command(after_help = "Example:\n  kubectl lns session show 4711.12 --messages")]
    Session(Passed),
    /// Lists flows, follows them, or clears them
    #[command(after_help = "Example:\n  kubectl lns flows --user alice@isp.example --watch")]
    Flows(Passed),
    /// Lists policies, or shows the rules of one and how often each has matched
    #[command(after_help = "Example:\n  kubectl lns policies residential")]
    Policies(Passed),
    /// Shows RADIUS servers, their connections, and what waits for them
    #[command(after_help = "Example:\n  kubectl lns radius --watch")]
    Radius(Passed),
    /// Lists address pools
    #[command(after_help = "Example:\n  kubectl lns pools")]
    Pools(Passed),
    /// Lists the LACs of the manifest, and those that were turned away
    #[command(after_help = "Example:\n  kubectl lns lacs -o wide")]
    Lacs(Passed),
    /// Shows why logins failed, LACs were refused, and calls and tunnels ended
    #[command(after_help = "Example:\n  kubectl lns failures --user alice@isp.example --since 1h")]
    Failures(Passed),
    /// Follows what goes on at the master, message by message, until Ctrl-C
    ///
    /// -w writes a capture on this machine; the lines then go to the standard error.
    #[command(after_help = "Example:\n  kubectl lns trace --lac wholesale-a -w lac.pcap")]
    Trace(Passed),
    /// Ends sessions; the LAC is told, the subscriber may dial in again
    #[command(after_help = "Example:\n  kubectl lns disconnect --pool old --rate 50/s")]
    Disconnect(Passed),
    /// Has another member become master: a planned switchover
    #[command(after_help = "Example:\n  kubectl lns step-down && kubectl lns members")]
    StepDown(Passed),
    /// Declares an upgrade final: the release before cannot be gone back to
    #[command(after_help = "Example:\n  kubectl lns finalize-upgrade && kubectl lns status")]
    FinalizeUpgrade(Passed),
    /// Takes nodes out of service: their members stop serving until they are unfenced
    ///
    /// Writes the annotation kubelns.io/fenced of the LnsCluster. What is fenced already stays so.
    #[command(after_help = "Example:\n  kubectl lns fence worker-1")]
    Fence(Nodes),
    /// Puts fenced nodes back into service
    #[command(after_help = "Example:\n  kubectl lns unfence worker-1")]
    Unfence(Nodes),
    /// Collects what is known of a node into one file on this machine, without secrets
    #[command(after_help = "Example:\n  kubectl lns --node worker-1 report -w report.tar.gz")]
    Report(Passed),
}

/// A command of `lnsd`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Its name.
    pub(crate) command: &'static str,
    /// What was typed behind it.
    pub(crate) arguments: Vec<String>,
    /// Only the master can do it, or knows of it at once.
    pub(crate) is_for_master: bool,
    /// It goes on until somebody ends it.
    pub(crate) follows: bool,
    /// What it writes goes into a file here: what that is called unless `-w` says so; empty: only with `-w`.
    pub(crate) file: Option<&'static str>,
}

/// What a command asks for.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// These nodes out of service.
    Fenced(Vec<String>),
    /// These nodes back in service.
    Unfenced(Vec<String>),
    /// What the cluster says of itself, and a member with these options.
    Status(Vec<String>),
    /// What a member says or does.
    Remote(Remote),
}

impl Command {
    /// What it asks for.
    pub(crate) fn wanted(self) -> Wanted {
        let (command, passed) = match self {
            Self::Fence(nodes) => return Wanted::Fenced(nodes.nodes),
            Self::Unfence(nodes) => return Wanted::Unfenced(nodes.nodes),
            Self::Status(passed) => return Wanted::Status(passed.arguments),
            Self::Members(passed) => ("members", passed),
            Self::Tunnels(passed) => ("tunnels", passed),
            Self::Sessions(passed) => ("sessions", passed),
            Self::Session(passed) => ("session", passed),
            Self::Flows(passed) => ("flows", passed),
            Self::Policies(passed) => ("policies", passed),
            Self::Radius(passed) => ("radius", passed),
            Self::Pools(passed) => ("pools", passed),
            Self::Lacs(passed) => ("lacs", passed),
            Self::Failures(passed) => ("failures", passed),
            Self::Trace(passed) => ("trace", passed),
            Self::Disconnect(passed) => ("disconnect", passed),
            Self::StepDown(passed) => ("step-down", passed),
            Self::FinalizeUpgrade(passed) => ("finalize-upgrade", passed),
            Self::Report(passed) => ("report", passed),
        };
        Wanted::Remote(Remote::new(command, passed.arguments))
    }
}

impl Remote {
    pub(crate) fn new(command: &'static str, arguments: Vec<String>) -> Self {
        let has = |word: &str| arguments.iter().any(|it| it == word);
        Self {
            is_for_master: ["trace", "disconnect", "step-down", "finalize-upgrade"]
                .contains(&command)
                || has("--flush"),
            follows: ["trace", "disconnect"].contains(&command) || has("--watch"),
            file: match command {
                "trace" => Some(""),
                "report" => Some("lnsd-report"),
                _ => None,
            },
            command,
            arguments,
        }
    }

    /// Whether it is asked what can be asked.
    pub(crate) fn is_help(&self) -> bool {
        self.arguments.iter().any(|it| it == "--help" || it == "-h")
    }
}

/// The words that were typed, options of this program first: `clap` hands on everything behind a command.
pub(crate) fn ordered(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut own: Vec<OsString> = words.next().into_iter().collect();
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            rest.push(word);
            rest.extend(words.by_ref());
        } else if OWN.contains(&&*text) {
            own.push(word);
            own.extend(words.next());
        } else if is_own_with_value(&text) {
            own.push(word);
        } else {
            rest.push(word);
        }
    }
    own.extend(rest);
    own
}

/// `--node=NAME` and `-nNAME`.
fn is_own_with_value(text: &str) -> bool {
    let long = text
        .split_once('=')
        .is_some_and(|(name, _)| OWN.contains(&name));
    long || (text.starts_with("-n") && text.len() > 2)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = line.split(' ').map(OsString::from);
        Cli::try_parse_from(ordered(words))
    }

    fn remote(line: &str) -> (Place, Remote) {
        let cli = parse(line).unwrap();
        let Wanted::Remote(remote) = cli.command.wanted() else {
            panic!("{line} is no command of lnsd");
        };
        (cli.place, remote)
    }

    #[test]
    fn own_options_stand_anywhere_and_others_are_handed_on_as_they_are() {
        for line in [
            "lns -n isp --cluster edge --node w1 sessions --user alice -o json",
            "lns sessions --user alice -n isp -o json --cluster=edge --node w1",
            "lns sessions -nisp --user alice -o json --node=w1 --cluster edge",
        ] {
            let (place, remote) = remote(line);
            assert_eq!(place.namespace.as_deref(), Some("isp"), "{line}");
            assert_eq!(place.cluster.as_deref(), Some("edge"), "{line}");
            assert_eq!(place.node.as_deref(), Some("w1"), "{line}");
            assert_eq!(remote.command, "sessions");
            assert_eq!(
                remote.arguments,
                ["--user", "alice", "-o", "json"],
                "{line}"
            );
        }
        // Behind two hyphens nothing is ours.
        let (place, remote) = remote("lns policies -- -n");
        assert_eq!(
            (place.namespace, remote.arguments),
            (None, vec!["-n".to_owned()])
        );
    }

    #[test]
    fn what_acts_goes_to_the_master_and_what_follows_ends_with_this_program() {
        let of = |line: &str| {
            let (_, remote) = remote(line);
            (remote.is_for_master, remote.follows)
        };
        assert_eq!(of("lns sessions"), (false, false));
        assert_eq!(of("lns flows --watch"), (false, true));
        assert_eq!(of("lns flows --user a --flush"), (true, false));
        assert_eq!(of("lns trace --user a"), (true, true));
        assert_eq!(of("lns disconnect --user a"), (true, true));
        assert_eq!(of("lns step-down"), (true, false));
        assert_eq!(of("lns finalize-upgrade"), (true, false));
        assert_eq!(of("lns report"), (false, false));
    }

    #[test]
    fn help_of_a_command_is_asked_of_a_member_and_that_of_the_program_is_not() {
        assert!(remote("lns sessions --help").1.is_help());
        assert!(remote("lns session show -h").1.is_help());
        let help = parse("lns --help").unwrap_err();
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
    }

    #[test]
    fn what_is_typed_wrong_is_bad_input() {
        for line in [
            "lns",
            "lns fence",
            "lns colour",
            "lns --colour status",
            "lns -n",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = help.strip_prefix("Example:\n  ").unwrap_or_default();
            let words: Vec<_> = example
                .lines()
                .next()
                .unwrap_or_default()
                .split(" && ")
                .collect();
            for line in words {
                let line = line.trim_start_matches("kubectl ");
                let parsed = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                drop(parsed);
            }
            assert!(
                example.contains(command.get_name()),
                "{}",
                command.get_name()
            );
        }
    }
}
