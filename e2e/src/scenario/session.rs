//! How sessions end and what they share: timeouts, duplicates, pools, the disconnect command.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::datapath::session;
use super::{Scenario, expect, options, start, topology};
use crate::blast;
use crate::lac::{Lac, Options, Order, Stage};
use crate::manifest::{Manifest, PASSWORD};
use crate::net;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "session-idle-timeout",
        says: "an idle session ends, one with traffic does not",
        run: idle_timeout,
    },
    Scenario {
        name: "session-timeout",
        says: "a session ends at its age, traffic or not",
        run: session_timeout,
    },
    Scenario {
        name: "session-echo",
        says: "a subscriber who answers no echo is gone after the failures",
        run: echo,
    },
    Scenario {
        name: "session-rechallenge",
        says: "CHAP is asked again, and the session stays",
        run: rechallenge,
    },
    Scenario {
        name: "session-hang-up",
        says: "a subscriber hangs up: its session goes, the others stay",
        run: hang_up,
    },
    Scenario {
        name: "session-duplicate-replace",
        says: "duplicates Replace: the older session of a user goes",
        run: duplicate_replace,
    },
    Scenario {
        name: "session-duplicate-refuse",
        says: "duplicates Refuse: the newer session of a user is refused",
        run: duplicate_refuse,
    },
    Scenario {
        name: "session-pool-exhausted",
        says: "no address left: refused; freed ones come back after the delay",
        run: pool_exhausted,
    },
    Scenario {
        name: "disconnect-user",
        says: "disconnect --user ends that user's session alone",
        run: disconnect_user,
    },
    Scenario {
        name: "disconnect-session",
        says: "disconnect --session ends one, and an unknown one is an error",
        run: disconnect_session,
    },
    Scenario {
        name: "disconnect-tunnel",
        says: "disconnect --tunnel ends the tunnel with its sessions",
        run: disconnect_tunnel,
    },
    Scenario {
        name: "disconnect-pool",
        says: "disconnect --pool --rate ends all of a pool, at the rate",
        run: disconnect_pool,
    },
];

fn with_subscribers(lines: &str) -> Manifest {
    Manifest {
        subscribers: lines.into(),
        ..Manifest::default()
    }
}

/// Keeps session `index` busy until `until`.
fn keep_busy(lac: &Lac, index: usize, until: Instant) -> Result<()> {
    let address = lac.address(index)?;
    while Instant::now() < until {
        lac.inject(
            address,
            &blast::udp_packet(address, net::CORE, blast::PORT, 64),
        )?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn idle_timeout() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &with_subscribers("idleSeconds: 2"))?;
    let options = Options {
        sessions: 2,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    keep_busy(&lac, 0, Instant::now() + Duration::from_secs(5))?;
    let (busy, idle) = (lac.session(0)?.stage, lac.session(1)?.stage);
    expect(busy == Stage::Up, format!("the busy session is {busy:?}"))?;
    expect(
        matches!(idle, Stage::Ended(_)),
        format!("the idle session is {idle:?}"),
    )?;
    lac.close()?;
    Ok(format!("{idle:?}"))
}

fn session_timeout() -> Result<String> {
    let topology = topology()?;
    let _lnsd = start(&topology, &with_subscribers("sessionSeconds: 3"))?;
    let lac = Lac::up(&topology.lac, options())?;
    let started = Instant::now();
    // It ends in the middle of this, and then has no address to send from.
    keep_busy(&lac, 0, Instant::now() + Duration::from_secs(2))?;
    lac.wait(Duration::from_secs(5), "the session ends", |shared| {
        shared.count(|stage| matches!(stage, Stage::Ended(_))) == 1
    })?;
    let age = started.elapsed().as_secs_f64();
    expect(
        (2.0..4.5).contains(&age),
        format!("it ended after {age:.1} s"),
    )?;
    lac.close()?;
    Ok(format!("after {age:.1} s"))
}

fn echo() -> Result<String> {
    let topology = topology()?;
    let manifest = Manifest {
        ppp: "echo: { intervalSeconds: 1, failures: 2 }".into(),
        ..Manifest::default()
    };
    let lnsd = start(&topology, &manifest)?;
    let deaf = Options {
        answer_echo: false,
        ..options()
    };
    let deaf = Lac::up(&topology.lac, deaf)?;
    let alive = Options {
        from: net::OTHER_LAC,
        ..options()
    };
    let alive = Lac::up(&topology.lac, alive)?;
    let ended =
        |shared: &crate::lac::Shared| shared.count(|stage| matches!(stage, Stage::Ended(_))) == 1;
    deaf.wait(Duration::from_secs(10), "the deaf session ends", ended)?;
    let heard = alive.session(0)?.heard.echo_requests;
    expect(
        heard > 1,
        format!("{heard} echo requests to an idle subscriber"),
    )?;
    expect(alive.count_up() == 1, "the session that answers ended")?;
    expect(lnsd.status("sessions")? == 1, "not one session is left")?;
    deaf.close()?;
    alive.close()?;
    Ok(String::new())
}

fn rechallenge() -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::with_authentication("[CHAP]");
    manifest.ppp = "rechallengeSeconds: 1".into();
    let _lnsd = start(&topology, &manifest)?;
    let lac = Lac::up(&topology.lac, options())?;
    lac.wait(Duration::from_secs(10), "three challenges came", |shared| {
        shared
            .sessions()
            .iter()
            .all(|view| view.heard.challenges >= 3)
    })?;
    expect(lac.count_up() == 1, "the session ended")?;
    lac.close()?;
    Ok(String::new())
}

