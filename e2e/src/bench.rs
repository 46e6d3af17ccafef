//! `lns-e2e bench`: the figures of the classifier beside what is promised, as one table.
//!
//! What one packet costs comes from criterion's files and from `valgrind`'s counts, which `e2e/bench`
//! makes; what traffic costs is measured here, through a running `lnsd`. Runs that are compared are
//! interleaved, and each figure is the median of its runs with the best of them beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::l2sess;
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD};
use crate::net::{self, Topology};
use crate::scenario::{self, Rate};

/// Where the figures of single packets are.
#[derive(Args, Debug)]
pub(crate) struct BenchOptions {
    /// Criterion's folder
    #[arg(long, value_name = "FOLDER")]
    criterion: PathBuf,
    /// Lines of a name and a number each: what `valgrind` counted, octets
    #[arg(long, value_name = "FILE")]
    counts: PathBuf,
    /// Leave out what needs traffic
    #[arg(long)]
    no_traffic: bool,
}

/// One line of a table.
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What came out.
    pub(crate) measured: String,
    /// What should have.
    pub(crate) promised: String,
    /// `None`: nothing is promised, and there is nothing to hold.
    pub(crate) held: Option<bool>,
}

/// Prints the table. Says whether everything that is promised holds.
pub(crate) fn run(options: &BenchOptions) -> Result<bool> {
    let mut figures = packets(options)?;
    if !options.no_traffic {
        figures.extend(traffic()?);
        figures.push(flood()?);
    }
    print(&figures);
    Ok(figures.iter().all(|figure| figure.held != Some(false)))
}

/// Prints figures as a table.
pub(crate) fn print(figures: &[Figure]) {
    let width = |of: fn(&Figure) -> &str| {
        let widths = figures.iter().map(|figure| of(figure).chars().count());
        widths.max().unwrap_or(0)
    };
    let (what, measured) = (width(|it| &it.what), width(|it| &it.measured));
    println!("{:<what$}  {:<measured$}  promised", "figure", "measured");
    for figure in figures {
        let held = match figure.held {
            Some(true) => "  held",
            Some(false) => "  MISSED",
            None => "",
        };
        println!(
            "{:<what$}  {:<measured$}  {}{held}",
            figure.what, figure.measured, figure.promised
        );
    }
}

/// Nanoseconds of one iteration: the median, and the best sample.
pub(crate) struct Nanoseconds {
    /// Half of the samples took less.
    pub(crate) median: f64,
    /// All took more.
    pub(crate) best: f64,
}

impl Nanoseconds {
    /// What criterion has written into `folder` of a benchmark.
    pub(crate) fn of(folder: &Path, bench: &str) -> Result<Self> {
        let read = |file: &str| -> Result<Value> {
            let path = folder.join(bench).join("new").join(file);
            let text = std::fs::read_to_string(&path);
            let text = text.with_context(|| format!("reading {}", path.display()))?;
            Ok(serde_json::from_str(&text)?)
        };
        let estimates = read("estimates.json")?;
        let median = estimates.pointer("/median/point_estimate");
        let samples = read("sample.json")?;
        let list = |name: &str| -> Vec<f64> {
            let list = samples.get(name).and_then(Value::as_array);
            let numbers = list.into_iter().flatten();
            numbers.filter_map(Value::as_f64).collect()
        };
        let (iterations, times) = (list("iters"), list("times"));
        let each = times
            .iter()
            .zip(&iterations)
            .map(|(time, count)| time / count);
        Ok(Self {
            median: median.and_then(Value::as_f64).context("no median")?,
            best: each.fold(f64::INFINITY, f64::min),
        })
    }

    fn text(&self) -> String {
        format!("{:.1} ns (best {:.1})", self.median, self.best)
    }
}

fn packets(options: &BenchOptions) -> Result<Vec<Figure>> {
    let of = |bench: &str| Nanoseconds::of(&options.criterion, bench);
    let counts = std::fs::read_to_string(&options.counts);
    let counts = counts.with_context(|| format!("reading {}", options.counts.display()))?;
    let count = |name: &str| -> Option<f64> {
        let line = counts.lines().find_map(|line| line.strip_prefix(name));
        line?.trim().parse().ok()
    };
    let mut figures = Vec::new();
    for (flows, promised) in [(10_000, 150.0), (1_000_000, 300.0)] {
        let took = of(&format!("stateful/50/{flows}"))?;
        let instructions = count(&format!("instructions-{flows} ")).map_or_else(
            || "instructions not counted".to_owned(),
            |count| format!("{count:.0} instructions"),
        );
        figures.push(Figure {
            what: format!("packet of an established flow, {flows} flows"),
            measured: format!("{}, {instructions}", took.text()),
            promised: format!("<= {promised:.0} ns"),
            held: Some(took.median <= promised),
        });
    }
    // Criterion keeps the name `new` for itself.
    let fresh = of("new_50")?;
    figures.push(Figure {
        what: "new flows, 50 rules".to_owned(),
        measured: format!("{:.0} per second, {}", 1e9 / fresh.median, fresh.text()),
        promised: ">= 500000 per second".to_owned(),
        held: Some(1e9 / fresh.median >= 500_000.0),
    });
    let (few, many) = (of("rules/10")?, of("rules/10000")?);
    let ratio = many.median / few.median;
    figures.push(Figure {
        what: "10,000 rules against 10 of the same masks".to_owned(),
        measured: format!("{ratio:.2}: {} against {}", many.text(), few.text()),
        promised: "<= 1.50".to_owned(),
        held: Some(ratio <= 1.5),
    });
    let octets = count("octets ").context("no octets were counted")?;
    figures.push(Figure {
        what: "memory of a flow with both keys".to_owned(),
        measured: format!("{octets:.0} octets"),
        promised: "<= 128 octets".to_owned(),
        held: Some(octets <= 128.0),
    });
    figures.extend(matrix(of)?);
    Ok(figures)
}

