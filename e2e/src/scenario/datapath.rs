//! Packets through sessions: both directions, sizes at the edge, sources that are not the
//! subscriber's, numbers on data.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Scenario, expect, options, serve_http, start, topology};
use crate::blast::{self, Sink};
use crate::http;
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::{self, Namespace};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "data-ping",
        says: "subscribers reach the core and the gateway of their pool",
        run: pings,
    },
    Scenario {
        name: "data-transfer",
        says: "50 MiB down and 20 MiB up arrive intact, MSS clamped",
        run: || transfer(false),
    },
    Scenario {
        name: "data-sequenced",
        says: "a LAC that asks for numbers gets them, in order",
        run: || transfer(true),
    },
    Scenario {
        name: "data-mtu",
        says: "the largest packet passes, one octet more is answered by ICMP",
        run: largest_packet,
    },
    Scenario {
        name: "data-fragments",
        says: "packets that may be cut arrive whole",
        run: fragments,
    },
    Scenario {
        name: "data-spoofed-source",
        says: "another source address is dropped and counted",
        run: spoofed,
    },
    Scenario {
        name: "data-counters",
        says: "a session's counters are what went through it",
        run: counters,
    },
    Scenario {
        name: "data-subscribers-meet",
        says: "two subscribers reach each other through the LNS",
        run: subscribers_meet,
    },
];

/// A LAC whose subscribers' hosts are on a TUN interface.
fn with_hosts(sessions: usize) -> Options {
    Options {
        sessions,
        tun: Some("sub0".into()),
        ..options()
    }
}

/// Whether `count` pings of `size` octets of data arrive; the text is what `ping` printed.
pub(super) fn ping(
    namespace: &Namespace,
    source: Ipv4Addr,
    to: Ipv4Addr,
    more: &[&str],
) -> Result<(bool, String)> {
    let output = namespace.output(
        Command::new("ping")
            .args([
                "-n",
                "-c",
                "3",
                "-i",
                "0.2",
                "-W",
                "2",
                "-I",
                &source.to_string(),
            ])
            .args(more)
            .arg(to.to_string()),
    )?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.success(), text))
}

fn pings() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, with_hosts(10))?;
    for index in [0, 4, 9] {
        let source = lac.address(index)?;
        for to in [net::CORE, Ipv4Addr::new(100, 64, 0, 1)] {
            let (arrived, text) = ping(&topology.lac, source, to, &[])?;
            expect(arrived, format!("{source} does not reach {to}: {text}"))?;
        }
        let (arrived, text) = ping(&topology.core, net::CORE, source, &[])?;
        expect(arrived, format!("the core does not reach {source}: {text}"))?;
    }
    lac.close()?;
    Ok(String::new())
}

fn transfer(sequencing: bool) -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let server = serve_http(&topology)?;
    let options = Options {
        sequencing,
        ..with_hosts(2)
    };
    let lac = Lac::up(&topology.lac, options)?;
    let source = IpAddr::from(lac.address(0)?);
    let down = topology
        .lac
        .enter(|| http::download(server, source, 50))??;
    let up = topology.lac.enter(|| http::upload(server, source, 20))??;
    expect(down.intact, format!("the download is damaged: {down:?}"))?;
    expect(up.intact, format!("the upload is damaged: {up:?}"))?;
    let mtu = number(&session(&lnsd, lac.address(0)?)?, "/mtu")?;
    for transfer in [&down, &up] {
        expect(
            u64::from(transfer.segment) + 40 <= mtu && transfer.segment > 1000,
            format!("segments of {} octets where {mtu} fit", transfer.segment),
        )?;
    }
    let (numbered, misplaced) = lac.shared().numbered();
    if sequencing {
        expect(
            numbered > 1000 && misplaced == 0,
            format!("{numbered} numbered messages, {misplaced} out of place"),
        )?;
    } else {
        expect(numbered == 0, "data was numbered though nobody asked")?;
    }
    lac.close()?;
    Ok(format!(
        "{:.0} Mbit/s down, {:.0} Mbit/s up, segments of {}",
        down.megabits(),
        up.megabits(),
        down.segment
    ))
}

