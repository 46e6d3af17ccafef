//! Rates: what a subscriber may send and receive, by UDP that does not care and by the kernels' own TCP.

use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::cast::{Cast, Policy};
use super::packet::Way;
use super::{Row, alone, entry, stage, user, with_cases};
use crate::http;
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::{Namespace, Topology};
use crate::scenario;

pub(super) const ROWS: &[Row] = &[
    alone(
        "rates-udp",
        "UDP at twice the rate comes out at the rate, to 2 %, both ways at once; nobody else is slowed",
        udp,
    ),
    alone(
        "rates-tcp",
        "TCP comes out at the rate, to 2 %, both ways",
        tcp,
    ),
];

/// Bits per second from the subscriber and to him.
const UP: u64 = 8_000_000;
const DOWN: u64 = 16_000_000;
/// Octets of a UDP packet with its headers.
const SIZE: usize = 1000;
/// How long is measured, once the burst is spent.
const WINDOW: Duration = Duration::from_secs(4);
const SETTLE: Duration = Duration::from_secs(1);

fn policy(burst: u32) -> Policy {
    Policy::default().more(&format!(
        "rates: {{ upBitsPerSecond: {UP}, downBitsPerSecond: {DOWN}, burstMilliseconds: {burst} }}"
    ))
}

/// Of the rate, in percent.
fn percent(octets: u64, took: Duration, rate: u64) -> f64 {
    octets as f64 * 8.0 / took.as_secs_f64() / rate as f64 * 100.0
}

fn within_two_percent(name: &str, percent: f64) -> Result<()> {
    ensure!(
        (98.0..=102.0).contains(&percent),
        "{name} comes out at {percent:.2} % of the rate"
    );
    Ok(())
}

