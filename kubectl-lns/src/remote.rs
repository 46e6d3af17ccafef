//! The commands of `lnsd`, and files of theirs that are to be here and not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cli::{Place, Remote};
use crate::cluster::Access;
use crate::exec;
use crate::failure::Failure;
use crate::member::{self, Member};

/// Runs a command at a member.
///
/// # Errors
/// What keeps it from being run.
pub(crate) async fn run(access: &Access, place: &Place, remote: Remote) -> Result<u8, Failure> {
    let cluster = access.cluster(place).await?.name_any();
    let members = member::members(access, &cluster).await?;
    // What can be asked every one can say.
    let is_for_master = remote.is_for_master && !remote.is_help();
    let member = member::choose(&members, place.node.as_deref(), is_for_master)?;
    if remote.file.is_some() && !remote.is_help() {
        return with_file(access, member, remote).await;
    }
    let mut words = vec![remote.command.to_owned()];
    words.extend(remote.arguments);
    exec::run(access, member, &words, remote.follows, &mut io::stdout()).await
}

/// The file is written here: what comes over the standard output is what goes into it.
async fn with_file(access: &Access, member: &Member, remote: Remote) -> Result<u8, Failure> {
    let (named, others) = file_of(&remote.arguments)?;
    let default = remote
        .file
        .filter(|it| !it.is_empty())
        .map(|it| default_name(it, &member.node, Timestamp::now()));
    let mut words = vec![remote.command.to_owned()];
    words.extend(others);
    let Some(path) = named.or(default) else {
        return exec::run(access, member, &words, remote.follows, &mut io::stdout()).await;
    };
    words.extend(["-w".to_owned(), "-".to_owned()]);
    if path == "-" {
        return exec::run(access, member, &words, remote.follows, &mut io::stdout()).await;
    }
    let mut file = Local::of(Path::new(&path))?;
    let ended = exec::run(access, member, &words, remote.follows, &mut file).await;
    file.end(remote.command, &ended);
    ended
}

fn default_name(what: &str, node: &str, now: Timestamp) -> String {
    format!("{what}-{node}-{}.tar.gz", now.strftime("%Y%m%dT%H%M%SZ"))
}

/// The file that `-w` or `--write` names, and all the rest.
fn file_of(arguments: &[String]) -> Result<(Option<String>, Vec<String>), Failure> {
    let (mut file, mut others) = (None, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let glued = word.strip_prefix("--write=");
        let glued = glued.or_else(|| word.strip_prefix("-w").filter(|it| !it.is_empty()));
        if word == "-w" || word == "--write" {
            let name = words.next();
            let name =
                name.ok_or_else(|| Failure::bad_input(format!("{word} needs the name of a file")))?;
            file = Some(name.clone());
        } else if let Some(name) = glued {
            file = Some(name.strip_prefix('=').unwrap_or(name).to_owned());
        } else {
            others.push(word.clone());
        }
    }
    Ok((file, others))
}

/// A file that is made when the first octet of it comes: none is left by a command that could not be run.
struct Local {
    path: PathBuf,
    file: Option<File>,
}

impl Local {
    fn of(path: &Path) -> Result<Self, Failure> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(Failure::bad_input(format!(
                "{} is there already and is not overwritten: name another file with -w",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file: None,
        })
    }

    /// A capture that was broken off has what came before; half a bundle is none.
    fn end(self, command: &str, ended: &Result<u8, Failure>) {
        if self.file.is_none() {
            return;
        }
        let path = self.path.display();
        match ended {
            Ok(0) => eprintln!("{path} is written"),
            _ if command == "trace" => eprintln!("{path} has what came until then"),
            _ => {
                let _leftover = fs::remove_file(&self.path);
            }
        }
    }
}

impl Write for Local {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            // Names and numbers of subscribers are in it.
            none => none.insert(
                File::options()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&self.path)
                    .map_err(|error| {
                        io::Error::other(format!("{}: {error}", self.path.display()))
                    })?,
            ),
        };
        file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_file_is_taken_out_of_what_the_member_gets() {
        for line in [
            "--user alice -w x.pcap --for 10m",
            "--user alice -wx.pcap --for 10m",
            "--write x.pcap --user alice --for 10m",
            "--user alice --for 10m --write=x.pcap",
        ] {
            let (file, others) = file_of(&words(line)).unwrap();
            assert_eq!(file.as_deref(), Some("x.pcap"), "{line}");
            assert_eq!(others, ["--user", "alice", "--for", "10m"], "{line}");
        }
        assert_eq!(file_of(&words("--user w")), Ok((None, words("--user w"))));
        assert!(file_of(&words("--user alice -w")).is_err());
    }

    #[test]
    fn a_file_is_made_with_its_first_octet_for_its_owner_and_none_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.pcap");
        Local::of(&path).unwrap().end("trace", &Ok(1));
        assert!(!path.exists());
        let mut local = Local::of(&path).unwrap();
        local.write_all(b"octets").unwrap();
        // Broken off: a capture is worth what it has.
        local.end("trace", &Ok(130));
        assert_eq!(fs::read(&path).unwrap(), b"octets");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(Local::of(&path), Err(Failure::BadInput(_))));
        // Half a bundle is none.
        let path = folder.path().join("report.tar.gz");
        let mut local = Local::of(&path).unwrap();
        local.write_all(b"octets").unwrap();
        local.end("report", &Ok(1));
        assert!(!path.exists());
    }

    #[test]
    fn a_report_is_called_by_its_node_and_the_time() {
        let at = "2026-11-27T20:01:02Z".parse().unwrap();
        assert_eq!(
            default_name("lnsd-report", "worker-1", at),
            "lnsd-report-worker-1-20261127T200102Z.tar.gz"
        );
    }
}
