//! Classes and their timeouts: A43 to A58 of the acceptance list.
//!
//! Timeouts are short, and each row waits from what it has seen. A packet that must still pass is judged
//! only if it was sent in time; else the row is played again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::case::{Case, HALF_OPEN, HANDSHAKE, wait};
use super::cast::{Cast, Policy};
use super::packet::{Way, flag};
use super::{Row, both};

pub(super) const ROWS: &[Row] = &[
    both(
        "a43-udp-idle",
        "a UDP flow lives while its returns come, and not long after",
        |way| Cast::one(tracking(way, "udpIdleSeconds: 1")),
        |case| {
            let flow = case.seat(0)?.udp(4000, 53);
            case.passes(&flow.out())?;
            let mut last = Instant::now();
            for _ in 0..20 {
                wait(last, Duration::from_millis(300));
                last = case.passes_within(&flow.back(), last, Duration::from_secs(1))?;
            }
            wait(Instant::now(), Duration::from_secs(3));
            case.drops(&flow.back())
        },
    ),
    both(
        "a45-cleared-while-active",
        "a flow that is cleared is gone at once, however busy it is",
        |way| Cast::one(tracking(way, "udpIdleSeconds: 100")),
        |case| {
            let seat = case.seat(0)?;
            let udp = seat.udp(4000, 53);
            let tcp = seat.tcp(4000, 80);
            case.passes(&udp.out())?;
            case.passes(&udp.back())?;
            case.segments(&tcp, HANDSHAKE)?;
            case.flush_flows(0)?;
            case.drops(&udp.back())?;
            case.drops(&tcp.back().flags(flag::ACK))?;
            case.has_flows(0, 0)?;
            // The opener opens it anew.
            case.passes(&udp.out())?;
            case.passes(&udp.back())
        },
    ),
    both(
        "a46-half-open-tcp-is-transient",
        "SYN and its answer alone have the transient timeout",
        |way| Cast::one(tracking(way, "tcpTransientSeconds: 1, udpIdleSeconds: 200")),
        |case| {
            let flow = case.seat(0)?.tcp(4000, 80);
            case.segments(&flow, HALF_OPEN)?;
            has_class(case, "transient")?;
            wait(Instant::now(), Duration::from_secs(3));
            case.drops(&flow.back().flags(flag::ACK))
        },
    ),
    both(
        "a47-established-tcp-is-idle",
        "three segments make a connection that has the idle timeout",
        |way| Cast::one(tracking(way, "tcpTransientSeconds: 1, tcpIdleSeconds: 10")),
        |case| {
            let flow = case.seat(0)?.tcp(4000, 80);
            case.segments(&flow, HANDSHAKE)?;
            has_class(case, "established")?;
            let last = Instant::now();
            wait(last, Duration::from_secs(3));
            case.passes_within(&flow.back().flags(flag::ACK), last, Duration::from_secs(10))?;
            wait(Instant::now(), Duration::from_secs(13));
            case.drops(&flow.back().flags(flag::ACK))
        },
    ),
    both(
        "a48-fin-of-the-opener",
        "one FIN and the connection is transient again",
        |way| Cast::one(tracking(way, "tcpTransientSeconds: 1, tcpIdleSeconds: 20")),
        |case| ends_after(case, true, flag::FIN | flag::ACK, "transient"),
    ),
    both(
        "a49-rst",
        "a RST shortens the connection's life, and does not end it at once",
        |way| {
            let timeouts = "tcpTransientSeconds: 1, tcpIdleSeconds: 20, tcpClosingSeconds: 1";
            Cast::one(tracking(way, timeouts))
        },
        |case| ends_after(case, true, flag::RST, "closing"),
    ),
    both(
        "a50-fin-of-the-other",
        "the FIN may come from the other side",
        |way| Cast::one(tracking(way, "tcpTransientSeconds: 1, tcpIdleSeconds: 20")),
        |case| ends_after(case, false, flag::FIN | flag::ACK, "transient"),
    ),
    both(
        "a51-both-fins-close",
        "both FINs and their acknowledgements close, a SYN begins anew",
        |way| {
            let timeouts = "tcpTransientSeconds: 20, tcpIdleSeconds: 20, tcpClosingSeconds: 1";
            Cast::one(tracking(way, timeouts))
        },
        |case| {
            let flow = case.seat(0)?.tcp(4000, 80);
            case.segments(&flow, HANDSHAKE)?;
            let goodbye = [
                (true, flag::FIN | flag::ACK),
                (false, flag::FIN | flag::ACK),
                (true, flag::ACK),
            ];
            case.segments(&flow, &goodbye)?;
            has_class(case, "closing")?;
            case.segments(&flow, HANDSHAKE)?;
            has_class(case, "established")?;
            case.segments(&flow, &goodbye)?;
            wait(Instant::now(), Duration::from_secs(3));
            case.drops(&flow.back().flags(flag::ACK))
        },
    ),
    both(
        "a53-other-flags-change-nothing",
        "PSH, URG, ECE and CWR never change the class",
        |way| Cast::one(tracking(way, "tcpTransientSeconds: 20, tcpIdleSeconds: 20")),
        |case| {
            let flow = case.seat(0)?.tcp(4000, 80);
            let others = [flag::PSH, flag::URG, flag::ECE, flag::CWR];
            case.segments(&flow, HALF_OPEN)?;
            for flags in others {
                case.segments(&flow, &[(true, flags), (false, flags)])?;
                has_class(case, "transient")?;
            }
            case.segments(&flow, &[(true, flag::ACK)])?;
            for flags in others {
                case.segments(
                    &flow,
                    &[(true, flags | flag::ACK), (false, flags | flag::ACK)],
                )?;
                has_class(case, "established")?;
            }
            Ok(())
        },
    ),
    both(
        "a54-the-lazy-rule",
        "a packet within the timeout passes; behind timeout and refresh neither key is there, and policy judges",
        // 4 s and a quarter of it: alive for 4 s, over after 5.
        |way| Cast::one(tracking(way, "udpIdleSeconds: 4")),
        |case| {
            let seat = case.seat(0)?;
            let flow = seat.udp(4000, 53);
            case.passes(&flow.out())?;
            let last = Instant::now();
            wait(last, Duration::from_secs(3));
            case.passes_within(&flow.back(), last, Duration::from_secs(4))?;
            wait(Instant::now(), Duration::from_secs(7));
            // The sweep was there before the packet, which alone would have been dropped by the track
            // node; either way what comes back finds nothing, and the opener may open it again.
            case.drops(&flow.back())?;
            case.passes(&flow.out())?;
            case.passes(&flow.back())
        },
    ),
    both(
        "a58-the-sweep",
        "the record of a flow that nobody asks for is freed within 1.5 timeouts and a second",
        |way| Cast::one(tracking(way, "udpIdleSeconds: 4")),
        |case| {
            let flow = case.seat(0)?.udp(4000, 53);
            case.passes(&flow.out())?;
            let last = Instant::now();
            wait(last, Duration::from_secs(3));
            let flows = case.flows(0)?;
            if last.elapsed() < Duration::from_secs(4) {
                ensure!(flows.len() == 1, "{flows:?} after {:?}", last.elapsed());
            }
            wait(last, Duration::from_secs(7));
            case.has_flows(0, 0)
        },
    ),
];

