//! What accounting is told (RFC 2866): records on their way to the spool.

use core::time::Duration;

use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, kind};

lns_wire::labelled! {
    /// What a record says (RFC 2866, 5.1).
    pub enum Status {
        /// A session began.
        Start = "start",
        /// A session ended.
        Stop = "stop",
        /// A session goes on.
        Interim = "interim",
        /// The NAS began with no session.
        On = "on",
        /// The NAS ends, and with it all sessions.
        Off = "off",
    }
}

impl Status {
    /// The value of Acct-Status-Type.
    pub const fn number(self) -> u32 {
        match self {
            Self::Start => 1,
            Self::Stop => 2,
            Self::Interim => 3,
            Self::On => 7,
            Self::Off => 8,
        }
    }
}

/// One record. It is kept until a server has it; an interim may give way to newer ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// What it says.
    pub status: Status,
    /// The session's Acct-Session-Id: of one session no record overtakes another. Of On and Off their own.
    pub session: Box<str>,
    /// When it happened. Event-Timestamp is the shell's to add, who knows the date.
    pub at: Instant,
    /// All attributes, Acct-Status-Type and Acct-Session-Id included, but Event-Timestamp and
    /// Acct-Delay-Time and the NAS's identity.
    pub attributes: AttributeList,
    /// The realm of the user, by which servers may be chosen.
    pub realm: Option<Box<str>>,
    /// Where it is kept until it is on disk, if it is.
    pub kept: Option<Kept>,
}

/// A record that is kept elsewhere, until whoever delivers it has it on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Under which number.
    pub number: u64,
    /// When it happened, in seconds since 1970: computed once, and the same ever after.
    pub date: u64,
}

impl Record {
    /// When it happened, in seconds since 1970, if now is `now`, and `millis` since 1970. However long afterwards
    /// it is asked: rounded is only what comes of it.
    pub fn date(&self, now: Instant, millis: u64) -> u64 {
        if let Some(kept) = self.kept {
            return kept.date;
        }
        let now_is = Duration::from_millis(millis);
        now_is.saturating_sub(now.since(self.at)).as_secs()
    }

    /// Its attributes with that date among them (RFC 2869, 5.3).
    pub fn dated(&self, date: u64) -> AttributeList {
        let mut attributes = self.attributes.clone();
        let seconds = u32::try_from(date).unwrap_or(u32::MAX);
        attributes.push_u32(kind::EVENT_TIMESTAMP, seconds);
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_date_however_late_it_is_asked() {
        let record = Record {
            status: Status::Stop,
            session: "1".into(),
            at: Instant::from_millis(5_845),
            attributes: AttributeList::default(),
            realm: None,
            kept: None,
        };
        for late in 0..3_000 {
            let now = record.at + Duration::from_millis(late);
            assert_eq!(record.date(now, 1_795_000_011_845 + late), 1_795_000_011);
        }
    }
}
