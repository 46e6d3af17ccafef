//! RADIUS: the sockets, threads and files of the clients that `lns-radius` is the machine of.
//!
//! | module | what is in it |
//! |---|---|
//! | [`line`] | what the control task has in hand: orders out, outcomes in |
//! | [`service`], [`setup`] | start, change and end; what the manifest says |
//! | [`office`] | the thread: takes orders, keeps a client for each purpose |
//! | [`pool`] | one client with its sockets, driven by what happens to them |
//! | [`ledger`] | records: to the spool, from it to the servers, and copies of them |
//! | [`link`] | a socket and the task that waits for it |
//! | [`udp`], [`stream`], [`frame`], [`tls`] | datagrams; RadSec, packets of a stream, certificates |
//! | [`post`] | the mailbox between two threads |
//! | [`dynamic`] | who may change or end a session: a socket and its task |
//! | [`figures`], [`journal`] | what is counted, what is written down |

#[cfg(test)]
pub(crate) mod certificates;
pub(crate) mod dynamic;
pub(crate) mod figures;
mod frame;
pub(crate) mod journal;
mod ledger;
pub(crate) mod line;
mod link;
pub(crate) mod office;
pub(crate) mod pool;
mod post;
pub(crate) mod service;
pub(crate) mod setup;
mod stream;
pub(crate) mod tls;
mod udp;

#[cfg(test)]
mod tests;
