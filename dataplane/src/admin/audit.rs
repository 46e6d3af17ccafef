//! Who asked for a change: what the kernel says of the process at the other end of the socket.

use core::time::Duration;
use std::fs;

use nix::unistd::{Uid, User};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::server::Peer;

/// How long names are looked for: the users of a machine may be in a directory that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who is at the other end, for a log line. What is not known is absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Who {
    /// Its user.
    pub(super) uid: Option<u32>,
    /// The name of that user.
    pub(super) by: Option<String>,
    /// Its process.
    pub(super) pid: Option<i32>,
    /// The name of that process.
    pub(super) process: Option<String>,
}

impl Who {
    /// Looks for the names now, while the process is still waiting for its answer.
    pub(super) async fn of(peer: Option<Peer>) -> Self {
        let Some(Peer { uid, pid }) = peer else {
            return Self::default();
        };
        let names = timeout(PATIENCE, spawn_blocking(move || (user(uid), process(pid)))).await;
        let (by, process) = names.ok().and_then(Result::ok).unwrap_or_default();
        Self {
            uid: Some(uid),
            by,
            pid,
            process,
        }
    }
}

fn user(uid: u32) -> Option<String> {
    let user = User::from_uid(Uid::from_raw(uid)).ok()??;
    Some(user.name)
}

/// A process chooses its name itself: it is escaped.
fn process(pid: Option<i32>) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{}/comm", pid?)).ok()?;
    Some(name.trim_end().escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_is_known_by_name_as_far_as_it_has_one() {
        let pid = i32::try_from(std::process::id()).ok();
        let who = Who::of(Some(Peer { uid: 0, pid })).await;
        assert_eq!((who.uid, who.by.as_deref()), (Some(0), Some("root")));
        assert!(who.process.is_some_and(|name| !name.is_empty()));
        let nobody = Peer {
            uid: 4_000_000_000,
            pid: None,
        };
        let who = Who::of(Some(nobody)).await;
        assert_eq!(
            (who.uid, who.by, who.process),
            (Some(4_000_000_000), None, None)
        );
        assert_eq!(Who::of(None).await, Who::default());
    }
}
