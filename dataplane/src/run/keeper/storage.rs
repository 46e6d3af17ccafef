//! Where a journal's rounds go, and what comes back.

use std::sync::Arc;

use lns_cluster::Epoch;
use lns_cluster::journal::{Mark, Round, Ticket};
use lns_store::writer::{self, Writer};
use lns_vault::Vault;

/// Where rounds go.
#[derive(Debug)]
pub(super) enum Storage {
    /// Nowhere: there can be no vault.
    None,
    /// The state folder of a node that serves alone.
    Vault(Vault),
    /// The store of a cluster.
    Store(Box<Writer>),
}

/// What comes back.
#[derive(Debug)]
pub(super) enum News {
    /// This round is stored.
    Stored(Ticket),
    /// This round is, and all before it.
    StoredThrough(Ticket),
    /// The disk fails, or does not any more.
    Failing(bool),
    /// The store is away.
    Away(Arc<str>),
    /// The store has taken the claim.
    Claimed { epoch: Epoch, seq: u64 },
    /// The store has another master.
    Lost(Epoch),
    /// The store may have lost what it had, and has this.
    Changed(Vec<(String, Mark)>),
    /// Fewer replicas than are configured have a round.
    NotReplicated,
}

impl Storage {
    pub(super) const fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) fn write(&self, round: Round<String>) {
        match self {
            Self::None => {}
            Self::Vault(vault) => vault.write(round),
            Self::Store(writer) => writer.write(round),
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        match self {
            Self::None => None,
            Self::Vault(vault) => vault.poll_news().map(|news| match news {
                lns_vault::News::Stored(ticket) => News::StoredThrough(ticket),
                lns_vault::News::Failing(is_failing) => News::Failing(is_failing),
            }),
            Self::Store(writer) => writer.poll_news().map(of_store),
        }
    }
}

fn of_store(news: writer::News) -> News {
    match news {
        writer::News::Claimed { epoch, seq, .. } => News::Claimed { epoch, seq },
        writer::News::Stored(ticket) => News::Stored(ticket),
        writer::News::NotReplicated { .. } => News::NotReplicated,
        writer::News::Away { reason } => News::Away(reason.to_string().into()),
        writer::News::Lost { epoch, .. } => News::Lost(epoch),
        writer::News::Changed { marks, .. } => News::Changed(marks),
    }
}
