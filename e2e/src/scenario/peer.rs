//! LACs: who may open a tunnel, hidden AVPs, admission, malformed and unsolicited datagrams.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Lac, Options, Order, Stage};
use crate::manifest::{self, Manifest};
use crate::net;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "tunnel-wrong-secret",
        says: "a LAC with another secret is refused before any call",
        run: wrong_secret,
    },
    Scenario {
        name: "tunnel-no-secret",
        says: "a LAC that proves nothing gets no tunnel, one that need not does",
        run: no_secret,
    },
    Scenario {
        name: "tunnel-stranger",
        says: "a LAC of no entry gets no answer, is counted and listed",
        run: stranger,
    },
    Scenario {
        name: "tunnel-host-name",
        says: "the Host Name decides which entry a LAC is",
        run: host_name,
    },
    Scenario {
        name: "tunnel-hidden-avps",
        says: "a LAC that hides its AVPs is understood, and ours are hidden on demand",
        run: hidden_avps,
    },
    Scenario {
        name: "tunnel-many-of-one-lac",
        says: "one address opens many tunnels from many ports",
        run: many_tunnels,
    },
    Scenario {
        name: "tunnel-window-of-one",
        says: "a LAC that takes one message at a time is served",
        run: window_of_one,
    },
    Scenario {
        name: "tunnel-lac-drain",
        says: "admission Drain refuses new calls and keeps live ones",
        run: lac_drain,
    },
    Scenario {
        name: "tunnel-malformed",
        says: "malformed datagrams are counted and change nothing",
        run: malformed,
    },
];

fn wrong_secret() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        secret: Some("a-wrong-secret-of-a-lac".into()),
        ..options()
    };
    let lac = Lac::start(&topology.lac, options);
    lac.settle(Duration::from_secs(10))?;
    expect(lac.shared().tunnels_up() == 0, "the tunnel came up")?;
    expect(lnsd.status("tunnels")? == 0, "the LNS shows a tunnel")?;
    Ok(format!("{:?}", lac.failures()))
}

fn no_secret() -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::default();
    let lnsd = start(&topology, &manifest)?;
    let bare = Options {
        secret: None,
        ..options()
    };
    let lac = Lac::start(&topology.lac, bare.clone());
    lac.settle(Duration::from_secs(10))?;
    expect(lac.count_up() == 0, "a session came up without a secret")?;
    expect(
        lnsd.status("tunnels")? == 0,
        "a tunnel came up without a secret",
    )?;
    drop((lac, lnsd));

    for lac in &mut manifest.lacs {
        lac.secret = None;
    }
    let _lnsd = start(&topology, &manifest)?;
    Lac::up(&topology.lac, bare)?.close()?;
    Ok(String::new())
}

fn stranger() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        from: net::STRANGER,
        host_name: "stranger".into(),
        ..options()
    };
    let lac = Lac::start(&topology.lac, options);
    lnsd.wait(Duration::from_secs(5), "the stranger is listed", |lnsd| {
        let refused = lnsd.rows("refused", &["lacs"])?;
        Ok(refused.iter().any(|lac| {
            lac["remote"]
                .as_str()
                .is_some_and(|remote| remote.starts_with("198.18.0.10:"))
                && lac["count"].as_u64().is_some_and(|count| count > 0)
        }))
    })?;
    std::thread::sleep(Duration::from_millis(1500));
    expect(
        lac.shared().tunnel_ends().is_empty() && lac.shared().tunnels_up() == 0,
        "the LNS answered",
    )?;
    lac.abandon()?;
    expect(lnsd.status("tunnels")? == 0, "a tunnel is up")?;
    Ok(String::new())
}

