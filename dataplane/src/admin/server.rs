//! Sockets of the admin interface. A connection is for one question: so a client holds nothing once it
//! has its answer, and [`connections`](super::connections) sees to it that it holds little before.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::connections::{Connection, Connections};
use crate::failure::Failure;

/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(10);

/// Octets of a request's head, and of what is read ahead of its body.
const BUFFER: usize = 16 * 1024;

/// How long to wait when the process has no descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Who is at the other end of a Unix socket, as the kernel says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its process, where it still has one.
    pub(crate) pid: Option<i32>,
}

/// Opens the admin socket at `path`, for its owner only. A stale one is replaced; one that answers
/// belongs to a running process.
pub(crate) fn bind_unix(path: &Path) -> Result<UnixListener, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            Failure::failed(
                format_args!(
                    "cannot make the state folder {} (--state)",
                    folder.display()
                ),
                error,
            )
        })?;
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            return Err(Failure::Failed(format!(
                "another lnsd answers at {}: stop it, or give this one its own folder with --state",
                path.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| cannot_open(path, &error))?;
        }
        // What else is wrong with the path, binding says better.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(|error| cannot_open(path, &error))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|error| cannot_open(path, &error))?;
    Ok(listener)
}

/// Opens the TCP listener of `--admin`.
pub(crate) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let kind = error.kind();
        if kind == io::ErrorKind::AddrInUse {
            let port = address.port();
            Failure::Failed(format!(
                "--admin {address} is taken (`ss -tlnp sport = :{port}` shows by whom): choose another address"
            ))
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Failure::Failed(format!("--admin {address} is not an address of this machine: choose another one"))
        } else {
            Failure::failed(format_args!("cannot listen on --admin {address}"), error)
        }
    })
}

/// Serves `router` on a TCP listener, for ever.
pub(crate) async fn serve_tcp(listener: TcpListener, router: Router) {
    accept(
        || async { listener.accept().await.map(|(stream, _)| stream) },
        |_| router.clone(),
    )
    .await;
}

/// Serves `router` on a Unix listener, for ever. Handlers get a [`Peer`].
pub(crate) async fn serve_unix(listener: UnixListener, router: Router) {
    accept(
        || async { listener.accept().await.map(|(stream, _)| stream) },
        |stream| router.clone().layer(Extension(peer(stream))),
    )
    .await;
}

fn peer(stream: &UnixStream) -> Option<Peer> {
    stream.peer_cred().ok().map(|credentials| Peer {
        uid: credentials.uid(),
        pid: credentials.pid(),
    })
}

fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format_args!("cannot open the admin socket {} (--state)", path.display()),
        error,
    )
}

async fn accept<S, F>(next: impl Fn() -> F, router: impl Fn(&S) -> Router)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>>,
{
    let connections = Arc::new(Connections::default());
    loop {
        match next().await {
            Ok(stream) => {
                let place = Arc::new(connections.enter().await);
                let router = router(&stream).layer(Extension(Arc::clone(&place)));
                tokio::spawn(connection(stream, router, place));
            }
            // The client went away, or descriptors have run out: neither is for ever.
            Err(_) => tokio::time::sleep(OUT_OF_DESCRIPTORS).await,
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    router: Router,
    place: Arc<Connection>,
) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        // A connection that breaks concerns only its client.
        _broken = serving => {}
        () = place.over() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_and_a_stale_one_is_replaced() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("lnsd/admin.sock");
        drop(bind_unix(&path).unwrap());
        let listener = bind_unix(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(path.parent().unwrap())
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        drop(listener);
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("admin.sock");
        let _first = bind_unix(&path).unwrap();
        let Err(Failure::Failed(line)) = bind_unix(&path) else {
            panic!("bound twice")
        };
        assert_eq!(
            line,
            format!(
                "another lnsd answers at {}: stop it, or give this one its own folder with --state",
                path.display()
            )
        );
    }

    #[tokio::test]
    async fn a_taken_admin_address_is_said_with_the_way_out() {
        let first = bind_tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = first.local_addr().unwrap();
        let Err(Failure::Failed(line)) = bind_tcp(address).await else {
            panic!("bound twice")
        };
        assert_eq!(
            line,
            format!(
                "--admin {address} is taken (`ss -tlnp sport = :{}` shows by whom): choose another address",
                address.port()
            )
        );
    }
}
