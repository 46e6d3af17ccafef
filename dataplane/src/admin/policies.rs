//! `/v1/policies`: the policies in force, who has them, and how often their rules have decided.

mod words;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lns_l2sess::policy::{Hits, OnChange, Policies, Policy, PolicyTable, TableHits};
use lns_node::view::{self, PolicySessions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Refusal};

/// All policies.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Policies")]
pub(crate) struct List {
    /// By name.
    policies: Vec<Summary>,
}

/// One policy, without its rules.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PolicySummary")]
pub(crate) struct Summary {
    #[serde(flatten)]
    about: About,
    /// For packets from the subscriber; null: all pass.
    input: Option<TableSummary>,
    /// For packets to the subscriber; null: all pass.
    output: Option<TableSummary>,
}

/// One policy with its rules.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Policy")]
pub(crate) struct Whole {
    #[serde(flatten)]
    about: About,
    /// For packets from the subscriber; null: all pass.
    input: Option<Table>,
    /// For packets to the subscriber; null: all pass.
    output: Option<Table>,
}

/// What a policy is, beside its rules.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PolicyFacts")]
struct About {
    /// Its name in the manifest.
    name: String,
    /// Values of Filter-Id that mean it, beside its name.
    filter_ids: Vec<String>,
    /// Sessions that have it.
    sessions: u32,
    /// Those of them that have it by a Filter-Id.
    sessions_by_filter_id: u32,
    /// What a change of it does to open flows: `Keep`, `Reclassify`.
    on_change: &'static str,
    /// How fast a subscriber with it may be; null: as fast as the line, or as another policy of his says.
    rates: Option<view::Rates>,
    /// How long flows that it has opened live without a packet.
    timeouts: PolicyTimeouts,
}

/// How long a flow lives without a packet, seconds.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "the names of the manifest")]
struct PolicyTimeouts {
    /// UDP, and every protocol but TCP.
    udp_idle_seconds: u32,
    /// TCP that is established.
    tcp_idle_seconds: u32,
    /// TCP that is not, or not any more.
    tcp_transient_seconds: u32,
    /// TCP after a RST, or after both FINs.
    tcp_closing_seconds: u32,
}

/// One direction of a policy, at a glance.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct TableSummary {
    /// What becomes of a packet that no rule of the chain matches: `Pass`, `Track`, `Drop`.
    default_action: &'static str,
    /// How many rules there are.
    rule_count: usize,
    /// Packets that its rules and its default have decided.
    hits: u64,
}

/// One direction of a policy.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PolicyTable")]
struct Table {
    /// In the order in which they are asked.
    rules: Vec<Rule>,
    /// What becomes of a packet that no rule of the chain matches: `Pass`, `Track`, `Drop`.
    default_action: &'static str,
    /// How often that has happened.
    default_hits: u64,
}

/// One rule.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "PolicyRule")]
struct Rule {
    /// Its name.
    name: String,
    /// What it is about, in words.
    matches: String,
    /// What becomes of a packet that matches: `Pass`, `Track`, `Drop`.
    action: &'static str,
    /// Packets that it has decided since there is a rule of its name. Packets of open flows are not among
    /// them: no rule is asked for them.
    hits: u64,
}

/// `GET /v1/policies`
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<List>, Refusal> {
    let (policies, sessions) = in_force(&admin).await?;
    let mut found: Vec<Summary> = policies
        .policies()
        .map(|(id, policy)| {
            let hits = policies.hits(id).unwrap_or_default();
            Summary::new(policy, sessions_of(&sessions, policy), &hits)
        })
        .collect();
    found.sort_by(|one, other| one.about.name.cmp(&other.about.name));
    Ok(Json(List { policies: found }))
}

/// Which policy.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PolicyPath {
    /// Its name.
    name: String,
}

/// `GET /v1/policies/{name}`
pub(super) async fn one(
    State(admin): State<Admin>,
    path: Result<Path<PolicyPath>, PathRejection>,
) -> Result<Json<Whole>, Refusal> {
    let Path(PolicyPath { name }) = path.map_err(|wrong| Refusal::bad(wrong.body_text()))?;
    let (policies, sessions) = in_force(&admin).await?;
    let found = policies
        .policies()
        .find(|(_, policy)| *policy.name == *name);
    let Some((id, policy)) = found else {
        return Err(Refusal(
            StatusCode::NOT_FOUND,
            format!("there is no policy {name:?}: `lnsd policies` lists those that there are"),
        ));
    };
    let hits = policies.hits(id).unwrap_or_default();
    Ok(Json(Whole::new(
        policy,
        sessions_of(&sessions, policy),
        &hits,
    )))
}

/// The policies in force, and who has them.
async fn in_force(admin: &Admin) -> Result<(Arc<Policies>, Vec<PolicySessions>), Refusal> {
    let question = admin.asker.ask(|control, _| {
        let sessions = control.node.policy_sessions();
        (control.policies(), sessions)
    });
    question.await.map_err(|_| Refusal::gone())
}

/// How many sessions have a policy, and how many of them by a Filter-Id.
fn sessions_of(sessions: &[PolicySessions], policy: &Policy) -> (u32, u32) {
    let found = sessions.iter().find(|it| *it.policy == *policy.name);
    found.map_or((0, 0), |it| (it.sessions, it.by_filter_id))
}

