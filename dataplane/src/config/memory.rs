//! How much memory this process may use: what its control group (version 2) and those above it allow,
//! else all that the machine has.

use std::fs;
use std::path::{Component, Path};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Octets that this process may use. `None` where the kernel does not say.
pub(crate) fn limit() -> Option<u64> {
    limit_in(Path::new("/proc"), Path::new(GROUPS))
}

fn limit_in(proc: &Path, groups: &Path) -> Option<u64> {
    let of_machine = fs::read_to_string(proc.join("meminfo")).ok();
    let of_machine = of_machine.as_deref().and_then(total);
    let of_group = fs::read_to_string(proc.join("self/cgroup")).ok();
    let of_group = of_group.as_deref().and_then(path).map(Path::new);
    let limits = of_group.into_iter().flat_map(|path| {
        // Of a path with `..` in it nothing is known: it is of another namespace.
        let is_ours = !path.components().any(|part| part == Component::ParentDir);
        let within = path.ancestors().filter(move |_| is_ours);
        within.filter_map(|group| {
            let group = groups.join(group.strip_prefix("/").unwrap_or(group));
            let text = fs::read_to_string(group.join("memory.max")).ok()?;
            // `max` is no number: there is no limit at this level.
            text.trim().parse().ok()
        })
    });
    limits.chain(of_machine).min()
}

/// The path of the process's group of version 2, as `/proc/self/cgroup` has it.
fn path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// `MemTotal` of `/proc/meminfo`, octets.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A machine with 8 GiB whose process is in this group, with these limits.
    fn machine(group: &str, limits: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |file: &str, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write(
            "proc/meminfo",
            "MemTotal:        8388608 kB\nMemFree:         1000 kB\n",
        );
        write("proc/self/cgroup", &format!("4:memory:/old\n0::{group}\n"));
        for (group, limit) in limits {
            write(&format!("groups/{group}/memory.max"), limit);
        }
        folder
    }

    fn limit_of(group: &str, limits: &[(&str, &str)]) -> Option<u64> {
        let machine = machine(group, limits);
        limit_in(&machine.path().join("proc"), &machine.path().join("groups"))
    }

    #[test]
    fn without_a_limit_it_is_what_the_machine_has() {
        assert_eq!(limit_of("/", &[]), Some(8 << 30));
        assert_eq!(limit_of("/a", &[("a", "max\n")]), Some(8 << 30));
    }

    #[test]
    fn the_tightest_limit_of_the_group_and_of_those_above_it_counts() {
        let both = [("a/b", "3000000\n"), ("a", "2000000\n")];
        assert_eq!(limit_of("/a/b", &both), Some(2_000_000));
        assert_eq!(
            limit_of("/a/b", &[("a/b", "3000000\n"), ("a", "max\n")]),
            Some(3_000_000)
        );
        assert_eq!(
            limit_of("/", &[("", "1000000\n")]),
            Some(1_000_000),
            "a container's own"
        );
        assert_eq!(
            limit_of("/a", &[("b", "5\n")]),
            Some(8 << 30),
            "another group's"
        );
        assert_eq!(
            limit_of("/a", &[("a", "999999999999999\n")]),
            Some(8 << 30),
            "no more than there is"
        );
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(limit_in(folder.path(), folder.path()), None);
        assert_eq!(limit_of("/../b", &[("../b", "5\n")]), Some(8 << 30));
    }

    #[test]
    fn this_machine_says_something() {
        assert!(limit().is_some_and(|octets| octets > 1 << 20));
    }
}
