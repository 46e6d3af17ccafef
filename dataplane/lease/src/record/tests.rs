//! Records as Leases, and whatever else may stand in one.

use core::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::limits::FOREIGN;
use crate::name::LeaseName;
use crate::notes::Notes;
use crate::object::{self, Form, OWN, emit};

fn form() -> Form {
    Form {
        name: LeaseName::new("isp.master").unwrap(),
        namespace: "lns".to_owned(),
        labels: BTreeMap::from([("kubelns.io/cluster".to_owned(), "isp".to_owned())]),
        lasts: Duration::from_millis(4500),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(holder: Option<&str>) -> Record {
    Record {
        holder: holder.map(|text| text.parse().unwrap()),
        epoch: Epoch::new(7).unwrap(),
        serial: Serial::new(9),
        released: None,
        roster: Roster::of(["a", "b"].map(|name| NodeName::new(name).unwrap())).unwrap(),
    }
}

/// As the API server gives it back: with a resource version.
fn stored(lease: &DynamicObject) -> DynamicObject {
    let mut lease = lease.clone();
    lease.metadata.resource_version = Some("11".to_owned());
    lease
}

fn written(record: &Record, base: Option<&DynamicObject>, second: i64) -> DynamicObject {
    let lease = emit(
        content(record),
        base,
        &form(),
        &Notes::default(),
        at(second),
    )
    .unwrap();
    stored(&lease)
}

#[test]
fn a_lease_says_to_other_programs_what_they_expect_of_one() {
    let lease = written(&record(Some("a/1")), None, 1_700_000_000);
    let lease = serde_json::to_value(lease).unwrap();
    assert_eq!(
        lease,
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "isp.master",
                "namespace": "lns",
                "resourceVersion": "11",
                "labels": { "kubelns.io/cluster": "isp" },
                "annotations": {
                    "kubelns.io/epoch": "7",
                    "kubelns.io/roster": "[\"a\",\"b\"]",
                    "kubelns.io/serial": "9",
                },
            },
            "spec": {
                "acquireTime": "2023-11-14T22:13:20.000000Z",
                "holderIdentity": "a/1",
                "leaseDurationSeconds": 5,
                "leaseTransitions": 1,
                "renewTime": "2023-11-14T22:13:20.000000Z",
            },
        })
    );
}

#[test]
fn transitions_and_the_time_of_acquisition_follow_the_holder() {
    let told = |lease: &DynamicObject| {
        let field = |name| lease.data["spec"].get(name).cloned().unwrap_or_default();
        (field("leaseTransitions"), field("acquireTime"))
    };
    let first = written(&record(Some("a/1")), None, 0);
    let renewed = written(&record(Some("a/1")), Some(&first), 1);
    assert_eq!(told(&renewed), told(&first));
    let taken = written(&record(Some("b/1")), Some(&renewed), 2);
    assert_eq!(
        told(&taken),
        (json!(2), json!("1970-01-01T00:00:02.000000Z"))
    );
    let mut released = record(None);
    released.released = Some("b/1".parse().unwrap());
    let released = written(&released, Some(&taken), 3);
    assert_eq!(told(&released).0, json!(2));
    assert_eq!(released.data.pointer("/spec/holderIdentity"), None);
}

#[test]
fn what_others_put_there_stays_unless_it_leaves_no_room() {
    let mut base = written(&record(Some("a/1")), None, 0);
    base.metadata.uid = Some("1-2-3".to_owned());
    base.metadata.finalizers = Some(vec!["example.org/keep".to_owned()]);
    let labels = base.metadata.labels.as_mut().unwrap();
    labels.insert("team".to_owned(), "core".to_owned());
    let annotations = base.metadata.annotations.as_mut().unwrap();
    annotations.insert("example.org/note".to_owned(), "x".repeat(FOREIGN / 2));
    annotations.insert("kubelns.io/released".to_owned(), "b/1".to_owned());

    let kept = written(&record(Some("a/1")), Some(&base), 1);
    assert_eq!(kept.metadata.uid, base.metadata.uid);
    assert_eq!(kept.metadata.finalizers, base.metadata.finalizers);
    assert_eq!(kept.metadata.labels, base.metadata.labels);
    assert!(annotation(&kept, "example.org/note").is_some());
    assert_eq!(
        annotation(&kept, RELEASED),
        None,
        "it is ours, and says something else now"
    );

    let annotations = base.metadata.annotations.as_mut().unwrap();
    annotations.insert("example.org/more".to_owned(), "x".repeat(FOREIGN));
    let cleared = written(&record(Some("a/1")), Some(&base), 1);
    assert_eq!(annotation(&cleared, "example.org/note"), None);
    assert_eq!(parse(&cleared).unwrap().record, record(Some("a/1")));
}

#[test]
fn notes_stand_beside_the_record_and_are_read_back() {
    let mut notes = Notes::default();
    notes.set("peers", "{\"a\":\"192.0.2.1:1702\"}").unwrap();
    let lease = emit(content(&record(Some("a/1"))), None, &form(), &notes, at(0)).unwrap();
    assert_eq!(
        Notes::among(lease.metadata.annotations.as_ref().unwrap()),
        notes
    );
    let later = emit(
        content(&record(Some("b/1"))),
        Some(&lease),
        &form(),
        &Notes::default(),
        at(1),
    )
    .unwrap();
    assert_eq!(
        Notes::among(later.metadata.annotations.as_ref().unwrap()),
        notes
    );
    let mut much = later.metadata.annotations.unwrap();
    much.insert("kubelns.io/more".to_owned(), "x".repeat(crate::NOTES));
    assert_eq!(Notes::among(&much), Notes::default());
}

