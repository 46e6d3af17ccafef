//! Writes the custom resource definitions, as they are committed in `crds/`: into the folder that is
//! given (`cargo run -p lns-api --bin crdgen crds`), or all of them to the standard output.
//!
//! `crdgen compare OLD [NEW]` says what the definitions in the folder NEW, or those of now, have lost
//! against those in the folder OLD, a line each, and fails where that is something.

use std::{env, ffi::OsString, fs, io::Write as _, path::Path, process::ExitCode};

use lns_api::{Resource, released};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let done = match arguments.as_slice() {
        [] => generate(None),
        [word, old] if word == "compare" => compare(Path::new(old), None),
        [word, old, new] if word == "compare" => compare(Path::new(old), Some(Path::new(new))),
        [folder] if folder != "compare" => generate(Some(Path::new(folder))),
        _ => Err("say \"crdgen\", \"crdgen FOLDER\" or \"crdgen compare OLD [NEW]\"".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("crdgen: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn generate(folder: Option<&Path>) -> Result<(), String> {
    for resource in Resource::ALL {
        let yaml = definition(resource)?;
        match folder {
            Some(folder) => write(&folder.join(resource.file()), &yaml)?,
            None => print(&format!("---\n{yaml}"))?,
        }
    }
    Ok(())
}

fn compare(old: &Path, new: Option<&Path>) -> Result<(), String> {
    let now = match new {
        Some(folder) => released::read(folder)?,
        None => generated()?,
    };
    let lost = released::losses(&released::read(old)?, &now, released::REASONS);
    for loss in &lost {
        print(&format!("{} {}\n", loss.path, loss.message))?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err(format!(
        "objects that {} accepts would be refused or would mean something else",
        old.display()
    ))
}

fn generated() -> Result<Vec<Value>, String> {
    let parsed = |yaml: String| serde_saphyr::from_str(&yaml).map_err(|error| error.to_string());
    let all = Resource::ALL.into_iter();
    all.map(|resource| definition(resource).and_then(parsed))
        .collect()
}

fn definition(resource: Resource) -> Result<String, String> {
    resource.crd_yaml().map_err(|error| error.to_string())
}

fn write(path: &Path, yaml: &str) -> Result<(), String> {
    fs::write(path, yaml).map_err(|error| format!("{}: {error}", path.display()))
}

fn print(text: &str) -> Result<(), String> {
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| error.to_string())
}
