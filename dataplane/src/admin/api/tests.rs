//! The answers against the OpenAPI document, bounds of pages, and what is logged of changes.

use lns_node::Stage;
use serde_json::{Value, json};

use super::super::disconnect::Disconnected;
use super::super::{contract, document};
use super::*;
use crate::run::situation::Situation;

/// What does not fit the document in an answer to `method path`.
fn problems(method: &str, path: &str, status: u16, answer: &impl Serialize) -> Option<String> {
    let document = serde_json::from_str(document::text()).unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    contract::check(&document, (method, path), status, &answer).err()
}

fn described(path: &str, answer: &impl Serialize) {
    assert_eq!(problems("GET", path, 200, answer), None, "{path}");
}

fn session() -> view::Session {
    view::Session {
        id: "4711.12".to_owned(),
        acct_session_id: "00000001-00000007".to_owned(),
        slot: SlotIndex(0),
        tunnel: 4711,
        session: 12,
        peer_session: 1,
        lac: "wholesale-a".to_owned(),
        user: Some("alice".to_owned()),
        address: Some([100, 64, 0, 5].into()),
        pool: None,
        stage: Stage::Up,
        calling_number: None,
        called_number: None,
        call_serial: 1,
        authentication: Some("CHAP"),
        proxied_lcp: true,
        proxied_authentication: true,
        mtu: Some(1492),
        policies: vec!["residential".to_owned()],
        bound_by: view::BoundBy::Default,
        unknown_filter_id: Some("gold".to_owned()),
        rates: Some(view::Rates {
            up_bits_per_second: 50_000_000,
            down_bits_per_second: 100_000_000,
            burst_milliseconds: 200,
        }),
        granted: Some(view::Granted {
            server: Some("r1".to_owned()),
            ..view::Granted::default()
        }),
        tx_speed: 0,
        rx_speed: 0,
        seconds: 5,
        remaining_seconds: None,
    }
}

fn status() -> Status {
    Status {
        version: VERSION,
        phase: Phase::Serving,
        uptime_seconds: 1,
        manifest: Situation::new("cluster.yaml".into(), Vec::new()).manifest(),
        node: view::Status {
            host_name: "lns".to_owned(),
            tunnels: 0,
            tunnels_opening: 0,
            sessions: 0,
            sessions_opening: 0,
            max_sessions: 1,
            draining: false,
            overdue: 0,
        },
        flows: Flows::new(&Counts::default(), Options::default()),
        traffic: Traffic::new(&lns_datapath::Stats::default(), 0),
        radius: radius::tests::some().0.summaries(),
        records: keeper::Figures::default(),
        cluster: None,
    }
}

#[test]
fn each_answer_about_the_node_fits_the_document() {
    described("/v1/status", &status());
    described(
        "/v1/sessions/4711.12",
        &Session::new(session(), Counters::default(), 3),
    );
    let sessions = vec![Session::new(session(), Counters::default(), 3)];
    described(
        "/v1/sessions?limit=1",
        &Sessions {
            sessions,
            next: Some(7),
        },
    );
    let logs = Logs {
        lines: vec!["a line".to_owned()],
        left_out: 5,
    };
    described("/v1/logs", &logs);
    described("/v1/radius", &radius::tests::some().0);
    let done = Disconnected::default();
    assert_eq!(problems("POST", "/v1/disconnect", 200, &done), None);
}

