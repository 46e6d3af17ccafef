//! A cluster in virtual time: one to five sites that elect with the real elector, follow and take over with the real
//! member, journal and node, between an API server, a store, routers and LACs, over networks that delay and lose, on
//! clocks that differ. One seed decides everything.
//!
//! | part | what it is |
//! |---|---|
//! | `site` | a process: the real code, and the steps of `lnsd` between its parts |
//! | `api`, `store`, `servers`, `peers`, `clock` | what is around it |
//! | `world` | all of it under one queue; what befalls whom |
//! | [`plan`] | what is going to happen, drawn from a seed |
//! | `judge` | what must hold, judged from outside after each step |
//! | [`run`], [`shrink`] | runs a plan, and takes away from a failing one what it does not need |
//!
//! Left out: homes of stateful sessions, datagrams of RADIUS (questions and records are lost and come late whole), the
//! nodes' own Leases (all members are listed), sockets and kernels: a gate is a deadline on the machine's clock.

mod api;
mod clock;
mod judge;
mod key;
mod peers;
pub mod plan;
mod queue;
pub mod run;
mod servers;
pub mod shrink;
mod site;
mod store;
mod world;

pub use judge::{Invariant, Violation};
