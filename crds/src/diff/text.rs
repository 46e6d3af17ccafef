//! Values in the length of a table's cell.

use serde_json::Value;

/// Characters of a value at most: two of them and a path fit into a terminal's line.
const LONGEST: usize = 48;

/// Names of an order at most.
const NAMES: usize = 4;

/// A value.
pub(super) fn of(value: &Value) -> String {
    short(&whole(value))
}

/// Two lists: where one is too long, only what the other has not.
pub(super) fn of_lists(before: &[Value], after: &[Value]) -> (String, String) {
    let (old, new) = (items(before), items(after));
    if old.len().max(new.len()) <= LONGEST {
        return (shown(&old), shown(&new));
    }
    let only = |these: &[Value], those: &[Value]| {
        let only: Vec<_> = these.iter().filter(|one| !those.contains(one)).collect();
        let common = (only.len() < these.len()).then(|| "...".to_owned());
        let parts = common.into_iter().chain(only.into_iter().map(whole));
        short(&parts.collect::<Vec<_>>().join(", "))
    };
    (only(before, after), only(after, before))
}

/// Two orders of the same names, from the first to the last that has moved.
pub(super) fn of_orders(before: &[Value], after: &[Value]) -> (String, String) {
    let pairs = || before.iter().zip(after);
    let first = pairs().take_while(|(old, new)| old == new).count();
    let last = pairs().rev().take_while(|(old, new)| old == new).count();
    let end = before.len().saturating_sub(last);
    let moved = |names: &[Value]| {
        let moved: Vec<Value> = names.get(first..end).unwrap_or_default().to_vec();
        let text = items(moved.get(..NAMES).unwrap_or(&moved));
        let more = if moved.len() > NAMES { ", ..." } else { "" };
        let less = if first > 0 { "..., " } else { "" };
        format!("{less}{text}{more}")
    };
    (moved(before), moved(after))
}

/// Which entry of a list it is.
pub(super) fn position(index: usize, of: usize) -> String {
    format!("entry {} of {of}", index.saturating_add(1))
}

/// A text, cut where it is too long, on one line.
pub(super) fn short(text: &str) -> String {
    let printable = text.chars().flat_map(|char| {
        let escaped = char.is_control().then(|| char.escape_default());
        let plain = escaped.is_none().then_some(char);
        escaped.into_iter().flatten().chain(plain)
    });
    let mut cut: String = printable.clone().take(LONGEST).collect();
    if printable.count() > LONGEST {
        cut.push_str("...");
    }
    cut
}

fn shown(text: &str) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text.to_owned()
    }
}

fn items(values: &[Value]) -> String {
    values.iter().map(whole).collect::<Vec<_>>().join(", ")
}

fn whole(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", items(values)),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let text = whole(value);
                let text = if text.is_empty() { "\"\"" } else { &text };
                format!("{name}: {text}")
            });
            let fields = fields.collect::<Vec<_>>().join(", ");
            if fields.is_empty() {
                "none".to_owned()
            } else {
                format!("{{ {fields} }}")
            }
        }
    }
}
