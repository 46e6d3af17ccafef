//! What an engineer asks at three in the morning: why it failed, and what goes on.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lns_wire::text::DatagramText;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pcap_file::pcap::PcapReader;
use serde_json::Value;

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD, TUNNEL_SECRET};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "explain-failures",
        says: "each failed login and refused LAC says stage, reason and what was said before",
        run: failures,
    },
    Scenario {
        name: "explain-ended",
        says: "a session that was up says why it ended, by user, number and LAC",
        run: ended,
    },
    Scenario {
        name: "explain-trace",
        says: "a subscriber is followed from its first message on, in words and in a capture file",
        run: trace,
    },
    Scenario {
        name: "explain-trace-refused",
        says: "a trace of nobody, into no file, or one too many: one line that says what to do",
        run: refused,
    },
];

/// IP and UDP headers in a capture file.
const HEADERS: usize = 20 + 8;

const PATIENCE: Duration = Duration::from_secs(20);

fn failures() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let attempts = [
        ("user@isp", "not-the-password", TUNNEL_SECRET),
        ("nobody@isp", PASSWORD, TUNNEL_SECRET),
        ("user@isp", PASSWORD, "another secret of the LAC"),
    ];
    for (user, password, secret) in attempts {
        let options = Options {
            user: user.into(),
            password: password.into(),
            secret: Some(secret.into()),
            ..options()
        };
        let lac = Lac::start(&topology.lac, options);
        lac.settle(PATIENCE)?;
        lac.close()?;
    }
    let found = lnsd.rows("failures", &["failures"])?;
    let told = |stage: &str, detail: &str| {
        let is_it = |one: &&Value| one["stage"] == stage && one["detail"] == detail;
        found
            .iter()
            .find(is_it)
            .with_context(|| format!("no {stage} failure says {detail}: {found:#?}"))
    };
    let wrong = told("Authentication", "wrong_password")?;
    told("Authentication", "unknown_user")?;
    told("Tunnel", "secret_refused_by_lac")?;
    expect(wrong["user"] == "user@isp", wrong)?;
    let words: Vec<&str> = wrong["messages"]
        .as_array()
        .context("messages")?
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    let first = words.first().copied().unwrap_or_default();
    expect(first.starts_with("ICRQ "), format!("the first is {first}"))?;
    for part in [
        "CHAP Response",
        "wrong password",
        "ended: authentication failed",
    ] {
        let said = words.iter().any(|line| line.contains(part));
        expect(said, format!("nothing says {part}: {words:#?}"))?;
    }
    filters(&lnsd)?;
    Ok(String::new())
}

fn filters(lnsd: &Lnsd<'_>) -> Result<()> {
    for (filter, expected) in [
        (&["--user", "nobody@isp"][..], 1),
        (&["--stage", "tunnel"], 1),
        (&["--lac", "wholesale-a", "--kind", "failed"], 2),
        (&["--since", "1h"], 3),
        (&["--calling-number", "0"], 0),
        (&["--remote", "203.0.113.1"], 0),
    ] {
        let found = lnsd.rows("failures", &[&["failures"], filter].concat())?;
        expect(
            found.len() >= expected && (expected > 0 || found.is_empty()),
            format!("{filter:?} finds {}, not {expected}", found.len()),
        )?;
    }
    let table = lnsd.table(&["failures"])?;
    expect(
        table.contains("authentication failed (wrong password)"),
        &table,
    )?;
    let blocks = lnsd.table(&["failures", "--user", "user@isp", "--messages"])?;
    expect(blocks.contains("< ICRQ "), &blocks)?;
    let nothing = lnsd.command(&["failures", "--user", "else@isp"])?;
    expect(
        nothing.status.success() && nothing.stdout.is_empty(),
        "it found something",
    )?;
    let line = String::from_utf8_lossy(&nothing.stderr).into_owned();
    expect(
        line.lines().count() == 1 && line.starts_with("no failure matches"),
        line,
    )
}

fn ended() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, options())?;
    let address = lac.address(0)?.to_string();
    let sessions = lnsd.rows("sessions", &["sessions"])?;
    let id = sessions.first().and_then(|session| session["id"].as_str());
    let id = id.context("an id")?.to_owned();
    let shown = lnsd.table(&["session", "show", &id, "--messages"])?;
    expect(shown.contains(": CHAP Success "), &shown)?;
    lnsd.table(&["disconnect", "--session", &id])?;
    lnsd.wait(PATIENCE, "the session has ended", |lnsd| {
        Ok(lnsd.status("sessions")? == 0)
    })?;
    lac.close()?;
    let found = lnsd.rows(
        "failures",
        &["failures", "--kind", "ended", "--stage", "up"],
    )?;
    let [one] = &found[..] else {
        bail!("{} ends: {found:#?}", found.len());
    };
    expect(
        one["reason"] == "admin_reset" && one["address"] == *address,
        one,
    )?;
    Ok(String::new())
}

