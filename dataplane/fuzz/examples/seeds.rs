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
    if lns_fuzz::find(&family).is_none() {
        eprintln!("{family} is no family");
        return ExitCode::FAILURE;
    }
    for case in lns_fuzz::corpus::load(&family) {
        let name = case.path.file_stem().unwrap_or_default();
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join(name), &case.octets));
        if let Err(error) = written {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
