//! The program from outside, with an API server of the test that speaks what `exec` does (channels over a WebSocket)
//! and runs a shell where a pod would run `lnsd`. What a kubelet makes of it is seen in kind.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::result_large_err,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

const PATIENCE: Duration = Duration::from_secs(20);

/// The protocol in which a channel can be closed.
const PROTOCOL: &str = "v5.channel.k8s.io";

/// What was run in which pod.
type Run = Mutex<Vec<(String, Vec<String>)>>;

/// An API server with a cluster of two members, the master on `b`.
struct Server {
    folder: TempDir,
    run: Arc<Run>,
}

impl Server {
    /// One whose members run this script: `$@` is what `lnsd` would get.
    async fn new(script: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            run: Arc::default(),
        };
        server.kubeconfig(listener.local_addr().unwrap());
        let (run, folder) = (Arc::clone(&server.run), server.folder.path().to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (run, folder) = (Arc::clone(&run), folder.clone());
                tokio::spawn(async move { answer(stream, script, &folder, &run).await });
            }
        });
        server
    }

    fn kubeconfig(&self, address: SocketAddr) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "test", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "isp" } }],
        });
        std::fs::write(self.folder.path().join("kubeconfig"), config.to_string()).unwrap();
    }

    /// Starts the program.
    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_kubectl-lns"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Runs it to its end: the exit code, and what it printed.
    async fn output(&self, arguments: &[&str]) -> (i32, Vec<u8>, String) {
        let ended = tokio::time::timeout(PATIENCE, self.start(arguments).wait_with_output()).await;
        let ended = ended.unwrap().unwrap();
        (
            ended.status.code().unwrap(),
            ended.stdout,
            String::from_utf8(ended.stderr).unwrap(),
        )
    }

    fn run(&self) -> Vec<(String, Vec<String>)> {
        self.run.lock().unwrap().clone()
    }

    fn has(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }
}

async fn answer(stream: TcpStream, script: &str, folder: &Path, run: &Run) {
    let mut start = [0; 2048];
    let length = stream.peek(&mut start).await.unwrap();
    let head = String::from_utf8_lossy(&start[..length]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path.contains("/exec?") {
        exec(stream, script, folder, run).await;
        return;
    }
    let body = if path.contains("/lnsclusters") {
        clusters()
    } else {
        pods()
    };
    respond(stream, &body).await;
}

async fn respond(mut stream: TcpStream, body: &Value) {
    let mut request = vec![0; 8192];
    let _length = stream.read(&mut request).await.unwrap();
    let body = body.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn clusters() -> Value {
    let cluster = json!({
        "apiVersion": "kubelns.io/v1alpha1", "kind": "LnsCluster",
        "metadata": { "name": "edge", "namespace": "isp", "generation": 1 },
        "status": { "observedGeneration": 1, "active": { "node": "b", "epoch": 7 } },
    });
    json!({ "apiVersion": "kubelns.io/v1alpha1", "kind": "LnsClusterList", "metadata": {}, "items": [cluster] })
}

fn pods() -> Value {
    let pod = |node: &str, role: &str| {
        json!({
            "metadata": { "name": format!("edge-{node}"), "labels": { "kubelns.io/role": role } },
            "spec": { "nodeName": node, "containers": [] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    };
    json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod("a", "standby"), pod("b", "master")] })
}

/// Speaks the protocol, and runs the script: what comes on channel 0 is its input, what it says goes out on 1 and 2,
/// how it ended on 3.
async fn exec(
    stream: TcpStream,
    script: &str,
    folder: &Path,
    run: &Mutex<Vec<(String, Vec<String>)>>,
) {
    let (mut pod, mut words) = (String::new(), Vec::new());
    let shake = |request: &Request, mut response: Response| {
        let path = request.uri().path();
        path.split('/')
            .rev()
            .nth(1)
            .unwrap_or_default()
            .clone_into(&mut pod);
        let query = request.uri().query().unwrap_or_default();
        words = form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == "command")
            .map(|(_, value)| value.into_owned())
            .collect();
        let headers = response.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(PROTOCOL));
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, shake)
        .await
        .unwrap();
    run.lock().unwrap().push((pod, words.clone()));
    let mut child = Command::new("/bin/sh")
        .args(["-c", script])
        .args(&words)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut incoming) = socket.split();
    let (say, mut said) = unbounded_channel();
    let outputs = [
        tokio::spawn(channel(1, child.stdout.take().unwrap(), say.clone())),
        tokio::spawn(channel(2, child.stderr.take().unwrap(), say.clone())),
    ];
    let mut stdin = child.stdin.take();
    tokio::spawn(async move {
        while let Some(Ok(message)) = incoming.next().await {
            // Channel 0 is closed.
            if message.into_data()[..] == [255, 0] {
                break;
            }
        }
        // So it is with the connection.
        drop(stdin.take());
    });
    tokio::spawn(async move {
        while let Some(message) = said.recv().await {
            if out.send(message).await.is_err() {
                break;
            }
        }
        let _closed = out.close().await;
    });
    let status = child.wait().await.unwrap();
    for output in outputs {
        output.await.unwrap();
    }
    let mut last = vec![3];
    last.extend(ended(status).to_string().into_bytes());
    let _gone = say.send(Message::binary(last));
}

