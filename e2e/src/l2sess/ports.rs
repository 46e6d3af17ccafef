//! Subscribers come and go: A07 and A84 of the acceptance list, and what a Filter-Id means.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::case::{Case, HANDSHAKE};
use super::cast::{Cast, Policy};
use super::packet::{Way, flag};
use super::stateful::tracked;
use super::{Row, alone, stage, with_cases};
use crate::lac::{Lac, Options, Order, Stage};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD};
use crate::net::Topology;
use crate::scenario;

pub(super) const ROWS: &[Row] = &[
    alone(
        "a07-port-deleted-with-flows",
        "a session that ends takes its flows along; who gets its slot finds none",
        deleted,
    ),
    alone(
        "a84-source-of-a-former-session",
        "the address of a session that has ended is nobody's, until it is given again",
        former,
    ),
    alone(
        "filter-id-unknown",
        "a Filter-Id that means nothing: refused and explained, or the default, as the manifest says",
        unknown_filter_id,
    ),
    alone(
        "filter-id-of-a-list",
        "a policy is meant by each of its filterIds as by its name",
        listed_filter_id,
    ),
];

const PATIENCE: Duration = Duration::from_secs(10);

/// Ends the session of subscriber `place` and waits until it is gone on both sides.
fn hang_up(case: &Case<'_>, place: usize) -> Result<()> {
    let session = *case.sessions.get(place).context("no such subscriber")?;
    let stage = case.stage;
    let before = stage.lnsd.status("sessions")?;
    stage.lac.order(Order::HangUp(session))?;
    stage.lac.wait(PATIENCE, "the session ends", |shared| {
        let view = shared.sessions().into_iter().nth(session);
        view.is_some_and(|view| matches!(view.stage, Stage::Ended(_)))
    })?;
    stage.lnsd.wait(PATIENCE, "the LNS has ended it", |lnsd| {
        Ok(lnsd.status("sessions")? < before)
    })
}

/// Dials again.
fn dial(case: &Case<'_>, place: usize) -> Result<()> {
    let session = *case.sessions.get(place).context("no such subscriber")?;
    let lac = case.stage.lac;
    lac.order(Order::Dial(session))?;
    lac.wait(PATIENCE, "the session is up again", |shared| {
        let view = shared.sessions().into_iter().nth(session);
        view.is_some_and(|view| view.stage == Stage::Up)
    })?;
    case.stage.own(case.owner, &[case.address(place)?]);
    Ok(())
}

fn flows_in_use(case: &Case<'_>) -> Result<usize> {
    Ok(case.stage.lnsd.rows("flows", &["flows"])?.len())
}

fn deleted() -> Result<String> {
    for way in [Way::Up, Way::Down] {
        let manifest = Manifest {
            reuse_delay_seconds: 0,
            ..Manifest::default()
        };
        let role = Cast::shared(Policy::pinhole(way, &[], "Track"), 2);
        with_cases(manifest, vec![("a07", way, role)], |cases| {
            let case = cases.first().context("no case")?;
            for place in [0, 1] {
                let seat = case.seat(place)?;
                case.passes(&seat.udp(4000, 53).out())?;
                case.segments(&seat.tcp(4000, 80), HANDSHAKE)?;
            }
            for round in 0..3 {
                hang_up(case, 0)?;
                ensure!(flows_in_use(case)? == 2, "flows are left in round {round}");
                dial(case, 0)?;
                let seat = case.seat(0)?;
                case.drops(&seat.udp(4000, 53).back())?;
                case.drops(&seat.tcp(4000, 80).back().flags(flag::ACK))?;
                case.has_flows(0, 0)?;
                case.passes(&seat.udp(4000, 53).out())?;
                case.passes(&seat.udp(4000, 53).back())?;
            }
            let other = case.seat(1)?;
            case.passes(&other.udp(4000, 53).back())?;
            case.segments(&other.tcp(4000, 80), &[(false, flag::ACK)])?;
            Ok(String::new())
        })?;
    }
    Ok(String::new())
}

