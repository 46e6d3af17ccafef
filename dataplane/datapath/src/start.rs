//! Starting and stopping: interface, sockets, tables, threads.

use core::hash::BuildHasher;
use core::net::SocketAddr;
use std::fmt;
use std::hash::RandomState;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use lns_l2sess::Classifier;
use lns_l2sess::key::HashSeed;
use lns_l2sess::limits::ENTRIES;
use lns_l2sess::policy::Policies;
use lns_l2sess::table::TableConfig;
use lns_tables::index::PageIndex;

use crate::config::{Config, FlowConfig, StartError};
use crate::control::Control;
use crate::flows::FlowsHandle;
use crate::handing::HandingConfig;
use crate::io::{tun, udp};
use crate::limits;
use crate::punt::PuntSink;
use crate::shared::{Published, Shared, Stage};
use crate::stats::{DropReason, Stats, ThreadCounters};
use crate::tables::{AddressTable, NoMemory, Tables};
use crate::worker::{Handing, Worker};

/// Makes an interface as [`Datapath::start`] does, and takes it away again.
///
/// # Errors
/// A [`StartError`]: this process, or this machine, cannot.
pub fn try_interface(interface: &str) -> Result<(), StartError> {
    tun::create(interface, 1).map(drop)
}

/// The running workers. They stop when this is dropped, and the interface vanishes with them.
pub struct Datapath {
    interface: String,
    listen: Vec<SocketAddr>,
    handing_address: Option<SocketAddr>,
    shared: Shared,
    /// All workers' sockets, to ask the kernel about.
    sockets: Vec<UdpSocket>,
    /// Its other ends are the workers': they see it closed and leave.
    alive: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Datapath {
    /// Makes the interface and the sockets and starts the workers. What the workers do not decide
    /// themselves goes to `punts`. The [`Control`] that comes with it is the only one.
    ///
    /// # Errors
    /// A [`StartError`]; nothing is left behind then.
    pub fn start(
        config: &Config,
        index: Arc<PageIndex>,
        punts: PuntSink,
    ) -> Result<(Self, Control), StartError> {
        check(config)?;
        let queues = tun::create(&config.interface, config.workers)?;
        let data_mark = config.marks.map(|marks| marks.data);
        let mut sockets = udp::bind(&config.listen, config.workers, data_mark)?;
        let listen = udp::local_addresses(&config.listen, &sockets)?;
        let (handing, handing_address) = handing(config)?;
        let shared = share(config, listen.clone(), index)
            .map_err(|NoMemory { octets }| StartError::Memory { octets })?;
        let mut copies = Vec::with_capacity(sockets.len());
        for each in &sockets {
            copies.push(udp::duplicate(each, &listen)?);
        }
        for Handing { socket, .. } in &handing {
            copies.push(udp::duplicate(core::slice::from_ref(socket), &listen)?);
        }
        let own = match sockets.first() {
            Some(first) => udp::duplicate(first, &listen)?,
            None => Vec::new(),
        };
        let control_mark = config.marks.map(|marks| marks.control);
        let control = Control::new(&shared, own, config.capacity).with_mark(control_mark);
        let (alive, ended) = UnixStream::pair().map_err(|source| StartError::Thread { source })?;

        let interface = config.interface.clone();
        let mut datapath = Self {
            interface,
            listen,
            handing_address,
            shared,
            sockets: copies.into_iter().flatten().collect(),
            alive: Some(alive),
            threads: Vec::new(),
        };
        let punts = core::iter::repeat_n(punts, config.workers);
        let mut handing = handing.into_iter();
        let owned = queues.into_iter().zip(sockets.drain(..)).zip(punts);
        for (number, ((queue, sockets), punts)) in owned.enumerate() {
            let handing = handing.next();
            let ended = ended
                .try_clone()
                .map_err(|source| StartError::Thread { source })?;
            let shared = &datapath.shared;
            let mut worker = Worker::new(shared, number, queue, sockets, punts, handing)
                .map_err(|NoMemory { octets }| StartError::Memory { octets })?;
            let thread = std::thread::Builder::new().name(format!("lns-worker-{number}"));
            let thread = thread
                .spawn(move || worker.run(&ended))
                .map_err(|source| StartError::Thread { source })?;
            datapath.threads.push(thread);
        }
        let flows = datapath.flows();
        let thread = std::thread::Builder::new().name("lns-flows".into());
        let thread = thread
            .spawn(move || flows.sweep(&ended))
            .map_err(|source| StartError::Thread { source })?;
        datapath.threads.push(thread);
        Ok((datapath, control))
    }

    /// The name of the subscribers' interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The service addresses, with the ports that were free where the configuration said 0.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Where what other nodes hand over is taken, with the port that was free where the configuration said 0.
    pub const fn handing_address(&self) -> Option<SocketAddr> {
        self.handing_address
    }

    /// What the workers and the control have counted since the start.
    pub fn stats(&self) -> Stats {
        let threads = self.shared.worker_counters.iter();
        let overflows = self
            .sockets
            .iter()
            .map(udp::overflows)
            .fold(0, u64::saturating_add);
        Stats::sum(threads.chain(core::iter::once(&*self.shared.control_counters)))
            .with_drops(DropReason::SocketOverflow, overflows)
    }

    /// The flows and policies of its sessions, to be read and ended beside the packet path.
    pub fn flows(&self) -> FlowsHandle {
        FlowsHandle::new(&self.shared)
    }

    /// Whether all threads run. None ever ends by itself; if one has, packets are being lost, or flows
    /// not ended, and the process should end.
    pub fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Stops the threads and waits for them. The service addresses are free once the [`Control`] is
    /// dropped too.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.alive.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to say than the panic hook has said.
            let _ended = thread.join();
        }
    }
}

