//! `/metrics`: what node and workers have counted, as OpenMetrics text.
//!
//! Nothing is kept between two scrapes: a snapshot is taken from the control task and written out.
//! Labels come from fixed lists and from names in the manifest, never from a peer.

mod dynamic;
mod flows;
mod members;
mod radius;

use core::fmt;
use core::sync::atomic::AtomicU64;
use std::collections::BTreeMap;

use lns_node::{Stats, limits, view};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(super) use self::flows::Flows;
pub(super) use self::radius::Measured;
use crate::cli::VERSION;
use crate::member::View;
use crate::radius::dynamic::Row;
use crate::run::control::Control;
use crate::run::keeper;
use crate::run::situation::ManifestState;

type Labels = Vec<(&'static str, String)>;

/// What the control task knows at the time of a scrape.
#[derive(Debug)]
pub(super) struct Snapshot {
    status: view::Status,
    lacs: Vec<view::Lac>,
    pools: Vec<view::Pool>,
    stats: Stats,
    refused: BTreeMap<&'static str, u64>,
    table_updates_refused: u64,
    setups: Histogram,
    radius_signals: [u64; 3],
    records: keeper::Figures,
}

impl Snapshot {
    /// Taken in the control task.
    pub(super) fn take(control: &Control) -> Self {
        Self {
            status: control.node.status(),
            lacs: control.node.lacs(),
            pools: control.node.pools(),
            stats: control.node.stats().clone(),
            refused: control.refused.clone(),
            table_updates_refused: control.path.refused(),
            setups: control.setups.clone(),
            radius_signals: control.radius.signals(),
            records: control.keeper.figures(),
        }
    }

    /// Messages to the thread of RADIUS, wakeups for them, messages that needed none.
    pub(super) const fn radius_signals(&self) -> [u64; 3] {
        self.radius_signals
    }
}

/// The process around the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process<'a> {
    /// Seconds since the start.
    pub(super) uptime_seconds: u64,
    /// The manifest in force.
    pub(super) manifest: &'a ManifestState,
    /// The cluster, if it is a member of one.
    pub(super) member: Option<&'a View>,
}

/// Writes one scrape.
pub(super) fn encode(
    snapshot: &Snapshot,
    workers: &lns_datapath::Stats,
    flows: &Flows,
    radius: &Measured,
    dynamic: &BTreeMap<Row, u64>,
    process: &Process<'_>,
) -> Result<String, fmt::Error> {
    let mut page = Page(Registry::with_prefix("lns"));
    sessions(&mut page, snapshot);
    capacity(&mut page, snapshot, flows);
    traffic(&mut page, snapshot, workers);
    outcomes(&mut page, snapshot);
    flows.write(&mut page);
    radius.write(&mut page);
    dynamic::write(&mut page, dynamic);
    reloads(&mut page, process.manifest);
    records(&mut page, &snapshot.records);
    members::write(&mut page, process.member);
    page.gauges(
        "build_info",
        "The program, by version",
        [(vec![("version", VERSION.to_owned())], 1)],
    );
    page.gauge(
        "uptime_seconds",
        "Seconds since the start",
        process.uptime_seconds,
    );
    let mut text = String::new();
    text::encode(&mut text, &page.0)?;
    Ok(text)
}

fn records(page: &mut Page, records: &keeper::Figures) {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    page.gauge(
        "records_unstored",
        "Changes of tunnels and sessions that are not stored yet",
        number(records.unstored),
    );
    page.gauge(
        "records_waiting",
        "Datagrams and records of accounting that leave when what they tell of is stored",
        number(records.waiting),
    );
    page.gauge(
        "records_degraded",
        "1: what the node does is not stored, and not resumed if the process ends",
        records.degraded.into(),
    );
    page.gauge(
        "records_form",
        "The form in which session records are written",
        records.form.into(),
    );
    page.gauge(
        "records_foreign",
        "Stored records of another version, which are kept for it",
        records.foreign,
    );
    page.counter(
        "records_unreadable",
        "Stored records that were damaged, or did not fit, and were not applied",
        records.unreadable,
    );
    page.counter(
        "records_unreplicated",
        "Times that replicas of the store did not have in time what they were waited for with",
        records.unreplicated,
    );
}

