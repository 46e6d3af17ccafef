//! A client of RadSec and a server of the test, over loopback.

use core::pin::Pin;
use core::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio::runtime;
use tokio_rustls::server;

use super::*;
use crate::radius::certificates::Authority;
use crate::radius::tls::server_name;

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(10);

fn run(test: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let bounded = async { timeout(PATIENCE, test).await.unwrap() };
    runtime.unwrap().block_on(bounded);
}

/// Who is there, and what there is to be believed.
struct Bed {
    listener: TcpListener,
    authority: Authority,
    server: crate::radius::certificates::Issued,
}

impl Bed {
    /// A server whose certificate is for `names`.
    async fn new(names: &[&str]) -> Self {
        let authority = Authority::new();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            server: authority.issue(names),
            authority,
        }
    }

    fn target(&self, name: Option<&str>) -> Target {
        let address = self.listener.local_addr().unwrap();
        let ours = self.authority.issue(&["lns.example"]);
        Target {
            source: Some([127, 0, 0, 9].into()),
            address,
            name: server_name(name, address.ip()).unwrap(),
            identity: self.authority.identity(&ours),
        }
    }

    async fn accept(&self) -> io::Result<server::TlsStream<TcpStream>> {
        let (stream, from) = self.listener.accept().await.unwrap();
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 9]));
        let acceptor = self.authority.acceptor(&self.server);
        acceptor.accept(stream).await
    }

    /// Both ends of an open connection.
    async fn open(&self) -> (TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
        let target = self.target(None);
        let (ours, theirs) = tokio::join!(open(&target), self.accept());
        (ours.unwrap(), theirs.unwrap())
    }
}

fn packet(length: u16, fill: u8) -> Vec<u8> {
    let mut octets = vec![fill; length.into()];
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    octets
}

#[test]
fn both_sides_show_certificates_and_agree_on_radius_1_0() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let (ours, theirs) = bed.open().await;
        let (_, server) = theirs.get_ref();
        assert_eq!(server.alpn_protocol(), Some(&b"radius/1.0"[..]));
        assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
        assert!(!ours.get_ref().1.is_early_data_accepted());
    });
}

#[test]
fn a_server_with_a_name_is_known_by_it_and_not_by_its_address() {
    run(async {
        let bed = Bed::new(&["radius.example"]).await;
        let named = bed.target(Some("radius.example"));
        let (opened, accepted) = tokio::join!(open(&named), bed.accept());
        assert!(opened.is_ok() && accepted.is_ok());
        for other in [None, Some("other.example")] {
            let target = bed.target(other);
            let (opened, accepted) = tokio::join!(open(&target), bed.accept());
            assert_eq!(opened.unwrap_err().cause, Cause::Tls, "{other:?}");
            assert!(accepted.is_err());
        }
    });
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let other = Bed::new(&["127.0.0.1"]).await;
        let target = Target {
            address: other.listener.local_addr().unwrap(),
            ..bed.target(None)
        };
        let (opened, accepted) = tokio::join!(open(&target), other.accept());
        let failed = opened.unwrap_err();
        assert_eq!(failed.cause, Cause::Tls);
        assert!(failed.words.contains("certificate"), "{}", failed.words);
        assert!(accepted.is_err());
    });
}

#[test]
fn a_client_whose_certificate_the_server_does_not_believe_is_turned_away() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let other = Authority::new();
        // We believe its server, it does not believe us.
        let stranger = other.issue(&["lns.example"]);
        let target = Target {
            identity: bed.authority.identity(&stranger),
            ..bed.target(None)
        };
        let client = async {
            let stream = open(&target).await?;
            let outbox = Rc::new(Outbox::default());
            // With TLS 1.3 the server's refusal comes behind our end of the handshake.
            serve(stream, outbox, |_| {}, || {})
                .await
                .map_or(Ok(()), Err)
        };
        let (served, accepted) = tokio::join!(client, bed.accept());
        assert_eq!(served.unwrap_err().cause, Cause::Tls);
        assert!(accepted.is_err());
    });
}

#[test]
fn where_nobody_listens_that_is_said() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let target = bed.target(None);
        drop(bed);
        assert_eq!(open(&target).await.unwrap_err().cause, Cause::Refused);
    });
}

