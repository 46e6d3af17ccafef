//! The number of a node's start: one that no start before had, for the names of sessions.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tracing::warn;

/// The name of the file in the state folder.
const FILE: &str = "epoch";

/// The number of this start: higher than that of every start that `folder` knows of, and, where it knows of
/// none (it is new, or was lost), than those of all starts before this second. `date` is now, in seconds
/// since 1970.
///
/// It is on disk when this returns. If it cannot be, that is logged, and the clock alone stands for it.
pub fn next_epoch(folder: &Path, date: u64) -> u64 {
    let path = folder.join(FILE);
    let before = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().unwrap_or_else(|_| {
            warn!("{} is no number: the clock stands for it", path.display());
            0
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            warn!("{} cannot be read: {error}", path.display());
            0_u64
        }
    };
    let epoch = before.saturating_add(1).max(date);
    if let Err(error) = write(folder, &path, epoch) {
        warn!(
            "{} cannot be written ({error}): should the clock go back before the next start, sessions may have the names of earlier ones",
            path.display()
        );
    }
    epoch
}

/// All of it or nothing, whatever happens meanwhile.
fn write(folder: &Path, path: &Path, epoch: u64) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{epoch}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_a_higher_number_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let starts = [1000, 1000, 900, 0, 2000, 2001].map(|date| next_epoch(folder.path(), date));
        assert_eq!(starts, [1000, 1001, 1002, 1003, 2000, 2001]);
    }

    #[test]
    fn a_lost_or_damaged_file_repeats_no_number_while_the_clock_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let first = next_epoch(folder.path(), 1000);
        for damage in ["", "-1", "99999999999999999999999", "\u{fffd}"] {
            fs::write(&path, damage).unwrap();
            assert!(next_epoch(folder.path(), 1001) > first);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(next_epoch(folder.path(), 1002), 1002);
    }

    #[test]
    fn without_a_folder_the_clock_stands_for_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(next_epoch(&folder.path().join("missing"), 1000), 1000);
    }
}