fn sessions(page: &mut Page, snapshot: &Snapshot) {
    let status = &snapshot.status;
    page.gauges(
        "sessions",
        "Sessions by state",
        [
            (one("state", "up"), status.sessions.into()),
            (one("state", "opening"), status.sessions_opening.into()),
        ],
    );
    let lacs = snapshot.lacs.iter();
    page.gauges(
        "tunnels",
        "Tunnels by LAC, half-open ones included",
        lacs.map(|lac| (one("lac", &lac.name), lac.tunnels.into())),
    );
    page.0.register(
        "session_setup_seconds",
        "From the Incoming-Call-Request to the open network protocol",
        snapshot.setups.clone(),
    );
    let pools = snapshot.pools.iter().flat_map(|pool| {
        [
            ("free", pool.free),
            ("used", pool.used),
            ("resting", pool.resting),
            ("excluded", pool.excluded),
        ]
        .map(|(state, addresses)| {
            (
                vec![("pool", pool.name.clone()), ("state", state.to_owned())],
                addresses,
            )
        })
    });
    page.gauges("pool_addresses", "Addresses of a pool by state", pools);
}

fn capacity(page: &mut Page, snapshot: &Snapshot, flows: &Flows) {
    let status = &snapshot.status;
    let used: u64 = snapshot.pools.iter().map(|pool| pool.used).sum();
    let free: u64 = snapshot.pools.iter().map(|pool| pool.free).sum();
    let sessions = u64::from(status.sessions) + u64::from(status.sessions_opening);
    let tunnels = u64::from(status.tunnels) + u64::from(status.tunnels_opening);
    let samples = [
        (
            one("resource", "sessions"),
            ratio(sessions, status.max_sessions.into()),
        ),
        (
            one("resource", "tunnels"),
            ratio(tunnels, limits::MAX_TUNNELS.into()),
        ),
        (
            one("resource", "addresses"),
            ratio(used, used.saturating_add(free)),
        ),
        (one("resource", "flows"), flows.capacity_ratio()),
    ];
    let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for (labels, value) in samples {
        family.get_or_create(&labels).set(value);
    }
    page.0.register(
        "capacity_ratio",
        "How much of a bounded resource is in use, 0 to 1",
        family,
    );
}

fn traffic(page: &mut Page, snapshot: &Snapshot, workers: &lns_datapath::Stats) {
    page.counters(
        "packets",
        "IP packets forwarded, by direction",
        [
            (one("direction", "up"), workers.up_packets),
            (one("direction", "down"), workers.down_packets),
        ],
    );
    page.counters(
        "octets",
        "Octets of the IP packets forwarded, by direction",
        [
            (one("direction", "up"), workers.up_octets),
            (one("direction", "down"), workers.down_octets),
        ],
    );
    page.counter(
        "fragments_sent",
        "Fragments made of packets that were too large",
        workers.fragments_sent,
    );
    page.counter(
        "icmp_sent",
        "ICMP errors sent by the workers",
        workers.icmp_sent,
    );
    among_members(page, snapshot, workers);
    let mut drops: BTreeMap<&str, u64> = workers.reasons().collect();
    for (reason, packets) in &snapshot.stats.drops {
        *drops.entry(reason).or_default() += packets;
    }
    page.counters(
        "drops",
        "Packets dropped, by reason",
        drops
            .into_iter()
            .map(|(reason, packets)| (one("reason", reason), packets)),
    );
}

/// What passes between the nodes of a cluster.
fn among_members(page: &mut Page, snapshot: &Snapshot, workers: &lns_datapath::Stats) {
    page.counters(
        "handed_over",
        "Packets handed to the node that is their session's home, by direction",
        [
            (one("direction", "up"), workers.handed_up),
            (one("direction", "down"), workers.handed_down),
        ],
    );
    page.counters(
        "taken_over",
        "Packets that other nodes have handed over, by direction",
        [
            (one("direction", "up"), workers.taken_up),
            (one("direction", "down"), workers.taken_down),
        ],
    );
    let stats = &snapshot.stats;
    page.counters(
        "forwarded_to_master",
        "L2TP control messages and PPP frames for the master, by what they were",
        ["control", "ppp"].map(|what| {
            let count = stats.forwarded.get(what).copied().unwrap_or_default();
            (one("what", what), count)
        }),
    );
    page.counter(
        "echoes_answered_for_master",
        "LCP Echo-Requests that this node has answered while another was master",
        stats.echoes_answered,
    );
}

