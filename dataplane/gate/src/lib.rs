//! The fence in the kernel: nothing leaves this node in the cluster's name, and nothing is taken
//! in, but while somebody who may say so has said so a moment ago (spec/cluster.md, 7.1: F1).
//!
//! A lease elects a master, and never stops one: a process that is stopped, hung or starved between its check
//! and its send goes on later, as if no time had passed. So the packets pass a gate in the kernel that closes by
//! itself. [`Gate::install`] makes it, closed; [`Gate::hold`] opens a [`Kind`] of packets until a
//! deadline on `CLOCK_BOOTTIME`; if the process dies, it stays, and closes when the last hold ends.
//! A node without a cluster has no gate.
//!
//! # How it works, and why so
//! nftables has sets whose elements end by themselves, and hooks at every way out and in: IP, ARP,
//! and each interface, where packets come by that have waited for a neighbour, and raw frames. An element's timeout is
//! relative, though: who is stopped between the look at the clock and the message, however short that is, would open
//! the gate late. So a hold is made in two transactions. The first puts a new number with its timeout into
//! the set of those that live, where nothing looks for it yet. Then the clock is read again: if the number's end,
//! counted from now, is past the deadline, it is left to end. The second makes it the
//! number that counts. Whoever is stopped before the second makes a number count that has ended by
//! then: there is no moment at which a hold can last longer than its deadline.
//!
//! BPF programs that compare an absolute deadline would do the same with one write. They were not
//! taken: they need a hook of their own on each interface and another for each of ARP, routed and
//! local packets, rights that many clusters do not give, and a compiler; the gate must work
//! where BPF is not allowed in any case, and one gate is easier to be sure of than two.
//!
//! # Limits
//! - It closes about [`MARGIN`] before the deadline, by the kernel's ticks, which may be late by a
//!   few and then are counted up; never after it.
//! - Timeouts stand still while the machine is suspended, and everything does while a virtual
//!   machine is paused. The store and the routers refuse an older epoch then (F2, F3).
//! - What is behind the hook of an interface, in the queue of a network card, leaves.
//! - Before Linux 6.9 whoever may change nftables can remove the table, `nft flush ruleset` for
//!   one; from 6.9 on only this process can, until it ends ([`State::shielded`]). A table that is
//!   gone is made anew by the next hold.
//! - Before Linux 6.16 an interface that is made anew is not looked at again before [`Gate::replan`].
//! - No IPv6 address in L2 mode.
#![forbid(unsafe_code)]

mod address;
mod arp;
pub mod clock;
mod error;
mod gate;
mod mark;
mod netlink;
mod nft;
mod plan;
mod rehearsal;
mod rules;

pub use arp::Announcer;
pub use error::{GateError, KernelError};
pub use gate::{Gate, Held, MARGIN, State};
pub use mark::Mark;
pub use plan::{Announce, Plan, PlanError};
pub use rehearsal::{Rehearsal, RehearsalError, rehearse};

/// What is passed or dropped together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// The master's: L2TP control, PPP negotiation, RADIUS, dynamic authorization, ARP, all else
    /// that speaks for the cluster. Held with what remains of the authority.
    Control,
    /// A member's: subscribers' packets. Held with what remains of S since the member was in step.
    Data,
    /// Answers to routers that ask whether this node serves. Held while it does.
    Announce,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Control, Self::Data, Self::Announce];
}