fn host_name() -> Result<String> {
    let topology = topology()?;
    let manifest = Manifest {
        lacs: vec![
            manifest::Lac {
                name: "by-name",
                more: "hostName: \"pop-*\"",
                ..manifest::Lac::default()
            },
            manifest::Lac {
                name: "by-address",
                from: "198.51.100.20/32",
                ..manifest::Lac::default()
            },
        ],
        ..Manifest::default()
    };
    let lnsd = start(&topology, &manifest)?;
    for (from, name, entry) in [
        (net::LAC, "pop-7", Some("by-name")),
        (net::OTHER_LAC, "lac9", Some("by-address")),
        (net::LAC, "lac9", None),
    ] {
        let options = Options {
            from,
            host_name: name.into(),
            ..options()
        };
        let Some(entry) = entry else {
            let lac = Lac::start(&topology.lac, options);
            std::thread::sleep(Duration::from_millis(1500));
            expect(lac.shared().tunnels_up() == 0, format!("{name} came in"))?;
            lac.abandon()?;
            continue;
        };
        let lac = Lac::up(&topology.lac, options)?;
        let rows = lnsd.rows("tunnels", &["tunnels", "--lac", entry])?;
        expect(
            rows.len() == 1,
            format!("{} tunnels of {entry}", rows.len()),
        )?;
        lac.close()?;
    }
    Ok(String::new())
}

fn hidden_avps() -> Result<String> {
    let topology = topology()?;
    let manifest = Manifest {
        lacs: vec![manifest::Lac {
            avp_hiding: "Always",
            ..manifest::Lac::default()
        }],
        ..Manifest::default()
    };
    let lnsd = start(&topology, &manifest)?;
    let options = Options {
        hide: true,
        sessions: 5,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let rows = lnsd.rows("sessions", &["sessions"])?;
    let mut numbers: Vec<_> = rows
        .iter()
        .filter_map(|row| row["callingNumber"].as_str())
        .collect();
    numbers.sort_unstable();
    expect(
        numbers.len() == 5 && numbers.first() == Some(&"3000000000"),
        format!("calling numbers are {numbers:?}"),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn many_tunnels() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        tunnels: 50,
        sessions: 100,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    expect(lnsd.status("tunnels")? == 50, "not 50 tunnels are up")?;
    let report = lac.close()?;
    Ok(format!(
        "100 sessions in {:.0} ms",
        report.setup_seconds * 1e3
    ))
}

fn window_of_one() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        window: 1,
        in_flight: 1,
        sessions: 200,
        ..options()
    };
    let report = Lac::up(&topology.lac, options)?.close()?;
    expect(report.retransmissions == 0, "messages were sent again")?;
    Ok(format!("{} ms per call", report.setup_milliseconds_p50))
}

fn lac_drain() -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::default();
    let lnsd = start(&topology, &manifest)?;
    let live = Lac::up(&topology.lac, options())?;
    for lac in &mut manifest.lacs {
        lac.admission = "Drain";
    }
    lnsd.write_manifest(&manifest)?;
    lnsd.signal(nix::sys::signal::Signal::SIGHUP)?;
    lnsd.wait(
        Duration::from_secs(5),
        "the LAC is shown as draining",
        |lnsd| {
            let lacs = lnsd.rows("lacs", &["lacs"])?;
            Ok(lacs.iter().all(|lac| lac["admission"] == "Drain"))
        },
    )?;
    let new = Lac::start(&topology.lac, options());
    new.settle(Duration::from_secs(10))?;
    let stage = new.session(0)?.stage;
    expect(
        matches!(&stage, Stage::Failed(reason) if reason.starts_with("CDN") || reason.starts_with("StopCCN")),
        format!("a new call was not refused: {stage:?}"),
    )?;
    new.close()?;
    expect(live.count_up() == 1, "the live session ended")?;
    live.close()?;
    Ok(format!("{stage:?}"))
}