fn hang_up() -> Result<String> {
    let topology = topology()?;
    let (manifest, options) = with_users(4);
    let lnsd = start(&topology, &manifest)?;
    let lac = Lac::up(&topology.lac, options)?;
    lac.order(Order::HangUp(2))?;
    lnsd.wait(Duration::from_secs(5), "three sessions are left", |lnsd| {
        Ok(lnsd.status("sessions")? == 3)
    })?;
    let left = lnsd.rows("sessions", &["sessions", "--user", "user2@isp"])?;
    expect(left.is_empty(), "another session than user2's went")?;
    expect(lac.count_up() == 3, "another session ended as well")?;
    lac.close()?;
    Ok(String::new())
}

fn duplicate_replace() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(
        &topology,
        &with_subscribers("duplicates: { key: [UserName], action: Replace }"),
    )?;
    let first = Lac::up(&topology.lac, options())?;
    let second = Options {
        from: net::OTHER_LAC,
        ..options()
    };
    let second = Lac::up(&topology.lac, second)?;
    first.wait(Duration::from_secs(5), "the older session ends", |shared| {
        shared.count(|stage| matches!(stage, Stage::Ended(_))) == 1
    })?;
    expect(lnsd.status("sessions")? == 1, "not one session is left")?;
    expect(second.count_up() == 1, "the newer session ended")?;
    second.close()?;
    Ok(String::new())
}

fn duplicate_refuse() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(
        &topology,
        &with_subscribers("duplicates: { key: [UserName], action: Refuse }"),
    )?;
    let first = Lac::up(&topology.lac, options())?;
    let second = Options {
        from: net::OTHER_LAC,
        ..options()
    };
    let second = Lac::start(&topology.lac, second);
    second.settle(Duration::from_secs(15))?;
    let stage = second.session(0)?.stage;
    expect(
        matches!(stage, Stage::Failed(_)),
        format!("the newer session is {stage:?}"),
    )?;
    expect(first.count_up() == 1, "the older session ended")?;
    expect(lnsd.status("sessions")? == 1, "not one session is left")?;
    first.close()?;
    second.close()?;
    Ok(format!("{stage:?}"))
}

fn pool_exhausted() -> Result<String> {
    let topology = topology()?;
    let manifest = Manifest {
        // Eight addresses, of which the first is the gateway's.
        pools: vec![("small", "100.64.0.1", "100.64.0.0/29")],
        ..Manifest::default()
    };
    let lnsd = start(&topology, &manifest)?;
    let many = Options {
        sessions: 12,
        ..options()
    };
    let lac = Lac::start(&topology.lac, many);
    lac.settle(Duration::from_secs(30))?;
    let up = lac.count_up();
    let pool = lnsd.rows("pools", &["pools"])?;
    let free = pool.first().and_then(|pool| pool["free"].as_u64());
    expect(free == Some(0), format!("free addresses: {free:?}"))?;
    expect((5..=7).contains(&up), format!("{up} sessions of a /29"))?;
    let mut addresses = lac.addresses();
    addresses.sort_unstable();
    addresses.dedup();
    expect(addresses.len() == up, "an address was given twice")?;
    let refused = lac.failures();
    lac.close()?;

    // The manifest's delay is one second; until then the addresses rest.
    let too_early = Lac::start(&topology.lac, options());
    too_early.settle(Duration::from_secs(15))?;
    expect(
        too_early.count_up() == 0,
        "an address was given again at once",
    )?;
    too_early.close()?;
    std::thread::sleep(Duration::from_millis(1500));
    let again = Options {
        sessions: up,
        ..options()
    };
    Lac::up(&topology.lac, again)?.close()?;
    Ok(format!("{up} up, then {refused:?}"))
}

