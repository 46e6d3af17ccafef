//! `report`: what an engineer elsewhere needs to see of a node, in one file.
//!
//! [`PARTS`] lists what is collected; a line there adds a file. What cannot be collected is said in
//! `problems.txt` of the bundle and does not keep the rest from it: a report is wanted most when
//! something is broken.

use core::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::Client;
use super::read::pages;
use super::sink::{self, Sink};
use super::table::octets;
use crate::cli::{ReportArguments, State, VERSION};
use crate::failure::Failure;
use crate::host;

/// Rows of a table: the largest tables are cut, the beginning tells enough.
const ROWS: usize = 20_000;

/// Failures of the list: each has up to 32 messages, some 10 KiB.
const FAILURES: usize = 2_000;

/// Octets of a file in the bundle. The largest is a table with all its rows, generously.
const PART: usize = 32 << 20;

/// One file of the bundle.
struct Part {
    /// What it is called.
    file: &'static str,
    /// Where it is from.
    source: Source,
}

enum Source {
    /// An answer of the admin interface, a line for each field.
    Json(&'static str),
    /// An answer of the admin interface, as it is.
    Text(&'static str),
    /// Rows of a list of the admin interface: under which key they are, and how many at most.
    Rows(&'static str, usize),
    /// The lines of `/v1/logs`.
    Log,
    /// A file below `/proc/PID` of the process.
    Process(&'static str),
    /// A file of the machine.
    File(&'static str),
    /// What a program prints.
    Program(&'static [&'static str]),
    /// The settings of interfaces that the process has changed, with their former values.
    Sysctls,
}

const fn part(file: &'static str, source: Source) -> Part {
    Part { file, source }
}

/// What is collected, in this order.
const PARTS: &[Part] = &[
    part("status.json", Source::Json("/v1/status")),
    part("lacs.json", Source::Json("/v1/lacs")),
    part("pools.json", Source::Json("/v1/pools")),
    part("radius.json", Source::Json("/v1/radius")),
    part("tunnels.json", Source::Rows("tunnels", ROWS)),
    part("sessions.json", Source::Rows("sessions", ROWS)),
    part("flows.json", Source::Rows("flows", ROWS)),
    part("policies.json", Source::Json("/v1/policies")),
    part("failures.json", Source::Rows("failures", FAILURES)),
    part("metrics.txt", Source::Text("/metrics")),
    part("manifest.yaml", Source::Text("/v1/manifest")),
    part("openapi.json", Source::Json("/v1/openapi.json")),
    part("log.txt", Source::Log),
    part("process/cmdline", Source::Process("cmdline")),
    part("process/status", Source::Process("status")),
    part("process/limits", Source::Process("limits")),
    part("machine/os-release", Source::File("/etc/os-release")),
    part("machine/kernel", Source::File("/proc/version")),
    part("machine/cpus", Source::File("/proc/cpuinfo")),
    part("machine/memory", Source::File("/proc/meminfo")),
    part("machine/sysctls", Source::Sysctls),
    part(
        "machine/nft-version",
        Source::Program(&["nft", "--version"]),
    ),
    part(
        "machine/rules",
        Source::Program(&["nft", "list", "table", "inet", host::TABLE]),
    ),
    part(
        "machine/interfaces",
        Source::Program(&["ip", "-details", "-statistics", "address"]),
    ),
    part("machine/routes", Source::Program(&["ip", "route"])),
];

/// `lnsd report`
pub(crate) fn report(arguments: &ReportArguments) -> Result<(), Failure> {
    let name = format!(
        "lnsd-report-{}-{}",
        host_name(),
        Timestamp::now().strftime("%Y%m%dT%H%M%SZ")
    );
    let path = arguments
        .write
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    let file = create(&path)?;
    let is_output = sink::is_output(&path);
    let written = collect(&name, file, &arguments.state);
    match written {
        Ok((files, problems)) if is_output => eprintln!("{}", summary(None, files, problems)),
        Ok((files, problems)) => println!("{}", summary(Some(&path), files, problems)),
        Err(error) => {
            // Half a bundle is none.
            if !is_output {
                let _leftover = fs::remove_file(&path);
            }
            return Err(cannot_write(&path, error));
        }
    }
    Ok(())
}

/// The new file, for its owner only: it tells who the subscribers are.
fn create(path: &Path) -> Result<Sink, Failure> {
    Sink::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::bad_input(format!(
                "{} is there already and is not overwritten: name another file with -w",
                path.display()
            ))
        } else {
            cannot_write(path, error)
        }
    })
}

fn cannot_write(path: &Path, error: impl Display) -> Failure {
    Failure::Failed(format!(
        "cannot write {}: {error}: name another file with -w",
        path.display()
    ))
}

/// Without a path it is on the standard output.
fn summary(path: Option<&Path>, files: usize, problems: usize) -> String {
    let place = path.map_or_else(
        || "the standard output".to_owned(),
        |path| path.display().to_string(),
    );
    let size = path.and_then(|path| fs::metadata(path).ok());
    let size = size.map_or_else(String::new, |about| format!(", {}", octets(about.len())));
    let missing = match problems {
        0 => String::new(),
        1 => ", 1 thing could not be collected (problems.txt)".to_owned(),
        more => format!(", {more} things could not be collected (problems.txt)"),
    };
    format!(
        "{place}: {files} files{size}{missing}\nIt has no password and no secret in it; names, numbers and addresses of subscribers it has."
    )
}

/// Collects everything into `file` below the folder `name`: how many files there are, and how many
/// problems there were.
fn collect(name: &str, file: Sink, state: &State) -> io::Result<(usize, usize)> {
    let mut bundle = Bundle {
        tar: tar::Builder::new(GzEncoder::new(file, Compression::default())),
        folder: name.to_owned(),
        files: 0,
    };
    let mut problems = Vec::new();
    let node = Node::find(state, &mut problems);
    bundle.add(
        "report.txt",
        format!("lnsd {VERSION} made this at {}\n", Timestamp::now()).as_bytes(),
    )?;
    for part in PARTS {
        match node.read(&part.source, &mut problems) {
            Ok(mut text) => {
                if text.len() > PART {
                    text.truncate(PART);
                    problems.push(format!("{}: cut after {}", part.file, octets(PART as u64)));
                }
                bundle.add(part.file, &text)?;
            }
            Err(why) => {
                eprintln!("{:<22} {why}", part.file);
                problems.push(format!("{}: {why}", part.file));
            }
        }
    }
    if !problems.is_empty() {
        bundle.add("problems.txt", (problems.join("\n") + "\n").as_bytes())?;
    }
    let files = bundle.files;
    bundle.tar.into_inner()?.finish()?.finish()?;
    Ok((files, problems.len()))
}

/// The file that is being written.
struct Bundle {
    tar: tar::Builder<GzEncoder<Sink>>,
    folder: String,
    files: usize,
}

impl Bundle {
    fn add(&mut self, file: &str, text: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
        let path = format!("{}/{file}", self.folder);
        self.tar.append_data(&mut header, path, text)?;
        self.files += 1;
        eprintln!("{file:<22} {}", octets(text.len() as u64));
        Ok(())
    }
}

/// The process that is asked, as far as it can be found.
struct Node {
    client: Option<Client>,
    /// Its process, and whether it sees the same network as we do.
    process: Option<u32>,
    state: PathBuf,
}

impl Node {
    fn find(state: &State, problems: &mut Vec<String>) -> Self {
        let client = Client::new(state);
        let process = client
            .as_ref()
            .map_err(line)
            .and_then(|client| client.process().map_err(|why| line(&why)));
        if let Err(why) = &process {
            problems.push(why.clone());
        }
        let process = process.ok();
        if process.is_some_and(|process| network(&process.to_string()) != network("self")) {
            problems.push(
                "lnsd runs in another network namespace: machine/* is of this one".to_owned(),
            );
        }
        Self {
            client: client.ok(),
            process,
            state: state.directory.clone(),
        }
    }

