//! The session table when it is full: A59 to A64 of the acceptance list.

use anyhow::{Context as _, Result, anyhow, ensure};

use super::case::{Case, HANDSHAKE};
use super::cast::{Cast, Policy};
use super::packet::{Way, flag};
use super::{Row, alone, with_cases};
use crate::manifest::Manifest;

pub(super) const ROWS: &[Row] = &[
    alone(
        "a59-oldest-transient-goes",
        "one flow too many takes the place of the oldest transient one, and its packet passes",
        oldest_goes,
    ),
    alone(
        "a60-nothing-gives-way",
        "a table of flows that stay: the new one is dropped and counted, nothing else is harmed",
        nothing_goes,
    ),
    alone(
        "a60-one-subscriber",
        "a subscriber at his limit takes no room from another",
        one_subscriber,
    ),
    alone(
        "a64-syn-flood",
        "ten tables full of SYNs cost established flows no packet",
        flood,
    ),
];

/// Flows of a small table.
const ENTRIES: u16 = 64;

fn manifest(inside: &str) -> Manifest {
    Manifest {
        session_table: inside.to_owned(),
        ..Manifest::default()
    }
}

/// One subscriber may fill the whole table.
fn small() -> Manifest {
    manifest(&format!("entries: {ENTRIES}, perSession: {}", 2 * ENTRIES))
}

/// Opens flows; UDP to port 7 passes without one.
fn tracking(way: Way) -> Cast {
    let rule = "protocol: UDP, destinationPorts: [\"7\"], action: Pass";
    Cast::one(Policy::pinhole(way, &[rule], "Track"))
}

fn oldest_goes() -> Result<String> {
    for way in [Way::Up, Way::Down] {
        with_cases(small(), vec![("a59", way, tracking(way))], |cases| {
            let case = cases.first().context("no case")?;
            let seat = case.seat(0)?;
            for port in 0..ENTRIES {
                case.passes(&seat.tcp(4000 + port, 80).out().flags(flag::SYN))?;
            }
            case.has_flows(0, ENTRIES.into())?;
            for more in 0..3 {
                let flow = seat.tcp(5000 + more, 80);
                case.passes(&flow.out().flags(flag::SYN))?;
                case.passes(&flow.back().flags(flag::SYN | flag::ACK))?;
                let answer = |port| {
                    seat.tcp(4000 + port, 80)
                        .back()
                        .flags(flag::SYN | flag::ACK)
                };
                case.drops(&answer(more))?;
                case.passes(&answer(more + 10))?;
            }
            case.has_flows(0, ENTRIES.into())?;
            let evicted = case
                .stage
                .lnsd
                .metric("lns_flow_events_total", &["evicted"])?;
            ensure!(evicted == 3, "{evicted} evicted");
            Ok(String::new())
        })?;
    }
    Ok(String::new())
}

fn nothing_goes() -> Result<String> {
    for way in [Way::Up, Way::Down] {
        with_cases(small(), vec![("a60", way, tracking(way))], |cases| {
            let case = cases.first().context("no case")?;
            let seat = case.seat(0)?;
            let tcp = seat.tcp(4000, 80);
            case.segments(&tcp, HANDSHAKE)?;
            for port in 1..ENTRIES {
                case.passes(&seat.udp(4000 + port, 53).out())?;
            }
            for (count, flow) in [(1, seat.udp(5000, 53)), (2, seat.tcp(5000, 80))] {
                case.drops(&flow.out())?;
                let dropped = case
                    .stage
                    .lnsd
                    .metric("lns_drops_total", &["flow_table_full"])?;
                ensure!(dropped == count, "{dropped} counted, not {count}");
            }
            all_live(case, &tcp)?;
            case.passes(&seat.udp(5001, 7).out())?;

            let outcome = case.stage.reload(|manifest, _| {
                manifest.session_table.push_str(", whenFull: Stateless");
            })?;
            outcome.map_err(|error| anyhow!("the reload is refused: {error}"))?;
            let flow = seat.udp(5002, 53);
            case.passes(&flow.out())?;
            case.drops(&flow.back())?;
            all_live(case, &tcp)?;
            case.has_flows(0, ENTRIES.into())?;
            Ok(String::new())
        })?;
    }
    Ok(String::new())
}

