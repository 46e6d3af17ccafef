//! Workers that move subscribers' packets between L2TP and IP.
