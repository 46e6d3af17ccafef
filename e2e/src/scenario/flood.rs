//! More questions than the admin interface can bear, and clients that do not behave: everybody else is
//! answered in the end, memory stays bounded, and subscribers notice nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{Scenario, expect, options, start, topology};
use crate::blast::{self, Sink};
use crate::lac::{Lac, Options};
use crate::lnsd::{ADMIN, Lnsd};
use crate::manifest::Manifest;
use crate::net::{self, Topology};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "admin-flood",
        says: "10,000 questions at once: all are answered, memory is bounded, no packet is lost",
        run: flood,
    },
    Scenario {
        name: "admin-slow-clients",
        says: "half requests and answers that nobody reads: others are answered, no packet is lost",
        run: slow_clients,
    },
];

/// Questions at once, half of them over each kind of socket.
const QUESTIONS: usize = 10_000;

/// Clients of each kind that do not behave: more than there are places for.
const SLOW: usize = 300;

/// How often one asks again that was turned away.
const ATTEMPTS: usize = 30;

/// Packets per second meanwhile: few enough that no queue of a busy machine runs over.
const RATE: u64 = 500;

/// What lnsd may need beside what it had, MiB: what is unread and what is worked on, and as much
/// again for what an allocator keeps.
const GROWTH: u64 = 128;

fn flood() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    more_descriptors()?;
    let lac = subscribers(&topology, 100)?;
    let socket = lnsd.socket();
    let before = lnsd.memory_of("VmRSS:")?;
    let (again, packets) = undisturbed(&topology, &lac, || {
        topology
            .lns
            .enter(|| runtime()?.block_on(ask_all(&socket)))?
    })?;
    let growth = lnsd.memory_of("VmHWM:")?.saturating_sub(before);
    expect(growth <= GROWTH, format!("lnsd grew by {growth} MiB"))?;
    stayed(&lnsd, lac, 100)?;
    Ok(format!(
        "{again} asked again, {packets} packets meanwhile, lnsd grew by {growth} MiB at most"
    ))
}

fn slow_clients() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    more_descriptors()?;
    let lac = subscribers(&topology, 1_000)?;
    let socket = lnsd.socket();
    let before = lnsd.memory_of("VmRSS:")?;
    let (again, packets) = undisturbed(&topology, &lac, || {
        topology.lns.enter(|| {
            // They stay until everybody else has been answered.
            let _slow = misbehave(&socket)?;
            runtime()?.block_on(ask_in_turn(&socket))
        })?
    })?;
    let growth = lnsd.memory_of("VmHWM:")?.saturating_sub(before);
    expect(growth <= GROWTH, format!("lnsd grew by {growth} MiB"))?;
    stayed(&lnsd, lac, 1_000)?;
    Ok(format!(
        "{again} asked again, {packets} packets meanwhile, lnsd grew by {growth} MiB at most"
    ))
}

/// A socket for each client is more than a process has by default. The one of lnsd, which runs
/// already, keeps what it has.
fn more_descriptors() -> Result<()> {
    let this = std::process::id().to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &this, "--nofile=16384:"])
        .status()
        .context("running prlimit")?;
    ensure!(status.success(), "prlimit ends with {status}");
    Ok(())
}

fn subscribers(topology: &Topology, sessions: usize) -> Result<Lac> {
    let many = Options {
        tunnels: 4,
        sessions,
        ..options()
    };
    Lac::up(&topology.lac, many)
}

fn stayed(lnsd: &Lnsd<'_>, lac: Lac, sessions: usize) -> Result<()> {
    expect(lac.count_up() == sessions, "a session has ended")?;
    expect(
        lnsd.status("sessions")? == sessions as u64,
        "the LNS shows another number",
    )?;
    lac.close().map(drop)
}

/// Sends packets through all sessions while `work` is done. Every one of them arrives.
fn undisturbed<T>(
    topology: &Topology,
    lac: &Lac,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, u64)> {
    let socket = topology.core.enter(|| Sink::bind(blast::PORT))??;
    let (sink, stop) = (Sink::default(), AtomicBool::new(false));
    let runs = lac.upstream(net::CORE, 64)?;
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| sink.count(&socket));
        let sender = scope.spawn(|| blast::send(&runs, RATE, Duration::MAX, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let joined = sender.join();
        let sent = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let give_up = Instant::now() + Duration::from_secs(10);
        let wanted = sent.as_ref().map_or(0, |sent| sent.packets);
        while sink.packets() < wanted && Instant::now() < give_up {
            sleep(Duration::from_millis(10));
        }
        sink.stop();
        let joined = counter.join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (done, sent) = (done?, sent?);
        expect(
            sink.packets() == sent.packets,
            format!("{} of {} packets arrived", sink.packets(), sent.packets),
        )?;
        Ok((done, sent.packets))
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    Ok({ runtime }.enable_all().build()?)
}

/// Asks everything at once, and gives how often somebody had to ask again.
async fn ask_all(socket: &Path) -> Result<usize> {
    let mut asking = JoinSet::new();
    for number in 0..QUESTIONS {
        asking.spawn(ask(number, socket.to_owned()));
    }
    let mut again = 0;
    while let Some(asked) = asking.join_next().await {
        again += asked??;
    }
    Ok(again)
}

async fn ask_in_turn(socket: &Path) -> Result<usize> {
    let mut again = 0;
    for number in 0..SLOW {
        again += ask(number, socket.to_owned()).await?;
    }
    Ok(again)
}

/// Asks until there is an answer: how often it had to ask again.
async fn ask(number: usize, socket: PathBuf) -> Result<usize> {
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        let answer = if number.is_multiple_of(2) {
            over_unix(&socket).await
        } else {
            over_tcp().await
        };
        match answer {
            Ok(200) => return Ok(attempt),
            Ok(status) => last = format!("status {status}"),
            Err(error) => last = format!("{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("question {number} was not answered {ATTEMPTS} times: {last}")
}

async fn over_unix(socket: &Path) -> Result<u16> {
    loop {
        match tokio::net::UnixStream::connect(socket).await {
            Ok(stream) => return question(stream).await,
            // Too many wait already.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error).context("connecting"),
        }
    }
}

async fn over_tcp() -> Result<u16> {
    question(tokio::net::TcpStream::connect(SocketAddr::from(ADMIN)).await?).await
}

async fn question(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<u16> {
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nHost: lnsd\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let complete = answer.ends_with('}');
    status
        .filter(|status| *status != 200 || complete)
        .with_context(|| format!("no whole answer: {answer:?}"))
}

/// Clients that send half a request, and clients that do not read their answers.
fn misbehave(socket: &Path) -> Result<(Vec<UnixStream>, Vec<TcpStream>)> {
    const HALF: &[u8] = b"GET /v1/stat";
    const NO_BODY: &[u8] =
        b"POST /v1/disconnect HTTP/1.1\r\nHost: lnsd\r\nContent-Length: 50\r\n\r\n{";
    const WHOLE: &[u8] = b"GET /v1/sessions?limit=10000 HTTP/1.1\r\nHost: lnsd\r\n\r\n";
    let (mut unix, mut tcp) = (Vec::new(), Vec::new());
    for _ in 0..SLOW {
        for request in [HALF, NO_BODY, WHOLE] {
            let mut stream = UnixStream::connect(socket)?;
            // One that has been cut off already takes nothing any more.
            stream.write_all(request).ok();
            unix.push(stream);
            let mut stream = TcpStream::connect(SocketAddr::from(ADMIN))?;
            stream.write_all(request).ok();
            tcp.push(stream);
        }
    }
    Ok((unix, tcp))
}
