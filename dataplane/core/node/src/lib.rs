//! One L2TP network server node, without sockets or clocks.
