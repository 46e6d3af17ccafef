//! What the datapath is started with, and why it would not start.

use core::net::{Ipv4Addr, SocketAddr};
use std::io;

use ipnet::Ipv4Net;
use lns_l2sess::graph::Options;
use thiserror::Error;

use crate::handing::HandingConfig;
use crate::limits::FLOWS;

/// What the datapath is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the subscribers' interface, which is made at the start and vanishes with the
    /// process. It comes up without address or route: those are the caller's to set.
    pub interface: String,
    /// How many threads move packets, 1 to [`limits::WORKERS`](crate::limits::WORKERS).
    pub workers: usize,
    /// The service addresses, 1 to [`limits::SERVICE_ADDRESSES`](crate::limits::SERVICE_ADDRESSES),
    /// none of them unspecified: what leaves for a LAC leaves from one of these. Port 0 takes a free
    /// one ([`Datapath::listen`](crate::Datapath::listen) says which).
    pub listen: Vec<SocketAddr>,
    /// How many sessions fit: slots are `0..capacity`.
    pub capacity: u32,
    /// The prefixes of the address pools: lookups in them are one load. Addresses outside are found
    /// too, by a hash.
    pub pools: Vec<Ipv4Net>,
    /// The source of ICMP errors that the datapath sends back to the senders of packets that are too
    /// large. The kernel takes them in on the subscribers' interface: an address of this machine
    /// needs `accept_local` there. `0.0.0.0` sends none.
    pub icmp_source: Ipv4Addr,
    /// What the classifier is started with.
    pub flows: FlowConfig,
    /// How the kernel tells apart what is sent to LACs; `None`: it need not.
    pub marks: Option<Marks>,
    /// How packets are handed to other nodes of the cluster, and taken from them; `None`: there are none.
    pub handing: Option<HandingConfig>,
}

/// The values of `SO_MARK` of what is sent to LACs, by which rules of the kernel pass or drop it. They need
/// `CAP_NET_ADMIN`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Marks {
    /// Of what workers send: subscribers' packets.
    pub data: u32,
    /// Of what [`Control::send`](crate::Control::send) sends as control: L2TP control and PPP negotiation.
    pub control: u32,
}

/// What the classifier is started with.
#[derive(Clone, Copy, Debug)]
pub struct FlowConfig {
    /// How many flows fit, 1 to [`lns_l2sess::limits::ENTRIES`]. Memory for them is taken as they are
    /// used, 128 octets each at most.
    pub entries: u32,
    /// What is done where there is a choice, until
    /// [`FlowsHandle::set_options`](crate::FlowsHandle::set_options) says otherwise.
    pub options: Options,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            entries: FLOWS,
            options: Options::default(),
        }
    }
}

/// Why the datapath would not start. One line each, made to be read by an operator.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// `/dev/net/tun` is not there.
    #[error(
        "/dev/net/tun does not exist: load the module `tun`, or give the container the device /dev/net/tun"
    )]
    TunMissing,
    /// The process may not create an interface.
    #[error(
        "not allowed to create the interface `{interface}`: run as root or give the capability CAP_NET_ADMIN"
    )]
    TunForbidden {
        /// Which.
        interface: String,
    },
    /// An interface of that name is there.
    #[error(
        "the interface `{interface}` already exists: another lnsd runs, or `ip link delete {interface}` removes a leftover"
    )]
    InterfaceExists {
        /// Which.
        interface: String,
    },
    /// The kernel would not take that name.
    #[error(
        "`{interface}` is no name for an interface: 1 to 15 characters, no blank, `/`, `:` or `%`"
    )]
    InterfaceName {
        /// Which.
        interface: String,
    },
    /// The interface could not be made for another reason.
    #[error("cannot create the interface `{interface}`: {source}")]
    Tun {
        /// Which.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The service address is not configured here.
    #[error(
        "{address} is not an address of this machine: add it to an interface, or correct the service address"
    )]
    AddressNotHere {
        /// Which.
        address: SocketAddr,
    },
    /// Somebody listens there.
    #[error("{address} is taken: another lnsd or L2TP server listens there (`ss -ulpn sport = :{}` shows which)", address.port())]
    AddressTaken {
        /// Which.
        address: SocketAddr,
    },
    /// The service address is `0.0.0.0` or `::`.
    #[error("{address} cannot be a service address: name the address that the LACs send to")]
    AddressUnspecified {
        /// Which.
        address: SocketAddr,
    },
    /// The port is below 1024 and the process may not have it.
    #[error(
        "not allowed to listen on {address}: run as root or give the capability CAP_NET_BIND_SERVICE"
    )]
    AddressForbidden {
        /// Which.
        address: SocketAddr,
    },
    /// The socket could not be had for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A number of the configuration is out of its range.
    #[error("{what} must be between {low} and {high}, not {value}")]
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// The least.
        low: usize,
        /// The most.
        high: usize,
        /// The value.
        value: usize,
    },
    /// The tables do not fit into the address space that the process may have.
    #[error(
        "no memory for {octets} octets of tables: raise the memory limit or lower the capacity"
    )]
    Memory {
        /// How much was asked for.
        octets: usize,
    },
    /// A thread could not be started.
    #[error("cannot start a worker thread: {source}")]
    Thread {
        /// What the kernel said.
        source: io::Error,
    },
}
