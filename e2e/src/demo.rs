//! `lns-e2e demo`: the whole thing once, in under a minute, for a person to watch.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::signal::Signal;

use crate::http;
use crate::lac::{Authentication, Lac, Options, Report, Stage};
use crate::lnsd::Lnsd;
use crate::net::{self, Topology};
use crate::scenario::{self, Rate};

const TUNNELS: usize = 4;
const SUBSCRIBERS: usize = 1000;
const USER: &str = "user{}@isp.example";
const PASSWORD: &str = "password-of-the-demo";
const SECRET: &str = "secret-of-the-demo-tunnel";
/// MiB that one subscriber downloads.
const DOWNLOAD: usize = 50;
/// Packets per second offered; more than TUN takes is only loss.
const OFFERED: u64 = 150_000;

/// The manifest: `e2e/demo.yaml` with a thousand users more.
pub(crate) fn manifest() -> Result<String> {
    const MARK: &str = "  users.yaml: |\n";
    let (before, after) = include_str!("../demo.yaml")
        .split_once(MARK)
        .context("demo.yaml has no users.yaml")?;
    let users: String = (0..SUBSCRIBERS)
        .map(|n| {
            format!(
                "    \"{}\": {PASSWORD}\n",
                USER.replace("{}", &n.to_string())
            )
        })
        .collect();
    Ok(format!("{before}{MARK}{users}{after}"))
}

/// Runs the demo. An error means that something did not work as it should.
pub(crate) fn run() -> Result<()> {
    let screen = Screen::new();
    let started = Instant::now();
    let topology = network(screen)?;
    let names = topology.names();
    let before = topology.lns.footprint()?;
    let mut lnsd = serve(screen, &topology)?;
    let lac = dial(screen, &topology)?;
    tables(screen, &lnsd)?;
    traffic(screen, &topology, &lac)?;
    classifier(screen, &topology, &lnsd, &lac)?;
    packets(screen, &topology, &lnsd, &lac)?;
    disconnect(screen, &lnsd, &lac)?;
    explain(screen, &topology, &lnsd)?;
    end(screen, &mut lnsd, &lac)?;
    leave(screen, &topology, &before)?;
    drop(lnsd);
    drop(topology);
    let left = net::existing(&names);
    ensure!(left.is_empty(), "namespaces were left behind: {left:?}");
    screen.done("namespaces removed")?;
    screen.heading(&format!(
        "Done in {:.0} seconds",
        started.elapsed().as_secs_f64()
    ))
}

fn network(screen: Screen) -> Result<Topology> {
    screen.heading("Three network namespaces: LAC, LNS, core")?;
    let topology = Topology::create()?;
    for (role, name, what) in [
        (
            "LAC",
            topology.lac.name(),
            format!("{}, its subscribers behind it", net::LAC),
        ),
        (
            "LNS",
            topology.lns.name(),
            format!("{} for LACs, forwards to the core", net::VIP),
        ),
        (
            "core",
            topology.core.name(),
            format!("{}, an HTTP server", net::CORE),
        ),
    ] {
        screen.done(&format!("{role:<5} {name:<16} {what}"))?;
    }
    scenario::serve_http(&topology)?;
    Ok(topology)
}

