//! Clients with their sockets against servers of the test, over loopback and in network namespaces.

mod accounting;
mod bed;
mod namespace;
mod pairs;
mod radsec;
mod udp;
