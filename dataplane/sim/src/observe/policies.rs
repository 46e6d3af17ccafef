//! I19: every chain of policies that a session has is among those that the workers have, with its rates;
//! what the node shows of it is what the workers were told; and nobody who has gone has one.

use std::collections::BTreeMap;
use std::sync::Arc;

use lns_l2sess::ChainId;
use lns_l2sess::policy::{Chain, Policies};
use lns_node::{Node, view};
use lns_tables::path::{PathUpdate, SessionPath, SlotIndex};
use lns_tables::time::Instant;

use super::{Finding, Invariant, Rules};

/// What the workers know.
#[derive(Debug)]
pub(super) struct Filters {
    everybody: bool,
    told: Arc<Policies>,
    sessions: BTreeMap<SlotIndex, SessionPath>,
}

impl Filters {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            everybody: rules.everybody_has_policies,
            told: Policies::none(),
            sessions: BTreeMap::new(),
        }
    }

    pub(super) fn path(&mut self, update: &PathUpdate) -> Finding {
        match update {
            PathUpdate::SetPolicies { policies } => self.set_policies(policies),
            PathUpdate::SetSession { slot, path } => {
                let found = self.judge(*slot, path);
                self.sessions.insert(*slot, *path);
                found
            }
            PathUpdate::ClearSession { slot, .. } => {
                self.sessions.remove(slot);
                Ok(())
            }
            PathUpdate::SetTunnel { .. }
            | PathUpdate::ClearTunnel { .. }
            | PathUpdate::SetRoute { .. }
            | PathUpdate::ClearRoute { .. }
            | PathUpdate::ReportSession { .. }
            | PathUpdate::ReportTunnel { .. } => Ok(()),
        }
    }

    /// The workers of another node know this, and nothing else.
    pub(super) fn succeed(&mut self, known: &[PathUpdate]) -> Finding {
        self.told = Policies::none();
        self.sessions.clear();
        known.iter().try_for_each(|update| self.path(update))
    }

    fn set_policies(&mut self, policies: &Arc<Policies>) -> Finding {
        if self.told == *policies {
            return wrong("the workers are told of the policies that they have".to_owned());
        }
        self.told = Arc::clone(policies);
        let chains = self.sessions.iter().map(|(slot, path)| (slot, path.chain));
        let mut lost = chains.filter(|(_, chain)| !is_there(policies, *chain));
        match lost.next() {
            Some((slot, chain)) => wrong(format!("{slot:?} has lost {chain:?}")),
            None => Ok(()),
        }
    }

    fn judge(&self, slot: SlotIndex, path: &SessionPath) -> Finding {
        if !is_there(&self.told, path.chain) {
            return wrong(format!("{slot:?} has {:?}, which is not there", path.chain));
        }
        if self.everybody && path.address.is_some() && path.chain == ChainId::NONE {
            return wrong(format!("{slot:?} is up without a policy"));
        }
        let rates = self.told.chain(path.chain).and_then(Chain::rates);
        if path.rates != rates.unwrap_or_default() {
            return wrong(format!("{slot:?} has {:?}, not {rates:?}", path.rates));
        }
        Ok(())
    }

    /// What the node shows, once it has told the workers everything.
    pub(super) fn audit(&self, node: &Node, now: Instant) -> Finding {
        let filter = view::SessionFilter::default();
        let shown = node.sessions(&filter, None, u32::MAX, now).sessions;
        let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
        for session in &shown {
            let path = self.sessions.get(&session.slot);
            let chain = path.and_then(|path| self.told.chain(path.chain));
            let names = chain.map_or(&[][..], Chain::names);
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            if session.policies != names {
                let policies = &session.policies;
                return wrong(format!(
                    "{} is shown with {policies:?} and has {names:?}",
                    session.id
                ));
            }
            let rates = path.map(|path| path.rates).unwrap_or_default();
            let shown = session
                .rates
                .map(|it| (it.up_bits_per_second, it.down_bits_per_second));
            if shown.unwrap_or_default() != (rates.up, rates.down) {
                return wrong(format!(
                    "{} is shown with {shown:?} and has {rates:?}",
                    session.id
                ));
            }
            for name in &session.policies {
                *counted.entry(name).or_default() += 1;
            }
        }
        for policy in node.policy_sessions() {
            let there = counted.remove(&*policy.policy).unwrap_or_default();
            if policy.sessions != there {
                let (name, sessions) = (policy.policy, policy.sessions);
                return wrong(format!(
                    "{sessions} sessions have {name}; {there} are there"
                ));
            }
        }
        match counted.into_iter().next() {
            Some((name, there)) => {
                wrong(format!("{there} sessions have {name}, which is not there"))
            }
            None => Ok(()),
        }
    }
}

fn is_there(policies: &Policies, chain: ChainId) -> bool {
    chain == ChainId::NONE || policies.chain(chain).is_some()
}

fn wrong(what: String) -> Finding {
    Err((Invariant::Policies, what))
}