/// A LAC with users user0@isp, user1@isp, ...
fn with_users(sessions: usize) -> (Manifest, Options) {
    let manifest = Manifest {
        users: (0..sessions)
            .map(|n| (format!("user{n}@isp"), PASSWORD.to_owned()))
            .collect(),
        ..Manifest::default()
    };
    let options = Options {
        sessions,
        user: "user{}@isp".into(),
        ..options()
    };
    (manifest, options)
}

fn disconnect_user() -> Result<String> {
    let topology = topology()?;
    let (manifest, options) = with_users(5);
    let lnsd = start(&topology, &manifest)?;
    let lac = Lac::up(&topology.lac, options)?;
    lnsd.table(&["disconnect", "--user", "user3@isp"])?;
    lac.wait(
        Duration::from_secs(5),
        "the user's session ends",
        |shared| shared.count(|stage| matches!(stage, Stage::Ended(_))) == 1,
    )?;
    let ended = lac.session(3)?.stage;
    expect(
        matches!(ended, Stage::Ended(_)),
        format!("user3's session is {ended:?}"),
    )?;
    expect(lac.count_up() == 4, "another session ended as well")?;
    lac.close()?;
    Ok(format!("{ended:?}"))
}

fn disconnect_session() -> Result<String> {
    let topology = topology()?;
    let (manifest, options) = with_users(3);
    let lnsd = start(&topology, &manifest)?;
    let lac = Lac::up(&topology.lac, options)?;
    let session = session(&lnsd, lac.address(1)?)?;
    let id = session.get("id").and_then(Value::as_str).context("no id")?;
    let shown = lnsd.table(&["session", "show", id])?;
    expect(
        shown.contains("user1@isp") && shown.contains(&lac.address(1)?.to_string()),
        format!("session show prints\n{shown}"),
    )?;
    lnsd.table(&["disconnect", "--session", id])?;
    lac.wait(Duration::from_secs(5), "the session ends", |shared| {
        shared.count(|stage| *stage == Stage::Up) == 2
    })?;
    let again = lnsd.command(&["disconnect", "--session", id])?;
    expect(
        again.status.code() == Some(1),
        format!("an unknown session gives {}", again.status),
    )?;
    let nonsense = lnsd.command(&["disconnect", "--session", "nonsense"])?;
    expect(
        nonsense.status.code() == Some(2),
        format!("nonsense gives {}", nonsense.status),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn disconnect_tunnel() -> Result<String> {
    let topology = topology()?;
    let (manifest, options) = with_users(10);
    let lnsd = start(&topology, &manifest)?;
    let options = Options {
        tunnels: 2,
        ..options
    };
    let lac = Lac::up(&topology.lac, options)?;
    let tunnels = lnsd.rows("tunnels", &["tunnels"])?;
    let id = tunnels.first().and_then(|tunnel| tunnel["id"].as_u64());
    let id = id.context("no tunnel")?.to_string();
    let said = lnsd.table(&["disconnect", "--tunnel", &id])?;
    expect(
        said == format!("tunnel {id} closed\n"),
        format!("it says {said:?}"),
    )?;
    lac.wait(Duration::from_secs(5), "its five sessions end", |shared| {
        shared.count(|stage| *stage == Stage::Up) == 5
    })?;
    let ends = lac.shared().tunnel_ends();
    expect(
        matches!(&ends[..], [end] if end.starts_with("StopCCN")),
        format!("tunnels ended: {ends:?}"),
    )?;
    let again = lnsd.command(&["disconnect", "--tunnel", &id])?;
    expect(
        again.status.code() == Some(1),
        format!("a tunnel that is gone gives {}", again.status),
    )?;
    lac.close()?;
    Ok(format!("{ends:?}"))
}

fn disconnect_pool() -> Result<String> {
    let topology = topology()?;
    let (manifest, options) = with_users(40);
    let lnsd = start(&topology, &manifest)?;
    let lac = Lac::up(&topology.lac, options)?;
    let started = Instant::now();
    lnsd.table(&["disconnect", "--pool", "default", "--rate", "20/s"])?;
    lac.wait(Duration::from_secs(10), "all sessions end", |shared| {
        shared.count(|stage| *stage == Stage::Up) == 0
    })?;
    let took = started.elapsed().as_secs_f64();
    expect(
        (1.0..4.0).contains(&took),
        format!("40 sessions at 20/s took {took:.1} s"),
    )?;
    lac.close()?;
    Ok(format!("40 sessions in {took:.1} s"))
}
