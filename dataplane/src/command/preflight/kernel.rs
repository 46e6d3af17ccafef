//! What the kernel says of itself in files, judged.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::Check;
use crate::command::table::octets;
use crate::config::memory_limit;

/// From here on nftables has hooks where packets leave an interface.
const OLDEST: (u32, u32) = (5, 16);
/// From here on nobody but lnsd can change its gate.
const SHIELDED: (u32, u32) = (6, 9);

/// Sources of time that cost nothing to ask and do not drift; the others are asked over a bus, or tick.
const CLOCKS: [&str; 6] = [
    "tsc",
    "kvm-clock",
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
    "hyperv_clocksource_msr",
    "xen",
];

/// What a member needs at least, and what it should have: some thousand sessions.
const MEMORY: [u64; 2] = [128 << 20, 512 << 20];

/// Capabilities by their number in the mask, with what they are for.
const CAPABILITIES: [(u32, &str, &str); 2] = [
    (
        12,
        "NET_ADMIN",
        "the subscribers' interface, routes, nftables and marks",
    ),
    (
        13,
        "NET_RAW",
        "ARP of the service address (announce.mode L2)",
    ),
];

/// What is looked at.
#[derive(Debug)]
pub(super) struct Machine {
    release: String,
    /// `CapEff` of the process.
    capabilities: u64,
    clock_source: String,
    memory: Option<u64>,
    /// Settings of the network.
    sysctls: PathBuf,
}

impl Machine {
    /// The one that this runs on.
    pub(super) fn here(sysctls: &Path) -> Self {
        let status = read("/proc/self/status");
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self {
            release: read("/proc/sys/kernel/osrelease"),
            capabilities: mask.unwrap_or(0),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            memory: memory_limit(),
            sysctls: sysctls.to_owned(),
        }
    }
}

fn read(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim().to_owned()
}

/// All checks of this module.
pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    vec![
        version(&machine.release),
        capabilities(machine.capabilities),
        clock_source(&machine.clock_source),
        boot_time(),
        memory(machine.memory),
        sysctls(&machine.sysctls),
        reverse_path(&machine.sysctls),
    ]
}

fn version(release: &str) -> Check {
    let name = "kernel";
    let mut parts = release.split(['.', '-']);
    let mut part = || parts.next().and_then(|part| part.parse().ok());
    let version: Option<(u32, u32)> = part().zip(part());
    match version {
        None => Check::warn(
            name,
            release,
            "its version cannot be read: 5.16 is the oldest that does",
        ),
        Some(version) if version < OLDEST => Check::fail(
            name,
            release,
            "5.16 is the oldest that has all hooks of nftables by which a member is fenced",
        ),
        Some(version) if version < SHIELDED => Check::warn(
            name,
            release,
            "before 6.9 `nft flush ruleset` removes the fence of a member until its next hold",
        ),
        Some(_) => Check::ok(name, release),
    }
}

