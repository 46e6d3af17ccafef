//! Servers that lie, and forgers beside honest ones.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use lns_wire::radius::{AttributeList, Code, Packet, kind};

use super::responder::{self, Responder, Signed, answer};
use super::rig::{self, Radius};
use super::server::ADDRESSES;
use crate::lac::Lac;
use crate::lnsd::Lnsd;
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hostile-replies",
        says: "forged, broken, late and doubled replies change nothing; the honest one counts",
        run: replies,
    },
    Scenario {
        name: "hostile-blast",
        says: "an Accept without Message-Authenticator lets nobody in (CVE-2024-3596)",
        run: blast,
    },
];

const PATIENCE: Duration = Duration::from_secs(20);
/// Between what forgers send and what the server does.
const LATER: Duration = Duration::from_millis(200);

/// Replies that no honest server sends, with the reason by which each is counted.
fn forged(request: &Packet<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let none = AttributeList::new();
    let accept = |signed| answer(request, Code::ACCESS_ACCEPT, &none, signed);
    let well = accept(Signed::Well);
    let mut short = well.clone();
    short.truncate(well.len() - 3);
    let mut attribute = well.clone();
    if let Some(length) = attribute.get_mut(21) {
        *length = 1;
    }
    let mut header = well.clone();
    if let Some(octets) = header.get_mut(2..4) {
        octets.copy_from_slice(&19_u16.to_be_bytes());
    }
    let mut other = well;
    if let Some(id) = other.get_mut(1) {
        *id = id.wrapping_add(97);
    }
    let mut twice = AttributeList::new();
    twice.push(kind::MESSAGE_AUTHENTICATOR, &[7; 16]).ok();
    let strange = answer(request, Code(99), &none, Signed::Well);
    vec![
        ("bad_authenticator", accept(Signed::WrongResponse)),
        ("bad_message_authenticator", accept(Signed::WrongMessage)),
        (
            "missing_message_authenticator",
            accept(Signed::WithoutMessage),
        ),
        (
            "duplicate_message_authenticator",
            answer(request, Code::ACCESS_ACCEPT, &twice, Signed::Well),
        ),
        ("malformed", short),
        ("malformed", attribute),
        ("malformed", header),
        ("malformed", vec![2; 7]),
        ("malformed", Vec::new()),
        ("late", other),
        ("unexpected_code", strange),
    ]
}

fn replies() -> Result<String> {
    let topology = rig::topology()?;
    let script: responder::Script = Arc::new(|request, _| {
        if request.code != Code::ACCESS_REQUEST {
            let reply = responder::accept(request);
            return reply
                .map(|reply| (Duration::ZERO, reply))
                .into_iter()
                .collect();
        }
        let mut replies: Vec<_> = forged(request)
            .into_iter()
            .map(|(_, octets)| (Duration::ZERO, octets))
            .collect();
        if let Some(reply) = responder::accept(request) {
            replies.push((LATER, reply.clone()));
            replies.push((LATER, reply));
        }
        replies
    });
    let server = Responder::start(&topology.core, ADDRESSES[0], &script)?;
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    let lac = Lac::up(&topology.lac, options())?;
    let setup = lac.session(0)?.setup.unwrap_or_default();
    expect(
        setup >= LATER,
        format!("up in {setup:?}: by a forged reply"),
    )?;
    let requests = server.seen(Code::ACCESS_REQUEST);
    expect(requests.len() == 1, format!("{} requests", requests.len()))?;
    let mut reasons = std::collections::BTreeMap::<_, u64>::new();
    let first = requests.first().map(|seen| seen.octets.clone());
    let first = first.unwrap_or_default();
    if let Ok(request) = Packet::parse(&first) {
        for (reason, _) in forged(&request) {
            *reasons.entry(reason).or_default() += 1;
        }
        // The honest one came twice.
        *reasons.entry("late").or_default() += 1;
    }
    for (reason, count) in reasons {
        let label = format!("reason=\"{reason}");
        let what = format!("{count} dropped by {reason}");
        lnsd.wait(PATIENCE, &what, |lnsd| {
            Ok(lnsd.metric("lns_radius_replies_dropped_total", &[&label])? == count)
        })?;
    }
    lac.close()?;
    Ok(String::new())
}

fn blast() -> Result<String> {
    let topology = rig::topology()?;
    let script: responder::Script = Arc::new(|request, _| {
        if request.code != Code::ACCESS_REQUEST {
            let reply = responder::accept(request);
            return reply
                .map(|reply| (Duration::ZERO, reply))
                .into_iter()
                .collect();
        }
        let says = |code, signed| answer(request, code, &AttributeList::new(), signed);
        vec![
            (
                Duration::ZERO,
                says(Code::ACCESS_ACCEPT, Signed::WithoutMessage),
            ),
            (LATER, says(Code::ACCESS_REJECT, Signed::Well)),
        ]
    });
    let _server = Responder::start(&topology.core, ADDRESSES[0], &script)?;
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    let lac = Lac::start(&topology.lac, options());
    lac.settle(Duration::from_secs(60))?;
    expect(lac.count_up() == 0, "a forged Accept lets in")?;
    lac.close()?;
    let failures = lnsd.table(&["failures", "-o", "json"])?;
    expect(
        failures.contains("rejected"),
        format!("the honest Reject is not told: {failures}"),
    )?;
    Ok(String::new())
}
