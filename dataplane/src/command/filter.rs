//! What is said where a filter matches nothing: that it is so, or that it names what does not exist.

use core::fmt::Write as _;

use serde_json::Value;

use super::client::Client;
use crate::failure::Failure;

/// How alike two names must be to be taken for one another (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// Names that are listed at most.
const NAMES: usize = 5;

/// A question's filters, by the names of the admin interface.
pub(super) type Filters<'a> = [(&'a str, Option<String>)];

/// The line for filters that match nothing; `None` without filters.
///
/// # Errors
/// A filter names a LAC or a pool that there is not.
pub(super) fn nothing(
    client: &Client,
    what: &str,
    filters: &Filters<'_>,
) -> Result<Option<String>, Failure> {
    let mut given = String::new();
    for (name, value) in filters {
        let Some(value) = value else { continue };
        match *name {
            "lac" => known(client, ("LAC", "lacs"), value)?,
            "pool" => known(client, ("pool", "pools"), value)?,
            _ => {}
        }
        // Writing into a String does not fail.
        write!(given, " --{} {}", option(name), value.escape_debug()).ok();
    }
    Ok((!given.is_empty()).then(|| format!("no {what} matches{given}")))
}

/// The option of the command line: `callingNumber` is `--calling-number`.
fn option(name: &str) -> String {
    let mut option = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            option.push('-');
        }
        option.push(char.to_ascii_lowercase());
    }
    option
}

/// Fails unless the node has a `kind` of this name.
pub(super) fn known(
    client: &Client,
    (kind, list): (&str, &str),
    name: &str,
) -> Result<(), Failure> {
    let answer = client.read(&format!("/v1/{list}"), &[])?;
    let rows = answer.get(list).and_then(Value::as_array);
    let names: Vec<&str> = rows
        .into_iter()
        .flatten()
        .filter_map(|row| row.get("name")?.as_str())
        .collect();
    if names.contains(&name) {
        Ok(())
    } else {
        Err(Failure::bad_input(unknown(kind, name, &names)))
    }
}

/// Says that there is none of this name, and which there are: those that are alike first.
fn unknown(kind: &str, name: &str, names: &[&str]) -> String {
    let mut near: Vec<(f64, &str)> = names
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), *other))
        .collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let alike: Vec<&str> = near
        .iter()
        .filter(|(alike, _)| *alike >= ALIKE)
        .map(|(_, name)| *name)
        .take(NAMES)
        .collect();
    let hint = if !alike.is_empty() {
        format!("is it {}?", alike.join(" or "))
    } else if names.is_empty() {
        "there is none".to_owned()
    } else {
        let more = if names.len() > NAMES { ", ..." } else { "" };
        let first: Vec<&str> = names.iter().copied().take(NAMES).collect();
        format!("there are {}{more}", first.join(", "))
    };
    format!("there is no {kind} \"{}\": {hint}", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are_alike() {
        let names = ["wholesale-a", "wholesale-b", "lab"];
        assert_eq!(
            unknown("LAC", "wholesale", &names),
            "there is no LAC \"wholesale\": is it wholesale-a or wholesale-b?"
        );
        assert_eq!(
            unknown("LAC", "x\ny", &names),
            "there is no LAC \"x\\ny\": there are wholesale-a, wholesale-b, lab"
        );
        assert_eq!(
            unknown("pool", "default", &[]),
            "there is no pool \"default\": there is none"
        );
        let many = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(
            unknown("pool", "zz", &many),
            "there is no pool \"zz\": there are a, b, c, d, e, ..."
        );
    }

    #[test]
    fn filters_are_named_as_they_are_typed() {
        assert_eq!(
            ["user", "callingNumber"].map(option),
            ["user", "calling-number"]
        );
    }
}
