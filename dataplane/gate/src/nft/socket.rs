//! The socket to nftables.
//!
//! A call may wait for the transaction of another process in the same network namespace, which the
//! kernel does not interleave.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};

use super::attribute::{Attributes, find, text, values};
use super::batch::{Batch, Message};
#[allow(clippy::wildcard_imports, reason = "the names of the kernel's headers")]
use super::consts::*;
use super::model::TableId;
use crate::error::KernelError;
use crate::netlink::Channel;

/// Where the attributes of a message begin: behind `struct nfgenmsg`.
const GENERAL: usize = 4;
/// Where those of an error begin: behind the header of the message that it is about.
const HEADER: usize = 16;
/// `NLMSGERR_ATTR_MSG`
const ERROR_TEXT: u16 = 1;

/// Whose a table is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// There is no such table.
    Absent,
    /// Anybody may change it.
    Nobody,
    /// Only the socket with this number may.
    Socket(u32),
}

/// A socket to nftables.
#[derive(Debug)]
pub(crate) struct Socket {
    channel: Channel,
    number: u32,
}

impl Socket {
    /// Opens it, in the network namespace of this thread.
    pub(crate) fn open() -> Result<Self, KernelError> {
        let channel = Channel::open(NETLINK_NETFILTER)
            .map_err(|source| KernelError::new("open a netlink socket", source))?;
        Ok(Self { channel, number: 0 })
    }

    /// The number by which the kernel knows this socket as an owner.
    pub(crate) fn port(&self) -> u32 {
        self.channel.port()
    }

    /// An empty transaction.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.number)
    }

    /// Has the kernel carry out a transaction. After an error nothing of it is done.
    pub(crate) fn commit(&mut self, batch: Batch) -> Result<(), KernelError> {
        let (octets, first, doing) = batch.finish();
        let messages = u32::try_from(doing.len()).unwrap_or(u32::MAX);
        self.number = self.number.wrapping_add(messages);
        let what = |number: u32| {
            let index = usize::try_from(number.wrapping_sub(first));
            let what = index.ok().and_then(|index| doing.get(index));
            what.map_or("change nftables", String::as_str)
        };
        let mut answered = 1_usize;
        for message in self.exchange(&octets)? {
            let NetlinkPayload::Error(error) = message.payload else {
                continue;
            };
            answered = answered.saturating_add(1);
            if error.code.is_some() {
                let what = what(message.header.sequence_number);
                return Err(KernelError::new(what, error.to_io()).said(said(&error.header)));
            }
        }
        if answered < doing.len() {
            let missing = io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel did not answer");
            return Err(KernelError::new(what(first), missing));
        }
        Ok(())
    }

    /// Whose a table is.
    pub(crate) fn owner(&mut self, table: &TableId) -> Result<Owner, KernelError> {
        let attributes = Attributes::new().text(NFTA_TABLE_NAME, &table.name);
        let answers = self.ask(NFT_MSG_GETTABLE, 0, table, attributes)?;
        let Some(answer) = answers.first() else {
            return Ok(Owner::Absent);
        };
        let owner = find(answer, NFTA_TABLE_OWNER).and_then(|octets| octets.try_into().ok());
        Ok(owner.map_or(Owner::Nobody, |octets| {
            Owner::Socket(u32::from_be_bytes(octets))
        }))
    }

    /// The packets that a table's counters have counted; empty: there is no such table.
    pub(crate) fn counters(
        &mut self,
        table: &TableId,
    ) -> Result<BTreeMap<String, u64>, KernelError> {
        let attributes = Attributes::new()
            .text(NFTA_OBJ_TABLE, &table.name)
            .number(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
        let answers = self.ask(NFT_MSG_GETOBJ, NLM_F_DUMP, table, attributes)?;
        let counters = answers.iter().filter_map(|answer| {
            let name = text(&find(answer, NFTA_OBJ_NAME)?);
            let packets = find(&find(answer, NFTA_OBJ_DATA)?, NFTA_COUNTER_PACKETS)?;
            Some((name, u64::from_be_bytes(packets.try_into().ok()?)))
        });
        Ok(counters.collect())
    }

    /// The elements of a set; none: there is no such set.
    pub(crate) fn elements(
        &mut self,
        table: &TableId,
        set: &str,
    ) -> Result<Vec<Vec<u8>>, KernelError> {
        let attributes = Attributes::new()
            .text(NFTA_SET_ELEM_LIST_TABLE, &table.name)
            .text(NFTA_SET_ELEM_LIST_SET, set);
        let answers = self.ask(NFT_MSG_GETSETELEM, NLM_F_DUMP, table, attributes)?;
        let lists = answers
            .iter()
            .filter_map(|answer| find(answer, NFTA_SET_ELEM_LIST_ELEMENTS));
        let elements = lists.flat_map(|list| values(&list));
        let keys = elements
            .filter_map(|element| find(&find(&element, NFTA_SET_ELEM_KEY)?, NFTA_DATA_VALUE));
        Ok(keys.collect())
    }

    /// The attributes of each answer to a question; none if there is no such thing.
    fn ask(
        &mut self,
        message: u8,
        flags: u16,
        table: &TableId,
        attributes: Attributes,
    ) -> Result<Vec<Vec<u8>>, KernelError> {
        self.number = self.number.wrapping_add(1);
        let message = Message::new(message, table.family.number(), attributes);
        let octets = message.octets(self.number, NLM_F_REQUEST | flags);
        let mut answers = Vec::new();
        for message in self.exchange(&octets)? {
            if let NetlinkPayload::Error(error) = &message.payload
                && error.code.is_some()
            {
                let error = error.to_io();
                if error.kind() == io::ErrorKind::NotFound {
                    return Ok(Vec::new());
                }
                return Err(KernelError::new("read nftables", error));
            }
            if let NetlinkPayload::InnerMessage(Answer(octets)) = message.payload {
                answers.extend(octets.get(GENERAL..).map(<[u8]>::to_vec));
            }
        }
        Ok(answers)
    }

    fn exchange(&self, octets: &[u8]) -> Result<Vec<NetlinkMessage<Answer>>, KernelError> {
        self.channel
            .exchange(octets)
            .map_err(|source| KernelError::new("talk to nftables", source))
    }
}

/// What the kernel says beside the number of an error.
fn said(about: &[u8]) -> Option<String> {
    let attributes = about.get(HEADER..)?;
    find(attributes, ERROR_TEXT).map(|octets| text(&octets))
}

/// A message of nftables, behind the header of netlink.
#[derive(Debug)]
struct Answer(Vec<u8>);

impl NetlinkDeserializable for Answer {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(payload.to_vec()))
    }
}
