//! Each answer of an API server, and what is concluded from it.

use core::future::pending;
use std::sync::Mutex;

use http::Response;
use http_body_util::BodyExt as _;
use kube::client::Body;
use lns_cluster::{Epoch, Profile, Roster, Serial};
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use super::*;
use crate::name::LeaseName;

/// What a server does with a request.
#[derive(Clone)]
enum Does {
    Answers(u16, Value),
    /// Text that is no JSON.
    Says(u16, &'static str),
    /// Breaks the connection.
    Resets,
    /// Sends half a body and breaks the connection.
    Truncates,
    /// Never answers.
    Hangs,
}

/// The last request: method, path with query, body.
type Asked = Arc<Mutex<(String, String, Value)>>;

fn server(does: Does) -> (LeaseApi, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let service = service_fn(move |request: http::Request<Body>| {
        let (does, seen) = (does.clone(), Arc::clone(&seen));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            *seen.lock().unwrap() = (head.method.to_string(), head.uri.to_string(), body);
            let answer = |code, body: Vec<u8>| {
                Ok(Response::builder().status(code).body(Body::from(body))?)
            };
            match does {
                Does::Answers(code, body) => answer(code, serde_json::to_vec(&body)?),
                Does::Says(code, text) => answer(code, text.into()),
                Does::Resets => Err(BoxError::from("connection reset by peer")),
                Does::Truncates => answer(200, br#"{"metadata":{"name":"isp.mas"#.into()),
                Does::Hangs => pending().await,
            }
        }
    });
    let form = Form {
        name: LeaseName::new("isp.master").unwrap(),
        namespace: "lns".to_owned(),
        labels: std::collections::BTreeMap::default(),
        lasts: Profile::DEFAULT.timing().wait,
    };
    let client = Client::new(service, "default");
    let patience = Duration::from_secs(3);
    (
        LeaseApi::new(client, form, "lns-dataplane", patience),
        asked,
    )
}

fn record() -> Record {
    Record {
        holder: Some("a/1".parse().unwrap()),
        epoch: Epoch::new(7).unwrap(),
        serial: Serial::new(9),
        released: None,
        roster: Roster::default(),
    }
}

/// The Lease with that record, as an API server shows it.
fn lease(revision: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "isp.master",
            "namespace": "lns",
            "resourceVersion": revision,
            "annotations": { "kubelns.io/epoch": "7", "kubelns.io/serial": "9", "example.org/x": "y" },
        },
        "spec": { "holderIdentity": "a/1" },
    })
}

fn status(code: u16, reason: &str, kind: &str, name: &str) -> Value {
    json!({
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": "in words",
        "details": { "kind": kind, "name": name },
    })
}

fn revision(text: &str) -> Revision {
    Revision(text.into())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Get,
    Put,
    Post,
}

async fn outcome(kind: Kind, does: Does) -> Outcome {
    let operation = match kind {
        Kind::Get => Operation::Read,
        Kind::Put => Operation::Write {
            record: record(),
            base: Some(revision("4")),
        },
        Kind::Post => Operation::Write {
            record: record(),
            base: None,
        },
    };
    let request = Request {
        id: RequestId(1),
        operation,
    };
    let base = (kind == Kind::Put).then(|| serde_json::from_value(lease("4")).unwrap());
    server(does).0.send(request, base, Notes::default()).await
}

fn found() -> Answer {
    Answer::Found(Some(lns_cluster::Stored {
        record: record(),
        revision: revision("5"),
    }))
}

/// All that is not known to be done or not done is unknown.
#[tokio::test]
async fn an_answer_is_taken_for_no_more_than_it_says() {
    use Kind::{Get, Post, Put};
    let missing = status(404, "NotFound", "leases", "isp.master");
    let exists = status(409, "AlreadyExists", "leases", "isp.master");
    let conflict = status(409, "Conflict", "leases", "isp.master");
    let table = [
        (Get, Does::Answers(200, lease("5")), found()),
        (
            Get,
            Does::Answers(404, missing.clone()),
            Answer::Found(None),
        ),
        (
            Put,
            Does::Answers(200, lease("5")),
            Answer::Written(revision("5")),
        ),
        (
            Post,
            Does::Answers(201, lease("5")),
            Answer::Written(revision("5")),
        ),
        (Put, Does::Answers(409, conflict), Answer::Conflict),
        (Post, Does::Answers(409, exists), Answer::Conflict),
        (Put, Does::Answers(404, missing), Answer::Conflict),
    ];
    for (kind, does, answer) in table {
        let came = outcome(kind, does).await;
        assert_eq!((came.id, came.answer), (RequestId(1), answer));
        assert_eq!(came.trouble, None);
    }
}

const ALL: &[Kind] = &[Kind::Get, Kind::Put, Kind::Post];
const WRITES: &[Kind] = &[Kind::Put, Kind::Post];

