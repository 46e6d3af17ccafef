//! The end of an upgrade: from then on the release before cannot be gone back to (spec: cluster, 1).

use lns_cluster::NodeName;
use lns_cluster::member::Side;
use lns_datapath::clock;
use lns_node::RecordForm;
use tracing::info;

use super::tidings::READS;
use super::{Crew, Finalized};

impl Crew {
    /// Has all records written in the newest form.
    ///
    /// # Errors
    /// Why not: this node is not the master, the store has not all that there is, or somebody cannot read that form.
    pub(super) async fn finalize(&self) -> Result<Finalized, String> {
        if self.member.side().0 != Side::Serving {
            return Err(self.not_master());
        }
        if let Some(why) = &self.store_away {
            return Err(format!("the store is away: {why}"));
        }
        let behind = self.behind();
        if !behind.is_empty() {
            return Err(format!(
                "{} cannot read records of form {}, or does not say so: upgrade it first, or take it out of the cluster",
                behind.join(", "),
                RecordForm::NEWEST.number()
            ));
        }
        let done = self
            .parts
            .asker
            .ask(|control, _| control.keeper.finalize(&mut control.node))
            .await
            .map_err(|_| super::super::ENDING.to_owned())??;
        info!(
            form = done.form.number(),
            records = done.records,
            "the upgrade is final: the release before cannot be gone back to"
        );
        Ok(done)
    }

    /// Who is there, or may come back, and reads older records only.
    fn behind(&self) -> Vec<String> {
        let now = clock::now();
        let standing = self.standing.borrow();
        let nodes = self.parts.directory.nodes.borrow();
        let current = nodes.entries.iter().filter(|(_, it)| it.is_current(now));
        let mut all: Vec<&NodeName> = current.map(|(node, _)| node).collect();
        all.extend(standing.seen.roster.iter());
        all.extend(self.connected.keys());
        all.sort();
        all.dedup();
        let reads = |node: &NodeName| {
            let said = &nodes.entries.get(node)?.state.notes;
            said.get(READS)?.parse::<u8>().ok()
        };
        let is_behind =
            |node: &&NodeName| reads(node).is_none_or(|form| form < RecordForm::NEWEST.number());
        all.into_iter()
            .filter(|node| **node != self.parts.me)
            .filter(is_behind)
            .map(ToString::to_string)
            .collect()
    }
}
