//! Flows and their mirrors: A31 to A42, A67 to A75, A81 of the acceptance list.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::case::{Case, HANDSHAKE};
use super::cast::{Cast, Policy};
use super::packet::{Ends, Flow, Way, flag, protocol};
use super::stateless::rules;
use super::{Row, both, once};

pub(super) const ROWS: &[Row] = &[
    both(
        "a31-return-passes-unrelated-does-not",
        "what answers a flow passes, what is like it does not",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            let flow = seat.udp(4000, 53);
            case.passes(&flow.out())?;
            case.passes(&flow.back())?;
            case.drops(&seat.udp(4000, 54).back())?;
            case.drops(&seat.udp(4001, 53).back())?;
            case.drops(&seat.tcp(4000, 53).back())?;
            case.passes(&flow.back())
        },
    ),
    both(
        "a32-another-port",
        "the tuple of one subscriber's flow opens nothing at another's port",
        |way| Cast::shared(pinhole(way), 2),
        |case| {
            let flow = case.seat(0)?.udp(4000, 53);
            case.passes(&flow.out())?;
            let other = case.seat(1)?.udp(4000, 53);
            case.drops(&other.back())?;
            case.has_flows(1, 0)?;
            // The same tuple to the letter, where the source is what the other port does not own.
            if case.way == Way::Down {
                case.drops_from(case.address(1)?, &flow.back())?;
            }
            case.passes(&flow.back())
        },
    ),
    both(
        "a33-swapped-source-port",
        "an answer from another port of the other end is none",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            let flow = seat.udp(4000, 53);
            case.passes(&flow.out())?;
            case.drops(&flow.between(53, 4000).back())?;
            let Ends::Ports(from, _) = flow.ends else {
                return Ok(());
            };
            case.drops(&flow.between(from, 5353).back())?;
            case.passes(&flow.back())
        },
    ),
    both(
        "a34-return-before-outbound",
        "what would answer is dropped before there is something to answer",
        tracked,
        |case| {
            for flow in [case.seat(0)?.udp(4000, 53), case.seat(0)?.tcp(4000, 80)] {
                case.drops(&flow.back())?;
                case.has_flows(0, 0)?;
            }
            let flow = case.seat(0)?.udp(4000, 53);
            case.passes(&flow.out())?;
            case.passes(&flow.back())
        },
    ),
    both(
        "a35-first-packet-once",
        "the packet that opens a flow goes on, once, and is counted once",
        |way| Cast::one(Policy::pinhole(way, &["action: Track"], "Drop")),
        |case| {
            let flow = case.seat(0)?.udp(4000, 53);
            case.passes(&flow.out())?;
            case.stage.flush(case.way)?;
            case.has_flows(0, 1)?;
            ensure!(
                rules(case, 0)? == [("r0".to_owned(), 1)],
                "{:?}",
                rules(case, 0)?
            );
            Ok(())
        },
    ),
    both(
        "a37-pass-opens-nothing",
        "a stateless permit leaves no flow, and lets nothing back",
        |way| Cast::one(Policy::pinhole(way, &["action: Pass"], "Drop")),
        |case| {
            let seat = case.seat(0)?;
            for flow in [seat.udp(4000, 53), seat.tcp(4000, 80), seat.ping(3)] {
                case.passes(&flow.out())?;
                case.drops(&flow.back())?;
            }
            case.has_flows(0, 0)
        },
    ),
    both(
        "a42-reply-opens-no-second-flow",
        "where both directions track, the reply belongs to the flow that is there",
        |way| {
            let policy = Policy::judging(way, &["action: Track"], "Drop");
            Cast::one(policy.with(way.back(), &["action: Track"], "Drop"))
        },
        |case| {
            let seat = case.seat(0)?;
            for (count, flow) in [
                (1, seat.udp(4000, 53)),
                (2, seat.tcp(4000, 80)),
                (3, seat.ping(5)),
            ] {
                case.passes(&flow.out())?;
                case.passes(&flow.back())?;
                case.passes(&flow.out())?;
                case.has_flows(0, count)?;
            }
            Ok(())
        },
    ),
    both(
        "a67-echo",
        "the reply to an echo comes back, one that nobody asked for does not",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            let ping = seat.ping(100);
            case.drops(&ping.back())?;
            case.passes(&ping.out())?;
            case.passes(&ping.back())?;
            // Another identifier, and a question in place of the answer.
            case.drops(&seat.ping(101).back())?;
            case.drops(&ping.back().icmp(8, 0))?;
            case.passes(&ping.back())
        },
    ),
    both(
        "a68-other-questions",
        "timestamp, information and mask have answers like echo",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            for (question, answer) in [(13, 14), (15, 16), (17, 18)] {
                let flow = seat.query(question, answer, 200);
                case.drops(&flow.back())?;
                case.passes(&flow.out())?;
                case.drops(&flow.back().icmp(0, 0))?;
                case.passes(&flow.back())?;
            }
            case.has_flows(0, 3)
        },
    ),
    both(
        "a70-errors-of-a-live-flow",
        "an ICMP error passes when the flow that it quotes lives, from whoever saw it",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            let flow = seat.udp(4000, 53);
            let packet = flow.out();
            case.drops(&packet.error(flow.other, 3, 3))?;
            case.passes(&packet)?;
            case.passes(&packet.error(flow.other, 3, 3))?;
            if case.way == Way::Up {
                // A router on the way.
                let router = Ipv4Addr::new(198, 19, 254, 1);
                case.passes(&packet.error(router, 11, 0))?;
            }
            case.drops(&seat.udp(4001, 53).out().error(flow.other, 3, 3))?;
            case.has_flows(0, 1)
        },
    ),
    both(
        "a71-protocols-without-ports",
        "ESP, AH and GRE are flows of a pair of addresses",
        tracked,
        |case| {
            let seat = case.seat(0)?;
            for (count, number) in [(1, protocol::ESP), (2, protocol::AH), (3, protocol::GRE)] {
                let flow = seat.plain(number);
                case.drops(&flow.back())?;
                case.passes(&flow.out())?;
                case.passes(&flow.back())?;
                case.has_flows(0, count)?;
            }
            Ok(())
        },
    ),
    both(
        "a73-ip-options",
        "ports are found behind IP options",
        |way| {
            let rule = "protocol: UDP, destinationPorts: [\"53\"], action: Track";
            Cast::one(Policy::pinhole(way, &[rule], "Drop"))
        },
        |case| {
            let seat = case.seat(0)?;
            let flow = seat.udp(4000, 53);
            case.drops(&seat.udp(4000, 54).out().options(&[1; 8]))?;
            case.passes(&flow.out().options(&[1; 8]))?;
            case.passes(&flow.back())?;
            case.passes(&flow.back().options(&[1; 36]))?;
            case.passes(&flow.out())?;
            case.has_flows(0, 1)
        },
    ),
    once(
        "a75-deny-at-each-of-the-four",
        "between two subscribers a deny at either's input or output blocks there, and only there",
        |_| Cast {
            policies: vec![
                Policy::judging(Way::Up, &[UDP_7_DROPS], "Pass"),
                Policy::judging(Way::Down, &[UDP_7_DROPS], "Pass"),
            ],
            subscribers: vec![vec![0], vec![1], vec![]],
        },
        denied,
    ),
    both(
        "a81-source-before-sessions",
        "another source than the session's is dropped before any flow or rule sees it",
        |way| Cast::shared(Policy::judging(way, &["action: Track"], "Drop"), 2),
        spoofed,
    ),
];

