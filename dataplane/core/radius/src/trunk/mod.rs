//! A trunk: the connections to one server, the requests on them, and what both are together.
//!
//! The names and rules are those of FreeRADIUS's trunks. What differs, and why:
//!
//! - CANCEL-SENT and CANCEL-PARTIAL are left out: RADIUS has no packet that takes a request back, so who
//!   cancels one is rid of it at once. PARTIAL is left out: who has the sockets writes a packet to its end.
//! - The connection that was answered last comes first, not the one with the shortest queue.
//! - An answer is verified before it says anything of its connection: a forged one holds no dead server
//!   alive.
//! - A connection on which a request waits too long is suspected first: it comes last, and is a zombie only
//!   when it has been silent for a while. One packet lost on an idle link costs nothing.
//! - A zombie keeps what was sent on it, and is checked where it is; nothing is opened anew for that.
//! - Nothing is checked at the first start: who was never silent is not asked whether he lives.
//! - Where no checks are sent, a connection that is opened after a failure is on trial: it takes one request
//!   at a time until one is answered. There is no time for which a server counts as dead.
//! - The delay before a failed connection is opened again doubles, after a timeout as after an error.

use crate::machine::machine;

pub(crate) mod ask;
pub(crate) mod link;
pub mod rules;

machine! {
    /// What a trunk sees of one connection.
    states TrunkState {
        /// It is not used.
        Halted = "HALTED",
        /// It is about to be opened.
        Init = "INIT",
        /// It is being opened.
        Connecting = "CONNECTING",
        /// It takes requests.
        Active = "ACTIVE",
        /// It has as many as it can take.
        Full = "FULL",
        /// It does not answer: it takes nothing new, and what is under way stays.
        Inactive = "INACTIVE",
        /// The same, and it is to go.
        InactiveDraining = "INACTIVE-DRAINING",
        /// It is one too many: it takes nothing new until there is more to do.
        Draining = "DRAINING",
        /// It is old: it takes nothing new, and goes when what is under way has ended.
        DrainingToFree = "DRAINING-TO-FREE",
        /// It failed, or is at its end.
        Closed = "CLOSED",
    }
    /// What happens to a connection of a trunk.
    events TrunkEvent {
        /// Its socket is wanted.
        Init = "init",
        /// Its socket is being opened.
        Connect = "connect",
        /// Its socket can be used.
        Connected = "connected",
        /// It got the last request that it can take.
        Fill = "fill",
        /// It can take one again.
        Room = "room",
        /// It does not answer.
        SignalInactive = "signal inactive",
        /// It does.
        SignalActive = "signal active",
        /// There is too little to do.
        Drain = "drain",
        /// There is enough to do.
        Undrain = "undrain",
        /// It is too old, or its server is no longer configured so.
        Expire = "expire",
        /// Its socket is gone.
        Close = "close",
        /// It is not opened again.
        Halt = "halt",
    }
    table {
        Halted | Closed + Init => Init,
        Init + Connect => Connecting,
        Connecting + Connected => Active,
        Active + Fill => Full,
        Full + Room => Active,
        Active | Full + SignalInactive => Inactive,
        Draining + SignalInactive => InactiveDraining,
        Inactive + SignalActive => Active,
        InactiveDraining + SignalActive => Draining,
        Active | Full + Drain => Draining,
        Inactive + Drain => InactiveDraining,
        Draining + Undrain => Active,
        InactiveDraining + Undrain => Inactive,
        Active | Full | Inactive | InactiveDraining | Draining + Expire => DrainingToFree,
        Init | Connecting | Active | Full | Inactive | InactiveDraining | Draining | DrainingToFree + Close => Closed,
        Closed + Halt => Halted,
    }
}

impl TrunkState {
    /// Whether it does not answer.
    pub(crate) const fn is_zombie(self) -> bool {
        matches!(self, Self::Inactive | Self::InactiveDraining)
    }

    /// The word of the state for people: opening, active, full, zombie, draining or closed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Init | Self::Connecting => "opening",
            Self::Active => "active",
            Self::Full => "full",
            Self::Inactive => "zombie",
            Self::InactiveDraining | Self::Draining | Self::DrainingToFree => "draining",
            Self::Closed | Self::Halted => "closed",
        }
    }
}

machine! {
    /// Where a request is.
    states RequestState {
        /// It came.
        Init = "INIT",
        /// It is at no server.
        Unassigned = "UNASSIGNED",
        /// It waits for a connection to its server.
        Backlog = "BACKLOG",
        /// It is on a connection, and the next packet of it waits to be sent for the first time.
        Pending = "PENDING",
        /// It is sent.
        Sent = "SENT",
        /// It is sent, and no answer is waited for.
        Reapable = "REAPABLE",
        /// It is answered, or was a copy and is sent.
        Complete = "COMPLETE",
        /// It has no answer.
        Failed = "FAILED",
        /// Who asked does not want to know any more.
        Cancel = "CANCEL",
        /// And nothing of it is left.
        CancelComplete = "CANCEL-COMPLETE",
    }
    /// What happens to a request.
    events RequestEvent {
        /// It is taken.
        Take = "take",
        /// It is to wait for a connection.
        Wait = "wait",
        /// It got a connection.
        Assign = "assign",
        /// It was written.
        Write = "write",
        /// It was written, and that is all.
        WriteCopy = "write copy",
        /// It was not written after all.
        Unwrite = "unwrite",
        /// It leaves its connection or its server.
        Requeue = "requeue",
        /// It is answered.
        Finish = "finish",
        /// There will be no answer.
        Fail = "fail",
        /// It is not wanted any more.
        Cancel = "cancel",
        /// Its identifier, timer and memory are free.
        Release = "release",
    }
    table {
        Init + Take => Unassigned,
        Unassigned + Wait => Backlog,
        Unassigned | Backlog + Assign => Pending,
        Pending + Write => Sent,
        Pending + WriteCopy => Reapable,
        Sent | Reapable + Unwrite => Pending,
        Backlog | Pending | Sent | Reapable + Requeue => Unassigned,
        Backlog | Pending | Sent | Reapable + Finish => Complete,
        Init | Unassigned | Backlog | Pending | Sent | Reapable + Fail => Failed,
        Unassigned | Backlog | Pending | Sent | Reapable + Cancel => Cancel,
        Cancel + Release => CancelComplete,
    }
}

lns_wire::labelled! {
    /// What all connections of a trunk are together.
    pub enum AggregateState {
        /// There is no connection.
        Idle = "IDLE",
        /// There are only such as are being opened, or such as do not answer.
        Pending = "PENDING",
        /// There is one at least that takes requests.
        Active = "ACTIVE",
        /// There are as many as may be, and all are full.
        Full = "FULL",
        /// There are only such as failed.
        Failed = "FAILED",
    }
}
