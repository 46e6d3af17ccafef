//! A TCP proxy before the API server that holds answers back, lets no request through, or breaks
//! connections.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    late: Arc<AtomicU64>,
    closed: watch::Sender<bool>,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let late = Arc::new(AtomicU64::new(0));
        let (cut, is_cut) = watch::channel(0);
        let (closed, is_closed) = watch::channel(false);
        let lateness = Arc::clone(&late);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = Way {
                    late: Arc::clone(&lateness),
                    closed: is_closed.clone(),
                    cut: is_cut.clone(),
                };
                tokio::spawn(way.connect(client, server));
            }
        });
        Self {
            address,
            late,
            closed,
            cut,
            task,
        }
    }

    /// From now on nothing that is asked reaches the API server.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// From now on what the API server says arrives so much later.
    pub(crate) fn hold_back(&self, late: Duration) {
        let millis = u64::try_from(late.as_millis()).unwrap();
        self.late.store(millis, Ordering::Relaxed);
    }

    /// Breaks all connections that there are.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection is subject to.
struct Way {
    late: Arc<AtomicU64>,
    closed: watch::Receiver<bool>,
    cut: watch::Receiver<u64>,
}

impl Way {
    async fn connect(mut self, client: TcpStream, server: SocketAddr) {
        let Ok(server) = TcpStream::connect(server).await else {
            return;
        };
        self.cut.mark_unchanged();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (queue, queued) = mpsc::channel(1024);
        tokio::select! {
            () = forward(from_client, to_server, self.closed) => {}
            () = receive(from_server, queue, self.late) => {}
            _ = send(to_client, queued) => {}
            _ = self.cut.changed() => {}
        }
    }
}

async fn forward(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    mut closed: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        if closed.wait_for(|closed| !closed).await.is_err() {
            return;
        }
        if server.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// What comes, and when it is to go on.
async fn receive(
    mut server: OwnedReadHalf,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    late: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = server.read(&mut buffer).await {
        let at = Instant::now() + Duration::from_millis(late.load(Ordering::Relaxed));
        if queue.send((at, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
    queue.closed().await;
}

async fn send(
    mut client: OwnedWriteHalf,
    mut queue: mpsc::Receiver<(Instant, Vec<u8>)>,
) -> std::io::Result<()> {
    while let Some((at, octets)) = queue.recv().await {
        tokio::time::sleep_until(at).await;
        client.write_all(&octets).await?;
    }
    Ok(())
}
