//! A connection until both sides know who is there: TCP, TLS, a greeting each way.
//!
//! Who opened it speaks first. Who refuses says why, and by which names; the other side logs it.

use core::net::{IpAddr, SocketAddr};
use std::io;

use lns_cluster::Epoch;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use zeroize::Zeroizing;

use crate::cluster::Entitled;
use crate::data::{LABEL, SECRET, Secret};
use crate::failed::{Failed, FailedFor};
use crate::limits::{BODY, FAREWELL, GREETING, STALLED, UNSENT};
use crate::tls::{ALPN, Credentials, entitled};
use crate::wire::{Body, Frames, Goodbye, Hello, Refused, RefusedFor, decode_greeting, encode};

/// A connection on which both have said who they are.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) stream: TlsStream<TcpStream>,
    /// What was read of it.
    pub(crate) frames: Frames,
    /// Who is there.
    pub(crate) theirs: Box<Hello>,
    /// What the peer knew.
    pub(crate) epoch: Epoch,
    /// The version that both speak.
    pub(crate) version: u16,
    pub(crate) address: SocketAddr,
    /// We have opened it.
    pub(crate) is_ours: bool,
    /// What keys for packets are made of.
    pub(crate) secret: Secret,
}

/// What we say of ourselves.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) hello: Hello,
    pub(crate) epoch: Epoch,
    pub(crate) credentials: Credentials,
}

/// Opens a connection to `address`. Who asks for it ends it when it takes too long.
///
/// # Errors
/// Why there is none.
pub(crate) async fn open(
    source: Option<IpAddr>,
    address: SocketAddr,
    ours: &Ours,
) -> Result<Greeted, Failed> {
    let stream = connect(source, address).await;
    let stream = stream.map_err(|error| Failed::of(&error))?;
    let connector = TlsConnector::from(ours.credentials.client.clone());
    let secured = connector.connect(ours.credentials.name.clone(), stream);
    let secured = secured.await.map_err(|error| Failed::of(&error))?;
    let mut half = Half::new(TlsStream::Client(secured), &ours.hello)?;
    half.say(&Body::Hello(Box::new(ours.hello.clone())), ours.epoch)
        .await?;
    let (theirs, epoch) = half.hear().await?;
    match half.check(&ours.hello, &theirs) {
        Ok(version) => half.done(theirs, epoch, version, address, true),
        Err(refused) => Err(half.refuse(refused, ours.epoch).await),
    }
}

/// Takes a connection that somebody opened, unless `judge` refuses who is there.
///
/// # Errors
/// Why it is not taken.
pub(crate) async fn accept(
    stream: TcpStream,
    address: SocketAddr,
    ours: &Ours,
    judge: impl FnOnce(&Hello) -> Result<(), Refused>,
) -> Result<Greeted, Failed> {
    prepare(&stream).map_err(|error| Failed::of(&error))?;
    let acceptor = TlsAcceptor::from(ours.credentials.server.clone());
    let secured = acceptor.accept(stream).await;
    let secured = secured.map_err(|error| Failed::of(&error))?;
    let mut half = Half::new(TlsStream::Server(secured), &ours.hello)?;
    let (theirs, epoch) = half.hear().await?;
    let checked = half.check(&ours.hello, &theirs);
    match checked.and_then(|version| judge(&theirs).map(|()| version)) {
        Ok(version) => {
            half.say(&Body::Hello(Box::new(ours.hello.clone())), ours.epoch)
                .await?;
            half.done(theirs, epoch, version, address, false)
        }
        Err(refused) => Err(half.refuse(refused, ours.epoch).await),
    }
}

async fn connect(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    prepare(&stream)?;
    Ok(stream)
}

/// Frames are written whole, so there is nothing to wait for; what is urgent must not wait behind much
/// that the kernel has; and what the peer's kernel does not acknowledge ends the connection (RFC 5482).
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let options = SockRef::from(stream);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_notsent_lowat(UNSENT)?;
    options.set_tcp_user_timeout(Some(STALLED))
}

/// A secured connection whose peer has a certificate and has not said yet who it is.
struct Half {
    stream: TlsStream<TcpStream>,
    frames: Frames,
    entitled: Entitled,
}

impl Half {
    fn new(stream: TlsStream<TcpStream>, ours: &Hello) -> Result<Self, Failed> {
        let (_, tls) = stream.get_ref();
        if tls.alpn_protocol() != Some(ALPN) {
            return Err(Failed::new(FailedFor::Tls, "no peer channel is there"));
        }
        let first = tls.peer_certificates().and_then(<[_]>::first);
        // TLS has verified it, names included.
        let entitled = first.and_then(|first| entitled(first, &ours.cluster));
        let none = || Failed::new(FailedFor::Certificate, "the peer has shown no certificate");
        Ok(Self {
            entitled: entitled.ok_or_else(none)?,
            stream,
            frames: Frames::new(GREETING),
        })
    }