/// Everything of the way opens flows that live so long.
fn tracking(way: Way, timeouts: &'static str) -> Policy {
    Policy::pinhole(way, &[], "Track").timeouts(timeouts)
}

/// The only flow of the case is of this class.
fn has_class(case: &Case<'_>, class: &str) -> Result<()> {
    let flows = case.flows(0)?;
    ensure!(
        flows.len() == 1 && flows.iter().all(|flow| flow["class"] == class),
        "not one flow that is {class}: {flows:?}"
    );
    Ok(())
}

/// An established connection outlives the transient timeout; then `flags` from the opener, or from the
/// other, make it `class`, and soon it is over.
fn ends_after(case: &Case<'_>, is_openers: bool, flags: u8, class: &str) -> Result<()> {
    let flow = case.seat(0)?.tcp(4000, 80);
    case.segments(&flow, HANDSHAKE)?;
    let last = Instant::now();
    wait(last, Duration::from_secs(3));
    let packet = flow.out().flags(flag::ACK);
    case.passes_within(&packet, last, Duration::from_secs(20))?;
    case.segments(&flow, &[(is_openers, flags)])?;
    has_class(case, class)?;
    // What goes on is not cut off by what one segment says.
    case.segments(&flow, &[(!is_openers, flag::ACK)])?;
    wait(Instant::now(), Duration::from_secs(3));
    case.drops(&flow.back().flags(flag::ACK))
}
