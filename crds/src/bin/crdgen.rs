//! Prints the custom resource definition, as it is committed in `crds/lnsclusters.kubelns.io.yaml`.

use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    match lns_api::schema::crd_yaml() {
        Ok(yaml) if std::io::stdout().write_all(yaml.as_bytes()).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}
