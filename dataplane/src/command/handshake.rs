//! `handshake`: asks an LNS for a tunnel as a LAC does, and gives it back. What is said and when is
//! [`lns_l2tp::Probe`]'s; here are the socket, the time, and words for people.
//!
//! The socket is connected, so that a port which nobody serves is told at once. An LNS that answers from
//! another address or port than the one that was asked is not heard.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::ffi::OsString;
use std::io;
use std::net::UdpSocket;
use std::os::unix::ffi::OsStringExt as _;
use std::time;

use lns_crypto::{Rng, Secret};
use lns_l2tp::{HostName, Probe, ProbeError, RetransmitConfig, Said, Secrets, TunnelConfig};
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;
use serde_json::{Value, json};

use super::read::{pretty, print};
use super::table::facts;
use crate::cli::{HandshakeArguments, Output};
use crate::failure::Failure;

/// Where the secret is, unless a file is named.
const SECRET: &str = "LNSD_TUNNEL_SECRET";

/// The first wait for an answer, and the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Octets of a datagram.
const DATAGRAM: usize = 65_535;

/// `lnsd handshake`
pub(crate) fn handshake(arguments: &HandshakeArguments) -> Result<(), Failure> {
    let secret = secret(arguments)?;
    let name = HostName::new(arguments.host_name.as_bytes()).ok_or_else(|| {
        Failure::bad_input("--host-name: has no octet, or more than 255, which is all that fits")
    })?;
    let config = TunnelConfig {
        hello: None,
        retransmit: RetransmitConfig {
            initial: WAITS[0],
            cap: WAITS[1],
            tries: arguments.tries,
        },
        secrets: secret.map(Secrets::single),
        ..TunnelConfig::new(name)
    };
    let lns = arguments.lns.0;
    let said = ask(lns, arguments.from, config)?;
    print(&match arguments.output {
        Output::Json => pretty(&answer(lns, &said)),
        Output::Table | Output::Wide => facts(&shown(lns, &said)),
    })
}

/// What is secret stands in no command line: others can read those.
fn secret(arguments: &HandshakeArguments) -> Result<Option<Secret>, Failure> {
    let octets = match &arguments.secret_file {
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            Failure::bad_input(format!("--secret-file: {}: {error}", path.display()))
        })?),
        None => std::env::var_os(SECRET).map(OsString::into_vec),
    };
    let Some(octets) = octets else {
        return Ok(None);
    };
    if octets.is_empty() {
        return Err(Failure::bad_input("the secret is empty"));
    }
    if octets.last().is_some_and(u8::is_ascii_whitespace) {
        eprintln!("the secret ends in a blank or a line end, which is part of it");
    }
    Ok(Some(Secret::new(octets)))
}

/// Speaks with the LNS until it is known how it went.
fn ask(lns: SocketAddr, from: Option<IpAddr>, config: TunnelConfig) -> Result<Said, Failure> {
    let socket = connect(lns, from)?;
    let mut rng = Rng::from_seed(crate::run::seed()?);
    let began = time::Instant::now();
    let now = || Instant::from_nanos(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let id = TunnelId(rng.u16().max(1));
    let mut probe = Probe::new(config, id, now(), &mut rng);
    let mut payload = vec![0; DATAGRAM];
    let mut out = Vec::new();
    loop {
        while probe.poll_transmit(now(), &mut out) {
            socket
                .send(&out)
                .map_err(|error| unreachable(lns, &error))?;
        }
        if let Some(outcome) = probe.outcome() {
            return outcome
                .cloned()
                .map_err(|error| explained(lns, &error, probe.said()));
        }
        let wait = probe.poll_timeout().map(|at| at.since(now()));
        // No timeout at all is what a wait of zero would mean.
        let wait = wait.map(|wait| wait.max(Duration::from_millis(1)));
        socket
            .set_read_timeout(wait)
            .map_err(|error| Failure::failed("cannot wait", error))?;
        match socket.recv(&mut payload) {
            Ok(length) => {
                let payload = payload.get(..length).unwrap_or_default();
                probe.handle_datagram(payload, now(), &mut rng);
            }
            Err(error) if is_patience(&error) => probe.handle_timeout(now()),
            Err(error) => return Err(unreachable(lns, &error)),
        }
    }
}

fn is_patience(error: &io::Error) -> bool {
    [
        io::ErrorKind::WouldBlock,
        io::ErrorKind::TimedOut,
        io::ErrorKind::Interrupted,
    ]
    .contains(&error.kind())
}

fn connect(lns: SocketAddr, from: Option<IpAddr>) -> Result<UdpSocket, Failure> {
    let any = match lns {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let from = from.unwrap_or(any);
    if from.is_ipv4() != lns.is_ipv4() {
        return Err(Failure::bad_input(format!(
            "--from: {from} is of another family than {lns}"
        )));
    }
    let socket = UdpSocket::bind((from, 0))
        .map_err(|error| Failure::failed(format!("cannot send from {from}"), error))?;
    socket
        .connect(lns)
        .map_err(|error| unreachable(lns, &error))?;
    Ok(socket)
}

fn unreachable(lns: SocketAddr, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Failure::Failed(format!(
            "{lns}: nothing serves this port: is the address that of the LNS, the port that of spec.service, and lnsd running?"
        ));
    }
    Failure::failed(format_args!("{lns}: cannot be reached"), error)
}

/// What failed, and what to look at.
fn explained(lns: SocketAddr, error: &ProbeError, said: Option<&Said>) -> Failure {
    let advice = match error {
        ProbeError::Silent { .. } => {
            "is the address announced, is UDP let through, and does an entry of spec.lacs have the address from which this is sent? `lnsd lacs` lists whom it gives no answer"
        }
        ProbeError::NoReply => "its log says why",
        ProbeError::Refused(refusal) => match refusal.result.label() {
            "not_authorized" => "is the secret that of this LAC in spec.lacs?",
            "shutdown" => "it shuts down: try again",
            _ => "`lnsd failures` and its log say why",
        },
        ProbeError::WantsSecret => "name it with --secret-file, or in LNSD_TUNNEL_SECRET",
        ProbeError::OtherSecret => "is the secret that of this LAC in spec.lacs?",
        ProbeError::NoProof => {
            "it has no secret for this LAC, or is not the one that it pretends to be"
        }
        ProbeError::Reflected | ProbeError::Invalid(_) | ProbeError::Fsm => "is it an LNS at all?",
        ProbeError::Version(_) => "L2TP version 2 (RFC 2661) is all that is spoken here",
        ProbeError::Lost => "was it stopped just now, or does a firewall drop what follows?",
    };
    let who = match said {
        Some(said) => format!("{lns} (\"{}\")", said.host_name.escape_ascii()),
        None => lns.to_string(),
    };
    Failure::Failed(format!("{who}: {error}: {advice}"))
}

/// Whether either side has proved that it knows the secret: both do, or none.
const fn authentication(said: &Said) -> &'static str {
    match (said.responds, said.challenges) {
        (true, true) => "both sides have proved the secret",
        (true, false) => "the LNS has proved the secret, and asks for no proof",
        (false, true) => "the LNS has asked for a proof of the secret",
        (false, false) => "none",
    }
}

