//! FreeRADIUS's detail file: what accounting told it, record by record.

use anyhow::{Context as _, Result};

/// One record, its attributes in the order in which they came, values as the file writes them without
/// quotation marks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Entry {
    attributes: Vec<(String, String)>,
}

impl Entry {
    /// The first value of an attribute.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let named = self.attributes.iter().find(|it| it.0 == name);
        named.map(|(_, value)| value.as_str())
    }

    /// All values of an attribute.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.attributes.iter().filter(move |it| it.0 == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        let value = self
            .get(name)
            .with_context(|| format!("no {name} in {self:?}"))?;
        value.parse().with_context(|| format!("{name} = {value}"))
    }

    /// Octets, whose upper 32 bits are in another attribute (RFC 2869, 5.1).
    pub(crate) fn octets(&self, way: &str) -> Result<u64> {
        let high = match self.get(&format!("Acct-{way}-Gigawords")) {
            None => 0,
            Some(_) => self.number(&format!("Acct-{way}-Gigawords"))?,
        };
        Ok((high << 32) + self.number(&format!("Acct-{way}-Octets"))?)
    }
}

/// The records of a detail file.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix('\t') else {
            if !line.is_empty() {
                entries.push(Entry::default());
            }
            continue;
        };
        let (name, value) = line
            .split_once(" = ")
            .with_context(|| format!("`{line}` is no attribute"))?;
        let entry = entries.last_mut().context("an attribute of no record")?;
        let value = value.strip_prefix('"').unwrap_or(value);
        let value = value.strip_suffix('"').unwrap_or(value);
        entry.attributes.push((name.to_owned(), value.to_owned()));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_file_is_read_record_by_record() {
        let text = "Thu Nov 26 10:31:32 2026\n\tUser-Name = \"user@isp\"\n\t\
                    Acct-Status-Type = Stop\n\tClass = 0x01\n\tClass = 0x02\n\t\
                    Acct-Input-Octets = 7\n\tAcct-Input-Gigawords = 1\n\n\
                    Thu Nov 26 10:31:33 2026\n\tAcct-Status-Type = Start\n\n";
        let entries = parse(text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].get("User-Name"), Some("user@isp"));
        assert_eq!(
            entries[0].all("Class").collect::<Vec<_>>(),
            ["0x01", "0x02"]
        );
        assert_eq!(entries[0].octets("Input").unwrap(), (1 << 32) + 7);
        assert_eq!(entries[1].get("Acct-Status-Type"), Some("Start"));
        assert!(entries[1].number("Acct-Input-Octets").is_err());
    }
}
