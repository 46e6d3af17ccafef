//! What a status check of a RADIUS server may say (RFC 2865, 2866, 5997): the names of attributes, and what
//! a value of each may be.
//!
//! A check says the same each time, so that nothing in it is a template. What is signed, hidden or drawn
//! anew for each is added where the packet is made, and so is who we are.

use core::net::Ipv4Addr;

use lns_wire::radius::{AttributeList, kind};
use serde_json::{Map, Value};

use crate::schema::{Violation, nearest};

/// How the value of an attribute is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Ipv4,
}

/// What a check may say. The rest of a request is of a session, and a check has none.
const KNOWN: [(u8, Form); 12] = [
    (kind::USER_NAME, Form::Text),
    (kind::NAS_PORT, Form::Number),
    (kind::SERVICE_TYPE, Form::Number),
    (kind::FRAMED_PROTOCOL, Form::Number),
    (kind::FRAMED_IP_ADDRESS, Form::Ipv4),
    (kind::CALLED_STATION_ID, Form::Text),
    (kind::CALLING_STATION_ID, Form::Text),
    (kind::ACCT_AUTHENTIC, Form::Number),
    (kind::NAS_PORT_TYPE, Form::Number),
    (kind::CONNECT_INFO, Form::Text),
    (kind::NAS_PORT_ID, Form::Text),
    (kind::FRAMED_POOL, Form::Text),
];

/// Who a check is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Authentication,
    Accounting,
}

/// The violations of the status checks of `document`.
pub fn check(document: &Value) -> Vec<Violation> {
    let purposes = [
        ("authentication", Purpose::Authentication),
        ("accounting", Purpose::Accounting),
    ];
    let found = purposes.into_iter().filter_map(|(section, purpose)| {
        let check = document.pointer(&format!("/spec/radius/{section}/statusCheck"));
        let path = format!("spec.radius.{section}.statusCheck");
        check.map(|check| of_check(&path, purpose, check))
    });
    found.flatten().collect()
}

fn of_check(path: &str, purpose: Purpose, check: &Value) -> Vec<Violation> {
    let kind = check.get("type").and_then(Value::as_str);
    let none = Map::new();
    let attributes = check.get("attributes").and_then(Value::as_object);
    let attributes = attributes.unwrap_or(&none);
    let mut violations = Vec::new();
    for (name, value) in attributes {
        let at = format!("{path}.attributes.{name}");
        let Some(value) = value.as_str() else {
            continue;
        };
        let wrong = place(name, kind, purpose).map_or_else(|| encoded(name, value).err(), Some);
        violations.extend(wrong.map(|message| Violation::new(at, message)));
    }
    let named = attributes.contains_key("User-Name");
    let password = check.get("passwordSecretRef").is_some();
    // Another purpose's type or field has been reported as such.
    let missing = match (kind, purpose) {
        (Some(kind @ "AccessRequest"), Purpose::Authentication)
        | (Some(kind @ "AccountingRequest"), Purpose::Accounting)
            if !named =>
        {
            Some(format!(
                "is required with type: {kind}; give the name of a user who is there for this"
            ))
        }
        (Some("Auto"), Purpose::Authentication) if password && !named => Some(
            "is required beside passwordSecretRef; give the name of a user who is there for this"
                .to_owned(),
        ),
        (Some("Auto"), Purpose::Authentication) if named && !password => Some(
            "is of no use without passwordSecretRef; name a Secret with the key password, or leave it out"
                .to_owned(),
        ),
        (_, Purpose::Authentication | Purpose::Accounting) => None,
    };
    let at = format!("{path}.attributes.User-Name");
    violations.extend(missing.map(|message| Violation::new(at, message)));
    violations
}

/// Why an attribute must not be in a check of this type at all.
fn place(name: &str, check: Option<&str>, purpose: Purpose) -> Option<String> {
    let Some(number) = kind::number(name) else {
        let names = || KNOWN.iter().filter_map(|(kind, _)| kind::name(*kind));
        let known = match nearest(name, names()) {
            Some(near) => format!("{near} is known"),
            None => format!(
                "known in a check: {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        return Some(format!("unknown attribute; {known}"));
    };
    let why = match number {
        kind::USER_PASSWORD => {
            "must not lie open in a manifest; name a Secret with the key password in passwordSecretRef"
        }
        kind::PROXY_STATE => "must be absent: it belongs to proxies, and an LNS is none",
        kind::ACCT_SESSION_ID | kind::ACCT_AUTHENTIC if purpose == Purpose::Authentication => {
            "must be absent: it belongs to accounting"
        }
        kind::MESSAGE_AUTHENTICATOR | kind::ACCT_STATUS_TYPE | kind::ACCT_SESSION_ID => {
            "must be absent: it is added where a check is sent"
        }
        kind::EVENT_TIMESTAMP => {
            "must be absent: it would be a date, and checks are sent on others"
        }
        kind::NAS_IDENTIFIER => "must be absent: spec.radius.nasIdentifier is in every check",
        kind::NAS_IP_ADDRESS | kind::NAS_IPV6_ADDRESS => {
            "must be absent: spec.radius.nasAddress is in every check"
        }
        kind::ACCT_DELAY_TIME => "must be absent: a check tells of nothing that has happened",
        kind::EAP_MESSAGE | kind::CHAP_PASSWORD | kind::CHAP_CHALLENGE => {
            "must be absent: a check logs in with User-Password, or not at all"
        }
        kind::USER_NAME if check == Some("StatusServer") => {
            "must be absent: Status-Server is no login of a user (RFC 5997, section 3)"
        }
        number if KNOWN.iter().any(|(known, _)| *known == number) => return None,
        _ => "must be absent: it tells of a session, and a check has none",
    };
    Some(why.to_owned())
}

/// The attributes of a check that [`check`] has passed.
pub fn attributes<'a>(named: impl IntoIterator<Item = (&'a String, &'a String)>) -> AttributeList {
    let mut list = AttributeList::new();
    for (name, value) in named {
        // What does not fit has been refused.
        if let Ok((number, octets)) = encoded(name, value) {
            let _: Result<(), _> = list.push(number, &octets);
        }
    }
    list
}

/// An attribute as it is sent; else what is wrong with the value.
fn encoded(name: &str, value: &str) -> Result<(u8, Vec<u8>), String> {
    let number = kind::number(name);
    let known = KNOWN.iter().find(|(known, _)| Some(*known) == number);
    let (number, form) = known.ok_or("unknown attribute")?;
    if let Some(sign) = ["%{", "%(", "${", "{{", "`"]
        .into_iter()
        .find(|sign| value.contains(sign))
    {
        return Err(format!(
            "{value:?} has {sign:?} of a template in it; a check says the same each time: give the value itself"
        ));
    }
    let octets = match form {
        Form::Text if value.is_empty() => return Err("is empty".to_owned()),
        Form::Text if value.len() > 253 => {
            return Err(format!("has {} octets; 253 are the most", value.len()));
        }
        Form::Text => value.as_bytes().to_vec(),
        Form::Number => {
            let digits = value.bytes().all(|octet| octet.is_ascii_digit());
            let parsed = value.parse::<u32>().ok().filter(|_| digits);
            let parsed = parsed.ok_or_else(|| format!("{value:?} is no number of this attribute"));
            parsed?.to_be_bytes().to_vec()
        }
        Form::Ipv4 => {
            let parsed = value.parse::<Ipv4Addr>();
            let parsed = parsed.map_err(|_| format!("{value:?} is no IPv4 address"));
            parsed?.octets().to_vec()
        }
    };
    Ok((*number, octets))
}