async fn are_unknown(table: impl IntoIterator<Item = (&[Kind], Does, Cause)>) {
    for (kinds, does, cause) in table {
        for kind in kinds {
            let came = outcome(*kind, does.clone()).await;
            assert_eq!(came.answer, Answer::Unknown, "{kind:?}: {cause:?}");
            let (told, text) = came.trouble.unwrap();
            assert_eq!(told, cause, "{kind:?}: {text}");
            assert!(came.lease.is_none());
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_of_an_api_server_is_unknown() {
    let mut other = lease("5");
    other["metadata"]["name"] = json!("isp2.master");
    let mut unwritten = lease("5");
    unwritten["spec"]["holderIdentity"] = json!("b/1");
    let mut bare = lease("5");
    bare["metadata"]["resourceVersion"] = json!(null);
    let page = "<html>welcome</html>";
    are_unknown([
        (ALL, Does::Resets, Cause::Connection),
        (ALL, Does::Truncates, Cause::Unreadable),
        (ALL, Does::Says(200, page), Cause::Unreadable),
        (ALL, Does::Answers(200, json!({})), Cause::Unreadable),
        (ALL, Does::Answers(200, other), Cause::Unreadable),
        (ALL, Does::Answers(200, bare), Cause::Unreadable),
        (WRITES, Does::Answers(200, unwritten), Cause::Unreadable),
        (ALL, Does::Says(404, page), Cause::Refused),
        (ALL, Does::Says(409, page), Cause::Refused),
        (ALL, Does::Says(503, page), Cause::Server),
    ])
    .await;
}

#[tokio::test]
async fn an_error_that_does_not_say_what_was_done_is_unknown() {
    let says = |code, reason| Does::Answers(code, status(code, reason, "leases", "isp.master"));
    let namespace = status(404, "NotFound", "namespaces", "lns");
    are_unknown([
        (ALL, Does::Answers(404, namespace), Cause::Refused),
        (ALL, says(410, "Expired"), Cause::Refused),
        (WRITES, says(422, "Invalid"), Cause::Refused),
        (ALL, says(401, "Unauthorized"), Cause::Forbidden),
        (ALL, says(403, "Forbidden"), Cause::Forbidden),
        (ALL, says(429, "TooManyRequests"), Cause::Server),
        (ALL, says(500, "InternalError"), Cause::Server),
        (ALL, says(504, "Timeout"), Cause::Server),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_in_time_is_unknown() {
    for kind in [Kind::Get, Kind::Put, Kind::Post] {
        let came = outcome(kind, Does::Hangs).await;
        assert_eq!(came.answer, Answer::Unknown);
        let (cause, text) = came.trouble.unwrap();
        assert_eq!(cause, Cause::Timeout);
        assert_eq!(&*text, "the API server gave no answer within 3s");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_api_server() {
    let refused = status(403, "Forbidden", "leases", "isp.master");
    let came = outcome(Kind::Get, Does::Answers(403, refused)).await;
    assert_eq!(
        &*came.trouble.unwrap().1,
        "the API server answers 403: in words"
    );
    let came = outcome(Kind::Put, Does::Resets).await;
    assert!(came.trouble.unwrap().1.contains("connection reset by peer"));
}

/// A resource version, even 0, would let a cache answer; without one in the body a PUT would be
/// unconditional.
#[tokio::test]
async fn reads_ask_the_store_and_writes_are_conditional() {
    let path = "/apis/coordination.k8s.io/v1/namespaces/lns/leases";
    let send = async |operation, base| {
        let (api, asked) = server(Does::Resets);
        let request = Request {
            id: RequestId(1),
            operation,
        };
        api.send(request, base, Notes::default()).await;
        asked.lock().unwrap().clone()
    };
    let (method, uri, _) = send(Operation::Read, None).await;
    assert_eq!(
        (method.as_str(), uri),
        ("GET", format!("{path}/isp.master"))
    );

    let write = |base: Option<&str>| Operation::Write {
        record: record(),
        base: base.map(revision),
    };
    let base = serde_json::from_value(lease("4")).unwrap();
    let (method, uri, body) = send(write(Some("4")), Some(base)).await;
    assert_eq!(method, "PUT");
    assert_eq!(
        uri,
        format!("{path}/isp.master?&fieldManager=lns-dataplane")
    );
    assert_eq!(body["metadata"]["resourceVersion"], "4");
    assert_eq!(body["metadata"]["annotations"]["example.org/x"], "y");

    let (method, uri, body) = send(write(None), None).await;
    assert_eq!(method, "POST");
    assert_eq!(uri, format!("{path}?&fieldManager=lns-dataplane"));
    assert_eq!(body["metadata"]["resourceVersion"], Value::Null);
}

/// Nothing is sent then: it would undo what others have put there.
#[tokio::test]
async fn a_write_without_the_lease_that_it_is_conditional_on_is_not_sent() {
    for base in [None, Some(serde_json::from_value(lease("3")).unwrap())] {
        let (api, asked) = server(Does::Answers(200, lease("5")));
        let request = Request {
            id: RequestId(1),
            operation: Operation::Write {
                record: record(),
                base: Some(revision("4")),
            },
        };
        let came = api.send(request, base, Notes::default()).await;
        assert_eq!(came.answer, Answer::Unknown);
        assert_eq!(asked.lock().unwrap().0, "");
    }
}