fn serve(screen: Screen, topology: &Topology) -> Result<Lnsd<'_>> {
    screen.heading("lnsd run --manifest e2e/demo.yaml")?;
    let started = Instant::now();
    let lnsd = Lnsd::start_text(&topology.lns, &manifest()?)?;
    screen.done(&format!(
        "ready after {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    ))?;
    Ok(lnsd)
}

fn dial(screen: Screen, topology: &Topology) -> Result<Lac> {
    screen.heading(&format!(
        "{SUBSCRIBERS} subscribers dial in over {TUNNELS} tunnels: CHAP, PAP, MS-CHAPv2"
    ))?;
    let options = Options {
        tunnels: TUNNELS,
        sessions: SUBSCRIBERS,
        authentication: vec![
            Authentication::Chap,
            Authentication::Pap,
            Authentication::Mschapv2,
        ],
        user: USER.into(),
        password: PASSWORD.into(),
        secret: Some(SECRET.into()),
        tun: Some("sub0".into()),
        ..scenario::options()
    };
    let lac = Lac::start(&topology.lac, options);
    let bar = screen.bar(SUBSCRIBERS as u64);
    lac.wait(
        Duration::from_secs(60),
        "every subscriber is up",
        |shared| {
            bar.set_position(shared.count(|stage| *stage == Stage::Up) as u64);
            shared.count(|stage| matches!(stage, Stage::Idle | Stage::Dialling)) == 0
        },
    )?;
    bar.finish_and_clear();
    lac.settle(Duration::from_secs(30))?;
    let report = lac.report();
    ensure!(
        report.sessions_failed == 0,
        "some did not come up: {:?}",
        report.failures
    );
    screen.done(&dialled(&report))?;
    Ok(lac)
}

fn dialled(report: &Report) -> String {
    format!(
        "{} of {} up in {:.2} s: {:.0} per second, half of them within {} ms, 99 % within {} ms",
        report.sessions_up,
        report.sessions_asked,
        report.setup_seconds,
        report.setups_per_second,
        report.setup_milliseconds_p50,
        report.setup_milliseconds_p99
    )
}

fn tables(screen: Screen, lnsd: &Lnsd<'_>) -> Result<()> {
    for command in [
        &["status"][..],
        &["lacs"],
        &["tunnels"],
        &["sessions", "--limit", "6"],
        &["pools"],
    ] {
        screen.heading(&format!("lnsd {}", command.join(" ")))?;
        for line in lnsd.table(command)?.lines() {
            print(&format!("  {line}"))?;
        }
    }
    Ok(())
}

fn traffic(screen: Screen, topology: &Topology, lac: &Lac) -> Result<()> {
    screen.heading("Subscribers use the network")?;
    for index in [0, SUBSCRIBERS / 3, SUBSCRIBERS / 2, SUBSCRIBERS - 1] {
        let view = lac.session(index)?;
        let address = lac.address(index)?;
        let average = ping(topology, address)?;
        screen.done(&format!(
            "ping   {:<22} {:<15} to {}   {average} ms",
            view.user,
            address.to_string(),
            net::CORE
        ))?;
    }
    let source = lac.address(1)?;
    let server = (net::CORE, scenario::HTTP).into();
    let transfer = topology
        .lac
        .enter(|| http::download(server, IpAddr::from(source), DOWNLOAD))??;
    ensure!(transfer.intact, "the download is damaged: {transfer:?}");
    screen.done(&format!(
        "HTTP   {:<22} {:<15} {DOWNLOAD} MiB in {:.1} s, {:.0} Mbit/s, SHA-256 right, segments of {}",
        lac.session(1)?.user,
        source.to_string(),
        transfer.took.as_secs_f64(),
        transfer.megabits(),
        transfer.segment
    ))
}

/// The average of three pings, as `ping` prints it.
fn ping(topology: &Topology, source: Ipv4Addr) -> Result<String> {
    let output = topology.lac.output(
        Command::new("ping")
            .args(["-n", "-q", "-c", "3", "-i", "0.05", "-W", "2", "-I"])
            .arg(source.to_string())
            .arg(net::CORE.to_string()),
    )?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{source} does not reach the core: {text}");
    }
    let average = text
        .lines()
        .find_map(|line| line.split_once(" = ")?.1.split('/').nth(1));
    Ok(average.context("ping printed no times")?.to_owned())
}

/// What nobody asked for does not come in; the same flow does once the subscriber has opened it.
fn classifier(screen: Screen, topology: &Topology, lnsd: &Lnsd<'_>, lac: &Lac) -> Result<()> {
    /// Long enough for a connection between two rooms of one machine.
    const PATIENCE: Duration = Duration::from_millis(500);
    let index = 2;
    let user = lac.session(index)?.user;
    screen.heading(&format!("{user} behind the policy `residential`"))?;
    let inside = SocketAddr::from((lac.address(index)?, 40_000));
    let outside = SocketAddr::from((net::CORE, 443));
    let listener = topology.lac.enter(|| http::listen(inside))??;
    let refused = topology
        .core
        .enter(|| http::dial(outside, inside, PATIENCE))?;
    ensure!(
        refused.is_err(),
        "a connection that nobody asked for came in"
    );
    screen.done(&format!(
        "{outside} to {inside}: no connection, the subscriber has not asked for it"
    ))?;
    drop(listener);
    let listener = topology.core.enter(|| http::listen(outside))??;
    let connection = topology
        .lac
        .enter(|| http::dial(inside, outside, PATIENCE))??;
    let (mut other, _) = listener.accept()?;
    other.write_all(b"let back in")?;
    let mut answer = [0; 11];
    (&connection).read_exact(&mut answer)?;
    screen.done(&format!(
        "{inside} to {outside}: connected; what {outside} says now comes in: {:?}",
        String::from_utf8_lossy(&answer)
    ))?;
    for command in [
        &["flows", "--user", &user][..],
        &["policies", "residential"],
    ] {
        screen.heading(&format!("lnsd {}", command.join(" ")))?;
        for line in lnsd.table(command)?.lines() {
            print(&format!("  {line}"))?;
        }
    }
    let flows = lnsd.rows(
        "flows",
        &["flows", "--user", &user, "--class", "established"],
    )?;
    ensure!(flows.len() == 1, "not one established flow: {flows:?}");
    Ok(())
}

fn packets(screen: Screen, topology: &Topology, lnsd: &Lnsd<'_>, lac: &Lac) -> Result<()> {
    screen.heading(&format!(
        "Packets of 64 octets through all {SUBSCRIBERS} sessions in turn"
    ))?;
    let duration = Duration::from_secs(2);
    let up = scenario::upstream(&topology.core, lnsd, lac, 64, OFFERED, duration)?;
    screen.done(&format!("up     {}", figures(&up)))?;
    let down = scenario::downstream(&topology.core, lnsd, lac, 64, OFFERED, duration)?;
    screen.done(&format!("down   {}", figures(&down)))
}