/// A Lease with this holder and one annotation.
fn odd(spec: &Value, key: &str, text: &str) -> DynamicObject {
    let lease = json!({
        "metadata": { "name": "isp.master", "resourceVersion": "1", "annotations": { key: text } },
        "spec": spec,
    });
    serde_json::from_value(lease).unwrap()
}

#[test]
fn nonsense_is_unknown() {
    let unknown = Record {
        holder: None,
        epoch: Epoch::NONE,
        serial: Serial::default(),
        released: None,
        roster: Roster::default(),
    };
    let many: Vec<_> = (0..=lns_cluster::MEMBERS)
        .map(|number| number.to_string())
        .collect();
    let texts = [
        "",
        "-1",
        "+1",
        " 1",
        "0x1",
        "1.5",
        "99999999999999999999",
        "9223372036854775808",
        "9007199254740992",
        "a",
        "a/",
        "/b",
        "{}",
        "[1]",
        "[\"\"]",
        "[\"a/b\"]",
        "[\"a\",null]",
        "\"a\"",
        &json!(many).to_string(),
    ];
    for key in [EPOCH, RELEASED, ROSTER] {
        // Some of them are no roster, but the name of a holder.
        let is_one = |text: &&str| key == RELEASED && text.contains("a/b");
        for text in texts.into_iter().filter(|text| !is_one(text)) {
            assert_eq!(
                parse(&odd(&json!({}), key, text)).unwrap().record,
                unknown,
                "{key}: {text}"
            );
        }
    }
    let specs = [
        json!(null),
        json!([]),
        json!("x"),
        json!({ "holderIdentity": "a" }),
        json!({ "holderIdentity": "" }),
        json!({ "holderIdentity": 1 }),
    ];
    for spec in specs {
        assert_eq!(
            parse(&odd(&spec, "x", "")).unwrap().record,
            unknown,
            "{spec}"
        );
    }
    let named = json!({ "holderIdentity": "a/1", "renewTime": "9999-12-31T23:59:59.999999Z", "leaseTransitions": -3 });
    let named = odd(&named, EPOCH, "8");
    assert_eq!(
        parse(&named).unwrap().record.holder,
        Some("a/1".parse().unwrap())
    );
    assert_eq!(object::transitions(Some(&named)), 0);
}

#[test]
fn what_has_no_resource_version_is_no_lease() {
    let mut lease = written(&record(Some("a/1")), None, 0);
    lease.metadata.resource_version = Some(String::new());
    assert_eq!(parse(&lease), None);
    lease.metadata.resource_version = None;
    assert_eq!(parse(&lease), None);
}

fn identities() -> impl Strategy<Value = Identity> {
    ("[a-z0-9.-]{1,12}", "[a-zA-Z0-9/_:-]{1,40}")
        .prop_map(|(node, rest)| Identity::new(NodeName::new(&node).unwrap(), &rest).unwrap())
}

fn records() -> impl Strategy<Value = Record> {
    let roster = prop::collection::vec("[^/]{1,12}", 0..9);
    (
        prop::option::of(identities()),
        0..Mark::INEXACT,
        any::<u64>(),
        prop::option::of(identities()),
        roster,
    )
        .prop_map(|(holder, epoch, serial, released, roster)| Record {
            holder,
            epoch: Epoch::new(epoch).unwrap(),
            serial: Serial::new(serial),
            released,
            roster: Roster::of(roster.iter().map(|name| NodeName::new(name).unwrap())).unwrap(),
        })
}

/// Any JSON, three levels deep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[a-z]{1,3}/[0-9]{1,3}".prop_map(Value::from),
        "-?[0-9]{1,22}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{0,4}", inner, 0..4)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

fn specs() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec![
        "holderIdentity",
        "acquireTime",
        "renewTime",
        "leaseDurationSeconds",
        "leaseTransitions",
        "strategy",
        "other",
    ]);
    let fields = prop::collection::btree_map(field, values(), 0..7);
    let object = fields.prop_map(|fields| {
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Value::from(fields.collect::<serde_json::Map<_, _>>())
    });
    prop_oneof![4 => object, 1 => values()]
}

fn annotations() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop_oneof![
        4 => prop::sample::select(OWN.to_vec()).prop_map(str::to_owned),
        1 => "[a-z./]{0,20}",
    ];
    let text = prop_oneof![
        "\\PC{0,20}",
        "-?[0-9]{1,22}",
        "[a-z]{0,3}/?[0-9]{0,3}",
        values().prop_map(|value| value.to_string()),
    ];
    prop::collection::btree_map(key, text, 0..6)
}

proptest! {
    /// Over whatever was there before.
    #[test]
    fn a_record_is_read_as_it_is_written(record in records(), spec in specs(), annotations in annotations()) {
        let mut base = odd(&spec, "x", "");
        base.metadata.annotations = Some(annotations);
        for base in [None, Some(&base)] {
            prop_assert_eq!(&parse(&written(&record, base, 5)).unwrap().record, &record);
        }
    }

    /// What nobody of ours wrote is read as something, and something right can be written over it.
    #[test]
    fn any_lease_is_read_and_can_be_written_over(spec in specs(), annotations in annotations()) {
        let mut lease = odd(&spec, "x", "");
        lease.metadata.annotations = Some(annotations);
        let found = parse(&lease).unwrap();
        prop_assert_eq!(&*found.revision.0, "1");
        let again = written(&found.record, Some(&lease), 5);
        prop_assert_eq!(parse(&again).unwrap().record, found.record);
        let transitions = again.data["spec"]["leaseTransitions"].as_i64();
        prop_assert!(transitions.is_some_and(|told| (0..=i64::from(i32::MAX)).contains(&told)));
    }
}
