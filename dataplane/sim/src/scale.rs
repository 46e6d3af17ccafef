//! Fills the tables of a node and empties them again, with what it costs.
//!
//! Only what the node itself does is counted: its calls are measured one by one, and neither the time nor
//! the memory of the LACs and subscribers around it is in the figures.

use core::net::SocketAddr;
use core::time::Duration;
use std::alloc::System;
use std::time::Instant as Clock;

use lns_crypto::Secret;
use lns_sim::config::{SECRET, config};
use lns_sim::peers::{LacSettings, LineSettings, Login};
use lns_sim::world::{SERVICE, Watch, World};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Octets that one session may take of the node's control (SPECIFICATION, 5).
const PER_SESSION: i64 = 2_048;

/// From so many sessions on the figure is held to that.
const MANY: usize = 500_000;

/// The back-stop sweep goes through a table in this time.
const SWEEP: Duration = Duration::from_secs(66);

/// LACs that come at once: fewer than may be half open.
const AT_ONCE: usize = 10_000;

/// Seconds in which all must be up, and later all be gone.
const PATIENCE: u32 = 600;

/// What to fill the tables with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) sessions: usize,
    pub(crate) tunnels: usize,
}

/// What the node's calls cost.
#[derive(Debug, Default)]
struct Meter {
    octets: i64,
    time: Duration,
    calls: u64,
}

impl Watch for Meter {
    fn call<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let (start, before) = (Clock::now(), held());
        let result = call();
        self.time += start.elapsed();
        self.octets += held() - before;
        self.calls += 1;
        result
    }
}

/// What the whole program holds of the heap. One thread runs, so what a call adds is its own.
fn held() -> i64 {
    let stats = HEAP.stats();
    let octets = |count| i64::try_from(count).unwrap_or(i64::MAX);
    octets(stats.bytes_allocated) - octets(stats.bytes_deallocated)
}

/// A world that is being filled.
struct Filling {
    shape: Shape,
    world: World<Meter>,
    passed: u32,
    failed: u32,
}

/// Fills the tables in each of the shapes. Whether everything held.
pub(crate) fn run(shapes: &[Shape]) -> bool {
    let (mut passed, mut failed) = (0, 0);
    for shape in shapes {
        let mut filling = Filling::new(*shape);
        filling.play();
        passed += filling.passed;
        failed += filling.failed;
    }
    println!("{passed} passed, {failed} failed");
    failed == 0
}

impl Filling {
    fn new(shape: Shape) -> Self {
        let mut config = config(1);
        config.max_sessions = u32::try_from(shape.sessions).unwrap_or(u32::MAX);
        println!("{} sessions over {} tunnels", shape.sessions, shape.tunnels);
        Self {
            shape,
            world: World::watched(config, 1, Meter::default()),
            passed: 0,
            failed: 0,
        }
    }

    fn play(&mut self) {
        let empty = self.world.watch().octets;
        println!(
            "  {:>9} KiB in tables before the first tunnel",
            empty / 1_024
        );
        self.fill();
        let full = self.world.watch().octets;
        let sessions = i64::try_from(self.shape.sessions).unwrap_or(i64::MAX);
        println!(
            "  {:>9} KiB with all of them: {} octets for each session, {} with what was there before",
            full / 1_024,
            (full - empty) / sessions,
            full / sessions
        );
        // Fewer do not make up for what a node has anyhow, and a tunnel of each one's own takes more.
        if self.shape.sessions >= MANY {
            self.check(
                "a session fits its control memory",
                full / sessions <= PER_SESSION,
            );
        }
        self.idle();
        self.empty();
    }

    fn fill(&mut self) {
        let (start, before) = (Clock::now(), self.spent());
        let each = self.shape.sessions / self.shape.tunnels;
        for number in 0..self.shape.tunnels {
            self.add_lac(number, each);
            if number % AT_ONCE == AT_ONCE - 1 {
                self.wait(|filling| filling.up() == (number + 1) * each);
            }
        }
        let wanted = self.shape.tunnels * each;
        self.wait(|filling| filling.up() == wanted);
        let up = self.up();
        self.check("all come up", up == wanted);
        self.tell("set up", up, before, start);
    }

    fn add_lac(&mut self, number: usize, lines: usize) {
        let [_, _, high, low] = u32::try_from(number).unwrap_or_default().to_be_bytes();
        let address = SocketAddr::from(([198, 18, high, low], 1701));
        let lac = self.world.add_lac(LacSettings {
            secret: Some(Secret::new(SECRET.as_bytes())),
            window: 128,
            ..LacSettings::new(address, SERVICE, "lac")
        });
        let settings = LineSettings::new(Login::new("user0", "user0"));
        for _ in 0..lines {
            self.world.add_line(lac, settings.clone());
        }
    }

    /// Nothing happens but signs of life, for a whole turn of the sweep.
    fn idle(&mut self) {
        let (start, before) = (Clock::now(), self.spent());
        self.world.run(SWEEP);
        self.tell("kept a minute", self.up(), before, start);
        let overdue = self.world.node().status().overdue;
        self.check("the back-stop sweep finds nothing", overdue == 0);
    }

    fn empty(&mut self) {
        let (start, before, up) = (Clock::now(), self.spent(), self.up());
        let now = self.world.now();
        for lac in 0..self.shape.tunnels {
            self.world.with_lac(lac, |lac| lac.close(now));
        }
        self.wait(|filling| {
            let (node, workers) = (filling.world.node(), filling.world.workers());
            node.tunnels(None, 1, filling.world.now()).0.is_empty() && workers.sessions() == 0
        });
        let status = self.world.node().status();
        let left = (
            status.sessions,
            status.sessions_opening,
            self.world.workers().sessions(),
        );
        self.check("nothing is left", left == (0, 0, 0));
        self.check("nothing was overdue", status.overdue == 0);
        self.tell("torn down", up, before, start);
    }

    fn up(&self) -> usize {
        usize::try_from(self.world.node().status().sessions).unwrap_or(usize::MAX)
    }

    fn wait(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..PATIENCE {
            if done(self) {
                return;
            }
            self.world.run(Duration::from_secs(1));
        }
    }

    fn spent(&self) -> (Duration, u64) {
        (self.world.watch().time, self.world.watch().calls)
    }

    fn tell(&self, what: &str, sessions: usize, before: (Duration, u64), start: Clock) {
        let (time, calls) = self.spent();
        let (time, calls) = (time.saturating_sub(before.0), calls - before.1);
        let each = time.as_nanos() / u128::try_from(sessions.max(1)).unwrap_or(1);
        println!(
            "  {what}: {:.2} s of the node in {calls} calls, {each} ns for each session; {:.1} s in all",
            time.as_secs_f64(),
            start.elapsed().as_secs_f64()
        );
    }

    fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("  FAIL  {what}");
        }
    }
}
