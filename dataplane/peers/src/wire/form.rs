//! The bodies of frames as postcard has them, version 1. A test has their octets; none of these changes.

use core::fmt;
use core::net::SocketAddr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Octets, written and read at once and not one by one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Octets<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Octets<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets")
            }

            fn visit_borrowed_bytes<E>(self, octets: &'de [u8]) -> Result<Octets<'de>, E> {
                Ok(Octets(octets))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct HelloForm<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) identity: &'a str,
    pub(super) version: u16,
    pub(super) oldest: u16,
    pub(super) capabilities: u64,
    pub(super) dial: u64,
    pub(super) software: &'a str,
}

#[derive(Deserialize, Serialize)]
pub(super) struct RefusedForm<'a> {
    pub(super) why: u8,
    pub(super) words: &'a str,
}

#[derive(Deserialize, Serialize)]
pub(super) struct GoodbyeForm {
    pub(super) why: u8,
}

#[derive(Deserialize, Serialize)]
pub(super) struct DataKeyForm {
    pub(super) generation: u32,
    pub(super) id: u32,
}

/// A question for a promise; who asks is who sends it.
#[derive(Deserialize, Serialize)]
pub(super) struct AskForm {
    pub(super) epoch: u64,
    pub(super) sent: u64,
}

/// A promise. Who promises is who sends it.
#[derive(Deserialize, Serialize)]
pub(super) struct PromiseForm<'a> {
    pub(super) holder: &'a str,
    pub(super) epoch: u64,
    pub(super) sent: u64,
}

#[derive(Deserialize, Serialize)]
pub(super) struct AskRefusedForm<'a> {
    pub(super) holder: &'a str,
    pub(super) epoch: u64,
    pub(super) sent: u64,
    pub(super) why: u8,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
pub(super) struct PositionForm {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

/// A datagram: L2TP control, or dynamic authorization.
#[derive(Deserialize, Serialize)]
pub(super) struct DatagramForm<'a> {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    #[serde(borrow)]
    pub(super) octets: Octets<'a>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct PppForm<'a> {
    pub(super) tunnel: u16,
    pub(super) session: u16,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    #[serde(borrow)]
    pub(super) frame: Octets<'a>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct ReportForm {
    pub(super) sessions: Vec<SessionForm>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct SessionForm {
    pub(super) tunnel: u16,
    pub(super) session: u16,
    pub(super) up: PassedForm,
    pub(super) down: PassedForm,
}

#[derive(Deserialize, Serialize)]
pub(super) struct PassedForm {
    pub(super) octets: u64,
    pub(super) packets: u64,
    /// Milliseconds.
    pub(super) age: Option<u64>,
}

/// A question or answer behind the number by which the two belong together.
#[derive(Deserialize, Serialize)]
pub(super) struct Numbered<T> {
    pub(super) number: u32,
    pub(super) of: T,
}

#[derive(Deserialize, Serialize)]
pub(super) struct AdminQueryForm<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    #[serde(borrow)]
    pub(super) body: Octets<'a>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct AdminAnswerForm<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    #[serde(borrow)]
    pub(super) body: Octets<'a>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct RecordsForm<'a> {
    #[serde(borrow)]
    pub(super) records: Vec<RecordForm<'a>>,
    pub(super) more: bool,
    pub(super) whole: bool,
    pub(super) store: bool,
}

#[derive(Deserialize, Serialize)]
pub(super) struct RecordForm<'a> {
    pub(super) key: &'a str,
    pub(super) position: PositionForm,
    #[serde(borrow)]
    pub(super) octets: Option<Octets<'a>>,
}
