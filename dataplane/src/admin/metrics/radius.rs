//! What of RADIUS is measured. Servers are named by the manifest: few.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::super::radius::{Radius, Server};
use super::{Labels, Page, one};
use crate::radius::figures::Rtts;

/// States of a connection, each of which has a line also while no connection is in it.
const CONNECTION_STATES: [&str; 6] = ["opening", "active", "full", "zombie", "draining", "closed"];

/// States of a server, the same.
const SERVER_STATES: [&str; 6] = ["idle", "opening", "trial", "up", "zombie", "down"];

/// What there is at the time of a scrape.
#[derive(Debug)]
pub(in super::super) struct Measured {
    /// What `/v1/radius` shows.
    pub(in super::super) seen: Radius,
    /// How long answers took.
    pub(in super::super) rtts: Rtts,
    /// Messages to the thread, wakeups for them, messages that needed none.
    pub(in super::super) signals: [u64; 3],
}

impl Measured {
    pub(super) fn write(&self, page: &mut Page) {
        self.requests(page);
        self.servers(page);
        self.purposes(page);
        self.queue(page);
        self.certificates(page);
        let [messages, wakeups, suppressed] = self.signals;
        page.counters(
            "radius_messages",
            "Orders to the thread of RADIUS, by whether it had to be woken for them",
            [
                (one("wakeup", "sent"), wakeups),
                (one("wakeup", "suppressed"), suppressed),
                (
                    one("wakeup", "not_needed"),
                    messages.saturating_sub(wakeups + suppressed),
                ),
            ],
        );
    }

    /// One sample per server.
    fn each<V>(&self, value: impl Fn(&Server) -> V) -> Vec<(Labels, V)> {
        self.each_of(|server| [(None, value(server))])
    }

    /// Samples of each server, each with a label of its own; that comes behind the server's name.
    fn each_of<V, S>(&self, samples: impl Fn(&Server) -> S) -> Vec<(Labels, V)>
    where
        S: IntoIterator<Item = (Option<(&'static str, &'static str)>, V)>,
    {
        let mut all = Vec::new();
        for server in &self.seen.servers {
            for (label, value) in samples(server) {
                let mut labels = one("server", &server.name);
                labels.extend(label.map(|(name, value)| (name, value.to_owned())));
                labels.push(("purpose", server.purpose.to_owned()));
                all.push((labels, value));
            }
        }
        all
    }

    fn requests(&self, page: &mut Page) {
        let mut results = self.each_of(|server| {
            let results = server.results.iter();
            let each = results.map(|(result, times)| (Some(("result", *result)), *times));
            each.collect::<Vec<_>>()
        });
        // Those that reached no server.
        for purpose in &self.seen.purposes {
            for (result, times) in &purpose.unsent {
                let mut labels = one("server", "none");
                labels.push(("result", (*result).to_owned()));
                labels.push(("purpose", purpose.purpose.to_owned()));
                results.push((labels, *times));
            }
        }
        page.counters(
            "radius_requests",
            "Requests that ended, by the server that was asked last and result",
            results,
        );
        page.counters(
            "radius_retransmissions",
            "Packets that were sent again, by server",
            self.each(Server::retransmissions),
        );
        page.counters(
            "radius_replies_dropped",
            "Packets from a server, or as if from it, that were not believed or not waited for",
            self.each_of(|server| {
                let dropped = server.dropped.iter();
                let each = dropped.map(|(reason, times)| (Some(("reason", *reason)), *times));
                each.collect::<Vec<_>>()
            }),
        );
        page.0.register(
            "radius_rtt_seconds",
            "From the last packet of a request to its answer",
            self.rtts.clone(),
        );
    }

    fn servers(&self, page: &mut Page) {
        page.gauges(
            "radius_servers",
            "1 for the state that a server is in",
            self.each_of(|server| {
                SERVER_STATES.map(|state| (Some(("state", state)), (server.state == state).into()))
            }),
        );
        page.gauges(
            "radius_connections",
            "Sockets to a server, by state",
            self.each_of(|server| {
                CONNECTION_STATES.map(|state| {
                    let connections = server.connections.iter();
                    let count = connections.filter(|one| one.state == state).count();
                    let count = u64::try_from(count).unwrap_or(u64::MAX);
                    (Some(("state", state)), count)
                })
            }),
        );
    }

    fn purposes(&self, page: &mut Page) {
        let of = |value: fn(&super::super::radius::Purpose) -> u64| {
            let purposes = self.seen.purposes.iter();
            purposes.map(move |purpose| (one("purpose", purpose.purpose), value(purpose)))
        };
        page.gauges(
            "radius_in_flight",
            "Requests that wait for an answer",
            of(|purpose| purpose.in_flight.into()),
        );
        page.gauges(
            "radius_all_down",
            "1: each server is down or a zombie",
            of(|purpose| purpose.all_down().into()),
        );
        let refused = &self.seen.refused;
        page.counters(
            "radius_orders_refused",
            "What found no room on its way to the thread of RADIUS",
            [
                (one("order", "request"), refused.requests),
                (one("order", "repeat"), refused.repeats),
                (one("order", "interim"), refused.interims),
            ],
        );
    }

    /// Without accounting there is no queue, and nothing of it.
    fn queue(&self, page: &mut Page) {
        let Some(queue) = &self.seen.queue else {
            return;
        };
        page.gauge(
            "accounting_queue_records",
            "Records that no server has acknowledged",
            queue.records,
        );
        page.gauge(
            "accounting_queue_octets",
            "Octets that they take on disk",
            queue.octets,
        );
        page.gauge(
            "accounting_queue_oldest_seconds",
            "How long ago the first of them happened",
            queue.oldest_seconds.unwrap_or(0),
        );
        page.gauge(
            "accounting_queue_foreign_records",
            "Those that another version of lnsd has written and that wait for it",
            queue.foreign,
        );
        page.gauge(
            "accounting_disk_fails",
            "1: records cannot be written to disk and wait in memory",
            queue.disk_fails.into(),
        );
        page.counters(
            "accounting_dropped",
            "Records that were given up, by reason",
            [
                (one("reason", "no_room"), queue.dropped_interims),
                (one("reason", "undeliverable"), queue.undeliverable),
            ],
        );
    }

    fn certificates(&self, page: &mut Page) {
        let family = Family::<Labels, Gauge>::default();
        for certificate in &self.seen.certificates {
            let mut labels = one("name", &certificate.server);
            labels.push(("purpose", certificate.purpose.to_owned()));
            family.get_or_create(&labels).set(certificate.seconds_left);
        }
        page.0.register(
            "certificate_expiry_seconds",
            "How long a certificate of ours is still valid; negative: since when it is not",
            family,
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn some() -> Measured {
        let (seen, rtts) = super::super::super::radius::tests::some();
        Measured {
            seen,
            rtts,
            signals: [10, 3, 2],
        }
    }
}
