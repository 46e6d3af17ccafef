//! An API server with one Lease, which does as it is told.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use core::convert::Infallible;
use core::future::pending;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tower::{BoxError, service_fn};

/// How it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Up,
    /// Nobody can reach it.
    Away,
    /// It takes what is sent, does nothing and never answers.
    Hangs,
    /// It reads, and says of each write that it conflicts.
    Conflicts,
}

pub(super) struct Fake(Mutex<Inner>);

struct Inner {
    mode: Mode,
    /// Whether watches are refused as too old.
    expires: bool,
    lease: Option<Value>,
    revision: u64,
    log: Vec<String>,
    events: broadcast::Sender<Value>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            mode: Mode::Up,
            expires: false,
            lease: None,
            revision: 0,
            log: Vec::new(),
            events: broadcast::channel(64).0,
        })))
    }

    pub(super) fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = service_fn(move |request| Arc::clone(&server).serve(request));
        Client::new(service, "lns")
    }

    pub(super) fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    pub(super) fn refuse_watches(&self) {
        self.0.lock().unwrap().expires = true;
    }

    pub(super) fn lease(&self) -> Option<Value> {
        self.0.lock().unwrap().lease.clone()
    }

    /// Somebody deletes it by hand.
    pub(super) fn delete(&self) {
        self.0.lock().unwrap().put(None);
    }

    /// How many requests of a kind there were: `GET`, `PUT`, `POST`, `WATCH`.
    pub(super) fn count(&self, kind: &str) -> usize {
        let inner = self.0.lock().unwrap();
        inner.log.iter().filter(|logged| *logged == kind).count()
    }

    async fn serve(self: Arc<Self>, request: Request<Body>) -> Result<Answer, BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let is_watch = head
            .uri
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let kind = if is_watch {
            "WATCH"
        } else {
            head.method.as_str()
        };
        let mode = {
            let mut inner = self.0.lock().unwrap();
            inner.log.push(kind.to_owned());
            inner.mode
        };
        match mode {
            Mode::Away => Err("connection refused".into()),
            Mode::Hangs => pending().await,
            Mode::Up | Mode::Conflicts => {
                let mut inner = self.0.lock().unwrap();
                Ok(if is_watch {
                    inner.watch()
                } else if mode == Mode::Conflicts && head.method != Method::GET {
                    status(409, "Conflict")
                } else {
                    inner.serve(&head.method, body)
                })
            }
        }
    }
}

impl Inner {
    fn serve(&mut self, method: &Method, body: Value) -> Answer {
        match (method, &self.lease) {
            (&Method::GET, Some(lease)) => answer(200, lease),
            (&Method::POST, None) => self.put(Some(body)),
            (&Method::POST, Some(_)) => status(409, "AlreadyExists"),
            (_, None) => status(404, "NotFound"),
            (_, Some(lease)) => {
                let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
                if version(lease) == version(&body) {
                    self.put(Some(body))
                } else {
                    status(409, "Conflict")
                }
            }
        }
    }

    fn put(&mut self, lease: Option<Value>) -> Answer {
        self.revision += 1;
        let before = core::mem::replace(&mut self.lease, lease);
        if let Some(lease) = &mut self.lease {
            lease["metadata"]["resourceVersion"] = self.revision.to_string().into();
        }
        let event = match (&self.lease, before) {
            (Some(lease), None) => json!({ "type": "ADDED", "object": lease }),
            (Some(lease), Some(_)) => json!({ "type": "MODIFIED", "object": lease }),
            (None, before) => json!({ "type": "DELETED", "object": before }),
        };
        drop(self.events.send(event));
        answer(200, &self.lease.clone().unwrap_or_default())
    }

    fn watch(&self) -> Answer {
        if self.expires {
            let event = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410 } });
            return answer(200, &event);
        }
        let first = self.lease.clone();
        let first = first.map(|lease| json!({ "type": "ADDED", "object": lease }));
        let later = stream::unfold(self.events.subscribe(), async |mut events| {
            let event = events.recv().await.ok()?;
            Some((event, events))
        });
        let events = stream::iter(first).chain(later);
        let frames = events.map(|event| Ok(Frame::data(format!("{event}\n").into())));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

fn answer(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

fn status(code: u16, reason: &str) -> Answer {
    let details = json!({ "kind": "leases", "name": "isp.master" });
    let body = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "details": details });
    answer(code, &body)
}
