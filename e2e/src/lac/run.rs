//! The command `lns-e2e lac`.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use super::engine::{self, Order};
use super::options::{Course, Options};
use super::report::{Shared, Stage};
use crate::blast;

/// Dials, holds, hangs up, and reports. Fails when a session never came up.
pub(crate) fn run(options: Options, course: &Course) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run_async(options, course))
}

async fn run_async(options: Options, course: &Course) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let users = (0..options.sessions).map(|index| options.user_of(index));
    let shared = Arc::new(Shared::new(users.collect(), false));
    let (orders, inbox) = unbounded_channel();
    let tunnels = options.tunnels;
    let mut engine = tokio::spawn(engine::run(Arc::new(options), Arc::clone(&shared), inbox));

    let ended = tokio::select! {
        result = &mut engine => Some(result),
        result = follow(&shared, course) => { result?; None }
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    if let Some(result) = ended {
        result??;
    } else {
        orders.send(Order::Close).ok();
        engine.await??;
    }
    let report = shared.report(tunnels);
    let json = serde_json::to_string_pretty(&report)?;
    match &course.report {
        Some(path) => std::fs::write(path, json + "\n")
            .with_context(|| format!("writing {}", path.display()))?,
        None => writeln!(std::io::stdout(), "{json}")?,
    }
    if report.sessions_failed > 0 {
        bail!("{} sessions did not come up", report.sessions_failed);
    }
    Ok(())
}

/// Shows the progress of dialling, then sends the asked traffic, then holds.
async fn follow(shared: &Arc<Shared>, course: &Course) -> Result<()> {
    let bar = progress_bar(shared, course);
    loop {
        let open = shared.count(|stage| matches!(stage, Stage::Idle | Stage::Dialling));
        let up = shared.count(|stage| *stage == Stage::Up);
        bar.set_position(up as u64);
        if open == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bar.finish();
    if let (Some(rate), Some(to)) = (course.blast, course.to) {
        let runs = shared
            .runs(|address| vec![blast::udp_packet(address, to, blast::PORT, course.size)])?;
        let duration = Duration::from_secs(course.seconds);
        let size = course.size as u64;
        let sent = tokio::task::spawn_blocking(move || {
            blast::send(&runs, rate, duration, &AtomicBool::new(false))
        })
        .await??;
        shared.up.count(sent.packets, sent.packets * size);
        eprintln!(
            "sent {} packets in {:.1} s, {} not taken by the kernel",
            sent.packets,
            sent.took.as_secs_f64(),
            sent.refused
        );
    }
    match course.hold {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending::<()>().await,
    }
    Ok(())
}

fn progress_bar(shared: &Shared, course: &Course) -> ProgressBar {
    let shown = course.progress || (!course.no_progress && std::io::stderr().is_terminal());
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(shared.sessions().len() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} sessions  {per_sec}")
    {
        bar.set_style(style);
    }
    bar
}

/// Counts what arrives and prints it once a second: the command `lns-e2e sink`.
pub(crate) fn sink(port: u16, seconds: Option<u64>) -> Result<()> {
    let socket = blast::Sink::bind(port)?;
    let sink = blast::Sink::default();
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| sink.count(&socket));
        let mut before = 0;
        let mut second = 0;
        while seconds.is_none_or(|seconds| second < seconds) && !counter.is_finished() {
            std::thread::sleep(Duration::from_secs(1));
            let packets = sink.packets();
            println!(
                "{} packets/s, {packets} packets and {} octets of payload in all",
                packets - before,
                sink.octets()
            );
            before = packets;
            second += 1;
        }
        sink.stop();
        counter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Sends to subscribers from the core: the command `lns-e2e source`.
pub(crate) fn source(
    addresses: &[std::net::Ipv4Addr],
    rate: u64,
    size: usize,
    seconds: u64,
) -> Result<()> {
    let runs = blast::downstream(addresses, size)?;
    let stop = AtomicBool::new(false);
    let sent = blast::send(&runs, rate, Duration::from_secs(seconds), &stop)?;
    stop.store(true, Ordering::Relaxed);
    println!(
        "sent {} packets in {:.1} s, {} not taken by the kernel",
        sent.packets,
        sent.took.as_secs_f64(),
        sent.refused
    );
    Ok(())
}
