//! A small HTTP/1.1 server and client: what subscribers download from the core and upload to it,
//! with a SHA-256 of the body on both sides.
//!
//! `GET /N` answers N MiB of pseudo-random octets and their digest in `X-Sha256`; `PUT /` answers
//! the digest of what it received. One request per connection, no TLS, no chunks: the point is the
//! TCP stream below.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use socket2::{Domain, Protocol, Socket, Type};

/// The largest body that the server makes, in MiB.
const MAX_MIB: usize = 1024;
/// How long a silent peer is waited for.
const SILENCE: Duration = Duration::from_secs(20);

/// What a transfer was like.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// Octets of the body.
    pub(crate) octets: u64,
    /// From the connect to the last octet.
    pub(crate) took: Duration,
    /// Whether the digest that the server named is the one of what arrived.
    pub(crate) intact: bool,
    /// The largest segment that the connection used, in octets.
    pub(crate) segment: u32,
}

impl Transfer {
    /// Megabits per second of the body.
    pub(crate) fn megabits(&self) -> f64 {
        self.octets as f64 * 8.0 / self.took.as_secs_f64() / 1e6
    }
}

/// Serves `listener` until the process ends, one thread per connection.
pub(crate) fn serve(listener: &TcpListener) {
    let cache = Arc::new(std::sync::Mutex::new(Body::default()));
    for stream in listener.incoming().flatten() {
        let cache = Arc::clone(&cache);
        std::thread::spawn(move || {
            // A client that goes away in the middle is its own business.
            answer(&stream, &cache).ok();
        });
    }
}

/// Downloads `mib` MiB from `server`, from the address `source` of this machine.
pub(crate) fn download(server: SocketAddr, source: IpAddr, mib: usize) -> Result<Transfer> {
    let started = Instant::now();
    let mut stream = connect(server, source)?;
    write!(stream, "GET /{mib} HTTP/1.1\r\nHost: {server}\r\n\r\n")?;
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    let head = Head::read(&mut reader)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut octets = 0_u64;
    loop {
        let len = reader.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        digest.update(buffer.get(..len).unwrap_or_default());
        octets += len as u64;
    }
    Ok(Transfer {
        octets,
        took: started.elapsed(),
        intact: head.status == 200
            && octets == head.length
            && hex(&digest.finalize()) == head.sha256,
        segment: segment_size(reader.get_ref()),
    })
}

/// Uploads `mib` MiB to `server`, from the address `source` of this machine.
pub(crate) fn upload(server: SocketAddr, source: IpAddr, mib: usize) -> Result<Transfer> {
    let body = Body::of(mib);
    let started = Instant::now();
    let mut stream = connect(server, source)?;
    write!(
        stream,
        "PUT / HTTP/1.1\r\nHost: {server}\r\nContent-Length: {}\r\n\r\n",
        body.octets.len()
    )?;
    stream.write_all(&body.octets)?;
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?;
    Ok(Transfer {
        octets: body.octets.len() as u64,
        took: started.elapsed(),
        intact: head.status == 200 && head.sha256 == body.sha256,
        segment: segment_size(reader.get_ref()),
    })
}

/// A plain GET of a small document, such as `/metrics`.
pub(crate) fn get(server: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(SILENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
    )?;
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok((head.status, text))
}

/// A connection from `source` to `server`.
pub(crate) fn connect(server: SocketAddr, source: IpAddr) -> Result<TcpStream> {
    dial(SocketAddr::new(source, 0), server, Duration::from_secs(5))
}

/// A listener at `address`, where a connection may have ended a moment ago.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(8)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr) -> Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A connection from `source`, its port included, to `server`.
pub(crate) fn dial(
    source: SocketAddr,
    server: SocketAddr,
    patience: Duration,
) -> Result<TcpStream> {
    let socket = bound(source)?;
    socket
        .connect_timeout(&server.into(), patience)
        .with_context(|| format!("connecting from {source} to {server}"))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

/// A body of pseudo-random octets with its digest.
#[derive(Clone, Debug, Default)]
struct Body {
    octets: Arc<Vec<u8>>,
    sha256: String,
}

impl Body {
    fn of(mib: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = mib << 17;
        let mut octets = Vec::with_capacity(words << 3);
        for _ in 0..words {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            octets.extend_from_slice(&state.to_le_bytes());
        }
        let sha256 = hex(&Sha256::digest(&octets));
        Self {
            octets: Arc::new(octets),
            sha256,
        }
    }
}

/// The first lines of a request or an answer, as far as they matter here.
#[derive(Debug)]
struct Head {
    first: String,
    status: u16,
    length: u64,
    sha256: String,
}

impl Head {
    fn read(reader: &mut impl std::io::BufRead) -> Result<Self> {
        let mut first = String::new();
        reader.take(1024).read_line(&mut first)?;
        ensure!(
            !first.is_empty(),
            "the peer closed the connection without an answer"
        );
        let mut head = Self {
            status: first
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or(0),
            first,
            length: 0,
            sha256: String::new(),
        };
        loop {
            let mut line = String::new();
            reader.take(4096).read_line(&mut line)?;
            let line = line.trim_end();
            let Some((name, value)) = line.split_once(": ") else {
                return Ok(head);
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse()?,
                "x-sha256" => value.clone_into(&mut head.sha256),
                _ => {}
            }
        }
    }
}

fn answer(stream: &TcpStream, cache: &std::sync::Mutex<Body>) -> Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    let head = Head::read(&mut reader)?;
    let mut words = head.first.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => send_body(stream, path, cache),
        (Some("PUT"), Some(_)) => receive_body(stream, &mut reader, head.length),
        _ => bail!("neither GET nor PUT"),
    }
}

fn send_body(mut stream: &TcpStream, path: &str, cache: &std::sync::Mutex<Body>) -> Result<()> {
    let size = path.trim_start_matches('/').parse::<usize>();
    let Some(mib) = size.ok().filter(|mib| *mib <= MAX_MIB) else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(());
    };
    let body = {
        let mut cached = cache
            .lock()
            .map_err(|_| anyhow::anyhow!("a sender panicked"))?;
        if cached.octets.len() != mib << 20 {
            *cached = Body::of(mib);
        }
        cached.clone()
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Sha256: {}\r\nConnection: close\r\n\r\n",
        body.octets.len(),
        body.sha256
    )?;
    stream.write_all(&body.octets)?;
    Ok(())
}

fn receive_body(mut stream: &TcpStream, reader: &mut impl Read, length: u64) -> Result<()> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut body = reader.take(length);
    loop {
        let len = body.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        digest.update(buffer.get(..len).unwrap_or_default());
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Sha256: {}\r\nConnection: close\r\n\r\n",
        hex(&digest.finalize())
    )?;
    Ok(())
}

fn segment_size(stream: &TcpStream) -> u32 {
    nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::TcpMaxSeg).unwrap_or(0)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_arrives_intact_both_ways_and_an_unknown_path_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener));
        let here = IpAddr::from([127, 0, 0, 1]);

        let down = download(server, here, 2).unwrap();
        assert_eq!((down.octets, down.intact), (2 << 20, true));
        let up = upload(server, here, 3).unwrap();
        assert_eq!((up.octets, up.intact), (3 << 20, true));
        assert_eq!(get(server, "/nothing").unwrap().0, 404);
    }
}
