//! A TCP proxy before the API server that can be away: it breaks all connections, and new ones come to
//! nothing.

use core::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    away: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (away, is_away) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, server, is_away.clone()));
            }
        });
        Self {
            address,
            away,
            task,
        }
    }

    /// From now on the API server is away, or is there again.
    pub(crate) fn away(&self, is_away: bool) {
        self.away.send_replace(is_away);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(mut client: TcpStream, server: SocketAddr, mut away: watch::Receiver<bool>) {
    if *away.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = away.wait_for(|away| *away) => {}
    }
}