fn outcomes(page: &mut Page, snapshot: &Snapshot) {
    let stats = &snapshot.stats;
    let messages = stats
        .control_messages
        .iter()
        .map(|((kind, result), count)| {
            (
                vec![
                    ("type", (*kind).to_owned()),
                    ("result", (*result).to_owned()),
                ],
                *count,
            )
        });
    page.counters(
        "control_messages",
        "L2TP control messages handled, by type and result",
        messages,
    );
    let failures = stats.failures.iter().map(|((stage, reason), count)| {
        (
            vec![
                ("stage", stage.label().to_owned()),
                ("reason", (*reason).to_owned()),
            ],
            *count,
        )
    });
    page.counters(
        "session_failures",
        "Calls that ended before they were up, by stage and reason",
        failures,
    );
    page.counters(
        "session_ends",
        "Sessions that ended after they were up, by reason",
        by_reason(&stats.endings),
    );
    page.counters(
        "tunnel_ends",
        "Tunnels that ended, by reason",
        by_reason(&stats.tunnel_endings),
    );
    page.counters(
        "refused_lacs",
        "LACs turned away, by reason",
        by_reason(&snapshot.refused),
    );
    page.counter(
        "overdue",
        "What the back-stop sweep found overdue; anything but 0 is a bug",
        stats.overdue,
    );
    page.counter(
        "table_updates_refused",
        "Updates that the workers' tables could not keep; anything but 0 is a bug",
        snapshot.table_updates_refused,
    );
}

fn reloads(page: &mut Page, manifest: &ManifestState) {
    page.gauge(
        "manifest_refused",
        "1: the manifest on disk is refused and an older one is in force",
        manifest.error.is_some().into(),
    );
    page.counters(
        "reloads",
        "Changed manifests, by whether they were taken over",
        [
            (one("result", "applied"), manifest.reloads),
            (one("result", "refused"), manifest.refusals),
        ],
    );
}

fn by_reason(counts: &BTreeMap<&'static str, u64>) -> impl Iterator<Item = (Labels, u64)> {
    counts
        .iter()
        .map(|(reason, count)| (one("reason", reason), *count))
}

