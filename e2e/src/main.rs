//! LAC and subscriber generator, topologies, tests with real peers.

fn main() {}