fn capabilities(mask: u64) -> Check {
    let name = "capabilities";
    let missing = |(bit, ..): &&(u32, &str, &str)| (mask >> bit) & 1 == 0;
    let names = |all: &[(u32, &'static str, &str)]| {
        let names = all.iter().map(|(_, name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    let lacking: Vec<_> = CAPABILITIES.iter().filter(missing).copied().collect();
    if lacking.is_empty() {
        return Check::ok(name, names(&CAPABILITIES));
    }
    let uses = lacking
        .iter()
        .map(|(_, name, uses)| format!("{name}: {uses}"));
    let advice = format!(
        "give them to the container, or run as root. {}",
        uses.collect::<Vec<_>>().join("; ")
    );
    let found = format!("without {}", names(&lacking));
    if lacking.iter().any(|(_, name, _)| *name == "NET_ADMIN") {
        Check::fail(name, found, advice)
    } else {
        Check::warn(name, found, advice)
    }
}

fn clock_source(source: &str) -> Check {
    let name = "clock source";
    if CLOCKS.contains(&source) {
        return Check::ok(name, source);
    }
    let found = if source.is_empty() { "unknown" } else { source };
    Check::warn(
        name,
        found,
        "leases are timed by it, and each packet: see `dmesg | grep -i clocksource` for why it is not tsc or the hypervisor's",
    )
}

/// The clock of leases: it counts through a suspend, and never backwards.
fn boot_time() -> Check {
    let name = "boot time";
    let before = lns_gate::clock::now();
    thread::sleep(Duration::from_millis(20));
    let passed = lns_gate::clock::now().since(before);
    if passed < Duration::from_millis(20) {
        return Check::fail(
            name,
            format!("CLOCK_BOOTTIME went {passed:?} in 20 ms"),
            "leases are timed by it: is the machine's clock emulated?",
        );
    }
    Check::ok(name, format!("up for {} s", before.as_secs()))
}

fn memory(limit: Option<u64>) -> Check {
    let name = "memory";
    let [least, enough] = MEMORY;
    match limit {
        None => Check::warn(
            name,
            "unknown",
            "neither a control group nor /proc/meminfo says how much there is: set spec.datapath.sessionTable.entries",
        ),
        Some(limit) if limit < least => Check::fail(
            name,
            octets(limit),
            format!("give it {} at least", octets(enough)),
        ),
        Some(limit) if limit < enough => Check::warn(
            name,
            octets(limit),
            format!(
                "a quarter of it is for flows: {} are enough for a start",
                octets(enough)
            ),
        ),
        Some(limit) => Check::ok(name, octets(limit)),
    }
}

/// Writes what is there already.
fn sysctls(root: &Path) -> Check {
    let name = "sysctls";
    let file = root.join("ipv4/conf/lo/forwarding");
    let written = fs::read_to_string(&file).and_then(|value| fs::write(&file, value.trim()));
    match written {
        Ok(()) => Check::ok(name, format!("{} is writable", root.display())),
        Err(error) => Check::fail(
            name,
            format!("{}: {error}", file.display()),
            "in a container, mount the node's /proc/sys/net, name it with --sysctls, and run as root; the pods of the operator do",
        ),
    }
}

/// The stricter of `all` and the interface's own counts, so that `all` concerns our interfaces too.
fn reverse_path(root: &Path) -> Check {
    let name = "reverse path";
    let all = fs::read_to_string(root.join("ipv4/conf/all/rp_filter"));
    match all.as_deref().map(str::trim) {
        Ok("1") => Check::warn(
            name,
            "net.ipv4.conf.all.rp_filter is 1",
            "packets of routers and LACs that come by another way than answers go are dropped: set 0 or 2 where several nodes serve one address",
        ),
        Ok(value) => Check::ok(name, format!("net.ipv4.conf.all.rp_filter is {value}")),
        Err(error) => Check::warn(name, error.to_string(), "mount the node's /proc/sys/net"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_kernel_is_judged_by_what_it_has() {
        for (release, outcome) in [
            ("5.15.0-91-generic", Outcome::Fail),
            ("5.16.0", Outcome::Warn),
            ("6.8.0-45-generic", Outcome::Warn),
            ("6.9.1", Outcome::Ok),
            ("10.0-rc1", Outcome::Ok),
            ("none", Outcome::Warn),
        ] {
            assert_eq!(version(release).outcome, outcome, "{release}");
        }
    }

    #[test]
    fn a_missing_capability_is_named_with_what_it_is_for() {
        assert_eq!(capabilities(u64::MAX).outcome, Outcome::Ok);
        let without_raw = capabilities(1 << 12);
        assert_eq!(without_raw.outcome, Outcome::Warn);
        assert_eq!(without_raw.found, "without NET_RAW");
        let none = capabilities(0);
        assert_eq!(none.outcome, Outcome::Fail);
        assert!(
            none.advice
                .contains("NET_ADMIN: the subscribers' interface")
        );
    }

    #[test]
    fn clocks_that_are_slow_or_drift_are_told() {
        for (source, outcome) in [
            ("tsc", Outcome::Ok),
            ("kvm-clock", Outcome::Ok),
            ("hpet", Outcome::Warn),
            ("acpi_pm", Outcome::Warn),
            ("", Outcome::Warn),
        ] {
            assert_eq!(clock_source(source).outcome, outcome, "{source}");
        }
        assert_eq!(boot_time().outcome, Outcome::Ok);
    }

    #[test]
    fn little_memory_is_told() {
        for (limit, outcome) in [
            (None, Outcome::Warn),
            (Some(64 << 20), Outcome::Fail),
            (Some(256 << 20), Outcome::Warn),
            (Some(1 << 30), Outcome::Ok),
        ] {
            assert_eq!(memory(limit).outcome, outcome, "{limit:?}");
        }
    }

    #[test]
    fn settings_must_be_writable_and_strict_ones_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(sysctls(root).outcome, Outcome::Fail);
        assert_eq!(reverse_path(root).outcome, Outcome::Warn);
        for name in ["lo", "all"] {
            fs::create_dir_all(root.join("ipv4/conf").join(name)).unwrap();
        }
        let lo = root.join("ipv4/conf/lo/forwarding");
        fs::write(&lo, "1\n").unwrap();
        assert_eq!(sysctls(root).outcome, Outcome::Ok);
        assert_eq!(fs::read_to_string(&lo).unwrap().trim(), "1");
        for (value, outcome) in [
            ("0\n", Outcome::Ok),
            ("1\n", Outcome::Warn),
            ("2\n", Outcome::Ok),
        ] {
            fs::write(root.join("ipv4/conf/all/rp_filter"), value).unwrap();
            assert_eq!(reverse_path(root).outcome, outcome, "{value}");
        }
    }
}