fn one(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

#[allow(clippy::cast_precision_loss, reason = "a ratio for a graph")]
fn ratio(used: u64, all: u64) -> f64 {
    if all == 0 {
        0.0
    } else {
        used as f64 / all as f64
    }
}

/// One answer being written.
#[derive(Debug)]
struct Page(Registry);

impl Page {
    fn gauges(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in samples {
            family
                .get_or_create(&labels)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.0.register(name, help, family);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    /// The encoder writes the names with `_total`.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }
}

#[cfg(test)]
mod tests {
    use lns_node::Stage;

    use super::*;
    use crate::run::situation::Situation;

    fn snapshot() -> Snapshot {
        let setups = Histogram::new([0.1, 1.0]);
        setups.observe(0.05);
        let mut stats = Stats::default();
        stats.failures.insert((Stage::Lcp, "timeout"), 3);
        stats.control_messages.insert(("SCCRQ", "ok"), 7);
        stats.drops.insert("unknown_tunnel", 5);
        Snapshot {
            status: view::Status {
                host_name: "lns".to_owned(),
                tunnels: 2,
                tunnels_opening: 0,
                sessions: 5,
                sessions_opening: 1,
                max_sessions: 12,
                draining: false,
                overdue: 0,
            },
            lacs: vec![view::Lac {
                name: "wholesale \"a\"".to_owned(),
                from: Vec::new(),
                host_name: "*".to_owned(),
                admission: "Accept",
                tunnels: 2,
                sessions: 6,
                setups: 9,
                refusals: 0,
                refusals_by_reason: BTreeMap::new(),
                max_tunnels: None,
                max_sessions: None,
                max_setups_per_second: None,
            }],
            pools: vec![view::Pool {
                name: "default".to_owned(),
                local_address: [100, 64, 0, 1].into(),
                prefixes: vec![],
                reuse_delay_seconds: 60,
                free: 5,
                used: 5,
                resting: 0,
                excluded: 0,
            }],
            stats,
            refused: BTreeMap::from([("no_match", 4)]),
            table_updates_refused: 0,
            setups,
            radius_signals: [0; 3],
            records: keeper::Figures::default(),
        }
    }

    fn scrape(situation: &Situation) -> String {
        let workers = lns_datapath::Stats::default();
        encode(
            &snapshot(),
            &workers,
            &flows::tests::some(),
            &radius::tests::some(),
            &dynamic::tests::some(),
            &Process {
                uptime_seconds: 60,
                manifest: &situation.manifest(),
                member: None,
            },
        )
        .unwrap()
    }

    #[test]
    fn a_refused_manifest_raises_the_gauge_until_it_is_put_right() {
        let situation = Situation::new("cluster.yaml".into(), Vec::new());
        situation.taken_over(Vec::new());
        situation.refused("bad".to_owned());
        situation.refused("still bad".to_owned());
        let text = scrape(&situation);
        for line in [
            "lns_manifest_refused 1\n",
            "lns_reloads_total{result=\"applied\"} 1\n",
            "lns_reloads_total{result=\"refused\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(situation.unchanged());
        assert!(scrape(&situation).contains("lns_manifest_refused 0\n"));
    }

    #[test]
    fn a_scrape_has_the_names_that_dashboards_use() {
        let text = scrape(&Situation::new("cluster.yaml".into(), Vec::new()));
        for line in [
            r#"lns_sessions{state="up"} 5"#,
            r#"lns_tunnels{lac="wholesale \"a\""} 2"#,
            r#"lns_packets_total{direction="down"} 0"#,
            r#"lns_octets_total{direction="up"} 0"#,
            r#"lns_drops_total{reason="unknown_tunnel"} 5"#,
            r#"lns_drops_total{reason="source_check"} 0"#,
            r#"lns_control_messages_total{type="SCCRQ",result="ok"} 7"#,
            r#"lns_session_failures_total{stage="LCP",reason="timeout"} 3"#,
            r#"lns_pool_addresses{pool="default",state="free"} 5"#,
            r#"lns_capacity_ratio{resource="sessions"} 0.5"#,
            r#"lns_capacity_ratio{resource="addresses"} 0.5"#,
            r#"lns_capacity_ratio{resource="flows"} 0.25"#,
            r#"lns_flows{class="transient"} 1"#,
            r#"lns_flows{class="udp"} 4"#,
            r#"lns_flow_events_total{event="opened"} 0"#,
            "lns_policy_rules_unlisted 0",
            r#"lns_session_setup_seconds_bucket{le="0.1"} 1"#,
            r#"lns_radius_servers{server="r1",state="down",purpose="authentication"} 1"#,
            r#"lns_radius_servers{server="r1",state="up",purpose="authentication"} 0"#,
            r#"lns_radius_connections{server="r1",state="active",purpose="authentication"} 0"#,
            r#"lns_radius_replies_dropped_total{server="r1",reason="late",purpose="authentication"} 7"#,
            r#"lns_radius_retransmissions_total{server="r1",purpose="authentication"} 4"#,
            r#"lns_radius_rtt_seconds_count{purpose="authentication"} 0"#,
            r#"lns_radius_in_flight{purpose="authentication"} 5"#,
            r#"lns_radius_all_down{purpose="authentication"} 1"#,
            r#"lns_radius_orders_refused_total{order="request"} 1"#,
            r#"lns_radius_messages_total{wakeup="not_needed"} 5"#,
            r#"lns_certificate_expiry_seconds{name="r1",purpose="accounting"} -5"#,
            "lns_accounting_queue_records 12",
            "lns_accounting_queue_octets 3456",
            "lns_accounting_queue_oldest_seconds 78",
            r#"lns_accounting_dropped_total{reason="no_room"} 9"#,
            r#"lns_radius_dynamic_requests_total{client="oss",type="coa",result="ack"} 8"#,
            r#"lns_radius_dynamic_requests_total{client="none",type="unknown",result="stranger"} 9"#,
            "lns_overdue_total 0",
            r#"lns_refused_lacs_total{reason="no_match"} 4"#,
            "lns_manifest_refused 0",
            r#"lns_reloads_total{result="applied"} 0"#,
            r#"lns_reloads_total{result="refused"} 0"#,
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
