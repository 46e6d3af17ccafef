//! Rules without state: A08 to A29 of the acceptance list.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::case::Case;
use super::cast::{Cast, Policy};
use super::packet::{Flow, Way, flag, protocol};
use super::{Row, both, once};

pub(super) const ROWS: &[Row] = &[
    once(
        "a01-eighteen-rules-are-read-back",
        "18 mixed rules are shown as they were written, in order",
        |_| Cast::one(Policy::judging(Way::Up, &EIGHTEEN, "Drop")),
        read_back,
    ),
    both(
        "a08-empty-policy-drops-all",
        "an empty policy lets nothing of its direction pass",
        |way| Cast::one(Policy::judging(way, &[], "Drop")),
        |case| judged(case, |_| false),
    ),
    both(
        "a08-nothing-bound-passes-all",
        "without a policy everything passes, both ways, and nothing is remembered",
        |_| Cast {
            policies: Vec::new(),
            subscribers: vec![vec![]],
        },
        |case| {
            for flow in every_protocol(case, 0)? {
                case.passes(&flow.out())?;
                case.passes(&flow.back())?;
            }
            case.has_flows(0, 0)
        },
    ),
    both(
        "a09-permit-any",
        "everything passes",
        |way| Cast::one(Policy::judging(way, &["action: Pass"], "Drop")),
        |case| judged(case, |_| true),
    ),
    both(
        "a10-deny-any",
        "nothing passes",
        |way| Cast::one(Policy::judging(way, &["action: Drop"], "Pass")),
        |case| judged(case, |_| false),
    ),
    both(
        "a11-permit-icmp",
        "only ICMP passes",
        |way| {
            let rule = "protocol: ICMP, action: Pass";
            Cast::one(Policy::judging(way, &[rule], "Drop"))
        },
        |case| judged(case, |number| number == protocol::ICMP),
    ),
    both(
        "a12-deny-icmp",
        "everything but ICMP passes",
        |way| {
            let rule = "protocol: ICMP, action: Drop";
            Cast::one(Policy::judging(way, &[rule], "Pass"))
        },
        |case| judged(case, |number| number != protocol::ICMP),
    ),
    both(
        "a13-permit-tcp",
        "only TCP passes, whatever its ports",
        |way| {
            let rule = "protocol: TCP, action: Pass";
            Cast::one(Policy::judging(way, &[rule], "Drop"))
        },
        |case| {
            case.passes(&case.seat(0)?.tcp(1, 65_535).out())?;
            judged(case, |number| number == protocol::TCP)
        },
    ),
    both(
        "a14-permit-udp",
        "only UDP passes, whatever its ports",
        |way| {
            let rule = "protocol: UDP, action: Pass";
            Cast::one(Policy::judging(way, &[rule], "Drop"))
        },
        |case| {
            case.passes(&case.seat(0)?.udp(65_535, 1).out())?;
            judged(case, |number| number == protocol::UDP)
        },
    ),
    both(
        "a15-deny-tcp",
        "everything but TCP passes",
        |way| {
            let rule = "protocol: TCP, action: Drop";
            Cast::one(Policy::judging(way, &[rule, "action: Pass"], "Drop"))
        },
        |case| judged(case, |number| number != protocol::TCP),
    ),
    both(
        "a16-deny-udp",
        "everything but UDP passes",
        |way| {
            let rule = "protocol: UDP, action: Drop";
            Cast::one(Policy::judging(way, &[rule, "action: Pass"], "Drop"))
        },
        |case| judged(case, |number| number != protocol::UDP),
    ),
    both(
        "a17-permit-one-tcp-port",
        "its neighbours do not pass, nor the same port of UDP",
        |way| Cast::one(Policy::judging(way, &[TCP_80_PASSES], "Drop")),
        |case| {
            let seat = case.seat(0)?;
            one_port(case, seat.tcp(4000, 80), true)?;
            case.drops(&seat.udp(4000, 80).out())
        },
    ),
    both(
        "a18-permit-one-udp-port",
        "its neighbours do not pass, nor the same port of TCP",
        |way| {
            let rule = "protocol: UDP, destinationPorts: [\"53\"], action: Pass";
            Cast::one(Policy::judging(way, &[rule], "Drop"))
        },
        |case| {
            let seat = case.seat(0)?;
            one_port(case, seat.udp(4000, 53), true)?;
            case.drops(&seat.tcp(4000, 53).out())
        },
    ),
    both(
        "a19-deny-one-tcp-port",
        "its neighbours pass, and the same port of UDP",
        |way| {
            let rule = "protocol: TCP, destinationPorts: [\"25\"], action: Drop";
            Cast::one(Policy::judging(way, &[rule], "Pass"))
        },
        |case| {
            let seat = case.seat(0)?;
            one_port(case, seat.tcp(4000, 25), false)?;
            case.passes(&seat.udp(4000, 25).out())
        },
    ),
    both(
        "a20-deny-one-udp-port",
        "its neighbours pass, and the same port of TCP",
        |way| {
            let rule = "protocol: UDP, destinationPorts: [\"53\"], action: Drop";
            Cast::one(Policy::judging(way, &[rule], "Pass"))
        },
        |case| {
            let seat = case.seat(0)?;
            one_port(case, seat.udp(4000, 53), false)?;
            case.passes(&seat.tcp(4000, 53).out())
        },
    ),
    both(
        "a21-permit-a-range",
        "a range behind one that does not match, to its ends",
        |way| {
            let rules = [
                "protocol: TCP, destinationPorts: [\"100-200\"], action: Drop",
                "protocol: TCP, destinationPorts: [\"7999\", \"8000-8100\"], action: Pass",
            ];
            Cast::one(Policy::judging(way, &rules, "Drop"))
        },
        |case| {
            let seat = case.seat(0)?;
            for port in [7999, 8000, 8050, 8100] {
                case.passes(&seat.tcp(4000, port).out())?;
            }
            for port in [99, 100, 200, 7998, 8101] {
                case.drops(&seat.tcp(4000, port).out())?;
            }
            Ok(())
        },
    ),
    both(
        "a23-first-match-across-a-chain",
        "of two policies in a row the first that matches decides, both orders",
        |way| Cast {
            policies: vec![
                Policy::judging(way, &["protocol: UDP, action: Drop"], "Drop"),
                Policy::judging(way, &["protocol: UDP, action: Pass"], "Pass"),
            ],
            subscribers: vec![vec![0, 1], vec![1, 0]],
        },
        |case| {
            case.drops(&case.seat(0)?.udp(4000, 53).out())?;
            case.passes(&case.seat(1)?.udp(4000, 53).out())?;
            // What none matches gets the default of the last.
            case.passes(&case.seat(0)?.tcp(4000, 53).out())?;
            case.drops(&case.seat(1)?.tcp(4000, 53).out())
        },
    ),
    both(
        "a25-udp-without-payload",
        "a UDP packet of nothing but headers passes by its ports",
        |way| {
            let rule = "protocol: UDP, destinationPorts: [\"53\"], action: Pass";
            Cast::one(Policy::judging(way, &[rule], "Drop"))
        },
        |case| {
            let seat = case.seat(0)?;
            case.passes(&seat.udp(4000, 53).out().payload(8, 0))?;
            case.drops(&seat.udp(4000, 54).out().payload(8, 0))
        },
    ),
    both(
        "a27-tcp-flags",
        "rules by flags look at those of the mask and no others",
        |way| {
            let rule = "protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Drop";
            Cast::one(Policy::judging(way, &[rule], "Pass"))
        },
        |case| {
            let flow = case.seat(0)?.tcp(4000, 80);
            for flags in [flag::SYN, flag::SYN | flag::ECE | flag::CWR] {
                case.drops(&flow.out().flags(flags))?;
            }
            for flags in [flag::SYN | flag::ACK, flag::ACK, flag::RST, 0] {
                case.passes(&flow.out().flags(flags))?;
            }
            // UDP has no flags, though an octet lies where they would be.
            case.passes(
                &case
                    .seat(0)?
                    .udp(4000, 80)
                    .out()
                    .payload(8, 40)
                    .flags(flag::SYN),
            )
        },
    ),
    both(
        "a27-dscp-length-octets",
        "rules by DSCP, by length and by octets anywhere in the packet",
        |way| {
            let rules = [
                "dscp: [46], action: Drop",
                "length: [\"100-200\"], action: Drop",
                // The protocol, and the first octet of a UDP payload.
                "octets: [ { at: 9, mask: \"ff\", value: \"11\" }, { at: 28, mask: \"f0\", value: \"40\" } ], action: Drop",
            ];
            Cast::one(Policy::judging(way, &rules, "Pass"))
        },
        |case| {
            // Payloads begin with 01, unless they are made to a length: then with 42.
            let packet = || case.seat(0).map(|seat| seat.udp(4000, 53).out());
            // The two lowest bits are not of the DSCP (RFC 3168).
            for tos in [46 << 2, 46 << 2 | 3] {
                case.drops(&packet()?.tos(tos))?;
            }
            case.passes(&packet()?.tos(45 << 2))?;
            for (octets, passes) in [(99, true), (100, false), (200, false), (201, true)] {
                let packet = case.seat(0)?.tcp(4000, 80).out().payload(20, octets - 40);
                case.comes_out(&packet, &packet, passes)?;
            }
            case.passes(&packet()?)?;
            case.drops(&packet()?.payload(8, 4))?;
            // It ends before the octet.
            case.passes(&packet()?.payload(8, 0))
        },
    ),
    both(
        "a29-counters-per-rule",
        "what each rule has matched is counted, packet by packet",
        |way| {
            let rules = [
                TCP_80_PASSES,
                "protocol: TCP, action: Drop",
                "name: rest, protocol: UDP, action: Track",
            ];
            Cast::one(Policy::judging(way, &rules, "Pass"))
        },
        counted,
    ),
];

