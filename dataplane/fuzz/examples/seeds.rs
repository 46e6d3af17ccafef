//! Writes the corpus of a family as octets, one file each, into a folder: what a fuzzer starts from.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(family), Some(folder)) = (arguments.next(), arguments.next().map(PathBuf::from))
    else {
        eprintln!("seeds FAMILY FOLDER");
        return ExitCode::FAILURE;
    };
    let Some(found) = lns_fuzz::find(&family) else {
        eprintln!("{family} is no family");
        return ExitCode::FAILURE;
    };
    for (name, octets) in found.seeds() {
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join(name), octets));
        if let Err(error) = written {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