fn udp() -> Result<String> {
    let role = Cast {
        policies: vec![policy(100)],
        subscribers: vec![vec![0]],
    };
    let roles = vec![
        ("rates-up", Way::Up, role.clone()),
        ("rates-down", Way::Down, role),
    ];
    with_cases(Manifest::default(), roles, |cases| {
        let stop = AtomicBool::new(false);
        let measured = std::thread::scope(|scope| -> Result<Vec<f64>> {
            for case in cases {
                let stop = &stop;
                scope.spawn(move || -> Result<()> {
                    let flow = case.seat(0)?.udp(4000, 53);
                    let packet = flow.out().payload(8, SIZE - 28);
                    let started = Instant::now();
                    let mut sent = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        let due = started.elapsed().as_secs_f64() * (2 * rate(case.way)) as f64;
                        while sent * SIZE as u64 * 8 < due as u64 {
                            case.sends(&packet)?;
                            sent += 1;
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                });
            }
            std::thread::sleep(SETTLE);
            let look = || {
                cases
                    .iter()
                    .map(|case| (Instant::now(), case.stage.octets(case.owner)))
            };
            let before: Vec<_> = look().collect();
            std::thread::sleep(WINDOW);
            let after: Vec<_> = look().collect();
            stop.store(true, Ordering::Relaxed);
            let both = before.iter().zip(&after).zip(cases);
            Ok(both
                .map(|(((then, first), (now, last)), case)| {
                    percent(last - first, now.duration_since(*then), rate(case.way))
                })
                .collect())
        })?;
        for case in cases {
            case.stage.flush(Way::Up)?;
            case.stage.flush(Way::Down)?;
            case.accept_all();
        }
        let names = ["up", "down"];
        let figures: Vec<_> = names.iter().zip(&measured).collect();
        for (name, percent) in &figures {
            within_two_percent(name, **percent)?;
        }
        let figures = figures
            .iter()
            .map(|(name, percent)| format!("{name} {percent:.2} %"));
        Ok(figures.collect::<Vec<_>>().join(", "))
    })
}

fn rate(way: Way) -> u64 {
    match way {
        Way::Up => UP,
        Way::Down => DOWN,
    }
}

/// Milliseconds: what the manifest's description advises for TCP.
const TCP_BURST: u32 = 200;

/// One connection over a line without any delay is silent for Linux's least retransmission timeout,
/// 200 ms and more, after it has lost the end of a window, and the bucket fills up meanwhile. Several
/// are never silent at the same time.
const CONNECTIONS: usize = 4;

/// Long enough that what a bucket holds is little beside what passes.
const TCP_WINDOW: Duration = Duration::from_secs(6);

fn tcp() -> Result<String> {
    let manifest = Manifest {
        users: vec![(user(0), entry(&[&"rates".to_owned()]))],
        ..Manifest::default()
    };
    let topology = Topology::create()?;
    let text = stage::text(&manifest, &[policy(TCP_BURST).named("rates")]);
    let _lnsd = Lnsd::start_text(&topology.lns, &text)?;
    let options = Options {
        user: super::user_pattern(),
        tun: Some("sub0".into()),
        ..scenario::options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let server = scenario::serve_http(&topology)?;
    let source = IpAddr::from(lac.address(0)?);
    // What one of them gets in about this long, if it gets its share: then it begins anew.
    let mib = |rate: u64| usize::try_from((rate / 8 * 2) >> 20).unwrap_or(1).max(1);
    let mut figures = Vec::new();
    for way in [Way::Up, Way::Down] {
        let look = || -> Result<u64> {
            match way {
                Way::Up => received(&topology.core, "core0"),
                Way::Down => Ok(lac.shared().down.octets()),
            }
        };
        let stop = AtomicBool::new(false);
        let transfer = || match way {
            Way::Up => http::upload(server, source, mib(UP)),
            Way::Down => http::download(server, source, mib(DOWN)),
        };
        // One ends sooner than the others on a busy machine: so each begins anew until all is seen.
        let transfers = || -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let done = match topology.lac.enter(transfer)? {
                    // One that lost several packets in a row may wait longer than its client does.
                    Err(error) if is_silence(&error) => continue,
                    done => done?,
                };
                ensure!(done.intact, "what was transferred is damaged: {done:?}");
            }
            Ok(())
        };
        let measured = std::thread::scope(|scope| -> Result<f64> {
            let all: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(transfers)).collect();
            std::thread::sleep(SETTLE);
            let measured = over(TCP_WINDOW, &look);
            stop.store(true, Ordering::Relaxed);
            for transfers in all {
                let done = transfers.join();
                done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    .context("a transfer")?;
            }
            let (octets, lasted) = measured?;
            Ok(percent(octets, lasted, rate(way)))
        })?;
        within_two_percent(way.label(), measured)?;
        figures.push(format!("{} {measured:.2} %", way.label()));
    }
    lac.close()?;
    Ok(figures.join(", "))
}

/// Whether nothing came for as long as a client waits.
fn is_silence(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| [WouldBlock, TimedOut].contains(&error.kind()))
}

/// By how much a counter grew in a window, and how long the window was.
fn over(window: Duration, look: &impl Fn() -> Result<u64>) -> Result<(u64, Duration)> {
    let (then, first) = (Instant::now(), look()?);
    std::thread::sleep(window);
    let (now, last) = (Instant::now(), look()?);
    Ok((last - first, now.duration_since(then)))
}

/// Octets of IP that an interface has received.
fn received(namespace: &Namespace, interface: &str) -> Result<u64> {
    const ETHERNET: u64 = 14;
    let mut list = Command::new("ip");
    let output = namespace.output(list.args(["-j", "-s", "link", "show", interface]))?;
    let links: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let counter = |name| {
        let pointer = format!("/0/stats64/rx/{name}");
        links.pointer(&pointer).and_then(serde_json::Value::as_u64)
    };
    let (octets, packets) = counter("bytes")
        .zip(counter("packets"))
        .context("no counters")?;
    Ok(octets - packets * ETHERNET)
}
