//! The RADIUS client of a network access server, without sockets, clocks or randomness: many
//! connections to each server, each judged alone (RFC 2865, 2866, 2869, 3579, 5080, 5997, 6613, 6614).
//!
//! A process gives requests and datagrams in by `handle_*(input, now)` and takes out by `poll_*` what
//! sockets it should open or close, what it should send on them, and what became of each request.
#![forbid(unsafe_code)]

pub mod account;
mod check;
mod client;
pub mod config;
pub mod connection;
pub mod delivery;
pub mod dynamic;
pub mod event;
mod ids;
pub mod limits;
pub mod machine;
mod order;
mod packet;
pub mod record;
pub mod request;
pub mod retry;
mod rtt;
pub mod server;
pub mod trunk;
pub mod verify;
pub mod view;

pub use check::CheckKind;
pub use client::Client;