impl Drop for Datapath {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interface,
            listen,
            threads,
            ..
        } = self;
        f.debug_struct("Datapath")
            .field("interface", interface)
            .field("listen", listen)
            .field("threads", &threads.len())
            .finish_non_exhaustive()
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    let capacity = usize::try_from(config.capacity).unwrap_or(usize::MAX);
    let flows = |entries| usize::try_from(entries).unwrap_or(usize::MAX);
    let ranges = [
        ("workers", config.workers, limits::WORKERS),
        (
            "service addresses",
            config.listen.len(),
            limits::SERVICE_ADDRESSES,
        ),
        ("sessions", capacity, limits::SESSIONS),
        ("flows", flows(config.flows.entries), flows(ENTRIES)),
    ];
    for (what, value, high) in ranges {
        if !(1..=high).contains(&value) {
            return Err(StartError::OutOfRange {
                what,
                low: 1,
                high,
                value,
            });
        }
    }
    match config
        .listen
        .iter()
        .find(|address| address.ip().is_unspecified())
    {
        Some(address) => Err(StartError::AddressUnspecified { address: *address }),
        None => Ok(()),
    }
}

/// For each worker its way to other nodes, if there are any; and where they reach this one.
fn handing(config: &Config) -> Result<(Vec<Handing>, Option<SocketAddr>), StartError> {
    let Some(HandingConfig { listen, seal }) = &config.handing else {
        return Ok((Vec::new(), None));
    };
    let room = seal.headroom().saturating_add(seal.tailroom());
    if room > limits::HANDING_ROOM {
        return Err(StartError::OutOfRange {
            what: "octets that sealing adds",
            low: 0,
            high: limits::HANDING_ROOM,
            value: room,
        });
    }
    // What is between nodes leaves unmarked: it is nothing that speaks for the cluster.
    let sockets = udp::bind(&[*listen], config.workers, None)?;
    let address = udp::local_addresses(&[*listen], &sockets)?;
    let handing = sockets.into_iter().flatten().map(|socket| Handing {
        socket,
        seal: Arc::clone(seal),
    });
    Ok((handing.collect(), address.first().copied()))
}

fn share(
    config: &Config,
    listen: Vec<SocketAddr>,
    index: Arc<PageIndex>,
) -> Result<Shared, NoMemory> {
    let addresses =
        AddressTable::new(&config.pools, config.capacity)?.answering_from(config.icmp_source);
    Ok(Shared {
        tables: Arc::new(Tables::new(config.capacity, listen, index)?),
        addresses: Arc::new(Published::new(Arc::new(addresses))),
        policies: Arc::new(Published::new(Policies::none())),
        classifier: Arc::new(classifier(config)?),
        home: Arc::default(),
        stages: (0..config.workers).map(|_| Stage::default()).collect(),
        worker_counters: (0..config.workers)
            .map(|_| ThreadCounters::default())
            .collect(),
        control_counters: Arc::new(ThreadCounters::default()),
    })
}

fn classifier(config: &Config) -> Result<Classifier, NoMemory> {
    let FlowConfig { entries, options } = config.flows;
    let table = TableConfig {
        entries,
        ports: config.capacity,
        seed: seed(),
    };
    let classifier = Classifier::new(&table, config.workers).map_err(|error| NoMemory {
        octets: usize::try_from(error.octets).unwrap_or(usize::MAX),
    })?;
    classifier.set_options(options);
    Ok(classifier)
}

/// Two numbers that nobody can know: what the standard library draws for the keys of its hashers, hashed
/// with those keys.
fn seed() -> HashSeed {
    let draw = || RandomState::new().hash_one(0);
    HashSeed(draw(), draw())
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use lns_tables::index::IndexLimits;

    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config {
            interface: "lns-test".into(),
            workers: 1,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            capacity: 10,
            pools: Vec::new(),
            icmp_source: Ipv4Addr::new(100, 64, 0, 1),
            flows: FlowConfig::default(),
            marks: None,
            handing: None,
        };
        change(&mut config);
        let (_writer, index) = PageIndex::new(IndexLimits {
            tunnels: 1,
            sessions: 1,
            ..IndexLimits::default()
        });
        Datapath::start(&config, index, Arc::new(|_| true))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn numbers_out_of_range_are_named_with_their_range() {
        assert_eq!(
            refused(|config| config.workers = 0),
            "workers must be between 1 and 64, not 0"
        );
        assert_eq!(
            refused(|config| config.capacity = 0),
            "sessions must be between 1 and 1000000, not 0"
        );
        assert_eq!(
            refused(|config| config.listen.clear()),
            "service addresses must be between 1 and 16, not 0"
        );
    }

    #[test]
    fn an_unspecified_service_address_is_refused() {
        let text = refused(|config| config.listen = vec!["0.0.0.0:1701".parse().unwrap()]);
        assert_eq!(
            text,
            "0.0.0.0:1701 cannot be a service address: name the address that the LACs send to"
        );
    }

    #[test]
    fn a_name_that_no_interface_can_have_is_refused() {
        for name in [
            "",
            "sixteen-letters-",
            "a b",
            "a/b",
            "lns%d",
            "a:b",
            ".",
            "..",
            "nul\0",
        ] {
            let text = refused(|config| config.interface = name.into());
            assert!(
                text.contains("is no name for an interface"),
                "{name:?}: {text}"
            );
        }
    }
}
