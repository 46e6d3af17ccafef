//! One socket: when it is opened, how long that may take, and when it is tried again.

use crate::machine::machine;

machine! {
    /// Where a socket is.
    states ConnectionState {
        /// There is none, and none is wanted.
        Halted = "HALTED",
        /// One is wanted.
        Init = "INIT",
        /// It is being opened, or it is open and the server has not yet shown that it lives.
        Connecting = "CONNECTING",
        /// That took too long.
        Timeout = "TIMEOUT",
        /// It can be used.
        Connected = "CONNECTED",
        /// It is used for what is under way, and then closed.
        Shutdown = "SHUTDOWN",
        /// It failed.
        Failed = "FAILED",
        /// It is closed, and opened again after a while.
        Closed = "CLOSED",
    }
    /// What happens to a socket.
    events ConnectionEvent {
        /// It is wanted: at first, or the delay after a failure is over.
        Start = "start",
        /// The process was asked to open it.
        Allocate = "allocate",
        /// It is open, and if the server had to show that it lives, it has.
        Open = "open",
        /// The time to open it, or to be answered, is over.
        Expire = "expire",
        /// It cannot be used.
        Fail = "fail",
        /// It is to end when what is under way has ended.
        Shut = "shut",
        /// It was given back to the process.
        Close = "close",
        /// Nobody wants it any more.
        Halt = "halt",
    }
    table {
        Halted | Closed | Failed + Start => Init,
        Init + Allocate => Connecting,
        Connecting + Open => Connected,
        Connecting | Shutdown + Expire => Timeout,
        Init | Connecting | Timeout | Connected | Shutdown + Fail => Failed,
        Connected + Shut => Shutdown,
        Connected | Shutdown | Failed + Close => Closed,
        Init | Connecting | Failed | Closed + Halt => Halted,
    }
}

impl ConnectionState {
    /// Whether the process has a socket for it, or was asked for one.
    pub const fn has_socket(self) -> bool {
        matches!(self, Self::Connecting | Self::Connected | Self::Shutdown)
    }
}