fn figures(rate: &Rate) -> String {
    format!(
        "{:>4.0} kpps arrived of {:>4.0} kpps offered, {:>4.0} kpps per CPU second of lnsd",
        rate.per_second() / 1e3,
        rate.sent as f64 / rate.took.as_secs_f64() / 1e3,
        rate.per_cpu_second() / 1e3
    )
}

fn disconnect(screen: Screen, lnsd: &Lnsd<'_>, lac: &Lac) -> Result<()> {
    let index = SUBSCRIBERS / 2;
    let user = lac.session(index)?.user;
    screen.heading(&format!("lnsd disconnect --user {user}"))?;
    let started = Instant::now();
    for line in lnsd.table(&["disconnect", "--user", &user])?.lines() {
        print(&format!("  {line}"))?;
    }
    lac.wait(Duration::from_secs(5), "the session ends", |shared| {
        shared.count(|stage| matches!(stage, Stage::Ended(_))) > 0
    })?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let Stage::Ended(reason) = lac.session(index)?.stage else {
        bail!("another session ended than the one of {user}");
    };
    ensure!(
        lac.count_up() == SUBSCRIBERS - 1,
        "other sessions ended as well"
    );
    screen.done(&format!(
        "the LAC saw it after {took:.0} ms: {reason}; {} others stay up",
        SUBSCRIBERS - 1
    ))
}

/// Somebody calls at night: a customer cannot log in.
fn explain(screen: Screen, topology: &Topology, lnsd: &Lnsd<'_>) -> Result<()> {
    /// The end of what was said: the login and what came of it.
    const LINES: usize = 7;
    let user = USER.replace("{}", "7");
    let options = Options {
        authentication: vec![Authentication::Pap],
        user: user.clone(),
        password: "forgotten".into(),
        secret: Some(SECRET.into()),
        ..scenario::options()
    };
    let lac = Lac::start(&topology.lac, options);
    lac.settle(Duration::from_secs(30))?;
    lac.close()?;
    screen.heading(&format!(
        "lnsd failures --user {user} --kind failed --messages"
    ))?;
    let told = [
        "failures",
        "--user",
        &user,
        "--kind",
        "failed",
        "--messages",
    ];
    let told = lnsd.table(&told)?;
    let (facts, said): (Vec<_>, Vec<_>) = told
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| !line.starts_with(' '));
    ensure!(
        facts.iter().any(|fact| fact.contains("wrong password")),
        "the failure is not told: {told}"
    );
    for fact in &facts {
        print(&format!("  {fact}"))?;
    }
    let skipped = said.len().saturating_sub(LINES);
    print(&format!("    ... {skipped} lines before"))?;
    for line in said.iter().skip(skipped) {
        print(&format!("  {line}"))?;
    }
    Ok(())
}

fn end(screen: Screen, lnsd: &mut Lnsd<'_>, lac: &Lac) -> Result<()> {
    screen.heading("SIGTERM")?;
    let started = Instant::now();
    lnsd.signal(Signal::SIGTERM)?;
    lac.ended(Duration::from_secs(15))?;
    let ends = lac.shared().tunnel_ends();
    ensure!(
        ends.len() == TUNNELS && ends.iter().all(|end| end.starts_with("StopCCN")),
        "tunnels ended otherwise: {ends:?}"
    );
    let status = lnsd.wait_exit(Duration::from_secs(15))?;
    ensure!(status.success(), "lnsd ended with {status}");
    let reason = ends.into_iter().next().unwrap_or_default();
    screen.done(&format!("{TUNNELS} tunnels got {reason}"))?;
    screen.done(&format!(
        "lnsd ended with {status} after {:.1} s",
        started.elapsed().as_secs_f64()
    ))
}

fn leave(screen: Screen, topology: &Topology, before: &str) -> Result<()> {
    let after = topology.lns.footprint()?;
    for line in after.lines() {
        ensure!(
            before.lines().any(|known| known == line),
            "left behind: {line}"
        );
    }
    screen.done("no interface, route, rule or packet filter left in the LNS's namespace")
}

/// Prints a line. A reader that goes away ends the demo, and what it made is removed.
pub(crate) fn print(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Headings, ticks and a progress bar; colours on a terminal only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    colour: bool,
}

impl Screen {
    /// Standard output.
    pub(crate) fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal(),
        }
    }

    /// What comes next.
    pub(crate) fn heading(self, text: &str) -> Result<()> {
        if self.colour {
            return print(&format!("\n\x1b[1;36m{text}\x1b[0m"));
        }
        print(&format!("\n== {text}"))
    }

    /// What has worked.
    pub(crate) fn done(self, text: &str) -> Result<()> {
        let tick = if self.colour {
            "\x1b[32m✓\x1b[0m"
        } else {
            "ok"
        };
        print(&format!("  {tick} {text}"))
    }

    fn bar(self, length: u64) -> ProgressBar {
        if !self.colour {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template("  {bar:40.green} {pos}/{len}  {per_sec}") {
            bar.set_style(style);
        }
        bar
    }
}
