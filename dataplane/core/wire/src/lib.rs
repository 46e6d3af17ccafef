//! Codecs of an L2TP network server: octets in, typed values out, and back.
//!
//! Nothing here keeps state, allocates without bound or panics: a parser takes a [`Reader`], gives a
//! value or a typed error, and never reads outside what it was given. Each protocol has its own
//! module; a file begins with the RFC sections that it covers. Two rooms stand on all of them: [`text`]
//! says in a line what a datagram is, [`mask`] takes out of it what must not be kept.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod id;
pub mod ip;
pub mod l2tp;
mod labelled;
pub mod mask;
pub mod ppp;
pub mod radius;
mod reader;
#[cfg(test)]
mod samples;
pub mod text;

pub use reader::{Reader, Truncated};
