//! A TCP proxy before the API server, through which all nodes speak with it: TLS passes through it, and what
//! the API server says arrives as late as somebody wants.
//!
//! What is late arrives all the same, in its order: that is the gap of client-go, whose authority counts
//! from an answer (spec/cluster.md, 4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::net::Namespace;

/// Octets that are read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks that wait for their time in one connection.
const WAITING: usize = 1024;

/// A running proxy. Dropping it breaks all its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    late: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Proxy {
    /// Starts it at an address of the namespace, before a server that is reached from there.
    pub(crate) fn start(namespace: &Namespace, at: SocketAddr, server: SocketAddr) -> Result<Self> {
        let late = Arc::new(AtomicU64::new(0));
        let lateness = Arc::clone(&late);
        let (stop, stopped) = oneshot::channel();
        let listener = namespace.enter(|| std::net::TcpListener::bind(at))??;
        let thread = namespace.thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    ended = serve(listener, server, lateness) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self {
            late,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// From now on what the server says arrives so much later.
    pub(crate) fn hold_back(&self, late: Duration) -> Result<()> {
        let over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        anyhow::ensure!(!over, "the proxy before the API server has ended");
        let millis = u64::try_from(late.as_millis())?;
        self.late.store(millis, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        let ended = match ended {
            None => Ok(()),
            Some(joined) => joined
                .map_err(|_| anyhow!("panicked"))
                .and_then(|ended| ended?),
        };
        if let Err(error) = ended {
            eprintln!("the proxy before the API server: {error:#}");
        }
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, late: Arc<AtomicU64>) -> Result<()> {
    loop {
        let (client, _) = listener.accept().await.context("taking a connection")?;
        tokio::spawn(connect(client, server, Arc::clone(&late)));
    }
}

/// One connection, until either side ends it. A server that cannot be reached hangs up on the client.
async fn connect(client: TcpStream, server: SocketAddr, late: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (queue, queued) = mpsc::channel(WAITING);
    tokio::select! {
        () = forward(from_client, to_server) => {}
        () = receive(from_server, queue, &late) => {}
        () = hand_on(to_client, queued) => {}
    }
}

async fn forward(mut client: OwnedReadHalf, mut server: OwnedWriteHalf) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        let read = buffer.get(..length).unwrap_or_default();
        if server.write_all(read).await.is_err() {
            return;
        }
    }
}

/// What comes, and when it is to go on.
async fn receive(
    mut server: OwnedReadHalf,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    late: &AtomicU64,
) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = server.read(&mut buffer).await {
        let due = Instant::now() + Duration::from_millis(late.load(Ordering::Relaxed));
        let read = buffer.get(..length).unwrap_or_default().to_vec();
        if queue.send((due, read)).await.is_err() {
            return;
        }
    }
    drop(queue);
    // What is still on its way arrives; `hand_on` ends behind it, and with it the connection.
    std::future::pending::<()>().await;
}

async fn hand_on(mut client: OwnedWriteHalf, mut queue: mpsc::Receiver<(Instant, Vec<u8>)>) {
    while let Some((due, octets)) = queue.recv().await {
        tokio::time::sleep_until(due).await;
        if client.write_all(&octets).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each octet with the next one, and a client of it through [`connect`].
    async fn pair(late: &Arc<AtomicU64>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Ok(octet) = stream.read_u8().await {
                stream.write_u8(octet + 1).await.unwrap();
            }
        });
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(front.local_addr().unwrap())
            .await
            .unwrap();
        let (taken, _) = front.accept().await.unwrap();
        tokio::spawn(connect(taken, server, Arc::clone(late)));
        client
    }

    #[tokio::test]
    async fn answers_are_late_and_in_order_and_questions_are_not() {
        let late = Arc::new(AtomicU64::new(0));
        let mut client = pair(&late).await;
        client.write_u8(1).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 2);
        late.store(300, Ordering::Relaxed);
        let asked = Instant::now();
        for octet in [10, 20] {
            client.write_u8(octet).await.unwrap();
        }
        assert_eq!(client.read_u8().await.unwrap(), 11);
        assert!(asked.elapsed() >= Duration::from_millis(300));
        assert_eq!(client.read_u8().await.unwrap(), 21);
    }

    #[tokio::test]
    async fn who_hangs_up_is_hung_up_on() {
        let late = Arc::new(AtomicU64::new(0));
        let mut client = pair(&late).await;
        client.write_u8(1).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 2);
        client.shutdown().await.unwrap();
        assert!(client.read_u8().await.is_err());
    }
}
