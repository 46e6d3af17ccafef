//! What a member is told of itself, and how long things last.

use core::time::Duration;

use lns_cluster::Identity;

use crate::cluster::ClusterId;
use crate::data::PathMtu;
use crate::wire::Capabilities;

/// What a member is told of itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of which cluster it is.
    pub cluster: ClusterId,
    /// Which node it is, and which incarnation of it.
    pub identity: Identity,
    /// What it can do, for its peers to know.
    pub capabilities: Capabilities,
    /// Its release, for its peers' logs.
    pub software: String,
    /// The longest IP packet that passes between members, for [`data`](crate::data).
    pub path_mtu: PathMtu,
    /// How long things last.
    pub timing: Timing,
}

/// How long things last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How often a peer hears from us at least.
    pub alive: Duration,
    /// A peer from which nothing has come for so long is gone.
    pub dead: Duration,
    /// The wait before the second attempt to reach a peer; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait between two attempts.
    pub longest_wait: Duration,
    /// Of two members, the one with the later name leaves the first attempt to the other for so long.
    pub courtesy: Duration,
    /// How long somebody whose handshake failed keeps its place among the handshakes: what bounds how many
    /// fail in a second, and what they cost.
    pub penance: Duration,
    /// How long the answer to a question is waited for.
    pub answer: Duration,
    /// The same for the admin interface's.
    pub admin_answer: Duration,
    /// How long packets are handed over to a peer to which there is no connection any more. A session's
    /// data may be as old as that (spec: S).
    pub linger: Duration,
}

impl Default for Timing {
    /// A peer that is gone is noticed after 5 seconds, and tried every 5 seconds.
    fn default() -> Self {
        Self {
            alive: Duration::from_secs(1),
            dead: Duration::from_secs(5),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
            courtesy: Duration::from_millis(500),
            penance: Duration::from_millis(250),
            answer: Duration::from_secs(5),
            admin_answer: Duration::from_secs(30),
            linger: Duration::from_secs(600),
        }
    }
}
