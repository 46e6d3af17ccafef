//! What a row needs before it begins: policies, and subscribers that have them.

use std::fmt::Write as _;

use super::packet::Way;

/// A `SessionPolicy` in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// Its name; that of the row is put before it.
    pub(super) name: String,
    /// `spec.input`, in flow style.
    pub(super) input: Option<String>,
    /// `spec.output`.
    pub(super) output: Option<String>,
    /// The inside of `spec.timeouts`.
    pub(super) timeouts: &'static str,
    /// `spec.onChange`.
    pub(super) on_change: &'static str,
    /// Further lines of the specification.
    pub(super) more: String,
}

impl Policy {
    /// One that judges packets of `way` by `rules`, each the inside of a rule without its name, and
    /// lets those of the other way pass.
    pub(super) fn judging(way: Way, rules: &[&str], default: &str) -> Self {
        Self::default().with(way, rules, default)
    }

    /// One that judges packets of `way` and lets none of the other way pass that no flow knows.
    pub(super) fn pinhole(way: Way, rules: &[&str], default: &str) -> Self {
        Self::judging(way, rules, default).with(way.back(), &[], "Drop")
    }

    /// With a table for packets of `way`; rules are called r0, r1, ..., or as they say themselves.
    pub(super) fn with(mut self, way: Way, rules: &[&str], default: &str) -> Self {
        let table = Some(table(rules, default));
        match way {
            Way::Up => self.input = table,
            Way::Down => self.output = table,
        }
        self
    }

    /// With these timeouts.
    pub(super) const fn timeouts(mut self, timeouts: &'static str) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// With this `onChange`.
    pub(super) const fn on_change(mut self, on_change: &'static str) -> Self {
        self.on_change = on_change;
        self
    }

    /// Called this.
    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With further lines in its specification.
    pub(super) fn more(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.more);
        self
    }

    /// The document.
    pub(super) fn yaml(&self) -> String {
        let mut text = format!(
            "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
             metadata: {{ name: {}, namespace: lns }}\nspec:\n  clusterRefs: [ {{ name: edge }} ]\n",
            self.name
        );
        let lines = [
            ("input", self.input.clone()),
            ("output", self.output.clone()),
            (
                "timeouts",
                (!self.timeouts.is_empty()).then(|| format!("{{ {} }}", self.timeouts)),
            ),
            (
                "onChange",
                (!self.on_change.is_empty()).then(|| self.on_change.to_owned()),
            ),
        ];
        for (key, value) in lines {
            if let Some(value) = value {
                // Writing into a String does not fail.
                writeln!(text, "  {key}: {value}").ok();
            }
        }
        for line in self.more.lines() {
            writeln!(text, "  {line}").ok();
        }
        text
    }
}

fn table(rules: &[&str], default: &str) -> String {
    let rules: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(place, rule)| {
            if rule.starts_with("name:") {
                format!("{{ {rule} }}")
            } else {
                format!("{{ name: r{place}, {rule} }}")
            }
        })
        .collect();
    format!(
        "{{ defaultAction: {default}, rules: [ {} ] }}",
        rules.join(", ")
    )
}

/// Policies and subscribers of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Cast {
    /// The policies.
    pub(super) policies: Vec<Policy>,
    /// The subscribers: each has these of the policies, in this order.
    pub(super) subscribers: Vec<Vec<usize>>,
}

impl Cast {
    /// One policy and one subscriber who has it.
    pub(super) fn one(policy: Policy) -> Self {
        Self::shared(policy, 1)
    }

    /// One policy, which so many subscribers have.
    pub(super) fn shared(policy: Policy, subscribers: usize) -> Self {
        Self {
            policies: vec![policy],
            subscribers: vec![vec![0]; subscribers],
        }
    }

    /// Gives the policies names that no other row's have.
    pub(super) fn name(&mut self, prefix: &str) {
        for (place, policy) in self.policies.iter_mut().enumerate() {
            if policy.name.is_empty() {
                policy.name = place.to_string();
            }
            policy.name = format!("{prefix}-{}", policy.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinhole_has_both_directions_and_its_names_begin_with_the_row() {
        let policy = Policy::pinhole(Way::Down, &["protocol: UDP, action: Track"], "Pass");
        let mut cast = Cast::one(policy.timeouts("udpIdleSeconds: 1"));
        cast.name("a31-down");
        let text: String = cast.policies.iter().map(Policy::yaml).collect();
        for part in [
            "name: a31-down-0,",
            "  input: { defaultAction: Drop, rules: [  ] }\n",
            "  output: { defaultAction: Pass, rules: [ { name: r0, protocol: UDP, action: Track } ] }\n",
            "  timeouts: { udpIdleSeconds: 1 }\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
