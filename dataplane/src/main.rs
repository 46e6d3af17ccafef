//! The process of a kubelns node.

fn main() {}
