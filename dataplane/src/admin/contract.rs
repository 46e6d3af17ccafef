//! Holds answers to the OpenAPI document: every field is described, of the kind that is described,
//! and there when it has to be. For tests; the end-to-end suites include this file too.
//!
//! Clients must bear fields that they do not know, so the document allows them. What we send has none:
//! here, a field that the document does not name is an error.

use serde_json::{Map, Value, json};

/// Checks the answer with this status to `method path`.
///
/// # Errors
/// What does not fit, one line per place.
pub(crate) fn check(
    document: &Value,
    (method, path): (&str, &str),
    status: u16,
    answer: &Value,
) -> Result<(), String> {
    let path = path.split('?').next().unwrap_or_default();
    let operation = document
        .get("paths")
        .and_then(Value::as_object)
        .and_then(|paths| paths.iter().find(|(template, _)| fits(template, path)))
        .and_then(|(_, item)| item.get(method.to_ascii_lowercase()));
    let responses = operation.and_then(|operation| operation.get("responses"));
    let response = responses.and_then(|responses| {
        let exactly = responses.get(status.to_string());
        exactly.or_else(|| responses.get("default"))
    });
    let schema =
        response.and_then(|response| response.pointer("/content/application~1json/schema"));
    match schema {
        Some(schema) => valid(document, schema, answer),
        // What is not there and what may not be done is answered, too.
        None if status >= 400 => {
            let error = json!({ "$ref": "#/components/schemas/Error" });
            valid(document, &error, answer)
        }
        None => Err(format!("no schema for {status} of {method} {path}")),
    }
}

/// Whether a path is one of the template's: `{id}` stands for any part.
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut parts) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if wanted == part || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}

fn valid(document: &Value, schema: &Value, answer: &Value) -> Result<(), String> {
    let mut whole = schema.as_object().cloned().unwrap_or_default();
    whole.insert(
        "components".to_owned(),
        document.get("components").cloned().unwrap_or_default(),
    );
    let mut whole = Value::Object(whole);
    close(&mut whole);
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&whole)
        .map_err(|error| format!("the document has a schema that is none: {error}"))?;
    let problems: Vec<String> = validator
        .iter_errors(answer)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Forbids in each object what is not described.
fn close(schema: &mut Value) {
    if let Value::Array(items) = schema {
        items.iter_mut().for_each(close);
    }
    let Value::Object(keys) = schema else { return };
    keys.values_mut().for_each(close);
    // A field may be called `properties`, too: then it holds a schema and no map of schemas.
    let describes = |keys: &Map<String, Value>| keys.get("type") == Some(&json!("object"));
    if describes(keys) && !keys.contains_key("additionalProperties") {
        keys.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
}