fn largest_packet() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, with_hosts(1))?;
    let address = lac.address(0)?;
    let mtu = number(&session(&lnsd, address)?, "/mtu")?;
    // 20 octets of IPv4 and 8 of ICMP header.
    let fits = (mtu - 28).to_string();
    let exceeds = (mtu - 27).to_string();

    let (arrived, text) = ping(
        &topology.core,
        net::CORE,
        address,
        &["-M", "do", "-s", &fits],
    )?;
    expect(arrived, format!("{mtu} octets do not pass: {text}"))?;
    let (arrived, text) = ping(
        &topology.core,
        net::CORE,
        address,
        &["-M", "do", "-s", &exceeds],
    )?;
    expect(!arrived, format!("{} octets pass: {text}", mtu + 1))?;
    expect(
        text.contains(&format!("mtu = {mtu}")) || text.contains(&format!("mtu={mtu}")),
        format!("no fragmentation-needed with {mtu} from the pool's gateway: {text}"),
    )?;
    lac.close()?;
    Ok(format!("{mtu} octets"))
}

fn fragments() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, with_hosts(1))?;
    let address = lac.address(0)?;
    for size in ["1440", "1464", "4000", "20000"] {
        let (arrived, text) = ping(
            &topology.core,
            net::CORE,
            address,
            &["-M", "dont", "-s", size],
        )?;
        expect(arrived, format!("{size} octets do not arrive: {text}"))?;
    }
    lac.close()?;
    Ok(String::new())
}

fn spoofed() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        sessions: 2,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let (own, other) = (lac.address(0)?, lac.address(1)?);
    let sources = [
        other,
        net::CORE,
        net::VIP,
        Ipv4Addr::new(100, 64, 0, 1),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
    ];
    let before = lnsd.metric("lns_drops_total", &["source"])?;
    let socket = topology.core.enter(|| Sink::bind(blast::PORT))??;
    let sink = Sink::default();
    std::thread::scope(|scope| -> Result<()> {
        let counter = scope.spawn(|| sink.count(&socket));
        let result = (|| {
            for source in sources {
                lac.inject(own, &blast::udp_packet(source, net::CORE, blast::PORT, 100))?;
            }
            lnsd.wait(Duration::from_secs(5), "each was counted", |lnsd| {
                Ok(lnsd.metric("lns_drops_total", &["source"])? - before == sources.len() as u64)
            })?;
            // The own address passes: the sink is not merely deaf.
            lac.inject(own, &blast::udp_packet(own, net::CORE, blast::PORT, 100))?;
            lac.wait(Duration::from_secs(5), "the own address passes", |_| {
                sink.packets() > 0
            })
        })();
        sink.stop();
        counter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        result
    })?;
    expect(
        sink.packets() == 1,
        format!("{} packets reached the core", sink.packets()),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn counters() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, options())?;
    let address = lac.address(0)?;
    // Somebody listens, or the core's own ICMP errors are counted as well.
    let _listener = topology.core.enter(|| Sink::bind(blast::PORT))??;
    for _ in 0..50 {
        lac.inject(
            address,
            &blast::udp_packet(address, net::CORE, blast::PORT, 200),
        )?;
    }
    let runs = topology
        .core
        .enter(|| blast::downstream(&[address], 300))??;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sent = blast::send(&runs, 400, Duration::from_millis(200), &stop)?;
    let expected = [50, 50 * 200, sent.packets, sent.packets * 300];
    let pointers = ["/up/packets", "/up/octets", "/down/packets", "/down/octets"];
    let counted = || -> Result<Vec<u64>> {
        let session = session(&lnsd, address)?;
        pointers
            .iter()
            .map(|pointer| number(&session, pointer))
            .collect()
    };
    lnsd.wait(Duration::from_secs(5), "the counters agree", |_| {
        Ok(counted()? == expected)
    })
    .with_context(|| {
        format!(
            "{pointers:?} of {address} are {:?}, not {expected:?}",
            counted()
        )
    })?;
    expect(
        lac.shared().down.packets() >= sent.packets,
        "not all arrived at the subscriber",
    )?;
    lac.close()?;
    Ok(String::new())
}

fn subscribers_meet() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        sessions: 2,
        capture: true,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let (one, two) = (lac.address(0)?, lac.address(1)?);
    let packet = blast::udp_packet(one, two, 4000, 120);
    lac.inject(one, &packet)?;
    lac.wait(Duration::from_secs(5), "the packet arrives", |shared| {
        shared.take_captured().iter().any(|received| {
            received.get(12..20) == packet.get(12..20) && received.len() == packet.len()
        })
    })?;
    lac.close()?;
    Ok(String::new())
}

/// The session that has `address`.
pub(super) fn session(lnsd: &Lnsd<'_>, address: Ipv4Addr) -> Result<Value> {
    let rows = lnsd.rows("sessions", &["sessions", "--address", &address.to_string()])?;
    let session = rows.into_iter().next();
    session.with_context(|| format!("no session has {address}"))
}

/// The number at `pointer` of a JSON value.
fn number(value: &Value, pointer: &str) -> Result<u64> {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("no number {pointer} in {value}"))
}