fn former() -> Result<String> {
    let role = Cast {
        policies: Vec::new(),
        subscribers: vec![vec![]; 2],
    };
    let manifest = Manifest {
        reuse_delay_seconds: 60,
        ..Manifest::default()
    };
    with_cases(manifest, vec![("a84", Way::Up, role)], |cases| {
        let case = cases.first().context("no case")?;
        let gone = case.seat(0)?;
        let other = case.address(1)?;
        hang_up(case, 0)?;
        let up = gone.udp(4000, 53).out();
        case.drops_from(other, &up)?;
        case.drops(&gone.turned().udp(4000, 53).out())?;
        dial(case, 0)?;
        let again = case.seat(0)?;
        ensure!(again.subscriber != gone.subscriber, "it was given at once");
        // The former address is not the same subscriber's either.
        case.drops_from(again.subscriber, &up)?;
        case.passes(&again.udp(4000, 53).out())
            .map(|()| String::new())
    })
}

fn unknown_filter_id() -> Result<String> {
    const DEFAULT: &str = "defaultPolicyRefs: [ { name: default } ]";
    let policy =
        Policy::judging(Way::Up, &["protocol: UDP, action: Drop"], "Pass").named("default");
    let manifest = |outcome: &str| Manifest {
        subscribers: format!("{DEFAULT}\nunknownFilterId: {outcome}"),
        users: vec![(
            "user@isp".into(),
            format!("{{ password: {PASSWORD}, policies: [nowhere] }}"),
        )],
        ..Manifest::default()
    };
    let text = |outcome| stage::text(&manifest(outcome), std::slice::from_ref(&policy));
    let topology = Topology::create()?;
    let lnsd = Lnsd::start_text(&topology.lns, &text("Refuse"))?;
    let dial = || -> Result<(bool, Lac)> {
        let lac = Lac::start(&topology.lac, scenario::options());
        lac.settle(PATIENCE)?;
        Ok((lac.count_up() == 1, lac))
    };
    let (is_up, lac) = dial()?;
    ensure!(!is_up, "it is let in");
    lac.close()?;
    let failures = lnsd.rows(
        "failures",
        &["failures", "--user", "user@isp", "--kind", "failed"],
    )?;
    let told = failures
        .iter()
        .any(|failure| failure["reason"] == "unknown_filter_id" && failure["detail"] == "nowhere");
    ensure!(told, "lnsd failures does not tell: {failures:?}");

    let outcome = lnsd.reload(&text("UseDefault"))?;
    outcome.map_err(|error| anyhow!("the reload is refused: {error}"))?;
    let (is_up, lac) = dial()?;
    ensure!(is_up, "it is not let in: {:?}", lac.failures());
    let shown = lnsd.json(&["policies", "default"])?;
    ensure!(
        shown.get("sessions") == Some(&1.into()),
        "it has not the default: {shown}"
    );
    lac.close()?;
    Ok(String::new())
}

fn listed_filter_id() -> Result<String> {
    let policy = tracked(Way::Up).policies.into_iter().next();
    let policy = policy.context("no policy")?.named("gold");
    let policy = policy.more("filterIds: [\"GOLD_100M.in\", \"gold plus\"]");
    let ids = ["gold", "GOLD_100M.in", "gold plus"];
    let users = ids.iter().enumerate().map(|(place, id)| {
        let entry = format!("{{ password: {PASSWORD}, policies: [\"{id}\"] }}");
        (super::user(place), entry)
    });
    let manifest = Manifest {
        users: users.collect(),
        ..Manifest::default()
    };
    let topology = Topology::create()?;
    let lnsd = Lnsd::start_text(&topology.lns, &stage::text(&manifest, &[policy]))?;
    let options = Options {
        sessions: ids.len(),
        user: super::user_pattern(),
        ..scenario::options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let shown = lnsd.json(&["policies", "gold"])?;
    ensure!(shown.get("sessions") == Some(&3.into()), "{shown}");
    lac.close()?;
    Ok(String::new())
}
