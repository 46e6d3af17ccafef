//! The cluster's addresses on this node: on the loopback interface, where the node takes what comes for them in
//! by any interface, and where nothing else is in the way.
//!
//! The kernel chooses none of them for other packets of the node: IPv4 addresses have the scope of
//! the host, IPv6 addresses are deprecated.

use core::net::IpAddr;
use std::collections::BTreeSet;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::{if_indextoname, if_nametoindex};

use crate::error::{GateError, KernelError};
use crate::netlink::Channel;
use crate::plan::Plan;

/// `NETLINK_ROUTE`
const NETLINK_ROUTE: isize = 0;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const FOR_EVER: u32 = u32::MAX;

const LOOPBACK: &str = "lo";

/// The addresses that are there because of us.
#[derive(Debug)]
pub(crate) struct Addresses {
    channel: Channel,
    loopback: u32,
    ours: BTreeSet<IpAddr>,
}

impl Addresses {
    /// Has none yet but what a process before us left on the loopback interface: `inherited`.
    pub(crate) fn open(inherited: BTreeSet<IpAddr>) -> Result<Self, KernelError> {
        let failed = |source| KernelError::new("open a netlink socket", source);
        let channel = Channel::open(NETLINK_ROUTE).map_err(failed)?;
        let loopback = if_nametoindex(LOOPBACK)
            .map_err(|error| KernelError::new("find the loopback interface", error.into()))?;
        Ok(Self {
            channel,
            loopback,
            ours: inherited,
        })
    }

    /// Whether the plan's addresses are free: the gate would cut the node off by one of its own.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), GateError> {
        let held = self.held()?;
        for address in plan.own() {
            let elsewhere = held
                .iter()
                .find(|(other, index)| *other == address && *index != self.loopback);
            if let Some((_, index)) = elsewhere {
                let interface = if_indextoname(*index).map_or_else(
                    |_| format!("interface {index}"),
                    |name| name.to_string_lossy().into_owned(),
                );
                return Err(GateError::NodesOwn { address, interface });
            }
        }
        Ok(())
    }

    /// Puts the plan's addresses on the node, and takes away what is ours and not the plan's. An
    /// address that the loopback interface has already stays, also in the end.
    pub(crate) fn set(&mut self, plan: &Plan) -> Result<(), KernelError> {
        let there = self.look()?;
        let wanted: BTreeSet<IpAddr> = plan.own().collect();
        for address in wanted.difference(&there) {
            self.add(*address)?;
            self.ours.insert(*address);
        }
        let beside: Vec<IpAddr> = self.ours.difference(&wanted).copied().collect();
        self.remove(&beside)
    }

    /// Whether it was put there by us, and goes with us.
    pub(crate) fn is_ours(&self, address: IpAddr) -> bool {
        self.ours.contains(&address)
    }

    /// Takes away what is ours.
    pub(crate) fn clear(&mut self) -> Result<(), KernelError> {
        self.look()?;
        let all: Vec<IpAddr> = self.ours.iter().copied().collect();
        self.remove(&all)
    }

    /// What the loopback interface has. What somebody else took away is no longer ours.
    fn look(&mut self) -> Result<BTreeSet<IpAddr>, KernelError> {
        let held = self.held()?.into_iter();
        let there: BTreeSet<IpAddr> = held
            .filter_map(|(address, index)| (index == self.loopback).then_some(address))
            .collect();
        self.ours = self.ours.intersection(&there).copied().collect();
        Ok(there)
    }

    fn remove(&mut self, addresses: &[IpAddr]) -> Result<(), KernelError> {
        for address in addresses {
            self.delete(*address)?;
            self.ours.remove(address);
        }
        Ok(())
    }

    fn add(&self, address: IpAddr) -> Result<(), KernelError> {
        let request = RouteNetlinkMessage::NewAddress(self.message(address));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.ask(request, flags, &format!("add the address {address}"))?;
        Ok(())
    }

    fn delete(&self, address: IpAddr) -> Result<(), KernelError> {
        let request = RouteNetlinkMessage::DelAddress(self.message(address));
        let doing = format!("remove the address {address}");
        self.ask(request, NLM_F_ACK, &doing)?;
        Ok(())
    }

    fn message(&self, address: IpAddr) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = self.loopback;
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
        ];
        match address {
            IpAddr::V4(_) => {
                message.header.family = AddressFamily::Inet;
                message.header.prefix_len = 32;
                message.header.scope = AddressScope::Host;
            }
            IpAddr::V6(_) => {
                message.header.family = AddressFamily::Inet6;
                message.header.prefix_len = 128;
                message.header.flags = AddressHeaderFlags::Nodad;
                let mut life = CacheInfo::default();
                life.ifa_valid = FOR_EVER;
                message.attributes.extend([
                    AddressAttribute::Flags(AddressFlags::Nodad),
                    AddressAttribute::CacheInfo(life),
                ]);
            }
        }
        message
    }

    /// The addresses of the node, with the number of the interface that has each.
    fn held(&self) -> Result<Vec<(IpAddr, u32)>, KernelError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.ask(request, NLM_F_DUMP, "read the addresses")?;
        let held = answers.into_iter().filter_map(|answer| {
            if let RouteNetlinkMessage::NewAddress(message) = answer {
                address_of(&message)
            } else {
                None
            }
        });
        Ok(held.collect())
    }

    fn ask(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
        doing: &str,
    ) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        let failed = |source| KernelError::new(doing, source);
        let mut answers = Vec::new();
        for message in self.channel.exchange(&octets).map_err(failed)? {
            if let NetlinkPayload::Error(error) = &message.payload
                && error.code.is_some()
            {
                return Err(failed(error.to_io()));
            }
            if let NetlinkPayload::InnerMessage(answer) = message.payload {
                answers.push(answer);
            }
        }
        Ok(answers)
    }
}

/// The address and its interface. IPv4 has the node's own end in an attribute of its own.
fn address_of(message: &AddressMessage) -> Option<(IpAddr, u32)> {
    let attributes = || message.attributes.iter();
    let local = attributes().find_map(|attribute| {
        if let AddressAttribute::Local(address) = attribute {
            Some(*address)
        } else {
            None
        }
    });
    let any = attributes().find_map(|attribute| {
        if let AddressAttribute::Address(address) = attribute {
            Some(*address)
        } else {
            None
        }
    });
    let address = local.or(any)?;
    Some((address, message.header.index))
}
