//! What is stored: records under their keys, each with the mark of its last change, and what the stream tells.
//! The changes themselves are those of the [journal](lns_cluster::journal).
//!
//! What a record says is not known here: it is a blob.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::Identity;
use lns_cluster::journal::Mark;
use thiserror::Error;

/// The longest path of a record, octets.
pub const MAX_PATH: usize = 128;

/// The cluster whose records these are. Its namespace and name make the prefix of all its keys, which is
/// a hash tag too: all are in one slot (rule S1).
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Space(Arc<str>);

/// The name of a record in its space: `<kind>/<name>`, as `t/4711` for a tunnel.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(Arc<str>);

/// Why a text is no name of a space or of a record.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NameError {
    /// A space is named after an object of Kubernetes.
    #[error("a namespace or name has only a-z, 0-9, '-' and '.', and is not empty")]
    Space,
    /// A path is `<kind>/<name>`.
    #[error(
        "a record is named <kind>/<name>: a kind of a-z, then visible ASCII, at most {MAX_PATH} octets"
    )]
    Path,
}

/// A record as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Its name.
    pub key: Key,
    /// Its last change.
    pub mark: Mark,
    /// What it says.
    pub blob: Bytes,
}

/// What a cluster's stream tells of a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Which change it is.
    pub mark: Mark,
    /// What has happened.
    pub event: Event,
}

/// What has happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A record says something else.
    Put {
        /// Which.
        key: Key,
        /// What.
        blob: Bytes,
    },
    /// A record is gone for good, unless whoever hears this has a later change of it.
    Forget {
        /// Which.
        key: Key,
    },
    /// Somebody is master from here on.
    Claim {
        /// Who.
        holder: Identity,
        /// Who belongs to the cluster; a blob.
        roster: Bytes,
    },
    /// Something that this version does not know.
    Unknown,
}

impl Space {
    /// The space of the `LnsCluster` of this namespace and name.
    ///
    /// # Errors
    /// One of them is no name of an object.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        let is_name = |text: &str| {
            let fits = |octet: &u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
            !text.is_empty() && text.as_bytes().iter().all(fits)
        };
        if !is_name(namespace) || !is_name(name) {
            return Err(NameError::Space);
        }
        Ok(Self(format!("{{lns:{namespace}/{name}}}:").into()))
    }

    /// The name of a record in Redis.
    pub(crate) fn record(&self, key: &Key) -> String {
        format!("{}{}", self.0, key.0)
    }

    /// The name of what is no record: these have no slash.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// The key of the record of this name in Redis, if it is one of ours.
    pub(crate) fn key(&self, name: &str) -> Option<Key> {
        name.strip_prefix(&*self.0)?.parse().ok()
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a tunnel's: these are loaded first.
    pub fn is_tunnel(&self) -> bool {
        self.0.starts_with("t/")
    }
}

impl FromStr for Key {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (kind, name) = text.split_once('/').ok_or(NameError::Path)?;
        let is_kind = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_lowercase());
        let is_name = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic());
        if !is_kind || !is_name || text.len() > MAX_PATH {
            return Err(NameError::Path);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_named_after_an_object_and_is_one_slot() {
        let space = Space::new("isp", "edge.1").unwrap();
        let key: Key = "s/1/2".parse().unwrap();
        assert_eq!(space.record(&key), "{lns:isp/edge.1}:s/1/2");
        assert_eq!(space.key("{lns:isp/edge.1}:s/1/2"), Some(key));
        for other in ["{lns:isp/edge}:s/1/2", "{lns:isp/edge.1}:fence", "s/1/2"] {
            assert_eq!(space.key(other), None, "{other}");
        }
        for (namespace, name) in [("", "a"), ("a", ""), ("A", "a"), ("a", "b}"), ("a*", "b")] {
            assert_eq!(Space::new(namespace, name), Err(NameError::Space));
        }
    }

    #[test]
    fn a_path_has_a_kind_and_a_name() {
        for path in ["t/1", "s/1/2", "a/[2001:db8::1]/56", "a/*"] {
            assert_eq!(path.parse::<Key>().unwrap().to_string(), path);
        }
        let long = format!("t/{}", "1".repeat(MAX_PATH - 1));
        for path in [
            "", "t", "t/", "/1", "T/1", "1/1", "t/a b", "t/\u{e4}", "t/\n", &long,
        ] {
            assert_eq!(path.parse::<Key>(), Err(NameError::Path), "{path}");
        }
    }
}
