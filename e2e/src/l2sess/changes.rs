//! Policies that change under flows that are open: A02 to A04, A24, A38 to A41 of the acceptance list.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::case::{Case, HANDSHAKE};
use super::cast::{Cast, Policy};
use super::packet::{Way, flag};
use super::stateful::tracked;
use super::{Row, alone, both, with_cases};
use crate::manifest::Manifest;

pub(super) const ROWS: &[Row] = &[
    both(
        "a38-hits-bypass-policy",
        "a deny that comes later stops new flows, and not one that is open",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            let (udp, tcp) = (seat.udp(4000, 53), seat.tcp(4000, 80));
            case.passes(&udp.out())?;
            case.segments(&tcp, HANDSHAKE)?;
            case.change(0, |policy| {
                *policy = policy.clone().with(case.way, &[], "Drop");
            })?;
            for _ in 0..3 {
                case.passes(&udp.out())?;
                case.passes(&udp.back())?;
                case.segments(&tcp, &[(true, flag::ACK), (false, flag::ACK)])?;
            }
            case.drops(&seat.udp(4001, 53).out())?;
            case.drops(&seat.tcp(4001, 80).out().flags(flag::SYN))?;
            case.has_flows(0, 2)
        },
    ),
    both(
        "a39-reclassify",
        "with onChange Reclassify the very next packet is judged anew, either way",
        |way| {
            Cast::shared(
                Policy::pinhole(way, &[], "Track").on_change("Reclassify"),
                2,
            )
        },
        |case| {
            let flows = [case.seat(0)?.udp(4000, 53), case.seat(1)?.udp(4000, 53)];
            let kept = [case.seat(0)?.udp(4000, 80), case.seat(1)?.udp(4000, 80)];
            for flow in flows.iter().chain(&kept) {
                case.passes(&flow.out())?;
            }
            let rule = "protocol: UDP, destinationPorts: [\"53\"], action: Drop";
            case.change(0, |policy| {
                *policy = policy.clone().with(case.way, &[rule], "Track");
            })?;
            // One subscriber's flow is asked by its opener first, the other's by the return.
            let [first, second] = flows;
            case.drops(&first.out())?;
            case.drops(&first.back())?;
            case.drops(&second.back())?;
            case.drops(&second.out())?;
            let [first, second] = kept;
            case.passes(&first.out())?;
            case.passes(&second.back())?;
            case.passes(&second.out())?;
            case.has_flows(0, 1)?;
            case.has_flows(1, 1)
        },
    ),
    alone(
        "a02-unknown-policy",
        "a reference to a policy that is not there is refused, nothing changes",
        unknown,
    ),
    alone(
        "a03-delete-a-policy",
        "one that subscribers have is not deleted, and it is said who; one that nobody has is",
        delete,
    ),
    alone(
        "a04-bind-twice",
        "one policy twice for one subscriber is refused, the old binding stays",
        twice,
    ),
    alone(
        "a24-later-fragments",
        "a rule with ports matches fragments without them, unless that is switched off",
        later_fragments,
    ),
    alone(
        "a40-other-policies",
        "who gets other policies loses his flows, nobody else, and none by the same again",
        rebound,
    ),
    alone(
        "a41-clear-all",
        "after all flows are cleared the next return packet is dropped",
        clear_all,
    ),
    alone(
        "a41-reload-loses-nothing",
        "reloads of one policy lose no packet of another subscriber's flow",
        reload_under_traffic,
    ),
];

