//! What is tried: an interface, tables of nftables, ports. All of it is taken back at once.
//!
//! A node that is a member already has the ports in use and its interface up: that is its lnsd's, which is asked.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use lns_datapath::{StartError, try_interface};

use super::Check;
use crate::cli::PreflightArguments;

/// An interface that nobody else has.
const INTERFACE: &str = "lns-preflight";

/// How long the lnsd of this node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// All checks of this module.
pub(super) fn checks(arguments: &PreflightArguments) -> Vec<Check> {
    let is_member = serves(arguments.admin);
    let mut checks = vec![tun(), nft(), gate()];
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let addresses = match arguments.address.as_slice() {
        [] => any.as_slice(),
        named => named,
    };
    for address in addresses {
        let address = SocketAddr::new(*address, arguments.port);
        checks.push(port(
            "L2TP port",
            address,
            is_member,
            UdpSocket::bind(address),
        ));
    }
    let peers = SocketAddr::from((Ipv4Addr::UNSPECIFIED, arguments.peer_port));
    checks.push(port(
        "peers' port",
        peers,
        is_member,
        TcpListener::bind(peers),
    ));
    checks
}

fn tun() -> Check {
    let name = "tun";
    match try_interface(INTERFACE) {
        Ok(()) => Check::ok(name, "an interface can be made"),
        Err(error @ StartError::TunMissing) => Check::fail(
            name,
            "/dev/net/tun does not exist or does not work",
            error.to_string(),
        ),
        Err(error) => Check::fail(
            name,
            error.to_string(),
            "it needs /dev/net/tun and NET_ADMIN",
        ),
    }
}

/// The program, by which subscribers are kept from the node.
fn nft() -> Check {
    let name = "nft";
    let tried = Command::new("nft")
        .args(["list", "tables"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => Check::ok(name, "it lists tables"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or_default().to_owned();
            Check::fail(name, line, "it needs NET_ADMIN and a kernel with nf_tables")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::fail(
            name,
            "the program is not there",
            "install nftables; the image has it",
        ),
        Err(error) => Check::fail(name, error.to_string(), "make the program executable"),
    }
}

fn gate() -> Check {
    let name = "nftables";
    match lns_gate::rehearse("lo") {
        Ok(rehearsal) => {
            let late = rehearsal.late.as_millis();
            let found = format!(
                "families inet, arp and netdev; a timeout ended {late} ms late; {} to others",
                if rehearsal.shielded { "closed" } else { "open" }
            );
            if late > 1000 {
                let advice = "what fences a member ends late: is the machine starved?";
                return Check::warn(name, found, advice);
            }
            Check::ok(name, found)
        }
        Err(error) => Check::fail(
            name,
            error.to_string(),
            "members are fenced by it: load nf_tables with its families arp and netdev, and give NET_ADMIN",
        ),
    }
}

/// Judges an attempt to listen.
fn port<T>(
    name: &'static str,
    address: SocketAddr,
    is_member: bool,
    tried: io::Result<T>,
) -> Check {
    let Err(error) = tried else {
        return Check::ok(name, format!("{address} is free"));
    };
    let is = |kind: io::ErrorKind| error.kind() == kind;
    if is(io::ErrorKind::AddrInUse) && is_member {
        return Check::ok(name, format!("{address} has the lnsd of this node"));
    }
    if is(io::ErrorKind::AddrInUse) {
        return Check::fail(
            name,
            format!("{address} is taken"),
            format!(
                "`ss -lnp sport = :{}` on the node shows by whom: end it, or take another port",
                address.port()
            ),
        );
    }
    if is(io::ErrorKind::AddrNotAvailable) {
        return Check::ok(name, format!("{address} is not here yet: lnsd brings it"));
    }
    Check::fail(
        name,
        format!("{address}: {error}"),
        "ports below 1024 need NET_BIND_SERVICE",
    )
}

/// Whether an lnsd answers there.
fn serves(admin: SocketAddr) -> bool {
    let answer = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: lnsd\r\n\r\n")?;
        let mut text = String::new();
        // Behind the first ones there is nothing new.
        stream.take(1 << 20).read_to_string(&mut text)?;
        Ok(text)
    };
    answer().is_ok_and(|text| text.contains("\nlns_sessions"))
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_port_is_free_taken_or_that_of_the_lnsd_of_this_node() {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let judge = |is_member| port("L2TP port", address, is_member, UdpSocket::bind(address));
        let told = judge(false);
        assert_eq!(told.outcome, Outcome::Fail);
        assert!(told.advice.contains(&address.port().to_string()));
        assert_eq!(judge(true).outcome, Outcome::Ok);
        drop(taken);
        assert_eq!(judge(false).outcome, Outcome::Ok);
        let elsewhere = SocketAddr::from(([192, 0, 2, 77], 1701));
        let told = port("L2TP port", elsewhere, false, UdpSocket::bind(elsewhere));
        assert_eq!(told.outcome, Outcome::Ok, "{}", told.found);
    }

    #[test]
    fn what_answers_otherwise_is_no_lnsd() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 64];
            let _read = stream.read(&mut asked).unwrap();
            stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap();
        });
        assert!(!serves(address));
        other.join().unwrap();
        assert!(!serves(address), "nobody is there any more");
    }
}
