//! The program from outside: what it prints, on which stream, and its exit codes. Nothing here needs
//! privileges; what does is tested by the end-to-end suites.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

use assert_cmd::Command;
use tempfile::TempDir;

const MANIFEST: &str = "\
apiVersion: kubelns.io/v1alpha1
kind: LnsCluster
metadata: { name: edge, namespace: lns }
spec:
  service: { addresses: [192.0.2.1], hostName: lns1.isp.example }
  lacs:
  - name: wholesale-a
    from: [198.51.100.0/24]
    tunnelAuthentication: { mode: Secret, secretRef: { name: wholesale-a } }
  - name: lab
    from: [203.0.113.5/32]
    hostName: \"lab-*\"
    tunnelAuthentication: { mode: None }
    admission: Drain
    authentication: [PAP]
  core: { interface: core0 }
  subscribers:
    localUsers: { secretRef: { name: users } }
  pools:
  - name: default
    localAddress: 100.64.0.1
    prefixes: [ { cidr: 100.64.0.0/16, exclude: [100.64.0.0/28] } ]
  - name: old
    localAddress: 100.65.0.1
    prefixes: [ { cidr: 100.65.0.0/24, allocation: Disabled } ]
  datapath: { sessionTable: { entries: 50000 } }
---
apiVersion: v1
kind: Secret
metadata: { name: wholesale-a, namespace: lns }
stringData: { current: a-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: users, namespace: lns }
stringData:
  users.yaml: |
    alice: a-long-password
";

const SUMMARY: &str = "\
Host name          lns1.isp.example
Listens on         192.0.2.1:1701
Workers            one per core
Core interface     core0
Subscribers reach  nothing of this node, but ICMP echo with the pools' local addresses
Authentication     CHAP MSCHAPv2 PAP
Local users        1
Default policies   none: everything passes
Flows              50,000
Flows per session  400

LAC          FROM             HOST NAME  SECRET   ADMISSION  AUTHENTICATION
wholesale-a  198.51.100.0/24  *          current  Accept     CHAP MSCHAPv2 PAP
lab          203.0.113.5/32   lab-*      none     Drain      PAP

POOL     LOCAL ADDRESS  ADDRESSES  PREFIXES
default  100.64.0.1        65,520  100.64.0.0/16
old      100.65.0.1             0  100.65.0.0/24 (drains)
";

fn lnsd(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("lnsd").unwrap();
    command.args(arguments);
    command
}

fn manifest(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.yaml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn stderr(command: &mut Command, code: i32) -> String {
    let output = command.assert().code(code).get_output().clone();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn check_prints_what_the_manifest_would_do() {
    let (_folder, path) = manifest(MANIFEST);
    lnsd(&["check", "--manifest", &path])
        .assert()
        .success()
        .stdout(SUMMARY)
        .stderr("");
}

const RADIUS: &str = "
RADIUS SERVER  FOR             ADDRESS        TRANSPORT  REALMS
r1             authentication  10.0.0.5:1812  UDP        all others
r2             authentication  10.0.1.5:2083  TLS        business.isp.example
r1             accounting      10.0.0.5:1813  UDP        all others
archive        copy            10.0.2.5:1813  UDP        all others

MAY CHANGE SESSIONS  FROM
oss                  10.0.0.7/32
";

#[test]
fn check_names_the_radius_servers_of_the_full_example_and_who_may_change_sessions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples/full.yaml");
    let output = lnsd(&["check", "--manifest", path]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.ends_with(RADIUS), "{text}");
}

#[test]
fn check_prints_each_error_on_a_line_and_exits_with_2() {
    let wrong = MANIFEST
        .replace("100.64.0.0/16", "100.64.0.0/33")
        .replace("hostName: lns1", "hostname: lns1");
    let (_folder, path) = manifest(&wrong);
    let said = stderr(&mut lnsd(&["check", "--manifest", &path]), 2);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.contains("LnsCluster/edge: spec.pools[0].prefixes[0].cidr: \"100.64.0.0/33\""),
        "{said}"
    );
    assert!(
        said.contains("LnsCluster/edge: spec.service.hostname"),
        "{said}"
    );
}

#[test]
fn run_refuses_a_manifest_as_check_does() {
    let (folder, path) = manifest(&MANIFEST.replace("100.64.0.0/16", "100.64.0.0/33"));
    let state = folder.path().join("state");
    let checked = stderr(&mut lnsd(&["check", "--manifest", &path]), 2);
    let run = stderr(
        &mut lnsd(&[
            "run",
            "--manifest",
            &path,
            "--state",
            state.to_str().unwrap(),
        ]),
        2,
    );
    assert_eq!(run, checked);
    assert!(
        !state.exists(),
        "nothing is touched before the manifest is known to be good"
    );
}

