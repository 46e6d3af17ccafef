//! What a follower says of an API server that answers as it is told to, in virtual time.

use core::convert::Infallible;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};
use kube::client::Body;
use serde_json::json;
use tower::{BoxError, service_fn};

use super::*;
use crate::limits::NEWS;

/// What the API server does with the next request.
enum Does {
    Answers(u16, Value),
    /// These events, and the end of the watch.
    Watches(Vec<Value>),
    /// It opens a watch and says nothing.
    IsSilent,
    /// It cannot be reached.
    IsAway,
}

/// The requests so far: paths with their queries.
type Asked = Arc<Mutex<Vec<String>>>;

/// A follower of the Secret `a`, or of all, before such a server; afterwards it is away.
fn follower(
    name: Option<&str>,
    script: impl IntoIterator<Item = Does>,
) -> (mpsc::Receiver<(Source, Said)>, Asked) {
    let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Body>| {
        log.lock().unwrap().push(request.uri().to_string());
        let next = script.lock().unwrap().pop_front();
        async move { next.unwrap_or(Does::IsAway).answer() }
    });
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
    let (news, heard) = mpsc::channel(NEWS);
    let follower = Follower {
        api: Api::namespaced_with(Client::new(service, "lns"), "lns", &kind),
        source: Source::Secret("a".to_owned()),
        name: name.map(str::to_owned),
        seconds: 60,
        news,
    };
    tokio::spawn(follower.run());
    (heard, asked)
}

impl Does {
    fn answer(self) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, BoxError> {
        let full = |octets: Vec<u8>| Full::new(Bytes::from(octets)).boxed_unsync();
        let (code, body) = match self {
            Self::Answers(code, value) => (code, full(serde_json::to_vec(&value)?)),
            Self::Watches(events) => {
                let lines = events.iter().map(|event| format!("{event}\n"));
                (200, full(lines.collect::<String>().into_bytes()))
            }
            Self::IsSilent => (200, StreamBody::new(stream::pending()).boxed_unsync()),
            Self::IsAway => return Err("connection refused".into()),
        };
        Ok(Response::builder().status(code).body(body)?)
    }
}

fn secret(version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "a", "resourceVersion": version },
        "data": {},
    })
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": format!("it is {reason}"),
    })
}

fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

/// The next so many news, in short.
async fn said(heard: &mut mpsc::Receiver<(Source, Said)>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let (_, said) = heard.recv().await.unwrap();
        let version = |one: &Value| {
            one["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        all.push(match said {
            Said::All(objects) => {
                let versions: Vec<_> = objects.iter().map(version).collect();
                format!("all {}", versions.join(" "))
            }
            Said::Changed(one) => format!("changed {}", version(&one)),
            Said::Gone(name) => format!("gone {name}"),
            Said::Trouble(words) => words,
            Said::Well => "well".to_owned(),
        });
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_old_begins_with_a_look_and_is_no_trouble() {
    let (mut heard, asked) = follower(
        Some("a"),
        [
            Does::Answers(200, secret("1")),
            Does::Answers(410, status(410, "Expired")),
            Does::Answers(200, secret("9")),
            Does::Watches(vec![event("ERROR", &status(410, "Expired"))]),
            Does::Answers(200, secret("10")),
            Does::Watches(vec![
                event("MODIFIED", &secret("11")),
                event("DELETED", &secret("12")),
            ]),
        ],
    );
    let all = said(&mut heard, 10).await;
    assert_eq!(
        all,
        [
            "all 1",
            "well",
            "all 9",
            "well",
            "well",
            "all 10",
            "well",
            "well",
            "changed 11",
            "gone a"
        ]
    );
    let asked = asked.lock().unwrap();
    let watch = asked.iter().find(|uri| uri.contains("watch=true")).unwrap();
    assert!(watch.contains("fieldSelector=metadata.name%3Da"), "{watch}");
    assert!(watch.contains("resourceVersion=1"), "{watch}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let bookmark = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "resourceVersion": "7" },
    });
    let (mut heard, asked) = follower(
        Some("a"),
        [
            Does::Answers(200, secret("1")),
            Does::Watches(vec![event("BOOKMARK", &bookmark)]),
            Does::Watches(vec![event("MODIFIED", &secret("8"))]),
            Does::Watches(Vec::new()),
        ],
    );
    let all = said(&mut heard, 6).await;
    assert_eq!(all, ["all 1", "well", "well", "well", "changed 8", "well"]);
    let asked = asked.lock().unwrap();
    let versions = asked
        .iter()
        .filter_map(|uri| uri.split("resourceVersion=").nth(1));
    let versions: Vec<_> = versions
        .map(|rest| rest.split('&').next().unwrap())
        .collect();
    assert_eq!(versions, ["1", "7", "8"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_told_and_asked_again_from_the_beginning() {
    let (mut heard, _) = follower(
        Some("a"),
        [
            Does::IsAway,
            Does::Answers(403, status(403, "Forbidden")),
            Does::Answers(200, secret("1")),
            Does::IsSilent,
            Does::Answers(200, secret("2")),
            Does::Watches(vec![event("ERROR", &status(500, "InternalError"))]),
            Does::Answers(200, secret("3")),
        ],
    );
    let all = said(&mut heard, 12).await;
    assert_eq!(
        all,
        [
            "ServiceError: connection refused",
            "the API server answers 403: it is Forbidden",
            "all 1",
            "well",
            "well",
            "the API server has fallen silent",
            "all 2",
            "well",
            "well",
            "the API server answers 500: it is InternalError",
            "all 3",
            "well",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_there_is_looked_for_again() {
    let missing = || Does::Answers(404, status(404, "NotFound"));
    let (mut heard, asked) = follower(
        Some("a"),
        [missing(), missing(), Does::Answers(200, secret("5"))],
    );
    let all = said(&mut heard, 6).await;
    assert_eq!(all, ["all ", "well", "all ", "well", "all 5", "well"]);
    let asked = asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .take(3)
            .all(|uri| uri.ends_with("/secrets/a?") || uri.ends_with("/secrets/a")),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page() {
    let page = |items: Value, token: &str| {
        json!({
            "apiVersion": "v1", "kind": "SecretList", "items": items,
            "metadata": { "resourceVersion": "20", "continue": token },
        })
    };
    let (mut heard, asked) = follower(
        None,
        [
            Does::Answers(200, page(json!([secret("1"), secret("2")]), "more")),
            Does::Answers(200, page(json!([secret("3")]), "")),
            Does::Watches(Vec::new()),
        ],
    );
    assert_eq!(said(&mut heard, 3).await, ["all 1 2 3", "well", "well"]);
    let asked = asked.lock().unwrap();
    assert!(asked[1].contains("continue=more"), "{asked:?}");
    assert!(asked[2].contains("resourceVersion=20"), "{asked:?}");
}
