//! Where a command writes what is not for reading: a file of its owner, or the standard output (`-`).

use std::fs::File;
use std::io::{self, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What stands for the standard output.
const OUTPUT: &str = "-";

/// One of them.
#[derive(Debug)]
pub(super) enum Sink {
    /// A new file.
    File(File),
    /// The standard output.
    Output(Stdout),
}

/// Whether this is no file but the standard output.
pub(super) fn is_output(path: &Path) -> bool {
    path.as_os_str() == OUTPUT
}

impl Sink {
    /// Makes the file, for its owner only: names and numbers of subscribers are in it. One that is there already
    /// is not written over.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if is_output(path) {
            return Ok(Self::Output(io::stdout()));
        }
        let created = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        created.map(Self::File)
    }

    /// All of it is there for good.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::File(file) => file.sync_all(),
            Self::Output(_) => Ok(()),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(octets),
            // The standard output keeps what has no line's end until it is told not to.
            Self::Output(output) => {
                output.write_all(octets)?;
                output.flush()?;
                Ok(octets.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Output(output) => output.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_hyphen_is_the_standard_output_and_anything_else_a_file_of_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("-");
        let mut file = Sink::open(&path).unwrap();
        file.write_all(b"text").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let there = Sink::open(&path).unwrap_err();
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
        assert!(matches!(
            Sink::open(Path::new("-")).unwrap(),
            Sink::Output(_)
        ));
    }
}