#[test]
fn what_is_typed_wrong_exits_with_2() {
    for arguments in [
        &["frobnicate"][..],
        &["check"],
        &["disconnect"],
        &["disconnect", "--user", "a", "--pool", "b"],
        &["session", "show", "4711"],
        &["sessions", "--address", "100.64.0"],
        &["run", "--manifest", "x", "--admin", "localhost"],
    ] {
        let said = stderr(&mut lnsd(arguments), 2);
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
}

#[test]
fn a_command_without_a_running_lnsd_says_what_to_do() {
    let (folder, good) = manifest(MANIFEST);
    let state = folder.path().to_str().unwrap();
    let expected = format!(
        "lnsd: no lnsd answers at {state}/admin.sock: start it, or name its folder with --state\n"
    );
    for arguments in [
        &["status"][..],
        &["lacs"],
        &["tunnels"],
        &["sessions"],
        &["pools"],
        &["session", "show", "1.2"],
        &["disconnect", "--user", "a"],
        &["check", "--manifest", &good, "--against", "running"],
    ] {
        assert_eq!(
            stderr(lnsd(arguments).args(["--state", state]), 1),
            expected,
            "{arguments:?}"
        );
    }
    let nowhere = format!("{state}/nowhere");
    assert_eq!(
        stderr(lnsd(&["status"]).args(["--state", &nowhere]), 1),
        expected.replace(state, &nowhere)
    );
    // A process that was killed leaves its socket.
    drop(UnixListener::bind(Path::new(state).join("admin.sock")).unwrap());
    assert_eq!(
        stderr(lnsd(&["status"]).args(["--state", state]), 1),
        expected
    );
}

/// Serves one question at the admin socket of `state` with this answer.
fn answer_once(state: &Path, status: &str, body: &str) -> JoinHandle<String> {
    answer(state, &[(status, body)])
}

/// Serves a question for each of these answers, and gives the questions.
fn answer(state: &Path, answers: &[(&str, &str)]) -> JoinHandle<String> {
    let listener = UnixListener::bind(state.join("admin.sock")).unwrap();
    let answers: Vec<String> = answers
        .iter()
        .map(|(status, body)| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        })
        .collect();
    thread::spawn(move || {
        let mut questions = String::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = vec![0; 4_096];
            let length = stream.read(&mut question).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            question.truncate(length);
            questions += &String::from_utf8(question).unwrap();
        }
        questions
    })
}