/// Every flow that filled the table answers still.
fn all_live(case: &Case<'_>, tcp: &super::packet::Flow) -> Result<()> {
    case.segments(tcp, &[(true, flag::ACK), (false, flag::ACK)])?;
    for port in 1..ENTRIES {
        case.passes(&case.seat(0)?.udp(4000 + port, 53).back())?;
    }
    Ok(())
}

fn one_subscriber() -> Result<String> {
    const MOST: u16 = 8;
    let manifest = || manifest(&format!("entries: {ENTRIES}, perSession: {MOST}"));
    for way in [Way::Up, Way::Down] {
        let role = Cast {
            subscribers: vec![vec![0]; 2],
            ..tracking(way)
        };
        with_cases(manifest(), vec![("a60", way, role)], |cases| {
            let case = cases.first().context("no case")?;
            let (greedy, other) = (case.seat(0)?, case.seat(1)?);
            for port in 0..MOST {
                case.passes(&greedy.udp(4000 + port, 53).out())?;
            }
            case.drops(&greedy.udp(5000, 53).out())?;
            let dropped = case.stage.lnsd.metric("lns_drops_total", &["flow_limit"])?;
            ensure!(dropped == 1, "{dropped} counted");
            // His own transient flow would have given way.
            case.flush_flows(0)?;
            for port in 0..MOST {
                case.passes(&greedy.tcp(4000 + port, 80).out().flags(flag::SYN))?;
            }
            case.passes(&greedy.udp(5000, 53).out())?;
            case.has_flows(0, MOST.into())?;
            case.drops(&greedy.tcp(4000, 80).back().flags(flag::SYN | flag::ACK))?;
            for port in 0..MOST {
                case.passes(&other.udp(4000 + port, 53).out())?;
            }
            case.has_flows(1, MOST.into())?;
            Ok(String::new())
        })?;
    }
    Ok(String::new())
}

fn flood() -> Result<String> {
    let (asked, flooded) = syn_flood(ENTRIES)?;
    Ok(format!(
        "{flooded} SYNs, {asked} packets of established flows"
    ))
}

/// Floods a table of `entries` flows with ten times as many SYNs, each way once, while a subscriber's
/// established connections go on. The packets of those, of which none was lost, and the SYNs.
///
/// # Errors
/// A packet of an established connection was lost, or a SYN was not let through.
pub(crate) fn syn_flood(entries: u16) -> Result<(usize, usize)> {
    /// Established connections.
    const FLOWS: u16 = 16;
    // SYNs between two looks at them: no more than every queue on the way takes.
    let burst = (entries / 2).clamp(1, 256);
    let (mut asked, mut flooded) = (0, 0);
    for way in [Way::Up, Way::Down] {
        let roles = vec![
            ("a64-calm", way, tracking(way)),
            ("a64-flood", way, tracking(way)),
        ];
        let table = manifest(&format!("entries: {entries}, perSession: {entries}"));
        with_cases(table, roles, |cases| {
            let [calm, flooding] = cases else {
                return Err(anyhow!("no cases"));
            };
            let seat = calm.seat(0)?;
            let flows: Vec<_> = (0..FLOWS).map(|port| seat.tcp(4000 + port, 80)).collect();
            for flow in &flows {
                calm.segments(flow, HANDSHAKE)?;
            }
            let from = flooding.seat(0)?;
            let bursts = (usize::from(entries) * 10).div_ceil(burst.into());
            for round in 0..bursts {
                for port in 0..burst {
                    // Every SYN is of a connection of its own.
                    let number = round * usize::from(burst) + usize::from(port);
                    let [first, second] = [1024 + number % 50_000, 80 + number / 50_000];
                    let flow = from.tcp(u16::try_from(first)?, u16::try_from(second)?);
                    flooding.sends(&flow.out().flags(flag::SYN))?;
                }
                for flow in &flows {
                    calm.segments(flow, &[(true, flag::ACK), (false, flag::ACK)])?;
                    asked += 2;
                }
            }
            flooding.stage.flush(way)?;
            let arrived: usize = flooding.stage.arrived(flooding.owner).values().sum();
            flooding.accept_all();
            ensure!(
                arrived >= usize::from(entries) * 10,
                "only {arrived} SYNs came through"
            );
            flooded += arrived;
            calm.has_flows(0, FLOWS.into())?;
            Ok(String::new())
        })?;
    }
    Ok((asked, flooded))
}
