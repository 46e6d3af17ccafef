//! A node that is to leave the service to the others: the operator asks for it with the note `drain` in the node's
//! Lease (`kubelns.io/drain: "yes"`), a person with the annotation `kubelns.io/fenced` of the `LnsCluster`.

use lns_cluster::member::Aside;
use lns_datapath::{Stats, clock};
use tracing::{info, warn};

use super::Crew;

/// The note by which a node is asked to let itself be drained, and what it says then.
const DRAIN: (&str, &str) = ("drain", "yes");

impl Crew {
    /// Looks at what is asked, and does it.
    pub(super) async fn stand_aside(&mut self) {
        let now = clock::now();
        let packets = arrived(&(self.parts.stats)());
        self.member.handle_traffic(packets, now);
        let (before, candidacy) = (self.member.aside(), self.member.candidacy());
        let asked = self.asked();
        self.member.handle_aside(asked, self.has_others(), now);
        if asked != before {
            tell_of(asked);
        }
        let wanted = self.member.candidacy();
        if wanted != candidacy {
            let _ended = self.parts.lease.candidacy(wanted).await;
        }
    }

    fn asked(&self) -> Aside {
        if self.parts.setup.is_fenced {
            return Aside::Fenced;
        }
        let asked = self.parts.announcing.asked.borrow();
        if asked.get(DRAIN.0) == Some(DRAIN.1) {
            Aside::Draining
        } else {
            Aside::No
        }
    }

    /// Whether another member serves, and does not stand aside itself.
    fn has_others(&self) -> bool {
        let now = clock::now();
        let nodes = self.parts.directory.nodes.borrow();
        nodes.entries.iter().any(|(node, entry)| {
            let aside = entry.state.notes.get("aside");
            *node != self.parts.me
                && entry.state.ready
                && entry.is_current(now)
                // A release before this one says nothing of it.
                && aside.is_none_or(|aside| aside == Aside::No.label())
        })
    }
}

fn tell_of(asked: Aside) {
    match asked {
        Aside::No => info!("this node serves as the others do again"),
        Aside::Draining => info!("draining, as asked: the others are to have the service"),
        Aside::Fenced => warn!("fenced, as asked: this node serves nobody until that is lifted"),
    }
}

/// Packets of subscribers that came here, from wherever.
fn arrived(stats: &Stats) -> u64 {
    let dropped = stats.reasons().map(|(_, packets)| packets);
    let passed = [
        stats.up_packets,
        stats.down_packets,
        stats.handed_up,
        stats.handed_down,
    ];
    passed.into_iter().chain(dropped).fold(0, u64::wrapping_add)
}
