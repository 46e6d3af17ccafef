//! What would happen if a manifest took the place of the one in force: what changes, when, for whom,
//! and how many sessions end. Nothing is changed by asking.

use lns_api::diff::Scope;
use lns_api::{Change, Effect};
use lns_node::Stage;
use lns_node::view::{self, SessionFilter};
use schemars::JsonSchema;
use serde::Serialize;

use super::control::{Asker, Gone};

/// Slots per question to the control task.
const SLOTS_PER_QUESTION: u32 = 1_024;

/// What a manifest would change in the running process.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comparison {
    /// What differs from the manifest in force, in the order of the reference.
    changes: Vec<Difference>,
    /// The fields that only a restart changes; a reload is refused while there are any.
    needs_restart: Vec<String>,
    /// Why a reload would be refused beside that; null: as far as is known, it would not.
    refusal: Option<String>,
    /// Sessions that are up.
    sessions: u64,
    /// How many of them would end: none by a reload, all by a restart.
    sessions_ending: u64,
}

/// One thing that differs. Of a Secret no value is shown.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    /// Where, as `spec.lacs[wholesale-a].pathMtu` or `Secret/users: users.yaml`.
    path: String,
    /// The old value; null: there was none, or it is not shown.
    before: Option<String>,
    /// The new value, or what has happened to one that is not shown; null: there is none.
    after: Option<String>,
    /// When it takes effect; null: never, what runs is what the new value asks for.
    effect: Option<Effect>,
    /// Tunnels that keep the old value until they end.
    tunnels_keeping: u64,
    /// Sessions that keep the old value until they end.
    sessions_keeping: u64,
}

impl Comparison {
    /// Counts for `changes` what lives now. `needs_restart` are the fields that a reload cannot change.
    pub(super) async fn new(
        changes: Vec<Change>,
        needs_restart: &[&str],
        refusal: Option<String>,
        asker: &Asker,
    ) -> Result<Self, Gone> {
        let (status, lacs) = asker
            .ask(|control, _| (control.node.status(), control.node.lacs()))
            .await?;
        let counting = changes
            .iter()
            .any(|change| change.effect == Effect::NewSessions);
        let mut sessions = vec![0; changes.len()];
        if counting {
            count(&changes, &mut sessions, asker).await?;
        }
        let up = u64::from(status.sessions);
        let differences = changes.into_iter().zip(sessions).map(|(change, sessions)| {
            let tunnels = match change.effect {
                Effect::NewTunnels => tunnels_of(&change.scope, &lacs),
                Effect::AtOnce | Effect::NewSessions | Effect::Restart => 0,
            };
            Difference::new(change, needs_restart, tunnels, sessions)
        });
        Ok(Self {
            changes: differences.collect(),
            needs_restart: needs_restart.iter().map(ToString::to_string).collect(),
            refusal,
            sessions: up,
            sessions_ending: if needs_restart.is_empty() { 0 } else { up },
        })
    }
}

impl Difference {
    fn new(change: Change, needs_restart: &[&str], tunnels: u64, sessions: u64) -> Self {
        // Other words for what runs already: as many workers as there are cores.
        let is_same = change.effect == Effect::Restart && !needs_restart.contains(&&*change.path);
        Self {
            path: change.path,
            before: change.before,
            after: change.after,
            effect: (!is_same).then_some(change.effect),
            tunnels_keeping: tunnels,
            sessions_keeping: sessions,
        }
    }
}

