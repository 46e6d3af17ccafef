//! FreeRADIUS 3.2 as Debian has it, in the core's namespace: unpacked, never installed; each with an
//! address, a configuration, users and a detail file of its own.
//!
//! That version signs no reply with a Message-Authenticator unless it is told to: [`Server::signs`].

use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::detail::{self, Entry};
use crate::cleanup::{self, Leftover};
use crate::differential;
use crate::net::{self, Namespace};

/// The secret of every server, where a scenario does not say otherwise.
pub(crate) const SECRET: &str = "a-long-radius-secret";
/// The first server's address, and the second's.
pub(crate) const ADDRESSES: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 21),
    Ipv4Addr::new(203, 0, 113, 22),
];
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

const CONFIGURATION: &str = include_str!("../../radius/radiusd.conf");
const SIGN: &str =
    "update reply {\n&Message-Authenticator := 0x00000000000000000000000000000000\n}";

/// How a server is to be.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Which of [`ADDRESSES`].
    pub(crate) place: usize,
    /// From where the LNS asks.
    pub(crate) client: Ipv4Addr,
    /// What it shares with the LNS.
    pub(crate) secret: String,
    /// Whether it answers Status-Server.
    pub(crate) status: bool,
    /// Whether its replies to Access-Requests carry a Message-Authenticator.
    pub(crate) signs: bool,
    /// Whether it wants a Message-Authenticator in every Access-Request.
    pub(crate) strict: bool,
    /// The file `users`.
    pub(crate) users: String,
    /// Certificates for RADIUS over TLS: authority, certificate and key, as PEM.
    pub(crate) tls: Option<[String; 3]>,
}

impl Server {
    /// The server of this place, with these users.
    pub(crate) fn new(place: usize, users: &str) -> Self {
        Self {
            place,
            client: net::LNS_CORE,
            secret: SECRET.to_owned(),
            status: true,
            signs: true,
            strict: true,
            users: users.to_owned(),
            tls: None,
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        ADDRESSES
            .get(self.place)
            .copied()
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Writes what it reads into a folder that it has as `/etc/freeradius`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::write(folder.join("radiusd.conf"), self.configuration())?;
        std::fs::write(folder.join("users"), &self.users)?;
        let names = ["authority.pem", "certificate.pem", "key.pem"];
        for (name, pem) in names.iter().zip(self.tls.iter().flatten()) {
            std::fs::write(folder.join(name), pem)?;
        }
        Ok(())
    }

    fn configuration(&self) -> String {
        let listen = match &self.tls {
            None => String::new(),
            Some(_) => format!(
                "listen {{\ntype = auth+acct\nipaddr = {}\nport = 2083\nproto = tcp\nclients = radsec\n\
                 tls {{\nprivate_key_file = /etc/freeradius/key.pem\n\
                 certificate_file = /etc/freeradius/certificate.pem\n\
                 ca_file = /etc/freeradius/authority.pem\n\
                 fragment_size = 8192\nrequire_client_cert = yes\ntls_min_version = \"1.2\"\n\
                 tls_max_version = \"1.3\"\n}}\n}}",
                self.address()
            ),
        };
        let yes = |value| if value { "yes" } else { "no" };
        CONFIGURATION
            .replace("@STRICT@", yes(self.strict))
            .replace("@STATUS@", yes(self.status))
            .replace("@CLIENT@", &self.client.to_string())
            .replace("@SECRET@", &self.secret)
            .replace("@ADDRESS@", &self.address().to_string())
            .replace("@TLS@", &listen)
            .replace("@SIGN@", if self.signs { SIGN } else { "" })
    }
}

/// Gives the core the servers' addresses.
pub(crate) fn prepare(core: &Namespace) -> Result<()> {
    for address in ADDRESSES {
        core.ip(&[&format!("address add {address}/24 dev core0")])?;
    }
    Ok(())
}

/// What a detail file has since this place of it, and the place behind that.
pub(crate) fn records_since(path: &Path, place: u64) -> Result<(Vec<Entry>, u64)> {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        file.seek(SeekFrom::Start(place))?;
        file.read_to_string(&mut text)?;
    }
    // What is being written is read when it is whole.
    let whole = text.rfind("\n\n").map_or(0, |end| end + 2);
    let records = detail::parse(text.get(..whole).unwrap_or_default())?;
    Ok((records, place + whole as u64))
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct FreeRadius<'a> {
    namespace: &'a Namespace,
    root: PathBuf,
    server: Server,
    child: Child,
    folder: tempfile::TempDir,
}

