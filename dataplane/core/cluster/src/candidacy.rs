//! Whether a node is to become master at all: a node that is taken out of service leaves it to the others.
//!
//! It only ever keeps a node from acquiring, or has it wait for longer, so that the rules of an election hold
//! whatever it says. Whoever stands aside promises and votes as everybody else.

lns_wire::labelled! {
    /// Whether a node stands in an election.
    pub enum Candidacy {
        /// As any other.
        Full = "full",
        /// Behind all others: it waits for another D, and acquires what nobody else has acquired by then.
        Last = "last",
        /// Not at all.
        No = "no",
    }
}
