//! The program as somebody runs it who is elsewhere: files that go to the standard output, and an end that comes
//! with that of the standard input.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use flate2::read::GzDecoder;
use pcap_file::pcap::PcapReader;

const LINE: &str = r#"{"time":"2026-11-25T21:46:40.123456Z","direction":"in","result":"ok","text":"ICRQ","tunnel":4711,"session":12,"octets":"c802000c","length":4,"local":"192.0.2.1:1701","remote":"198.51.100.1:5000"}"#;

fn lnsd(arguments: &[&str], state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lnsd"));
    command.args(arguments).arg("--state").arg(state);
    command
}

fn question(stream: &mut UnixStream) -> String {
    let mut question = vec![0; 4_096];
    let length = stream.read(&mut question).unwrap();
    question.truncate(length);
    String::from_utf8(question).unwrap()
}

/// An lnsd that has a session, and whose trace has one line; it goes on until nobody reads it.
fn traced(state: &Path) -> JoinHandle<()> {
    let listener = UnixListener::bind(state.join("admin.sock")).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(question(&mut stream).starts_with("GET /v1/sessions"));
        let sessions = r#"{"sessions":[],"next":null}"#;
        let length = sessions.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{sessions}"
        )
        .unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        assert!(question(&mut stream).starts_with("GET /v1/trace"));
        let length = LINE.len() + 1;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{LINE}\n\r\n"
        )
        .unwrap();
        // Until the other end goes.
        let _gone = stream.read(&mut [0; 16]);
    })
}

fn until_ended(child: &mut Child) -> i32 {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap();
        }
        assert!(Instant::now() < give_up, "it goes on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_trace_to_the_standard_output_is_a_capture_and_its_lines_go_to_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = traced(folder.path());
    let mut child = lnsd(
        &["trace", "--user", "alice", "-w", "-", "--for", "2s"],
        folder.path(),
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let (mut capture, mut said) = (Vec::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut capture)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(until_ended(&mut child), 0, "{said}");
    server.join().unwrap();
    let mut reader = PcapReader::new(capture.as_slice()).unwrap();
    assert!(
        reader
            .next_packet()
            .unwrap()
            .unwrap()
            .data
            .ends_with(&[0xc8, 2, 0, 12])
    );
    assert!(reader.next_packet().is_none());
    assert!(said.contains(" < ICRQ\n"), "{said}");
    assert!(
        said.contains("1 packets in the standard output\n"),
        "{said}"
    );
}

#[test]
fn a_report_to_the_standard_output_is_the_bundle_and_its_summary_goes_to_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = lnsd(&["report", "-w", "-"], folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let mut bundle = Vec::new();
    GzDecoder::new(output.stdout.as_slice())
        .read_to_end(&mut bundle)
        .unwrap();
    let text = String::from_utf8_lossy(&bundle);
    assert!(text.contains("/report.txt") && text.contains("/problems.txt"));
    assert!(said.contains("\nthe standard output: "), "{said}");
}

#[test]
fn one_that_is_attached_ends_with_the_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let server = traced(folder.path());
    let mut child = lnsd(&["--attached", "trace", "--user", "alice"], folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It is there and follows.
    let mut first = [0; 4];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(&first, b"4711");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None);
    drop(child.stdin.take());
    assert_eq!(until_ended(&mut child), 130);
    server.join().unwrap();
}