    fn read(&self, source: &Source, problems: &mut Vec<String>) -> Result<Vec<u8>, String> {
        match source {
            Source::Json(path) => {
                let answer = self.client()?.read(path, &[]).map_err(|why| line(&why))?;
                Ok(format!("{answer:#}\n").into_bytes())
            }
            Source::Text(path) => self.client()?.text(path).map_err(|why| line(&why)),
            Source::Rows(key, most) => {
                let found = pages(self.client()?, key, &[], *most).map_err(|why| line(&why))?;
                if found.more {
                    problems.push(format!("{key}.json: truncated after {most} rows"));
                }
                let shown = json!({ *key: found.rows, "truncated": found.more });
                Ok(format!("{shown:#}\n").into_bytes())
            }
            Source::Log => self.log(),
            Source::Process(file) => {
                let process = self.process.ok_or("lnsd was not found")?;
                let path = Path::new("/proc").join(process.to_string()).join(file);
                let text = file_text(&path)?.into_iter();
                // What was typed has its words apart by zeros.
                Ok(text
                    .map(|octet| if octet == 0 { b' ' } else { octet })
                    .collect())
            }
            Source::File(path) => file_text(Path::new(path)),
            Source::Program(command) => program(command),
            Source::Sysctls => host::changed_sysctls(&self.state)
                .map(String::into_bytes)
                .map_err(|error| error.to_string()),
        }
    }

    fn client(&self) -> Result<&Client, String> {
        self.process.ok_or("lnsd does not answer")?;
        self.client
            .as_ref()
            .ok_or_else(|| "lnsd does not answer".to_owned())
    }

    fn log(&self) -> Result<Vec<u8>, String> {
        let answer = self
            .client()?
            .read("/v1/logs", &[])
            .map_err(|why| line(&why))?;
        let lines = answer.get("lines").and_then(Value::as_array);
        let left_out = answer.get("leftOut").and_then(Value::as_u64).unwrap_or(0);
        let mut text = match left_out {
            0 => String::new(),
            before => format!("({before} lines before these)\n"),
        };
        for line in lines.into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(line);
            text.push('\n');
        }
        Ok(text.into_bytes())
    }
}

/// Which network namespace a process is in.
fn network(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

fn file_text(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn program(command: &[&str]) -> Result<Vec<u8>, String> {
    let Some((name, arguments)) = command.split_first() else {
        return Err("no program".to_owned());
    };
    let output = Command::new(name)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it says nothing").to_owned();
    Err(format!("{} fails: {said}", command.join(" ")))
}

fn line(failure: &Failure) -> String {
    match failure {
        Failure::Failed(line) => line.clone(),
        Failure::BadInput(lines) => lines.join(" "),
    }
}

/// The machine's name, as far as it can be a part of a file's name.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |char: &char| char.is_ascii_alphanumeric() || "-.".contains(*char);
    let name: String = name.trim().chars().filter(plain).collect();
    if name.is_empty() {
        "host".to_owned()
    } else {
        name
    }
}
