//! Writes the custom resource definitions, as they are committed in `crds/`: into the folder that is
//! given (`cargo run -p lns-api --bin crdgen crds`), or all of them to the standard output.

use std::{env, fs, io::Write as _, path::Path, process::ExitCode};

use lns_api::Resource;

fn main() -> ExitCode {
    let folder = env::args_os().nth(1);
    for resource in Resource::ALL {
        let written = definition(resource).and_then(|yaml| match &folder {
            Some(folder) => write(&Path::new(folder).join(resource.file()), &yaml),
            None => print(&yaml),
        });
        if let Err(reason) = written {
            eprintln!("crdgen: {reason}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn definition(resource: Resource) -> Result<String, String> {
    resource.crd_yaml().map_err(|error| error.to_string())
}

fn write(path: &Path, yaml: &str) -> Result<(), String> {
    fs::write(path, yaml).map_err(|error| format!("{}: {error}", path.display()))
}

fn print(yaml: &str) -> Result<(), String> {
    let text = format!("---\n{yaml}");
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| error.to_string())
}