#[test]
fn each_answer_that_is_a_list_fits_the_document() {
    let address = "192.0.2.1:1701".parse().unwrap();
    let lac = view::Lac {
        name: String::new(),
        from: vec!["198.51.100.0/24".to_owned()],
        host_name: "*".to_owned(),
        admission: "Accept",
        tunnels: 0,
        sessions: 0,
        setups: 0,
        refusals: 2,
        refusals_by_reason: [("draining", 2)].into(),
        max_tunnels: Some(1),
        max_sessions: None,
        max_setups_per_second: Some(1),
    };
    let refused = view::RefusedLac {
        remote: address,
        host_name: String::new(),
        reason: "",
        count: 0,
        seconds_ago: 0,
    };
    described(
        "/v1/lacs",
        &Lacs {
            lacs: vec![lac],
            refused: vec![refused],
        },
    );
    let tunnel = view::Tunnel {
        id: 1,
        peer_id: 1,
        lac: String::new(),
        host_name: String::new(),
        vendor: String::new(),
        local: address,
        remote: address,
        state: "established",
        sessions: 0,
        seconds: 0,
    };
    described(
        "/v1/tunnels",
        &Tunnels {
            tunnels: vec![tunnel],
            next: None,
        },
    );
    let pool = view::Pool {
        name: String::new(),
        local_address: [100, 64, 0, 1].into(),
        prefixes: vec!["100.64.0.0/16".to_owned()],
        reuse_delay_seconds: 60,
        free: 0,
        used: 0,
        resting: 0,
        excluded: 0,
    };
    described("/v1/pools", &Pools { pools: vec![pool] });
}

#[test]
fn an_answer_that_differs_from_the_document_does_not_pass() {
    let good = serde_json::to_value(status()).unwrap();
    let with = |key: &str, value: Value| {
        let mut answer = good.clone();
        answer[key] = value;
        problems("GET", "/v1/status", 200, &answer)
    };
    assert_eq!(with("sessions", json!(5)), None);
    let unknown = with("colour", json!("red")).unwrap();
    assert!(unknown.contains("colour"), "{unknown}");
    assert!(with("sessions", json!("many")).is_some());
    assert!(with("phase", json!("Idle")).is_some());
    let mut answer = good.clone();
    answer.as_object_mut().unwrap().remove("overdue");
    let missing = problems("GET", "/v1/status", 200, &answer).unwrap();
    assert!(missing.contains("overdue"), "{missing}");
}

#[test]
fn an_error_is_described_for_every_path() {
    for (method, path) in [
        ("GET", "/v1/sessions/1.2"),
        ("GET", "/v1/nothing"),
        ("GET", "/readyz"),
        ("POST", "/v1/disconnect"),
    ] {
        let error = json!({ "error": "no" });
        assert_eq!(problems(method, path, 404, &error), None, "{path}");
        assert!(problems(method, path, 404, &json!({ "why": "no" })).is_some());
    }
}

#[test]
fn counters_of_both_families_are_added_up() {
    let up = DirectionCounters {
        ipv4_packets: 3,
        ipv4_octets: 300,
        ipv6_packets: 2,
        ipv6_octets: 200,
        dropped: 1,
    };
    let answer = serde_json::to_value(Session::new(
        session(),
        Counters {
            up,
            ..Counters::default()
        },
        3,
    ))
    .unwrap();
    assert_eq!(
        (
            &answer["up"]["packets"],
            &answer["up"]["octets"],
            &answer["up"]["dropped"],
            &answer["flows"]
        ),
        (&5.into(), &500.into(), &1.into(), &3.into())
    );
    assert_eq!(
        (&answer["stage"], &answer["id"]),
        (&"Up".into(), &"4711.12".into())
    );
}

#[test]
fn a_page_has_bounds() {
    assert_eq!(page(None).unwrap(), PAGE);
    assert_eq!(page(Some(LARGEST_PAGE)).unwrap(), LARGEST_PAGE);
    for wrong in [0, LARGEST_PAGE + 1, usize::MAX] {
        let Refusal(status, line) = page(Some(wrong)).unwrap_err();
        assert_eq!(
            (status, line),
            (
                StatusCode::BAD_REQUEST,
                format!("limit must be between 1 and 10000, not {wrong}")
            )
        );
    }
}

#[test]
fn no_question_looks_at_more_slots_than_results_are_wanted() {
    assert_eq!(
        [slots(1), slots(1_000), slots(usize::MAX)],
        [1, 1_000, SLOTS_PER_QUESTION]
    );
}
