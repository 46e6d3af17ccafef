//! L2TP control connections and calls (RFC 2661).