/// What the LNS has to withstand from an address that is a LAC's. None of it is answered with a
/// crash, and each is counted under some reason.
fn malformed() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, options())?;
    let tunnel = lnsd.rows("tunnels", &["tunnels"])?;
    let id = tunnel
        .first()
        .and_then(|tunnel| tunnel["id"].as_u64())
        .unwrap_or(0);
    let [high, low] = u16::try_from(id)?.to_be_bytes();
    let before = problems(&lnsd)?;

    let datagrams: Vec<Vec<u8>> = vec![
        vec![],
        vec![0xc8],
        // Version 3, and version 2 without a length.
        vec![0xc8, 3, 0, 12, high, low, 0, 0, 0, 9, 0, 9],
        vec![0x88, 2, high, low, 0, 0, 0, 9, 0, 9],
        // A length that is not the datagram's.
        vec![0xc8, 2, 0, 99, high, low, 0, 0, 0, 3, 0, 3],
        // An AVP shorter than its header, and one longer than the message.
        vec![
            0xc8, 2, 0, 18, high, low, 0, 0, 0, 3, 0, 3, 0x80, 5, 0, 0, 0, 0,
        ],
        vec![
            0xc8, 2, 0, 18, high, low, 0, 0, 0, 3, 0, 3, 0x83, 0xff, 0, 0, 0, 0,
        ],
        // A message whose first AVP is no Message Type.
        vec![
            0xc8, 2, 0, 20, high, low, 0, 0, 0, 3, 0, 3, 0x80, 8, 0, 0, 0, 9, 0, 1,
        ],
        // A hidden AVP with no Random Vector before it.
        vec![
            0xc8, 2, 0, 36, high, low, 0, 0, 0, 3, 0, 3, 0x80, 8, 0, 0, 0, 0, 0, 10, 0xc0, 16, 0,
            0, 0, 14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
        ],
        // Data of a session that is not there, and with an offset beyond its end.
        vec![0, 2, high, low, 0xff, 0xfe, 0xff, 3, 0, 0x21, 0x45, 0],
        vec![2, 2, high, low, 0xff, 0xfe, 0xff, 0xff],
        // A tunnel that is not there.
        vec![0xc8, 2, 0, 12, 0xff, 0xfe, 0, 0, 0, 0, 0, 0],
    ];
    let sent = datagrams.len();
    for datagram in datagrams {
        lac.order(Order::Raw(datagram))?;
    }
    lnsd.wait(Duration::from_secs(5), "each was counted", |lnsd| {
        Ok(problems(lnsd)? >= before + sent as u64 - 1)
    })?;
    expect(lac.count_up() == 1, "the session ended")?;
    expect(lnsd.status("sessions")? == 1, "the LNS lost the session")?;
    random_octets(&topology)?;
    // The tunnel still works: its numbering did not move.
    let more = Options {
        from: net::OTHER_LAC,
        ..options()
    };
    Lac::up(&topology.lac, more)?.close()?;
    let report = lac.close()?;
    expect(report.retransmissions == 0, "the tunnel's numbering moved")?;
    expect(
        lnsd.status("overdue")? == 0,
        "the sweep found something overdue",
    )?;
    Ok(format!("{sent} kinds, 20,000 random ones"))
}

/// Everything that was dropped or refused so far: data, control, in any counter of either.
fn problems(lnsd: &crate::lnsd::Lnsd<'_>) -> Result<u64> {
    let dropped = lnsd.metric("lns_drops_total", &[])?;
    let mut refused = 0;
    for line in lnsd.metrics()? {
        let is_refusal =
            line.starts_with("lns_control_messages_total") && !line.contains("result=\"ok\"");
        if is_refusal {
            refused += line
                .rsplit(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    Ok(dropped + refused)
}

fn random_octets(topology: &net::Topology) -> Result<()> {
    topology.lac.enter(|| -> Result<()> {
        let socket = UdpSocket::bind((net::LAC, 0))?;
        let lns = SocketAddr::from((net::VIP, 1701));
        let mut rng = lns_crypto::Rng::from_seed([7; 32]);
        for _ in 0..20_000 {
            let mut octets = vec![0; usize::from(rng.u16() % 200)];
            rng.fill(&mut octets);
            // Half of them get past the first checks.
            if let (true, Some(first)) = (rng.u16() & 1 == 0, octets.first_chunk_mut::<2>()) {
                *first = [0xc8, 2];
            }
            socket.send_to(&octets, lns)?;
        }
        Ok(())
    })?
}
