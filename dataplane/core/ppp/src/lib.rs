//! PPP: the RFC 1661 automaton, LCP, authentication, IPCP.