/// Looks at every session, a page at a time, and counts it for each change under whose old value it
/// began.
async fn count(changes: &[Change], counts: &mut [u64], asker: &Asker) -> Result<(), Gone> {
    let mut after = None;
    loop {
        let page = asker.ask(move |control, now| {
            let everybody = SessionFilter::default();
            control
                .node
                .sessions(&everybody, after, SLOTS_PER_QUESTION, now)
        });
        let page = page.await?;
        let up = page.sessions.iter().filter(|one| one.stage == Stage::Up);
        for session in up {
            let of_sessions = changes.iter().zip(counts.iter_mut());
            of_sessions
                .filter(|(change, _)| change.effect == Effect::NewSessions)
                .filter(|(change, _)| is_of(session, &change.scope))
                .for_each(|(_, count)| *count += 1);
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn is_of(session: &view::Session, scope: &Scope) -> bool {
    match scope {
        Scope::Everybody => true,
        Scope::Nobody => false,
        Scope::Lacs(names) => names.contains(&session.lac),
        Scope::Pool(name) => session.pool.as_ref() == Some(name),
        Scope::Prefix(prefix) => session
            .address
            .is_some_and(|address| prefix.contains(&address)),
        Scope::Users(names) => session
            .user
            .as_ref()
            .is_some_and(|user| names.binary_search(user).is_ok()),
    }
}

fn tunnels_of(scope: &Scope, lacs: &[view::Lac]) -> u64 {
    let counted = lacs.iter().filter(|lac| match scope {
        Scope::Everybody => true,
        Scope::Lacs(names) => names.contains(&lac.name),
        Scope::Nobody | Scope::Pool(_) | Scope::Prefix(_) | Scope::Users(_) => false,
    });
    counted.map(|lac| u64::from(lac.tunnels)).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use lns_tables::path::SlotIndex;

    use super::*;

    /// An answer with a row of each kind.
    pub(crate) fn comparison() -> Comparison {
        let change = |before: Option<&str>, effect| Change {
            path: "spec.service.port".to_owned(),
            before: before.map(ToOwned::to_owned),
            after: None,
            effect,
            scope: Scope::Everybody,
        };
        let effects = Effect::ALL.into_iter();
        let rows = effects.flat_map(|effect| [change(None, effect), change(Some("1"), effect)]);
        Comparison {
            changes: rows
                .map(|change| Difference::new(change, &[], 1, 2))
                .collect(),
            needs_restart: vec!["spec.service.port".to_owned()],
            refusal: None,
            sessions: 2,
            sessions_ending: 2,
        }
    }

    /// A session that is up.
    pub(crate) fn session() -> view::Session {
        view::Session {
            id: "4711.12".to_owned(),
            acct_session_id: "00000001-00000007".to_owned(),
            slot: SlotIndex(0),
            tunnel: 4711,
            session: 12,
            peer_session: 1,
            lac: "wholesale-a".to_owned(),
            user: Some("bob".to_owned()),
            address: Some([100, 64, 0, 5].into()),
            pool: Some("default".to_owned()),
            stage: Stage::Up,
            calling_number: None,
            called_number: None,
            call_serial: 1,
            authentication: Some("CHAP"),
            proxied_lcp: true,
            proxied_authentication: true,
            mtu: Some(1492),
            policies: Vec::new(),
            bound_by: view::BoundBy::None,
            unknown_filter_id: None,
            rates: None,
            granted: None,
            tx_speed: 0,
            rx_speed: 0,
            seconds: 5,
            remaining_seconds: None,
        }
    }

    #[test]
    fn a_session_is_counted_for_its_lac_its_pool_its_prefix_and_its_user() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let prefix = |text: &str| Scope::Prefix(text.parse().unwrap());
        for (scope, expected) in [
            (Scope::Everybody, true),
            (Scope::Nobody, false),
            (Scope::Lacs(names(&["wholesale-a"])), true),
            (Scope::Lacs(names(&["wholesale-b"])), false),
            (Scope::Pool("default".to_owned()), true),
            (Scope::Pool("old".to_owned()), false),
            (prefix("100.64.0.0/24"), true),
            (prefix("100.64.1.0/24"), false),
            (Scope::Users(names(&["alice", "bob", "carol"])), true),
            (Scope::Users(names(&["alice", "carol"])), false),
        ] {
            assert_eq!(is_of(&session(), &scope), expected, "{scope:?}");
        }
    }

    #[test]
    fn other_words_for_what_runs_have_no_effect() {
        let change = |path: &str| Change {
            path: path.to_owned(),
            before: Some("0".to_owned()),
            after: Some("2".to_owned()),
            effect: Effect::Restart,
            scope: Scope::Everybody,
        };
        let workers = "spec.datapath.workers";
        let difference = Difference::new(change(workers), &[workers], 0, 0);
        assert_eq!(difference.effect, Some(Effect::Restart));
        let difference = Difference::new(change(workers), &["spec.service.port"], 0, 0);
        assert_eq!(difference.effect, None);
    }
}
