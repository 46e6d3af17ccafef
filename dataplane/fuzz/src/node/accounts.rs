//! What servers have been told: each session has one beginning and one end, in this order, and its
//! counters never go back.

use std::collections::{BTreeMap, BTreeSet};

use lns_node::radius::Order;
use lns_radius::record::{Record, Status};
use lns_wire::radius::{AttributeList, Code, HEADER, Id, MAX_PACKET, kind};

/// The book of the servers.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    is_on: bool,
    is_off: bool,
    /// Names that were ever given.
    names: BTreeSet<String>,
    /// Sessions that have begun and not ended, and what they had counted.
    open: BTreeMap<String, u64>,
}

impl Accounts {
    pub(super) fn take(&mut self, order: &Order) {
        if let Order::Record(record) = order {
            self.record(record);
        }
    }

    /// So many sessions live: no more are open.
    pub(super) fn check(&self, live: usize) {
        assert!(self.open.len() <= live, "a session has gone without a Stop");
    }

    fn record(&mut self, record: &Record) {
        assert!(!self.is_off, "Off is the last word");
        let name = record.session.to_string();
        let list = &record.attributes;
        let said = text(list, kind::ACCT_SESSION_ID);
        assert_eq!(said, Some(&*name));
        let number = of(list, kind::ACCT_STATUS_TYPE);
        assert_eq!(number, Some(record.status.number()));
        let mut packet = Vec::new();
        let written = list.emit(Code::ACCOUNTING_REQUEST, Id(0), &[0; 16], &mut packet);
        assert!(written.is_ok() && packet.len() + 200 < MAX_PACKET && packet.len() > HEADER);
        match record.status {
            Status::On | Status::Off => {
                assert!(self.names.insert(name), "a name is given again");
                assert_eq!(self.is_on, record.status == Status::Off);
                assert!(self.open.is_empty());
                self.is_on = true;
                self.is_off = record.status == Status::Off;
            }
            Status::Start => {
                assert!(self.is_on);
                assert!(self.names.insert(name.clone()), "a name is given again");
                self.open.insert(name, 0);
            }
            Status::Interim | Status::Stop => {
                let before = self.open.get_mut(&name).expect("it has begun");
                let words = of(list, kind::ACCT_INPUT_OCTETS).expect("counters");
                let gigawords = of(list, kind::ACCT_INPUT_GIGAWORDS).expect("counters");
                let octets = u64::from(gigawords) << 32 | u64::from(words);
                assert!(octets >= *before, "counters go back");
                *before = octets;
                if record.status == Status::Stop {
                    assert!(of(list, kind::ACCT_TERMINATE_CAUSE).is_some());
                    self.open.remove(&name);
                }
            }
        }
    }
}

fn of(list: &AttributeList, wanted: u8) -> Option<u32> {
    let attribute = list.iter().find(|it| it.kind == wanted)?;
    Some(attribute.u32().expect("a number"))
}

fn text(list: &AttributeList, wanted: u8) -> Option<&str> {
    let attribute = list.iter().find(|it| it.kind == wanted)?;
    Some(core::str::from_utf8(attribute.value).expect("a text"))
}
