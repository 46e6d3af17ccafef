//! Random objects that a schema takes: types, enumerations, bounds, keys of lists, and the CEL rules of each place.
//!
//! A value that breaks a rule of its place is drawn anew; of a map, one field after the other. A few rules cannot be
//! met that way in reasonable time; such an object is left as it is, and the API server refuses it.

use std::collections::HashMap;

use kube::core::cel::{CompiledSchema, apply_defaults, compile_schema, validate_compiled};
use proptest::prelude::{RngExt as _, Strategy as _};
use proptest::strategy::ValueTree as _;
use proptest::string::{RegexGeneratorStrategy, string_regex};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// How often a value is drawn until it keeps the rules of its place.
const TRIES: usize = 20;

/// Names of other objects, which mean more than any that could be drawn.
pub(crate) struct Names {
    pub(crate) clusters: Vec<String>,
    pub(crate) policies: Vec<String>,
    pub(crate) secrets: Vec<String>,
    /// Labels of the nodes that there are.
    pub(crate) nodes: Value,
}

pub(crate) struct Generator {
    pub(crate) names: Names,
    runner: TestRunner,
    rules: HashMap<String, CompiledSchema>,
    patterns: HashMap<String, RegexGeneratorStrategy<String>>,
}

impl Generator {
    pub(crate) fn new(seed: u64, names: Names) -> Self {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_be_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &octets);
        Self {
            runner: TestRunner::new_with_rng(Config::default(), random),
            names,
            rules: HashMap::new(),
            patterns: HashMap::new(),
        }
    }

    /// A value for the place that `path` names.
    pub(crate) fn value(&mut self, schema: &Value, path: &str) -> Value {
        let mut value = self.draw(schema, path);
        let mut broken = self.broken(schema, &value);
        for _ in 0..TRIES {
            if broken == 0 {
                break;
            }
            let other = self.another(schema, path, &value);
            let still = self.broken(schema, &other);
            if still <= broken {
                (value, broken) = (other, still);
            }
        }
        value
    }

    fn draw(&mut self, schema: &Value, path: &str) -> Value {
        if let Some(known) = self.known(path) {
            return known;
        }
        if let Some(values) = schema["enum"].as_array() {
            return values[self.below(values.len())].clone();
        }
        match schema["type"].as_str().unwrap() {
            "object" => self.object(schema, path),
            "array" => self.list(schema, path),
            "integer" => self.integer(schema),
            "boolean" => json!(self.one_in(2)),
            "string" => json!(self.text(schema)),
            other => panic!("{path} is of type {other}"),
        }
    }

    /// Of a map another field, of anything else another value.
    fn another(&mut self, schema: &Value, path: &str, value: &Value) -> Value {
        let (Some(fields), Value::Object(there)) = (schema["properties"].as_object(), value) else {
            return self.draw(schema, path);
        };
        let mut other = there.clone();
        let at = self.below(fields.len());
        let (name, field) = fields.iter().nth(at).unwrap();
        self.field(schema, path, (name, field), &mut other);
        Value::Object(other)
    }

    fn object(&mut self, schema: &Value, path: &str) -> Value {
        let mut value = Map::new();
        for field in schema["properties"].as_object().into_iter().flatten() {
            self.field(schema, path, field, &mut value);
        }
        let others = &schema["additionalProperties"];
        if others.is_object() {
            for _ in 0..self.below(3) {
                let key = format!("key{}", self.below(100));
                let inner = self.value(others, &format!("{path}.*"));
                value.insert(key, inner);
            }
        }
        Value::Object(value)
    }

    fn field(
        &mut self,
        schema: &Value,
        path: &str,
        (name, field): (&String, &Value),
        value: &mut Map<String, Value>,
    ) {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|all| all.contains(&json!(name)));
        if is_required || self.one_in(2) {
            let drawn = self.value(field, &format!("{path}.{name}"));
            value.insert(name.clone(), drawn);
        } else {
            value.remove(name);
        }
    }

    fn list(&mut self, schema: &Value, path: &str) -> Value {
        let bound = |keyword: &str, other| schema[keyword].as_u64().unwrap_or(other);
        let least = bound("minItems", 0);
        let most = bound("maxItems", 3).min(least + 3);
        let count = self.runner.rng().random_range(least..=most);
        let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let is_set = schema["x-kubernetes-list-type"] == "set";
        let is_same = |one: &Value, other: &Value| {
            (is_set && one == other)
                || (!keys.is_empty() && keys.iter().all(|key| one[key] == other[key]))
        };
        let mut items: Vec<Value> = Vec::new();
        for _ in 0..count {
            let item = self.value(&schema["items"], &format!("{path}[]"));
            if !items.iter().any(|other| is_same(other, &item)) {
                items.push(item);
            }
        }
        Value::Array(items)
    }

    /// The ends of what is allowed, as often as what lies between.
    fn integer(&mut self, schema: &Value) -> Value {
        let bound = |keyword: &str, other: i64| {
            schema[keyword]
                .as_f64()
                .map_or(other, |it| format!("{it}").parse().unwrap())
        };
        let (least, most) = (bound("minimum", -1000), bound("maximum", 1000));
        json!(match self.below(4) {
            0 => least,
            1 => most,
            _ => self.runner.rng().random_range(least..=most),
        })
    }

    /// A string that its rules are likely to take.
    fn text(&mut self, schema: &Value) -> String {
        let rules: String = schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
            .fold(String::new(), |rules, rule| {
                rules + rule["rule"].as_str().unwrap() + "\n"
            });
        let most = schema["maxLength"]
            .as_u64()
            .unwrap_or(20)
            .try_into()
            .unwrap();
        let least: usize = schema["minLength"]
            .as_u64()
            .unwrap_or(0)
            .try_into()
            .unwrap();
        let text = if rules.contains("isCIDR(self)") {
            self.prefix()
        } else if rules.contains("isIP(self)") && !rules.contains("matches") {
            self.address()
        } else if let Some(pattern) = self.pattern_in(&rules) {
            self.matching(&pattern)
        } else {
            "x".repeat(least.max(self.below(8)))
        };
        text.chars().take(most).collect()
    }

    /// One of the patterns that rules ask for.
    fn pattern_in(&mut self, rules: &str) -> Option<String> {
        let found: Vec<&str> = rules
            .split("matches('^")
            .skip(1)
            .filter_map(|rest| rest.split_once("$')").map(|(pattern, _)| pattern))
            .collect();
        if found.is_empty() {
            return None;
        }
        let at = self.below(found.len());
        Some(found[at].replace("\\\\", "\\"))
    }

    fn matching(&mut self, pattern: &str) -> String {
        let strategy = self.patterns.entry(pattern.to_owned()).or_insert_with(|| {
            string_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
        });
        strategy.new_tree(&mut self.runner).unwrap().current()
    }

    fn address(&mut self) -> String {
        let random = self.runner.rng().random_range(0..=u32::MAX);
        if self.one_in(4) {
            return format!("2001:db8::{:x}", random & 0xffff);
        }
        core::net::Ipv4Addr::from_bits(random).to_string()
    }

    fn prefix(&mut self) -> String {
        let random = self.runner.rng().random_range(0..=u32::MAX);
        if self.one_in(4) {
            return format!("2001:db8:{:x}::/48", random & 0xffff);
        }
        let length = self.runner.rng().random_range(8..=32_u8);
        let net = lns_api::Ipv4Net::new(core::net::Ipv4Addr::from_bits(random), length).unwrap();
        net.trunc().to_string()
    }

    /// What names another object.
    fn known(&mut self, path: &str) -> Option<Value> {
        if path.ends_with("spec.nodeSelector") && !self.names.nodes.is_null() {
            let nobody = json!({ "nobody": "has" });
            return Some(if self.one_in(6) {
                self.names.nodes.clone()
            } else {
                nobody
            });
        }
        let is = |end: &str| path.ends_with(end);
        let names = if is("ecretRef.name") {
            self.names.secrets.clone()
        } else if is("clusterRefs[].name") {
            self.names.clusters.clone()
        } else if is("olicyRefs[].name") {
            self.names.policies.clone()
        } else {
            return None;
        };
        // Now and then one that is not there.
        if names.is_empty() || self.one_in(30) {
            return Some(json!("nowhere"));
        }
        Some(json!(names[self.below(names.len())]))
    }

    /// How many rules of this place a value breaks.
    fn broken(&mut self, schema: &Value, value: &Value) -> usize {
        let rules = &schema["x-kubernetes-validations"];
        if rules.is_null() {
            return 0;
        }
        let own = self.rules.entry(rules.to_string()).or_insert_with(|| {
            compile_schema(&json!({ "type": schema["type"], "x-kubernetes-validations": rules }))
        });
        let value = apply_defaults(schema, value);
        validate_compiled(own, &value, None).map_or_else(|errors| errors.into_vec().len(), |()| 0)
    }

    fn below(&mut self, most: usize) -> usize {
        self.runner.rng().random_range(0..most)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