#[test]
fn a_closed_tunnel_is_said_to_be_closed_whatever_sessions_it_had() {
    for sessions in [0, 5] {
        let folder = tempfile::tempdir().unwrap();
        let body = format!(r#"{{"disconnected":{sessions},"next":null}}"#);
        let asked = answer_once(folder.path(), "200 OK", &body);
        lnsd(&["disconnect", "--tunnel", "4711"])
            .args(["--state", folder.path().to_str().unwrap()])
            .assert()
            .success()
            .stdout("tunnel 4711 closed\n")
            .stderr("");
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /v1/disconnect "), "{asked}");
    }
}

#[test]
fn a_name_that_does_not_exist_is_told_with_those_that_are_alike() {
    for (arguments, list, empty) in [
        (["sessions", "--pool"], "pools", "sessions"),
        (["sessions", "--lac"], "lacs", "sessions"),
        (["tunnels", "--lac"], "lacs", "tunnels"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let nothing = format!(r#"{{"{empty}":[],"next":null}}"#);
        let names = format!(r#"{{"{list}":[{{"name":"wholesale-a"}}]}}"#);
        let asked = answer(folder.path(), &[("200 OK", &nothing), ("200 OK", &names)]);
        let said = stderr(
            lnsd(&arguments).args(["wholesale-b", "--state", folder.path().to_str().unwrap()]),
            2,
        );
        let kind = if list == "lacs" { "LAC" } else { "pool" };
        assert_eq!(
            said,
            format!("there is no {kind} \"wholesale-b\": is it wholesale-a?\n")
        );
        let asked = asked.join().unwrap();
        assert!(asked.starts_with(&format!("GET /v1/{empty}?")), "{asked}");
    }
}

#[test]
fn a_tunnel_that_does_not_exist_cannot_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"{"error":"there is no tunnel 4711"}"#;
    let asked = answer_once(folder.path(), "404 Not Found", body);
    let said = stderr(
        lnsd(&["disconnect", "--tunnel", "4711"])
            .args(["--state", folder.path().to_str().unwrap()]),
        1,
    );
    assert_eq!(said, "lnsd: there is no tunnel 4711\n");
    asked.join().unwrap();
}

#[test]
fn a_comparison_sends_the_manifest_and_prints_the_answer() {
    let (folder, path) = manifest(MANIFEST);
    let state = folder.path().to_str().unwrap();
    let arguments = ["check", "--manifest", &path, "--against", "running"];
    let body = r#"{"changes":[{"path":"spec.ppp.mru","before":"1492","after":"1400","effect":"NewSessions","tunnelsKeeping":0,"sessionsKeeping":7}],"needsRestart":[],"refusal":null,"sessions":7,"sessionsEnding":0}"#;
    let asked = answer_once(folder.path(), "200 OK", body);
    lnsd(&arguments)
        .args(["--state", state])
        .assert()
        .success()
        .stdout(
            "\
FIELD         BEFORE  AFTER  TAKES EFFECT  KEEP THE OLD VALUE
spec.ppp.mru  1492    1400   new sessions  7 sessions

A reload takes this over: 0 of 7 sessions end.
",
        )
        .stderr("");
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /v1/check "), "{asked}");
    assert!(asked.contains("cluster.yaml"), "{asked}");
}

#[test]
fn a_manifest_that_would_be_refused_fails_with_the_reason() {
    let (folder, path) = manifest(MANIFEST);
    let state = folder.path().to_str().unwrap();
    let body = r#"{"changes":[],"needsRestart":[],"refusal":"it is taken","sessions":7,"sessionsEnding":0}"#;
    let asked = answer_once(folder.path(), "200 OK", body);
    let said = stderr(
        lnsd(&["check", "--manifest", &path, "--against", "running"]).args(["--state", state]),
        1,
    );
    assert_eq!(said, "lnsd: this manifest would be refused: it is taken\n");
    asked.join().unwrap();
}

#[test]
fn a_wrong_manifest_is_told_before_anybody_is_asked() {
    let (folder, path) = manifest(&MANIFEST.replace("100.64.0.0/16", "100.64.0.0/33"));
    let state = folder.path().to_str().unwrap();
    let plain = stderr(&mut lnsd(&["check", "--manifest", &path]), 2);
    let against = stderr(
        lnsd(&["check", "--manifest", &path, "--against", "running"]).args(["--state", state]),
        2,
    );
    assert_eq!(against, plain);
}

#[test]
fn a_report_is_made_even_when_nothing_answers_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("r.tar.gz"));
    let report = || {
        let mut command = lnsd(&["report", "--state", state.to_str().unwrap()]);
        command.args(["-w", file.to_str().unwrap()]);
        command
    };
    let said = report().assert().success().get_output().clone();
    let stdout = String::from_utf8(said.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    assert!(stdout.starts_with(file.to_str().unwrap()), "{stdout}");
    assert!(
        stdout.contains("could not be collected (problems.txt)"),
        "{stdout}"
    );
    let progress = String::from_utf8(said.stderr).unwrap();
    assert!(progress.contains("machine/os-release "), "{progress}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let before = fs::read(&file).unwrap();
    assert_eq!(
        stderr(&mut report(), 2),
        format!(
            "{} is there already and is not overwritten: name another file with -w\n",
            file.display()
        )
    );
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_report_that_cannot_be_written_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nowhere/r.tar.gz");
    let said = stderr(&mut lnsd(&["report", "-w", file.to_str().unwrap()]), 1);
    assert_eq!(
        said,
        format!(
            "lnsd: cannot write {}: No such file or directory (os error 2): name another file with -w\n",
            file.display()
        )
    );
}

#[test]
fn a_second_lnsd_does_not_disturb_the_first() {
    let (folder, path) = manifest(MANIFEST);
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let _running = UnixListener::bind(state.join("admin.sock")).unwrap();
    let said = stderr(
        &mut lnsd(&[
            "run",
            "--manifest",
            &path,
            "--state",
            state.to_str().unwrap(),
        ]),
        1,
    );
    assert!(said.contains("another lnsd answers at"), "{said}");
    assert!(state.join("admin.sock").exists());
}

#[test]
fn help_has_an_example_and_the_version_a_commit() {
    lnsd(&["sessions", "--help"]).assert().success();
    let help = lnsd(&["--help"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&help.stdout)
            .contains("Exit codes: 0 done, 1 failed, 2 bad input.")
    );
    let version = String::from_utf8(lnsd(&["--version"]).output().unwrap().stdout).unwrap();
    let commit = version
        .trim_end()
        .strip_prefix("lnsd 0.1.0 (")
        .and_then(|rest| rest.strip_suffix(')'));
    assert!(
        commit.is_some_and(|commit| commit == "unknown" || commit.len() >= 12),
        "{version}"
    );
}
