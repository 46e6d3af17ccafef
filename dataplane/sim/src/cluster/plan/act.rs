//! What befalls somebody.

use core::time::Duration;

use lns_cluster::member::Aside;

/// Whom something befalls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Whoever is master then; the first site, if nobody is.
    Master,
    /// A site.
    Site(u8),
}

/// What befalls somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// A process ends at any moment, and another one begins after a while.
    Kill(Target, Duration),
    /// A machine ends, its gate and its clock with it.
    Reboot(Target, Duration),
    /// A process is stopped (SIGSTOP) and goes on.
    Pause(Target, Duration),
    /// A planned switchover.
    StepDown(Target),
    /// A site is asked to leave the service to the others, and after a while not any more.
    Aside(Target, Aside, Duration),
    /// A process ends in good order (SIGTERM), and another one begins.
    Leave(Target, Duration),
    /// All processes end at once.
    KillAll(Duration),

    /// The API server is away.
    ApiAway(Duration),
    /// It is out of reach of one site.
    ApiCut(Target, Duration),
    /// The Lease is deleted by hand; its holder, epoch or roster removed; somebody named as its holder.
    Delete,
    /// See above.
    Empty,
    /// See above.
    Unnumber,
    /// See above.
    Unlist,
    /// See above.
    Name(u8),
    /// The Lease and its whole store are saved.
    Save,
    /// The Lease is put back by hand.
    Restore,
    /// The store of the API server is put back, which takes as long as it must.
    Rewind,

    /// The store is away.
    StoreAway(Duration),
    /// It is out of reach of one site.
    StoreCut(Target, Duration),
    /// It is slow: each question takes so much longer, milliseconds.
    StoreSlow(u16, Duration),
    /// Its replica takes its place after a while; what that had not is lost.
    FailOver(Duration),
    /// FLUSHALL.
    Flush,

    /// The RADIUS servers are away.
    RadiusAway(Duration),

    /// What one site says reaches another one no more.
    PeerCut(u8, u8, Duration),
    /// Nothing passes between one site and all others.
    Isolate(Target, Duration),
    /// A site is out of reach of the routers.
    RouterCut(Target, Duration),

    /// A LAC loses its memory.
    Restart(u8),
    /// A subscriber hangs up, and dials again.
    Redial(u8, u8, Duration),
    /// A subscriber sends IP packets.
    Packets(u8),
}
