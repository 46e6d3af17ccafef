//! What the node tells, as log lines: who held which address when, and what went wrong.
//!
//! The beginning and the end of each session have their line, always. What a stranger can cause
//! without end (refused LACs, failing logins, tunnels that come and go) is limited by kind; the next
//! line of that kind says how many were left out. User names are octets of the subscriber's and are
//! escaped.

use core::time::Duration;

use lns_node::{Event, SessionEnd};
use lns_tables::path::Counters;
use lns_tables::time::Instant;
use tracing::field::display;
use tracing::{info, warn};

/// Lines of one limited kind per second.
const LINES_PER_SECOND: u32 = 10;

/// Writes events.
#[derive(Debug, Default)]
pub(super) struct Journal {
    refused: Throttle,
    tunnels: Throttle,
    calls: Throttle,
    failures: Throttle,
}

impl Journal {
    /// Writes one event. `counters` are what the workers counted for a session that ended.
    pub(super) fn write(&mut self, event: &Event, counters: Option<Counters>, now: Instant) {
        match event {
            Event::TunnelUp {
                tunnel,
                lac,
                remote,
                host_name,
            } => {
                if let Some(suppressed) = self.tunnels.admit(now) {
                    info!(%tunnel, lac = %lac, %remote, host_name = %host_name.escape_debug(), suppressed = left_out(suppressed), "tunnel up");
                }
            }
            Event::TunnelDown {
                tunnel,
                lac,
                remote,
                reason,
                message,
            } => {
                if let Some(suppressed) = self.tunnels.admit(now) {
                    // `message` is the name of the line itself.
                    let peer_message = message
                        .as_deref()
                        .filter(|text| !text.is_empty())
                        .map(|text| display(text.escape_debug()));
                    info!(%tunnel, lac = %lac, %remote, reason, peer_message, suppressed = left_out(suppressed), "tunnel down");
                }
            }
            Event::LacRefused {
                remote,
                host_name,
                reason,
            } => {
                if let Some(suppressed) = self.refused.admit(now) {
                    warn!(%remote, host_name = %host_name.escape_debug(), reason, suppressed = left_out(suppressed), "LAC refused");
                }
            }
            Event::CallRefused {
                tunnel,
                lac,
                calling_number,
                reason,
            } => {
                if let Some(suppressed) = self.calls.admit(now) {
                    let calling_number = calling_number.as_deref().unwrap_or_default();
                    warn!(%tunnel, lac = %lac, calling_number = %calling_number.escape_debug(), reason, suppressed = left_out(suppressed), "call refused");
                }
            }
            Event::SessionUp {
                tunnel,
                session,
                lac,
                user,
                address,
                unknown_filter_id,
                setup,
                ..
            } => {
                let id = format_args!("{tunnel}.{session}");
                let address = address.map(display);
                let unknown_filter_id = unknown_filter_id
                    .as_deref()
                    .map(|it| display(it.escape_debug()));
                info!(%id, lac = %lac, user = %user.escape_ascii(), address, unknown_filter_id, setup_ms = millis(*setup), "session up");
            }
            Event::SessionDown(end) => self.session_down(end, counters.unwrap_or_default(), now),
        }
    }

    fn session_down(&mut self, end: &SessionEnd, counters: Counters, now: Instant) {
        let id = format_args!("{}.{}", end.tunnel, end.session);
        let user = end.user.as_deref().unwrap_or_default().escape_ascii();
        let calling_number = end
            .calling_number
            .as_deref()
            .unwrap_or_default()
            .escape_debug();
        let (lac, reason) = (&*end.lac, end.reason);
        if let Some(up) = end.up {
            let address = end.address.map(display);
            let Counters { up: from, down: to } = counters;
            info!(
                %id, lac, %user, address, %calling_number, reason, seconds = up.as_secs(),
                packets_up = from.ipv4_packets + from.ipv6_packets, octets_up = from.ipv4_octets + from.ipv6_octets,
                packets_down = to.ipv4_packets + to.ipv6_packets, octets_down = to.ipv4_octets + to.ipv6_octets,
                dropped = from.dropped + to.dropped, "session down"
            );
        } else if let Some(suppressed) = self.failures.admit(now) {
            warn!(%id, lac, %user, %calling_number, stage = end.stage.label(), reason, detail = end.detail.as_deref(), suppressed = left_out(suppressed), "call failed");
        }
    }
}

/// Lines left out before this one; no field when there were none.
fn left_out(suppressed: u64) -> Option<u64> {
    (suppressed != 0).then_some(suppressed)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// At most [`LINES_PER_SECOND`] lines, counted per second.
#[derive(Debug, Default)]
struct Throttle {
    second: u64,
    written: u32,
    suppressed: u64,
}

impl Throttle {
    /// Whether to write a line now: how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.second != now.as_secs() {
            (self.second, self.written) = (now.as_secs(), 0);
        }
        if self.written == LINES_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use lns_wire::id::TunnelId;

    use super::*;

    /// What collectors read.
    #[derive(Clone, Debug, Default)]
    struct Collected(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Collected {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The JSON lines that `what` logs.
    pub(crate) fn logged(what: impl FnOnce()) -> Vec<String> {
        let collected = Collected::default();
        let writer = collected.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::with_default(subscriber, what);
        let text = String::from_utf8(collected.0.lock().unwrap().clone()).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// The lines of these events, told in the same second.
    fn lines(events: &[Event]) -> Vec<String> {
        logged(|| {
            let mut journal = Journal::default();
            for event in events {
                journal.write(event, None, Instant::from_millis(5_000));
            }
        })
    }

    fn tunnel_down(message: Option<&str>) -> Event {
        Event::TunnelDown {
            tunnel: TunnelId(7),
            lac: "wholesale-a".into(),
            remote: "192.0.2.1:1701".parse().unwrap(),
            reason: "stopped",
            message: message.map(Into::into),
        }
    }

    #[test]
    fn what_the_lac_said_has_a_key_of_its_own() {
        let lines = lines(&[tunnel_down(Some("going\nhome"))]);
        let line = lines.first().unwrap();
        assert_eq!(line.matches("\"message\":").count(), 1, "{line}");
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["message"], "tunnel down");
        assert_eq!(line["peer_message"], "going\\nhome");
    }

    #[test]
    fn a_field_without_anything_to_say_is_absent() {
        let lines = lines(&[tunnel_down(None), tunnel_down(Some(""))]);
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert!(!line.contains("peer_message"), "{line}");
            assert!(!line.contains("suppressed"), "{line}");
        }
    }

    #[test]
    fn a_flood_is_ten_lines_per_second_and_the_next_says_how_many_were_left_out() {
        let mut throttle = Throttle::default();
        let now = Instant::from_millis(5_000);
        let written = (0..35).filter(|_| throttle.admit(now).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(throttle.admit(Instant::from_millis(6_000)), Some(25));
        assert_eq!(throttle.admit(Instant::from_millis(6_001)), Some(0));
    }
}
