//! What holds for the schema as a whole.

use super::*;
use crate::schema::effect::Effect;

const COMMITTED: [&str; 2] = [
    include_str!("../../lnsclusters.kubelns.io.yaml"),
    include_str!("../../sessionpolicies.kubelns.io.yaml"),
];

/// Visits every node of all schemas.
fn visit_all(see: &mut impl FnMut(&str, &Value)) {
    for resource in Resource::ALL {
        visit(&resource.root().value, &format!("{resource:?}: "), see);
    }
}

/// Visits every node of the `spec` of all schemas.
fn visit_specs(see: &mut impl FnMut(&str, &Value)) {
    visit(Resource::LnsCluster.spec(), "spec", see);
    visit(Resource::SessionPolicy.spec(), "SessionPolicy: spec", see);
}

/// Visits every node of a schema with the path of the field that it describes.
fn visit(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        visit(field, &format!("{path}.{name}"), see);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            visit(&schema[inner], &format!("{path}[]"), see);
        }
    }
}

#[test]
fn the_committed_definition_is_what_crdgen_prints() {
    for (resource, committed) in Resource::ALL.into_iter().zip(COMMITTED) {
        assert_eq!(
            committed,
            resource.crd_yaml().unwrap(),
            "run: cargo run -p lns-api --bin crdgen crds"
        );
        let crd = resource.crd();
        let file = format!("{}.yaml", crd.metadata.name.unwrap());
        assert_eq!(file, resource.file());
    }
}

/// kubectl takes a category for all kinds in it, and refuses the name of an object behind several kinds: `kubectl get lns
/// edge` would get nothing.
#[test]
fn no_category_is_called_as_a_kind_is() {
    let all = Resource::ALL.map(|resource| resource.crd().spec.names);
    let of_kinds = all.iter().flat_map(|names| {
        let short = names.short_names.iter().flatten();
        short.chain([&names.plural]).chain(&names.singular)
    });
    let of_kinds: Vec<_> = of_kinds.collect();
    for category in all
        .iter()
        .flat_map(|names| names.categories.iter().flatten())
    {
        assert!(!of_kinds.contains(&category), "{category}");
    }
}

/// The phrases are a closed set: what is told of a change is read from them.
#[test]
fn every_field_says_when_a_change_takes_effect() {
    let mut seen = 0;
    visit_specs(&mut |path, schema| {
        if path.ends_with("spec") || path.ends_with("[]") {
            return;
        }
        let said = effect::of_change(schema);
        assert!(said.is_some(), "{path}: {:?}", schema["description"]);
        seen += 1;
    });
    assert!(seen > 50, "{seen} fields");
}

#[test]
fn every_value_and_every_order_has_one_effect() {
    let fields = effect::fields();
    let mut values = 0;
    let mut whole = Vec::new();
    visit_specs(&mut |path, schema| {
        // Entries that nothing tells apart are compared as one value.
        let has_fields = !schema["items"]["properties"].is_null();
        if has_fields && effect::key_of(schema).is_none() {
            whole.push(format!("{path}[]."));
        }
        let is_inside = whole.iter().any(|list| path.starts_with(list));
        let is_value = schema["properties"].is_null() && !path.ends_with("[]") && !is_inside;
        if is_value {
            values += 1;
            let of_path = fields.iter().filter(|field| field.path == path).count();
            assert_eq!(of_path, 1, "{path}");
        }
    });
    let keys = [
        "Secret: current",
        "Secret: previous",
        "Secret: tls.crt",
        "Secret: tls.key",
        "Secret: ca.crt",
        "Secret: password",
        "Secret: users.yaml",
        "RADIUS Secret: current",
        "RADIUS Secret: previous",
        "Store Secret: username",
        "Store Secret: password",
        "Store Secret: ca.crt",
    ];
    for key in keys {
        assert!(fields.iter().any(|field| field.path == key), "{key}");
    }
    assert!(fields.iter().any(|field| field.path == "SessionPolicy"));
    assert_eq!(fields.len(), values + keys.len() + 1);
}

