//! The namespaces of a test.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant as Wall;

use lns_gate::{Announce, Gate, GateError, Mark, Plan, clock};
use lns_tables::time::Instant;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use crate::capture::{Capture, Frame};

pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const NAS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(crate) const L2TP: u16 = 1701;
/// Long enough for any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Work = Box<dyn FnOnce() + Send>;

/// The peer's namespace, which is that of a thread, and the node's, which is the test's.
pub(crate) struct Bed {
    work: mpsc::Sender<Work>,
    pub(crate) capture: Capture,
}

/// Runs `test` on a thread whose namespace is a node's.
pub(crate) fn in_bed(test: impl FnOnce(&Bed) + Send + 'static) {
    if std::env::var_os("LNS_WITHOUT_ROOT").is_some() {
        println!("skipped: LNS_WITHOUT_ROOT is set");
        return;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root for network namespaces, or LNS_WITHOUT_ROOT=1 to go without"
    );
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        test(&Bed::new());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Bed {
    fn new() -> Self {
        let (work, todo) = mpsc::channel::<Work>();
        let (ready, started) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            ready.send(gettid()).unwrap();
            while let Ok(work) = todo.recv() {
                work();
            }
        });
        let peer = started.recv().unwrap();
        ip(&[
            "link set lo up",
            &format!("link add acc0 type veth peer name acc0 netns {peer}"),
            &format!("link add lns0 type veth peer name sub0 netns {peer}"),
            "link set acc0 up",
            "link set lns0 up",
            &format!("address add {NODE}/24 dev acc0"),
            "route add 100.64.0.0/10 dev lns0",
        ]);
        let (done, made) = mpsc::channel();
        let set_up: Work = Box::new(move || {
            ip(&[
                "link set lo up",
                "link set acc0 up",
                "link set sub0 up",
                &format!("address add {PEER}/24 dev acc0"),
                "address add 100.64.0.9/32 dev sub0",
                &format!("route add 192.0.2.0/24 via {NODE}"),
            ]);
            done.send(Capture::start()).unwrap();
        });
        work.send(set_up).unwrap();
        let capture = made.recv().unwrap();
        let bed = Self { work, capture };
        write("ipv4/ip_forward", "1");
        for (key, value) in plan().sysctls() {
            write(&key, value);
        }
        // From here on frames pass.
        eventually("the link", || bed.peer(|| ping(NODE)));
        bed
    }

    /// Has the peer do something.
    pub(crate) fn peer<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let work: Work = Box::new(move || drop(done.send(work())));
        self.work.send(work).unwrap();
        result.recv().expect("the peer's thread")
    }

    /// Waits until the peer has all frames that the node sent so far, and gives them.
    pub(crate) fn arrived(&self) -> Vec<Frame> {
        static NUMBER: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        let last = [b"last".as_slice(), &number.to_be_bytes()].concat();
        let socket = UdpSocket::bind((NODE, 0)).unwrap();
        let is_last = |frame: &Frame| frame.udp().is_some_and(|udp| udp.payload == last);
        eventually("the last frame", || {
            socket.send_to(&last, (PEER, 9)).unwrap();
            self.capture.frames().iter().any(is_last)
        });
        self.capture.frames()
    }

    /// How many datagrams with this payload have arrived from `source`.
    pub(crate) fn count(&self, source: Ipv4Addr, payload: &[u8]) -> usize {
        let matches = |frame: &Frame| {
            frame
                .udp()
                .is_some_and(|udp| udp.from == IpAddr::V4(source) && udp.payload == payload)
        };
        self.arrived().iter().filter(|frame| matches(frame)).count()
    }
}

/// What is fenced.
pub(crate) fn plan() -> Plan {
    Plan {
        cluster: "lns/edge".to_owned(),
        service: BTreeSet::from([SERVICE.into()]),
        nas: Some(NAS.into()),
        announce: Announce::External,
        interfaces: BTreeSet::from(["acc0".to_owned()]),
        subscribers: "lns0".to_owned(),
    }
}

/// The gate of [`plan`], as soon as the one before is nobody's: another test may be starting a process
/// just now, which has this one's sockets until it is another program.
pub(crate) fn gate() -> Gate {
    let mut made = None;
    eventually("the end of the gate before", || {
        let installed = Gate::install(plan());
        if matches!(installed, Err(GateError::Taken(_))) {
            return false;
        }
        made = Some(installed.unwrap());
        true
    });
    made.unwrap()
}

/// In ten minutes.
pub(crate) fn later() -> Instant {
    clock::now() + Duration::from_secs(600)
}

/// A socket of the node at an address and port, with a mark.
pub(crate) fn socket(address: Ipv4Addr, port: u16, mark: Option<Mark>) -> UdpSocket {
    let socket = UdpSocket::bind((address, port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    if let Some(mark) = mark {
        mark.set(&socket).unwrap();
    }
    socket
}

/// What a socket has received so far.
pub(crate) fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut octets = [0; 2048];
    let mut all = Vec::new();
    while let Ok(length) = socket.recv(&mut octets) {
        all.push(octets[..length].to_vec());
    }
    all
}

/// Whether an address answers one of three ICMP echo requests.
pub(crate) fn ping(address: Ipv4Addr) -> bool {
    let address = address.to_string();
    let output = Command::new("ping")
        .args(["-n", "-q", "-c", "3", "-i", "0.1", "-W", "1", &address])
        .output()
        .expect("iputils-ping");
    output.status.success()
}

/// Runs `ip` in the namespace of this thread, once for each of `commands`.
pub(crate) fn ip(commands: &[&str]) {
    for command in commands {
        let output = Command::new("ip")
            .args(command.split(' '))
            .output()
            .expect("iproute2");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {command}: {said}");
    }
}

/// What a command of this thread's namespace prints.
pub(crate) fn output(command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All of this thread's namespace that the gate could leave behind.
pub(crate) fn footprint() -> String {
    [
        output(&["ip", "-br", "address", "show", "dev", "lo"]),
        output(&["nft", "list", "ruleset"]),
    ]
    .concat()
}

/// Writes a setting below `/proc/sys/net` of this thread's namespace.
pub(crate) fn write(key: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap_or_else(|error| {
        panic!("{key}: {error}");
    });
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Wall::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a deadline has passed.
pub(crate) fn until_after(deadline: Instant) {
    while clock::now() <= deadline {
        thread::sleep(Duration::from_millis(5));
    }
}
