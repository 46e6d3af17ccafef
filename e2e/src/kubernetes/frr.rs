//! FRR as the router: Debian's zebra and staticd, unpacked and never installed, in the router's namespace. Its static
//! routes are put and withdrawn over its own terminal, as an operator of a network or its probes do; a floating route
//! into nothing is what is left when nobody serves.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cleanup::{self, Leftover};
use crate::cluster::router::{Change, Hop, Setter};
use crate::differential;
use crate::net::Namespace;

/// What runs, in this order.
const PROGRAMS: [&str; 2] = ["zebra", "staticd"];
/// How long a start or an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The administrative distance of the route into nothing: all others are preferred.
const FLOATING: u8 = 250;

/// Both programs. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Frr {
    children: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Frr {
    /// Starts them in a namespace.
    pub(crate) fn start(router: &Namespace) -> Result<Self> {
        let root = differential::unpack()?;
        let mut frr = Self {
            children: Vec::new(),
            folder: tempfile::tempdir()?,
        };
        for program in PROGRAMS {
            let log = std::fs::File::create(frr.folder.path().join(format!("{program}.log")))?;
            let child = router.spawn(
                differential::inside(&root, &[(frr.folder.path(), "frr")])
                    .arg(format!("/usr/lib/frr/{program}"))
                    .args([
                        "-u",
                        "root",
                        "-g",
                        "root",
                        "-f",
                        "/etc/frr/none.conf",
                        "-P",
                        "0",
                    ])
                    .args(["-z", "/etc/frr/zserv.api", "--vty_socket", "/etc/frr"])
                    .args(["-i", &format!("/etc/frr/{program}.pid"), "--log", "stdout"])
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log),
            )?;
            cleanup::remember(process(&child));
            frr.children.push(child);
            frr.wait_for(program)?;
        }
        Ok(frr)
    }

    fn wait_for(&mut self, program: &str) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        let socket = self.folder.path().join(format!("{program}.vty"));
        while UnixStream::connect(&socket).is_err() {
            let log = self.folder.path().join(format!("{program}.log"));
            let log = std::fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.children.last_mut().and_then(|it| it.try_wait().ok())
                && let Some(status) = status
            {
                bail!("{program} ended with {status}: {log}");
            }
            ensure!(Instant::now() < give_up, "{program} does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What sets its routes.
    pub(crate) fn setter(&self) -> Setter {
        let socket = self.folder.path().join("staticd.vty");
        let known = Mutex::new(BTreeMap::new());
        Arc::new(move |changes| {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            configure(&socket, &commands(&mut known, changes))
        })
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        for child in &mut self.children {
            cleanup::forget(&process(child));
            // Both fail only if it has ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn process(child: &Child) -> Leftover {
    Leftover::Process(i32::try_from(child.id()).unwrap_or(0))
}

/// What to say so that routes are as they should be, where these were. What is new comes before what is old goes.
fn commands(known: &mut BTreeMap<String, Vec<Hop>>, changes: &[Change]) -> Vec<String> {
    let mut all = Vec::new();
    for Change { target, hops } in changes {
        let prefix = if target.contains('/') {
            target.clone()
        } else {
            format!("{target}/32")
        };
        let route = |Hop { address, device }: &Hop| format!("ip route {prefix} {address} {device}");
        let before = known.insert(target.clone(), hops.clone());
        if before.is_none() {
            all.push(format!("ip route {prefix} blackhole {FLOATING}"));
        }
        let before = before.unwrap_or_default();
        all.extend(hops.iter().filter(|hop| !before.contains(hop)).map(route));
        let old = before.iter().filter(|hop| !hops.contains(hop));
        all.extend(old.map(|hop| format!("no {}", route(hop))));
    }
    all
}

/// Says all of it to a program of FRR's, on its terminal. Fails with its own words if it does not take one.
fn configure(socket: &Path, commands: &[String]) -> Result<()> {
    let mut terminal = UnixStream::connect(socket)
        .with_context(|| format!("the terminal {}", PathBuf::from(socket).display()))?;
    terminal.set_read_timeout(Some(PATIENCE))?;
    let begin = ["enable", "configure terminal"].map(str::to_owned);
    for command in begin.iter().chain(commands) {
        terminal.write_all(command.as_bytes())?;
        terminal.write_all(&[0])?;
        let (code, said) = answer(&mut terminal).with_context(|| command.clone())?;
        ensure!(code == 0, "FRR takes no \"{command}\": {code}, {said}");
    }
    Ok(())
}

/// An answer is what was said, three zeros, and a code.
fn answer(terminal: &mut impl std::io::Read) -> Result<(u8, String)> {
    let mut said = Vec::new();
    loop {
        let mut octet = [0];
        terminal.read_exact(&mut octet)?;
        said.push(octet[0]);
        if let [words @ .., 0, 0, 0, code] = said.as_slice() {
            return Ok((*code, String::from_utf8_lossy(words).trim().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_is_new_comes_before_what_is_old_goes() {
        let hop = |last| Hop {
            address: Ipv4Addr::new(10, 0, 0, last),
            device: "access0".to_owned(),
        };
        let change = |hops| Change {
            target: "192.0.2.1".to_owned(),
            hops,
        };
        let mut known = BTreeMap::new();
        assert_eq!(
            commands(&mut known, &[change(vec![])]),
            ["ip route 192.0.2.1/32 blackhole 250"]
        );
        commands(&mut known, &[change(vec![hop(11), hop(12)])]);
        assert_eq!(
            commands(&mut known, &[change(vec![hop(12), hop(13)])]),
            [
                "ip route 192.0.2.1/32 10.0.0.13 access0",
                "no ip route 192.0.2.1/32 10.0.0.11 access0"
            ]
        );
    }

    #[test]
    fn an_answer_ends_with_three_zeros_and_a_code() {
        let mut octets = &b"% Unknown command\n\0\0\0\x02more"[..];
        let (code, said) = answer(&mut octets).unwrap();
        assert_eq!((code, said.as_str()), (2, "% Unknown command"));
    }
}