/// The diff of a Secret says one time for all who share it.
#[test]
fn secrets_of_radius_take_effect_alike_wherever_they_are_named() {
    use effect::{RADIUS_SECRET, TLS_SECRET, of_path};
    let lists: [&[&str]; 4] = [
        &["radius", "authentication", "servers"],
        &["radius", "accounting", "servers"],
        &["radius", "accounting", "copies"],
        &["radius", "dynamicAuthorization", "clients"],
    ];
    let at = |list: &[&'static str], field| of_path(&[list, &[field]].concat());
    for list in lists {
        assert!(at(list, "secretRef").is_some());
        assert_eq!(at(list, "secretRef"), of_path(RADIUS_SECRET), "{list:?}");
    }
    for list in &lists[..3] {
        assert_eq!(at(list, "tlsSecretRef"), of_path(TLS_SECRET), "{list:?}");
    }
    assert_eq!(of_path(&["peers", "tlsSecretRef"]), of_path(TLS_SECRET));
}

#[test]
fn a_phrase_that_is_not_known_is_no_effect() {
    let said = |text: &str| effect::of_change(&json!({ "description": text }));
    assert_eq!(
        said("A thing. A change takes\neffect at once, for what is new."),
        Some(effect::Said::At(Effect::AtOnce))
    );
    for text in [
        "A thing.",
        "A change takes effect soon.",
        "A change takes effect at oncely.",
        "A change takes effect at once. A change takes effect for new tunnels.",
    ] {
        assert_eq!(said(text), None, "{text}");
    }
}

#[test]
fn every_list_string_and_number_has_bounds() {
    visit_specs(&mut |path, schema| match schema["type"].as_str() {
        Some("array") => {
            assert!(schema["maxItems"].is_u64(), "{path}");
            assert!(schema["x-kubernetes-list-type"].is_string(), "{path}");
        }
        Some("string") => assert!(
            schema["maxLength"].is_u64() || schema["enum"].is_array(),
            "{path}"
        ),
        Some("integer") => assert!(
            schema["minimum"].is_number() && schema["maximum"].is_number(),
            "{path}"
        ),
        Some("object") => assert!(
            schema["properties"].is_object() || schema["maxProperties"].is_u64(),
            "{path}"
        ),
        // It has two.
        Some("boolean") => {}
        other => panic!("{path} is of type {other:?}"),
    });
}

#[test]
fn the_schema_has_no_keyword_that_is_not_checked() {
    let known = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "properties",
        "required",
        "title",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    ];
    visit_all(&mut |path, schema| {
        for keyword in schema.as_object().unwrap().keys() {
            assert!(known.contains(&keyword.as_str()), "{path}: {keyword}");
        }
        let format = schema["format"].as_str();
        assert!(
            format.is_none_or(|format| ["int32", "int64"].contains(&format)),
            "{path}: {format:?}"
        );
    });
}

#[test]
fn no_value_is_a_boolean_to_a_yaml_1_1_reader() {
    let booleans = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~",
    ];
    visit_all(&mut |path, schema| {
        for value in schema["enum"].as_array().into_iter().flatten() {
            assert!(
                !booleans.contains(&value.as_str().unwrap().to_lowercase().as_str()),
                "{path}: {value}"
            );
        }
    });
}

#[test]
fn every_rule_compiles() {
    fn errors(schema: &CompiledSchema) -> usize {
        schema.compilation_errors().len()
    }
    for resource in Resource::ALL {
        assert_eq!(errors(&resource.root().compiled), 0, "{resource:?}");
    }
    let mut rules = 0;
    visit_all(&mut |path, schema| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            rules += 1;
            let one = json!({ "type": schema["type"], "x-kubernetes-validations": [rule] });
            assert_eq!(errors(&compile_schema(&one)), 0, "{path}: {rule}");
        }
    });
    assert!(rules > 25, "{rules} rules");
}

/// The evaluator here knows functions that the API server does not, and the API server refuses a
/// message whose length it cannot bound.
#[test]
fn every_rule_and_message_is_one_that_the_api_server_takes() {
    visit_all(&mut |path, schema| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = rule["rule"].as_str().unwrap();
            for foreign in ["isIPv4", "isIPv6", "isCIDRv4", "isCIDRv6"] {
                assert!(!text.contains(foreign), "{path}: {text}");
            }
            let message = rule["messageExpression"].as_str().unwrap_or_default();
            for unbounded in ["string(", ".map(", ".filter("] {
                assert!(!message.contains(unbounded), "{path}: {message}");
            }
            if let Some(field) = rule["fieldPath"].as_str() {
                let pointer = field.replace('.', "/properties/");
                assert!(
                    schema.pointer(&pointer).is_some(),
                    "{path}: {field} is no field"
                );
            }
        }
    });
}

#[test]
fn paths_are_ordered_by_their_indices_as_numbers() {
    let mut paths = ["a[10].b", "a[9].c", "a[9].b", "a", "a[100]"];
    paths.sort_by_key(|path| natural(path));
    assert_eq!(paths, ["a", "a[9].b", "a[9].c", "a[10].b", "a[100]"]);
}

#[test]
fn a_null_counts_as_absent() {
    let text = include_str!("../../examples/minimal.yaml")
        .replace("    from:", "    admission:\n    hostName: null\n    from:");
    let document: Value = serde_saphyr::from_multiple(&text).unwrap().swap_remove(0);
    let cluster = validate(&document).unwrap();
    assert_eq!(cluster.spec.lacs[0].host_name, "*");
    assert_eq!(
        cluster.spec.lacs[0].admission,
        crate::cluster::Admission::Accept
    );
    assert_eq!(cluster.host_name(), "edge");
}

#[test]
fn an_accepted_cluster_written_out_is_accepted_again() {
    let document: Value = serde_saphyr::from_multiple(include_str!("../../examples/full.yaml"))
        .unwrap()
        .swap_remove(0);
    let cluster = validate(&document).unwrap();
    assert_eq!(validate(&json!(cluster)).unwrap(), cluster);
}