async fn channel(number: u8, mut from: impl AsyncRead + Unpin, to: UnboundedSender<Message>) {
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut message = vec![number];
        message.extend_from_slice(&buffer[..length]);
        let _gone = to.send(Message::binary(message));
    }
}

/// As a kubelet says it.
fn ended(status: ExitStatus) -> Value {
    match status.code() {
        Some(0) => json!({ "status": "Success" }),
        code => json!({
            "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.unwrap_or(137).to_string() }] },
        }),
    }
}

#[tokio::test]
async fn a_command_of_lnsd_runs_at_the_master_and_ends_as_it_does_there() {
    let server = Server::new("echo \"$*\"; echo trouble >&2; [ \"$1\" != pools ] || exit 2").await;
    let (code, out, errors) = server
        .output(&["sessions", "--user", "a b", "-o", "json"])
        .await;
    assert_eq!(
        (code, &*out),
        (0, &b"sessions --user a b -o json\n"[..]),
        "{errors}"
    );
    assert_eq!(errors, "trouble\n");
    let (code, _, errors) = server.output(&["pools", "--node", "a"]).await;
    assert_eq!((code, &*errors), (2, "trouble\n"));
    let command = |words: &[&str]| {
        [&["/usr/local/bin/lnsd"], words]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        server.run(),
        [
            (
                "edge-b".to_owned(),
                command(&["sessions", "--user", "a b", "-o", "json"])
            ),
            ("edge-a".to_owned(), command(&["pools"])),
        ]
    );
}

#[tokio::test]
async fn an_answer_comes_whole_however_long_it_is() {
    let server = Server::new("head -c 3000000 /dev/zero").await;
    let (code, out, errors) = server.output(&["sessions"]).await;
    assert_eq!((code, out.len()), (0, 3_000_000), "{errors}");
}

#[tokio::test]
async fn ctrl_c_ends_what_runs_there() {
    let server = Server::new("echo following; cat >/dev/null; touch ended").await;
    let mut child = server.start(&["trace", "--user", "alice"]);
    let mut first = [0; 9];
    let output = child.stdout.as_mut().unwrap();
    tokio::time::timeout(PATIENCE, output.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&first, b"following");
    assert!(!server.has("ended"));
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    let ended = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ended.code(), Some(130));
    for _ in 0..200 {
        if server.has("ended") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.has("ended"), "it goes on in the pod");
    assert_eq!(server.run()[0].1[1], "--attached");
}

#[tokio::test]
async fn files_are_written_here() {
    let server = Server::new("echo lines >&2; printf '%s|' \"$@\"").await;
    let (code, out, errors) = server
        .output(&["trace", "--lac", "x", "-w", "x.pcap"])
        .await;
    assert_eq!((code, out.len()), (0, 0), "{errors}");
    assert_eq!(errors, "lines\nx.pcap is written\n");
    let written = std::fs::read_to_string(server.folder.path().join("x.pcap")).unwrap();
    assert_eq!(written, "--attached|trace|--lac|x|-w|-|");
    // It is not written over, and nobody is asked.
    let (code, _, errors) = server.output(&["report", "-w", "x.pcap"]).await;
    assert_eq!(code, 2, "{errors}");
    assert_eq!(server.run().len(), 1);
    let (code, _, errors) = server.output(&["report", "--node", "a"]).await;
    assert_eq!(code, 0, "{errors}");
    let report = std::fs::read_dir(server.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("lnsd-report-a-"));
    assert!(
        report.is_some_and(|name| errors.ends_with(&format!("{name} is written\n"))),
        "{errors}"
    );
}

#[tokio::test]
async fn a_command_that_fails_leaves_no_file() {
    let server = Server::new("echo 'lnsd: no such user' >&2; exit 1").await;
    for arguments in [
        &["trace", "--user", "x", "-w", "x.pcap"][..],
        &["report", "-w", "x.pcap"],
    ] {
        let (code, _, errors) = server.output(arguments).await;
        assert_eq!((code, &*errors), (1, "lnsd: no such user\n"));
        assert!(!server.has("x.pcap"));
    }
}

#[tokio::test]
async fn status_has_what_both_say() {
    let server = Server::new(
        "[ \"$*\" != 'status -o json' ] && echo 'State  serving' || echo '{\"phase\":\"Serving\"}'",
    )
    .await;
    let (code, out, errors) = server.output(&["status"]).await;
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{errors}");
    assert_eq!(
        out,
        "LnsCluster  isp/edge\nMaster      b (epoch 7)\n\nlnsd on b:\nState  serving\n"
    );
    let (code, out, errors) = server.output(&["status", "-o", "json"]).await;
    let told: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(code, 0, "{errors}");
    assert_eq!(
        (&told["node"], &told["lnsd"]["phase"]),
        (&json!("b"), &json!("Serving"))
    );
}
