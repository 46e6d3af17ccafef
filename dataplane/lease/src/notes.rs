//! What a master keeps in the Lease beside its record, for members to read: where peers are, for instance.
//!
//! The driver carries it and decides nothing by it.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::limits::NOTES;
use crate::object::{OWN, PREFIX};

/// Annotations `kubelns.io/<name>` of a Lease that are not the driver's own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Notes(BTreeMap<String, String>);

/// Why a note is not taken.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NoteError {
    /// It is no name of an annotation.
    #[error(
        "\"{0}\" is no name of a note: use 1 to 63 letters, digits, hyphens, dots and underscores, with a \
         letter or a digit at both ends"
    )]
    Name(String),
    /// The driver writes an annotation of this name itself.
    #[error("the note \"{0}\" is the driver's own: choose another name")]
    Reserved(String),
    /// Together they are too long.
    #[error("with the note \"{0}\" there are more than {NOTES} octets of notes")]
    Full(String),
}

impl Notes {
    /// Sets one.
    ///
    /// # Errors
    /// Its name is none, or the driver's, or there is too much.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        let key = format!("{PREFIX}{name}");
        if OWN.contains(&key.as_str()) {
            return Err(NoteError::Reserved(name.to_owned()));
        }
        let before = self.0.get(&key).map_or(0, |text| octets(&key, text));
        let after = self
            .octets()
            .saturating_sub(before)
            .saturating_add(octets(&key, text));
        if after > NOTES {
            return Err(NoteError::Full(name.to_owned()));
        }
        self.0.insert(key, text.to_owned());
        Ok(())
    }

    /// What one says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&format!("{PREFIX}{name}")).map(String::as_str)
    }

    /// Those among the annotations of a Lease; none if there is more than any master wrote.
    pub(crate) fn among(annotations: &BTreeMap<String, String>) -> Self {
        let ours =
            |(key, _): &(&String, &String)| key.starts_with(PREFIX) && !OWN.contains(&key.as_str());
        let notes = annotations.iter().filter(ours);
        let notes = Self(
            notes
                .map(|(key, text)| (key.clone(), text.clone()))
                .collect(),
        );
        if notes.octets() > NOTES {
            return Self::default();
        }
        notes
    }

    /// Those that are not in `others`.
    pub(crate) fn without(mut self, others: &Self) -> Self {
        self.0.retain(|key, _| !others.0.contains_key(key));
        self
    }

    /// As annotations.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    fn octets(&self) -> usize {
        self.0.iter().map(|(key, text)| octets(key, text)).sum()
    }
}

/// How much of an object's room an annotation takes.
pub(crate) const fn octets(key: &str, text: &str) -> usize {
    key.len().saturating_add(text.len())
}

/// The name part of an annotation.
fn is_name(text: &str) -> bool {
    let is_end = |octet: Option<u8>| octet.is_some_and(|octet| octet.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet))
        && is_end(text.bytes().next())
        && is_end(text.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_refused_by_name() {
        let mut notes = Notes::default();
        for name in ["", "a/b", "-a", "a b", &"a".repeat(64)] {
            assert_eq!(notes.set(name, "1"), Err(NoteError::Name(name.to_owned())));
        }
        let reserved = Err(NoteError::Reserved("epoch".to_owned()));
        assert_eq!(notes.set("epoch", "1"), reserved);
        assert_eq!(notes, Notes::default());
    }

    #[test]
    fn notes_are_bounded_and_one_takes_the_place_of_its_predecessor() {
        let mut notes = Notes::default();
        let half = "x".repeat(NOTES / 2);
        assert_eq!(notes.set("a", &half), Ok(()));
        assert_eq!(notes.set("a", &half), Ok(()));
        assert_eq!(notes.set("b", &half), Err(NoteError::Full("b".to_owned())));
        assert_eq!(notes.get("a"), Some(half.as_str()));
        assert_eq!(notes.get("b"), None);
    }
}
