//! The digests and ciphers that L2TP, CHAP, MS-CHAPv2 and RADIUS need, over the RustCrypto crates,
//! and the two things around them: secrets that cannot be printed, randomness that can be replayed.
//!
//! MD4, MD5 and DES are used because those protocols are made of them, and nowhere else in kubelns.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chap;
pub mod l2tp;
pub mod mschapv2;
pub mod radius;
mod rng;
mod secret;

pub use rng::Rng;
pub use secret::Secret;
