//! Asks a running `lnsd` over its admin socket.

use core::future::pending;
use core::ops::ControlFlow;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use crate::cli::State;
use crate::failure::Failure;

/// Longer than the server's own patience.
const PATIENCE: Duration = Duration::from_secs(40);

/// How soon to try again where too many wait already.
const AGAIN: Duration = Duration::from_millis(50);

/// Octets of an answer: the largest page, generously.
const ANSWER: usize = 64 << 20;

/// A connection per question: questions are few.
pub(super) struct Client {
    runtime: Runtime,
    socket: PathBuf,
}

impl Client {
    /// Asks the process that has its state there.
    pub(super) fn new(state: &State) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::failed("cannot start the runtime", error))?;
        Ok(Self {
            runtime,
            socket: state.socket(),
        })
    }

    /// `GET path`, with a query of the pairs that have a value.
    pub(super) fn read(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<Value, Failure> {
        self.ask(Method::GET, &with_query(path, query), Bytes::new())
    }

    /// `POST path`
    pub(super) fn order(
        &self,
        path: &str,
        order: &impl serde::Serialize,
    ) -> Result<Value, Failure> {
        let body = serde_json::to_vec(order)
            .map_err(|error| Failure::failed("cannot write the request", error))?;
        self.ask(Method::POST, path, body.into())
    }

    /// `GET path`, whatever kind of text it is.
    pub(super) fn text(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.exchange(Method::GET, path, Bytes::new())
            .map(Vec::from)
    }

    /// The process that answers here.
    pub(super) fn process(&self) -> Result<u32, Failure> {
        let credentials = self.runtime.block_on(async {
            let stream = timeout(PATIENCE, connect(&self.socket)).await;
            stream?.and_then(|stream| stream.peer_cred())
        });
        let credentials = credentials.map_err(|error| cannot_reach(&self.socket, &error))?;
        credentials
            .pid()
            .and_then(|process| u32::try_from(process).ok())
            .ok_or_else(|| {
                Failure::Failed("the process of lnsd cannot be seen from here".to_owned())
            })
    }

    /// `GET path` of an answer that goes on: each line of it goes to `take`, until that has enough, the
    /// user presses Ctrl-C, or `until` has come.
    pub(super) fn follow(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        until: Option<Instant>,
        mut take: impl FnMut(&Value) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let target = with_query(path, query);
        self.runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())
                .map_err(|error| Failure::failed("cannot take signals", error))?;
            let ended = async {
                match until {
                    Some(until) => sleep_until(until.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                followed = follow(&self.socket, &target, &mut take) => followed,
                _ = tokio::signal::ctrl_c() => Ok(()),
                _ = terminate.recv() => Ok(()),
                () = ended => Ok(()),
            }
        })
    }

    fn ask(&self, method: Method, target: &str, body: Bytes) -> Result<Value, Failure> {
        let octets = self.exchange(method, target, body)?;
        parsed(&octets)
    }

    fn exchange(&self, method: Method, target: &str, body: Bytes) -> Result<Bytes, Failure> {
        let asked = self.runtime.block_on(async {
            timeout(PATIENCE, exchange(&self.socket, method, target, body)).await
        });
        asked.unwrap_or_else(|_| {
            Err(Failure::Failed(format!(
                "lnsd does not answer at {}: is it overloaded?",
                self.socket.display()
            )))
        })
    }
}

async fn exchange(
    socket: &Path,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let (answer, connection) = send(socket, method, target, body).await?;
    let status = answer.status();
    let octets = Limited::new(answer.into_body(), ANSWER).collect().await;
    let octets = octets
        .map_err(|error| Failure::failed("lnsd has gone away while answering", error))?
        .to_bytes();
    connection.abort();
    if status.is_success() {
        return Ok(octets);
    }
    Err(refused(status, &parsed(&octets)?))
}

/// Sends a request; its answer, and the task that reads it from the socket.
async fn send(
    socket: &Path,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), Failure> {
    let stream = connect(socket)
        .await
        .map_err(|error| cannot_reach(socket, &error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "lnsd")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| Failure::failed("cannot write the request", error))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    Ok((answer, connection))
}

/// Gives each line of an answer that goes on to `take`, until that has enough, the user ends it, or
/// lnsd does.
async fn follow(
    socket: &Path,
    target: &str,
    take: &mut impl FnMut(&Value) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let (answer, _reading) = send(socket, Method::GET, target, Bytes::new()).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut waiting = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(octets) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        waiting.extend_from_slice(&octets);
        if !status.is_success() {
            continue;
        }
        let end = waiting.iter().rposition(|octet| *octet == b'\n');
        let lines: Vec<u8> = waiting.drain(..end.map_or(0, |end| end + 1)).collect();
        for line in lines.split(|octet| *octet == b'\n') {
            // An empty one says that the trace goes on.
            if !line.is_empty() && take(&parsed(line)?)?.is_break() {
                return Ok(());
            }
        }
    }
    if status.is_success() {
        return Err(Failure::Failed("lnsd has ended".to_owned()));
    }
    Err(refused(status, &parsed(&waiting)?))
}

fn parsed(octets: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(octets)
        .map_err(|error| Failure::failed("lnsd answers what is no JSON", error))
}

fn broken(error: hyper::Error) -> Failure {
    Failure::failed("lnsd has gone away while answering", error)
}

/// What an answer says that is an error.
fn refused(status: StatusCode, answer: &Value) -> Failure {
    let line = answer
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or("no reason given")
        .to_owned();
    let is_our_fault = [StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if status.is_client_error() && !is_our_fault {
        Failure::bad_input(line)
    } else {
        Failure::Failed(line)
    }
}

/// Connects, as soon as those who wait already leave room. Somebody looks at the time.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN).await,
            done => return done,
        }
    }
}

fn cannot_reach(socket: &Path, error: &io::Error) -> Failure {
    let (socket, kind) = (socket.display(), error.kind());
    Failure::Failed(
        if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&kind) {
            format!("no lnsd answers at {socket}: start it, or name its folder with --state")
        } else if kind == io::ErrorKind::PermissionDenied {
            format!("not allowed to ask at {socket}: run as the user of lnsd")
        } else {
            format!("cannot ask at {socket}: {error}")
        },
    )
}

fn with_query(path: &str, query: &[(&str, Option<String>)]) -> String {
    let mut target = path.to_owned();
    for (name, value) in query {
        if let Some(value) = value {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(name);
            target.push('=');
            percent_encode(value, &mut target);
        }
    }
    target
}

/// Writes what is not plain as `%XX` (RFC 3986, 2.1).
fn percent_encode(text: &str, out: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.extend([octet >> 4, octet & 15].map(|digit| {
                char::from(
                    b"0123456789ABCDEF"
                        .get(usize::from(digit))
                        .copied()
                        .unwrap_or(b'0'),
                )
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_any_character_survive_the_query() {
        let query = [
            ("user", Some("a&b=c @é".to_owned())),
            ("lac", None),
            ("limit", Some("5".to_owned())),
        ];
        assert_eq!(
            with_query("/v1/sessions", &query),
            "/v1/sessions?user=a%26b%3Dc%20%40%C3%A9&limit=5"
        );
    }
}
