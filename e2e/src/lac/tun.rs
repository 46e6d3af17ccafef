//! The subscribers' hosts: one TUN interface that has all their addresses, so that the kernel's own
//! TCP, UDP and ICMP speak through the sessions.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tun::{AsyncDevice, Configuration};

use super::options::Options;
use super::report::Shared;

/// Packets read before other tasks have their turn.
const BATCH: usize = 128;

/// A handle on the interface for the tunnels' tasks.
#[derive(Clone)]
pub(crate) struct Tun {
    device: Arc<AsyncDevice>,
    changes: UnboundedSender<String>,
    shared: Arc<Shared>,
    name: Arc<str>,
}

/// Makes the interface `name`, sets it up, and starts its tasks.
pub(crate) fn start(
    name: &str,
    options: &Options,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<Tun> {
    let mut configuration = Configuration::default();
    configuration.tun_name(name).mtu(options.mru).up();
    let device = tun::create_as_async(&configuration).with_context(|| format!("making {name}"))?;
    let device = Arc::new(device);
    let (changes, inbox) = unbounded_channel();
    for network in &options.routes {
        shared.note_address_change();
        changes.send(format!("route add {network} dev {name}\n"))?;
    }
    tasks.spawn(apply(inbox, Arc::clone(shared)));
    tasks.spawn(read(Arc::clone(&device), Arc::clone(shared)));
    Ok(Tun {
        device,
        changes,
        shared: Arc::clone(shared),
        name: name.into(),
    })
}

impl Tun {
    /// Hands a packet to the host that it is for. What the kernel does not take is lost.
    pub(crate) fn deliver(&self, packet: &[u8]) {
        tun::Device::send(&self.device, packet).ok();
    }

    /// Gives the interface a subscriber's address.
    pub(crate) fn add(&self, address: Ipv4Addr) {
        self.change(format!("address add {address}/32 dev {}\n", self.name));
    }

    /// Takes it away.
    pub(crate) fn remove(&self, address: Ipv4Addr) {
        self.change(format!("address del {address}/32 dev {}\n", self.name));
    }

    fn change(&self, command: String) {
        self.shared.note_address_change();
        // The task that applies changes ends with the LAC only.
        self.changes.send(command).ok();
    }
}

/// Applies changes in batches: one `ip` process for all that came while the last one ran.
async fn apply(mut inbox: UnboundedReceiver<String>, shared: Arc<Shared>) -> Result<()> {
    while let Some(mut batch) = inbox.recv().await {
        let mut count = 1;
        while let Ok(command) = inbox.try_recv() {
            batch.push_str(&command);
            count += 1;
        }
        let mut ip = tokio::process::Command::new("ip")
            .args(["-force", "-batch", "-"])
            .stdin(Stdio::piped())
            // When the LAC ends, the interface goes before its last addresses do.
            .stderr(Stdio::null())
            .spawn()
            .context("running ip")?;
        if let Some(mut stdin) = ip.stdin.take() {
            stdin.write_all(batch.as_bytes()).await?;
        }
        if !ip.wait().await?.success() && batch.contains("add ") {
            bail!("addresses of subscribers could not be set");
        }
        shared.note_addresses_applied(count);
    }
    Ok(())
}

/// Sends what the hosts send into the session of its source address.
async fn read(device: Arc<AsyncDevice>, shared: Arc<Shared>) -> Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let mut read = Some(device.recv(&mut buffer).await?);
        let mut left = BATCH;
        while let Some(packet) = read.and_then(|len| buffer.get(..len)) {
            shared.send_from_host(packet);
            left -= 1;
            if left == 0 {
                break;
            }
            read = match tun::Device::recv(&device, &mut buffer) {
                Ok(len) => Some(len),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
                Err(error) => return Err(error).context("reading the TUN interface"),
            };
        }
        tokio::task::yield_now().await;
    }
}
