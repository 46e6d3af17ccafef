//! What a process does that is stopped, hung or killed: a child that holds control and sends.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use lns_gate::{Mark, clock};
use lns_tables::time::Instant;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::bed::{
    Bed, L2TP, PATIENCE, PEER, SERVICE, eventually, footprint, gate, in_bed, later, socket,
    until_after,
};

/// The child's life of a hold and how often it renews, in milliseconds, and how many times it does.
const ORDER: &str = "LNS_GATE_CHILD";
const CONTROL: &[u8] = b"\xc8\x02 control";
const DATA: &[u8] = b"\x00\x02 data";

/// A hold as the child told of it, before it made it.
#[derive(Clone, Copy, Debug)]
struct Told {
    from: Instant,
    until: Instant,
}

/// Not a test of its own: with an order, this is the child.
#[test]
fn the_child_of_the_tests_beside() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let mut words = order.split(' ').map(|word| word.parse::<u64>().unwrap());
    let (life, every) = (words.next().unwrap(), words.next().unwrap());
    let mut rounds = words.next().unwrap();
    let mut gate = gate();
    gate.data_until(later()).unwrap();
    let control = socket(SERVICE, L2TP, Some(Mark::Control));
    let mut due = clock::now();
    loop {
        let now = clock::now();
        if now >= due {
            // Whoever was stopped goes on sending for a while before it comes to its next hold.
            let stopped = now.since(due) > Duration::from_millis(every);
            due = now + Duration::from_millis(every);
            if rounds > 0 && !stopped {
                rounds -= 1;
                let until = now + Duration::from_millis(life);
                say(&format!("hold {} {}", now.as_nanos(), until.as_nanos()));
                gate.control_until(until).unwrap();
            }
            say("alive");
        }
        // Refused while it is closed.
        drop(control.send_to(CONTROL, (PEER, L2TP)));
        thread::sleep(Duration::from_millis(1));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The child from outside.
struct Holder {
    child: Child,
    lines: mpsc::Receiver<String>,
    told: Vec<Told>,
}

impl Holder {
    fn start(life: u64, every: u64, rounds: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "process::the_child_of_the_tests_beside",
            ])
            .env(ORDER, format!("{life} {every} {rounds}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Self {
            child,
            lines,
            told: Vec::new(),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Takes in what it has said so far.
    fn listen(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
    }

    fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        if let ["hold", from, until] = words[..] {
            let instant = |text: &str| Instant::from_nanos(text.parse().unwrap());
            self.told.push(Told {
                from: instant(from),
                until: instant(until),
            });
        }
    }

    /// Waits until it has made so many holds.
    fn wait_for(&mut self, holds: usize) {
        while self.told.len() < holds {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .expect("a word of the child");
            self.take(&line);
        }
    }

    /// Waits until it has gone on for a while from now.
    fn goes_on(&mut self) {
        self.listen();
        for _ in 0..3 {
            loop {
                let line = self
                    .lines
                    .recv_timeout(PATIENCE)
                    .expect("a word of the child");
                self.take(&line);
                if line == "alive" {
                    break;
                }
            }
        }
    }

    fn stop(&mut self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        let stopped = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
        // What it said is in the pipe, or on the way from it.
        thread::sleep(Duration::from_millis(50));
        self.listen();
    }

    fn go_on(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    fn end(&self) -> Instant {
        self.told.iter().map(|told| told.until).max().unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The times at which control arrived, each of which must lie within a hold.
fn judge(bed: &Bed, told: &[Told]) -> Vec<Instant> {
    let frames = bed.arrived();
    let times: Vec<_> = frames
        .iter()
        .filter(|frame| frame.udp().is_some_and(|udp| udp.payload == CONTROL))
        .map(|frame| frame.at)
        .collect();
    for at in &times {
        let allowed = told
            .iter()
            .any(|told| told.from <= *at && *at <= told.until);
        assert!(allowed, "control at {at:?}, outside of {told:?}");
    }
    times
}

fn data_passes(bed: &Bed) -> bool {
    let before = bed.count(SERVICE, DATA);
    let data: UdpSocket = socket(SERVICE, 0, Some(Mark::Data));
    data.send_to(DATA, (PEER, L2TP)).is_ok() && bed.count(SERVICE, DATA) > before
}

#[test]
fn when_renewals_end_nothing_leaves_after_the_deadline_though_the_process_goes_on_sending() {
    in_bed(|bed| {
        let mut holder = Holder::start(300, 100, 6);
        holder.wait_for(6);
        until_after(holder.end());
        holder.goes_on();
        let times = judge(bed, &holder.told);
        assert!(!times.is_empty());
        assert!(
            data_passes(bed),
            "data does not need the master's authority"
        );
        judge(bed, &holder.told);
    });
}

#[test]
fn a_process_that_is_stopped_and_goes_on_sends_nothing_before_it_holds_again() {
    in_bed(|bed| {
        let mut holder = Holder::start(300, 100, u64::MAX);
        for round in 1..=6_usize {
            holder.wait_for(3 * round);
            // At ever another point of what it does.
            thread::sleep(Duration::from_micros(7919 * u64::try_from(round).unwrap()));
            holder.stop();
            until_after(holder.end() + Duration::from_millis(100));
            assert!(
                data_passes(bed),
                "data does not need the master's authority"
            );
            bed.capture.clear();
            holder.go_on();
            let holds = holder.told.len();
            holder.wait_for(holds + 3);
            let mut told = holder.told.clone();
            told.drain(..holds);
            let arrived = judge(bed, &told);
            assert!(!arrived.is_empty(), "it went on");
        }
    });
}

#[test]
fn the_gate_of_a_killed_process_closes_by_itself_and_the_next_one_replaces_it() {
    in_bed(|bed| {
        let before = footprint();
        let mut holder = Holder::start(500, 100, u64::MAX);
        holder.wait_for(3);
        holder.child.kill().unwrap();
        holder.child.wait().unwrap();
        thread::sleep(Duration::from_millis(50));
        holder.listen();
        let control = socket(SERVICE, 0, Some(Mark::Control));
        eventually("the end of the hold", || {
            drop(control.send_to(CONTROL, (PEER, L2TP)));
            clock::now() > holder.end() + Duration::from_millis(200)
        });
        assert!(control.send_to(CONTROL, (PEER, L2TP)).is_err());
        judge(bed, &holder.told);
        // The data of whoever is killed is held on, until its end.
        assert!(data_passes(bed));
        let mut next = gate();
        assert!(!data_passes(bed), "a new process is closed");
        next.control_until(later()).unwrap();
        assert!(control.send_to(CONTROL, (PEER, L2TP)).is_ok());
        next.remove().unwrap();
        assert_eq!(footprint(), before);
    });
}