const TCP_80_PASSES: &str = "protocol: TCP, destinationPorts: [\"80\"], action: Pass";

const EIGHTEEN: [&str; 18] = [
    "name: a, protocol: TCP, action: Pass",
    "name: b, protocol: UDP, action: Track",
    "name: c, protocol: ICMP, action: Drop",
    "name: d, family: IPv4, protocol: TCP, action: Pass",
    "name: e, family: IPv6, protocol: TCP, action: Pass",
    "name: f, source: 100.64.0.0/10, action: Pass",
    "name: g, destination: 203.0.113.7/32, action: Drop",
    "name: h, destination: \"2001:db8::/32\", action: Drop",
    "name: i, protocol: TCP, destinationPorts: [\"25\"], action: Drop",
    "name: j, protocol: TCP, destinationPorts: [\"80\", \"8000-8100\"], action: Pass",
    "name: k, protocol: UDP, sourcePorts: [\"0-65535\"], action: Pass",
    "name: l, protocol: ICMP, icmpTypes: [\"8\"], action: Track",
    "name: m, protocol: ICMP, icmpTypes: [\"3\"], icmpCodes: [\"0-15\"], action: Pass",
    "name: \"n\", protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Drop",
    "name: o, dscp: [46], action: Pass",
    "name: p, length: [\"0-576\"], action: Pass",
    "name: q, octets: [ { at: 8, mask: \"ff\", value: \"01\" } ], action: Drop",
    "name: r, action: Track",
];

