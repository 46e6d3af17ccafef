//! Runs `lnsd` in the pod of a member, and hands on what it prints and how it ends.

use core::time::Duration;
use std::io::{self, Write};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Access;
use crate::failure::{Failure, of_api};
use crate::member::{LNSD, Member};

/// Where the image has it: there is no shell that would look for it.
pub(crate) const PROGRAM: &str = "/usr/local/bin/lnsd";

/// What a process ends with that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// How long the last message may take to go out.
const LEAVE: Duration = Duration::from_millis(250);

/// Runs a command there. `follows`: it goes on until it is ended from here.
///
/// # Errors
/// It could not be run, or nobody knows how it ended.
pub(crate) async fn run(
    access: &Access,
    member: &Member,
    arguments: &[String],
    follows: bool,
    output: &mut (impl Write + Send),
) -> Result<u8, Failure> {
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), &access.namespace);
    let how = AttachParams::default()
        .container(LNSD)
        .stdin(follows)
        .stdout(true)
        .stderr(true);
    let started = pods
        .exec(&member.pod, command(arguments, follows), &how)
        .await;
    let mut process = started.map_err(|error| {
        let what = format!("running lnsd in {} on {}", member.pod, member.node);
        of_api(&what, &error)
    })?;
    let ended = tokio::select! {
        ended = follow(&mut process, output) => ended,
        () = interrupted() => {
            leave(&mut process).await;
            return Ok(INTERRUPTED);
        }
    };
    match ended? {
        Ended::Told(status) => exit_code(&status),
        Ended::Lost => Err(Failure::Failed(format!(
            "the connection to {} ended before the command did: is its node well?",
            member.pod
        ))),
        Ended::Unread => {
            leave(&mut process).await;
            Ok(0)
        }
    }
}

/// A signal does not get there: what runs on ends with its standard input.
fn command(arguments: &[String], follows: bool) -> Vec<String> {
    let attached = follows.then(|| "--attached".to_owned());
    let words = [PROGRAM.to_owned()].into_iter().chain(attached);
    words.chain(arguments.iter().cloned()).collect()
}

/// How the following of a command ended.
enum Ended {
    /// It has ended, in this way.
    Told(Box<Status>),
    /// The connection has.
    Lost,
    /// Nobody reads here what it prints.
    Unread,
}

async fn follow(
    process: &mut AttachedProcess,
    output: &mut (impl Write + Send),
) -> Result<Ended, Failure> {
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let mut errors = io::stderr();
    match tokio::try_join!(copy(stdout, output), copy(stderr, &mut errors)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ended::Unread),
        Err(error) => return Err(Failure::failed("cannot write what the member sends", error)),
    }
    let told = match status {
        Some(status) => status.await,
        None => None,
    };
    Ok(told.map_or(Ended::Lost, |status| Ended::Told(Box::new(status))))
}

/// As it comes: whoever follows wants to see it at once.
async fn copy(from: Option<impl AsyncRead + Unpin>, to: &mut impl Write) -> io::Result<()> {
    let Some(mut from) = from else {
        return Ok(());
    };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(octets) = buffer.get(..length).filter(|octets| !octets.is_empty()) else {
            return Ok(());
        };
        to.write_all(octets)?;
        to.flush()?;
    }
}

/// Closes the standard input, and the connection when that has gone out.
async fn leave(process: &mut AttachedProcess) {
    if let Some(mut stdin) = process.stdin() {
        let _closed = stdin.shutdown().await;
        tokio::time::sleep(LEAVE).await;
    }
    process.abort();
}

async fn interrupted() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return core::future::pending().await;
    };
    tokio::select! {
        heard = tokio::signal::ctrl_c() => if heard.is_err() {
            core::future::pending::<()>().await;
        },
        _ = terminated.recv() => {}
    }
}

/// What the process ended with, as the kubelet tells it.
fn exit_code(status: &Status) -> Result<u8, Failure> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .as_ref()
        .and_then(|details| details.causes.as_deref());
    let code = causes
        .unwrap_or_default()
        .iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .and_then(|cause| cause.message.as_deref()?.parse().ok());
    code.ok_or_else(|| {
        let message = status.message.as_deref().unwrap_or("nothing is said");
        Failure::failed("the member could not run it", message)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(status: serde_json::Value) -> Result<u8, Failure> {
        exit_code(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        let ended = |code: &str| {
            json!({
                "status": "Failure", "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code }] },
            })
        };
        assert_eq!(code(json!({ "status": "Success" })), Ok(0));
        assert_eq!(code(ended("1")), Ok(1));
        assert_eq!(code(ended("2")), Ok(2));
        let failed = code(json!({ "status": "Failure", "message": "no such file" })).unwrap_err();
        assert_eq!(
            failed.to_string(),
            "the member could not run it: no such file"
        );
    }

    #[test]
    fn what_follows_ends_with_its_input_and_what_answers_has_none() {
        let arguments = ["trace".to_owned(), "--user".to_owned(), "alice".to_owned()];
        assert_eq!(
            command(&arguments, false),
            [PROGRAM, "trace", "--user", "alice"]
        );
        assert_eq!(
            command(&arguments, true),
            [PROGRAM, "--attached", "trace", "--user", "alice"]
        );
    }

    #[tokio::test]
    async fn what_comes_is_written_at_once_and_whole() {
        let (mut far, near) = tokio::io::duplex(64);
        let sent: Vec<u8> = (0..40_000_u32).map(|it| it.to_be_bytes()[3]).collect();
        let of_task = sent.clone();
        let sender = tokio::spawn(async move {
            far.write_all(&of_task).await.unwrap();
        });
        let mut got = Vec::new();
        copy(Some(near), &mut got).await.unwrap();
        sender.await.unwrap();
        assert!(got == sent);
    }
}
