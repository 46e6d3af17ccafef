//! The sockets of a pool, and the tasks that wait for them.

use core::net::SocketAddr;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use lns_radius::event::{Cause, ConnectionId, SendError};
use lns_wire::radius::MAX_PACKET;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local, yield_now};

use super::pool::{Desk, Shared};
use super::stream::{self, Failed, Outbox, Target};
use super::udp;

/// Datagrams that are read of one socket before another has its turn.
const BATCH: usize = 64;

/// A socket to a server.
#[derive(Debug)]
pub(super) struct Link {
    /// The server's name.
    pub(super) server: Arc<str>,
    /// Our port; 0 while it is being opened.
    pub(super) port: u16,
    way: Way,
}

/// A packet was not sent.
#[derive(Debug)]
pub(super) struct Unsent {
    /// What is to blame.
    pub(super) blame: SendError,
    /// What the kernel says.
    pub(super) error: Option<io::Error>,
}

impl Unsent {
    /// What the kernel knows nothing of.
    pub(super) const fn of(blame: SendError) -> Self {
        Self { blame, error: None }
    }
}

#[derive(Debug)]
enum Way {
    Udp {
        socket: Rc<UdpSocket>,
        /// Told when the socket took no more.
        blocked: Rc<Notify>,
        task: AbortHandle,
    },
    /// TLS is being agreed on.
    Opening(AbortHandle),
    Tls(Rc<Outbox>),
}

impl Link {
    /// Opens a UDP socket and sets a task to read it.
    pub(super) fn udp(
        desk: Weak<Shared>,
        connection: ConnectionId,
        server: Arc<str>,
        ends: (Option<core::net::IpAddr>, SocketAddr),
    ) -> io::Result<Self> {
        let (source, address) = ends;
        let socket = Rc::new(UdpSocket::from_std(udp::open(source, address)?)?);
        let port = socket.local_addr()?.port();
        let blocked = Rc::new(Notify::new());
        let reading = read_udp(desk, connection, Rc::clone(&socket), Rc::clone(&blocked));
        let task = spawn_local(reading).abort_handle();
        let way = Way::Udp {
            socket,
            blocked,
            task,
        };
        Ok(Self { server, port, way })
    }

    /// Sets a task to open a stream and to serve it.
    pub(super) fn tls(
        desk: Weak<Shared>,
        connection: ConnectionId,
        server: Arc<str>,
        target: Target,
    ) -> Self {
        let task = spawn_local(serve_tls(desk, connection, target)).abort_handle();
        Self {
            server,
            port: 0,
            way: Way::Opening(task),
        }
    }

    /// The stream is open.
    fn opened(&mut self, port: u16, outbox: Rc<Outbox>) {
        self.port = port;
        self.way = Way::Tls(outbox);
    }

    /// Whether it cannot be used yet.
    pub(super) const fn is_opening(&self) -> bool {
        matches!(self.way, Way::Opening(_))
    }

    /// Sends a packet, without waiting.
    pub(super) fn send(&self, packet: &[u8]) -> Result<(), Unsent> {
        match &self.way {
            Way::Udp {
                socket, blocked, ..
            } => udp::send(socket, packet).map_err(|error| {
                if error.kind() == io::ErrorKind::WouldBlock {
                    blocked.notify_one();
                }
                Unsent {
                    blame: udp::blame(&error),
                    error: Some(error),
                }
            }),
            Way::Tls(outbox) => outbox.put(packet).map_err(Unsent::of),
            // The machine sends on what is open.
            Way::Opening(_) => Err(Unsent::of(SendError::Temporary)),
        }
    }

    /// Ends it; a stream says farewell first.
    pub(super) fn close(self) {
        match self.way {
            Way::Udp { task, .. } | Way::Opening(task) => task.abort(),
            Way::Tls(outbox) => outbox.close(),
        }
    }
}

/// Reads a socket to its end, and says when it can be written again.
async fn read_udp(
    desk: Weak<Shared>,
    connection: ConnectionId,
    socket: Rc<UdpSocket>,
    blocked: Rc<Notify>,
) {
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let readable = tokio::select! {
            ready = socket.readable() => ready.map(|()| true),
            ready = unblocked(&socket, &blocked) => ready.map(|()| false),
        };
        let Some(desk) = Desk::of(&desk) else {
            return;
        };
        let more = desk.with(|pool, now| {
            let read = readable.and_then(|readable| {
                if !readable {
                    pool.client.handle_writable(connection);
                    return Ok(false);
                }
                udp::receive(&socket, &mut buffer, BATCH, |datagram| {
                    pool.client.handle_datagram(connection, datagram, now);
                })
            });
            read.map_err(|error| pool.lose(connection, &failed(&error), now))
        });
        match more {
            Ok(true) => yield_now().await,
            Ok(false) => {}
            Err(()) => return,
        }
    }
}

async fn unblocked(socket: &UdpSocket, blocked: &Notify) -> io::Result<()> {
    blocked.notified().await;
    socket.writable().await
}

fn failed(error: &io::Error) -> Failed {
    let cause = if error.kind() == io::ErrorKind::ConnectionRefused {
        Cause::Refused
    } else {
        Cause::Broken
    };
    Failed {
        cause,
        words: error.to_string(),
    }
}

/// Opens a stream, then serves it to its end.
async fn serve_tls(desk: Weak<Shared>, connection: ConnectionId, target: Target) {
    let outbox = Rc::new(Outbox::default());
    let ended = match stream::open(&target).await {
        Ok(stream) => {
            let port = stream
                .get_ref()
                .0
                .local_addr()
                .map_or(0, |ours| ours.port());
            Desk::if_there(&desk, |pool, now| {
                if let Some(link) = pool.links.get_mut(&connection) {
                    link.opened(port, Rc::clone(&outbox));
                }
                pool.client.handle_open(connection, now);
            });
            let packet = |packet: &[u8]| {
                Desk::if_there(&desk, |pool, now| {
                    pool.client.handle_datagram(connection, packet, now);
                });
            };
            let writable = || {
                Desk::if_there(&desk, |pool, _| {
                    pool.client.handle_writable(connection);
                });
            };
            stream::serve(stream, outbox, packet, writable).await
        }
        Err(failed) => Some(failed),
    };
    if let Some(failed) = ended {
        Desk::if_there(&desk, |pool, now| pool.lose(connection, &failed, now));
    }
}