/// A flow of each kind between subscriber `place` and the host.
fn every_protocol(case: &Case<'_>, place: usize) -> Result<[Flow; 5]> {
    let seat = case.seat(place)?;
    Ok([
        seat.tcp(4000, 80),
        seat.udp(4000, 53),
        seat.ping(7),
        seat.plain(protocol::ESP),
        seat.plain(protocol::GRE),
    ])
}

/// Of each kind of packet, those pass for whose protocol `passes` holds, and no flow is opened.
fn judged(case: &Case<'_>, passes: impl Fn(u8) -> bool) -> Result<()> {
    for flow in every_protocol(case, 0)? {
        let out = flow.out();
        if passes(flow.protocol) {
            case.passes(&out)?;
        } else {
            case.drops(&out)?;
        }
        case.passes(&flow.back())?;
    }
    case.has_flows(0, 0)
}

/// The flow's own port of the other side passes, or does not; its neighbours do the opposite.
fn one_port(case: &Case<'_>, flow: Flow, passes: bool) -> Result<()> {
    let super::packet::Ends::Ports(from, port) = flow.ends else {
        return Ok(());
    };
    for other in [port - 1, port, port + 1] {
        let packet = flow.between(from, other).out();
        if (other == port) == passes {
            case.passes(&packet)?;
        } else {
            case.drops(&packet)?;
        }
    }
    // The port is the receiver's, not the sender's.
    let turned = flow.between(port, 9999).out();
    if passes {
        case.drops(&turned)
    } else {
        case.passes(&turned)
    }
}

fn read_back(case: &Case<'_>) -> Result<()> {
    let rules = rules(case, 0)?;
    let names: Vec<_> = rules.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names.concat() == "abcdefghijklmnopqr", "{names:?}");
    Ok(())
}

/// The rules of policy `place` in the direction of the case, with how often each has decided.
pub(super) fn rules(case: &Case<'_>, place: usize) -> Result<Vec<(String, u64)>> {
    let name = case.policies.get(place).map_or("", String::as_str);
    let policy = case.stage.lnsd.json(&["policies", name])?;
    let rules = policy.pointer(&format!("/{}/rules", case.way.direction()));
    let rules = rules.and_then(Value::as_array).map(Vec::as_slice);
    let counted = |rule: &Value| {
        let name = rule["name"].as_str()?.to_owned();
        Some((name, rule["hits"].as_u64()?))
    };
    let counted = rules.unwrap_or_default().iter().map(counted).collect();
    let counted: Option<Vec<_>> = counted;
    counted
        .filter(|rules| !rules.is_empty())
        .with_context(|| format!("no rules of {name}: {policy}"))
}

fn counted(case: &Case<'_>) -> Result<()> {
    let seat = case.seat(0)?;
    for _ in 0..7 {
        case.passes(&seat.tcp(4000, 80).out())?;
    }
    for port in 100..105 {
        case.drops(&seat.tcp(4000, port).out())?;
    }
    // Three flows of four packets: only the first of each is judged.
    for port in 200..203 {
        for _ in 0..4 {
            case.passes(&seat.udp(4000, port).out())?;
        }
    }
    case.passes(&seat.ping(1).out())?;
    let counted = rules(case, 0)?;
    let wanted = [("r0", 7), ("r1", 5), ("rest", 3)];
    let wanted = wanted.map(|(name, count)| (name.to_owned(), count));
    ensure!(counted == wanted, "{counted:?}, not {wanted:?}");
    Ok(())
}
