//! `users.yaml`: the local users. Its errors name users, never a password.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use lns_crypto::Secret;
use serde_json::{Map, Value};

use super::{
    document::{Document, shape},
    error::ManifestError,
    yaml,
};
use crate::{
    limits,
    schema::{Violation, unknown},
};

/// One local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The password, as octets of UTF-8.
    pub password: Secret,
    /// Values of Filter-Id, in order: what this user's packets are judged by. None: by the default
    /// policies.
    pub policies: Vec<String>,
    /// The address that this user always gets.
    pub address: Option<Ipv4Addr>,
}

/// Parses the users in `text`, a value of the `Secret` in `document`.
pub(super) fn parse(
    document: &Document,
    text: &Secret,
    errors: &mut Vec<ManifestError>,
) -> BTreeMap<String, User> {
    let mut users = BTreeMap::new();
    match entries(text) {
        Ok(entries) => {
            for (name, value) in entries {
                match user(&name, &value) {
                    Ok(user) => drop(users.insert(name, user)),
                    Err(message) => {
                        errors.push(ManifestError::user(&document.name, &name, &message));
                    }
                }
            }
        }
        Err((place, message)) => {
            errors.push(document.error(Violation::new(format!("users.yaml{place}"), message)));
        }
    }
    users
}

/// The map of the users; else the place behind the file's name, and what is wrong there.
fn entries(text: &Secret) -> Result<Map<String, Value>, (String, String)> {
    let fault = |message: String| (String::new(), message);
    let text =
        core::str::from_utf8(text.expose()).map_err(|_| fault("is not UTF-8 text".to_owned()))?;
    match yaml::document(text) {
        Ok(Value::Object(entries)) if entries.len() <= limits::USERS => Ok(entries),
        Ok(Value::Object(entries)) => Err(fault(format!(
            "has {} users; {} are the most",
            entries.len(),
            limits::USERS
        ))),
        Ok(other) => Err(fault(format!(
            "must be a map from user name to password, and is {}",
            shape(&other)
        ))),
        Err(fault) => Err((format!(":{}:{}", fault.line, fault.column), fault.reason)),
    }
}

fn user(name: &str, value: &Value) -> Result<User, String> {
    if name.is_empty() || name.len() > limits::USER_NAME {
        return Err(format!(
            "a user name has 1 to {} octets, not {}",
            limits::USER_NAME,
            name.len()
        ));
    }
    match value {
        Value::String(_) => Ok(User {
            password: password(value)?,
            policies: Vec::new(),
            address: None,
        }),
        Value::Object(fields) => {
            let known = ["password", "policies", "address"];
            if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
                return Err(format!("{field}: {}", unknown(field, &known)));
            }
            let text = fields.get("password").ok_or("password: is required")?;
            Ok(User {
                password: password(text)?,
                policies: fields.get("policies").map_or(Ok(Vec::new()), policies)?,
                address: fields.get("address").map(address).transpose()?,
            })
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            Err(format!(
                "must be a password or {{ password, policies, address }}, and is {}; a password of digits or such a word must be quoted",
                shape(other)
            ))
        }
    }
}

fn password(value: &Value) -> Result<Secret, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("password: is empty".to_owned()),
        Value::String(text) if text.len() > limits::PASSWORD => Err(format!(
            "password: has {} octets; {} are the most",
            text.len(),
            limits::PASSWORD
        )),
        Value::String(text) => Ok(super::concealed(text)),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => Err(format!(
            "password: must be a string, and is {}; quote it",
            shape(other)
        )),
    }
}

fn policies(value: &Value) -> Result<Vec<String>, String> {
    let Value::Array(values) = value else {
        return Err(format!(
            "policies: must be a list of values of Filter-Id, and is {}",
            shape(value)
        ));
    };
    if values.is_empty() {
        return Err("policies: is empty; leave it out to mean the default policies".to_owned());
    }
    if !fits(values.len(), limits::CHAIN) {
        return Err(format!(
            "policies: has {} entries; {} are the most",
            values.len(),
            limits::CHAIN
        ));
    }
    let texts = values.iter().enumerate();
    let texts = texts.map(|(index, value)| match value {
        Value::String(text) if !text.is_empty() && fits(text.len(), limits::FILTER_ID) => {
            Ok(text.clone())
        }
        Value::String(text) => Err(format!(
            "policies[{index}]: has {} octets; a Filter-Id has 1 to {}",
            text.len(),
            limits::FILTER_ID
        )),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => Err(format!(
            "policies[{index}]: must be a string, and is {}; quote it",
            shape(other)
        )),
    });
    texts.collect()
}

fn fits(length: usize, most: u32) -> bool {
    u32::try_from(length).is_ok_and(|length| length <= most)
}

fn address(value: &Value) -> Result<Ipv4Addr, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("address: must be a string, and is {}", shape(value)))?;
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("address: {text:?} is no IPv4 address"))?;
    if address.is_unspecified()
        || address.is_loopback()
        || address.octets()[0] >= 224
        || address.octets()[0] == 0
    {
        return Err(format!(
            "address: {text:?} is not an address that a host can have"
        ));
    }
    Ok(address)
}
