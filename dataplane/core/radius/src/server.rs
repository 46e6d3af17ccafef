//! One server: its connections, what waits for them, and what is known of it.

lns_wire::labelled! {
    /// What a log says of a server. Nothing is decided by it: each connection is judged alone.
    pub enum ServerState {
        /// It was not needed yet.
        Idle = "idle",
        /// A connection is being opened.
        Opening = "opening",
        /// After a failure there is a connection again, and it has to show that it is answered.
        Trial = "trial",
        /// A connection takes requests.
        Up = "up",
        /// Connections are there, and none is answered.
        Zombie = "zombie",
        /// No connection is there, and the last one failed.
        Down = "down",
    }
}
