//! What the owner of a member does with the channel.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use lns_cluster::NodeName;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Config;
use crate::data::Data;
use crate::epochs::Epochs;
use crate::event::Events;
use crate::figures::PeerFigures;
use crate::limits::FAREWELL;
use crate::link::outbox::SendError;
use crate::link::{Asking, knows};
use crate::member::Authenticated;
use crate::peers::{Full, Shared};
use crate::tasks::run;
use crate::tls::Credentials;
use crate::wire::{Answer, Failure, Kind, Message, Question};

/// The peer channel of one member. Dropping it ends all connections at once; [`Self::close`] says
/// goodbye.
#[derive(Debug)]
pub struct Peers {
    shared: Arc<Shared>,
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What is said through the channel, from any task or thread.
#[derive(Clone, Debug)]
pub struct Speaker(Arc<Shared>);

impl Peers {
    /// Starts it on a socket that listens, within a runtime of tokio. `epochs` is what its owner raises.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn start(
        config: Config,
        listener: TcpListener,
        credentials: Credentials,
        epochs: Epochs,
    ) -> io::Result<(Self, Events)> {
        let address = listener.local_addr()?.ip();
        let source = Some(address).filter(|address| !address.is_unspecified());
        let shared = Arc::new(Shared::new(config, credentials, epochs, source));
        let events = Events(Arc::clone(&shared.inbox));
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(run(Arc::clone(&shared), listener, ended));
        Ok((Self { shared, end, task }, events))
    }

    /// These are the peers, and where each of them listens. One that is not named any more is not tried
    /// any more; a connection that it has stays. The member itself may be among them.
    ///
    /// # Errors
    /// There are too many.
    pub fn list(&self, peers: &BTreeMap<NodeName, SocketAddr>) -> Result<(), Full> {
        self.shared.list(peers)
    }

    /// New connections show and believe this. Those that are there go on.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.shared.credentials.store(Arc::new(credentials));
    }

    /// What to speak through.
    pub fn speaker(&self) -> Speaker {
        Speaker(Arc::clone(&self.shared))
    }

    /// The keys for packets that are handed over, for the threads that move packets. Peers whose
    /// [`Capabilities::DATA`](crate::wire::Capabilities::DATA) is set, as ours is, and that are listed have
    /// a way there.
    pub fn data(&self) -> Data {
        self.shared.data.clone()
    }

    /// What has passed, by peer.
    pub fn figures(&self) -> Vec<(NodeName, PeerFigures)> {
        let peers = self.shared.peers().into_iter();
        peers
            .map(|peer| (peer.node.clone(), peer.figures()))
            .collect()
    }

    /// Connections that were not made: `accept` or `open`, why, and how many.
    pub fn failures(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.shared.failures.read()
    }

    /// Says goodbye to all peers, and ends.
    pub async fn close(mut self) {
        self.shared.farewell();
        let _late = timeout(FAREWELL, self.all_gone()).await;
        self.end.send_replace(true);
        let _ended = (&mut self.task).await;
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    async fn all_gone(&self) {
        for peer in self.shared.peers() {
            let mut is_connected = peer.is_connected.subscribe();
            let _gone = is_connected.wait_for(|it| !*it).await;
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.inbox.close();
    }
}

impl Speaker {
    /// Says something to a peer, under the epoch that is known now. It may be lost with the connection.
    ///
    /// # Errors
    /// It was not put on its way. [`SendError::Full`]: it was dropped, and counted.
    pub fn send(&self, to: &NodeName, message: Message) -> Result<(), SendError> {
        let link = self.0.link(to).ok_or(SendError::NotConnected)?;
        let kind = message.kind();
        if !knows(link.member.version(), kind) {
            return Err(SendError::Unsupported);
        }
        if link.outbox.message(message, self.0.epochs.known())? {
            return Ok(());
        }
        link.counters.dropped(kind);
        Err(SendError::Full)
    }

    /// Asks a peer something, under the epoch that is known now, and waits for the answer. Whoever stops
    /// waiting gives the question up.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        whom: &NodeName,
        question: Question,
    ) -> Result<Authenticated<Answer>, Failure> {
        let link = self.0.link(whom).ok_or(Failure::NotConnected)?;
        let kind = question.kind();
        if !knows(link.member.version(), kind) {
            return Err(Failure::Unsupported);
        }
        let (id, told) = link.pending.ask(kind)?;
        let asking = Asking { link: &link, id };
        let asked = link.outbox.question(id, question, self.0.epochs.known());
        asked.map_err(|error| match error {
            SendError::TooLong => Failure::TooLong,
            SendError::Full | SendError::NotConnected | SendError::Unsupported => Failure::Full,
        })?;
        let timing = self.0.config.timing;
        let patience = if kind == Kind::AskAdmin {
            timing.admin_answer
        } else {
            timing.answer
        };
        let outcome = timeout(patience, told).await;
        drop(asking);
        let (answer, epoch) = outcome
            .map_err(|_| Failure::Timeout)?
            .map_err(|_| Failure::Disconnected)??;
        Ok(Authenticated::new(link.member.clone(), epoch, answer))
    }
}