#[test]
fn packets_go_both_ways_and_the_end_comes_behind_the_last() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let (ours, mut theirs) = bed.open().await;
        let outbox = Rc::new(Outbox::default());
        let sent = [packet(20, 1), packet(4096, 2), packet(21, 3)];
        for packet in &sent {
            outbox.put(packet).unwrap();
        }
        let got = RefCell::new(Vec::new());
        let take = |packet: &[u8]| {
            got.borrow_mut().push(packet.to_vec());
            if got.borrow().len() == sent.len() {
                outbox.put(packet).unwrap();
                outbox.close();
            }
        };
        let server = async {
            let mut read = vec![0; sent.concat().len()];
            theirs.read_exact(&mut read).await.unwrap();
            assert_eq!(read, sent.concat());
            theirs.write_all(&read).await.unwrap();
            theirs.flush().await.unwrap();
            let mut rest = Vec::new();
            // An end without close_notify would be an error.
            theirs.read_to_end(&mut rest).await.unwrap();
            rest
        };
        let (ended, rest) = tokio::join!(serve(ours, Rc::clone(&outbox), take, || {}), server);
        assert_eq!(ended, None);
        assert_eq!(*got.borrow(), sent);
        assert_eq!(rest, sent[2], "what was put before the end is written");
    });
}

#[test]
fn a_length_that_no_packet_has_ends_the_connection() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let (ours, mut theirs) = bed.open().await;
        let mut stream = packet(20, 7);
        stream.extend([2, 0, 0, 19]);
        theirs.write_all(&stream).await.unwrap();
        theirs.flush().await.unwrap();
        let mut got = Vec::new();
        let take = |packet: &[u8]| got.push(packet.to_vec());
        let failed = serve(ours, Rc::new(Outbox::default()), take, || {}).await;
        assert_eq!(failed.unwrap().cause, Cause::BadStream);
        assert_eq!(got, [packet(20, 7)]);
    });
}

#[test]
fn a_server_that_closes_is_told_from_one_that_breaks_off() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let (ours, mut theirs) = bed.open().await;
        theirs.shutdown().await.unwrap();
        let closed = serve(ours, Rc::new(Outbox::default()), |_| {}, || {}).await;
        assert_eq!(closed.unwrap().cause, Cause::ClosedByPeer);

        let (ours, theirs) = bed.open().await;
        let (stream, _) = theirs.into_inner();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(stream);
        let broken = serve(ours, Rc::new(Outbox::default()), |_| {}, || {}).await;
        assert_eq!(broken.unwrap().cause, Cause::ClosedByPeer);
    });
}

#[test]
fn a_server_that_reads_nothing_gets_nothing_more_until_it_does() {
    run(async {
        let bed = Bed::new(&["127.0.0.1"]).await;
        let (ours, mut theirs) = bed.open().await;
        let outbox = Rc::new(Outbox::default());
        let writable = Notify::new();
        let mut put = 0;
        let server = async {
            // As many as the kernel takes, and an outbox of them.
            let deadline = tokio::time::Instant::now() + PATIENCE / 2;
            loop {
                if outbox.put(&packet(4096, 5)).is_ok() {
                    put += 1;
                } else if timeout(Duration::from_millis(300), writable.notified())
                    .await
                    .is_err()
                {
                    break;
                }
                assert!(tokio::time::Instant::now() < deadline, "it took {put}");
                tokio::task::yield_now().await;
            }
            while outbox.put(&packet(4096, 5)).is_ok() {
                put += 1;
            }
            // It reads again: there is room.
            let mut read = vec![0; 1 << 20];
            let mut sum = 0;
            while sum < put * 4096 {
                sum += theirs.read(&mut read).await.unwrap();
            }
            writable.notified().await;
            assert_eq!(outbox.put(&packet(4096, 5)), Ok(()));
        };
        tokio::select! {
            ended = serve(ours, Rc::clone(&outbox), |_| {}, || writable.notify_one()) => panic!("{ended:?}"),
            () = server => {}
        }
    });
}

/// Keeps what each write was given.
#[derive(Default)]
struct Writes(Vec<Vec<u8>>);

impl AsyncWrite for Writes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.push(octets.to_vec());
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn packets_that_wait_together_are_written_one_by_one_for_the_sake_of_servers_that_take_one_a_record()
 {
    run(async {
        let packets: Vec<_> = [20, 300, 4096].map(|length| packet(length, 7)).into();
        let outbox = Outbox::default();
        for packet in &packets {
            outbox.put(packet).unwrap();
        }
        outbox.close();
        let mut writes = Writes::default();
        assert_eq!(write(&mut writes, &outbox, || ()).await, None);
        assert_eq!(writes.0, packets);
    });
}