impl<'a> FreeRadius<'a> {
    /// Starts it and waits until it serves.
    pub(crate) fn start(namespace: &'a Namespace, server: Server) -> Result<Self> {
        let root = differential::unpack()?;
        let folder = tempfile::tempdir()?;
        let child = spawn(namespace, &root, folder.path(), &server)?;
        let mut radius = Self {
            namespace,
            root,
            server,
            child,
            folder,
        };
        radius.wait_ready()?;
        Ok(radius)
    }

    /// Kills it, as a power failure would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        cleanup::forget(&process(&self.child));
        self.child.kill().context("killing FreeRADIUS")?;
        self.child.wait().context("waiting for FreeRADIUS")?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`], with whatever `change` makes of its configuration. Its
    /// detail file lives on.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&mut Server)) -> Result<()> {
        change(&mut self.server);
        let (root, folder) = (&self.root, self.folder.path());
        self.child = spawn(self.namespace, root, folder, &self.server)?;
        self.wait_ready()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(id, signal).with_context(|| format!("sending {signal}"))
    }

    /// Everything that accounting has told it.
    pub(crate) fn records(&self) -> Result<Vec<Entry>> {
        let path = self.folder.path().join("detail");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        detail::parse(&text)
    }

    /// What accounting has told it since this place of its detail file, and the place behind that.
    pub(crate) fn records_since(&self, place: u64) -> Result<(Vec<Entry>, u64)> {
        records_since(&self.folder.path().join("detail"), place)
    }

    /// Sends `attributes` (`Name = value`, one per line) as a request of that `kind` to the LNS, with
    /// Debian's radclient; gives what it prints.
    pub(crate) fn radclient(
        &self,
        to: &str,
        kind: &str,
        secret: &str,
        attributes: &str,
    ) -> Result<String> {
        let request = self.folder.path().join("request");
        std::fs::write(&request, attributes)?;
        let output = self.namespace.output(
            differential::inside(&self.root, &[(self.folder.path(), "freeradius")])
                .args(["/usr/bin/radclient", "-x", "-r", "1", "-t", "5"])
                .args(["-f", "/etc/freeradius/request", to, kind, secret]),
        )?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr))
    }

    /// The end of what it has said.
    pub(crate) fn log(&self) -> String {
        let octets = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&octets).into_owned();
        let lines: Vec<_> = text.lines().collect();
        let first = lines.len().saturating_sub(20);
        lines.get(first..).unwrap_or_default().join("\n")
    }

    fn wait_ready(&mut self) -> Result<()> {
        let give_up = Instant::now() + START;
        let log = self.folder.path().join("log");
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("FreeRADIUS ended with {status}\n{}", self.log());
            }
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("Ready to process requests") {
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "FreeRADIUS: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for FreeRadius<'_> {
    fn drop(&mut self) {
        cleanup::forget(&process(&self.child));
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(namespace: &Namespace, root: &Path, folder: &Path, server: &Server) -> Result<Child> {
    server.write(folder)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let child = namespace.spawn(
        differential::inside(root, &[(folder, "freeradius")])
            .args(["/usr/sbin/freeradius", "-f", "-l", "stdout"])
            .args(["-d", "/etc/freeradius"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log),
    )?;
    cleanup::remember(process(&child));
    Ok(child)
}

fn process(child: &Child) -> Leftover {
    Leftover::Process(i32::try_from(child.id()).unwrap_or(0))
}