const UDP_7_DROPS: &str = "protocol: UDP, destinationPorts: [\"7\"], action: Drop";

/// Everything of the case's way opens a flow, nothing else passes.
fn pinhole(way: Way) -> Policy {
    Policy::pinhole(way, &[], "Track")
}

/// One subscriber with that.
pub(super) fn tracked(way: Way) -> Cast {
    Cast::one(pinhole(way))
}

/// Packets between subscribers, each with a policy that denies port 7 at one place.
fn denied(case: &Case<'_>) -> Result<()> {
    let [no_input, no_output, free] = [case.address(0)?, case.address(1)?, case.address(2)?];
    let packet = |from: Ipv4Addr, to: Ipv4Addr, port: u16| {
        let flow = Flow {
            way: Way::Up,
            opener: from,
            other: to,
            protocol: protocol::UDP,
            ends: Ends::Ports(4000, port),
        };
        flow.out()
    };
    for (from, to, passes) in [
        (no_input, free, false),
        (no_input, no_output, false),
        (free, no_output, false),
        (free, no_input, true),
        (no_output, free, true),
        (no_output, no_input, true),
        (no_input, case.host, false),
        (no_output, case.host, true),
        (case.host, no_output, false),
        (case.host, no_input, true),
    ] {
        for port in [7, 8] {
            let way = if from == case.host {
                Way::Down
            } else {
                Way::Up
            };
            let sent = packet(from, to, port).on(way);
            // It comes out where the receiver is.
            let out = if to == case.host { Way::Up } else { Way::Down };
            let comes_out = sent.clone().on(out);
            case.comes_out(&sent, &comes_out, passes || port == 8)?;
        }
    }
    Ok(())
}

fn spoofed(case: &Case<'_>) -> Result<()> {
    let (own, other) = (case.address(0)?, case.address(1)?);
    let seat = case.seat(0)?;
    let up = if case.way == Way::Up {
        seat
    } else {
        seat.turned()
    };
    for source in [
        other,
        case.host,
        crate::net::VIP,
        Ipv4Addr::new(100, 64, 0, 1),
    ] {
        case.drops_from(own, &up.udp(4000, 53).out().from(source))?;
    }
    case.has_flows(0, 0)?;
    case.has_flows(1, 0)?;
    // The other subscriber's flow is not touched by who pretends to be him, not even by a RST.
    let flow = case.seat(1)?.tcp(4000, 80);
    case.segments(&flow, HANDSHAKE)?;
    let upward = if case.way == Way::Up {
        flow.out()
    } else {
        flow.back()
    };
    case.drops_from(own, &upward.flags(flag::RST))?;
    let flows = case.flows(1)?;
    ensure!(
        flows.len() == 1 && flows.iter().all(|flow| flow["class"] == "established"),
        "{flows:?}"
    );
    Ok(())
}
