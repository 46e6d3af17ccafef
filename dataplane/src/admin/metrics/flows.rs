//! What of the session table and of the policies is measured.

use std::sync::Arc;

use lns_datapath::FlowsHandle;
use lns_l2sess::graph::Events;
use lns_l2sess::policy::{Policies, Policy, PolicyId, PolicyTable, TableHits};
use lns_l2sess::table::Counts;
use lns_l2sess::{Class, Direction};

use super::{Labels, Page, one, ratio};

/// Series of rules and defaults at most. A scrape of more is slow to make and to keep; who has more rules
/// reads them with `lnsd policies NAME`.
const RULE_SERIES: usize = 2_000;

/// The rule that stands for the default. No rule of a manifest has such a name.
const DEFAULT: &str = "(default)";

/// What the classifier has at the time of a scrape.
#[derive(Debug)]
pub(in super::super) struct Flows {
    counts: Counts,
    events: Events,
    policies: Arc<Policies>,
}

impl Flows {
    /// As it is now.
    pub(in super::super) fn of(flows: &FlowsHandle) -> Self {
        Self {
            counts: flows.counts(),
            events: flows.events(),
            policies: flows.policies(),
        }
    }

    /// How much of the session table is in use.
    pub(super) fn capacity_ratio(&self) -> f64 {
        ratio(self.counts.in_use.into(), self.counts.capacity.into())
    }

    pub(super) fn write(&self, page: &mut Page) {
        page.gauges(
            "flows",
            "Flows by class, which decides how long one may be silent",
            Class::ALL.map(|class| (one("class", class.label()), self.counts.of(class).into())),
        );
        page.counters(
            "flow_events",
            "What has happened to flows, by event",
            self.events
                .all()
                .map(|(event, times)| (one("event", event.label()), times)),
        );
        rule_hits(page, &self.policies);
    }
}

/// Writes how often rules have decided. Policies are taken in the order of their names as long as all of
/// a policy's rules fit into [`RULE_SERIES`]; the rules of the others are counted.
fn rule_hits(page: &mut Page, policies: &Policies) {
    let mut all: Vec<(PolicyId, &Policy)> = policies.policies().collect();
    all.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let (listed, unlisted) = fitting(&all, RULE_SERIES);
    let samples = listed.into_iter().flat_map(|(id, policy)| {
        let hits = policies.hits(id).unwrap_or_default();
        let input = samples(policy, Direction::Input, hits.input);
        input
            .into_iter()
            .chain(samples(policy, Direction::Output, hits.output))
    });
    page.counters(
        "policy_rule_hits",
        "Packets that a rule or a default has decided, by policy, direction and rule",
        samples,
    );
    page.gauge(
        "policy_rules_unlisted",
        "Rules of policies that lns_policy_rule_hits leaves out, since there are too many",
        u64::try_from(unlisted).unwrap_or(u64::MAX),
    );
}

/// The policies whose rules fit into so many series, and the number of rules of the others.
fn fitting<'a>(
    all: &[(PolicyId, &'a Policy)],
    mut series: usize,
) -> (Vec<(PolicyId, &'a Policy)>, usize) {
    let (mut listed, mut unlisted) = (Vec::new(), 0);
    for (id, policy) in all {
        let tables = [&policy.input, &policy.output];
        let rules: usize = tables
            .into_iter()
            .flatten()
            .map(|table| table.rules.len())
            .sum();
        let defaults = tables.into_iter().flatten().count();
        match series.checked_sub(rules + defaults) {
            Some(left) => {
                series = left;
                listed.push((*id, *policy));
            }
            None => unlisted += rules,
        }
    }
    (listed, unlisted)
}

fn samples(policy: &Policy, direction: Direction, hits: Option<TableHits>) -> Vec<(Labels, u64)> {
    let table: &Option<PolicyTable> = match direction {
        Direction::Input => &policy.input,
        Direction::Output => &policy.output,
    };
    let (Some(table), Some(hits)) = (table, hits) else {
        return Vec::new();
    };
    let names = table.rules.iter().map(|rule| &*rule.name);
    let rules = names.zip(hits.rules).chain([(DEFAULT, hits.default)]);
    let labelled = rules.map(|(rule, hits)| {
        let labels = vec![
            ("policy", policy.name.to_string()),
            ("direction", direction.label().to_owned()),
            ("rule", rule.to_owned()),
        ];
        (labels, hits)
    });
    labelled.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use lns_l2sess::policy::PolicyBook;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::super::super::policies::tests::policy;
    use super::*;

    /// Eight flows of 32 that fit.
    pub(in super::super) fn some() -> Flows {
        Flows {
            counts: Counts {
                capacity: 32,
                in_use: 8,
                classes: [1, 2, 1, 4],
                ..Counts::default()
            },
            events: Events::default(),
            policies: Policies::none(),
        }
    }

    fn named(name: &str) -> Policy {
        Policy {
            name: name.into(),
            filter_ids: Vec::new(),
            ..policy()
        }
    }

    fn scrape(policies: &Policies) -> String {
        let mut page = Page(Registry::with_prefix("lns"));
        rule_hits(&mut page, policies);
        let mut written = String::new();
        text::encode(&mut written, &page.0).unwrap();
        written
    }

    #[test]
    fn each_rule_and_each_default_has_a_series() {
        let mut book = PolicyBook::new(1);
        book.replace(vec![named("residential")]).unwrap();
        let text = scrape(book.current());
        for rule in ["no-smtp", "rest", "(default)"] {
            let series = format!(
                "lns_policy_rule_hits_total{{policy=\"residential\",direction=\"input\",rule=\"{rule}\"}} 0"
            );
            assert!(text.contains(&series), "{series} is missing in\n{text}");
        }
        assert!(
            !text.contains("output"),
            "it has no such direction:\n{text}"
        );
    }

    #[test]
    fn rules_that_would_be_too_many_are_left_out_by_policy_and_counted() {
        let policies = [named("a"), named("b"), named("c")];
        let all: Vec<_> = (0..).map(PolicyId).zip(&policies).collect();
        let fits = |series| {
            let (listed, unlisted) = fitting(&all, series);
            (listed.len(), unlisted)
        };
        // Two rules and a default each.
        assert_eq!([fits(9), fits(8), fits(2)], [(3, 0), (2, 2), (0, 6)]);
    }
}