/// Stateful against stateless, by rules and flows.
fn matrix(of: impl Fn(&str) -> Result<Nanoseconds>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for rules in [1, 10, 50] {
        for flows in [100, 10_000, 100_000, 1_000_000] {
            let stateful = of(&format!("stateful/{rules}/{flows}"))?;
            let stateless = of(&format!("stateless/{rules}/{flows}"))?;
            let is_promised = rules >= 10;
            figures.push(Figure {
                what: format!("{rules} rules, {flows} flows: stateful, stateless"),
                measured: format!("{}, {}", stateful.text(), stateless.text()),
                promised: if is_promised {
                    "stateful is not slower".to_owned()
                } else {
                    String::new()
                },
                held: is_promised.then_some(stateful.median <= stateless.median),
            });
        }
    }
    Ok(figures)
}

/// Packets through subscribers with a stateful policy and through others without, in turn.
fn traffic() -> Result<Vec<Figure>> {
    const SESSIONS: usize = 500;
    const ROUNDS: usize = 7;
    /// More than one core forwards.
    const OFFERED: u64 = 400_000;
    const SECONDS: Duration = Duration::from_secs(2);
    let policy = "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
                  metadata: { name: stateful, namespace: lns }\n\
                  spec: { clusterRefs: [ { name: edge } ], \
                  input: { defaultAction: Track }, output: { defaultAction: Track } }\n";
    let users = |name: &'static str, entry: String| {
        (0..SESSIONS).map(move |number| (format!("{name}{number}@isp"), entry.clone()))
    };
    let with = format!("{{ password: {PASSWORD}, policies: [stateful] }}");
    let manifest = Manifest {
        users: users("plain", PASSWORD.to_owned())
            .chain(users("stateful", with))
            .collect(),
        policies: policy.to_owned(),
        ..Manifest::default()
    };
    let topology = Topology::create()?;
    let lnsd = Lnsd::start(&topology.lns, &manifest)?;
    let dial = |name: &str, from| {
        let options = Options {
            sessions: SESSIONS,
            tunnels: 4,
            user: format!("{name}{{}}@isp"),
            from,
            ..scenario::options()
        };
        Lac::up(&topology.lac, options)
    };
    let lacs = [dial("plain", net::LAC)?, dial("stateful", net::OTHER_LAC)?];
    let mut figures = Vec::new();
    for way in ["up", "down"] {
        let mut rates: [Vec<Rate>; 2] = Default::default();
        for round in 0..=ROUNDS {
            for (lac, rates) in lacs.iter().zip(&mut rates) {
                let core = &topology.core;
                let rate = match way {
                    "up" => scenario::upstream(core, &lnsd, lac, 64, OFFERED, SECONDS),
                    _ => scenario::downstream(core, &lnsd, lac, 64, OFFERED, SECONDS),
                }?;
                // The first round warms up, and opens the flows.
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        figures.extend(compared(way, &rates)?);
    }
    for lac in lacs {
        lac.close()?;
    }
    Ok(figures)
}

/// What the policy costs, by what arrives and by what it takes of the processor.
fn compared(way: &str, rates: &[Vec<Rate>; 2]) -> Result<Vec<Figure>> {
    type Measure = (&'static str, fn(&Rate) -> f64);
    let measures: [Measure; 2] = [
        ("arrived per second", Rate::per_second),
        ("per CPU second of lnsd", Rate::per_cpu_second),
    ];
    let mut figures = Vec::new();
    for (name, of) in measures {
        let [plain, stateful] = rates.each_ref().map(|rates| {
            let mut sorted: Vec<_> = rates.iter().map(of).collect();
            sorted.sort_by(f64::total_cmp);
            sorted
        });
        let median = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied();
        let (Some(before), Some(after)) = (median(&plain), median(&stateful)) else {
            bail!("nothing was measured");
        };
        let lowest = |sorted: &[f64]| sorted.first().copied().unwrap_or(0.0);
        let loss = 100.0 * (before - after) / before;
        figures.push(Figure {
            what: format!("packets {way}, {name}, with a stateful policy"),
            measured: format!(
                "{loss:.1} % fewer: median {:.0} of {:.0} kpps, minimum {:.0} of {:.0}",
                after / 1e3,
                before / 1e3,
                lowest(&stateful) / 1e3,
                lowest(&plain) / 1e3
            ),
            promised: "<= 15 % fewer".to_owned(),
            held: Some(loss <= 15.0),
        });
    }
    Ok(figures)
}

fn flood() -> Result<Figure> {
    const ENTRIES: u16 = 4_000;
    let (asked, flooded) = l2sess::syn_flood(ENTRIES)?;
    Ok(Figure {
        what: format!("SYN flood of 10 tables of {ENTRIES} flows"),
        measured: format!("{flooded} SYNs, 0 of {asked} packets of established flows lost"),
        promised: "0 lost".to_owned(),
        held: Some(true),
    })
}