/// Two cases, one for each way, each with a subscriber of `cast`.
fn both_ways(name: [&'static str; 2], cast: fn(Way) -> Cast) -> Vec<(&'static str, Way, Cast)> {
    let [up, down] = name;
    vec![
        (up, Way::Up, cast(Way::Up)),
        (down, Way::Down, cast(Way::Down)),
    ]
}

/// Opens a flow in each case; the closure that is returned fails unless they still are open.
fn open_flows(cases: &[Case<'_>]) -> Result<()> {
    for case in cases {
        case.passes(&case.seat(0)?.udp(4000, 53).out())?;
    }
    Ok(())
}

/// The flows of [`open_flows`] are open.
fn still_open(cases: &[Case<'_>]) -> Result<()> {
    for case in cases {
        case.passes(&case.seat(0)?.udp(4000, 53).back())?;
    }
    Ok(())
}

fn refused(
    case: &Case<'_>,
    change: impl FnOnce(&mut Manifest, &mut Vec<Policy>),
    words: &[&str],
) -> Result<()> {
    let outcome = case.stage.reload(change)?;
    let error = outcome.err().context("the reload is not refused")?;
    for word in words {
        ensure!(error.contains(word), "no `{word}` in `{error}`");
    }
    Ok(())
}

fn unknown() -> Result<String> {
    let roles = both_ways(["a02-up", "a02-down"], tracked);
    with_cases(Manifest::default(), roles, |cases| {
        open_flows(cases)?;
        let case = cases.first().context("no case")?;
        refused(
            case,
            |manifest, _| manifest.subscribers = "defaultPolicyRefs: [ { name: nowhere } ]".into(),
            &[
                "spec.subscribers.defaultPolicyRefs[0].name",
                "\"nowhere\" is no SessionPolicy for this cluster",
            ],
        )?;
        still_open(cases)?;
        Ok(String::new())
    })
}

fn delete() -> Result<String> {
    let mut roles = both_ways(["a03-up", "a03-down"], tracked);
    let nobodys = Cast {
        subscribers: Vec::new(),
        ..tracked(Way::Up)
    };
    roles.push(("a03-nobodys", Way::Up, nobodys));
    with_cases(Manifest::default(), roles, |cases| {
        let [bound @ .., nobodys] = cases else {
            return Err(anyhow!("no cases"));
        };
        open_flows(bound)?;
        let without = |case: &Case<'_>| {
            let name = case.policies.first().cloned().unwrap_or_default();
            move |_: &mut Manifest, policies: &mut Vec<Policy>| {
                policies.retain(|policy| policy.name != name);
            }
        };
        for case in bound {
            let name = case.policies.first().context("no policy")?;
            let words = [name.as_str(), &case.user(0)?];
            refused(case, without(case), &words)?;
            case.stage.lnsd.json(&["policies", name])?;
        }
        let outcome = nobodys.stage.reload(without(nobodys))?;
        outcome.map_err(|error| anyhow!("nobody has it, and it is not deleted: {error}"))?;
        let name = nobodys.policies.first().context("no policy")?;
        let gone = nobodys.stage.lnsd.json(&["policies", name]);
        ensure!(gone.is_err(), "the deleted policy is shown");
        still_open(bound)?;
        Ok(String::new())
    })
}

fn twice() -> Result<String> {
    let roles = both_ways(["a04-up", "a04-down"], tracked);
    with_cases(Manifest::default(), roles, |cases| {
        open_flows(cases)?;
        for case in cases {
            let name = case.policies.first().context("no policy")?;
            let user = case.user(0)?;
            let entry = super::entry(&[name, name]);
            refused(
                case,
                |manifest, _| {
                    manifest.users.retain_mut(|(known, old)| {
                        if *known == user {
                            entry.clone_into(old);
                        }
                        true
                    });
                },
                &["Secret/users: users.yaml", &user, name],
            )?;
        }
        still_open(cases)?;
        Ok(String::new())
    })
}

fn later_fragments() -> Result<String> {
    let rule = "protocol: UDP, destinationPorts: [\"53\"], action: Drop";
    let roles = vec![
        (
            "a24-up",
            Way::Up,
            Cast::one(Policy::judging(Way::Up, &[rule], "Pass")),
        ),
        (
            "a24-down",
            Way::Down,
            Cast::one(Policy::judging(Way::Down, &[rule], "Pass")),
        ),
    ];
    with_cases(Manifest::default(), roles, |cases| {
        for later_passes in [false, true] {
            for case in cases {
                let seat = case.seat(0)?;
                let pieces = |port| seat.udp(4000, port).out().payload(8, 64).fragments(32);
                let [first, later] = pieces(80);
                case.passes(&first)?;
                let [denied, later_of_denied] = pieces(53);
                case.drops(&denied)?;
                for later in [later, later_of_denied] {
                    case.comes_out(&later, &later, later_passes)?;
                }
            }
            if later_passes {
                break;
            }
            let case = cases.first().context("no case")?;
            let outcome = case.stage.reload(|manifest, _| {
                manifest.session_table = "laterFragments: Ignore".into();
            })?;
            outcome.map_err(|error| anyhow!("the reload is refused: {error}"))?;
        }
        Ok(String::new())
    })
}

fn rebound() -> Result<String> {
    // The first subscriber of each case has what is the default, the second has it by himself.
    let role = |way| Cast {
        policies: ["one", "two"]
            .map(|name| Policy::pinhole(way, &[], "Track").named(name))
            .to_vec(),
        subscribers: vec![vec![], vec![0]],
    };
    let manifest = |default: &str| Manifest {
        subscribers: format!("defaultPolicyRefs: [ {{ name: {default} }} ]"),
        ..Manifest::default()
    };
    for way in [Way::Up, Way::Down] {
        let roles = vec![("a40", way, role(way))];
        with_cases(manifest("a40-one"), roles, |cases| {
            let case = cases.first().context("no case")?;
            let flows = [case.seat(0)?.udp(4000, 53), case.seat(1)?.udp(4000, 53)];
            for flow in &flows {
                case.passes(&flow.out())?;
                case.passes(&flow.back())?;
            }
            // The same again, and something else beside it.
            let bind = |default: &str, delay| {
                let subscribers = manifest(default).subscribers;
                let outcome = case.stage.reload(|manifest, _| {
                    manifest.subscribers = subscribers;
                    manifest.reuse_delay_seconds = delay;
                })?;
                outcome.map_err(|error| anyhow!("the reload is refused: {error}"))
            };
            bind("a40-one", 2)?;
            for flow in &flows {
                case.passes(&flow.back())?;
            }
            bind("a40-two", 2)?;
            let [default, own] = flows;
            case.drops(&default.back())?;
            case.has_flows(0, 0)?;
            case.passes(&own.back())?;
            case.has_flows(1, 1)?;
            // He has a policy, and it opens flows.
            case.passes(&default.out())?;
            case.passes(&default.back())?;
            Ok(String::new())
        })?;
    }
    Ok(String::new())
}

fn clear_all() -> Result<String> {
    let roles = both_ways(["a41-up", "a41-down"], tracked);
    with_cases(Manifest::default(), roles, |cases| {
        for case in cases {
            let seat = case.seat(0)?;
            case.passes(&seat.udp(4000, 53).out())?;
            case.segments(&seat.tcp(4000, 80), HANDSHAKE)?;
        }
        let lnsd = cases.first().context("no case")?.stage.lnsd;
        lnsd.table(&["flows", "--flush", "--all"])?;
        for case in cases {
            let seat = case.seat(0)?;
            case.drops(&seat.udp(4000, 53).back())?;
            case.drops(&seat.tcp(4000, 80).back().flags(flag::ACK))?;
        }
        ensure!(lnsd.rows("flows", &["flows"])?.is_empty(), "flows are left");
        Ok(String::new())
    })
}

fn reload_under_traffic() -> Result<String> {
    const RELOADS: usize = 8;
    /// Between two packets: a thousand per second, less what the machine is busy.
    const PACE: Duration = Duration::from_millis(1);
    let mut roles = both_ways(["a41-up", "a41-down"], tracked);
    roles.push(("a41-other", Way::Up, tracked(Way::Up)));
    with_cases(Manifest::default(), roles, |cases| {
        let [watched @ .., other] = cases else {
            return Err(anyhow!("no cases"));
        };
        open_flows(watched)?;
        let done = AtomicBool::new(false);
        let sent = std::thread::scope(|scope| -> Result<Vec<usize>> {
            let senders: Vec<_> = watched
                .iter()
                .map(|case| {
                    let done = &done;
                    scope.spawn(move || -> Result<usize> {
                        let flow = case.seat(0)?.udp(4000, 53);
                        let packets = [flow.out(), flow.back()];
                        let mut sent = 0;
                        while !done.load(Ordering::Relaxed) {
                            for packet in &packets {
                                case.sends(packet)?;
                                sent += 1;
                            }
                            std::thread::sleep(PACE);
                        }
                        Ok(sent)
                    })
                })
                .collect();
            let result = (0..RELOADS).try_for_each(|round| {
                let default = if round % 2 == 0 { "Drop" } else { "Track" };
                other.change(0, |policy| {
                    *policy =
                        policy
                            .clone()
                            .with(Way::Up, &["protocol: TCP, action: Drop"], default);
                })
            });
            done.store(true, Ordering::Relaxed);
            let sent = senders.into_iter().map(|sender| {
                let result = sender.join();
                result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            let sent = sent.collect::<Result<_>>();
            result.and(sent)
        })?;
        for (case, sent) in watched.iter().zip(&sent) {
            for way in [Way::Up, Way::Down] {
                case.stage.flush(way)?;
            }
            // One more: the packet that opened the flow.
            let arrived: usize = case.stage.arrived(case.owner).values().sum();
            ensure!(arrived == sent + 1, "{arrived} of {} arrived", sent + 1);
            case.accept_all();
        }
        let packets: usize = sent.iter().sum();
        Ok(format!("{packets} packets through {RELOADS} reloads"))
    })
}