impl Summary {
    /// Of a policy that so many sessions have, and so many of them by a Filter-Id.
    pub(crate) fn new(policy: &Policy, sessions: (u32, u32), hits: &Hits) -> Self {
        let table = |table: &Option<PolicyTable>, hits: &Option<TableHits>| {
            let (table, hits) = (table.as_ref()?, hits.clone().unwrap_or_default());
            Some(TableSummary {
                default_action: table.default.label(),
                rule_count: table.rules.len(),
                hits: hits
                    .rules
                    .iter()
                    .copied()
                    .fold(hits.default, u64::wrapping_add),
            })
        };
        Self {
            about: About::new(policy, sessions),
            input: table(&policy.input, &hits.input),
            output: table(&policy.output, &hits.output),
        }
    }
}

impl Whole {
    fn new(policy: &Policy, sessions: (u32, u32), hits: &Hits) -> Self {
        let table = |table: &Option<PolicyTable>, hits: &Option<TableHits>| {
            let (table, hits) = (table.as_ref()?, hits.clone().unwrap_or_default());
            Some(Table::new(table, &hits))
        };
        Self {
            about: About::new(policy, sessions),
            input: table(&policy.input, &hits.input),
            output: table(&policy.output, &hits.output),
        }
    }
}

impl Table {
    fn new(table: &PolicyTable, hits: &TableHits) -> Self {
        let counted = hits.rules.iter().copied().chain(core::iter::repeat(0));
        let rules = table.rules.iter().zip(counted).map(|(rule, hits)| Rule {
            name: rule.name.to_string(),
            matches: words::in_words(&rule.matches),
            action: rule.action.label(),
            hits,
        });
        Self {
            rules: rules.collect(),
            default_action: table.default.label(),
            default_hits: hits.default,
        }
    }
}

impl About {
    fn new(policy: &Policy, (sessions, by_filter_id): (u32, u32)) -> Self {
        let timeouts = policy.timeouts;
        Self {
            name: policy.name.to_string(),
            filter_ids: policy.filter_ids.iter().map(ToString::to_string).collect(),
            sessions,
            sessions_by_filter_id: by_filter_id,
            on_change: match policy.on_change {
                OnChange::Keep => "Keep",
                OnChange::Reclassify => "Reclassify",
            },
            rates: policy.rates.map(view::Rates::from),
            timeouts: PolicyTimeouts {
                udp_idle_seconds: timeouts.udp_idle,
                tcp_idle_seconds: timeouts.tcp_idle,
                tcp_transient_seconds: timeouts.tcp_transient,
                tcp_closing_seconds: timeouts.tcp_closing,
            },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lns_l2sess::Timeouts;
    use lns_l2sess::policy::{Action, Matches, Rates};
    use serde_json::json;

    use super::super::{contract, document};
    use super::*;

    /// A policy with two rules from the subscriber.
    pub(in super::super) fn policy() -> Policy {
        let rule = |name: &str, action| lns_l2sess::policy::Rule {
            name: name.into(),
            matches: Matches::default(),
            action,
        };
        Policy {
            name: "residential".into(),
            filter_ids: vec!["GOLD.in".into()],
            input: Some(PolicyTable {
                rules: vec![rule("no-smtp", Action::Drop), rule("rest", Action::Track)],
                default: Action::Drop,
            }),
            output: None,
            timeouts: Timeouts::DEFAULT,
            on_change: OnChange::Reclassify,
            rates: Some(Rates {
                up: 5,
                down: 0,
                burst_milliseconds: 200,
            }),
        }
    }

    fn hits() -> Hits {
        Hits {
            input: Some(TableHits {
                rules: vec![3, 40],
                default: 500,
            }),
            output: None,
        }
    }

    #[test]
    fn a_rule_shows_what_it_has_decided_and_the_default_too() {
        let whole = json!(Whole::new(&policy(), (7, 2), &hits()));
        assert_eq!(
            (&whole["sessions"], &whole["sessionsByFilterId"]),
            (&json!(7), &json!(2))
        );
        assert_eq!(
            whole["input"],
            json!({
                "rules": [
                    { "name": "no-smtp", "matches": "everything", "action": "Drop", "hits": 3 },
                    { "name": "rest", "matches": "everything", "action": "Track", "hits": 40 },
                ],
                "defaultAction": "Drop", "defaultHits": 500,
            })
        );
        let summary = json!(Summary::new(&policy(), (7, 2), &hits()));
        assert_eq!(
            summary["input"],
            json!({ "defaultAction": "Drop", "ruleCount": 2, "hits": 543 })
        );
        assert_eq!(summary["onChange"], "Reclassify");
    }

    #[test]
    fn every_rule_is_shown_though_its_counter_is_missing() {
        let whole = json!(Whole::new(&policy(), (0, 0), &Hits::default()));
        assert_eq!(whole["input"]["rules"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn both_answers_fit_the_document() {
        let document = serde_json::from_str(document::text()).unwrap();
        let fits = |path, answer| contract::check(&document, ("GET", path), 200, &answer);
        let list = List {
            policies: vec![Summary::new(&policy(), (1, 0), &hits())],
        };
        assert_eq!(fits("/v1/policies", json!(list)), Ok(()));
        let whole = Whole::new(&policy(), (1, 0), &hits());
        assert_eq!(fits("/v1/policies/residential", json!(whole)), Ok(()));
    }
}
