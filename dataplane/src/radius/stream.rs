//! A RadSec connection to one server (RFC 6614): opened, read packet by packet, written without waiting.

use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::rc::Rc;

use lns_radius::event::{Cause, SendError};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::frame::{self, BadLength, Frames};
use super::tls::Identity;
use super::udp::source_for;

/// Octets that wait to be written. A server that leaves so many unread is asked nothing more for now:
/// what is in the kernel's buffers comes on top.
const OUTBOX: usize = 64 * 1024;

/// How long the peer's TCP may leave what we have sent unacknowledged (RFC 5482): then a firewall has
/// forgotten the connection, or the peer is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// When a connection on which nothing goes is probed by TCP, and how often again. The watchdog of RADIUS
/// asks the server itself; this keeps state in firewalls.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(5);

/// How long an end may take: what is in the outbox, and our `close_notify`.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where a connection goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// From this address of ours.
    pub(super) source: Option<IpAddr>,
    /// To here.
    pub(super) address: SocketAddr,
    /// What the certificate there must be for.
    pub(super) name: ServerName<'static>,
    /// Who we are, and whom we believe.
    pub(super) identity: Identity,
}

/// Why a connection failed: for the machine, and in words for the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failed {
    pub(super) cause: Cause,
    pub(super) words: String,
}

impl Failed {
    fn new(cause: Cause, words: &impl ToString) -> Self {
        Self {
            cause,
            words: words.to_string(),
        }
    }

    /// By an error of the stream.
    fn of(error: &io::Error) -> Self {
        const CLOSED: [io::ErrorKind; 3] = [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::UnexpectedEof,
        ];
        let cause = if error.kind() == io::ErrorKind::ConnectionRefused {
            Cause::Refused
        } else if CLOSED.contains(&error.kind()) {
            Cause::ClosedByPeer
        } else if error.kind() == io::ErrorKind::InvalidData {
            // What rustls finds wrong.
            Cause::Tls
        } else {
            Cause::Broken
        };
        Self::new(cause, &error)
    }
}

/// Opens a connection. Who asks for it ends it when it takes too long.
///
/// # Errors
/// Why it cannot be opened.
pub(super) async fn open(target: &Target) -> Result<TlsStream<TcpStream>, Failed> {
    let stream = connect(target).await.map_err(|error| Failed::of(&error))?;
    let connector = TlsConnector::from(target.identity.config.clone());
    let opened = connector.connect(target.name.clone(), stream).await;
    opened.map_err(|error| Failed::new(Cause::Tls, &error))
}

async fn connect(target: &Target) -> io::Result<TcpStream> {
    let socket = match target.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(
        source_for(target.source, target.address),
        0,
    ))?;
    let options = SockRef::from(&socket);
    options.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    options.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_AGAIN))?;
    // A packet is written whole; there is nothing to wait for.
    socket.set_nodelay(true)?;
    socket.connect(target.address).await
}

/// What waits to be written on a stream.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    octets: RefCell<Vec<u8>>,
    changed: Notify,
    closed: Notify,
    /// A packet did not fit; who has it wants to know when one will.
    wanted: Cell<bool>,
    closing: Cell<bool>,
}

impl Outbox {
    /// Puts a packet in.
    ///
    /// # Errors
    /// [`SendError::Temporary`]: the server does not read what there is already.
    pub(super) fn put(&self, packet: &[u8]) -> Result<(), SendError> {
        let mut octets = self.octets.borrow_mut();
        if octets.len() + packet.len() > OUTBOX {
            self.wanted.set(true);
            return Err(SendError::Temporary);
        }
        octets.extend_from_slice(packet);
        self.changed.notify_one();
        Ok(())
    }

    /// What is in it is still written, then the stream ends.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.changed.notify_one();
        self.closed.notify_one();
    }
}

/// Writes what the outbox gets until that is closed, and gives each packet that comes to `take`.
/// `writable` is told when there is room after there was none. Returns when the connection has ended:
/// `None` if we have ended it.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    outbox: Rc<Outbox>,
    take: impl FnMut(&[u8]),
    writable: impl FnMut(),
) -> Option<Failed> {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        failed = read(reader, take) => Some(failed),
        failed = write(writer, &outbox, writable) => failed,
        () = overdue(&outbox) => None,
    }
}

/// Returns when the end takes too long: the peer reads nothing.
async fn overdue(outbox: &Outbox) {
    outbox.closed.notified().await;
    sleep(2 * FAREWELL).await;
}

async fn read(mut stream: impl AsyncRead + Unpin, mut take: impl FnMut(&[u8])) -> Failed {
    let mut frames = Frames::new();
    loop {
        match stream.read(frames.space()).await {
            Ok(0) => {
                return Failed::new(Cause::ClosedByPeer, &"the server has closed the connection");
            }
            Ok(octets) => frames.read(octets),
            Err(error) => return Failed::of(&error),
        }
        loop {
            match frames.next() {
                Ok(Some(packet)) => take(packet),
                Ok(None) => break,
                Err(BadLength(length)) => {
                    let words = format!("a packet whose Length is {length}");
                    return Failed::new(Cause::BadStream, &words);
                }
            }
        }
    }
}

async fn write(
    mut stream: impl AsyncWrite + Unpin,
    outbox: &Outbox,
    mut writable: impl FnMut(),
) -> Option<Failed> {
    // Two buffers that change places, each allocated once.
    let mut octets = Vec::new();
    loop {
        outbox.changed.notified().await;
        octets.clear();
        core::mem::swap(&mut octets, &mut *outbox.octets.borrow_mut());
        if outbox.closing.get() {
            // Who does not take it in time is left.
            let _late = timeout(FAREWELL, farewell(&mut stream, &octets)).await;
            return None;
        }
        if let Err(error) = write_packets(&mut stream, &octets).await {
            return Some(Failed::of(&error));
        }
        if outbox.wanted.take() {
            writable();
        }
    }
}

/// Each packet is a write of its own, hence a TLS record of its own: FreeRADIUS before 3.2.6 closes a
/// connection on which one record has two packets.
async fn write_packets(
    stream: &mut (impl AsyncWrite + Unpin),
    mut octets: &[u8],
) -> io::Result<()> {
    while let Some(length) = frame::length(octets) {
        let (packet, rest) = octets.split_at(length.min(octets.len()));
        stream.write_all(packet).await?;
        octets = rest;
    }
    stream.flush().await
}

async fn farewell(stream: &mut (impl AsyncWrite + Unpin), rest: &[u8]) -> io::Result<()> {
    write_packets(stream, rest).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests;
