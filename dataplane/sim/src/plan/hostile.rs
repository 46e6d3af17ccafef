//! Who sends the node what nobody should.

/// One hostile sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hostile {
    /// What it sends.
    pub malice: Malice,
    /// Datagrams in a minute.
    pub per_minute: u32,
    /// It sends under the address of one of the LACs; else under one that is no LAC's.
    pub spoofs: bool,
}

/// What a hostile sender sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malice {
    /// Octets without sense.
    Noise,
    /// Inputs of the corpus of known attacks, whole or as the body of a message.
    Corpus,
    /// What was said before, again.
    Replay,
    /// The end of a tunnel or call, with numbers that are guessed.
    End,
    /// Requests for tunnels.
    Flood,
    /// PPP frames for ids that are guessed.
    Frames,
    /// Messages with the right ids and numbers near the right ones, and a body that is cut short.
    Cut,
}