fn milliseconds(said: &Said) -> f64 {
    // Whole microseconds of less than a minute: no digit is lost.
    said.round_trip.as_secs_f64() * 1e3
}

fn shown(lns: SocketAddr, said: &Said) -> Vec<(&'static str, String)> {
    let text = |octets: &[u8]| octets.escape_ascii().to_string();
    let again = match said.requests {
        0 | 1 => String::new(),
        requests => format!(", at the SCCRQ number {requests}"),
    };
    vec![
        ("LNS", lns.to_string()),
        ("Host Name", text(&said.host_name)),
        ("Vendor", text(&said.vendor)),
        (
            "Version",
            format!("{}.{}", said.version.version, said.version.revision),
        ),
        (
            "Firmware",
            said.firmware
                .map_or_else(String::new, |firmware| format!("{firmware:#06x}")),
        ),
        (
            "Receive window",
            format!("{} messages", said.receive_window),
        ),
        ("Authentication", authentication(said).to_owned()),
        ("Round trip", format!("{:.1} ms{again}", milliseconds(said))),
        ("Tunnel", "established, and given back".to_owned()),
    ]
}

fn answer(lns: SocketAddr, said: &Said) -> Value {
    json!({
        "lns": lns.to_string(),
        "hostName": String::from_utf8_lossy(&said.host_name),
        "vendor": String::from_utf8_lossy(&said.vendor),
        "version": format!("{}.{}", said.version.version, said.version.revision),
        "firmware": said.firmware,
        "receiveWindow": said.receive_window,
        "lnsProved": said.responds,
        "lnsChallenged": said.challenges,
        "requests": said.requests,
        "roundTripMilliseconds": milliseconds(said),
    })
}

#[cfg(test)]
mod tests {
    use lns_l2tp::Refusal;
    use lns_wire::l2tp::{GeneralError, ProtocolVersion, StopCcnResult};

    use super::*;

    fn said() -> Said {
        Said {
            host_name: (*b"lns1\x1b[2J").into(),
            vendor: (*b"kubelns").into(),
            version: ProtocolVersion::ONE,
            firmware: None,
            receive_window: 128,
            challenges: true,
            responds: true,
            round_trip: Duration::from_micros(1500),
            requests: 2,
        }
    }

    #[test]
    fn what_the_lns_says_is_shown_and_moves_no_cursor() {
        let lns = SocketAddr::from(([192, 0, 2, 1], 1701));
        let text = facts(&shown(lns, &said()));
        assert!(text.contains("Host Name       lns1\\x1b[2J\n"), "{text}");
        assert!(text.contains("1.5 ms, at the SCCRQ number 2"), "{text}");
        assert!(!text.contains("Firmware"), "{text}");
        assert_eq!(answer(lns, &said())["roundTripMilliseconds"], 1.5);
    }

    #[test]
    fn each_failure_is_one_line_that_says_what_to_look_at() {
        let lns = SocketAddr::from(([192, 0, 2, 1], 1701));
        let refused = |result, error| {
            ProbeError::Refused(Refusal {
                result,
                error,
                advisory: (*b"no\nway").into(),
            })
        };
        for (error, words) in [
            (
                ProbeError::Silent { requests: 5 },
                "no answer to 5 SCCRQs: is the address announced",
            ),
            (
                refused(StopCcnResult::NOT_AUTHORIZED, None),
                "StopCCN: result 4 (not_authorized), \"no\\nway\": is the secret",
            ),
            (
                refused(
                    StopCcnResult::GENERAL_ERROR,
                    Some(GeneralError::TRY_ANOTHER),
                ),
                "StopCCN: result 2 (general_error), error 7 (try_another)",
            ),
            (ProbeError::WantsSecret, "--secret-file"),
            (
                ProbeError::OtherSecret,
                "with another secret: is the secret",
            ),
        ] {
            let Failure::Failed(line) = explained(lns, &error, None) else {
                panic!("{error} is bad input")
            };
            assert!(line.starts_with("192.0.2.1:1701: "), "{line}");
            assert!(line.contains(words), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }
}
