//! A RADIUS server of ours that does what it is told to: drops, delays, forges. It keeps what it has read.

use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lns_crypto::Secret;
use lns_crypto::radius::{sign_message, sign_response};
use lns_wire::radius::{AttributeList, Code, HEADER, Packet, kind};

use super::server::SECRET;
use crate::net::Namespace;

/// How often it looks whether it is to end, or to send what it holds back.
const TICK: Duration = Duration::from_millis(5);

/// A datagram that has come.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When.
    pub(super) at: Instant,
    /// From where.
    pub(super) from: SocketAddr,
    /// What.
    pub(super) octets: Vec<u8>,
}

impl Seen {
    /// What it says.
    pub(super) fn packet(&self) -> Result<Packet<'_>> {
        Packet::parse(&self.octets)
            .map_err(|error| anyhow::anyhow!("the LNS has sent what is no packet: {error:?}"))
    }
}

/// What is sent, and how long after the request.
pub(super) type Reply = (Duration, Vec<u8>);

/// What is sent for a request: it is given with how many have come before it.
pub(super) type Script = Arc<dyn Fn(&Packet<'_>, usize) -> Vec<Reply> + Send + Sync>;

/// A server that is running. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Responder {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Result<()>>>,
}

impl Responder {
    /// Serves both ports of `address` in `namespace`.
    pub(super) fn start(namespace: &Namespace, address: Ipv4Addr, script: &Script) -> Result<Self> {
        Self::serve(namespace, address, script, true)
    }

    /// The same, and nothing of what comes is kept.
    pub(super) fn forgetful(
        namespace: &Namespace,
        address: Ipv4Addr,
        script: &Script,
    ) -> Result<Self> {
        Self::serve(namespace, address, script, false)
    }

    fn serve(
        namespace: &Namespace,
        address: Ipv4Addr,
        script: &Script,
        keep: bool,
    ) -> Result<Self> {
        let mut responder = Self {
            seen: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for port in [1812, 1813] {
            let socket = namespace.enter(|| UdpSocket::bind((address, port)))??;
            socket.set_read_timeout(Some(TICK))?;
            let (seen, stop) = (Arc::clone(&responder.seen), Arc::clone(&responder.stop));
            let script = Arc::clone(script);
            let serve = move || serve(&socket, keep.then_some(&*seen), &stop, &script);
            responder.threads.push(std::thread::spawn(serve));
        }
        Ok(responder)
    }

    /// What has come, of this code.
    pub(super) fn seen(&self, code: Code) -> Vec<Seen> {
        let seen = lock(&self.seen);
        let of_code = seen.iter().filter(|it| it.octets.first() == Some(&code.0));
        of_code.cloned().collect()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Ok(Err(error)) = thread.join() {
                eprintln!("the server of ours: {error:#}");
            }
        }
    }
}

/// A reply that is held back; the earliest is the greatest.
#[derive(Eq, PartialEq)]
struct Held {
    due: Instant,
    number: usize,
    to: SocketAddr,
    octets: Vec<u8>,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn serve(
    socket: &UdpSocket,
    seen: Option<&Mutex<Vec<Seen>>>,
    stop: &AtomicBool,
    script: &Script,
) -> Result<()> {
    let (mut buffer, mut held, mut count) = (vec![0; 65_536], BinaryHeap::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let octets = buffer.get(..length).unwrap_or_default().to_vec();
            let at = Instant::now();
            if let Ok(packet) = Packet::parse(&octets) {
                for (after, octets) in script(&packet, count) {
                    held.push(Held {
                        due: at + after,
                        number: held.len(),
                        to: from,
                        octets,
                    });
                }
                count += 1;
            }
            if let Some(seen) = seen {
                lock(seen).push(Seen { at, from, octets });
            }
        }
        while held.peek().is_some_and(|it| it.due <= Instant::now()) {
            let Some(reply) = held.pop() else { break };
            let sent = socket.send_to(&reply.octets, reply.to);
            sent.with_context(|| format!("answering {}", reply.to))?;
        }
    }
    Ok(())
}

/// How a reply is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signed {
    /// As it should be: with a Message-Authenticator.
    Well,
    /// By the Response Authenticator alone: what a forger can make of another answer (CVE-2024-3596).
    WithoutMessage,
    /// With a Message-Authenticator of a secret that nobody has.
    WrongMessage,
    /// By a Response Authenticator of a secret that nobody has.
    WrongResponse,
}

/// The answer to `request`.
pub(super) fn answer(
    request: &Packet<'_>,
    code: Code,
    attributes: &AttributeList,
    signed: Signed,
) -> Vec<u8> {
    let (right, wrong) = (Secret::new(SECRET.as_bytes()), Secret::new(*b"nobody's"));
    let mut list = AttributeList::new();
    if signed != Signed::WithoutMessage {
        // Sixteen octets always fit.
        list.push(kind::MESSAGE_AUTHENTICATOR, &[0; 16]).ok();
    }
    let mut octets = Vec::new();
    let body = [list.octets(), attributes.octets()].concat();
    AttributeList::from(body)
        .emit(code, request.id, &request.authenticator, &mut octets)
        .ok();
    let secret = match signed {
        Signed::WrongMessage => &wrong,
        Signed::Well | Signed::WithoutMessage | Signed::WrongResponse => &right,
    };
    if signed != Signed::WithoutMessage {
        sign_message(&mut octets, HEADER + 2, &request.authenticator, secret).ok();
    }
    let secret = match signed {
        Signed::WrongResponse => &wrong,
        Signed::Well | Signed::WithoutMessage | Signed::WrongMessage => &right,
    };
    sign_response(&mut octets, &request.authenticator, secret).ok();
    octets
}

/// What an honest server says that lets everybody in.
pub(super) fn accept(request: &Packet<'_>) -> Option<Vec<u8>> {
    let code = match request.code {
        Code::ACCESS_REQUEST | Code::STATUS_SERVER => Code::ACCESS_ACCEPT,
        Code::ACCOUNTING_REQUEST => Code::ACCOUNTING_RESPONSE,
        _ => return None,
    };
    Some(answer(request, code, &AttributeList::new(), Signed::Well))
}

/// A script that does so, `delay` after each request.
pub(super) fn accept_after(delay: Duration) -> Script {
    Arc::new(move |request, _| {
        accept(request)
            .map(|reply| (delay, reply))
            .into_iter()
            .collect()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