    async fn say(&mut self, body: &Body, epoch: Epoch) -> Result<(), Failed> {
        let too_long = |_| Failed::new(FailedFor::Stream, "our greeting is too long");
        let frame = encode(body, epoch).map_err(too_long)?;
        let written = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| Failed::of(&error))
    }

    async fn hear(&mut self) -> Result<(Box<Hello>, Epoch), Failed> {
        loop {
            if let Some(frame) = self.frames.next_frame()? {
                let epoch = frame.epoch;
                let greeting = decode_greeting(frame)?;
                return greeting
                    .map(|hello| (hello, epoch))
                    .map_err(|refused| Failed::refused_by_peer(&refused));
            }
            let read = self.stream.read(self.frames.space()).await;
            match read.map_err(|error| Failed::of(&error))? {
                0 => {
                    let words = "the peer has closed the connection before its greeting";
                    return Err(Failed::new(FailedFor::Closed, words));
                }
                octets => self.frames.read(octets),
            }
        }
    }

    /// The version that both speak.
    fn check(&self, ours: &Hello, theirs: &Hello) -> Result<u16, Refused> {
        let refuse = |why, words: String| Err(Refused::new(why, words));
        let node = theirs.identity.node();
        if theirs.cluster != ours.cluster {
            let words = format!("this is {}, and not {}", ours.cluster, theirs.cluster);
            return refuse(RefusedFor::Cluster, words);
        }
        if !self.entitled.admits(node) {
            let words = format!(
                "the certificate is not for {}",
                ours.cluster.node_name(node)
            );
            return refuse(RefusedFor::Name, words);
        }
        if node == ours.identity.node() {
            let words = format!("both say that they are node {node}");
            return refuse(RefusedFor::OwnName, words);
        }
        ours.common(theirs).ok_or_else(|| {
            let words = format!(
                "versions {} to {} are spoken here, and not {} to {}",
                ours.oldest, ours.version, theirs.oldest, theirs.version
            );
            Refused::new(RefusedFor::Version, words)
        })
    }

    /// Says why, and waits a moment for the peer to hear it.
    async fn refuse(&mut self, refused: Refused, epoch: Epoch) -> Failed {
        let _heard = timeout(FAREWELL, async {
            self.say(&Body::Refused(refused.clone()), epoch).await?;
            farewell(&mut self.stream).await;
            Ok::<_, Failed>(())
        })
        .await;
        Failed::refused(refused)
    }

    fn done(
        mut self,
        theirs: Box<Hello>,
        epoch: Epoch,
        version: u16,
        address: SocketAddr,
        is_ours: bool,
    ) -> Result<Greeted, Failed> {
        self.frames.allow(BODY);
        Ok(Greeted {
            secret: export(&self.stream)?,
            stream: self.stream,
            frames: self.frames,
            theirs,
            epoch,
            version,
            address,
            is_ours,
        })
    }
}

/// What both ends of a connection know and nobody else (RFC 8446, 7.5).
fn export(stream: &TlsStream<TcpStream>) -> Result<Secret, Failed> {
    let mut octets = Zeroizing::new([0; SECRET]);
    let exported = match stream {
        TlsStream::Client(stream) => {
            let (_, tls) = stream.get_ref();
            tls.export_keying_material(&mut octets[..], LABEL, None)
        }
        TlsStream::Server(stream) => {
            let (_, tls) = stream.get_ref();
            tls.export_keying_material(&mut octets[..], LABEL, None)
        }
    };
    match exported {
        Ok(_) => Ok(Secret::new(&octets)),
        Err(error) => Err(Failed::new(FailedFor::Tls, error.to_string())),
    }
}

/// Ends a stream so that what was written last is read: a socket that is closed with something unread in
/// it takes back what is on its way.
async fn farewell(stream: &mut TlsStream<TcpStream>) {
    if stream.shutdown().await.is_ok() {
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await.is_ok_and(|octets| octets > 0) {}
    }
}

/// Does not take a connection that was greeted: the other side is told so by a goodbye.
pub(crate) async fn leave(mut greeted: Greeted, why: Goodbye, epoch: Epoch) {
    let _heard = timeout(FAREWELL, async {
        let Ok(frame) = encode(&Body::Goodbye(why), epoch) else {
            return;
        };
        if greeted.stream.write_all(&frame).await.is_ok() {
            farewell(&mut greeted.stream).await;
        }
    })
    .await;
}