fn trace() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trace.pcap");
    let name = file.to_str().context("a path")?;
    let mut traces = vec![
        Following::start(&lnsd, &["--user", "user@isp", "-w", name])?,
        Following::start(&lnsd, &["--lac", "wholesale-a", "-o", "json"])?,
        Following::start(&lnsd, &["--user", "else@isp"])?,
    ];
    let lac = Lac::up(&topology.lac, options())?;
    lac.close()?;
    lnsd.wait(PATIENCE, "the tunnel has ended", |lnsd| {
        Ok(lnsd.status("tunnels")? == 0)
    })?;
    // The lines are on their way: they come ten times a second.
    std::thread::sleep(Duration::from_millis(500));
    let [user, lac, nobody] = [0, 0, 0].map(|at| traces.remove(at).end());
    let (user, lac, nobody) = (user?, lac?, nobody?);
    expect(nobody.is_empty(), format!("else@isp: {nobody:#?}"))?;
    let first = user.first().map(String::as_str).unwrap_or_default();
    expect(first.contains(" < ICRQ "), format!("the first is {first}"))?;
    for part in [
        " - login by CHAP: accepted",
        " - address 100.64.",
        " CDN ",
        " - ended: ",
    ] {
        let said = user.iter().any(|line| line.contains(part));
        expect(said, format!("nothing says {part}: {user:#?}"))?;
    }
    let tunnel = lac.iter().any(|line| line.contains("SCCRQ"));
    expect(tunnel, format!("no SCCRQ: {lac:#?}"))?;
    let packets = captured(&file)?;
    let messages = user.iter().filter(|line| !line.contains(" - ")).count();
    expect(
        packets.len() == messages
            && packets
                .first()
                .is_some_and(|first| first.starts_with("ICRQ ")),
        format!(
            "{} packets for {messages} messages: {packets:#?}",
            packets.len()
        ),
    )?;
    read_by_others(name)?;
    let octets = std::fs::read(&file)?;
    let all = String::from_utf8_lossy(&octets).into_owned() + &user.concat() + &lac.concat();
    expect(
        !all.contains(PASSWORD) && !all.contains(TUNNEL_SECRET),
        "a secret was shown",
    )?;
    Ok(format!("{} lines, {} packets", user.len(), packets.len()))
}

/// tcpdump reads the same in it.
fn read_by_others(file: &str) -> Result<()> {
    let output = Command::new("tcpdump").args(["-nvr", file]).output();
    let output = output.context("tcpdump")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let response = "CHAP, Response (0x02)";
    for part in [
        "*MSGTYPE(ICRQ)",
        response,
        "*MSGTYPE(CDN)",
        &"2a".repeat(16),
    ] {
        expect(
            text.contains(part),
            format!("tcpdump shows no {part}: {text}"),
        )?;
    }
    Ok(())
}

/// The datagrams of a capture file in words.
fn captured(file: &std::path::Path) -> Result<Vec<String>> {
    let mut reader = PcapReader::new(File::open(file)?)?;
    let mut found = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet?;
        let datagram = packet.data.get(HEADERS..).context("headers")?;
        found.push(DatagramText::new(datagram).to_string());
    }
    Ok(found)
}

fn refused() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let cases = [
        (&["trace"][..], 2, "required"),
        (
            &["trace", "--user", "a", "-w", "/nowhere/x.pcap"],
            1,
            "choose another file",
        ),
        (&["trace", "--session", "9.9"], 1, "there is no session 9.9"),
        (
            &["session", "show", "9.9", "--messages"],
            1,
            "there is no session 9.9",
        ),
        (&["failures", "--since", "soon"], 2, "for instance 90s"),
        (&["failures", "--stage", "late"], 2, "possible values"),
    ];
    for (arguments, code, words) in cases {
        let output = lnsd.command(arguments)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        expect(
            output.status.code() == Some(code) && text.contains(words),
            format!("{arguments:?}: {:?}: {text}", output.status.code()),
        )?;
    }
    let mut traces = Vec::new();
    for _ in 0..8 {
        traces.push(Following::start(&lnsd, &["--user", "user@isp"])?);
    }
    let output = lnsd.command(&["trace", "--user", "user@isp"])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    expect(
        output.status.code() == Some(1) && text.contains("end one of them first"),
        format!("{:?}: {text}", output.status.code()),
    )?;
    // One that is gone without a word makes room.
    traces.pop();
    lnsd.wait(PATIENCE, "there is room for one more", |lnsd| {
        let ends = lnsd.command(&["trace", "--user", "user@isp", "--for", "1s"])?;
        Ok(ends.status.success())
    })?;
    Ok(format!("{} cases", cases.len() + 2))
}

/// A `lnsd trace` that runs. Dropping it kills it.
pub(super) struct Following {
    child: Child,
}

impl Following {
    /// Starts it and waits until the process follows.
    pub(super) fn start(lnsd: &Lnsd<'_>, arguments: &[&str]) -> Result<Self> {
        let begun = |lnsd: &Lnsd<'_>| lnsd.log().matches("trace begins").count();
        let before = begun(lnsd);
        let arguments = [&["trace"], arguments].concat();
        let this = Self {
            child: lnsd.spawn(&arguments, Stdio::piped())?,
        };
        lnsd.wait(
            PATIENCE,
            "the trace begins",
            |lnsd| Ok(begun(lnsd) > before),
        )?;
        Ok(this)
    }

    /// Ends it as Ctrl-C does; what it printed.
    pub(super) fn end(mut self) -> Result<Vec<String>> {
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGINT,
        )?;
        let out = self.child.stdout.take().context("its output")?;
        let lines = BufReader::new(out).lines().collect::<Result<_, _>>()?;
        let status = self.child.wait()?;
        expect(status.success(), format!("trace ended with {status}"))?;
        Ok(lines)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
