//! What becomes of a packet.

use core::fmt;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It goes on.
    Forward,
    /// It does not.
    Drop(Refusal),
}

lns_wire::labelled! {
    /// Why a packet does not go on, with the label that metrics use.
    pub enum Refusal {
        /// A rule or a default of the port's policies says so.
        Policy = "policy",
        /// Its flow had timed out; the next packet is judged by policy.
        FlowExpired = "flow_expired",
        /// The session table is full of flows that are not given up for a new one.
        FlowTableFull = "flow_table_full",
        /// The subscriber has as many flows as one may have, none of which is given up for a new one.
        FlowLimit = "flow_limit",
        /// The port was closed while the packet was on its way.
        PortClosed = "port_closed",
        /// The headers contradict the packet, or it is a fragment that would put flags of TCP over those that
        /// were judged.
        Malformed = "classifier_malformed",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
