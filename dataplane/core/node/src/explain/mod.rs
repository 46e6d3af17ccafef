//! Why things are as they are: what was said and done of late ([`transcript`]), why calls and tunnels
//! ended ([`failures`]), and what is going on now for those who follow it ([`trace`]).
//!
//! The node writes here as it works (`observe`), and nothing here changes what it does. Passwords and
//! what proves a secret are masked before anything is kept. Not here: words and files for people; who
//! asks gets octets and labels.

pub mod failures;
pub mod trace;
pub mod transcript;

use std::collections::VecDeque;

use failures::Failures;
use trace::{Subject, Traces};
use transcript::Transcript;

use crate::limits;

/// What the node remembers of what it did.
#[derive(Debug, Default)]
pub(crate) struct Explain {
    pub(crate) transcript: Transcript,
    pub(crate) failures: Failures,
    pub(crate) traces: Traces,
    /// Calls that ended while somebody followed anything, and whose goodbye has not left yet.
    pub(crate) departed: VecDeque<Subject>,
    /// Where a datagram is written and masked before it is kept; allocated once.
    scratch: Vec<u8>,
}

impl Explain {
    /// A datagram as it may be kept: written by `write`, masked, cut to what is kept of one.
    pub(crate) fn masked(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> transcript::Octets {
        self.scratch.clear();
        write(&mut self.scratch);
        lns_wire::mask::mask_datagram(&mut self.scratch);
        transcript::Octets::cut(&self.scratch)
    }

    /// A call has ended: its goodbye belongs to it still, for those who follow it.
    pub(crate) fn depart(&mut self, subject: Subject) {
        if self.traces.is_empty() {
            return self.departed.clear();
        }
        let ids = (subject.tunnel, subject.session);
        self.departed
            .retain(|gone| (gone.tunnel, gone.session) != ids);
        if self.departed.len() >= limits::DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back(subject);
    }
}

/// Whether a filter that wants `wanted` takes `actual`.
pub(crate) fn same<T: PartialEq + ?Sized>(wanted: Option<&T>, actual: Option<&T>) -> bool {
    wanted.is_none() || wanted == actual
}
