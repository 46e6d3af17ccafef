//! One record as it lies on disk.

use lns_radius::record::{Record, Status};
use lns_wire::Reader;
use lns_wire::radius::AttributeList;

/// The form of what is written below. One of another form is another version's: it is not read here.
const FORM: u8 = 1;

/// A record with its date.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) status: Status,
    /// Its Acct-Session-Id.
    pub(crate) session: Box<str>,
    /// When it happened, seconds since 1970: its Event-Timestamp.
    pub(crate) date: u64,
    pub(crate) realm: Option<Box<str>>,
    /// All attributes, Event-Timestamp included.
    pub(crate) attributes: AttributeList,
    /// Who keeps it until it is on disk knows it by this number; it is not written.
    pub(crate) kept: Option<u64>,
}

/// Why octets are not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unread {
    /// They are no record.
    Damaged,
    /// They have a form that this version does not know.
    Foreign,
}

impl Entry {
    /// Of a record that happened then: the date is added (RFC 2869, 5.3), and never changed again.
    pub(crate) fn new(record: Record, date: u64) -> Self {
        Self {
            attributes: record.dated(date),
            status: record.status,
            session: record.session,
            date,
            realm: record.realm,
            kept: record.kept.map(|kept| kept.number),
        }
    }

    /// Its octets. A name beyond 65,535 octets, which no attribute holds, is cut off.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![FORM, number(self.status)];
        octets.extend(self.date.to_be_bytes());
        push(&mut octets, &self.session);
        octets.push(u8::from(self.realm.is_some()));
        push(&mut octets, self.realm.as_deref().unwrap_or_default());
        octets.extend(self.attributes.octets());
        octets
    }

    /// What [`to_octets`](Self::to_octets) wrote.
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Unread> {
        let mut reader = Reader::new(octets);
        match reader.u8() {
            Ok(FORM) => read(&mut reader).ok_or(Unread::Damaged),
            // No form is zero, which a disk gives for what was never written.
            Ok(1..) => Err(Unread::Foreign),
            _ => Err(Unread::Damaged),
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Option<Entry> {
    let status = status(reader.u8().ok()?)?;
    let date = reader.array().ok().map(u64::from_be_bytes)?;
    let session = text(reader)?;
    let has_realm = reader.u8().ok()? == 1;
    let realm = text(reader)?;
    let attributes = AttributeList::from(reader.take_rest().to_vec());
    let whole: usize = attributes
        .iter()
        .map(|attribute| attribute.value.len().saturating_add(2))
        .sum();
    (whole == attributes.octets().len()).then_some(Entry {
        status,
        session,
        date,
        realm: has_realm.then_some(realm),
        attributes,
        kept: None,
    })
}

fn push(octets: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    octets.extend(len.to_be_bytes());
    octets.extend(text.bytes().take(usize::from(len)));
}

fn text(reader: &mut Reader<'_>) -> Option<Box<str>> {
    let len = reader.u16().ok()?;
    let octets = reader.take(usize::from(len)).ok()?;
    core::str::from_utf8(octets).ok().map(Into::into)
}

/// Its Acct-Status-Type, all of which fit into an octet.
fn number(status: Status) -> u8 {
    u8::try_from(status.number()).unwrap_or_default()
}

fn status(octet: u8) -> Option<Status> {
    let mut all = Status::ALL.iter().copied();
    all.find(|status| number(*status) == octet)
}

#[cfg(test)]
mod tests {
    use lns_tables::time::Instant;
    use lns_wire::radius::kind;

    use super::*;

    fn entry(status: Status, realm: Option<&str>) -> Entry {
        let mut attributes = AttributeList::new();
        attributes.push_u32(kind::ACCT_STATUS_TYPE, status.number());
        let record = Record {
            status,
            session: "0000002a-00000001".into(),
            at: Instant::ZERO,
            attributes,
            realm: realm.map(Into::into),
            kept: None,
        };
        Entry::new(record, 1_795_000_000)
    }

    #[test]
    fn a_record_comes_back_as_it_was_with_its_date_among_its_attributes() {
        for status in Status::ALL.iter().copied() {
            for realm in [None, Some(""), Some("isp.example")] {
                let entry = entry(status, realm);
                assert_eq!(Entry::parse(&entry.to_octets()), Ok(entry.clone()));
                let mut dates = entry.attributes.iter().filter(|it| it.kind == 55);
                let date = dates.next().map(|it| it.u32());
                assert_eq!(date, Some(Ok(1_795_000_000)));
                assert!(dates.next().is_none());
            }
        }
    }

    #[test]
    fn what_is_no_record_is_unreadable() {
        let whole = entry(Status::Stop, Some("isp")).to_octets();
        let attributes = 12;
        for len in 0..whole.len() {
            // Where an attribute ends a shorter record may end, too.
            let is_shorter = len + attributes == whole.len() || len + 6 == whole.len();
            assert_eq!(Entry::parse(&whole[..len]).is_ok(), is_shorter, "{len}");
        }
        for (at, octet) in [(0, 0), (0, 2), (1, 0), (1, 4), (12, 0xff), (29 + 5, 0)] {
            let mut wrong = whole.clone();
            wrong[at] = octet;
            let parsed = Entry::parse(&wrong);
            assert!(parsed != Entry::parse(&whole), "{at}");
        }
        let mut other = whole;
        other[0] = FORM + 1;
        assert_eq!(Entry::parse(&other), Err(Unread::Foreign));
        other[0] = 0;
        assert_eq!(Entry::parse(&other), Err(Unread::Damaged));
    }
}
