//! Many sessions, and packets per second. The figures are printed; what is asserted holds on any
//! machine.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;

use super::{Scenario, expect, options, start, topology};
use crate::blast::{self, Run, Sink};
use crate::lac::{Lac, Options, Stage};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::{self, Namespace};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "scale-10000-sessions",
        says: "10,000 sessions over 20 tunnels, none fails",
        run: ten_thousand,
    },
    Scenario {
        name: "scale-packets",
        says: "packets per second through 1,000 sessions",
        run: packets,
    },
];

fn ten_thousand() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let many = Options {
        tunnels: 20,
        sessions: 10_000,
        in_flight: 512,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;
    let report = lac.report();
    expect(
        lnsd.status("sessions")? == 10_000,
        "the LNS shows another number",
    )?;
    let mut addresses = lac.addresses();
    addresses.sort_unstable();
    addresses.dedup();
    expect(addresses.len() == 10_000, "an address was given twice")?;
    expect(
        lnsd.status("overdue")? == 0,
        "the sweep found something overdue",
    )?;
    let memory = lnsd.memory()?;
    let started = std::time::Instant::now();
    lac.close()?;
    lnsd.wait(Duration::from_secs(10), "all are gone", |lnsd| {
        Ok(lnsd.status("sessions")? == 0)
    })?;
    Ok(format!(
        "{:.0} per second, p50 {} ms, p99 {} ms, torn down in {:.1} s, lnsd has {memory} MiB",
        report.setups_per_second,
        report.setup_milliseconds_p50,
        report.setup_milliseconds_p99,
        started.elapsed().as_secs_f64(),
    ))
}

/// One measurement of packets through the LNS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Packets that the generator sent.
    pub(crate) sent: u64,
    /// Packets that arrived.
    pub(crate) arrived: u64,
    /// For how long.
    pub(crate) took: Duration,
    /// CPU time that `lnsd` used.
    pub(crate) cpu: Duration,
}

impl Rate {
    /// Packets that arrived per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.arrived as f64 / self.took.as_secs_f64()
    }

    /// Packets that arrived per CPU second of `lnsd`.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.arrived as f64 / self.cpu.as_secs_f64().max(0.01)
    }

    /// Packets lost, percent of those sent.
    pub(crate) fn loss(&self) -> f64 {
        100.0 * self.sent.saturating_sub(self.arrived) as f64 / self.sent.max(1) as f64
    }
}

/// Sends `runs` at `rate` and counts what arrives by `count`.
fn measure(
    lnsd: &Lnsd<'_>,
    runs: &[Run],
    rate: u64,
    duration: Duration,
    count: impl Fn() -> u64,
) -> Result<Rate> {
    let (cpu, before) = (lnsd.cpu()?, count());
    let sent = blast::send(runs, rate, duration, &AtomicBool::new(false))?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(Rate {
        sent: sent.packets,
        arrived: count() - before,
        took: sent.took,
        cpu: lnsd.cpu()?.saturating_sub(cpu),
    })
}

/// Packets of `size` octets from all subscribers to a counter in the core.
pub(crate) fn upstream(
    core: &Namespace,
    lnsd: &Lnsd<'_>,
    lac: &Lac,
    size: usize,
    rate: u64,
    duration: Duration,
) -> Result<Rate> {
    let socket = core.enter(|| Sink::bind(blast::PORT))??;
    let sink = Sink::default();
    let runs = lac.upstream(net::CORE, size)?;
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| sink.count(&socket));
        let result = measure(lnsd, &runs, rate, duration, || sink.packets());
        sink.stop();
        counter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        result
    })
}

/// Packets of `size` octets from the core to all subscribers.
pub(crate) fn downstream(
    core: &Namespace,
    lnsd: &Lnsd<'_>,
    lac: &Lac,
    size: usize,
    rate: u64,
    duration: Duration,
) -> Result<Rate> {
    let runs = core.enter(|| blast::downstream(&lac.addresses(), size))??;
    measure(lnsd, &runs, rate, duration, || lac.shared().down.packets())
}

fn packets() -> Result<String> {
    const OFFERED: u64 = 40_000;
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let many = Options {
        tunnels: 4,
        sessions: 1000,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;
    let duration = Duration::from_secs(3);
    let mut figures = Vec::new();
    for size in [64, 1400] {
        let up = upstream(&topology.core, &lnsd, &lac, size, OFFERED, duration)?;
        let down = downstream(&topology.core, &lnsd, &lac, size, OFFERED, duration)?;
        for (name, rate) in [("up", up), ("down", down)] {
            // How fast the machine is decides how much is lost, and is printed. That packets move at
            // all under load, and that no session ends for it, is asserted.
            expect(
                rate.loss() < 90.0,
                format!("{name}, {size} octets at {OFFERED} per second: {rate:?}"),
            )?;
            figures.push(format!(
                "{name} {size} B {:.0} kpps, {:.0} kpps per CPU s, {:.1} % lost",
                rate.per_second() / 1e3,
                rate.per_cpu_second() / 1e3,
                rate.loss()
            ));
        }
    }
    expect(
        lac.shared().count(|stage| *stage == Stage::Up) == 1000,
        "sessions ended under load",
    )?;
    lac.close()?;
    Ok(figures.join("; "))
}
